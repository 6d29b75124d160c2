//! Transactions: several items written all or nothing, or read as of one moment.
//!
//! A write transaction marks its items, takes their latches in the order that everybody takes them in, checks all of its
//! conditions, and is one commit of the engine. So transactions and writes are serializable, in the order of their
//! commits; nothing of one is ever seen without the rest; and as marking never waits, nothing locks up.

use std::sync::Arc;

use geodynamo_expression::{Condition, Update};
use geodynamo_item::{
    Item,
    size::{self, ITEM_BYTES_MAX},
};
use geodynamo_replicator_core::TransactionId;
use geodynamo_storage::Engine;

use crate::{
    Access, Result, StoredItem, Table, TableError,
    layout::{index::ItemKey, keys, record::Record},
    local::order::latch_of,
    read::metered::admit_transaction,
    schema::capacity::{Capacity, read_units, write_units},
    write::{
        Staged, WriteOptions, Writes,
        ongoing::{Ongoing, Whose},
        prepare::{Action, Prepared, check_update, prepare},
        token::{ClientToken, Tokens},
    },
};

/// The most bytes of all items of a transaction: what a request to write carries of them, or what a request to read is given.
pub const TRANSACTION_BYTES_MAX: usize = 4 * 1024 * 1024;
/// How often an item is written or read for a transaction: once to prepare it, once to commit it. A local or a global
/// index is written once.
const TWICE: f64 = 2.0;

/// One action of a write transaction.
#[derive(Clone, Debug)]
pub struct TransactWrite {
    /// The table of the item.
    pub table: Arc<Table>,
    /// What is done to the item.
    pub action: TransactAction,
    /// What must hold of the item as it is.
    pub condition: Option<Condition>,
    /// Bytes of the values that the request gives for the expressions.
    pub values_bytes: usize,
    /// Whether a failed condition gives the item as it is.
    pub old_on_failure: bool,
}

/// What a write transaction does to an item.
#[derive(Clone, Debug)]
pub enum TransactAction {
    /// Puts this item.
    Put(Item),
    /// Deletes the item with this key.
    Delete(Item),
    /// Updates the item with this key, or makes one.
    Update(Item, Option<Update>),
    /// Only checks the condition on the item with this key.
    Check(Item),
}

/// What a write transaction did.
#[derive(Clone, Debug)]
pub struct Transacted {
    /// What it consumed of each table, in the order of first mention: write units, or the read units of a repetition.
    pub capacity: Vec<(Arc<Table>, Capacity)>,
    /// Whether the transaction was committed before, under the same client token.
    pub repeated: bool,
}

/// What the region knows of its transactions in progress.
#[derive(Debug)]
pub(crate) struct Transactions {
    pub(crate) ongoing: Ongoing,
    pub(crate) tokens: Tokens,
}

impl Transactions {
    /// None in progress, on an engine that is opened.
    pub(crate) async fn open<E: Engine>(engine: &E) -> Result<Self> {
        Ok(Self {
            ongoing: Ongoing::default(),
            tokens: Tokens::open(engine).await?,
        })
    }
}

/// The tables of a transaction.
struct Involved {
    /// Each once, in the order of first mention.
    tables: Vec<Arc<Table>>,
    /// Where the table of each action stands among them.
    of_action: Vec<usize>,
}

/// An action, worked out.
struct PreparedAction {
    /// The table's place among those involved.
    table: usize,
    at: ItemKey,
    prepared: Prepared,
    /// Whether there is something to write.
    writes: bool,
    /// The larger of the item's sizes before and after.
    size: usize,
}

