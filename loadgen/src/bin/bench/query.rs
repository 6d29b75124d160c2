//! Queries of whole item collections, read from tables.

use std::io;
use std::path::Path;

use geodynamo_loadgen::client::{Connection, Endpoint};
use geodynamo_loadgen::tables::call;
use geodynamo_loadgen::workload::{Operation, Workload};
use serde_json::{Value, json};

use crate::comparison::Comparison;
use crate::effort::{Effort, TABLE};
use crate::pair::{Pair, Tuning, block_on};
use crate::peaks::CONNECTIONS;

/// Items that a query gives.
pub(crate) const COLLECTION: u64 = 100;
/// Of the skeleton's rate, at least.
const RATIO_WANTED: f64 = 0.5;

/// Measures them.
pub(crate) fn measure(effort: &Effort, folder: &Path) -> io::Result<Value> {
    let mut pair = Pair::start(folder, "query", Tuning::Alike)?;
    let workload = effort.sorted_workload(Operation::Query, effort.keys, COLLECTION);
    pair.create(&workload)?;
    pair.fill(&workload, 0)?;
    pair.restart()?;
    pair.wait_idle()?;
    same_answers(&pair, &workload)?;
    println!(
        "\nQuery of {COLLECTION} items of 300 B, against an iterator and JSON; closed loop, medians of {} runs\n",
        effort.runs
    );
    println!("{}", Comparison::heading());
    let comparisons = CONNECTIONS.into_iter().map(|connections| {
        let comparison = Comparison::measure(effort, &pair, "Query", &workload, connections, RATIO_WANTED)?;
        Ok(comparison.to_json())
    });
    comparisons.collect()
}

/// Fails unless both servers give the same items, all but the random part of them.
pub(crate) fn same_answers(pair: &Pair, workload: &Workload) -> io::Result<()> {
    let last = (workload.keys - 1) / COLLECTION;
    for partition in [0, last / 2, last] {
        let [bare, ours] = pair.sides().map(|side| block_on(shape(&side.endpoint, partition)));
        let (bare, ours) = (bare?, ours?);
        if bare != ours || bare["Count"] != COLLECTION {
            return Err(io::Error::other(format!("the answers differ: {bare} and {ours}")));
        }
    }
    Ok(())
}

/// A query's answer with the payloads' lengths in place of the payloads.
async fn shape(endpoint: &Endpoint, partition: u64) -> io::Result<Value> {
    let mut connection = Connection::open(endpoint).await?;
    let request = json!({
        "TableName": TABLE, "KeyConditionExpression": "pk = :k",
        "ExpressionAttributeValues": {":k": {"S": format!("key-{partition:012}")}},
    });
    let mut answer = call(&mut connection, "Query", &request).await?;
    for item in answer["Items"].as_array_mut().into_iter().flatten() {
        let length = item["payload"]["S"].as_str().map(str::len);
        item["payload"] = length.into();
    }
    Ok(answer)
}
