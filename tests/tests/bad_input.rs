//! Bad input to a real process: each a clear error, the process unharmed.

use std::process::Command;
use std::time::{Duration, Instant};

use geodynamo_loadgen::client::{Connection, Endpoint};
use geodynamo_loadgen::signer::Signer;
use geodynamo_loadgen::tables;
use geodynamo_tests::regions::Regions;
use geodynamo_tests::{Failure, binary};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Slow senders are tested with short limits.
const LIMITS: &str = "[limits]\nheader_timeout_ms = 700\nbody_timeout_ms = 700\n";

#[tokio::test(flavor = "multi_thread")]
async fn bad_requests() -> Result<(), Failure> {
    let mut regions = Regions::prepare(&["us-east-1"], true, LIMITS).await?;
    regions.cluster.start()?;
    let endpoint = regions.cluster.nodes[0].endpoint();
    regions.global_table("tab", 1).await?;
    let pid = regions.cluster.nodes[0].pid();

    // Operation, body, status, what the answer has to contain.
    let deep = format!(
        r#"{{"TableName":"tab","Item":{{"pk":{}1{}}}}}"#,
        r#"{"L":["#.repeat(5_000),
        "]}".repeat(5_000)
    );
    let brackets = "[".repeat(100_000);
    let parens =
        json!({"TableName": "tab", "Item": {"pk": {"S": "a"}}, "ConditionExpression": "(".repeat(4_096)}).to_string();
    let cases: &[(&str, &str, u16, &str)] = &[
        ("PutItem", "{", 400, "SerializationException"),
        ("PutItem", "", 400, "SerializationException"),
        ("PutItem", "null and void", 400, "SerializationException"),
        (
            "PutItem",
            "{\"TableName\":\"tab\",\"Item\":{\"pk\":{\"S\":\"\\ud800\"}}}",
            400,
            "Exception",
        ),
        ("PutItem", r#"{"TableName":5,"Item":{}}"#, 400, "SerializationException"),
        (
            "PutItem",
            r#"{"TableName":"tab","Item":{"pk":{"S":5}}}"#,
            400,
            "SerializationException",
        ),
        (
            "PutItem",
            r#"{"TableName":"tab","Item":{"pk":{"N":"five"}}}"#,
            400,
            "ValidationException",
        ),
        (
            "PutItem",
            r#"{"TableName":"tab","Item":{"pk":{"S":"a","N":"1"}}}"#,
            400,
            "ValidationException",
        ),
        (
            "PutItem",
            r#"{"TableName":"tab","Item":{"pk":{}}}"#,
            400,
            "ValidationException",
        ),
        ("PutItem", r#"{"Item":{"pk":{"S":"a"}}}"#, 400, "ValidationException"),
        (
            "Query",
            r#"{"TableName":"tab","KeyConditionExpression":"pk = :p","Limit":0}"#,
            400,
            "ValidationException",
        ),
        ("PutItem", &deep, 400, "Exception"),
        ("PutItem", &brackets, 400, "SerializationException"),
        ("PutItem", &parens, 400, "Invalid ConditionExpression"),
        ("NoSuchOperation", "{}", 400, "UnknownOperationException"),
    ];
    for (operation, body, status, says) in cases {
        let (got, answer) = one(&endpoint, &format!("DynamoDB_20120810.{operation}"), body.as_bytes()).await?;
        let shown: String = body.chars().take(80).collect();
        assert_eq!(got, *status, "{operation} {shown}: {answer}");
        assert!(answer.contains(says), "{operation} {shown}: {answer}");
    }
    let (status, answer) = one(&endpoint, "OtherService_20200101.ListTables", b"{}").await?;
    assert_eq!(
        (status, answer.contains("UnknownOperationException")),
        (400, true),
        "{answer}"
    );
    // A field that nobody knows is passed over, as DynamoDB does.
    let unknown = r#"{"TableName":"tab","Item":{"pk":{"S":"a"}},"Colour":"blue"}"#;
    let (status, answer) = one(&endpoint, "DynamoDB_20120810.PutItem", unknown.as_bytes()).await?;
    assert_eq!(status, 200, "{answer}");

    unharmed(&regions, pid).await
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_signatures() -> Result<(), Failure> {
    let mut regions = Regions::prepare(&["us-east-1"], true, LIMITS).await?;
    regions.cluster.start()?;
    let endpoint = regions.cluster.nodes[0].endpoint();
    let pid = regions.cluster.nodes[0].pid();
    let host = endpoint.address.to_string();
    let target = "DynamoDB_20120810.ListTables";
    let signed = |change: fn(&mut Endpoint)| {
        let mut other = endpoint.clone();
        change(&mut other);
        let mut request = Vec::new();
        Signer::new(other.credentials, host.clone()).request(target, b"{}", &mut request);
        request
    };
    let off_by = |seconds: i64| {
        let mut request = Vec::new();
        Signer::with_clock_off(endpoint.credentials.clone(), host.clone(), seconds).request(
            target,
            b"{}",
            &mut request,
        );
        request
    };
    let changed_body = {
        let mut request = signed(|_| ());
        let end = request.len();
        request[end - 2..].copy_from_slice(b"[]");
        request
    };
    let unsigned =
        format!("POST / HTTP/1.1\r\nhost: {host}\r\nx-amz-target: {target}\r\ncontent-length: 2\r\n\r\n{{}}");
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        (
            "a wrong secret",
            signed(|e| e.credentials.secret_access_key.push('x')),
            "InvalidSignatureException",
        ),
        (
            "an unknown key",
            signed(|e| e.credentials.access_key_id.push('X')),
            "UnrecognizedClientException",
        ),
        (
            "another region",
            signed(|e| e.credentials.region = "eu-west-1".into()),
            "InvalidSignatureException",
        ),
        ("a date an hour ago", off_by(-3_600), "InvalidSignatureException"),
        ("a date in an hour", off_by(3_600), "InvalidSignatureException"),
        ("a changed body", changed_body, "InvalidSignatureException"),
        ("no signature", unsigned.into_bytes(), "MissingAuthenticationToken"),
    ];
    for (name, request, says) in cases {
        let answer = raw(&endpoint, &request).await?;
        assert!(answer.starts_with("HTTP/1.1 4"), "{name}: {answer}");
        assert!(answer.contains(says), "{name}: {answer}");
    }
    regions.global_table("tab", 1).await?;
    unharmed(&regions, pid).await
}

#[tokio::test(flavor = "multi_thread")]
async fn large_and_slow() -> Result<(), Failure> {
    let mut regions = Regions::prepare(&["us-east-1"], true, LIMITS).await?;
    regions.cluster.start()?;
    regions.global_table("tab", 1).await?;
    let endpoint = regions.cluster.nodes[0].endpoint();
    let pid = regions.cluster.nodes[0].pid();
    let host = endpoint.address;

    // 17 MB: announced, and sent as far as the server takes it.
    let mut stream = TcpStream::connect(host).await?;
    let mut request = Vec::new();
    Signer::new(endpoint.credentials.clone(), host.to_string()).request(
        "DynamoDB_20120810.PutItem",
        &vec![b' '; 17 << 20],
        &mut request,
    );
    let (mut reading, mut writing) = stream.split();
    let mut answer = Vec::new();
    // The server may answer and close before all is sent.
    let _ = tokio::join!(writing.write_all(&request), async {
        let mut buffer = [0; 4_096];
        while let Ok(read @ 1..) = reading.read(&mut buffer).await {
            answer.extend_from_slice(&buffer[..read]);
            if answer.windows(4).any(|bytes| bytes == b"\r\n\r\n") {
                break;
            }
        }
    });
    let answer = String::from_utf8_lossy(&answer).into_owned();
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");

    // Senders that stop: within the head, and within the body. The server ends the connection in its time.
    for begun in [
        "POST / HTT",
        "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\nx-amz-target: x\r\n\r\n{",
    ] {
        let start = Instant::now();
        let mut stream = TcpStream::connect(host).await?;
        stream.write_all(begun.as_bytes()).await?;
        let mut answer = Vec::new();
        let closed = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut answer)).await;
        assert!(
            closed.is_ok(),
            "{begun:?} still holds its connection after {:?}",
            start.elapsed()
        );
    }
    unharmed(&regions, pid).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_topology_is_refused() -> Result<(), Failure> {
    let check = async |change: fn(&str) -> String, says: &str| -> Result<(), Failure> {
        let regions = Regions::prepare(&["us-east-1", "eu-west-1"], true, "").await?;
        let path = regions.folder.path().join("topology.toml");
        std::fs::write(&path, change(&std::fs::read_to_string(&path)?))?;
        let config = regions.folder.path().join("us-east-1/geodynamo.toml");
        let ended = Command::new(binary()?)
            .arg("serve")
            .arg("--config")
            .arg(config)
            .output()?;
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert!(!ended.status.success(), "{says}: it started");
        assert!(said.contains(says), "wanted {says:?}, got {said}");
        assert!(said.contains("topology.toml"), "names no file: {said}");
        Ok(())
    };
    // Its own region is missing.
    check(|text| text.replace("us-east-1", "us-west-2"), "us-east-1").await?;
    check(|text| text.replace("cluster =", "colour ="), "colour").await?;
    check(
        |text| format!("{text}\n[[link]]\nfrom = \"us-east-1\"\nto = \"mars\"\n"),
        "mars",
    )
    .await
}

/// Asks on a connection of its own.
async fn one(endpoint: &Endpoint, target: &str, body: &[u8]) -> Result<(u16, String), Failure> {
    let mut connection = Connection::open(endpoint).await?;
    let reply = connection.call(target, body).await?;
    Ok((
        reply.status,
        String::from_utf8_lossy(connection.body(reply)).into_owned(),
    ))
}

/// Sends these bytes; gives the answer's head and as much of its body as came with it.
async fn raw(endpoint: &Endpoint, request: &[u8]) -> Result<String, Failure> {
    let mut stream = TcpStream::connect(endpoint.address).await?;
    stream.write_all(request).await?;
    let mut answer = Vec::new();
    let read = async {
        let mut buffer = [0; 4_096];
        while !is_whole(&answer) {
            match stream.read(&mut buffer).await? {
                0 => break,
                read => answer.extend_from_slice(&buffer[..read]),
            }
        }
        Ok::<_, Failure>(())
    };
    tokio::time::timeout(Duration::from_secs(20), read).await??;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// Whether an answer has come whole: the server keeps the connection open behind it.
fn is_whole(answer: &[u8]) -> bool {
    let text = String::from_utf8_lossy(answer);
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let length = head
        .lines()
        .filter_map(|line| line.split_once(": "))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    length
        .and_then(|(_, length)| length.parse().ok())
        .is_some_and(|length: usize| body.len() >= length)
}

async fn unharmed(regions: &Regions, pid: Option<u32>) -> Result<(), Failure> {
    let node = &regions.cluster.nodes[0];
    assert_eq!(node.pid(), pid);
    assert_eq!(node.admin("/healthz")?.0, 200);
    let mut connection = Connection::open(&node.endpoint()).await?;
    let tables = tables::call(&mut connection, "ListTables", &json!({})).await?;
    assert_eq!(tables["TableNames"], json!(["tab"]));
    Ok(())
}
