//! AWS Backup's API for this region's tables: vaults, backup jobs, recovery points, plans, copies to other regions, restores.
//!
//! [`Backups::call`] answers calls of its REST API. A recovery point is a backup of [`Recoveries`], in the archive, which bears a
//! note of its vault; DynamoDB's own API shows it with the type `AWS_BACKUP`. Vaults, plans, selections and jobs are rows that
//! this replica keeps. Vaults are kept in the archive, too, and are taken up from there if their rows are lost: a lock outlives
//! the data directory.
//!
//! [`Backups::tick`] does all that is due: it begins what plans want, sees how far jobs are, brings copies to other regions and
//! takes away what a lifecycle ends. It goes by the tables' clock ([`Tables::now_ms`]).
//!
//! A copy is sent by the region that has the backup, over the connections that regions have among themselves ([`Regions`]);
//! the other one answers by [`Backups::answer`]. Content travels opened and is sealed there with the other region's key.
//!
//! Shapes and constraints come from botocore's model by `generator/generate.py`. Sources of behaviour are AWS Backup's API
//! reference and developer guide, <https://docs.aws.amazon.com/aws-backup/latest/devguide/>.
//!
//! [`Recoveries`]: geodynamo_recovery::Recoveries

mod authorize;
mod call;
mod carry;
mod copies;
mod error;
mod generated;
mod jobs;
mod page;
mod plans;
mod points;
mod receive;
mod restores;
mod runner;
mod schedule;
mod selections;
mod state;
mod tags;
mod vaults;
mod wire;

use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    pin::Pin,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use geodynamo_recovery::Recoveries;
use geodynamo_replicator_core::Millis;
use geodynamo_storage::Engine;
use geodynamo_table::{TableError, Tables, is_given_name};
use parking_lot::Mutex;
use rand::Rng;
use tokio::sync::{Notify, watch};

pub use crate::{
    call::{Authorization, Call, Reply, SERVICE, is_path, operation_names},
    error::BackupError,
};
use crate::{
    error::Result,
    receive::Parts,
    state::{Known, Row, commit},
};

/// The most vaults of a region, as in AWS.
pub const VAULTS_MAX: usize = 100;
/// The most plans of a region, as in AWS.
pub const PLANS_MAX: usize = 300;
/// The most selections of a plan, as in AWS.
pub const SELECTIONS_MAX: usize = 100;
/// The most jobs that are under way or remembered.
pub const JOBS_MAX: usize = 100_000;

/// How often is looked whether something is due, if nothing calls for it.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How long is waited after what was due could not be done.
const RETRY: Duration = Duration::from_secs(5);

/// A question to another region and its answer, or why there is none.
pub type Asked<'a> = Pin<Box<dyn Future<Output = std::result::Result<Bytes, String>> + Send + 'a>>;

/// The other regions of the cluster.
pub trait Regions: Send + Sync + 'static {
    /// Their names.
    fn names(&self) -> Vec<String>;

    /// Asks one. What is asked has at most [`QUESTION_BYTES_MAX`] bytes; the answer is what [`Backups::answer`] gives there.
    fn ask<'a>(&'a self, region: &'a str, question: Bytes) -> Asked<'a>;
}

/// The most bytes of a question to another region.
pub const QUESTION_BYTES_MAX: usize = 3 << 20;

/// What an operator watches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Backup jobs that have not ended.
    pub backup_jobs: u64,
    /// Copy jobs that have not ended.
    pub copy_jobs: u64,
    /// Restore jobs that have not ended.
    pub restore_jobs: u64,
    /// Jobs that ended otherwise than wanted since the process started.
    pub jobs_failed: u64,
    /// Bytes of backups sent to other regions since the process started.
    pub copied_bytes: u64,
}

/// A region's AWS Backup. Cheap to clone.
pub struct Backups<E: Engine>(Arc<Shared<E>>);

impl<E: Engine> Clone for Backups<E> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

pub(crate) struct Shared<E: Engine> {
    tables: Arc<Tables<E>>,
    /// None where there is no archive.
    recoveries: Option<Recoveries<E>>,
    regions: OnceLock<Arc<dyn Regions>>,
    known: Mutex<Known>,
    /// Held by whoever changes vaults, plans, selections or marks, from reading them to the commit.
    changing: tokio::sync::Mutex<()>,
    /// Held by whoever does what is due.
    ticking: tokio::sync::Mutex<()>,
    /// When each plan runs next, by its id, and of which version that is.
    due: Mutex<BTreeMap<String, (String, Option<Millis>)>>,
    /// When it was last looked for what is too old.
    looked_ms: AtomicU64,
    /// Copy jobs under way, by their ids.
    carried: Mutex<BTreeSet<String>>,
    parts: Parts,
    /// Told when something may be due.
    wake: Notify,
    stop: watch::Receiver<bool>,
    counters: Counters,
}

