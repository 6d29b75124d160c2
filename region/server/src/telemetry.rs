//! Logs on standard error, and traces over OTLP where the configuration asks for them.

use std::{io::IsTerminal, time::Duration};

use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{ExporterBuildError, Protocol, SpanExporter, WithExportConfig};
use opentelemetry_sdk::{
    Resource,
    trace::{Sampler, SdkTracerProvider},
};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::{
    EnvFilter, Layer, filter::Targets, layer::SubscriberExt, registry, util::SubscriberInitExt, util::TryInitError,
};

use crate::config::Config;

/// How long one export may take before its spans are dropped.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(5);

/// Why there is no telemetry.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The exporter cannot be made.
    #[error("traces cannot be exported: {0}")]
    Exporter(#[from] ExporterBuildError),
    /// Somebody in this process has set up logs before.
    #[error("logs are set up already: {0}")]
    Twice(#[from] TryInitError),
}

/// Keeps what must be flushed at the end.
#[derive(Debug)]
#[must_use = "traces that are not flushed are lost"]
pub struct Telemetry {
    provider: Option<SdkTracerProvider>,
}

impl Telemetry {
    /// Sets up the process's logs and traces, once. Logs are filtered by `RUST_LOG` (by default `info`).
    ///
    /// Traces are sampled when a request begins, collected in a bounded queue and sent by a thread of their own, so a
    /// collector that is slow or gone costs spans and nothing else.
    pub fn start(config: &Config) -> Result<Self, TelemetryError> {
        let filter = EnvFilter::builder()
            .with_default_directive(LevelFilter::INFO.into())
            .from_env_lossy();
        let logs = tracing_subscriber::fmt::layer()
            .with_writer(std::io::stderr)
            .with_ansi(std::io::stderr().is_terminal())
            .with_filter(filter);
        let provider = match &config.otel.endpoint {
            None => None,
            Some(endpoint) => Some(provider(config, endpoint.as_str())?),
        };
        let traces = provider.as_ref().map(|provider| {
            tracing_opentelemetry::layer()
                .with_tracer(provider.tracer("geodynamo"))
                .with_filter(Targets::new().with_target("geodynamo", LevelFilter::DEBUG))
        });
        registry().with(logs).with(traces).try_init()?;
        Ok(Self { provider })
    }

    /// Sends what is left to send. Blocks, for five seconds at most.
    pub fn stop(self) {
        if let Some(provider) = self.provider
            && let Err(error) = provider.shutdown_with_timeout(EXPORT_TIMEOUT)
        {
            tracing::warn!(%error, "the last traces were not sent");
        }
    }
}

fn provider(config: &Config, endpoint: &str) -> Result<SdkTracerProvider, ExporterBuildError> {
    let exporter = SpanExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(format!("{}/v1/traces", endpoint.trim_end_matches('/')))
        .with_timeout(EXPORT_TIMEOUT)
        .build()?;
    let resource = Resource::builder()
        .with_service_name("geodynamo")
        .with_attributes([
            opentelemetry::KeyValue::new("cloud.region", config.region.to_string()),
            opentelemetry::KeyValue::new("service.instance.id", config.node.to_string()),
        ])
        .build();
    let ratio = config.otel.sample_percent.get() as f64 / 100.0;
    Ok(SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(ratio))))
        .with_resource(resource)
        .build())
}
