//! Callers who may not do everything: what they are let do, and that the others are told nothing.

use std::sync::Arc;

use geodynamo_api::{Api, Authorization, Call, Reply};
use geodynamo_policy::{Caller, NamedPolicy, Policy, PolicyKind};
use geodynamo_storage::MemoryEngine;

use crate::client::{Client, target};

const ACCOUNT: &str = "000000000000";
const MUSIC: &str = "arn:aws:dynamodb:us-east-1:000000000000:table/music";

/// Who has the items of the artist `ann`, and of them the attributes artist, song and year.
pub(crate) const OWN_ITEMS: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"dynamodb:*",
    "Resource":["arn:aws:dynamodb:*:*:table/music","arn:aws:dynamodb:*:*:table/music/index/by-year","arn:aws:dynamodb:*:*:table/none"],
    "Condition":{
        "ForAllValues:StringEquals":{"dynamodb:LeadingKeys":["${aws:username}"],"dynamodb:Attributes":["artist","song","year","title"]},
        "Null":{"dynamodb:LeadingKeys":"false"},
        "StringEqualsIfExists":{"dynamodb:Select":["SPECIFIC_ATTRIBUTES","COUNT"],
            "dynamodb:ReturnValues":["NONE","UPDATED_OLD","UPDATED_NEW"]}}}]}"#;

fn user(policies: &[&str]) -> Caller {
    let mut caller = Caller::user(ACCOUNT, "/", "ann", "AIDAANNANNANNANNANNAN");
    let named = |text: &&str| NamedPolicy::new("p", Arc::new(Policy::parse(text, PolicyKind::Identity).unwrap()));
    caller.policies.identity = policies.iter().map(named).collect();
    caller
}

async fn call(api: &Api<MemoryEngine>, caller: &Caller, operation: &str, body: &str) -> Reply {
    api.call(Call::of(caller), &target(operation), body.as_bytes()).await
}

/// A region where ann and bob have an item each.
pub(crate) async fn region() -> (Client, Api<MemoryEngine>) {
    let client = Client::with_table().await;
    for artist in ["ann", "bob"] {
        let item = format!(
            r#"{{"TableName":"music","Item":{{"artist":{{"S":"{artist}"}},"song":{{"S":"s"}},"year":{{"N":"1"}},"secret":{{"S":"hidden"}}}}}}"#
        );
        client.ok("PutItem", &item).await;
    }
    let api = client.asking(Authorization::Enforce);
    (client, api)
}

