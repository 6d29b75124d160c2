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
//! Each account of the cluster has vaults, plans, jobs and recovery points of its own: whatever an operation does, it does as a part
//! of one account's, and sees nothing else. Copies go from vaults of an account to vaults of the same one.
//!
//! Shapes and constraints come from botocore's model by `generator/generate.py`. Sources of behaviour are AWS Backup's API
//! reference and developer guide, <https://docs.aws.amazon.com/aws-backup/latest/devguide/>.
//!
//! [`Recoveries`]: geodynamo_recovery::Recoveries

mod accounts;
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
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    future::Future,
    ops::Deref,
    pin::Pin,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use geodynamo_recovery::Recoveries;
use geodynamo_replicator_core::Millis;
use geodynamo_storage::Engine;
use geodynamo_table::{TableError, Tables, owner_and_name, stored_name};
use parking_lot::Mutex;
use rand::Rng;
use tokio::sync::{Notify, watch};

use crate::{
    accounts::Accounts,
    error::Result,
    receive::Parts,
    state::{Known, Row, commit},
};
pub use crate::{
    call::{Authorization, Call, Reply, SERVICE, is_path, operation_names},
    error::BackupError,
};

/// The most vaults of an account in a region, as in AWS.
pub const VAULTS_MAX: usize = 100;
/// The most plans of an account in a region, as in AWS.
pub const PLANS_MAX: usize = 300;
/// The most selections of a plan, as in AWS.
pub const SELECTIONS_MAX: usize = 100;
/// The most jobs of all accounts that are under way or remembered.
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
pub struct Backups<E: Engine>(Arc<Accounts<E>>);

impl<E: Engine> Clone for Backups<E> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

/// What all accounts share.
pub(crate) struct House<E: Engine> {
    tables: Arc<Tables<E>>,
    /// None where there is no archive.
    recoveries: Option<Recoveries<E>>,
    regions: OnceLock<Arc<dyn Regions>>,
    /// Copy jobs under way, by their ids.
    carried: Mutex<BTreeSet<String>>,
    parts: Parts,
    /// Jobs of all accounts that are under way or remembered.
    jobs: AtomicUsize,
    /// Told when something may be due.
    wake: Notify,
    stop: watch::Receiver<bool>,
    counters: Counters,
}

/// What an account has.
pub(crate) struct Shared<E: Engine> {
    house: Arc<House<E>>,
    /// Twelve digits.
    account: Arc<str>,
    known: Mutex<Known>,
    /// Held by whoever changes vaults, plans, selections or marks, from reading them to the commit.
    changing: tokio::sync::Mutex<()>,
    /// Held by whoever does what is due.
    ticking: tokio::sync::Mutex<()>,
    /// When each plan runs next, by its id, and of which version that is.
    due: Mutex<BTreeMap<String, (String, Option<Millis>)>>,
    /// When it was last looked for what is too old.
    looked_ms: AtomicU64,
}

impl<E: Engine> Deref for Shared<E> {
    type Target = House<E>;

    fn deref(&self) -> &House<E> {
        &self.house
    }
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
        let known = state::load(&tables).await?;
        let house = House {
            tables,
            recoveries,
            regions: OnceLock::new(),
            carried: Mutex::default(),
            parts: Parts::default(),
            jobs: AtomicUsize::new(known.values().map(Known::jobs).sum()),
            wake: Notify::new(),
            stop,
            counters: Counters::default(),
        };
        Ok(Self(Arc::new(Accounts::new(house, known))))
    }

    /// Does what is due, in the background, until `stop` changes that [`Backups::open`] was given.
    pub fn run(&self) {
        let this = self.clone();
        let mut stop = self.0.house.stop.clone();
        tokio::spawn(async move {
            let working = async {
                loop {
                    if let Err(error) = this.tick().await {
                        tracing::warn!(%error, "what is due of backup jobs is not done; it is tried again");
                        tokio::time::sleep(RETRY).await;
                    }
                    let _ = tokio::time::timeout(LOOK_EVERY, this.0.house.wake.notified()).await;
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
        let _ = self.0.house.regions.set(regions);
        self.0.house.wake.notify_one();
    }

    /// What an operator watches.
    pub fn status(&self) -> Status {
        let counters = &self.0.house.counters;
        let mut status = Status {
            jobs_failed: counters.failed.load(Relaxed),
            copied_bytes: counters.copied_bytes.load(Relaxed),
            ..Status::default()
        };
        let count =
            |jobs: &mut dyn Iterator<Item = state::JobState>| jobs.filter(|state| !state.has_ended()).count() as u64;
        for account in self.0.all() {
            let known = account.known.lock();
            status.backup_jobs += count(&mut known.backups.values().map(|job| job.job.state));
            status.copy_jobs += count(&mut known.copies.values().map(|job| job.job.state));
            status.restore_jobs += count(&mut known.restores.values().map(|job| job.job.state));
        }
        status
    }
}

impl<E: Engine> Shared<E> {
    /// Changes rows durably, all or none.
    pub(crate) async fn commit(&self, rows: Vec<Row>, gone: Vec<Row>) -> Result<()> {
        Ok(commit(self, rows, gone).await?)
    }

    pub(crate) fn recoveries(&self) -> Result<&Recoveries<E>> {
        self.recoveries.as_ref().ok_or_else(|| {
            BackupError::refused("There is no archive in this region. See [archive] in its configuration.")
        })
    }

    /// An ARN of the service.
    pub(crate) fn arn(&self, kind: &str, name: &str) -> String {
        let (region, account) = (self.tables.region(), &self.account);
        format!("arn:aws:{SERVICE}:{region}:{account}:{kind}:{name}")
    }

    pub(crate) fn vault_arn(&self, name: &str) -> String {
        self.arn(VAULT, name)
    }

    /// The ARN of a table of the account, by the name that clients give it.
    pub(crate) fn table_arn(&self, name: &str) -> String {
        let (region, account) = (self.tables.region(), &self.account);
        format!("arn:aws:dynamodb:{region}:{account}:table/{name}")
    }

    /// The name that clients give the table of an ARN of this region and the account.
    pub(crate) fn name_in<'a>(&self, arn: &'a str) -> Option<&'a str> {
        let name = arn.strip_prefix(&self.table_arn(""))?;
        (!name.is_empty() && !name.contains('/')).then_some(name)
    }

    /// What the catalog calls the table of an ARN of this region and the account.
    pub(crate) fn table_of<'a>(&self, arn: &'a str) -> Option<Cow<'a, str>> {
        self.stored(self.name_in(arn)?)
    }

    /// What the catalog calls the account's table of this name.
    pub(crate) fn stored<'a>(&self, name: &'a str) -> Option<Cow<'a, str>> {
        stored_name(self.tables.account(), &self.account, name)
    }

    /// Whether a backup of a table that the catalog calls so is the account's.
    pub(crate) fn owns(&self, table: &str) -> bool {
        owner_and_name(self.tables.account(), table).0 == &*self.account
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
