use geodynamo_storage::Engine;

use super::{Answer, control::tags_error};
use crate::{Api, generated::UntagResourceInput};

/// Takes tags of a table away.
pub(super) async fn untag_resource<E: Engine>(api: &Api<E>, input: UntagResourceInput) -> Answer {
    let arn = input.resource_arn.unwrap_or_default();
    let keys: Vec<String> = input.tag_keys.unwrap_or_default().into_iter().map(Into::into).collect();
    let untagged = api.tables.untag(api.table_of_arn(&arn)?, &keys).await;
    untagged.map_err(|error| tags_error(error, &arn))?;
    // The operation has no output: DynamoDB sends an empty body.
    Ok(Vec::new())
}
