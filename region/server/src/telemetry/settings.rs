//! Where traces and metrics go: what the configuration file says of it, or else OpenTelemetry's own variables.
//!
//! A file that names a collector is all that counts; without one the variables do, as
//! <https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/> and
//! <https://opentelemetry.io/docs/specs/otel/protocol/exporter/> have them, but for one thing: nothing is sent to a collector
//! that nobody has named.

use std::time::Duration;

use geodynamo_http::traces::Sampling;

use crate::config::Otel;

/// How long one export may take, unless told otherwise.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How often metrics are sent, unless told otherwise.
const INTERVAL: Duration = Duration::from_secs(60);
/// The form that is spoken.
const PROTOCOL: &str = "http/protobuf";

/// Where traces and metrics go.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct Settings {
    /// Of traces.
    pub(crate) traces: Option<Target>,
    /// Which requests are traced.
    pub(crate) sampling: Sampling,
    /// Of metrics, and how often.
    pub(crate) metrics: Option<(Target, Duration)>,
    /// What the service is called, if it is called otherwise than the program.
    pub(crate) service_name: Option<String>,
}

/// A collector's address for one kind of data.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Target {
    /// The whole address.
    pub(crate) url: String,
    /// What its requests bear besides.
    pub(crate) headers: Vec<(String, String)>,
    /// How long one may take.
    pub(crate) timeout: Duration,
}

/// A variable that makes no sense.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{variable}={value}: {reason}")]
pub struct SettingsError {
    variable: String,
    value: String,
    reason: &'static str,
}

impl Settings {
    /// What the file says, or what the variables say.
    ///
    /// # Errors
    /// If a variable that counts makes no sense.
    pub(crate) fn of(otel: &Otel, variable: impl Fn(&str) -> Option<String>) -> Result<Self, SettingsError> {
        let Some(endpoint) = &otel.endpoint else {
            return Variables(variable).settings();
        };
        let target = |path: &str| Target {
            url: format!("{}{path}", endpoint.as_str().trim_end_matches('/')),
            headers: Vec::new(),
            timeout: TIMEOUT,
        };
        let interval = otel.metrics_seconds.map(|seconds| Duration::from_secs(seconds.get()));
        Ok(Self {
            traces: Some(target("/v1/traces")),
            sampling: Sampling {
                ratio: otel.sample_percent.get() as f64 / 100.0,
                follows_caller: true,
            },
            metrics: interval.map(|interval| (target("/v1/metrics"), interval)),
            service_name: None,
        })
    }
}

struct Variables<F>(F);

impl<F: Fn(&str) -> Option<String>> Variables<F> {
    fn settings(&self) -> Result<Settings, SettingsError> {
        if self
            .get("OTEL_SDK_DISABLED")
            .is_some_and(|value| value.eq_ignore_ascii_case("true"))
        {
            return Ok(Settings::default());
        }
        let interval = self.milliseconds("OTEL_METRIC_EXPORT_INTERVAL", INTERVAL)?;
        Ok(Settings {
            traces: self.target("TRACES", "/v1/traces")?,
            sampling: self.sampling()?,
            metrics: self.target("METRICS", "/v1/metrics")?.map(|target| (target, interval)),
            service_name: self.get("OTEL_SERVICE_NAME"),
        })
    }

    /// A variable; one that is empty is not there.
    fn get(&self, name: &str) -> Option<String> {
        (self.0)(name).filter(|value| !value.is_empty())
    }

    /// The variable of one kind of data, or that of all.
    fn of_kind(&self, kind: &str, what: &str) -> Option<(String, String)> {
        let names = [
            format!("OTEL_EXPORTER_OTLP_{kind}_{what}"),
            format!("OTEL_EXPORTER_OTLP_{what}"),
        ];
        names
            .into_iter()
            .find_map(|name| self.get(&name).map(|value| (name, value)))
    }

