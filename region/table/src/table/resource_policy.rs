//! Policies of tables and streams: their texts, which stay in their region. What they mean is for the API to say.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::{StreamName, Table};

/// A policy as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourcePolicy {
    /// The JSON document.
    pub text: String,
    /// Which one of the policies that the resource had: digits. The same document put again keeps it.
    pub revision: String,
    /// The unique ids of the principals that it names by these ARNs, as they were when it was put.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub principals: BTreeMap<String, String>,
}

/// A policy that is to be stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewPolicy {
    /// The JSON document.
    pub text: String,
    /// The unique ids of the principals that it names by these ARNs.
    pub principals: BTreeMap<String, String>,
}

/// What a policy is of.
#[derive(Clone, Copy, Debug)]
pub enum PolicyOf<'a> {
    /// A table, by name.
    Table(&'a str),
    /// A stream of a table that is there.
    Stream(&'a StreamName),
}

/// Which policy has to be there before a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExpectedPolicy<'a> {
    /// Any, or none.
    Any,
    /// None.
    Absent,
    /// The one of this revision.
    Revision(&'a str),
}

impl ResourcePolicy {
    /// A policy that follows another.
    pub(crate) fn new(NewPolicy { text, principals }: NewPolicy, before: Option<&Self>, now_ms: u64) -> Self {
        let revision = match before {
            Some(before) if before.text == text && before.principals == principals => before.revision.clone(),
            // Later than the last, whatever the clock says.
            Some(before) => {
                let last: u64 = before.revision.parse().unwrap_or(0);
                now_ms.max(last.saturating_add(1)).to_string()
            }
            None => now_ms.to_string(),
        };
        Self {
            text,
            revision,
            principals,
        }
    }
}

impl Table {
    /// Its policy in a region.
    pub fn resource_policy(&self, region: &str) -> Option<&Arc<ResourcePolicy>> {
        self.registers.resource_policies.get(region)
    }

    pub(crate) fn policy_of(&self, region: &str, of: PolicyOf<'_>) -> Option<&Arc<ResourcePolicy>> {
        match of {
            PolicyOf::Table(_) => self.resource_policy(region),
            // Hardly any table has one, so a name is rarely copied for nothing.
            PolicyOf::Stream(stream) if !self.registers.stream_policies.is_empty() => {
                let key = (region.to_owned(), stream.label_ms);
                self.registers.stream_policies.get(&key)
            }
            PolicyOf::Stream(_) => None,
        }
    }
}

impl<'a> PolicyOf<'a> {
    pub(crate) fn table(self) -> &'a str {
        match self {
            Self::Table(table) => table,
            Self::Stream(stream) => &stream.table,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn revisions_grow_with_each_change() {
        let of = |text: &str| NewPolicy {
            text: text.into(),
            ..NewPolicy::default()
        };
        let first = ResourcePolicy::new(of("a"), None, 7);
        assert_eq!(first.revision, "7");
        assert_eq!(ResourcePolicy::new(of("a"), Some(&first), 9), first);
        assert_eq!(ResourcePolicy::new(of("b"), Some(&first), 9).revision, "9");
        assert_eq!(ResourcePolicy::new(of("b"), Some(&first), 3).revision, "8");
        // The same words about somebody else.
        let other = NewPolicy {
            principals: BTreeMap::from([("arn".into(), "AIDA".into())]),
            ..of("a")
        };
        assert_eq!(ResourcePolicy::new(other, Some(&first), 9).revision, "9");
    }
}
