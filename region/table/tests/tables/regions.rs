//! Regions that exchange deltas and copies as links and joins do, without a network.

use std::{collections::BTreeMap, sync::Arc};

use geodynamo_replicator_core::{
    ApplyError, Batch, Body, CopyRequest, CopyRows, Delta, LogInfo, Peer, Position, TableId, join::COPY_PAGE_BYTES,
};
use geodynamo_storage::{MemoryEngine, Spanning};
use geodynamo_table::{Tables, UpdateTable};

use crate::support::{NOW, Region, Time, definition, options};

/// Rounds after which regions that still have something to exchange are taken to do so for ever.
const ROUNDS_MAX: usize = 100;

/// Regions with a clock each.
pub(crate) struct Regions {
    pub(crate) all: Vec<Region>,
    pub(crate) times: Vec<Arc<Time>>,
    names: Vec<&'static str>,
    spanning: Spanning,
}

impl Regions {
    /// Regions without tables.
    pub(crate) async fn new(spanning: Spanning, names: &[&'static str]) -> Self {
        let mut regions = Self {
            all: Vec::new(),
            times: Vec::new(),
            names: names.to_vec(),
            spanning,
        };
        for name in names {
            let time = Time::at(NOW);
            let tables = Tables::open(MemoryEngine::new(spanning), options(name, names, &time));
            regions.all.push(tables.await.unwrap());
            regions.times.push(time);
        }
        regions
    }

    /// Regions that all have the table `t`, made in the first.
    pub(crate) async fn with_table(spanning: Spanning, names: &[&'static str]) -> Self {
        let regions = Self::new(spanning, names).await;
        regions.all[0].catalog().create_table(definition("t")).await.unwrap();
        for name in &names[1..] {
            regions.add("t", name).await;
        }
        regions
    }

    /// Adds a region's replica, by the first region.
    pub(crate) async fn add(&self, table: &str, region: &str) {
        let update = UpdateTable {
            replica_creates: vec![region.into()],
            ..UpdateTable::default()
        };
        self.all[0].catalog().update_table(table, update).await.unwrap();
        self.settle().await;
        for region in &self.all {
            assert!(region.local().is_settled(table) || region.table_named(table).is_err());
        }
    }

    /// Ends a region's process as a crash does and starts it again.
    pub(crate) async fn restart(&mut self, at: usize) {
        let engine = self.all[at].engine().crash();
        let options = options(self.names[at], &self.names, &self.times[at]);
        self.all[at] = Tables::open(engine, options).await.unwrap();
    }

    /// Gives a region a fresh data directory, as after the loss of its disk.
    pub(crate) async fn replace(&mut self, at: usize) {
        let mut options = options(self.names[at], &self.names, &self.times[at]);
        options.new_replica.0 = self.all[at].replica().0 + 1000;
        self.all[at] = Tables::open(MemoryEngine::new(self.spanning), options).await.unwrap();
    }

    /// Exchanges what the links bring and what the catalog asks, a few times, but no copies.
    pub(crate) async fn exchange(&self) {
        for _ in 0..8 {
            for to in &self.all {
                for from in &self.all {
                    if from.region() != to.region() {
                        deliver_all(from, to).await.unwrap();
                    }
                }
                to.background().reconcile().await.unwrap();
            }
        }
    }

    /// Exchanges everything until nothing is left; every region does what the catalog asks.
    pub(crate) async fn settle(&self) {
        self.settle_among(&self.names).await;
    }

    /// The same while only some of the regions reach each other.
    pub(crate) async fn settle_among(&self, names: &[&str]) {
        let reached = |region: &&Region| names.contains(&region.region());
        let all: Vec<&Region> = self.all.iter().filter(reached).collect();
        for _ in 0..ROUNDS_MAX {
            let mut moved = 0;
            for to in &all {
                moved += self.join(to, names).await;
                for from in &all {
                    if from.region() != to.region() {
                        moved += deliver_all(from, to).await.unwrap();
                    }
                }
                let before = *to.local().catalog_changes().borrow();
                to.background().reconcile().await.unwrap();
                moved += usize::from(*to.local().catalog_changes().borrow() != before);
                moved += usize::from(to.backfill().build_indexes().await.unwrap());
            }
            if moved == 0 {
                return;
            }
        }
        panic!("the regions never settle");
    }

    /// Fetches the copies that are due; gives how many were fetched.
    pub(crate) async fn join(&self, to: &Region, names: &[&str]) -> usize {
        let mut fetched = 0;
        for order in to.merge().copies_due() {
            if !names.contains(&order.source.as_str()) {
                continue;
            }
            let source = self.all.iter().find(|region| region.region() == order.source).unwrap();
            let request = CopyRequest {
                table: order.table,
                join: order.join,
                after: order.after.clone(),
            };
            let Ok(start) = source.merge().copy_out_start(to.region(), &request).await else {
                continue;
            };
            to.merge().copy_in_start(&order, start).await.unwrap();
            let mut after = order.after.clone();
            loop {
                let page = source
                    .merge()
                    .copy_out_page(order.table, after.clone(), COPY_PAGE_BYTES)
                    .await
                    .unwrap();
                let Some(last) = page.last else {
                    assert!(page.deltas.is_empty());
                    break;
                };
                after = Some(last.clone());
                let rows = CopyRows {
                    deltas: page.deltas,
                    last,
                };
                to.merge().copy_in_rows(&order, &peer(source), rows).await.unwrap();
            }
            to.merge().copy_in_end(&order).await.unwrap();
            fetched += 1;
        }
        fetched
    }

    /// That all regions hold the same of a table; gives its items, tombstones and conflicts.
    pub(crate) async fn agree(&self, table: &str) -> (u64, u64, u64) {
        let first = self.all[0].reads().digest(table).await.unwrap();
        for region in &self.all[1..] {
            assert_eq!(
                region.reads().digest(table).await.unwrap(),
                first,
                "{}",
                region.region()
            );
            let (shown, firsts) = (region.describe(table).unwrap(), self.all[0].describe(table).unwrap());
            assert_eq!((shown.items, shown.bytes), (firsts.items, firsts.bytes));
        }
        first.partitions.iter().fold((0, 0, 0), |sum, part| {
            (sum.0 + part.items, sum.1 + part.tombstones, sum.2 + part.conflicts)
        })
    }

    /// That all regions hold the same of a table, whatever they have counted since a restart; gives its items.
    pub(crate) async fn agree_on_digests(&self, table: &str) -> u64 {
        let first = self.all[0].reads().digest(table).await.unwrap();
        for region in &self.all[1..] {
            assert_eq!(
                region.reads().digest(table).await.unwrap(),
                first,
                "{}",
                region.region()
            );
        }
        first.partitions.iter().map(|part| part.items).sum()
    }

    /// How many records all logs of all regions have ever had.
    pub(crate) fn logged(&self) -> u64 {
        let ends = |region: &Region| -> u64 {
            let logs = self.names.iter().find(|name| **name != region.region());
            let logs = region.logs().logs_to(logs.unwrap());
            logs.iter().map(|info| region.local().log_end(info.log).0).sum()
        };
        self.all.iter().map(ends).sum()
    }
}

pub(crate) fn peer(region: &Region) -> Peer {
    Peer {
        region: region.region().into(),
        replica: region.replica(),
    }
}

/// What a region has for another behind its cursors: one batch a log.
pub(crate) async fn batches(from: &Region, to: &Region) -> Vec<Batch> {
    let mut batches = Vec::new();
    for info in from.logs().logs_to(to.region()) {
        if let Some(after) = to.merge().cursor_of(&peer(from), &info) {
            batches.extend(batch(from, info, after).await);
        }
    }
    batches
}

async fn batch(from: &Region, info: LogInfo, after: Position) -> Option<Batch> {
    let changes = from.logs().read_log(info.log, after, 64, 1 << 20).await.unwrap();
    let up_to = changes.last()?.0;
    let mut deltas = Vec::new();
    for (_, change) in changes {
        if !change.is_local() {
            continue;
        }
        if let Some((loser, winner)) = change.loser() {
            let key = change.key;
            deltas.push(Delta::Conflict { key, loser, winner });
            continue;
        }
        assert!(matches!(change.body, Body::Item { .. }));
        let key = change.key;
        let versions = from.logs().versions(info.table, vec![key.clone()], 1).await.unwrap();
        deltas.extend(versions.into_iter().flatten().map(|version| Delta::Version {
            key: key.clone(),
            version,
        }));
    }
    Some(Batch {
        log: info,
        from: peer(from),
        after,
        up_to,
        deltas,
        sent_ms: NOW,
    })
}

/// Applies what a region has for another, a table's logs together; gives how many batches there were.
pub(crate) async fn deliver_all(from: &Region, to: &Region) -> Result<usize, ApplyError> {
    let mut by_table: BTreeMap<TableId, Vec<Batch>> = BTreeMap::new();
    for batch in batches(from, to).await {
        by_table.entry(batch.log.table).or_default().push(batch);
    }
    let (mut delivered, mut refused) = (0, Ok(()));
    for (_, batches) in by_table {
        let logs: Vec<_> = batches.iter().map(|batch| (batch.log.log, batch.up_to)).collect();
        let answers = to.merge().apply_all(batches).await;
        assert_eq!(answers.len(), logs.len());
        for ((log, up_to), answer) in logs.into_iter().zip(answers) {
            match answer {
                Ok(_) => {
                    from.logs().acked(to.region(), log, up_to);
                    delivered += 1;
                }
                Err(error) => refused = Err(error),
            }
        }
    }
    refused?;
    Ok(delivered)
}
