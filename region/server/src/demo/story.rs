//! What the demo shows: a global table, writes that become visible in other regions, a conflict, a cut link.

use std::{
    error::Error,
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use geodynamo_topology::rtt;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::{ACCESS_KEY_ID, SECRET_ACCESS_KEY, client::Client, cluster::Cluster};
use crate::run::Done;

/// How long a state is waited for.
const WAIT_MAX: Duration = Duration::from_secs(120);
/// How long between looks at a state that is measured, and at one that is only waited for.
const LOOK_EVERY: Duration = Duration::from_micros(500);
const WAIT_EVERY: Duration = Duration::from_millis(25);
/// The demo's table.
const TABLE: &str = "Airports";
/// Items of one BatchWriteItem.
const BATCH: usize = 25;
/// How many writes each side makes while a link is cut.
const CUT_WRITES: usize = 50;

type Failure = Box<dyn Error + Send + Sync>;

/// Tells the story and prints what to try next.
pub(super) async fn tell(cluster: &Cluster, data_set: Option<PathBuf>) -> Done {
    let clients: Vec<Client> = cluster.regions().iter().map(Client::new).collect();
    print_console(cluster);
    println!("{}; QUIC links pass through a WAN emulator.\n", what_runs(cluster));
    create_global_table(&clients).await?;
    load(&clients, data_set.as_deref()).await?;
    show_visibility(&clients).await?;
    show_conflict(&clients).await?;
    show_cut(cluster, &clients).await?;
    print_next(cluster);
    Ok(())
}

fn what_runs(cluster: &Cluster) -> String {
    match cluster.regions().iter().find(|region| region.nodes.len() > 1) {
        None => "Three regions run, each a process with its own RocksDB".to_owned(),
        Some(region) => {
            let names: Vec<_> = region.nodes.iter().map(|node| node.name.as_str()).collect();
            let names = names.join(" and ");
            let region = region.name;
            format!(
                "Three regions run: {region} is two nodes, {names}, on Apache Cassandra; each of the others has its own RocksDB"
            )
        }
    }
}

async fn create_global_table(clients: &[Client]) -> Done {
    let start = Instant::now();
    let exists = clients[0]
        .call("DescribeTable", json!({ "TableName": TABLE }))
        .await
        .is_ok();
    if exists {
        println!("1. The global table {TABLE} is there already (kept data).\n");
        return Ok(());
    }
    let create = json!({
        "TableName": TABLE,
        "AttributeDefinitions": [
            { "AttributeName": "iata", "AttributeType": "S" },
            { "AttributeName": "country", "AttributeType": "S" },
        ],
        "KeySchema": [{ "AttributeName": "iata", "KeyType": "HASH" }],
        "GlobalSecondaryIndexes": [{
            "IndexName": "by-country",
            "KeySchema": [
                { "AttributeName": "country", "KeyType": "HASH" },
                { "AttributeName": "iata", "KeyType": "RANGE" },
            ],
            "Projection": { "ProjectionType": "ALL" },
        }],
        "BillingMode": "PAY_PER_REQUEST",
    });
    clients[0].call("CreateTable", create).await?;
    for other in &clients[1..] {
        let update = json!({ "TableName": TABLE, "ReplicaUpdates": [{ "Create": { "RegionName": other.region } }] });
        clients[0].call("UpdateTable", update).await?;
        wait(|| async { Ok(status(&clients[0]).await? == "ACTIVE" && status(other).await? == "ACTIVE") }).await?;
    }
    println!(
        "1. CreateTable in {}, then UpdateTable with ReplicaUpdates for {} and {}: ACTIVE everywhere after {:.1} s.\n",
        clients[0].region,
        clients[1].region,
        clients[2].region,
        start.elapsed().as_secs_f64()
    );
    Ok(())
}

async fn status(client: &Client) -> Result<String, Failure> {
    // A region that has not heard of the table yet answers ResourceNotFoundException.
    let answer = client
        .call("DescribeTable", json!({ "TableName": TABLE }))
        .await
        .unwrap_or_default();
    Ok(answer["Table"]["TableStatus"].as_str().unwrap_or("unknown").to_owned())
}

async fn load(clients: &[Client], data_set: Option<&Path>) -> Done {
    let Some(path) = data_set else {
        println!("2. No data set is given (AIRPORTS_CSV; `make demo` installs one): nothing is loaded.\n");
        return Ok(());
    };
    let items = airports(&fs::read_to_string(path)?);
    let start = Instant::now();
    for batch in items.chunks(BATCH) {
        let puts: Vec<_> = batch
            .iter()
            .map(|item| json!({ "PutRequest": { "Item": item } }))
            .collect();
        clients[0]
            .call("BatchWriteItem", json!({ "RequestItems": { TABLE: puts } }))
            .await?;
    }
    let loaded = start.elapsed();
    wait(|| async { equal_digests(clients).await }).await?;
    println!(
        "2. {} airports (PyPI: airportsdata) written in {} in {:.2} s; equal digests in all three regions {:.0} ms later.\n",
        items.len(),
        clients[0].region,
        loaded.as_secs_f64(),
        (start.elapsed() - loaded).as_secs_f64() * 1000.0
    );
    Ok(())
}

async fn show_visibility(clients: &[Client]) -> Done {
    println!("3. A write in every region, and when each became visible in the others:\n");
    println!(
        "   {:<16} {:<16} {:>16} {:>16} {:>12}",
        "written in", "read in", "one-way delay", "visible after", "local put"
    );
    for (number, writer) in clients.iter().enumerate() {
        let iata = format!("demo-visible-{number}");
        let mark = format!("{:?}", Instant::now());
        let item = json!({ "iata": { "S": iata }, "mark": { "S": mark } });
        let start = Instant::now();
        writer
            .call("PutItem", json!({ "TableName": TABLE, "Item": item }))
            .await?;
        let local = start.elapsed();
        let readers = clients.iter().filter(|client| client.region != writer.region);
        let seen = readers.map(|reader| {
            let (iata, mark) = (iata.clone(), mark.clone());
            async move {
                loop {
                    let item = read(reader, &iata).await?;
                    if item["mark"]["S"].as_str() == Some(&mark) {
                        return Ok::<_, Failure>((reader.region, start.elapsed()));
                    }
                    if start.elapsed() > WAIT_MAX {
                        return Err(format!("{} does not see the write", reader.region).into());
                    }
                    sleep(LOOK_EVERY).await;
                }
            }
        });
        for seen in join(seen).await {
            let (reader, after) = seen?;
            println!(
                "   {:<16} {:<16} {:>13.1} ms {:>13.1} ms {:>9.1} ms",
                writer.region,
                reader,
                ms(rtt::one_way(writer.region, reader)),
                ms(after),
                ms(local)
            );
        }
    }
    println!();
    Ok(())
}

async fn show_conflict(clients: &[Client]) -> Done {
    let put = |client: usize| {
        let region = clients[client].region;
        let item = json!({ "iata": { "S": "demo-conflict" }, "written_in": { "S": region } });
        clients[client].call("PutItem", json!({ "TableName": TABLE, "Item": item }))
    };
    let (one, two) = tokio::join!(put(0), put(2));
    one?;
    two?;
    wait(|| async { equal_digests(clients).await }).await?;
    println!(
        "4. The same item, written at once in {} and {}. Which write won:\n",
        clients[0].region, clients[2].region
    );
    for client in clients {
        let item = read(client, "demo-conflict").await?;
        println!(
            "   {:<16} has the write of {}",
            client.region,
            item["written_in"]["S"].as_str().unwrap_or("nobody")
        );
    }
    let losers = conflicts(&clients[0].digest(TABLE).await?);
    println!("\n   One winner everywhere; losers are recorded, not lost ({losers} so far).\n");
    Ok(())
}

async fn show_cut(cluster: &Cluster, clients: &[Client]) -> Done {
    let (here, there) = (&clients[0], &clients[1]);
    cluster.wan().cut(here.region, there.region, true)?;
    let start = Instant::now();
    let mut slowest = Duration::ZERO;
    for number in 0..CUT_WRITES {
        for client in [here, there] {
            let iata = format!("demo-cut-{}", number % 10);
            let item = json!({ "iata": { "S": iata }, "by": { "S": client.region }, "n": { "N": number.to_string() } });
            let put = Instant::now();
            client
                .call("PutItem", json!({ "TableName": TABLE, "Item": item }))
                .await?;
            slowest = slowest.max(put.elapsed());
        }
    }
    let apart = here.digest(TABLE).await? != there.digest(TABLE).await?;
    cluster.wan().cut(here.region, there.region, false)?;
    let healed = Instant::now();
    wait(|| async { equal_digests(clients).await }).await?;
    println!(
        "5. The link {} – {} was cut for {:.1} s while both sides wrote the same ten items ({CUT_WRITES} writes each, the \
         slowest in {:.1} ms; digests {}). Healed: equal digests in all regions after {:.0} ms.\n",
        here.region,
        there.region,
        (healed - start).as_secs_f64(),
        ms(slowest),
        if apart { "differed" } else { "did not differ" },
        ms(healed.elapsed())
    );
    Ok(())
}

fn print_console(cluster: &Cluster) {
    if let Some(region) = cluster.regions().first() {
        println!(
            "Console: http://{}/   (access key {ACCESS_KEY_ID}, secret {SECRET_ACCESS_KEY})\n",
            region.admin
        );
    }
}

fn print_next(cluster: &Cluster) {
    println!("The regions stay up until Ctrl-C. Each takes any DynamoDB client:\n");
    println!("   export AWS_ACCESS_KEY_ID={ACCESS_KEY_ID} AWS_SECRET_ACCESS_KEY={SECRET_ACCESS_KEY}");
    for region in cluster.regions() {
        println!(
            "   {:<16} endpoint http://{}   console http://{}/",
            region.name, region.data, region.admin
        );
    }
    println!("   WAN emulator     http://{}/links", cluster.wan().control());
    if let Some(region) = cluster.regions().first() {
        let endpoint = format!("http://{}", region.data);
        println!(
            "\n   export AWS_REGION={} AWS_ENDPOINT_URL_DYNAMODB={endpoint}",
            region.name
        );
        println!("   aws dynamodb get-item --table-name {TABLE} --key '{{\"iata\":{{\"S\":\"ZRH\"}}}}'");
        println!("   geodynamo top --admin {}", region.admin);
    }
}

async fn read(client: &Client, iata: &str) -> Result<Value, Failure> {
    let get = json!({ "TableName": TABLE, "Key": { "iata": { "S": iata } }, "ConsistentRead": true });
    Ok(client.call("GetItem", get).await?["Item"].take())
}

async fn equal_digests(clients: &[Client]) -> Result<bool, Failure> {
    let first = clients[0].digest(TABLE).await?;
    for other in &clients[1..] {
        if other.digest(TABLE).await? != first {
            return Ok(false);
        }
    }
    Ok(true)
}

fn conflicts(digest: &Value) -> u64 {
    let partitions = digest["partitions"].as_array().map(Vec::as_slice).unwrap_or_default();
    partitions.iter().filter_map(|part| part["conflicts"].as_u64()).sum()
}

/// The data set's rows as items: every column that is not empty; latitude, longitude and elevation are numbers.
fn airports(csv: &str) -> Vec<Value> {
    let mut lines = csv.lines().map(split_csv);
    let Some(names) = lines.next() else { return Vec::new() };
    let mut items = Vec::new();
    for fields in lines {
        let mut item = serde_json::Map::new();
        for (name, field) in names.iter().zip(&fields) {
            let number = matches!(name.as_str(), "lat" | "lon" | "elevation");
            if !field.is_empty() {
                item.insert(
                    name.clone(),
                    if number {
                        json!({ "N": field })
                    } else {
                        json!({ "S": field })
                    },
                );
            }
        }
        if item.contains_key("iata") {
            items.push(Value::Object(item));
        }
    }
    items
}

/// The fields of a line of CSV; the data set has no line breaks within fields.
fn split_csv(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    let mut characters = line.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '"' if quoted && characters.peek() == Some(&'"') => {
                characters.next();
                fields.last_mut().into_iter().for_each(|field| field.push('"'));
            }
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            other => fields.last_mut().into_iter().for_each(|field| field.push(other)),
        }
    }
    fields
}

