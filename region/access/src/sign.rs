//! The other side: signs requests to DynamoDB. For the load generator, so it does one shape of request, fast.

use aws_lc_rs::hmac;
use smallvec::SmallVec;

use crate::{SERVICE, claim::ALGORITHM, hash, time::BasicDate};

const SIGNED_HEADERS: &str = "host;x-amz-date;x-amz-target";

/// Signs `POST /` requests of one key to one region and host. The signing key is derived once a day, which is why
/// [`Signer::sign`] needs `&mut self`: every connection has a signer of its own.
#[derive(Clone, Debug)]
pub struct Signer {
    secret_access_key: String,
    region: String,
    host: String,
    /// `AWS4-HMAC-SHA256 Credential=KEY/`.
    authorization_start: String,
    derived: Option<([u8; 8], hmac::Key)>,
}

/// What a signed request must carry, beside the `host` and `x-amz-target` it was signed with. No other `x-amz-` header
/// may be sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Signature {
    /// The `x-amz-date` header.
    pub date: String,
    /// The `authorization` header.
    pub authorization: String,
}

impl Signer {
    /// A signer for requests whose `Host` header is exactly `host`.
    pub fn new(access_key_id: &str, secret_access_key: &str, region: &str, host: &str) -> Self {
        Self {
            secret_access_key: secret_access_key.to_owned(),
            region: region.to_owned(),
            host: host.to_owned(),
            authorization_start: format!("{ALGORITHM} Credential={access_key_id}/"),
            derived: None,
        }
    }

    /// Signs `POST /` with this `x-amz-target` and body at `now_unix_s`, seconds since 1970.
    pub fn sign(&mut self, target: &str, body: &[u8], now_unix_s: i64) -> Signature {
        let date = BasicDate::from_unix(now_unix_s);
        let mut canonical: SmallVec<[u8; 512]> = SmallVec::new();
        for part in [
            b"POST\n/\n\nhost:",
            self.host.as_bytes(),
            b"\nx-amz-date:",
            date.as_bytes(),
            b"\nx-amz-target:",
            target.as_bytes(),
            b"\n\n",
            SIGNED_HEADERS.as_bytes(),
            b"\n",
            &hash::sha256_hex(body),
        ] {
            canonical.extend_from_slice(part);
        }
        let mut scope: SmallVec<[u8; 64]> = SmallVec::new();
        for part in [
            date.day(),
            b"/",
            self.region.as_bytes(),
            b"/",
            SERVICE.as_bytes(),
            b"/aws4_request",
        ] {
            scope.extend_from_slice(part);
        }
        let mut to_sign: SmallVec<[u8; 256]> = SmallVec::new();
        for part in [
            ALGORITHM.as_bytes(),
            b"\n",
            date.as_bytes(),
            b"\n",
            &scope,
            b"\n",
            &hash::sha256_hex(&canonical),
        ] {
            to_sign.extend_from_slice(part);
        }
        let signature = hash::hmac_hex(self.signing_key(&date), &to_sign);
        let mut authorization = String::with_capacity(self.authorization_start.len() + 192);
        authorization.push_str(&self.authorization_start);
        // The scope is made of two strings and digits, the signature of digits: both are UTF-8.
        authorization.push_str(std::str::from_utf8(&scope).unwrap_or_default());
        authorization.push_str(", SignedHeaders=");
        authorization.push_str(SIGNED_HEADERS);
        authorization.push_str(", Signature=");
        authorization.push_str(std::str::from_utf8(&signature).unwrap_or_default());
        Signature {
            date: date.as_str().to_owned(),
            authorization,
        }
    }

    fn signing_key(&mut self, date: &BasicDate) -> &hmac::Key {
        let (_, key) = match self.derived.take() {
            Some(kept) if kept.0 == date.day() => self.derived.insert(kept),
            _ => {
                let region = self.region.as_bytes();
                let key = hash::derive_signing_key(&self.secret_access_key, date.day(), region, SERVICE.as_bytes());
                let mut day = [0; 8];
                // `day()` is always eight bytes.
                day.copy_from_slice(date.day());
                self.derived.insert((day, key))
            }
        };
        key
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What botocore's SigV4Auth gives for the same request, key and time.
    #[test]
    fn signs_as_botocore_does() {
        let secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
        let mut signer = Signer::new("AKIDEXAMPLE", secret, "eu-west-1", "127.0.0.1:8000");
        let signature = signer.sign("DynamoDB_20120810.ListTables", b"{\"Limit\":3}", 1_440_938_160);
        assert_eq!(signature.date, "20150830T123600Z");
        assert_eq!(
            signature.authorization,
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/eu-west-1/dynamodb/aws4_request, \
             SignedHeaders=host;x-amz-date;x-amz-target, \
             Signature=294df69b54c317ad9b3813c9a36e3e950a00f4df8e9c2e75b7a08a52f29c8af5"
        );
    }
}
