//! The demo's Cassandra: one node of it, started by the script that tests use, which this binary has in it.

use std::{
    error::Error,
    fs,
    net::{Ipv4Addr, TcpListener},
    os::unix::ffi::OsStrExt,
    path::Path,
    process::Stdio,
    time::Duration,
};

use serde::Deserialize;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    time::timeout,
};

use crate::run::Done;

const SCRIPT: &str = include_str!("../../../../scripts/cassandra.py");
const JARS: &str = include_str!("../../../../scripts/cassandra-jars/pom.xml");
/// Names Cassandra's nodes, with commas between them, where it runs already.
const RUNNING: &str = "GEODYNAMO_CASSANDRA";
/// How long it may take to start, its jars' download included.
const START_MAX: Duration = Duration::from_secs(600);
/// How long it may take to end.
const STOP_MAX: Duration = Duration::from_secs(40);
/// Nodes of Cassandra listen for each other so many ports above where they listen for clients.
const STORAGE_PORT_ABOVE: u16 = 1000;
/// How often a pair of free ports is looked for.
const PORT_TRIES: usize = 100;

type Failure = Box<dyn Error + Send + Sync>;

/// A Cassandra that runs for the demo.
pub(super) struct Cassandra {
    pub(super) contact_points: Vec<String>,
    /// The demo's keyspace: one of its own where others may have theirs, too.
    pub(super) keyspace: String,
    /// None if somebody else runs it.
    child: Option<Child>,
}

/// The script's first line.
#[derive(Deserialize)]
struct Hello {
    contact_points: Vec<String>,
}

impl Cassandra {
    /// Starts it with its files in a folder, or takes the one that the environment names.
    pub(super) async fn start(folder: &Path) -> Result<Self, Failure> {
        if let Some(running) = std::env::var(RUNNING).ok().filter(|names| !names.is_empty()) {
            return Ok(Self {
                contact_points: running.split(',').map(str::to_owned).collect(),
                keyspace: format!(
                    "demo_{:08x}",
                    crc32fast::hash(std::path::absolute(folder)?.as_os_str().as_bytes())
                ),
                child: None,
            });
        }
        let scripts = folder.join("scripts");
        fs::create_dir_all(scripts.join("cassandra-jars"))?;
        fs::write(scripts.join("cassandra.py"), SCRIPT)?;
        fs::write(scripts.join("cassandra-jars/pom.xml"), JARS)?;
        let mut child = Command::new("python3")
            .arg(scripts.join("cassandra.py"))
            .args(["run", "--port", &free_port()?.to_string(), "--data"])
            .arg(folder.join("data"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Ctrl-C is for this process: it ends the others, in order. The script ends Cassandra when its input ends.
            .process_group(0)
            .spawn()
            .map_err(|error| format!("python3, which starts Cassandra: {error}"))?;
        let output = child.stdout.take().ok_or("Cassandra has no standard output")?;
        let mut lines = BufReader::new(output).lines();
        let line = timeout(START_MAX, lines.next_line()).await;
        let line = line.map_err(|_| "Cassandra is late")??;
        let line = line.ok_or("Cassandra did not start")?;
        let hello: Hello = serde_json::from_str(&line)?;
        Ok(Self {
            contact_points: hello.contact_points,
            keyspace: "demo".to_owned(),
            child: Some(child),
        })
    }

    /// Ends it, if this process has started it.
    pub(super) async fn stop(&mut self) -> Done {
        let Some(child) = &mut self.child else { return Ok(()) };
        drop(child.stdin.take());
        match timeout(STOP_MAX, child.wait()).await {
            Ok(ended) => ended.map(drop).map_err(Into::into),
            Err(_) => Err(format!("Cassandra did not end in {STOP_MAX:?}").into()),
        }
    }
}

/// A port that is free, as is the one that Cassandra takes beside it.
fn free_port() -> Result<u16, Failure> {
    for _ in 0..PORT_TRIES {
        let probe = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = probe.local_addr()?.port();
        let beside = port.checked_add(STORAGE_PORT_ABOVE);
        if beside.is_some_and(|beside| TcpListener::bind((Ipv4Addr::LOCALHOST, beside)).is_ok()) {
            return Ok(port);
        }
    }
    Err("no free ports for Cassandra".into())
}
