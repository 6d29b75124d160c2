//! Who may ask the admin port.
//!
//! `/healthz`, `/readyz`, `/owner` and the console's files are for everybody; so is `/metrics`, unless `[admin] open_metrics` is `false`.
//! Everything else asks for what the data port asks for: a signature (SigV4, for the service `geodynamo`, of any region), and a
//! policy that allows its action. `GET /digest` is `geodynamo:ReadDigest`, `PUT /wan/…` is `geodynamo:ChangeWan`; the resource is
//! the table that the query names, in the region that is asked, else `*`. Whoever connects from this machine itself without a signature is taken for an
//! operator, unless `[admin] trust_local` is `false`; a page that a browser on this machine has from elsewhere is not. A request
//! that has a signature is judged by it, wherever it comes from. Not even an operator changes accounts, sinks or faults on links
//! without one.

use std::{
    borrow::Cow,
    fmt,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use axum::{
    Json,
    body::{Body, Bytes, to_bytes},
    extract::{ConnectInfo, Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header, request::Parts, uri::Authority},
    middleware::Next,
    response::{IntoResponse, Response},
};
use geodynamo_access::{ADMIN, AccessError, Keys, Mode, Principal, RefusedBySource, Request as Signed, Verifier};
use geodynamo_policy::{Caller, CallerKind, Environment, Request as Asked, evaluate};
use percent_encoding::percent_decode_str;
use serde_json::json;

/// The longest body of a request, in bytes.
const BODY_BYTES_MAX: usize = 64 << 10;
/// What everybody may ask for.
const OPEN: [&str; 5] = ["/", "/healthz", "/readyz", "/owner", "/console.json"];
/// The console's files.
const FILES: &str = "/console/";
const METRICS: &str = "/metrics";
/// What of the port makes root users' keys, has tables copied elsewhere or keeps regions apart: whoever changes it signs, from
/// this machine too.
const GUARDED: [&str; 3] = ["accounts", "sinks", FAULTS];
/// Faults on links.
const FAULTS: &str = "faults";
/// What is asked of other regions, or is about one of them.
const REGIONS: &str = "regions";

/// What a port is to be guarded by.
#[derive(Clone, Debug)]
pub struct GuardOptions {
    /// The region that is asked.
    pub region: String,
    /// Whose the region's tables are.
    pub account: String,
    /// The host that the port is called by, beside addresses and `localhost`.
    pub host: String,
    /// Whether this machine's own requests need no signature.
    pub trust_local: bool,
    /// Whether everybody may read `/metrics`.
    pub open_metrics: bool,
}

/// Decides on each request of an admin port.
#[derive(Debug)]
pub struct Guard {
    options: GuardOptions,
    verifier: Verifier,
    refused: RefusedBySource,
    recorder: Option<Arc<dyn Recorder>>,
}

/// Keeps a record of changes.
pub trait Recorder: Send + Sync + fmt::Debug {
    /// Records a change that was asked for.
    fn record(&self, principal: &Principal, change: &AdminChange<'_>, now_unix_s: i64);
}

/// A change that the admin port was asked for.
#[derive(Clone, Copy, Debug)]
pub struct AdminChange<'a> {
    /// Its action.
    pub action: &'a str,
    /// Its method.
    pub method: &'a str,
    /// Its path.
    pub path: &'a str,
    /// What was behind the path's question mark.
    pub query: Option<&'a str>,
    /// Its document as it came.
    pub body: &'a [u8],
    /// Who asked.
    pub source_ip: IpAddr,
    /// Its `User-Agent` header.
    pub user_agent: Option<&'a str>,
    /// Its code and words, if it was refused or failed.
    pub error: Option<(&'a str, &'a str)>,
}

/// Why a request is refused.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("{0}")]
    Access(#[from] AccessError),
    #[error("{message}")]
    Denied { message: String, principal: Principal },
    #[error("a request has {BODY_BYTES_MAX} bytes at most")]
    TooLong,
}

impl Guard {
    /// A guard that knows `keys`, and tells `recorder` of the changes that are asked for.
    pub fn new(options: GuardOptions, mode: Mode, keys: Keys, recorder: Option<Arc<dyn Recorder>>) -> Self {
        Self {
            verifier: Verifier::new(mode, &options.region, Arc::new(keys)),
            options,
            refused: RefusedBySource::default(),
            recorder,
        }
    }

    fn is_open(&self, method: &Method, path: &str) -> bool {
        let reads = matches!(*method, Method::GET | Method::HEAD);
        reads && (OPEN.contains(&path) || path.starts_with(FILES) || (path == METRICS && self.options.open_metrics))
    }

    /// Whether a request needs no signature, for it comes from this machine. Whoever signs wants to be taken for whom the key is:
    /// the console does, also on this machine.
    fn is_trusted(&self, remote: IpAddr, method: &Method, path: &str, headers: &HeaderMap) -> bool {
        let is_signed = headers.contains_key(header::AUTHORIZATION);
        let is_local =
            self.options.trust_local && remote.to_canonical().is_loopback() && is_own_page(headers, &self.options.host);
        is_local && !is_signed && !is_guarded(method, path)
    }

    fn admit(
        &self,
        remote: IpAddr,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<Principal, Refusal> {
        let now_unix_s = now_unix_s();
        let signed = Signed {
            method: method.as_str(),
            path: uri.path(),
            query: uri.query(),
            authority: uri.authority().map(Authority::as_str),
            headers,
            body,
        };
        let verified = self.verifier.verify_for(ADMIN, &signed, now_unix_s);
        let verified = verified.map_err(|error| match self.refused.admit(remote, Instant::now()) {
            true => error,
            false => AccessError::TooManyRefused,
        })?;
        if self.verifier.mode() == Mode::Any {
            // Browsers let any page send what needs no signature.
            return match changes(method) && is_foreign_page(headers) {
                false => Ok(verified.principal),
                true => Err(Refusal::Denied {
                    message: "a page from elsewhere may change nothing".to_owned(),
                    principal: verified.principal,
                }),
            };
        }
        let region = region_in(uri.path()).unwrap_or(Cow::Borrowed(&self.options.region));
        let (action, resource) = (action(method, uri.path()), self.resource(method, uri, &region));
        let caller = &verified.principal.caller;
        let asked = Asked {
            action: &action,
            resource: &resource,
            resource_account: &self.options.account,
            environment: &Environment {
                now_unix_s: Some(now_unix_s),
                source_ip: Some(remote),
                secure_transport: Some(false),
                user_agent: headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok()),
                referer: headers.get(header::REFERER).and_then(|value| value.to_str().ok()),
                region: Some(&region),
                via_service: Some(false),
            },
            context: &(),
        };
        let denied = evaluate(caller, None, &asked).message(caller, &asked);
        let refusal = verified.refusal.map(|error| error.to_string());
        match (refusal.or(denied), self.verifier.mode()) {
            (Some(message), Mode::Enforce) => Err(Refusal::Denied {
                message,
                principal: verified.principal,
            }),
            (Some(message), _) => {
                tracing::warn!(refusal = message, path = uri.path(), "the admin port would refuse");
                Ok(verified.principal)
            }
            (None, _) => Ok(verified.principal),
        }
    }

    fn resource(&self, method: &Method, uri: &Uri, region: &str) -> String {
        if changes(method)
            && named(uri.path()) == FAULTS
            && let Some(peer) = uri.path().rsplit('/').next()
        {
            return format!(
                "arn:aws:geodynamo:{region}:{}:link/{}",
                self.options.account,
                decoded(peer)
            );
        }
        let mut named = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
        let table = named.find_map(|(name, value)| (name == "table").then_some(value));
        table.map_or("*".to_owned(), |table| {
            format!("arn:aws:dynamodb:{region}:{}:table/{table}", self.options.account)
        })
    }
}

/// Lets requests through, or answers in their place.
pub(crate) async fn check(
    State(guard): State<Arc<Guard>>,
    ConnectInfo(remote): ConnectInfo<SocketAddr>,
    request: Request,
    next: Next,
) -> Response {
    let (method, path) = (request.method(), request.uri().path());
    if guard.is_open(method, path) {
        return next.run(request).await;
    }
    let source_ip = remote.ip().to_canonical();
    let is_trusted = guard.is_trusted(remote.ip(), method, path, request.headers());
    let (head, body) = request.into_parts();
    let Ok(body) = to_bytes(body, BODY_BYTES_MAX).await else {
        return refused(&Refusal::TooLong);
    };
    let change = Change::of(&head, &body, source_ip);
    if is_trusted {
        let nobody = Principal {
            access_key_id: "".into(),
            caller: Arc::new(Caller::new(
                &guard.options.account,
                "anonymous",
                CallerKind::Anonymous,
                "anonymous",
            )),
        };
        let request = Request::from_parts(head, Body::from(body));
        return guard.answered(&nobody, change, request, next).await;
    }
    match guard.admit(source_ip, &head.method, &head.uri, &head.headers, &body) {
        Ok(principal) => {
            let request = Request::from_parts(head, Body::from(body));
            guard.answered(&principal, change, request, next).await
        }
        Err(refusal) => {
            if let (Refusal::Denied { message, principal }, Some(change)) = (&refusal, &change) {
                guard.record(principal, change, Some(("AccessDenied", message)));
            }
            refused(&refusal)
        }
    }
}

fn refused(refusal: &Refusal) -> Response {
    let status = match refusal {
        Refusal::TooLong => StatusCode::PAYLOAD_TOO_LARGE,
        Refusal::Access(_) | Refusal::Denied { .. } => StatusCode::FORBIDDEN,
    };
    (status, Json(json!({ "error": refusal.to_string() }))).into_response()
}

/// A request that is to change something, as the audit trail tells of it.
struct Change {
    method: Method,
    uri: Uri,
    body: Bytes,
    user_agent: Option<HeaderValue>,
    source_ip: IpAddr,
}

impl Change {
    fn of(head: &Parts, body: &Bytes, source_ip: IpAddr) -> Option<Self> {
        changes(&head.method).then(|| Self {
            method: head.method.clone(),
            uri: head.uri.clone(),
            body: body.clone(),
            user_agent: head.headers.get(header::USER_AGENT).cloned(),
            source_ip,
        })
    }
}

impl Guard {
    /// Answers a request that is let through, and records it if it is to change something.
    async fn answered(&self, principal: &Principal, change: Option<Change>, request: Request, next: Next) -> Response {
        let response = next.run(request).await;
        if let Some(change) = &change {
            let status = response.status();
            let words = status.canonical_reason().unwrap_or_default();
            let error = (!status.is_success()).then_some((status.as_str(), words));
            self.record(principal, change, error);
        }
        response
    }

    fn record(&self, principal: &Principal, change: &Change, error: Option<(&str, &str)>) {
        let Some(recorder) = &self.recorder else { return };
        let told = AdminChange {
            action: &action(&change.method, change.uri.path()),
            method: change.method.as_str(),
            path: change.uri.path(),
            query: change.uri.query(),
            body: &change.body,
            source_ip: change.source_ip,
            user_agent: change.user_agent.as_ref().and_then(|value| value.to_str().ok()),
            error,
        };
        recorder.record(principal, &told, now_unix_s());
    }
}

fn changes(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD)
}

