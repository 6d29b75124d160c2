//! Transactions and PartiQL.

use super::{create, invalid_with, refusal, statements};
use crate::client::Client;

#[tokio::test]
async fn texts_of_statements() {
    let client = Client::with_table().await;
    let key = "WHERE artist = 'a' AND song = 's'";
    let one = |text: &str| format!(r#"{{"Statement":"{}"}}"#, text.replace('"', "\\\""));
    for (text, expected) in [
        (
            r#"SELECT * FROM "music"."nope" WHERE genre = 'g'"#,
            "The table does not have the specified index",
        ),
        (
            r#"SELECT * FROM "music"."nope""#,
            "The table does not have the specified index",
        ),
        (
            r#"SELECT * FROM "music"."by-genre"."x""#,
            "A path may contain at most 2 components in the FROM clause",
        ),
        (
            r#"INSERT INTO "music"."by-genre" VALUE {'artist': 'a', 'song': 's'}"#,
            "FROM clause may only contain a single table name in data manipulation statements",
        ),
        (
            r#"UPDATE "music"."by-genre" SET x = 1 WHERE artist = 'a' AND song = 's'"#,
            "This operation is not supported on an index",
        ),
        (
            r#"DELETE FROM "music"."by-genre" WHERE artist = 'a' AND song = 's'"#,
            "This operation is not supported on an index",
        ),
        (
            r#"SELECT * FROM "music"."" "#,
            "Path component cannot be an empty string",
        ),
        (
            "DELETE FROM music WHERE artist = 'a' AND song = 's' RETURNING MODIFIED OLD *",
            "Invalid returning clause: RETURNING MODIFIED OLD *. Only RETURNING ALL OLD * is allowed in DELETE statements.",
        ),
    ] {
        client.invalid("ExecuteStatement", &one(text), expected).await;
        if text.contains("nope") {
            continue;
        }
        // The statement's own fault in a batch, the request's in a transaction.
        let reply = client
            .ok("BatchExecuteStatement", &statements("Statements", &[text]))
            .await;
        let error = format!(r#""Error":{{"Code":"ValidationError","Message":"{expected}"}}"#);
        assert!(reply.contains(&error), "{text}: {reply}");
        client
            .invalid(
                "ExecuteTransaction",
                &statements("TransactStatements", &[text]),
                expected,
            )
            .await;
    }
    for consistent in [
        r#"{"Statement":"SELECT * FROM music.\"by-genre\"","ConsistentRead":true}"#,
        r#"{"Statement":"SELECT * FROM music.\"by-genre\" WHERE genre = 'g'","ConsistentRead":true}"#,
    ] {
        let expected = "Strongly consistent read is not supported on Global Secondary Indexes";
        client.invalid("ExecuteStatement", consistent, expected).await;
    }
    let local = r#"{"Statement":"SELECT * FROM music.\"by-year\"","ConsistentRead":true}"#;
    client.ok("ExecuteStatement", local).await;

    let read = format!("SELECT * FROM music {key}");
    let other = "SELECT * FROM music WHERE artist = 'a' AND song = 't'";
    let write = format!("UPDATE music SET x = 1 {key}");
    let exists = format!("EXISTS(SELECT * FROM music {key})");
    let of_index = r#"SELECT * FROM music."by-genre" WHERE genre = 'g' AND song = 's'"#;
    let exists_in_index = format!("EXISTS({of_index})");
    let returning = format!("{write} RETURNING ALL NEW *");
    let deleting = format!("DELETE FROM music {key} RETURNING ALL OLD *");
    let no_returning = "RETURNING clause is not supported in ExecuteTransaction.";
    let no_index = "Reads on indices are not supported within transactions.";
    let mixed = "ExecuteTransaction API does not support both read and write operations in the same request.";
    let in_statement = |at: usize, fault: &str| format!("Validation failed in TransactStatements[{at}]: {fault}");
    for (list, expected) in [
        (vec![returning.as_str()], in_statement(0, no_returning)),
        (vec![deleting.as_str()], in_statement(0, no_returning)),
        (vec![exists.as_str(), returning.as_str()], in_statement(1, no_returning)),
        (vec![of_index], in_statement(0, no_index)),
        (vec![read.as_str(), of_index], in_statement(1, no_index)),
        (vec![exists_in_index.as_str()], in_statement(0, no_index)),
        // Of several, the first; and reads with writes before them.
        (
            vec![returning.as_str(), exists_in_index.as_str()],
            in_statement(0, no_returning),
        ),
        (vec![of_index, returning.as_str()], mixed.to_owned()),
        (vec![read.as_str(), write.as_str()], mixed.to_owned()),
        (vec![exists.as_str(), other], mixed.to_owned()),
    ] {
        let body = statements("TransactStatements", &list);
        client.invalid("ExecuteTransaction", &body, &expected).await;
    }
    let duplicates = "Provided list of item keys contains duplicates";
    for (list, expected) in [
        (
            vec![read.as_str(), write.as_str()],
            "Read and write requests together in the same batch is not supported.",
        ),
        (vec![read.as_str(), read.as_str()], duplicates),
        (
            vec![
                other,
                read.as_str(),
                "SELECT x FROM music WHERE song = 's' AND artist = 'a'",
            ],
            duplicates,
        ),
        (vec![write.as_str(), deleting.as_str()], duplicates),
        (
            vec!["INSERT INTO music VALUE {'artist': 'a', 'song': 's'}", write.as_str()],
            duplicates,
        ),
    ] {
        let body = statements("Statements", &list);
        client.invalid("BatchExecuteStatement", &body, expected).await;
    }
    // What names no item names none twice.
    let lacking = "INSERT INTO music VALUE {'artist': 'a'}";
    let reply = client
        .ok("BatchExecuteStatement", &statements("Statements", &[lacking, lacking]))
        .await;
    assert_eq!(reply.matches("Missing the key song in the item").count(), 2, "{reply}");
    client
        .gives(
            "Scan",
            r#"{"TableName":"music","Select":"COUNT"}"#,
            r#"{"Count":0,"ScannedCount":0}"#,
        )
        .await;
}

#[tokio::test]
async fn tokens_of_statements() {
    let client = Client::with_table().await;
    for song in ["s", "t"] {
        let item = format!(r#"{{"artist":{{"S":"a"}},"song":{{"S":"{song}"}}}}"#);
        client
            .ok("PutItem", &format!(r#"{{"TableName":"music","Item":{item}}}"#))
            .await;
    }
    let reply = client
        .ok("ExecuteStatement", r#"{"Statement":"SELECT * FROM music","Limit":1}"#)
        .await;
    let token = reply
        .split(r#""NextToken":""#)
        .nth(1)
        .unwrap()
        .split('"')
        .next()
        .unwrap();
    for (statement, token, expected) in [
        ("SELECT song FROM music", token, "NextToken does not match request"),
        (
            "SELECT * FROM music WHERE artist = 'a'",
            token,
            "NextToken does not match request",
        ),
        ("SELECT * FROM music", "x", "Invalid NextToken"),
        ("SELECT * FROM music", "AAAA", "Invalid NextToken"),
        ("SELECT * FROM music", &token[..20], "Invalid NextToken"),
    ] {
        let body = format!(r#"{{"Statement":"{statement}","NextToken":"{token}"}}"#);
        client.invalid("ExecuteStatement", &body, expected).await;
    }
}

#[tokio::test]
async fn transactions_of_statements() {
    let client = Client::with_table().await;
    let insert = "INSERT INTO music VALUE {'artist': 'a', 'song': 's'}";
    let exists = "EXISTS(SELECT * FROM music WHERE artist = 'a' AND song = 's')";
    let update = "UPDATE music SET x = 1 WHERE artist = 'a' AND song = 's'";
    for statement in [insert, exists, update] {
        let body = statements("TransactStatements", &[statement]);
        client.gives("ExecuteTransaction", &body, r#"{"Responses":[]}"#).await;
    }
    // Of several validation errors the first is told.
    let no_key = "UPDATE music SET x = 1 WHERE artist = 'a'";
    let lacking = "INSERT INTO music VALUE {'artist': 'a'}";
    for (list, codes, message) in [
        (
            [exists, no_key, no_key],
            "None, ValidationError, None",
            "Where clause does not contain a mandatory equality on all key attributes",
        ),
        (
            [lacking, exists, lacking],
            "ValidationError, None, None",
            "One or more parameter values were invalid: Missing the key song in the item",
        ),
    ] {
        let reply = refusal(&client, "ExecuteTransaction", &statements("TransactStatements", &list)).await;
        assert!(reply.contains(&format!("[{codes}]")), "{reply}");
        assert!(
            reply.contains(&format!(r#"{{"Code":"ValidationError","Message":"{message}"}}"#)),
            "{reply}"
        );
        assert_eq!(reply.matches(r#"{"Code":"None"}"#).count(), 2, "{reply}");
    }
}

#[tokio::test]
async fn transactions_that_are_cancelled() {
    let client = Client::with_table().await;
    let empty = "One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty \
                 string value. Key: song";
    let get = |song: &str| {
        format!(r#"{{"Get":{{"TableName":"music","Key":{{"artist":{{"S":"a"}},"song":{{"S":"{song}"}}}}}}}}"#)
    };
    let body = format!(
        r#"{{"TransactItems":[{},{},{}]}}"#,
        get("s"),
        get(""),
        get(&"x".repeat(1025))
    );
    let reply = refusal(&client, "TransactGetItems", &body).await;
    assert!(reply.contains("#TransactionCanceledException"), "{reply}");
    let reasons = format!(
        r#""CancellationReasons":[{{"Code":"None"}},{{"Code":"ValidationError","Message":"{empty}"}},{{"Code":"None"}}]"#
    );
    assert!(reply.contains(&reasons), "{reply}");
    let select = "SELECT * FROM music WHERE artist = 'a' AND song = ''";
    let reply = refusal(
        &client,
        "ExecuteTransaction",
        &statements("TransactStatements", &[select]),
    )
    .await;
    assert!(
        reply.contains("#TransactionCanceledException") && reply.contains(empty),
        "{reply}"
    );

    let delete = |key: &str| format!(r#"{{"Delete":{{"TableName":"music","Key":{{{key}}}}}}}"#);
    let wrong = delete(r#""artist":{"S":"a"}"#);
    let right = delete(r#""artist":{"S":"a"},"song":{"S":"s"}"#);
    let body = format!(r#"{{"TransactItems":[{right},{wrong},{wrong}]}}"#);
    let reply = refusal(&client, "TransactWriteItems", &body).await;
    assert!(reply.contains("[None, ValidationError, None]"), "{reply}");
}

/// 4 MB are what a request to write carries: items to put, keys, values of expressions; and what a request to read is given.
#[tokio::test]
async fn the_size_of_transactions() {
    let client = Client::with_table().await;
    let large = "x".repeat(390 * 1024);
    let key = |at: usize| format!(r#"{{"artist":{{"S":"a"}},"song":{{"S":"s{at}"}}}}"#);
    let item = |at: usize| key(at).replacen('{', &format!(r#"{{"x":{{"S":"{large}"}},"#), 1);
    let put = |at: usize| format!(r#"{{"Put":{{"TableName":"music","Item":{}}}}}"#, item(at));
    let delete = |at: usize| format!(r#"{{"Delete":{{"TableName":"music","Key":{}}}}}"#, key(at));
    let with_value = |kind: &str, expression: &str, at: usize| {
        format!(
            r#"{{"{kind}":{{"TableName":"music","Key":{},{expression},"ExpressionAttributeValues":{{":v":{{"S":"{large}"}}}}}}}}"#,
            key(at)
        )
    };
    let update = |at: usize| with_value("Update", r#""UpdateExpression":"SET x = :v""#, at);
    let check = |at: usize| with_value("ConditionCheck", r#""ConditionExpression":"x <> :v""#, at);
    let get = |at: usize| format!(r#"{{"Get":{{"TableName":"music","Key":{}}}}}"#, key(at));
    let of = |range: std::ops::Range<usize>, one: &dyn Fn(usize) -> String| {
        format!(
            r#"{{"TransactItems":[{}]}}"#,
            range.map(one).collect::<Vec<_>>().join(",")
        )
    };
    let limit: &[&str] = &["size cannot exceed"];
    let too_large: [&dyn Fn(usize) -> String; 3] = [&put, &update, &check];
    for one in too_large {
        invalid_with(&client, "TransactWriteItems", &[(of(0..11, one), limit)]).await;
    }
    client.ok("TransactWriteItems", &of(0..10, &put)).await;
    client.ok("TransactWriteItems", &of(10..20, &update)).await;
    invalid_with(&client, "TransactGetItems", &[(of(0..11, &get), limit)]).await;
    client.ok("TransactWriteItems", &of(0..20, &delete)).await;
    client
        .gives(
            "Scan",
            r#"{"TableName":"music","Select":"COUNT"}"#,
            r#"{"Count":0,"ScannedCount":0}"#,
        )
        .await;
    let insert = |at: usize| {
        let parameters = format!(r#"[{{"S":"{large}"}}]"#);
        format!(
            r#"{{"Statement":"INSERT INTO music VALUE {{'artist': 'a', 'song': 's{at}', 'x': ?}}","Parameters":{parameters}}}"#
        )
    };
    let set = |at: usize| {
        let parameters = format!(r#"[{{"S":"{large}"}},{{"S":"s{at}"}}]"#);
        format!(r#"{{"Statement":"UPDATE music SET x = ? WHERE artist = 'a' AND song = ?","Parameters":{parameters}}}"#)
    };
    let statements = |range: std::ops::Range<usize>, one: &dyn Fn(usize) -> String| {
        format!(
            r#"{{"TransactStatements":[{}]}}"#,
            range.map(one).collect::<Vec<_>>().join(",")
        )
    };
    invalid_with(
        &client,
        "ExecuteTransaction",
        &[(statements(0..11, &insert), limit), (statements(0..11, &set), limit)],
    )
    .await;
    client.ok("ExecuteTransaction", &statements(0..10, &insert)).await;
    client.ok("ExecuteTransaction", &statements(0..10, &set)).await;
}

/// One entry a table: the sum. What failed counts in the total alone, by the larger of the items before and after; a table
/// without a success is left out.
#[tokio::test]
async fn the_capacity_of_a_batch_of_statements() {
    let client = Client::with_table().await;
    client.ok("CreateTable", &create("other", &["pk"], "")).await;
    client
        .ok("PutItem", r#"{"TableName":"other","Item":{"pk":{"S":"a"}}}"#)
        .await;
    let x = |units: usize| "x".repeat(units * 1024 - 100);
    for (song, units) in [("s", 3), ("t", 1)] {
        let item = format!(
            r#"{{"artist":{{"S":"a"}},"song":{{"S":"{song}"}},"x":{{"S":"{}"}}}}"#,
            x(units)
        );
        client
            .ok("PutItem", &format!(r#"{{"TableName":"music","Item":{item}}}"#))
            .await;
    }
    let batch = |list: &[(&str, usize)], asked: &str| {
        let one = |(text, units): &(&str, usize)| {
            let parameters = format!(r#","Parameters":[{{"S":"{}"}}]"#, x((*units).max(1)));
            let parameters = if *units > 0 { parameters } else { String::new() };
            format!(r#"{{"Statement":"{text}"{parameters}}}"#)
        };
        format!(
            r#"{{"ReturnConsumedCapacity":"{asked}","Statements":[{}]}}"#,
            list.iter().map(one).collect::<Vec<_>>().join(",")
        )
    };
    let select = |song: &str| format!("SELECT * FROM music WHERE artist = 'a' AND song = '{song}'");
    let insert = "INSERT INTO music VALUE {'artist': 'a', 'song': 'new', 'x': ?}";
    let duplicate = "INSERT INTO music VALUE {'artist': 'a', 'song': 's', 'x': ?}";
    let update = "UPDATE music SET x = ? WHERE artist = 'a' AND song = 't' AND y = 1";
    let nothing = "UPDATE music SET x = ? WHERE artist = 'a' AND song = 'nowhere'";
    let delete = "DELETE FROM music WHERE artist = 'a' AND song = 's' AND y = 1";
    let elsewhere = "INSERT INTO other VALUE {'pk': 'a'}";
    let no_key = "UPDATE music SET x = 1 WHERE artist = 'a'";
    let both = |total: f64, table: f64| {
        format!(r#"[{{"TableName":"music","CapacityUnits":{total:?},"Table":{{"CapacityUnits":{table:?}}}}}]"#)
    };
    let total = |total: f64| format!(r#"[{{"TableName":"music","CapacityUnits":{total:?}}}]"#);
    for (list, asked, expected) in [
        (
            vec![(select("s"), 0), (select("t"), 0), (select("u"), 0)],
            "TOTAL",
            Some(total(1.5)),
        ),
        (
            vec![(select("s"), 0), (select("t"), 0)],
            "INDEXES",
            Some(both(1.0, 1.0)),
        ),
        // Stored 3, new 1; stored 3, new 5; stored 1, new 4; new 2 of nothing; stored 3.
        (
            vec![(insert.into(), 2), (duplicate.into(), 1)],
            "INDEXES",
            Some(both(5.0, 2.0)),
        ),
        (
            vec![(insert.replace("new", "n2"), 2), (duplicate.into(), 5)],
            "INDEXES",
            Some(both(7.0, 2.0)),
        ),
        (
            vec![(insert.replace("new", "n3"), 1), (update.into(), 4)],
            "INDEXES",
            Some(both(5.0, 1.0)),
        ),
        (
            vec![(insert.replace("new", "n4"), 1), (nothing.into(), 2)],
            "TOTAL",
            Some(total(3.0)),
        ),
        (
            vec![(insert.replace("new", "n5"), 1), (delete.into(), 0)],
            "TOTAL",
            Some(total(4.0)),
        ),
        // What could not be carried out at all consumed nothing.
        (
            vec![(insert.replace("new", "n6"), 1), (no_key.into(), 0)],
            "TOTAL",
            Some(total(1.0)),
        ),
        (
            vec![(insert.replace("new", "n7"), 1), (elsewhere.into(), 0)],
            "INDEXES",
            Some(both(1.0, 1.0)),
        ),
        (vec![(duplicate.into(), 1), (elsewhere.into(), 0)], "INDEXES", None),
        (vec![(insert.replace("new", "n8"), 1)], "NONE", None),
    ] {
        let list: Vec<_> = list.iter().map(|(text, units)| (text.as_str(), *units)).collect();
        let reply = client.ok("BatchExecuteStatement", &batch(&list, asked)).await;
        let shown = reply
            .split(r#""ConsumedCapacity":"#)
            .nth(1)
            .map(|rest| rest.trim_end_matches('}'));
        let expected = expected.as_deref().map(|list| list.trim_end_matches('}'));
        assert_eq!(shown, expected, "{list:?}");
    }
}
