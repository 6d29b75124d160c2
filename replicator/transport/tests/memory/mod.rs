//! A host in memory: one table, one partition, no storage. For tests of the transport only.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use geodynamo_replicator::Host;
use geodynamo_replicator_core::{
    Applied, ApplyError, Batch, Body, Change, Clock, CopyError, CopyMark, CopyOrder, CopyPage, CopyRequest, CopyRows,
    CopyStart, Delta, Effect, Hlc, HostError, Identity, Images, LogId, LogInfo, Millis, Origin, Past, Peer, Position,
    ReplicaId, TableId, Version, judge,
};
use tokio::sync::watch;

pub(crate) const TABLE: TableId = TableId(9);

pub(crate) struct Memory {
    own: Identity,
    state: Mutex<State>,
    writes: watch::Sender<u64>,
    catalog: watch::Sender<u64>,
}

struct State {
    clock: Clock,
    store: BTreeMap<Bytes, Version>,
    log: Vec<(Position, Change)>,
    cursors: BTreeMap<LogId, Position>,
    acked: BTreeMap<String, Position>,
    /// Whether this host has a replica of the table; if not, cursors wait for a copy's start.
    serves: bool,
    due: Option<CopyOrder>,
    starts: usize,
    copied: usize,
    /// How many pages of a copy are read before reading fails, once.
    pages_before_failure: Option<usize>,
    batches_from: BTreeSet<String>,
}

impl Memory {
    pub(crate) fn new(region: &str, replica: u64) -> Arc<Self> {
        let own = Identity {
            cluster: "test".into(),
            region: region.into(),
            replica: ReplicaId(replica),
        };
        let mut clock = Clock::new(own.replica, Hlc::default());
        clock.raise_ceiling(Hlc::from_millis(1 << 46));
        let state = State {
            clock,
            store: BTreeMap::new(),
            log: Vec::new(),
            cursors: BTreeMap::new(),
            acked: BTreeMap::new(),
            serves: true,
            due: None,
            starts: 0,
            copied: 0,
            pages_before_failure: None,
            batches_from: BTreeSet::new(),
        };
        Arc::new(Self {
            own,
            state: Mutex::new(state),
            writes: watch::Sender::new(0),
            catalog: watch::Sender::new(0),
        })
    }

    /// A host that has no replica of the table until it has a copy from `source`.
    pub(crate) fn joining(region: &str, replica: u64, source: &str) -> Arc<Self> {
        let host = Self::new(region, replica);
        host.with(|state| {
            state.serves = false;
            state.due = Some(CopyOrder {
                table: TABLE,
                join: 1,
                source: source.into(),
                after: None,
            });
        });
        host
    }

    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.state.lock().unwrap())
    }

    pub(crate) fn put(&self, key: &str, value: &str) {
        self.with(|state| {
            let key = Bytes::from(key.to_owned());
            let past = state
                .store
                .get(&key)
                .map_or_else(Past::new, |held| Past::after(&held.past, held.stamp));
            let stamp = state.clock.issue(now_ms()).unwrap();
            state.take(
                key,
                Version::item(stamp, past, Bytes::from(value.to_owned())),
                Origin::Local,
            );
        });
        self.writes.send_modify(|count| *count += 1);
    }

    pub(crate) fn fail_after_pages(&self, pages: usize) {
        self.with(|state| state.pages_before_failure = Some(pages));
    }

    pub(crate) fn store(&self) -> BTreeMap<Bytes, Version> {
        self.with(|state| state.store.clone())
    }

    pub(crate) fn len(&self) -> usize {
        self.with(|state| state.store.len())
    }

    pub(crate) fn copy(&self) -> (bool, usize, usize) {
        self.with(|state| (state.due.is_none(), state.starts, state.copied))
    }

    pub(crate) fn heard_of(&self) -> BTreeSet<String> {
        self.with(|state| state.batches_from.clone())
    }

    pub(crate) fn acked_by(&self, region: &str) -> Position {
        self.with(|state| state.acked.get(region).copied().unwrap_or_default())
    }

    pub(crate) fn end(&self) -> Position {
        self.with(|state| state.end())
    }

    fn log(&self) -> LogInfo {
        LogInfo::new(self.own.replica, TABLE, 0, (0, u64::MAX))
    }

    fn merge(&self, deltas: Vec<Delta>, origin: Origin, state: &mut State) -> Applied {
        let mut applied = Applied::default();
        for delta in deltas {
            let Delta::Version { key, version } = delta else {
                continue;
            };
            state.clock.observe(version.stamp);
            let held = state.store.get(&key).map(|held| (held.stamp, &held.past));
            if judge(held, (version.stamp, &version.past)).applies() {
                applied.applied += 1;
                state.take(key, version, origin);
            } else {
                applied.duplicates += 1;
            }
        }
        applied
    }
}

impl State {
    fn end(&self) -> Position {
        Position(self.log.len() as u64)
    }

    fn take(&mut self, key: Bytes, version: Version, origin: Origin) {
        let body = Body::Item {
            deleted: version.is_tombstone(),
            effect: Effect::default(),
            images: Images::default(),
        };
        let (stamp, past) = (version.stamp, version.past.clone());
        let change = Change {
            key: key.clone(),
            stamp,
            past,
            origin,
            commit_time: 0,
            transaction: None,
            body,
        };
        self.store.insert(key, version);
        self.log.push((self.end().next(), change));
    }
}

fn now_ms() -> Millis {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64
}