/// Whether a request must be signed wherever it comes from.
fn is_guarded(method: &Method, path: &str) -> bool {
    changes(method) && GUARDED.contains(&&*named(path))
}

/// A part of a path as whoever answers reads it.
fn decoded(part: &str) -> Cow<'_, str> {
    percent_decode_str(part).decode_utf8_lossy()
}

fn parts(path: &str) -> impl Iterator<Item = Cow<'_, str>> {
    path.split('/').filter(|part| !part.is_empty()).map(decoded)
}

/// What a path is about. What another region is asked for in its place is the same thing.
fn named(path: &str) -> Cow<'_, str> {
    let mut parts = parts(path);
    match (parts.next(), parts.nth(1)) {
        (Some(first), Some(what)) if first == REGIONS => what,
        (first, _) => first.unwrap_or_default(),
    }
}

/// The region that is asked in this one's place.
fn region_in(path: &str) -> Option<Cow<'_, str>> {
    let mut parts = parts(path);
    let first = parts.next()?;
    let region = parts.next()?;
    (first == REGIONS && parts.next().is_some()).then_some(region)
}

/// The action of a request: what it does, and to what.
fn action(method: &Method, path: &str) -> String {
    if named(path) == FAULTS {
        match *method {
            Method::PUT => return "geodynamo:SetLinkFault".to_owned(),
            Method::DELETE => return "geodynamo:ClearLinkFault".to_owned(),
            _ => {}
        }
    }
    let verb = if changes(method) { "Change" } else { "Read" };
    let mut action = format!("geodynamo:{verb}");
    for word in named(path).split(['-', '_', '.']) {
        let mut letters = word.chars();
        action.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        action.extend(letters);
    }
    action
}

