//! Region keys that a key service holds: AWS KMS, or whatever speaks its API, and Vault's or OpenBao's transit engine.
//!
//! The key's bytes never leave the service: it wraps and unwraps data keys. It is asked when a region starts, when keys are
//! rotated, and now and then whether it is still there; never while requests are answered.

mod kms;
mod masters;
mod transit;

use std::{fmt, future::Future, sync::Arc, time::Duration};

use geodynamo_outgoing::{Client, ClientError};
use geodynamo_seal::{KeyId, RegionKey, Result, SealError, Secret};
use zeroize::Zeroizing;

pub use kms::Kms;
pub use masters::ServiceKeys;
pub use transit::{Token, Transit};

/// How long one call may take.
const CALL_MAX: Duration = Duration::from_secs(5);
/// How often a call is made that fails in a way that may pass.
const ATTEMPTS: u32 = 3;
/// How long to wait before the second time; twice as long before the third.
const AGAIN_AFTER: Duration = Duration::from_millis(200);
/// What is read of an answer.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// A service that has keys.
#[derive(Clone, Debug)]
pub enum Service {
    /// AWS KMS.
    Kms(Kms),
    /// Vault's or OpenBao's transit engine.
    Transit(Transit),
}

/// A key of a service, as a region's key.
pub struct ServiceKey {
    service: Service,
    /// What data keys may have been wrapped under before.
    earlier: Option<Arc<dyn RegionKey>>,
}

/// Why a call came to nothing.
enum Failure {
    /// It may work later.
    Passing(String),
    /// It will not.
    Final(String),
}

impl ServiceKey {
    /// The key of a service. What `earlier` has wrapped can still be unwrapped.
    pub fn new(service: Service, earlier: Option<Arc<dyn RegionKey>>) -> Self {
        Self { service, earlier }
    }

    fn failed(&self, reason: String) -> SealError {
        SealError::Service {
            service: self.source(),
            reason,
        }
    }

    fn refused(&self, reason: String) -> SealError {
        SealError::Refused {
            service: self.source(),
            reason,
        }
    }

    /// Asks the service, on a thread with a runtime of its own: whoever wants a key waits in place, and may be on a thread of
    /// another runtime.
    fn ask<T: Send, F: Future<Output = std::result::Result<T, Failure>> + Send>(
        &self,
        call: impl Fn(Client) -> F + Sync,
    ) -> Result<T> {
        let asking = || -> std::result::Result<T, Failure> {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.map_err(|error| Failure::Passing(error.to_string()))?;
            let client = Client::new(None).map_err(|error: ClientError| Failure::Passing(error.to_string()))?;
            runtime.block_on(async {
                let mut pause = AGAIN_AFTER;
                for attempt in 1.. {
                    match call(client.clone()).await {
                        Ok(answer) => return Ok(answer),
                        Err(Failure::Passing(reason)) if attempt < ATTEMPTS => {
                            tracing::debug!(attempt, reason, "a key service did not answer as it should");
                            tokio::time::sleep(pause).await;
                            pause *= 2;
                        }
                        Err(failure) => return Err(failure),
                    }
                }
                Err(Failure::Passing(String::new()))
            })
        };
        let answer = std::thread::scope(|scope| scope.spawn(asking).join());
        let answer = answer.unwrap_or_else(|_| Err(Failure::Passing("the call broke off".into())));
        answer.map_err(|failure| match failure {
            Failure::Passing(reason) => self.failed(reason),
            Failure::Final(reason) => self.refused(reason),
        })
    }
}

impl RegionKey for ServiceKey {
    fn source(&self) -> String {
        match &self.service {
            Service::Kms(kms) => kms.source(),
            Service::Transit(transit) => transit.source(),
        }
    }

    fn name(&self) -> String {
        match &self.service {
            Service::Kms(kms) => kms.name(),
            Service::Transit(transit) => transit.name(),
        }
    }

    fn wrap(&self, id: KeyId, secret: &Secret) -> Result<Vec<u8>> {
        let id = id.to_string();
        self.ask(|client| async {
            match &self.service {
                Service::Kms(kms) => kms.wrap(client, &id, secret).await,
                Service::Transit(transit) => transit.wrap(client, &id, secret).await,
            }
        })
    }

    fn unwrap(&self, name: &str, id: KeyId, wrapped: &[u8]) -> Result<Option<Secret>> {
        let key = match &self.service {
            Service::Kms(_) => Kms::key_of(name),
            Service::Transit(_) => Transit::key_of(name),
        };
        let Some(key) = key else {
            return match &self.earlier {
                Some(earlier) => earlier.unwrap(name, id, wrapped),
                None => Ok(None),
            };
        };
        let text = id.to_string();
        let bytes: Zeroizing<Vec<u8>> = self.ask(|client| async {
            match &self.service {
                Service::Kms(kms) => kms.unwrap(client, key, &text, wrapped).await,
                Service::Transit(transit) => transit.unwrap(client, key, &text, wrapped).await,
            }
        })?;
        let bytes = <[u8; 32]>::try_from(&bytes[..]);
        let wrong = || self.failed(format!("what it unwrapped is no data key: {id}"));
        Ok(Some(Secret::new(bytes.map_err(|_| wrong())?)))
    }
}

impl fmt::Debug for ServiceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceKey")
            .field("source", &self.source())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
