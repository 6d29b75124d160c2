//! `[otel]`: where traces and metrics go.

use serde::Deserialize;

use super::{Endpoint, Within};

/// Where traces and metrics go. Without an endpoint here, OpenTelemetry's own variables say it.
#[derive(Clone, PartialEq, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Otel {
    /// A collector's base address for OTLP over HTTP, such as `http://127.0.0.1:4318`.
    pub endpoint: Option<Endpoint>,
    /// Of how many requests there is a trace, in percent.
    pub sample_percent: Within<0, 100>,
    /// How often metrics are sent there, in seconds; not at all if it is not told.
    pub metrics_seconds: Option<Within<1, 3600>>,
}
