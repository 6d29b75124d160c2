use geodynamo_storage::Engine;

use super::{
    Answer,
    control::{tags, tags_error},
};
use crate::{Api, errors::ApiError, generated::TagResourceInput};

/// Sets tags of a table.
pub(super) async fn tag_resource<E: Engine>(api: &Api<E>, input: TagResourceInput) -> Answer {
    let arn = input.resource_arn.unwrap_or_default();
    let name = &*api.tagged_table(&arn)?;
    let tags = tags(input.tags.unwrap_or_default())?;
    if tags.is_empty() {
        return Err(ApiError::validation("Atleast one Tag needs to be provided as Input."));
    }
    let tagged = api.tables.catalog().tag(name, tags).await;
    tagged.map_err(|error| tags_error(error, &arn))?;
    // The operation has no output: DynamoDB sends an empty body.
    Ok(Vec::new())
}
