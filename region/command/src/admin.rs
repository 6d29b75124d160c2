//! What a region's admin port tells of it and, in their place, of the other regions.

use std::{
    net::IpAddr,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use clap::Args;
use geodynamo_access::{ADMIN, GLOBAL_REGION};
use geodynamo_metrics::exposition::Exposition;
use geodynamo_outgoing::{Call, Client as Http, Credentials, Endpoint, encode_segment};
use serde_json::Value;

use crate::{
    client::{Failure, silent},
    connection::Connection,
};

/// How long an answer may take. A region that asks another one gives up before.
const ANSWER_MAX: Duration = Duration::from_secs(5);
const ANSWER_BYTES_MAX: usize = 8 << 20;
/// The status of what a key may not.
const FORBIDDEN: u16 = 403;

/// Which region is asked how it is.
#[derive(Clone, PartialEq, Debug, Args)]
pub struct AdminPort {
    /// The region's admin port
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:8001")]
    pub admin: String,
}

/// The regions, as one of them knows them.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct World {
    pub(crate) cluster: Option<String>,
    /// The region that was asked.
    pub(crate) own: String,
    /// All of them.
    pub(crate) regions: Vec<String>,
}

/// A region at one moment.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Observation {
    pub(crate) region: String,
    /// Whether it takes requests; if not, why not.
    pub(crate) ready: Result<(), String>,
    /// Nothing, if nobody answers.
    pub(crate) metrics: Option<Exposition>,
    /// This machine's clock in the middle of the answer, in seconds since 1970, and how long that took.
    pub(crate) asked_at: f64,
    pub(crate) took: f64,
}

/// The key of AWS's environment variables or profiles: an admin port asks whoever is not on its machine for a signature.
fn given_key() -> Option<Credentials> {
    Connection::default().resolve().ok()?.credentials
}

/// Whether an admin port's address is this machine's own: such a port takes what is not signed, unless it is told not to.
pub fn is_this_machine(address: &str) -> bool {
    let host = address.rsplit_once("://").map_or(address, |(_, rest)| rest);
    let host = host.trim_end_matches('/');
    let host = host
        .rsplit_once(':')
        .map_or(host, |(host, _)| host)
        .trim_matches(['[', ']']);
    let is_loopback = host.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback());
    is_loopback || host.eq_ignore_ascii_case("localhost")
}

/// A client of one admin port.
pub(crate) struct Admin {
    http: Http,
    endpoint: Endpoint,
    /// For a port on this machine, which may take a request without a signature where it knows the key not, or not for this.
    unsigned: Option<Endpoint>,
    address: String,
}

impl Admin {
    pub(crate) fn new(address: &str) -> Result<Self, Failure> {
        let wrong =
            |error: &dyn std::fmt::Display| Failure::told(error.to_string(), "--admin HOST:PORT names an admin port");
        let url = if address.contains("://") {
            address.to_owned()
        } else {
            format!("http://{address}")
        };
        let endpoint =
            |key: Option<&Credentials>| Endpoint::new(&url, ADMIN, GLOBAL_REGION, key).map_err(|error| wrong(&error));
        Ok(Self {
            http: Http::new(None).map_err(|error| wrong(&error))?,
            endpoint: endpoint(given_key().as_ref())?,
            unsigned: match given_key() {
                Some(_) if is_this_machine(address) => Some(endpoint(None)?),
                _ => None,
            },
            address: address.to_owned(),
        })
    }

    /// A path's status and text.
    pub(crate) async fn get(&self, path: &str) -> Result<(u16, String), Failure> {
        let call = Call {
            method: "GET",
            path,
            query: None,
            headers: &[],
            body: Bytes::new(),
            within: ANSWER_MAX,
            answer_bytes_max: ANSWER_BYTES_MAX,
        };
        let answer = self.endpoint.call(&self.http, &call).await;
        let mut answer = answer.map_err(|error| silent(&self.address, &error))?;
        if let (FORBIDDEN, Some(unsigned)) = (answer.status.as_u16(), &self.unsigned)
            && let Ok(other) = unsigned.call(&self.http, &call).await
            && other.status.is_success()
        {
            answer = other;
        }
        Ok((
            answer.status.as_u16(),
            String::from_utf8_lossy(&answer.body).into_owned(),
        ))
    }

    /// The regions that there are.
    pub(crate) async fn world(&self) -> Result<World, Failure> {
        let (status, text) = self.get("/console.json").await?;
        if status == 200
            && let Ok(facts) = serde_json::from_str::<Value>(&text)
            && let Some(own) = facts["region"].as_str()
        {
            let regions = facts["regions"].as_array();
            let regions = regions
                .into_iter()
                .flatten()
                .filter_map(|region| region["name"].as_str());
            return Ok(World {
                cluster: facts["cluster"].as_str().map(str::to_owned),
                own: own.to_owned(),
                regions: regions.map(str::to_owned).collect(),
            });
        }
        // Without the console, a port tells of its own region only.
        let (_, text) = self.get("/metrics").await?;
        let metrics = Exposition::parse(&text);
        let own = metrics.label("geodynamo_region_info", "region").ok_or_else(|| {
            Failure::told(
                format!("{} is no region's admin port", self.address),
                "--admin HOST:PORT names it; the data port is another one",
            )
        })?;
        Ok(World {
            cluster: None,
            own: own.to_owned(),
            regions: vec![own.to_owned()],
        })
    }

    /// How a region is.
    pub(crate) async fn observe(&self, world: &World, region: &str) -> Observation {
        let prefix = if region == world.own {
            String::new()
        } else {
            format!("/regions/{}", encode_segment(region))
        };
        let before = now_s();
        let told = self.get(&format!("{prefix}/metrics")).await;
        let after = now_s();
        let unread = |(status, text): (u16, String)| {
            let document: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
            let told = document["error"].as_str().unwrap_or(text.trim()).to_owned();
            if told.is_empty() {
                format!("status {status}")
            } else {
                told
            }
        };
        let (metrics, mut ready) = match told {
            Ok((200, text)) => (Some(Exposition::parse(&text)), Ok(())),
            Ok(other) => (None, Err(unread(other))),
            Err(error) => (None, Err(error.to_string())),
        };
        if metrics.is_some() {
            ready = match self.get(&format!("{prefix}/readyz")).await {
                Ok((200, _)) => Ok(()),
                Ok(other) => Err(unread(other)),
                Err(error) => Err(error.to_string()),
            };
        }
        Observation {
            region: region.to_owned(),
            ready,
            metrics,
            asked_at: f64::midpoint(before, after),
            took: after - before,
        }
    }

    /// How all regions are, asked at once.
    pub(crate) async fn observe_all(&self, world: &World) -> Vec<Observation> {
        let all = world.regions.iter().map(|region| self.observe(world, region));
        futures_util::future::join_all(all).await
    }
}

/// This machine's clock, in seconds since 1970.
pub(crate) fn now_s() -> f64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0.0, |since| since.as_secs_f64())
}
