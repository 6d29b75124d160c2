//! The buckets that exports go to and imports come from.

use std::{path::PathBuf, sync::Arc};

use object_store::{ObjectStore, aws::AmazonS3Builder, local::LocalFileSystem};

use crate::{Error, Result};

/// Where buckets are.
#[derive(Clone, PartialEq, Eq)]
pub enum BucketPlace {
    /// A bucket is a folder in this one.
    Folder(PathBuf),
    /// An S3 API.
    S3 {
        /// Its server; AWS's own if it is not told.
        endpoint: Option<String>,
        /// The buckets' region.
        region: String,
        /// An access key and its secret; from AWS's environment if they are not told.
        credentials: Option<(String, String)>,
        /// Whether a bucket stands in the path of a request's address, not in its host.
        path_style: bool,
    },
}

/// Opens buckets.
#[derive(Clone, PartialEq, Eq)]
pub struct Buckets(BucketPlace);

impl Buckets {
    /// Those of a place.
    pub fn new(place: BucketPlace) -> Self {
        Self(place)
    }

    /// A bucket to write to. A folder that is not there is made.
    pub fn to(&self, name: &str) -> Result<Arc<dyn ObjectStore>> {
        if let BucketPlace::Folder(folder) = &self.0 {
            std::fs::create_dir_all(folder.join(check(name)?))?;
        }
        self.from(name)
    }

    /// A bucket to read from.
    ///
    /// # Errors
    /// [`Error::NoSuchBucket`] if it is a folder that is not there. That a bucket of an S3 API is not there shows when it is
    /// asked for something.
    pub fn from(&self, name: &str) -> Result<Arc<dyn ObjectStore>> {
        let name = check(name)?;
        match &self.0 {
            BucketPlace::Folder(folder) => {
                let folder = folder.join(name);
                if !folder.is_dir() {
                    return Err(Error::NoSuchBucket(name.to_owned()));
                }
                Ok(Arc::new(LocalFileSystem::new_with_prefix(folder)?))
            }
            BucketPlace::S3 {
                endpoint,
                region,
                credentials,
                path_style,
            } => {
                let mut builder = AmazonS3Builder::from_env()
                    .with_bucket_name(name)
                    .with_region(region)
                    .with_virtual_hosted_style_request(!path_style);
                if let Some(endpoint) = endpoint {
                    builder = builder.with_endpoint(endpoint).with_allow_http(endpoint.starts_with("http://"));
                }
                if let Some((id, secret)) = credentials {
                    builder = builder.with_access_key_id(id).with_secret_access_key(secret);
                }
                Ok(Arc::new(builder.build()?))
            }
        }
    }
}

/// A bucket's name has no parts of a path.
fn check(name: &str) -> Result<&str> {
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
    if plain && !name.is_empty() && !name.starts_with('.') {
        Ok(name)
    } else {
        Err(Error::NoSuchBucket(name.to_owned()))
    }
}
