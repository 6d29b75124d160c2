//! Where a service is, and calls to it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use geodynamo_access::{RequestSigner, Unsigned};
use http::{Request, Uri, header};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::{Answer, CallError, Client};

/// What stands in a path as it is.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A service's address.
#[derive(Clone, Debug)]
pub struct Endpoint {
    base: Uri,
    signer: Option<RequestSigner>,
}

/// A key to sign with.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Its public name.
    pub access_key_id: String,
    /// Its secret.
    pub secret_access_key: String,
    /// Of a temporary key.
    pub session_token: Option<String>,
}

/// A call to a service.
#[derive(Clone, Debug)]
pub struct Call<'a> {
    /// `POST`
    pub method: &'a str,
    /// Behind the endpoint's own path; encoded.
    pub path: &'a str,
    /// Encoded.
    pub query: Option<&'a str>,
    /// Headers, with names in lower case.
    pub headers: &'a [(&'a str, &'a str)],
    /// The body.
    pub body: Bytes,
    /// How long it may take.
    pub within: Duration,
    /// How much of an answer is read.
    pub answer_bytes_max: usize,
}

/// An address that is none.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("'{0}' is not an address that begins with http:// or https://")]
pub struct EndpointError(String);

impl Endpoint {
    /// A service at an address such as `http://127.0.0.1:9324`. Calls are signed if there is a key.
    ///
    /// # Errors
    /// If the address is none.
    pub fn new(
        address: &str,
        service: &str,
        region: &str,
        credentials: Option<&Credentials>,
    ) -> Result<Self, EndpointError> {
        let invalid = || EndpointError(address.to_owned());
        let base: Uri = address.parse().map_err(|_| invalid())?;
        let is_http = matches!(base.scheme_str(), Some("http" | "https"));
        if !is_http || base.host().is_none_or(str::is_empty) {
            return Err(invalid());
        }
        let signer = credentials.map(|key| {
            let token = key.session_token.as_deref();
            RequestSigner::new(&key.access_key_id, &key.secret_access_key, token, region, service)
        });
        Ok(Self { base, signer })
    }

    /// The address as it was told.
    pub fn address(&self) -> String {
        self.base.to_string()
    }

    /// Makes a call.
    ///
    /// # Errors
    /// If no answer comes.
    pub async fn call(&self, client: &Client, call: &Call<'_>) -> Result<Answer, CallError> {
        let broken = |error: &dyn std::fmt::Display| CallError::Broken(format!("{}: {error}", self.base));
        let authority = self.base.authority().map_or("", |authority| authority.as_str());
        // What stands before an `@` is not of the host.
        let host = authority.rsplit('@').next().unwrap_or_default();
        let path = format!("{}{}", self.base.path().trim_end_matches('/'), call.path);
        let path = if path.is_empty() { "/" } else { path.as_str() };
        let query = call.query.or(self.base.query());
        let scheme = self.base.scheme_str().unwrap_or("http");
        let uri = match query {
            Some(query) => format!("{scheme}://{host}{path}?{query}"),
            None => format!("{scheme}://{host}{path}"),
        };
        let mut request = Request::builder()
            .method(call.method)
            .uri(uri)
            .header(header::HOST, host);
        for (name, value) in call.headers {
            request = request.header(*name, *value);
        }
        if let Some(signer) = &self.signer {
            let unsigned = Unsigned {
                method: call.method,
                host,
                path,
                query,
                headers: call.headers,
                body: &call.body,
            };
            for (name, value) in signer.sign(&unsigned, now_unix_s()) {
                request = request.header(name, value);
            }
        }
        let request = request.body(call.body.clone()).map_err(|error| broken(&error))?;
        client.send(request, call.within, call.answer_bytes_max).await
    }
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials")
            .field("access_key_id", &self.access_key_id)
            .finish_non_exhaustive()
    }
}

/// A text as one segment of a path.
pub fn encode_segment(text: &str) -> String {
    utf8_percent_encode(text, SEGMENT).to_string()
}

/// Signatures are dated by the machine's clock, as others see it.
fn now_unix_s() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for good in [
            "http://127.0.0.1:9324",
            "https://sqs.eu-west-1.amazonaws.com/",
            "http://[::1]:1/a?b=c",
        ] {
            assert!(Endpoint::new(good, "sqs", "eu-west-1", None).is_ok(), "{good}");
        }
        for bad in ["", "127.0.0.1:9324", "ftp://a", "http://", "/path"] {
            assert!(Endpoint::new(bad, "sqs", "eu-west-1", None).is_err(), "{bad}");
        }
        assert_eq!(encode_segment("a b:c/d"), "a%20b%3Ac%2Fd");
    }
}
