//! Roles and their sessions, root keys, and what other regions know of them.

use super::{TRUST_ALL, allow};
use crate::testing::World;

#[tokio::test]
async fn a_role_is_assumed_and_ends_with_it() {
    let world = World::new().await;
    world.root("CreateUser", &[("UserName", "ann")]).await;
    let (id, _) = world.key("ann").await;
    let made = world
        .root(
            "CreateRole",
            &[("RoleName", "reader"), ("AssumeRolePolicyDocument", TRUST_ALL)],
        )
        .await;
    let arn = made.text("Arn");
    world
        .root(
            "PutRolePolicy",
            &[
                ("RoleName", "reader"),
                ("PolicyName", "p"),
                ("PolicyDocument", &allow(r#""iam:List*""#, "*")),
            ],
        )
        .await;
    let assume = [("RoleArn", arn.as_str()), ("RoleSessionName", "session")];
    let ann = world.caller(&id, None).unwrap();
    let denied = world.call(&ann, "AssumeRole", &assume).await;
    denied.is_refused(
        "AccessDenied",
        &format!("is not authorized to perform: sts:AssumeRole on resource: {arn}"),
    );
    world
        .refused(
            "AssumeRole",
            &assume,
            "AccessDenied",
            "Roles may not be assumed by root accounts.",
        )
        .await;
    world
        .root(
            "PutUserPolicy",
            &[
                ("UserName", "ann"),
                ("PolicyName", "p"),
                ("PolicyDocument", &allow(r#""sts:AssumeRole""#, &arn)),
            ],
        )
        .await;
    let ann = world.caller(&id, None).unwrap();
    let only_roles = allow(r#""iam:ListRoles""#, "*");
    for (policy, users) in [(None, true), (Some(only_roles.as_str()), false)] {
        let mut parameters = assume.to_vec();
        parameters.extend(policy.map(|policy| ("Policy", policy)));
        let session = world.call(&ann, "AssumeRole", &parameters).await;
        assert_eq!(
            session.text("Arn"),
            "arn:aws:sts::123456789012:assumed-role/reader/session"
        );
        assert_eq!(session.text("Expiration"), "2026-11-30T07:12:00Z");
        let (key, token) = (session.text("AccessKeyId"), session.text("SessionToken"));
        assert!(key.starts_with("ASIA"));
        // Another region knows it without having been told.
        let other = World::on(world.store.clone(), std::sync::Arc::new(crate::NoIdentityKeys)).await;
        for region in [&world, &other] {
            let caller = region.caller(&key, Some(&token)).unwrap();
            assert_eq!(region.call(&caller, "ListRoles", &[]).await.0.status, 200);
            assert_eq!(region.call(&caller, "ListUsers", &[]).await.0.status == 200, users);
            assert!(region.caller(&key, None).is_err());
        }
        // Its time is over.
        let before = world.now.fetch_add(3600, std::sync::atomic::Ordering::Relaxed);
        assert_eq!(
            world.caller(&key, Some(&token)).unwrap_err(),
            geodynamo_access::KeyError::Expired
        );
        world.now.store(before, std::sync::atomic::Ordering::Relaxed);
        assert!(world.caller(&key, Some(&token)).is_ok());
    }
    let session = world.call(&ann, "AssumeRole", &assume).await;
    let (key, token) = (session.text("AccessKeyId"), session.text("SessionToken"));
    // Sessions of before a moment are revoked by a policy.
    let revoke = r#"{"Version":"2012-10-17","Statement":{"Effect":"Deny","Action":"*","Resource":"*",
        "Condition":{"DateLessThan":{"aws:TokenIssueTime":"2026-11-30T06:12:01Z"}}}}"#;
    world
        .root(
            "PutRolePolicy",
            &[
                ("RoleName", "reader"),
                ("PolicyName", "AWSRevokeOlderSessions"),
                ("PolicyDocument", revoke),
            ],
        )
        .await;
    let caller = world.caller(&key, Some(&token)).unwrap();
    world
        .call(&caller, "ListRoles", &[])
        .await
        .is_refused("AccessDenied", "explicit deny");
    world
        .root(
            "DeleteRolePolicy",
            &[("RoleName", "reader"), ("PolicyName", "AWSRevokeOlderSessions")],
        )
        .await;
    world
        .root("DeleteRolePolicy", &[("RoleName", "reader"), ("PolicyName", "p")])
        .await;
    world.root("DeleteRole", &[("RoleName", "reader")]).await;
    assert!(world.caller(&key, Some(&token)).is_err());
    // One of the same name is another one.
    world
        .root(
            "CreateRole",
            &[("RoleName", "reader"), ("AssumeRolePolicyDocument", TRUST_ALL)],
        )
        .await;
    assert!(world.caller(&key, Some(&token)).is_err());
}

#[tokio::test]
async fn external_ids_tags_and_durations() {
    let world = World::new().await;
    world.root("CreateUser", &[("UserName", "ann")]).await;
    let (id, _) = world.key("ann").await;
    world
        .root(
            "PutUserPolicy",
            &[
                ("UserName", "ann"),
                ("PolicyName", "p"),
                (
                    "PolicyDocument",
                    &allow(r#"["sts:AssumeRole","sts:TagSession","sts:SetSourceIdentity"]"#, "*"),
                ),
            ],
        )
        .await;
    let trust = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow",
        "Principal":{"AWS":"arn:aws:iam::123456789012:root"},"Action":["sts:AssumeRole","sts:TagSession"],
        "Condition":{"StringEquals":{"sts:ExternalId":"42"}}}}"#;
    let arn = world
        .root("CreateRole", &[("RoleName", "r"), ("AssumeRolePolicyDocument", trust)])
        .await
        .text("Arn");
    let ann = world.caller(&id, None).unwrap();
    let assume = async |more: &[(&str, &str)]| {
        let mut all = vec![("RoleArn", arn.as_str()), ("RoleSessionName", "session")];
        all.extend(more);
        world.call(&ann, "AssumeRole", &all).await
    };
    assume(&[]).await.is_refused("AccessDenied", "");
    assume(&[("ExternalId", "41")]).await.is_refused("AccessDenied", "");
    assert_eq!(assume(&[("ExternalId", "42")]).await.0.status, 200);
    assume(&[("ExternalId", "42"), ("SourceIdentity", "ann")])
        .await
        .is_refused("AccessDenied", "sts:SetSourceIdentity");
    assume(&[("ExternalId", "42"), ("DurationSeconds", "3601")])
        .await
        .is_refused("ValidationError", "MaxSessionDuration");
    assume(&[("ExternalId", "42"), ("DurationSeconds", "1")])
        .await
        .is_refused("ValidationError", "greater than or equal to 900");
    let tags = [
        ("ExternalId", "42"),
        ("Tags.member.1.Key", "team"),
        ("Tags.member.1.Value", "a"),
        ("TransitiveTagKeys.member.1", "team"),
    ];
    let session = assume(&tags).await;
    let caller = world
        .caller(&session.text("AccessKeyId"), Some(&session.text("SessionToken")))
        .unwrap();
    assert_eq!(caller.tags["team"], "a");
    let token = world.call(&ann, "GetSessionToken", &[]).await;
    let caller = world
        .caller(&token.text("AccessKeyId"), Some(&token.text("SessionToken")))
        .unwrap();
    assert_eq!(caller.arn, ann.arn);
    world
        .call(&caller, "GetUser", &[])
        .await
        .is_refused("InvalidClientTokenId", "");
    world
        .call(&caller, "GetSessionToken", &[])
        .await
        .is_refused("AccessDenied", "");
}

#[tokio::test]
async fn root_keys_are_made_once_and_can_be_rotated() {
    let world = World::new().await;
    let first = world.iam.ensure_root_key(1).await.unwrap().unwrap();
    assert!(world.iam.ensure_root_key(1).await.unwrap().is_none());
    let root = world.caller(&first.access_key_id, None).unwrap();
    assert!(root.is_root());
    let second = world.call(&root, "CreateAccessKey", &[]).await.text("AccessKeyId");
    world
        .call(&root, "DeleteAccessKey", &[("AccessKeyId", &first.access_key_id)])
        .await;
    assert!(world.caller(&first.access_key_id, None).is_err());
    assert!(world.caller(&second, None).unwrap().is_root());
    let reopened = World::on(world.store.clone(), std::sync::Arc::new(crate::NoIdentityKeys)).await;
    assert!(reopened.caller(&second, None).unwrap().is_root());
}

#[tokio::test]
async fn what_another_region_changed_is_taken_in() {
    let here = World::new().await;
    let there = World::on(here.store.clone(), std::sync::Arc::new(crate::NoIdentityKeys)).await;
    here.root("CreateUser", &[("UserName", "ann")]).await;
    let (id, _) = here.key("ann").await;
    assert!(there.caller(&id, None).is_err());
    let rows = there.store.last.lock().clone();
    there.iam.refresh(&rows).await.unwrap();
    assert_eq!(there.caller(&id, None).unwrap().user_name.as_deref(), Some("ann"));
    here.root(
        "UpdateAccessKey",
        &[("UserName", "ann"), ("AccessKeyId", &id), ("Status", "Inactive")],
    )
    .await;
    there.iam.refresh(&rows).await.unwrap();
    assert!(there.caller(&id, None).is_err());
}
