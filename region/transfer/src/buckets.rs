//! The buckets that exports go to and imports come from.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use geodynamo_archive::{Place, S3Place};
use object_store::ObjectStore;

use crate::{Error, Result};

/// The buckets of all accounts. What one account calls so is no other one's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Buckets {
    /// Those of the cluster's own account.
    pub own: BucketPlace,
    /// Those of other accounts, each with credentials of its own. If they are folders, an account that is not here has a folder of
    /// its own for them, `@ACCOUNT`; otherwise it has none.
    pub of_accounts: BTreeMap<String, BucketPlace>,
}

impl From<BucketPlace> for Buckets {
    fn from(own: BucketPlace) -> Self {
        Self {
            own,
            of_accounts: BTreeMap::new(),
        }
    }
}

impl Buckets {
    /// Where the buckets of an account are, where `own` is the cluster's own one.
    fn of(&self, own: &str, account: &str) -> Option<BucketPlace> {
        if account == own {
            return Some(self.own.clone());
        }
        let told = self.of_accounts.get(account).cloned();
        told.or_else(|| match &self.own {
            // No bucket is called so.
            BucketPlace::Folder(folder) => Some(BucketPlace::Folder(folder.join(format!("@{account}")))),
            BucketPlace::S3(_) => None,
        })
    }

    /// A bucket of an account to write to. A folder that is not there is made.
    ///
    /// # Errors
    /// [`Error::NoSuchBucket`] if the account can have none, or if nothing can be called so.
    pub(crate) fn writable(&self, own: &str, account: &str, name: &str) -> Result<Arc<dyn ObjectStore>> {
        let place = self.of(own, account);
        place.ok_or_else(|| Error::NoSuchBucket(name.to_owned()))?.to(name)
    }

    /// A bucket of an account to read from.
    ///
    /// # Errors
    /// As [`BucketPlace::from`]; [`Error::NoSuchBucket`], too, if the account can have none.
    pub(crate) fn readable(&self, own: &str, account: &str, name: &str) -> Result<Arc<dyn ObjectStore>> {
        let place = self.of(own, account);
        place.ok_or_else(|| Error::NoSuchBucket(name.to_owned()))?.from(name)
    }
}

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
    fn no_account_has_the_buckets_of_another() {
        const OWN: &str = "000000000000";
        const OTHER: &str = "111122223333";
        const THIRD: &str = "444455556666";
        let folder = tempfile::tempdir().unwrap();
        let place = |name: &str| BucketPlace::Folder(folder.path().join(name));
        let mut buckets = Buckets::from(place("s3"));
        buckets.of_accounts.insert(THIRD.to_owned(), place("third"));
        for account in [OWN, OTHER, THIRD] {
            buckets.writable(OWN, account, account).unwrap();
            for other in [OWN, OTHER, THIRD].into_iter().filter(|other| *other != account) {
                let found = buckets.readable(OWN, other, account);
                assert!(matches!(found, Err(Error::NoSuchBucket(_))), "{other} has {account}'s");
            }
        }
        for guess in ["@111122223333", "@111122223333/111122223333", "../third/444455556666"] {
            assert!(matches!(buckets.readable(OWN, OWN, guess), Err(Error::NoSuchBucket(_))));
        }
        // On a server whoever has no key has no buckets.
        let server = Buckets::from(BucketPlace::S3(S3Place::default()));
        assert!(matches!(
            server.writable(OWN, OTHER, "bucket"),
            Err(Error::NoSuchBucket(_))
        ));
    }

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