impl<E: Engine> Writes<E> {
    /// Carries all of the actions out, or none of them.
    ///
    /// # Errors
    /// [`TableError::TransactionCanceled`] with a reason for each action that could not be carried out;
    /// [`TableError::Validation`] for what is wrong with the request itself, for a transaction that is more than the engine
    /// takes in one commit, and on an engine that does not span groups for one that would have to; [`TableError::TransactionInProgress`] and [`TableError::ParameterMismatch`]
    /// for a token that is, or was, used otherwise.
    pub async fn transact_write(&self, actions: Vec<TransactWrite>, token: Option<&ClientToken>) -> Result<Transacted> {
        let involved = Involved::of(actions.iter().map(|action| &action.table));
        // What was carried out before is not judged again: its tables may have other indexes by now.
        let _claim = match token {
            Some(token) => Some(self.transactions.tokens.claim(token)?),
            None => None,
        };
        if let Some(token) = token
            && let Some(used) = self.find_token(token).await?
        {
            return Ok(involved.repeated(&used.units));
        }
        check_values(&actions)?;
        let ats = distinct(actions.iter().map(|action| (&action.table, action.locate())))?;

        let mut inside = Vec::with_capacity(involved.tables.len());
        for table in involved.by_id() {
            inside.push(table.live.gate.enter_or_gone().await?);
        }
        let places = actions.iter().map(|action| &action.table).zip(&ats);
        admit_transaction(places, Access::Write, TWICE * write_units(0, 0))?;
        let items: Vec<_> = whose(actions.iter().map(|action| &action.table), &ats);
        let writing = self.transactions.ongoing.transact(&items);
        let writing = writing.map_err(|busy| conflicts(busy, actions.iter().map(|action| &action.table)))?;
        let latches = items.iter().map(|item| latch_of(item.table, &item.key)).collect();
        let section = self.local.section_of(inside, latches).await;
        let engine_keys: Vec<_> = actions
            .iter()
            .zip(&ats)
            .map(|(action, at)| keys::item(action.table.id(), at.route, &at.bytes))
            .collect();
        let mut current = Vec::with_capacity(actions.len());
        for found in self.local.store().get_each(&engine_keys).await? {
            current.push(found.map(|bytes| Record::read(&bytes)).transpose()?);
        }
        let prepared = prepare_all(actions, ats, current, &involved)?;
        let (staged, capacity) = self.stage_transaction(&prepared, &involved.tables, token).await?;
        if !self.local.store().spans_groups() && !staged.commit.in_one_group() {
            return Err(TableError::Validation(
                "This storage engine cannot commit a transaction over several partition keys".into(),
            ));
        }
        staged.commit.check().map_err(|error| {
            TableError::Validation(format!(
                "The transaction's items with their index entries and images are more than one commit takes: {error}"
            ))
        })?;
        self.commit(section, staged).await?;
        drop(writing);
        Ok(Transacted {
            capacity: involved.tables.into_iter().zip(capacity).collect(),
            repeated: false,
        })
    }

    /// The items with these keys, in their order, all as of one moment. An item that is being written is a conflict.
    ///
    /// # Errors
    /// [`TableError::TransactionCanceled`] with a reason for each item that cannot be read; [`TableError::Validation`]
    /// for what is wrong with the request itself.
    pub async fn transact_get(&self, wanted: &[(Arc<Table>, Item)]) -> Result<Vec<Option<StoredItem>>> {
        let ats = distinct(wanted.iter().map(|(table, key)| (table, table.key_of(key))))?;
        let items = whose(wanted.iter().map(|(table, _)| table), &ats);
        let busy: Vec<_> = items
            .iter()
            .map(|item| self.transactions.ongoing.is_written(item))
            .collect();
        if busy.contains(&true) {
            return Err(conflicts(busy, wanted.iter().map(|(table, _)| table)));
        }
        let places = wanted.iter().map(|(table, _)| table).zip(&ats);
        let least = TWICE * read_units(0, true);
        admit_transaction(places, Access::Read, least)?;
        let engine_keys: Vec<_> = wanted
            .iter()
            .zip(&ats)
            .map(|((table, _), at)| keys::item(table.id(), at.route, &at.bytes))
            .collect();
        let found = self.reads.stored(&engine_keys).await?;
        let mut bytes = 0;
        for (item, ((table, _), at)) in found.iter().zip(wanted.iter().zip(&ats)) {
            let size = item.as_ref().map_or(Ok(0), StoredItem::size)?;
            table.consume(None, Access::Read, at.into(), TWICE * read_units(size, true) - least);
            bytes += size;
        }
        check_bytes(bytes)?;
        Ok(found)
    }

