//! Writes: put, update and delete, with their conditions.

pub(crate) mod collections;
mod committer;
pub(crate) mod ongoing;
pub(crate) mod prepare;
pub(crate) mod token;
pub(crate) mod transaction;

use std::sync::Arc;

use geodynamo_expression::{Condition, Update};
use geodynamo_item::Item;
use geodynamo_replicator_core::{
    Body, Change, Effect, Images, MergeKind, Millis, Origin, Past, Stamp, TraceContext, TransactionId,
};
use geodynamo_storage::{Append, Commit, Engine, Write};
use smallvec::SmallVec;

use crate::{
    Access, Result, StoredItem, Table, TableError,
    layout::{
        expiry,
        index::{self, IndexChange, ItemKey},
        keys,
        record::{self, Record},
    },
    local::{Local, order::latch_of, section::Section, system::is_system},
    read::Reads,
    schema::capacity::{Capacity, write_units},
    table::Stats,
    write::{
        collections::{Collection, CollectionChange},
        committer::Committer,
        ongoing::Whose,
        prepare::{Action, Prepared, check_update, prepare},
        transaction::Transactions,
    },
};

/// What a write asks besides writing.
#[derive(Clone, Copy, Debug, Default)]
pub struct WriteOptions<'a> {
    /// What must hold of the item as it is.
    pub condition: Option<&'a Condition>,
    /// Whether to give the item as it was.
    pub return_old: bool,
    /// Whether to give the item as it became.
    pub return_new: bool,
    /// Whether a failed condition gives the item as it is.
    pub old_on_failure: bool,
    /// Whether to wait for a transaction that is in progress on the item, instead of failing.
    pub waits: bool,
    /// Whether what an update writes has a limit beside the item's: UpdateItem's has (`update_size.rs`).
    pub counts_actions: bool,
}

/// What a write did.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Written {
    /// The item as it was, where asked for.
    pub old: Option<Item>,
    /// The item as it became, where asked for.
    pub new: Option<Item>,
    /// What it consumed, in write units.
    pub capacity: Capacity,
}

/// A commit under construction, and what to count once it is durable.
#[derive(Debug, Default)]
pub(crate) struct Staged {
    pub(crate) commit: Commit,
    /// Puts and deletes that say how far something has come: in the commit where the engine spans groups, else each by itself
    /// after it, so that they may be behind what is committed, never ahead.
    pub(crate) marks: Vec<Write>,
    pub(crate) capacity: Capacity,
    /// The transaction that the changes are part of.
    pub(crate) transaction: Option<TransactionId>,
    /// When it is committed: all of its changes have the same time.
    at_ms: Option<Millis>,
    counts: SmallVec<[Count; 1]>,
    /// Whether links have any of the changes to send.
    to_send: bool,
    /// Those that a traced request makes.
    traced: SmallVec<[(Stamp, TraceContext); 1]>,
    /// What changes of item collections, in tables with local indexes.
    pub(crate) collections: Vec<CollectionChange>,
}

/// A change of a table's, or of one of its indexes', items and bytes.
#[derive(Debug)]
struct Count {
    stats: Arc<Stats>,
    before: Option<usize>,
    after: Option<usize>,
}

/// A change of one key, ready to be staged.
pub(crate) struct KeyChange<'a> {
    pub(crate) at: &'a ItemKey,
    pub(crate) old: Option<&'a Record>,
    /// The old item, decoded; only where the table has indexes.
    pub(crate) old_item: Option<&'a Item>,
    pub(crate) new: &'a Record,
    /// The new item, decoded; only where the table has indexes.
    pub(crate) new_item: Option<&'a Item>,
    pub(crate) origin: Origin,
}

impl Staged {
    /// Of nothing but marks. `makes_room` as in [`Commit`].
    pub(crate) fn of_marks(marks: Vec<Write>, makes_room: bool) -> Self {
        let commit = Commit {
            makes_room,
            ..Commit::default()
        };
        Self {
            commit,
            marks,
            ..Self::default()
        }
    }

    /// Nothing staged yet, of a transaction.
    pub(crate) fn of(transaction: TransactionId) -> Self {
        Self {
            transaction: Some(transaction),
            ..Self::default()
        }
    }
}

/// Writes: single ones and transactions. All that is committed to tables goes through it.
pub struct Writes<E: Engine> {
    local: Arc<Local<E>>,
    reads: Arc<Reads<E>>,
    /// What is known of transactions in progress.
    pub(crate) transactions: Transactions,
    committer: Arc<Committer<E>>,
}

impl<E: Engine> Writes<E> {
    pub(crate) fn new(local: &Arc<Local<E>>, reads: &Arc<Reads<E>>, transactions: Transactions) -> Self {
        Self {
            local: Arc::clone(local),
            reads: Arc::clone(reads),
            transactions,
            committer: Arc::new(Committer::new(local)),
        }
    }

