//! `[console]`: the pages that the admin port serves.

use std::collections::BTreeMap;

use geodynamo_topology::RegionName;
use serde::Deserialize;

use super::{Address, Endpoint};

/// The pages that the admin port serves.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Console {
    /// Whether they are served.
    pub enabled: bool,
    /// Where browsers reach regions' data ports, if not at the topology's addresses.
    pub endpoints: BTreeMap<RegionName, Address>,
    /// The HTTP interface of the WAN emulator that the links go through: whoever reaches the admin port may then cut them.
    pub wan: Option<Endpoint>,
}

impl Default for Console {
    fn default() -> Self {
        Self {
            enabled: true,
            endpoints: BTreeMap::new(),
            wan: None,
        }
    }
}
