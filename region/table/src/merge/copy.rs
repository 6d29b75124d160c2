//! Copies: what a joining replica fetches of a table, on both sides.

use std::{ops::Bound, sync::atomic::Ordering};

use geodynamo_replicator_core::{
    Applied, ApplyError, CopyError, CopyMark, CopyOrder, CopyPage, CopyRequest, CopyRows, CopyStart, Delta, LogInfo,
    Origin, Peer, Position, Stamp, TableId,
};
use geodynamo_storage::{Commit, Direction, Engine, Scan, Write};

use crate::{
    Result, Table, TableError,
    layout::{
        keys::{self, space},
        record::Record,
    },
    local::system::is_system,
    merge::Merge,
    progress::copies::{CopyState, copy_key},
    schema::ReplicaStatus,
    table::{
        TableStatus,
        registers::{CATALOG, Setting},
        replicas::{self, Way},
    },
};

/// The most rows of a page of a copy.
const PAGE_ROWS_MAX: usize = 4096;
/// Conflict records read at a time.
const CONFLICT_ROWS: usize = 1024;
/// How long one region is asked for a system table before the next one is, in milliseconds.
const SYSTEM_SOURCE_MS: u64 = 3_000;

impl<E: Engine> Merge<E> {
    /// The relay of a table that this replica should be fetching now.
    pub(crate) fn relay_order(&self, table: &Table, state: Option<&CopyState>) -> Option<CopyOrder> {
        let (join, source) = table.registers.relay_due(self.local.region(), |number| {
            state.is_some_and(|state| state.is_of(number))
        })?;
        Some(CopyOrder {
            table: TableId(table.id()),
            join,
            source: source.clone(),
            after: state.filter(|state| state.is_of(join)).and_then(CopyState::mark),
        })
    }

    /// Whether this replica has had a copy of another region's catalog, or will never need one.
    pub(crate) fn knows_catalog(&self) -> bool {
        let alone = self
            .local
            .options()
            .regions
            .iter()
            .all(|region| region == self.local.region());
        alone || self.copies.lock().contains_key(&CATALOG)
    }

    /// The copies that this replica should be fetching now: of tables it is new to and that every active member has
    /// admitted it to; what other members hold of lost replicas; and of each system table, once, if its data directory is
    /// fresh.
    pub fn copies_due(&self) -> Vec<CopyOrder> {
        let copies = self.copies.lock();
        let mut orders = Vec::new();
        let others: Vec<_> = self
            .local
            .options()
            .regions
            .iter()
            .filter(|region| *region != self.local.region())
            .collect();
        for table in self.local.system().all() {
            if others.is_empty() || copies.get(&table.id()).is_some_and(|state| state.done) {
                continue;
            }
            // Whichever region answers will do; the next one is asked if this one stays silent.
            let turn = self.local.orderer().time.now_ms() / SYSTEM_SOURCE_MS;
            let source = others[usize::try_from(turn).unwrap_or(0) % others.len()].clone();
            orders.push(CopyOrder {
                table: TableId(table.id()),
                join: 0,
                source,
                after: None,
            });
        }
        // What cannot be sealed yet is not fetched.
        let able = |table: &std::sync::Arc<crate::Table>| table.live.key.away_since().is_none();
        for table in self.local.all().into_iter().filter(able) {
            let join = replicas::join_source(&table.registers, self.local.region(), self.local.replica().0);
            let Some((entry, source)) = join else {
                orders.extend(self.relay_order(&table, copies.get(&table.id())));
                continue;
            };
            let state = copies.get(&table.id()).filter(|state| state.join == entry.join);
            if state.is_some_and(|state| state.done) {
                continue;
            }
            let after = state.and_then(|state| state.mark.clone());
            orders.push(CopyOrder {
                table: TableId(table.id()),
                join: entry.join,
                source: source.clone(),
                after,
            });
        }
        orders
    }

