//! Checks the signatures of requests, as the server under test does.

use std::{sync::Arc, time::SystemTime};

use geodynamo_access::{AccessError, Credential, Keys, Mode, Request};
use hyper::HeaderMap;

/// The account that the one key acts for; nobody asks.
const ACCOUNT: &str = "000000000000";

pub(crate) struct Verifier(geodynamo_access::Verifier);

impl Verifier {
    pub(crate) fn new(access_key_id: String, secret_access_key: String, region: String) -> Verifier {
        let credential = Credential {
            access_key_id,
            secret_access_key,
            session_token: None,
            account: ACCOUNT.to_owned(),
        };
        let keys = Arc::new(Keys::new([credential]));
        Verifier(geodynamo_access::Verifier::new(Mode::Enforce, region, keys))
    }

    /// Fails unless the request was signed with the key.
    pub(crate) fn verify(&self, headers: &HeaderMap, body: &[u8]) -> Result<(), AccessError> {
        let request = Request {
            method: "POST",
            path: "/",
            query: None,
            authority: None,
            headers,
            body,
        };
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let now_s = since.map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX));
        self.0.verify(&request, now_s).map(drop)
    }
}
