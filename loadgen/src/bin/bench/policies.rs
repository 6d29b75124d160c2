//! What policies cost a request: gets and puts of a user under ten policies of ten statements with conditions on keys, against
//! those of root, in one region; and how soon a changed policy takes effect.
//!
//! Every statement is about the table and the actions, so each request's keys are held against all hundred conditions. The last
//! one allows it.

use std::collections::BTreeMap;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use geodynamo_access::{RequestSigner, Unsigned};
use geodynamo_loadgen::client::Connection;
use geodynamo_loadgen::cluster::{ACCESS_KEY_ID, Cluster, SECRET_ACCESS_KEY};
use geodynamo_loadgen::process::wait_idle;
use geodynamo_loadgen::signer::Credentials;
use geodynamo_loadgen::tables;
use geodynamo_loadgen::workload::{Operation, Requests, Workload};
use serde_json::{Value, json};

use crate::comparison::Samples;
use crate::effort::{Effort, TABLE};
use crate::pair::{IDLE_MAX, Side, block_on, region, settings};
use crate::peaks::CONNECTIONS;

/// Policies, and statements of each.
const POLICIES: usize = 10;
/// Of root's rate, at least.
const RATIO_WANTED: f64 = 0.95;
/// How soon a changed policy counts, at most.
const EFFECT_MAX: Duration = Duration::from_millis(100);
/// Changes that are timed.
const CHANGES: usize = 20;
const REGION: &str = "us-east-1";
const USER: &str = "bench";
/// An answer of IAM's comes within this time.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// Measures them.
pub(crate) fn measure(effort: &Effort, folder: &Path) -> io::Result<Value> {
    let mut cluster = Cluster::new(settings(folder, "policies", &[REGION])?)?;
    cluster.write(&BTreeMap::new())?;
    cluster.start()?;
    let root = region(&cluster)?;
    let workload = effort.workload(Operation::Put);
    block_on(tables::create_for(&root.endpoint, &workload))?;
    block_on(tables::fill_from(0, &root.endpoint, &workload, CONNECTIONS[0], |_| ()))?;
    wait_idle(root.pid, IDLE_MAX)?;
    let iam = Iam(root.endpoint.address);
    let user = root.with_credentials(iam.make_user()?);
    println!(
        "\nA user under {POLICIES} policies of {POLICIES} statements with conditions on keys, against root; closed loop, medians of \
         {} runs\n",
        effort.runs
    );
    println!(
        "{:<10} {:>11} {:>12} {:>12} {:>7} {:>7}   {:>12} {:>12} {:>7}",
        "", "connections", "root", "user", "ratio", "wanted", "root µs", "user µs", "ratio"
    );
    let mut figures = Vec::new();
    for operation in [Operation::Get, Operation::Put] {
        for connections in CONNECTIONS {
            figures.push(compare(effort, &root, &user, &effort.workload(operation), connections)?);
        }
    }
    let slowest = effect(&iam, &user, &effort.workload(Operation::Get))?;
    let verdict = crate::verdict::verdict(slowest <= EFFECT_MAX);
    println!(
        "\na changed policy takes effect within {:.1} ms at most, of {CHANGES} changes; wanted {:?}: {verdict}",
        slowest.as_secs_f64() * 1e3,
        EFFECT_MAX
    );
    Ok(json!({ "requests": figures, "effect_ms": slowest.as_secs_f64() * 1e3 }))
}

fn compare(effort: &Effort, root: &Side, user: &Side, workload: &Workload, connections: usize) -> io::Result<Value> {
    let (mut of_root, mut of_user) = (Samples::default(), Samples::default());
    for run in 0..effort.runs {
        // By turns, and each is first as often.
        let mut sides = [(&mut of_root, root), (&mut of_user, user)];
        if run % 2 == 1 {
            sides.reverse();
        }
        for (samples, side) in sides {
            samples.add(effort, side, workload, connections)?;
        }
    }
    let name = format!("{:?}", workload.mix[0].0);
    let ratio = of_user.rate() / of_root.rate();
    println!(
        "{name:<10} {connections:>11} {:>12.0} {:>12.0} {ratio:>7.2} {RATIO_WANTED:>7.2}   {:>12.1} {:>12.1} {:>7.2}{}",
        of_root.rate(),
        of_user.rate(),
        of_root.cpu_us(),
        of_user.cpu_us(),
        of_root.cpu_us() / of_user.cpu_us(),
        if ratio >= RATIO_WANTED { "" } else { "  short of it" }
    );
    Ok(json!({
        "name": name, "connections": connections, "wanted": RATIO_WANTED, "ratio": ratio,
        "root": of_root.rate(), "user": of_user.rate(),
        "root_cpu_us": of_root.cpu_us(), "user_cpu_us": of_user.cpu_us(),
    }))
}

