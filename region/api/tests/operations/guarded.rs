//! What fine-grained access keeps from callers: keys that are not among their attributes, and whatever a request could tell of
//! items that are not theirs.

use geodynamo_api::{Authorization, Call, Reply};
use geodynamo_policy::{Caller, NamedPolicy, Policy, PolicyKind};

use crate::{
    authorization::{OWN_ITEMS, region},
    client::{Client, target},
};

fn ann(policy: &str) -> Caller {
    let mut caller = Caller::user("000000000000", "/", "ann", "AIDAANNANNANNANNANNAN");
    let policy = Policy::parse(policy, PolicyKind::Identity).unwrap();
    caller.policies.identity = vec![NamedPolicy::new("p", std::sync::Arc::new(policy))];
    caller
}

fn is_denied(reply: &Reply) -> bool {
    reply.error.as_deref() == Some("AccessDeniedException")
}

/// Allows some attributes, of which reads must say which they want.
fn of_attributes(attributes: &[&str]) -> Caller {
    ann(&format!(
        r#"{{"Version":"2012-10-17","Statement":{{"Effect":"Allow","Action":"dynamodb:*","Resource":"*","Condition":{{
            "ForAllValues:StringEquals":{{"dynamodb:Attributes":{attributes:?}}},
            "StringEqualsIfExists":{{"dynamodb:Select":["SPECIFIC_ATTRIBUTES","COUNT"]}}}}}}}}"#
    ))
}

