//! The AWS SDK for Rust, unmodified, against one region that checks its signatures.

#[path = "rust_sdk/session.rs"]
mod session;

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::client::Waiters;
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, ConditionCheck, CreateGlobalSecondaryIndexAction, Delete, Get,
    GlobalSecondaryIndex, GlobalSecondaryIndexUpdate, IndexStatus, KeySchemaElement, KeyType, KeysAndAttributes,
    Projection, ProjectionType, Put, PutRequest, ReturnConsumedCapacity, ReturnValue,
    ReturnValuesOnConditionCheckFailure, ScalarAttributeType, Select, StreamSpecification, StreamViewType, Tag,
    TimeToLiveSpecification, TimeToLiveStatus, TransactGetItem, TransactWriteItem, Update, WriteRequest,
};
use geodynamo_loadgen::client::Endpoint;
use geodynamo_tests::regions::Regions;
use geodynamo_tests::{Failure, sdk, sdk_streams, wait_until};

const SOON: Duration = Duration::from_secs(60);

type Item = HashMap<String, AttributeValue>;

#[tokio::test(flavor = "multi_thread")]
async fn the_rust_sdk_works_with_tables_items_batches_and_transactions() -> Result<(), Failure> {
    let regions = Regions::start(&["us-east-1"]).await?;
    let endpoint = &regions.cluster.nodes[0].endpoint();
    let client = sdk(endpoint);
    // The SDK's own retries: a partition that has had its units for a second throttles.
    let config = client.config().to_builder();
    let client = Client::from_conf(
        config
            .retry_config(RetryConfig::standard().with_max_attempts(10))
            .build(),
    );
    tables(&client).await?;
    every_type_comes_back(&client).await?;
    updates_under_conditions(&client).await?;
    batches_and_pages(&client).await?;
    transactions(&client).await?;
    time_to_live_and_a_new_index(&client).await?;
    streams(&client, endpoint).await?;
    client.delete_table().table_name(TABLE).send().await?;
    // The SDK's waiter would look only every 20 s.
    wait_until("the table is gone", SOON, async || {
        let gone = client.describe_table().table_name(TABLE).send().await;
        Ok(gone.is_err_and(|error| error.into_service_error().is_resource_not_found_exception()))
    })
    .await?;
    Ok(())
}

const TABLE: &str = "rust";

async fn tables(client: &Client) -> Result<(), Failure> {
    let create = || {
        let index = GlobalSecondaryIndex::builder()
            .index_name("by-kind")
            .key_schema(key_element("kind", KeyType::Hash))
            .projection(all());
        Ok::<_, Failure>(
            client
                .create_table()
                .table_name(TABLE)
                .billing_mode(BillingMode::PayPerRequest)
                .attribute_definitions(attribute("pk", ScalarAttributeType::S))
                .attribute_definitions(attribute("sk", ScalarAttributeType::N))
                .attribute_definitions(attribute("kind", ScalarAttributeType::S))
                .key_schema(key_element("pk", KeyType::Hash))
                .key_schema(key_element("sk", KeyType::Range))
                .global_secondary_indexes(index.build()?)
                .stream_specification(
                    StreamSpecification::builder()
                        .stream_enabled(true)
                        .stream_view_type(StreamViewType::NewAndOldImages)
                        .build()?,
                ),
        )
    };
    create()?.send().await?;
    client.wait_until_table_exists().table_name(TABLE).wait(SOON).await?;
    let again = create()?.send().await;
    assert!(again.is_err_and(|error| error.into_service_error().is_resource_in_use_exception()));

    let about = client.describe_table().table_name(TABLE).send().await?;
    let arn = about.table().and_then(|table| table.table_arn()).ok_or("no ARN")?;
    let tag = Tag::builder().key("team").value("a").build()?;
    client.tag_resource().resource_arn(arn).tags(tag.clone()).send().await?;
    assert_eq!(
        client.list_tags_of_resource().resource_arn(arn).send().await?.tags(),
        [tag]
    );
    let mut names = client.list_tables().into_paginator().page_size(1).items().send();
    let mut found = false;
    while let Some(name) = names.next().await {
        found |= name? == TABLE;
    }
    assert!(found);
    Ok(())
}

