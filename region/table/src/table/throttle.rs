//! Throttling: what a table or a global index may consume per second, and who is refused beyond it.
//!
//! A table and each of its global indexes has read and write capacity of its own: what is provisioned, or the maximum set
//! for on-demand mode, of which 300 seconds' worth may be saved; and, for each range of keys, a ceiling that nothing is
//! saved of. A write consumes of the table and of every global index that it changes, and is refused if any of them has
//! nothing left. Local indexes consume of their table.
//!
//! DynamoDB splits partitions that get hot, until a partition key that is hot has one for itself. So the ceiling stands
//! for [`KEY_RANGES`] equal ranges of the partition hash here, whatever partitions the table is stored in.
//!
//! What links, copies and the expiry of items write consumes nothing.

mod bucket;

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

use bucket::{Bucket, Window};
use bytes::Bytes;
use geodynamo_replicator_core::Millis;
use geodynamo_storage::{Write, effort};

use crate::{
    KEY_RANGE_READ_MAX, KEY_RANGE_WRITE_MAX, KEY_RANGES, Result, Table, TableError, TimeSource,
    layout::keys,
    schema::{Billing, IndexDefinition, IndexKind, Throughput, capacity::Capacity},
    table::{
        insights::Place,
        throughput::{Bounds, OnDemandLimits},
        usage::Usage,
    },
};

/// Whether and how requests are throttled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThrottleOptions {
    /// Whether they are.
    pub enabled: bool,
    /// The most units per second of a range of keys; 0 is no limit.
    pub key_range: Throughput,
    /// The most units per second of a table, or a global index, in on-demand mode: the account's quota. 0 is no limit.
    pub on_demand: Throughput,
}

impl Default for ThrottleOptions {
    /// Off; once on, with DynamoDB's ceilings on hot keys, and no quota of the account.
    fn default() -> Self {
        Self {
            enabled: false,
            key_range: Throughput {
                read: KEY_RANGE_READ_MAX,
                write: KEY_RANGE_WRITE_MAX,
            },
            on_demand: Throughput::default(),
        }
    }
}

/// Whether a request reads or writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// It consumes read units.
    Read,
    /// It consumes write units.
    Write,
}

/// Which limit was passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// What is provisioned.
    Provisioned,
    /// The maximum that was set for on-demand mode.
    OnDemandMaximum,
    /// The account's quota of a table in on-demand mode.
    AccountQuota,
    /// The ceiling of a range of keys.
    KeyRange,
}

/// Why a request was throttled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Throttled {
    /// Which limit was passed.
    pub limit: Limit,
    /// Of what.
    pub access: Access,
    /// Whether it is a global index's limit, not the table's.
    pub index: bool,
    /// Whether the table is in on-demand mode.
    pub on_demand: bool,
    /// The ARN of the table or the index.
    pub resource: Arc<str>,
}

impl fmt::Display for Throttled {
    /// The reason as DynamoDB tells it, such as `TableWriteProvisionedThroughputExceeded`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.index { "Index" } else { "Table" })?;
        f.write_str(match self.access {
            Access::Read => "Read",
            Access::Write => "Write",
        })?;
        f.write_str(match self.limit {
            Limit::Provisioned => "ProvisionedThroughputExceeded",
            Limit::OnDemandMaximum => "MaxOnDemandThroughputExceeded",
            Limit::AccountQuota => "AccountLimitExceeded",
            Limit::KeyRange => "KeyRangeThroughputExceeded",
        })
    }
}

/// The limits of a table and its global indexes, as they are set now.
#[derive(Debug)]
pub(crate) struct Throttle {
    time: Clock,
    /// Whether there are limits; otherwise what is consumed is only counted.
    limits: bool,
    /// Counts what is refused.
    refused: Arc<AtomicU64>,
    table: Resource,
    /// In the order of the table's indexes; `None` for a local one.
    indexes: Vec<Option<Resource>>,
}

/// What was consumed of tables and indexes: it outlives changes of their settings.
#[derive(Debug, Default)]
pub(crate) struct Meters(parking_lot::Mutex<BTreeMap<Option<u64>, Arc<Meter>>>);

/// What was consumed of one table or index.
#[derive(Debug)]
struct Meter {
    read: Side,
    write: Side,
}

