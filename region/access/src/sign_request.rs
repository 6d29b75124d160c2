//! Signs requests to any service, for what a region asks of others.

use crate::{
    canonical::{Buffer, write_path, write_query_of_header},
    claim::ALGORITHM,
    hash,
    time::BasicDate,
};

/// A key for one service of one region.
#[derive(Clone)]
pub struct RequestSigner {
    access_key_id: String,
    secret_access_key: String,
    session_token: Option<String>,
    region: String,
    service: String,
}

/// A request to be signed.
#[derive(Clone, Copy, Debug)]
pub struct Unsigned<'a> {
    /// `POST`
    pub method: &'a str,
    /// The `Host` header.
    pub host: &'a str,
    /// The path as it is sent.
    pub path: &'a str,
    /// The query as it is sent, without the question mark.
    pub query: Option<&'a str>,
    /// Other headers to be signed, with names in lower case, in any order; all `x-amz-` headers must be among them.
    pub headers: &'a [(&'a str, &'a str)],
    /// The body.
    pub body: &'a [u8],
}

impl RequestSigner {
    /// A signer of one access key. A session token belongs to temporary ones.
    pub fn new(
        access_key_id: &str,
        secret_access_key: &str,
        session_token: Option<&str>,
        region: &str,
        service: &str,
    ) -> Self {
        Self {
            access_key_id: access_key_id.to_owned(),
            secret_access_key: secret_access_key.to_owned(),
            session_token: session_token.map(str::to_owned),
            region: region.to_owned(),
            service: service.to_owned(),
        }
    }

    /// The headers that a request is to carry besides those it was signed with.
    pub fn sign(&self, request: &Unsigned<'_>, now_unix_s: i64) -> Vec<(&'static str, String)> {
        let date = BasicDate::from_unix(now_unix_s);
        let payload = hash::sha256_hex(request.body);
        // Hexadecimal digits are UTF-8.
        let payload = std::str::from_utf8(&payload).unwrap_or_default();
        let mut added = vec![("x-amz-date", date.as_str().to_owned())];
        let is_s3 = self.service == "s3";
        if is_s3 {
            added.push(("x-amz-content-sha256", payload.to_owned()));
        }
        if let Some(token) = &self.session_token {
            added.push(("x-amz-security-token", token.clone()));
        }
        let mut headers: Vec<(&str, &str)> = Vec::new();
        headers.push(("host", request.host));
        headers.extend(request.headers.iter().copied());
        headers.extend(added.iter().map(|(name, value)| (*name, value.as_str())));
        headers.sort_unstable();
        let signed: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
        let signed = signed.join(";");

        let mut canonical = Buffer::new();
        canonical.extend_from_slice(request.method.as_bytes());
        canonical.push(b'\n');
        if is_s3 {
            canonical.extend_from_slice(request.path.as_bytes());
        } else {
            write_path(&mut canonical, request.path);
        }
        canonical.push(b'\n');
        if let Some(query) = request.query {
            write_query_of_header(&mut canonical, query);
        }
        canonical.push(b'\n');
        for (name, value) in &headers {
            for part in [name, ":", value.trim(), "\n"] {
                canonical.extend_from_slice(part.as_bytes());
            }
        }
        for part in ["\n", &signed, "\n", payload] {
            canonical.extend_from_slice(part.as_bytes());
        }

        // A date's first eight bytes are digits.
        let day = std::str::from_utf8(date.day()).unwrap_or_default();
        let scope = format!("{day}/{}/{}/aws4_request", self.region, self.service);
        let hashed = hash::sha256_hex(&canonical);
        let hashed = std::str::from_utf8(&hashed).unwrap_or_default();
        let to_sign = format!("{ALGORITHM}\n{}\n{scope}\n{hashed}", date.as_str());
        let key = hash::derive_signing_key(
            &self.secret_access_key,
            date.day(),
            self.region.as_bytes(),
            self.service.as_bytes(),
        );
        let signature = hash::hmac_hex(&key, to_sign.as_bytes());
        let signature = std::str::from_utf8(&signature).unwrap_or_default();
        let authorization = format!(
            "{ALGORITHM} Credential={}/{scope}, SignedHeaders={signed}, Signature={signature}",
            self.access_key_id
        );
        added.push(("authorization", authorization));
        added
    }
}

impl std::fmt::Debug for RequestSigner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RequestSigner")
            .field("access_key_id", &self.access_key_id)
            .field("region", &self.region)
            .field("service", &self.service)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

    fn authorization(service: &str, token: Option<&str>, request: &Unsigned<'_>) -> String {
        let signer = RequestSigner::new("AKIDEXAMPLE", SECRET, token, "eu-west-1", service);
        let headers = signer.sign(request, 1_440_938_160);
        headers
            .into_iter()
            .find(|(name, _)| *name == "authorization")
            .unwrap()
            .1
    }

    /// What botocore's SigV4Auth and S3SigV4Auth give for the same requests, key and time.
    #[test]
    fn signs_as_botocore_does() {
        let invoke = Unsigned {
            method: "POST",
            host: "127.0.0.1:9001",
            path: "/2015-03-31/functions/arn%3Aaws%3Alambda%3Aeu-west-1%3A000000000000%3Afunction%3Af/invocations",
            query: Some("Qualifier=%24LATEST"),
            headers: &[
                ("x-amz-invocation-type", "RequestResponse"),
                ("content-type", "application/json"),
            ],
            body: b"{}",
        };
        let put = Unsigned {
            method: "PUT",
            host: "127.0.0.1:9000",
            path: "/bucket/aws/lambda/a%3Ab",
            query: None,
            headers: &[],
            body: b"text",
        };
        assert_eq!(authorization("lambda", None, &invoke), LAMBDA);
        assert_eq!(authorization("s3", Some("token"), &put), S3);
    }

    const LAMBDA: &str = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/eu-west-1/lambda/aws4_request, \
        SignedHeaders=content-type;host;x-amz-date;x-amz-invocation-type, \
        Signature=5482b3aed00420f99495996d157d3e4d4bb0eb40a5332ffabf732b45f58e00ff";
    const S3: &str = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/eu-west-1/s3/aws4_request, \
        SignedHeaders=host;x-amz-content-sha256;x-amz-date;x-amz-security-token, \
        Signature=1721f2c3775c2295763ee60d1e863d9167983b276493e22110ebaf93ab4f0f06";
}
