//! The control plane: making, changing and removing tables. Every change is a change of registers.

mod classes;
mod group;
pub(crate) mod index_changes;
mod insights;
pub(crate) mod lawful;
pub(crate) mod reach;
mod refresh;
mod resource_policy;
pub(crate) mod scaling;

use std::sync::{Arc, atomic::AtomicU64};

use geodynamo_storage::Engine;
use parking_lot::Mutex;
use xxhash_rust::xxh3::xxh3_64;

use crate::{
    CreateTable, Description, Indexes, NewIndex, Result, Sealing, Table, TableError, UpdateTable,
    catalog::reach::Reach,
    local::{Local, system::SYSTEM_IDS},
    log::Logs,
    rows::SystemRows,
    schema::{
        Definition, IndexKind, IndexStatus, Stream, StreamView, TableClass, Tags, accounts::given_name, name_taken,
    },
    sealing,
    streams::Streams,
    table::{
        TableStatus,
        registers::{CATALOG, Change, Setting, pack},
        replicas,
        resource_policy::ResourcePolicy,
        throughput::{IndexUpdate, initial_partitions},
        throughput_changes,
    },
};

/// The most tables in a region. AWS's default quota is 2,500.
pub const TABLES_MAX: usize = 2_500;

/// The control plane: making, changing and removing tables, and what this replica makes of their registers.
pub struct Catalog<E: Engine> {
    local: Arc<Local<E>>,
    rows: Arc<SystemRows<E>>,
    logs: Arc<Logs<E>>,
    sealing: Arc<Sealing<E>>,
    indexes: Arc<Indexes<E>>,
    streams: Arc<Streams<E>>,
    /// Held by whoever changes the catalog.
    pub(crate) catalog_lock: tokio::sync::Mutex<()>,
    /// Tables whose replica here others have given up: their data is to be taken away.
    pub(crate) given_up: Mutex<Vec<Arc<Table>>>,
    /// For how long the source of a copy cannot be deleted.
    pub(crate) source_held_ms: AtomicU64,
    /// For how long other regions have been out of reach.
    pub(crate) reach: Reach,
}

impl<E: Engine> Catalog<E> {
    pub(crate) fn new(
        local: &Arc<Local<E>>,
        rows: &Arc<SystemRows<E>>,
        logs: &Arc<Logs<E>>,
        sealing: &Arc<Sealing<E>>,
        indexes: &Arc<Indexes<E>>,
        streams: &Arc<Streams<E>>,
    ) -> Self {
        Self {
            local: Arc::clone(local),
            rows: Arc::clone(rows),
            logs: Arc::clone(logs),
            sealing: Arc::clone(sealing),
            indexes: Arc::clone(indexes),
            streams: Arc::clone(streams),
            catalog_lock: tokio::sync::Mutex::default(),
            given_up: Mutex::default(),
            source_held_ms: AtomicU64::new(0),
            reach: Reach::default(),
        }
    }

    /// As DescribeTable shows it.
    pub fn describe(&self, name: &str) -> Result<Description> {
        let table = self.local.table_named(name)?;
        let mut description = table.describe(self.local.region(), self.local.orderer.time.now_ms());
        description.stream = description
            .stream
            .and_then(|setting| self.stream_here(table.id(), setting));
        for replica in &mut description.replicas {
            replica.out_of_reach = self.is_out_of_reach(&replica.region);
        }
        Ok(description)
    }

    /// A stream as it is in this region, with the label that it has here; none that has not begun here yet.
    fn stream_here(&self, table: u64, setting: Stream) -> Option<Stream> {
        let known = self.streams.states().label_of(table, setting.label_ms);
        let own = setting
            .region
            .as_deref()
            .is_none_or(|region| region == self.local.region());
        let label_ms = known.or(Some(setting.label_ms).filter(|_| own))?;
        Some(Stream { label_ms, ..setting })
    }

    /// Makes a table in this region. What it gives shows it CREATING; it is ACTIVE once this returns.
    pub async fn create_table(&self, create: CreateTable) -> Result<Description> {
        self.create_with(create, Vec::new()).await
    }

