//! Who may do what: IAM and STS on a region's tables.

pub(crate) mod cluster_key;
pub(crate) mod house;
mod identity_keys;
pub(crate) mod root;
mod store;

use std::{
    collections::BTreeMap,
    fmt,
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use geodynamo_api::Principals;
use geodynamo_iam::{Iam, OpenError, Options};
use geodynamo_storage::Engine;
use geodynamo_table::{SystemTable, Tables};
use geodynamo_topology::Topology;
use tokio::sync::watch;

use self::identity_keys::ConfiguredKeys;
pub(crate) use self::store::TablesStore;
use crate::{config::Config, sealing::Sealing};

/// How often it is looked whether keys' last uses are to be stored.
const LAST_USES_EVERY: Duration = Duration::from_secs(60);
/// How long other regions have to tell what they know, before a first access key is made.
const OTHERS_KNOW_AFTER: Duration = Duration::from_secs(5);
/// How long to wait until rows that could not be read are read again.
const AGAIN_AFTER: Duration = Duration::from_millis(200);

/// Why there is no IAM.
#[derive(Debug, thiserror::Error)]
pub enum AccessStartError {
    /// A file that cannot be read or written.
    #[error("{}: {reason}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// Another reason.
    #[error(transparent)]
    Open(#[from] OpenError),
}

/// A region's IAM.
pub(crate) type RegionIam<E> = Iam<TablesStore<E>>;

/// The principals that policies of tables and streams may name: those that IAM has.
pub(crate) struct KnownPrincipals<E: Engine>(pub(crate) Arc<RegionIam<E>>);

impl<E: Engine> Principals for KnownPrincipals<E> {
    fn exists(&self, account: &str, principal: &str) -> bool {
        self.0.has_principal(account, principal)
    }

    fn id(&self, arn: &str) -> Option<String> {
        self.0.principal_id(arn)
    }

    fn names(&self, ids: &BTreeMap<String, String>) -> BTreeMap<String, String> {
        self.0.principal_names(ids)
    }
}

impl<E: Engine> fmt::Debug for KnownPrincipals<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KnownPrincipals").finish_non_exhaustive()
    }
}

/// Opens a region's IAM and keeps it as the tables have it, until `stop` says so.
///
/// # Errors
/// If a file that the configuration names is of no use, or the table cannot be read.
pub(crate) async fn start<E: Engine>(
    config: &Config,
    tables: &Arc<Tables<E>>,
    sealing: Option<&Sealing>,
    mut stop: watch::Receiver<bool>,
) -> Result<Arc<RegionIam<E>>, AccessStartError> {
    // Rows that come from here on are told, whether or not they are among those that are read now.
    let mut changes = tables.rows().system_changes(SystemTable::Access);
    changes.mark_changed();
    let iam = open(config, tables, sealing).await?;
    let (kept, tables) = (Arc::clone(&iam), Arc::clone(tables));
    tokio::spawn(async move {
        let mut last_uses = tokio::time::interval(LAST_USES_EVERY);
        loop {
            tokio::select! {
                changed = changes.changed() => {
                    if changed.is_err() {
                        break;
                    }
                    let rows = tables.rows().system_merged(SystemTable::Access);
                    while let Err(error) = kept.refresh(&rows).await {
                        tracing::error!(%error, "what other regions changed of IAM cannot be read");
                        tokio::time::sleep(AGAIN_AFTER).await;
                    }
                }
                _ = last_uses.tick() => {
                    if let Err(error) = kept.store_last_uses().await {
                        tracing::warn!(%error, "when access keys were last used was not stored");
                    }
                }
                _ = stop.changed() => break,
            }
        }
    });
    Ok(iam)
}

/// Opens a region's IAM for a node that stands by, which is told what the region's writer changes of it. When keys were last used
/// here is stored nowhere.
///
/// # Errors
/// As [`start`]'s.
pub(crate) async fn follow<E: Engine>(
    config: &Config,
    tables: &Arc<Tables<E>>,
    sealing: Option<&Sealing>,
) -> Result<Arc<RegionIam<E>>, AccessStartError> {
    open(config, tables, sealing).await
}

async fn open<E: Engine>(
    config: &Config,
    tables: &Arc<Tables<E>>,
    sealing: Option<&Sealing>,
) -> Result<Arc<RegionIam<E>>, AccessStartError> {
    let options = Options {
        account: config.account().to_owned(),
        region: config.region.to_string(),
        cluster_key: cluster_key::of(config, sealing)?,
    };
    let identity_keys = Arc::new(ConfiguredKeys::new(&config.access.identity_providers)?);
    Ok(Iam::open(TablesStore(Arc::clone(tables)), options, identity_keys).await?)
}

/// Makes an access key for the root user where there is none at all, and shows it once, on standard error.
///
/// Of several regions the topology's first makes it, so that there is one. As its data directory may be a fresh one in a
/// cluster that goes on, it first waits a moment for what the others know.
///
/// # Errors
/// If it cannot be stored.
pub(crate) async fn ensure_root<E: Engine>(
    config: &Config,
    topology: Option<&Topology>,
    tables: &Tables<E>,
    iam: &Arc<RegionIam<E>>,
) -> Result<(), AccessStartError> {
    if !config.credentials.is_empty() {
        return Ok(());
    }
    let regions = topology.map_or(&[][..], Topology::regions);
    if regions.first().is_some_and(|first| first.name != config.region) {
        return Ok(());
    }
    if regions.len() < 2 {
        if let Some(key) = iam.ensure_root_key(now_unix_s()).await? {
            root::show(iam.account(), &key);
        }
        return Ok(());
    }
    let (iam, mut changes) = (Arc::clone(iam), tables.rows().system_changes(SystemTable::Access));
    tokio::spawn(async move {
        // Whether there was a change or nobody answered: what is known now counts.
        let _ = tokio::time::timeout(OTHERS_KNOW_AFTER, changes.changed()).await;
        match iam.ensure_root_key(now_unix_s()).await {
            Ok(Some(key)) => root::show(iam.account(), &key),
            Ok(None) => {}
            Err(error) => tracing::error!(%error, "the root user's access key was not made"),
        }
    });
    Ok(())
}

/// Takes the root credentials that the environment or a file has into a configuration.
///
/// # Errors
/// If they are none.
pub(crate) fn configure_root(config: &mut Config) -> Result<(), AccessStartError> {
    if let Some(entry) = root::given(config.access.root_credentials_file.as_deref())? {
        // What is given beside the file counts.
        config
            .credentials
            .retain(|other| other.access_key_id != entry.access_key_id);
        config.credentials.push(entry);
    }
    Ok(())
}

pub(crate) fn now_unix_s() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}
