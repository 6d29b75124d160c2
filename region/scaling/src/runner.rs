//! Scales this region's targets: counts what is consumed, period by period, and provisions what the tracking wants.
//!
//! Of write capacity that regions share, each region tells the others what it has consumed at most lately, in a row of its own
//! ([`Row::Demand`]), written when that changes and now and then. Whoever would take capacity away looks at all of them.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use geodynamo_replicator_core::Millis;
use geodynamo_storage::Engine;
use geodynamo_table::{Provisioned, TableError};
use tokio::{sync::watch, time::Instant};
use xxhash_rust::xxh3::xxh3_128;

use crate::{
    Activity, Shared,
    target::{Key, Row, Target, uuid},
    tracking::{Cause, Known, Rules, Step, step},
};

/// How long a change that was refused is not tried again, in periods: decreases are limited by the hour.
const REFUSED_PERIODS: u32 = 10;
/// A demand is told again after so many periods, though it is the same.
const TELL_PERIODS: u32 = 5;
/// A demand is told at once if it has grown or shrunk by more than this part.
const TELL_CHANGE: f64 = 0.05;
/// A demand that was told longer ago than this many periods is not known any more.
const FRESH_PERIODS: u32 = 15;

/// A table that is not there for longer than so many periods is gone.
const ABSENT_PERIODS: u32 = 5;

/// A counter: a table's, or an index's, and reads or writes.
type Counter = (u64, Option<u64>, bool);

pub(crate) struct Runner<E: Engine> {
    shared: Arc<Shared<E>>,
    /// What had been consumed when it was last looked, and when that was.
    counted: HashMap<Counter, f64>,
    at: Instant,
    /// Units a second in each of the last periods.
    used: HashMap<Counter, VecDeque<f64>>,
    /// By target.
    state: BTreeMap<Key, State>,
}

#[derive(Clone, Copy, Debug, Default)]
struct State {
    out_at: Option<Instant>,
    in_at: Option<Instant>,
    refused_at: Option<Instant>,
    told: Option<(f64, Instant)>,
    /// Periods for which there was no such table.
    absent: u32,
}

impl<E: Engine> Runner<E> {
    pub(crate) fn new(shared: Arc<Shared<E>>) -> Self {
        Self {
            shared,
            counted: HashMap::new(),
            at: Instant::now(),
            used: HashMap::new(),
            state: BTreeMap::new(),
        }
    }

