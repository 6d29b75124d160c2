//! The accepting side: one task a connection, which applies a peer's logs and gives it copies.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use geodynamo_replicator_core::{
    Applied, ApplyError, Batch, Delta, Frame, Millis, Traced,
    link::{Receiver, receiver::Action, receiver::Event},
};
use quinn::{Connection, ConnectionError, Incoming, RecvStream, SendStream, TransportErrorCode, VarInt};
use rustls::{
    client::verify_server_name,
    pki_types::{CertificateDer, ServerName},
    server::ParsedCertificate,
};
use tokio::{task::JoinSet, time::sleep};

use crate::{
    Host,
    bundle::{Bundle, Bundles},
    ca::node_name,
    copy,
    dial::LINK_PRIORITY,
    metrics::{LinkMetrics, add},
    replicator::Shared,
    tick::Tick,
    traces::Held,
    unsent::Unsent,
    wire,
};

/// The most connections from peers at a time. A cluster has a handful of regions; a reconnect may overlap its predecessor.
const CONNECTIONS_MAX: usize = 256;
/// How long a connection may take to say who it is.
const HELLO_TIMEOUT: Duration = Duration::from_secs(5);
/// How often the round trip is read for the metrics.
const MEASURE_EVERY: Duration = Duration::from_secs(1);

type ApplyResult = Result<Applied, ApplyError>;

/// Accepts connections until shutdown; then waits until what is being applied is durable.
pub(crate) async fn accept<H: Host>(shared: Arc<Shared<H>>) {
    let mut shutdown = shared.shutdown.clone();
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            incoming = shared.endpoint.accept() => {
                let Some(incoming) = incoming else { break };
                if connections.len() >= CONNECTIONS_MAX {
                    incoming.refuse();
                } else {
                    connections.spawn(serve(Arc::clone(&shared), incoming));
                }
            }
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            _ = shutdown.wait_for(|&is_down| is_down) => break,
        }
    }
    while connections.join_next().await.is_some() {}
}

async fn serve<H: Host>(shared: Arc<Shared<H>>, incoming: Incoming) {
    let from = incoming.remote_address();
    let mut shutdown = shared.shutdown.clone();
    let connection = tokio::select! {
        connection = async { incoming.await } => match connection {
            Ok(connection) => connection,
            Err(error) if was_given_up(&error) => {
                return tracing::info!(%from, "a peer gave up a connection before it was made: {error}");
            }
            Err(error) => return tracing::warn!(%from, "a connection was refused: {error}"),
        },
        _ = shutdown.wait_for(|&is_down| is_down) => return,
    };
    if let Err(error) = greet(&shared, &connection).await {
        tracing::info!(%from, "a link from a peer ended: {error}");
    }
    connection.close(VarInt::from_u32(0), b"link ended");
}

/// Whether a handshake ended because the peer, or the network, did not go on with it; nobody was refused then.
fn was_given_up(error: &ConnectionError) -> bool {
    match error {
        ConnectionError::TimedOut | ConnectionError::Reset | ConnectionError::ApplicationClosed(_) => true,
        ConnectionError::ConnectionClosed(close) => close.error_code == TransportErrorCode::APPLICATION_ERROR,
        _ => false,
    }
}

/// Reads who the peer says it is, holds it against its certificate, and then serves it.
async fn greet<H: Host>(shared: &Arc<Shared<H>>, connection: &Connection) -> Result<(), String> {
    let mut shutdown = shared.shutdown.clone();
    let greeting = async {
        let (send, mut receive) = connection.accept_bi().await.map_err(|error| error.to_string())?;
        let hello = wire::read::<Frame>(&mut receive)
            .await
            .map_err(|error| error.to_string())?;
        Ok::<_, String>((send, receive, hello))
    };
    let (send, receive, hello) = tokio::select! {
        greeting = greeting => greeting?,
        () = sleep(HELLO_TIMEOUT) => return Err("it does not say who it is".into()),
        _ = shutdown.wait_for(|&is_down| is_down) => return Ok(()),
    };
    let Some(hello @ Frame::Hello { .. }) = hello else {
        return Err("its first frame is no hello".into());
    };
    let Frame::Hello { region, .. } = &hello else {
        return Err("its first frame is no hello".into());
    };
    let region = region.clone();
    check_certificate(connection, &node_name(&shared.own.cluster, &region))?;
    shared.faults.seen_at(&region, connection.remote_address());
    if shared.faults.of(&region).is_some_and(|fault| fault.cut) {
        return Err(format!("the link from {region} is cut on purpose"));
    }
    let metrics = shared.metrics.from(&region);
    let mut copies = JoinSet::new();
    let link = drive(shared, &region, &metrics, connection, send, receive, hello);
    tokio::pin!(link);
    let outcome = loop {
        tokio::select! {
            outcome = &mut link => break outcome,
            stream = connection.accept_bi() => match stream {
                // The transport settings bound how many streams a peer may have open.
                Ok((send, receive)) => {
                    let (host, region) = (Arc::clone(&shared.host), region.clone());
                    copies.spawn(async move { copy::give(host.as_ref(), send, receive, &region).await });
                }
                // The link sees the same end and finishes what it is applying.
                Err(_) => break link.await,
            },
            Some(_) = copies.join_next(), if !copies.is_empty() => {}
        }
    };
    metrics.connected.store(false, Relaxed);
    outcome
}

