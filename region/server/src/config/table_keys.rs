//! `[table_keys]`: the key service that has the keys of tables with one of their own.

use std::{path::PathBuf, sync::Arc, time::Duration};

use geodynamo_keyservice::{Kms, Service, ServiceKeys, Token, Transit};
use geodynamo_outgoing::{Endpoint, EndpointError};
use geodynamo_table::TableKeyOptions;
use serde::Deserialize;

use super::{
    field::{Address, Within},
    triggers::Key,
};

const CHECK_SECONDS: u64 = 60;
const UNREACHABLE_SECONDS: u64 = 3600;

/// The key service of tables. Without one, a key of its own is refused.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TableKeysEntry {
    /// AWS KMS, or what speaks its API.
    pub kms: Option<TableKmsEntry>,
    /// The transit engine of Vault or OpenBao.
    pub vault: Option<TableVaultEntry>,
    /// How often it is asked whether each table's key can still be had, in seconds.
    pub check_seconds: Within<1, 86_400>,
    /// How long a table goes on while it cannot be reached, in seconds. A key that it refuses is away at once.
    pub unreachable_seconds: Within<1, 31_536_000>,
}

/// AWS KMS.
#[derive(Clone, PartialEq, Debug, Deserialize)]
pub struct TableKmsEntry {
    /// The service's address.
    pub endpoint: Address,
    /// What calls are signed with; unless told, what `AWS_ACCESS_KEY_ID` and the variables that go with it say.
    #[serde(flatten)]
    pub key: Key,
}

/// A transit engine.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TableVaultEntry {
    /// The server's address.
    pub address: Address,
    /// Where the engine is mounted; `transit` unless told.
    pub mount: Option<String>,
    /// The namespace, if there is one.
    pub namespace: Option<String>,
    /// A file with the token. Unless told it is in the variable `VAULT_TOKEN`.
    pub token_file: Option<PathBuf>,
}

impl Default for TableKeysEntry {
    fn default() -> Self {
        Self {
            kms: None,
            vault: None,
            check_seconds: Within::new(CHECK_SECONDS),
            unreachable_seconds: Within::new(UNREACHABLE_SECONDS),
        }
    }
}

impl TableKeysEntry {
    /// The service's keys, if there is one.
    pub fn keys(&self, region: &str) -> Result<Option<Arc<ServiceKeys>>, EndpointError> {
        // Tables name the keys.
        let key = String::new();
        let service = if let Some(kms) = &self.kms {
            Service::Kms(Kms {
                endpoint: kms.key.or_variables().endpoint(&kms.endpoint, "kms", region)?,
                key_id: key,
            })
        } else if let Some(vault) = &self.vault {
            Service::Transit(Transit {
                endpoint: Endpoint::new(vault.address.as_str(), "vault", region, None)?,
                mount: vault.mount.clone().unwrap_or_else(|| "transit".into()),
                key,
                token: match &vault.token_file {
                    Some(path) => Token::File(path.clone()),
                    None => Token::Variable("VAULT_TOKEN".into()),
                },
                namespace: vault.namespace.clone(),
            })
        } else {
            return Ok(None);
        };
        Ok(Some(Arc::new(ServiceKeys::new(service))))
    }

    /// Which kind of service it is, as the file names it; nothing where there is none.
    pub fn service(&self) -> Option<&'static str> {
        let kms = self.kms.as_ref().map(|_| "kms");
        kms.or(self.vault.as_ref().map(|_| "vault"))
    }

    /// How keys are looked after.
    pub fn options(&self) -> TableKeyOptions {
        TableKeyOptions {
            check_every: Duration::from_secs(self.check_seconds.get()),
            unreachable_max: Duration::from_secs(self.unreachable_seconds.get()),
        }
    }

    /// What of it is a path.
    pub(super) fn paths(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        self.vault.iter_mut().filter_map(|vault| vault.token_file.as_mut())
    }

    /// What does not go together.
    pub(super) fn contradiction(&self) -> Option<String> {
        (self.kms.is_some() && self.vault.is_some()).then(|| "[table_keys] has one of kms and vault".into())
    }
}
