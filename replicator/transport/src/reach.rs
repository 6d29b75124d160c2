//! Getting a connection to a peer, whichever of its nodes answers.

use std::{future::poll_fn, sync::Arc, task::Poll, time::Duration};

use quinn::Connection;
use tokio::time::timeout;

use crate::{Host, ca::node_name, config::PeerConfig, replicator::Shared};

/// How long one attempt to connect may take: several round trips of the longest way around the world.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Dials a peer at several addresses at once: the first connection there is, or why the last one failed.
pub(crate) async fn reach<H: Host>(
    shared: &Arc<Shared<H>>,
    peer: &PeerConfig,
    addresses: &[String],
) -> Result<Connection, String> {
    first_of(addresses.iter().map(|address| connect(shared, peer, address))).await
}

/// Connects to a peer at one of its addresses.
async fn connect<H: Host>(shared: &Arc<Shared<H>>, peer: &PeerConfig, address: &str) -> Result<Connection, String> {
    let at = tokio::net::lookup_host(address)
        .await
        .map_err(|error| format!("{address} cannot be resolved: {error}"))?
        .next()
        .ok_or_else(|| format!("{address} has no address"))?;
    shared.faults.seen_at(&peer.region, at);
    let name = node_name(&shared.own.cluster, &peer.region);
    let connecting = shared.endpoint.connect(at, &name);
    let connecting = connecting.map_err(|error| error.to_string())?;
    timeout(CONNECT_TIMEOUT, connecting)
        .await
        .map_err(|_| "the peer does not answer".to_owned())?
        .map_err(|error| error.to_string())
}

/// The first that works, or why the last one did not. The others are dropped.
async fn first_of<T>(attempts: impl Iterator<Item = impl Future<Output = Result<T, String>>>) -> Result<T, String> {
    let mut attempts: Vec<_> = attempts.map(Box::pin).collect();
    let mut last = "the peer has no address".to_owned();
    while !attempts.is_empty() {
        let next = poll_fn(|context| {
            let ready =
                attempts
                    .iter_mut()
                    .enumerate()
                    .find_map(|(place, attempt)| match attempt.as_mut().poll(context) {
                        Poll::Ready(outcome) => Some((place, outcome)),
                        Poll::Pending => None,
                    });
            ready.map_or(Poll::Pending, Poll::Ready)
        });
        match next.await {
            (_, Ok(done)) => return Ok(done),
            (place, Err(error)) => {
                last = error;
                drop(attempts.swap_remove(place));
            }
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use std::future::ready;

    use super::*;

    #[tokio::test]
    async fn the_first_that_works_counts() {
        let never = || futures_of(None);
        let failed = |text: &str| futures_of(Some(Err(text.to_owned())));
        let works = |number: u8| futures_of(Some(Ok(number)));
        assert_eq!(first_of([never(), failed("a"), works(1)].into_iter()).await, Ok(1));
        assert_eq!(first_of([works(1), never()].into_iter()).await, Ok(1));
        assert_eq!(
            first_of([failed("a"), failed("a")].into_iter()).await,
            Err("a".to_owned())
        );
        let none = std::iter::empty::<std::future::Ready<Result<u8, String>>>();
        assert_eq!(first_of(none).await, Err("the peer has no address".to_owned()));
    }

    /// One that is ready with something, or never.
    async fn futures_of(outcome: Option<Result<u8, String>>) -> Result<u8, String> {
        match outcome {
            Some(outcome) => ready(outcome).await,
            None => std::future::pending().await,
        }
    }
}
