//! Mending what was in a damaged file.
//!
//! The engine says which rows it does not vouch for ([`geodynamo_storage::Distrust`]); until they are mended, requests for them are
//! refused. What is mended from where:
//!
//! | rows | from |
//! | --- | --- |
//! | items and conflict records | every other region that serves the table: those stretches are verified, by this region, and what they have and this one lacks is fetched. Rows that are there count by their stamps, and one that is missing here is no delete: nobody takes it for one |
//! | index entries, expiry entries | the items, once those are mended |
//! | cursors | memory |
//! | sizes of item collections | they are measured when they are needed |
//! | client tokens of transactions | nothing: until they would have gone by themselves, transactions that need one of them are refused |
//! | log records | nothing: all other regions are verified, as they may not have got what was told there |
//!
//! A table that no other region serves is mended by whoever has its archive ([`Verify::unmended`]), or stays as it is, and is told
//! of. The replica's own state cannot be mended at all; nor do system tables' rows wait for a restart: see [`check_own`].

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use geodynamo_replicator_core::{
    CopyMark, MergeKind, Millis, Past,
    verify::{STRETCHES_MAX, Stretch, Verified, VerifyOrder},
};
use geodynamo_storage::{Distrust, Engine, KEY_HEAD, LogId, Write};

use crate::{
    Result, StoredItem, Table, TableError,
    layout::{
        index::ItemKey,
        keys::{self, space},
        record::Record,
    },
    local::{order::latch_of, system::is_system},
    log::cut::Row,
    schema::{IndexDefinition, IndexKind},
    verify::{AGAIN_MS, Verify},
    write::Staged,
};

/// How long other regions that do not answer are waited for, once one has.
const PATIENCE_MS: Millis = 60_000;

/// How long client tokens are of use, and somewhat longer, as they are dropped by tens of minutes.
const TOKENS_KEPT_MS: Millis = 20 * 60_000;

/// A range of engine keys.
pub(super) type Range = (Bytes, Bytes);

/// What is being done about a table.
#[derive(Debug)]
pub(crate) struct Mend {
    since: Millis,
    /// When each region was last asked.
    asked: BTreeMap<String, Millis>,
    /// What was shown to be equal with each region, as of how many losses.
    proven: BTreeMap<String, (u64, Vec<Stretch>)>,
}

/// A table of which rows may be lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unmended {
    /// The table; its name is in parentheses for a system table.
    pub table: String,
    /// Its id.
    pub id: u64,
    /// Ranges of its items and conflict records that are not mended.
    pub ranges: usize,
    /// The regions that it is being mended from; none if none serves it.
    pub peers: Vec<String>,
}

/// Refuses to open what cannot be mended: a replica that does not know its own state, or tables of which it may know too few.
pub(crate) fn check_own(distrust: &Distrust) -> Result<()> {
    let is_hurt = |(from, to): (Bytes, Bytes)| distrust.within(&from, &to).next().is_some();
    let mut system = (0..).take_while(|id| is_system(*id));
    let items = |id| keys::owner_range(space::ITEM, id, 0, u64::MAX);
    if is_hurt(whole_space(space::SYSTEM)) || system.any(|id| is_hurt(items(id))) {
        return Err(TableError::Corrupt(
            "a damaged file held what this replica knows of itself or of its tables, and was not mended while it ran: give the \
             region a new data directory, which gets copies from the other regions or from backups"
                .into(),
        ));
    }
    Ok(())
}

impl<E: Engine> Verify<E> {
    /// Takes a step for whatever is not vouched for, and tells what is left. To be called again, every second or so, until
    /// nothing is.
    ///
    /// # Errors
    /// If the engine fails: it is tried again with the next step.
    pub async fn mend(&self) -> Result<Vec<Unmended>> {
        let distrusted = self.local.store().distrusted();
        let (distrust, losses) = (distrusted.now(), distrusted.losses());
        if distrust.is_empty() {
            self.verifications.mends.lock().clear();
            return Ok(Vec::new());
        }
        let mut tables: Vec<Arc<Table>> = self.local.system().all().cloned().collect();
        tables.extend(self.local.all());
        let mut left = Vec::new();
        for table in &tables {
            left.extend(self.mend_table(table, &distrust, losses).await?);
        }
        self.trust_strangers(&tables).await?;
        self.mend_tokens(&distrust).await?;
        if distrust.records().next().is_some() {
            self.mend_records(&tables, &distrust, losses).await?;
        }
        Ok(left)
    }

