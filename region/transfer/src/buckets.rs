//! The buckets that exports go to and imports come from.

use std::{path::PathBuf, sync::Arc};

use geodynamo_archive::{Place, S3Place};
use object_store::ObjectStore;

use crate::{Error, Result};

/// Where buckets are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BucketPlace {
    /// A bucket is a folder in this one.
    Folder(PathBuf),
    /// An S3 API; the place's own bucket and prefix do not count.
    S3(S3Place),
}

impl BucketPlace {
    /// A bucket to write to. A folder that is not there is made.
    pub(crate) fn to(&self, name: &str) -> Result<Arc<dyn ObjectStore>> {
        if let Self::Folder(folder) = self {
            std::fs::create_dir_all(folder.join(check(name)?))?;
        }
        self.from(name)
    }

    /// A bucket to read from.
    ///
    /// # Errors
    /// [`Error::NoSuchBucket`] if it is a folder that is not there. That a bucket of an S3 API is not there shows when it is
    /// asked for something.
    pub(crate) fn from(&self, name: &str) -> Result<Arc<dyn ObjectStore>> {
        let name = check(name)?;
        let place = match self {
            Self::Folder(folder) => {
                let folder = folder.join(name);
                if !folder.is_dir() {
                    return Err(Error::NoSuchBucket(name.to_owned()));
                }
                Place::Folder(folder)
            }
            Self::S3(place) => Place::S3(S3Place {
                bucket: name.to_owned(),
                prefix: String::new(),
                ..place.clone()
            }),
        };
        Ok(place.open()?.0)
    }
}

/// A bucket's name is one part of a path.
fn check(name: &str) -> Result<&str> {
    let plain = name
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
    if plain && !name.is_empty() && !name.starts_with('.') {
        Ok(name)
    } else {
        Err(Error::NoSuchBucket(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_folders_of_one_folder() {
        let folder = tempfile::tempdir().unwrap();
        let place = BucketPlace::Folder(folder.path().join("s3"));
        assert!(matches!(place.from("b"), Err(Error::NoSuchBucket(_))));
        place.to("b").unwrap();
        place.from("b").unwrap();
        for outside in ["", ".", "..", "../b", "b/c", "/etc"] {
            assert!(
                matches!(place.to(outside), Err(Error::NoSuchBucket(_))),
                "{outside:?} is taken"
            );
        }
    }
}
