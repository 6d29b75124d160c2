//! The generator against servers that behave in known ways.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use crossbeam_channel::never;
use geodynamo_loadgen::{
    client::{Connection, Endpoint},
    generate::{
        arrivals::Arrivals,
        run::{Plan, run},
        sizes::Sizes,
        slo::Objective,
        workload::Workload,
    },
    signer::Credentials,
    tls::Tls,
};
use rustls::{ServerConfig, crypto::aws_lc_rs, pki_types::PrivateKeyDer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// A server that answers `answer` to every request, after `before` has returned.
fn serve(answer: &'static str, before: impl Fn() + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let before = Arc::new(before);
    // Ends with the process: it waits for connections until then.
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (Ok(stream), before) = (stream, before.clone()) else {
                return;
            };
            std::thread::spawn(move || while one(&stream, answer, &*before).is_some() {});
        }
    });
    address
}

fn one(stream: &TcpStream, answer: &str, before: &dyn Fn()) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let (mut line, mut length) = (String::new(), 0);
    while line != "\r\n" {
        line.clear();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().ok()?;
        }
    }
    reader.read_exact(&mut vec![0; length]).ok()?;
    before();
    let mut stream = stream;
    stream.write_all(answer.as_bytes()).ok()
}

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
const THROTTLED: &str =
    "HTTP/1.1 400 Bad Request\r\ncontent-length: 35\r\n\r\n{\"__type\":\"x#ThrottlingException\"}\n";

fn endpoint(address: SocketAddr) -> Endpoint {
    Endpoint {
        address,
        credentials: Credentials {
            access_key_id: "a".into(),
            secret_access_key: "s".into(),
            region: "us-east-1".into(),
        },
        tls: None,
    }
}

fn plan(address: SocketAddr, arrivals: &str, seconds: u64) -> Plan {
    Plan {
        regions: vec![("here".into(), endpoint(address))],
        table: "t".into(),
        workload: "gets".parse::<Workload>().unwrap(),
        arrivals: arrivals.parse::<Arrivals>().unwrap(),
        sizes: Sizes::Constant(100),
        items: 100,
        connections: 4,
        threads: 1,
        warm_up: Duration::ZERO,
        duration: Duration::from_secs(seconds),
        seed: 1,
        timeout: Duration::from_secs(10),
        verify: false,
        probe: false,
    }
}

#[test]
fn a_server_that_stalls_shows_in_response_time_and_not_in_service_time() {
    let began = Instant::now();
    let stalled = AtomicU64::new(0);
    let stall = move || {
        // All four connections stand still once for a second, one second after the first request.
        let at = began.elapsed();
        if at > Duration::from_secs(1) && stalled.fetch_add(1, Ordering::Relaxed) < 4 {
            std::thread::sleep(Duration::from_secs(1));
        }
    };
    let outcome = run(&plan(serve(OK, stall), "constant:200", 4), &never(), |_| ())
        .unwrap()
        .outcome;
    let get = &outcome.operations[0];
    // Of 800 requests, those of one second waited; only four were being served meanwhile.
    assert!(get.response_ms["p90"] > 100.0, "{:?}", get.response_ms);
    assert!(get.service_ms["p90"] < 100.0, "{:?}", get.service_ms);
    assert!(get.service_ms["max"] > 900.0, "{:?}", get.service_ms);
    let asked: f64 = outcome.timeline.iter().filter_map(|second| second.asked).sum();
    assert!((asked - 800.0).abs() < 1.0, "{asked}");
}

#[test]
fn what_is_due_and_not_answered_at_the_end_counts() {
    let began = Instant::now();
    // Stands still from the first second on, for longer than the run.
    let stall = move || {
        if began.elapsed() > Duration::from_secs(1) {
            std::thread::sleep(Duration::from_secs(60));
        }
    };
    let outcome = run(&plan(serve(OK, stall), "constant:100", 3), &never(), |_| ())
        .unwrap()
        .outcome;
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    let get = &outcome.operations[0];
    assert_eq!(get.done + get.failed(), 300);
    assert!(get.errors["unfinished"] > 150, "{:?}", get.errors);
    assert!(get.response_ms["p99"] > 3_000.0, "{:?}", get.response_ms);
    assert!(get.service_ms["p99"] < 1_000.0, "{:?}", get.service_ms);
    let counted: u64 = outcome.timeline.iter().map(|second| second.done + second.failed).sum();
    assert_eq!(counted, 300);
    let missed = |text: &str| text.parse::<Objective>().unwrap().missed(&outcome).is_some();
    assert!(missed("*.p99<8ms") && missed("errors<0.1%"));
    assert!(!outcome.client.limited, "{:?}", outcome.client);
}

#[test]
fn what_is_answered_a_little_after_the_end_counts_with_its_time() {
    // 20 requests a second in each of four connections, of 100 that are asked for: the rest waits.
    let slow = || std::thread::sleep(Duration::from_millis(50));
    let outcome = run(&plan(serve(OK, slow), "constant:100", 2), &never(), |_| ())
        .unwrap()
        .outcome;
    let get = &outcome.operations[0];
    assert_eq!((get.done, get.failed()), (200, 0));
    assert!(get.after_end > 10, "{}", get.after_end);
    assert!(get.response_ms["max"] > 300.0, "{:?}", get.response_ms);
    assert!(outcome.rate() < 95.0, "{}", outcome.rate());
}

#[test]
fn a_request_without_an_answer_fails_in_time() {
    let silent = || std::thread::sleep(Duration::from_secs(60));
    let plan = Plan {
        timeout: Duration::from_millis(200),
        ..plan(serve(OK, silent), "constant:10", 1)
    };
    let outcome = run(&plan, &never(), |_| ()).unwrap().outcome;
    assert_eq!((outcome.done(), outcome.operations[0].errors["timeout"]), (0, 10));
    assert!(outcome.operations[0].response_ms["p50"] > 190.0);
}

