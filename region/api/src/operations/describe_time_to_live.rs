use geodynamo_storage::Engine;

use super::names::table_name;
use crate::{
    Api,
    errors::ApiError,
    generated::{DescribeTimeToLiveInput, DescribeTimeToLiveOutput, TimeToLiveDescription},
};

/// Shows a table's expiry. It cannot be switched on yet, so it is off.
pub(super) fn describe_time_to_live<E: Engine>(
    api: &Api<E>,
    input: &DescribeTimeToLiveInput,
) -> Result<DescribeTimeToLiveOutput, ApiError> {
    api.tables.table_named(table_name(&input.table_name)?)?;
    let description = TimeToLiveDescription {
        time_to_live_status: Some("DISABLED".into()),
        ..TimeToLiveDescription::default()
    };
    Ok(DescribeTimeToLiveOutput {
        time_to_live_description: Some(description),
    })
}