    /// Puts an item in place of whatever has its key.
    pub async fn put(&self, table: &Table, item: Item, options: WriteOptions<'_>) -> Result<Written> {
        table.check_item(&item)?;
        let at = table.key_of_item(&item)?;
        self.write(table, at, options, Action::Put(item)).await
    }

    /// Deletes the item with a key. Deleting nothing is a write like any other: it has a stamp, so that an older write
    /// still on its way from another region does not win over it.
    pub async fn delete(&self, table: &Table, key: &Item, options: WriteOptions<'_>) -> Result<Written> {
        let at = table.key_of(key)?;
        self.write(table, at, options, Action::Delete).await
    }

    /// Updates the item with a key, or makes one. Without an update it makes sure that there is one.
    pub async fn update(
        &self,
        table: &Table,
        key: &Item,
        update: Option<&Update>,
        options: WriteOptions<'_>,
    ) -> Result<Written> {
        let at = table.key_of(key)?;
        check_update(table, update)?;
        self.write(table, at, options, Action::Update { key, update }).await
    }

    async fn write(
        &self,
        table: &Table,
        at: ItemKey,
        options: WriteOptions<'_>,
        action: Action<'_>,
    ) -> Result<Written> {
        let least = write_units(0, 0);
        table.admit(None, Access::Write, (&at).into(), least)?;
        let inside = table.live.gate.enter_or_gone().await?;
        let writing = self.transactions.ongoing.write(Whose {
            table: table.id(),
            key: at.bytes.clone(),
        });
        if writing.is_none() && !options.waits {
            table.live.usage.transaction_conflict();
            return Err(TableError::TransactionConflict);
        }
        let engine_key = keys::item(table.id(), at.route, &at.bytes);
        let section = self.local.section(inside, latch_of(table.id(), &at.bytes)).await;
        let current = self.local.store().get(&engine_key).await?;
        let current = current.map(|bytes| Record::read(&bytes)).transpose()?;
        let prepared = prepare(table, current, action, &options).inspect_err(|error| {
            if let TableError::ConditionFailed(failed) = error {
                table.live.usage.condition_failed();
                table.consume(None, Access::Write, (&at).into(), failed.units - least);
            }
        })?;
        let mut staged = Staged::default();
        self.stage_prepared(table, &at, &prepared, &mut staged).await?;
        table.consume_write((&at).into(), &staged.commit.writes, &staged.capacity, least)?;
        let capacity = staged.capacity.clone();
        self.commit(section, staged).await?;
        drop(writing);
        Ok(Written {
            old: prepared.old.filter(|_| options.return_old),
            new: prepared.new.filter(|_| options.return_new),
            capacity,
        })
    }

    /// Gives a prepared change its stamp and its past, and stages it. The caller has the turn on the key.
    pub(crate) async fn stage_prepared(
        &self,
        table: &Table,
        at: &ItemKey,
        prepared: &Prepared,
        staged: &mut Staged,
    ) -> Result<()> {
        let current = prepared.current.as_ref();
        let seen = current.map(|record| record.stamp);
        let stamp = self.local.orderer().stamp(self.local.store_arc(), seen).await?;
        let past = current.map_or_else(
            || self.local.past_of_nothing(table),
            |record| Past::after(&record.past, record.stamp),
        );
        let version = Record {
            stamp,
            past,
            kind: MergeKind::ItemLww,
            item: prepared.encoded.clone(),
        };
        let change = KeyChange {
            at,
            old: current,
            old_item: prepared.old.as_ref(),
            new: &version,
            new_item: prepared.new.as_ref(),
            origin: Origin::Local,
        };
        self.stage(table, &change, staged)?;
        self.committer.admit_collection(table, &staged.collections).await
    }

