//! Following tables: shipping their change logs, and making bases.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
};

use geodynamo_replicator_core::{LogId, Millis, Position};
use geodynamo_storage::Engine;
use geodynamo_table::{
    Table, TableError, TableStatus,
    recovery::{BackupKind, Cut, LogHolder, TableSettings},
};
use parking_lot::Mutex;

use crate::{
    Error, Recoveries, Result,
    base::{self, Base},
    chain::Listing,
    codec::{SegmentWriter, kind, pack},
    layout::{self, SegmentName},
};

/// Records read of a log at a time.
const READ_ROWS: usize = 4096;
/// Bytes read of a log at a time.
const READ_BYTES: usize = 1 << 20;

/// A table that is followed.
#[derive(Debug)]
pub(crate) struct Follower {
    table: u64,
    name: String,
    /// What is being shipped; held while something is.
    state: tokio::sync::Mutex<State>,
    shown: Mutex<Shown>,
}

/// What everybody may see of it at any time.
#[derive(Clone, Debug, Default)]
struct Shown {
    /// The chain's folder.
    dir: Option<String>,
    /// The first moment that can be restored.
    earliest_ms: Option<Millis>,
    /// Every change before this moment is in the archive.
    closed_ms: Option<Millis>,
    /// Up to where each log is in the archive.
    shipped: Vec<u64>,
    /// When it was first followed: so long, at most, has its log waited.
    since_ms: Millis,
}

#[derive(Debug, Default)]
struct State {
    /// Whether it is known what the archive holds of the table.
    loaded: bool,
    /// Whether the last of a table that is being deleted is there.
    done: bool,
    chain: Option<Chain>,
}

/// The chain that is being written.
#[derive(Debug)]
struct Chain {
    dir: String,
    start_ms: Millis,
    shipped: Vec<u64>,
    closed_ms: Millis,
    sequence: u64,
    settings: Option<TableSettings>,
    /// The last base, and its bytes.
    base: Option<(Base, u64)>,
    /// Whether one is being written.
    basing: bool,
    /// Bytes of log since the last base was begun.
    log_bytes: u64,
    put_ms: Millis,
}

/// What the archive still needs of the change logs.
#[derive(Debug, Default)]
pub(crate) struct Holds(Mutex<BTreeMap<u64, Hold>>);

#[derive(Debug)]
enum Hold {
    /// It has the logs up to here.
    Behind(BTreeMap<LogId, Position>),
    /// It waits no longer.
    Free,
}

impl LogHolder for Holds {
    fn releases(&self, table: &Table, log: LogId) -> Option<Position> {
        if !table.is_archived() {
            return None;
        }
        match self.0.lock().get(&table.id()) {
            // It is not known yet what the archive has.
            None => Some(Position::START),
            Some(Hold::Behind(positions)) => Some(positions.get(&log).copied().unwrap_or_default()),
            Some(Hold::Free) => None,
        }
    }

    fn lets_go(&self, table: &Table) -> bool {
        !table.is_archived() || matches!(self.0.lock().get(&table.id()), Some(Hold::Free))
    }
}

impl Holds {
    fn set(&self, table: u64, hold: Hold) {
        self.0.lock().insert(table, hold);
    }

    pub(crate) fn forget(&self, table: u64) {
        self.0.lock().remove(&table);
    }
}

impl Follower {
    fn new(table: &Table, now: Millis) -> Self {
        Self {
            table: table.id(),
            name: table.name().into(),
            state: tokio::sync::Mutex::default(),
            shown: Mutex::new(Shown {
                since_ms: now,
                ..Shown::default()
            }),
        }
    }

    /// The first moment that can be restored, and the first that cannot yet.
    pub(crate) fn window(&self) -> Option<(Millis, Millis)> {
        let shown = self.shown.lock();
        shown.earliest_ms.zip(shown.closed_ms)
    }

    /// The chain's folder, and up to where it has the logs.
    pub(crate) fn chain(&self) -> Option<(String, Vec<u64>)> {
        let shown = self.shown.lock();
        Some((shown.dir.clone()?, shown.shipped.clone()))
    }