    /// Tables of which rows may be lost, as [`Verify::mend`] left them.
    pub fn unmended(&self) -> Vec<Unmended> {
        let distrust = self.local.store().distrusted().now();
        if distrust.is_empty() {
            return Vec::new();
        }
        let of = |table: &Arc<Table>| {
            let rows = rows_of(table, &distrust);
            (!rows.is_empty()).then(|| self.told(table, rows.len()))
        };
        let tables = self.local.all();
        self.local.system().all().chain(&tables).filter_map(of).collect()
    }

    fn told(&self, table: &Table, ranges: usize) -> Unmended {
        Unmended {
            table: super::shown_name(table),
            id: table.id(),
            ranges,
            peers: self.mended_from(table),
        }
    }

    /// The other regions that serve a table.
    fn mended_from(&self, table: &Table) -> Vec<String> {
        let all = self.local.options().regions.iter();
        let others = all.filter(|region| *region != self.local.region());
        let serves = |region: &&String| match is_system(table.id()) {
            true => self.merge.knows_catalog(),
            false => self.serves_with(table, region, None),
        };
        others.filter(serves).cloned().collect()
    }

    /// Gives what is left to be mended, if anything is.
    async fn mend_table(&self, table: &Arc<Table>, distrust: &Distrust, losses: u64) -> Result<Option<Unmended>> {
        let rows = rows_of(table, distrust);
        let derived = derived_of(table, distrust);
        let cursors = within(distrust, space::CURSOR, table.id());
        if !cursors.is_empty() {
            self.merge.store_cursors_again(table.id()).await?;
            self.trust(&cursors).await?;
        }
        if rows.is_empty() && derived.is_empty() {
            return Ok(None);
        }
        if !rows.is_empty() && !self.is_mended(table, &rows, losses) {
            return Ok(Some(self.told(table, rows.len())));
        }
        self.end_mending(table, &rows, &derived).await?;
        Ok(None)
    }

    /// Rows of a table are as they were: what is derived of them is put right, and then all of it is trusted.
    async fn end_mending(&self, table: &Arc<Table>, rows: &[Range], derived: &[Range]) -> Result<()> {
        if !is_system(table.id()) {
            self.derive_anew(table, derived).await?;
            if !rows.is_empty() {
                self.drop_stale_entries(table).await?;
            }
        }
        self.trust(rows).await?;
        self.trust(derived).await?;
        let (table, ranges) = (super::shown_name(table), rows.len() + derived.len());
        tracing::warn!(
            region = self.local.region(),
            table,
            ranges,
            "what was in a damaged file is mended"
        );
        Ok(())
    }

    /// Takes a table's rows for mended that somebody else has brought up to date, from its archive: see [`Verify::unmended`].
    ///
    /// # Errors
    /// If there is no such table here, or the engine fails.
    pub async fn mended(&self, id: u64, ranges: &[(Bytes, Bytes)]) -> Result<()> {
        let table = self.local.replicated(id).ok_or_else(TableError::no_table)?;
        let distrust = self.local.store().distrusted().now();
        self.end_mending(&table, ranges, &derived_of(&table, &distrust)).await
    }

    /// Puts items back that an archive has, where they are not vouched for and not there: see [`Verify::unmended_rows`]. For a
    /// table that no other region serves; the archive has them as they were last written. No change is logged: they did not
    /// change.
    ///
    /// # Errors
    /// If there is no such table here, or the engine fails.
    pub async fn bring_back(&self, id: u64, rows: Vec<Row>) -> Result<u64> {
        let table = self.local.replicated(id).ok_or_else(TableError::no_table)?;
        let mut count = 0;
        for row in rows {
            let at = ItemKey {
                route: row.route,
                bytes: row.key,
            };
            let key = keys::item(id, at.route, &at.bytes);
            let inside = table.live.gate.enter_or_gone().await?;
            let section = self.local.section(inside, latch_of(id, &at.bytes)).await;
            let is_lost = self.local.store().distrusted().now().covers(&key);
            if is_lost && self.held_row(key.clone()).await?.is_none() {
                let record = Record {
                    stamp: self.local.orderer().stamp(self.local.store_arc(), None).await?,
                    past: Past::new(),
                    kind: MergeKind::ItemLww,
                    item: Some(row.item),
                };
                self.writes
                    .commit(section, self.put_back(&table, &at, &record)?)
                    .await?;
                count += 1;
            }
        }
        Ok(count)
    }

    /// What puts an item back, with what is derived of it.
    fn put_back(&self, table: &Table, at: &ItemKey, record: &Record) -> Result<Staged> {
        let mut writes = vec![Write::Put(keys::item(table.id(), at.route, &at.bytes), record.write())];
        let item = record
            .item
            .clone()
            .map(|item| StoredItem::new(item).decode())
            .transpose()?;
        table.derive(at, record, item.as_ref(), self.local.sweeper(), &mut writes)?;
        let mut staged = Staged::default();
        staged.commit.writes = writes;
        Ok(staged)
    }

