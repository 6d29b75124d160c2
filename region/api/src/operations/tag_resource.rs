use geodynamo_storage::Engine;

use super::{
    Answer,
    control::{tags, tags_error},
};
use crate::{Api, generated::TagResourceInput};

/// Sets tags of a table.
pub(super) async fn tag_resource<E: Engine>(api: &Api<E>, input: TagResourceInput) -> Answer {
    let arn = input.resource_arn.unwrap_or_default();
    let tags = tags(input.tags.unwrap_or_default())?;
    let tagged = api.tables.tag(api.table_of_arn(&arn)?, tags).await;
    tagged.map_err(|error| tags_error(error, &arn))?;
    // The operation has no output: DynamoDB sends an empty body.
    Ok(Vec::new())
}
