//! What a request claims about who signed it: read from its `Authorization` header or its presigned query, not yet
//! believed.

use std::{borrow::Cow, fmt::Write, time::UNIX_EPOCH};

use http::{HeaderMap, header};

use crate::{
    PRESIGNED_VALIDITY_S_MAX,
    canonical::{percent_decode, query_pairs},
    error::AccessError,
    time::BasicDate,
    verify::Request,
};

pub(crate) const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// The claim, its parts as they came.
#[derive(Debug)]
pub(crate) struct Claim<'a> {
    pub(crate) scope: Scope<'a>,
    /// Names joined by `;`.
    pub(crate) signed_headers: Cow<'a, str>,
    /// 64 hexadecimal digits if the client is honest.
    pub(crate) signature: Cow<'a, str>,
    pub(crate) date: BasicDate,
    /// `date`, in seconds since 1970.
    pub(crate) date_unix_s: i64,
    pub(crate) session_token: Option<Cow<'a, [u8]>>,
    pub(crate) form: Form,
}

/// Where the claim was.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Form {
    /// In the `Authorization` header.
    Header,
    /// In the query, valid for so many seconds from its date.
    Query { validity_s: i64 },
}

/// `keyid/date/region/service/term`, taken apart.
#[derive(Debug)]
pub(crate) struct Scope<'a> {
    text: Cow<'a, str>,
    /// Where the four slashes are.
    slashes: [usize; 4],
}

impl<'a> Claim<'a> {
    pub(crate) fn read(request: &Request<'a>) -> Result<Self, AccessError> {
        if let Some(value) = request
            .headers
            .get(header::AUTHORIZATION)
            .filter(|value| !value.is_empty())
        {
            return Self::read_header(value.as_bytes(), request.headers);
        }
        match request.query {
            Some(query) if query.contains("X-Amz-Signature=") || query.contains("X-Amz-Credential=") => {
                Self::read_query(query)
            }
            _ => Err(AccessError::MissingToken),
        }
    }

    fn read_header(value: &'a [u8], headers: &'a HeaderMap) -> Result<Self, AccessError> {
        // A header that is not UTF-8 has no readable parameter at all.
        let text = std::str::from_utf8(value).unwrap_or_default();
        let (algorithm, parameters) = text.split_once(' ').unwrap_or((text, ""));
        let (mut credential, mut signature, mut signed_headers) = (None, None, None);
        // AWS's signers put a comma and a blank between parameters; either alone is taken, too.
        for part in parameters
            .split([',', ' '])
            .map(str::trim)
            .filter(|part| !part.is_empty())
        {
            let Some((name, value)) = part.split_once('=') else {
                return Err(AccessError::NotAPair {
                    part: AccessError::quote(part.as_bytes()),
                    header: AccessError::quote(text.as_bytes()),
                });
            };
            match name {
                "Credential" => credential = Some(value),
                "Signature" => signature = Some(value),
                "SignedHeaders" => signed_headers = Some(value),
                _ => {}
            }
        }
        let date = headers.get("x-amz-date").or_else(|| headers.get(header::DATE));
        let (Some(credential), Some(signature), Some(signed_headers), Some(date)) =
            (credential, signature, signed_headers, date)
        else {
            let mut missing = String::new();
            for (name, present) in [
                ("Credential", credential.is_some()),
                ("Signature", signature.is_some()),
                ("SignedHeaders", signed_headers.is_some()),
            ] {
                if !present {
                    // Writing to a String cannot fail.
                    let _ = write!(missing, "Authorization header requires '{name}' parameter. ");
                }
            }
            if date.is_none() {
                missing
                    .push_str("Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. ");
            }
            return Err(AccessError::IncompleteHeader {
                missing,
                header: AccessError::quote(value),
            });
        };
        if algorithm != ALGORITHM {
            return Err(AccessError::UnsupportedAlgorithm(AccessError::quote(
                algorithm.as_bytes(),
            )));
        }
        let (date, date_unix_s) = read_date(date.as_bytes())?;
        Ok(Self {
            scope: Scope::read(Cow::Borrowed(credential))?,
            signed_headers: Cow::Borrowed(signed_headers),
            signature: Cow::Borrowed(signature),
            date,
            date_unix_s,
            session_token: headers
                .get("x-amz-security-token")
                .map(|value| Cow::Borrowed(value.as_bytes())),
            form: Form::Header,
        })
    }