    /// The same, with more registers, which are there from its first moment.
    pub(crate) async fn create_with(&self, create: CreateTable, mut changes: Vec<Change>) -> Result<Description> {
        if let Some(master) = &create.master_key {
            changes.push(self.sealing.encrypt_new(master).await?);
        }
        let _changing = self.catalog_lock.lock().await;
        let directory = self.local.directory();
        if directory
            .holder(&create.name, self.local.region(), self.local.replica())
            .is_some()
        {
            return Err(TableError::ResourceInUse(format!(
                "Table already exists: {}",
                given_name(&create.name)
            )));
        }
        if self.local.count_of(self.local.owner(&create.name)) >= TABLES_MAX {
            return Err(TableError::LimitExceeded(format!(
                "Subscriber limit exceeded: Tables per account: {TABLES_MAX}"
            )));
        }
        let now = self.local.orderer().time.now_ms();
        let stamp = self.local.orderer().stamp(self.local.store_arc(), None).await?;
        let mut named = stamp.to_bytes().to_vec();
        let mut unique = |what: &str| {
            named.extend_from_slice(what.as_bytes());
            xxh3_64(&named)
        };
        // The least ids are the system tables'; a hash that happens to be one of them takes the next number.
        let id = unique("table").max(SYSTEM_IDS);
        let mut global = Vec::new();
        for index in create.global_indexes {
            let kind = IndexKind::Global(unique(&index.name).max(1));
            let definition = index.into_definition(kind);
            let packed = pack(&definition)?;
            changes.push((Setting::GlobalIndex(definition.name.clone()), Some(packed)));
            global.push(definition);
        }
        changes.extend(throughput_changes::of_new_table(
            create.billing,
            &create.throughput,
            &global,
        )?);
        self.indexes.store_built_indexes(id, &global).await?;
        let partitions = match self.local.options().partitions {
            0 => initial_partitions(create.billing, create.throughput.warm),
            told => told,
        };
        let local = |(ordinal, index): (u8, NewIndex)| index.into_definition(IndexKind::Local(ordinal));
        let definition = Definition {
            name: create.name,
            created_ms: now,
            keys: create.keys,
            local_indexes: (0..).zip(create.local_indexes).map(local).collect(),
            partitions,
            uuid: (u128::from(stamp.time.0) << 64) | u128::from(stamp.replica.0),
        };
        let region = self.local.region().to_owned();
        let replica = replicas::founder(id, self.local.replica().0, now);
        changes.push((Setting::Definition, Some(pack(&definition)?)));
        changes.push((Setting::Billing, Some(pack(&create.billing)?)));
        changes.push((Setting::Replica(region.clone()), Some(pack(&replica)?)));
        if let Some(view) = create.stream {
            let label_ms = self.streams.states().next_label(&definition.name, now);
            changes.push((
                Setting::Stream,
                Some(pack(&Stream {
                    enabled: true,
                    view,
                    label_ms,
                    region: Some(region.clone()),
                })?),
            ));
        }
        if create.deletion_protection {
            changes.push((Setting::DeletionProtection(region.clone()), Some(pack(&true)?)));
        }
        if let Some(class) = create.table_class {
            let class = TableClass { class, since_ms: None };
            changes.push((Setting::TableClass(region.clone()), Some(pack(&class)?)));
        }
        if !create.tags.is_empty() {
            changes.push((Setting::Tags(region.clone()), Some(pack(&create.tags)?)));
        }
        if let Some(policy) = create.resource_policy {
            let policy = ResourcePolicy::new(policy, None, now);
            changes.push((Setting::ResourcePolicy(region), Some(pack(&policy)?)));
        }
        self.set_locked(id, changes).await?;
        let mut description = self.describe(&definition.name)?;
        description.status = TableStatus::Creating;
        Ok(description)
    }

