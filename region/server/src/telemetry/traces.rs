//! A traced write on its way to other regions.
//!
//! A trace's spans are the request, its commit, the wait and the way to each peer (`ship`), and what that peer does with it
//! (`apply`).

use std::{
    any::Any,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use geodynamo_http::traces;
use geodynamo_replicator_core::{Peer, TableId, TraceContext};
use geodynamo_table::TracedWrite;
use opentelemetry::{
    KeyValue,
    trace::{Span as _, SpanKind, Tracer as _},
};
use opentelemetry_sdk::trace::Span as OpenSpan;

/// A version leaves for a peer: the span of its wait and its way begins at its commit and ends now. Gives the context that
/// goes with it.
pub(crate) fn ship(write: TracedWrite, to_region: &str) -> TraceContext {
    let Some(tracer) = traces::tracer() else {
        return write.context;
    };
    let since = UNIX_EPOCH + Duration::from_millis(write.committed_ms);
    let mut span = tracer
        .span_builder("ship")
        .with_kind(SpanKind::Producer)
        .with_start_time(since.min(SystemTime::now()))
        .with_attributes([KeyValue::new("geodynamo.peer_region", to_region.to_owned())])
        .start_with_context(tracer, &traces::remote(write.context));
    let context = traces::told(span.span_context()).unwrap_or(write.context);
    span.end();
    context
}

/// Versions of these traces are being applied: their spans last until what this gives is dropped.
pub(crate) fn apply(from: &Peer, table: TableId, traces: &[TraceContext]) -> Option<Box<dyn Any + Send>> {
    let tracer = traces::tracer()?;
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
                .start_with_context(tracer, &traces::remote(*context))
        })
        .collect();
    // A span ends when it is dropped.
    Some(Box::new(spans))
}
