//! Verification: what this region does and knows about its replicas being equal to others'.
//!
//! The protocol and its asker are `geodynamo_replicator_core::verify`. Here are the rows: taking sums over them and listing
//! them (`rows.rs`), holding another replica's against them and healing what is lacking (`heal.rs`), how far every member
//! has applied what (`standing.rs`), and, in this file, which verification is due and what the past ones have shown.
//!
//! Trees of sums are made by whoever scans and kept by nobody, so a put costs nothing, and there is no tree that could be
//! wrong by itself; in exchange a verification reads the table, at a bounded rate.
//!
//! Of each pair of regions the one whose name comes first asks, every so often; the other one asks when it is told that it
//! lacks something.

mod collect;
mod derived;
mod heal;
pub(crate) mod mend;
mod pacer;
mod report;
mod rows;

use std::{collections::BTreeMap, sync::Arc};

use geodynamo_replicator_core::{
    Hlc, HostError, Millis, Peer, ReplicaId, TableId,
    verify::{Answer, Done, Question, RowKind, STRETCHES_MAX, Stretch, Task, Verified, VerifyOrder},
};
use geodynamo_storage::Engine;
use parking_lot::Mutex;
use xxhash_rust::xxh3::xxh3_64;

use crate::{
    Result, Table, TableError, VerifyOptions,
    catalog::Catalog,
    local::{
        Local,
        system::{SystemTable, is_system},
    },
    log::Logs,
    merge::Merge,
    progress::Progress,
    schema::ReplicaStatus,
    table::TableStatus,
    write::Writes,
};

use self::pacer::Pacer;
pub use self::{
    collect::Remains,
    mend::Unmended,
    report::{HealReason, HealedRow, PairReport, Proof, TableReport, VerifyCounts},
};

/// How long after a verification that proved less than it should the next one is due, in milliseconds.
const AGAIN_MS: Millis = 10_000;
/// The most rows that were healed and are told of, for each table and peer.
const HEALED_SHOWN_MAX: usize = 32;

/// The verifications of a region.
#[derive(Debug)]
pub(crate) struct Verifications {
    options: VerifyOptions,
    started_ms: Millis,
    pairs: Mutex<BTreeMap<(u64, String), Pair>>,
    counts: Mutex<VerifyCounts>,
    /// When each table was looked through for what may go, and what was left.
    scans: Mutex<BTreeMap<u64, (Millis, Remains)>>,
    /// What was taken away.
    collected: Mutex<Remains>,
    /// What is being mended, by table.
    mends: Mutex<BTreeMap<u64, mend::Mend>>,
    /// Since when client tokens may be lost.
    tokens_lost: Mutex<Option<Millis>>,
    pacer: Pacer,
}

#[derive(Debug, Default)]
struct Pair {
    report: PairReport,
    /// Stretches that the peer says are lacking something here.
    told: Vec<Stretch>,
    /// Whether somebody wants it verified now.
    wanted: bool,
    /// Up to where tombstones had been collected when it was.
    collected: Hlc,
    /// When it was begun last.
    begun_ms: Option<Millis>,
    /// When it is due again, if that is before the ordinary time.
    again_ms: Option<Millis>,
    /// How many losses there had been when the one that is under way began.
    begun_as_of: u64,
    /// As of how many losses all was shown to be equal, and was asked for because of them.
    proven_as_of: Option<u64>,
    asked_as_of: Option<u64>,
}

impl Verifications {
    pub(crate) fn new(options: VerifyOptions, now: Millis) -> Self {
        Self {
            options,
            started_ms: now,
            pairs: Mutex::default(),
            counts: Mutex::default(),
            scans: Mutex::default(),
            collected: Mutex::default(),
            mends: Mutex::default(),
            tokens_lost: Mutex::default(),
            pacer: Pacer::new(options.bytes_per_second),
        }
    }

    /// A table's data is gone.
    pub(crate) fn forget(&self, table: u64) {
        self.pairs.lock().retain(|(of, _), _| *of != table);
        self.scans.lock().remove(&table);
    }
}

