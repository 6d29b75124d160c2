//! What the regions of a cluster sign with when one asks another's admin port: a secret that each derives from the cluster's key.

use geodynamo_access::{ADMIN, Credential, RequestSigner, Unsigned, derive_secret};
use geodynamo_console::Signs;

use super::{AccessStartError, cluster_key, now_unix_s};
use crate::{config::Config, sealing::Sealing};

/// The name of the key. No access key of IAM's is called so: those begin with AKIA or ASIA.
const ACCESS_KEY_ID: &str = "GEODYNAMOREGION";
/// Sets the secret apart from all else that the cluster's key is for.
const PURPOSE: &str = "geodynamo admin ports";

/// The key of a configuration's cluster. It acts as the root user, and on admin ports only.
///
/// # Errors
/// If the cluster's key cannot be read.
pub(crate) fn credential(config: &Config, sealing: Option<&Sealing>) -> Result<Credential, AccessStartError> {
    Ok(Credential {
        access_key_id: ACCESS_KEY_ID.to_owned(),
        secret_access_key: derive_secret(&cluster_key::of(config, sealing)?, PURPOSE),
        session_token: None,
        account: config.account().to_owned(),
    })
}

/// Signs requests to other regions' admin ports.
pub(crate) struct HouseSigner(RequestSigner);

impl HouseSigner {
    pub(crate) fn new(credential: &Credential, region: &str) -> Self {
        let Credential {
            access_key_id,
            secret_access_key,
            ..
        } = credential;
        Self(RequestSigner::new(
            access_key_id,
            secret_access_key,
            None,
            region,
            ADMIN,
        ))
    }
}

impl Signs for HouseSigner {
    fn sign(&self, method: &str, host: &str, path: &str, query: Option<&str>) -> Vec<(&'static str, String)> {
        let request = Unsigned {
            method,
            host,
            path,
            query,
            headers: &[],
            body: b"",
        };
        self.0.sign(&request, now_unix_s())
    }
}
