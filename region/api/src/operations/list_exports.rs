use geodynamo_storage::Engine;

use super::transfers::{of_account, page};
use crate::{
    Api,
    errors::ApiError,
    generated::{ExportSummary, ListExportsInput, ListExportsOutput},
    transfer::{ExportJob, ExportKind},
};

/// Exports in a page, unless told; the model allows no more.
const PAGE: usize = 25;

/// Lists exports, newest first.
pub(super) fn list_exports<E: Engine>(api: &Api<E>, input: &ListExportsInput) -> Result<ListExportsOutput, ApiError> {
    let table = input.table_arn.as_deref().map(|arn| api.table_of(arn)).transpose()?;
    let arn = table.map(|table| api.tables.local().table_arn(&table));
    let transfer = api.transfer.as_ref();
    let all = transfer.map_or_else(Vec::new, |transfer| transfer.exports(arn.as_deref()));
    let all = of_account(api, all, |job| &job.arn);
    let (jobs, next_token) = page(
        all,
        |job| &job.arn,
        input.next_token.as_deref(),
        input.max_results,
        PAGE,
    )?;
    let summary = |job: ExportJob| ExportSummary {
        export_status: Some(job.state.code().into()),
        export_type: Some(match job.wanted.kind {
            ExportKind::Full { .. } => "FULL_EXPORT".into(),
            ExportKind::Incremental { .. } => "INCREMENTAL_EXPORT".into(),
        }),
        export_arn: Some(job.arn.into()),
    };
    Ok(ListExportsOutput {
        export_summaries: Some(jobs.into_iter().map(summary).collect()),
        next_token,
    })
}
