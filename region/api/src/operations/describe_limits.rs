use crate::generated::{DescribeLimitsInput, DescribeLimitsOutput};

/// AWS's default quota of read or write capacity units of an account in a region.
const ACCOUNT_UNITS_MAX: i64 = 80_000;
/// AWS's default quota of read or write capacity units of a table.
const TABLE_UNITS_MAX: i64 = 40_000;

/// Gives the quotas of provisioned capacity: AWS's default ones. They are not enforced, as provisioned capacity is not.
pub(super) fn describe_limits(_: &DescribeLimitsInput) -> DescribeLimitsOutput {
    DescribeLimitsOutput {
        account_max_read_capacity_units: Some(ACCOUNT_UNITS_MAX),
        account_max_write_capacity_units: Some(ACCOUNT_UNITS_MAX),
        table_max_read_capacity_units: Some(TABLE_UNITS_MAX),
        table_max_write_capacity_units: Some(TABLE_UNITS_MAX),
    }
}
