//! The operations of global tables' version 2017.11.29, which DynamoDB itself no longer offers: there are none of them.

use compact_str::CompactString;

use super::Answer;
use crate::{
    errors::ApiError,
    generated::{
        CreateGlobalTableInput, DescribeGlobalTableInput, DescribeGlobalTableSettingsInput, ListGlobalTablesInput,
        ListGlobalTablesOutput, UpdateGlobalTableInput, UpdateGlobalTableSettingsInput,
    },
    wire::encode,
};

pub(super) fn create(_: &CreateGlobalTableInput) -> Answer {
    Err(ApiError::old_global_tables())
}

pub(super) fn describe(input: &DescribeGlobalTableInput) -> Answer {
    not_found(&input.global_table_name)
}

pub(super) fn describe_settings(input: &DescribeGlobalTableSettingsInput) -> Answer {
    not_found(&input.global_table_name)
}

pub(super) fn update(input: &UpdateGlobalTableInput) -> Answer {
    not_found(&input.global_table_name)
}

pub(super) fn update_settings(input: &UpdateGlobalTableSettingsInput) -> Answer {
    not_found(&input.global_table_name)
}

pub(super) fn list(_: &ListGlobalTablesInput) -> Answer {
    Ok(encode(&ListGlobalTablesOutput {
        global_tables: Some(Vec::new()),
        last_evaluated_global_table_name: None,
    }))
}

fn not_found(name: &Option<CompactString>) -> Answer {
    Err(ApiError::global_table_not_found(name.as_deref().unwrap_or_default()))
}