    fn target(&self, kind: &str, path: &str) -> Result<Option<Target>, SettingsError> {
        let name = format!("OTEL_{kind}_EXPORTER");
        match self.get(&name).as_deref() {
            None | Some("otlp") => {}
            Some("none") => return Ok(None),
            Some(other) => return Err(wrong(&name, other, "only otlp and none are known")),
        }
        let Some((name, endpoint)) = self.of_kind(kind, "ENDPOINT") else {
            return Ok(None);
        };
        if !endpoint.starts_with("http://") && !endpoint.starts_with("https://") {
            return Err(wrong(
                &name,
                &endpoint,
                "not an address that begins with http:// or https://",
            ));
        }
        if let Some((name, protocol)) = self.of_kind(kind, "PROTOCOL")
            && protocol != PROTOCOL
        {
            return Err(wrong(&name, &protocol, "only http/protobuf is spoken"));
        }
        // That of one kind of data is whole; that of all is a base.
        let is_base = name == "OTEL_EXPORTER_OTLP_ENDPOINT";
        let url = match is_base {
            true => format!("{}{path}", endpoint.trim_end_matches('/')),
            false => endpoint,
        };
        let timeout = self.of_kind(kind, "TIMEOUT");
        let timeout = timeout.map(|(name, value)| milliseconds(&name, &value)).transpose()?;
        let headers = self.of_kind(kind, "HEADERS");
        Ok(Some(Target {
            url,
            headers: headers
                .map(|(name, value)| headers_of(&name, &value))
                .transpose()?
                .unwrap_or_default(),
            timeout: timeout.unwrap_or(TIMEOUT),
        }))
    }

    fn sampling(&self) -> Result<Sampling, SettingsError> {
        const NAME: &str = "OTEL_TRACES_SAMPLER";
        const ARGUMENT: &str = "OTEL_TRACES_SAMPLER_ARG";
        let Some(sampler) = self.get(NAME) else {
            return Ok(Sampling::default());
        };
        let (follows_caller, rest) = match sampler.strip_prefix("parentbased_") {
            Some(rest) => (true, rest),
            None => (false, sampler.as_str()),
        };
        let ratio = match rest {
            "always_on" => 1.0,
            "always_off" => 0.0,
            "traceidratio" => match self.get(ARGUMENT) {
                None => 1.0,
                Some(text) => match text.parse::<f64>() {
                    Ok(ratio) if (0.0..=1.0).contains(&ratio) => ratio,
                    _ => return Err(wrong(ARGUMENT, &text, "not a share from 0 to 1")),
                },
            },
            _ => return Err(wrong(NAME, &sampler, "not a sampler that is known")),
        };
        Ok(Sampling { ratio, follows_caller })
    }

    fn milliseconds(&self, name: &str, otherwise: Duration) -> Result<Duration, SettingsError> {
        self.get(name).map_or(Ok(otherwise), |value| milliseconds(name, &value))
    }
}

fn milliseconds(name: &str, value: &str) -> Result<Duration, SettingsError> {
    match value.parse() {
        Ok(ms) if (1..=3_600_000).contains(&ms) => Ok(Duration::from_millis(ms)),
        _ => Err(wrong(name, value, "not a number of milliseconds from 1 to 3600000")),
    }
}

/// `key=value` pairs between commas, the values percent-encoded.
fn headers_of(name: &str, text: &str) -> Result<Vec<(String, String)>, SettingsError> {
    let pairs = text.split(',').map(str::trim).filter(|pair| !pair.is_empty());
    let pairs = pairs.map(|pair| {
        let (key, value) = pair.split_once('=')?;
        Some((key.trim().to_lowercase(), decoded(value.trim())?))
    });
    pairs
        .collect::<Option<_>>()
        .ok_or_else(|| wrong(name, "…", "not a list of key=value"))
}

/// A text without its percent-encoding; `None` if it is not UTF-8 then, or badly encoded.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, behind)) = rest.split_first() {
        if first == b'%' {
            let digits = std::str::from_utf8(behind.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &behind[2..];
        } else {
            bytes.push(first);
            rest = behind;
        }
    }
    String::from_utf8(bytes).ok()
}