    fn read_query(query: &'a str) -> Result<Self, AccessError> {
        const NAMES: [&str; 5] = [
            "X-Amz-Algorithm",
            "X-Amz-Credential",
            "X-Amz-Signature",
            "X-Amz-SignedHeaders",
            "X-Amz-Date",
        ];
        let mut values: [Option<Cow<'a, str>>; 5] = Default::default();
        let (mut expiry, mut session_token) = (None, None);
        for (name, value) in query_pairs(query) {
            if let Some(place) = NAMES.iter().position(|known| *known == name) {
                values[place] = Some(decode(value));
            } else if name == "X-Amz-Expires" {
                expiry = Some(decode(value));
            } else if name == "X-Amz-Security-Token" {
                session_token = Some(percent_decode(value));
            }
        }
        let [
            Some(algorithm),
            Some(credential),
            Some(signature),
            Some(signed_headers),
            Some(date),
        ] = values
        else {
            let mut missing = String::new();
            for (name, _) in NAMES.iter().zip(&values).filter(|(_, value)| value.is_none()) {
                // Writing to a String cannot fail.
                let _ = write!(missing, "AWS query-string parameters must include '{name}'. ");
            }
            return Err(AccessError::IncompleteQuery { missing });
        };
        if algorithm != ALGORITHM {
            return Err(AccessError::UnsupportedAlgorithm(AccessError::quote(
                algorithm.as_bytes(),
            )));
        }
        let validity_s = match expiry {
            None => crate::CLOCK_WINDOW_S,
            Some(text) => text
                .parse()
                .ok()
                .filter(|validity_s| (0..=PRESIGNED_VALIDITY_S_MAX).contains(validity_s))
                .ok_or_else(|| AccessError::MalformedExpiry(AccessError::quote(text.as_bytes())))?,
        };
        let (date, date_unix_s) = read_date(date.as_bytes())?;
        Ok(Self {
            scope: Scope::read(credential)?,
            signed_headers,
            signature,
            date,
            date_unix_s,
            session_token,
            form: Form::Query { validity_s },
        })
    }
}

impl<'a> Scope<'a> {
    fn read(text: Cow<'a, str>) -> Result<Self, AccessError> {
        let mut slashes = [0; 4];
        let mut count = 0;
        for (place, _) in text.match_indices('/') {
            if let Some(slash) = slashes.get_mut(count) {
                *slash = place;
            }
            count += 1;
        }
        if count != 4 {
            return Err(AccessError::MalformedCredential(AccessError::quote(text.as_bytes())));
        }
        Ok(Self { text, slashes })
    }

    pub(crate) fn access_key_id(&self) -> &str {
        &self.text[..self.slashes[0]]
    }

    pub(crate) fn day(&self) -> &str {
        &self.text[self.slashes[0] + 1..self.slashes[1]]
    }

    pub(crate) fn region(&self) -> &str {
        &self.text[self.slashes[1] + 1..self.slashes[2]]
    }

    pub(crate) fn service(&self) -> &str {
        &self.text[self.slashes[2] + 1..self.slashes[3]]
    }

    pub(crate) fn terminator(&self) -> &str {
        &self.text[self.slashes[3] + 1..]
    }

    /// Everything after the access key: what the string to sign repeats.
    pub(crate) fn after_key(&self) -> &str {
        &self.text[self.slashes[0] + 1..]
    }
}

/// The access key that a request names, whether or not anything else about it can be read.
pub(crate) fn named_access_key_id(headers: &HeaderMap) -> Option<&str> {
    let text = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (_, credential) = text.split_once("Credential=")?;
    let id = credential.split(['/', ',', ' ']).next()?;
    (!id.is_empty()).then_some(id)
}

/// Dates come in ISO 8601's basic form or, in a `Date` header, in HTTP's own.
fn read_date(text: &[u8]) -> Result<(BasicDate, i64), AccessError> {
    if let Some(read) = BasicDate::parse(text) {
        return Ok(read);
    }
    std::str::from_utf8(text)
        .ok()
        .and_then(|text| httpdate::parse_http_date(text).ok())
        .and_then(|moment| moment.duration_since(UNIX_EPOCH).ok())
        .and_then(|since| i64::try_from(since.as_secs()).ok())
        .map(|unix_s| (BasicDate::from_unix(unix_s), unix_s))
        .ok_or_else(|| AccessError::MalformedDate(AccessError::quote(text)))
}

fn decode(value: &str) -> Cow<'_, str> {
    match percent_decode(value) {
        Cow::Borrowed(_) => Cow::Borrowed(value),
        Cow::Owned(bytes) => Cow::Owned(String::from_utf8_lossy(&bytes).into_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_may_be_separated_by_commas_or_blanks() {
        for separator in [", ", ",", " ", "  ,  "] {
            let parameters = [
                "Credential=a/20150830/r/s/aws4_request",
                "SignedHeaders=host",
                "Signature=00",
            ];
            let value = format!("{ALGORITHM} {}", parameters.join(separator));
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, value.parse().unwrap());
            headers.insert("x-amz-date", "20150830T123600Z".parse().unwrap());
            let request = Request {
                method: "POST",
                path: "/",
                query: None,
                authority: None,
                headers: &headers,
                body: b"",
            };
            let claim = Claim::read(&request).unwrap();
            let read = (claim.scope.access_key_id(), &*claim.signed_headers, &*claim.signature);
            assert_eq!(read, ("a", "host", "00"), "{separator:?}");
        }
    }
}
