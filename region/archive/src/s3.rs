//! Buckets of S3 APIs.

use std::{sync::Arc, time::Duration};

use object_store::{ClientOptions, ObjectStore, RetryConfig, aws::AmazonS3Builder, path::Path};

use crate::{ArchiveError, Result, S3Place};

/// How often a request to S3 is repeated.
const RETRIES_MAX: usize = 4;
/// For how long. Whoever uses the archive tries again later, too, and says meanwhile that it cannot be reached.
const RETRY_TIME: Duration = Duration::from_secs(20);

impl S3Place {
    /// The store, and what all names in it begin with.
    pub(crate) fn open(&self) -> Result<(Arc<dyn ObjectStore>, Path)> {
        let mut builder = AmazonS3Builder::from_env()
            .with_bucket_name(&self.bucket)
            .with_retry(RetryConfig {
                max_retries: RETRIES_MAX,
                retry_timeout: RETRY_TIME,
                ..RetryConfig::default()
            })
            .with_virtual_hosted_style_request(!self.path_style);
        if let Some(endpoint) = &self.endpoint {
            let plain = endpoint.starts_with("http://");
            builder = builder
                .with_endpoint(endpoint)
                .with_client_options(ClientOptions::new().with_allow_http(plain));
        }
        if let Some(region) = &self.region {
            builder = builder.with_region(region);
        }
        if let Some((id, secret)) = &self.credentials {
            builder = builder.with_access_key_id(id).with_secret_access_key(secret);
        }
        let prefix = Path::parse(&self.prefix).map_err(|error| ArchiveError::Place {
            place: self.to_string(),
            reason: error.to_string(),
        })?;
        Ok((Arc::new(builder.build()?), prefix))
    }
}
