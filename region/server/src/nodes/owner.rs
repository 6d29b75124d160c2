//! Who writes a region's log, as `/owner`, `/readyz` and the metrics tell it.

use std::sync::Arc;

use geodynamo_cassandra::{CassandraEngine, Lease, Standing};
use geodynamo_engine::RegionEngine;
use geodynamo_table::Tables;
use geodynamo_topology::Topology;
use serde::Serialize;
use serde_json::{Value, json};

use crate::config::Config;

/// Who writes, as a node knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Owner {
    /// The node that is asked.
    pub(crate) node: String,
    /// Its zone, if the topology says.
    pub(crate) zone: Option<String>,
    /// Whether it is the owner itself.
    pub(crate) is_owner: bool,
    /// The owner's name; nothing if there is none now.
    pub(crate) owner: Option<String>,
    /// The owner's zone, likewise.
    pub(crate) owner_zone: Option<String>,
    /// Where nodes pass requests on to.
    pub(crate) forward: Option<String>,
    /// Greater with every owner.
    pub(crate) epoch: i64,
    /// The last entry of the log, if the owner itself tells.
    pub(crate) position: Option<i64>,
    /// The last entry that rows in Cassandra have, if the owner itself tells.
    pub(crate) followed: Option<i64>,
    /// Whether Cassandra answers this node.
    pub(crate) is_reachable: bool,
    /// How old what a node reads that stands by may be at most, in milliseconds; nothing while it answers no reads.
    pub(crate) read_age_ms: Option<u64>,
}

impl Owner {
    /// As a node that stands by sees it.
    pub(crate) fn seen_by(node: &str, topology: &Topology, standing: &Standing) -> Self {
        let Standing { lease, is_reachable } = standing;
        let Lease {
            epoch,
            node: owner,
            address,
            ..
        } = lease.clone();
        Self {
            node: node.to_owned(),
            zone: zone_of(topology, node),
            owner_zone: owner.as_deref().and_then(|owner| zone_of(topology, owner)),
            owner,
            forward: address,
            epoch,
            is_reachable: *is_reachable,
            ..Self::default()
        }
    }
}

/// The zone of a node, if the topology says.
pub(crate) fn zone_of(topology: &Topology, node: &str) -> Option<String> {
    let zone = topology.node(node).and_then(|(_, node)| node.zone.as_ref());
    zone.map(ToString::to_string)
}

/// As the owner itself sees it, whenever it is asked; nothing on an engine that needs none.
pub(crate) fn owner_of(
    tables: &Arc<Tables<RegionEngine>>,
    config: &Config,
    topology: Option<&Topology>,
) -> Option<Box<dyn Fn() -> Value + Send + Sync>> {
    let tables = Arc::clone(tables);
    tables.engine().cassandra()?;
    let node = config.node.to_string();
    let zone = topology.and_then(|topology| zone_of(topology, &node));
    Some(Box::new(move || {
        let metrics = tables.engine().cassandra().map(CassandraEngine::metrics);
        let metrics = metrics.unwrap_or_default();
        let owner = Owner {
            node: node.clone(),
            zone: zone.clone(),
            owner_zone: zone.clone(),
            is_owner: true,
            owner: Some(node.clone()),
            forward: None,
            epoch: metrics.epoch,
            position: Some(metrics.committed),
            followed: Some(metrics.followed),
            is_reachable: metrics.trouble.is_none(),
            read_age_ms: None,
        };
        json!(owner)
    }))
}
