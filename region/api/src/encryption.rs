//! `SSESpecification` and `SSEDescription`: tables under a key of their own.

use compact_str::{CompactString, format_compact};
use geodynamo_storage::Engine;
use geodynamo_table::Description;

use crate::{Api, errors::ApiError, generated};

/// The key that is meant where none is named: DynamoDB's own in KMS.
const MANAGED_KEY: &str = "alias/aws/dynamodb";

/// What is asked for of a table's key: `Some(None)` is none of its own, `None` what there is.
pub(crate) type Wanted = Option<Option<String>>;

impl<E: Engine> Api<E> {
    /// What a request asks for. Where there is no key service, a key is refused, or only shown: see [`crate::Habits`].
    pub(crate) fn wanted_key(&self, given: Option<&generated::SSESpecification>) -> Result<Wanted, ApiError> {
        if !self.tables.sealing().has_master_keys() {
            self.check_encryption(given)?;
            return Ok(None);
        }
        let Some(given) = given else { return Ok(None) };
        let key = given.kms_master_key_id.as_deref();
        match (given.enabled, given.sse_type.as_deref(), key) {
            (Some(false), _, Some(_)) => Err(ApiError::invalid(
                "KMSMasterKeyId can not be specified if Enabled is false",
            )),
            (Some(false), Some(_), None) => Err(ApiError::invalid("SSEType can not be specified if Enabled is false")),
            (_, Some(kind), _) if kind != "KMS" => Err(ApiError::invalid(format!(
                "SSEType {kind} is not supported: KMS is the only one that can be specified"
            ))),
            (Some(false), None, None) => Ok(Some(None)),
            (None, None, None) => Ok(None),
            _ => Ok(Some(Some(key.unwrap_or(MANAGED_KEY).to_owned()))),
        }
    }

    /// A table's encryption, if it has a key to show.
    pub(crate) fn shown_key(&self, table: &Description) -> Option<generated::SSEDescription> {
        let Some(encryption) = &table.encryption else {
            return self.shown_encryption(&table.name);
        };
        Some(generated::SSEDescription {
            status: Some(if encryption.updating {
                "UPDATING".into()
            } else {
                "ENABLED".into()
            }),
            sse_type: Some("KMS".into()),
            kms_master_key_arn: Some(self.key_arn(&encryption.master)),
            inaccessible_encryption_date_time: encryption.away_since_ms.map(|since| since as f64 / 1000.0),
        })
    }

    /// The ARN of a key, by whichever name it was asked for.
    pub(crate) fn key_arn(&self, name: &str) -> CompactString {
        if name.starts_with("arn:") {
            return name.into();
        }
        let kind = if name.starts_with("alias/") { "" } else { "key/" };
        let (region, account) = (self.tables.region(), self.tables.account());
        format_compact!("arn:aws:kms:{region}:{account}:{kind}{name}")
    }
}
