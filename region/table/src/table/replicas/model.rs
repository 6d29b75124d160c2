//! A model of the catalog's states: regions that make tables of one name, ask each other for replicas, remove them and delete
//! tables, while links are cut and heal and catalogs travel register by register.
//!
//! All decisions are the shipped ones (this module's parent, [`Registers`], relays); the model has the network, the merge
//! by stamps, and items as bits. It goes through every interleaving of a bounded number of orders with everything that
//! happens by itself. What must hold:
//!
//! - **In sight**: what a region acknowledged is what its name shows, until somebody orders that replica away.
//! - **Kept to members**: no region has anything of a table but one that made it, or that a region that has it asked.
//! - **Settled**: when nothing is left to happen and no link is cut, all catalogs are equal, every replica that was asked for
//!   is ACTIVE or CREATION_FAILED, every ACTIVE one serves under its name in its region and has the items of all others.

mod world;

use std::collections::BTreeMap;

use stateright::{Checker, HasDiscoveries, Model, Property};

use self::world::{World, spend};
use crate::table::replicas;

/// Who has a name, and who takes a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Rule {
    Shipped,
    /// The version before: every request is taken, and the lesser id has the name.
    LesserId,
    /// Every answer counts, whoever asked.
    Credulous,
}

/// How many orders of each kind there are at most, and of all kinds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Orders {
    all: u8,
    creates: u8,
    asks: u8,
    removes: u8,
    deletes: u8,
    puts: u8,
    cuts: u8,
    /// Regions that give themselves a replica.
    forges: u8,
    /// Data directories lost.
    losses: u8,
    /// Whether time may pass after which a silent replica is given up.
    ages: u8,
}

struct Catalogs {
    rule: Rule,
    regions: usize,
    orders: Orders,
    /// Whether a commit's registers may arrive one by one.
    by_register: bool,
}

#[derive(Clone, Debug, PartialEq)]
enum Action {
    Create(usize),
    Ask(usize, usize),
    Remove(usize, usize),
    Delete(usize),
    /// A region says that it is to have a replica, and that others said so.
    Forge(usize),
    Put(usize),
    Cut(usize, usize),
    Lose(usize),
    Age,
    // From here on all happens by itself.
    Heal(usize, usize),
    Deliver(usize, usize),
    Step(usize),
    Copy(usize, u64),
    Relay(usize, u64),
    CopyCatalog(usize, usize),
}

impl Catalogs {
    fn orders(&self, world: &World) -> Vec<Action> {
        let left = world.left;
        if left.all == 0 {
            return Vec::new();
        }
        let mut orders = Vec::new();
        for at in 0..self.regions {
            orders.extend((left.creates > 0).then_some(Action::Create(at)));
            orders.extend((left.deletes > 0).then_some(Action::Delete(at)));
            orders.extend((left.forges > 0).then_some(Action::Forge(at)));
            orders.extend((left.puts > 0).then_some(Action::Put(at)));
            orders.extend((left.losses > 0).then_some(Action::Lose(at)));
            for other in (0..self.regions).filter(|other| *other != at) {
                orders.extend((left.asks > 0).then_some(Action::Ask(at, other)));
                orders.extend((left.removes > 0).then_some(Action::Remove(at, other)));
                orders.extend((left.cuts > 0 && at < other).then_some(Action::Cut(at, other)));
            }
        }
        orders.extend((left.ages > 0).then_some(Action::Age));
        orders
    }
}

