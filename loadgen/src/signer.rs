//! AWS Signature Version 4 for one endpoint: what stays the same between two requests is prepared once.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>

use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::{digest, hmac};

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

/// Signs requests to one host. Keeps the day's signing key and the second's time stamp.
pub struct Signer {
    credentials: Credentials,
    host: String,
    second: u64,
    /// `20260102T030405Z`; its first 8 bytes are the day.
    time: String,
    key: hmac::Key,
    /// The stamp stays as it is.
    fixed: bool,
    canonical: Vec<u8>,
    to_sign: Vec<u8>,
}

impl Signer {
    /// A signer for requests whose Host header is `host`.
    pub fn new(credentials: Credentials, host: String) -> Signer {
        let second = now_s();
        let time = time_stamp(second);
        let key = signing_key(&credentials, &time[..8]);
        Signer {
            credentials,
            host,
            second,
            time,
            key,
            fixed: false,
            canonical: Vec::new(),
            to_sign: Vec::new(),
        }
    }

    /// Appends a whole signed HTTP/1.1 request to `out`. `target` is the X-Amz-Target header, such as
    /// `DynamoDB_20120810.PutItem`.
    pub fn request(&mut self, target: &str, body: &[u8], out: &mut Vec<u8>) {
        self.tick();
        let signature = self.signature(target, body);
        let Credentials {
            access_key_id, region, ..
        } = &self.credentials;
        let (host, time, day) = (&self.host, &self.time, &self.time[..8]);
        // Writing to a Vec cannot fail.
        let _ = write!(
            out,
            "POST / HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/x-amz-json-1.0\r\nx-amz-date: {time}\r\n\
             x-amz-target: {target}\r\nauthorization: AWS4-HMAC-SHA256 Credential={access_key_id}/{day}/{region}/\
             dynamodb/aws4_request, SignedHeaders=host;x-amz-date;x-amz-target, Signature="
        );
        push_hex(out, signature.as_ref());
        let _ = write!(out, "\r\ncontent-length: {}\r\n\r\n", body.len());
        out.extend_from_slice(body);
    }

    /// A signer whose clock is `offset_s` seconds off, for tests of the clock window: its stamps never move.
    pub fn with_clock_off(credentials: Credentials, host: String, offset_s: i64) -> Signer {
        let mut signer = Signer::new(credentials, host);
        signer.time = time_stamp(signer.second.saturating_add_signed(offset_s));
        signer.key = signing_key(&signer.credentials, &signer.time[..8]);
        signer.fixed = true;
        signer
    }

    fn tick(&mut self) {
        let second = now_s();
        if self.fixed {
            return;
        }
        if second == self.second {
            return;
        }
        let time = time_stamp(second);
        if time[..8] != self.time[..8] {
            self.key = signing_key(&self.credentials, &time[..8]);
        }
        self.second = second;
        self.time = time;
    }

    fn signature(&mut self, target: &str, body: &[u8]) -> hmac::Tag {
        self.canonical.clear();
        let _ = write!(
            self.canonical,
            "POST\n/\n\nhost:{}\nx-amz-date:{}\nx-amz-target:{target}\n\nhost;x-amz-date;x-amz-target\n",
            self.host, self.time
        );
        push_hex(&mut self.canonical, digest::digest(&digest::SHA256, body).as_ref());
        self.to_sign.clear();
        let _ = write!(
            self.to_sign,
            "AWS4-HMAC-SHA256\n{}\n{}/{}/dynamodb/aws4_request\n",
            self.time,
            &self.time[..8],
            self.credentials.region
        );
        push_hex(
            &mut self.to_sign,
            digest::digest(&digest::SHA256, &self.canonical).as_ref(),
        );
        hmac::sign(&self.key, &self.to_sign)
    }
}

/// The key that signs all requests of a day to DynamoDB in the credentials' region. `day` is `YYYYMMDD`.
pub fn signing_key(credentials: &Credentials, day: &str) -> hmac::Key {
    let secret = format!("AWS4{}", credentials.secret_access_key);
    let mut key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    for part in [day, &credentials.region, "dynamodb", "aws4_request"] {
        key = hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(&key, part.as_bytes()).as_ref());
    }
    key
}

/// Appends `bytes` in lower-case hexadecimal.
pub fn push_hex(out: &mut Vec<u8>, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for byte in bytes {
        out.push(DIGITS[usize::from(byte >> 4)]);
        out.push(DIGITS[usize::from(byte & 15)]);
    }
}

fn now_s() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

/// `YYYYMMDDTHHMMSSZ` of a Unix time (Howard Hinnant's days-to-civil, for years 1970 and later).
fn time_stamp(unix_s: u64) -> String {
    let (days, rest) = (unix_s / 86_400 + 719_468, unix_s % 86_400);
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!(
        "{year:04}{month:02}{day:02}T{:02}{:02}{:02}Z",
        rest / 3_600,
        rest % 3_600 / 60,
        rest % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_stamps() {
        let check = |unix_s, expect: &str| assert_eq!(time_stamp(unix_s), expect);
        check(0, "19700101T000000Z");
        check(951_782_399, "20000228T235959Z");
        check(951_782_400, "20000229T000000Z");
        check(1_440_938_160, "20150830T123600Z");
        check(4_102_444_799, "20991231T235959Z");
    }

    /// What botocore's SigV4Auth gives for the same request, key and time (see the test's constants).
    #[test]
    fn signs_as_botocore_does() {
        let credentials = Credentials {
            access_key_id: "AKIDEXAMPLE".into(),
            secret_access_key: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".into(),
            region: "eu-west-1".into(),
        };
        let mut signer = Signer::new(credentials.clone(), "127.0.0.1:8000".into());
        signer.time = "20150830T123600Z".into();
        signer.key = signing_key(&credentials, "20150830");
        let tag = signer.signature("DynamoDB_20120810.ListTables", b"{\"Limit\":3}");
        let mut hex = Vec::new();
        push_hex(&mut hex, tag.as_ref());
        assert_eq!(
            String::from_utf8(hex).unwrap(),
            "294df69b54c317ad9b3813c9a36e3e950a00f4df8e9c2e75b7a08a52f29c8af5"
        );
    }
}
