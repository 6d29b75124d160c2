//! Invoking a function: one event, one outcome.

mod call;
pub(crate) mod hmac;
pub(crate) mod process;
mod runtime;

use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;

use crate::function::{Behind, Function};

/// The longest answer of a function that is read, as Lambda has it for synchronous invocations.
const ANSWER_BYTES_MAX: usize = 6 << 20;

/// What an invocation came to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Outcome {
    /// The function answered.
    Answered(Bytes),
    /// The function failed: it threw, it ended, it took too long.
    Failed(Failure),
    /// The function was not reached: it is busy, or away. That is no fault of what it would have got.
    NotReached(String),
}

/// How a function failed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Failure {
    pub(crate) status: u16,
    /// `Unhandled`
    pub(crate) error: String,
    pub(crate) version: String,
    /// For the log.
    pub(crate) told: String,
}

impl Failure {
    pub(crate) fn unhandled(told: impl Into<String>) -> Self {
        Self {
            status: 200,
            error: "Unhandled".into(),
            version: LATEST.into(),
            told: cut(told.into()),
        }
    }

    fn late(timeout: Duration) -> Self {
        Self::unhandled(format!("Task timed out after {:.2} seconds", timeout.as_secs_f64()))
    }
}

/// The version of a function that has no others.
pub(crate) const LATEST: &str = "$LATEST";

impl Function {
    /// Invokes it, once it has a slot. `request_id` names the invocation.
    pub(crate) async fn invoke(&self, version: Option<&str>, request_id: &str, event: Bytes) -> Outcome {
        // The semaphore is never closed.
        let _slot = self.slots.acquire().await;
        match &self.behind {
            Behind::Invoke(client, endpoint, name) => {
                call::invoke(client, endpoint, name, version, self.timeout, event).await
            }
            Behind::Post(client, endpoint, secret) => {
                let signature = match secret.as_ref().map(|secret| secret.sign(&event)).transpose() {
                    Ok(signature) => signature,
                    // It does not go unsigned.
                    Err(error) => return Outcome::NotReached(format!("events cannot be signed: {error}")),
                };
                let names = call::Names {
                    arn: &self.arn,
                    request_id,
                    signature: signature.as_deref(),
                };
                call::post(client, endpoint, &names, self.timeout, event).await
            }
            Behind::Run(processes) => processes.invoke(request_id, self.timeout, event).await,
        }
    }
}

/// The error in a function's answer, if it is one: runtimes tell them as `{"errorMessage", "errorType"}`.
fn error_in(body: &[u8]) -> Option<String> {
    // Only so much of it is looked at: an error is an object with few members.
    const LOOKED_AT_MAX: usize = 256 << 10;
    if body.len() > LOOKED_AT_MAX || !body.trim_ascii_start().starts_with(b"{") {
        return None;
    }
    let value: Value = serde_json::from_slice(body).ok()?;
    let kind = value.get("errorType")?.as_str()?;
    let message = value.get("errorMessage")?.as_str()?;
    Some(format!("{kind}: {message}"))
}

/// A text for the log.
fn cut(mut text: String) -> String {
    const SHOWN_MAX: usize = 512;
    if let Some((place, _)) = text.char_indices().nth(SHOWN_MAX) {
        text.truncate(place);
    }
    text
}
