//! The topology file as it is written: its form, before anything is checked.

use serde::Deserialize;
use toml::Spanned;

/// The whole file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct File {
    pub(crate) cluster: Spanned<String>,
    #[serde(default)]
    pub(crate) region: Vec<RegionEntry>,
    #[serde(default)]
    pub(crate) link: Vec<LinkEntry>,
}

/// A `[[region]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RegionEntry {
    pub(crate) name: Spanned<String>,
    #[serde(default)]
    pub(crate) node: Vec<NodeEntry>,
}

/// A `[[region.node]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NodeEntry {
    pub(crate) name: Spanned<String>,
    pub(crate) zone: Option<Spanned<String>>,
    pub(crate) replication: Spanned<String>,
    pub(crate) data: Spanned<String>,
    pub(crate) admin: Spanned<String>,
}

/// A `[[link]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LinkEntry {
    pub(crate) from: Spanned<String>,
    pub(crate) to: Spanned<String>,
    pub(crate) via: Option<Spanned<String>>,
}
