use std::time::{Duration, UNIX_EPOCH};

use aws_credential_types::Credentials;
use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SignatureLocation, SigningSettings, sign},
    sign::v4,
};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use proptest::prelude::*;

use super::*;
use crate::{Credential, ErrorCode, Signer};

const KEY: &str = "AKIDEXAMPLE";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const REGION: &str = "eu-west-1";
const HOST: &str = "127.0.0.1:8000";
const TARGET: &str = "DynamoDB_20120810.PutItem";
/// 2015-08-30T12:36:00Z.
const NOW: i64 = 1_440_938_160;

/// A whole request, owned, so that tests can bend it.
#[derive(Clone, Debug)]
struct Owned {
    method: &'static str,
    path: String,
    query: Option<String>,
    authority: Option<String>,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Owned {
    fn request(&self) -> Request<'_> {
        Request {
            method: self.method,
            path: &self.path,
            query: self.query.as_deref(),
            authority: self.authority.as_deref(),
            headers: &self.headers,
            body: &self.body,
        }
    }

    fn with(mut self, name: &str, value: &str) -> Self {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        self.headers.insert(name, HeaderValue::from_str(value).unwrap());
        self
    }

    fn without(mut self, name: &str) -> Self {
        self.headers.remove(name);
        self
    }

    fn authorization(&self) -> String {
        self.headers[header::AUTHORIZATION].to_str().unwrap().to_owned()
    }

    fn with_authorization(self, from: &str, to: &str) -> Self {
        let changed = self.authorization().replace(from, to);
        assert_ne!(changed, self.authorization(), "the test changes nothing");
        self.with("authorization", &changed)
    }
}

fn plain(body: &[u8]) -> Owned {
    let bare = Owned {
        method: "POST",
        path: "/".into(),
        query: None,
        authority: None,
        headers: HeaderMap::new(),
        body: body.to_vec(),
    };
    bare.with("host", HOST)
        .with("content-type", "application/x-amz-json-1.0")
        .with("x-amz-target", TARGET)
}

mod services;

/// Signs with AWS's own signer.
fn signed_by_aws(request: Owned, location: SignatureLocation, token: Option<&str>, now: i64) -> Owned {
    signed_for(SERVICE, REGION, request, location, token, now)
}

fn signed_for(
    service: &str,
    region: &str,
    mut request: Owned,
    location: SignatureLocation,
    token: Option<&str>,
    now: i64,
) -> Owned {
    let identity = Credentials::new(KEY, SECRET, token.map(str::to_owned), None, "test").into();
    let mut settings = SigningSettings::default();
    settings.signature_location = location;
    settings.expires_in = (location == SignatureLocation::QueryParams).then_some(Duration::from_secs(60));
    let parameters = v4::SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name(service)
        .time(UNIX_EPOCH + Duration::from_secs(now.try_into().unwrap()))
        .settings(settings)
        .build()
        .unwrap()
        .into();
    let query = request.query.as_ref().map(|query| format!("?{query}"));
    let target = format!("{}{}", request.path, query.unwrap_or_default());
    let uri = format!("http://{HOST}{target}");
    let headers: Vec<_> = request
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
        .collect();
    let signable = SignableRequest::new(
        request.method,
        uri,
        headers.into_iter(),
        SignableBody::Bytes(&request.body),
    )
    .unwrap();
    let (instructions, _) = sign(signable, &parameters).unwrap().into_parts();
    let mut target = http::Request::builder().uri(target).body(()).unwrap();
    *target.headers_mut() = request.headers.clone();
    instructions.apply_to_request_http1x(&mut target);
    request.headers = target.headers().clone();
    request.query = target.uri().query().map(str::to_owned);
    request
}

fn signed(body: &[u8]) -> Owned {
    signed_by_aws(plain(body), SignatureLocation::Headers, None, NOW)
}

fn keys() -> Arc<Keys> {
    let permanent = Credential {
        access_key_id: KEY.into(),
        secret_access_key: SECRET.into(),
        session_token: None,
        account: "123456789012".into(),
    };
    Arc::new(Keys::new([permanent]))
}

fn verifier() -> Verifier {
    Verifier::new(Mode::Enforce, REGION, keys())
}