    /// Whether an item of a table is not vouched for.
    pub fn is_unmended(&self, id: u64, row: &Row) -> bool {
        let key = keys::item(id, row.route, &row.key);
        self.local.store().distrusted().now().covers(&key)
    }

    /// The ranges of a table's rows that are not vouched for.
    pub fn unmended_rows(&self, id: u64) -> Vec<(Bytes, Bytes)> {
        let distrust = self.local.store().distrusted().now();
        let table = self.local.replicated(id);
        table.map(|table| rows_of(&table, &distrust)).unwrap_or_default()
    }

    async fn trust(&self, ranges: &[Range]) -> Result<()> {
        for (from, to) in ranges {
            self.local.store().trust_rows(from.clone(), to.clone()).await?;
        }
        Ok(())
    }

    /// Whether all regions that serve a table, or those that answer, are shown to have nothing of some ranges that is not here.
    /// Asks them to.
    fn is_mended(&self, table: &Table, rows: &[Range], losses: u64) -> bool {
        let now = self.local.orderer().time.now_ms();
        let mut stretches: Vec<Stretch> = rows.iter().map(|range| stretch_of(table.id(), range)).collect();
        stretches.dedup();
        if stretches.len() > STRETCHES_MAX {
            stretches = vec![Stretch::default()];
        }
        let peers = self.mended_from(table);
        let mut asked = Vec::new();
        let open = {
            let mut mends = self.verifications.mends.lock();
            let mend = mends.entry(table.id()).or_insert_with(|| Mend {
                since: now,
                asked: BTreeMap::new(),
                proven: BTreeMap::new(),
            });
            let is_proven = |proven: &Vec<Stretch>| {
                stretches
                    .iter()
                    .all(|stretch| proven.iter().any(|of| of == stretch || *of == Stretch::default()))
            };
            let open: Vec<&String> = peers
                .iter()
                .filter(|peer| {
                    let proven = mend.proven.get(*peer).filter(|(as_of, _)| *as_of == losses);
                    !proven.is_some_and(|(_, proven)| is_proven(proven))
                })
                .collect();
            for peer in &open {
                let due = mend
                    .asked
                    .get(*peer)
                    .is_none_or(|at| at.saturating_add(AGAIN_MS) <= now);
                if due {
                    mend.asked.insert((*peer).clone(), now);
                    asked.push((*peer).clone());
                }
            }
            let is_late = mend.since.saturating_add(PATIENCE_MS) <= now;
            open.len() == peers.len() || (!open.is_empty() && !is_late)
        };
        for peer in asked {
            self.verify_told(table.id(), &peer, stretches.clone());
        }
        !open
    }

    /// A verification has ended, of some stretches or of all, that began as of so many losses.
    pub(super) fn note_proven(&self, order: &VerifyOrder, verified: &Verified, begun: u64) {
        // What the other side lacks is no fault of this one's.
        if verified.in_flight > 0 || begun != self.local.store().distrusted().losses() {
            return;
        }
        let mut mends = self.verifications.mends.lock();
        let Some(mend) = mends.get_mut(&order.table.0) else {
            return;
        };
        let stretches = match order.stretches.is_empty() {
            true => vec![Stretch::default()],
            false => order.stretches.clone(),
        };
        mend.proven.insert(order.peer.clone(), (begun, stretches));
    }

    /// Trusts what belongs to no table any more, or to nothing that is read.
    async fn trust_strangers(&self, tables: &[Arc<Table>]) -> Result<()> {
        let mut distrust = Distrust::clone(&self.local.store().distrusted().now());
        let indexes = |table: &Arc<Table>| -> Vec<u64> {
            let of = |index: &IndexDefinition| match index.kind {
                IndexKind::Global(id) => Some(id),
                IndexKind::Local(_) => None,
            };
            table.indexes().iter().filter_map(of).collect()
        };
        let owners: Vec<u64> = tables
            .iter()
            .flat_map(|table| std::iter::once(table.id()).chain(indexes(table)))
            .collect();
        // What is there, and not this function's.
        for space in [space::SYSTEM, space::TOKEN, space::STREAM, space::KEPT, space::PARKED] {
            let (from, to) = whole_space(space);
            distrust.remove_rows(&from, &to);
        }
        let owned = [
            space::ITEM,
            space::GLOBAL,
            space::CONFLICT,
            space::CURSOR,
            space::EXPIRY,
        ];
        for space in owned.into_iter().chain(space::LOCAL..=u8::MAX) {
            for owner in &owners {
                let (from, to) = keys::owner_range(space, *owner, 0, u64::MAX);
                distrust.remove_rows(&from, &to);
            }
        }
        let strangers: Vec<Range> = distrust.rows().map(|(from, to)| (from.clone(), to.clone())).collect();
        self.trust(&strangers).await
    }

