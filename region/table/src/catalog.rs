//! The control plane: making, changing and removing tables. Every change is a change of registers.

use bytes::Bytes;
use geodynamo_storage::Engine;
use xxhash_rust::xxh3::xxh3_64;

use crate::{
    Description, Result, TableError, Tables,
    accounts::given_name,
    encryption,
    registers::{CATALOG, Setting, pack},
    replicas,
    resource_policy::ResourcePolicy,
    schema::{
        Billing, Definition, IndexDefinition, IndexKind, IndexStatus, KeySchema, Projection, Stream, StreamView,
        TableClass, Tags, Throughput, name_taken,
    },
    system::SYSTEM_IDS,
    table::TableStatus,
    throughput::{IndexUpdate, ReplicaUpdate, ThroughputUpdate, initial_partitions},
    throughput_changes,
};

/// The most tables in a region. AWS's default quota is 2,500.
pub const TABLES_MAX: usize = 2_500;
/// The most tags of a table.
pub const TAGS_MAX: usize = 50;

/// What a table is to be. The api has resolved the attribute definitions and checked counts and names.
#[derive(Clone, Debug, PartialEq)]
pub struct CreateTable {
    /// Its name.
    pub name: String,
    /// Its keys.
    pub keys: KeySchema,
    /// Its local indexes.
    pub local_indexes: Vec<NewIndex>,
    /// Its global indexes.
    pub global_indexes: Vec<NewIndex>,
    /// How it is billed.
    pub billing: Billing,
    /// More of its throughput, and of its global indexes'.
    pub throughput: ThroughputUpdate,
    /// Its stream.
    pub stream: Option<StreamView>,
    /// Whether it is protected from deletion.
    pub deletion_protection: bool,
    /// Its table class.
    pub table_class: Option<String>,
    /// Its tags.
    pub tags: Tags,
    /// Its policy.
    pub resource_policy: Option<String>,
    /// The master key that it is to be sealed under, as the key service calls it; none for a table without one.
    pub master_key: Option<String>,
}

/// What an index is to be.
#[derive(Clone, Debug, PartialEq)]
pub struct NewIndex {
    /// Its name.
    pub name: String,
    /// Its keys.
    pub keys: KeySchema,
    /// What it copies.
    pub projection: Projection,
    /// Provisioned throughput, for a global index of a provisioned table.
    pub throughput: Option<Throughput>,
}

/// What is to change of a table.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct UpdateTable {
    /// How it is billed.
    pub billing: Option<Billing>,
    /// The stream: `Some(None)` switches it off.
    pub stream: Option<Option<StreamView>>,
    /// Whether it is protected from deletion in this region.
    pub deletion_protection: Option<bool>,
    /// The table class in this region.
    pub table_class: Option<String>,
    /// Global indexes to add. One at most is added or removed at a time.
    pub index_creates: Vec<NewIndex>,
    /// Global indexes to remove.
    pub index_deletes: Vec<String>,
    /// More of the throughput, and that of global indexes.
    pub throughput: ThroughputUpdate,
    /// Regions to add a replica in.
    pub replica_creates: Vec<String>,
    /// What replicas, new ones too, get of their own.
    pub replica_updates: Vec<(String, ReplicaUpdate)>,
    /// Regions to remove the replica of.
    pub replica_deletes: Vec<String>,
    /// Whether this region is to leave the group, with all that it has.
    pub disassociate: bool,
    /// Whether it is protected from that.
    pub disassociation_protection: Option<bool>,
    /// Whether a regional table's settings are to be replicated: kept and shown.
    pub settings_mode: Option<bool>,
    /// The master key that it is to be sealed under in this region: `Some(None)` makes its rows plain.
    pub master_key: Option<Option<String>>,
    /// The master keys of replicas, new ones too, by their regions.
    pub replica_keys: Vec<(String, String)>,
}

/// A register's new value; `None` takes it away.
pub(crate) type Change = (Setting, Option<Bytes>);

impl<E: Engine> Tables<E> {
    /// Makes a table in this region. What it gives shows it CREATING; it is ACTIVE once this returns.
    pub async fn create_table(&self, create: CreateTable) -> Result<Description> {
        self.create_with(create, Vec::new()).await
    }

