//! Every operation that is offered asks for what the Service Authorization Reference lists.

use std::{collections::BTreeSet, sync::Arc};

use geodynamo_policy::{Caller, NamedPolicy, Policy, PolicyKind};
use geodynamo_reference::{Service, fault, refused};

use super::{TRUST_ALL, allow};
use crate::{
    generated::{IAM, STS},
    query::shape::{Operation, Shape},
    testing::{ACCOUNT, World},
};

/// The most actions that one call asks for.
const ASKED_MAX: usize = 16;
/// These are asked for on a path, as AWS does, and not on `*`, as the reference has it.
const ON_A_PATH: [&str; 4] = ["iam:ListGroups", "iam:ListPolicies", "iam:ListRoles", "iam:ListUsers"];
/// Who calls is known by a token, not by an identity's policies.
const BY_TOKEN: &str = "AssumeRoleWithWebIdentity";

/// A caller that may do this much, action by action.
fn ann(granted: &[(String, String)]) -> Arc<Caller> {
    let mut caller = Caller::user(ACCOUNT, "/", "ann", "AIDAANNANNANNANNANNAN");
    let policies = granted.iter().map(|(action, resource)| {
        let text = allow(&format!(r#""{action}""#), resource);
        NamedPolicy::new("p", Arc::new(Policy::parse(&text, PolicyKind::Identity).unwrap()))
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

/// What a call asks for: each is granted, one after another, until the call is refused for nothing more.
async fn asked(operation: &Operation) -> Vec<(String, String)> {
    let (world, key) = world().await;
    let parameters = parameters(operation, &key);
    let parameters: Vec<(&str, &str)> = parameters
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let mut granted = Vec::new();
    while granted.len() < ASKED_MAX {
        let answer = world.call(&ann(&granted), operation.name, &parameters).await;
        if answer.find("Code").as_deref() != Some("AccessDenied") {
            return granted;
        }
        let message = answer.text("Message");
        let (action, resource) = refused(&message).unwrap_or_else(|| panic!("{}: {message}", operation.name));
        let asked = (action, resource);
        assert!(
            !granted.contains(&asked),
            "{}: {message}, which is allowed",
            operation.name
        );
        granted.push(asked);
    }
    panic!("{} asks for too much: {granted:?}", operation.name)
}

#[tokio::test]
async fn every_operation_asks_for_what_the_reference_lists() {
    let mut seen = BTreeSet::new();
    for service in [&IAM, &STS] {
        let reference = Service::named(service.name).unwrap();
        for operation in service.operations.iter().filter(|operation| operation.name != BY_TOKEN) {
            let own = format!("{}:{}", service.name, operation.name);
            assert!(reference.actions.contains_key(operation.name), "{own}");
            let asked = asked(operation).await;
            let always = operation.name == "GetCallerIdentity" || operation.name == "GetSessionToken";
            assert_eq!(
                asked.iter().any(|(action, _)| *action == own),
                !always,
                "{own}: {asked:?}"
            );
            for (action, resource) in asked {
                let fault = fault(&action, &resource).filter(|_| !ON_A_PATH.contains(&action.as_str()));
                assert_eq!(fault, None, "{own}");
                seen.insert(action);
            }
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
