//! `[session]`: how long requests wait that bring a session from another region.

use std::time::Duration;

use serde::Deserialize;

use super::Within;
use crate::session::Waits;

/// How long requests wait for this region to catch up with what their session has seen, in milliseconds.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SessionEntry {
    /// If they do not say.
    pub wait_ms: Within<0, 60_000>,
    /// At most, whatever they say.
    pub wait_max_ms: Within<0, 60_000>,
}

impl Default for SessionEntry {
    fn default() -> Self {
        Self {
            wait_ms: Within::new(1_000),
            wait_max_ms: Within::new(10_000),
        }
    }
}

impl SessionEntry {
    pub(crate) fn waits(&self) -> Waits {
        Waits {
            usual: Duration::from_millis(self.wait_ms.get()),
            most: Duration::from_millis(self.wait_max_ms.get()),
        }
    }
}
