//! `[encryption]`: what the data directory and the archive are encrypted under.

use std::{path::PathBuf, sync::Arc};

use geodynamo_keyservice::{Kms, Service, ServiceKey, Token, Transit};
use geodynamo_outgoing::{Endpoint, EndpointError};
use geodynamo_seal::RegionKey;
use serde::Deserialize;

use super::{AccessKeyId, Address, Secret, Within, triggers::Key};

/// How often the key's service is asked whether it still has the key.
const CHECK_SECONDS: u64 = 60;
/// How long a region serves while it has not: a week.
const AWAY_SECONDS: u64 = 604_800;
/// What files are written anew at under the newest data key, in MiB a second.
const REWRITE_MB_PER_SECOND: u64 = 8;

/// Whether what is written is encrypted, and where the region's key is. At most one of the places is told; without any it
/// is a file beside the data directory, of its name and `.key`, which is made at the first start.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Encryption {
    /// Whether a new data directory is encrypted. True unless told. A directory that is there stays as it is.
    pub enabled: Option<bool>,
    /// A file that its owner alone may read: a key on each line, 32 bytes in base64 or in hexadecimal digits. The first one is
    /// in use; the others still open what was sealed under them.
    pub key_file: Option<PathBuf>,
    /// An environment variable with the same text.
    pub key_variable: Option<String>,
    /// A command, and its arguments, that writes the same text to its standard output.
    pub key_command: Option<Vec<String>>,
    /// A key of AWS KMS, or of what speaks its API. Beside it one of the above may be told: what was sealed under that is still
    /// opened, until `geodynamo keys rotate` has run.
    pub kms: Option<KmsEntry>,
    /// A key of the transit engine of Vault or OpenBao; likewise.
    pub vault: Option<VaultEntry>,
    /// How often `kms` or `vault` is asked whether it still has the key, in seconds.
    pub check_seconds: Within<1, 86_400>,
    /// How long the region goes on serving while it is away, or refuses, in seconds; 0 for however long that is.
    pub away_seconds: Within<0, 315_360_000>,
    /// What files under older data keys are written anew at, in MiB a second; 0: by the compactions that come anyway.
    pub rewrite_mb_per_second: Within<0, 4096>,
}

/// A key of AWS KMS.
#[derive(Clone, PartialEq, Debug, Deserialize)]
pub struct KmsEntry {
    /// The service's address.
    pub endpoint: Address,
    /// The key's id, its ARN, or an alias.
    pub key_id: String,
    /// What calls are signed with; unless told, what `AWS_ACCESS_KEY_ID` and the variables that go with it say.
    #[serde(flatten)]
    pub key: Key,
}

/// A key of a transit engine.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VaultEntry {
    /// The server's address.
    pub address: Address,
    /// The key's name.
    pub key: String,
    /// Where the engine is mounted; `transit` unless told.
    pub mount: Option<String>,
    /// The namespace, if there is one.
    pub namespace: Option<String>,
    /// A file with the token. Unless told it is in the variable `VAULT_TOKEN`.
    pub token_file: Option<PathBuf>,
}

impl Default for Encryption {
    fn default() -> Self {
        Self {
            enabled: None,
            key_file: None,
            key_variable: None,
            key_command: None,
            kms: None,
            vault: None,
            check_seconds: Within::new(CHECK_SECONDS),
            away_seconds: Within::new(AWAY_SECONDS),
            rewrite_mb_per_second: Within::new(REWRITE_MB_PER_SECOND),
        }
    }
}

impl Encryption {
    /// As `geodynamo dev` has it: only if that is wanted.
    pub fn wanted(enabled: bool) -> Self {
        Self {
            enabled: Some(enabled),
            ..Self::default()
        }
    }

    /// Whether a service has the key.
    pub fn has_service(&self) -> bool {
        self.kms.is_some() || self.vault.is_some()
    }

    /// Whether a place is told where this process finds the key's bytes.
    pub fn names_local_key(&self) -> bool {
        self.key_file.is_some() || self.key_variable.is_some() || self.key_command.is_some()
    }

    /// Whether the key is in a file, the one beside the data directory or another one.
    pub fn is_in_file(&self) -> bool {
        self.key_variable.is_none() && self.key_command.is_none() && !self.has_service()
    }

    /// The service's key, if a service has it. `earlier`: what data keys may have been wrapped under before.
    pub fn service(
        &self,
        region: &str,
        earlier: Option<Arc<dyn RegionKey>>,
    ) -> Result<Option<ServiceKey>, EndpointError> {
        let service = if let Some(kms) = &self.kms {
            Service::Kms(Kms {
                endpoint: kms.key.or_variables().endpoint(&kms.endpoint, "kms", region)?,
                key_id: kms.key_id.clone(),
            })
        } else if let Some(vault) = &self.vault {
            Service::Transit(Transit {
                endpoint: Endpoint::new(vault.address.as_str(), "vault", region, None)?,
                mount: vault.mount.clone().unwrap_or_else(|| "transit".into()),
                key: vault.key.clone(),
                token: match &vault.token_file {
                    Some(path) => Token::File(path.clone()),
                    None => Token::Variable("VAULT_TOKEN".into()),
                },
                namespace: vault.namespace.clone(),
            })
        } else {
            return Ok(None);
        };
        Ok(Some(ServiceKey::new(service, earlier)))
    }

    /// What of it is a path.
    pub(super) fn paths(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        let token = self.vault.as_mut().and_then(|vault| vault.token_file.as_mut());
        self.key_file.iter_mut().chain(token)
    }

    /// What does not go together.
    pub(super) fn contradiction(&self) -> Option<String> {
        let places = [
            self.key_file.is_some(),
            self.key_variable.is_some(),
            self.key_command.is_some(),
        ];
        let told = places.into_iter().filter(|told| *told).count();
        if told > 1 {
            return Some("[encryption] has one of key_file, key_variable and key_command".into());
        }
        (self.kms.is_some() && self.vault.is_some()).then(|| "[encryption] has one of kms and vault".into())
    }
}

impl Key {
    /// The same, or what the AWS SDKs' variables say where no key is told.
    pub(super) fn or_variables(&self) -> Self {
        let of = |name: &str| std::env::var(name).ok();
        match (
            &self.access_key_id,
            of("AWS_ACCESS_KEY_ID").as_deref().map(AccessKeyId::new),
        ) {
            (None, Some(Ok(id))) => Self {
                region: self.region.clone().or_else(|| of("AWS_REGION")),
                access_key_id: Some(id),
                secret_access_key: of("AWS_SECRET_ACCESS_KEY").and_then(|text| Secret::new(&text).ok()),
                session_token: of("AWS_SESSION_TOKEN").and_then(|text| Secret::new(&text).ok()),
            },
            _ => self.clone(),
        }
    }
}
