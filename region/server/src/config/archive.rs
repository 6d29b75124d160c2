//! `[archive]`: where backups are kept.

use std::path::{Path, PathBuf};

use geodynamo_archive::{ArchiveError, Place, S3Place};
use serde::{Deserialize, Deserializer, de};

use super::{AccessKeyId, Secret, Within};

/// How much of a folder is read in a second to find damage, in MiB.
const SCRUB_MB_PER_SECOND: u64 = 1;

/// Where backups are kept.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArchiveEntry {
    /// `s3://BUCKET/PREFIX`, or a folder's path.
    pub url: ArchiveUrl,
    /// The S3 API's server, such as `http://127.0.0.1:9000`; AWS's own if it is not told.
    pub endpoint: Option<String>,
    /// Whether the bucket stands in the path of a request's address, not in its host.
    #[serde(default = "yes")]
    pub path_style: bool,
    /// The bucket's region. From AWS's environment variables if it is not told.
    pub region: Option<String>,
    /// The access key. From AWS's environment variables, or from the machine, if it is not told.
    pub access_key_id: Option<AccessKeyId>,
    /// Its secret.
    pub secret_access_key: Option<Secret>,
    /// How often change logs are shipped, in seconds.
    #[serde(default = "ship_seconds")]
    pub ship_seconds: Within<1, 3600>,
    /// How much of it is read in a second to find damage, in MiB; 0 reads nothing. If it is not told: 1 of a folder, 0 of a
    /// bucket, whose owner may pay for what is read.
    pub scrub_mb_per_second: Option<Within<0, 1000>>,
}

/// Where an archive is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ArchiveUrl {
    /// In a folder.
    Folder(PathBuf),
    /// In a bucket.
    Bucket(S3Place),
}

impl ArchiveEntry {
    /// An archive in a folder, as `geodynamo dev` has it: shipped to every second.
    pub fn in_folder(folder: &Path) -> Self {
        Self {
            url: ArchiveUrl::Folder(folder.to_owned()),
            endpoint: None,
            path_style: true,
            region: None,
            access_key_id: None,
            secret_access_key: None,
            ship_seconds: Within::new(1),
            scrub_mb_per_second: None,
        }
    }

    /// How many bytes of it are read in a second to find damage.
    pub fn scrub_bytes_per_second(&self) -> u64 {
        let usual = match &self.url {
            ArchiveUrl::Folder(_) => SCRUB_MB_PER_SECOND,
            ArchiveUrl::Bucket(_) => 0,
        };
        self.scrub_mb_per_second.as_ref().map_or(usual, |told| told.get()) << 20
    }

    /// The same of an address, as a command line has it.
    pub fn at(address: &str) -> Result<Self, ArchiveError> {
        Ok(Self {
            url: ArchiveUrl::parse(address)?,
            ..Self::in_folder(Path::new(""))
        })
    }

    /// Where it is.
    pub fn place(&self) -> Place {
        match &self.url {
            ArchiveUrl::Folder(folder) => Place::Folder(folder.clone()),
            ArchiveUrl::Bucket(bucket) => {
                let key = self.access_key_id.as_ref().zip(self.secret_access_key.as_ref());
                Place::S3(S3Place {
                    endpoint: self.endpoint.clone(),
                    path_style: self.path_style,
                    region: self.region.clone(),
                    credentials: key.map(|(id, secret)| (id.as_str().to_owned(), secret.reveal().to_owned())),
                    ..bucket.clone()
                })
            }
        }
    }

    /// The folder, if it is in one.
    pub(super) fn folder_mut(&mut self) -> Option<&mut PathBuf> {
        match &mut self.url {
            ArchiveUrl::Folder(folder) => Some(folder),
            ArchiveUrl::Bucket(_) => None,
        }
    }
}

impl ArchiveUrl {
    fn parse(address: &str) -> Result<Self, ArchiveError> {
        match Place::parse(address)? {
            Place::S3(bucket) => Ok(Self::Bucket(bucket)),
            Place::Folder(folder) => Ok(Self::Folder(folder)),
            Place::Memory => Ok(Self::Folder(address.into())),
        }
    }
}

impl<'de> Deserialize<'de> for ArchiveUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

fn yes() -> bool {
    true
}

fn ship_seconds() -> Within<1, 3600> {
    Within::new(5)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places() {
        let read = |text: &str| toml::from_str::<ArchiveEntry>(text).map(|entry| entry.place());
        assert_eq!(
            read("url = \"some/folder\"").ok(),
            Some(Place::Folder("some/folder".into()))
        );
        let bucket = read(
            "url = \"s3://b/p\"\nendpoint = \"http://127.0.0.1:9000\"\naccess_key_id = \"id\"\nsecret_access_key = \"hush\"",
        );
        let expected = S3Place {
            bucket: "b".into(),
            prefix: "p".into(),
            endpoint: Some("http://127.0.0.1:9000".into()),
            path_style: true,
            region: None,
            credentials: Some(("id".into(), "hush".into())),
        };
        assert!(!format!("{expected:?}").contains("hush"));
        assert_eq!(bucket.ok(), Some(Place::S3(expected)));
        assert!(read("url = \"s3://\"").is_err());
        assert!(read("url = \"a\"\nship_seconds = 0").is_err());
        let rate = |text: &str| toml::from_str::<ArchiveEntry>(text).map(|entry| entry.scrub_bytes_per_second());
        assert_eq!(rate("url = \"a\"").ok(), Some(1 << 20));
        assert_eq!(rate("url = \"s3://b\"").ok(), Some(0));
        assert_eq!(rate("url = \"s3://b\"\nscrub_mb_per_second = 3").ok(), Some(3 << 20));
    }
}
