//! Calls in their order, and what they come to.

mod accounts;
mod guarded;
mod reference;
mod sessions;

use crate::testing::{ACCOUNT, World};

/// Trusts the account.
const TRUST_ALL: &str = r#"{"Version":"2012-10-17","Statement":
    {"Effect":"Allow","Principal":{"AWS":"123456789012"},"Action":"sts:AssumeRole"}}"#;

fn allow(actions: &str, resource: &str) -> String {
    format!(
        r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Action":{actions},"Resource":"{resource}"}}]}}"#
    )
}

#[tokio::test]
async fn users_their_keys_and_their_end() {
    let world = World::new().await;
    let made = world
        .root(
            "CreateUser",
            &[
                ("UserName", "Ann"),
                ("Path", "/staff/"),
                ("Tags.member.1.Key", "team"),
                ("Tags.member.1.Value", "a"),
            ],
        )
        .await;
    assert_eq!(made.text("Arn"), format!("arn:aws:iam::{ACCOUNT}:user/staff/Ann"));
    assert!(made.text("UserId").starts_with("AIDA"));
    assert_eq!(made.text("CreateDate"), "2026-11-30T06:12:00Z");
    world
        .refused(
            "CreateUser",
            &[("UserName", "ann")],
            "EntityAlreadyExists",
            "User with name ann already exists.",
        )
        .await;
    world
        .refused(
            "GetUser",
            &[("UserName", "bob")],
            "NoSuchEntity",
            "The user with name bob cannot be found.",
        )
        .await;
    let (id, _) = world.key("ann").await;
    let (second, _) = world.key("ann").await;
    let more = [("UserName", "ann")];
    world
        .refused(
            "CreateAccessKey",
            &more,
            "LimitExceeded",
            "Cannot exceed quota for AccessKeysPerUser: 2",
        )
        .await;
    let ann = world.caller(&id, None).unwrap();
    assert_eq!(
        (&*ann.arn, ann.user_name.as_deref()),
        ("arn:aws:iam::123456789012:user/staff/Ann", Some("Ann"))
    );
    assert_eq!(ann.tags["team"], "a");
    let identity = world.call(&ann, "GetCallerIdentity", &[]).await;
    assert_eq!(identity.text("Arn"), *ann.arn);
    // Off, on, gone.
    let status = |status| [("UserName", "Ann"), ("AccessKeyId", id.as_str()), ("Status", status)];
    world.root("UpdateAccessKey", &status("Inactive")).await;
    assert!(world.caller(&id, None).is_err());
    world.root("UpdateAccessKey", &status("Active")).await;
    assert!(world.caller(&id, None).is_ok() && world.caller(&id, Some("token")).is_err());
    world
        .refused(
            "DeleteUser",
            &[("UserName", "Ann")],
            "DeleteConflict",
            "must delete access keys first",
        )
        .await;
    for key in [&id, &second] {
        world
            .root("DeleteAccessKey", &[("UserName", "Ann"), ("AccessKeyId", key)])
            .await;
    }
    assert!(world.caller(&id, None).is_err());
    world
        .root(
            "UpdateUser",
            &[("UserName", "Ann"), ("NewUserName", "anna"), ("NewPath", "/")],
        )
        .await;
    assert_eq!(
        world.root("GetUser", &[("UserName", "ANNA")]).await.text("UserName"),
        "anna"
    );
    world.root("DeleteUser", &[("UserName", "anna")]).await;
    assert!(!world.root("ListUsers", &[]).await.has("anna"));
}

