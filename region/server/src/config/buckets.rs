//! `[s3]`: where the buckets are that exports go to and imports come from.

use std::path::{Path, PathBuf};

use geodynamo_archive::S3Place;
use geodynamo_transfer::BucketPlace;
use serde::Deserialize;

use super::{AccessKeyId, Secret};

/// The folder of buckets in a data directory.
const IN_DATA: &str = "s3";

/// Where buckets are. Without an endpoint, a bucket is a folder.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BucketsEntry {
    /// The folder that has buckets as its folders; `s3` in the data directory if it is not told.
    pub dir: Option<PathBuf>,
    /// The S3 API's server, such as `http://127.0.0.1:9000`.
    pub endpoint: Option<String>,
    /// Whether the bucket stands in the path of a request's address, not in its host.
    pub path_style: bool,
    /// The buckets' region. From AWS's environment variables if it is not told.
    pub region: Option<String>,
    /// The access key. From AWS's environment variables, or from the machine, if it is not told.
    pub access_key_id: Option<AccessKeyId>,
    /// Its secret.
    pub secret_access_key: Option<Secret>,
}

impl Default for BucketsEntry {
    fn default() -> Self {
        Self {
            dir: None,
            endpoint: None,
            path_style: true,
            region: None,
            access_key_id: None,
            secret_access_key: None,
        }
    }
}

impl BucketsEntry {
    /// Where they are, of a region with this data directory.
    pub fn place(&self, data_dir: &Path) -> BucketPlace {
        match &self.endpoint {
            None => BucketPlace::Folder(self.dir.clone().unwrap_or_else(|| data_dir.join(IN_DATA))),
            Some(endpoint) => {
                let key = self.access_key_id.as_ref().zip(self.secret_access_key.as_ref());
                BucketPlace::S3(S3Place {
                    endpoint: Some(endpoint.clone()),
                    path_style: self.path_style,
                    region: self.region.clone(),
                    credentials: key.map(|(id, secret)| (id.as_str().to_owned(), secret.reveal().to_owned())),
                    ..S3Place::default()
                })
            }
        }
    }

    /// What contradicts itself, if something does.
    pub(super) fn contradiction(&self) -> Option<String> {
        let both = self.dir.is_some() && self.endpoint.is_some();
        both.then(|| "[s3] has a dir and an endpoint: buckets are either folders or on a server".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places() {
        let read = |text: &str| toml::from_str::<BucketsEntry>(text).unwrap();
        let place = |text: &str| read(text).place(Path::new("data"));
        assert_eq!(place(""), BucketPlace::Folder("data/s3".into()));
        assert_eq!(place("dir = \"other\""), BucketPlace::Folder("other".into()));
        let server = "endpoint = \"http://127.0.0.1:9000\"\naccess_key_id = \"id\"\nsecret_access_key = \"hush\"";
        let expected = S3Place {
            endpoint: Some("http://127.0.0.1:9000".into()),
            path_style: true,
            credentials: Some(("id".into(), "hush".into())),
            ..S3Place::default()
        };
        assert_eq!(place(server), BucketPlace::S3(expected));
        assert_eq!(read("dir = \"other\"").contradiction(), None);
        assert!(read(&format!("dir = \"other\"\n{server}")).contradiction().is_some());
    }
}
