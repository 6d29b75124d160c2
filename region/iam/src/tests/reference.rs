//! Every operation that is offered asks for what the Service Authorization Reference lists.

use std::{collections::BTreeSet, sync::Arc};

use geodynamo_policy::{Caller, NamedPolicy, Policy, PolicyKind};
use geodynamo_reference::{Grants, Service};

use super::{TRUST_ALL, allow};
use crate::{
    generated::{IAM, STS},
    query::shape::{Operation, Shape},
    testing::{ACCOUNT, World},
};

/// These are asked for on a path, as AWS does, and not on `*`, as the reference has it.
const ON_A_PATH: [&str; 4] = ["iam:ListGroups", "iam:ListPolicies", "iam:ListRoles", "iam:ListUsers"];
/// No policy is asked.
const OF_EVERYBODY: [&str; 2] = ["GetCallerIdentity", "GetSessionToken"];
/// Who calls is known by a token, not by an identity's policies.
const BY_TOKEN: &str = "AssumeRoleWithWebIdentity";

/// A caller that may do this much.
fn ann(grants: &Grants) -> Arc<Caller> {
    let mut caller = Caller::user(ACCOUNT, "/", "ann", "AIDAANNANNANNANNANNAN");
    let policies = grants.policies().map(|text| {
        let policy = Policy::parse(&text, PolicyKind::Identity).unwrap();
        NamedPolicy::new("p", Arc::new(policy))
    });
    caller.policies.identity.extend(policies);
    Arc::new(caller)
}

/// What a parameter is in all calls, where an operation has it.
fn value(name: &str) -> Option<String> {
    let of_iam = |rest: &str| format!("arn:aws:iam::{ACCOUNT}:{rest}");
    Some(match name {
        "UserName" => "u".into(),
        "GroupName" => "g".into(),
        "RoleName" => "r".into(),
        "PolicyName" => "new".into(),
        "PolicyArn" | "PermissionsBoundary" => of_iam("policy/p"),
        "PolicySourceArn" => of_iam("user/u"),
        "RoleArn" => of_iam("role/r"),
        "OpenIDConnectProviderArn" => of_iam("oidc-provider/id.example"),
        "PolicyDocument" | "PolicyInputList" => allow(r#""*""#, "*"),
        "AssumeRolePolicyDocument" => TRUST_ALL.into(),
        "RoleSessionName" | "SourceIdentity" | "Description" => "some".into(),
        "AccessKeyId" => "KEY".into(),
        "AccountAlias" => "some-alias".into(),
        "ClientID" => "client".into(),
        "Url" => "https://other.example".into(),
        "ThumbprintList" => "a".repeat(40),
        "VersionId" => "v1".into(),
        "Status" => "Inactive".into(),
        "ActionNames" => "iam:GetUser".into(),
        "TagKeys" => "team".into(),
        "NewUserName" | "NewGroupName" => "newer".into(),
        _ => return None,
    })
}

/// The parameters of a call: what must be there, and what else is known.
fn parameters(operation: &Operation, key: &str) -> Vec<(String, String)> {
    let Some(Shape::Structure(members)) = operation.input else {
        return Vec::new();
    };
    let mut parameters = Vec::new();
    for member in *members {
        if member.name == "Tags" {
            parameters.push(("Tags.member.1.Key".to_owned(), "team".to_owned()));
            parameters.push(("Tags.member.1.Value".to_owned(), "red".to_owned()));
            continue;
        }
        let Some(value) = value(member.name) else {
            assert!(!member.required, "{}: what is {}?", operation.name, member.name);
            continue;
        };
        let value = if value == "KEY" { key.to_owned() } else { value };
        let name = match member.shape {
            Shape::List(_) => format!("{}.member.1", member.name),
            _ => member.name.to_owned(),
        };
        parameters.push((name, value));
    }
    parameters
}

/// An account with one of each.
async fn world() -> (World, String) {
    let world = World::new().await;
    world.root("CreateUser", &[("UserName", "u")]).await;
    world.root("CreateGroup", &[("GroupName", "g")]).await;
    // Trust in the account: each of its principals still has to be allowed by its own policies.
    let trust = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"123456789012"},
        "Action":["sts:AssumeRole","sts:TagSession","sts:SetSourceIdentity"]}}"#;
    let role = [("RoleName", "r"), ("AssumeRolePolicyDocument", trust)];
    world.root("CreateRole", &role).await;
    let document = allow(r#""*""#, "*");
    let policy = [("PolicyName", "p"), ("PolicyDocument", document.as_str())];
    world.root("CreatePolicy", &policy).await;
    let provider = [("Url", "https://id.example"), ("ClientIDList.member.1", "client")];
    world.root("CreateOpenIDConnectProvider", &provider).await;
    let (key, _) = world.key("u").await;
    (world, key)
}

async fn asked(operation: &Operation) -> Grants {
    let (world, key) = world().await;
    let parameters = parameters(operation, &key);
    let parameters: Vec<(&str, &str)> = parameters
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let mut grants = Grants::default();
    loop {
        let answer = world.call(&ann(&grants), operation.name, &parameters).await;
        if answer.find("Code").as_deref() != Some("AccessDenied") {
            return grants;
        }
        grants.learn(&answer.text("Message"));
    }
}

#[tokio::test]
async fn every_operation_asks_for_what_the_reference_lists() {
    let mut seen = BTreeSet::new();
    for service in [&IAM, &STS] {
        let reference = Service::named(service.name).unwrap();
        for operation in service.operations.iter().filter(|operation| operation.name != BY_TOKEN) {
            let own = format!("{}:{}", service.name, operation.name);
            let grants = asked(operation).await;
            if OF_EVERYBODY.contains(&operation.name) {
                assert!(
                    reference.actions.contains_key(operation.name) && grants.0.is_empty(),
                    "{own}"
                );
                continue;
            }
            let mut faults = grants.faults(&own);
            if ON_A_PATH.contains(&own.as_str()) {
                assert_eq!(faults.len(), 1, "{faults:?}");
                faults.clear();
            }
            assert_eq!(faults, [""; 0], "{own}");
            seen.extend(grants.0.into_iter().map(|(action, _)| action));
        }
    }
    for besides in [
        "iam:TagUser",
        "iam:TagRole",
        "iam:TagPolicy",
        "sts:TagSession",
        "sts:SetSourceIdentity",
    ] {
        assert!(seen.contains(besides), "{besides}");
    }
}
