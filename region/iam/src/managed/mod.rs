//! Policies that AWS manages: those that people attach where DynamoDB is used.
//!
//! Documents are those of the AWS Managed Policy Reference
//! (<https://docs.aws.amazon.com/aws-managed-policy/latest/reference/policy-list.html>), without statements on other services
//! where they are long.

use std::sync::{Arc, LazyLock};

use geodynamo_policy::{Policy, PolicyKind};

/// A policy that AWS manages.
#[derive(Debug)]
pub(crate) struct Managed {
    pub(crate) arn: String,
    pub(crate) name: &'static str,
    pub(crate) path: &'static str,
    pub(crate) id: &'static str,
    pub(crate) description: &'static str,
    pub(crate) document: &'static str,
    pub(crate) compiled: Option<Arc<Policy>>,
}

/// When all of them are taken to be made: 2015-02-06, as most were.
pub(crate) const CREATED_UNIX_S: i64 = 1_423_247_940;

const DEFINITIONS: [(&str, &str, &str, &str, &str); 8] = [
    (
        "AdministratorAccess",
        "/",
        "ANPAIWMBCKSKIEE64ZLYK",
        "Provides full access to AWS services and resources.",
        include_str!("AdministratorAccess.json"),
    ),
    (
        "AmazonDynamoDBFullAccess",
        "/",
        "ANPAINUGF2JSOSUY76KYA",
        "Provides full access to Amazon DynamoDB via the AWS Management Console.",
        include_str!("AmazonDynamoDBFullAccess.json"),
    ),
    (
        "AmazonDynamoDBFullAccess_v2",
        "/",
        "ANPAZKAPJZG4GDFV2FULL",
        "Provides full access to Amazon DynamoDB via the AWS Management Console.",
        include_str!("AmazonDynamoDBFullAccess.json"),
    ),
    (
        "AmazonDynamoDBReadOnlyAccess",
        "/",
        "ANPAIY2XFNA232XJ6J7X2",
        "Provides read only access to Amazon DynamoDB via the AWS Management Console.",
        include_str!("AmazonDynamoDBReadOnlyAccess.json"),
    ),
    (
        "IAMFullAccess",
        "/",
        "ANPAI7XKCFMBPM3QQRRVQ",
        "Provides full access to IAM via the AWS Management Console.",
        include_str!("IAMFullAccess.json"),
    ),
    (
        "IAMReadOnlyAccess",
        "/",
        "ANPAJKSO7NDY4T57MWDSQ",
        "Provides read only access to IAM via the AWS Management Console.",
        include_str!("IAMReadOnlyAccess.json"),
    ),
    (
        "PowerUserAccess",
        "/",
        "ANPAJYRXTHIB4FOVS3ZXS",
        "Provides full access to AWS services and resources, but does not allow management of Users and groups.",
        include_str!("PowerUserAccess.json"),
    ),
    (
        "ReadOnlyAccess",
        "/",
        "ANPAILL3HVNFSB6DCOWYQ",
        "Provides read-only access to AWS services and resources.",
        include_str!("ReadOnlyAccess.json"),
    ),
];

static MANAGED: LazyLock<Vec<Managed>> = LazyLock::new(|| {
    DEFINITIONS
        .iter()
        .map(|&(name, path, id, description, document)| Managed {
            arn: format!("arn:aws:iam::aws:policy{path}{name}"),
            name,
            path,
            id,
            description,
            document,
            compiled: Policy::parse(document, PolicyKind::Identity).ok().map(Arc::new),
        })
        .collect()
});

/// All of them, by name.
pub(crate) fn all() -> &'static [Managed] {
    &MANAGED
}

/// One of them.
pub(crate) fn find(arn: &str) -> Option<&'static Managed> {
    if !arn.starts_with("arn:aws:iam::aws:policy/") {
        return None;
    }
    MANAGED.iter().find(|managed| managed.arn == arn)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_policies() {
        for managed in all() {
            let parsed = Policy::parse(managed.document, PolicyKind::Identity);
            assert!(parsed.is_ok(), "{}: {parsed:?}", managed.name);
        }
        assert!(find("arn:aws:iam::aws:policy/AdministratorAccess").is_some());
        assert!(find("arn:aws:iam::aws:policy/administratoraccess").is_none());
        assert!(all().windows(2).all(|pair| pair[0].name < pair[1].name));
    }
}