#[tokio::test]
async fn policies_attached_inline_and_by_group_are_what_a_user_may_do() {
    let world = World::new().await;
    world.root("CreateUser", &[("UserName", "ann")]).await;
    let (id, _) = world.key("ann").await;
    let may = async |action: &str, parameters: &[(&str, &str)]| {
        let ann = world.caller(&id, None).unwrap();
        world.call(&ann, action, parameters).await.0.status == 200
    };
    let denied = world.call(&world.caller(&id, None).unwrap(), "ListUsers", &[]).await;
    denied.is_refused(
        "AccessDenied",
        "User: arn:aws:iam::123456789012:user/ann is not authorized to perform: iam:ListUsers on resource: \
         arn:aws:iam::123456789012:user/ because no identity-based policy allows the iam:ListUsers action",
    );
    // Inline.
    let own = allow(r#"["iam:Get*","iam:List*"]"#, "arn:aws:iam::*:user/${aws:username}");
    world
        .root(
            "PutUserPolicy",
            &[("UserName", "ann"), ("PolicyName", "own"), ("PolicyDocument", &own)],
        )
        .await;
    assert!(may("GetUser", &[]).await && may("ListAccessKeys", &[]).await);
    assert!(!may("ListUsers", &[]).await && !may("CreateAccessKey", &[]).await);
    let shown = world
        .root("GetUserPolicy", &[("UserName", "ann"), ("PolicyName", "own")])
        .await;
    assert!(
        shown
            .text("PolicyDocument")
            .starts_with("%7B%22Version%22%3A%222012-10-17%22")
    );
    // By a group, with a managed policy.
    let made = world
        .root(
            "CreatePolicy",
            &[
                ("PolicyName", "lists"),
                ("PolicyDocument", &allow(r#""iam:ListUsers""#, "*")),
            ],
        )
        .await;
    let arn = made.text("Arn");
    world.root("CreateGroup", &[("GroupName", "staff")]).await;
    world
        .root("AttachGroupPolicy", &[("GroupName", "staff"), ("PolicyArn", &arn)])
        .await;
    world
        .root("AddUserToGroup", &[("GroupName", "Staff"), ("UserName", "ann")])
        .await;
    assert!(may("ListUsers", &[]).await && !may("ListRoles", &[]).await);
    // Another version takes effect with its becoming the default one.
    let roles = allow(r#"["iam:ListUsers","iam:ListRoles"]"#, "*");
    let version = world
        .root(
            "CreatePolicyVersion",
            &[("PolicyArn", &arn), ("PolicyDocument", &roles)],
        )
        .await;
    assert_eq!(version.text("VersionId"), "v2");
    assert!(!may("ListRoles", &[]).await);
    world
        .root("SetDefaultPolicyVersion", &[("PolicyArn", &arn), ("VersionId", "v2")])
        .await;
    assert!(may("ListRoles", &[]).await);
    // A boundary bounds.
    world
        .root(
            "PutUserPermissionsBoundary",
            &[
                ("UserName", "ann"),
                (
                    "PermissionsBoundary",
                    "arn:aws:iam::aws:policy/AmazonDynamoDBReadOnlyAccess",
                ),
            ],
        )
        .await;
    assert!(may("ListRoles", &[]).await && !may("ListUsers", &[]).await);
    world
        .root("DeleteUserPermissionsBoundary", &[("UserName", "ann")])
        .await;
    // What hangs together is not taken apart in the wrong order.
    world
        .refused(
            "DeletePolicy",
            &[("PolicyArn", &arn)],
            "DeleteConflict",
            "attached to entities",
        )
        .await;
    world
        .refused(
            "DeletePolicyVersion",
            &[("PolicyArn", &arn), ("VersionId", "v2")],
            "DeleteConflict",
            "default version",
        )
        .await;
    world
        .refused(
            "DeleteGroup",
            &[("GroupName", "staff")],
            "DeleteConflict",
            "detach all policies",
        )
        .await;
    world
        .refused(
            "DeleteUser",
            &[("UserName", "ann")],
            "DeleteConflict",
            "delete access keys",
        )
        .await;
    let entities = world.root("ListEntitiesForPolicy", &[("PolicyArn", &arn)]).await;
    assert_eq!(entities.text("GroupName"), "staff");
    assert_eq!(
        world
            .root("GetPolicy", &[("PolicyArn", &arn)])
            .await
            .text("AttachmentCount"),
        "1"
    );
    world
        .root("RemoveUserFromGroup", &[("GroupName", "staff"), ("UserName", "ann")])
        .await;
    assert!(!may("ListUsers", &[]).await);
    world
        .root("DetachGroupPolicy", &[("GroupName", "staff"), ("PolicyArn", &arn)])
        .await;
    world
        .refused(
            "DetachGroupPolicy",
            &[("GroupName", "staff"), ("PolicyArn", &arn)],
            "NoSuchEntity",
            "was not found",
        )
        .await;
    world
        .root("DeletePolicyVersion", &[("PolicyArn", &arn), ("VersionId", "v1")])
        .await;
    world.root("DeletePolicy", &[("PolicyArn", &arn)]).await;
    world.root("DeleteGroup", &[("GroupName", "staff")]).await;
}

#[tokio::test]
async fn documents_that_are_no_policies_are_told_where() {
    let world = World::new().await;
    for document in ["{", r#"{"Statement":{"Effect":"Maybe","Action":"*","Resource":"*"}}"#] {
        let parameters = [("PolicyName", "p"), ("PolicyDocument", document)];
        world
            .refused("CreatePolicy", &parameters, "MalformedPolicyDocument", "line 1")
            .await;
    }
    let nobody = TRUST_ALL.replace("\"123456789012\"", "\"arn:aws:iam::123456789012:user/nobody\"");
    let role = [("RoleName", "r"), ("AssumeRolePolicyDocument", nobody.as_str())];
    world
        .refused(
            "CreateRole",
            &role,
            "MalformedPolicyDocument",
            "Invalid principal in policy",
        )
        .await;
}

#[tokio::test]
async fn what_is_not_stored_did_not_happen() {
    let world = World::new().await;
    *world.store.fails.lock() = true;
    let answer = world.call(&world.root, "CreateUser", &[("UserName", "ann")]).await;
    answer.is_refused("InternalFailure", "unknown error");
    assert!(!answer.has("disk"), "what went wrong inside is not for clients");
    assert!(
        answer
            .0
            .error
            .as_ref()
            .unwrap()
            .fault
            .as_deref()
            .unwrap()
            .contains("disk")
    );
    world
        .refused("GetUser", &[("UserName", "ann")], "NoSuchEntity", "")
        .await;
}

/// Every operation is called with what the others have made: its answer has only members that its model has.
#[tokio::test]
async fn every_operation_answers() {
    let world = World::new().await;
    let document = allow(r#""dynamodb:GetItem""#, "*");
    let policy = format!("arn:aws:iam::{ACCOUNT}:policy/p");
    let provider = format!("arn:aws:iam::{ACCOUNT}:oidc-provider/example.com/x");
    let role = format!("arn:aws:iam::{ACCOUNT}:role/r");
    let of_all: Vec<(&str, &str)> = vec![
        ("UserName", "u"),
        ("GroupName", "g"),
        ("RoleName", "r"),
        ("PolicyArn", &policy),
        ("PolicyName", "p"),
        ("PolicyDocument", &document),
        ("AssumeRolePolicyDocument", TRUST_ALL),
        ("VersionId", "v1"),
        ("PermissionsBoundary", "arn:aws:iam::aws:policy/ReadOnlyAccess"),
        ("OpenIDConnectProviderArn", &provider),
        ("Url", "https://example.com/x"),
        ("ClientID", "c"),
        ("AccountAlias", "our-alias"),
        ("PolicySourceArn", &role),
        ("ActionNames.member.1", "dynamodb:GetItem"),
        ("PolicyInputList.member.1", &document),
        ("Tags.member.1.Key", "k"),
        ("Tags.member.1.Value", "v"),
        ("TagKeys.member.1", "k"),
        ("Description", "d"),
        ("ThumbprintList.member.1", "0123456789012345678901234567890123456789"),
    ];
    let order = [
        "Create", "Put", "Attach", "Add", "Tag", "Set", "Get", "List", "Simulate", "Update", "Untag", "Remove",
        "Detach", "Delete",
    ];
    let ends = ["DeleteUser", "DeleteGroup", "DeleteRole", "DeletePolicy"];
    let mut operations: Vec<_> = crate::generated::IAM.operations.iter().collect();
    operations.sort_by_key(|operation| {
        let verb = order.iter().position(|verb| operation.name.starts_with(verb)).unwrap();
        // Versions and keys come once there is something to have them.
        let later = usize::from(operation.name.ends_with("Version") || operation.name == "CreateAccessKey");
        (verb, ends.contains(&operation.name), later)
    });
    let mut key = String::new();
    for operation in operations {
        let Some(crate::query::shape::Shape::Structure(members)) = operation.input else {
            world.root(operation.name, &[]).await;
            continue;
        };
        let mut given: Vec<(&str, &str)> = of_all.clone();
        given.push(("AccessKeyId", &key));
        given.push(("Status", "Inactive"));
        given.retain(|(name, _)| {
            members
                .iter()
                .any(|member| member.name == name.split('.').next().unwrap_or_default())
        });
        if operation.name == "UpdateAssumeRolePolicy" {
            given.retain(|(name, _)| *name != "PolicyDocument");
            given.push(("PolicyDocument", TRUST_ALL));
        }
        if operation.name == "DeletePolicyVersion" {
            given.retain(|(name, _)| *name != "VersionId");
            given.push(("VersionId", "v2"));
        }
        let answer = world.call(&world.root, operation.name, &given).await;
        match operation.name {
            "GetLoginProfile" | "DeleteLoginProfile" => answer.is_refused("NoSuchEntity", "Login Profile"),
            _ => assert_eq!(answer.0.status, 200, "{} {given:?}: {}", operation.name, answer.0.body),
        }
        if operation.name == "CreateAccessKey" {
            key = answer.text("AccessKeyId");
        }
    }
    let empty = world
        .root("GetAccountAuthorizationDetails", &[("Filter.member.1", "User")])
        .await;
    assert!(empty.has("<UserDetailList></UserDetailList>"), "{}", empty.0.body);
}

#[tokio::test]
async fn pages() {
    let world = World::new().await;
    for name in ["c", "a", "e", "b", "d"] {
        world.root("CreateUser", &[("UserName", name)]).await;
    }
    let mut names = Vec::new();
    let mut marker = None;
    loop {
        let mut parameters = vec![("MaxItems", "2")];
        parameters.extend(marker.as_deref().map(|marker| ("Marker", marker)));
        let page = world.root("ListUsers", &parameters).await;
        names.extend(page.0.body.split("<UserName>").skip(1).map(|rest| rest[..1].to_owned()));
        marker = page.find("Marker");
        assert_eq!(page.text("IsTruncated"), marker.is_some().to_string());
        if marker.is_none() {
            break;
        }
    }
    assert_eq!(names, ["a", "b", "c", "d", "e"]);
    world
        .refused("ListUsers", &[("Marker", "?")], "ValidationError", "Invalid Marker.")
        .await;
}

#[tokio::test]
async fn what_is_not_offered_is_told() {
    let world = World::new().await;
    world
        .refused(
            "CreateVirtualMFADevice",
            &[],
            "InvalidAction",
            "does not offer the action iam:CreateVirtualMFADevice",
        )
        .await;
    world
        .refused(
            "Nonsense",
            &[],
            "InvalidAction",
            "Could not find operation Nonsense for version 2010-05-08",
        )
        .await;
    world.refused("", &[], "MissingAction", "").await;
    world
        .refused(
            "ListUsers",
            &[("Version", "1999-01-01")],
            "InvalidAction",
            "for version 1999-01-01",
        )
        .await;
}
