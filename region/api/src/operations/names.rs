//! Table names and ARNs in requests.

use compact_str::CompactString;
use geodynamo_storage::Engine;

use crate::{Api, errors::ApiError};

impl<E: Engine> Api<E> {
    /// The table that a `TableName` names: a name, or the table's ARN. The model's constraints have been checked.
    pub(super) fn table_name<'n>(&self, name: &'n Option<CompactString>) -> Result<&'n str, ApiError> {
        // Required by the model, so it is there.
        self.table_of(name.as_deref().unwrap_or_default())
    }

    /// The table of a name or an ARN.
    pub(crate) fn table_of<'n>(&self, name: &'n str) -> Result<&'n str, ApiError> {
        if name.starts_with("arn:") {
            self.table_of_arn(name)
        } else {
            Ok(name)
        }
    }

    /// The table of an ARN.
    pub(super) fn table_of_arn<'n>(&self, arn: &'n str) -> Result<&'n str, ApiError> {
        table_of_arn(self.tables.region(), arn)
    }

    /// The table whose tags a `ResourceArn` means. Indexes and streams have none.
    pub(super) fn tagged_table<'n>(&self, arn: &'n str) -> Result<&'n str, ApiError> {
        if !arn.starts_with("arn:") {
            return Err(ApiError::not_an_arn(arn));
        }
        let found = table_of_arn(self.tables.region(), arn);
        let name = found.map_err(|_| ApiError::invalid_arn(arn))?;
        if arn.ends_with(&format!(":table/{name}")) {
            Ok(name)
        } else {
            Err(ApiError::invalid_arn(arn))
        }
    }
}

/// The table of an ARN: `arn:aws:dynamodb:region:account:table/name`. There is one account, whatever the ARN calls it; a
/// region answers only for itself.
fn table_of_arn<'n>(own: &str, arn: &'n str) -> Result<&'n str, ApiError> {
    let mut parts = arn.splitn(6, ':');
    let service = parts.nth(2);
    let region = parts.next();
    let table = parts.nth(1).and_then(|resource| resource.strip_prefix("table/"));
    match table.and_then(|path| path.split('/').next()) {
        Some(name) if service == Some("dynamodb") && !name.is_empty() => {
            if region == Some(own) {
                Ok(name)
            } else {
                Err(ApiError::foreign_arn(arn))
            }
        }
        _ => Err(ApiError::invalid_arn(arn)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_of_arns() {
        let check = |arn: &str, expected: Option<&str>| {
            assert_eq!(table_of_arn("us-east-1", arn).ok(), expected, "{arn}");
        };
        check("arn:aws:dynamodb:us-east-1:000000000000:table/abc", Some("abc"));
        check("arn:aws:dynamodb:us-east-1:000000000000:table/abc/index/i", Some("abc"));
        check("arn:aws:dynamodb:us-east-1:000000000000:table/", None);
        check("arn:aws:dynamodb:us-east-1:000000000000:global-table/abc", None);
        check("arn:aws:dynamodb:eu-west-1:000000000000:table/abc", None);
        check("arn:aws:sqs:us-east-1:000000000000:table/abc", None);
        check("arn:", None);
    }
}