    /// Stages all that goes with a key's new version: its record, its index entries, and its change.
    pub(crate) fn stage(&self, table: &Table, change: &KeyChange<'_>, staged: &mut Staged) -> Result<()> {
        let KeyChange { at, old, new, .. } = change;
        // System tables' rows are not items.
        let items = !is_system(table.id());
        let size = |record: &Record| {
            record
                .item
                .clone()
                .filter(|_| items)
                .map(|item| StoredItem::new(item).size())
                .transpose()
        };
        let before = old.map(size).transpose()?.flatten();
        let after = size(new)?;
        let record = if new.stamp.expiry && new.item.is_none() {
            record::with_note(new, self.local.orderer().time.now_ms())
        } else {
            new.write()
        };
        let is_first = staged.commit.appends.is_empty();
        staged.commit.makes_room = new.item.is_none() && (is_first || staged.commit.makes_room);
        staged
            .commit
            .writes
            .push(Write::Put(keys::item(table.id(), at.route, &at.bytes), record));
        let maintained = table.live.maintained.load();
        let (decoded_old, decoded_new);
        let (mut old_item, mut new_item) = (change.old_item, change.new_item);
        if !maintained.is_empty() {
            // A write that was begun before the table's first index was made has not decoded them.
            decoded_old = missing_item(old_item, *old)?;
            decoded_new = missing_item(new_item, Some(*new))?;
            (old_item, new_item) = (old_item.or(decoded_old.as_ref()), new_item.or(decoded_new.as_ref()));
        }
        let indexes = index::maintain(
            table.id(),
            table.keys(),
            &maintained,
            at,
            old_item,
            new_item,
            &mut staged.commit.writes,
        );
        if let Some(attribute) = table.live.expires_by.load().as_deref() {
            let writes = &mut staged.commit.writes;
            expiry::maintain(table.id(), at, *old, new, attribute, self.local.sweeper(), writes)?;
        }
        staged.capacity.table += write_units(before.unwrap_or(0), after.unwrap_or(0));
        staged.counts.push(Count {
            stats: Arc::clone(&table.live.table),
            before,
            after,
        });
        let bytes = |size: Option<usize>| size.map_or(0, |size| i64::try_from(size).unwrap_or(i64::MAX));
        let mut grown = bytes(after) - bytes(before);
        for IndexChange {
            index,
            before,
            after,
            units,
        } in indexes
        {
            let index = &maintained[index];
            if !index.is_global() {
                grown += bytes(after) - bytes(before);
            }
            let consumed = if index.is_global() {
                &mut staged.capacity.global
            } else {
                &mut staged.capacity.local
            };
            consumed.push((index.name.clone(), units));
            if let Some(stats) = table.live.indexes.read().get(&index.kind) {
                staged.counts.push(Count {
                    stats: Arc::clone(stats),
                    before,
                    after,
                });
            }
        }
        if maintained.iter().any(|index| !index.is_global()) {
            let of = Collection::of(table.id(), at);
            staged
                .collections
                .extend(of.map(|of| CollectionChange { of, bytes: grown }));
        }
        let view = table.view();
        let image =
            |record: Option<&Record>, wanted: bool| record.and_then(|record| record.item.clone()).filter(|_| wanted);
        let both = table.live.keeps_both_images();
        let keeps_new = both || table.live.keeps_images() || table.live.keeps_images_for_copies();
        let images = Images {
            old: image(*old, both || view.is_some_and(|view| view.old_image())),
            new: image(Some(*new), keeps_new || view.is_some_and(|view| view.new_image())),
        };
        let body = Body::Item {
            deleted: new.item.is_none(),
            effect: Effect {
                existed: before.is_some(),
                unchanged: old.and_then(|record| record.item.as_ref()) == new.item.as_ref(),
            },
            images,
        };
        self.append(table, at, new.stamp, new.past.clone(), change.origin, body, staged);
        Ok(())
    }

    /// Stages a change for the log of the key's partition.
    #[expect(clippy::too_many_arguments, reason = "a change's fields, one by one")]
    pub(crate) fn append(
        &self,
        table: &Table,
        at: &ItemKey,
        stamp: Stamp,
        past: Past,
        origin: Origin,
        body: Body,
        staged: &mut Staged,
    ) {
        let commit_time = *staged.at_ms.get_or_insert_with(|| self.local.orderer().commit_ms());
        let change = Change {
            key: at.bytes.clone(),
            stamp,
            past,
            origin,
            commit_time,
            transaction: staged.transaction,
            body,
        };
        let log = self.local.log_of(table, table.partitions().partition_of(at.route));
        if origin == Origin::Local {
            staged.to_send = true;
            staged
                .traced
                .extend(self.local.traces().current().map(|context| (stamp, context)));
        }
        staged.commit.appends.push(Append {
            log,
            record: change.encode().into(),
        });
    }

    /// Commits what was staged under a section, and lets go of the section once it is durable.
    pub(crate) async fn commit(&self, section: Section, staged: Staged) -> Result<()> {
        self.commit_then(section, staged, || ()).await
    }

    /// Commits what was staged under a section. Once it is durable, and before the section is let go of, `then` notes in memory
    /// what must be known to the next one who has the turn.
    pub(crate) async fn commit_then<T: Send>(
        &self,
        section: Section,
        staged: Staged,
        then: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T> {
        let committer = Arc::clone(&self.committer);
        let committing = async move {
            committer.carry_out(staged).await?;
            Ok(then())
        };
        section.hold(committing).await
    }

    /// The size of the collection with a partition key, in bytes.
    ///
    /// # Errors
    /// Those of storage. A key that is not of the table's kind gives zero.
    pub async fn collection_bytes(&self, table: &Table, key: &Item) -> Result<u64> {
        self.committer.bytes_of(table, key).await
    }
}

/// A record's item where the caller has not decoded it.
fn missing_item(decoded: Option<&Item>, record: Option<&Record>) -> Result<Option<Item>> {
    let stored = record
        .and_then(|record| record.item.clone())
        .filter(|_| decoded.is_none());
    stored.map(|item| StoredItem::new(item).decode()).transpose()
}
