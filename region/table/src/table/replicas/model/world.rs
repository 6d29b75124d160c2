//! Regions, their catalogs, items and links, and all that can happen to them.

mod hostile;
mod laws;

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{Hash, Hasher},
    sync::Arc,
};

use bytes::Bytes;
use geodynamo_replicator_core::{Hlc, Millis, ReplicaId, Stamp};

use super::{Action, Catalogs, Orders, Rule};
use crate::{
    schema::{Definition, KeyAttribute, KeySchema, KeyType, ReplicaStatus},
    table::lost::GIVEN_UP_MS,
    table::registers::Change,
    table::{
        TableStatus,
        registers::{Registers, Setting, pack},
        replicas::{self, Claim, Here, Step, Way},
    },
};

const REGIONS: [&str; 3] = ["a", "b", "c"];
const NAME: &str = "t";
/// Bits of items that a region can write.
const WRITES_MAX: u32 = 5;
/// Things that happen by themselves after one order, at most.
const SETTLES_WITHIN: usize = 300;

type Key = (u64, Setting);
pub(super) type Tables = BTreeMap<u64, Registers>;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Register {
    stamp: u32,
    value: Option<Bytes>,
}

/// A region.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Place {
    incarnation: u64,
    knows_catalog: bool,
    /// Tables and joins that it has given numbers to.
    numbered: u64,
    catalog: BTreeMap<Key, Register>,
    read: Read,
    /// What each other region has yet to get of its catalog, commit by commit.
    outbox: [Vec<Vec<Key>>; 3],
    /// Items by table, each a bit.
    items: BTreeMap<u64, u16>,
    /// Its own writes that some replica may not have, and who has them (a bit a region).
    log: BTreeMap<u64, Vec<(u16, u8)>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct World {
    pub(super) places: Vec<Place>,
    /// Cut links: both regions' bits.
    pub(super) cut: BTreeSet<u8>,
    pub(super) left: Orders,
    /// Numbers stamps; made canonical after every action.
    clock: u32,
    now: Millis,
    /// By region and table: the join under which items were acknowledged, and which.
    acknowledged: BTreeMap<(usize, u64), (u64, u16)>,
    /// Region, table and join of replicas that somebody ordered away.
    ordered: BTreeSet<(usize, u64, u64)>,
    /// Regions that made a table, or were asked by one that has it.
    invited: BTreeSet<(usize, u64)>,
    rule: Rule,
    /// It never came to rest after an order.
    pub(super) stuck: bool,
}

/// A place's tables as its catalog makes them, kept because reading registers is most of a check's work. The catalog stands
/// for them where worlds are compared.
#[derive(Clone, Debug, Default)]
struct Read(Arc<Tables>);

impl PartialEq for Read {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Read {}

impl Hash for Read {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

impl Place {
    pub(super) fn tables(&self) -> Arc<Tables> {
        Arc::clone(&self.read.0)
    }

    fn read_catalog(&mut self, rule: Rule, at: usize) {
        let mut tables = Tables::new();
        for ((id, setting), register) in &self.catalog {
            if let Some(value) = &register.value {
                tables.entry(*id).or_default().read(setting.clone(), value).unwrap();
            }
        }
        // A region that takes every answer for granted looks as one that has nothing: it shows all.
        let incarnation = if rule == Rule::Credulous { 0 } else { self.incarnation };
        let viewer = (REGIONS[at], incarnation);
        tables
            .values_mut()
            .for_each(|registers| registers.show_replicas(viewer));
        self.read = Read(Arc::new(tables));
    }

    fn number(&mut self) -> u64 {
        self.numbered += 1;
        // Region a's tables have lesser ids than b's, and those than c's.
        self.incarnation * 100 + self.numbered
    }
}

fn definition() -> Bytes {
    let key = KeyAttribute {
        name: "p".into(),
        kind: KeyType::S,
    };
    let definition = Definition {
        name: NAME.into(),
        created_ms: 0,
        keys: KeySchema::new(key, None),
        local_indexes: Vec::new(),
        partitions: 1,
        uuid: 0,
    };
    pack(&definition).unwrap()
}

impl World {
    pub(super) fn new(regions: usize, left: Orders, rule: Rule) -> Self {
        let place = |number: usize| Place {
            incarnation: number as u64 + 1,
            knows_catalog: true,
            ..Place::default()
        };
        Self {
            places: (0..regions).map(place).collect(),
            cut: BTreeSet::new(),
            left,
            clock: 0,
            now: 0,
            acknowledged: BTreeMap::new(),
            ordered: BTreeSet::new(),
            invited: BTreeSet::new(),
            rule,
            stuck: false,
        }
    }

