//! Changes of tables: global indexes, time to live; and what time does.

use super::{Fault, Item, Json, Model, Refusal, Refused, item_size, json};
use crate::{
    request::changes::{Event, TableRequest},
    schema::{Index, KeyAttribute, Schema},
    value::Value,
};

/// The guide, on time to live: what expired more than five years ago is not deleted.
const EXPIRY_AGE_SECONDS: u64 = 5 * 36_525 * 24 * 36;
/// API reference, UpdateTimeToLive: further changes within an hour are refused.
const TTL_CHANGE_MS: u64 = 60 * 60 * 1000;

/// What a table is in the middle of, and its time to live.
#[derive(Clone, Debug, Default)]
pub(crate) struct Phases {
    /// The steps that filling an index has taken.
    pub(crate) steps: usize,
    /// Indexes that are being taken away.
    pub(crate) leaving: Vec<Index>,
    pub(crate) ttl: Option<TimeToLive>,
}

#[derive(Clone, Debug)]
pub(crate) struct TimeToLive {
    pub(crate) attribute: String,
    pub(crate) enabled: bool,
    changed: u64,
    /// Whether the region has come round to it.
    settled: bool,
}

impl Model {
    pub(super) fn change(&mut self, change: &TableRequest) -> Refused<Json> {
        match change {
            TableRequest::AddIndex(table, index) => self.add_index(*table, index),
            TableRequest::RemoveIndex(table, name) => self.remove_index(*table, name),
            TableRequest::Describe(table) => Ok(json!({ "Table": self.described(*table)? })),
            TableRequest::SetTimeToLive {
                table,
                enabled,
                attribute,
            } => self.set_ttl(*table, *enabled, attribute),
            TableRequest::DescribeTimeToLive(table) => self.describe_ttl(*table),
        }
    }

    fn named(&self, table: usize) -> Refused<&Schema> {
        // The words differ between operations.
        let missing = Refusal {
            text: None,
            ..Refusal::no_table()
        };
        self.schemas.get(table).ok_or(vec![missing])
    }

    fn add_index(&mut self, table: usize, index: &Index) -> Refused<Json> {
        let schema = self.named(table)?;
        let mut refusals = Vec::new();
        if schema.index(&index.name).is_some() {
            refusals.push(Refusal::invalid("Attempting to create an index which already exists"));
        }
        let phases = &self.phases[table];
        if schema.filling().is_some() || !phases.leaving.is_empty() {
            refusals.push(Refusal::simultaneous());
        }
        // The generator makes none such, but a sequence of requests that is being shortened may.
        let leaving = phases.leaving.iter().flat_map(|index| index.keys.attributes());
        let mut defined = schema.key_attributes().into_iter().chain(leaving);
        let redefined = |known: &KeyAttribute| {
            let mut keys = index.keys.attributes();
            keys.any(|key| key.name == known.name && key.kind != known.kind)
        };
        if defined.any(redefined) {
            refusals.push(Refusal::invalid(""));
        }
        drop(defined);
        if !refusals.is_empty() {
            return Err(refusals);
        }
        self.schemas[table].indexes.push(Index {
            filling: true,
            ..index.clone()
        });
        self.phases[table].steps = 0;
        Ok(json!({ "TableDescription": self.described(table)? }))
    }

    fn remove_index(&mut self, table: usize, name: &str) -> Refused<Json> {
        let schema = self.named(table)?;
        let Some(at) = schema
            .indexes
            .iter()
            .position(|index| index.name == name && index.global)
        else {
            return Err(vec![Refusal::no_table()]);
        };
        let phases = &self.phases[table];
        // An index that is being filled may be taken away; nothing else goes on beside it.
        let other = schema.filling().is_some_and(|index| index.name != name);
        if other || !phases.leaving.is_empty() {
            return Err(vec![Refusal::simultaneous()]);
        }
        if self.is(Fault::RemovedIndexesStay) {
            return Ok(json!({ "TableDescription": self.described(table)? }));
        }
        let index = self.schemas[table].indexes.remove(at);
        self.phases[table].leaving.push(index);
        Ok(json!({ "TableDescription": self.described(table)? }))
    }

    /// What is compared of a table's description.
    fn described(&self, table: usize) -> Refused<Json> {
        let schema = self.named(table)?;
        let phases = &self.phases[table];
        let sizes = |items: Vec<&Item>| (items.len(), items.into_iter().map(item_size).sum::<usize>());
        let (items, bytes) = sizes(self.tables[table].values().collect());
        let status = if schema.filling().is_some() || !phases.leaving.is_empty() {
            "UPDATING"
        } else {
            "ACTIVE"
        };
        let mut shown = json!({
            "TableName": schema.name,
            "TableStatus": status,
            "ItemCount": items,
            "TableSizeBytes": bytes,
        });
        let mut add = |index: &Index, status: &str| {
            let member = if index.global {
                "GlobalSecondaryIndexes"
            } else {
                "LocalSecondaryIndexes"
            };
            let mut of_index = index.json();
            if index.global {
                of_index["IndexStatus"] = status.into();
            }
            if status == "ACTIVE" {
                let rows = self.rows(table, Some(index));
                let (items, bytes) = sizes(rows.iter().map(|(_, entry)| entry).collect());
                of_index["ItemCount"] = items.into();
                of_index["IndexSizeBytes"] = bytes.into();
            }
            match &mut shown[member] {
                Json::Array(list) => list.push(of_index),
                none => *none = json!([of_index]),
            }
        };
        for index in &schema.indexes {
            add(index, if index.filling { "CREATING" } else { "ACTIVE" });
        }
        for index in &phases.leaving {
            add(index, "DELETING");
        }
        Ok(shown)
    }

