//! What is served where.
//!
//! - `/` and `/console/…`: the pages.
//! - `/console.json`: which regions there are, and where their data ports are.
//! - `/links`: the last hour of this region's links.
//! - `/regions/{region}/metrics`, `…/readyz`, `…/links`, `…/faults`, `…/slow-requests`, `…/keys`, `…/sinks`, `…/verify[?table=T]`,
//!   `…/digest?table=T`, `…/insights[?table=T[&index=I]]`, `…/conflicts?table=T[&after=ID]`: another region's, asked for in its
//!   place.
//! - `POST /regions/{region}/verify[?table=T]`: has another region verify a table, or all.
//! - `/wan/links`, `PUT /wan/links/{from}/{to}`: the WAN emulator's, where there is one.

use std::{fmt::Write as _, net::IpAddr, sync::Arc};

use axum::{
    Json, Router,
    body::{Body, Bytes},
    extract::{DefaultBodyLimit, Path, Query, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header, uri::Authority},
    response::{IntoResponse, Response},
    routing::{get, put},
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    Facts,
    ask::{Answer, AskError, Asker, Signs},
    files::{self, File},
    history::{History, Links},
};

/// The longest body of a request, in bytes: a link's settings.
const BODY_BYTES_MAX: usize = 4 << 10;
/// The longest name of a table.
const TABLE_NAME_MAX: usize = 255;
/// The longest id of a conflict: a key's bytes, a stamp's, in hexadecimal.
const CONFLICT_ID_MAX: usize = 16 << 10;
/// Nothing is shown from before a release without asking whether it is still so.
const REVALIDATE: HeaderValue = HeaderValue::from_static("no-cache");
const NEVER_KEPT: HeaderValue = HeaderValue::from_static("no-store");

/// What every answer of the console says, pages and data.
const GUARDS: [(HeaderName, HeaderValue); 5] = [
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        HeaderValue::from_static("same-origin"),
    ),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        HeaderValue::from_static("same-origin"),
    ),
];

struct Console {
    facts: Facts,
    asker: Asker,
    history: Arc<History>,
}

/// The console's part of an admin port. Called within a runtime: `links`, if there are any, are looked at from now on. `signer`
/// signs what other regions are asked for.
pub fn router(facts: Facts, links: Option<Arc<dyn Links>>, signer: Option<Arc<dyn Signs>>) -> Router {
    let history = Arc::new(History::default());
    if let Some(links) = links {
        tokio::spawn(History::watch(Arc::downgrade(&history), links));
    }
    let asker = Asker::new(signer);
    Router::new()
        .route("/", get(index))
        .route("/console/{*name}", get(asset))
        .route("/console.json", get(facts_of))
        .route("/links", get(last_hour))
        .route("/regions/{region}/{what}", get(region).post(change_region))
        .route("/wan/links", get(wan_links))
        .route("/wan/links/{from}/{to}", put(change_link))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(Arc::new(Console { facts, asker, history }))
}

async fn index(State(console): State<Arc<Console>>, headers: HeaderMap) -> Response {
    serve("index.html", &console, &headers)
}

async fn asset(State(console): State<Arc<Console>>, Path(name): Path<String>, headers: HeaderMap) -> Response {
    serve(&name, &console, &headers)
}

fn serve(name: &str, console: &Console, headers: &HeaderMap) -> Response {
    let Some(file) = files::file(name) else {
        return refuse(StatusCode::NOT_FOUND, "no such page");
    };
    let asked = headers.get(header::IF_NONE_MATCH).and_then(|tags| tags.to_str().ok());
    // Tags are compared weakly here: whoever compressed the answer on its way marked them so.
    let known = asked.is_some_and(|tags| {
        tags.split(',')
            .any(|tag| tag.trim().trim_start_matches("W/") == file.tag)
    });
    let mut response = if known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        Response::new(Body::from(file.bytes))
    };
    guard(&mut response, REVALIDATE);
    describe(&mut response, file, &policy(&console.facts, &host(headers)));
    response
}