/// The operation, its request, and the key attributes that it goes by.
fn reads_of_many() -> Vec<(&'static str, String, &'static [&'static str])> {
    const TABLE: &[&str] = &["artist", "song"];
    const BOTH: &[&str] = &["artist", "song", "genre"];
    let title = r#""ProjectionExpression":"title","Limit":1"#;
    let genre = r#""KeyConditionExpression":"genre = :g","ExpressionAttributeValues":{":g":{"S":"rock"}}"#;
    let artist = r#""KeyConditionExpression":"artist = :a","ExpressionAttributeValues":{":a":{"S":"ann"}}"#;
    let start = r#""ExclusiveStartKey":{"artist":{"S":"ann"},"song":{"S":"s"}}"#;
    let index = r#""IndexName":"by-genre""#;
    let get = |rest: &str| format!(r#"{{"TableName":"music",{rest}}}"#);
    let statement = |text: &str| format!(r#"{{"Statement":"{text}"}}"#);
    vec![
        ("Scan", get(title), TABLE),
        ("Scan", get(r#""AttributesToGet":["title"]"#), TABLE),
        ("Scan", get(r#""Select":"COUNT","Limit":1"#), TABLE),
        ("Scan", get(&format!("{title},{start}")), TABLE),
        ("Scan", get(&format!(r#""Select":"COUNT","Limit":1,{index}"#)), BOTH),
        ("Query", get(&format!("{title},{artist}")), TABLE),
        ("Query", get(&format!(r#""Select":"COUNT",{index},{genre}"#)), BOTH),
        ("ExecuteStatement", statement("SELECT title FROM music"), TABLE),
        (
            "ExecuteStatement",
            statement(r#"SELECT genre FROM music.\"by-genre\" WHERE genre = 'rock'"#),
            BOTH,
        ),
    ]
}

#[tokio::test]
async fn keys_are_told_to_those_whose_attributes_they_are() {
    let client = Client::with_table().await;
    for song in ["a", "b"] {
        let item = format!(
            r#"{{"TableName":"music","Item":{{"artist":{{"S":"ann"}},"song":{{"S":"{song}"}},"genre":{{"S":"rock"}},"title":{{"S":"t"}}}}}}"#
        );
        client.ok("PutItem", &item).await;
    }
    let api = client.asking(Authorization::Enforce);
    let ask = async |caller: &Caller, operation: &str, body: &str| {
        api.call(Call::of(caller), &target(operation), body.as_bytes()).await
    };
    for (operation, body, keys) in reads_of_many() {
        for without in keys {
            let mut attributes: Vec<_> = keys.iter().copied().filter(|key| key != without).collect();
            attributes.push("title");
            let reply = ask(&of_attributes(&attributes), operation, &body).await;
            assert!(is_denied(&reply), "{operation} {body} without {without}: {reply:?}");
        }
        let attributes = [keys, &["title"]].concat();
        let reply = ask(&of_attributes(&attributes), operation, &body).await;
        assert_eq!(reply.status, 200, "{operation} {body}: {reply:?}");
    }
}

/// Forms of requests on an item of `artist`'s that a principal without it must not make, beside those of `authorization.rs`.
fn forms(artist: &str) -> Vec<(&'static str, String)> {
    let key = format!(r#"{{"artist":{{"S":"{artist}"}},"song":{{"S":"s"}}}}"#);
    let condition = r#""ConditionExpression":"attribute_not_exists(artist)""#;
    let old = r#""ReturnValuesOnConditionCheckFailure":"ALL_OLD""#;
    let told = r#""ReturnConsumedCapacity":"INDEXES""#;
    let wher = format!("WHERE artist = '{artist}' AND song = 's'");
    let insert = format!("INSERT INTO music VALUE {{'artist': '{artist}', 'song': 's'}}");
    let delete = format!("DELETE FROM music {wher}");
    let update = format!("UPDATE music SET title = 'x' {wher}");
    let exists = format!("EXISTS(SELECT artist FROM music {wher})");
    let mut all = vec![
        (
            "BatchWriteItem",
            format!(r#"{{"RequestItems":{{"music":[{{"DeleteRequest":{{"Key":{key}}}}}]}},{told}}}"#),
        ),
        (
            "PutItem",
            format!(r#"{{"TableName":"music","Item":{key},{condition},{old},{told}}}"#),
        ),
        (
            "UpdateItem",
            format!(
                r#"{{"TableName":"music","Key":{key},"UpdateExpression":"REMOVE title",{condition},{old},{told}}}"#
            ),
        ),
        (
            "DeleteItem",
            format!(r#"{{"TableName":"music","Key":{key},{condition},{old},{told}}}"#),
        ),
        (
            "GetItem",
            format!(r#"{{"TableName":"music","Key":{key},"ProjectionExpression":"title",{told}}}"#),
        ),
    ];
    for write in [
        format!(r#"{{"Delete":{{"TableName":"music","Key":{key},{condition},{old}}}}}"#),
        format!(r#"{{"Put":{{"TableName":"music","Item":{key},{condition},{old}}}}}"#),
        format!(
            r#"{{"Update":{{"TableName":"music","Key":{key},"UpdateExpression":"REMOVE title",{condition},{old}}}}}"#
        ),
        format!(r#"{{"ConditionCheck":{{"TableName":"music","Key":{key},{condition},{old}}}}}"#),
    ] {
        all.push(("TransactWriteItems", format!(r#"{{"TransactItems":[{write}],{told}}}"#)));
    }
    for text in [&insert, &delete, &update, &exists] {
        all.push((
            "ExecuteTransaction",
            format!(r#"{{"TransactStatements":[{{"Statement":"{text}",{old}}}],{told}}}"#),
        ));
    }
    let columns = "SELECT title FROM music";
    for text in [
        insert,
        delete.clone(),
        update.clone(),
        format!("{delete} RETURNING ALL OLD *"),
        format!("{update} RETURNING MODIFIED OLD *"),
        format!("{columns} {wher}"),
        format!("{columns} WHERE artist IN ('{artist}') AND song = 's'"),
        format!("{columns} WHERE artist IN ('ann', '{artist}')"),
        format!("{columns} WHERE artist = 'ann' OR artist = '{artist}'"),
        format!(r#"SELECT title FROM music.\"by-year\" WHERE artist = '{artist}'"#),
        format!(r#"SELECT title FROM music.\"by-genre\" WHERE genre = '{artist}'"#),
    ] {
        all.push(("ExecuteStatement", format!(r#"{{"Statement":"{text}",{old},{told}}}"#)));
    }
    all
}

#[tokio::test]
async fn no_form_of_a_request_reaches_or_tells_of_what_is_not_the_callers() {
    let (client, api) = region().await;
    let caller = ann(OWN_ITEMS);
    let before = client.ok("Scan", r#"{"TableName":"music"}"#).await;
    let there = forms("bob");
    let nowhere = forms("nob");
    for ((operation, body), (_, of_nobody)) in there.iter().zip(&nowhere) {
        let ask = async |body: &str| api.call(Call::of(&caller), &target(operation), body.as_bytes()).await;
        let (reply, other) = (ask(body).await, ask(of_nobody).await);
        assert!(is_denied(&reply), "{operation} {body}: {reply:?}");
        let text = String::from_utf8(reply.body.to_vec()).unwrap();
        assert!(!text.contains("hidden") && !text.contains("ConsumedCapacity"), "{text}");
        // Whether the item is there makes no difference.
        assert_eq!(
            (reply.status, &reply.body),
            (other.status, &other.body),
            "{operation} {body}"
        );
    }
    // Statements of a batch are refused one by one.
    for text in [
        "INSERT INTO music VALUE {'artist': 'bob', 'song': 's'}",
        "DELETE FROM music WHERE artist = 'bob' AND song = 's'",
        "UPDATE music SET title = 'x' WHERE artist = 'bob' AND song = 's'",
    ] {
        let body =
            format!(r#"{{"Statements":[{{"Statement":"{text}","ReturnValuesOnConditionCheckFailure":"ALL_OLD"}}]}}"#);
        let reply = api
            .call(Call::of(&caller), &target("BatchExecuteStatement"), body.as_bytes())
            .await;
        let told = String::from_utf8(reply.body.to_vec()).unwrap();
        assert!(
            told.contains(r#""Code":"AccessDenied""#) && !told.contains("hidden"),
            "{told}"
        );
    }
    assert_eq!(client.ok("Scan", r#"{"TableName":"music"}"#).await, before);
    // The same forms on the caller's own items are not refused: it is the item that makes the difference.
    for (operation, body) in forms("ann") {
        let is_whole = body.contains("ALL_OLD") || body.contains("ALL OLD") || body.contains("by-genre");
        // A refusal of an old item as a whole, and an OR that only a scan answers, stand for themselves.
        if is_whole || body.contains(" OR ") {
            continue;
        }
        let (_, api) = region().await;
        let reply = api.call(Call::of(&caller), &target(operation), body.as_bytes()).await;
        assert!(!is_denied(&reply), "{operation} {body}: {reply:?}");
    }
}
