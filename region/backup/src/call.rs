//! From a call to its answer.

use std::sync::LazyLock;

use geodynamo_policy::{Caller, Environment};
use geodynamo_storage::Engine;
use serde_json::{Value, json};

use crate::{
    Backups, RESOURCE_TYPE, Shared,
    error::{BackupError, Result},
    generated::OPERATIONS,
    wire::{self, Input, Operation},
};

/// As credential scopes and ARNs name the service.
pub const SERVICE: &str = "backup";
/// The first segments of its paths.
const PATHS: [&str; 8] = [
    "backup",
    "backup-jobs",
    "backup-vaults",
    "copy-jobs",
    "resources",
    "restore-jobs",
    "supported-resource-types",
    "tags",
];
/// Another one, which has its own operation only.
const UNTAG: &str = "untag";

/// Whether policies are asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Authorization {
    /// Whoever calls may do everything.
    Off,
    /// Callers may do what their policies allow.
    #[default]
    Enforce,
    /// As [`Enforce`](Self::Enforce), but what would be refused is let through, and told in [`Reply::denied`].
    Warn,
}

/// A call.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// `POST`
    pub method: &'a str,
    /// As it came, encoded.
    pub path: &'a str,
    /// As it came, without the question mark.
    pub query: &'a str,
    /// Its document.
    pub body: &'a [u8],
    /// Whose it is.
    pub caller: &'a Caller,
    /// What conditions may ask about it.
    pub environment: Environment<'a>,
    /// Whether policies are asked.
    pub authorization: Authorization,
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// The JSON document; nothing where an operation gives none.
    pub body: String,
    /// Which of [`operation_names`] it was, if it was one.
    pub operation: Option<usize>,
    /// Its name.
    pub name: Option<&'static str>,
    /// The error, if it is one.
    pub error: Option<BackupError>,
    /// What would have been refused, had [`Authorization::Enforce`] been the mode: for the log.
    pub denied: Option<String>,
    /// The ARN that it was about: for the audit trail.
    pub resource: Option<String>,
    /// What was asked for: for the audit trail.
    pub parameters: Value,
}

/// Names of the operations as metrics have them. DynamoDB has operations on tags with the same names, and so has Lambda.
static NAMES: LazyLock<Vec<&'static str>> = LazyLock::new(|| {
    let name = |name: &'static str| match name {
        "ListTags" => "BackupListTags",
        "TagResource" => "BackupTagResource",
        "UntagResource" => "BackupUntagResource",
        name => name,
    };
    OPERATIONS.iter().map(|operation| name(operation.name)).collect()
});

/// The names of the operations that are offered.
pub fn operation_names() -> &'static [&'static str] {
    &NAMES
}

/// Whether a path is one of the API's.
pub fn is_path(path: &str) -> bool {
    let first = path.trim_start_matches('/').split('/').next().unwrap_or_default();
    first == UNTAG || PATHS.contains(&first)
}

impl Reply {
    /// An answer that nothing else is known of.
    fn refusal(error: BackupError) -> Self {
        Self {
            status: error.status(),
            body: error.document(),
            operation: None,
            name: None,
            error: Some(error),
            denied: None,
            resource: None,
            parameters: Value::Null,
        }
    }
}