#[derive(Debug, Default)]
struct Counters {
    failed: AtomicU64,
    copied_bytes: AtomicU64,
}

impl<E: Engine> Backups<E> {
    /// Reads what is stored. [`Backups::run`] is what does something with it.
    ///
    /// # Errors
    /// If the rows cannot be read.
    pub async fn open(
        tables: Arc<Tables<E>>,
        recoveries: Option<Recoveries<E>>,
        stop: watch::Receiver<bool>,
    ) -> std::result::Result<Self, TableError> {
        let known = Known::load(&tables).await?;
        Ok(Self(Arc::new(Shared {
            tables,
            recoveries,
            regions: OnceLock::new(),
            known: Mutex::new(known),
            changing: tokio::sync::Mutex::default(),
            ticking: tokio::sync::Mutex::default(),
            due: Mutex::default(),
            looked_ms: AtomicU64::new(0),
            carried: Mutex::default(),
            parts: Parts::default(),
            wake: Notify::new(),
            stop,
            counters: Counters::default(),
        })))
    }

    /// Does what is due, in the background, until `stop` changes that [`Backups::open`] was given.
    pub fn run(&self) {
        let this = self.clone();
        let mut stop = self.0.stop.clone();
        tokio::spawn(async move {
            let working = async {
                loop {
                    if let Err(error) = this.tick().await {
                        tracing::warn!(%error, "what is due of backup jobs is not done; it is tried again");
                        tokio::time::sleep(RETRY).await;
                    }
                    let _ = tokio::time::timeout(LOOK_EVERY, this.0.wake.notified()).await;
                }
            };
            tokio::select! {
                () = working => {}
                _ = stop.wait_for(|stopped| *stopped) => {}
            }
        });
    }

    /// Tells of the other regions. Before it, there are none.
    pub fn connect(&self, regions: Arc<dyn Regions>) {
        // A region is connected once.
        let _ = self.0.regions.set(regions);
        self.0.wake.notify_one();
    }

    /// What an operator watches.
    pub fn status(&self) -> Status {
        let known = self.0.known.lock();
        let count =
            |jobs: &mut dyn Iterator<Item = state::JobState>| jobs.filter(|state| !state.has_ended()).count() as u64;
        Status {
            backup_jobs: count(&mut known.backups.values().map(|job| job.job.state)),
            copy_jobs: count(&mut known.copies.values().map(|job| job.job.state)),
            restore_jobs: count(&mut known.restores.values().map(|job| job.job.state)),
            jobs_failed: self.0.counters.failed.load(Relaxed),
            copied_bytes: self.0.counters.copied_bytes.load(Relaxed),
        }
    }
}

impl<E: Engine> Shared<E> {
    /// Changes rows durably, all or none.
    pub(crate) async fn commit(&self, rows: Vec<Row>, gone: Vec<Row>) -> Result<()> {
        Ok(commit(&self.tables, &self.known, rows, gone).await?)
    }

    pub(crate) fn recoveries(&self) -> Result<&Recoveries<E>> {
        self.recoveries.as_ref().ok_or_else(|| {
            BackupError::refused("There is no archive in this region. See [archive] in its configuration.")
        })
    }

    /// An ARN of the service.
    pub(crate) fn arn(&self, kind: &str, name: &str) -> String {
        let (region, account) = (self.tables.region(), self.tables.account());
        format!("arn:aws:{SERVICE}:{region}:{account}:{kind}:{name}")
    }

    pub(crate) fn vault_arn(&self, name: &str) -> String {
        self.arn(VAULT, name)
    }

    pub(crate) fn table_arn(&self, name: &str) -> String {
        let (region, account) = (self.tables.region(), self.tables.account());
        format!("arn:aws:dynamodb:{region}:{account}:table/{name}")
    }

    /// The table of an ARN of this region.
    pub(crate) fn table_of<'a>(&self, arn: &'a str) -> Option<&'a str> {
        let name = arn.strip_prefix(&self.table_arn(""))?;
        (!name.is_empty() && !name.contains('/') && is_given_name(name)).then_some(name)
    }
}

/// What ARNs call vaults.
pub(crate) const VAULT: &str = "backup-vault";
/// What ARNs call plans.
pub(crate) const PLAN: &str = "backup-plan";
/// The one kind of resource.
pub(crate) const RESOURCE_TYPE: &str = "DynamoDB";

/// A random UUID.
pub(crate) fn uuid() -> String {
    let mut bytes: [u8; 16] = rand::rng().random();
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02X}")).collect();
    let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default();
    [part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)].join("-")
}

impl<E: Engine> std::fmt::Debug for Backups<E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Backups").finish_non_exhaustive()
    }
}
