//! A region's ports with a small handler behind them, and a client that can misbehave.

#![allow(dead_code, unreachable_pub, reason = "each test file uses some of it")]
#![allow(clippy::unwrap_used, reason = "tests may")]

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use geodynamo::{
    config::Config,
    process::{Callers, Listeners, Ports},
};
use geodynamo_access::{Mode, Signer};
use geodynamo_admin::{Admin, AdminError};
use geodynamo_http::{Handler, Origin, Reply, ShutdownTrigger, shutdown};
use geodynamo_metrics::MetricsRegistry;
use http::StatusCode;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::Notify,
};

pub const REGION: &str = "eu-west-1";
pub const KEY: &str = "AKIDEXAMPLE";
pub const SECRET: &str = "hush";

/// The longest that a test waits for anything.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Answers with what it was asked, or misbehaves as its operation says.
#[derive(Default)]
pub struct Echo {
    /// Lets one `Wait` go on.
    pub go: Arc<Notify>,
    /// Says that a `Wait` has begun.
    pub begun: Arc<Notify>,
    /// How many `Wait`s have ended.
    pub ended: Arc<AtomicU64>,
}

impl Handler for Echo {
    fn operations(&self) -> &'static [&'static str] {
        &["Break", "Echo", "Fail", "Panic", "Wait"]
    }

    fn operation(&self, target: &str) -> Option<usize> {
        let name = target.strip_prefix("DynamoDB_20120810.")?;
        self.operations().iter().position(|known| *known == name)
    }

    async fn call(&self, origin: Origin, target: &str, body: Bytes) -> Reply {
        let principal = &origin.principal;
        let reply = |status, body| Reply {
            status,
            body,
            fault: None,
            session: None,
        };
        match target {
            "DynamoDB_20120810.Panic" => panic!("as asked"),
            "DynamoDB_20120810.Break" => Reply {
                fault: Some("the disk is full".into()),
                ..reply(StatusCode::INTERNAL_SERVER_ERROR, "{}".into())
            },
            "DynamoDB_20120810.Fail" => {
                let text = json!({ "__type": "x#ValidationException", "message": "no" }).to_string();
                reply(StatusCode::BAD_REQUEST, text.into())
            }
            "DynamoDB_20120810.Wait" => {
                self.begun.notify_one();
                self.go.notified().await;
                self.ended.fetch_add(1, Ordering::SeqCst);
                reply(StatusCode::OK, "{}".into())
            }
            _ => {
                let text = json!({
                    "key": &*principal.access_key_id,
                    "account": &*principal.caller.account,
                    "bytes": body.len(),
                    "sum": body.iter().map(|byte| u64::from(*byte)).sum::<u64>(),
                });
                reply(StatusCode::OK, text.to_string().into())
            }
        }
    }
}

/// Knows one table.
pub struct OneTable;

impl Admin for OneTable {
    fn readiness(&self) -> Result<(), String> {
        Ok(())
    }

    async fn digest(&self, table: &str) -> Result<Value, AdminError> {
        match table {
            "music" => Ok(json!({ "partitions": ["ab"] })),
            other => Err(AdminError::NoSuchTable(other.to_owned())),
        }
    }

    fn verify_report(&self, _table: Option<&str>) -> Result<Value, AdminError> {
        Ok(json!({ "tables": [] }))
    }

    fn insights(&self, _: Option<&str>, _: Option<&str>, _: Option<u64>) -> Result<Value, AdminError> {
        Ok(json!({ "insights": [] }))
    }

    fn verify_now(&self, table: Option<&str>) -> Result<Value, AdminError> {
        self.verify_report(table)
    }

    async fn forget_region(&self, region: &str) -> Result<Value, AdminError> {
        Err(AdminError::Refused(region.to_owned()))
    }

    async fn conflicts(&self, table: &str, _after: &str, _limit: usize) -> Result<Value, AdminError> {
        Err(AdminError::NoSuchTable(table.to_owned()))
    }

    async fn conflict(&self, _table: &str, id: &str) -> Result<Value, AdminError> {
        Err(AdminError::NoSuchConflict(id.to_owned()))
    }
}

/// A running region.
pub struct Region {
    pub ports: Ports,
    pub trigger: ShutdownTrigger,
    pub go: Arc<Notify>,
    pub begun: Arc<Notify>,
    pub ended: Arc<AtomicU64>,
}

