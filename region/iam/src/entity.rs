//! What is stored of principals, policies and providers.
//!
//! Each entity is one row, a map of named fields in MessagePack: `golden/` holds one of each. Of two regions that change one
//! entity at the same time, the later one wins as a whole.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// The account that has no other.
pub const DEFAULT_ACCOUNT: &str = "000000000000";

/// A kind of principal.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) enum Kind {
    User,
    Group,
    Role,
}

impl Kind {
    pub(crate) const ALL: [Self; 3] = [Self::User, Self::Group, Self::Role];

    /// As ARNs and rows' keys have it.
    pub(crate) const fn noun(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Group => "group",
            Self::Role => "role",
        }
    }

    /// As parameters have it: `User` of `UserName`.
    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::User => "User",
            Self::Group => "Group",
            Self::Role => "Role",
        }
    }

    /// The parameter that names one.
    pub(crate) const fn parameter(self) -> &'static str {
        match self {
            Self::User => "UserName",
            Self::Group => "GroupName",
            Self::Role => "RoleName",
        }
    }
}

/// A user, a group or a role.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Principal {
    pub(crate) name: String,
    /// `AIDA…`, `AGPA…`, `AROA…`: never used again.
    pub(crate) id: String,
    /// Begins and ends with a slash.
    pub(crate) path: String,
    /// When it was made, in seconds since 1970.
    pub(crate) created: i64,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) tags: BTreeMap<String, String>,
    /// Inline policies' documents, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) inline: BTreeMap<String, String>,
    /// The ARNs of attached policies, in the order of attaching.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) attached: Vec<String>,
    /// The ARN of the permissions boundary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) boundary: Option<String>,
    /// Of users: the ids of their groups.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(crate) groups: BTreeSet<String>,
    /// Of users: their access keys.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) keys: Vec<AccessKey>,
    /// Of roles: the trust policy's document.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) trust: String,
    /// Of roles: the unique ids of the principals that the trust policy names by these ARNs. It trusts who they were when it was
    /// put, not whoever has their names later.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) trusted: BTreeMap<String, String>,
    /// Of roles.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) description: Option<String>,
    /// Of roles: how long a session may last, in seconds.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) session_s_max: i64,
}

/// A long-term access key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AccessKey {
    pub(crate) id: String,
    /// Sealed, bound to the id.
    #[serde(with = "serde_bytes")]
    pub(crate) secret: Vec<u8>,
    pub(crate) active: bool,
    pub(crate) created: i64,
}

/// A managed policy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ManagedPolicy {
    pub(crate) name: String,
    pub(crate) id: String,
    pub(crate) path: String,
    pub(crate) created: i64,
    pub(crate) updated: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) description: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) tags: BTreeMap<String, String>,
    /// By number.
    pub(crate) versions: BTreeMap<u32, PolicyVersion>,
    pub(crate) default: u32,
    /// The number of the next version: none is used again.
    pub(crate) next: u32,
}

/// A version of a managed policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PolicyVersion {
    pub(crate) document: String,
    pub(crate) created: i64,
}

/// A provider of web identities.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Provider {
    /// Without `https://`.
    pub(crate) url: String,
    pub(crate) created: i64,
    pub(crate) clients: BTreeSet<String>,
    #[serde(default)]
    pub(crate) thumbprints: Vec<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) tags: BTreeMap<String, String>,
}

/// What the account itself has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Account {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) alias: Option<String>,
}

fn is_zero(number: &i64) -> bool {
    *number == 0
}

impl Principal {
    pub(crate) fn arn(&self, kind: Kind, account: &str) -> String {
        format!("arn:aws:iam::{account}:{}{}{}", kind.noun(), self.path, self.name)
    }
}

impl ManagedPolicy {
    pub(crate) fn arn(&self, account: &str) -> String {
        format!("arn:aws:iam::{account}:policy{}{}", self.path, self.name)
    }

    /// The document of the version that counts.
    pub(crate) fn document(&self) -> &str {
        self.versions
            .get(&self.default)
            .map_or("", |version| version.document.as_str())
    }
}

impl Provider {
    pub(crate) fn arn(&self, account: &str) -> String {
        format!("arn:aws:iam::{account}:oidc-provider/{}", self.url)
    }
}

/// Names are unique without regard to case.
pub(crate) fn folded(name: &str) -> String {
    name.to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> AccessKey {
        AccessKey {
            id: "AKIA".into(),
            secret: vec![1, 2],
            active: true,
            created: 1,
        }
    }

    /// What this release writes, later ones must read: the bytes are fixed.
    #[test]
    fn stored_forms_stay() {
        let text = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let principal = Principal {
            name: "Ann".into(),
            id: "AIDA".into(),
            path: "/".into(),
            created: 1,
            tags: text(&[("a", "b")]),
            inline: text(&[("p", "{}")]),
            attached: vec!["arn".into()],
            boundary: Some("arn".into()),
            groups: BTreeSet::from(["AGPA".to_owned()]),
            keys: vec![key()],
            trust: "{}".into(),
            trusted: BTreeMap::new(),
            description: Some("d".into()),
            session_s_max: 3600,
        };
        let policy = ManagedPolicy {
            name: "P".into(),
            id: "ANPA".into(),
            path: "/".into(),
            created: 1,
            updated: 2,
            description: None,
            tags: BTreeMap::new(),
            versions: BTreeMap::from([(
                1,
                PolicyVersion {
                    document: "{}".into(),
                    created: 1,
                },
            )]),
            default: 1,
            next: 2,
        };
        let provider = Provider {
            url: "example.com".into(),
            created: 1,
            clients: BTreeSet::from(["sts".to_owned()]),
            thumbprints: vec![],
            tags: BTreeMap::new(),
        };
        let account = Account {
            alias: Some("ours".into()),
        };
        let mut made = Vec::new();
        check("principal", &principal, &mut made);
        check("policy", &policy, &mut made);
        check("provider", &provider, &mut made);
        check("account", &account, &mut made);
        check("root-key", &key(), &mut made);
        assert!(made.is_empty(), "these were not there, and are now: {made:?}");
    }

    fn check<T: Serialize + serde::de::DeserializeOwned + PartialEq + std::fmt::Debug>(
        name: &str,
        value: &T,
        made: &mut Vec<String>,
    ) {
        let path = format!("{}/golden/{name}.msgpack", env!("CARGO_MANIFEST_DIR"));
        let golden = std::fs::read(&path).unwrap_or_default();
        let written = rmp_serde::to_vec_named(value).unwrap();
        if golden.is_empty() {
            std::fs::create_dir_all(format!("{}/golden", env!("CARGO_MANIFEST_DIR"))).unwrap();
            std::fs::write(&path, &written).unwrap();
            made.push(path);
            return;
        }
        assert_eq!(written, golden, "{name} is written otherwise than before");
        assert_eq!(&rmp_serde::from_slice::<T>(&golden).unwrap(), value);
    }
}
