//! The data port with clients that do not behave: each gets a clear error, and nobody else notices.

#![allow(clippy::unwrap_used, reason = "tests may")]

mod common;

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::Bytes;
use common::{Client, KEY, REGION, Region, SECRET, now_unix_s, until};
use geodynamo_access::{Mode, Signer};
use http::{Request, StatusCode};
use hyper::body::{Body, Frame};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

const ECHO: &str = "DynamoDB_20120810.Echo";
const UNKNOWN: &str = "com.amazon.coral.service#UnknownOperationException";

#[tokio::test]
async fn bytes_that_are_not_http() {
    let region = Region::start(Mode::Enforce, "[limits]\nheader_timeout_ms = 200\n").await;
    let requests: [&[u8]; 12] = [
        b"\r\n\r\n\r\n\r\n",
        b"hello\r\n\r\n",
        b"POST / HTTP/9.9\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost x\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: many\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}",
        b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999999999999999999\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"POST / HTTP/1.1\r\nx\x00y: z\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nnot a frame at all, is it",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ];
    for request in requests {
        let mut client = region.connect().await;
        client.send(request).await;
        client.assert_refused().await;
    }
    region.assert_unharmed().await;
}

#[tokio::test]
async fn heads_have_a_limit() {
    let region = Region::start(Mode::Enforce, "").await;
    let mut client = region.connect().await;
    let mut request = b"POST / HTTP/1.1\r\nhost: x\r\nbig: ".to_vec();
    request.resize(200_000, b'x');
    // The other side may hang up before it has all.
    let _ = client.try_send(&request).await;
    client.assert_refused().await;
    let mut many = b"POST / HTTP/1.1\r\nhost: x\r\n".to_vec();
    for header in 0..1000 {
        many.extend_from_slice(format!("h{header}: 1\r\n").as_bytes());
    }
    many.extend_from_slice(b"\r\n");
    let mut client = region.connect().await;
    let _ = client.try_send(&many).await;
    client.assert_refused().await;
    region.assert_unharmed().await;
}

#[tokio::test]
async fn other_paths_methods_and_targets() {
    let region = Region::start(Mode::Enforce, "").await;
    let check = async |request: String, status: u16| {
        let mut client = region.connect().await;
        client.send(request.as_bytes()).await;
        let answer = client.answer().await;
        assert_eq!(
            (answer.status, answer.json()["__type"].as_str()),
            (status, Some(UNKNOWN)),
            "{request}"
        );
        assert_eq!(
            answer.header("x-amz-crc32"),
            Some(&*crc32fast::hash(&answer.body).to_string())
        );
        // The connection is as good as before.
        client.send(&region.signed(ECHO, b"{}")).await;
        assert_eq!(client.answer().await.status, 200);
    };
    check("POST /x HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}".into(), 404).await;
    check("GET /x HTTP/1.1\r\nhost: x\r\n\r\n".into(), 404).await;
    check("PUT / HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}".into(), 405).await;
    check("OPTIONS * HTTP/1.1\r\nhost: x\r\n\r\n".into(), 404).await;
    check("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}".into(), 400).await;
    for target in [
        "",
        "x",
        "DynamoDB_20120810.",
        "DynamoDB_20120810.Nope",
        "DynamoDB_20111205.Echo",
    ] {
        let head = format!("POST / HTTP/1.1\r\nhost: x\r\nx-amz-target: {target}\r\ncontent-length: 2\r\n\r\n{{}}");
        check(head, 400).await;
    }
}

/// Who is refused too often is told nothing more; who signs as one must is let in from the same address.
#[tokio::test]
async fn refusals_of_one_source_are_limited() {
    let region = Region::start(Mode::Enforce, "").await;
    let mut client = region.connect().await;
    let unsigned = format!("POST / HTTP/1.1\r\nhost: x\r\nx-amz-target: {ECHO}\r\ncontent-length: 2\r\n\r\n{{}}");
    let mut kinds = Vec::new();
    for _ in 0..1500 {
        client.send(unsigned.as_bytes()).await;
        let answer = client.answer().await;
        assert_eq!(answer.status, 400);
        kinds.push(answer.json()["__type"].as_str().unwrap().to_owned());
    }
    let kind = |kind: &String| kind.split_once('#').unwrap().1.to_owned();
    assert_eq!(kind(&kinds[0]), "MissingAuthenticationTokenException");
    assert!(kinds.iter().any(|one| kind(one) == "ThrottlingException"));
    client.send(&region.signed(ECHO, b"{}")).await;
    assert_eq!(client.answer().await.status, 200);
}

