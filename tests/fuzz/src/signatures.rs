//! Signed requests: the Authorization header, the presigned query, dates and the canonical form.

use std::sync::Arc;

use geodynamo_access::{Credential, Keys, Mode, Request, Verifier};
use http::{HeaderMap, HeaderName, HeaderValue};

/// Parts of an input, one a line: headers (`name: value`), or else the path and query. What stands before the first line
/// that is empty; the rest is the body.
pub(crate) fn run(bytes: &[u8]) {
    let end = bytes.windows(2).position(|pair| pair == b"\n\n").unwrap_or(bytes.len());
    let mut headers = HeaderMap::new();
    let mut target = "/";
    for line in bytes[..end].split(|byte| *byte == b'\n') {
        let colon = line.iter().position(|byte| *byte == b':');
        let header = colon.and_then(|at| {
            let name = HeaderName::from_bytes(line.get(..at)?).ok()?;
            Some((name, HeaderValue::from_bytes(line.get(at + 1..)?.trim_ascii()).ok()?))
        });
        match header {
            Some((name, value)) => drop(headers.append(name, value)),
            None => target = std::str::from_utf8(line).unwrap_or(target),
        }
    }
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    };
    let request = Request {
        method: "POST",
        path,
        query,
        authority: Some("localhost"),
        headers: &headers,
        body: bytes.get(end + 2..).unwrap_or_default(),
    };
    for mode in [Mode::Enforce, Mode::Any] {
        let credential = Credential {
            access_key_id: "AKID".into(),
            secret_access_key: "secret".into(),
            session_token: None,
            account: "000000000000".into(),
        };
        let keys = Keys::new([credential]);
        let verified = Verifier::new(mode, "us-east-1", Arc::new(keys)).verify(&request, 1_763_890_000);
        if let Err(error) = verified {
            assert!(!error.to_string().is_empty());
        }
    }
}
