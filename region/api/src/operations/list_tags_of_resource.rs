use geodynamo_storage::Engine;

use super::control::tags_error;
use crate::{
    Api,
    errors::ApiError,
    generated::{ListTagsOfResourceInput, ListTagsOfResourceOutput, Tag},
};

/// Gives a table's tags, all in one page: there are at most 50.
pub(super) fn list_tags_of_resource<E: Engine>(
    api: &Api<E>,
    input: &ListTagsOfResourceInput,
) -> Result<ListTagsOfResourceOutput, ApiError> {
    let arn = input.resource_arn.as_deref().unwrap_or_default();
    let tags = api.tables.catalog().tags(&api.tagged_table(arn)?);
    let tags = tags.map_err(|error| tags_error(error, arn))?;
    let tag = |(key, value): (String, String)| Tag {
        key: Some(key.into()),
        value: Some(value.into()),
    };
    Ok(ListTagsOfResourceOutput {
        tags: Some(tags.into_iter().map(tag).collect()),
        next_token: None,
    })
}