impl Pair {
    /// When an ordinary verification is due.
    fn due_ms(&self, key: &(u64, String), all: &Verifications) -> Option<Millis> {
        let every = all.options.every_ms;
        if every == 0 {
            return None;
        }
        let ordinary = match self.begun_ms {
            Some(begun) => begun.saturating_add(every),
            // Not all tables at once.
            None => all.started_ms.saturating_add(xxh3_64(&key.0.to_be_bytes()) % every),
        };
        Some(self.again_ms.map_or(ordinary, |again| again.min(ordinary)))
    }
}

/// Compares tables with other regions' and heals what differs; takes away what all have applied.
pub struct Verify<E: Engine> {
    local: Arc<Local<E>>,
    writes: Arc<Writes<E>>,
    logs: Arc<Logs<E>>,
    catalog: Arc<Catalog<E>>,
    progress: Arc<Progress<E>>,
    merge: Arc<Merge<E>>,
    /// What is due, and what was shown.
    pub(crate) verifications: Verifications,
}

impl<E: Engine> Verify<E> {
    pub(crate) fn new(
        local: &Arc<Local<E>>,
        writes: &Arc<Writes<E>>,
        logs: &Arc<Logs<E>>,
        catalog: &Arc<Catalog<E>>,
        progress: &Arc<Progress<E>>,
        merge: &Arc<Merge<E>>,
        verifications: Verifications,
    ) -> Self {
        Self {
            local: Arc::clone(local),
            writes: Arc::clone(writes),
            logs: Arc::clone(logs),
            catalog: Arc::clone(catalog),
            progress: Arc::clone(progress),
            merge: Arc::clone(merge),
            verifications,
        }
    }

    /// The verification that this region should begin with another one now, if there is one. It is under way from here on,
    /// until [`crate::Verify::verify_ended`] is told of its end.
    pub fn verification_due(&self, peer: &str) -> Option<VerifyOrder> {
        let now = self.local.orderer().time.now_ms();
        let all = &self.verifications;
        let mut pairs = all.pairs.lock();
        let mut due: Option<(Millis, u64)> = None;
        for table in self.compared_with(peer) {
            let key = (table.id(), peer.to_owned());
            let pair = pairs.entry(key.clone()).or_default();
            if pair.report.running {
                continue;
            }
            let since = if pair.wanted || !pair.told.is_empty() {
                Some(0)
            } else if self.local.region() < peer {
                pair.due_ms(&key, all).filter(|due| *due <= now)
            } else {
                None
            };
            if let Some(since) = since
                && due.is_none_or(|(first, _)| since < first)
            {
                due = Some((since, table.id()));
            }
        }
        let (_, id) = due?;
        let pair = pairs.get_mut(&(id, peer.to_owned()))?;
        let told = std::mem::take(&mut pair.told);
        let whole = std::mem::take(&mut pair.wanted) || told.is_empty();
        if whole {
            (pair.begun_ms, pair.again_ms) = (Some(now), None);
        }
        pair.report.running = true;
        Some(VerifyOrder {
            table: TableId(id),
            peer: peer.to_owned(),
            stretches: if whole { Vec::new() } else { told },
        })
    }

    /// The tables that are compared with another region: those that both serve, and the system tables.
    fn compared_with(&self, peer: &str) -> Vec<Arc<Table>> {
        let mut tables: Vec<Arc<Table>> = Vec::new();
        if self.local.options().regions.iter().any(|region| region == peer) && self.merge.knows_catalog() {
            tables.extend(self.local.system().all().cloned());
        }
        tables.extend(
            self.local
                .all()
                .into_iter()
                .filter(|table| self.serves_with(table, peer, None)),
        );
        tables
    }

    /// Whether a table is served here and in another region: there, if it is told, by a replica.
    fn serves_with(&self, table: &Table, peer: &str, replica: Option<ReplicaId>) -> bool {
        let here = matches!(table.status(), TableStatus::Active | TableStatus::Updating);
        here && table.registers.replicas.get(peer).is_some_and(|entry| {
            let is_it = replica.is_none_or(|replica| entry.incarnation == Some(replica.0));
            entry.status == ReplicaStatus::Active && is_it
        })
    }