fn wrong(variable: &str, value: &str, reason: &'static str) -> SettingsError {
    SettingsError {
        variable: variable.to_owned(),
        value: value.to_owned(),
        reason,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(variables: &[(&str, &str)]) -> Result<Settings, SettingsError> {
        let find = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        Settings::of(&Otel::default(), find)
    }

    #[test]
    fn nothing_is_sent_to_nobody() {
        assert_eq!(of(&[]), Ok(Settings::default()));
        let off = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://a:4318"),
            ("OTEL_SDK_DISABLED", "TRUE"),
        ];
        assert_eq!(of(&off), Ok(Settings::default()));
        assert_eq!(of(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "")]), Ok(Settings::default()));
    }

    #[test]
    fn one_endpoint_is_for_all() {
        let settings = of(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://a:4318/"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "Authorization=Basic%20QQ==, x = 1"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "1500"),
            ("OTEL_METRIC_EXPORT_INTERVAL", "250"),
            ("OTEL_SERVICE_NAME", "tables"),
        ]);
        let settings = settings.unwrap();
        let target = |path: &str| Target {
            url: format!("http://a:4318{path}"),
            headers: vec![("authorization".into(), "Basic QQ==".into()), ("x".into(), "1".into())],
            timeout: Duration::from_millis(1500),
        };
        assert_eq!(settings.traces, Some(target("/v1/traces")));
        assert_eq!(
            settings.metrics,
            Some((target("/v1/metrics"), Duration::from_millis(250)))
        );
        assert_eq!(settings.service_name.as_deref(), Some("tables"));
        assert_eq!(settings.sampling, Sampling::default());
    }

    #[test]
    fn each_kind_has_its_own() {
        let settings = of(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://a"),
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://b/here"),
            ("OTEL_METRICS_EXPORTER", "none"),
            ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"),
            ("OTEL_TRACES_SAMPLER_ARG", "0.01"),
        ]);
        let settings = settings.unwrap();
        assert_eq!(settings.traces.unwrap().url, "https://b/here");
        assert_eq!(settings.metrics, None);
        assert_eq!(
            (settings.sampling.ratio, settings.sampling.follows_caller),
            (0.01, true)
        );
        let ratio = |sampler: &str| of(&[("OTEL_TRACES_SAMPLER", sampler)]).unwrap().sampling;
        assert_eq!(
            (ratio("always_off").ratio, ratio("always_off").follows_caller),
            (0.0, false)
        );
        assert_eq!(
            (ratio("parentbased_always_off").ratio, ratio("traceidratio").ratio),
            (0.0, 1.0)
        );
    }

    #[test]
    fn what_makes_no_sense_is_told() {
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://a");
        for (name, value) in [
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "a:4317"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
            ("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "http/json"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "soon"),
            ("OTEL_METRIC_EXPORT_INTERVAL", "0"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "nothing"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "a=%f"),
            ("OTEL_TRACES_EXPORTER", "zipkin"),
            ("OTEL_TRACES_SAMPLER", "xray"),
        ] {
            let error = of(&[endpoint, (name, value)]).unwrap_err();
            assert!(error.to_string().starts_with(name), "{error}");
        }
        let half = [
            ("OTEL_TRACES_SAMPLER", "traceidratio"),
            ("OTEL_TRACES_SAMPLER_ARG", "1.5"),
        ];
        assert!(of(&half).is_err());
    }

    #[test]
    fn a_file_that_names_a_collector_is_all_that_counts() {
        let config = "region = \"eu-west-1\"\nnode = \"a\"\ndata_dir = \"none\"\n\
                      otel = { endpoint = \"http://c:1/\", sample_percent = 5, metrics_seconds = 7 }\n";
        let otel = crate::config::Config::parse("x", config).unwrap().otel;
        let settings = Settings::of(&otel, |_| Some("nonsense".into())).unwrap();
        assert_eq!(settings.traces.unwrap().url, "http://c:1/v1/traces");
        let (target, interval) = settings.metrics.unwrap();
        assert_eq!((target.url.as_str(), interval.as_secs()), ("http://c:1/v1/metrics", 7));
        assert_eq!(settings.sampling.ratio, 0.05);
    }
}
