//! `[admin]`: who may ask the admin port. Where it listens is `listen.admin`.

use serde::Deserialize;

/// Who may ask the admin port.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdminEntry {
    /// Whether requests from this machine itself need no signature. A reverse proxy on this machine passes others' requests on
    /// as its own: `false` beside one.
    pub trust_local: bool,
    /// Whether `/metrics` needs no signature, from wherever it is asked for.
    pub open_metrics: bool,
}

impl Default for AdminEntry {
    fn default() -> Self {
        Self {
            trust_local: true,
            open_metrics: true,
        }
    }
}
