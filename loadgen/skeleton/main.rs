//! The bench's measure of the machine: what any honest DynamoDB must do for a durable request, and nothing more.
//!
//! hyper reads HTTP/1.1; the SigV4 signature is checked (body hash, canonical request, one HMAC with the day's cached
//! key); serde_json parses the whole body into typed attribute values; a put joins a group commit (one RocksDB batch and
//! one fsync for all writers that wait) and is answered after it; a get is one RocksDB get; an update is a get and a put.
//! A transaction is the records of its puts in one group commit; a query is an iterator over a prefix, each item of which
//! is turned from its compact form to JSON. No validation, no tables, no conditions, no change log, no stamps, no tokens.
//!
//! Prints one line of JSON, `{"endpoint":"127.0.0.1:PORT"}`, and serves until it is ended.

mod commit;
mod request;
mod signature;
mod stored;

use std::convert::Infallible;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use clap::Parser;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use crate::commit::{Records, Store};
use crate::signature::Verifier;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A bare key-value server that speaks just enough DynamoDB to be measured.
#[derive(Parser)]
struct Arguments {
    /// Folder for RocksDB.
    #[arg(long)]
    data: PathBuf,
    /// Megabytes of block cache, and tables with geodynamo's block size, compression and bloom filters; without it, RocksDB's
    /// own defaults.
    #[arg(long)]
    cache_mb: Option<usize>,
    /// Where to listen; port 0 picks one.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Threads that serve.
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// The access key of every signature.
    #[arg(long, default_value = "skeleton")]
    access_key_id: String,
    /// Its secret.
    #[arg(long, default_value = "skeleton-secret")]
    secret: String,
    /// The region of every signature.
    #[arg(long, default_value = "us-east-1")]
    region: String,
}

type AnyError = Box<dyn std::error::Error + Send + Sync>;

fn main() -> Result<(), AnyError> {
    let arguments = Arguments::parse();
    let cache_bytes = arguments.cache_mb.map(|mb| mb << 20);
    let store = Arc::new(Store::open(&arguments.data, cache_bytes)?);
    let verifier = Arc::new(Verifier::new(
        arguments.access_key_id,
        arguments.secret,
        arguments.region,
    ));
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(arguments.threads)
        .enable_all()
        .build()?
        .block_on(async move {
            let listener = TcpListener::bind(arguments.listen).await?;
            println!("{{\"endpoint\":\"{}\"}}", listener.local_addr()?);
            loop {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                let (store, verifier) = (store.clone(), verifier.clone());
                tokio::spawn(async move {
                    let service = service_fn(move |request| {
                        let (store, verifier) = (store.clone(), verifier.clone());
                        async move { Ok::<_, Infallible>(serve(&store, &verifier, request).await) }
                    });
                    // A client that goes away ends its connection; there is nobody to tell.
                    let _ = http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        })
}

async fn serve(store: &Store, verifier: &Verifier, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let (status, body) = match answer(store, verifier, request).await {
        Ok(body) => (StatusCode::OK, body),
        Err(error) => (StatusCode::BAD_REQUEST, error.to_string().into()),
    };
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response
}

async fn answer(store: &Store, verifier: &Verifier, request: Request<Incoming>) -> Result<Bytes, AnyError> {
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    verifier.verify(&head.headers, &body)?;
    let target = head
        .headers
        .get("x-amz-target")
        .map(|value| value.as_bytes())
        .unwrap_or_default();
    match target.rsplit(|byte| *byte == b'.').next() {
        Some(b"PutItem") => {
            let put: request::Put = serde_json::from_slice(&body)?;
            let (key, value) = record(&put.item)?;
            store.put(key, value).await?;
            Ok(Bytes::from_static(b"{}"))
        }
        Some(b"GetItem") => {
            let get: request::Get = serde_json::from_slice(&body)?;
            Ok(match store.get(&request::key(&get.key)?)? {
                Some(item) if request::is_sorted(&get.key) => {
                    let mut out = b"{\"Item\":".to_vec();
                    stored::write_json(&item, &mut out)?;
                    out.push(b'}');
                    out.into()
                }
                Some(item) => [b"{\"Item\":", item.as_ref(), b"}"].concat().into(),
                None => Bytes::from_static(b"{}"),
            })
        }
        Some(b"UpdateItem") => {
            let update: request::Update = serde_json::from_slice(&body)?;
            let current = store
                .get(&request::key(&update.key)?)?
                .ok_or("the bench updates items that are there")?;
            std::hint::black_box(&current);
            let (key, value) = record(&update.updated())?;
            store.put(key, value).await?;
            Ok(Bytes::from_static(b"{}"))
        }
        Some(b"Query") => {
            let query: request::Query = serde_json::from_slice(&body)?;
            let mut out = b"{\"Items\":[".to_vec();
            let mut count = 0_u32;
            store.each(&query.prefix()?, |item| {
                if count > 0 {
                    out.push(b',');
                }
                count += 1;
                stored::write_json(item, &mut out)
            })?;
            write!(out, "],\"Count\":{count},\"ScannedCount\":{count}}}")?;
            Ok(out.into())
        }
        Some(b"TransactWriteItems") => {
            let transaction: request::Transaction = serde_json::from_slice(&body)?;
            let records = transaction.items.iter().map(|item| record(&item.put.item));
            store.put_all(records.collect::<Result<Records, _>>()?).await?;
            Ok(Bytes::from_static(b"{}"))
        }
        Some(b"BatchWriteItem") => {
            let batch: request::Batch = serde_json::from_slice(&body)?;
            let puts = batch.request_items.values().flatten();
            let records = puts.map(|put| record(&put.put_request.item));
            store.put_all(records.collect::<Result<Records, _>>()?).await?;
            Ok(Bytes::from_static(b"{\"UnprocessedItems\":{}}"))
        }
        _ => Err("an operation that the bench does not use".into()),
    }
}

/// The key and the value that an item is stored as.
fn record(item: &request::Item<'_>) -> Result<(Vec<u8>, Vec<u8>), AnyError> {
    let value = if request::is_sorted(item) {
        stored::encode(item)?
    } else {
        serde_json::to_vec(item)?
    };
    Ok((request::key(item)?, value))
}
