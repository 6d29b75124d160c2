//! The data port with clients that behave.

#![allow(clippy::unwrap_used, reason = "tests may")]

mod common;

use bytes::Bytes;
use common::{KEY, REGION, Region, SECRET, now_unix_s, until};
use geodynamo_access::{Mode, Signer};
use http::{Request, Version};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

const ECHO: &str = "DynamoDB_20120810.Echo";

#[tokio::test]
async fn an_answer_has_dynamodbs_headers() {
    let region = Region::start(Mode::Enforce, "").await;
    let mut client = region.connect().await;
    let mut ids = Vec::new();
    for body in [&b"{}"[..], &[1; 5000], &[2; 300_000], b""] {
        client.send(&region.signed(ECHO, body)).await;
        let answer = client.answer().await;
        let json = answer.json();
        let sum: u64 = body.iter().map(|byte| u64::from(*byte)).sum();
        assert_eq!(
            (answer.status, json["bytes"].as_u64(), json["sum"].as_u64()),
            (200, Some(body.len() as u64), Some(sum))
        );
        assert_eq!(
            (json["key"].as_str(), json["account"].as_str()),
            (Some(KEY), Some("123456789012"))
        );
        assert_eq!(answer.header("content-type"), Some("application/x-amz-json-1.0"));
        assert_eq!(
            answer.header("x-amz-crc32"),
            Some(&*crc32fast::hash(&answer.body).to_string())
        );
        let id = answer.header("x-amzn-requestid").unwrap().to_owned();
        assert_eq!(id.len(), 52);
        assert!(answer.header("date").is_some(), "SDKs correct their clocks by it");
        ids.push(id);
    }
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 4);
}

#[tokio::test]
async fn chunked_and_pipelined_requests() {
    let region = Region::start(Mode::Enforce, "").await;
    let mut client = region.connect().await;
    client
        .send(&region.signed_head(ECHO, b"{\"a\":1}", now_unix_s(), "transfer-encoding: chunked\r\n"))
        .await;
    client.send(b"3\r\n{\"a\r\n4\r\n\":1}\r\n0\r\n\r\n").await;
    assert_eq!(client.answer().await.json()["bytes"], 7);
    let mut both = region.signed(ECHO, b"1");
    both.extend(region.signed(ECHO, b"22"));
    client.send(&both).await;
    assert_eq!(client.answer().await.json()["bytes"], 1);
    assert_eq!(client.answer().await.json()["bytes"], 2);
}

