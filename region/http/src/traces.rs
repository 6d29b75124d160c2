//! Traces of requests.
//!
//! Which request is traced is decided before it has a span, so those that are not cost a comparison and a random number, and,
//! where there is no collector, not even that. Whoever has more spans to add to a trace makes them with [`tracer`].

use std::{cell::Cell, sync::OnceLock};

use geodynamo_replicator_core::TraceContext;
use http::HeaderMap;
use opentelemetry::{
    Context,
    trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState},
};
use opentelemetry_sdk::trace::SdkTracer;
use tracing::{Metadata, Span, Subscriber, level_filters::LevelFilter};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::{
    layer::{self, Filter},
    registry::LookupSpan,
};

/// The name of a request's span: where a trace begins, or is joined.
const REQUEST: &str = "request";
/// The header of W3C's trace context.
const TRACEPARENT: &str = "traceparent";
/// What the spans of this program begin with.
const TARGETS: &str = "geodynamo";

/// Makes spans of which this program's own are not the parents; there while traces are exported.
static TRACER: OnceLock<(SdkTracer, Sampling)> = OnceLock::new();

thread_local! {
    /// What a request's caller has decided about its trace.
    static DECIDED: Cell<Option<bool>> = const { Cell::new(None) };
}

/// Which requests are traced.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Sampling {
    /// What share of those that nobody has decided about.
    pub ratio: f64,
    /// Whether a request whose caller traces it is traced, and one whose caller has decided not to trace it is not.
    pub follows_caller: bool,
}

impl Default for Sampling {
    fn default() -> Self {
        Self {
            ratio: 1.0,
            follows_caller: true,
        }
    }
}

/// Lets tracing begin: requests have spans, which `tracer` makes others to.
pub fn begin(tracer: SdkTracer, sampling: Sampling) {
    let _ = TRACER.set((tracer, sampling));
}

/// Chooses which requests have spans, and lets through what belongs to those.
#[derive(Debug)]
pub struct Sampled(pub Sampling);

impl<S: Subscriber + for<'a> LookupSpan<'a>> Filter<S> for Sampled {
    fn enabled(&self, of: &Metadata<'_>, context: &layer::Context<'_, S>) -> bool {
        if !of.target().starts_with(TARGETS) {
            return false;
        }
        if of.is_span() && of.name() == REQUEST {
            return DECIDED.get().unwrap_or_else(|| rand::random::<f64>() < self.0.ratio);
        }
        // Of the spans that this filter has let through.
        context.lookup_current().is_some()
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::DEBUG)
    }
}

/// The span of a request to an operation or a service; none if it is not traced. A caller that sends its trace context has it
/// continued.
pub fn request(name: &'static str, headers: &HeaderMap) -> Span {
    let caller = match TRACER.get() {
        Some((_, sampling)) if sampling.follows_caller => {
            headers.get(TRACEPARENT).and_then(|value| value.to_str().ok())
        }
        _ => None,
    };
    let parent = caller.and_then(|text| text.parse::<TraceContext>().ok());
    // What is no context, or one of a trace that is not sampled.
    let declined = parent.is_none() && caller.is_some_and(|text| text.ends_with("-00"));
    DECIDED.set(parent.map(|_| true).or(declined.then_some(false)));
    // Below the level that logs have by default.
    let span = tracing::debug_span!(
        "request",
        otel.name = name,
        otel.kind = "server",
        rpc.system = "aws-api"
    );
    DECIDED.set(None);
    if let Some(parent) = parent {
        // It fails for a span that is not traced.
        let _ = span.set_parent(remote(parent));
    }
    span
}

/// The trace that a span belongs to, if it is traced.
pub fn id_of(span: &Span) -> Option<TraceId> {
    context_of(span).map(|context| TraceId::from(context.trace_id))
}

/// The trace of whoever asks, and its span, if it is traced.
pub fn current() -> Option<TraceContext> {
    context_of(&Span::current())
}

/// Whether traces are exported.
pub fn are_on() -> bool {
    TRACER.get().is_some()
}

/// What makes spans that requests are not the parents of; none while no traces are exported.
pub fn tracer() -> Option<&'static SdkTracer> {
    TRACER.get().map(|(tracer, _)| tracer)
}

fn context_of(span: &Span) -> Option<TraceContext> {
    if span.is_disabled() || !are_on() {
        return None;
    }
    let context = span.context();
    told(context.span().span_context())
}

/// The context of a span elsewhere, as a parent.
pub fn remote(context: TraceContext) -> Context {
    let span = SpanContext::new(
        TraceId::from(context.trace_id),
        SpanId::from(context.span_id),
        TraceFlags::SAMPLED,
        true,
        TraceState::default(),
    );
    Context::new().with_remote_span_context(span)
}

/// What is told of a span to others; nothing if it is not sampled.
pub fn told(span: &SpanContext) -> Option<TraceContext> {
    (span.is_valid() && span.is_sampled()).then(|| TraceContext {
        trace_id: u128::from_be_bytes(span.trace_id().to_bytes()),
        span_id: u64::from_be_bytes(span.span_id().to_bytes()),
    })
}
