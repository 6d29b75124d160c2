//! Endpoints on loopback, with hosts in memory.

#![allow(clippy::unwrap_used, reason = "a test may")]

use std::{net::SocketAddr, sync::Arc, sync::atomic::Ordering::Relaxed, time::Duration};

use geodynamo_replicator::{AskError, CALL_BYTES_MAX, ClusterCa, Config, Host, PeerConfig, Pem, Replicator};
use geodynamo_replicator_core::TableId;
use memory::{Memory, wait_for};

mod memory;

fn config(ca: &ClusterCa, region: &str, listen: SocketAddr, peers: &[(&str, SocketAddr)]) -> Config {
    let peers = peers
        .iter()
        .map(|(region, address)| PeerConfig {
            region: (*region).into(),
            addresses: vec![address.to_string()],
        })
        .collect();
    let node = ca.issue(region).unwrap();
    Config {
        listen,
        ca_certificate: ca.pem().certificate.clone(),
        node,
        peers,
        credit_bytes: 1 << 20,
    }
}

fn any_port() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

/// Ports that were free a moment ago: peers must know each other's before they start.
fn free_ports<const N: usize>() -> [SocketAddr; N] {
    let sockets = [(); N].map(|()| std::net::UdpSocket::bind(any_port()).unwrap());
    sockets.map(|socket| socket.local_addr().unwrap())
}

fn start(config: &Config, host: &Arc<Memory>) -> Replicator {
    Replicator::start(config, Arc::clone(host), None).unwrap()
}

/// How often a node has had a link to c.
fn connections_to_c(node: &Replicator) -> u64 {
    let metrics = node.metrics();
    let outgoing = metrics.outgoing();
    outgoing.get("c").map_or(0, |link| link.connections.load(Relaxed))
}