#[tokio::test]
async fn wrong_signatures() {
    let region = Region::start(Mode::Enforce, "").await;
    let check = async |request: &[u8], kind: &str, message: &str| {
        let mut client = region.connect().await;
        client.send(request).await;
        let answer = client.answer().await;
        let json = answer.json();
        assert_eq!(answer.status, 400);
        assert_eq!(json["__type"], format!("com.amazon.coral.service#{kind}"));
        assert!(json["message"].as_str().unwrap().starts_with(message), "{json}");
        client.send(&region.signed(ECHO, b"{}")).await;
        assert_eq!(client.answer().await.status, 200, "a refusal costs the connection");
    };
    let unsigned = format!("POST / HTTP/1.1\r\nhost: x\r\nx-amz-target: {ECHO}\r\ncontent-length: 2\r\n\r\n{{}}");
    let missing = "Request is missing Authentication Token";
    check(unsigned.as_bytes(), "MissingAuthenticationTokenException", missing).await;
    let odd = unsigned.replace("host: x", "host: x\r\nauthorization: AWS4-HMAC-SHA256 \"\\");
    check(
        odd.as_bytes(),
        "IncompleteSignatureException",
        "'\"\\' not a valid key=value pair",
    )
    .await;
    let mut changed = region.signed(ECHO, b"{}");
    *changed.last_mut().unwrap() = b']';
    check(
        &changed,
        "InvalidSignatureException",
        "The request signature we calculated",
    )
    .await;
    let hour = 3600;
    let old = region.signed_at(ECHO, b"{}", now_unix_s() - hour);
    check(&old, "InvalidSignatureException", "Signature expired: ").await;
    let young = region.signed_at(ECHO, b"{}", now_unix_s() + hour);
    check(&young, "InvalidSignatureException", "Signature not yet current: ").await;
    let text = String::from_utf8(region.signed(ECHO, b"{}")).unwrap();
    let unknown = text.replace(KEY, "AKIDNOBODY");
    check(unknown.as_bytes(), "UnrecognizedClientException", "The security token").await;
    let elsewhere = text.replace("/eu-west-1/", "/us-east-1/");
    check(
        elsewhere.as_bytes(),
        "InvalidSignatureException",
        "Credential should be scoped to a valid region",
    )
    .await;
}

#[tokio::test]
async fn bodies_that_are_too_large() {
    let region = Region::start(Mode::Enforce, "").await;
    let size = 17 << 20;
    let check = |answer: &common::Answer| {
        assert_eq!(answer.status, 413);
        let json = answer.json();
        assert_eq!(
            json["__type"],
            "com.amazon.coral.service#RequestEntityTooLargeException"
        );
        assert_eq!(json["message"], "Request size limit exceeded");
    };
    let mut client = region.connect().await;
    client.send(&region.signed(ECHO, &vec![b' '; size])).await;
    check(&client.answer().await);
    // Without a length, it shows only on the way.
    let mut client = region.connect().await;
    let head = region.signed_head(ECHO, b"", now_unix_s(), "transfer-encoding: chunked\r\n");
    client.send(&head).await;
    let mut chunk = b"100000\r\n".to_vec();
    chunk.resize(chunk.len() + (1 << 20), b' ');
    chunk.extend_from_slice(b"\r\n");
    for _ in 0..17 {
        client.send(&chunk).await;
    }
    client.send(b"0\r\n\r\n").await;
    check(&client.answer().await);
    // One that never ends is cut off.
    let mut client = region.connect().await;
    client.send(&head).await;
    let start = Instant::now();
    while client.try_send(&chunk).await.is_ok() {
        assert!(start.elapsed() < common::PATIENCE, "it is read forever");
    }
    // The largest that is taken.
    let mut client = region.connect().await;
    client.send(&region.signed(ECHO, &vec![b' '; 16 << 20])).await;
    assert_eq!(client.answer().await.json()["bytes"], 16 << 20);
    until(|| async { held_bytes(&region).await == 0 }).await;
    region.assert_unharmed().await;
}