    /// The cursor for a peer's log: `None` while the table is not known here, has no replica here, or waits for its
    /// copy to start.
    pub fn cursor(&self, info: &LogInfo) -> Option<Position> {
        let stored = self.cursors.get(info.table.0, info.log);
        if is_system(info.table.0) {
            return Some(stored.unwrap_or(Position::START));
        }
        let table = self
            .local
            .replicated(info.table.0)
            .filter(|table| !table.registers.is_apart)?;
        if table.status() == TableStatus::Creating {
            let entry = table.registers.replicas.get(self.local.region())?;
            let started = self
                .copies
                .lock()
                .get(&table.id())
                .is_some_and(|state| state.join == entry.join);
            if !started {
                return None;
            }
        }
        Some(stored.unwrap_or(Position::START))
    }

    /// The cursor for a log that a peer offers: that of [`crate::Merge::cursor`], if the peer is a member of the table.
    pub fn cursor_of(&self, peer: &Peer, info: &LogInfo) -> Option<Position> {
        let table = self.local.replicated(info.table.0)?;
        let is_its = info.origin == peer.replica && self.is_member(&table, peer);
        self.cursor(info).filter(|_| is_its)
    }

    /// Whether a peer has a replica of a table, as far as is known here: nobody else's deltas are taken. A replica that was
    /// given up, and comes back before it knows, brings nothing.
    pub(crate) fn is_member(&self, table: &Table, peer: &Peer) -> bool {
        if is_system(table.id()) {
            return self.local.options().regions.contains(&peer.region);
        }
        let entry = table.registers.replicas.get(&peer.region);
        entry.is_some_and(|entry| entry.incarnation == Some(peer.replica.0) && entry.status != ReplicaStatus::Failed)
    }

    /// The source's side: whether a region may have a copy, and where every link to it starts.
    pub async fn copy_out_start(
        &self,
        region: &str,
        request: &CopyRequest,
    ) -> std::result::Result<CopyStart, CopyError> {
        let table = self.copied(request.table)?;
        if !is_system(table.id()) {
            let entry = table
                .registers
                .replicas
                .get(region)
                .filter(|entry| entry.join == request.join);
            let promised = (region.to_owned(), self.local.region().to_owned());
            let is_admitted = table.registers.admissions.get(&promised) == Some(&request.join);
            let joins = entry.is_some_and(|entry| entry.status == ReplicaStatus::Creating) && is_admitted
                || table.registers.relays_to(region, self.local.region(), request.join);
            if !joins || matches!(table.status(), TableStatus::Creating) {
                self.local.counters().refused_copies.fetch_add(1, Ordering::Relaxed);
                return Err(CopyError::Refused(format!("{region} does not join {}", table.name())));
            }
        }
        let ends = self.local.ends.now();
        let own = self
            .local
            .logs_of(&table)
            .into_iter()
            .map(|info| (info, ends.get(info.log).unwrap_or_default()));
        let mut cursors: Vec<_> = own.collect();
        drop(ends);
        cursors.extend(self.cursors.of_table(table.id()));
        let forgotten = self.local.standings().kept(table.id()).agreed;
        Ok(CopyStart { cursors, forgotten })
    }

    /// The source's side: the next rows behind a mark.
    pub async fn copy_out_page(
        &self,
        table: TableId,
        after: Option<CopyMark>,
        bytes_max: usize,
    ) -> std::result::Result<CopyPage, CopyError> {
        let table = self.copied(table)?;
        let failed = |error: TableError| CopyError::Failed(error.to_string());
        self.page_of(&table, after, bytes_max).await.map_err(failed)
    }

