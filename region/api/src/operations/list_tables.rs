use geodynamo_storage::Engine;

use super::reading::limit;
use crate::{
    Api,
    generated::{ListTablesInput, ListTablesOutput},
};

/// The most names in one reply.
const NAMES_MAX: usize = 100;

/// Gives the names of this region's tables.
pub(super) fn list_tables<E: Engine>(api: &Api<E>, input: &ListTablesInput) -> ListTablesOutput {
    let limit = limit(input.limit).unwrap_or(NAMES_MAX);
    let (names, last) = api
        .tables
        .local()
        .list_of(&api.account, input.exclusive_start_table_name.as_deref(), limit);
    ListTablesOutput {
        table_names: Some(names.into_iter().map(Into::into).collect()),
        last_evaluated_table_name: last.map(Into::into),
    }
}