async fn every_type_comes_back(client: &Client) -> Result<(), Failure> {
    let mut item = key("types", 1);
    let more = [
        ("text", text("")),
        ("number", number("1234567890123456789012345678901234567.8")),
        ("bytes", AttributeValue::B(Blob::new([0, 255, 128]))),
        ("yes", AttributeValue::Bool(true)),
        ("nothing", AttributeValue::Null(true)),
        ("texts", AttributeValue::Ss(vec!["a".into(), "ö".into()])),
        ("numbers", AttributeValue::Ns(vec!["-1.5".into(), "2".into()])),
        ("many", AttributeValue::Bs(vec![Blob::new([1]), Blob::new([2])])),
        ("list", AttributeValue::L(vec![text("x"), AttributeValue::L(vec![])])),
        (
            "map",
            AttributeValue::M(HashMap::from([("a".into(), AttributeValue::M(HashMap::new()))])),
        ),
    ];
    item.extend(more.map(|(name, value)| (name.to_owned(), value)));
    let put = client.put_item().table_name(TABLE).set_item(Some(item.clone()));
    put.send().await?;
    let back = client
        .get_item()
        .table_name(TABLE)
        .set_key(Some(key("types", 1)))
        .consistent_read(true)
        .send()
        .await?;
    assert_eq!(back.item(), Some(&item));
    Ok(())
}

async fn updates_under_conditions(client: &Client) -> Result<(), Failure> {
    let change = client
        .update_item()
        .table_name(TABLE)
        .set_key(Some(key("update", 1)))
        .update_expression("SET #list = list_append(if_not_exists(#list, :none), :more) ADD n :one")
        .condition_expression("attribute_not_exists(n) OR n < :two")
        .expression_attribute_names("#list", "list")
        .expression_attribute_values(":none", AttributeValue::L(vec![]))
        .expression_attribute_values(":more", AttributeValue::L(vec![text("x")]))
        .expression_attribute_values(":one", number("1"))
        .expression_attribute_values(":two", number("2"))
        .return_values(ReturnValue::UpdatedNew)
        .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
        .return_consumed_capacity(ReturnConsumedCapacity::Total);
    change.clone().send().await?;
    let second = change.clone().send().await?;
    let list = AttributeValue::L(vec![text("x"), text("x")]);
    let expect = Item::from([("n".into(), number("2")), ("list".into(), list)]);
    assert_eq!(second.attributes(), Some(&expect));
    let units = second
        .consumed_capacity()
        .and_then(|capacity| capacity.capacity_units());
    assert_eq!(units, Some(1.0));
    let third = change.send().await.err().ok_or("the condition holds no more")?;
    let refused = third.into_service_error();
    assert_eq!(refused.meta().message(), Some("The conditional request failed"));
    let aws_sdk_dynamodb::operation::update_item::UpdateItemError::ConditionalCheckFailedException(refused) = refused
    else {
        return Err(refused.into());
    };
    assert_eq!(refused.item().and_then(|item| item.get("n")), Some(&number("2")));

    let removed = client
        .delete_item()
        .table_name(TABLE)
        .set_key(Some(key("update", 1)))
        .condition_expression("n = :two")
        .expression_attribute_values(":two", number("2"))
        .return_values(ReturnValue::AllOld)
        .send()
        .await?;
    assert!(removed.attributes().is_some());
    let wrong = client.get_item().table_name(TABLE).key("pk", text("a")).send().await;
    let wrong = wrong.err().ok_or("half a key is no key")?.into_service_error();
    assert_eq!(wrong.meta().code(), Some("ValidationException"));
    assert_eq!(
        wrong.meta().message(),
        Some("The provided key element does not match the schema")
    );
    Ok(())
}

