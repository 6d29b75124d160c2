//! Making and filling the table that a workload uses.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::client::{Connection, Endpoint};
use crate::workload::{Requests, Workload};

/// A table is ACTIVE, or something else is there, within this time.
const WAIT_MAX: Duration = Duration::from_secs(120);
/// BatchWriteItem's own limit.
const BATCH: u64 = 25;

/// Calls one operation; gives the answer's JSON, or the server's own error text.
pub async fn call(connection: &mut Connection, operation: &str, body: &Value) -> io::Result<Value> {
    let reply = connection
        .call(&format!("DynamoDB_20120810.{operation}"), body.to_string().as_bytes())
        .await?;
    let answer: Value = serde_json::from_slice(connection.body(reply)).map_err(io::Error::other)?;
    if reply.status == 200 {
        Ok(answer)
    } else {
        Err(io::Error::other(format!("{operation}: {} {answer}", reply.status)))
    }
}

/// Creates the table (partition key `pk`, S) and waits until it is ACTIVE.
pub async fn create(endpoint: &Endpoint, table: &str) -> io::Result<()> {
    create_with(endpoint, table, &[("pk", "HASH")]).await
}

/// Creates the table that a workload needs and waits until it is ACTIVE.
pub async fn create_for(endpoint: &Endpoint, workload: &Workload) -> io::Result<()> {
    let schema = [("pk", "HASH"), ("sk", "RANGE")];
    let attributes = if workload.collection.is_some() { 2 } else { 1 };
    create_with(endpoint, &workload.table, &schema[..attributes]).await
}

/// Creates a table with the partition key `pk` and, with `collections`, the sort key `sk`, and waits until it is ACTIVE. One that
/// is there already will do.
pub async fn create_keyed(endpoint: &Endpoint, table: &str, collections: bool) -> io::Result<()> {
    let schema = [("pk", "HASH"), ("sk", "RANGE")];
    match create_with(endpoint, table, &schema[..if collections { 2 } else { 1 }]).await {
        Err(error) if error.to_string().contains("ResourceInUseException") => Ok(()),
        other => other,
    }
}

/// Sends BatchWriteItem bodies, each with how many items it has, over so many connections; `done` is told of each.
pub async fn put_batches(
    endpoint: &Endpoint,
    connections: usize,
    bodies: impl Iterator<Item = (u64, String)> + Send + 'static,
    done: impl Fn(u64) + Send + Sync,
) -> io::Result<()> {
    let bodies = Mutex::new(bodies);
    let work = async || {
        let mut connection = Connection::open(endpoint).await?;
        loop {
            let next = bodies.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some((items, body)) = next else { return Ok(()) };
            put_batch(&mut connection, body.as_bytes()).await?;
            done(items);
        }
    };
    let all = futures_util::future::try_join_all((0..connections.max(1)).map(|_| work())).await;
    all.map(drop)
}

async fn create_with(endpoint: &Endpoint, table: &str, schema: &[(&str, &str)]) -> io::Result<()> {
    let mut connection = Connection::open(endpoint).await?;
    let attributes = schema
        .iter()
        .map(|(name, _)| json!({"AttributeName": name, "AttributeType": "S"}));
    let keys = schema
        .iter()
        .map(|(name, kind)| json!({"AttributeName": name, "KeyType": kind}));
    let request = json!({
        "TableName": table,
        "AttributeDefinitions": attributes.collect::<Value>(),
        "KeySchema": keys.collect::<Value>(),
        "BillingMode": "PAY_PER_REQUEST",
    });
    call(&mut connection, "CreateTable", &request).await?;
    wait(&mut connection, table, |description| {
        description["Table"]["TableStatus"] == "ACTIVE"
    })
    .await
}

/// Adds a replica in `region` and waits until both the table and the replica are ACTIVE, seen from `endpoint`.
pub async fn add_replica(endpoint: &Endpoint, table: &str, region: &str) -> io::Result<()> {
    let mut connection = Connection::open(endpoint).await?;
    let request = json!({"TableName": table, "ReplicaUpdates": [{"Create": {"RegionName": region}}]});
    call(&mut connection, "UpdateTable", &request).await?;
    wait(&mut connection, table, |description| {
        let replicas = description["Table"]["Replicas"].as_array();
        description["Table"]["TableStatus"] == "ACTIVE"
            && replicas.is_some_and(|all| {
                all.iter()
                    .any(|one| one["RegionName"] == region && one["ReplicaStatus"] == "ACTIVE")
            })
    })
    .await
}

/// Waits until DescribeTable's answer at `endpoint` satisfies `ready`; errors (a table not known yet) count as not ready.
pub async fn wait(connection: &mut Connection, table: &str, ready: impl Fn(&Value) -> bool) -> io::Result<()> {
    let deadline = Instant::now() + WAIT_MAX;
    loop {
        let description = call(connection, "DescribeTable", &json!({"TableName": table})).await;
        if description.as_ref().is_ok_and(&ready) {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(io::Error::other(format!(
                "{table} did not become ready: {description:?}"
            )));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Puts every key of the workload's key space with BatchWriteItem over `connections` connections; `progress` is told the
/// number of items put so far, now and then.
pub async fn fill(
    endpoint: &Endpoint,
    workload: &Workload,
    connections: usize,
    progress: impl Fn(u64) + Send + Sync + 'static,
) -> io::Result<()> {
    fill_from(0, endpoint, workload, connections, progress).await
}

/// As [`fill`], of a key space whose first `from` keys are there.
pub async fn fill_from(
    from: u64,
    endpoint: &Endpoint,
    workload: &Workload,
    connections: usize,
    progress: impl Fn(u64) + Send + Sync + 'static,
) -> io::Result<()> {
    let next = Arc::new(AtomicU64::new(from));
    let progress = Arc::new(progress);
    let mut tasks = tokio::task::JoinSet::<io::Result<()>>::new();
    for number in 0..connections {
        let (endpoint, workload, next, progress) = (endpoint.clone(), workload.clone(), next.clone(), progress.clone());
        tasks.spawn(async move {
            let mut connection = Connection::open(&endpoint).await?;
            let keys = workload.keys;
            let mut requests = Requests::new(workload, number as u64);
            loop {
                let from = next.fetch_add(BATCH, Ordering::Relaxed);
                if from >= keys {
                    return Ok(());
                }
                put_batch(&mut connection, requests.batch_put(from..keys.min(from + BATCH))).await?;
                if from.is_multiple_of(BATCH * 400) {
                    progress(from);
                }
            }
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.map_err(io::Error::other)??;
    }
    Ok(())
}

async fn put_batch(connection: &mut Connection, body: &[u8]) -> io::Result<()> {
    let reply = connection.call("DynamoDB_20120810.BatchWriteItem", body).await?;
    let mut answer: Value = serde_json::from_slice(connection.body(reply)).map_err(io::Error::other)?;
    if reply.status != 200 {
        return Err(io::Error::other(format!("BatchWriteItem: {} {answer}", reply.status)));
    }
    // What the server had no room for now; DynamoDB's contract is to send it again.
    while answer["UnprocessedItems"]
        .as_object()
        .is_some_and(|rest| !rest.is_empty())
    {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let rest = json!({"RequestItems": answer["UnprocessedItems"]});
        answer = call(connection, "BatchWriteItem", &rest).await?;
    }
    Ok(())
}