fn describe(response: &mut Response, file: &File, policy: &str) {
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(file.kind));
    // Hexadecimal digits, and addresses that were checked: they cannot be refused as a header's value.
    if let (Ok(tag), Ok(policy)) = (HeaderValue::from_str(&file.tag), HeaderValue::from_str(policy)) {
        headers.insert(header::ETAG, tag);
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
}

/// What pages may load and connect to: themselves, and the regions' data ports.
fn policy(facts: &Facts, host: &str) -> String {
    let mut policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; base-uri 'none'; \
                      form-action 'none'; frame-ancestors 'none'; connect-src 'self'"
        .to_owned();
    for place in &facts.regions {
        // Writing to a String cannot fail.
        let _ = write!(policy, " {}", facts.endpoint(place, host));
    }
    policy
}

async fn facts_of(State(console): State<Arc<Console>>, headers: HeaderMap) -> Response {
    let (facts, host) = (&console.facts, host(&headers));
    let regions: Vec<Value> = facts
        .regions
        .iter()
        .map(|place| json!({ "name": place.name, "endpoint": facts.endpoint(place, &host) }))
        .collect();
    data(Json(json!({
        "cluster": facts.cluster,
        "region": facts.region,
        "regions": regions,
        "wan": facts.wan.is_some(),
        "auth": facts.auth,
        "backups": facts.backups,
        "table_keys": facts.table_keys,
        "kinesis": facts.kinesis,
        "functions": facts.functions,
        "version": facts.version,
    })))
}

#[derive(Deserialize)]
struct RegionQuery {
    table: Option<String>,
    index: Option<String>,
    after: Option<String>,
}

async fn region(
    State(console): State<Arc<Console>>,
    Path((region, what)): Path<(String, String)>,
    Query(query): Query<RegionQuery>,
) -> Response {
    let after = query.after.unwrap_or_default();
    let query = match (what.as_str(), query.table, query.index) {
        ("metrics" | "readyz" | "links" | "faults" | "slow-requests" | "keys" | "sinks", ..)
        | ("insights" | "verify", None, None) => None,
        ("digest" | "insights" | "verify", Some(table), None) if is_table_name(&table) => {
            Some(format!("table={table}"))
        }
        ("conflicts", Some(table), None) if is_table_name(&table) && is_conflict(&after) => {
            Some(format!("table={table}&after={after}"))
        }
        // Names of indexes are made of the same signs.
        ("insights", Some(table), Some(index)) if is_table_name(&table) && is_table_name(&index) => {
            Some(format!("table={table}&index={index}"))
        }
        ("digest", ..) => return refuse(StatusCode::BAD_REQUEST, "digest?table=NAME"),
        ("conflicts", ..) => return refuse(StatusCode::BAD_REQUEST, "conflicts?table=NAME&after=ID"),
        ("insights", ..) => return refuse(StatusCode::BAD_REQUEST, "insights?table=NAME&index=NAME"),
        ("verify", ..) => return refuse(StatusCode::BAD_REQUEST, "verify?table=NAME"),
        _ => {
            return refuse(
                StatusCode::NOT_FOUND,
                "there are metrics, readyz, links, faults, slow-requests, keys, sinks, verify, digest, insights and conflicts",
            );
        }
    };
    console.of_region(Method::GET, &region, &what, query.as_deref()).await
}

async fn change_region(
    State(console): State<Arc<Console>>,
    Path((region, what)): Path<(String, String)>,
    Query(query): Query<RegionQuery>,
    headers: HeaderMap,
) -> Response {
    if !comes_from_here(&console.facts, &headers) {
        return refuse(StatusCode::FORBIDDEN, "only the console's own pages may ask for this");
    }
    let query = match (what.as_str(), query.table) {
        ("verify", None) => None,
        ("verify", Some(table)) if is_table_name(&table) => Some(format!("table={table}")),
        ("verify", _) => return refuse(StatusCode::BAD_REQUEST, "verify?table=NAME"),
        _ => return refuse(StatusCode::NOT_FOUND, "there is verify"),
    };
    console.of_region(Method::POST, &region, &what, query.as_deref()).await
}