async fn batches_and_pages(client: &Client) -> Result<(), Failure> {
    for batch in 0..4 {
        let puts = (batch * 25..batch * 25 + 25).map(|n| {
            let mut item = key("pages", n);
            item.insert("kind".into(), text(["even", "odd"][n as usize % 2]));
            item.insert("text".into(), text(&"x".repeat(12_000)));
            let put = PutRequest::builder().set_item(Some(item)).build()?;
            Ok::<_, Failure>(WriteRequest::builder().put_request(put).build())
        });
        let mut rest = HashMap::from([(TABLE.to_owned(), puts.collect::<Result<Vec<_>, _>>()?)]);
        // One partition takes no more than 1,000 units a second; what it does not take comes back.
        while !rest.is_empty() {
            let written = client.batch_write_item().set_request_items(Some(rest)).send().await?;
            rest = written.unprocessed_items.unwrap_or_default();
        }
    }
    // 100 items of 12 kB: more than one page of 1 MB.
    let mut pages = client
        .query()
        .table_name(TABLE)
        .key_condition_expression("pk = :p")
        .expression_attribute_values(":p", text("pages"))
        .scan_index_forward(false)
        .into_paginator()
        .send();
    let (mut count, mut items) = (0, vec![]);
    while let Some(page) = pages.next().await {
        count += 1;
        items.extend(page?.items.unwrap_or_default());
    }
    assert_eq!((count, items.len()), (2, 100));
    assert_eq!(items[0]["sk"], number("99"));
    let odd = client
        .query()
        .table_name(TABLE)
        .index_name("by-kind")
        .key_condition_expression("kind = :k")
        .expression_attribute_values(":k", text("odd"))
        .limit(7)
        .select(Select::AllAttributes)
        .into_paginator()
        .items()
        .send();
    assert_eq!(odd.collect::<Result<Vec<_>, _>>().await?.len(), 50);
    let keys = KeysAndAttributes::builder()
        .set_keys(Some((0..20).map(|n| key("pages", n)).collect()))
        .projection_expression("sk")
        .build()?;
    let got = client.batch_get_item().request_items(TABLE, keys).send().await?;
    assert_eq!(got.responses().map(|all| all[TABLE].len()), Some(20));
    Ok(())
}

async fn transactions(client: &Client) -> Result<(), Failure> {
    let put = |n| {
        let put = Put::builder().table_name(TABLE).set_item(Some(key("tx", n)));
        Ok::<_, Failure>(TransactWriteItem::builder().put(put.build()?).build())
    };
    let items = Some(vec![put(1)?, put(2)?]);
    client.transact_write_items().set_transact_items(items).send().await?;
    let update = Update::builder()
        .table_name(TABLE)
        .set_key(Some(key("tx", 1)))
        .update_expression("ADD n :n")
        .expression_attribute_values(":n", number("5"));
    let delete = Delete::builder().table_name(TABLE).set_key(Some(key("tx", 2)));
    let change = client
        .transact_write_items()
        .transact_items(TransactWriteItem::builder().update(update.build()?).build())
        .transact_items(TransactWriteItem::builder().delete(delete.build()?).build())
        .client_request_token("once");
    // The second time the token tells that it is done.
    change.clone().send().await?;
    change.send().await?;
    let get = |n| {
        let get = Get::builder().table_name(TABLE).set_key(Some(key("tx", n)));
        Ok::<_, Failure>(TransactGetItem::builder().get(get.build()?).build())
    };
    let items = Some(vec![get(1)?, get(2)?]);
    let seen = client.transact_get_items().set_transact_items(items).send().await?;
    let [first, second] = seen.responses() else {
        return Err("two items were asked for".into());
    };
    assert_eq!(first.item().and_then(|item| item.get("n")), Some(&number("5")));
    assert_eq!(second.item(), None);

    let check = ConditionCheck::builder()
        .table_name(TABLE)
        .set_key(Some(key("tx", 1)))
        .condition_expression("attribute_not_exists(pk)");
    let refused = client
        .transact_write_items()
        .transact_items(put(9)?)
        .transact_items(TransactWriteItem::builder().condition_check(check.build()?).build())
        .send()
        .await;
    let refused = refused.err().ok_or("the condition does not hold")?.into_service_error();
    assert!(refused.is_transaction_canceled_exception(), "{refused:?}");
    let aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError::TransactionCanceledException(why) =
        refused
    else {
        return Err("not cancelled".into());
    };
    let codes: Vec<_> = why.cancellation_reasons().iter().map(|reason| reason.code()).collect();
    assert_eq!(codes, [Some("None"), Some("ConditionalCheckFailed")]);
    let get = client.get_item().table_name(TABLE).set_key(Some(key("tx", 9)));
    assert_eq!(get.send().await?.item(), None);
    Ok(())
}

