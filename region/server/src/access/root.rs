//! Credentials of the account's root user: given, or made at the first start.

use std::{
    fs,
    io::{self, Write},
    path::Path,
};

use geodynamo_iam::RootKey;

use super::AccessStartError;
use crate::config::{CredentialEntry, FieldError};

/// Where the environment has them.
const VARIABLES: (&str, &str) = ("GEODYNAMO_ROOT_ACCESS_KEY_ID", "GEODYNAMO_ROOT_SECRET_ACCESS_KEY");

/// What the environment gives or, where it gives nothing, a file: TOML with `access_key_id` and `secret_access_key`.
pub(super) fn given(file: Option<&Path>) -> Result<Option<CredentialEntry>, AccessStartError> {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let invalid = |path: &Path, reason: String| AccessStartError::File {
        path: path.to_owned(),
        reason,
    };
    if let (Some(id), Some(secret)) = (variable(VARIABLES.0), variable(VARIABLES.1)) {
        let entry = CredentialEntry::new(&id, &secret, None);
        let named = Path::new(VARIABLES.0);
        return entry
            .map(Some)
            .map_err(|error: FieldError| invalid(named, error.to_string()));
    }
    let Some(path) = file else { return Ok(None) };
    let text = fs::read_to_string(path).map_err(|error| invalid(path, error.to_string()))?;
    let entry = toml::from_str(&text).map_err(|error| invalid(path, error.to_string()))?;
    Ok(Some(entry))
}

/// Shows a key that was made, once.
pub(super) fn show(account: &str, key: &RootKey) {
    // Without a standard error there is nobody to show it to; a further region, or `[[credentials]]`, helps then.
    let _ = io::stderr().write_all(shown(account, key).as_bytes());
}

/// What a person is told of a key that was made, in lines.
pub(crate) fn shown(account: &str, key: &RootKey) -> String {
    format!(
        "geodynamo: the root user of account {account} has a new access key, which is shown only now:\n\
         AWS_ACCESS_KEY_ID={}\nAWS_SECRET_ACCESS_KEY={}\n",
        key.access_key_id, key.secret_access_key
    )
}