/// Every data operation and every kind of statement, on the items of `artist`, with an attribute. `true` where the attribute
/// does not matter.
fn requests(artist: &str, attribute: &str) -> Vec<(&'static str, String)> {
    let key = format!(r#"{{"artist":{{"S":"{artist}"}},"song":{{"S":"s"}}}}"#);
    let item = format!(r#"{{"artist":{{"S":"{artist}"}},"song":{{"S":"s"}},"{attribute}":{{"S":"x"}}}}"#);
    let names = format!(r##""ExpressionAttributeNames":{{"#a":"{attribute}"}}"##);
    let values = r#""ExpressionAttributeValues":{":x":{"S":"x"}}"#;
    let query_values = format!(r#""ExpressionAttributeValues":{{":a":{{"S":"{artist}"}}}}"#);
    let statement = |text: String| format!(r#"{{"Statement":"{}"}}"#, text.replace('"', "\\\""));
    let wher = format!("WHERE artist = '{artist}' AND song = 's'");
    let transact = |text: String| format!(r#"{{"TransactStatements":[{{"Statement":"{text}"}}]}}"#);
    vec![
        (
            "GetItem",
            format!(r##"{{"TableName":"music","Key":{key},"ProjectionExpression":"#a",{names}}}"##),
        ),
        (
            "GetItem",
            format!(r#"{{"TableName":"{MUSIC}","Key":{key},"AttributesToGet":["{attribute}"]}}"#),
        ),
        ("PutItem", format!(r#"{{"TableName":"music","Item":{item}}}"#)),
        (
            "PutItem",
            format!(r##"{{"TableName":"music","Item":{key},"ConditionExpression":"attribute_exists(#a)",{names}}}"##),
        ),
        (
            "PutItem",
            format!(r#"{{"TableName":"music","Item":{key},"Expected":{{"{attribute}":{{"Exists":false}}}}}}"#),
        ),
        (
            "UpdateItem",
            format!(r##"{{"TableName":"music","Key":{key},"UpdateExpression":"SET #a = :x",{names},{values}}}"##),
        ),
        (
            "UpdateItem",
            format!(r##"{{"TableName":"music","Key":{key},"UpdateExpression":"SET title = #a",{names}}}"##),
        ),
        (
            "UpdateItem",
            format!(
                r#"{{"TableName":"music","Key":{key},"AttributeUpdates":{{"{attribute}":{{"Action":"DELETE"}}}}}}"#
            ),
        ),
        (
            "DeleteItem",
            format!(r##"{{"TableName":"music","Key":{key},"ConditionExpression":"#a = :x",{names},{values}}}"##),
        ),
        (
            "Query",
            format!(
                r##"{{"TableName":"music","KeyConditionExpression":"artist = :a","ProjectionExpression":"#a",{names},{query_values}}}"##
            ),
        ),
        (
            "Query",
            format!(
                r##"{{"TableName":"music","IndexName":"by-year","Select":"COUNT","KeyConditionExpression":"artist = :a",
                    "FilterExpression":"attribute_exists(#a)",{names},{query_values}}}"##
            ),
        ),
        (
            "Query",
            format!(
                r#"{{"TableName":"music","AttributesToGet":["{attribute}"],"KeyConditions":{{"artist":{{"ComparisonOperator":"EQ","AttributeValueList":[{{"S":"{artist}"}}]}}}}}}"#
            ),
        ),
        (
            "BatchGetItem",
            format!(r##"{{"RequestItems":{{"music":{{"Keys":[{key}],"ProjectionExpression":"#a",{names}}}}}}}"##),
        ),
        (
            "BatchWriteItem",
            format!(r#"{{"RequestItems":{{"music":[{{"PutRequest":{{"Item":{item}}}}}]}}}}"#),
        ),
        (
            "TransactGetItems",
            format!(
                r##"{{"TransactItems":[{{"Get":{{"TableName":"music","Key":{key},"ProjectionExpression":"#a",{names}}}}}]}}"##
            ),
        ),
        (
            "TransactWriteItems",
            format!(r#"{{"TransactItems":[{{"Put":{{"TableName":"music","Item":{item}}}}}]}}"#),
        ),
        (
            "TransactWriteItems",
            format!(
                r##"{{"TransactItems":[{{"ConditionCheck":{{"TableName":"music","Key":{key},"ConditionExpression":"attribute_exists(#a)",{names}}}}}]}}"##
            ),
        ),
        (
            "TransactWriteItems",
            format!(
                r##"{{"TransactItems":[{{"Update":{{"TableName":"music","Key":{key},"UpdateExpression":"REMOVE #a",{names}}}}}]}}"##
            ),
        ),
        (
            "ExecuteStatement",
            statement(format!(r#"SELECT "{attribute}" FROM "music" {wher}"#)),
        ),
        (
            "ExecuteStatement",
            statement(format!(r#"UPDATE "music" SET "{attribute}" = 'x' {wher}"#)),
        ),
        (
            "ExecuteStatement",
            statement(format!(r#"DELETE FROM "music" {wher} AND "{attribute}" = 'none'"#)),
        ),
        (
            "ExecuteStatement",
            statement(format!(
                r#"INSERT INTO "music" VALUE {{'artist': '{artist}', 'song': 'new', '{attribute}': 'x'}}"#
            )),
        ),
        (
            "ExecuteTransaction",
            transact(format!("SELECT {attribute} FROM music {wher}").replace("year", "title")),
        ),
        (
            "ExecuteTransaction",
            transact(format!("UPDATE music SET {attribute} = 'x' {wher}").replace("year", "title")),
        ),
    ]
}

fn is_denied(reply: &Reply) -> bool {
    reply.error.as_deref() == Some("AccessDeniedException")
}

#[tokio::test]
async fn own_items_and_attributes() {
    let caller = user(&[OWN_ITEMS]);
    for (operation, body) in requests("ann", "title") {
        let (_, api) = region().await;
        let reply = call(&api, &caller, operation, &body).await;
        assert!(!is_denied(&reply), "{operation} {body}: {reply:?}");
    }
}

#[tokio::test]
async fn nothing_of_what_is_not_allowed_is_done_or_told() {
    let caller = user(&[OWN_ITEMS]);
    let (client, api) = region().await;
    let state = || client.ok("Scan", r#"{"TableName":"music"}"#);
    let before = state().await;
    for (artist, attribute) in [
        ("bob", "title"),
        ("ann", "secret"),
        ("bob", "secret"),
        ("nobody", "title"),
    ] {
        for (operation, body) in requests(artist, attribute) {
            let reply = call(&api, &caller, operation, &body).await;
            assert!(is_denied(&reply), "{operation} {body}: {reply:?}");
            assert_eq!(reply.status, 400);
            let text = String::from_utf8(reply.body.to_vec()).unwrap();
            assert!(!text.contains("hidden"), "{text}");
            let begin = r#"{"__type":"com.amazon.coral.service#AccessDeniedException","Message":"User: arn:aws:iam::000000000000:user/ann is not authorized to perform: dynamodb:"#;
            assert!(text.starts_with(begin), "{text}");
            assert!(text.ends_with(r#" action"}"#), "{text}");
        }
    }
    // What gives whole items gives attributes that are not the caller's.
    let key = r#"{"artist":{"S":"ann"},"song":{"S":"s"}}"#;
    for (operation, rest) in [
        ("GetItem", format!(r#""Key":{key}"#)),
        ("DeleteItem", format!(r#""Key":{key},"ReturnValues":"ALL_OLD""#)),
        (
            "DeleteItem",
            format!(
                r#""Key":{key},"ConditionExpression":"attribute_not_exists(artist)","ReturnValuesOnConditionCheckFailure":"ALL_OLD""#
            ),
        ),
        (
            "UpdateItem",
            format!(r#""Key":{key},"UpdateExpression":"REMOVE title","ReturnValues":"ALL_NEW""#),
        ),
        ("Scan", r#""ProjectionExpression":"artist""#.to_owned()),
    ] {
        let body = format!(r#"{{"TableName":"music",{rest}}}"#);
        let reply = call(&api, &caller, operation, &body).await;
        assert!(is_denied(&reply), "{operation} {body}: {reply:?}");
    }
    assert_eq!(state().await, before);
}

#[tokio::test]
async fn a_batch_of_statements_fails_one_by_one() {
    let (_, api) = region().await;
    let body = r#"{"Statements":[{"Statement":"SELECT year FROM music WHERE artist = 'bob' AND song = 's'"},
        {"Statement":"SELECT song FROM music WHERE artist = 'ann' AND song = 's'"},
        {"Statement":"SELECT song FROM nothing WHERE artist = 'ann' AND song = 's'"}]}"#;
    let reply = call(&api, &user(&[OWN_ITEMS]), "BatchExecuteStatement", body).await;
    let text = String::from_utf8(reply.body.to_vec()).unwrap();
    assert_eq!(reply.status, 200, "{text}");
    assert_eq!(text.matches(r#""Code":"AccessDenied""#).count(), 2, "{text}");
    assert!(text.contains(r#""Item":{"song":{"S":"s"}}"#), "{text}");
}

#[tokio::test]
async fn what_does_not_exist_is_told_to_whom_it_may_concern() {
    let (_, api) = region().await;
    let all = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"arn:aws:dynamodb:*:*:table/no*"}}"#;
    let check = async |caller: &Caller, operation: &str, body: &str, expect: &str| {
        let reply = call(&api, caller, operation, body).await;
        assert_eq!(reply.error.as_deref(), Some(expect), "{operation} {body}: {reply:?}");
    };
    let get = |table: &str| format!(r#"{{"TableName":"{table}","Key":{{"a":{{"S":"b"}}}}}}"#);
    let caller = user(&[all]);
    check(&caller, "GetItem", &get("none"), "ResourceNotFoundException").await;
    check(&caller, "GetItem", &get("else"), "AccessDeniedException").await;
    check(
        &caller,
        "DescribeTable",
        r#"{"TableName":"else"}"#,
        "AccessDeniedException",
    )
    .await;
    check(
        &caller,
        "DescribeTable",
        r#"{"TableName":"none"}"#,
        "ResourceNotFoundException",
    )
    .await;
    check(&caller, "ListTables", "{}", "AccessDeniedException").await;
    check(
        &caller,
        "DeleteTable",
        r#"{"TableName":"music"}"#,
        "AccessDeniedException",
    )
    .await;
    // A request that is wrong in itself is, whoever sends it.
    check(&caller, "GetItem", r#"{"TableName":"music"}"#, "ValidationException").await;
}

#[tokio::test]
async fn modes() {
    let (client, _) = region().await;
    let nobody = user(&[]);
    let get = r#"{"TableName":"music","Key":{"artist":{"S":"ann"},"song":{"S":"s"}}}"#;
    let off = call(&client.asking(Authorization::Off), &nobody, "GetItem", get).await;
    assert_eq!((off.status, off.denied), (200, None));
    let warn = call(&client.asking(Authorization::Warn), &nobody, "GetItem", get).await;
    let message = format!(
        "User: arn:aws:iam::000000000000:user/ann is not authorized to perform: dynamodb:GetItem on resource: {MUSIC} because \
         no identity-based policy allows the dynamodb:GetItem action"
    );
    assert_eq!((warn.status, warn.denied.as_deref()), (200, Some(&*message)));
    let enforce = client.asking(Authorization::Enforce);
    let refused = call(&enforce, &nobody, "GetItem", get).await;
    assert!(is_denied(&refused));
    assert!(String::from_utf8_lossy(&refused.body).contains(&message));
    let root = call(&enforce, &Caller::root(ACCOUNT), "GetItem", get).await;
    assert_eq!((root.status, root.denied), (200, None));
    // Another account's root has nothing here.
    let other = call(&enforce, &Caller::root("999988887777"), "ListTables", "{}").await;
    assert_eq!((other.status, &other.body[..]), (200, &br#"{"TableNames":[]}"#[..]));
}

#[tokio::test]
async fn tags_decide() {
    let (client, api) = region().await;
    let policy = r#"{"Version":"2012-10-17","Statement":[
        {"Effect":"Allow","Action":["dynamodb:DescribeTable"],"Resource":"*","Condition":{"StringEquals":{"aws:ResourceTag/Team":"${aws:PrincipalTag/team}"}}},
        {"Effect":"Allow","Action":["dynamodb:TagResource"],"Resource":"*","Condition":{"ForAllValues:StringLike":{"aws:TagKeys":"t*"},"StringEquals":{"aws:RequestTag/team":"red"}}}]}"#;
    let mut caller = user(&[policy]);
    let describe = r#"{"TableName":"music"}"#;
    let tag =
        |key: &str, value: &str| format!(r#"{{"ResourceArn":"{MUSIC}","Tags":[{{"Key":"{key}","Value":"{value}"}}]}}"#);
    assert!(is_denied(&call(&api, &caller, "DescribeTable", describe).await));
    assert!(is_denied(
        &call(&api, &caller, "TagResource", &tag("team", "blue")).await
    ));
    assert!(is_denied(&call(&api, &caller, "TagResource", &tag("x", "red")).await));
    assert_eq!(
        call(&api, &caller, "TagResource", &tag("team", "red")).await.status,
        200
    );
    assert!(is_denied(&call(&api, &caller, "DescribeTable", describe).await));
    caller.tags.insert("Team".into(), "red".into());
    assert_eq!(call(&api, &caller, "DescribeTable", describe).await.status, 200);
    drop(client);
}

#[tokio::test]
async fn policies_of_tables() {
    let (client, api) = region().await;
    let policy = |principal: &str, effect: &str| {
        let text = format!(
            r#"{{"Version":"2012-10-17","Statement":{{"Effect":"{effect}","Principal":{{"AWS":"{principal}"}},"Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":["{MUSIC}","{MUSIC}/index/*"]}}}}"#
        );
        text.replace('"', "\\\"")
    };
    let put = |policy: &str, rest: &str| format!(r#"{{"ResourceArn":"{MUSIC}","Policy":"{policy}"{rest}}}"#);
    let of_table = format!(r#"{{"ResourceArn":"{MUSIC}"}}"#);
    let not_found = format!("Resource-based policy not found for the provided ResourceArn: {MUSIC}");
    client
        .refuses("GetResourcePolicy", &of_table, "PolicyNotFoundException", &not_found)
        .await;
    client.gives("DeleteResourcePolicy", &of_table, "{}").await;

    let ann = policy("arn:aws:iam::000000000000:user/ann", "Allow");
    let expected = r#","ExpectedRevisionId":"7""#;
    client
        .refuses(
            "PutResourcePolicy",
            &put(&ann, expected),
            "PolicyNotFoundException",
            &not_found,
        )
        .await;
    let first = client
        .ok("PutResourcePolicy", &put(&ann, r#","ExpectedRevisionId":"NO_POLICY""#))
        .await;
    // The same document is the same revision.
    assert_eq!(client.ok("PutResourcePolicy", &put(&ann, "")).await, first);
    client
        .refuses(
            "PutResourcePolicy",
            &put(&ann, r#","ExpectedRevisionId":"NO_POLICY""#),
            "PolicyNotFoundException",
            &not_found,
        )
        .await;
    let got = client.ok("GetResourcePolicy", &of_table).await;
    assert!(
        got.contains("user/ann") && got.contains(first.trim_start_matches('{').trim_end_matches('}')),
        "{got}"
    );

    // Within the account it is enough, also on an index, and only for what it says.
    let nobody = user(&[]);
    let get = |table: &str| format!(r#"{{"TableName":"{table}","Key":{{"artist":{{"S":"ann"}},"song":{{"S":"s"}}}}}}"#);
    let query = r#"{"TableName":"music","IndexName":"by-year","KeyConditionExpression":"artist = :a","ExpressionAttributeValues":{":a":{"S":"ann"}}}"#;
    assert_eq!(call(&api, &nobody, "GetItem", &get("music")).await.status, 200);
    assert_eq!(call(&api, &nobody, "Query", query).await.status, 200);
    assert!(is_denied(
        &call(&api, &nobody, "DescribeTable", r#"{"TableName":"music"}"#).await
    ));

    // Of another account: by ARN alone, and both sides must allow.
    let all = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}"#;
    let mut stranger = Caller::user("999988887777", "/", "eve", "AIDAEVEEVEEVEEVEEVEEV");
    stranger.policies = user(&[all]).policies;
    assert!(is_denied(&call(&api, &stranger, "GetItem", &get(MUSIC)).await));
    client
        .ok("PutResourcePolicy", &put(&policy("999988887777", "Allow"), ""))
        .await;
    assert!(is_denied(&call(&api, &nobody, "GetItem", &get("music")).await));
    assert_eq!(call(&api, &stranger, "GetItem", &get(MUSIC)).await.status, 200);
    let by_name = call(&api, &stranger, "GetItem", &get("music")).await;
    assert_eq!(by_name.error.as_deref(), Some("ResourceNotFoundException"));
    stranger.policies = user(&[]).policies;
    assert!(is_denied(&call(&api, &stranger, "GetItem", &get(MUSIC)).await));

    // A denial binds whom policies of their own allow.
    let admin = user(&[all]);
    client
        .ok(
            "PutResourcePolicy",
            &put(&policy("arn:aws:iam::000000000000:user/ann", "Deny"), ""),
        )
        .await;
    let refused = call(&api, &admin, "GetItem", &get("music")).await;
    assert!(String::from_utf8_lossy(&refused.body).contains("with an explicit deny in a resource-based policy"));
    let deleted = client.ok("DeleteResourcePolicy", &of_table).await;
    assert!(deleted.contains("RevisionId"), "{deleted}");
    assert_eq!(call(&api, &admin, "GetItem", &get("music")).await.status, 200);
}

#[tokio::test]
async fn policies_that_are_refused() {
    let (client, api) = region().await;
    let put = |policy: &str| {
        format!(
            r#"{{"ResourceArn":"{MUSIC}","Policy":"{}"}}"#,
            policy.replace('"', "\\\"")
        )
    };
    let check = async |policy: &str, begin: &str| {
        let (status, reply) = client.call("PutResourcePolicy", &put(policy)).await;
        assert_eq!(status, 400, "{reply}");
        assert!(
            reply.contains(&format!("ValidationException\",\"message\":\"{begin}")),
            "{reply}"
        );
    };
    check("x", "Invalid policy document: Syntax errors in policy").await;
    check(
        r#"{"Statement":{"Effect":"Allow","Action":"a:b","Resource":"*"}}"#,
        "Invalid policy document: Policy statement must",
    )
    .await;
    check(
        &" ".repeat(20_481),
        "Invalid policy document: The policy has more than 20480 bytes",
    )
    .await;
    let index = format!(r#"{{"ResourceArn":"{MUSIC}/index/by-year"}}"#);
    assert_eq!(client.call("GetResourcePolicy", &index).await.0, 400);
    let stream = format!(r#"{{"ResourceArn":"{MUSIC}/stream/2024-01-31T00:00:00.000"}}"#);
    let (_, reply) = client.call("GetResourcePolicy", &stream).await;
    assert!(reply.contains("ResourceNotFoundException"), "{reply}");

    // Nobody shuts himself out by accident.
    let admin = user(&[r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}"#]);
    let shut =
        r#"{"Statement":{"Effect":"Deny","Principal":"*","Action":"dynamodb:PutResourcePolicy","Resource":"*"}}"#;
    let reply = call(&api, &admin, "PutResourcePolicy", &put(shut)).await;
    assert_eq!(reply.error.as_deref(), Some("ValidationException"), "{reply:?}");
    let confirmed = put(shut).replace(
        "{\"ResourceArn",
        "{\"ConfirmRemoveSelfResourceAccess\":true,\"ResourceArn",
    );
    assert_eq!(call(&api, &admin, "PutResourcePolicy", &confirmed).await.status, 200);
    assert!(is_denied(&call(&api, &admin, "PutResourcePolicy", &confirmed).await));
}

#[tokio::test]
async fn policies_of_streams() {
    let (client, api) = region().await;
    let update = r#"{"TableName":"music","StreamSpecification":{"StreamEnabled":true,"StreamViewType":"KEYS_ONLY"}}"#;
    client.ok("UpdateTable", update).await;
    let table = client.ok("DescribeTable", r#"{"TableName":"music"}"#).await;
    let arn = table
        .split("\"LatestStreamArn\":\"")
        .nth(1)
        .and_then(|rest| rest.split('"').next())
        .unwrap();
    let describe = format!(r#"{{"StreamArn":"{arn}"}}"#);
    let nobody = user(&[]);
    assert!(is_denied(&call(&api, &nobody, "DescribeStream", &describe).await));
    let policy = format!(
        r#"{{"Statement":{{"Effect":"Allow","Principal":{{"AWS":"arn:aws:iam::000000000000:user/ann"}},"Action":"dynamodb:DescribeStream","Resource":"{arn}"}}}}"#
    );
    let put = format!(
        r#"{{"ResourceArn":"{arn}","Policy":"{}"}}"#,
        policy.replace('"', "\\\"")
    );
    client.ok("PutResourcePolicy", &put).await;
    assert_eq!(call(&api, &nobody, "DescribeStream", &describe).await.status, 200);
    client
        .ok("DeleteResourcePolicy", &format!(r#"{{"ResourceArn":"{arn}"}}"#))
        .await;
    assert!(is_denied(&call(&api, &nobody, "DescribeStream", &describe).await));
}
