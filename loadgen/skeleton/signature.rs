//! Checks a SigV4 signature over the headers that loadgen signs.

use std::sync::Mutex;

use aws_lc_rs::{digest, hmac};
use geodynamo_loadgen::signer::{Credentials, push_hex, signing_key};
use hyper::HeaderMap;

pub(crate) struct Verifier {
    secret: String,
    /// The latest scope (`day/region`) and its signing key.
    cached: Mutex<Option<(String, hmac::Key)>>,
}

impl Verifier {
    pub(crate) fn new(secret: String) -> Verifier {
        Verifier {
            secret,
            cached: Mutex::new(None),
        }
    }

    /// Fails unless the request was signed with the secret.
    pub(crate) fn verify(&self, headers: &HeaderMap, body: &[u8]) -> Result<(), &'static str> {
        let header = |name: &str| {
            headers
                .get(name)
                .and_then(|value| value.to_str().ok())
                .ok_or("a header is missing")
        };
        let (host, time, target) = (header("host")?, header("x-amz-date")?, header("x-amz-target")?);
        let authorization = header("authorization")?;
        let scope = authorization
            .split_once("Credential=")
            .and_then(|(_, rest)| rest.split_once(','))
            .and_then(|(credential, _)| credential.split_once('/'))
            .map(|(_, scope)| scope)
            .ok_or("no credential")?;
        let signature = authorization
            .rsplit_once("Signature=")
            .map(|(_, hex)| hex)
            .ok_or("no signature")?;

        let mut canonical = Vec::with_capacity(512);
        for part in [
            "POST\n/\n\nhost:",
            host,
            "\nx-amz-date:",
            time,
            "\nx-amz-target:",
            target,
            "\n\nhost;x-amz-date;x-amz-target\n",
        ] {
            canonical.extend_from_slice(part.as_bytes());
        }
        push_hex(&mut canonical, digest::digest(&digest::SHA256, body).as_ref());
        let mut to_sign = Vec::with_capacity(256);
        for part in ["AWS4-HMAC-SHA256\n", time, "\n", scope, "\n"] {
            to_sign.extend_from_slice(part.as_bytes());
        }
        push_hex(&mut to_sign, digest::digest(&digest::SHA256, &canonical).as_ref());
        let mut expect = Vec::with_capacity(64);
        push_hex(&mut expect, hmac::sign(&self.key(scope)?, &to_sign).as_ref());
        // Equal in constant time.
        if aws_lc_rs::constant_time::verify_slices_are_equal(&expect, signature.as_bytes()).is_err() {
            return Err("a wrong signature");
        }
        Ok(())
    }

    fn key(&self, scope: &str) -> Result<hmac::Key, &'static str> {
        let mut cached = self.cached.lock().map_err(|_| "poisoned")?;
        if let Some((known, key)) = cached.as_ref()
            && known == scope
        {
            return Ok(key.clone());
        }
        let mut parts = scope.split('/');
        let (day, region) = (parts.next().ok_or("no day")?, parts.next().ok_or("no region")?);
        let credentials = Credentials {
            access_key_id: String::new(),
            secret_access_key: self.secret.clone(),
            region: region.to_owned(),
        };
        let key = signing_key(&credentials, day);
        *cached = Some((scope.to_owned(), key.clone()));
        Ok(key)
    }
}
