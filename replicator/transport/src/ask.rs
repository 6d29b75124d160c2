//! Short questions to a peer, each on a stream of its own beside the link: how far a table's change logs go there, and what
//! services of the house ask each other ([`Asker::call`]).
//!
//! Whoever asks sends one frame, and gets one. An answer tells what was so after the question was put, by the asker's own clock.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use geodynamo_replicator_core::{CopyRequest, HostError, ReplicaId, TableId, frame::FRAME_BYTES_MAX, verify::Standing};
use quinn::{Connection, RecvStream, SendStream};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_bytes::ByteBuf;
use tokio::{sync::Semaphore, time::timeout};

use crate::{Host, wire};

/// The most questions that one peer may put at a time; further ones wait for their turn.
pub(crate) const ASKS_PER_PEER_MAX: u32 = 8;
/// How long one may take, its turn included.
const ASK_TIMEOUT: Duration = Duration::from_secs(10);
/// The most calls of services to one peer at a time; further ones wait for their turn.
pub(crate) const CALLS_PER_PEER_MAX: u32 = 4;
/// How long a call may take, its turn included.
const CALL_TIMEOUT: Duration = Duration::from_secs(60);
/// The most bytes of what a call asks, and of its answer: with what is around them they fit into a frame.
pub const CALL_BYTES_MAX: usize = FRAME_BYTES_MAX - 64 * 1024;

/// The first frame on a stream beside the link.
#[derive(Debug, Deserialize)]
pub(crate) enum First {
    /// A copy is asked for: [`CopyFrame::Request`](geodynamo_replicator_core::join::CopyFrame::Request).
    #[serde(rename = "request")]
    Copy(CopyRequest),
    /// A verification begins: [`Question::Begin`](geodynamo_replicator_core::verify::Question::Begin).
    #[serde(rename = "begin")]
    Verify {
        #[serde(rename = "t")]
        table: TableId,
        #[serde(rename = "r")]
        replica: ReplicaId,
        #[serde(rename = "s")]
        standing: Standing,
    },
    /// [`Ask::Ends`].
    #[serde(rename = "ends")]
    Ends {
        #[serde(rename = "t")]
        table: TableId,
    },
    /// [`Ask::Call`].
    #[serde(rename = "call")]
    Call {
        #[serde(rename = "n")]
        service: String,
        #[serde(rename = "b")]
        body: ByteBuf,
    },
}

/// A question.
#[derive(Debug, Serialize)]
pub(crate) enum Ask<'a> {
    /// How far do your own logs of this table go?
    #[serde(rename = "ends")]
    Ends {
        #[serde(rename = "t")]
        table: TableId,
    },
    /// A service of the house asks its like.
    #[serde(rename = "call")]
    Call {
        #[serde(rename = "n")]
        service: &'a str,
        #[serde(rename = "b")]
        body: &'a serde_bytes::Bytes,
    },
}

/// An answer.
#[derive(Debug, Serialize, Deserialize)]
struct Answer {
    /// In the form that the holders of the tables have among themselves; nothing if the asker may not know.
    #[serde(rename = "s")]
    seen: Option<ByteBuf>,
}

/// An answer to a service.
#[derive(Debug, Serialize, Deserialize)]
struct Called {
    #[serde(rename = "b")]
    body: Option<ByteBuf>,
    /// Why there is none.
    #[serde(rename = "e", default)]
    error: Option<String>,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// There is no connection to the peer now.
    #[error("there is no link to '{0}'")]
    NoLink(String),
    /// The connection, or the peer, failed.
    #[error("'{0}' does not answer: {1}")]
    Failed(String, String),
}

/// Puts questions to peers. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Asker(Arc<Mutex<BTreeMap<String, Reached>>>);

/// A peer that there is a connection to.
#[derive(Clone, Debug)]
struct Reached {
    connection: Connection,
    /// Whose turn it is to call.
    calls: Arc<Semaphore>,
}

