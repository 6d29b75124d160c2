//! Table names and ARNs in requests.

use compact_str::CompactString;

use crate::errors::ApiError;

/// The table that a `TableName` names: a name, or the table's ARN. The model's constraints have been checked.
pub(super) fn table_name(name: &Option<CompactString>) -> Result<&str, ApiError> {
    // Required by the model, so it is there.
    table_of(name.as_deref().unwrap_or_default())
}

/// The table of a name or an ARN.
pub(super) fn table_of(name: &str) -> Result<&str, ApiError> {
    if name.starts_with("arn:") {
        table_of_arn(name)
    } else {
        Ok(name)
    }
}

/// The table of an ARN: `arn:aws:dynamodb:region:account:table/name`. A region's tables are answered for by that region,
/// whatever region and account the ARN names.
pub(super) fn table_of_arn(arn: &str) -> Result<&str, ApiError> {
    let mut parts = arn.splitn(6, ':');
    let service = parts.nth(2);
    let table = parts.nth(2).and_then(|resource| resource.strip_prefix("table/"));
    match table.and_then(|path| path.split('/').next()) {
        Some(name) if service == Some("dynamodb") && !name.is_empty() => Ok(name),
        _ => Err(ApiError::invalid_arn(arn)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_of_names_and_arns() {
        let check = |name: &str, expected: Option<&str>| assert_eq!(table_of(name).ok(), expected, "{name}");
        check("abc", Some("abc"));
        check("arn:aws:dynamodb:us-east-1:000000000000:table/abc", Some("abc"));
        check("arn:aws:dynamodb:us-east-1:000000000000:table/abc/index/i", Some("abc"));
        check("arn:aws:dynamodb:us-east-1:000000000000:table/", None);
        check("arn:aws:dynamodb:us-east-1:000000000000:global-table/abc", None);
        check("arn:aws:sqs:us-east-1:000000000000:table/abc", None);
        check("arn:", None);
    }
}
