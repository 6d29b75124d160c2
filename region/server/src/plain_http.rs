//! One HTTP request by hand: what the command line asks of a region on this machine or network needs no client for it.

use std::{
    io::{self, Read as _, Write as _},
    net::{TcpStream, ToSocketAddrs},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use geodynamo_access::{ADMIN, GLOBAL_REGION, RequestSigner, Unsigned};
use geodynamo_command::{Failure, credentials, is_this_machine};
use serde_json::Value;

/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The most bytes of an answer.
const ANSWER_BYTES_MAX: u64 = 64 << 20;
const OK: u16 = 200;
const FORBIDDEN: u16 = 403;
const NOT_FOUND: u16 = 404;
const CONFLICT: u16 = 409;

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The status: 200 is fine.
    pub(crate) status: u16,
    /// What follows the head.
    pub(crate) body: String,
}

/// Asks an admin port for a path, as [`admin`] does it.
pub(crate) fn get(host: &str, path: &str) -> Result<Answer, Failure> {
    admin(host, "GET", path, "")
}

/// Sends a request to an admin port. It is signed with the key that AWS's environment variables or profiles have, if one is
/// there. A port on this machine that refuses the key is asked without one: it may trust whoever is there.
///
/// # Errors
/// That it does not answer, and what to do.
pub(crate) fn admin(host: &str, method: &str, path: &str, body: &str) -> Result<Answer, Failure> {
    let plain = [("content-type", "application/json".to_owned())];
    let key = match method {
        // Without a key, much is answered all the same.
        "GET" => credentials().unwrap_or_default(),
        _ => credentials()?,
    };
    let Some(key) = key else {
        return request(host, method, path, &plain, body).map_err(|error| silent(host, &error));
    };
    let signer = RequestSigner::new(
        &key.access_key_id,
        &key.secret_access_key,
        key.session_token.as_deref(),
        GLOBAL_REGION,
        ADMIN,
    );
    let (pure, query) = path
        .split_once('?')
        .map_or((path, None), |(path, query)| (path, Some(query)));
    let unsigned = Unsigned {
        method,
        host,
        path: pure,
        query,
        headers: &[],
        body: body.as_bytes(),
    };
    let mut headers = plain.to_vec();
    headers.extend(signer.sign(&unsigned, now_unix_s()));
    let answer = request(host, method, path, &headers, body).map_err(|error| silent(host, &error))?;
    if answer.status == FORBIDDEN && is_this_machine(host) {
        match request(host, method, path, &plain, body) {
            Ok(other) if other.status != FORBIDDEN => return Ok(other),
            _ => {}
        }
    }
    Ok(answer)
}

/// Sends a request to an admin port as [`admin`] does it; gives the document that it answers.
///
/// # Errors
/// What the port says is wrong, or that it does not answer; and what to do.
pub(crate) fn ask_admin(host: &str, method: &str, path: &str, body: &str) -> Result<Value, Failure> {
    let answer = admin(host, method, path, body)?;
    if answer.status == OK {
        return serde_json::from_str(&answer.body).map_err(|_| no_admin_port(host));
    }
    Err(refused(host, &answer))
}

/// Why an answer is none, and what to do.
fn refused(host: &str, answer: &Answer) -> Failure {
    let Ok(body) = serde_json::from_str::<Value>(&answer.body) else {
        return no_admin_port(host);
    };
    let said = body["error"].as_str().unwrap_or("no answer").to_owned();
    let advice = match answer.status {
        FORBIDDEN => {
            "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, to a key of this region whose policies allow it; \
             without a key, only this machine is trusted, and not with accounts and sinks"
        }
        NOT_FOUND => {
            "see how it is called: `geodynamo tables`, `geodynamo status`, or this command's own `list`, in that region"
        }
        CONFLICT => "see to what it names first, then ask again",
        _ => "the region's log says more; `geodynamo doctor --config FILE` looks at its machine",
    };
    Failure::told(said, advice)
}

fn no_admin_port(host: &str) -> Failure {
    Failure::told(
        format!("{host} is no region's admin port"),
        "--admin HOST:PORT names it; the data port is another one",
    )
}

/// Nobody answers: the address, why, and what to do.
fn silent(host: &str, error: &io::Error) -> Failure {
    let advice = match error.kind() {
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => {
            "the region is busy or stuck, or something between drops packets: `geodynamo status` there tells"
        }
        io::ErrorKind::InvalidInput => "--admin takes HOST:PORT, such as 127.0.0.1:8001",
        _ => {
            "is the region running? `geodynamo dev` and `geodynamo serve` say at their start where their ports are; --admin \
             HOST:PORT names the admin port"
        }
    };
    Failure::told(format!("{host} does not answer: {error}"), advice)
}

fn now_unix_s() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}

/// Sends a request and reads its answer to the end.
fn request(host: &str, method: &str, path: &str, headers: &[(&str, String)], body: &str) -> io::Result<Answer> {
    let address = host.to_socket_addrs()?.next();
    let address = address.ok_or_else(|| io::Error::other(format!("{host} has no address")))?;
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    let mut head = format!(
        "{method} {path} HTTP/1.0\r\nhost: {host}\r\ncontent-length: {}\r\n",
        body.len()
    );
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    stream.write_all(format!("{head}\r\n{body}").as_bytes())?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split_whitespace().nth(1).and_then(|status| status.parse().ok());
    Ok(Answer {
        status: status.ok_or_else(|| io::Error::other(format!("{host} does not speak HTTP")))?,
        body: body.to_owned(),
    })
}