impl Region {
    /// Starts one with these lines in its configuration.
    pub async fn start(mode: Mode, more: &str) -> Self {
        let text = format!(
            "region = \"{REGION}\"\nnode = \"a\"\ndata_dir = \"none\"\nlisten = {{ data = \"127.0.0.1:0\", admin = \
             \"127.0.0.1:0\" }}\ncredentials = [{{ access_key_id = \"{KEY}\", secret_access_key = \"{SECRET}\", account = \
             \"123456789012\" }}]\n{more}"
        );
        let config = Config::parse("test", &text).unwrap();
        let (trigger, signal) = shutdown();
        let echo = Echo::default();
        let (go, begun, ended) = (Arc::clone(&echo.go), Arc::clone(&echo.begun), Arc::clone(&echo.ended));
        let registry = MetricsRegistry::with_process();
        let callers = Callers {
            mode,
            source: None,
            house: None,
            auditing: None,
        };
        let listeners = Listeners::bind(&config).await.unwrap();
        let ports = Ports::start(&config, listeners, callers, |_| echo, OneTable, &registry, signal).unwrap();
        Self {
            ports,
            trigger,
            go,
            begun,
            ended,
        }
    }

    pub fn host(&self) -> String {
        self.ports.data_address().to_string()
    }

    /// A signed HTTP/1.1 request, as bytes.
    pub fn signed(&self, target: &str, body: &[u8]) -> Vec<u8> {
        self.signed_at(target, body, now_unix_s())
    }

    pub fn signed_at(&self, target: &str, body: &[u8], unix_s: i64) -> Vec<u8> {
        let mut request = self.signed_head(target, body, unix_s, &format!("content-length: {}\r\n", body.len()));
        request.extend_from_slice(body);
        request
    }

    /// The head only, with `more` lines.
    pub fn signed_head(&self, target: &str, body: &[u8], unix_s: i64, more: &str) -> Vec<u8> {
        let host = self.host();
        let signature = Signer::new(KEY, SECRET, REGION, &host).sign(target, body, unix_s);
        format!(
            "POST / HTTP/1.1\r\nhost: {host}\r\nx-amz-target: {target}\r\nx-amz-date: {}\r\nauthorization: \
             {}\r\n{more}\r\n",
            signature.date, signature.authorization
        )
        .into_bytes()
    }

    pub async fn connect(&self) -> Client {
        Client::connect(self.ports.data_address()).await
    }

    pub async fn admin(&self, path: &str) -> Answer {
        let mut client = Client::connect(self.ports.admin_address()).await;
        client
            .send(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").as_bytes())
            .await;
        client.answer().await
    }

    /// That the region still answers a well-behaved client.
    pub async fn assert_unharmed(&self) {
        let mut client = self.connect().await;
        client.send(&self.signed("DynamoDB_20120810.Echo", b"{}")).await;
        assert_eq!(client.answer().await.status, 200);
    }
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// In lower case.
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// A raw connection.
pub struct Client {
    socket: TcpStream,
}

impl Client {
    pub async fn connect(address: SocketAddr) -> Self {
        Self {
            socket: TcpStream::connect(address).await.unwrap(),
        }
    }

    pub async fn send(&mut self, bytes: &[u8]) {
        self.socket.write_all(bytes).await.unwrap();
    }

    pub async fn try_send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.socket.write_all(bytes).await
    }

    pub async fn answer(&mut self) -> Answer {
        tokio::time::timeout(PATIENCE, self.read_answer())
            .await
            .expect("no answer")
            .expect("no whole answer")
    }

    /// That the other side closes, answering nothing (more).
    pub async fn assert_closed(&mut self) {
        let mut rest = Vec::new();
        let end = tokio::time::timeout(PATIENCE, self.socket.read_to_end(&mut rest))
            .await
            .expect("still open");
        // A reset is an end, too.
        assert!(end.is_err() || rest.is_empty(), "{}", String::from_utf8_lossy(&rest));
    }

    /// All that comes until the other side hangs up.
    pub async fn read_to_end(&mut self) -> String {
        let mut bytes = Vec::new();
        // A reset is an end, too.
        let _ = tokio::time::timeout(PATIENCE, self.socket.read_to_end(&mut bytes))
            .await
            .expect("still open");
        String::from_utf8_lossy(&bytes).into_owned()
    }

    async fn read_answer(&mut self) -> io::Result<Answer> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.socket.read_u8().await?);
        }
        let head = String::from_utf8(head).unwrap().to_lowercase();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let mut answer = Answer {
            status,
            head,
            body: Vec::new(),
        };
        let length = answer.header("content-length").map_or(0, |text| text.parse().unwrap());
        answer.body.resize(length, 0);
        self.socket.read_exact(&mut answer.body).await?;
        Ok(answer)
    }
}

pub fn now_unix_s() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
        .try_into()
        .unwrap()
}

/// Waits until `check` holds.
pub async fn until<F: Future<Output = bool>>(mut check: impl FnMut() -> F) {
    let deadline = Instant::now() + PATIENCE;
    while !check().await {
        assert!(Instant::now() < deadline, "it never came to that");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