/// Of one kind of units.
#[derive(Debug)]
struct Side {
    bucket: Bucket,
    /// All that was ever consumed, in thousandths of a unit.
    total: AtomicU64,
    /// How often there was nothing left.
    refused: AtomicU64,
    ranges: OnceLock<Box<[Window]>>,
}

/// A table or an index with its limits.
#[derive(Debug)]
struct Resource {
    arn: Arc<str>,
    index: bool,
    on_demand: bool,
    read: Option<(Limit, u64)>,
    write: Option<(Limit, u64)>,
    key_range: Throughput,
    meter: Arc<Meter>,
    usage: Arc<Usage>,
}

/// Local time, for a structure that can be shown.
pub(crate) struct Clock(Arc<dyn TimeSource>);

impl Throttle {
    /// The limits of a table.
    pub(crate) fn of(
        table: &Table,
        region: &str,
        arn: &str,
        options: &ThrottleOptions,
        time: &Arc<dyn TimeSource>,
        refused: &Arc<AtomicU64>,
    ) -> Box<Self> {
        table.live.meters.keep(table.indexes());
        let billing = table.registers.billing.unwrap_or(Billing::OnDemand);
        let on_demand = billing == Billing::OnDemand;
        let created = table.created_ms();
        let rates = |index: Option<&IndexDefinition>| match table.bounds(region, index) {
            _ if !options.enabled => [None, None],
            Bounds::Provisioned(units) => [units.read, units.write].map(|units| Some((Limit::Provisioned, units))),
            Bounds::OnDemand(OnDemandLimits { read, write }) => {
                let rate = |most: Option<u64>, quota| {
                    let most = most.map(|most| (Limit::OnDemandMaximum, most));
                    most.or(Some((Limit::AccountQuota, quota)))
                };
                [rate(read, options.on_demand.read), rate(write, options.on_demand.write)]
            }
        };
        let resource = |arn: String, owner: Option<u64>, [read, write]: [Option<(Limit, u64)>; 2]| Resource {
            arn: arn.into(),
            index: owner.is_some(),
            on_demand,
            read,
            write,
            key_range: if options.enabled {
                options.key_range
            } else {
                Throughput::default()
            },
            meter: table.live.meters.meter(owner, created),
            usage: Arc::clone(&table.live.usage),
        };
        let index = |index: &IndexDefinition| match index.kind {
            IndexKind::Local(_) => None,
            IndexKind::Global(id) => {
                let arn = format!("{arn}/index/{}", index.name);
                Some(resource(arn, Some(id), rates(Some(index))))
            }
        };
        Box::new(Self {
            time: Clock::new(time),
            limits: options.enabled,
            refused: Arc::clone(refused),
            table: resource(arn.to_owned(), None, rates(None)),
            indexes: table.indexes().iter().map(index).collect(),
        })
    }

    /// Whether requests may be refused.
    pub(crate) fn limits(&self) -> bool {
        self.limits
    }

    fn refuse(&self, throttled: Box<Throttled>) -> TableError {
        self.refused.fetch_add(1, Ordering::Relaxed);
        effort::throttled();
        TableError::Throttled(throttled)
    }

    /// The limits of an index by its place among the table's; a local one has its table's.
    fn resource(&self, index: Option<usize>) -> &Resource {
        let index = index.and_then(|index| self.indexes.get(index)?.as_ref());
        index.unwrap_or(&self.table)
    }
}

impl Table {
    /// Lets a request in that reads or writes at a route of the table, or of an index (its place among the table's), and
    /// consumes the least that it will.
    pub(crate) fn admit(&self, index: Option<usize>, access: Access, at: Place<'_>, least: f64) -> Result<()> {
        let admitted = match &self.throttle {
            None => Ok(()),
            Some(throttle) if !throttle.limits => {
                throttle.resource(index).count(access, least);
                Ok(())
            }
            Some(throttle) => throttle
                .resource(index)
                .admit(access, at.route, least, throttle.time.now())
                .map_err(|throttled| throttle.refuse(throttled)),
        };
        self.contribute(index, at, admitted.is_ok().then_some(least));
        admitted
    }

