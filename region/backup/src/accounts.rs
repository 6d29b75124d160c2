//! Accounts: each has a part of its own, which sees nothing of the others'.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use geodynamo_storage::Engine;
use geodynamo_table::{
    owner_and_name,
    recovery::{BackupFilter, BackupKind, Recovery as _},
};
use parking_lot::Mutex;

use crate::{
    BackupError, Backups, House, Shared,
    error::Result,
    runner::LOOK_EVERY_MS,
    state::{Known, Row},
};

/// How many backups of an account are counted.
const COUNTED_MAX: usize = 1000;

/// The parts of all accounts.
pub(crate) struct Accounts<E: Engine> {
    pub(crate) house: Arc<House<E>>,
    parts: Mutex<BTreeMap<Arc<str>, Arc<Shared<E>>>>,
    /// When it was last looked for accounts that the archive alone knows.
    found_ms: AtomicU64,
}

impl<E: Engine> Accounts<E> {
    pub(crate) fn new(house: House<E>, known: BTreeMap<Arc<str>, Known>) -> Self {
        let house = Arc::new(house);
        let parts = known
            .into_iter()
            .map(|(account, known)| (Arc::clone(&account), Shared::of(&house, account, known)));
        Self {
            parts: Mutex::new(parts.collect()),
            house,
            found_ms: AtomicU64::new(0),
        }
    }

    /// An account's part.
    pub(crate) fn of(&self, account: &str) -> Arc<Shared<E>> {
        let mut parts = self.parts.lock();
        if let Some(part) = parts.get(account) {
            return Arc::clone(part);
        }
        let account: Arc<str> = account.into();
        let part = Shared::of(&self.house, Arc::clone(&account), Known::default());
        parts.insert(account, Arc::clone(&part));
        part
    }

    /// The cluster's own account's.
    pub(crate) fn own(&self) -> Arc<Shared<E>> {
        self.of(self.house.tables.account())
    }

    /// That of the account whose table the catalog calls so.
    pub(crate) fn owner_of(&self, table: &str) -> Arc<Shared<E>> {
        self.of(owner_and_name(self.house.tables.account(), table).0)
    }

    /// All of them.
    pub(crate) fn all(&self) -> Vec<Arc<Shared<E>>> {
        self.parts.lock().values().cloned().collect()
    }

    /// Finds accounts of which only recovery points are left: their rows were lost with a data directory.
    pub(crate) async fn find(&self) -> Result<()> {
        let house = &self.house;
        let now_ms = house.tables.now_ms();
        let Some(recoveries) = &house.recoveries else {
            return Ok(());
        };
        if now_ms.abs_diff(self.found_ms.load(Relaxed)) < LOOK_EVERY_MS {
            return Ok(());
        }
        for (backup, _) in recoveries.noted().await? {
            self.owner_of(&backup.settings.name);
        }
        self.found_ms.store(now_ms, Relaxed);
        Ok(())
    }
}

impl<E: Engine> Shared<E> {
    fn of(house: &Arc<House<E>>, account: Arc<str>, known: Known) -> Arc<Self> {
        Arc::new(Self {
            house: Arc::clone(house),
            account,
            known: Mutex::new(known),
            changing: tokio::sync::Mutex::default(),
            ticking: tokio::sync::Mutex::default(),
            due: Mutex::default(),
            looked_ms: AtomicU64::new(0),
        })
    }

    /// Removes whatever the account has here, but for recovery points.
    async fn forget_all(&self) -> Result<()> {
        let _ticking = self.ticking.lock().await;
        let _changing = self.changing.lock().await;
        let points = self.points().await?.len();
        if points > 0 {
            return Err(BackupError::refused(format!(
                "The account {} has {points} recovery points in this region",
                self.account
            )));
        }
        let rows = self.known.lock().rows();
        let vaults: Vec<String> = rows
            .iter()
            .filter_map(|row| match row {
                Row::Vault(vault) => Some(vault.name.clone()),
                _ => None,
            })
            .collect();
        for vault in vaults {
            self.remove_register(&vault).await?;
        }
        self.commit(Vec::new(), rows).await
    }
}

impl<E: Engine> Backups<E> {
    /// How many backups an account has here: recovery points, and those that DynamoDB's own API made, of which a thousand are
    /// counted at most. Those of deleted tables, which go by themselves, are not.
    ///
    /// # Errors
    /// If the archive cannot be read.
    pub async fn backups_of(&self, account: &str) -> std::result::Result<usize, BackupError> {
        let points = self.0.of(account).points().await?.len();
        let Some(recoveries) = &self.0.house.recoveries else {
            return Ok(points);
        };
        let filter = BackupFilter {
            account: Some(account.to_owned()),
            table: None,
            kind: Some(BackupKind::User),
            from_ms: None,
            before_ms: None,
            after: None,
            limit: COUNTED_MAX,
        };
        Ok(points + recoveries.backups(filter).await?.backups.len())
    }

    /// Removes the vaults, plans and jobs of an account that is to be deleted. Without any it does nothing.
    ///
    /// # Errors
    /// `InvalidRequestException` if it has recovery points: they are deleted first, or kept with their account. If what is stored
    /// cannot be read or changed.
    pub async fn forget_account(&self, account: &str) -> std::result::Result<(), BackupError> {
        self.0.find().await?;
        let part = self.0.all().into_iter().find(|part| &*part.account == account);
        match part {
            Some(part) => part.forget_all().await,
            None => Ok(()),
        }
    }
}