    async fn page_of(&self, table: &Table, after: Option<CopyMark>, bytes_max: usize) -> Result<CopyPage> {
        let (_, end) = keys::owner_range(space::ITEM, table.id(), 0, u64::MAX);
        let from = match &after {
            Some(CopyMark(route, key)) => Bound::Excluded(keys::item(table.id(), *route, key)),
            None => Bound::Included(keys::owner_range(space::ITEM, table.id(), 0, 0).0),
        };
        let scan = Scan {
            from,
            to: Bound::Excluded(end),
            direction: Direction::Forward,
            rows_max: PAGE_ROWS_MAX,
            bytes_max: bytes_max.max(1),
            once: true,
        };
        // What is parked goes with the first page, for it may be of keys that have no item yet. It is listed before the
        // items are read: one that is released in between is among them.
        let parked = if after.is_none() {
            self.parking.of_table(table.id())
        } else {
            Vec::new()
        };
        let rows = self.local.store().scan(scan).await?.rows;
        let mut deltas = Vec::with_capacity(rows.len() + parked.len());
        deltas.extend(parked.into_iter().map(|parked| Delta::Version {
            key: parked.key,
            version: parked.version,
        }));
        let mut last = None;
        for (key, value) in rows {
            let version = Record::read(&value)?.into_version();
            let (route, key) = (keys::route_of(&key), keys::rest(&key));
            last = Some(CopyMark(route, key.clone()));
            deltas.push(Delta::Version { key, version });
        }
        // Conflict records are between the same marks as the items they are of.
        self.conflicts_between(table, after.as_ref(), last.as_ref(), &mut deltas)
            .await?;
        Ok(CopyPage { deltas, last })
    }

    async fn conflicts_between(
        &self,
        table: &Table,
        after: Option<&CopyMark>,
        last: Option<&CopyMark>,
        deltas: &mut Vec<Delta>,
    ) -> Result<()> {
        let first = after.map_or(0, |mark| mark.0);
        let (mut from, to) =
            keys::owner_range(space::CONFLICT, table.id(), first, last.map_or(u64::MAX, |mark| mark.0));
        loop {
            let scan = crate::layout::range::whole(from, to.clone(), CONFLICT_ROWS, usize::MAX);
            let page = self.local.store().scan(scan).await?;
            let next = page.rows.last().map(|(key, _)| keys::just_after(key));
            for (key, value) in page.rows {
                let (route, rest) = (keys::route_of(&key), keys::rest(&key));
                let Some(len) = rest.len().checked_sub(Stamp::LEN) else {
                    continue;
                };
                let mark = CopyMark(route, rest.slice(..len));
                if after.is_some_and(|after| mark <= *after) || last.is_some_and(|last| mark > *last) {
                    continue;
                }
                let loser = Record::read(&value)?.into_version();
                // Which version won is told by the change that the detecting replica logged; it is not part of the record.
                let winner = loser.stamp;
                deltas.push(Delta::Conflict {
                    key: mark.1,
                    loser,
                    winner,
                });
            }
            match next {
                Some(next) if page.more => from = next,
                _ => return Ok(()),
            }
        }
    }

    /// The joining side: stores where every link starts, unless this join has begun before.
    pub async fn copy_in_start(&self, order: &CopyOrder, start: CopyStart) -> std::result::Result<(), ApplyError> {
        let table = order.table.0;
        if is_system(table) {
            return Ok(());
        }
        if self
            .copies
            .lock()
            .get(&table)
            .is_some_and(|state| state.join == order.join)
        {
            return Ok(());
        }
        let state = CopyState {
            join: order.join,
            mark: None,
            done: false,
        };
        // A relay is to a replica that serves: its links are where they are.
        let joins = self
            .local
            .replicated(table)
            .is_some_and(|table| table.status() == TableStatus::Creating);
        let wanted =
            |(info, _): &(LogInfo, Position)| joins && info.table == order.table && info.origin != self.local.replica();
        let cursors: Vec<_> = start.cursors.into_iter().filter(wanted).collect();
        let store = async {
            // What is written here later must not be taken for something bygone.
            self.local
                .orderer()
                .observe(Stamp::new(start.forgotten, self.local.replica()));
            self.local.orderer().cover(self.local.store_arc()).await?;
            if let Some(table) = self.local.replicated(table) {
                self.progress.agree(&table, start.forgotten).await?;
            }
            let mut writes = self.cursor_writes(&cursors);
            writes.push(state.write(table)?);
            for commit in self.local.splits(writes) {
                self.local.store().commit(commit).await?;
            }
            Ok::<_, TableError>(())
        };
        store.await.map_err(|error| ApplyError::Failed(error.to_string()))?;
        self.cursors.raise_all(&cursors);
        cursors.iter().for_each(|(log, at)| self.cursors.bring(log, *at));
        self.copies.lock().insert(table, state);
        self.local.catalog_changed.send_modify(|version| *version += 1);
        Ok(())
    }