    pub(crate) async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let period = self.shared.options.period;
        let mut next = Instant::now() + period;
        self.count();
        loop {
            let over = tokio::select! {
                () = tokio::time::sleep_until(next) => true,
                // Bounds hold at once.
                () = self.shared.changed.notified() => false,
                _ = stop.wait_for(|stopped| *stopped) => return,
            };
            if over {
                self.count();
                next = Instant::now() + period;
            }
            self.settle(over).await;
        }
    }

    /// A period is over: what was consumed in it.
    fn count(&mut self) {
        let seconds = self.at.elapsed().as_secs_f64().max(1e-3);
        self.at = Instant::now();
        let Rules { high, low } = self.shared.options.rules;
        let kept = high.max(low).max(1);
        let mut counted = HashMap::new();
        for now in self.shared.tables.catalog().consumed() {
            for (write, total) in [(false, now.read), (true, now.write)] {
                let counter = (now.table, now.index_id, write);
                if let Some(before) = self.counted.get(&counter) {
                    let used = self.used.entry(counter).or_default();
                    used.push_back((total - before).max(0.0) / seconds);
                    if used.len() > kept {
                        used.pop_front();
                    }
                }
                counted.insert(counter, total);
            }
        }
        self.used.retain(|counter, _| counted.contains_key(counter));
        self.counted = counted;
    }

    async fn settle(&mut self, over: bool) {
        let shared = Arc::clone(&self.shared);
        let own: Vec<(Key, Target)> = {
            let known = shared.known.lock();
            let region = shared.tables.region();
            let own = known.targets.iter().filter(|(key, _)| key.region == region);
            own.map(|(key, target)| (key.clone(), target.clone())).collect()
        };
        self.state.retain(|key, _| own.iter().any(|(known, _)| known == key));
        for (key, target) in own {
            let there = shared.tables.table_named(&key.table).map(|table| table.id());
            match there {
                Ok(id) if id == target.table => self.state.entry(key.clone()).or_default().absent = 0,
                // The table is gone, and its targets with it; unless it is only that the catalog comes later than they.
                _ => {
                    let state = self.state.entry(key.clone()).or_default();
                    state.absent += u32::from(over);
                    if state.absent > ABSENT_PERIODS {
                        self.forget(&key).await;
                    }
                    continue;
                }
            }
            // In on-demand mode, or without the index, it waits.
            if let Ok(Some(there)) = shared.tables.catalog().provisioned(&key.table, key.index.as_deref()) {
                self.settle_one(&key, &target, &there, over).await;
            }
        }
    }

    async fn settle_one(&mut self, key: &Key, target: &Target, there: &Provisioned, over: bool) {
        let shared = Arc::clone(&self.shared);
        let index = key.index.as_deref();
        let used: Vec<f64> = self.used_by(there.table, index, key).unwrap_or_default();
        let is_shared = key.write && there.regions.len() > 1;
        if over && is_shared && target.policy.is_some() {
            self.tell(key, used.iter().copied().fold(0.0, f64::max)).await;
        }
        let elsewhere = if is_shared {
            self.elsewhere(key, &there.regions)
        } else {
            Some(0.0)
        };
        let period = shared.options.period;
        let state = self.state.entry(key.clone()).or_default();
        if state
            .refused_at
            .is_some_and(|at| at.elapsed() < period * REFUSED_PERIODS)
        {
            return;
        }
        let seconds = |at: Option<Instant>| at.map(|at| at.elapsed().as_secs());
        let units = if key.write { there.units.write } else { there.units.read };
        let known = Known {
            target,
            current: units,
            used: if over { &used } else { &[] },
            elsewhere,
            since_out: seconds(state.out_at),
            since_in: seconds(state.in_at),
        };
        let Some(Step { to, cause }) = step(&known, shared.options.rules) else {
            return;
        };
        let start_ms = shared.tables.now_ms();
        let done = shared
            .tables
            .catalog()
            .provision(&key.table, index, key.access(), to)
            .await;
        if matches!(done, Err(TableError::ResourceInUse(_))) {
            // The table is being changed; there is another period.
            return;
        }
        let now = Some(Instant::now());
        match (&done, to > units) {
            (Err(_), _) => state.refused_at = now,
            (Ok(()), true) => state.out_at = now,
            (Ok(()), false) => state.in_at = now,
        }
        self.note(key, target, Step { to, cause }, start_ms, done.err());
    }

    fn used_by(&self, table: u64, index: Option<&str>, key: &Key) -> Option<Vec<f64>> {
        let index = match index {
            None => None,
            Some(name) => {
                let table = self.shared.tables.table_named(&key.table).ok()?;
                Some(table.global_index_id(name)?)
            }
        };
        let used = self.used.get(&(table, index, key.write))?;
        Some(used.iter().copied().collect())
    }

    fn note(&self, key: &Key, target: &Target, step: Step, start_ms: Millis, failure: Option<TableError>) {
        let (units, to, resource) = (key.units(), step.to, key.resource());
        let policy = target.policy.as_ref().map_or("", |policy| policy.name.as_str());
        let cause = match step.cause {
            Cause::Minimum => format!("minimum capacity was set to {}", target.min),
            Cause::Maximum => format!("maximum capacity was set to {}", target.max),
            Cause::High => {
                format!("monitor alarm TargetTracking-{resource}-AlarmHigh in state ALARM triggered policy {policy}")
            }
            Cause::Low => {
                format!("monitor alarm TargetTracking-{resource}-AlarmLow in state ALARM triggered policy {policy}")
            }
        };
        match &failure {
            None => tracing::info!(resource, units, to, cause, "capacity was scaled"),
            Some(error) => tracing::warn!(resource, units, to, cause, %error, "capacity was not scaled"),
        }
        let mut known = self.shared.known.lock();
        let number = xxh3_128(format!("{}\0{start_ms}\0{}", key.arn(""), known.counted).as_bytes());
        known.note(Activity {
            id: uuid(number),
            key: key.clone(),
            description: format!("Setting {units} capacity units to {to}."),
            cause,
            start_ms,
            end_ms: self.shared.tables.now_ms(),
            failure: failure.map(|error| error.to_string()),
        });
    }

    /// Tells the other regions what this one consumes of what they share.
    async fn tell(&mut self, key: &Key, units: f64) {
        let period = self.shared.options.period;
        let state = self.state.entry(key.clone()).or_default();
        let same = |told: f64| (told - units).abs() <= told.max(units) * TELL_CHANGE;
        if state
            .told
            .is_some_and(|(told, at)| same(told) && at.elapsed() < period * TELL_PERIODS)
        {
            return;
        }
        state.told = Some((units, Instant::now()));
        let row = Row::Demand(key.clone(), units, self.shared.tables.now_ms());
        if let Err(error) = self.shared.commit(vec![row], Vec::new()).await {
            tracing::warn!(%error, "what is consumed here cannot be told to other regions");
        }
    }

    /// The most that another region consumes; `None` if one has not told lately.
    fn elsewhere(&self, key: &Key, regions: &[String]) -> Option<f64> {
        let fresh = self.shared.options.period * FRESH_PERIODS;
        let known = self.shared.known.lock();
        let mut most = 0.0_f64;
        for region in regions.iter().filter(|region| **region != key.region) {
            let there = Key {
                region: region.clone(),
                ..key.clone()
            };
            let (units, at_ms) = known.demands.get(&there)?;
            let age = Duration::from_millis(self.shared.tables.now_ms().saturating_sub(*at_ms));
            if age > fresh {
                return None;
            }
            most = most.max(*units);
        }
        Some(most)
    }

    async fn forget(&self, key: &Key) {
        let _changing = self.shared.changing.lock().await;
        let gone = ["t", "d"].map(|kind| key.place(kind)).to_vec();
        if let Err(error) = self.shared.commit(Vec::new(), gone).await {
            tracing::warn!(%error, "targets of a table that is gone cannot be taken away");
        }
    }
}
