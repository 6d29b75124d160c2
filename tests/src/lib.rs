//! What the tests that cross processes share: regions as processes, an emulated WAN between them, the AWS SDK for Rust
//! as their client, a shim that turns kill -9 into a power cut, judges of recorded histories.

pub mod damage;
pub mod linearizable;
pub mod power;
pub mod raw;
pub mod recorder;
pub mod regions;
pub mod serializable;

use std::error::Error;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region};
use geodynamo_loadgen::client::Endpoint;

/// Any failure of a test.
pub type Failure = Box<dyn Error + Send + Sync>;

/// The `geodynamo` program of this build.
pub fn binary() -> Result<PathBuf, Failure> {
    // Tests are in target/PROFILE/deps, programs in target/PROFILE.
    let here = std::env::current_exe()?;
    let path = here.ancestors().nth(2).ok_or("no folder")?.join("geodynamo");
    if path.exists() {
        Ok(path)
    } else {
        Err(format!("{} is not built; `make test` builds it", path.display()).into())
    }
}

/// The AWS SDK's client for a region; one try a request, so that a test sees what the server answered.
pub fn sdk(endpoint: &Endpoint) -> Client {
    let keys = &endpoint.credentials;
    let config = aws_sdk_dynamodb::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .endpoint_url(format!("http://{}", endpoint.address))
        .region(Region::new(keys.region.clone()))
        .credentials_provider(Credentials::new(
            &keys.access_key_id,
            &keys.secret_access_key,
            None,
            None,
            "tests",
        ))
        .retry_config(RetryConfig::disabled())
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .build();
    Client::from_conf(config)
}

/// The AWS SDK's client for a region's streams; with the SDK's own retries.
pub fn sdk_streams(endpoint: &Endpoint) -> aws_sdk_dynamodbstreams::Client {
    let keys = &endpoint.credentials;
    let config = aws_sdk_dynamodbstreams::Config::builder()
        .behavior_version(aws_sdk_dynamodbstreams::config::BehaviorVersion::latest())
        .endpoint_url(format!("http://{}", endpoint.address))
        .region(Region::new(keys.region.clone()))
        .credentials_provider(Credentials::new(
            &keys.access_key_id,
            &keys.secret_access_key,
            None,
            None,
            "tests",
        ))
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .build();
    aws_sdk_dynamodbstreams::Client::from_conf(config)
}

/// Waits until `state` gives true; fails after the deadline, naming `what`.
pub async fn wait_until(
    what: &str,
    deadline: Duration,
    mut state: impl AsyncFnMut() -> Result<bool, Failure>,
) -> Result<(), Failure> {
    let start = Instant::now();
    while !state().await? {
        if start.elapsed() > deadline {
            return Err(format!("after {deadline:?} still not: {what}").into());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}