impl Model for Catalogs {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![World::new(self.regions, self.orders, self.rule)]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        actions.extend(self.orders(world));
        for a in 0..self.regions {
            actions.extend(
                (a + 1..self.regions)
                    .filter(|b| world.is_cut(a, *b))
                    .map(|b| Action::Heal(a, b)),
            );
        }
        actions.extend(world.happens(self.rule));
    }

    fn next_state(&self, last: &World, action: Action) -> Option<World> {
        let mut world = last.clone();
        let is_order = self.orders(last).contains(&action);
        world.carry_out(self, &action)?;
        if is_order {
            spend(&mut world.left.all)?;
        }
        world.make_canonical();
        world.stuck = is_order && !world.clone().settle(self);
        Some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("in sight", |model: &Catalogs, world: &World| {
                world.is_in_sight(model.rule)
            }),
            Property::always("settled", |model: &Catalogs, world: &World| {
                let rests = world.cut.is_empty() && world.happens(model.rule).is_empty();
                // Of a catalog that was lost with its region, not all comes back.
                let lost = world.left.losses < model.orders.losses || world.left.forges < model.orders.forges;
                !world.stuck && (!rests || lost || world.is_settled(model.rule))
            }),
            Property::always("kept to members", |_: &Catalogs, world: &World| {
                world.is_kept_to_members()
            }),
            Property::sometimes("two regions serve one table", |model: &Catalogs, world: &World| {
                let of = |at: usize| world.active(model.rule, at, &world.places[at].tables());
                of(0).is_some() && of(0) == of(1)
            }),
            Property::sometimes("a replica fails", |_: &Catalogs, world: &World| {
                world.places[0]
                    .tables()
                    .values()
                    .any(|registers| replicas::failed(registers) > 0)
            }),
        ]
    }
}

/// Goes through all interleavings; gives what was discovered, and prints how much there was.
fn check(model: Catalogs) -> BTreeMap<&'static str, Vec<Action>> {
    let what = format!("{:?}, {} regions, {:?}", model.rule, model.regions, model.orders);
    let start = std::time::Instant::now();
    let checker = model.checker().threads(2).finish_when(HasDiscoveries::AnyFailures);
    let checker = checker.spawn_bfs().join();
    println!(
        "{what}: {} states in {:?}",
        checker.unique_state_count(),
        start.elapsed()
    );
    let discoveries = checker.discoveries().into_iter();
    discoveries.map(|(name, path)| (name, path.into_actions())).collect()
}

fn assert_holds(model: Catalogs) {
    let discovered = check(model);
    for law in ["in sight", "settled", "kept to members"] {
        assert!(!discovered.contains_key(law), "{law}: {:#?}", discovered[law]);
    }
    for seen in ["two regions serve one table", "a replica fails"] {
        assert!(discovered.contains_key(seen), "never: {seen}");
    }
}

/// How many orders are gone through: more by `GEODYNAMO_MODEL_ORDERS`, which takes minutes and more.
fn orders(all: u8) -> Orders {
    let more = std::env::var("GEODYNAMO_MODEL_ORDERS").ok();
    Orders {
        all: more.and_then(|more| more.parse().ok()).unwrap_or(all),
        ..ROW
    }
}

const ROW: Orders = Orders {
    all: 3,
    creates: 3,
    asks: 2,
    removes: 2,
    deletes: 2,
    puts: 0,
    cuts: 1,
    forges: 0,
    losses: 0,
    ages: 0,
};

#[test]
fn three_regions() {
    assert_holds(Catalogs {
        rule: Rule::Shipped,
        regions: 3,
        orders: orders(3),
        by_register: false,
    });
}

#[test]
fn two_regions_register_by_register() {
    assert_holds(Catalogs {
        rule: Rule::Shipped,
        regions: 2,
        orders: orders(4),
        by_register: true,
    });
}

/// A region that nobody has asked gives itself a replica, before, after and while others are asked for theirs.
#[test]
fn nobody_admits_itself() {
    assert_holds(Catalogs {
        rule: Rule::Shipped,
        regions: 2,
        orders: HOSTILE,
        by_register: true,
    });
}

/// Negative control: where what a region says of itself counts, it is given a copy.
#[test]
fn credulity_is_caught() {
    let discovered = check(Catalogs {
        rule: Rule::Credulous,
        regions: 2,
        orders: HOSTILE,
        by_register: true,
    });
    assert!(discovered.contains_key("kept to members"));
}

const HOSTILE: Orders = Orders {
    all: 4,
    creates: 2,
    asks: 1,
    removes: 1,
    deletes: 0,
    puts: 0,
    cuts: 0,
    forges: 1,
    losses: 0,
    ages: 0,
};

/// Negative control: the rule of the version before hides what was acknowledged, or shows what does not replicate.
#[test]
fn the_lesser_id_is_caught() {
    let discovered = check(Catalogs {
        rule: Rule::LesserId,
        regions: 2,
        orders: ROW,
        by_register: false,
    });
    assert!(discovered.contains_key("in sight") || discovered.contains_key("settled"));
}
