//! `[access]` and `[audit]`: who may do what, and who did.

use std::path::{Path, PathBuf};

use http::Uri;
use serde::Deserialize;

use super::field::{Address, ProviderUrl, Within};

/// Who may do what.
#[derive(Clone, PartialEq, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Access {
    /// The file of the cluster's key, which secret access keys and session tokens are sealed under: the same in all regions.
    /// `geodynamo certs` makes one. Without it the data directory has one of its own.
    pub cluster_key_file: Option<PathBuf>,
    /// A file (TOML) with the root user's `access_key_id` and `secret_access_key`.
    pub root_credentials_file: Option<PathBuf>,
    /// Where the keys of web identity providers are.
    pub identity_providers: Vec<IdentityProvider>,
}

/// Where the keys of one web identity provider are: in a file, or at an address.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IdentityProvider {
    /// Its URL, as its tokens name it (`iss`).
    pub url: ProviderUrl,
    /// A file with its JSON Web Key Set.
    pub jwks_file: Option<PathBuf>,
    /// Where its JSON Web Key Set is to be had.
    pub jwks_url: Option<Address>,
    /// For `https://` addresses: a file with the authorities that are trusted, in PEM. The system's, if there is none.
    pub ca_file: Option<PathBuf>,
}

/// Where a JSON Web Key Set is.
#[derive(Clone, PartialEq, Debug)]
pub enum JwksSource {
    /// In a file.
    File(PathBuf),
    /// At an address.
    Address(Uri),
}

impl IdentityProvider {
    /// As ARNs and condition keys have it.
    pub fn url_without_scheme(&self) -> &str {
        let url = self.url.as_str();
        url.strip_prefix("https://").unwrap_or(url).trim_end_matches('/')
    }

    /// Where its keys are; none if both or neither are told.
    pub fn source(&self) -> Option<JwksSource> {
        match (&self.jwks_file, &self.jwks_url) {
            (Some(path), None) => Some(JwksSource::File(path.clone())),
            (None, Some(address)) => address.as_str().parse().ok().map(JwksSource::Address),
            _ => None,
        }
    }
}

impl Access {
    /// Every path in it.
    pub(super) fn paths(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        let providers = self.identity_providers.iter_mut();
        let of_providers = providers.flat_map(|provider| provider.jwks_file.iter_mut().chain(&mut provider.ca_file));
        self.cluster_key_file
            .iter_mut()
            .chain(&mut self.root_credentials_file)
            .chain(of_providers)
    }

    /// What does not go together.
    pub(super) fn contradiction(&self) -> Option<String> {
        let without = self
            .identity_providers
            .iter()
            .find(|provider| provider.source().is_none());
        without.map(|provider| {
            format!(
                "the identity provider {} must have one of jwks_file and jwks_url",
                provider.url.as_str()
            )
        })
    }
}

/// The audit trail: who did what, one JSON record a line.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Audit {
    /// The file that records are written to; there is none without it. Older ones have `.1`, `.2` and so on behind it.
    pub path: Option<PathBuf>,
    /// How long a file becomes, in MiB.
    pub max_mb: Within<1, 65_536>,
    /// How many files are kept, the one that is written to among them.
    pub files: Within<1, 10_000>,
    /// Whether reads and writes of items are recorded too: of all tables, or of those that a list names.
    pub data_events: DataEvents,
    /// Whether those records have the items, keys and expressions that requests bring.
    pub item_data: bool,
}

/// Of which tables reads and writes of items are recorded.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(untagged)]
pub enum DataEvents {
    /// Of all, or of none.
    All(bool),
    /// Of tables with these names; `*` at the end of one stands for anything.
    Tables(Vec<String>),
}

impl DataEvents {
    /// Whether any are recorded.
    pub fn are_some(&self) -> bool {
        match self {
            Self::All(all) => *all,
            Self::Tables(names) => !names.is_empty(),
        }
    }

    /// Whether those of a table are recorded.
    pub fn are_of(&self, table: &str) -> bool {
        match self {
            Self::All(all) => *all,
            Self::Tables(names) => names.iter().any(|name| match name.strip_suffix('*') {
                Some(begin) => table.starts_with(begin),
                None => name == table,
            }),
        }
    }
}

impl Default for Audit {
    fn default() -> Self {
        Self {
            path: None,
            max_mb: Within::new(64),
            files: Within::new(10),
            data_events: DataEvents::All(false),
            item_data: false,
        }
    }
}

impl Audit {
    /// Its file.
    pub fn file(&self) -> Option<&Path> {
        self.path.as_deref()
    }
}