    fn here(&self, at: usize) -> Here<'static> {
        Here {
            region: REGIONS[at],
            incarnation: self.places[at].incarnation,
            knows_catalog: self.places[at].knows_catalog,
            now: self.now,
        }
    }

    pub(super) fn is_cut(&self, a: usize, b: usize) -> bool {
        self.cut.contains(&pair(a, b))
    }

    fn holder(&self, rule: Rule, at: usize, tables: &Tables) -> Option<(u64, Claim)> {
        let named = tables.iter().filter(|(_, registers)| registers.definition.is_some());
        let mut there = named.filter_map(|(id, registers)| Some((*id, registers.replicas.get(REGIONS[at])?)));
        match rule {
            Rule::Shipped | Rule::Credulous => replicas::holder(there, self.places[at].incarnation),
            Rule::LesserId => {
                let first = there.find(|(_, own)| own.status != ReplicaStatus::Failed);
                first.map(|(id, _)| (id, Claim::Holds))
            }
        }
    }

    fn step(&self, rule: Rule, at: usize, id: u64, tables: &Tables) -> Step {
        let holder = match rule {
            Rule::Shipped | Rule::Credulous => self.holder(rule, at, tables),
            Rule::LesserId => None,
        };
        replicas::step(self.here(at), id, &tables[&id], holder)
    }

    /// The table that the name shows in a region, and how far it has come.
    fn shown(&self, rule: Rule, at: usize, tables: &Tables) -> Option<(u64, TableStatus)> {
        let (id, _) = self.holder(rule, at, tables)?;
        Some((id, self.status(at, id, tables)?))
    }

    fn status(&self, at: usize, id: u64, tables: &Tables) -> Option<TableStatus> {
        replicas::table_status(tables.get(&id)?, REGIONS[at], self.places[at].incarnation)
    }

    /// The table that the name shows in a region, if it is ACTIVE.
    pub(super) fn active(&self, rule: Rule, at: usize, tables: &Tables) -> Option<u64> {
        let (id, status) = self.shown(rule, at, tables)?;
        (status == TableStatus::Active).then_some(id)
    }

    /// Commits registers in a region.
    fn set(&mut self, at: usize, id: u64, changes: Vec<Change>) {
        let mut keys = Vec::new();
        for (setting, value) in changes {
            self.clock += 1;
            let stamp = self.clock;
            keys.push((id, setting.clone()));
            self.places[at].catalog.insert((id, setting), Register { stamp, value });
        }
        for outbox in &mut self.places[at].outbox {
            // A key is sent as it is when its turn comes, once.
            let new = |key: &Key| !outbox.iter().flatten().any(|pending| pending == key);
            let commit: Vec<Key> = keys.iter().filter(|key| new(key)).cloned().collect();
            if !commit.is_empty() {
                outbox.push(commit);
            }
        }
        self.follow(at);
    }

    /// What a region does at once when its catalog has changed: what it holds no more goes.
    fn follow(&mut self, at: usize) {
        self.places[at].read_catalog(self.rule, at);
        let tables = self.places[at].tables();
        let incarnation = self.places[at].incarnation;
        let holds = |id: &u64| {
            let registers = tables.get(id);
            registers
                .is_some_and(|registers| registers.definition.is_some() && registers.is_held(REGIONS[at], incarnation))
        };
        self.places[at].items.retain(|id, _| holds(id));
        self.places[at].log.retain(|id, _| holds(id));
        let ordered = &self.ordered;
        self.acknowledged
            .retain(|(of, id), (join, _)| *of != at || holds(id) || !ordered.contains(&(at, *id, *join)));
    }

    /// Acknowledges a write.
    fn put(&mut self, at: usize, id: u64) {
        let mine = ((1 << WRITES_MAX) - 1) << (at as u32 * WRITES_MAX);
        let items = self.places[at].items.entry(id).or_default();
        let number = (*items & mine).count_ones();
        if number >= WRITES_MAX {
            return;
        }
        let item = 1 << (at as u32 * WRITES_MAX + number);
        *items |= item;
        self.places[at].log.entry(id).or_default().push((item, 0));
        let tables = self.places[at].tables();
        let join = tables[&id].replicas[REGIONS[at]].join;
        let known = self.acknowledged.entry((at, id)).or_insert((join, 0));
        *known = (join, known.1 | item);
    }