/// TLS has verified that the cluster's authority issued the certificate; here, that it names the region that is claimed.
fn check_certificate(connection: &Connection, name: &str) -> Result<(), String> {
    let identity = connection.peer_identity().ok_or("no certificate")?;
    let chain = identity
        .downcast::<Vec<CertificateDer<'static>>>()
        .map_err(|_| "no X.509 certificate")?;
    let certificate =
        ParsedCertificate::try_from(chain.first().ok_or("no certificate")?).map_err(|error| error.to_string())?;
    let name = ServerName::try_from(name).map_err(|_| format!("{name:?} is no name"))?;
    verify_server_name(&certificate, &name).map_err(|error| format!("its certificate is not for {name:?}: {error}"))
}

/// Runs a receiver over a link's stream until it ends or the replicator shuts down.
async fn drive<H: Host>(
    shared: &Arc<Shared<H>>,
    region: &str,
    metrics: &Arc<LinkMetrics>,
    connection: &Connection,
    mut stream: SendStream,
    incoming: RecvStream,
    hello: Frame,
) -> Result<(), String> {
    stream.set_priority(LINK_PRIORITY).map_err(|error| error.to_string())?;
    let mut frames = wire::Frames::new(incoming);
    let mut receiver = Receiver::new(shared.own.clone(), region, shared.credit_bytes, shared.now());
    receiver.handle(shared.now(), Event::Frame(hello));
    let mut catalog = shared.host.catalog();
    let mut shutdown = shared.shutdown.clone();
    let mut measured = tokio::time::interval(MEASURE_EVERY);
    let mut jobs = Jobs(JoinSet::new());
    let mut out = Unsent::default();
    let mut heard = Vec::new();
    let mut traces = Held::default();
    let mut tick = Tick::new();
    let outcome = loop {
        if let Err(error) = act(shared, &mut receiver, &mut jobs, &mut out, &mut traces, metrics) {
            break Err(error);
        }
        tick.arm(shared.now(), receiver.poll_timeout().unwrap_or(0));
        tokio::select! {
            // All that is there: what came together is applied together.
            read = frames.read(&mut heard) => match read {
                Ok(()) if heard.is_empty() => break Ok(()),
                Ok(()) => for frame in heard.drain(..) {
                    take_in(frame, &mut receiver, shared.now(), &mut traces, metrics);
                },
                Err(error) => break Err(error.to_string()),
            },
            Some(events) = jobs.0.join_next(), if !jobs.0.is_empty() => match events {
                Ok(events) => events.into_iter().for_each(|event| receiver.handle(shared.now(), event)),
                Err(error) => break Err(format!("applying failed: {error}")),
            },
            bytes = stream.write(out.rest()), if !out.is_empty() => match bytes {
                Ok(bytes) => {
                    add(&metrics.bytes_sent, bytes as u64);
                    out.took(bytes);
                }
                Err(error) => break Err(error.to_string()),
            },
            changed = catalog.changed() => match changed {
                Ok(()) => receiver.handle(shared.now(), Event::Catalog),
                Err(_) => break Err("the host is gone".into()),
            },
            _ = shutdown.wait_for(|&is_down| is_down) => break Ok(()),
            _ = measured.tick() => {
                let rtt_us = u64::try_from(connection.rtt().as_micros()).unwrap_or(u64::MAX);
                metrics.rtt_us.store(rtt_us, Relaxed);
            }
            () = tick.gone_off() => receiver.handle(shared.now(), Event::Tick),
        }
    };
    // What has come is applied, and what is being applied is not torn off; acknowledgements may be lost, which is harmless.
    receiver.handle(shared.now(), Event::End);
    let _ = act(shared, &mut receiver, &mut jobs, &mut out, &mut traces, metrics);
    while jobs.0.join_next().await.is_some() {}
    outcome
}

/// What a link asks of the host. Once begun it goes to its end, also where the link is dropped: a half of an apply is
/// nothing that a table could do with.
struct Jobs(JoinSet<Vec<Event>>);

impl Drop for Jobs {
    fn drop(&mut self) {
        self.0.detach_all();
    }
}

fn take_in(frame: Frame, receiver: &mut Receiver, now: Millis, held: &mut Held, metrics: &LinkMetrics) {
    if let Frame::Deltas { deltas, traces, .. } = &frame {
        held.take_in(traces);
        add(&metrics.deltas_received, deltas.len() as u64);
    }
    receiver.handle(now, Event::Frame(frame));
}

