//! Verifications: each on its own stream beside the link, as copies are.

use std::time::Duration;

use geodynamo_replicator_core::{
    HostError, Identity, Peer, TableId,
    verify::{Answer, Question, Verified, Verifier, VerifierAction, VerifyOrder},
};
use quinn::{Connection, RecvStream, SendStream};
use tokio::time::timeout;

use crate::{Host, wire};

/// How long the other side may take to answer: it reads at a bounded rate, and others ask it, too.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(600);

/// Carries out a verification that is due, until it is through or breaks off, and tells the host.
pub(crate) async fn ask<H: Host>(host: &H, connection: &Connection, own: &Identity, order: &VerifyOrder, peer: &Peer) {
    let mut ended = Ended {
        host,
        order,
        outcome: Err("the link ended".into()),
    };
    ended.outcome = drive(host, connection, own, order, peer).await;
    if let Err(error) = &ended.outcome {
        tracing::info!(table = %order.table, peer = peer.region, "a verification broke off: {error}");
    }
}

/// Tells the host of the end, also where the link goes away meanwhile.
struct Ended<'a, H: Host> {
    host: &'a H,
    order: &'a VerifyOrder,
    outcome: Result<Verified, String>,
}

impl<H: Host> Drop for Ended<'_, H> {
    fn drop(&mut self) {
        let outcome = std::mem::replace(&mut self.outcome, Err(String::new()));
        self.host.verify_ended(self.order, outcome);
    }
}

async fn drive<H: Host>(
    host: &H,
    connection: &Connection,
    own: &Identity,
    order: &VerifyOrder,
    peer: &Peer,
) -> Result<Verified, String> {
    let (mut send, mut receive) = connection.open_bi().await.map_err(|error| error.to_string())?;
    let mut verifier = Verifier::new(order, own.replica, peer.replica);
    while let Some(action) = verifier.poll_action() {
        match action {
            VerifierAction::Send(question) => write(&mut send, &question).await?,
            VerifierAction::Receive => {
                let read = timeout(ANSWER_TIMEOUT, wire::read::<Answer>(&mut receive)).await;
                match read.map_err(|_| "the peer does not answer".to_owned())? {
                    Ok(Some(answer)) => verifier.answered(answer),
                    Ok(None) => return Err("the peer ended it".into()),
                    Err(error) => return Err(error.to_string()),
                }
            }
            VerifierAction::Do(task) => match host.verify_do(order, peer, task).await {
                Ok(done) => verifier.done(done),
                Err(HostError(reason)) => verifier.failed(reason),
            },
            VerifierAction::Done(verified) => {
                // Fails only if the stream has ended already.
                let _ = send.finish();
                // The last question has no answer: the end says that it was heard.
                let _ = timeout(ANSWER_TIMEOUT, wire::read::<Answer>(&mut receive)).await;
                return Ok(verified);
            }
            VerifierAction::GiveUp(reason) => return Err(reason),
        }
    }
    Err("the verification came to no end".into())
}

/// Answers whoever asks on this stream; it has begun.
pub(crate) async fn answer<H: Host>(
    host: &H,
    send: &mut SendStream,
    receive: &mut RecvStream,
    region: &str,
    first: Question,
) -> Result<(), String> {
    let Question::Begin { table, .. } = first else {
        return Err("it does not say which table it is about".into());
    };
    let table: TableId = table;
    let mut question = first;
    loop {
        let answer = match host.verify_answer(region, table, question).await {
            Ok(answer) => answer,
            Err(HostError(reason)) => {
                write(send, &Answer::Refused { reason }).await?;
                return send.finish().map_err(|error| error.to_string());
            }
        };
        if let Some(answer) = answer {
            write(send, &answer).await?;
        }
        match wire::read::<Question>(receive).await {
            Ok(Some(next)) => question = next,
            Ok(None) => return send.finish().map_err(|error| error.to_string()),
            Err(error) => return Err(error.to_string()),
        }
    }
}

async fn write<T: serde::Serialize>(stream: &mut SendStream, frame: &T) -> Result<(), String> {
    let mut out = Vec::new();
    wire::append(&mut out, frame).map_err(|error| error.to_string())?;
    stream.write_all(&out).await.map_err(|error| error.to_string())
}