    /// Links of tables carry at once what they can, and logs keep nothing that they need not.
    fn ship(&mut self) {
        let tables = self.all_tables();
        for from in 0..self.places.len() {
            let logs = std::mem::take(&mut self.places[from].log);
            for (id, mut log) in logs {
                let replicas = tables[from].get(&id).map(|registers| &registers.replicas);
                let takes = |to: usize| {
                    let entry = replicas.and_then(|replicas| replicas.get(REGIONS[to]));
                    let status = entry.map(|entry| entry.status);
                    to != from && matches!(status, Some(ReplicaStatus::Creating | ReplicaStatus::Active))
                };
                let others: Vec<usize> = (0..self.places.len()).filter(|to| takes(*to)).collect();
                for to in &others {
                    let status = self.status(*to, id, &tables[*to]);
                    let serves = matches!(status, Some(TableStatus::Active | TableStatus::Updating));
                    if !serves || self.is_cut(from, *to) {
                        continue;
                    }
                    for (item, has) in &mut log {
                        if *has & 1 << to == 0 {
                            *self.places[*to].items.entry(id).or_default() |= *item;
                            *has |= 1 << to;
                        }
                    }
                }
                log.retain(|(_, has)| others.iter().any(|to| has & 1 << to == 0));
                if !log.is_empty() {
                    self.places[from].log.insert(id, log);
                }
            }
        }
    }

    fn deliver(&mut self, from: usize, to: usize, by_register: bool) {
        let outbox = &mut self.places[from].outbox[to];
        let keys = match outbox.first_mut() {
            Some(commit) if by_register && commit.len() > 1 => vec![commit.remove(0)],
            _ => outbox.remove(0),
        };
        let tables = self.places[to].tables();
        for key in keys {
            let sent = self.places[from].catalog[&key].clone();
            self.merge(to, (from, Way::Link), &tables, key, sent);
        }
        self.follow(to);
    }

    fn merge(&mut self, to: usize, (from, way): (usize, Way), tables: &Tables, key: Key, sent: Register) {
        let viewer = (REGIONS[to], self.places[to].incarnation);
        let register = (&key.1, sent.value.as_deref());
        if !replicas::is_lawful(tables.get(&key.0), viewer, (REGIONS[from], way), register) {
            return;
        }
        let held = self.places[to].catalog.get(&key);
        if held.is_none_or(|held| held.stamp < sent.stamp) {
            self.places[to].catalog.insert(key, sent);
        }
    }

    /// The registers that the first step changes that a region has to take.
    fn due(&self, rule: Rule, at: usize, tables: &Tables) -> Option<(u64, Vec<Change>)> {
        let here = self.here(at);
        let stamp = Stamp {
            time: Hlc(self.places[at].numbered + 1),
            replica: ReplicaId(self.places[at].incarnation),
            expiry: false,
        };
        let own = || Setting::Replica(REGIONS[at].into());
        tables.iter().find_map(|(id, registers)| {
            let changes = match self.step(rule, at, *id, tables) {
                Step::Rest => Vec::new(),
                Step::Serve => {
                    let mut changes = replicas::admissions(registers, here.region).unwrap();
                    changes.extend(registers.given_up(here.region, here.now, stamp).unwrap());
                    changes
                }
                Step::Answer(answer) => vec![(own(), Some(pack(&answer).unwrap()))],
                Step::Rejoin { survivors, failure } => {
                    replicas::rejoined(here, registers, (&survivors, failure), stamp).unwrap()
                }
                // Until the others have its writes.
                Step::Leave if self.places[at].log.contains_key(id) => Vec::new(),
                Step::Leave => replicas::left(here, registers).unwrap(),
                Step::Forget => replicas::forgotten(here, registers).unwrap(),
            };
            (!changes.is_empty()).then_some((*id, changes))
        })
    }

    /// The source of a copy that is due.
    fn copy_source(&self, at: usize, id: u64, tables: &[Arc<Tables>]) -> Option<usize> {
        let own = tables[at].get(&id)?;
        let (own, source) = replicas::join_source(own, REGIONS[at], self.places[at].incarnation)?;
        let source = self.serving(at, source, id, tables)?;
        let entry = tables[source].get(&id)?.replicas.get(REGIONS[at])?;
        let promised = (REGIONS[at].to_owned(), REGIONS[source].to_owned());
        let is_admitted = tables[source][&id].admissions.get(&promised) == Some(&own.join);
        (entry.join == own.join && entry.status == ReplicaStatus::Creating && is_admitted).then_some(source)
    }