    /// Changes a table. What it gives shows it UPDATING. Replicas are added and removed, and indexes filled and taken
    /// away, in the background; DescribeTable shows how far they have come.
    pub async fn update_table(&self, name: &str, update: UpdateTable) -> Result<Description> {
        let _changing = self.catalog_lock.lock().await;
        let table = self.local.table_named(name)?;
        let (creates, deletes) = (&update.replica_creates, &update.replica_deletes);
        replicas::check_open(&table.registers, (name, table.status()), creates, deletes)?;
        let now = self.local.orderer().time.now_ms();
        let region = self.local.region().to_owned();
        let mut changes: Vec<Change> = self.group_changes(&table, &update, now)?;
        let (of_indexes, created) = self.index_changes(&table, &update).await?;
        changes.extend(throughput_changes::of_update(&table, &update, &created, now)?);
        changes.extend(throughput_changes::of_replicas(&table, &update, now)?);
        changes.extend(of_indexes);
        let replicated = table.other_replicas(&region).next().is_some();
        let current = table.registers.stream.clone();
        let on = current.as_ref().is_some_and(|stream| stream.enabled);
        let label_ms = current.as_ref().map_or(0, |stream| stream.label_ms.saturating_add(1));
        let label_ms = label_ms.max(self.streams.states().next_label(name, now));
        match update.stream {
            None => {}
            Some(Some(_)) if on => {
                return Err(TableError::Validation(
                    "Table already has an enabled stream".to_owned() + ": TableName: " + name,
                ));
            }
            Some(Some(view)) => {
                changes.push((
                    Setting::Stream,
                    Some(pack(&Stream {
                        enabled: true,
                        view,
                        label_ms,
                        region: Some(region.clone()),
                    })?),
                ));
            }
            Some(None) if !on => {
                return Err(TableError::Validation(
                    "Table has no stream to disable".to_owned() + ": TableName: " + name,
                ));
            }
            Some(None) if replicated => {
                return Err(TableError::invalid(
                    "Disabling Stream is not allowed for a Global Table replica.",
                ));
            }
            Some(None) => {
                let off = current.clone().map(|stream| Stream {
                    enabled: false,
                    ..stream
                });
                changes.extend(
                    off.map(|stream| pack(&stream))
                        .transpose()?
                        .map(|packed| (Setting::Stream, Some(packed))),
                );
            }
        }
        if let Some(protected) = update.deletion_protection {
            changes.push((Setting::DeletionProtection(region.clone()), Some(pack(&protected)?)));
        }
        if let Some(master) = &update.master_key {
            changes.extend(self.sealing.encrypt_anew(&table, master.as_deref()).await?);
        }
        for (replica, master) in &update.replica_keys {
            changes.push(sealing::replica_key(&table, replica, master)?);
        }
        let class = update.table_class.as_deref();
        changes.extend(throughput_changes::of_class(&table, &region, class, now)?);
        for newcomer in update.replica_creates {
            self.check_newcomer(&table, &newcomer)?;
            // Adding a replica switches on a stream of new and old images; a stream that was there keeps its view.
            if !on && !changes.iter().any(|(setting, _)| *setting == Setting::Stream) {
                let stream = Stream {
                    enabled: true,
                    view: StreamView::NewAndOldImages,
                    label_ms,
                    region: Some(region.clone()),
                };
                changes.push((Setting::Stream, Some(pack(&stream)?)));
            }
            let stamp = self.local.orderer().stamp(self.local.store_arc(), None).await?;
            let join = xxh3_64(&stamp.to_bytes());
            changes.push(replicas::create_request(&newcomer, &region, join, now)?);
        }
        for leaver in update.replica_deletes {
            changes.extend(replicas::delete_request(&table.registers, &leaver, &region, now)?);
        }
        self.set_locked(table.id(), changes).await?;
        let mut description = self.describe(name)?;
        description.status = TableStatus::Updating;
        for index in &mut description.global_indexes {
            let changed = |(name, _): &(String, IndexUpdate)| *name == index.definition.name;
            if index.status == IndexStatus::Active && update.throughput.indexes.iter().any(changed) {
                index.status = IndexStatus::Updating;
            }
        }
        Ok(description)
    }

