//! The console: pages for a browser, and the little that they ask of the admin port that serves them.
//!
//! The pages (`web/`) are plain ES modules and CSS, embedded as they are. They speak DynamoDB's and IAM's protocols with the
//! regions' data ports, signed in the browser; so whoever looks at a table is who holds an access key, and nothing here
//! knows one. What has no such protocol (metrics, digests, health, the WAN emulator) they ask of this port, which passes the
//! question on to another region's admin port where it is that region's to answer: a page then talks to one origin only, and
//! the other admin ports need not be within a browser's reach.

mod ask;
mod files;
mod history;
mod routes;

use std::{collections::BTreeMap, net::SocketAddr};

pub use crate::{
    ask::{AskError, Signs},
    files::size as bundle_bytes,
    history::{LinkReading, Links},
    routes::router,
};

/// A region, as the pages are told of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    /// Its name.
    pub name: String,
    /// Its data port as `host:port`; `None` where the process listens on every address: then it is at the host that the
    /// browser knows this process by.
    pub data: Option<String>,
    /// Its admin port as `host:port`.
    pub admin: String,
}

/// What the console is told by the process that serves it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Facts {
    /// The cluster's name, if there is a topology.
    pub cluster: Option<String>,
    /// This process's region.
    pub region: String,
    /// All regions, this one among them.
    pub regions: Vec<Place>,
    /// Where this process's data port is bound.
    pub data: SocketAddr,
    /// Whether data ports speak TLS.
    pub tls: bool,
    /// Where browsers reach data ports (`http://host:port`), if not where the topology says.
    pub endpoints: BTreeMap<String, String>,
    /// The WAN emulator's HTTP interface (`http://host:port`), if the links go through one.
    pub wan: Option<String>,
    /// Whether signatures and policies are checked: `any`, `warn` or `enforce`.
    pub auth: &'static str,
    /// Whether there is an archive, so that backups can be made.
    pub backups: bool,
    /// What kind of service has tables' own keys, if there is one: `kms` or `vault`.
    pub table_keys: Option<&'static str>,
    /// Whether tables' changes can go to streams of Kinesis.
    pub kinesis: bool,
    /// The names of the functions that triggers can run.
    pub functions: Vec<String>,
    /// The process's version.
    pub version: String,
}

impl Facts {
    /// Where a browser that calls this process `host` reaches a region's data port.
    fn endpoint(&self, place: &Place, host: &str) -> String {
        if let Some(told) = self.endpoints.get(&place.name) {
            return told.trim_end_matches('/').to_owned();
        }
        let scheme = if self.tls { "https" } else { "http" };
        match &place.data {
            Some(address) => format!("{scheme}://{address}"),
            None => format!("{scheme}://{host}:{}", self.data.port()),
        }
    }
}