    /// Everything before this moment is in the archive.
    pub(crate) fn known_until(&self, now: Millis) -> Millis {
        let shown = self.shown.lock();
        shown.closed_ms.unwrap_or(shown.since_ms).min(now)
    }
}

impl<E: Engine> Recoveries<E> {
    /// Ships what all tables have, and makes the bases that are due; returns when all of it is done. The first error, if
    /// there was one; the other tables are shipped all the same.
    pub async fn ship(&self) -> Result<()> {
        let mut result = Ok(());
        for (follower, table) in self.followed() {
            let mut shipped = self.ship_table(&follower, &table).await;
            if let Ok(true) = shipped {
                shipped = self.make_base(&follower, &table).await.map(|()| false);
            }
            if let Err(error) = shipped {
                result = result.and(Err(error));
            }
        }
        result
    }

    /// The same in the background: bases go on when it returns.
    pub(crate) async fn ship_in_background(&self) {
        let mut tasks = tokio::task::JoinSet::new();
        for (follower, table) in self.followed() {
            if tasks.len() >= self.options.ships_max {
                tasks.join_next().await;
            }
            let this = self.clone();
            tasks.spawn(async move {
                match this.ship_table(&follower, &table).await {
                    Ok(false) => {}
                    Ok(true) => drop(tokio::spawn(async move {
                        let made = this.make_base(&follower, &table).await;
                        this.report("writing a base of a table", made);
                    })),
                    Err(error) => this.report("shipping a table's change log", Err(error)),
                }
            });
        }
        while tasks.join_next().await.is_some() {}
    }

    /// The tables that are to be followed; forgets the others.
    pub(crate) fn followed(&self) -> Vec<(Arc<Follower>, Arc<Table>)> {
        let tables = self.tables.local().tables_with_point_in_time();
        let now = self.tables.now_ms();
        let mut followers = self.followers.lock();
        followers.retain(|id, _| {
            let stays = tables.iter().any(|table| table.id() == *id);
            if !stays {
                self.holds.forget(*id);
            }
            stays
        });
        let follow = |table: Arc<Table>| {
            let follower = followers.entry(table.id());
            let follower = follower.or_insert_with(|| Arc::new(Follower::new(&table, now)));
            (Arc::clone(follower), table)
        };
        tables.into_iter().map(follow).collect()
    }

    /// Ships what a table has; gives whether a base is due, which is begun by whoever gets a yes.
    pub(crate) async fn ship_table(&self, follower: &Follower, table: &Arc<Table>) -> Result<bool> {
        let mut state = follower.state.lock().await;
        let shipped = self.try_ship(follower, table, &mut state).await;
        match &shipped {
            Ok(_) => {}
            Err(Error::Gone) => return Ok(false),
            Err(Error::Gap { .. }) => self.break_chain(follower, table, &mut state),
            Err(_) => {
                if self.is_too_far_behind(follower, table) {
                    self.break_chain(follower, table, &mut state);
                }
            }
        }
        shipped
    }