#[test]
fn takes_what_aws_signs() {
    let verifier = verifier();
    let principal = verifier.verify(&signed(b"{}").request(), NOW).unwrap();
    let caller = &principal.caller;
    assert_eq!((&*principal.access_key_id, &*caller.account), (KEY, "123456789012"));
    let check = |request: Owned| {
        assert_eq!(
            verifier.verify(&request.request(), NOW),
            Ok(principal.clone()),
            "{request:?}"
        );
    };
    check(signed(b""));
    check(signed(&[7; 100_000]));
    check(signed_by_aws(
        plain(b"{}").with("x-extra", " a  b "),
        SignatureLocation::Headers,
        None,
        NOW,
    ));
    check(signed_by_aws(plain(b"{}"), SignatureLocation::QueryParams, None, NOW));
    let mut elsewhere = plain(b"{}");
    elsewhere.path = "/a%20b/c".into();
    elsewhere.query = Some("z=1&a=%C3%A4".into());
    check(signed_by_aws(elsewhere.clone(), SignatureLocation::Headers, None, NOW));
    check(signed_by_aws(elsewhere, SignatureLocation::QueryParams, None, NOW));
    // HTTP/2 has an authority in the place of the Host header.
    let mut h2 = signed(b"{}").without("host");
    h2.authority = Some(HOST.into());
    check(h2);
}

#[test]
fn takes_what_our_signer_signs() {
    let mut signer = Signer::new(KEY, SECRET, REGION, HOST);
    for now in [NOW, NOW + 1, NOW + 24 * 3600, NOW] {
        let signature = signer.sign(TARGET, b"{\"a\":1}", now);
        let request = plain(b"{\"a\":1}")
            .with("x-amz-date", &signature.date)
            .with("authorization", &signature.authorization);
        assert!(verifier().verify(&request.request(), now).is_ok(), "{signature:?}");
    }
}

#[test]
fn aws_published_vectors() {
    let text = include_str!("vectors.txt");
    let mut count = 0;
    for block in text.split("######## ").skip(1) {
        let (title, request) = block.split_once('\n').unwrap();
        let request = read_vector(request);
        let query = request.query.clone().unwrap_or_default();
        let token = request
            .headers
            .get("x-amz-security-token")
            .map(|value| value.to_str().unwrap().to_owned())
            .or_else(|| {
                let (_, encoded) = query.split_once("X-Amz-Security-Token=")?;
                let encoded = encoded.split('&').next()?;
                Some(String::from_utf8(crate::canonical::percent_decode(encoded).into_owned()).unwrap())
            });
        let known = Credential {
            access_key_id: KEY.into(),
            secret_access_key: SECRET.into(),
            session_token: token,
            account: "1".into(),
        };
        let verifier = Verifier::new(Mode::Enforce, "us-east-1", Arc::new(Keys::new([known])));
        let result = verifier.verify_for("service", &request.request(), NOW);
        match title {
            // The token was put there after signing, which AWS's services other than IoT refuse, too.
            "post-sts-header-after header" => {
                assert_eq!(result, Err(AccessError::HeaderNotSigned("x-amz-security-token".into())));
            }
            "post-sts-header-after query" => assert_eq!(result, Err(AccessError::WrongSignature)),
            _ => assert!(result.is_ok(), "{title}: {result:?}"),
        }
        count += 1;
    }
    assert_eq!(count, 54);
}

fn read_vector(text: &str) -> Owned {
    let mut lines = text.split('\n');
    let mut first = lines.next().unwrap().splitn(2, ' ');
    let method = match first.next().unwrap() {
        "GET" => "GET",
        "POST" => "POST",
        other => panic!("{other}"),
    };
    let target = first.next().unwrap().strip_suffix(" HTTP/1.1").unwrap();
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query.to_owned())),
        None => (target, None),
    };
    let mut headers = HeaderMap::new();
    for line in lines.by_ref().take_while(|line| !line.is_empty()) {
        let (name, value) = line.split_once(':').unwrap();
        headers.append(
            HeaderName::from_bytes(name.as_bytes()).unwrap(),
            HeaderValue::from_str(value).unwrap(),
        );
    }
    let body = lines.next().unwrap_or_default().as_bytes().to_vec();
    Owned {
        method,
        path: path.into(),
        query,
        authority: None,
        headers,
        body,
    }
}