impl Asker {
    fn connections(&self) -> MutexGuard<'_, BTreeMap<String, Reached>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reached(&self, region: &str) -> Result<Reached, AskError> {
        let reached = self.connections().get(region).cloned();
        reached.ok_or_else(|| AskError::NoLink(region.to_owned()))
    }

    pub(crate) fn connected(&self, region: &str, connection: &Connection) {
        let reached = Reached {
            connection: connection.clone(),
            calls: Arc::new(Semaphore::new(CALLS_PER_PEER_MAX as usize)),
        };
        self.connections().insert(region.to_owned(), reached);
    }

    pub(crate) fn disconnected(&self, region: &str) {
        self.connections().remove(region);
    }

    /// Asks a peer how far its own logs of a table go; `None` if it has no such table, or none for this region.
    ///
    /// # Errors
    /// The peer cannot be reached, or does not answer in ten seconds.
    pub async fn ends(&self, region: &str, table: TableId) -> Result<Option<Vec<u8>>, AskError> {
        let reached = self.reached(region)?;
        let failed = |reason: String| AskError::Failed(region.to_owned(), reason);
        match timeout(ASK_TIMEOUT, ask::<Answer>(&reached.connection, &Ask::Ends { table })).await {
            Ok(answer) => Ok(answer.map_err(failed)?.seen.map(ByteBuf::into_vec)),
            Err(_) => Err(failed("it takes too long".into())),
        }
    }

    /// Asks a peer on behalf of a service of the house, and gives what [`Host::called`] answers there. At most
    /// [`CALL_BYTES_MAX`] bytes either way.
    ///
    /// # Errors
    /// The peer cannot be reached, has no such service, or does not answer in a minute.
    pub async fn call(&self, region: &str, service: &str, body: &[u8]) -> Result<Vec<u8>, AskError> {
        let reached = self.reached(region)?;
        let failed = |reason: String| AskError::Failed(region.to_owned(), reason);
        if body.len() > CALL_BYTES_MAX {
            return Err(failed("what is asked is too long".into()));
        }
        let asking = async {
            let _turn = reached.calls.acquire().await.map_err(|error| error.to_string())?;
            let body = serde_bytes::Bytes::new(body);
            ask::<Called>(&reached.connection, &Ask::Call { service, body }).await
        };
        let called = match timeout(CALL_TIMEOUT, asking).await {
            Ok(called) => called.map_err(failed)?,
            Err(_) => return Err(failed("it takes too long".into())),
        };
        match called.body {
            Some(body) => Ok(body.into_vec()),
            None => Err(failed(called.error.unwrap_or_default())),
        }
    }
}

async fn ask<A: DeserializeOwned>(connection: &Connection, question: &Ask<'_>) -> Result<A, String> {
    let (mut send, mut receive) = connection.open_bi().await.map_err(|error| error.to_string())?;
    let mut out = Vec::new();
    wire::append(&mut out, question).map_err(|error| error.to_string())?;
    send.write_all(&out).await.map_err(|error| error.to_string())?;
    send.finish().map_err(|error| error.to_string())?;
    match wire::read::<A>(&mut receive).await {
        Ok(Some(answer)) => Ok(answer),
        Ok(None) => Err("it gave no answer".into()),
        Err(error) => Err(error.to_string()),
    }
}

/// Answers a question about a table's ends.
pub(crate) async fn answer<H: Host>(
    host: &H,
    table: TableId,
    send: &mut SendStream,
    region: &str,
) -> Result<(), String> {
    let answer = Answer {
        seen: host.own_ends(region, table).map(ByteBuf::from),
    };
    let mut out = Vec::new();
    wire::append(&mut out, &answer).map_err(|error| error.to_string())?;
    send.write_all(&out).await.map_err(|error| error.to_string())?;
    send.finish().map_err(|error| error.to_string())
}

/// Answers a service of a peer.
pub(crate) async fn answer_call<H: Host>(
    host: &H,
    (service, body): (&str, Vec<u8>),
    send: &mut SendStream,
    region: &str,
) -> Result<(), String> {
    let called = match host.called(region, service, body.into()).await {
        Ok(body) if body.len() > CALL_BYTES_MAX => Called {
            body: None,
            error: Some("the answer is too long".into()),
        },
        Ok(body) => Called {
            body: Some(ByteBuf::from(body)),
            error: None,
        },
        Err(HostError(reason)) => Called {
            body: None,
            error: Some(reason),
        },
    };
    let mut out = Vec::new();
    wire::append(&mut out, &called).map_err(|error| error.to_string())?;
    send.write_all(&out).await.map_err(|error| error.to_string())?;
    send.finish().map_err(|error| error.to_string())
}

/// Reads the first frame of a stream.
pub(crate) async fn first(receive: &mut RecvStream) -> Result<Option<First>, String> {
    wire::read::<First>(receive).await.map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use geodynamo_replicator_core::{CopyMark, frame, join::CopyFrame};

    use super::*;

    #[test]
    fn a_stream_begins_with_a_copy_or_a_question() {
        let request = CopyRequest {
            table: TableId(1),
            join: 2,
            after: Some(CopyMark(3, (&b"\x00\xffkey"[..]).into())),
        };
        let bytes = frame::encode(&CopyFrame::Request(request.clone())).unwrap();
        let read = frame::decode::<First>(&bytes).unwrap();
        assert!(matches!(read, First::Copy(read) if read == request));
        let bytes = frame::encode(&Ask::Ends {
            table: TableId(u64::MAX),
        })
        .unwrap();
        let read = frame::decode::<First>(&bytes).unwrap();
        assert!(matches!(
            read,
            First::Ends {
                table: TableId(u64::MAX)
            }
        ));
        let body = serde_bytes::Bytes::new(b"\x00\xff");
        let bytes = frame::encode(&Ask::Call { service: "s", body }).unwrap();
        let read = frame::decode::<First>(&bytes).unwrap();
        assert!(matches!(read, First::Call { service, body } if service == "s" && *body == b"\x00\xff"));
        let bytes = frame::encode(&Answer {
            seen: Some(ByteBuf::from(*b"\x01\xff")),
        });
        let read = frame::decode::<Answer>(&bytes.unwrap()).unwrap();
        assert_eq!(read.seen, Some(ByteBuf::from(*b"\x01\xff")));
    }
}
