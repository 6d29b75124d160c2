//! Features that later versions bring: what tells of them says that nothing is there and nothing is on, which is the truth.
//! Terraform and the SDKs ask such things of any table.

use geodynamo_storage::Engine;

use super::Answer;
use crate::{
    Api,
    authorize::Gate,
    errors::ApiError,
    generated::{
        DescribeContributorInsightsInput, DescribeContributorInsightsOutput, ListBulkOperationsInput,
        ListBulkOperationsOutput, ListContributorInsightsInput, ListContributorInsightsOutput, Operation,
    },
    wire::encode,
};

/// The answer of an operation that only tells of such features, or takes away what is not there; `None` for one that would
/// bring something about.
pub(super) fn answer<E: Engine>(api: &Api<E>, gate: &Gate<'_, E>, operation: Operation, body: &[u8]) -> Option<Answer> {
    Some(match operation {
        Operation::ListBulkOperations => gate.checked(body).map(list_bulk_operations),
        Operation::DescribeContributorInsights => {
            gate.checked(body).and_then(|input| contributor_insights(api, &input))
        }
        Operation::ListContributorInsights => gate
            .checked(body)
            .and_then(|input| list_contributor_insights(api, &input)),
        _ => return None,
    })
}

fn list_bulk_operations(_: ListBulkOperationsInput) -> Vec<u8> {
    encode(&ListBulkOperationsOutput {
        bulk_operations_summary_list: Some(Vec::new()),
        next_token: None,
    })
}

fn contributor_insights<E: Engine>(api: &Api<E>, input: &DescribeContributorInsightsInput) -> Answer {
    let table = api.tables.describe(api.table_name(&input.table_name)?)?;
    if let Some(index) = input.index_name.as_deref()
        && !table.global_indexes.iter().any(|known| known.definition.name == index)
    {
        return Err(ApiError::no_index(index));
    }
    Ok(encode(&DescribeContributorInsightsOutput {
        table_name: Some(table.name.into()),
        index_name: input.index_name.clone(),
        contributor_insights_status: Some("DISABLED".into()),
        ..DescribeContributorInsightsOutput::default()
    }))
}

fn list_contributor_insights<E: Engine>(api: &Api<E>, input: &ListContributorInsightsInput) -> Answer {
    if input.table_name.is_some() {
        api.tables.describe(api.table_name(&input.table_name)?)?;
    }
    Ok(encode(&ListContributorInsightsOutput {
        contributor_insights_summaries: Some(Vec::new()),
        next_token: None,
    }))
}
