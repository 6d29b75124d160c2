use geodynamo_storage::Engine;

use super::transfers::{import_description, of_account, page};
use crate::{
    Api,
    errors::ApiError,
    generated::{ImportSummary, ListImportsInput, ListImportsOutput},
    transfer::ImportJob,
};

/// Imports in a page, unless told; the model allows no more.
const PAGE: usize = 25;

/// Lists imports, newest first.
pub(super) fn list_imports<E: Engine>(api: &Api<E>, input: &ListImportsInput) -> Result<ListImportsOutput, ApiError> {
    let table = input.table_arn.as_deref().map(|arn| api.table_of(arn)).transpose()?;
    let arn = table.map(|table| api.tables.local().table_arn(&table));
    let transfer = api.transfer.as_ref();
    let all = transfer.map_or_else(Vec::new, |transfer| transfer.imports(arn.as_deref()));
    let all = of_account(api, all, |job| &job.arn);
    let (jobs, next_token) = page(all, |job| &job.arn, input.next_token.as_deref(), input.page_size, PAGE)?;
    let summary = |job: &ImportJob| {
        let shown = import_description(job)?;
        Ok::<_, ApiError>(ImportSummary {
            import_arn: shown.import_arn,
            import_status: shown.import_status,
            table_arn: shown.table_arn,
            s3_bucket_source: shown.s3_bucket_source,
            cloud_watch_log_group_arn: shown.cloud_watch_log_group_arn,
            input_format: shown.input_format,
            start_time: shown.start_time,
            end_time: shown.end_time,
        })
    };
    Ok(ListImportsOutput {
        import_summary_list: Some(jobs.iter().map(summary).collect::<Result<_, _>>()?),
        next_token,
    })
}