#[tokio::test(flavor = "multi_thread")]
async fn three_nodes_converge_and_resume() {
    let ca = ClusterCa::create("test").unwrap();
    let regions = ["a", "b", "c"];
    let ports = free_ports::<3>();
    let configs: Vec<Config> = (0..3)
        .map(|own| {
            let peers: Vec<_> = (0..3)
                .filter(|&at| at != own)
                .map(|at| (regions[at], ports[at]))
                .collect();
            config(&ca, regions[own], ports[own], &peers)
        })
        .collect();
    let hosts: Vec<Arc<Memory>> = (0..3).map(|at| Memory::new(regions[at], at as u64 + 1)).collect();
    let mut nodes: Vec<Option<Replicator>> = (0..3).map(|at| Some(start(&configs[at], &hosts[at]))).collect();
    for i in 0..300 {
        hosts[i % 3].put(&format!("key{:03}", i % 100), &format!("value {i} {}", "x".repeat(300)));
    }
    let is_equal = || hosts[0].len() == 100 && hosts.iter().all(|host| host.store() == hosts[0].store());
    wait_for("convergence", is_equal).await;
    // What one wrote may have come by way of the other, which wrote the same keys; the link itself may be slower.
    let links_to_c = || nodes[0].as_ref().map_or(0, connections_to_c);
    wait_for("the link from a to c", || links_to_c() >= 1).await;

    // A question beside the link.
    let asker = nodes[0].as_ref().unwrap().asker();
    let told = asker.ends("b", TableId(7)).await.unwrap();
    assert_eq!(told, Some(hosts[1].end().0.to_be_bytes().to_vec()));
    assert_eq!(asker.ends("x", TableId(7)).await, Err(AskError::NoLink("x".into())));
    // Services of the house, with as much as they may send.
    let much: Vec<u8> = (0..CALL_BYTES_MAX - 1).map(|at| (at * at) as u8).collect();
    let echo = asker.call("b", "echo", &much).await.unwrap();
    assert_eq!((&echo[..1], echo.len()), (&b"a"[..], CALL_BYTES_MAX));
    let refused = AskError::Failed("b".into(), "no service other".into());
    assert_eq!(asker.call("b", "other", b"").await, Err(refused));
    assert!(asker.call("b", "echo", &[0; CALL_BYTES_MAX + 1]).await.is_err());

    // One goes down, all write, it comes back with what it had: links resume.
    nodes[2].take().unwrap().shutdown().await;
    for (at, host) in hosts.iter().enumerate() {
        host.put(&format!("meanwhile{at}"), "value");
        host.put("same", &format!("from {at}"));
    }
    wait_for("the two that are up", || hosts[0].store() == hosts[1].store()).await;
    assert_ne!(hosts[0].store(), hosts[2].store());
    nodes[2] = Some(start(&configs[2], &hosts[2]));
    wait_for("convergence after the return", || {
        hosts.iter().all(|host| host.store() == hosts[0].store())
    })
    .await;
    assert_eq!(hosts[0].len(), 104);
    wait_for("acknowledgements", || hosts[0].acked_by("c") == hosts[0].end()).await;

    assert!(nodes[0].as_ref().map_or(0, connections_to_c) >= 2);
    let metrics = nodes[0].as_ref().unwrap().metrics();
    assert!(metrics.outgoing()["b"].deltas_sent.load(Relaxed) > 0);
    for node in nodes.into_iter().flatten() {
        tokio::time::timeout(Duration::from_secs(10), node.shutdown())
            .await
            .expect("shutdown ends");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_get_nothing() {
    let (ca, other_ca) = (ClusterCa::create("test").unwrap(), ClusterCa::create("test").unwrap());
    let victim = Memory::new("a", 1);
    let node = start(&config(&ca, "a", any_port(), &[]), &victim);

    // A certificate of another authority.
    let stranger = Memory::new("b", 2);
    stranger.put("evil", "value");
    let mut strange = config(&other_ca, "b", any_port(), &[("a", node.address())]);
    let refused = start(&strange, &stranger);
    // One that trusts this authority, but has a certificate of another.
    strange.ca_certificate.clone_from(&ca.pem().certificate);
    let half_refused = start(&strange, &stranger);
    // A certificate of this cluster, but of another region than it claims.
    let liar = Memory::new("c", 3);
    liar.put("lie", "value");
    let lying = Config {
        node: ca.issue("d").unwrap(),
        ..config(&ca, "c", any_port(), &[("a", node.address())])
    };
    let lying = start(&lying, &liar);
    // An honest one, to know when the others have had their chance.
    let honest = Memory::new("e", 4);
    honest.put("truth", "value");
    let honest_node = start(&config(&ca, "e", any_port(), &[("a", node.address())]), &honest);

    wait_for("the honest peer", || victim.len() == 1).await;
    honest.put("later", "value");
    wait_for("the honest peer again", || victim.len() == 2).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(victim.heard_of().into_iter().collect::<Vec<_>>(), ["e"]);
    assert_eq!(node.metrics().incoming().into_keys().collect::<Vec<_>>(), ["e"]);
    for node in [node, refused, half_refused, lying, honest_node] {
        node.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_runs_beside_the_live_tail() {
    let ca = ClusterCa::create("test").unwrap();
    let [a, b] = free_ports::<2>();
    let (source, joiner) = (Memory::new("a", 1), Memory::joining("b", 2, "a"));
    for i in 0..200 {
        source.put(&format!("old{i:03}"), "value");
    }
    // The copy breaks off once, in the middle.
    source.fail_after_pages(7);
    let nodes = [
        start(&config(&ca, "a", a, &[("b", b)]), &source),
        start(&config(&ca, "b", b, &[("a", a)]), &joiner),
    ];
    for i in 0..100 {
        source.put(&format!("new{i:03}"), "value");
        source.put(&format!("old{i:03}"), "changed");
        tokio::task::yield_now().await;
    }
    wait_for("the copy", || joiner.copy().0).await;
    wait_for("convergence", || joiner.store() == source.store()).await;
    let (_, starts, copied) = joiner.copy();
    assert_eq!(starts, 2, "the copy went on after it broke off");
    assert!((200..=310).contains(&copied), "{copied} rows: each about once");
    for node in nodes {
        node.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lone_write_is_quick() {
    let ca = ClusterCa::create("test").unwrap();
    let (a, b) = (Memory::new("a", 1), Memory::new("b", 2));
    let receiver = start(&config(&ca, "b", any_port(), &[]), &b);
    let sender = start(&config(&ca, "a", any_port(), &[("b", receiver.address())]), &a);
    a.put("first", "value");
    wait_for("the link", || b.len() == 1).await;
    let mut times = Vec::new();
    for i in 0..200 {
        let mut applied = b.writes();
        let begun = std::time::Instant::now();
        a.put(&format!("key{i}"), "value");
        applied.changed().await.unwrap();
        times.push(begun.elapsed());
    }
    times.sort();
    println!(
        "a write is applied in the peer after {:?} (median), {:?} (p99)",
        times[100], times[198]
    );
    assert!(
        times[100] < Duration::from_millis(50),
        "a write waits for something: {:?}",
        times[100]
    );
    sender.shutdown().await;
    receiver.shutdown().await;
}

#[test]
fn authorities_come_back_from_pem() {
    let ca = ClusterCa::create("test").unwrap();
    let again = ClusterCa::from_pem("test", ca.pem().clone()).unwrap();
    let node = again.issue("a").unwrap();
    assert!(node.certificate.contains("BEGIN CERTIFICATE"));
    let bad = Pem {
        certificate: String::new(),
        key: "nonsense".into(),
    };
    assert!(ClusterCa::from_pem("test", bad).is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_of_an_authority_from_pem_are_believed() {
    let ca = ClusterCa::create("test").unwrap();
    let again = ClusterCa::from_pem("test", ca.pem().clone()).unwrap();
    let (a, b) = (Memory::new("a", 1), Memory::new("b", 2));
    let receiver = start(&config(&ca, "b", any_port(), &[]), &b);
    let sender = start(&config(&again, "a", any_port(), &[("b", receiver.address())]), &a);
    a.put("key", "value");
    wait_for("the link", || b.len() == 1).await;
    sender.shutdown().await;
    receiver.shutdown().await;
}

#[tokio::test]
async fn bad_settings_are_refused() {
    let ca = ClusterCa::create("test").unwrap();
    let host = Memory::new("a", 1);
    let good = config(&ca, "a", any_port(), &[]);
    for bad in [
        Config {
            ca_certificate: "nonsense".into(),
            ..good.clone()
        },
        Config {
            node: Pem {
                certificate: String::new(),
                key: good.node.key.clone(),
            },
            ..good.clone()
        },
        Config {
            node: Pem {
                key: "nonsense".into(),
                ..good.node.clone()
            },
            ..good.clone()
        },
        Config {
            node: Pem {
                key: ca.issue("a").unwrap().key,
                ..good.node.clone()
            },
            ..good.clone()
        },
    ] {
        assert!(Replicator::start(&bad, Arc::clone(&host), None).is_err());
    }
}
