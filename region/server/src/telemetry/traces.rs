//! Traces of requests, and of what they write on its way to other regions.
//!
//! Which request is traced is decided before it has a span, so those that are not cost a comparison and a random number, and,
//! where there is no collector, not even that. A trace's spans are the request, its commit, the wait and the way to each peer
//! (`ship`), and what that peer does with it (`apply`).

use std::{
    any::Any,
    cell::Cell,
    sync::OnceLock,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use geodynamo_replicator_core::{Peer, TableId, TraceContext};
use geodynamo_table::TracedWrite;
use http::HeaderMap;
use opentelemetry::{
    Context, KeyValue,
    trace::{Span as _, SpanContext, SpanId, SpanKind, TraceContextExt, TraceFlags, TraceId, TraceState, Tracer as _},
};
use opentelemetry_sdk::trace::{SdkTracer, Span as OpenSpan};
use tracing::{Metadata, Span, Subscriber, level_filters::LevelFilter};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::{
    layer::{self, Filter},
    registry::LookupSpan,
};

use super::settings::Sampling;

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

/// Lets tracing begin.
pub(super) fn begin(tracer: SdkTracer, sampling: Sampling) {
    let _ = TRACER.set((tracer, sampling));
}

/// Chooses which requests have spans, and lets through what belongs to those.
#[derive(Debug)]
pub(super) struct Sampled(pub(super) Sampling);

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
pub(crate) fn request(name: &'static str, headers: &HeaderMap) -> Span {
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
pub(crate) fn id_of(span: &Span) -> Option<TraceId> {
    context_of(span).map(|context| TraceId::from(context.trace_id))
}

/// The trace of whoever asks, and its span, if it is traced.
pub(crate) fn current() -> Option<TraceContext> {
    context_of(&Span::current())
}

/// Whether traces are exported.
pub(crate) fn are_on() -> bool {
    TRACER.get().is_some()
}

fn context_of(span: &Span) -> Option<TraceContext> {
    if span.is_disabled() || !are_on() {
        return None;
    }
    let context = span.context();
    told(context.span().span_context())
}

/// A version leaves for a peer: the span of its wait and its way begins at its commit and ends now. Gives the context that
/// goes with it.
pub(crate) fn ship(write: TracedWrite, to_region: &str) -> TraceContext {
    let Some((tracer, _)) = TRACER.get() else {
        return write.context;
    };
    let since = UNIX_EPOCH + Duration::from_millis(write.committed_ms);
    let mut span = tracer
        .span_builder("ship")
        .with_kind(SpanKind::Producer)
        .with_start_time(since.min(SystemTime::now()))
        .with_attributes([KeyValue::new("geodynamo.peer_region", to_region.to_owned())])
        .start_with_context(tracer, &remote(write.context));
    let context = told(span.span_context()).unwrap_or(write.context);
    span.end();
    context
}

/// Versions of these traces are being applied: their spans last until what this gives is dropped.
pub(crate) fn apply(from: &Peer, table: TableId, traces: &[TraceContext]) -> Option<Box<dyn Any + Send>> {
    let (tracer, _) = TRACER.get()?;
    let spans: Vec<OpenSpan> = traces
        .iter()
        .map(|context| {
            tracer
                .span_builder("apply")
                .with_kind(SpanKind::Consumer)
                .with_attributes([
                    KeyValue::new("geodynamo.peer_region", from.region.clone()),
                    KeyValue::new("geodynamo.table_id", table.to_string()),
                ])
                .start_with_context(tracer, &remote(*context))
        })
        .collect();
    // A span ends when it is dropped.
    Some(Box::new(spans))
}

/// The context of a span elsewhere, as a parent.
fn remote(context: TraceContext) -> Context {
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
fn told(span: &SpanContext) -> Option<TraceContext> {
    (span.is_valid() && span.is_sampled()).then(|| TraceContext {
        trace_id: u128::from_be_bytes(span.trace_id().to_bytes()),
        span_id: u64::from_be_bytes(span.span_id().to_bytes()),
    })
}
