use geodynamo_storage::Engine;
use geodynamo_table::TimeToLiveStatus;

use crate::{
    Api,
    errors::ApiError,
    generated::{DescribeTimeToLiveInput, DescribeTimeToLiveOutput, TimeToLiveDescription},
};

/// Shows by which attribute a table's items expire, if they do.
pub(super) fn describe_time_to_live<E: Engine>(
    api: &Api<E>,
    input: &DescribeTimeToLiveInput,
) -> Result<DescribeTimeToLiveOutput, ApiError> {
    let (status, attribute) = api.tables.expiry().time_to_live(&api.table_name(&input.table_name)?)?;
    // DynamoDB is never seen to be enabling it: it is ENABLED at once, whatever goes on within.
    let status = match status {
        TimeToLiveStatus::Enabling => TimeToLiveStatus::Enabled,
        status => status,
    };
    let description = TimeToLiveDescription {
        time_to_live_status: Some(status.code().into()),
        attribute_name: attribute.map(Into::into),
    };
    Ok(DescribeTimeToLiveOutput {
        time_to_live_description: Some(description),
    })
}
