//! Compiled policies of tables and streams, kept as long as their texts do not change.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
};

use geodynamo_policy::{Policy, PolicyKind};
use geodynamo_table::{ResourcePolicy, StreamName, Table};

/// The most policies kept. Beyond that they are all compiled anew when they are asked for: there are as many tables as that, and
/// hardly any has a policy of its stream, too.
const POLICIES_MAX: usize = 2 * geodynamo_table::TABLES_MAX;

/// What stands for a policy that cannot be read, as one that a newer release stored: nobody may do anything.
const UNREADABLE: &str = r#"{"Statement":{"Effect":"Deny","Principal":"*","Action":"*","Resource":"*"}}"#;

/// Policies as they are stored and as they are compiled, by the table's name and the stream's label.
type Compiled = BTreeMap<(String, u64), (Arc<ResourcePolicy>, Arc<Policy>)>;

/// Compiled policies.
#[derive(Debug, Default)]
pub(crate) struct PolicyCache {
    compiled: RwLock<Compiled>,
    region: String,
}

impl PolicyCache {
    pub(crate) fn new(region: &str) -> Self {
        Self {
            compiled: RwLock::default(),
            region: region.to_owned(),
        }
    }

    /// The policy of a table, if it has one.
    pub(crate) fn of_table(&self, table: &Table) -> Option<Arc<Policy>> {
        let stored = table.resource_policy(&self.region)?;
        self.compiled((table.name().to_owned(), 0), stored)
    }

    /// The policy of a stream.
    pub(crate) fn of_stream(&self, name: &StreamName, stored: &Arc<ResourcePolicy>) -> Option<Arc<Policy>> {
        self.compiled((name.table.clone(), name.label_ms), stored)
    }

    fn compiled(&self, key: (String, u64), stored: &Arc<ResourcePolicy>) -> Option<Arc<Policy>> {
        // A table is made anew with every change of its settings, but its policy's text is then the same.
        let is_it = |known: &Arc<ResourcePolicy>| Arc::ptr_eq(known, stored) || known == stored;
        {
            let compiled = self.compiled.read().unwrap_or_else(PoisonError::into_inner);
            if let Some((_, policy)) = compiled.get(&key).filter(|(known, _)| is_it(known)) {
                return Some(Arc::clone(policy));
            }
        }
        let policy = Policy::parse(&stored.text, PolicyKind::Resource)
            .or_else(|_| Policy::parse(UNREADABLE, PolicyKind::Resource))
            .ok()?;
        let policy = Arc::new(policy.pinned(|arn| stored.principals.get(arn).map(String::as_str)));
        let mut compiled = self.compiled.write().unwrap_or_else(PoisonError::into_inner);
        if compiled.len() >= POLICIES_MAX {
            compiled.clear();
        }
        compiled.insert(key, (Arc::clone(stored), Arc::clone(&policy)));
        Some(policy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_is_compiled_anew_when_its_text_changes() {
        let cache = PolicyCache::new("r");
        let stored = |text: &str| {
            Arc::new(ResourcePolicy {
                text: text.to_owned(),
                revision: "1".into(),
                principals: BTreeMap::new(),
            })
        };
        let text = UNREADABLE.replace("\"*\",\"Action", "{\"AWS\":\"123456789012\"},\"Action");
        let get = |stored: &Arc<ResourcePolicy>| cache.compiled(("t".into(), 0), stored).unwrap();
        let first = get(&stored(&text));
        assert!(Arc::ptr_eq(&first, &get(&stored(&text))));
        assert_eq!(first.aws_principals().count(), 1);
        assert_eq!(get(&stored(UNREADABLE)).aws_principals().count(), 0);
        // What cannot be read lets nobody do anything.
        assert_eq!(get(&stored("?")).statements(), 1);
    }
}