/// Whether a request was made by no page at all, or by one of this port, which was called by a name that nobody else can
/// make point here.
fn is_own_page(headers: &HeaderMap, own: &str) -> bool {
    let authority = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let Some(authority) = authority.and_then(|host| host.parse::<Authority>().ok()) else {
        return false;
    };
    let host = authority.host().trim_matches(['[', ']']);
    let is_known = host.parse::<IpAddr>().is_ok() || host.eq_ignore_ascii_case("localhost") || host == own;
    let origin = headers.get(header::ORIGIN);
    let same = origin.is_none_or(|origin| {
        let origin = origin.to_str().ok().and_then(|origin| origin.strip_prefix("http://"));
        origin.is_some_and(|origin| origin.eq_ignore_ascii_case(authority.as_str()))
    });
    is_known && same
}

/// Whether a request was made by a page of another origin, as far as browsers tell.
fn is_foreign_page(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let Some(origin) = headers.get(header::ORIGIN) else {
        return false;
    };
    let host = origin
        .to_str()
        .ok()
        .and_then(|origin| origin.split_once("://"))
        .map(|(_, host)| host);
    host.is_none() || host.map(str::to_ascii_lowercase) != text(header::HOST).map(str::to_ascii_lowercase)
}

fn now_unix_s() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use geodynamo_access::{Credential, RequestSigner, Unsigned};

    use super::*;

    fn guard(trust_local: bool, keys: Keys) -> Guard {
        let options = GuardOptions {
            region: "eu-west-1".into(),
            account: "000000000000".into(),
            host: "127.0.0.1".into(),
            trust_local,
            open_metrics: true,
        };
        Guard::new(options, Mode::Enforce, keys, None)
    }

    #[test]
    fn regions_of_a_cluster_ask_each_other() {
        let house = |secret: &str| Credential {
            access_key_id: "GEODYNAMOREGION".into(),
            secret_access_key: secret.into(),
            session_token: None,
            account: "000000000000".into(),
        };
        let guard = guard(false, Keys::new([house("the cluster's")]));
        for (secret, expect) in [("the cluster's", true), ("another cluster's", false)] {
            let signer = RequestSigner::new("GEODYNAMOREGION", secret, None, "us-east-1", ADMIN);
            let request = Unsigned {
                method: "GET",
                host: "10.0.0.1:8001",
                path: "/digest",
                query: Some("table=T"),
                headers: &[],
                body: b"",
            };
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, "10.0.0.1:8001".parse().unwrap());
            for (name, value) in signer.sign(&request, now_unix_s()) {
                headers.insert(name, value.parse().unwrap());
            }
            let uri: Uri = "/digest?table=T".parse().unwrap();
            let remote = IpAddr::from([10, 0, 0, 2]);
            let admitted = guard.admit(remote, &Method::GET, &uri, &headers, b"");
            assert_eq!(admitted.is_ok(), expect, "{secret}: {admitted:?}");
        }
    }

    #[test]
    fn actions() {
        for (method, path, expect) in [
            (Method::GET, "/digest", "geodynamo:ReadDigest"),
            (Method::GET, "/conflicts/1-2", "geodynamo:ReadConflicts"),
            (Method::GET, "/regions/eu-west-1/links", "geodynamo:ReadLinks"),
            (Method::GET, "/regions", "geodynamo:ReadRegions"),
            (Method::GET, "/regions/eu-west-1/%63onflicts", "geodynamo:ReadConflicts"),
            (Method::PUT, "/%66aults/eu-west-1", "geodynamo:SetLinkFault"),
            (Method::PUT, "/wan/links/a/b", "geodynamo:ChangeWan"),
            (Method::POST, "/hot-keys", "geodynamo:ChangeHotKeys"),
            (Method::GET, "/", "geodynamo:Read"),
            (Method::GET, "/faults", "geodynamo:ReadFaults"),
            (Method::PUT, "/faults/eu-west-1", "geodynamo:SetLinkFault"),
            (Method::DELETE, "/faults/eu-west-1", "geodynamo:ClearLinkFault"),
        ] {
            assert_eq!(action(&method, path), expect, "{method} {path}");
        }
    }

    #[test]
    fn resources_are_those_that_are_answered_for() {
        let guard = guard(true, Keys::new([]));
        let of = |method: Method, uri: &str| {
            let uri: Uri = uri.parse().unwrap();
            let region = region_in(uri.path()).unwrap_or(Cow::Borrowed("eu-west-1"));
            guard.resource(&method, &uri, &region)
        };
        let secret = "arn:aws:dynamodb:eu-west-1:000000000000:table/secret";
        for uri in [
            "/digest?table=secret",
            "/digest?table=sec%72et",
            "/digest?%74able=secret",
            "/digest?a=b&table=secret",
            "/regions/eu-west-1/digest?table=secret",
            "/regions/eu%2dwest-1/digest?table=secret",
        ] {
            assert_eq!(of(Method::GET, uri), secret, "{uri}");
        }
        assert_eq!(
            of(Method::GET, "/regions/us-east-1/digest?table=secret"),
            "arn:aws:dynamodb:us-east-1:000000000000:table/secret"
        );
        assert_eq!(of(Method::GET, "/digest"), "*");
        assert_eq!(
            of(Method::PUT, "/faults/us%2deast-1"),
            "arn:aws:geodynamo:eu-west-1:000000000000:link/us-east-1"
        );
    }

    #[test]
    fn pages_from_elsewhere_are_told_by_their_origin() {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_static("node.example:8001"));
        assert!(!is_foreign_page(&headers));
        for (origin, expect) in [
            ("http://node.example:8001", false),
            ("http://NODE.example:8001", false),
            ("http://evil.example", true),
            ("null", true),
        ] {
            headers.insert(header::ORIGIN, HeaderValue::from_static(origin));
            assert_eq!(is_foreign_page(&headers), expect, "{origin}");
        }
    }

    #[test]
    fn this_machine_is_trusted_but_not_with_everything() {
        let guard = guard(true, Keys::new([]));
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, "127.0.0.1:8001".parse().unwrap());
        let (here, elsewhere) = (IpAddr::from([127, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        for (method, path, expect) in [
            (Method::GET, "/digest", true),
            (Method::GET, "/accounts", true),
            (Method::GET, "/sinks", true),
            (Method::POST, "/verify", true),
            (Method::POST, "/accounts", false),
            (Method::POST, "//accounts", false),
            (Method::POST, "/%61ccounts", false),
            (Method::POST, "/accounts/111122223333/root", false),
            (Method::DELETE, "/accounts/111122223333", false),
            (Method::POST, "/regions/us-east-1/accounts", false),
            (Method::GET, "/faults", true),
            (Method::PUT, "/faults/us-east-1", false),
            (Method::DELETE, "/faults/us-east-1", false),
            (Method::POST, "/sinks", false),
            (Method::DELETE, "/sinks/lake", false),
        ] {
            assert_eq!(
                guard.is_trusted(here, &method, path, &headers),
                expect,
                "{method} {path}"
            );
            assert!(!guard.is_trusted(elsewhere, &method, path, &headers));
        }
        // Whoever signs is not just somebody on this machine.
        headers.insert(header::AUTHORIZATION, HeaderValue::from_static("AWS4-HMAC-SHA256"));
        assert!(!guard.is_trusted(here, &Method::GET, "/digest", &headers));
    }

    #[test]
    fn pages_of_others_are_not_local() {
        let headers = |list: &[(header::HeaderName, &str)]| -> HeaderMap {
            let pairs = list.iter().map(|(name, value)| (name.clone(), value.parse().unwrap()));
            pairs.collect()
        };
        for (list, expect) in [
            (&[(header::HOST, "127.0.0.1:8001")][..], true),
            (&[(header::HOST, "localhost:8001")], true),
            (&[(header::HOST, "[::1]:8001")], true),
            (&[(header::HOST, "evil.example:8001")], false),
            (&[], false),
            (
                &[
                    (header::HOST, "127.0.0.1:8001"),
                    (header::ORIGIN, "http://127.0.0.1:8001"),
                ],
                true,
            ),
            (
                &[
                    (header::HOST, "127.0.0.1:8001"),
                    (header::ORIGIN, "http://evil.example"),
                ],
                false,
            ),
        ] {
            assert_eq!(is_own_page(&headers(list), "10.0.0.1"), expect, "{list:?}");
        }
    }
}
