//! Where an archive is.

use std::{fmt, path::PathBuf, sync::Arc};

use object_store::{ObjectStore, local::LocalFileSystem, memory::InMemory, path::Path};

use crate::{ArchiveError, Result};

/// What an S3 address begins with.
const S3: &str = "s3://";

/// Where an archive is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A folder. It is made if it is not there.
    Folder(PathBuf),
    /// A bucket of an S3 API.
    S3(S3Place),
    /// The memory of this process, for tests.
    Memory,
}

/// A bucket of an S3 API, and how to get there. What is `None` comes from AWS's environment variables, or from the machine,
/// as AWS's SDKs have it.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct S3Place {
    /// The bucket.
    pub bucket: String,
    /// What all names begin with; may be empty.
    pub prefix: String,
    /// The server, such as `http://127.0.0.1:9000`; AWS's own if none.
    pub endpoint: Option<String>,
    /// Whether the bucket stands in the path of a request's address, not in its host.
    pub path_style: bool,
    /// The bucket's region.
    pub region: Option<String>,
    /// The access key's id and secret.
    pub credentials: Option<(String, String)>,
}

impl Place {
    /// The place of an address: `s3://BUCKET/PREFIX`, or a folder's path. More of a bucket is told afterwards.
    ///
    /// # Errors
    /// [`ArchiveError::Place`] for an address without a bucket.
    pub fn parse(address: &str) -> Result<Self> {
        let Some(rest) = address.strip_prefix(S3) else {
            let path = address.strip_prefix("file://").unwrap_or(address);
            return Ok(Self::Folder(path.into()));
        };
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if bucket.is_empty() {
            return Err(ArchiveError::Place {
                place: address.into(),
                reason: "there is no bucket in it".into(),
            });
        }
        Ok(Self::S3(S3Place {
            bucket: bucket.into(),
            prefix: prefix.trim_matches('/').into(),
            path_style: true,
            ..S3Place::default()
        }))
    }

    /// The store, and what all names in it begin with: for whoever wants its objects as they are. An archive's own have headers
    /// and checksums, see [`crate::Archive`].
    pub fn open(&self) -> Result<(Arc<dyn ObjectStore>, Path)> {
        match self {
            Self::Folder(folder) => {
                std::fs::create_dir_all(folder)?;
                let store = LocalFileSystem::new_with_prefix(folder)?.with_fsync(true);
                Ok((Arc::new(store), Path::default()))
            }
            Self::S3(place) => place.open(),
            Self::Memory => Ok((Arc::new(InMemory::new()), Path::default())),
        }
    }
}

#[cfg(not(feature = "s3"))]
impl S3Place {
    fn open(&self) -> Result<(Arc<dyn ObjectStore>, Path)> {
        Err(ArchiveError::Place {
            place: self.to_string(),
            reason: "S3 is not built in".into(),
        })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(folder) => write!(f, "{}", folder.display()),
            Self::S3(place) => place.fmt(f),
            Self::Memory => f.write_str("in memory"),
        }
    }
}

impl fmt::Display for S3Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{S3}{}/{}", self.bucket, self.prefix)
    }
}

impl fmt::Debug for S3Place {
    /// Without the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            endpoint, path_style, ..
        } = self;
        write!(f, "{self} at {endpoint:?}, path style {path_style}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let bucket = |bucket: &str, prefix: &str| {
            Place::S3(S3Place {
                bucket: bucket.into(),
                prefix: prefix.into(),
                path_style: true,
                ..S3Place::default()
            })
        };
        let check = |address: &str, expected: Option<Place>| {
            assert_eq!(Place::parse(address).ok(), expected, "{address}");
        };
        check("s3://b", Some(bucket("b", "")));
        check("s3://b/", Some(bucket("b", "")));
        check("s3://b/x/y/", Some(bucket("b", "x/y")));
        check("s3://", None);
        check("s3:///x", None);
        check("some/folder", Some(Place::Folder("some/folder".into())));
        check("file:///some/folder", Some(Place::Folder("/some/folder".into())));
    }
}