    async fn try_ship(&self, follower: &Follower, table: &Arc<Table>, state: &mut State) -> Result<bool> {
        let setting = self.tables.local().point_in_time(table).ok_or(Error::Gone)?;
        if state.done {
            return Ok(false);
        }
        if !state.loaded {
            state.chain = self.load_chain(table, setting.since_ms).await?;
            state.loaded = true;
        }
        if state
            .chain
            .as_ref()
            .is_none_or(|chain| chain.start_ms < setting.since_ms)
        {
            let chain = self.start_chain(table).await?;
            // From here on the logs wait for it.
            self.show(follower, table, &chain);
            state.chain = Some(chain);
        }
        let deleting = table.status() == TableStatus::Deleting;
        if deleting && self.tables.loads().is_key_away(table) {
            // The last of its logs cannot be read, nor can its items: they are kept as they are.
            self.back_up_sealed(table, BackupKind::System).await?;
            self.holds.set(table.id(), Hold::Free);
            state.done = true;
            return Ok(false);
        }
        let Some(chain) = &mut state.chain else {
            return Ok(false);
        };
        let cut = self.tables.logs().cut(table).await.ok_or(Error::Gone)?;
        let settings = self.tables.local().settings_of(table);
        if chain.settings.as_ref() != Some(&settings) {
            let name = format!("{}/settings/{}", chain.dir, layout::stamped(cut.ms));
            let bytes = self.archive.put(&name, kind::SETTINGS, pack(&name, &settings)?).await?;
            self.count_bytes(bytes);
            chain.settings = Some(settings);
        }
        self.ship_up_to(table, chain, &cut, deleting).await?;
        self.show(follower, table, chain);
        if deleting {
            if chain.base.is_none() {
                self.base_of(follower, table, chain).await?;
            }
            self.back_up_deleted(table, &chain.dir, &cut).await?;
            self.holds.set(table.id(), Hold::Free);
            state.done = true;
            return Ok(false);
        }
        let now = self.tables.now_ms();
        let due = !chain.basing
            && match &chain.base {
                None => true,
                Some((base, bytes)) => {
                    let long = chain.log_bytes >= self.options.base_log_bytes_min.max(*bytes);
                    let old = now.saturating_sub(base.cut_ms) >= self.options.base_age_ms && chain.log_bytes > 0;
                    long || old
                }
            };
        chain.basing |= due;
        Ok(due)
    }

    /// Ships the logs up to a cut. Once a table is being deleted, nothing is committed any more at the cut's moment either.
    async fn ship_up_to(&self, table: &Table, chain: &mut Chain, cut: &Cut, last: bool) -> Result<()> {
        let closed_ms = if last { cut.ms + 1 } else { cut.ms };
        let gap = |reason: &str| Error::Gap {
            table: table.name().into(),
            reason: reason.into(),
        };
        let logs = self.tables.local().change_logs(table);
        if logs.len() != chain.shipped.len() {
            return Err(gap("it has other partitions"));
        }
        let mut segment = SegmentWriter::behind(&chain.shipped);
        let mut parts = false;
        for (partition, (info, end)) in logs.iter().zip(&cut.ends).enumerate() {
            let mut at = Position(chain.shipped[partition]);
            while at < *end {
                let records = self.tables.logs().read_log(info.log, at, READ_ROWS, READ_BYTES).await;
                let records = records.map_err(|error| TableError::Corrupt(error.to_string()))?;
                if records.is_empty() {
                    return Err(gap("records are gone"));
                }
                for (position, change) in records {
                    if position > *end {
                        at = *end;
                        break;
                    }
                    if position.0 != at.0 + 1 {
                        return Err(gap("records are gone"));
                    }
                    if !segment.push(partition, position, &change) {
                        return Err(gap("a change does not tell what the item became"));
                    }
                    at = position;
                    if segment.len() >= self.options.segment_bytes {
                        // Not all of the moment yet: it says nothing of when.
                        self.put_segment(chain, &segment, chain.closed_ms, cut.ms).await?;
                        segment = SegmentWriter::behind(&chain.shipped);
                        parts = true;
                    }
                }
            }
        }
        let silent = cut.ms.saturating_sub(chain.put_ms) >= self.options.heartbeat_ms;
        if !segment.is_empty() || parts || silent || last {
            self.put_segment(chain, &segment, closed_ms, cut.ms).await?;
        }
        chain.closed_ms = closed_ms;
        Ok(())
    }

    async fn put_segment(
        &self,
        chain: &mut Chain,
        segment: &SegmentWriter,
        closed_ms: Millis,
        reach_ms: Millis,
    ) -> Result<()> {
        let name = SegmentName::new(&chain.dir, chain.sequence, closed_ms, reach_ms).name;
        let content = segment.finish(closed_ms, reach_ms)?;
        let bytes = self.archive.put(&name, kind::SEGMENT, content).await?;
        self.count_bytes(bytes);
        self.counters.segments.fetch_add(1, Ordering::Relaxed);
        chain.sequence += 1;
        chain.log_bytes += segment.len() as u64;
        chain.put_ms = reach_ms;
        chain.shipped = segment.to().to_vec();
        Ok(())
    }

