//! Calls that need more than the action of their name, and what is told of others' keys and principals.

use std::sync::Arc;

use geodynamo_policy::Caller;

use super::allow;
use crate::testing::{ACCOUNT, NOW, SIGNED_WITH, World};

/// A user who may do these actions, and its key's id.
async fn user(world: &World, actions: &str) -> Arc<Caller> {
    world.root("CreateUser", &[("UserName", "ann")]).await;
    may(world, actions).await;
    let (id, _) = world.key("ann").await;
    world.caller(&id, None).unwrap()
}

async fn may(world: &World, actions: &str) {
    let policy = allow(actions, "*");
    let put = [
        ("UserName", "ann"),
        ("PolicyName", "p"),
        ("PolicyDocument", policy.as_str()),
    ];
    world.root("PutUserPolicy", &put).await;
}

const TRUST: &str = r#"{"Version":"2012-10-17","Statement":
    {"Effect":"Allow","Principal":{"AWS":"123456789012"},"Action":"sts:AssumeRole"}}"#;

/// The action that makes something, the one that tags it, and its other parameters.
type Made<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)]);

#[tokio::test]
async fn what_is_made_with_tags_needs_the_permission_to_tag() {
    let anything = allow(r#""*""#, "*");
    let made: [Made; 4] = [
        ("CreateUser", "TagUser", &[("UserName", "new")]),
        (
            "CreateRole",
            "TagRole",
            &[("RoleName", "new"), ("AssumeRolePolicyDocument", TRUST)],
        ),
        (
            "CreatePolicy",
            "TagPolicy",
            &[("PolicyName", "new"), ("PolicyDocument", &anything)],
        ),
        (
            "CreateOpenIDConnectProvider",
            "TagOpenIDConnectProvider",
            &[("Url", "https://id.example")],
        ),
    ];
    for (create, tag, parameters) in made {
        let world = World::new().await;
        user(&world, &format!(r#""iam:{create}""#)).await;
        let (id, _) = world.key("ann").await;
        let tags = [("Tags.member.1.Key", "team"), ("Tags.member.1.Value", "red")];
        let with_tags = [parameters, &tags].concat();
        let call = async |parameters: &[(&str, &str)]| {
            let ann = world.caller(&id, None).unwrap();
            world.call(&ann, create, parameters).await
        };
        let refused = call(&with_tags).await;
        refused.is_refused(
            "AccessDenied",
            &format!("is not authorized to perform: iam:{tag} on resource: "),
        );
        may(&world, &format!(r#"["iam:{create}","iam:{tag}"]"#)).await;
        assert_eq!(call(&with_tags).await.0.status, 200);
        // Without tags, the action alone is enough.
        let world = World::new().await;
        let ann = user(&world, &format!(r#""iam:{create}""#)).await;
        let answer = world.call(&ann, create, parameters).await;
        assert_eq!(answer.0.status, 200, "{}", answer.0.body);
    }
}

#[tokio::test]
async fn whose_an_access_key_is() {
    let world = World::new().await;
    let ann = user(&world, r#""sts:GetAccessKeyInfo""#).await;
    let (id, _) = world.key("ann").await;
    let told = world.call(&ann, "GetAccessKeyInfo", &[("AccessKeyId", &id)]).await;
    assert_eq!(told.text("Account"), ACCOUNT);
    // The one that signed the call, whatever it is.
    let own = world
        .call(&ann, "GetAccessKeyInfo", &[("AccessKeyId", SIGNED_WITH)])
        .await;
    assert_eq!(own.text("Account"), ACCOUNT);
    for unknown in ["AKIAIOSFODNN7EXAMPLE", "ASIAIOSFODNN7EXAMPLE"] {
        let refused = world.call(&ann, "GetAccessKeyInfo", &[("AccessKeyId", unknown)]).await;
        refused.is_refused("ValidationError", unknown);
    }
    // Of another account, its own.
    let (other, key) = world.iam.create_account(None, "other", NOW).await.unwrap();
    let told = world
        .call(&ann, "GetAccessKeyInfo", &[("AccessKeyId", &key.access_key_id)])
        .await;
    assert_eq!(told.text("Account"), other.id);
}

#[tokio::test]
async fn principals_of_the_clusters_other_accounts_must_exist_too() {
    let world = World::new().await;
    let (other, key) = world.iam.create_account(None, "other", NOW).await.unwrap();
    let trust = |principal: &str| TRUST.replace("123456789012", principal);
    let root = world.caller(&key.access_key_id, None).unwrap();
    world.call(&root, "CreateUser", &[("UserName", "eve")]).await;
    let of_other = |resource: &str| format!("arn:aws:iam::{}:{resource}", other.id);
    let mut number = 0;
    for (principal, is_there) in [
        (of_other("user/eve"), true),
        (of_other("root"), true),
        (other.id.clone(), true),
        (of_other("user/nobody"), false),
        (of_other("role/nobody"), false),
        (format!("arn:aws:sts::{}:assumed-role/nobody/s", other.id), false),
    ] {
        number += 1;
        let name = format!("r{number}");
        let parameters = [
            ("RoleName", name.as_str()),
            ("AssumeRolePolicyDocument", &trust(&principal)),
        ];
        let answer = world.call(&world.root, "CreateRole", &parameters).await;
        assert_eq!(answer.0.status == 200, is_there, "{principal}: {}", answer.0.body);
        assert_eq!(world.iam.has_principal(ACCOUNT, &principal), is_there, "{principal}");
    }
}

#[tokio::test]
async fn a_role_trusts_who_had_the_name_not_who_has_it_later() {
    let world = World::new().await;
    let arn = format!("arn:aws:iam::{ACCOUNT}:user/ann");
    let trust = TRUST.replace("123456789012", &arn);
    let make = async || {
        let ann = user(&world, r#""sts:AssumeRole""#).await;
        (ann, world.key("ann").await.0)
    };
    let remove = async |key: &str| {
        world
            .root("DeleteAccessKey", &[("UserName", "ann"), ("AccessKeyId", key)])
            .await;
        let keys = world.root("ListAccessKeys", &[("UserName", "ann")]).await;
        let other = keys.text("AccessKeyId");
        world
            .root("DeleteAccessKey", &[("UserName", "ann"), ("AccessKeyId", &other)])
            .await;
        world
            .root("DeleteUserPolicy", &[("UserName", "ann"), ("PolicyName", "p")])
            .await;
        world.root("DeleteUser", &[("UserName", "ann")]).await;
    };
    let role = format!("arn:aws:iam::{ACCOUNT}:role/r");
    let assume = async |caller: &Arc<Caller>| {
        let parameters = [("RoleArn", role.as_str()), ("RoleSessionName", "one")];
        world.call(caller, "AssumeRole", &parameters).await
    };
    let shown = async || {
        let role = world.root("GetRole", &[("RoleName", "r")]).await;
        let encoded = role.text("AssumeRolePolicyDocument");
        percent_encoding::percent_decode_str(&encoded)
            .decode_utf8()
            .unwrap()
            .into_owned()
    };
    let (first, key) = make().await;
    let create = [("RoleName", "r"), ("AssumeRolePolicyDocument", trust.as_str())];
    world.root("CreateRole", &create).await;
    assert_eq!(assume(&first).await.0.status, 200);
    assert_eq!(shown().await, trust);
    // Whoever is only called otherwise is trusted, and so named.
    let rename = |from, to| [("UserName", from), ("NewUserName", to)];
    world.root("UpdateUser", &rename("ann", "bob")).await;
    let renamed = world.caller(&key, None).unwrap();
    assert_eq!(assume(&renamed).await.0.status, 200);
    assert!(shown().await.contains(&format!("arn:aws:iam::{ACCOUNT}:user/bob")));
    world.root("UpdateUser", &rename("bob", "ann")).await;
    assert_eq!(shown().await, trust);
    // Another one of the same name is not.
    remove(&key).await;
    let gone = shown().await;
    assert!(gone.contains(&*first.user_id) && !gone.contains(&arn), "{gone}");
    let (second, key) = make().await;
    assert_eq!(second.arn, first.arn);
    assume(&second).await.is_refused("AccessDenied", "sts:AssumeRole");
    assert_eq!(shown().await, gone);
    // The id of nobody is no principal; who has the name now is, once the policy is put again.
    let update = [("RoleName", "r"), ("PolicyDocument", gone.as_str())];
    world
        .refused(
            "UpdateAssumeRolePolicy",
            &update,
            "MalformedPolicyDocument",
            "Invalid principal",
        )
        .await;
    let update = [("RoleName", "r"), ("PolicyDocument", trust.as_str())];
    world.root("UpdateAssumeRolePolicy", &update).await;
    assert_eq!(assume(&second).await.0.status, 200);
    remove(&key).await;
}

#[tokio::test]
async fn principals_have_ids_by_which_policies_keep_them() {
    let world = World::new().await;
    user(&world, r#""sts:AssumeRole""#).await;
    let role = [
        ("RoleName", "r"),
        ("Path", "/app/"),
        ("AssumeRolePolicyDocument", TRUST),
    ];
    let role = world.root("CreateRole", &role).await.text("RoleId");
    let id = |service: &str, resource: &str| {
        world
            .iam
            .principal_id(&format!("arn:aws:{service}::{ACCOUNT}:{resource}"))
    };
    assert!(id("iam", "user/ann").is_some_and(|id| id.starts_with("AIDA")));
    assert_eq!(id("iam", "role/app/r"), Some(role.clone()));
    assert_eq!(id("sts", "assumed-role/r/s"), Some(format!("{role}:s")));
    for (service, resource) in [
        ("iam", "root"),
        ("iam", "role/r"),
        ("iam", "user/nobody"),
        ("iam", "user/ANN"),
        ("sts", "user/ann"),
        ("sts", "assumed-role/r"),
        ("sts", "assumed-role/R/s"),
        ("sts", "federated-user/ann"),
    ] {
        assert_eq!(id(service, resource), None, "{service} {resource}");
    }
    for other in ["arn:aws:iam::999988887777:user/ann", "123456789012", "*", ""] {
        assert_eq!(world.iam.principal_id(other), None, "{other}");
    }
}

/// What a simulation decides, of `dynamodb:GetItem`.
async fn simulated(world: &World, action: &str, parameters: &[(&str, &str)]) -> String {
    let all = [parameters, &[("ActionNames.member.1", "dynamodb:GetItem")]].concat();
    world.root(action, &all).await.text("EvalDecision")
}

#[tokio::test]
async fn simulations_know_the_time_and_who_is_to_call() {
    let world = World::new().await;
    let when = |condition: &str| {
        format!(
            r#"{{"Version":"2012-10-17","Statement":{{"Effect":"Allow","Action":"dynamodb:GetItem","Resource":"*","Condition":{condition}}}}}"#
        )
    };
    let after = |time: &str| when(&format!(r#"{{"DateGreaterThan":{{"aws:CurrentTime":"{time}"}}}}"#));
    for (time, expect) in [
        ("2026-11-30T00:00:00Z", "allowed"),
        ("2026-12-01T00:00:00Z", "implicitDeny"),
    ] {
        let given = [("PolicyInputList.member.1", after(time))];
        let given: Vec<_> = given.iter().map(|(name, text)| (*name, text.as_str())).collect();
        assert_eq!(
            simulated(&world, "SimulateCustomPolicy", &given).await,
            expect,
            "{time}"
        );
    }
    // What the call gives stands before the clock.
    let late = after("2026-12-01T00:00:00Z");
    let given = [
        ("PolicyInputList.member.1", late.as_str()),
        ("ContextEntries.member.1.ContextKeyName", "aws:CurrentTime"),
        ("ContextEntries.member.1.ContextKeyType", "date"),
        (
            "ContextEntries.member.1.ContextKeyValues.member.1",
            "2026-12-02T00:00:00Z",
        ),
    ];
    assert_eq!(simulated(&world, "SimulateCustomPolicy", &given).await, "allowed");
    // A group's policies, as one of its users.
    for user in ["ann", "bob"] {
        world.root("CreateUser", &[("UserName", user)]).await;
    }
    world.root("CreateGroup", &[("GroupName", "staff")]).await;
    let of_bob = when(
        r#"{"StringEquals":{"aws:username":"bob"},"ArnEquals":{"aws:PrincipalArn":"arn:aws:iam::123456789012:user/bob"}}"#,
    );
    let put = [
        ("GroupName", "staff"),
        ("PolicyName", "p"),
        ("PolicyDocument", of_bob.as_str()),
    ];
    world.root("PutGroupPolicy", &put).await;
    let group = format!("arn:aws:iam::{ACCOUNT}:group/staff");
    let arn = |user: &str| format!("arn:aws:iam::{ACCOUNT}:user/{user}");
    for (user, expect) in [("bob", "allowed"), ("ann", "implicitDeny")] {
        let caller = arn(user);
        let given = [("PolicySourceArn", group.as_str()), ("CallerArn", caller.as_str())];
        assert_eq!(
            simulated(&world, "SimulatePrincipalPolicy", &given).await,
            expect,
            "{user}"
        );
    }
    let role = format!("arn:aws:iam::{ACCOUNT}:role/r");
    let given = [
        ("PolicySourceArn", group.as_str()),
        ("CallerArn", role.as_str()),
        ("ActionNames.member.1", "dynamodb:GetItem"),
    ];
    world
        .refused("SimulatePrincipalPolicy", &given, "InvalidInput", "CallerArn")
        .await;
    // Only a user can be who calls, so a resource's policy needs one.
    let resource = when("{}").replace(r#""Resource""#, r#""Principal":"*","Resource""#);
    let given = [
        ("PolicySourceArn", group.as_str()),
        ("ResourcePolicy", resource.as_str()),
        ("ActionNames.member.1", "dynamodb:GetItem"),
    ];
    world
        .refused("SimulatePrincipalPolicy", &given, "InvalidInput", "CallerArn")
        .await;
}
