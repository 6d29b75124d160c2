//! Three regions as processes: the AWS SDK for Rust as client, a cut link, a region that joins late.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, CreateReplicationGroupMemberAction, KeySchemaElement, KeyType,
    ReplicationGroupUpdate, ReturnValue, ScalarAttributeType, TableStatus,
};
use geodynamo_loadgen::client::{Connection, Endpoint};
use geodynamo_loadgen::tables;
use geodynamo_loadgen::workload::Workload;
use geodynamo_tests::regions::{Regions, THREE};
use geodynamo_tests::{Failure, sdk, wait_until};
use serde_json::json;

const SOON: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn the_rust_sdk() -> Result<(), Failure> {
    let regions = Regions::start(&THREE).await?;
    let clients: Vec<_> = regions.cluster.nodes.iter().map(|node| sdk(&node.endpoint())).collect();
    let first = &clients[0];
    first
        .create_table()
        .table_name("sdk")
        .attribute_definitions(
            AttributeDefinition::builder()
                .attribute_name("pk")
                .attribute_type(ScalarAttributeType::S)
                .build()?,
        )
        .key_schema(
            KeySchemaElement::builder()
                .attribute_name("pk")
                .key_type(KeyType::Hash)
                .build()?,
        )
        .billing_mode(BillingMode::PayPerRequest)
        .send()
        .await?;
    for region in &THREE[1..] {
        wait_until("the table is ACTIVE", SOON, async || Ok(is_active(first).await)).await?;
        let create = CreateReplicationGroupMemberAction::builder()
            .region_name(*region)
            .build()?;
        let update = ReplicationGroupUpdate::builder().create(create).build();
        first
            .update_table()
            .table_name("sdk")
            .replica_updates(update)
            .send()
            .await?;
    }
    for client in &clients {
        wait_until("the replica is ACTIVE", SOON, async || Ok(is_active(client).await)).await?;
    }

    for (number, client) in clients.iter().enumerate() {
        let put = client
            .put_item()
            .table_name("sdk")
            .item("pk", text(&format!("from-{number}")));
        put.item("n", AttributeValue::N("1".into())).send().await?;
    }
    for client in &clients {
        wait_until("all three items are visible", SOON, async || {
            Ok(client.scan().table_name("sdk").send().await?.count() == 3)
        })
        .await?;
    }
    let updated = clients[2]
        .update_item()
        .table_name("sdk")
        .key("pk", text("from-0"))
        .update_expression("SET n = n + :one")
        .expression_attribute_values(":one", AttributeValue::N("1".into()))
        .return_values(ReturnValue::UpdatedNew)
        .send()
        .await?;
    assert_eq!(
        updated.attributes().and_then(|all| all.get("n")),
        Some(&AttributeValue::N("2".into()))
    );
    let refused = clients[1]
        .put_item()
        .table_name("sdk")
        .item("pk", text("from-1"))
        .condition_expression("attribute_not_exists(pk)")
        .send()
        .await;
    assert!(refused.is_err_and(|error| error.into_service_error().is_conditional_check_failed_exception()));
    regions.converge("sdk", &[0, 1, 2], SOON).await
}

async fn is_active(client: &aws_sdk_dynamodb::Client) -> bool {
    let about = client.describe_table().table_name("sdk").send().await;
    about.is_ok_and(|about| about.table().and_then(|table| table.table_status()) == Some(&TableStatus::Active))
}

fn text(value: &str) -> AttributeValue {
    AttributeValue::S(value.into())
}

/// A link is cut for 30 s while both sides write, in part the same keys; then it heals.
#[tokio::test(flavor = "multi_thread")]
async fn a_cut_link() -> Result<(), Failure> {
    const TABLE: &str = "cut";
    let regions = Regions::start(&THREE).await?;
    regions.global_table(TABLE, 3).await?;
    let [us, eu, _] = THREE;
    regions.wan.cut(us, eu, true)?;
    let load = Load::start(&regions, TABLE, &[0, 1], 200);
    // The cut's length is what is tested; there is no state to wait for.
    tokio::time::sleep(Duration::from_secs(30)).await;
    let different = regions.cluster.nodes[0].digest(TABLE)? != regions.cluster.nodes[1].digest(TABLE)?;
    regions.wan.cut(us, eu, false)?;
    let (writes, slowest) = load.stop().await?;
    assert!(different, "the cut cut nothing");
    assert!(writes > 1_000, "{writes} writes only");
    // Law 9: a cut link slows nothing local down. Generous: the machine is shared.
    assert!(slowest < Duration::from_secs(2), "a local write took {slowest:?}");
    println!("{writes} writes while the link was cut, the slowest in {slowest:?}");
    regions.converge(TABLE, &[0, 1, 2], Duration::from_secs(120)).await
}