#[test]
fn refusals_have_dynamodbs_texts() {
    let verifier = verifier();
    let check = |request: Owned, code: ErrorCode, text: &str| {
        let error = verifier.verify(&request.request(), NOW).unwrap_err();
        assert_eq!((error.code(), error.to_string().as_str()), (code, text));
    };
    let none = plain(b"{}");
    check(
        none.clone(),
        ErrorCode::MissingAuthenticationToken,
        "Request is missing Authentication Token",
    );
    check(
        none.clone().with("authorization", "AWS4-HMAC-SHA256"),
        ErrorCode::IncompleteSignature,
        "Authorization header requires 'Credential' parameter. Authorization header requires 'Signature' parameter. \
         Authorization header requires 'SignedHeaders' parameter. Authorization header requires existence of either a \
         'X-Amz-Date' or a 'Date' header. Authorization=AWS4-HMAC-SHA256",
    );
    check(
        none.clone().with("authorization", "Bearer abc"),
        ErrorCode::IncompleteSignature,
        "'abc' not a valid key=value pair (missing equal-sign) in Authorization header: 'Bearer abc'.",
    );
    let mut presigned = none.clone();
    presigned.query = Some("X-Amz-Credential=a&X-Amz-Date=20150830T123600Z".into());
    check(
        presigned,
        ErrorCode::IncompleteSignature,
        "AWS query-string parameters must include 'X-Amz-Algorithm'. AWS query-string parameters must include \
         'X-Amz-Signature'. AWS query-string parameters must include 'X-Amz-SignedHeaders'. Re-examine the \
         query-string parameters.",
    );
    check(
        signed(b"{}").with_authorization("SHA256", "SHA1"),
        ErrorCode::IncompleteSignature,
        "Unsupported AWS 'algorithm': 'AWS4-HMAC-SHA1'.",
    );
    check(
        signed(b"{}").with_authorization("/eu-west-1", ""),
        ErrorCode::IncompleteSignature,
        "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got \
         'AKIDEXAMPLE/20150830/dynamodb/aws4_request'",
    );
    check(
        signed(b"{}").with("x-amz-date", "2015-08-30"),
        ErrorCode::IncompleteSignature,
        "Date must be in ISO-8601 'basic format'. Got '2015-08-30'. See http://en.wikipedia.org/wiki/ISO_8601",
    );
    check(
        signed(b"{}").with_authorization("AKID", "BKID"),
        ErrorCode::UnrecognizedClient,
        "The security token included in the request is invalid.",
    );
    check(
        signed_by_aws(none.clone(), SignatureLocation::Headers, Some("token"), NOW),
        ErrorCode::UnrecognizedClient,
        "The security token included in the request is invalid.",
    );
    check(
        signed(b"{}").with_authorization("eu-west-1", "eu-west-2"),
        ErrorCode::InvalidSignature,
        "Credential should be scoped to a valid region. ",
    );
    check(
        signed(b"{}").with_authorization("/dynamodb/", "/s3/"),
        ErrorCode::InvalidSignature,
        "Credential should be scoped to correct service: 'dynamodb'. ",
    );
    check(
        signed(b"{}").with_authorization("aws4_request", "aws5"),
        ErrorCode::InvalidSignature,
        "Credential should be scoped with a valid terminator: 'aws4_request', not 'aws5'. ",
    );
    check(
        signed(b"{}").with_authorization("20150830", "20150831"),
        ErrorCode::InvalidSignature,
        "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '20150831' != \
         '20150830', from '20150830T123600Z'.",
    );
    check(
        signed(b"{}").with_authorization("host;", ""),
        ErrorCode::InvalidSignature,
        "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.",
    );
    check(
        signed(b"{}").with("x-amz-extra", "1"),
        ErrorCode::InvalidSignature,
        "'x-amz-extra' must be a 'SignedHeader' in the AWS Authorization.",
    );
    check(
        signed(b"{}").with("x-amz-target", "DynamoDB_20120810.DeleteItem"),
        ErrorCode::InvalidSignature,
        "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access \
         Key and signing method. Consult the service documentation for details.",
    );
}

#[test]
fn the_clock_window() {
    let verifier = verifier();
    let request = signed(b"{}");
    let check = |now: i64, expect: Option<&str>| {
        let error = verifier
            .verify(&request.request(), now)
            .err()
            .map(|error| error.to_string());
        assert_eq!(error.as_deref(), expect);
    };
    check(NOW + CLOCK_WINDOW_S, None);
    check(NOW - CLOCK_WINDOW_S, None);
    check(
        NOW + CLOCK_WINDOW_S + 1,
        Some("Signature expired: 20150830T123600Z is now earlier than 20150830T123601Z (20150830T125101Z - 15 min.)"),
    );
    check(
        NOW - CLOCK_WINDOW_S - 1,
        Some(
            "Signature not yet current: 20150830T123600Z is still later than 20150830T123559Z (20150830T122059Z + 15 \
             min.)",
        ),
    );
    assert!(verifier.verify(&request.request(), i64::MIN).is_err());
    assert!(verifier.verify(&request.request(), i64::MAX).is_err());
}

