//! What a node that stands by reads for itself: the region's tables and who may do what, kept up with the log.
//!
//! The API over them is the region's own, on an engine that takes no commits. The log's tail is read every tenth of a second; what it
//! changes of the catalog and of IAM is worked in before the reading counts. So whatever was acknowledged (a write, a table's end,
//! a policy) is seen by reads that are answered more than [`STALENESS_MAX`] later, or they are not answered here.

use std::{fmt, sync::Arc, time::Duration};

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use geodynamo_access::{CredentialSource, KeyError, KnownKey, Mode};
use geodynamo_api::{Api, Call, Operation};
use geodynamo_cassandra::{CassandraReader, Readings};
use geodynamo_engine::RegionEngine;
use geodynamo_http::{Handler, Origin, Reply, nodes::may_be_stale};
use geodynamo_storage::StorageError;
use geodynamo_table::{Options as TableOptions, Tables, TimeSource, is_followed};
use geodynamo_topology::Topology;
use http::StatusCode;
use tokio::time::sleep;

use crate::{
    access::{self, RegionIam},
    api::{NAMES, authorization_of, operation_of},
    clock::SystemClock,
    config::Config,
    region::table_options,
    sealing,
};

/// How old what is read here may be at most; a request that would be answered with older data goes to the owner.
pub(crate) const STALENESS_MAX: Duration = Duration::from_secs(1);
/// How often the log's tail is read.
const FOLLOW_EVERY: Duration = Duration::from_millis(100);
/// How long to wait before all of it is opened anew.
const AGAIN_AFTER: Duration = Duration::from_millis(500);

/// What a node reads for itself while it stands by.
#[derive(Default)]
pub(crate) struct Reading {
    opened: ArcSwapOption<Opened>,
}

struct Opened {
    api: Api<RegionEngine>,
    iam: Arc<RegionIam<RegionEngine>>,
}

impl Opened {
    fn tables(&self) -> &Arc<Tables<RegionEngine>> {
        self.api.tables()
    }

    fn age(&self) -> Option<Duration> {
        self.tables().engine().reader().and_then(CassandraReader::age)
    }

    fn is_fresh(&self) -> bool {
        self.age().is_some_and(|age| age <= STALENESS_MAX)
    }
}

impl Reading {
    /// How old what is read now may be at most; none while nothing can be read.
    pub(crate) fn age(&self) -> Option<Duration> {
        self.opened.load().as_ref().and_then(|opened| opened.age())
    }

    /// Whether reads are answered here.
    pub(crate) fn is_fresh(&self) -> bool {
        self.opened.load().as_ref().is_some_and(|opened| opened.is_fresh())
    }

    /// Answers no more, and keeps nothing in memory.
    pub(super) fn end(&self) {
        self.opened.store(None);
    }

    /// Keeps up with the log, until it is dropped.
    pub(super) async fn follow(&self, config: &Config, mode: Mode, topology: &Topology, readings: &Readings) {
        if config.audit.file().is_some() && config.audit.data_events.are_some() {
            tracing::info!("reads are audited, which is for the node that writes: this one answers none");
            return std::future::pending().await;
        }
        loop {
            // A region that was never opened has nothing to read yet.
            if let Err(error) = self.follow_once(config, mode, topology, readings).await {
                tracing::info!(error, "this node does not answer reads for now");
            }
            self.opened.store(None);
            sleep(AGAIN_AFTER).await;
        }
    }

    /// Opens the tables and keeps up with the log, until that does not work.
    async fn follow_once(
        &self,
        config: &Config,
        mode: Mode,
        topology: &Topology,
        readings: &Readings,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let reader = readings.open(is_followed).await?;
        let caught = reader.catch_up().await?;
        let time: Arc<dyn TimeSource> = Arc::new(SystemClock);
        let options = TableOptions {
            following: true,
            ..table_options(config, Some(topology), &time)
        };
        // Tables with a key of their own are the owner's to open: it hears of it when the key is taken away.
        let tables = Tables::open_sealed(RegionEngine::Reader(reader), options, None).await?;
        let iam = access::follow(config, &tables, sealing::open(config)?.as_ref()).await?;
        let api = Api::new(Arc::clone(&tables), String::new())
            .with_habits(config.habits)
            .with_authorization(authorization_of(mode));
        let reader = tables.engine().reader().ok_or("not a reader")?;
        reader.is_as_of(&caught);
        self.opened.store(Some(Arc::new(Opened {
            api,
            iam: Arc::clone(&iam),
        })));
        tracing::info!("this node answers reads that need not be consistent");
        loop {
            match reader.catch_up().await {
                Ok(caught) => {
                    if !caught.written.is_empty() {
                        let followed = tables.following().follow(&caught.written).await?;
                        if !followed.access.is_empty() {
                            iam.refresh(&followed.access).await?;
                        }
                    }
                    reader.is_as_of(&caught);
                }
                Err(error @ StorageError::Closed) => return Err(error.into()),
                // What is read gets older meanwhile.
                Err(error) => tracing::debug!(%error, "the log's tail was not read"),
            }
            sleep(FOLLOW_EVERY).await;
        }
    }
}

/// Answers reads of items. Whatever is not answered with success is not to be told to anyone: it may have been overtaken, and the
/// owner knows.
impl Handler for Reading {
    fn operations(&self) -> &'static [&'static str] {
        &NAMES
    }

    fn operation(&self, target: &str) -> Option<usize> {
        operation_of(target)
    }

    async fn call(&self, origin: Origin, target: &str, body: Bytes) -> Reply {
        let refused = |status| Reply {
            status,
            body: Bytes::new(),
            fault: None,
            session: None,
        };
        let opened = self.opened.load_full();
        let Some(opened) = opened.filter(|opened| opened.is_fresh()) else {
            return refused(StatusCode::SERVICE_UNAVAILABLE);
        };
        if !Operation::from_target(target).is_some_and(|operation| may_be_stale(operation, &body)) {
            return refused(StatusCode::BAD_REQUEST);
        }
        let call = Call {
            caller: &origin.principal.caller,
            access_key_id: &origin.principal.access_key_id,
            request_id: origin.request_id(),
            now_unix_s: access::now_unix_s(),
            source_ip: origin.source_ip,
            user_agent: origin.user_agent(),
            referer: origin.referer(),
            secure_transport: origin.secure_transport,
        };
        let reply = opened.api.call(call, target, &body).await;
        if !opened.is_fresh() {
            // The node may have been stopped meanwhile.
            return refused(StatusCode::SERVICE_UNAVAILABLE);
        }
        if let Some(denied) = &reply.denied {
            tracing::warn!(denied = &**denied, request_id = origin.request_id(), "would be refused");
        }
        Reply {
            status: StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            body: reply.body,
            fault: reply.fault,
            session: None,
        }
    }
}

impl CredentialSource for Reading {
    fn find(
        &self,
        access_key_id: &str,
        session_token: Option<&[u8]>,
        now_unix_s: i64,
    ) -> Result<Arc<KnownKey>, KeyError> {
        let opened = self.opened.load();
        let iam = opened.as_ref().map(|opened| &opened.iam).ok_or(KeyError::Unknown)?;
        iam.find(access_key_id, session_token, now_unix_s)
    }

    fn used(&self, access_key_id: &str, service: &'static str, now_unix_s: i64) {
        if let Some(opened) = &*self.opened.load() {
            opened.iam.used(access_key_id, service, now_unix_s);
        }
    }
}

impl fmt::Debug for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reading").field("age", &self.age()).finish()
    }
}
