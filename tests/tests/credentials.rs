//! The AWS SDK for Rust with no keys of its own: its default credential chain takes a role's session from STS.
//!
//! `scripts/libraries.py` says in the `AWS_…` variables where the server is and who the program is, so these tests are
//! ignored elsewhere.

use std::error::Error;
use std::path::Path;

use aws_config::provider_config::ProviderConfig;
use aws_config::web_identity_token::{StaticConfiguration, WebIdentityTokenCredentialsProvider};
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::SharedHttpClient;
use aws_sdk_dynamodb::error::ProvideErrorMetadata;
use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_sts::config::ProvideCredentials;
use aws_sdk_sts::error::SdkError;
use aws_sdk_sts::operation::assume_role_with_web_identity::AssumeRoleWithWebIdentityError;
use geodynamo_tests::Failure;

type StsError = SdkError<AssumeRoleWithWebIdentityError>;

/// The server speaks plain HTTP.
fn http() -> SharedHttpClient {
    aws_smithy_http_client::Builder::new().build_http()
}

/// What the SDK finds out by itself.
async fn settings() -> SdkConfig {
    aws_config::defaults(BehaviorVersion::latest())
        .http_client(http())
        .load()
        .await
}

fn one() -> AttributeValue {
    AttributeValue::S("1".into())
}

#[tokio::test]
#[ignore = "needs a region and a role, which scripts/libraries.py makes: scripts/test.py libraries"]
async fn the_chain_assumes_the_role() -> Result<(), Failure> {
    let identity = aws_sdk_sts::Client::new(&settings().await)
        .get_caller_identity()
        .send()
        .await?;
    assert_eq!(identity.arn(), Some(&*std::env::var("GEODYNAMO_ASSUMED_ROLE")?));
    Ok(())
}

#[tokio::test]
#[ignore = "needs a region and a role, which scripts/libraries.py makes: scripts/test.py libraries"]
async fn the_role_may_read_its_table_and_nothing_else() -> Result<(), Failure> {
    let client = Client::new(&settings().await);
    let get = |table: &str| client.get_item().table_name(table).key("pk", one()).send();
    let found = get("ours").await?.item.ok_or("no item")?;
    assert_eq!(found.get("v"), Some(&AttributeValue::S("ours".into())));
    let written = client.put_item().table_name("ours").item("pk", one()).send().await;
    assert_eq!(
        written.err().as_ref().and_then(ProvideErrorMetadata::code),
        Some("AccessDeniedException")
    );
    let read = get("theirs").await;
    assert_eq!(
        read.err().as_ref().and_then(ProvideErrorMetadata::code),
        Some("AccessDeniedException")
    );
    Ok(())
}

/// The token beside the right one is like it but for its signature.
#[tokio::test]
#[ignore = "needs a region and a role, which scripts/libraries.py makes: scripts/test.py libraries"]
async fn without_a_token_of_the_provider_there_is_no_session() -> Result<(), Failure> {
    let Ok(file) = std::env::var("AWS_WEB_IDENTITY_TOKEN_FILE") else {
        return Ok(()); // The role is not assumed with a token here.
    };
    let forged = StaticConfiguration {
        web_identity_token_file: Path::new(&file).with_file_name("forged"),
        role_arn: std::env::var("AWS_ROLE_ARN")?,
        session_name: "forger".into(),
    };
    let region = Region::new(std::env::var("AWS_REGION")?);
    let settings = ProviderConfig::without_region()
        .with_region(Some(region))
        .with_http_client(http());
    let provider = WebIdentityTokenCredentialsProvider::builder()
        .configure(&settings)
        .static_configuration(forged)
        .build();
    let refused = provider.provide_credentials().await.err().ok_or("a session")?;
    let told = refused.source().and_then(|error| error.downcast_ref::<StsError>());
    let code = told.and_then(ProvideErrorMetadata::code);
    assert_eq!(code, Some("InvalidIdentityToken"), "{refused:?}");
    Ok(())
}
