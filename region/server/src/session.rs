//! Sessions that move between regions, and bounds on how old a read may be.
//!
//! A request with the header `x-geodynamo-session` is answered with a token: what the region has of the tables that the request
//! used, and what its own token told. A request that brings a token waits until this region has all of that, for as long as
//! `x-geodynamo-session-wait-ms` says and the configuration allows. One with `x-geodynamo-max-staleness-ms` is answered from a
//! region that has everything that the others had acknowledged by so many milliseconds ago. What cannot be had in time is told,
//! with a status at which every SDK tries again.
//!
//! Requests without these headers cost two look-ups in their headers.

mod fresh;

use std::{sync::Arc, time::Duration};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use geodynamo_api::{Operation, Reply as ApiReply};
use geodynamo_replicator::Asker;
use geodynamo_storage::Engine;
use geodynamo_table::{SESSION_CHARS_MAX, Seen, Tables, noting};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use prometheus_client::metrics::{counter::Counter, family::Family};
use serde_json::{Value, json};
use tokio::time::Instant;

pub(crate) use self::fresh::ENDS;
use self::fresh::Freshness;
use crate::handler::Reply;

/// Asks for a token, or brings one.
pub(crate) const SESSION: HeaderName = HeaderName::from_static("x-geodynamo-session");
/// How many tables a token could not hold.
pub(crate) const SESSION_DROPPED: HeaderName = HeaderName::from_static("x-geodynamo-session-dropped");
/// How long to wait for this region to catch up.
const WAIT_MS: HeaderName = HeaderName::from_static("x-geodynamo-session-wait-ms");
/// How old what is read may be.
const STALENESS_MS: HeaderName = HeaderName::from_static("x-geodynamo-max-staleness-ms");
/// What asks for a token, besides an empty value.
const NEW: &str = "new";
/// The error of a region that has not caught up in time.
const BEHIND: &str = "com.amazonaws.dynamodb.v20120810#ReplicaNotCaughtUpException";
const INVALID: &str = "com.amazon.coral.validate#ValidationException";

/// What a request's headers ask for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Asked {
    session: Option<HeaderValue>,
    wait_ms: Option<HeaderValue>,
    staleness_ms: Option<HeaderValue>,
}

impl Asked {
    /// What they ask for; mostly nothing.
    pub(crate) fn of(headers: &HeaderMap) -> Option<Box<Self>> {
        let (session, staleness_ms) = (headers.get(SESSION), headers.get(STALENESS_MS));
        if session.is_none() && staleness_ms.is_none() {
            return None;
        }
        Some(Box::new(Self {
            session: session.cloned(),
            wait_ms: headers.get(WAIT_MS).cloned(),
            staleness_ms: staleness_ms.cloned(),
        }))
    }
}

/// A token, and how many tables it could not hold.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Token {
    /// The header's value.
    pub value: HeaderValue,
    /// Tables that were left out of it.
    pub dropped: usize,
}

/// How long requests wait.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Waits {
    /// If they do not say.
    pub(crate) usual: Duration,
    /// At most.
    pub(crate) most: Duration,
}

/// What came of requests, as metrics count it.
pub(crate) type Outcomes = Family<[(&'static str, &'static str); 1], Counter>;

/// The sessions of a region.
pub(crate) struct Sessions<E: Engine> {
    tables: Arc<Tables<E>>,
    cluster: String,
    waits: Waits,
    fresh: Arc<Freshness>,
    outcomes: Outcomes,
}

/// What a request's headers ask for, read.
struct Wanted {
    /// What its token told, if it is to get one.
    seen: Option<Seen>,
    wait: Duration,
    age_max: Option<Duration>,
}

impl<E: Engine> Sessions<E> {
    /// Sessions of tokens of `cluster`. Peers are asked by `asker`.
    pub(crate) fn new(tables: Arc<Tables<E>>, cluster: String, waits: Waits, asker: Asker, outcomes: Outcomes) -> Self {
        Self {
            tables,
            cluster,
            waits,
            fresh: Arc::new(Freshness::new(asker)),
            outcomes,
        }
    }

    /// Carries a request out as its headers ask, and gives the token that goes with the answer. `run` answers it; a read may be
    /// answered twice, the first time in vain.
    pub(crate) async fn serve<F>(
        &self,
        asked: &Asked,
        body: &[u8],
        run: impl Fn() -> F,
    ) -> Result<(ApiReply, Option<Token>), Reply>
    where
        F: Future<Output = ApiReply>,
    {
        let Wanted { seen, wait, age_max } = self.read(asked).map_err(|reason| refusal(400, INVALID, reason))?;
        let until = Instant::now() + wait;
        let mut waited = false;
        if let Some(seen) = seen.as_ref().filter(|seen| !self.tables.merge().has_seen(seen)) {
            waited = true;
            if !self.tables.merge().await_seen(seen, until).await {
                return Err(self.behind("what the session has seen", wait));
            }
        }
        let (mut reply, mut noted) = noting(run()).await;
        if let Some(age_max) = age_max.filter(|_| is_read(reply.operation, body)) {
            // Which tables it reads is known only now. What was proven lately holds for the read that there was already.
            let open = self.fresh.open(&self.tables, &noted, age_max);
            if !open.is_empty() {
                waited = true;
                if let Err(region) = self.fresh.prove(&self.tables, open, age_max, until).await {
                    return Err(self.behind(&format!("what '{region}' has acknowledged"), wait));
                }
                (reply, noted) = noting(run()).await;
            }
        }
        self.count(if waited { "waited" } else { "at_once" });
        let token = seen.and_then(|mut seen| {
            // What a caller may not know of is not in its token.
            if shows_data(&reply) {
                self.tables.merge().note_seen(&mut seen, &noted);
            }
            self.token(&seen)
        });
        Ok((reply, token))
    }