    /// The joining side: merges rows and stores how far the copy has come.
    pub async fn copy_in_rows(
        &self,
        order: &CopyOrder,
        from: &Peer,
        rows: CopyRows,
    ) -> std::result::Result<Applied, ApplyError> {
        let Some(table) = self.local.replicated(order.table.0) else {
            return Err(ApplyError::Unknown);
        };
        let state = CopyState {
            join: order.join,
            mark: Some(rows.last),
            done: false,
        };
        let log = LogInfo::new(from.replica, order.table, 0, (0, u64::MAX));
        let origin = Origin::Remote {
            replica: from.replica,
            log: log.log,
            position: Position::START,
        };
        let used = self.parking.used(log.origin);
        let mut deltas = rows.deltas;
        let count = deltas.len() as u64;
        self.catalog
            .drop_unlawful(&table, (&from.region, Way::PassedOn), &mut deltas);
        let (merged, parked, _) = self.admit(&table, deltas, log, Position::START, used)?;
        let apply = async {
            let mark = if is_system(table.id()) {
                None
            } else {
                Some(state.write(table.id())?)
            };
            self.apply_copy(&table, origin, (merged, parked), mark).await
        };
        let applied = apply.await.map_err(|error| ApplyError::Failed(error.to_string()))?;
        if !is_system(table.id()) {
            self.local.counters().copied_rows.fetch_add(count, Ordering::Relaxed);
            self.copies.lock().insert(table.id(), state);
        }
        Ok(applied)
    }

    /// The joining side: the copy is whole. The replica is ACTIVE from here on.
    pub async fn copy_in_end(&self, order: &CopyOrder) -> std::result::Result<(), ApplyError> {
        let end = async {
            let id = order.table.0;
            let state = CopyState {
                join: order.join,
                mark: None,
                done: true,
            };
            if is_system(id) {
                let commit = Commit {
                    writes: vec![state.write(id)?],
                    ..Commit::default()
                };
                self.local.store().commit(commit).await?;
                self.copies.lock().insert(id, state);
                return Ok(());
            }
            let _changing = self.catalog.catalog_lock.lock().await;
            let Some(registers) = self.local.directory().registers.get(&id).cloned() else {
                return Ok(());
            };
            let own = registers.replicas.get(self.local.region());
            let now = self.local.orderer().time.now_ms();
            let joined = own.and_then(|own| replicas::joined(own, order.join, self.local.replica().0, now));
            let changes = if registers.relays_to(self.local.region(), &order.source, order.join) {
                vec![(Setting::Relay(self.local.region().into(), order.source.clone()), None)]
            } else if let Some(entry) = joined {
                replicas::joined_with(
                    &registers,
                    entry,
                    &order.source,
                    (self.local.region(), self.local.replica().0),
                )?
            } else {
                return Ok(());
            };
            self.catalog.set_locked(id, changes).await?;
            let forget = Commit {
                writes: vec![Write::Delete(copy_key(id))],
                ..Commit::default()
            };
            self.local.store().commit(forget).await?;
            self.copies.lock().remove(&id);
            Ok::<_, TableError>(())
        };
        end.await.map_err(|error| ApplyError::Failed(error.to_string()))
    }

    fn copied(&self, table: TableId) -> std::result::Result<std::sync::Arc<Table>, CopyError> {
        self.local
            .replicated(table.0)
            .ok_or_else(|| CopyError::Refused(format!("table {table} is not known here")))
    }
}
