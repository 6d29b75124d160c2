//! The HTTP interface.

use std::net::SocketAddr;

use geodynamo_topology::RegionName;
use geodynamo_wan::{WanConfig, WanEmulator};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

async fn start() -> WanEmulator {
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 9));
    let regions = ["us-east-1", "eu-west-1", "ap-northeast-1"];
    let regions = regions.map(|name| (RegionName::new(name).expect("a name"), nowhere));
    WanEmulator::start(WanConfig::new(regions)).await.expect("it starts")
}

/// One request on a connection of its own: status and body.
async fn request(control: SocketAddr, method: &str, path: &str, body: &str) -> (u16, Value) {
    let mut stream = TcpStream::connect(control).await.expect("it listens");
    let length = body.len();
    let request =
        format!("{method} {path} HTTP/1.1\r\nhost: wan\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("the head is taken");
    // A body that is too long may be refused before it is read whole.
    let _ = stream.write_all(body.as_bytes()).await;
    let mut response = Vec::new();
    let _ = stream.read_to_end(&mut response).await;
    let response = String::from_utf8(response).expect("text");
    let (head, body) = response.split_once("\r\n\r\n").expect("a head");
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .expect("a status");
    (status, serde_json::from_str(body).expect("JSON"))
}

#[tokio::test]
async fn links_are_listed_and_changed() {
    let emulator = start().await;
    let control = emulator.control();
    let (status, links) = request(control, "GET", "/links", "").await;
    assert_eq!(status, 200);
    assert_eq!(links.as_array().unwrap().len(), 6);
    let find = |links: &Value| {
        let mut links = links.as_array().unwrap().iter();
        links
            .find(|link| link["from"] == "us-east-1" && link["to"] == "eu-west-1")
            .unwrap()
            .clone()
    };
    let mut expect = json!({
        "from": "us-east-1", "to": "eu-west-1", "delay_ms": 40.5, "jitter_ms": 0.0, "loss": 0.0, "duplicate": 0.0,
        "reorder": 0.0, "bandwidth_mbps": null, "cut": false,
        "counters": {
            "received": 0, "delivered": 0, "delivered_bytes": 0, "lost": 0, "cut_off": 0, "overflowed": 0,
            "duplicated": 0, "reordered": 0, "in_flight_bytes": 0,
        },
    });
    assert_eq!(find(&links), expect);

    let path = "/links/us-east-1/eu-west-1";
    let (status, link) = request(control, "PUT", path, r#"{"loss": 0.01, "bandwidth_mbps": 100}"#).await;
    expect["loss"] = json!(0.01);
    expect["bandwidth_mbps"] = json!(100.0);
    assert_eq!((status, &link), (200, &expect));
    let (status, link) = request(control, "PUT", path, r#"{"cut": true, "bandwidth_mbps": null}"#).await;
    expect["cut"] = json!(true);
    expect["bandwidth_mbps"] = json!(null);
    assert_eq!((status, &link), (200, &expect));

    let (_, links) = request(control, "GET", "/links", "").await;
    assert_eq!(find(&links), expect);
    assert_eq!(
        links
            .as_array()
            .unwrap()
            .iter()
            .filter(|link| link["cut"] == true)
            .count(),
        1
    );
}

#[tokio::test]
async fn bad_requests_change_nothing() {
    let emulator = start().await;
    let control = emulator.control();
    let (_, before) = request(control, "GET", "/links", "").await;
    let path = "/links/us-east-1/eu-west-1";
    let known = "known are delay_ms, jitter_ms, loss, duplicate, reorder, bandwidth_mbps, cut";
    let there_are = "there are GET /links and PUT /links/{from}/{to}";
    let long = format!("{{\"loss\": {}0}}", " ".repeat(20_000));
    for (method, path, body, status, error) in [
        (
            "PUT",
            path,
            r#"{"loss": 2}"#,
            400,
            "loss must be a number from 0 to 1, not 2",
        ),
        (
            "PUT",
            path,
            r#"{"cut": true, "dealy_ms": 2}"#,
            400,
            &*format!("unknown field 'dealy_ms': {known}"),
        ),
        (
            "PUT",
            path,
            "not json",
            400,
            "the body must be a JSON object: expected ident at line 1 column 2",
        ),
        (
            "PUT",
            path,
            &long,
            413,
            "Failed to buffer the request body: length limit exceeded",
        ),
        (
            "PUT",
            "/links/us-east-1/mars-1",
            "{}",
            404,
            "there is no link from 'us-east-1' to 'mars-1'",
        ),
        (
            "PUT",
            "/links/us-east-1/us-east-1",
            "{}",
            404,
            "there is no link from 'us-east-1' to 'us-east-1'",
        ),
        ("GET", "/nothing", "", 404, there_are),
        ("DELETE", "/links", "", 405, there_are),
        ("GET", path, "", 405, there_are),
    ] {
        let response = request(control, method, path, body).await;
        assert_eq!(
            response,
            (status, json!({ "error": error })),
            "{method} {path} {body:.40}"
        );
    }
    let (_, after) = request(control, "GET", "/links", "").await;
    assert_eq!(before, after);
}
