//! Traces reach a collector, over OTLP.

#![allow(clippy::unwrap_used, reason = "tests may")]

mod common;

use std::{io, net::SocketAddr};

use common::{PATIENCE, Region};
use geodynamo::{config::Config, telemetry::Telemetry};
use geodynamo_access::Mode;
use geodynamo_topology::RegionName;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_request_becomes_a_span() {
    let collector = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let config = config(collector.local_addr().unwrap());
    let collected = tokio::spawn(collect(collector));
    let telemetry = Telemetry::start(&config).unwrap();
    let region = Region::start(Mode::Any, "").await;
    let mut client = region.connect().await;
    client.send(&region.signed("DynamoDB_20120810.Echo", b"{}")).await;
    assert_eq!(client.answer().await.status, 200);
    tokio::task::spawn_blocking(|| telemetry.stop()).await.unwrap();
    let (head, body) = tokio::time::timeout(PATIENCE, collected)
        .await
        .expect("no traces")
        .unwrap()
        .unwrap();
    assert!(head.starts_with("post /v1/traces "), "{head}");
    for text in ["geodynamo", "eu-west-1", "Echo", "cloud.region"] {
        assert!(
            body.windows(text.len()).any(|window| window == text.as_bytes()),
            "no '{text}' in the span"
        );
    }
}

fn config(collector: SocketAddr) -> Config {
    let text = format!(
        "region = \"eu-west-1\"\nnode = \"a\"\ndata_dir = \"none\"\notel = {{ endpoint = \"http://{collector}\", \
         sample_percent = 100 }}\n"
    );
    let config = Config::parse("test", &text).unwrap();
    assert_eq!(config.region, RegionName::new("eu-west-1").unwrap());
    config
}

/// Takes one export.
async fn collect(listener: TcpListener) -> io::Result<(String, Vec<u8>)> {
    let (mut socket, _) = listener.accept().await?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(socket.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head).to_lowercase();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    socket.read_exact(&mut body).await?;
    socket
        .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        .await?;
    Ok((head, body))
}
