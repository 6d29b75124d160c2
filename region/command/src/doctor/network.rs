//! Ports of this machine, and the regions around: whether they are there, and what their clocks say.

use std::{
    io,
    net::{SocketAddr, TcpListener, ToSocketAddrs, UdpSocket},
};

use geodynamo_metrics::exposition::Exposition;

use super::{Finding, Peer, Subject, Verdict};
use crate::{
    admin::{Admin, now_s},
    output::duration,
};

/// Clocks that are further apart than this should be looked at, in seconds.
const CLOCK_APART_S: f64 = 0.25;

/// A port that a region listens on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Port {
    /// What it is for, as the configuration calls it.
    pub name: &'static str,
    /// Where.
    pub address: SocketAddr,
    /// Whether it is UDP's.
    pub is_udp: bool,
}

/// Whether ports are free, or served by this very region.
pub(super) async fn ports(subject: &Subject) -> Vec<Finding> {
    let running = running_region(subject).await;
    let own = subject.region.as_deref();
    let serves = running.is_some() && running.as_deref() == own;
    subject
        .ports
        .iter()
        .map(|port| judge_port(port, bind(port), serves))
        .collect()
}

/// Which region answers at the admin port.
async fn running_region(subject: &Subject) -> Option<String> {
    let admin = Admin::new(&reachable(subject.admin?).to_string()).ok()?;
    let (_, text) = admin.get("/metrics").await.ok()?;
    Exposition::parse(&text)
        .label("geodynamo_region_info", "region")
        .map(str::to_owned)
}

/// An address that can be connected to: what listens everywhere is here, too.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        match address {
            SocketAddr::V4(_) => address.set_ip(std::net::Ipv4Addr::LOCALHOST.into()),
            SocketAddr::V6(_) => address.set_ip(std::net::Ipv6Addr::LOCALHOST.into()),
        }
    }
    address
}

fn bind(port: &Port) -> io::Result<()> {
    if port.is_udp {
        UdpSocket::bind(port.address).map(drop)
    } else {
        TcpListener::bind(port.address).map(drop)
    }
}

fn judge_port(port: &Port, bound: io::Result<()>, serves: bool) -> Finding {
    let what = format!("{} {}", port.name, port.address);
    let error = match bound {
        Ok(()) if port.address.port() == 0 => {
            return Finding::ok("ports", format!("{}: the system chooses", port.name));
        }
        Ok(()) => return Finding::ok("ports", format!("{what} is free")),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && serves => {
            return Finding::ok("ports", format!("{what} is served by this region"));
        }
        Err(error) => error,
    };
    let number = port.address.port();
    let flag = if port.is_udp { "u" } else { "t" };
    let advice = match error.kind() {
        io::ErrorKind::AddrInUse => {
            format!("end what has it (`ss -ln{flag}p sport = :{number}` shows it), or listen elsewhere")
        }
        io::ErrorKind::AddrNotAvailable => {
            "no interface of this machine has this address: listen at one that it has".to_owned()
        }
        io::ErrorKind::PermissionDenied => "take a port from 1024 on, or allow it (CAP_NET_BIND_SERVICE)".to_owned(),
        _ => "set [listen] so that the port can be bound".to_owned(),
    };
    Finding::bad("ports", Verdict::Fault, format!("{what}: {error}"), advice)
}

/// Whether the peers are there, and how far their clocks are from this machine's.
pub(super) async fn peers(subject: &Subject) -> Vec<Finding> {
    let all = subject.peers.iter().map(|peer| examine(peer, subject.drift_max_ms));
    futures_util::future::join_all(all)
        .await
        .into_iter()
        .flatten()
        .collect()
}

async fn examine(peer: &Peer, drift_max_ms: u64) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Err(error) = peer.replication.to_socket_addrs() {
        findings.push(Finding::bad(
            "peers",
            Verdict::Fault,
            format!("{}: replication at {}: {error}", peer.region, peer.replication),
            "the name must be known here: mend DNS, or the topology",
        ));
    }
    match clock(peer).await {
        Ok((ahead, known_to)) => {
            findings.push(Finding::ok("peers", format!("{} answers at {}", peer.region, peer.admin)));
            findings.push(judge_clock(&peer.region, ahead, known_to, drift_max_ms));
        }
        Err(reason) => findings.push(Finding::bad(
            "peers",
            Verdict::Warning,
            format!("{}: {reason}", peer.region),
            "start it, or open its admin port to this machine. Replication needs its UDP port only; the clock was not compared",
        )),
    }
    findings
}

/// How far a peer's clock is ahead of this machine's, and to within what that is known; in seconds.
async fn clock(peer: &Peer) -> Result<(f64, f64), String> {
    let short = |error: crate::Failure| error.to_string().lines().next().unwrap_or_default().to_owned();
    let admin = Admin::new(&peer.admin).map_err(short)?;
    let before = now_s();
    let (_, text) = admin.get("/metrics").await.map_err(short)?;
    let after = now_s();
    let theirs = Exposition::parse(&text).value("geodynamo_time_seconds");
    let theirs = theirs.ok_or_else(|| format!("what answers at {} is no region", peer.admin))?;
    Ok((theirs - f64::midpoint(before, after), (after - before) / 2.0))
}

fn judge_clock(region: &str, ahead: f64, known_to: f64, drift_max_ms: u64) -> Finding {
    let direction = if ahead < 0.0 { "behind" } else { "ahead of" };
    let told = format!(
        "{region}'s is {} {direction} this machine's, give or take {}",
        duration(ahead.abs()),
        duration(known_to)
    );
    let certain = (ahead.abs() - known_to).max(0.0);
    let verdict = if certain * 1e3 > drift_max_ms as f64 / 2.0 {
        Verdict::Fault
    } else if certain > CLOCK_APART_S {
        Verdict::Warning
    } else {
        return Finding::ok("clock", told);
    };
    let advice = format!(
        "let both machines take their time from a server (chrony, systemd-timesyncd): of concurrent writes the later stamp wins, \
         and stamps more than {drift_max_ms} ms ahead wait"
    );
    Finding::bad("clock", verdict, told, advice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_are_judged() {
        let judge = |ahead, known_to| judge_clock("eu", ahead, known_to, 5000).verdict;
        assert_eq!(judge(0.01, 0.0), Verdict::Ok);
        assert_eq!(judge(-0.4, 0.0), Verdict::Warning);
        assert_eq!(judge(0.4, 0.3), Verdict::Ok);
        assert_eq!(judge(-3.0, 0.1), Verdict::Fault);
    }

    #[test]
    fn a_port_that_is_taken_is_told() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = Port {
            name: "data",
            address: listener.local_addr().unwrap(),
            is_udp: false,
        };
        assert_eq!(judge_port(&port, bind(&port), true).verdict, Verdict::Ok);
        let fault = judge_port(&port, bind(&port), false);
        assert_eq!(fault.verdict, Verdict::Fault);
        assert!(fault.advice.unwrap().contains("sport = :"), "{}", fault.found);
        drop(listener);
        let elsewhere = Port {
            address: "192.0.2.1:1".parse().unwrap(),
            ..port
        };
        assert!(
            judge_port(&elsewhere, bind(&elsewhere), false)
                .advice
                .unwrap()
                .contains("no interface")
        );
    }
}
