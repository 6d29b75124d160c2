//! Table names and ARNs in requests.

use std::borrow::Cow;

use compact_str::CompactString;
use geodynamo_storage::Engine;
use geodynamo_table::{is_account, stored_name};

use crate::{Api, Others, errors::ApiError};

impl<E: Engine> Api<E> {
    /// The table that a `TableName` names, as the catalog calls it: by a name, or by the table's ARN. The model's constraints
    /// have been checked.
    pub(super) fn table_name<'n>(&self, name: &'n Option<CompactString>) -> Result<Cow<'n, str>, ApiError> {
        // Required by the model, so it is there.
        self.table_of(name.as_deref().unwrap_or_default())
    }

    /// The table of a name or an ARN, as the catalog calls it. A name is of the caller's own account.
    pub(crate) fn table_of<'n>(&self, name: &'n str) -> Result<Cow<'n, str>, ApiError> {
        if name.starts_with("arn:") {
            self.table_of_arn(name)
        } else {
            self.stored(&self.account, name).ok_or_else(not_there)
        }
    }

    /// The table of an ARN, as the catalog calls it.
    pub(super) fn table_of_arn<'n>(&self, arn: &'n str) -> Result<Cow<'n, str>, ApiError> {
        let (account, name) = table_of_arn(self.tables.region(), arn)?;
        self.stored_in(account, name)
    }

    /// The table whose tags a `ResourceArn` means. Indexes and streams have none.
    pub(super) fn tagged_table<'n>(&self, arn: &'n str) -> Result<Cow<'n, str>, ApiError> {
        if !arn.starts_with("arn:") {
            return Err(ApiError::not_an_arn(arn));
        }
        let found = table_of_arn(self.tables.region(), arn);
        let (account, name) = found.map_err(|_| ApiError::invalid_arn(arn))?;
        if arn.ends_with(&format!(":table/{name}")) {
            self.stored_in(account, name)
        } else {
            Err(ApiError::invalid_arn(arn))
        }
    }

    /// What the catalog calls the table that an ARN of an account names.
    pub(super) fn stored_in<'n>(&self, account: &str, name: &'n str) -> Result<Cow<'n, str>, ApiError> {
        let account = match self.others {
            Others::Ignored => &self.account,
            Others::Absent if *account != *self.account => return Err(not_there()),
            Others::Absent | Others::Asked => account,
        };
        self.stored(account, name).ok_or_else(not_there)
    }

    /// A client token of the caller's account: no two accounts have the same. What clients give has 36 characters at most, so
    /// no token of the cluster's own account is another's.
    pub(super) fn token<'t>(&self, given: &'t str) -> Cow<'t, str> {
        if *self.account == *self.tables.account() {
            return Cow::Borrowed(given);
        }
        Cow::Owned(format!("{:-<40}{given}", self.account))
    }

    fn stored<'n>(&self, account: &str, name: &'n str) -> Option<Cow<'n, str>> {
        stored_name(self.tables.account(), account, name)
    }
}

fn not_there() -> ApiError {
    ApiError::resource_not_found("Requested resource not found")
}

/// The account and the table of an ARN: `arn:aws:dynamodb:region:account:table/name`. A region answers only for itself.
fn table_of_arn<'n>(own: &str, arn: &'n str) -> Result<(&'n str, &'n str), ApiError> {
    let mut parts = arn.splitn(6, ':');
    let service = parts.nth(2);
    let region = parts.next();
    let account = parts.next().filter(|account| is_account(account));
    let table = parts.next().and_then(|resource| resource.strip_prefix("table/"));
    match (account, table.and_then(|path| path.split('/').next())) {
        (Some(account), Some(name)) if service == Some("dynamodb") && !name.is_empty() => {
            if region == Some(own) {
                Ok((account, name))
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
            assert_eq!(
                table_of_arn("us-east-1", arn).ok().map(|(_, name)| name),
                expected,
                "{arn}"
            );
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