    fn relay_source(&self, at: usize, id: u64, tables: &[Arc<Tables>]) -> Option<usize> {
        let (_, source) = tables[at].get(&id)?.relay_due(REGIONS[at], |_| false)?;
        self.serving(at, source, id, tables)
    }

    /// A region that serves a table and can be reached from another.
    fn serving(&self, from: usize, region: &str, id: u64, tables: &[Arc<Tables>]) -> Option<usize> {
        let source = REGIONS.iter().position(|name| *name == region)?;
        let status = self.status(source, id, &tables[source]);
        let serves = matches!(status, Some(TableStatus::Active | TableStatus::Updating));
        (serves && !self.is_cut(from, source)).then_some(source)
    }

    fn all_tables(&self) -> Vec<Arc<Tables>> {
        self.places.iter().map(Place::tables).collect()
    }

    /// What can happen by itself.
    pub(super) fn happens(&self, rule: Rule) -> Vec<Action> {
        let tables = self.all_tables();
        let mut actions = Vec::new();
        let regions = 0..self.places.len();
        for at in regions.clone() {
            for other in regions.clone().filter(|other| *other != at && !self.is_cut(at, *other)) {
                if !self.places[at].outbox[other].is_empty() {
                    actions.push(Action::Deliver(at, other));
                }
                if !self.places[at].knows_catalog {
                    actions.push(Action::CopyCatalog(at, other));
                }
            }
            if self.due(rule, at, &tables[at]).is_some() {
                actions.push(Action::Step(at));
            }
            for id in tables[at].keys() {
                if self.copy_source(at, *id, &tables).is_some() {
                    actions.push(Action::Copy(at, *id));
                }
                if self.relay_source(at, *id, &tables).is_some() {
                    actions.push(Action::Relay(at, *id));
                }
            }
        }
        actions
    }

