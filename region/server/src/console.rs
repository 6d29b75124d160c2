//! What the console is told of this process.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, atomic::Ordering::Relaxed},
};

use geodynamo_access::Mode;
use geodynamo_console::{Facts, LinkReading, Links, Place};
use geodynamo_replicator::Metrics;
use geodynamo_topology::Topology;

use crate::{build, collectors::ReplicationLag, config::Config};

/// This region's links, as they count themselves.
pub(crate) struct RegionLinks {
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) lag: Arc<ReplicationLag>,
}

impl Links for RegionLinks {
    fn read(&self) -> BTreeMap<String, LinkReading> {
        let links = self.metrics.outgoing().into_iter();
        links
            .map(|(peer, link)| {
                let reading = LinkReading {
                    up: link.connected.load(Relaxed),
                    lag_s: self.lag.get(&peer),
                    rtt_s: link.rtt_us.load(Relaxed) as f64 / 1e6,
                    deltas: link.deltas_sent.load(Relaxed),
                    bytes: link.bytes_sent.load(Relaxed),
                };
                (peer, reading)
            })
            .collect()
    }
}

/// All but where the data port is.
pub(crate) fn facts(config: &Config, mode: Mode, topology: Option<&Topology>) -> Facts {
    let places = topology.map(|topology| {
        let regions = topology.regions().iter();
        let places = regions.filter_map(|region| {
            // Of another region of several nodes it is not known here which one writes.
            let own = region.nodes.iter().find(|node| node.name == config.node);
            let node = own.or(region.nodes.first())?;
            Some(Place {
                name: region.name.to_string(),
                data: Some(node.data.to_string()),
                admin: node.admin.to_string(),
            })
        });
        places.collect()
    });
    let alone = || {
        vec![Place {
            name: config.region.to_string(),
            data: None,
            admin: config.listen.admin.to_string(),
        }]
    };
    let endpoints = config.console.endpoints.iter();
    let origin = |address: &str| address.trim_end_matches('/').to_owned();
    Facts {
        cluster: topology.map(|topology| topology.cluster().as_str().to_owned()),
        region: config.region.to_string(),
        regions: places.unwrap_or_else(alone),
        data: config.listen.data,
        tls: config.tls.is_some(),
        endpoints: endpoints
            .map(|(region, address)| (region.to_string(), origin(address.as_str())))
            .collect(),
        wan: config.console.wan.as_ref().map(|address| origin(address.as_str())),
        auth: match mode {
            Mode::Any => "any",
            Mode::Warn => "warn",
            Mode::Enforce => "enforce",
        },
        backups: config.archive.is_some(),
        table_keys: config.table_keys.service(),
        kinesis: config.destinations.kinesis.is_some(),
        functions: config.functions.keys().cloned().collect(),
        version: build::version().to_owned(),
    }
}

/// The same with where the data port is bound. Alone and on one address, a region is reached there, and nowhere else.
pub(crate) fn located(mut facts: Facts, data: SocketAddr) -> Facts {
    facts.data = data;
    let is_alone = facts.cluster.is_none();
    for place in facts.regions.iter_mut().filter(|_| is_alone) {
        place.data = (!data.ip().is_unspecified()).then(|| data.to_string());
    }
    facts
}
