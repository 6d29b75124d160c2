//! A table as a region sees it that has left the group, and as the others see it then.

use bytes::Bytes;

use super::{Registers, Setting, pack};
use crate::{Result, table::replicas::Viewer};

impl Registers {
    /// The table as one region sees it. A region that has left the group has every shared setting for itself, and no other
    /// replica; the others see nothing of its replica. To be called once all registers have been taken in.
    #[must_use]
    pub(crate) fn seen_from(mut self, viewer: Viewer<'_>) -> Self {
        let region = viewer.0;
        let has_left = |own: &Self| own.definition.is_some();
        if let Some(own) = self.apart.get(region).filter(|own| has_left(own)) {
            let Self {
                definition,
                billing,
                history,
                on_demand,
                warm,
                stream,
                time_to_live,
                global_indexes,
                index_capacity,
                settings_mode,
                ..
            } = own.clone();
            self = Self {
                definition,
                billing,
                history,
                on_demand,
                warm,
                stream,
                time_to_live,
                global_indexes,
                index_capacity,
                settings_mode,
                is_apart: true,
                ..self
            };
            self.keep_regions(|of| of == region);
        } else {
            let left: Vec<String> = self
                .apart
                .iter()
                .filter(|(_, own)| has_left(own))
                .map(|(of, _)| of.clone())
                .collect();
            if !left.is_empty() {
                self.keep_regions(|of| !left.iter().any(|left| left == of));
            }
        }
        self.show_replicas(viewer);
        self
    }

    /// Whether a region has a table of its own that was once a replica of this one.
    pub(crate) fn has_left(&self, region: &str) -> bool {
        self.apart.get(region).is_some_and(|own| own.definition.is_some())
    }

    fn keep_regions(&mut self, keeps: impl Fn(&str) -> bool) {
        self.answers.retain(|region, _| keeps(region));
        self.requests.retain(|region, _| keeps(region));
        // What the others had promised a region that has left is theirs to take back.
        let is_apart = self.is_apart;
        self.admissions
            .retain(|(newcomer, member), _| keeps(member) && (keeps(newcomer) || !is_apart));
        self.relays.retain(|(member, source), _| keeps(member) && keeps(source));
        self.deletion_protection.retain(|region, _| keeps(region));
        self.table_class.retain(|region, _| keeps(region));
        self.overrides.retain(|region, _| keeps(region));
        self.tags.retain(|region, _| keeps(region));
        self.point_in_time.retain(|region, _| keeps(region));
        self.encryption.retain(|region, _| keeps(region));
        self.insights.retain(|region, _| keeps(region));
        self.restores.retain(|region, _| keeps(region));
        self.imports.retain(|region, _| keeps(region));
        self.resource_policies.retain(|region, _| keeps(region));
        self.stream_policies.retain(|(region, _), _| keeps(region));
        self.leaving.retain(|region, _| keeps(region));
        self.expelled.retain(|region, _| keeps(region));
        self.disassociation_protection.retain(|region, _| keeps(region));
    }

    /// The shared settings, as a region takes them along that leaves the group.
    pub(crate) fn taken_along(&self, region: &str) -> Result<Vec<(Setting, Option<Bytes>)>> {
        let mut taken = Vec::new();
        let mut take = |setting: Setting, value: Bytes| {
            taken.push((Setting::Apart(region.to_owned(), Box::new(setting)), Some(value)));
        };
        macro_rules! take {
            ($($field:ident: $setting:ident),*) => {
                $(if let Some(value) = &self.$field { take(Setting::$setting, pack(value)?); })*
            };
        }
        take!(
            definition: Definition, billing: Billing, history: History, on_demand: OnDemand, warm: Warm, stream: Stream,
            time_to_live: TimeToLive, settings_mode: SettingsMode
        );
        for (name, index) in &self.global_indexes {
            take(Setting::GlobalIndex(name.clone()), pack(index)?);
        }
        for (id, capacity) in &self.index_capacity {
            take(Setting::IndexCapacity(*id), pack(capacity)?);
        }
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        schema::{Billing, Definition, KeyAttribute, KeySchema, KeyType, Throughput},
        table::replicas,
    };

    /// Of three regions one leaves: it sees itself alone, with what it took along; the others see nothing of it.
    #[test]
    fn who_has_left_is_alone() {
        let mut all = Registers {
            billing: Some(Billing::OnDemand),
            ..Registers::default()
        };
        for region in ["a", "b", "c"] {
            all.answers.insert(region.into(), replicas::founder(1, 7, 5));
            all.deletion_protection.insert(region.into(), true);
            for other in ["a", "b", "c"].into_iter().filter(|other| *other != region) {
                all.admissions.insert((other.into(), region.into()), 1);
            }
        }
        let definition = Definition {
            name: "t".into(),
            created_ms: 1,
            keys: KeySchema::new(
                KeyAttribute {
                    name: "pk".into(),
                    kind: KeyType::S,
                },
                None,
            ),
            local_indexes: Vec::new(),
            partitions: 1,
            uuid: 3,
        };
        all.definition = Some(definition);
        let together = all.clone().seen_from(("c", 7));
        assert_eq!((together.replicas.len(), together.is_apart), (3, false));
        for (setting, value) in together.taken_along("c").unwrap() {
            all.read(setting, &value.unwrap()).unwrap();
        }
        // What the others change later is theirs.
        all.billing = Some(Billing::Provisioned(Throughput { read: 1, write: 1 }));
        let (left, stayed) = (all.clone().seen_from(("c", 7)), all.seen_from(("a", 7)));
        let promise = (Setting::Admission("c".into(), "a".into()), None);
        assert!(replicas::admissions(&stayed, "a").unwrap().contains(&promise));
        assert!(left.is_apart && left.replicas.keys().eq(["c"]) && left.deletion_protection.keys().eq(["c"]));
        assert_eq!(
            (left.billing, &left.definition),
            (Some(Billing::OnDemand), &stayed.definition)
        );
        assert!(!stayed.is_apart && stayed.replicas.keys().eq(["a", "b"]) && stayed.has_left("c"));
        assert_ne!(stayed.billing, left.billing);
    }
}
