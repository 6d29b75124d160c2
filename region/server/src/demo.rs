//! `geodynamo demo`: three regions on this machine, each a process of its own (or two, on Cassandra), linked by an emulated wide-area network.

mod cassandra;
mod client;
mod cluster;
mod story;

use std::path::PathBuf;

use geodynamo_http::termination;
use serde_json::json;
use tokio::runtime::Builder;

use crate::{cli::Demo, run::Done};
use cluster::Cluster;

/// The demo's regions.
const REGIONS: [&str; 3] = ["us-east-1", "eu-west-1", "ap-northeast-1"];
/// The demo's access key: it is printed, so it is no secret.
const ACCESS_KEY_ID: &str = "demo";
const SECRET_ACCESS_KEY: &str = "demo-secret";
/// Where the demo finds the data set that `make demo` installs: a CSV file of the world's airports.
const DATA_SET_VARIABLE: &str = "AIRPORTS_CSV";

/// Runs the demo until SIGTERM or SIGINT.
///
/// With `--json` the first line on stdout tells where everything is, and clients have it for themselves. Without, the demo
/// first shows what the regions do.
pub(crate) fn demo(arguments: &Demo) -> Done {
    let temporary = match &arguments.data {
        Some(_) => None,
        None => Some(tempfile::Builder::new().prefix("geodynamo-demo-").tempdir()?),
    };
    let folder: PathBuf = match (&arguments.data, &temporary) {
        (Some(folder), _) => folder.clone(),
        // The key's place is beside it, and both go.
        (None, Some(folder)) => folder.path().join("demo"),
        (None, None) => return Err("no data directory".into()),
    };
    let done = Builder::new_multi_thread().enable_all().build()?.block_on(async {
        let mut cluster =
            Cluster::start(&folder, arguments.auth, arguments.s3_dir.as_deref(), arguments.engine).await?;
        let shown = tokio::select! {
            ended = show(&cluster, arguments.json) => ended,
            signal = termination() => Ok(signal?),
        };
        cluster.stop().await?;
        shown
    });
    drop(temporary);
    done
}

async fn show(cluster: &Cluster, as_json: bool) -> Done {
    if as_json {
        println!("{}", description(cluster));
    } else {
        let data_set = std::env::var_os(DATA_SET_VARIABLE).map(PathBuf::from);
        story::tell(cluster, data_set).await?;
    }
    cluster.watch().await
}

/// Where everything is, as scripts read it.
fn description(cluster: &Cluster) -> serde_json::Value {
    let regions: Vec<_> = cluster
        .regions()
        .iter()
        .map(|region| {
            let nodes = region.nodes.iter().map(|node| {
                json!({
                    "name": node.name,
                    "endpoint": format!("http://{}", node.data),
                    "admin": format!("http://{}", node.admin),
                })
            });
            json!({
                "name": region.name,
                "endpoint": format!("http://{}", region.data),
                "admin": format!("http://{}", region.admin),
                "console": format!("http://{}/", region.admin),
                "access_key_id": ACCESS_KEY_ID,
                "secret_access_key": SECRET_ACCESS_KEY,
                "nodes": nodes.collect::<Vec<_>>(),
            })
        })
        .collect();
    json!({ "regions": regions, "wan": format!("http://{}", cluster.wan().control()) })
}