#[test]
fn presigned_requests_end() {
    let verifier = verifier();
    let request = signed_by_aws(plain(b"{}"), SignatureLocation::QueryParams, None, NOW);
    assert!(verifier.verify(&request.request(), NOW + 60).is_ok());
    let error = verifier.verify(&request.request(), NOW + 61).unwrap_err();
    assert_eq!(
        error.to_string(),
        "Signature expired: 20150830T123700Z is now earlier than 20150830T123701Z"
    );
    let mut forever = request.clone();
    forever.query = forever
        .query
        .map(|query| query.replace("X-Amz-Expires=60", "X-Amz-Expires=604801"));
    assert_eq!(
        verifier.verify(&forever.request(), NOW),
        Err(AccessError::MalformedExpiry("604801".into())),
        "{forever:?}"
    );
    let mut longer = request;
    longer.query = longer
        .query
        .map(|query| query.replace("X-Amz-Expires=60", "X-Amz-Expires=61"));
    assert_eq!(
        verifier.verify(&longer.request(), NOW),
        Err(AccessError::WrongSignature)
    );
}

#[test]
fn an_http_date_stands_for_the_amz_date() {
    // AWS's signer always sets x-amz-date, so this one is signed by hand.
    let request = plain(b"{}").with("date", "Sun, 30 Aug 2015 12:36:00 GMT");
    let claim_text = format!(
        "{ALGORITHM} Credential={KEY}/20150830/{REGION}/{SERVICE}/aws4_request, SignedHeaders=date;host;x-amz-target, \
         Signature={}",
        "0".repeat(64)
    );
    let request = request.with("authorization", &claim_text);
    let claim = Claim::read(&request.request()).unwrap();
    assert_eq!(claim.date.as_str(), "20150830T123600Z");
    let verifier = verifier();
    let entry = verifier.keys.find(KEY, None, NOW).unwrap();
    let signature = verifier.signature(SERVICE, &request.request(), &claim, &entry).unwrap();
    let request = request.with_authorization(&"0".repeat(64), std::str::from_utf8(&signature).unwrap());
    assert!(verifier.verify(&request.request(), NOW).is_ok());
    assert!(
        verifier
            .verify(&request.with("date", "Sun, 30 Aug 2015 12:36:01 GMT").request(), NOW)
            .is_err()
    );
}

#[test]
fn session_tokens() {
    let keys = keys();
    let verifier = Verifier::new(Mode::Enforce, REGION, Arc::clone(&keys));
    let mut temporary = keys.find(KEY, None, NOW).unwrap().credential.clone();
    temporary.session_token = Some("token".into());
    keys.replace([temporary]);
    let check = |location, token, expect: Result<(), AccessError>| {
        let request = signed_by_aws(plain(b"{}"), location, token, NOW);
        assert_eq!(
            verifier.verify(&request.request(), NOW).map(|_| ()),
            expect,
            "{request:?}"
        );
    };
    check(SignatureLocation::Headers, Some("token"), Ok(()));
    check(SignatureLocation::QueryParams, Some("token"), Ok(()));
    check(SignatureLocation::Headers, Some("nekot"), Err(AccessError::UnknownKey));
    check(SignatureLocation::Headers, None, Err(AccessError::UnknownKey));
}

#[test]
fn replaced_keys_count_at_once() {
    let keys = keys();
    let verifier = Verifier::new(Mode::Enforce, REGION, Arc::clone(&keys));
    let request = signed(b"{}");
    assert!(verifier.verify(&request.request(), NOW).is_ok());
    let mut changed = keys.find(KEY, None, NOW).unwrap().credential.clone();
    changed.secret_access_key.push('x');
    keys.replace([changed]);
    assert_eq!(
        verifier.verify(&request.request(), NOW),
        Err(AccessError::WrongSignature)
    );
    keys.replace([]);
    assert!(keys.is_empty());
    assert_eq!(verifier.verify(&request.request(), NOW), Err(AccessError::UnknownKey));
}