    /// Whether a page that reads at a route has to end, for want of capacity.
    pub(crate) fn is_used_up(&self, index: Option<usize>, access: Access, route: u64) -> bool {
        let Some(throttle) = self.throttle.as_ref().filter(|throttle| throttle.limits) else {
            return false;
        };
        let admitted = throttle.resource(index).admit(access, route, 0.0, throttle.time.now());
        admitted.map_err(|throttled| throttle.refuse(throttled)).is_err()
    }

    /// Consumes what a request took besides what it was let in with.
    pub(crate) fn consume(&self, index: Option<usize>, access: Access, at: Place<'_>, units: f64) {
        if units <= 0.0 {
            return;
        }
        if let Some(throttle) = &self.throttle {
            let resource = throttle.resource(index);
            match throttle.limits {
                true => resource.consume(access, at.route, units, throttle.time.now()),
                false => resource.count(access, units),
            }
        }
        self.contribute(index, at, Some(units));
    }

    /// Consumes what a write takes of the table, besides what it was let in with, and of its indexes. It is refused if a
    /// global index has nothing left.
    ///
    /// `writes` are the write's own; they tell which places of the indexes it changes.
    pub(crate) fn consume_write(
        &self,
        at: Place<'_>,
        writes: &[Write],
        consumed: &Capacity,
        admitted: f64,
    ) -> Result<()> {
        if !self.is_metered() {
            // Where the index was changed matters to nobody.
            for (name, units) in &consumed.global {
                let index = self.indexes().iter().position(|index| index.name == *name);
                self.consume(index, Access::Write, Place::of_route(0), *units);
            }
            let local: f64 = consumed.local.iter().map(|(_, units)| units).sum();
            self.consume(None, Access::Write, at, consumed.table + local - admitted);
            return Ok(());
        }
        let changed = |owner: u64| -> Vec<Place<'_>> {
            let keys = writes.iter().filter_map(key_of);
            let own = keys.filter(|key| keys::is_entry_of(key, owner));
            own.map(|key| Place::of_engine_key(key)).collect()
        };
        let mut charges = smallvec::SmallVec::<[(usize, Vec<Place<'_>>, f64); 4]>::new();
        for (place, index) in self.indexes().iter().enumerate() {
            let units = consumed.global.iter().find(|(name, _)| *name == index.name);
            if let (IndexKind::Global(owner), Some((_, units))) = (index.kind, units) {
                charges.push((place, changed(owner), *units));
            }
        }
        for (index, places, _) in &charges {
            for at in places {
                self.admit_entry(*index, *at)?;
            }
        }
        for (index, places, units) in charges {
            let each = units / places.len().max(1) as f64;
            for at in places {
                self.consume(Some(index), Access::Write, at, each);
            }
        }
        let local: f64 = consumed.local.iter().map(|(_, units)| units).sum();
        self.consume(None, Access::Write, at, consumed.table + local - admitted);
        Ok(())
    }

    /// Lets a write change an entry of a global index, which is counted only if it is refused.
    fn admit_entry(&self, index: usize, at: Place<'_>) -> Result<()> {
        let Some(throttle) = self.throttle.as_ref().filter(|throttle| throttle.limits) else {
            return Ok(());
        };
        let resource = throttle.resource(Some(index));
        let admitted = resource.admit(Access::Write, at.route, 0.0, throttle.time.now());
        admitted.map_err(|throttled| {
            self.contribute(Some(index), at, None);
            throttle.refuse(throttled)
        })
    }
}

impl Resource {
    fn admit(&self, access: Access, route: u64, least: f64, now: Millis) -> std::result::Result<(), Box<Throttled>> {
        let side = self.meter.side(access);
        let limit = match self.rate(access) {
            Some((limit, _)) if !side.bucket.has_any(now) => limit,
            _ => match access.of(self.key_range) {
                0 => return self.let_in(access, route, least, now),
                most if side.range(route).has_any(now, most) => return self.let_in(access, route, least, now),
                _ => Limit::KeyRange,
            },
        };
        side.refused.fetch_add(1, Ordering::Relaxed);
        if let Some(sum) = self.usage.sum_of_units() {
            sum.refuse(access);
        }
        Err(Box::new(Throttled {
            limit,
            access,
            index: self.index,
            on_demand: self.on_demand,
            resource: Arc::clone(&self.arn),
        }))
    }

