//! Other services than DynamoDB, and keys that are not configured.

use aws_sigv4::http_request::SignatureLocation::Headers;
use parking_lot::Mutex;

use super::{HOST, KEY, NOW, Owned, REGION, SECRET, keys, plain, signed, signed_by_aws, signed_for};
use crate::{
    AccessError, Credential, CredentialSource, GLOBAL_REGION, KeyError, Keys, KnownKey, Mode, SERVICE, Verifier,
};
use geodynamo_policy::Caller;
use std::sync::Arc;

/// Knows one user's temporary key.
#[derive(Debug, Default)]
struct Source {
    used: Mutex<Vec<(String, &'static str, i64)>>,
}

const TOKEN: &str = "a-token";
const EXPIRES: i64 = NOW + 60;

impl CredentialSource for Source {
    fn find(&self, id: &str, token: Option<&[u8]>, now_unix_s: i64) -> Result<Arc<KnownKey>, KeyError> {
        if id != KEY || token != Some(TOKEN.as_bytes()) {
            return Err(KeyError::Unknown);
        }
        if now_unix_s >= EXPIRES {
            return Err(KeyError::Expired);
        }
        let credential = Credential {
            access_key_id: KEY.into(),
            secret_access_key: SECRET.into(),
            session_token: Some(TOKEN.into()),
            account: "123456789012".into(),
        };
        let caller = Caller::user("123456789012", "/", "ann", "AIDA");
        Ok(Arc::new(KnownKey::new(credential, Arc::new(caller))))
    }

    fn used(&self, id: &str, service: &'static str, now_unix_s: i64) {
        self.used.lock().push((id.to_owned(), service, now_unix_s));
    }
}

fn form(body: &[u8]) -> Owned {
    plain(body)
        .without("x-amz-target")
        .with("content-type", "application/x-www-form-urlencoded")
}

#[test]
fn global_services_take_their_own_region_and_this_one() {
    let verifier = Verifier::new(Mode::Enforce, REGION, keys());
    let body = b"Action=GetCallerIdentity&Version=2011-06-15";
    let verify = |service, region, expected| {
        let request = signed_for(service, region, form(body), Headers, None, NOW);
        verifier.verify_for(expected, &request.request(), NOW).map(|_| ())
    };
    assert_eq!(verify("sts", REGION, "sts"), Ok(()));
    assert_eq!(verify("sts", GLOBAL_REGION, "sts"), Ok(()));
    assert_eq!(verify("iam", GLOBAL_REGION, "iam"), Ok(()));
    assert_eq!(verify("iam", "ap-northeast-1", "iam"), Err(AccessError::WrongRegion));
    assert_eq!(verify("iam", REGION, "sts"), Err(AccessError::WrongService("sts")));
    assert_eq!(verify("iam", REGION, SERVICE), Err(AccessError::WrongService(SERVICE)));
    assert_eq!(verify(SERVICE, GLOBAL_REGION, SERVICE), Err(AccessError::WrongRegion));
}

#[test]
fn keys_of_a_source() {
    let source = Arc::new(Source::default());
    let told: Arc<dyn CredentialSource> = Arc::<Source>::clone(&source);
    let verifier = Verifier::new(Mode::Enforce, REGION, Arc::new(Keys::new([]).with_source(told)));
    let request = |token: Option<&str>, now: i64| signed_by_aws(plain(b"{}"), Headers, token, now);
    let principal = verifier.verify(&request(Some(TOKEN), NOW).request(), NOW).unwrap();
    assert_eq!(&*principal.caller.arn, "arn:aws:iam::123456789012:user/ann");
    assert_eq!(*source.used.lock(), [(KEY.to_owned(), SERVICE, NOW)]);
    for (token, now, refusal) in [
        (None, NOW, AccessError::UnknownKey),
        (Some("another"), NOW, AccessError::UnknownKey),
        (Some(TOKEN), EXPIRES, AccessError::ExpiredToken),
    ] {
        assert_eq!(verifier.verify(&request(token, now).request(), now), Err(refusal));
    }
    // Who is refused has not used it.
    let forged = request(Some(TOKEN), NOW).with("host", &format!("{HOST}0"));
    assert_eq!(
        verifier.verify(&forged.request(), NOW),
        Err(AccessError::WrongSignature)
    );
    assert_eq!(source.used.lock().len(), 1);
}

#[test]
fn what_would_be_refused_is_told() {
    let verifier = Verifier::new(Mode::Warn, REGION, keys());
    let known = verifier.verify_for(SERVICE, &signed(b"{}").request(), NOW).unwrap();
    assert_eq!(
        (&*known.principal.caller.account, known.refusal),
        ("123456789012", None)
    );
    let unsigned = verifier.verify_for(SERVICE, &plain(b"{}").request(), NOW).unwrap();
    assert_eq!(unsigned.refusal, Some(AccessError::MissingToken));
    assert!(unsigned.principal.caller.is_root());
}