impl Host for Memory {
    fn identity(&self) -> Identity {
        self.own.clone()
    }

    fn now_ms(&self) -> Millis {
        now_ms()
    }

    fn writes(&self) -> watch::Receiver<u64> {
        self.writes.subscribe()
    }

    fn catalog(&self) -> watch::Receiver<u64> {
        self.catalog.subscribe()
    }

    fn logs_to(&self, _region: &str) -> Vec<LogInfo> {
        vec![self.log()]
    }

    fn log_end(&self, _log: LogId) -> Position {
        self.end()
    }

    fn grown_since(&self, _write: u64) -> Vec<(LogId, Position)> {
        vec![(self.log().log, self.end())]
    }

    fn own_ends(&self, _region: &str, _table: TableId) -> Option<Vec<u8>> {
        Some(self.end().0.to_be_bytes().to_vec())
    }

    async fn called(&self, region: &str, service: &str, body: Bytes) -> Result<Vec<u8>, HostError> {
        match service {
            "echo" => Ok([region.as_bytes(), &body].concat()),
            service => Err(HostError(format!("no service {service}"))),
        }
    }

    async fn read_log(
        &self,
        _log: LogId,
        after: Position,
        rows_max: usize,
        _bytes_max: usize,
    ) -> Result<Vec<(Position, Change)>, HostError> {
        Ok(self.with(|state| {
            state
                .log
                .iter()
                .skip(after.0 as usize)
                .take(rows_max)
                .cloned()
                .collect()
        }))
    }

    async fn versions(
        &self,
        _table: TableId,
        keys: Vec<Bytes>,
        _bytes_max: usize,
    ) -> Result<Vec<Option<Version>>, HostError> {
        Ok(self.with(|state| keys.iter().map(|key| state.store.get(key).cloned()).collect()))
    }

    async fn acked(&self, peer: &Peer, _log: LogId, position: Position) {
        self.with(|state| state.acked.insert(peer.region.clone(), position));
    }

    async fn cursor(&self, _peer: &Peer, info: &LogInfo) -> Result<Option<Position>, HostError> {
        Ok(self.with(|state| {
            let known = state.cursors.get(&info.log).copied();
            if state.serves {
                Some(known.unwrap_or_default())
            } else {
                known
            }
        }))
    }

    async fn apply(&self, batches: Vec<Batch>) -> Vec<Result<Applied, ApplyError>> {
        let apply = |batch: Batch| {
            let origin = Origin::Remote {
                replica: batch.from.replica,
                log: batch.log.log,
                position: batch.up_to,
            };
            self.with(|state| {
                state.batches_from.insert(batch.from.region.clone());
                let cursor = state.cursors.entry(batch.log.log).or_default();
                *cursor = (*cursor).max(batch.up_to);
                self.merge(batch.deltas, origin, state)
            })
        };
        let applied = batches.into_iter().map(|batch| Ok(apply(batch))).collect();
        self.writes.send_modify(|count| *count += 1);
        applied
    }

    async fn copy_out_start(&self, _region: &str, _request: &CopyRequest) -> Result<CopyStart, CopyError> {
        Ok(CopyStart {
            cursors: vec![(self.log(), self.end())],
            ..CopyStart::default()
        })
    }

    async fn copy_out_page(
        &self,
        _table: TableId,
        after: Option<CopyMark>,
        _bytes_max: usize,
    ) -> Result<CopyPage, CopyError> {
        self.with(|state| {
            match &mut state.pages_before_failure {
                Some(0) => {
                    state.pages_before_failure = None;
                    return Err(CopyError::Failed("told to fail".into()));
                }
                Some(pages) => *pages -= 1,
                None => {}
            }
            let rows = state
                .store
                .iter()
                .filter(|(key, _)| after.as_ref().is_none_or(|after| **key > after.1));
            let deltas: Vec<Delta> = rows
                .take(10)
                .map(|(key, version)| Delta::Version {
                    key: key.clone(),
                    version: version.clone(),
                })
                .collect();
            let last = deltas.last().map(|delta| CopyMark(0, delta.key().clone()));
            Ok(CopyPage { deltas, last })
        })
    }

    fn copies_due(&self) -> Vec<CopyOrder> {
        self.with(|state| state.due.iter().cloned().collect())
    }

    async fn copy_in_start(&self, _order: &CopyOrder, start: CopyStart) -> Result<(), ApplyError> {
        self.with(|state| {
            state.starts += 1;
            if state.starts == 1 {
                state
                    .cursors
                    .extend(start.cursors.into_iter().map(|(info, position)| (info.log, position)));
            }
        });
        self.catalog.send_modify(|count| *count += 1);
        Ok(())
    }

    async fn copy_in_rows(&self, _order: &CopyOrder, from: &Peer, rows: CopyRows) -> Result<Applied, ApplyError> {
        let origin = Origin::Remote {
            replica: from.replica,
            log: LogId(0),
            position: Position::START,
        };
        Ok(self.with(|state| {
            state.copied += rows.deltas.len();
            if let Some(due) = &mut state.due {
                due.after = Some(rows.last);
            }
            self.merge(rows.deltas, origin, state)
        }))
    }

    async fn copy_in_end(&self, _order: &CopyOrder) -> Result<(), ApplyError> {
        self.with(|state| (state.serves, state.due) = (true, None));
        self.catalog.send_modify(|count| *count += 1);
        Ok(())
    }
}

/// Waits for a state, with a deadline.
pub(crate) async fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = std::time::Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(30), "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