impl Console {
    async fn of_region(&self, method: Method, region: &str, what: &str, query: Option<&str>) -> Response {
        let Some(place) = self.facts.regions.iter().find(|place| place.name == region) else {
            return refuse(StatusCode::NOT_FOUND, "no such region");
        };
        let path = format!("/{what}");
        let answer = self.asker.of_region(method, &place.admin, &path, query).await;
        pass_on(answer, &place.admin)
    }
}

async fn last_hour(State(console): State<Arc<Console>>) -> Response {
    data(Json(console.history.to_json().await))
}

async fn wan_links(State(console): State<Arc<Console>>) -> Response {
    let Some(wan) = &console.facts.wan else {
        return refuse(StatusCode::NOT_FOUND, "the links go through no emulator");
    };
    pass_on(console.asker.get(&format!("{wan}/links")).await, wan)
}

async fn change_link(
    State(console): State<Arc<Console>>,
    Path((from, to)): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let facts = &console.facts;
    let Some(wan) = &facts.wan else {
        return refuse(StatusCode::NOT_FOUND, "the links go through no emulator");
    };
    if !comes_from_here(facts, &headers) {
        return refuse(StatusCode::FORBIDDEN, "only the console's own pages may change links");
    }
    if [&from, &to]
        .iter()
        .any(|name| !facts.regions.iter().any(|place| place.name == **name))
    {
        return refuse(StatusCode::NOT_FOUND, "no such link");
    }
    pass_on(console.asker.put(&format!("{wan}/links/{from}/{to}"), body).await, wan)
}

/// Whether a request that changes something was made by a page of this port, or by no page at all.
///
/// Another origin's page cannot send JSON without a preflight, which nobody here answers; this also holds against a page
/// whose host name was made to point at this machine, by asking for a name that is known to.
fn comes_from_here(facts: &Facts, headers: &HeaderMap) -> bool {
    let is_json = headers
        .get(header::CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok())
        .is_some_and(|kind| {
            kind.split(';')
                .next()
                .is_some_and(|kind| kind.trim() == "application/json")
        });
    let Some(authority) = authority(headers) else {
        return false;
    };
    let host = authority.host().trim_matches(['[', ']']);
    let own = facts.regions.iter().find(|place| place.name == facts.region);
    let known = host.parse::<IpAddr>().is_ok()
        || host.eq_ignore_ascii_case("localhost")
        || own.is_some_and(|own| {
            own.admin
                .rsplit_once(':')
                .is_some_and(|(own, _)| own.eq_ignore_ascii_case(host))
        });
    let same = headers.get(header::ORIGIN).is_none_or(|origin| {
        origin
            .to_str()
            .ok()
            .and_then(|origin| origin.strip_prefix("http://"))
            .is_some_and(|origin| origin.eq_ignore_ascii_case(authority.as_str()))
    });
    is_json && known && same
}

fn authority(headers: &HeaderMap) -> Option<Authority> {
    headers.get(header::HOST)?.to_str().ok()?.parse().ok()
}

/// What the browser calls this machine. An authority has only characters that may stand in a policy, but for these.
fn host(headers: &HeaderMap) -> String {
    let known = authority(headers).map(|authority| authority.host().to_owned());
    known
        .filter(|host| {
            host.bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b".-:[]_".contains(&byte))
        })
        .unwrap_or_else(|| "localhost".to_owned())
}