async fn wait<F: Future<Output = Result<bool, Failure>>>(mut holds: impl FnMut() -> F) -> Done {
    let start = Instant::now();
    while !holds().await? {
        if start.elapsed() > WAIT_MAX {
            return Err("the regions do not come to the state that the demo waits for".into());
        }
        sleep(WAIT_EVERY).await;
    }
    Ok(())
}

/// Runs futures side by side and gives their results in order.
async fn join<T>(futures: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut waiting: Vec<_> = futures.map(Box::pin).map(Some).collect();
    let mut done: Vec<Option<T>> = waiting.iter().map(|_| None).collect();
    std::future::poll_fn(|context| {
        for (future, result) in waiting.iter_mut().zip(&mut done) {
            if let Some(running) = future
                && let std::task::Poll::Ready(value) = running.as_mut().poll(context)
            {
                (*result, *future) = (Some(value), None);
            }
        }
        if waiting.iter().all(Option::is_none) {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
    done.into_iter().flatten().collect()
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn csv_lines() {
        for (line, fields) in [
            ("a,b,c", vec!["a", "b", "c"]),
            ("\"a, b\",,\"c \"\"d\"\"\"", vec!["a, b", "", "c \"d\""]),
            ("", vec![""]),
        ] {
            assert_eq!(split_csv(line), fields, "{line}");
        }
    }
}
