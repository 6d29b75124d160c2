//! `[s3]`: where the buckets are that exports go to and imports come from.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use geodynamo_archive::S3Place;
use geodynamo_table::is_account;
use geodynamo_transfer::{BucketPlace, Buckets};
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
    /// Of other accounts than the cluster's own: the key with which each reaches its buckets on the server. One without a key has
    /// none there.
    pub accounts: BTreeMap<String, BucketsKey>,
}

/// The key of an account's buckets.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BucketsKey {
    /// The buckets' region, if it is another one.
    pub region: Option<String>,
    /// The access key.
    pub access_key_id: AccessKeyId,
    /// Its secret.
    pub secret_access_key: Secret,
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
            accounts: BTreeMap::new(),
        }
    }
}

impl BucketsEntry {
    /// Where those of the cluster's own account are, of a region with this data directory.
    fn place(&self, data_dir: &Path) -> BucketPlace {
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

    /// Where those of all accounts are.
    pub fn places(&self, data_dir: &Path) -> Buckets {
        let own = self.place(data_dir);
        let of_accounts = match &own {
            BucketPlace::Folder(_) => BTreeMap::new(),
            BucketPlace::S3(place) => {
                let of = |(account, key): (&String, &BucketsKey)| {
                    let place = S3Place {
                        region: key.region.clone().or_else(|| place.region.clone()),
                        credentials: Some((
                            key.access_key_id.as_str().to_owned(),
                            key.secret_access_key.reveal().to_owned(),
                        )),
                        ..place.clone()
                    };
                    (account.clone(), BucketPlace::S3(place))
                };
                self.accounts.iter().map(of).collect()
            }
        };
        Buckets { own, of_accounts }
    }

    /// What contradicts itself, if something does.
    pub(super) fn contradiction(&self) -> Option<String> {
        let both = self.dir.is_some() && self.endpoint.is_some();
        if both {
            return Some("[s3] has a dir and an endpoint: buckets are either folders or on a server".into());
        }
        if self.endpoint.is_none() && !self.accounts.is_empty() {
            return Some("[s3.accounts] has keys, but [s3] has no endpoint that they are for".into());
        }
        let stranger = self.accounts.keys().find(|account| !is_account(account));
        stranger.map(|account| format!("[s3.accounts.{account}]: an account has 12 digits"))
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
        assert_eq!(place(server), BucketPlace::S3(expected.clone()));
        let key = "access_key_id = \"theirs\"\nsecret_access_key = \"hush\"";
        let with_accounts = format!("{server}\n[accounts.111122223333]\n{key}");
        let of_other = S3Place {
            credentials: Some(("theirs".into(), "hush".into())),
            ..expected.clone()
        };
        let places = read(&with_accounts).places(Path::new("data"));
        assert_eq!(places.own, BucketPlace::S3(expected));
        assert_eq!(places.of_accounts["111122223333"], BucketPlace::S3(of_other));
        for (text, reason) in [
            (format!("[accounts.111122223333]\n{key}"), "no endpoint"),
            (format!("{server}\n[accounts.1]\n{key}"), "12 digits"),
        ] {
            assert!(read(&text).contradiction().unwrap().contains(reason), "{text}");
        }
        assert_eq!(read("dir = \"other\"").contradiction(), None);
        assert!(read(&format!("dir = \"other\"\n{server}")).contradiction().is_some());
    }
}
