//! One HTTP request by hand: what the command line asks of a region on this machine or network needs no client for it.

use std::{
    io::{self, Read as _, Write as _},
    net::{TcpStream, ToSocketAddrs},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use geodynamo_access::{ADMIN, GLOBAL_REGION, RequestSigner, Unsigned};
use serde_json::{Value, json};

/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The most bytes of an answer.
const ANSWER_BYTES_MAX: u64 = 64 << 20;

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The status: 200 is fine.
    pub(crate) status: u16,
    /// What follows the head.
    pub(crate) body: String,
}

/// Asks an admin port for a path. It is signed with the key in AWS's environment variables, if one is there: a port on this
/// machine asks for none.
pub(crate) fn get(host: &str, path: &str) -> io::Result<Answer> {
    admin(host, "GET", path, "")
}

/// Sends a request to an admin port, signed as [`get`] does it.
pub(crate) fn admin(host: &str, method: &str, path: &str, body: &str) -> io::Result<Answer> {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let mut headers = vec![("content-type", "application/json".to_owned())];
    if let (Some(id), Some(secret)) = (variable("AWS_ACCESS_KEY_ID"), variable("AWS_SECRET_ACCESS_KEY")) {
        let token = variable("AWS_SESSION_TOKEN");
        let signer = RequestSigner::new(&id, &secret, token.as_deref(), GLOBAL_REGION, ADMIN);
        let (path, query) = path
            .split_once('?')
            .map_or((path, None), |(path, query)| (path, Some(query)));
        let unsigned = Unsigned {
            method,
            host,
            path,
            query,
            headers: &[],
            body: body.as_bytes(),
        };
        headers.extend(signer.sign(&unsigned, now_unix_s()));
    }
    let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    request(host, method, path, &headers, body)
}

/// Sends a request to an admin port as [`admin`] does it; gives the document that it answers.
///
/// # Errors
/// What the port says is wrong, or that it does not answer.
pub(crate) fn ask_admin(
    host: &str,
    method: &str,
    path: &str,
    body: &str,
) -> Result<Value, Box<dyn std::error::Error + Send + Sync>> {
    let answer = admin(host, method, path, body).map_err(|error| format!("{host}: {error}"))?;
    let body: Value = serde_json::from_str(&answer.body).unwrap_or_else(|_| json!({ "error": answer.body.trim() }));
    if answer.status == 200 {
        return Ok(body);
    }
    Err(body["error"].as_str().unwrap_or("no answer").to_owned().into())
}

fn now_unix_s() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}

/// Sends a request and reads its answer to the end.
pub(crate) fn request(
    host: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> io::Result<Answer> {
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
