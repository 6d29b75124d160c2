//! What `geodynamo doctor` is told of a configuration.

use std::{fs, path::Path};

use geodynamo_command::doctor::{CertificateFiles, Peer, Port, Subject, run};
use geodynamo_topology::Topology;

use crate::{cli::Doctor, config::Config, files, run::Done};

/// The copies that Cassandra should keep.
const REPLICAS_MIN: u64 = 3;
/// What the process takes beside what is configured, in MiB.
const OWN_MB: u64 = 100;

/// Examines the machine and, if there is one, the configuration.
pub(crate) fn doctor(arguments: &Doctor) -> Done {
    let subject = match &arguments.config {
        Some(path) => subject(&Config::load(path)?),
        None => Subject {
            data_dir: arguments.data.clone(),
            files: files::wanted(0),
            ..Subject::default()
        },
    };
    run(&subject, arguments.strict, arguments.output)
}

fn subject(config: &Config) -> Subject {
    let topology = config.topology.as_deref().map(|path| topology(config, path));
    let known = topology.as_ref().and_then(|topology| topology.as_ref().ok());
    let peers = known.map(|topology| {
        let regions = topology.peers(&config.region);
        let nodes = regions.flat_map(|region| region.nodes.iter().map(move |node| (region, node)));
        nodes
            .map(|(region, node)| Peer {
                region: region.name.to_string(),
                admin: node.admin.to_string(),
                replication: node.replication.to_string(),
            })
            .collect()
    });
    let (listen, memory) = (&config.listen, &config.memory);
    let port = |name, address, is_udp| Port { name, address, is_udp };
    let mut ports = vec![port("data", listen.data, false), port("admin", listen.admin, false)];
    if config.topology.is_some() {
        ports.push(port("replication", listen.replication, true));
    }
    if let Some(entry) = config.storage.on_cassandra() {
        ports.push(port("forward", entry.forward, false));
    }
    let tls = config.tls.as_ref().map(|files| CertificateFiles {
        name: "clients",
        cert: files.cert.clone(),
        key: files.key.clone(),
        ca: None,
    });
    let cluster = config.cluster_tls.as_ref().map(|files| CertificateFiles {
        name: "nodes",
        cert: files.cert.clone(),
        key: files.key.clone(),
        ca: Some(files.ca.clone()),
    });
    let memory_mb = [
        memory.block_cache_mb.get(),
        memory.row_cache_mb.get(),
        memory.write_buffer_mb.get(),
        memory.request_mb.get(),
        memory.replication_mb.get(),
        OWN_MB,
    ];
    Subject {
        region: Some(config.region.to_string()),
        node: Some(config.node.to_string()),
        data_dir: config.data_dir.clone(),
        ports,
        admin: (listen.admin.port() != 0).then_some(listen.admin),
        peers: peers.unwrap_or_default(),
        topology: topology.map(|topology| topology.map(|topology| summary(&topology))),
        certificates: tls.into_iter().chain(cluster).collect(),
        files: files::wanted(config.limits.connections.get()),
        memory_bytes: memory_mb.iter().sum::<u64>() << 20,
        drift_max_ms: config.replication.drift_max_ms.get(),
        risks: risks(config),
    }
}

fn topology(config: &Config, path: &Path) -> Result<Topology, String> {
    let name = path.display().to_string();
    let text = fs::read_to_string(path).map_err(|error| format!("{name}: {error}"))?;
    let topology = Topology::parse(&name, &text).map_err(|error| error.to_string())?;
    let region = topology
        .require_region(&config.region)
        .map_err(|error| error.to_string())?;
    if !region.nodes.iter().any(|node| node.name == config.node) {
        return Err(format!(
            "{name}: region '{}' has no node '{}'",
            config.region, config.node
        ));
    }
    Ok(topology)
}

fn summary(topology: &Topology) -> String {
    let names: Vec<_> = topology.regions().iter().map(|region| region.name.as_str()).collect();
    format!("cluster {}: {}", topology.cluster().as_str(), names.join(", "))
}

/// What is set so that it costs safety.
fn risks(config: &Config) -> Vec<(String, String)> {
    let mut risks = Vec::new();
    let mut risk = |found: &str, advice: &str| risks.push((found.to_owned(), advice.to_owned()));
    if !config.storage.sync {
        risk(
            "[storage] sync is off",
            "switch it on: a crash loses acknowledged writes otherwise",
        );
    }
    if config.archive.is_none() {
        risk(
            "there is no [archive]",
            "name a folder on another disk, or a bucket: without it there are no backups and no point-in-time recovery",
        );
    }
    if config.tls.is_none() && !config.listen.data.ip().is_loopback() {
        risk(
            "clients speak plain HTTP to an address that others reach",
            "set [tls], or let a proxy end TLS: items and session tokens can be read on the way",
        );
    }
    if config.encryption.enabled == Some(false) {
        risk(
            "[encryption] is off",
            "switch it on, then `geodynamo keys encrypt`: who has the disk has the items otherwise",
        );
    }
    if let Some(entry) = config.storage.on_cassandra() {
        if entry.replication_factor.get() < REPLICAS_MIN {
            risk(
                "[storage.cassandra] replication_factor is less than 3",
                "keep three copies, in three zones: with fewer, losing one machine stops the region or loses its data",
            );
        }
        if entry.ca.is_none() {
            risk(
                "connections to Cassandra are not encrypted",
                "set [storage.cassandra] ca: items can be read on the way otherwise",
            );
        }
    } else if config.storage.reserve_mb.get() < config.memory.write_buffer_mb.get() {
        risk(
            "[storage] reserve_mb is less than [memory] write_buffer_mb",
            "raise it: on a full disk, what is in memory could not be written out",
        );
    }
    risks
}