async fn time_to_live_and_a_new_index(client: &Client) -> Result<(), Failure> {
    let spec = TimeToLiveSpecification::builder().attribute_name("ttl").enabled(true);
    client
        .update_time_to_live()
        .table_name(TABLE)
        .time_to_live_specification(spec.build()?)
        .send()
        .await?;
    wait_until("items expire", SOON, async || {
        let about = client.describe_time_to_live().table_name(TABLE).send().await?;
        let status = about
            .time_to_live_description()
            .and_then(|about| about.time_to_live_status());
        Ok(status == Some(&TimeToLiveStatus::Enabled))
    })
    .await?;

    let mut item = key("owned", 1);
    item.insert("owner".into(), text("me"));
    client.put_item().table_name(TABLE).set_item(Some(item)).send().await?;
    let create = CreateGlobalSecondaryIndexAction::builder()
        .index_name("by-owner")
        .key_schema(key_element("owner", KeyType::Hash))
        .projection(all())
        .build()?;
    client
        .update_table()
        .table_name(TABLE)
        .attribute_definitions(attribute("owner", ScalarAttributeType::S))
        .global_secondary_index_updates(GlobalSecondaryIndexUpdate::builder().create(create).build())
        .send()
        .await?;
    wait_until("the index is filled", SOON, async || {
        let about = client.describe_table().table_name(TABLE).send().await?;
        let indexes = about.table().map(|table| table.global_secondary_indexes());
        let index = indexes
            .into_iter()
            .flatten()
            .find(|index| index.index_name() == Some("by-owner"));
        Ok(index.and_then(|index| index.index_status()) == Some(&IndexStatus::Active))
    })
    .await?;
    let found = client
        .query()
        .table_name(TABLE)
        .index_name("by-owner")
        .key_condition_expression("#o = :o")
        .expression_attribute_names("#o", "owner")
        .expression_attribute_values(":o", text("me"))
        .send()
        .await?;
    assert_eq!(found.count(), 1);
    Ok(())
}

/// The table's stream, from its start: every change of one item, in order, and none for a put that changes nothing.
async fn streams(client: &Client, endpoint: &Endpoint) -> Result<(), Failure> {
    use aws_sdk_dynamodbstreams::types::{AttributeValue as Value, OperationType, ShardIteratorType};

    for n in ["1", "1", "2"] {
        let put = client.put_item().table_name(TABLE).set_item(Some(key("stream", 1)));
        put.item("n", number(n)).send().await?;
    }
    let delete = client.delete_item().table_name(TABLE).set_key(Some(key("stream", 1)));
    delete.send().await?;

    let reader = sdk_streams(endpoint);
    let about = client.describe_table().table_name(TABLE).send().await?;
    let arn = about
        .table()
        .and_then(|table| table.latest_stream_arn())
        .ok_or("no stream")?;
    let listed = reader.list_streams().table_name(TABLE).send().await?;
    assert_eq!(listed.streams()[0].stream_arn(), Some(arn));
    let stream = reader.describe_stream().stream_arn(arn).send().await?;
    let mut iterators = vec![];
    for shard in stream
        .stream_description()
        .map(|about| about.shards())
        .unwrap_or_default()
    {
        let iterator = reader
            .get_shard_iterator()
            .stream_arn(arn)
            .set_shard_id(shard.shard_id.clone())
            .shard_iterator_type(ShardIteratorType::TrimHorizon);
        iterators.push(iterator.send().await?.shard_iterator);
    }
    let mut seen = vec![];
    wait_until("three records of the item", SOON, async || {
        for iterator in iterators.iter_mut().filter(|iterator| iterator.is_some()) {
            let page = reader.get_records().set_shard_iterator(iterator.take()).send().await?;
            for record in page.records() {
                let change = record.dynamodb().ok_or("no change")?;
                if change.keys().and_then(|keys| keys.get("pk")) == Some(&Value::S("stream".into())) {
                    let n = change.new_image().and_then(|image| image.get("n")).cloned();
                    seen.push((record.event_name().cloned(), n));
                }
            }
            *iterator = page.next_shard_iterator;
        }
        Ok(seen.len() >= 3)
    })
    .await?;
    let expect = [
        (Some(OperationType::Insert), Some(Value::N("1".into()))),
        (Some(OperationType::Modify), Some(Value::N("2".into()))),
        (Some(OperationType::Remove), None),
    ];
    assert_eq!(seen, expect);
    Ok(())
}

fn key(pk: &str, sk: i32) -> Item {
    Item::from([("pk".into(), text(pk)), ("sk".into(), number(&sk.to_string()))])
}

fn text(value: &str) -> AttributeValue {
    AttributeValue::S(value.into())
}

fn number(value: &str) -> AttributeValue {
    AttributeValue::N(value.into())
}

fn attribute(name: &str, kind: ScalarAttributeType) -> AttributeDefinition {
    let built = AttributeDefinition::builder()
        .attribute_name(name)
        .attribute_type(kind)
        .build();
    built.expect("both members are set")
}

fn key_element(name: &str, kind: KeyType) -> KeySchemaElement {
    let built = KeySchemaElement::builder().attribute_name(name).key_type(kind).build();
    built.expect("both members are set")
}

fn all() -> Projection {
    Projection::builder().projection_type(ProjectionType::All).build()
}
