//! Derived signing keys, kept because deriving one costs five times what checking a signature does.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use aws_lc_rs::hmac;

use crate::hash;

/// The derived keys of one access key.
///
/// Bounded by its shape: two slots, for even and odd days. Around midnight requests of two days are within the clock
/// window, and neighbouring days never share a slot. A presigned request of last week may take a slot for a moment;
/// that costs the next request a derivation.
#[derive(Debug, Default)]
pub(crate) struct SigningKeyCache {
    by_parity: [ArcSwapOption<SigningKey>; 2],
}

/// A key and the scope that it was derived for.
#[derive(Debug)]
pub(crate) struct SigningKey {
    day: [u8; 8],
    region: Box<str>,
    service: &'static str,
    pub(crate) key: hmac::Key,
}

impl SigningKeyCache {
    /// The key for this scope, derived from `secret_access_key` if it is not at hand. `day` is `YYYYMMDD`, `day_number`
    /// counts days since any fixed one.
    pub(crate) fn key(
        &self,
        secret_access_key: &str,
        day: [u8; 8],
        day_number: i64,
        region: &str,
        service: &'static str,
    ) -> Arc<SigningKey> {
        let slot = &self.by_parity[usize::from(day_number & 1 != 0)];
        if let Some(kept) = &*slot.load()
            && kept.day == day
            && &*kept.region == region
            && kept.service == service
        {
            return Arc::clone(kept);
        }
        let key = hash::derive_signing_key(secret_access_key, &day, region.as_bytes(), service.as_bytes());
        let derived = Arc::new(SigningKey {
            day,
            region: region.into(),
            service,
            key,
        });
        slot.store(Some(Arc::clone(&derived)));
        derived
    }
}
