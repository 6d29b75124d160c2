//! Random changes of tables, and of time.

use super::{Action, Generator, tables};
use crate::{
    request::changes::{Event, TableRequest},
    schema::KeyAttribute,
};

/// Attributes that may say when items expire.
const TIMES: &[&str] = &["e1", "b"];

impl Generator<'_> {
    pub(super) fn change(&mut self) -> Action {
        // More often than elsewhere of one that is not there: there are few of these.
        let table = if self.rng.percent(4) {
            self.model.schemas.len()
        } else {
            self.table()
        };
        Action::Table(match self.rng.below(10) {
            0..3 => self.add_index(table),
            3..5 => {
                let global = self.schema(table).indexes.iter().filter(|index| index.global);
                let names: Vec<_> = global.map(|index| index.name.clone()).collect();
                let name = match names.is_empty() || self.rng.percent(5) {
                    true => "nope".into(),
                    false => self.rng.choose(&names).clone(),
                };
                TableRequest::RemoveIndex(table, name)
            }
            5 | 6 => TableRequest::Describe(table),
            7 | 8 => {
                let current = self.model.phases.get(table).and_then(|phases| phases.ttl.as_ref());
                let enabled = match current {
                    Some(ttl) if ttl.enabled => self.rng.percent(20),
                    _ => self.rng.percent(90),
                };
                let attribute = match current {
                    Some(ttl) if self.rng.percent(80) => ttl.attribute.clone(),
                    _ => self.rng.pick(TIMES).into(),
                };
                TableRequest::SetTimeToLive {
                    table,
                    enabled,
                    attribute,
                }
            }
            _ => TableRequest::DescribeTimeToLive(table),
        })
    }

    /// Something that is to happen now, if anything.
    pub(super) fn event(&mut self) -> Option<Event> {
        if self.model.is_changing() && self.rng.percent(12) {
            let steps = self.model.can_step() && self.rng.percent(50);
            return Some(if steps { Event::Step } else { Event::Build });
        }
        let passes = [1_001, 61_007, 301_003, 601_003, 3_600_011, 3_600_011];
        (self.rng.below(70) == 0).then(|| Event::Pass(self.rng.pick(&passes)))
    }

    fn add_index(&mut self, table: usize) -> TableRequest {
        let schema = self.schema(table).clone();
        let leaving = self
            .model
            .phases
            .get(table)
            .map(|phases| phases.leaving.clone())
            .unwrap_or_default();
        // An attribute has one type in all keys of a table.
        let defined: Vec<KeyAttribute> = schema
            .key_attributes()
            .into_iter()
            .chain(leaving.iter().flat_map(|index| index.keys.attributes()))
            .cloned()
            .collect();
        let keys = tables::global_keys(self.rng, |rng| {
            if rng.percent(20) {
                return rng.choose(&defined).clone();
            }
            let name = rng.pick(tables::INDEXED);
            let known = defined.iter().find(|key| key.name == name);
            known.cloned().unwrap_or_else(|| KeyAttribute {
                name: name.into(),
                kind: rng.pick(tables::KINDS),
            })
        });
        let there: Vec<_> = schema.indexes.iter().map(|index| index.name.clone()).collect();
        let mut name = format!("global-{}", self.rng.below(8));
        for _ in 0..4 {
            if !there.contains(&name) {
                break;
            }
            name = format!("global-{}", self.rng.below(8));
        }
        TableRequest::AddIndex(table, tables::index(self.rng, &name, true, keys))
    }
}