    fn set_ttl(&mut self, table: usize, enabled: bool, attribute: &str) -> Refused<Json> {
        self.named(table)?;
        let now = self.now;
        let mut refusals = Vec::new();
        let current = self.phases[table].ttl.as_ref();
        match (current.filter(|ttl| ttl.enabled), enabled) {
            (None, false) => refusals.push(Refusal::invalid("TimeToLive is already disabled")),
            (Some(ttl), _) if ttl.attribute != attribute => refusals.push(Refusal::invalid(format!(
                "TimeToLive is active on a different AttributeName: current AttributeName is {}",
                ttl.attribute
            ))),
            (Some(_), true) => refusals.push(Refusal::invalid("TimeToLive is already enabled")),
            _ => {}
        }
        let at_once = self.is(Fault::TimeToLiveChangesAtOnce);
        if current.is_some_and(|ttl| now - ttl.changed < TTL_CHANGE_MS) && !at_once {
            refusals.push(Refusal::invalid(
                "Time to live has been modified multiple times within a fixed interval",
            ));
        }
        if !refusals.is_empty() {
            return Err(refusals);
        }
        self.phases[table].ttl = Some(TimeToLive {
            attribute: attribute.into(),
            enabled,
            changed: now,
            settled: false,
        });
        Ok(json!({ "TimeToLiveSpecification": { "AttributeName": attribute, "Enabled": enabled } }))
    }

    fn describe_ttl(&self, table: usize) -> Refused<Json> {
        self.named(table)?;
        let ttl = self.phases[table].ttl.as_ref();
        let description = match ttl.map(|ttl| (ttl, ttl.enabled, ttl.settled)) {
            None | Some((_, false, true)) => json!({ "TimeToLiveStatus": "DISABLED" }),
            Some((ttl, enabled, _)) => {
                let status = if enabled { "ENABLED" } else { "DISABLING" };
                json!({ "TimeToLiveStatus": status, "AttributeName": ttl.attribute })
            }
        };
        Ok(json!({ "TimeToLiveDescription": description }))
    }

    /// What happens by itself.
    pub(crate) fn happen(&mut self, event: Event) {
        match event {
            Event::Pass(ms) => self.pass(ms),
            Event::Step => {
                for phases in &mut self.phases {
                    phases.leaving.clear();
                    phases.steps += 1;
                }
            }
            Event::Build => {
                self.phases.iter_mut().for_each(|phases| phases.leaving.clear());
                let indexes = self.schemas.iter_mut().flat_map(|schema| &mut schema.indexes);
                indexes.for_each(|index| index.filling = false);
            }
        }
    }

    /// Whether a step ends no back-fill, whatever the region counts as one: the first makes writes maintain the index, and
    /// the second comes to the first items, if there are any.
    pub(crate) fn can_step(&self) -> bool {
        let goes_on = |table: usize| match self.phases[table].steps {
            _ if self.schemas[table].filling().is_none() => true,
            0 => true,
            steps => steps == 1 && !self.tables[table].is_empty(),
        };
        self.is_changing() && (0..self.schemas.len()).all(goes_on)
    }

    /// Whether an index is being filled or taken away.
    pub(crate) fn is_changing(&self) -> bool {
        let filling = self.schemas.iter().any(|schema| schema.filling().is_some());
        filling || self.phases.iter().any(|phases| !phases.leaving.is_empty())
    }

    fn pass(&mut self, ms: u64) {
        self.now += ms;
        for (items, phases) in self.tables.iter_mut().zip(&mut self.phases) {
            let Some(ttl) = &mut phases.ttl else { continue };
            ttl.settled = true;
            if ttl.enabled && self.fault != Some(Fault::ItemsNeverExpire) {
                let age = self.fault != Some(Fault::ItemsExpireHoweverLongAgo);
                items.retain(|_, item| !has_expired(item, &ttl.attribute, self.now, age));
            }
        }
    }
}

/// Whether an item has expired, and not too long ago.
fn has_expired(item: &Item, attribute: &str, now: u64, age: bool) -> bool {
    let Some(Value::N(number)) = item.get(attribute) else {
        return false;
    };
    let Ok(seconds) = number.to_string().parse::<u64>() else {
        return false;
    };
    let expires = |seconds: u64| seconds.saturating_mul(1000);
    expires(seconds) < now && (!age || expires(seconds.saturating_add(EXPIRY_AGE_SECONDS)) >= now)
}
