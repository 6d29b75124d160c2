//! Checks a request's signature.

use std::sync::Arc;

use geodynamo_policy::Caller;
use http::HeaderMap;

use crate::{
    ADMIN, CLOCK_WINDOW_S, GLOBAL_REGION, SERVICE,
    canonical::{Buffer, canonical_request},
    claim::{ALGORITHM, Claim, Form, named_access_key_id},
    error::AccessError,
    hash,
    keys::{Credential, KeyError, Keys, KnownKey},
    time::BasicDate,
};

/// The account of callers that nobody checked, unless another one is told.
const UNCHECKED_ACCOUNT: &str = "000000000000";

/// Whose request it is.
#[derive(Clone, Debug)]
pub struct Principal {
    /// The access key that signed it.
    pub access_key_id: Arc<str>,
    /// Who it is, and what it may do. Configured keys are the root user of their account.
    pub caller: Arc<Caller>,
}

/// The same key of the same principal; what that may do is not compared.
impl PartialEq for Principal {
    fn eq(&self, other: &Self) -> bool {
        self.access_key_id == other.access_key_id && self.caller.arn == other.caller.arn
    }
}

impl Eq for Principal {}

/// What came over the wire.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// `POST`.
    pub method: &'a str,
    /// The path, as it came, still encoded.
    pub path: &'a str,
    /// What follows the question mark, as it came.
    pub query: Option<&'a str>,
    /// The authority, which stands for the `Host` header where there is none (HTTP/2).
    pub authority: Option<&'a str>,
    /// All headers.
    pub headers: &'a HeaderMap,
    /// The whole body.
    pub body: &'a [u8],
}

/// Whether signatures are looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// Every request must be signed, now, for this region, by a known key.
    Enforce,
    /// As [`Enforce`](Self::Enforce), but what would be refused is let through as the account's root user, and told: for
    /// moving clients over.
    Warn,
    /// Any credentials and any region will do, or none, as with DynamoDB Local. For development only.
    Any,
}

/// Verifies the requests of one region.
#[derive(Debug)]
pub struct Verifier {
    mode: Mode,
    region: String,
    keys: Arc<Keys>,
    /// The principal of requests that nobody checked.
    anonymous: Principal,
    /// Signs in place of keys that are not known.
    nobody: KnownKey,
}

/// A request that was looked at.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Verified {
    /// Whose it is.
    pub principal: Principal,
    /// In [`Mode::Warn`], why it would have been refused.
    pub refusal: Option<AccessError>,
}

impl Verifier {
    /// A verifier for `region`, with the keys that `keys` holds at the time of each request.
    pub fn new(mode: Mode, region: impl Into<String>, keys: Arc<Keys>) -> Self {
        let anonymous = anonymous(UNCHECKED_ACCOUNT);
        let nobody = Credential {
            access_key_id: String::new(),
            secret_access_key: String::new(),
            session_token: None,
            account: UNCHECKED_ACCOUNT.into(),
        };
        Self {
            mode,
            region: region.into(),
            keys,
            nobody: KnownKey::new(nobody, Arc::clone(&anonymous.caller)),
            anonymous,
        }
    }

    /// The same, where whoever is not checked is the root user of this account.
    #[must_use]
    pub fn with_account(self, account: &str) -> Self {
        Self {
            anonymous: anonymous(account),
            ..self
        }
    }

    /// How requests are looked at.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// The principal of requests that nobody checked: the root user of the account that was told, else of 000000000000.
    pub fn anonymous(&self) -> &Principal {
        &self.anonymous
    }

    /// Whose request to DynamoDB it is, or why it is refused. `now_unix_s` is the region's clock in seconds since 1970.
    pub fn verify(&self, request: &Request<'_>, now_unix_s: i64) -> Result<Principal, AccessError> {
        self.verify_for(SERVICE, request, now_unix_s)
            .map(|verified| verified.principal)
    }

    /// Whose request to a service it is, or why it is refused. `service` is one of [`SERVICES`](crate::SERVICES).
    pub fn verify_for(
        &self,
        service: &'static str,
        request: &Request<'_>,
        now_unix_s: i64,
    ) -> Result<Verified, AccessError> {
        let believed = |refusal| Verified {
            principal: self.believe(request),
            refusal,
        };
        let principal = match self.mode {
            Mode::Any => return Ok(believed(None)),
            Mode::Enforce => self.enforce(service, request, now_unix_s)?,
            Mode::Warn => match self.enforce(service, request, now_unix_s) {
                Ok(principal) => principal,
                Err(refusal) => return Ok(believed(Some(refusal))),
            },
        };
        Ok(Verified {
            principal,
            refusal: None,
        })
    }

    fn believe(&self, request: &Request<'_>) -> Principal {
        match named_access_key_id(request.headers) {
            Some(id) => Principal {
                access_key_id: id.into(),
                caller: Arc::clone(&self.anonymous.caller),
            },
            None => self.anonymous.clone(),
        }
    }