#[tokio::test]
async fn the_port_says_that_it_is_well() {
    let region = Region::start(Mode::Enforce, "").await;
    let mut client = region.connect().await;
    client.send(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    let answer = client.answer().await;
    assert_eq!(
        (answer.status, &*answer.body),
        (200, &b"healthy: dynamodb.eu-west-1.amazonaws.com "[..])
    );
}

#[tokio::test]
async fn http2_with_prior_knowledge() {
    let region = Region::start(Mode::Enforce, "").await;
    let host = region.host();
    let socket = TcpStream::connect(&host).await.unwrap();
    let (sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(socket))
        .await
        .unwrap();
    let connection = tokio::spawn(connection);
    let mut calls = Vec::new();
    for size in [0usize, 10, 1_000_000] {
        let body = Bytes::from(vec![3; size]);
        let signature = Signer::new(KEY, SECRET, REGION, &host).sign(ECHO, &body, now_unix_s());
        let request = Request::post(format!("http://{host}/"))
            .version(Version::HTTP_2)
            .header("x-amz-target", ECHO)
            .header("x-amz-date", signature.date)
            .header("authorization", signature.authorization)
            .body(Full::new(body))
            .unwrap();
        let mut sender = sender.clone();
        calls.push((
            size,
            tokio::spawn(async move { sender.send_request(request).await.unwrap() }),
        ));
    }
    for (size, call) in calls {
        let response = call.await.unwrap();
        assert_eq!(response.status(), 200);
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(
            serde_json::from_slice::<serde_json::Value>(&body).unwrap()["bytes"],
            size
        );
    }
    drop(sender);
    connection.await.unwrap().unwrap();
}

#[tokio::test]
async fn development_takes_unsigned_requests() {
    let region = Region::start(Mode::Any, "").await;
    let mut client = region.connect().await;
    client
        .send(format!("POST / HTTP/1.1\r\nhost: x\r\nx-amz-target: {ECHO}\r\ncontent-length: 2\r\n\r\n{{}}").as_bytes())
        .await;
    assert_eq!(client.answer().await.json()["key"], "anonymous");
}

#[tokio::test]
async fn tls_offers_http2() {
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (cert, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    std::fs::write(&cert, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let region = Region::start(
        Mode::Any,
        &format!("[tls]\ncert = \"{}\"\nkey = \"{}\"\n", cert.display(), key.display()),
    )
    .await;
    let mut roots = rustls::RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    for (offer, request) in [
        (&b"h2"[..], None),
        (
            b"http/1.1",
            Some("GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"),
        ),
    ] {
        let mut config = config.clone();
        config.alpn_protocols = vec![offer.to_vec()];
        let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(config));
        let socket = TcpStream::connect(region.host()).await.unwrap();
        let mut socket = connector
            .connect("localhost".try_into().unwrap(), socket)
            .await
            .unwrap();
        assert_eq!(socket.get_ref().1.alpn_protocol(), Some(offer));
        if let Some(request) = request {
            use tokio::io::{AsyncReadExt, AsyncWriteExt};
            socket.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            socket.read_to_string(&mut answer).await.unwrap();
            assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
        }
    }
    // Who speaks no TLS gets nothing and does no harm.
    let mut plain = region.connect().await;
    plain.send(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    let mut socket = region.connect().await;
    drop(plain);
    socket.send(b"\x16\x03\x01").await;
}

#[tokio::test]
async fn the_admin_port_tells_what_happened() {
    let region = Region::start(Mode::Enforce, "").await;
    assert_eq!(region.admin("/healthz").await.status, 200);
    assert_eq!(region.admin("/readyz").await.status, 200);
    let mut client = region.connect().await;
    for target in [ECHO, "DynamoDB_20120810.Fail", "DynamoDB_20120810.Panic"] {
        client.send(&region.signed(target, b"{}")).await;
        client.answer().await;
    }
    let latency = region.admin("/latency").await.json();
    assert_eq!(latency["Echo"]["success"]["count"], 1);
    assert_eq!(latency["Fail"]["client_error"]["count"], 1);
    assert_eq!(latency["Panic"]["server_error"]["count"], 1);
    assert!(latency["Echo"]["success"]["p99_9_us"].as_u64().is_some());
    let metrics = String::from_utf8(region.admin("/metrics").await.body).unwrap();
    for line in [
        "geodynamo_request_duration_seconds_count{operation=\"echo\",outcome=\"success\"} 1",
        "geodynamo_request_panics_total 1",
        "geodynamo_connections_open 1",
        "geodynamo_request_buffered_bytes 0",
    ] {
        assert!(metrics.to_lowercase().contains(line), "no {line} in\n{metrics}");
    }
    assert_eq!(region.admin("/digest?table=music").await.json()["partitions"][0], "ab");
    assert_eq!(region.admin("/digest?table=none").await.status, 404);
    assert_eq!(region.admin("/digest").await.status, 400);
    assert_eq!(region.admin("/nothing").await.status, 404);
}

#[tokio::test]
async fn draining_finishes_what_has_begun() {
    let region = Region::start(Mode::Enforce, "").await;
    let mut idle = region.connect().await;
    idle.send(&region.signed(ECHO, b"{}")).await;
    idle.answer().await;
    let mut waiting = region.connect().await;
    waiting.send(&region.signed("DynamoDB_20120810.Wait", b"{}")).await;
    region.begun.notified().await;
    region.trigger.trigger();
    idle.assert_closed().await;
    let address = region.ports.data_address();
    until(|| async { TcpStream::connect(address).await.is_err() }).await;
    assert_eq!(region.admin("/healthz").await.status, 200, "draining can be watched");
    region.go.notify_one();
    assert_eq!(waiting.answer().await.status, 200);
    tokio::time::timeout(common::PATIENCE, region.ports.finish())
        .await
        .expect("it does not end");
}

#[tokio::test]
async fn draining_ends_in_time() {
    let region = Region::start(Mode::Enforce, "[limits]\ndrain_timeout_ms = 50\n").await;
    let mut waiting = region.connect().await;
    waiting.send(&region.signed("DynamoDB_20120810.Wait", b"{}")).await;
    region.begun.notified().await;
    region.trigger.trigger();
    tokio::time::timeout(common::PATIENCE, region.ports.finish())
        .await
        .expect("it does not end");
}

/// A call by the Query protocol is known by its content, and answered in XML whatever becomes of it.
#[tokio::test]
async fn calls_by_the_query_protocol() {
    let call = |kind: &str, body: &str| {
        let length = body.len();
        format!("POST / HTTP/1.1\r\nhost: x\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n\r\n{body}")
    };
    const FORM: &str = "application/x-www-form-urlencoded; charset=utf-8";
    const STS: &str = "Action=GetCallerIdentity&Version=2011-06-15";
    const WEB: &str = "Action=AssumeRoleWithWebIdentity&Version=2011-06-15";
    for (mode, body, status, code) in [
        (Mode::Enforce, STS, 403, "MissingAuthenticationToken"),
        (
            Mode::Enforce,
            "Action=ListUsers&Version=2010-05-08",
            403,
            "MissingAuthenticationToken",
        ),
        // Both get through, to a handler that has no such services.
        (Mode::Enforce, WEB, 400, "InvalidAction"),
        (Mode::Any, STS, 400, "InvalidAction"),
        (Mode::Warn, STS, 400, "InvalidAction"),
    ] {
        let region = Region::start(mode, "").await;
        let mut client = region.connect().await;
        client.send(call(FORM, body).as_bytes()).await;
        let answer = client.answer().await;
        let text = String::from_utf8(answer.body.clone()).unwrap();
        assert_eq!(
            (answer.status, answer.header("content-type")),
            (status, Some("text/xml")),
            "{text}"
        );
        assert!(text.contains(&format!("<Code>{code}</Code>")), "{text}");
        let id = answer.header("x-amzn-requestid").unwrap().to_uppercase();
        assert!(text.contains(&format!("<RequestId>{id}</RequestId>")), "{text}");
        // Another content is DynamoDB's affair.
        client.send(call("application/json", body).as_bytes()).await;
        assert!(client.answer().await.json()["__type"].is_string());
    }
}