    /// A verification has ended.
    pub fn verify_ended(&self, order: &VerifyOrder, ended: std::result::Result<Verified, String>) {
        let now = self.local.orderer().time.now_ms();
        let all = &self.verifications;
        let table = self.local.replicated(order.table.0);
        let mut pairs = all.pairs.lock();
        let Some(pair) = pairs.get_mut(&(order.table.0, order.peer.clone())) else {
            return;
        };
        let report = &mut pair.report;
        report.running = false;
        report.ended = Some((now, ended.as_ref().err().cloned()));
        let mut counts = all.counts.lock();
        let verified = match ended {
            Ok(verified) => verified,
            Err(_) => {
                counts.failed += 1;
                pair.again_ms = Some(now.saturating_add(AGAIN_MS));
                return;
            }
        };
        counts.ended += 1;
        counts.rows += verified.rows;
        self.note_proven(order, &verified, pair.begun_as_of);
        if order.stretches.is_empty() && verified.unproven.is_empty() {
            pair.proven_as_of = Some(pair.begun_as_of);
        }
        if !order.stretches.is_empty() {
            return;
        }
        (report.rows, report.in_flight) = (verified.rows, verified.in_flight);
        if !verified.unproven.is_empty() {
            pair.again_ms = Some(now.saturating_add(AGAIN_MS));
        }
        let Some(table) = table else { return };
        let proof = Proof {
            at_ms: now,
            up_to: self.progress.equal_up_to(&table, &order.peer, &verified),
        };
        let map = table.partitions();
        for partition in 0..map.partitions() {
            let (first, last) = map.range(partition).unwrap_or((0, u64::MAX));
            let touches = |stretch: &Stretch| {
                let from = stretch.after.as_ref().map_or(0, |mark| mark.0);
                let to = stretch.until.as_ref().map_or(u64::MAX, |mark| mark.0);
                from <= last && to >= first
            };
            if !verified.unproven.iter().any(touches) {
                report.proven.insert(partition, proof.clone());
            }
        }
    }

    /// Another region says that this one lacks rows of some stretches of a table.
    fn verify_told(&self, table: u64, peer: &str, stretches: Vec<Stretch>) {
        let mut pairs = self.verifications.pairs.lock();
        let pair = pairs.entry((table, peer.to_owned())).or_default();
        pair.told.extend(stretches);
        if pair.told.len() > STRETCHES_MAX {
            pair.told = vec![Stretch::default()];
        }
    }

    /// Has a table, or every one, verified now with every region that has it.
    ///
    /// # Errors
    /// If there is no such table here.
    pub fn verify_now(&self, name: Option<&str>) -> Result<()> {
        let wanted = name.map(|name| self.verified_table(name)).transpose()?;
        for peer in self
            .local
            .options()
            .regions
            .iter()
            .filter(|peer| *peer != self.local.region())
        {
            let tables = self.compared_with(peer);
            let mut pairs = self.verifications.pairs.lock();
            for table in tables {
                if wanted.as_ref().is_none_or(|wanted| wanted.id() == table.id()) {
                    pairs.entry((table.id(), peer.clone())).or_default().wanted = true;
                }
            }
        }
        Ok(())
    }

    fn verified_table(&self, name: &str) -> Result<Arc<Table>> {
        let system = self.local.system().all().find(|table| shown_name(table) == name);
        system.cloned().map_or_else(|| self.local.table_named(name), Ok)
    }

    /// What verifications have shown of a table, or of every one that other regions have, too.
    ///
    /// # Errors
    /// If there is no such table here.
    pub fn verify_report(&self, name: Option<&str>) -> Result<Vec<TableReport>> {
        let wanted = name.map(|name| self.verified_table(name)).transpose()?;
        let mut reports: BTreeMap<u64, TableReport> = BTreeMap::new();
        for peer in self
            .local
            .options()
            .regions
            .iter()
            .filter(|peer| *peer != self.local.region())
        {
            let tables = self.compared_with(peer);
            let pairs = self.verifications.pairs.lock();
            for table in tables {
                if wanted.as_ref().is_some_and(|wanted| wanted.id() != table.id()) {
                    continue;
                }
                let report = reports.entry(table.id()).or_insert_with(|| TableReport {
                    table: shown_name(&table),
                    partitions: table.partitions().partitions(),
                    peers: BTreeMap::new(),
                });
                let pair = pairs.get(&(table.id(), peer.clone()));
                let shown = pair.map(|pair| PairReport {
                    // What somebody waits for counts as under way.
                    running: pair.report.running || pair.wanted,
                    ..pair.report.clone()
                });
                report.peers.insert(peer.clone(), shown.unwrap_or_default());
            }
        }
        Ok(reports.into_values().collect())
    }