    /// Trusts client tokens once all that may be gone would have gone.
    async fn mend_tokens(&self, distrust: &Distrust) -> Result<()> {
        let (from, to) = whole_space(space::TOKEN);
        let tokens: Vec<Range> = distrust.within(&from, &to).collect();
        let now = self.local.orderer().time.now_ms();
        let until = {
            let mut since = self.verifications.tokens_lost.lock();
            if tokens.is_empty() {
                *since = None;
                return Ok(());
            }
            since.get_or_insert(now).saturating_add(TOKENS_KEPT_MS)
        };
        if now >= until {
            self.trust(&tokens).await
        } else {
            Ok(())
        }
    }

    /// Has all regions verified that may lack what this replica's logs told. Who ships logs to an archive sees the gap by itself.
    async fn mend_records(&self, tables: &[Arc<Table>], distrust: &Distrust, losses: u64) -> Result<()> {
        let mut all = true;
        for table in tables {
            let logs = self.local.logs_of(table);
            let mut lacking = logs
                .iter()
                .filter(|info| distrust.may_lack(LogId(info.log.0)))
                .peekable();
            if lacking.peek().is_none() {
                continue;
            }
            for peer in self.mended_from(table) {
                let mut pairs = self.verifications.pairs.lock();
                let pair = pairs.entry((table.id(), peer)).or_default();
                if pair.proven_as_of != Some(losses) {
                    all = false;
                    let now = self.local.orderer().time.now_ms();
                    let begun = pair.begun_ms.filter(|_| pair.asked_as_of == Some(losses));
                    if !pair.report.running && begun.is_none_or(|begun| begun.saturating_add(AGAIN_MS) <= now) {
                        (pair.wanted, pair.asked_as_of) = (true, Some(losses));
                    }
                }
            }
        }
        if !all {
            return Ok(());
        }
        for table in tables {
            let lacking = self
                .local
                .logs_of(table)
                .into_iter()
                .filter(|info| distrust.may_lack(LogId(info.log.0)));
            for info in lacking {
                tracing::error!(
                    table = super::shown_name(table),
                    log = info.log.0,
                    "a change log has lost records: streams, sinks and triggers that had not read them do not get them"
                );
            }
        }
        if self.local.store().distrusted().losses() == losses {
            self.local.store().trust_records().await?;
        }
        Ok(())
    }
}

/// What of a table's items and conflict records is not vouched for.
fn rows_of(table: &Table, distrust: &Distrust) -> Vec<Range> {
    let mut rows = within(distrust, space::ITEM, table.id());
    rows.extend(within(distrust, space::CONFLICT, table.id()));
    rows
}

/// What of that which is derived of its items is not.
fn derived_of(table: &Table, distrust: &Distrust) -> Vec<Range> {
    let mut derived = within(distrust, space::EXPIRY, table.id());
    derived.extend(within(distrust, space::COLLECTION, table.id()));
    for index in table.indexes() {
        derived.extend(match index.kind {
            IndexKind::Local(ordinal) => within(distrust, space::LOCAL + ordinal, table.id()),
            IndexKind::Global(id) => within(distrust, space::GLOBAL, id),
        });
    }
    derived
}

fn within(distrust: &Distrust, space: u8, owner: u64) -> Vec<Range> {
    let (from, to) = keys::owner_range(space, owner, 0, u64::MAX);
    distrust.within(&from, &to).collect()
}

/// All keys of a space.
fn whole_space(space: u8) -> Range {
    let from = keys::owner_range(space, 0, 0, 0).0;
    (from, keys::owner_range(space, u64::MAX, 0, u64::MAX).1)
}

/// A stretch that holds a range of a table's rows, of either kind.
fn stretch_of(table: u64, (from, to): &Range) -> Stretch {
    let mark = |key: &[u8]| CopyMark(keys::route_of(key), Bytes::copy_from_slice(keys::rest_of(key)));
    // Behind a key that is less than the first of the range; rows of the range are greater than it.
    let before = if from.len() > KEY_HEAD {
        &from[..from.len() - 1]
    } else {
        &from[..]
    };
    Stretch {
        after: Some(mark(before)),
        until: (keys::owner_of(to) == table).then(|| mark(to)),
    }
}