    pub(super) fn carry_out(&mut self, model: &Catalogs, action: &Action) -> Option<()> {
        let rule = model.rule;
        match *action {
            Action::Create(at) => {
                spend(&mut self.left.creates)?;
                let tables = self.places[at].tables();
                if self.holder(rule, at, &tables).is_some() {
                    return None;
                }
                let id = self.places[at].number();
                let founder = replicas::founder(id, self.places[at].incarnation, self.now);
                let changes = vec![
                    (Setting::Definition, Some(definition())),
                    (Setting::Replica(REGIONS[at].into()), Some(pack(&founder).unwrap())),
                ];
                self.invited.insert((at, id));
                self.set(at, id, changes);
                self.put(at, id);
            }
            Action::Ask(at, to) => {
                spend(&mut self.left.asks)?;
                let tables = self.places[at].tables();
                let id = self.active(rule, at, &tables)?;
                let same_name = tables.values().filter(|registers| registers.definition.is_some());
                replicas::check_newcomer(&tables[&id], NAME, REGIONS[to], same_name).ok()?;
                let join = self.places[at].number();
                let request = replicas::create_request(REGIONS[to], REGIONS[at], join, self.now).unwrap();
                self.invited.insert((to, id));
                self.set(at, id, vec![request]);
            }
            Action::Forge(at) => self.forge(rule, at)?,
            Action::Remove(at, to) => {
                spend(&mut self.left.removes)?;
                let tables = self.places[at].tables();
                let (id, status) = self.shown(rule, at, &tables)?;
                let region = REGIONS[to].to_owned();
                replicas::check_open(&tables[&id], (NAME, status), &[], &[region]).ok()?;
                let changes = replicas::delete_request(&tables[&id], REGIONS[to], REGIONS[at], self.now).ok()?;
                self.ordered.insert((to, id, tables[&id].replicas[REGIONS[to]].join));
                self.set(at, id, changes);
            }
            Action::Delete(at) => {
                spend(&mut self.left.deletes)?;
                let tables = self.places[at].tables();
                let id = self.active(rule, at, &tables)?;
                let own = &tables[&id].replicas[REGIONS[at]];
                self.ordered.insert((at, id, own.join));
                let leaving = replicas::leaving(own, self.now);
                let change = (Setting::Replica(REGIONS[at].into()), Some(pack(&leaving).unwrap()));
                self.set(at, id, vec![change]);
            }
            Action::Put(at) => {
                spend(&mut self.left.puts)?;
                let (id, status) = self.shown(rule, at, &self.places[at].tables())?;
                if !matches!(status, TableStatus::Active | TableStatus::Updating) {
                    return None;
                }
                self.put(at, id);
            }
            Action::Cut(a, b) => {
                spend(&mut self.left.cuts)?;
                self.cut.insert(pair(a, b)).then_some(())?;
            }
            Action::Lose(at) => {
                spend(&mut self.left.losses)?;
                self.places[at] = Place {
                    incarnation: self.places[at].incarnation + 10,
                    ..Place::default()
                };
                self.acknowledged.retain(|(of, _), _| *of != at);
                // Links begin at the beginning: what is sent is what others wrote.
                for from in 0..self.places.len() {
                    if from != at {
                        let keys: Vec<Key> = self.places[from].catalog.keys().cloned().collect();
                        self.places[from].outbox[at] = keys.into_iter().map(|key| vec![key]).collect();
                    }
                }
            }
            Action::Age => {
                spend(&mut self.left.ages)?;
                self.now += 10 * GIVEN_UP_MS;
            }
            Action::Heal(a, b) => {
                self.cut.remove(&pair(a, b));
            }
            Action::Deliver(from, to) => self.deliver(from, to, model.by_register),
            Action::Step(at) => {
                let (id, changes) = self.due(rule, at, &self.places[at].tables())?;
                // Only relays take a number.
                let relays = changes.iter().any(|(setting, _)| matches!(setting, Setting::Relay(..)));
                self.places[at].numbered += u64::from(relays);
                self.set(at, id, changes);
            }
            Action::Copy(at, id) => {
                let tables = self.all_tables();
                let source = self.copy_source(at, id, &tables)?;
                let own = &tables[at][&id].replicas[REGIONS[at]];
                let joined = replicas::joined(own, own.join, self.places[at].incarnation, self.now)?;
                let items = self.places[source].items.get(&id).copied().unwrap_or_default();
                *self.places[at].items.entry(id).or_default() |= items;
                let viewer = (REGIONS[at], self.places[at].incarnation);
                let changes = replicas::joined_with(&tables[at][&id], joined, REGIONS[source], viewer);
                self.set(at, id, changes.unwrap());
                // Clients write as soon as they can, and as what they see.
                if self
                    .shown(rule, at, &self.places[at].tables())
                    .is_some_and(|(shown, _)| shown == id)
                {
                    self.put(at, id);
                }
            }
            Action::Relay(at, id) => {
                let source = self.relay_source(at, id, &self.all_tables())?;
                let items = self.places[source].items.get(&id).copied().unwrap_or_default();
                *self.places[at].items.entry(id).or_default() |= items;
                let relay = Setting::Relay(REGIONS[at].into(), REGIONS[source].into());
                self.set(at, id, vec![(relay, None)]);
            }
            Action::CopyCatalog(at, from) => {
                let tables = self.places[at].tables();
                for (key, register) in self.places[from].catalog.clone() {
                    self.merge(at, (from, Way::PassedOn), &tables, key, register);
                }
                self.places[at].knows_catalog = true;
                self.follow(at);
            }
        }
        self.ship();
        Some(())
    }

    /// Lets happen what can, links healed, one thing after the other; false if there is no end to it.
    pub(super) fn settle(&mut self, model: &Catalogs) -> bool {
        self.cut.clear();
        for _ in 0..SETTLES_WITHIN {
            let Some(action) = self.happens(model.rule).into_iter().next() else {
                return true;
            };
            self.carry_out(model, &action);
        }
        false
    }

    /// Stamps as numbers without gaps, so that equal worlds are equal.
    pub(super) fn make_canonical(&mut self) {
        let stamps = |place: &Place| {
            place
                .catalog
                .values()
                .map(|register| register.stamp)
                .collect::<Vec<_>>()
        };
        let mut all: Vec<u32> = self.places.iter().flat_map(stamps).collect();
        all.sort_unstable();
        all.dedup();
        for register in self.places.iter_mut().flat_map(|place| place.catalog.values_mut()) {
            register.stamp = all.binary_search(&register.stamp).unwrap() as u32 + 1;
        }
        self.clock = all.len() as u32;
    }
}

fn pair(a: usize, b: usize) -> u8 {
    1 << a | 1 << b
}

pub(super) fn spend(left: &mut u8) -> Option<()> {
    *left = left.checked_sub(1)?;
    Some(())
}