/// The longest time from when a changed policy was acknowledged until a request was answered by it.
fn effect(iam: &Iam, user: &Side, workload: &Workload) -> io::Result<Duration> {
    let deny =
        json!({ "Version": "2012-10-17", "Statement": { "Effect": "Deny", "Action": "dynamodb:*", "Resource": "*" } });
    let deny = deny.to_string();
    let mut slowest = Duration::ZERO;
    for change in 0..CHANGES {
        let denies = change % 2 == 0;
        if denies {
            let policy = [("PolicyName", "deny"), ("PolicyDocument", deny.as_str())];
            iam.call("PutUserPolicy", &policy)?;
        } else {
            iam.call("DeleteUserPolicy", &[("PolicyName", "deny")])?;
        }
        let changed = Instant::now();
        let waited = block_on(async {
            let mut connection = Connection::open(&user.endpoint).await?;
            let mut requests = Requests::new(workload.clone(), 1);
            loop {
                let (operation, body) = requests.draw();
                let reply = connection.call(operation.target(), body).await?;
                if (reply.status == 400) == denies {
                    return Ok(changed.elapsed());
                }
                if changed.elapsed() > ANSWER_MAX {
                    return Err(io::Error::other("a changed policy has no effect"));
                }
            }
        })?;
        slowest = slowest.max(waited);
    }
    Ok(slowest)
}

/// IAM on a region's data port.
struct Iam(SocketAddr);

impl Iam {
    /// Makes the user with its policies; gives its access key.
    fn make_user(&self) -> io::Result<Credentials> {
        self.call("CreateUser", &[])?;
        for number in 0..POLICIES {
            let (name, document) = (format!("bench-{number}"), policy(number).to_string());
            let policy = [("PolicyName", name.as_str()), ("PolicyDocument", document.as_str())];
            let made = self.call("CreatePolicy", &policy)?;
            let arn = element(&made, "Arn")?;
            self.call("AttachUserPolicy", &[("PolicyArn", &arn)])?;
        }
        let made = self.call("CreateAccessKey", &[])?;
        Ok(Credentials {
            access_key_id: element(&made, "AccessKeyId")?,
            secret_access_key: element(&made, "SecretAccessKey")?,
            region: REGION.into(),
        })
    }

    /// A call of root's about the user; gives the XML document of its answer.
    fn call(&self, action: &str, parameters: &[(&str, &str)]) -> io::Result<String> {
        let mut body = format!("Action={action}&Version=2010-05-08");
        let user = [("UserName", USER)];
        let of_user = user.iter().filter(|_| action != "CreatePolicy");
        for (name, value) in of_user.chain(parameters) {
            body.push_str(&format!("&{name}={}", encoded(value)));
        }
        let (host, kind) = (self.0.to_string(), "application/x-www-form-urlencoded");
        let unsigned = Unsigned {
            method: "POST",
            host: &host,
            path: "/",
            query: None,
            headers: &[("content-type", kind)],
            body: body.as_bytes(),
        };
        let signer = RequestSigner::new(ACCESS_KEY_ID, SECRET_ACCESS_KEY, None, REGION, "iam");
        let since = SystemTime::now().duration_since(UNIX_EPOCH).map_err(io::Error::other)?;
        let now_unix_s = i64::try_from(since.as_secs()).map_err(io::Error::other)?;
        let mut request = format!("POST / HTTP/1.1\r\nhost: {host}\r\ncontent-type: {kind}\r\nconnection: close\r\n");
        for (name, value) in signer.sign(&unsigned, now_unix_s) {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        request.push_str(&format!("content-length: {}\r\n\r\n{body}", body.len()));
        let mut stream = TcpStream::connect(self.0)?;
        stream.set_read_timeout(Some(ANSWER_MAX))?;
        stream.write_all(request.as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        if answer.starts_with("HTTP/1.1 200") {
            Ok(answer)
        } else {
            Err(io::Error::other(format!("{action}: {answer}")))
        }
    }
}

/// One of the policies: all its statements are about the table, and the last one of all is about the bench's keys.
fn policy(number: usize) -> Value {
    let statement = |at: usize| {
        let last = (number, at) == (POLICIES - 1, POLICIES - 1);
        let keys = if last {
            "key-*".to_owned()
        } else {
            format!("tenant-{number}-{at}-*")
        };
        json!({
            "Sid": format!("s{number}x{at}"),
            "Effect": "Allow",
            "Action": ["dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:Query"],
            "Resource": format!("arn:aws:dynamodb:*:*:table/{TABLE}"),
            "Condition": { "ForAllValues:StringLike": { "dynamodb:LeadingKeys": [keys] } },
        })
    };
    json!({ "Version": "2012-10-17", "Statement": (0..POLICIES).map(statement).collect::<Vec<_>>() })
}

/// The text of the first element of a name.
fn element(document: &str, name: &str) -> io::Result<String> {
    let rest = document.split_once(&format!("<{name}>")).map(|(_, rest)| rest);
    let text = rest
        .and_then(|rest| rest.split_once('<'))
        .map(|(text, _)| text.to_owned());
    text.ok_or_else(|| io::Error::other(format!("no {name} in {document}")))
}

/// A value as forms have it.
fn encoded(value: &str) -> String {
    let encode = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    value.bytes().map(encode).collect()
}
