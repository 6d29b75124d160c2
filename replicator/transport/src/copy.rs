//! Copies: each on its own stream beside the link, which goes first.

use geodynamo_replicator_core::{
    CopyOrder, Peer,
    join::{CopyFrame, Joiner, JoinerAction, JoinerEvent, Source, SourceAction, SourceEvent},
    verify::Question,
};
use quinn::{Connection, RecvStream, SendStream, VarInt};

use crate::{
    Host,
    ask::{self, First},
    verify, wire,
};

/// Fetches a copy that is due, until it is whole or breaks off.
pub(crate) async fn fetch<H: Host>(host: &H, connection: &Connection, order: &CopyOrder, from: &Peer) {
    match take(host, connection, order, from).await {
        Ok(()) => tracing::info!(table = %order.table, source = order.source, "a copy is whole"),
        Err(error) => tracing::warn!(table = %order.table, source = order.source, "a copy broke off: {error}"),
    }
}

async fn take<H: Host>(host: &H, connection: &Connection, order: &CopyOrder, from: &Peer) -> Result<(), String> {
    let (mut send, mut receive) = connection.open_bi().await.map_err(|error| error.to_string())?;
    let mut joiner = Joiner::new(order);
    while let Some(action) = joiner.poll_action() {
        match action {
            JoinerAction::Send(frame) => write(&mut send, &frame).await?,
            JoinerAction::Receive => match wire::read::<CopyFrame>(&mut receive).await {
                Ok(Some(frame)) => joiner.handle(JoinerEvent::Frame(frame)),
                Ok(None) => return Err("the source ended the copy".into()),
                Err(error) => return Err(error.to_string()),
            },
            JoinerAction::StoreStart(start) => {
                joiner.handle(JoinerEvent::Stored(host.copy_in_start(order, start).await));
            }
            JoinerAction::StoreRows(rows) => {
                let stored = host.copy_in_rows(order, from, rows).await;
                joiner.handle(JoinerEvent::Stored(stored.map(drop)));
            }
            JoinerAction::StoreEnd => joiner.handle(JoinerEvent::Stored(host.copy_in_end(order).await)),
            JoinerAction::Done => return Ok(()),
            JoinerAction::GiveUp(reason) => return Err(reason),
        }
    }
    Err("the copy came to no end".into())
}

/// Gives a copy, or another answer, to whoever asks on this stream.
pub(crate) async fn give<H: Host>(host: &H, mut send: SendStream, mut receive: RecvStream, region: &str) {
    if let Err(error) = serve(host, &mut send, &mut receive, region).await {
        tracing::info!(region, "an answer to a peer broke off: {error}");
        // Fails only if the stream has ended already.
        let _ = send.reset(VarInt::from_u32(1));
    }
}

async fn serve<H: Host>(host: &H, send: &mut SendStream, receive: &mut RecvStream, region: &str) -> Result<(), String> {
    let mut source = Source::new();
    match ask::first(receive).await? {
        Some(First::Copy(request)) => source.handle(SourceEvent::Frame(CopyFrame::Request(request))),
        Some(First::Ends { table }) => return ask::answer(host, table, send, region).await,
        Some(First::Call { service, body }) => {
            return ask::answer_call(host, (&service, body.into_vec()), send, region).await;
        }
        Some(First::Verify {
            table,
            replica,
            standing,
        }) => {
            let begin = Question::Begin {
                table,
                replica,
                standing,
            };
            return verify::answer(host, send, receive, region, begin).await;
        }
        None => return Ok(()),
    }
    while let Some(action) = source.poll_action() {
        match action {
            SourceAction::Send(frame) => write(send, &frame).await?,
            SourceAction::Start(request) => {
                source.handle(SourceEvent::Started(host.copy_out_start(region, &request).await));
            }
            SourceAction::Page {
                table,
                after,
                bytes_max,
            } => {
                source.handle(SourceEvent::Page(host.copy_out_page(table, after, bytes_max).await));
            }
            SourceAction::Finish => return send.finish().map_err(|error| error.to_string()),
            SourceAction::Abort(reason) => return Err(reason.into()),
        }
    }
    Ok(())
}

async fn write(stream: &mut SendStream, frame: &CopyFrame) -> Result<(), String> {
    let mut out = Vec::new();
    wire::append(&mut out, frame).map_err(|error| error.to_string())?;
    stream.write_all(&out).await.map_err(|error| error.to_string())
}