    /// The chain that the archive has of a table, if it can go on.
    async fn load_chain(&self, table: &Table, since_ms: Millis) -> Result<Option<Chain>> {
        let folder = self.table_folder(table);
        let chains = self.archive.folders(&folder).await?;
        let Some((start_ms, last)) = chains.last().and_then(|name| Some((name.parse().ok()?, name))) else {
            return Ok(None);
        };
        if start_ms < since_ms {
            return Ok(None);
        }
        let listing = Listing::of(&self.archive, &format!("{folder}/{last}")).await?;
        self.archive.delete(&listing.garbage).await?;
        let Some(shipped) = listing.shipped(&self.archive).await? else {
            self.archive.delete(&listing.all).await?;
            return Ok(None);
        };
        let closed_ms = listing.closed_ms().unwrap_or(start_ms);
        self.tables.local().commit_after(closed_ms);
        let base = match listing.bases.last() {
            None => None,
            Some(base) => {
                let bytes = crate::chain::manifest(&self.archive, base).await?.stored_bytes;
                Some((base.clone(), bytes))
            }
        };
        let since_base = |segment: &&SegmentName| base.as_ref().is_none_or(|(base, _)| segment.reach_ms >= base.cut_ms);
        let log_bytes = listing
            .segments
            .iter()
            .filter(since_base)
            .map(|segment| segment.bytes)
            .sum();
        Ok(Some(Chain {
            start_ms,
            shipped,
            closed_ms,
            sequence: listing.segments.last().map_or(0, |segment| segment.sequence + 1),
            settings: listing.newest_settings(&self.archive).await?,
            base,
            basing: false,
            log_bytes,
            put_ms: closed_ms,
            dir: listing.dir,
        }))
    }

    /// A new chain, which begins now.
    async fn start_chain(&self, table: &Table) -> Result<Chain> {
        let cut = self.tables.logs().cut(table).await.ok_or(Error::Gone)?;
        Ok(Chain {
            dir: format!("{}/{}", self.table_folder(table), layout::chain(cut.ms)),
            start_ms: cut.ms,
            shipped: cut.ends.iter().map(|end| end.0).collect(),
            closed_ms: cut.ms,
            sequence: 0,
            settings: None,
            base: None,
            basing: false,
            log_bytes: 0,
            put_ms: cut.ms,
        })
    }

    /// Writes a base of a table into its chain.
    pub(crate) async fn make_base(&self, follower: &Follower, table: &Arc<Table>) -> Result<()> {
        let dir = match &mut follower.state.lock().await.chain {
            Some(chain) => {
                chain.log_bytes = 0;
                chain.dir.clone()
            }
            None => return Ok(()),
        };
        let written = self.write_base(table, &dir).await;
        let mut state = follower.state.lock().await;
        let Some(chain) = state.chain.as_mut().filter(|chain| chain.dir == dir) else {
            return Ok(());
        };
        chain.basing = false;
        match written {
            Ok(base) => {
                chain.base = Some(base);
                self.show(follower, table, chain);
                Ok(())
            }
            // The table is gone.
            Err(Error::Gone) => Ok(()),
            Err(error) => {
                // It is due as it was.
                chain.log_bytes = chain.log_bytes.saturating_add(self.options.base_log_bytes_min);
                Err(error)
            }
        }
    }

    /// The same, for whoever holds the chain.
    async fn base_of(&self, follower: &Follower, table: &Arc<Table>, chain: &mut Chain) -> Result<()> {
        chain.base = Some(self.write_base(table, &chain.dir).await?);
        self.show(follower, table, chain);
        Ok(())
    }