/// A region loses its disk when only one of two others has its last writes: the other one gets them too.
#[tokio::test(flavor = "multi_thread")]
async fn a_region_loses_its_disk() -> Result<(), Failure> {
    const TABLE: &str = "lost";
    let mut regions = Regions::start(&THREE).await?;
    regions.global_table(TABLE, 3).await?;
    let [_, eu, ap] = THREE;
    regions.wan.cut(eu, ap, true)?;
    let load = Load::start(&regions, TABLE, &[1], 200);
    let written = load.written[0].clone();
    wait_until("some writes", SOON, async || Ok(written.load(Ordering::Relaxed) > 300)).await?;
    load.stop().await?;
    regions.converge(TABLE, &[0, 1], SOON).await?;
    let before = regions.cluster.nodes[0].digest(TABLE)?;
    assert_ne!(regions.cluster.nodes[2].digest(TABLE)?, before, "the cut cut nothing");

    let node = &mut regions.cluster.nodes[1];
    node.kill()?;
    std::fs::remove_dir_all(&node.data_dir)?;
    regions.wan.cut(eu, ap, false)?;
    let node = &mut regions.cluster.nodes[1];
    node.start(&[])?;
    node.wait_ready()?;
    wait_until(
        "what the lost replica wrote is everywhere",
        Duration::from_secs(120),
        async || {
            let digests: Result<Vec<String>, _> = regions.cluster.nodes.iter().map(|node| node.digest(TABLE)).collect();
            Ok(digests.is_ok_and(|all| all.iter().all(|digest| *digest == before)))
        },
    )
    .await
}

/// A region is added to a table of 100,000 items while every region that has it writes, and the new one as soon as it can.
#[tokio::test(flavor = "multi_thread")]
async fn a_region_joins() -> Result<(), Failure> {
    const TABLE: &str = "join";
    const ITEMS: u64 = 100_000;
    let regions = Regions::start(&THREE).await?;
    regions.global_table(TABLE, 2).await?;
    let workload = Workload {
        table: TABLE.into(),
        mix: vec![],
        keys: ITEMS,
        collection: None,
        item_bytes: 300,
    };
    tables::fill(&regions.cluster.nodes[0].endpoint(), &workload, 8, |_| ()).await?;

    let load = Load::start(&regions, TABLE, &[0, 1, 2], 1_000);
    let start = Instant::now();
    regions.add_replica(TABLE, 2).await?;
    println!("ACTIVE after {:?}", start.elapsed());
    // Some writes in the new region, too.
    let by_newcomer = load.written[2].clone();
    wait_until("the new region takes writes", SOON, async || {
        Ok(by_newcomer.load(Ordering::Relaxed) > 100)
    })
    .await?;
    let (writes, _) = load.stop().await?;
    println!("{writes} writes meanwhile");
    regions.converge(TABLE, &[0, 1, 2], Duration::from_secs(180)).await?;

    let client = sdk(&regions.cluster.nodes[2].endpoint());
    for key in (0..ITEMS).step_by(997) {
        let key = format!("key-{key:012}");
        let item = client.get_item().table_name(TABLE).key("pk", text(&key)).send().await?;
        assert!(item.item().is_some(), "{key} did not get there");
    }
    Ok(())
}

/// Writers in several regions, to keys that overlap between regions; deletes among the puts.
struct Load {
    stop: Arc<AtomicBool>,
    /// Acknowledged writes, for each region of the load.
    written: Vec<Arc<AtomicU64>>,
    writers: Vec<tokio::task::JoinHandle<Result<Duration, Failure>>>,
}

impl Load {
    fn start(regions: &Regions, table: &'static str, numbers: &[usize], keys: u64) -> Load {
        let stop = Arc::new(AtomicBool::new(false));
        let written: Vec<_> = numbers.iter().map(|_| Arc::new(AtomicU64::new(0))).collect();
        let writers = numbers
            .iter()
            .zip(&written)
            .map(|(number, written)| {
                let endpoint = regions.cluster.nodes[*number].endpoint();
                tokio::spawn(write(endpoint, table, keys, stop.clone(), written.clone()))
            })
            .collect();
        Load { stop, written, writers }
    }

    /// Acknowledged writes of all regions, and the slowest.
    async fn stop(self) -> Result<(u64, Duration), Failure> {
        self.stop.store(true, Ordering::Relaxed);
        let mut slowest = Duration::ZERO;
        for writer in self.writers {
            slowest = slowest.max(writer.await??);
        }
        Ok((
            self.written.iter().map(|written| written.load(Ordering::Relaxed)).sum(),
            slowest,
        ))
    }
}

async fn write(
    endpoint: Endpoint,
    table: &str,
    keys: u64,
    stop: Arc<AtomicBool>,
    written: Arc<AtomicU64>,
) -> Result<Duration, Failure> {
    let mut connection = Connection::open(&endpoint).await?;
    let mut slowest = Duration::ZERO;
    for number in 0_u64.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let key = json!({"S": format!("shared-{}", number * 7 % keys)});
        let (operation, body) = if number % 10 == 9 {
            ("DeleteItem", json!({"TableName": table, "Key": {"pk": key}}))
        } else {
            let from = &endpoint.credentials.region;
            (
                "PutItem",
                json!({"TableName": table, "Item": {"pk": key, "from": {"S": from}, "n": {"N": number.to_string()}}}),
            )
        };
        let start = Instant::now();
        let reply = connection
            .call(&format!("DynamoDB_20120810.{operation}"), body.to_string().as_bytes())
            .await?;
        if reply.status == 200 {
            slowest = slowest.max(start.elapsed());
            written.fetch_add(1, Ordering::Relaxed);
        } else {
            // A region that has no replica yet says so; anything else is a failure.
            let body = String::from_utf8_lossy(connection.body(reply)).into_owned();
            if !body.contains("ResourceNotFoundException") && !body.contains("ResourceInUseException") {
                return Err(format!("{operation}: {} {body}", reply.status).into());
            }
        }
        // Some hundred writes a second, so that the tests measure the links and not the disk.
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
    Ok(slowest)
}