    /// Stages all changes of a transaction, and its token; gives what each table consumes.
    async fn stage_transaction(
        &self,
        actions: &[PreparedAction],
        tables: &[Arc<Table>],
        token: Option<&ClientToken>,
    ) -> Result<(Staged, Vec<Capacity>)> {
        let stamp = self.local.orderer().stamp(self.local.store_arc(), None).await?;
        // No stamp is issued twice, so no transaction has another one's id.
        let id = TransactionId(u128::from(stamp.time.0) << 64 | u128::from(stamp.replica.0));
        let mut staged = Staged::of(id);
        let mut capacity = vec![Capacity::default(); tables.len()];
        let mut repetition = vec![0; tables.len()];
        for (number, action) in actions.iter().enumerate() {
            let table = &tables[action.table];
            let staged_before = staged.commit.writes.len();
            let blame = |error| {
                let mut reasons = vec![None; actions.len()];
                reasons[number] = Some(error);
                TableError::TransactionCanceled(reasons)
            };
            if action.writes {
                let prepared = &action.prepared;
                match self.stage_prepared(table, &action.at, prepared, &mut staged).await {
                    Err(error @ TableError::ItemCollectionSize) => return Err(blame(error)),
                    other => other?,
                }
            }
            let consumed = Capacity {
                table: TWICE * write_units(action.size, 0),
                ..std::mem::take(&mut staged.capacity)
            };
            let writes = &staged.commit.writes[staged_before..];
            table
                .consume_write((&action.at).into(), writes, &consumed, TWICE * write_units(0, 0))
                .map_err(blame)?;
            capacity[action.table].add(&consumed);
            // Units are whole numbers, far below this type's most.
            repetition[action.table] += (TWICE * read_units(action.size, true)) as u32;
        }
        if let Some(token) = token {
            let used_ms = stamp.time.millis();
            self.transactions.tokens.uses(token, used_ms);
            staged.commit.writes.push(token.used(used_ms, repetition));
        }
        Ok((staged, capacity))
    }
}

impl TransactWrite {
    fn locate(&self) -> Result<ItemKey> {
        let at = match &self.action {
            TransactAction::Put(item) => {
                self.table.check_item(item)?;
                self.table.key_of_item(item)?
            }
            TransactAction::Delete(key) | TransactAction::Update(key, _) | TransactAction::Check(key) => {
                self.table.key_of(key)?
            }
        };
        if let TransactAction::Update(_, update) = &self.action {
            check_update(&self.table, update.as_ref())?;
        }
        Ok(at)
    }
}

impl Involved {
    fn of<'a>(actions: impl Iterator<Item = &'a Arc<Table>>) -> Self {
        let mut tables: Vec<Arc<Table>> = Vec::new();
        let of_action = actions.map(|table| {
            let known = tables.iter().position(|other| other.id() == table.id());
            known.unwrap_or_else(|| {
                tables.push(Arc::clone(table));
                tables.len() - 1
            })
        });
        let of_action = of_action.collect();
        Self { tables, of_action }
    }

    /// In the order of ids: gates are taken in one order everywhere, each once.
    fn by_id(&self) -> Vec<&Arc<Table>> {
        let mut tables: Vec<_> = self.tables.iter().collect();
        tables.sort_unstable_by_key(|table| table.id());
        tables
    }

    /// What a repetition of a committed transaction gives.
    fn repeated(self, units: &[u32]) -> Transacted {
        let units = units.iter().map(|units| Capacity::of_table(f64::from(*units)));
        Transacted {
            capacity: self.tables.into_iter().zip(units).collect(),
            repeated: true,
        }
    }
}

/// Prepares every action, so that the reasons of all that fail are known.
fn prepare_all(
    actions: Vec<TransactWrite>,
    ats: Vec<ItemKey>,
    current: Vec<Option<Record>>,
    involved: &Involved,
) -> Result<Vec<PreparedAction>> {
    let mut all = Vec::with_capacity(actions.len());
    let mut reasons = Vec::with_capacity(actions.len());
    for (number, ((action, at), current)) in actions.into_iter().zip(ats).zip(current).enumerate() {
        let table = involved.of_action[number];
        let options = WriteOptions {
            condition: action.condition.as_ref(),
            old_on_failure: action.old_on_failure,
            ..WriteOptions::default()
        };
        let writes = !matches!(action.action, TransactAction::Check(_));
        let key;
        let action = match action.action {
            TransactAction::Put(item) => Action::Put(item),
            TransactAction::Delete(_) => Action::Delete,
            TransactAction::Update(of, ref update) => {
                key = of;
                Action::Update {
                    key: &key,
                    update: update.as_ref(),
                }
            }
            TransactAction::Check(_) => Action::Check,
        };
        match prepare(&involved.tables[table], current, action, &options) {
            Ok(prepared) => {
                let (before, after) = prepared.sizes()?;
                all.push(PreparedAction {
                    table,
                    at,
                    prepared,
                    writes,
                    size: before.unwrap_or(0).max(after.unwrap_or(0)),
                });
                reasons.push(None);
            }
            Err(error) => reasons.push(Some(reason(error)?)),
        }
    }
    if all.len() < reasons.len() {
        return Err(canceled(reasons));
    }
    Ok(all)
}