#[test]
fn development_takes_anything() {
    let verifier = Verifier::new(Mode::Any, REGION, Arc::new(Keys::new([])));
    let check = |request: Owned, expect: &str| {
        let principal = verifier.verify(&request.request(), 0).unwrap();
        let account = &*principal.caller.account;
        assert_eq!((&*principal.access_key_id, account), (expect, UNCHECKED_ACCOUNT));
    };
    check(plain(b"{}"), "anonymous");
    check(signed(b"{}"), KEY);
    check(
        plain(b"{}").with("authorization", "AWS4-HMAC-SHA256 Credential="),
        "anonymous",
    );
    check(
        plain(b"{}").with("authorization", "AWS4-HMAC-SHA256 Credential=fake"),
        "fake",
    );
}

#[test]
fn many_signed_headers_cannot_swell_the_canonical_form() {
    let request = signed(b"{}").with_authorization("host;", &"host;".repeat(10_000));
    assert_eq!(
        verifier().verify(&request.request(), NOW),
        Err(AccessError::WrongSignature)
    );
}

proptest! {
    #[test]
    fn a_flipped_bit_is_refused(
        body in proptest::collection::vec(any::<u8>(), 1..200),
        place: prop::sample::Index,
        part in 0usize..4,
        bit in 0u32..8,
    ) {
        let verifier = verifier();
        let mut request = signed(&body);
        prop_assert!(verifier.verify(&request.request(), NOW).is_ok());
        let flip = |bytes: &mut [u8]| {
            let place = place.index(bytes.len());
            bytes[place] ^= 1 << bit;
        };
        if part == 0 {
            flip(&mut request.body);
        } else {
            let name = ["authorization", "x-amz-target", "x-amz-date"][part - 1];
            let mut value = request.headers[name].as_bytes().to_vec();
            flip(&mut value);
            // What HTTP cannot carry does not arrive.
            let Ok(value) = HeaderValue::from_bytes(&value) else { return Ok(()) };
            request.headers.insert(name, value);
        }
        prop_assert!(verifier.verify(&request.request(), NOW).is_err(), "{:?}", request);
    }

    #[test]
    fn arbitrary_requests_are_refused_without_a_panic(
        path in "\\PC{0,40}",
        query in proptest::option::of(
            "((X-Amz-(Algorithm|Credential|Signature|SignedHeaders|Date|Expires)=)?[ -~]{0,20}&?){0,8}",
        ),
        headers in proptest::collection::vec(
            ("(host|x-amz-date|date|x-amz-[a-z]{0,6}|authorization)", "\\PC{0,60}"), 0..8,
        ),
        authorization in proptest::option::of(
            "(AWS4-HMAC-SHA256 )?((Credential|SignedHeaders|Signature)=[A-Za-z0-9/;=-]{0,40}, ?){0,4}",
        ),
        body in proptest::collection::vec(any::<u8>(), 0..50),
        now: i64,
    ) {
        let mut request = plain(&body);
        request.path = path;
        request.query = query;
        for (name, value) in headers {
            if let Ok(value) = HeaderValue::from_str(&value) {
                request.headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), value);
            }
        }
        if let Some(authorization) = authorization {
            request = request.with("authorization", &authorization);
        }
        let error = verifier().verify(&request.request(), now).unwrap_err();
        prop_assert!(error.to_string().len() < 8 * AccessError::QUOTE_BYTES_MAX);
        prop_assert!(Verifier::new(Mode::Any, REGION, keys()).verify(&request.request(), now).is_ok());
    }
}

/// Prints what one costs: `cargo test --release -p geodynamo-access -- --ignored --nocapture cost_of_a_verification`.
#[test]
#[ignore = "a measurement that cannot fail: cargo test --release -p geodynamo-access --lib cost_of -- --ignored --nocapture"]
fn cost_of_a_verification() {
    let verifier = verifier();
    let body = [b'x'; 300];
    let request = signed(&body);
    const ROUNDS: u32 = 100_000;
    // A measurement needs a clock; the crate itself reads none.
    let start = std::time::Instant::now();
    for _ in 0..ROUNDS {
        verifier.verify(&request.request(), NOW).unwrap();
    }
    println!("verify: {:?} a request", start.elapsed() / ROUNDS);
    let mut signer = Signer::new(KEY, SECRET, REGION, HOST);
    let start = std::time::Instant::now();
    for _ in 0..ROUNDS {
        std::hint::black_box(signer.sign(TARGET, &body, NOW));
    }
    println!("sign: {:?} a request", start.elapsed() / ROUNDS);
}
