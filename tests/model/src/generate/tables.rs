//! Random tables.

use super::{Index, Keys, NAMES, Rng, Schema};
use crate::schema::{KeyAttribute, Projection};

pub(super) const KINDS: &[&str] = &["S", "N", "B"];
/// Attributes that indexes go by, beside the table's own keys.
pub(super) const INDEXED: &[&str] = &["ix1", "ix2", "ix3", "ix4", "ix5", "ix6"];

/// The tables of a world.
pub(crate) fn tables(rng: &mut Rng) -> Vec<Schema> {
    (0..rng.between(1, 2))
        .map(|at| table(rng, &format!("table-{at}")))
        .collect()
}

fn table(rng: &mut Rng, name: &str) -> Schema {
    let key = |name: &str, kind| KeyAttribute {
        name: name.into(),
        kind,
    };
    let partition = key("pk", rng.pick(KINDS));
    let sort = rng.percent(75).then(|| key("sk", rng.pick(KINDS)));
    let keys = Keys {
        partition: vec![partition],
        sort: sort.into_iter().collect(),
    };
    // Attributes that indexes go by: the same ones in several, so that one change moves several entries.
    let mut attributes: Vec<_> = INDEXED.iter().map(|name| key(name, rng.pick(KINDS))).collect();
    let mut indexes = Vec::new();
    if !keys.sort.is_empty() {
        for at in 0..rng.below(3) {
            let keys = Keys {
                partition: keys.partition.clone(),
                sort: vec![rng.choose(&attributes).clone()],
            };
            indexes.push(index(rng, &format!("local-{at}"), false, keys));
        }
    }
    // A global index may go by the table's own keys, too.
    attributes.extend(keys.attributes().cloned());
    for at in 0..rng.below(4) {
        let keys = global_keys(rng, |rng| rng.choose(&attributes).clone());
        indexes.push(index(rng, &format!("global-{at}"), true, keys));
    }
    Schema {
        name: name.into(),
        keys,
        indexes,
    }
}

/// Keys of a global index: mostly of one attribute each, in a third of several.
pub(super) fn global_keys(rng: &mut Rng, mut pick: impl FnMut(&mut Rng) -> KeyAttribute) -> Keys {
    let (partitions, sorts) = match rng.below(9) {
        0 => (1, rng.pick(&[2, 2, 3, 4])),
        1 | 2 => (rng.pick(&[2, 2, 3, 4]), rng.pick(&[0, 1, 1, 2, 2, 3, 4])),
        _ => (1, usize::from(rng.percent(65))),
    };
    let mut partition: Vec<KeyAttribute> = Vec::new();
    // None stands in the keys twice; there may be too few.
    for _ in 0..3 * (partitions + sorts) {
        let key = pick(rng);
        if partition.len() < partitions + sorts && partition.iter().all(|other| other.name != key.name) {
            partition.push(key);
        }
    }
    let sort = partition.split_off(partitions.min(partition.len()));
    Keys { partition, sort }
}

pub(super) fn index(rng: &mut Rng, name: &str, global: bool, keys: Keys) -> Index {
    let projection = match rng.below(3) {
        0 => Projection::All,
        1 => Projection::KeysOnly,
        _ => {
            let first = rng.below(NAMES.len());
            let names = NAMES.iter().cycle().skip(first).take(rng.between(1, 3));
            Projection::Include(names.map(|name| (*name).into()).collect())
        }
    };
    Index {
        name: name.into(),
        global,
        filling: false,
        keys,
        projection,
    }
}