    /// What all verifications have done.
    pub fn verify_counts(&self) -> VerifyCounts {
        let all = &self.verifications;
        let mut counts = all.counts.lock().clone();
        for peer in self
            .local
            .options()
            .regions
            .iter()
            .filter(|peer| *peer != self.local.region())
        {
            // The other side of the pair proves.
            if self.local.region() > peer.as_str() {
                continue;
            }
            let tables = self.compared_with(peer);
            let pairs = all.pairs.lock();
            let mut oldest = Millis::MAX;
            for table in tables {
                let pair = pairs.get(&(table.id(), peer.clone()));
                for partition in 0..table.partitions().partitions() {
                    let proof = pair.and_then(|pair| pair.report.proven.get(&partition));
                    oldest = oldest.min(proof.map_or(all.started_ms, |proof| proof.at_ms));
                }
                counts.unhealed += pair.map_or(0, |pair| pair.report.unhealed + pair.report.twins);
            }
            if oldest != Millis::MAX {
                counts.oldest_proof.insert(peer.clone(), oldest);
            }
        }
        counts
    }

    /// The asking side: does what its verifier wants done.
    ///
    /// # Errors
    /// If the table is gone, or the engine fails: the verification ends.
    pub async fn verify_do(
        &self,
        order: &VerifyOrder,
        peer: &Peer,
        task: Task,
    ) -> std::result::Result<Done, HostError> {
        let failed = |error: TableError| HostError(error.to_string());
        let table = self.local.replicated(order.table.0);
        let table = table.ok_or_else(|| HostError("the table is gone".into()))?;
        let done = match task {
            Task::Stand { .. } => {
                self.note_begun(table.id(), &order.peer);
                Done::Standing(self.progress.standing(&table).await.map_err(failed)?)
            }
            Task::Hear { standing } => {
                self.progress.heard_from(&table, &order.peer, &standing);
                // What it says may let this replica agree to more.
                self.progress.standing(&table).await.map_err(failed)?;
                Done::Heard
            }
            Task::Parts {
                kind,
                stretch,
                rows,
                horizons,
            } => {
                let parts = self.parts(&table, kind, &stretch, rows, horizons).await;
                let (parts, all) = parts.map_err(failed)?;
                Done::Parts { parts, all }
            }
            Task::Compare {
                kind,
                stretch,
                listing,
                begun,
                horizons,
            } => {
                let compared = self.compare(&table, peer, kind, &stretch, listing, begun, horizons);
                Done::Compared(compared.await.map_err(failed)?)
            }
            Task::Heal { kind, deltas, .. } => {
                self.heal(&table, peer, kind, deltas).await.map_err(failed)?;
                Done::Healed
            }
        };
        Ok(done)
    }

    /// The answering side, first: notes how another region's replica stands with a table, and tells how this one does.
    ///
    /// # Errors
    /// If it is not a table that both serve.
    pub async fn verify_begin(
        &self,
        region: &str,
        table: TableId,
        replica: ReplicaId,
        standing: geodynamo_replicator_core::verify::Standing,
    ) -> std::result::Result<Answer, HostError> {
        let failed = |error: TableError| HostError(error.to_string());
        let found = self.compared(region, table, Some(replica))?;
        self.local.standings().heard(table.0, replica, &standing);
        let standing = self.progress.standing(&found).await.map_err(failed)?;
        Ok(Answer::Ready { standing })
    }

