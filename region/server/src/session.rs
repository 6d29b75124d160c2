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
use geodynamo_api::Reply as ApiReply;
use geodynamo_http::{
    Reply,
    session::{Asked, SESSION, STALENESS_MS, Token, WAIT_MS, is_read},
};
use geodynamo_replicator::Asker;
use geodynamo_storage::Engine;
use geodynamo_table::{SESSION_CHARS_MAX, Seen, Tables, noting};
use http::{HeaderName, HeaderValue, StatusCode};
use prometheus_client::metrics::{counter::Counter, family::Family};
use serde_json::json;
use tokio::time::Instant;

pub(crate) use self::fresh::ENDS;
use self::fresh::Freshness;

/// What asks for a token, besides an empty value.
const NEW: &str = "new";
/// The error of a region that has not caught up in time.
const BEHIND: &str = "com.amazonaws.dynamodb.v20120810#ReplicaNotCaughtUpException";
const INVALID: &str = "com.amazon.coral.validate#ValidationException";

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
