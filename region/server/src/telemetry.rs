//! Logs on standard error; traces and metrics over OTLP where the configuration or OpenTelemetry's variables ask for them.

mod metrics;
mod settings;
pub(crate) mod traces;

use std::{env, io::IsTerminal, time::Duration};

use geodynamo_http::{
    Shutdown,
    traces::{Sampled, begin},
};
use geodynamo_metrics::MetricsRegistry;
use geodynamo_outgoing::{Client, ClientError, Endpoint, EndpointError};
use opentelemetry::{KeyValue, trace::TracerProvider};
use opentelemetry_otlp::{ExporterBuildError, Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::{
    Resource,
    trace::{Sampler, SdkTracerProvider},
};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::{
    EnvFilter, Layer, layer::SubscriberExt, registry, util::SubscriberInitExt, util::TryInitError,
};

pub use self::settings::SettingsError;
use self::{
    metrics::MetricsExport,
    settings::{Settings, Target},
};
use crate::config::Config;

/// How long the last export may take before its spans are dropped.
const LAST_EXPORT: Duration = Duration::from_secs(5);

/// Why there is no telemetry.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// A variable makes no sense.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The exporter cannot be made.
    #[error("traces cannot be exported: {0}")]
    Exporter(#[from] ExporterBuildError),
    /// Metrics have no address to go to.
    #[error("metrics cannot be exported: {0}")]
    Endpoint(#[from] EndpointError),
    /// There is nothing to send metrics with.
    #[error("metrics cannot be exported: {0}")]
    Client(#[from] ClientError),
    /// Somebody in this process has set up logs before.
    #[error("logs are set up already: {0}")]
    Twice(#[from] TryInitError),
}

/// Keeps what must be flushed at the end.
#[derive(Debug)]
#[must_use = "traces that are not flushed are lost"]
pub struct Telemetry {
    provider: Option<SdkTracerProvider>,
    metrics: Option<MetricsExport>,
}

impl Telemetry {
    /// Sets up the process's logs and traces, once. Logs are filtered by `RUST_LOG` (by default `info`).
    ///
    /// Traces are sampled when a request begins, collected in a bounded queue and sent by a thread of their own, so a
    /// collector that is slow or gone costs spans and nothing else.
    ///
    /// # Errors
    /// If a setting makes no sense, or logs are set up already.
    pub fn start(config: &Config) -> Result<Self, TelemetryError> {
        let settings = Settings::of(&config.otel, |name| env::var(name).ok())?;
        let resource = resource(config, &settings);
        let filter = EnvFilter::builder()
            .with_default_directive(LevelFilter::INFO.into())
            .from_env_lossy();
        let logs = tracing_subscriber::fmt::layer()
            .with_writer(std::io::stderr)
            .with_ansi(std::io::stderr().is_terminal())
            .with_filter(filter);
        let provider = settings
            .traces
            .as_ref()
            .map(|target| provider(target, &resource))
            .transpose()?;
        let layer = provider.as_ref().map(|provider| {
            tracing_opentelemetry::layer()
                .with_tracer(provider.tracer("geodynamo"))
                .with_filter(Sampled(settings.sampling))
        });
        let metrics = settings
            .metrics
            .map(|(target, interval)| export(target, interval, &resource))
            .transpose()?;
        registry().with(logs).with(layer).try_init()?;
        if let Some(provider) = &provider {
            begin(provider.tracer("geodynamo"), settings.sampling);
        }
        Ok(Self { provider, metrics })
    }

    /// Has metrics sent until the signal, if that was asked for. Within a runtime; at the end the task is to be waited for.
    pub(crate) fn export_metrics(
        &mut self,
        registry: MetricsRegistry,
        shutdown: Shutdown,
    ) -> Option<tokio::task::JoinHandle<()>> {
        let export = self.metrics.take()?;
        Some(tokio::spawn(export.run(registry, shutdown)))
    }

    /// Sends what is left to send. Blocks, for five seconds at most.
    pub fn stop(self) {
        if let Some(provider) = self.provider
            && let Err(error) = provider.shutdown_with_timeout(LAST_EXPORT)
        {
            tracing::warn!(%error, "the last traces were not sent");
        }
    }
}

/// What all that is exported is of.
fn resource(config: &Config, settings: &Settings) -> Resource {
    // It has what OTEL_RESOURCE_ATTRIBUTES says, too.
    Resource::builder()
        .with_service_name(settings.service_name.clone().unwrap_or_else(|| "geodynamo".into()))
        .with_attributes([
            KeyValue::new("cloud.region", config.region.to_string()),
            KeyValue::new("service.instance.id", config.node.to_string()),
        ])
        .build()
}

fn provider(target: &Target, resource: &Resource) -> Result<SdkTracerProvider, ExporterBuildError> {
    let exporter = SpanExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(&target.url)
        .with_headers(target.headers.iter().cloned().collect())
        .with_timeout(target.timeout)
        .build()?;
    // Who is to be traced is decided before: see `traces::Sampled`.
    Ok(SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_sampler(Sampler::AlwaysOn)
        .with_resource(resource.clone())
        .build())
}

fn export(target: Target, interval: Duration, resource: &Resource) -> Result<MetricsExport, TelemetryError> {
    Ok(MetricsExport {
        endpoint: Endpoint::new(&target.url, "otlp", "", None)?,
        client: Client::new(None)?,
        resource: resource.clone(),
        target,
        interval,
    })
}