/// Does what the receiver wants done.
fn act<H: Host>(
    shared: &Arc<Shared<H>>,
    receiver: &mut Receiver,
    Jobs(jobs): &mut Jobs,
    out: &mut Unsent,
    traces: &mut Held,
    metrics: &Arc<LinkMetrics>,
) -> Result<(), String> {
    let mut bundles = Bundles::default();
    while let Some(action) = receiver.poll_action() {
        match action {
            Action::Send(mut frame) => {
                if let Frame::Pong { now_ms, .. } = &mut frame {
                    // Of the clock that stamps are made by, which may have been set since the replicator began.
                    *now_ms = shared.host.now_ms();
                }
                out.append(&frame).map_err(|error| error.to_string())?;
            }
            Action::Established(peer) => {
                tracing::info!(peer = peer.region, replica = %peer.replica, "a peer's link is up");
                add(&metrics.connections, 1);
                metrics.connected.store(true, Relaxed);
            }
            Action::LookUpCursor(ticket, info) => {
                let Some(peer) = receiver.peer().cloned() else { continue };
                let host = Arc::clone(&shared.host);
                jobs.spawn(async move {
                    let cursor = host.cursor(&peer, &info).await.unwrap_or_else(|error| {
                        tracing::warn!(log = %info.log, "a cursor cannot be read: {error}");
                        None
                    });
                    vec![Event::Cursor(ticket, cursor)]
                });
            }
            Action::Apply(ticket, batch) => bundles.put(ticket, batch),
            Action::Disconnect(violation) => return Err(violation.to_string()),
        }
    }
    for Bundle { tickets, batches, .. } in bundles.0 {
        let (shared, metrics) = (Arc::clone(shared), Arc::clone(metrics));
        let traces = traces.give_out(&batches);
        jobs.spawn(async move {
            let answers = apply(&shared, &metrics, batches, &traces).await;
            let events = tickets.into_iter().zip(answers);
            events.map(|(ticket, answer)| Event::Applied(ticket, answer)).collect()
        });
    }
    Ok(())
}

/// Applies a bundle's stretches, and answers for each.
async fn apply<H: Host>(
    shared: &Shared<H>,
    metrics: &LinkMetrics,
    batches: Vec<Batch>,
    traces: &[Traced],
) -> Vec<ApplyResult> {
    let (tables, count) = (batches.iter().map(|batch| batch.log.table), batches.len());
    let Some((peer, table)) = batches.first().map(|batch| batch.from.clone()).zip(tables.min()) else {
        return Vec::new();
    };
    let traced = (!traces.is_empty()).then(|| {
        let contexts: Vec<_> = traces.iter().map(|traced| traced.context).collect();
        shared.host.applying(&peer, table, &contexts)
    });
    let (region, replica) = (peer.region, peer.replica);
    let deltas = batches.iter().map(|batch| batch.deltas.len()).sum();
    let times: Vec<Vec<Millis>> = match shared.observer {
        Some(_) => batches.iter().map(written_by_peer).collect(),
        None => vec![Vec::new(); count],
    };
    let begun = Instant::now();
    let outcomes = shared.host.apply(batches).await;
    drop(traced);
    let (took, now) = (begun.elapsed().as_secs_f64(), shared.host.now_ms());
    if outcomes.iter().any(Result::is_ok) {
        add(&metrics.batches, 1);
        if let Some(observer) = &shared.observer {
            observer.applied(&region, deltas, took);
        }
    }
    for (outcome, times) in outcomes.iter().zip(times) {
        match outcome {
            Ok(applied) => {
                add(&metrics.versions_applied, applied.applied.into());
                add(&metrics.duplicates, applied.duplicates.into());
                add(&metrics.parked, applied.parked.into());
                add(&metrics.conflicts, applied.conflicts.into());
                if let Some(observer) = &shared.observer {
                    times
                        .into_iter()
                        .for_each(|time| observer.replicated(&region, table, now.saturating_sub(time)));
                }
            }
            Err(error) => {
                add(&metrics.apply_failures, 1);
                tracing::warn!(peer = region, %table, "a batch was not applied: {error}");
            }
        }
    }
    // Whose version failed is not told: of a bundle that failed in part there are no examples.
    if let Some(observer) = &shared.observer
        && outcomes.iter().all(Result::is_ok)
    {
        for Traced { stamp, context } in traces.iter().filter(|traced| traced.stamp.replica == replica) {
            observer.traced(&region, now.saturating_sub(stamp.time.millis()), *context);
        }
    }
    outcomes
}

/// When the sender wrote what it sends of its own.
fn written_by_peer(batch: &Batch) -> Vec<Millis> {
    let time = |delta: &Delta| match delta {
        Delta::Version { version, .. } if version.stamp.replica == batch.from.replica => {
            Some(version.stamp.time.millis())
        }
        _ => None,
    };
    batch.deltas.iter().filter_map(time).collect()
}
