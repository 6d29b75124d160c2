//! Who may call: AWS Backup's actions, as "Actions, resources, and condition keys for AWS Backup" in the Service Authorization
//! Reference has them. What names a role needs `iam:PassRole` for it, too, and what names vaults to copy to
//! `backup:CopyIntoBackupVault` for each: in AWS, the role is what the work is done as, and must be allowed the latter.

use std::collections::BTreeMap;

use geodynamo_policy::{Context as Keys, ContextValue, Request, evaluate};
use geodynamo_storage::Engine;
use serde_json::Value;

use crate::{
    PLAN, SERVICE, Shared,
    call::{Authorization, Call},
    error::{BackupError, Result},
    state::Tags,
    wire::{Input, text},
};

/// The condition keys of a call: names in lower case.
#[derive(Debug, Default)]
struct CallKeys(BTreeMap<String, Values>);

#[derive(Debug)]
enum Values {
    Single(String),
    Multi(Vec<String>),
}

impl Keys for CallKeys {
    fn get(&self, key: &str) -> Option<ContextValue<'_>> {
        Some(match self.0.get(key)? {
            Values::Single(value) => value.as_str().into(),
            Values::Multi(values) => ContextValue::Multi(values.iter().map(|value| value.as_str().into()).collect()),
        })
    }
}

impl CallKeys {
    fn set(&mut self, key: impl Into<String>, value: impl Into<String>) {
        self.0.insert(key.into(), Values::Single(value.into()));
    }
}

impl<E: Engine> Shared<E> {
    /// Refuses a call that its caller may not make. Gives what would be refused, where that is only to be told, and the
    /// resource.
    pub(crate) fn authorize(
        &self,
        call: &Call<'_>,
        operation: &str,
        input: &Input,
    ) -> Result<(Option<String>, String)> {
        let resource = self.resource(operation, input);
        if call.authorization == Authorization::Off {
            return Ok((None, resource));
        }
        let keys = self.keys(input, &resource);
        let mut asked = vec![(format!("{SERVICE}:{operation}"), resource.clone())];
        let selection = input.get("BackupSelection").and_then(Value::as_object);
        let role = text(input, "IamRoleArn").or(selection.and_then(|selection| text(selection, "IamRoleArn")));
        asked.extend(role.map(|role| ("iam:PassRole".to_owned(), role.to_owned())));
        let copy_into = |vault: String| (format!("{SERVICE}:CopyIntoBackupVault"), vault);
        asked.extend(copy_targets(input).into_iter().map(copy_into));
        let mut denied = None;
        for (action, resource) in &asked {
            let request = Request {
                action,
                resource,
                resource_account: &self.account,
                environment: &call.environment,
                context: &keys,
            };
            match evaluate(call.caller, None, &request).message(call.caller, &request) {
                Some(message) if call.authorization == Authorization::Enforce => {
                    return Err(BackupError::new("AccessDeniedException", message));
                }
                message => denied = denied.or(message),
            }
        }
        Ok((denied, resource))
    }

    /// What a call is about.
    fn resource(&self, operation: &str, input: &Input) -> String {
        let point = text(input, "RecoveryPointArn").map(str::to_owned);
        let vault = || text(input, "BackupVaultName").map(|name| self.vault_arn(name));
        let plan = || text(input, "BackupPlanId").map(|id| self.arn(PLAN, id));
        // A plan that is to be made has no id yet: whoever is to make some is allowed it on all.
        let new_plan = || (operation == "CreateBackupPlan").then(|| self.arn(PLAN, "*"));
        let tagged = || {
            let of_tags = matches!(operation, "ListTags" | "TagResource" | "UntagResource");
            text(input, "ResourceArn").filter(|_| of_tags).map(str::to_owned)
        };
        let found = point.or_else(vault).or_else(plan).or_else(new_plan).or_else(tagged);
        found.unwrap_or_else(|| "*".to_owned())
    }

    fn keys(&self, input: &Input, resource: &str) -> CallKeys {
        let mut keys = CallKeys::default();
        let targets = copy_targets(input);
        if !targets.is_empty() {
            keys.0.insert("backup:copytargets".into(), Values::Multi(targets));
        }
        for member in ["ChangeableForDays", "MinRetentionDays", "MaxRetentionDays"] {
            if let Some(days) = input.get(member).and_then(Value::as_i64) {
                keys.set(format!("backup:{}", member.to_lowercase()), days.to_string());
            }
        }
        let mut tag_keys: Vec<String> = Vec::new();
        for member in ["BackupVaultTags", "BackupPlanTags", "Tags", "RecoveryPointTags"] {
            for (key, value) in input.get(member).and_then(Value::as_object).into_iter().flatten() {
                let value = value.as_str().unwrap_or_default();
                keys.set(format!("aws:requesttag/{}", key.to_lowercase()), value);
                tag_keys.push(key.clone());
            }
        }
        let untagged = input.get("TagKeyList").and_then(Value::as_array).into_iter().flatten();
        tag_keys.extend(untagged.filter_map(Value::as_str).map(str::to_owned));
        if !tag_keys.is_empty() {
            keys.0.insert("aws:tagkeys".into(), Values::Multi(tag_keys));
        }
        for (key, value) in self.known_tags(resource) {
            keys.set(format!("aws:resourcetag/{}", key.to_lowercase()), value);
        }
        keys
    }

    /// The tags of a vault or a plan.
    fn known_tags(&self, arn: &str) -> Tags {
        let known = self.known.lock();
        let vault = arn
            .strip_prefix(&self.vault_arn(""))
            .and_then(|name| known.vaults.get(name));
        let plan = arn.strip_prefix(&self.arn(PLAN, "")).and_then(|id| known.plans.get(id));
        vault
            .map(|vault| vault.tags.clone())
            .or(plan.map(|plan| plan.tags.clone()))
            .unwrap_or_default()
    }
}

/// The vaults that a call, or the plan that it brings, copies to.
fn copy_targets(input: &Input) -> Vec<String> {
    let mut targets: Vec<String> = Vec::new();
    targets.extend(text(input, "DestinationBackupVaultArn").map(str::to_owned));
    let plan = input.get("BackupPlan").unwrap_or(&Value::Null);
    for rule in plan["Rules"].as_array().into_iter().flatten() {
        for copy in rule["CopyActions"].as_array().into_iter().flatten() {
            targets.extend(copy["DestinationBackupVaultArn"].as_str().map(str::to_owned));
        }
    }
    targets
}
