//! What clients that record what they do have in common: one order of all begins and ends, a connection that comes back
//! with its server, a generator of choices.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use geodynamo_loadgen::client::{Connection, Endpoint};
use serde_json::Value;

use crate::Failure;

/// A server that was killed is back within this time.
const BACK_MAX: Duration = Duration::from_secs(60);
/// A call is answered within this time.
const ANSWER_MAX: Duration = Duration::from_secs(30);

/// Numbers moments: what is numbered first happened first.
#[derive(Debug, Default)]
pub struct Moments(AtomicU64);

impl Moments {
    /// Now.
    pub fn now(&self) -> u64 {
        self.0.fetch_add(1, Ordering::SeqCst)
    }
}

/// A client of one server.
pub struct Session {
    endpoint: Endpoint,
    connection: Option<Connection>,
}

/// An answer: the HTTP status and the document.
#[derive(Clone, Debug)]
pub struct Answer {
    /// 200 is success.
    pub status: u16,
    /// The reply.
    pub body: Value,
}

impl Session {
    /// A client that connects when it has something to ask.
    pub fn new(endpoint: Endpoint) -> Self {
        Self {
            endpoint,
            connection: None,
        }
    }

    /// Waits until the server takes connections. Whoever wants to know when a call began calls this first.
    pub async fn ready(&mut self) -> Result<(), Failure> {
        let deadline = Instant::now() + BACK_MAX;
        while self.connection.is_none() {
            match Connection::open(&self.endpoint).await {
                Ok(connection) => self.connection = Some(connection),
                Err(error) if Instant::now() > deadline => return Err(error.into()),
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
        Ok(())
    }

    /// Calls an operation; `None` if no answer came, so that nobody knows whether it was carried out.
    pub async fn call(&mut self, operation: &str, body: &Value) -> Result<Option<Answer>, Failure> {
        self.ready().await?;
        let Some(connection) = &mut self.connection else {
            return Ok(None);
        };
        let target = format!("DynamoDB_20120810.{operation}");
        let text = body.to_string();
        let called = tokio::time::timeout(ANSWER_MAX, connection.call(&target, text.as_bytes())).await;
        let called = called.map_err(|_| format!("{operation} was not answered in {ANSWER_MAX:?}: {body}"))?;
        match called {
            Ok(reply) => Ok(Some(Answer {
                status: reply.status,
                body: serde_json::from_slice(connection.body(reply)).map_err(io::Error::other)?,
            })),
            Err(_) => {
                self.connection = None;
                Ok(None)
            }
        }
    }
}

impl Answer {
    /// The error's name; empty for a success.
    pub fn error(&self) -> &str {
        let kind = self.body["__type"].as_str().unwrap_or_default();
        kind.rsplit('#').next().unwrap_or_default()
    }

    /// Whether the answer says that another write or transaction was in the way, so that nothing was done.
    pub fn is_conflict(&self) -> bool {
        let reasons = self.body["CancellationReasons"].as_array();
        self.error() == "TransactionConflictException"
            || reasons.is_some_and(|all| all.iter().any(|reason| reason["Code"] == "TransactionConflict"))
    }

    /// Whether the answer says that a condition of a transaction did not hold.
    pub fn is_failed_condition(&self) -> bool {
        let reasons = self.body["CancellationReasons"].as_array();
        reasons.is_some_and(|all| all.iter().any(|reason| reason["Code"] == "ConditionalCheckFailed"))
    }
}

/// Makes choices that look random and are the same for the same seed (splitmix64).
#[derive(Clone, Debug)]
pub struct Choices(u64);

impl Choices {
    /// A generator.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `end`, which is not zero.
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % end
    }

    /// Some of the numbers below `end`, each once.
    pub fn some(&mut self, count: usize, end: usize) -> Vec<usize> {
        let mut chosen = Vec::new();
        while chosen.len() < count.min(end) {
            let one = self.below(end as u64) as usize;
            if !chosen.contains(&one) {
                chosen.push(one);
            }
        }
        chosen
    }
}
