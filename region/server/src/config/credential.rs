//! An access key in the configuration.

use serde::Deserialize;

use super::{AccessKeyId, Account, FieldError, Secret};

/// One access key.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CredentialEntry {
    /// Its public name.
    pub access_key_id: AccessKeyId,
    /// Its secret.
    pub secret_access_key: Secret,
    /// For temporary keys: the token that must come along.
    pub session_token: Option<Secret>,
    /// The account it acts for, 12 digits.
    #[serde(default)]
    pub account: Account,
}

impl CredentialEntry {
    /// A key of the default account, from texts that did not come from a file.
    pub fn new(access_key_id: &str, secret: &str, session_token: Option<&str>) -> Result<Self, FieldError> {
        Ok(Self {
            access_key_id: AccessKeyId::new(access_key_id)?,
            secret_access_key: Secret::new(secret)?,
            session_token: session_token.map(Secret::new).transpose()?,
            account: Account::default(),
        })
    }
}
