use geodynamo_storage::Engine;
use geodynamo_table::{given_name, recovery::RestoreSource};

use super::{
    describe::table_description,
    restores::{Overrides, millis},
};
use crate::{
    Api,
    errors::ApiError,
    generated::{RestoreTableToPointInTimeInput, RestoreTableToPointInTimeOutput},
};

/// Makes a table as another one was at a moment.
pub(super) async fn restore_table_to_point_in_time<E: Engine>(
    api: &Api<E>,
    input: RestoreTableToPointInTimeInput,
) -> Result<RestoreTableToPointInTimeOutput, ApiError> {
    let source = source(api, &input)?;
    let at_ms = match (input.use_latest_restorable_time, input.restore_date_time) {
        (Some(true), None) => None,
        (None | Some(false), Some(time)) => Some(millis(time)),
        (Some(true), Some(_)) => {
            return Err(ApiError::invalid(
                "RestoreDateTime must not be specified when UseLatestRestorableTime is true",
            ));
        }
        (None | Some(false), None) => {
            return Err(ApiError::invalid(
                "Either RestoreDateTime or UseLatestRestorableTime must be specified",
            ));
        }
    };
    let Some(recovery) = &api.recovery else {
        let name = &*api.table_of(&source)?;
        api.tables
            .table_named(name)
            .map_err(|_| ApiError::table_not_found(name))?;
        return Err(ApiError::point_in_time_recovery_unavailable(name));
    };
    let master_key = api.wanted_key(input.sse_specification_override.as_ref())?;
    let overrides = Overrides {
        billing_mode: input.billing_mode_override,
        global: input.global_secondary_index_override,
        local: input.local_secondary_index_override,
        provisioned: input.provisioned_throughput_override,
        on_demand: input.on_demand_throughput_override,
        vector: input.vector_index_override.is_some(),
    };
    let from = recovery
        .restorable(RestoreSource::PointInTime { table: source, at_ms })
        .await?;
    let mut create = from.settings.create(&api.table_name(&input.target_table_name)?);
    overrides.apply(&mut create)?;
    // It is under its source's key unless told otherwise.
    if let Some(master_key) = master_key {
        create.master_key = master_key;
    }
    let description = recovery.restore(from, create).await?;
    Ok(RestoreTableToPointInTimeOutput {
        table_description: Some(table_description(api, description)),
    })
}

/// The source table: its ARN, which also names one that is gone, or its name.
fn source<E: Engine>(api: &Api<E>, input: &RestoreTableToPointInTimeInput) -> Result<String, ApiError> {
    let (arn, name) = (input.source_table_arn.as_deref(), input.source_table_name.as_deref());
    match (arn, name) {
        (Some(arn), name) => {
            // The model lets a name stand for an ARN.
            let table = api.table_of(arn)?;
            if name.is_some_and(|name| name != given_name(&table)) {
                return Err(ApiError::invalid(
                    "SourceTableName and SourceTableArn must be of the same table",
                ));
            }
            Ok(arn.to_owned())
        }
        (None, Some(name)) => Ok(api.table_of(name)?.into_owned()),
        (None, None) => Err(ApiError::invalid(
            "Either SourceTableName or SourceTableArn must be specified",
        )),
    }
}