    /// The answering side, then: answers a question about the table that was begun with; `None` where none is wanted.
    ///
    /// # Errors
    /// If it is not a table that both serve, any more, or the engine fails.
    pub async fn verify_answer(
        &self,
        region: &str,
        table: TableId,
        question: Question,
    ) -> std::result::Result<Option<Answer>, HostError> {
        let failed = |error: TableError| HostError(error.to_string());
        let table = self.compared(region, table, None)?;
        let answer = match question {
            Question::Begin { .. } => return Err(HostError("it has begun already".into())),
            Question::Sums {
                kind,
                after,
                marks,
                until,
                horizons,
            } => {
                let sums = self.sums(&table, kind, Stretch { after, until }, marks, horizons).await;
                Answer::Sums {
                    sums: sums.map_err(failed)?,
                }
            }
            Question::List {
                kind,
                stretch,
                horizons,
            } => Answer::Rows(self.list_rows(&table, kind, &stretch, horizons).await.map_err(failed)?),
            Question::Fetch { kind, marks } => {
                let (taken, deltas) = self.fetch_rows(&table, kind, marks).await.map_err(failed)?;
                Answer::Deltas { taken, deltas }
            }
            Question::Behind { stretches } => {
                self.verify_told(table.id(), region, stretches);
                return Ok(None);
            }
        };
        Ok(Some(answer))
    }

    fn compared(
        &self,
        region: &str,
        table: TableId,
        replica: Option<ReplicaId>,
    ) -> std::result::Result<Arc<Table>, HostError> {
        let found = self.local.replicated(table.0).filter(|found| {
            if is_system(found.id()) {
                self.local.options().regions.iter().any(|known| known == region) && self.merge.knows_catalog()
            } else {
                self.serves_with(found, region, replica)
            }
        });
        found.ok_or_else(|| HostError(format!("{region} and this region do not both serve table {table}")))
    }

    pub(crate) fn note_healed(&self, table: &Table, peer: &str, kind: RowKind, healed: Vec<HealedRow>) {
        if healed.is_empty() {
            return;
        }
        tracing::warn!(
            region = self.local.region(),
            table = shown_name(table),
            peer,
            rows = healed.len(),
            ?kind,
            first_reason = healed.first().map_or("", |row| row.reason.name()),
            "rows that differed were brought from another region"
        );
        let all = &self.verifications;
        let mut pairs = all.pairs.lock();
        let mut counts = all.counts.lock();
        let report = &mut pairs.entry((table.id(), peer.to_owned())).or_default().report;
        for row in healed {
            *report.healed.entry((row.partition, row.reason)).or_default() += 1;
            *counts.healed.entry(row.reason).or_default() += 1;
            if report.last_healed.len() >= HEALED_SHOWN_MAX {
                report.last_healed.pop_front();
            }
            report.last_healed.push_back(row);
        }
    }

    pub(crate) fn note_hopeless(&self, table: &Table, peer: &str, unhealed: u64, twins: u64) {
        let mut pairs = self.verifications.pairs.lock();
        let report = &mut pairs.entry((table.id(), peer.to_owned())).or_default().report;
        report.unhealed += unhealed;
        report.twins += twins;
    }

    /// A verification begins: what an earlier one could not heal is found anew.
    fn note_begun(&self, table: u64, peer: &str) {
        let collected = self.local.horizons(table).collected;
        let mut pairs = self.verifications.pairs.lock();
        let pair = pairs.entry((table, peer.to_owned())).or_default();
        pair.collected = collected;
        pair.begun_as_of = self.local.store().distrusted().losses();
        (pair.report.unhealed, pair.report.twins) = (0, 0);
    }

    /// Up to where tombstones had been collected when the verification that is under way began.
    pub(crate) fn collected_before(&self, table: u64, peer: &str) -> Hlc {
        let pairs = self.verifications.pairs.lock();
        let pair = pairs.get(&(table, peer.to_owned()));
        pair.map_or(Hlc(0), |pair| pair.collected)
    }

    /// Waits as long as reading so many bytes may take.
    pub(crate) async fn pace(&self, bytes: usize) {
        self.verifications.pacer.pace(bytes).await;
    }
}

/// A table's name for people.
fn shown_name(table: &Table) -> String {
    match table.id() {
        id if id == crate::table::registers::CATALOG => "(catalog)".into(),
        id if id == SystemTable::Access as u64 => "(access)".into(),
        id if is_system(id) => format!("(system {id})"),
        _ => table.name().to_owned(),
    }
}