#[test]
fn a_run_that_is_broken_off_keeps_what_was_measured() {
    let (told, interrupts) = crossbeam_channel::bounded(1);
    let plan = plan(serve(OK, || ()), "constant:100", 60);
    let began = Instant::now();
    let outcome = run(&plan, &interrupts, |second| {
        if second.at_s > 1.5 {
            told.send(()).unwrap();
        }
    });
    let outcome = outcome.unwrap().outcome;
    assert!(began.elapsed() < Duration::from_secs(10) && outcome.broken_off);
    assert!((2.0..4.0).contains(&outcome.seconds), "{}", outcome.seconds);
    let expect = outcome.seconds * 100.0;
    assert!(
        (outcome.done() as f64 - expect).abs() < 10.0,
        "{} {expect}",
        outcome.done()
    );
    assert_eq!(outcome.failed(), 0);
}

#[test]
fn the_warm_up_is_not_in_the_results() {
    let began = Instant::now();
    // Broken connections at first.
    let address = serve(OK, move || {
        if began.elapsed() < Duration::from_millis(800) {
            panic!("closes the connection");
        }
    });
    let plan = Plan {
        warm_up: Duration::from_secs(1),
        ..plan(address, "constant:100", 1)
    };
    let outcome = run(&plan, &never(), |_| ()).unwrap().outcome;
    assert_eq!(
        (outcome.done(), outcome.failed()),
        (100, 0),
        "{:?}",
        outcome.first_error
    );
}

#[test]
fn errors_are_counted_by_exception() {
    let outcome = run(&plan(serve(THROTTLED, || ()), "constant:100", 1), &never(), |_| ())
        .unwrap()
        .outcome;
    assert_eq!(
        outcome.operations[0].errors.keys().collect::<Vec<_>>(),
        ["ThrottlingException"]
    );
    assert_eq!(outcome.done(), 0);
    assert!(outcome.failed() > 50);
}

#[test]
fn a_server_that_refuses_connections_is_an_error_and_no_end() {
    // Bound and dropped: nobody listens there.
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let outcome = run(&plan(address, "constant:50", 1), &never(), |_| ()).unwrap().outcome;
    assert!(outcome.operations[0].errors["connection"] > 0);
    assert!(outcome.first_error.is_some());
}

#[test]
fn a_server_that_goes_away_leaves_the_results_so_far() {
    let gone = Arc::new(AtomicBool::new(false));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let seen = gone.clone();
    let server = std::thread::spawn(move || {
        let began = Instant::now();
        let streams: Vec<_> = (0..4).map(|_| listener.accept().unwrap().0).collect();
        drop(listener);
        std::thread::scope(|scope| {
            for stream in &streams {
                scope.spawn(|| while began.elapsed() < Duration::from_secs(1) && one(stream, OK, &|| ()).is_some() {});
            }
        });
        seen.store(true, Ordering::Relaxed);
    });
    let outcome = run(&plan(address, "constant:200", 3), &never(), |_| ())
        .unwrap()
        .outcome;
    server.join().unwrap();
    assert!(gone.load(Ordering::Relaxed));
    assert!(outcome.done() > 50, "{}", outcome.done());
    assert!(outcome.failed() > 0);
    assert!(outcome.timeline.first().unwrap().done > 0);
}

#[tokio::test]
async fn bodies_in_chunks_are_read() {
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{\"a\":\r\n3;x=y\r\n17}\r\n0\r\n\r\n";
    let address = serve(chunked, || ());
    let mut connection = Connection::open(&endpoint(address)).await.unwrap();
    for _ in 0..3 {
        let reply = connection.call("DynamoDB_20120810.GetItem", b"{}").await.unwrap();
        assert_eq!((reply.status, connection.body(reply)), (200, &b"{\"a\":17}"[..]));
    }
}

#[test]
fn https_asks_for_a_certificate_of_a_trusted_authority() {
    let certificate = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (ca, other) = (folder.path().join("ca.pem"), folder.path().join("other.pem"));
    std::fs::write(&ca, certificate.cert.pem()).unwrap();
    let stranger = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(&other, stranger.cert.pem()).unwrap();

    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let address = serve_tls(&certificate).await;
        let endpoint = |name, ca| Endpoint {
            tls: Some(Tls::new(name, ca).unwrap()),
            ..endpoint(address)
        };
        let mut connection = Connection::open(&endpoint("localhost", &ca)).await.unwrap();
        for _ in 0..2 {
            let reply = connection.call("DynamoDB_20120810.GetItem", b"{}").await.unwrap();
            assert_eq!((reply.status, connection.body(reply)), (200, &b"{}"[..]));
        }
        for (name, ca) in [("localhost", &other), ("elsewhere.example", &ca)] {
            assert!(Connection::open(&endpoint(name, ca)).await.is_err(), "{name}");
        }
    });
    assert!(Tls::new("localhost", &folder.path().join("none.pem")).is_err());
}

/// A server on TLS that answers two requests of each connection.
async fn serve_tls(certificate: &rcgen::CertifiedKey<rcgen::KeyPair>) -> SocketAddr {
    let key = PrivateKeyDer::try_from(certificate.signing_key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.cert.der().clone()], key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // Whoever does not trust it goes away here.
            let Ok(mut stream) = acceptor.accept(stream).await else {
                continue;
            };
            let mut asked = [0; 4096];
            for _ in 0..2 {
                if stream.read(&mut asked).await.unwrap_or(0) > 0 {
                    stream.write_all(OK.as_bytes()).await.unwrap();
                }
            }
        }
    });
    address
}