    /// The same, with more registers, which are there from its first moment.
    pub(crate) async fn create_with(&self, create: CreateTable, mut changes: Vec<Change>) -> Result<Description> {
        if let Some(master) = &create.master_key {
            changes.push(self.encrypt_new(master).await?);
        }
        let _changing = self.catalog_lock.lock().await;
        let directory = self.directory();
        if directory.holder(&create.name, self.region(), self.replica()).is_some() {
            return Err(TableError::ResourceInUse(format!(
                "Table already exists: {}",
                given_name(&create.name)
            )));
        }
        if self.count_of(self.owner(&create.name)) >= TABLES_MAX {
            return Err(TableError::LimitExceeded(format!(
                "Subscriber limit exceeded: Tables per account: {TABLES_MAX}"
            )));
        }
        let now = self.orderer().time.now_ms();
        let stamp = self.orderer().stamp(self.store_arc(), None).await?;
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
        self.store_built_indexes(id, &global).await?;
        let partitions = match self.options().partitions {
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
        let region = self.region().to_owned();
        let replica = replicas::founder(id, self.replica().0, now);
        changes.push((Setting::Definition, Some(pack(&definition)?)));
        changes.push((Setting::Billing, Some(pack(&create.billing)?)));
        changes.push((Setting::Replica(region.clone()), Some(pack(&replica)?)));
        if let Some(view) = create.stream {
            let label_ms = self.streams().next_label(&definition.name, now);
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
        if let Some(text) = create.resource_policy {
            let policy = ResourcePolicy::new(text, None, now);
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
        let table = self.table_named(name)?;
        let (creates, deletes) = (&update.replica_creates, &update.replica_deletes);
        replicas::check_open(&table.registers, (name, table.status()), creates, deletes)?;
        let now = self.orderer().time.now_ms();
        let region = self.region().to_owned();
        let mut changes: Vec<Change> = self.group_changes(&table, &update, now)?;
        let (of_indexes, created) = self.index_changes(&table, &update).await?;
        changes.extend(throughput_changes::of_update(&table, &update, &created, now)?);
        changes.extend(throughput_changes::of_replicas(&table, &update, now)?);
        changes.extend(of_indexes);
        let replicated = table.other_replicas(&region).next().is_some();
        let current = table.registers.stream.clone();
        let on = current.as_ref().is_some_and(|stream| stream.enabled);
        let label_ms = current.as_ref().map_or(0, |stream| stream.label_ms.saturating_add(1));
        let label_ms = label_ms.max(self.streams().next_label(name, now));
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
            changes.extend(self.encrypt_anew(&table, master.as_deref()).await?);
        }
        for (replica, master) in &update.replica_keys {
            changes.push(encryption::replica_key(&table, replica, master)?);
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
            let stamp = self.orderer().stamp(self.store_arc(), None).await?;
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
        let table = self.table_named(name)?;
        if !matches!(table.status(), TableStatus::Active | TableStatus::Inaccessible) {
            return Err(TableError::in_use(name, table.status()));
        }
        let description = table.describe(self.region(), self.orderer().time.now_ms());
        if description.deletion_protection {
            return Err(TableError::Validation(
                "Resource cannot be deleted as it is currently protected against deletion. Disable deletion protection first."
                    .into(),
            ));
        }
        let Some(entry) = table.registers.replicas.get(self.region()) else {
            return Err(TableError::no_table_named(name));
        };
        self.check_source(&table, self.region())?;
        let leaving = replicas::leaving(entry, self.orderer().time.now_ms());
        self.set_locked(
            table.id(),
            vec![(Setting::Replica(self.region().into()), Some(pack(&leaving)?))],
        )
        .await?;
        Ok(Description {
            status: TableStatus::Deleting,
            ..description
        })
    }

    /// A table's tags in this region.
    pub fn tags(&self, name: &str) -> Result<Tags> {
        Ok(self.table_named(name)?.tags(self.region()))
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
        let table = self.table_named(name)?;
        let mut tags = table.tags(self.region());
        change(&mut tags);
        if tags.len() > TAGS_MAX {
            return Err(TableError::Validation(
                "Number of Tags exceed the current limit for the provided ResourceArn".into(),
            ));
        }
        self.set_locked(
            table.id(),
            vec![(Setting::Tags(self.region().into()), Some(pack(&tags)?))],
        )
        .await
    }

    /// Sets registers of one table in one commit, and makes the table anew. The caller holds the catalog's lock.
    pub(crate) async fn set_locked(&self, table: u64, changes: Vec<Change>) -> Result<()> {
        if changes.is_empty() {
            return Ok(());
        }
        let is_apart = self
            .directory()
            .registers
            .get(&table)
            .is_some_and(|registers| registers.is_apart);
        let at = |(setting, value): Change| {
            // What all share is this region's own once it has left the group.
            let setting = match setting {
                shared if is_apart && shared.is_shared() => Setting::Apart(self.region().into(), Box::new(shared)),
                setting => setting,
            };
            (setting.key(table), value)
        };
        self.commit_system_rows(CATALOG, changes.into_iter().map(at).collect())
            .await?;
        self.refresh_locked(table).await
    }

    fn check_newcomer(&self, table: &crate::Table, newcomer: &str) -> Result<()> {
        if !self.options().regions.iter().any(|region| region == newcomer) {
            return Err(TableError::Validation(format!(
                "Region {newcomer} is not part of this cluster's topology"
            )));
        }
        if newcomer == self.region() {
            return Err(TableError::Validation(name_taken(table.name())));
        }
        if table.registers.is_apart {
            return Err(TableError::invalid(
                "A table that has left a global table cannot get replicas in this version of geodynamo",
            ));
        }
        let directory = self.directory();
        let same_name = directory.of_name(table.name()).map(|(_, registers)| registers);
        replicas::check_newcomer(&table.registers, table.name(), newcomer, same_name)
    }
}

impl NewIndex {
    pub(crate) fn into_definition(self, kind: IndexKind) -> IndexDefinition {
        let Self {
            name,
            keys,
            projection,
            throughput,
        } = self;
        IndexDefinition {
            name,
            kind,
            keys,
            projection,
            throughput,
        }
    }
}
