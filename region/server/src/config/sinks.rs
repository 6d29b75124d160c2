//! `[[sinks]]` and `[sink_options]`: copies of tables that other systems query.

use std::{collections::BTreeSet, time::Duration};

use geodynamo_sinks::{HELD_FOR, Options, SinkSpec};
use serde::Deserialize;

use super::Within;

/// How sinks run.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SinkOptions {
    /// For how long a table's change logs are held for a sink that does not take them, in seconds. One that is away for
    /// longer begins anew.
    pub held_seconds: Within<1, 2_592_000>,
    /// Whether positions are stored in a transaction of their own, before the changes. That loses changes in a crash: for
    /// negative controls only.
    pub position_first: bool,
}

impl Default for SinkOptions {
    fn default() -> Self {
        Self {
            held_seconds: Within::new(HELD_FOR.as_secs()),
            position_first: false,
        }
    }
}

impl SinkOptions {
    /// As sinks take them.
    pub(crate) fn options(&self) -> Options {
        Options {
            held_for: Duration::from_secs(self.held_seconds.get()),
            position_first: self.position_first,
        }
    }
}

/// What does not go together.
pub(super) fn contradiction(sinks: &[SinkSpec]) -> Option<String> {
    let mut names = BTreeSet::new();
    let twice = |sink: &SinkSpec| format!("two sinks are called '{}'", sink.name);
    let fault = |sink: &SinkSpec| sink.fault();
    sinks
        .iter()
        .find_map(|sink| fault(sink).or_else(|| (!names.insert(sink.name.as_str())).then(|| twice(sink))))
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    #[test]
    fn sinks() {
        let config = |more: &str| {
            let text = format!("region = \"us-east-1\"\nnode = \"n\"\ndata_dir = \"d\"\n{more}");
            Config::parse("test", &text).map_err(|error| error.to_string())
        };
        let sink = "[[sinks]]\nname = \"w\"\ntable = \"orders\"\n[sinks.postgres]\naddress = \"postgres://u@h/d\"\n";
        let read = config(&format!(
            "{sink}password_file = \"f\"\n[sink_options]\nheld_seconds = 2\n"
        ))
        .unwrap();
        assert_eq!((read.sinks.len(), read.sink_options.held_seconds.get()), (1, 2));
        for (text, reason) in [
            (format!("{sink}{sink}"), "two sinks are called 'w'"),
            (sink.replace("u@h", "u:hush@h"), "password_file"),
            (sink.replace("postgres", "oracle"), "unknown field"),
            (
                "[[sinks]]\nname = \"w\"\ntable = \"orders\"\n".into(),
                "must have one target",
            ),
        ] {
            let error = config(&text).unwrap_err();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }
}