    /// Removes this region's replica of a table, which may be the only one.
    pub async fn delete_table(&self, name: &str) -> Result<Description> {
        let _changing = self.catalog_lock.lock().await;
        let table = self.local.table_named(name)?;
        if !matches!(table.status(), TableStatus::Active | TableStatus::Inaccessible) {
            return Err(TableError::in_use(name, table.status()));
        }
        let description = table.describe(self.local.region(), self.local.orderer().time.now_ms());
        if description.deletion_protection {
            return Err(TableError::Validation(
                "Resource cannot be deleted as it is currently protected against deletion. Disable deletion protection first."
                    .into(),
            ));
        }
        let Some(entry) = table.registers.replicas.get(self.local.region()) else {
            return Err(TableError::no_table_named(name));
        };
        self.check_source(&table, self.local.region())?;
        let leaving = replicas::leaving(entry, self.local.orderer().time.now_ms());
        self.set_locked(
            table.id(),
            vec![(Setting::Replica(self.local.region().into()), Some(pack(&leaving)?))],
        )
        .await?;
        Ok(Description {
            status: TableStatus::Deleting,
            ..description
        })
    }

    /// A table's tags in this region.
    pub fn tags(&self, name: &str) -> Result<Tags> {
        Ok(self.local.table_named(name)?.tags(self.local.region()))
    }

    /// Sets tags.
    pub async fn tag(&self, name: &str, tags: Tags) -> Result<()> {
        self.change_tags(name, |all| all.extend(tags)).await
    }

    /// Takes tags away.
    pub async fn untag(&self, name: &str, keys: &[String]) -> Result<()> {
        self.change_tags(name, |all| all.retain(|key, _| !keys.contains(key)))
            .await
    }

    async fn change_tags(&self, name: &str, change: impl FnOnce(&mut Tags)) -> Result<()> {
        let _changing = self.catalog_lock.lock().await;
        let table = self.local.table_named(name)?;
        let mut tags = table.tags(self.local.region());
        change(&mut tags);
        if tags.len() > TAGS_MAX {
            return Err(TableError::Validation(
                "Number of Tags exceed the current limit for the provided ResourceArn".into(),
            ));
        }
        self.set_locked(
            table.id(),
            vec![(Setting::Tags(self.local.region().into()), Some(pack(&tags)?))],
        )
        .await
    }

    /// Sets registers of one table in one commit, and makes the table anew. The caller holds the catalog's lock.
    pub(crate) async fn set_locked(&self, table: u64, changes: Vec<Change>) -> Result<()> {
        if changes.is_empty() {
            return Ok(());
        }
        let is_apart = self
            .local
            .directory()
            .registers
            .get(&table)
            .is_some_and(|registers| registers.is_apart);
        let at = |(setting, value): Change| {
            // What all share is this region's own once it has left the group.
            let setting = match setting {
                shared if is_apart && shared.is_shared() => {
                    Setting::Apart(self.local.region().into(), Box::new(shared))
                }
                setting => setting,
            };
            (setting.key(table), value)
        };
        self.rows
            .commit_system_rows(CATALOG, changes.into_iter().map(at).collect())
            .await?;
        self.refresh_locked(table).await
    }

    fn check_newcomer(&self, table: &crate::Table, newcomer: &str) -> Result<()> {
        if !self.local.options().regions.iter().any(|region| region == newcomer) {
            return Err(TableError::Validation(format!(
                "Region {newcomer} is not part of this cluster's topology"
            )));
        }
        if newcomer == self.local.region() {
            return Err(TableError::Validation(name_taken(table.name())));
        }
        if table.registers.is_apart {
            return Err(TableError::invalid(
                "A table that has left a global table cannot get replicas in this version of geodynamo",
            ));
        }
        let directory = self.local.directory();
        let same_name = directory.of_name(table.name()).map(|(_, registers)| registers);
        replicas::check_newcomer(&table.registers, table.name(), newcomer, same_name)
    }
}

/// The most tags of a table.
pub const TAGS_MAX: usize = 50;