/// What no state of the tables could make right: values that no key can have, and sizes that no item can have.
fn check_values(actions: &[TransactWrite]) -> Result<()> {
    let mut bytes = 0;
    for TransactWrite {
        table,
        action,
        values_bytes,
        ..
    } in actions
    {
        bytes += values_bytes;
        match action {
            TransactAction::Put(item) => {
                table.check_key_values(item)?;
                table.check_index_key_values(item)?;
                let size = size::item(item);
                if size > ITEM_BYTES_MAX {
                    return Err(TableError::Validation(
                        "Item size has exceeded the maximum allowed size".into(),
                    ));
                }
                bytes += size;
            }
            TransactAction::Delete(key) | TransactAction::Update(key, _) | TransactAction::Check(key) => {
                table.check_key_values(key)?;
                bytes += size::item(key);
            }
        }
    }
    check_bytes(bytes)
}

fn check_bytes(bytes: usize) -> Result<()> {
    if bytes <= TRANSACTION_BYTES_MAX {
        return Ok(());
    }
    Err(TableError::Validation(
        "The aggregate transaction size cannot exceed 4 MB".into(),
    ))
}

/// Where the items stand: each must fit its table, and be another one than the rest.
fn distinct<'a>(located: impl Iterator<Item = (&'a Arc<Table>, Result<ItemKey>)>) -> Result<Vec<ItemKey>> {
    let mut seen = std::collections::HashSet::new();
    let mut ats = Vec::new();
    let mut reasons = Vec::new();
    for (table, at) in located {
        match at {
            Ok(at) if !seen.insert((table.id(), at.bytes.clone())) => {
                return Err(TableError::Validation(
                    "Transaction request cannot include multiple operations on one item".into(),
                ));
            }
            Ok(at) => {
                ats.push(at);
                reasons.push(None);
            }
            Err(error) => reasons.push(Some(reason(error)?)),
        }
    }
    if ats.len() < reasons.len() {
        return Err(canceled(reasons));
    }
    Ok(ats)
}

/// The error of a transaction some of whose actions have reasons. Of several validation errors the first is told.
fn canceled(mut reasons: Vec<Option<TableError>>) -> TableError {
    let invalid = |reason: &&mut Option<TableError>| matches!(reason, Some(TableError::Validation(_)));
    for later in reasons.iter_mut().filter(invalid).skip(1) {
        *later = None;
    }
    TableError::TransactionCanceled(reasons)
}

/// The error, if it is one that cancels a transaction; others are the whole request's.
fn reason(error: TableError) -> Result<TableError> {
    match error {
        TableError::Storage(_) | TableError::Corrupt(_) | TableError::ResourceNotFound(_) => Err(error),
        reason => Ok(reason),
    }
}

/// The error of a transaction some of whose items, which are of these tables, are in another one.
fn conflicts<'a>(busy: Vec<bool>, tables: impl Iterator<Item = &'a Arc<Table>>) -> TableError {
    let reasons = busy.into_iter().zip(tables).map(|(busy, table)| {
        busy.then(|| {
            table.live.usage.transaction_conflict();
            TableError::TransactionConflict
        })
    });
    TableError::TransactionCanceled(reasons.collect())
}

fn whose<'a>(tables: impl Iterator<Item = &'a Arc<Table>>, ats: &[ItemKey]) -> Vec<Whose> {
    tables
        .zip(ats)
        .map(|(table, at)| Whose {
            table: table.id(),
            key: at.bytes.clone(),
        })
        .collect()
}

#[cfg(test)]
mod tests;