#[tokio::test]
async fn memory_for_bodies_is_bounded() {
    // 17 MiB for all: of two bodies of 12 MiB, one waits for the other.
    let region = Region::start(Mode::Any, "[memory]\nrequest_mb = 17\n").await;
    let size = 12 << 20;
    let head = |target: &str| {
        format!(
            "POST / HTTP/1.1\r\nhost: x\r\nx-amz-target: DynamoDB_20120810.{target}\r\ncontent-length: {size}\r\n\r\n"
        )
    };
    let body = vec![b' '; size];
    let mut first = region.connect().await;
    first.send(head("Wait").as_bytes()).await;
    first.send(&body).await;
    region.begun.notified().await;
    let mut second = region.connect().await;
    second.send(head("Echo").as_bytes()).await;
    let sending = tokio::spawn(async move {
        second.send(&body).await;
        second.answer().await.status
    });
    // The second holds what is left, and waits.
    until(|| async { held_bytes(&region).await > 16 << 20 }).await;
    assert!(!sending.is_finished());
    assert!(held_bytes(&region).await <= 17 << 20);
    region.go.notify_one();
    assert_eq!(first.answer().await.status, 200);
    assert_eq!(sending.await.unwrap(), 200);
    until(|| async { held_bytes(&region).await == 0 }).await;
}