    fn let_in(&self, access: Access, route: u64, least: f64, now: Millis) -> std::result::Result<(), Box<Throttled>> {
        self.consume(access, route, least, now);
        Ok(())
    }

    /// Counts what is consumed, and takes it from nothing.
    fn count(&self, access: Access, units: f64) {
        // Units are halves of whole numbers, and no request has so many of them.
        let thousandths = (units * 1000.0) as u64;
        self.meter.side(access).total.fetch_add(thousandths, Ordering::Relaxed);
        if let Some(sum) = self.usage.sum_of_units() {
            sum.consume(access, thousandths);
        }
    }

    fn consume(&self, access: Access, route: u64, units: f64, now: Millis) {
        self.count(access, units);
        let side = self.meter.side(access);
        if let Some((_, rate)) = self.rate(access) {
            side.bucket.spend(now, units, rate);
        }
        let most = access.of(self.key_range);
        if most > 0 {
            side.range(route).spend(now, units, most);
        }
    }

    /// Units per second; `None` if there is no limit.
    fn rate(&self, access: Access) -> Option<(Limit, u64)> {
        let rate = match access {
            Access::Read => self.read,
            Access::Write => self.write,
        };
        rate.filter(|(_, rate)| *rate > 0)
    }
}

impl Meters {
    /// Forgets what was consumed of indexes that are gone.
    fn keep(&self, indexes: &[IndexDefinition]) {
        let is = |index: &IndexDefinition, owner: u64| index.kind == IndexKind::Global(owner);
        let kept = |owner: &Option<u64>| owner.is_none_or(|owner| indexes.iter().any(|index| is(index, owner)));
        self.0.lock().retain(|owner, _| kept(owner));
    }

    /// What was ever consumed of the table, or of an index.
    pub(crate) fn total(&self, owner: Option<u64>, access: Access) -> f64 {
        let meters = self.0.lock();
        meters.get(&owner).map_or(0.0, |meter| {
            meter.side(access).total.load(Ordering::Relaxed) as f64 / 1000.0
        })
    }

    /// What was ever consumed of the table, or of an index, and how often there was nothing left; of reads, of writes.
    pub(crate) fn counts(&self, owner: Option<u64>) -> ([f64; 2], [u64; 2]) {
        let meter = self.0.lock().get(&owner).cloned();
        let of = |count: fn(&Side) -> &AtomicU64| {
            let sides = [Access::Read, Access::Write];
            sides.map(|access| {
                meter
                    .as_ref()
                    .map_or(0, |meter| count(meter.side(access)).load(Ordering::Relaxed))
            })
        };
        (
            of(|side| &side.total).map(|total| total as f64 / 1000.0),
            of(|side| &side.refused),
        )
    }

    fn meter(&self, owner: Option<u64>, since: Millis) -> Arc<Meter> {
        let side = || Side {
            bucket: Bucket::since(since),
            total: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            ranges: OnceLock::new(),
        };
        let new = || Meter {
            read: side(),
            write: side(),
        };
        Arc::clone(self.0.lock().entry(owner).or_insert_with(|| Arc::new(new())))
    }
}

impl Meter {
    fn side(&self, access: Access) -> &Side {
        match access {
            Access::Read => &self.read,
            Access::Write => &self.write,
        }
    }
}

impl Side {
    /// The window of a route's range.
    fn range(&self, route: u64) -> &Window {
        let ranges = self
            .ranges
            .get_or_init(|| (0..KEY_RANGES).map(|_| Window::default()).collect());
        // The upper bits, as with partitions; there are as many windows as numbers of that many bits.
        &ranges[(route >> (u64::BITS - KEY_RANGES.ilog2())) as usize]
    }
}

impl Access {
    fn of(self, throughput: Throughput) -> u64 {
        match self {
            Self::Read => throughput.read,
            Self::Write => throughput.write,
        }
    }
}

impl Clock {
    pub(crate) fn new(time: &Arc<dyn TimeSource>) -> Self {
        Self(Arc::clone(time))
    }

    pub(crate) fn now(&self) -> Millis {
        self.0.now_ms()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

fn key_of(write: &Write) -> Option<&Bytes> {
    match write {
        Write::Put(key, _) | Write::Delete(key) => Some(key),
        Write::DeleteRange(..) => None,
    }
}