    fn enforce(&self, service: &'static str, request: &Request<'_>, now_unix_s: i64) -> Result<Principal, AccessError> {
        let claim = Claim::read(request)?;
        let token = claim.session_token.as_deref();
        let entry = match self.keys.find(claim.scope.access_key_id(), token, now_unix_s) {
            Ok(entry) => entry,
            Err(error) => {
                // As much work as for a key that is known: time does not tell which ones are.
                let _ = self.signature(service, request, &claim, &self.nobody);
                return Err(match error {
                    KeyError::Unknown => AccessError::UnknownKey,
                    KeyError::Expired => AccessError::ExpiredToken,
                });
            }
        };
        self.check_scope(service, &claim)?;
        check_date(&claim, now_unix_s)?;
        let expected = self.signature(service, request, &claim, &entry)?;
        if !hash::equal_in_constant_time(&expected, claim.signature.as_bytes()) {
            return Err(AccessError::WrongSignature);
        }
        self.keys.used(&entry.access_key_id, service, now_unix_s);
        Ok(Principal {
            access_key_id: Arc::clone(&entry.access_key_id),
            caller: Arc::clone(&entry.caller),
        })
    }

    fn check_scope(&self, service: &'static str, claim: &Claim<'_>) -> Result<(), AccessError> {
        let scope = &claim.scope;
        if scope.terminator() != "aws4_request" {
            return Err(AccessError::WrongTerminator(AccessError::quote(
                scope.terminator().as_bytes(),
            )));
        }
        if scope.service() != service {
            return Err(AccessError::WrongService(service));
        }
        let is_global = service == ADMIN || matches!(service, "iam" | "sts") && scope.region() == GLOBAL_REGION;
        if scope.region() != self.region && !is_global {
            return Err(AccessError::WrongRegion);
        }
        if scope.day().as_bytes() != claim.date.day() {
            return Err(AccessError::WrongDay {
                scope: AccessError::quote(scope.day().as_bytes()),
                day: AccessError::quote(claim.date.day()),
                date: claim.date.as_str().to_owned(),
            });
        }
        Ok(())
    }

    fn signature(
        &self,
        service: &'static str,
        request: &Request<'_>,
        claim: &Claim<'_>,
        entry: &KnownKey,
    ) -> Result<hash::Hex, AccessError> {
        let payload_hash = hash::sha256_hex(request.body);
        if let Some(claimed) = request.headers.get("x-amz-content-sha256")
            && !hash::equal_in_constant_time(claimed.as_bytes(), &payload_hash)
        {
            return Err(AccessError::WrongSignature);
        }
        let canonical = canonical_request(request, claim, &payload_hash)?;
        let mut to_sign = Buffer::new();
        to_sign.extend_from_slice(ALGORITHM.as_bytes());
        to_sign.push(b'\n');
        to_sign.extend_from_slice(claim.date.as_bytes());
        to_sign.push(b'\n');
        to_sign.extend_from_slice(claim.scope.after_key().as_bytes());
        to_sign.push(b'\n');
        to_sign.extend_from_slice(&hash::sha256_hex(&canonical));
        let mut day = [0; 8];
        // `day()` is always eight bytes.
        day.copy_from_slice(claim.date.day());
        let signing = entry.signing_keys.key(
            &entry.credential.secret_access_key,
            day,
            claim.date_unix_s.div_euclid(24 * 3600),
            claim.scope.region(),
            service,
        );
        Ok(hash::hmac_hex(&signing.key, &to_sign))
    }
}

fn anonymous(account: &str) -> Principal {
    Principal {
        access_key_id: "anonymous".into(),
        caller: Arc::new(Caller::root(account)),
    }
}

fn check_date(claim: &Claim<'_>, now_unix_s: i64) -> Result<(), AccessError> {
    let text = |unix_s: i64| BasicDate::from_unix(unix_s).as_str().to_owned();
    // A date of year 9999 and a clock of any value do not overflow, but a clock at the type's ends would.
    let now_unix_s = now_unix_s.clamp(0, i64::from(u32::MAX) * 16);
    let date = claim.date_unix_s;
    if date > now_unix_s + CLOCK_WINDOW_S {
        return Err(AccessError::NotYetCurrent {
            date: text(date),
            latest: text(now_unix_s + CLOCK_WINDOW_S),
            now: text(now_unix_s),
        });
    }
    match claim.form {
        Form::Header if date < now_unix_s - CLOCK_WINDOW_S => Err(AccessError::Expired {
            date: text(date),
            earliest: text(now_unix_s - CLOCK_WINDOW_S),
            now: text(now_unix_s),
        }),
        Form::Query { validity_s } if date + validity_s < now_unix_s => Err(AccessError::PresignedExpired {
            expiry: text(date + validity_s),
            now: text(now_unix_s),
        }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