    async fn write_base(&self, table: &Arc<Table>, dir: &str) -> Result<(Base, u64)> {
        // The semaphore is never closed.
        let _turn = self.base_turn.acquire().await.ok();
        let snapshot = self.tables.logs().snapshot_of(table).await.ok_or(Error::Gone)?;
        let (base, manifest) = base::write(&self.archive, dir, &snapshot, self.options.chunk_bytes).await?;
        self.counters.bases.fetch_add(1, Ordering::Relaxed);
        self.count_bytes(manifest.stored_bytes);
        tracing::info!(table = table.name(), items = manifest.items, "a base was written");
        Ok((base, manifest.stored_bytes))
    }

    /// Lets everybody see how far a chain is, and lets go of the logs up to there.
    fn show(&self, follower: &Follower, table: &Table, chain: &Chain) {
        let logs = self.tables.local().change_logs(table);
        let positions = logs
            .iter()
            .zip(&chain.shipped)
            .map(|(info, at)| (info.log, Position(*at)));
        self.holds.set(table.id(), Hold::Behind(positions.collect()));
        let mut shown = follower.shown.lock();
        if shown.dir.as_ref() != Some(&chain.dir) {
            shown.earliest_ms = None;
            shown.dir = Some(chain.dir.clone());
        }
        if let (None, Some((base, _))) = (shown.earliest_ms, &chain.base) {
            shown.earliest_ms = Some(base.cut_ms);
        }
        shown.closed_ms = Some(chain.closed_ms);
        shown.shipped.clone_from(&chain.shipped);
    }

    /// What is too old was taken away: the window begins here.
    pub(crate) fn begins_at(&self, follower: &Follower, dir: &str, earliest_ms: Option<Millis>) {
        let mut shown = follower.shown.lock();
        if shown.dir.as_deref() == Some(dir) {
            shown.earliest_ms = earliest_ms;
        }
    }

    fn is_too_far_behind(&self, follower: &Follower, table: &Table) -> bool {
        let now = self.tables.now_ms();
        let shown = follower.shown.lock().clone();
        let age = now.saturating_sub(shown.closed_ms.unwrap_or(shown.since_ms));
        let ends = self
            .tables
            .local()
            .change_logs(table)
            .into_iter()
            .map(|info| self.tables.local().log_end(info.log));
        let records: u64 = ends
            .zip(&shown.shipped)
            .map(|(end, at)| end.0.saturating_sub(*at))
            .sum();
        let limit = if table.status() == TableStatus::Deleting {
            self.options.delete_wait_ms_max
        } else {
            self.options.behind_ms_max
        };
        age > limit || records > self.options.behind_records_max
    }

    /// The log waits no longer. The window begins anew once the archive can be written.
    fn break_chain(&self, follower: &Follower, table: &Table, state: &mut State) {
        self.counters.chains_broken.fetch_add(1, Ordering::Relaxed);
        tracing::error!(
            table = table.name(),
            "the archive is too far behind: the change log waits no longer, and the window of point-in-time recovery begins \
             anew"
        );
        self.holds.set(table.id(), Hold::Free);
        // What is in the archive stays there; it can be restored from as long as it is kept.
        *state = State {
            loaded: true,
            ..State::default()
        };
        let mut shown = follower.shown.lock();
        *shown = Shown {
            since_ms: self.tables.now_ms(),
            ..Shown::default()
        };
    }

    /// The folder of a table's chains.
    pub(crate) fn table_folder(&self, table: &Table) -> String {
        let tables = layout::tables(self.tables.region(), self.tables.replica());
        format!("{tables}/{}", layout::table(table.name(), table.id()))
    }

    pub(crate) fn count_bytes(&self, bytes: u64) {
        self.counters.archived_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// The follower of a table, if it has one.
    pub(crate) fn follower(&self, table: u64) -> Option<Arc<Follower>> {
        self.followers.lock().get(&table).cloned()
    }
}

impl std::fmt::Display for Follower {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({:016x})", self.name, self.table)
    }
}
