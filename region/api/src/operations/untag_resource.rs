use geodynamo_storage::Engine;

use super::{
    Answer,
    control::{tag_keys, tags_error},
};
use crate::{Api, errors::ApiError, generated::UntagResourceInput};

/// Takes tags of a table away.
pub(super) async fn untag_resource<E: Engine>(api: &Api<E>, input: UntagResourceInput) -> Answer {
    let arn = input.resource_arn.unwrap_or_default();
    let name = &*api.tagged_table(&arn)?;
    let keys = tag_keys(input.tag_keys.unwrap_or_default())?;
    if keys.is_empty() {
        return Err(ApiError::validation(
            "Atleast one Tag Key needs to be provided as Input.",
        ));
    }
    let untagged = api.tables.catalog().untag(name, &keys).await;
    untagged.map_err(|error| tags_error(error, &arn))?;
    // The operation has no output: DynamoDB sends an empty body.
    Ok(Vec::new())
}