#[tokio::test]
async fn slow_senders() {
    let limits = "[limits]\nheader_timeout_ms = 200\nbody_timeout_ms = 300\nidle_timeout_ms = 400\n";
    let region = Region::start(Mode::Enforce, limits).await;
    // Nothing at all; half a head; the same after a whole request.
    let mut silent = region.connect().await;
    let mut half = region.connect().await;
    half.send(b"POST / HTTP/1.1\r\nhost:").await;
    let mut second = region.connect().await;
    second.send(&region.signed(ECHO, b"{}")).await;
    second.answer().await;
    second.send(b"POST ").await;
    for client in [&mut silent, &mut half, &mut second] {
        client.assert_closed().await;
    }
    // A body that stops, and one that drips.
    let mut stopped = region.connect().await;
    stopped
        .send(&region.signed_head(ECHO, b"{}", now_unix_s(), "content-length: 2\r\n"))
        .await;
    stopped.send(b"{").await;
    let answer = stopped.answer().await;
    assert_eq!((answer.status, answer.header("connection")), (408, Some("close")));
    assert_eq!(
        answer.json()["__type"],
        "com.amazon.coral.service#RequestTimeoutException"
    );
    stopped.assert_closed().await;
    let mut dripping = region.connect().await;
    dripping
        .send(&region.signed_head(ECHO, b"{}", now_unix_s(), "content-length: 10000\r\n"))
        .await;
    let start = Instant::now();
    while dripping.try_send(b" ").await.is_ok() {
        assert!(start.elapsed() < common::PATIENCE, "it may drip forever");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // An idle connection is closed without a word; a slow answer is not idleness.
    let mut idle = region.connect().await;
    idle.send(&region.signed(ECHO, b"{}")).await;
    idle.answer().await;
    idle.assert_closed().await;
    let mut waiting = region.connect().await;
    waiting.send(&region.signed("DynamoDB_20120810.Wait", b"{}")).await;
    region.begun.notified().await;
    tokio::time::sleep(Duration::from_millis(900)).await;
    region.go.notify_one();
    assert_eq!(waiting.answer().await.status, 200);
    region.assert_unharmed().await;
}

#[tokio::test]
async fn a_stream_that_stops_costs_only_itself() {
    let region = Region::start(Mode::Enforce, "[limits]\nbody_timeout_ms = 200\n").await;
    let host = region.host();
    let socket = TcpStream::connect(&host).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(socket))
        .await
        .unwrap();
    let connection = tokio::spawn(connection);
    let request = |body: Pieces| {
        let signature = Signer::new(KEY, SECRET, REGION, &host).sign(ECHO, b"{}", now_unix_s());
        Request::post(format!("http://{host}/"))
            .header("x-amz-target", ECHO)
            .header("x-amz-date", signature.date)
            .header("authorization", signature.authorization)
            .body(body)
            .unwrap()
    };
    let response = sender
        .send_request(request(Pieces {
            piece: None,
            ends: false,
        }))
        .await
        .unwrap();
    assert_eq!(response.status(), StatusCode::REQUEST_TIMEOUT);
    let response = sender
        .send_request(request(Pieces {
            piece: Some(Bytes::from_static(b"{}")),
            ends: true,
        }))
        .await
        .unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    drop(sender);
    connection.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_panic_is_an_answer() {
    let region = Region::start(Mode::Enforce, "").await;
    let mut client = region.connect().await;
    client.send(&region.signed("DynamoDB_20120810.Panic", b"{}")).await;
    let answer = client.answer().await;
    assert_eq!(
        (answer.status, answer.json()["__type"].as_str()),
        (500, Some("com.amazonaws.dynamodb.v20120810#InternalServerError"))
    );
    client.send(&region.signed(ECHO, b"{}")).await;
    assert_eq!(client.answer().await.status, 200);
}

#[tokio::test]
async fn what_a_client_began_goes_on_without_it() {
    let region = Region::start(Mode::Enforce, "").await;
    let mut client = region.connect().await;
    client
        .send(&region.signed("DynamoDB_20120810.Wait", &[b' '; 5000]))
        .await;
    region.begun.notified().await;
    drop(client);
    // The connection ends, and what it holds is still held.
    until(|| async { metrics(&region).await.contains("geodynamo_connections_open 0") }).await;
    assert_eq!(held_bytes(&region).await, 5 * 1024);
    region.go.notify_one();
    until(|| async { held_bytes(&region).await == 0 }).await;
    assert_eq!(
        region.ended.load(std::sync::atomic::Ordering::SeqCst),
        1,
        "it was dropped"
    );
}

#[tokio::test]
async fn connections_beyond_the_limit_wait() {
    let region = Region::start(Mode::Enforce, "[limits]\nconnections = 2\n").await;
    let mut first = region.connect().await;
    first.send(&region.signed(ECHO, b"{}")).await;
    first.answer().await;
    let mut second = region.connect().await;
    second.send(&region.signed("DynamoDB_20120810.Wait", b"{}")).await;
    region.begun.notified().await;
    let mut third = region.connect().await;
    third.send(&region.signed(ECHO, b"{}")).await;
    assert!(
        tokio::time::timeout(Duration::from_millis(200), third.answer())
            .await
            .is_err(),
        "the limit is none"
    );
    drop(first);
    // The first attempt to read was cut off before it had read anything.
    assert_eq!(third.answer().await.status, 200);
}

async fn metrics(region: &Region) -> String {
    String::from_utf8(region.admin("/metrics").await.body).unwrap()
}

/// What requests' bodies hold, as the admin port says.
async fn held_bytes(region: &Region) -> u64 {
    let metrics = metrics(region).await;
    let line = metrics
        .lines()
        .find_map(|line| line.strip_prefix("geodynamo_request_buffered_bytes "));
    line.unwrap().parse().unwrap()
}

impl Client {
    /// That the other side hangs up, or says that the request is bad and hangs up.
    async fn assert_refused(&mut self) {
        let text = self.read_to_end().await;
        // HTTP/2 has its own way to say so: frames.
        let is_refusal = text.is_empty() || text.starts_with("HTTP/1.1 4") || text.starts_with('\0');
        assert!(is_refusal, "{text}");
    }
}

/// A body of one piece, or one that never comes.
struct Pieces {
    piece: Option<Bytes>,
    ends: bool,
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.piece.take() {
            Some(piece) => Poll::Ready(Some(Ok(Frame::data(piece)))),
            None if self.ends => Poll::Ready(None),
            None => Poll::Pending,
        }
    }
}
