use geodynamo_storage::Engine;

use crate::{
    Api,
    errors::ApiError,
    generated::{UpdateTimeToLiveInput, UpdateTimeToLiveOutput},
};

/// Switches the expiry of a table's items on or off.
pub(super) async fn update_time_to_live<E: Engine>(
    api: &Api<E>,
    input: UpdateTimeToLiveInput,
) -> Result<UpdateTimeToLiveOutput, ApiError> {
    let name = &*api.table_name(&input.table_name)?;
    // Required by the model, like both its members, so it is there.
    let specification = input.time_to_live_specification.unwrap_or_default();
    let enabled = specification.enabled.unwrap_or_default();
    let attribute = specification.attribute_name.as_deref().unwrap_or_default();
    api.tables
        .expiry()
        .update_time_to_live(name, enabled, attribute)
        .await?;
    Ok(UpdateTimeToLiveOutput {
        time_to_live_specification: Some(specification),
    })
}