impl<E: Engine> Backups<E> {
    /// Answers a call. Its future must run to its end.
    pub async fn call(&self, call: Call<'_>) -> Reply {
        let found = wire::operation(call.method, call.path);
        let found = found.and_then(|(place, parameters)| Some((place, OPERATIONS.get(place)?, parameters)));
        let Some((place, operation, parameters)) = found else {
            let message = "The operation is not offered";
            return Reply::refusal(BackupError::new("UnknownOperationException", message));
        };
        let known = |mut reply: Reply| {
            reply.operation = Some(place);
            reply.name = Some(operation.name);
            reply
        };
        let input = match wire::input(operation, parameters, call.query, call.body) {
            Ok(input) => input,
            Err(error) => return known(Reply::refusal(error)),
        };
        let (mut denied, mut resource) = (None, None);
        let of = self.0.of(&call.caller.account);
        let result = match of.authorize(&call, operation.name, &input) {
            Ok((refusal, arn)) => {
                (denied, resource) = (refusal, Some(arn));
                of.answer(operation.name, &input).await
            }
            Err(error) => Err(error),
        };
        let reply = result.map_or_else(Reply::refusal, |output| Reply {
            status: 200,
            body: document(operation, &output),
            operation: None,
            name: None,
            error: None,
            denied: None,
            resource: None,
            parameters: Value::Null,
        });
        known(Reply {
            denied,
            resource,
            parameters: Value::Object(input),
            ..reply
        })
    }
}

fn document(operation: &Operation, output: &Value) -> String {
    if operation.answers {
        output.to_string()
    } else {
        String::new()
    }
}

impl<E: Engine> Shared<E> {
    async fn answer(&self, name: &str, input: &Input) -> Result<Value> {
        match name {
            "CreateBackupPlan" => self.create_plan(input).await,
            "CreateBackupSelection" => self.create_selection(input).await,
            "CreateBackupVault" => self.create_vault(input).await,
            "DeleteBackupPlan" => self.delete_plan(input).await,
            "DeleteBackupSelection" => self.delete_selection(input).await,
            "DeleteBackupVault" => self.delete_vault(input).await,
            "DeleteBackupVaultLockConfiguration" => self.delete_lock(input).await,
            "DeleteRecoveryPoint" => self.delete_point(input).await,
            "DescribeBackupJob" => self.describe_backup_job(input),
            "DescribeBackupVault" => self.describe_vault(input).await,
            "DescribeCopyJob" => self.describe_copy_job(input),
            "DescribeProtectedResource" => self.describe_protected(input).await,
            "DescribeRecoveryPoint" => self.describe_point(input).await,
            "DescribeRestoreJob" => self.describe_restore_job(input),
            "GetBackupPlan" => self.get_plan(input),
            "GetBackupSelection" => self.get_selection(input),
            "GetRecoveryPointRestoreMetadata" => self.restore_metadata(input).await,
            "GetSupportedResourceTypes" => Ok(json!({ "ResourceTypes": [RESOURCE_TYPE] })),
            "ListBackupJobs" => self.list_backup_jobs(input),
            "ListBackupPlanVersions" => self.list_plan_versions(input),
            "ListBackupPlans" => self.list_plans(input),
            "ListBackupSelections" => self.list_selections(input),
            "ListBackupVaults" => self.list_vaults(input).await,
            "ListCopyJobs" => self.list_copy_jobs(input),
            "ListProtectedResources" => self.list_protected(input).await,
            "ListRecoveryPointsByBackupVault" => self.list_points_of_vault(input).await,
            "ListRecoveryPointsByResource" => self.list_points_of_resource(input).await,
            "ListRestoreJobs" => self.list_restore_jobs(input),
            "ListTags" => self.list_tags(input).await,
            "PutBackupVaultLockConfiguration" => self.put_lock(input).await,
            "StartBackupJob" => self.start_backup(input).await,
            "StartCopyJob" => self.start_copy(input).await,
            "StartRestoreJob" => self.start_restore(input).await,
            "StopBackupJob" => self.stop_backup(input).await,
            "TagResource" => self.tag(input).await,
            "UntagResource" => self.untag(input).await,
            "UpdateBackupPlan" => self.update_plan(input).await,
            "UpdateRecoveryPointLifecycle" => self.update_lifecycle(input).await,
            name => Err(BackupError::new(
                "UnknownOperationException",
                format!("{name} is not available in this version of geodynamo."),
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_paths_are_known() {
        for operation in &OPERATIONS {
            assert!(is_path(operation.path), "{}", operation.path);
        }
        assert!(!is_path("/") && !is_path("/2015-03-31/event-source-mappings") && !is_path("/backups"));
    }
}