    fn read(&self, asked: &Asked) -> Result<Wanted, String> {
        let millis = |name: &HeaderName, value: &HeaderValue| {
            let number = value.to_str().ok().and_then(|text| text.trim().parse::<u64>().ok());
            let number = number.ok_or_else(|| format!("{name} must be a whole number of milliseconds"))?;
            Ok::<_, String>(Duration::from_millis(number))
        };
        let seen = match asked.session.as_ref().map(HeaderValue::to_str) {
            None => None,
            Some(Ok(text)) => Some(self.parse(text.trim())?),
            Some(Err(_)) => return Err(not_a_token()),
        };
        let wait = asked.wait_ms.as_ref().map(|value| millis(&WAIT_MS, value));
        let age_max = asked.staleness_ms.as_ref().map(|value| millis(&STALENESS_MS, value));
        Ok(Wanted {
            seen,
            wait: wait.transpose()?.unwrap_or(self.waits.usual).min(self.waits.most),
            age_max: age_max.transpose()?,
        })
    }

    fn parse(&self, text: &str) -> Result<Seen, String> {
        if text.is_empty() || text == NEW {
            return Ok(Seen::default());
        }
        if text.len() > SESSION_CHARS_MAX {
            return Err(not_a_token());
        }
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).map_err(|_| not_a_token())?;
        Seen::from_bytes(&bytes, &self.cluster).ok_or_else(not_a_token)
    }

    fn token(&self, seen: &Seen) -> Option<Token> {
        let (bytes, dropped) = seen.to_bytes(&self.cluster);
        // Base64 has nothing that a header must not have.
        let value = HeaderValue::from_str(&BASE64_URL_SAFE_NO_PAD.encode(bytes)).ok()?;
        Some(Token { value, dropped })
    }

    fn behind(&self, what: &str, wait: Duration) -> Reply {
        self.count("behind");
        let (region, wait_ms) = (self.tables.region(), wait.as_millis());
        refusal(
            StatusCode::SERVICE_UNAVAILABLE.as_u16(),
            BEHIND,
            format!("{region} did not have {what} within {wait_ms} ms"),
        )
    }

    fn count(&self, outcome: &'static str) {
        self.outcomes.get_or_create(&[("outcome", outcome)]).inc();
    }
}

fn not_a_token() -> String {
    format!("{SESSION} must be empty, '{NEW}', or a token that a region of this cluster has given")
}

fn refusal(status: u16, kind: &str, message: String) -> Reply {
    Reply {
        status: StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST),
        body: json!({ "__type": kind, "message": message }).to_string().into(),
        fault: None,
        session: None,
    }
}

/// Whether an answer tells something of what is in tables.
fn shows_data(reply: &ApiReply) -> bool {
    reply.status == 200
        || matches!(
            reply.error.as_deref(),
            Some("ConditionalCheckFailedException" | "TransactionCanceledException")
        )
}

/// Whether a request reads data and changes nothing.
pub(crate) fn is_read(operation: Option<Operation>, body: &[u8]) -> bool {
    match operation {
        Some(
            Operation::GetItem
            | Operation::BatchGetItem
            | Operation::Query
            | Operation::Scan
            | Operation::TransactGetItems,
        ) => true,
        Some(Operation::ExecuteStatement | Operation::BatchExecuteStatement | Operation::ExecuteTransaction) => {
            serde_json::from_slice::<Value>(body).is_ok_and(|body| all_select(&body))
        }
        _ => false,
    }
}

/// Whether a statement, or all statements of a request, only read.
pub(crate) fn all_select(body: &Value) -> bool {
    let is_select = |statement: &Value| {
        let text = statement["Statement"].as_str().unwrap_or_default().trim_start();
        text.get(..6).is_some_and(|word| word.eq_ignore_ascii_case("select"))
    };
    match body.get("Statements").or_else(|| body.get("TransactStatements")) {
        Some(all) => all.as_array().is_some_and(|all| all.iter().all(is_select)),
        None => is_select(body),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_that_only_read() {
        let case = |operation, body: &str| is_read(Some(operation), body.as_bytes());
        assert!(case(Operation::Query, "{}"));
        assert!(!case(Operation::PutItem, "{}"));
        assert!(case(
            Operation::ExecuteStatement,
            r#"{"Statement": " select * from t"}"#
        ));
        assert!(!case(
            Operation::ExecuteStatement,
            r#"{"Statement": "UPDATE t SET a=1"}"#
        ));
        assert!(!case(Operation::ExecuteStatement, "{"));
        let mixed = r#"{"Statements": [{"Statement": "SELECT 1"}, {"Statement": "DELETE"}]}"#;
        assert!(!case(Operation::BatchExecuteStatement, mixed));
        let reads = r#"{"TransactStatements": [{"Statement": "SELECT 1"}, {"Statement": "Select 2"}]}"#;
        assert!(case(Operation::ExecuteTransaction, reads));
    }

    #[test]
    fn nothing_is_asked_for_without_the_headers() {
        let mut headers = HeaderMap::new();
        headers.insert(WAIT_MS, HeaderValue::from_static("5"));
        assert_eq!(Asked::of(&headers), None);
        headers.insert(SESSION, HeaderValue::from_static(""));
        let asked = Asked::of(&headers).unwrap();
        assert_eq!(asked.wait_ms, Some(HeaderValue::from_static("5")));
    }
}
