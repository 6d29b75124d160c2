//! Signed requests to one endpoint, as they go over the wire.

use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use geodynamo_access::Signature;

/// Who signs, and for which region.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// The access key id.
    pub access_key_id: String,
    /// The secret access key.
    pub secret_access_key: String,
    /// The region of the credential scope.
    pub region: String,
}

/// Signs requests to one host by the clock.
pub struct Signer {
    signer: geodynamo_access::Signer,
    host: String,
    /// How far its clock is off, in seconds.
    offset_s: i64,
}

impl Signer {
    /// A signer for requests whose Host header is `host`.
    pub fn new(credentials: Credentials, host: String) -> Signer {
        Signer::with_clock_off(credentials, host, 0)
    }

    /// A signer whose clock is `offset_s` seconds off, for tests of the clock window.
    pub fn with_clock_off(credentials: Credentials, host: String, offset_s: i64) -> Signer {
        let Credentials {
            access_key_id,
            secret_access_key,
            region,
        } = credentials;
        Signer {
            signer: geodynamo_access::Signer::new(&access_key_id, &secret_access_key, &region, &host),
            host,
            offset_s,
        }
    }

    /// Appends a whole signed HTTP/1.1 request to `out`. `target` is the X-Amz-Target header, such as
    /// `DynamoDB_20120810.PutItem`.
    pub fn request(&mut self, target: &str, body: &[u8], out: &mut Vec<u8>) {
        let Signature { date, authorization } = self.signer.sign(target, body, now_s() + self.offset_s);
        let (host, length) = (&self.host, body.len());
        // Writing to a Vec cannot fail.
        let _ = write!(
            out,
            "POST / HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/x-amz-json-1.0\r\nx-amz-date: {date}\r\n\
             x-amz-target: {target}\r\nauthorization: {authorization}\r\ncontent-length: {length}\r\n\r\n"
        );
        out.extend_from_slice(body);
    }
}

fn now_s() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}