/// Whether this may be the id of a conflict that others are behind; nothing is before all of them.
fn is_conflict(id: &str) -> bool {
    id.len() <= CONFLICT_ID_MAX && id.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn is_table_name(name: &str) -> bool {
    (1..=TABLE_NAME_MAX).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
}

fn pass_on(answer: Result<Answer, AskError>, who: &str) -> Response {
    match answer {
        Ok(answer) => data((answer.status, answer.body)),
        Err(AskError::Busy) => refuse(StatusCode::SERVICE_UNAVAILABLE, &AskError::Busy.to_string()),
        Err(error) => refuse(StatusCode::BAD_GATEWAY, &format!("{who} {error}")),
    }
}

fn data(answer: impl IntoResponse) -> Response {
    let mut response = answer.into_response();
    guard(&mut response, NEVER_KEPT);
    response
}

fn refuse(status: StatusCode, error: &str) -> Response {
    data((status, Json(json!({ "error": error }))))
}

fn guard(response: &mut Response, caching: HeaderValue) {
    let headers = response.headers_mut();
    for (name, value) in GUARDS {
        headers.insert(name, value);
    }
    headers.insert(header::CACHE_CONTROL, caching);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::Place;

    fn facts() -> Facts {
        let place = |name: &str, data: Option<&str>| Place {
            name: name.to_owned(),
            data: data.map(str::to_owned),
            admin: "db.example:8001".to_owned(),
        };
        Facts {
            cluster: None,
            region: "a".to_owned(),
            regions: vec![
                place("a", None),
                place("b", Some("b.example:8000")),
                place("c", Some("c:1")),
            ],
            data: ([0, 0, 0, 0], 8000).into(),
            tls: false,
            endpoints: BTreeMap::from([("c".to_owned(), "https://c.example/".to_owned())]),
            wan: None,
            auth: "enforce",
            backups: true,
            table_keys: None,
            kinesis: false,
            functions: Vec::new(),
            version: String::new(),
        }
    }

    fn headers(list: &[(HeaderName, &str)]) -> HeaderMap {
        list.iter()
            .map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap()))
            .collect()
    }

    #[test]
    fn pages_may_connect_to_the_data_ports_only() {
        let policy = policy(&facts(), &host(&headers(&[(header::HOST, "box:8001")])));
        let connect = policy.rsplit_once("connect-src ").unwrap().1;
        assert_eq!(
            connect,
            "'self' http://box:8000 http://b.example:8000 https://c.example"
        );
        assert!(!policy.contains("unsafe"), "{policy}");
        // Whatever a client calls this machine, it does not get into the policy.
        for bad in ["a;script-src *", "a b", "a'", "a\"b", "user@a"] {
            let host = host(&headers(&[(header::HOST, bad)]));
            assert!(host == "localhost" || host == "a", "{bad}: {host}");
        }
    }

    #[test]
    fn only_the_own_pages_change_links() {
        let json = (header::CONTENT_TYPE, "application/json");
        for (list, expect) in [
            (vec![json.clone(), (header::HOST, "127.0.0.1:8001")], true),
            (vec![json.clone(), (header::HOST, "[::1]:8001")], true),
            (
                vec![
                    json.clone(),
                    (header::HOST, "localhost:8001"),
                    (header::ORIGIN, "http://localhost:8001"),
                ],
                true,
            ),
            (
                vec![
                    json.clone(),
                    (header::HOST, "db.example:8001"),
                    (header::ORIGIN, "http://db.example:8001"),
                ],
                true,
            ),
            (
                vec![
                    json.clone(),
                    (header::HOST, "127.0.0.1:8001"),
                    (header::ORIGIN, "http://evil.example"),
                ],
                false,
            ),
            (
                vec![json.clone(), (header::HOST, "127.0.0.1:8001"), (header::ORIGIN, "null")],
                false,
            ),
            (
                vec![
                    json.clone(),
                    (header::HOST, "evil.example:8001"),
                    (header::ORIGIN, "http://evil.example:8001"),
                ],
                false,
            ),
            (vec![json], false),
            (
                vec![(header::CONTENT_TYPE, "text/plain"), (header::HOST, "127.0.0.1:8001")],
                false,
            ),
            (vec![(header::HOST, "127.0.0.1:8001")], false),
        ] {
            assert_eq!(comes_from_here(&facts(), &headers(&list)), expect, "{list:?}");
        }
    }

    #[test]
    fn names_of_tables() {
        for (name, expect) in [
            ("a.b-c_D9", true),
            ("", false),
            ("a&b", false),
            ("a/b", false),
            ("a#", false),
        ] {
            assert_eq!(is_table_name(name), expect, "{name}");
        }
    }
}
