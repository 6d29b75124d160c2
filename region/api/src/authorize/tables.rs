//! Tables: making, changing, describing them; their tags and policies.

use std::collections::BTreeSet;

use geodynamo_storage::Engine;

use super::{Authorize, Facts, Gate, Target};
use crate::{
    Operation,
    errors::ApiError,
    generated::{
        CreateTableInput, DeleteResourcePolicyInput, DeleteTableInput, DescribeContinuousBackupsInput,
        DescribeContributorInsightsInput, DescribeKinesisStreamingDestinationInput, DescribeTableInput,
        DescribeTableReplicaAutoScalingInput, DescribeTimeToLiveInput, GetResourcePolicyInput,
        KinesisStreamingDestinationInput, ListTagsOfResourceInput, PutResourcePolicyInput, Tag, TagResourceInput,
        UntagResourceInput, UpdateContinuousBackupsInput, UpdateContributorInsightsInput,
        UpdateKinesisStreamingDestinationInput, UpdateTableInput, UpdateTableReplicaAutoScalingInput,
        UpdateTimeToLiveInput,
    },
};

/// Operations on one table that ask for the action of their name.
macro_rules! on_table {
    ($($input:ident: $action:literal,)*) => {
        $(impl Authorize for $input {
            fn authorize<E: Engine>(&self, gate: &Gate<'_, E>) -> Result<(), ApiError> {
                let target = gate.table(self.table_name.as_deref().unwrap_or_default())?;
                gate.ask_plain($action, &target)
            }
        })*
    };
}

on_table! {
    DescribeTableInput: "dynamodb:DescribeTable",
    DeleteTableInput: "dynamodb:DeleteTable",
    DescribeTimeToLiveInput: "dynamodb:DescribeTimeToLive",
    DescribeContinuousBackupsInput: "dynamodb:DescribeContinuousBackups",
    UpdateContinuousBackupsInput: "dynamodb:UpdateContinuousBackups",
    DescribeKinesisStreamingDestinationInput: "dynamodb:DescribeKinesisStreamingDestination",
    UpdateKinesisStreamingDestinationInput: "dynamodb:UpdateKinesisStreamingDestination",
    DescribeTableReplicaAutoScalingInput: "dynamodb:DescribeTableReplicaAutoScaling",
}

/// What is needed on a table in the region that is to have a replica of it:
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/globaltables-security.html>.
const TO_MAKE_A_REPLICA: [&str; 9] = [
    "dynamodb:CreateTable",
    "dynamodb:CreateTableReplica",
    "dynamodb:Query",
    "dynamodb:Scan",
    "dynamodb:UpdateItem",
    "dynamodb:PutItem",
    "dynamodb:GetItem",
    "dynamodb:DeleteItem",
    "dynamodb:BatchWriteItem",
];

/// The same, in the region whose replica is to go.
const TO_REMOVE_A_REPLICA: [&str; 2] = ["dynamodb:DeleteTable", "dynamodb:DeleteTableReplica"];

/// The same, in every region that has a replica, to change how they scale.
const TO_SCALE_REPLICAS: [&str; 10] = [
    "application-autoscaling:DeleteScalingPolicy",
    "application-autoscaling:DeleteScheduledAction",
    "application-autoscaling:DeregisterScalableTarget",
    "application-autoscaling:DescribeScalableTargets",
    "application-autoscaling:DescribeScalingActivities",
    "application-autoscaling:DescribeScalingPolicies",
    "application-autoscaling:DescribeScheduledActions",
    "application-autoscaling:PutScalingPolicy",
    "application-autoscaling:PutScheduledAction",
    "application-autoscaling:RegisterScalableTarget",
];

/// The regions that have a replica of a table; of what is none, this one alone.
fn regions<E: Engine>(gate: &Gate<'_, E>, target: &Target) -> BTreeSet<String> {
    let tables = &gate.api.tables;
    let shown = target
        .table
        .as_ref()
        .and_then(|table| tables.describe(table.name()).ok());
    let replicas = shown.into_iter().flat_map(|table| table.replicas);
    let own = tables.region().to_owned();
    replicas
        .map(|replica| replica.region)
        .chain(std::iter::once(own))
        .collect()
}

/// A table has one setting in all its regions.
impl Authorize for UpdateTimeToLiveInput {
    fn authorize<E: Engine>(&self, gate: &Gate<'_, E>) -> Result<(), ApiError> {
        let name = self.table_name.as_deref().unwrap_or_default();
        for region in regions(gate, &gate.table(name)?) {
            gate.ask_plain("dynamodb:UpdateTimeToLive", &gate.table_in(&region, name)?)?;
        }
        Ok(())
    }
}

impl Authorize for UpdateTableReplicaAutoScalingInput {
    fn authorize<E: Engine>(&self, gate: &Gate<'_, E>) -> Result<(), ApiError> {
        let name = self.table_name.as_deref().unwrap_or_default();
        let target = gate.table(name)?;
        gate.ask_plain("dynamodb:UpdateTableReplicaAutoScaling", &target)?;
        let named = self.replica_updates.iter().flatten();
        let named = named.filter_map(|replica| replica.region_name.as_deref().map(str::to_owned));
        for region in regions(gate, &target).into_iter().chain(named).collect::<BTreeSet<_>>() {
            let there = gate.table_in(&region, name)?;
            for action in TO_SCALE_REPLICAS {
                gate.ask_plain(action, &there)?;
            }
        }
        Ok(())
    }
}

/// Two operations have it.
impl Authorize for KinesisStreamingDestinationInput {
    fn authorize<E: Engine>(&self, gate: &Gate<'_, E>) -> Result<(), ApiError> {
        let target = gate.table(self.table_name.as_deref().unwrap_or_default())?;
        let action = match gate.operation {
            Operation::DisableKinesisStreamingDestination => "dynamodb:DisableKinesisStreamingDestination",
            _ => "dynamodb:EnableKinesisStreamingDestination",
        };
        if gate.is_of_another_account() {
            let stream = self.stream_arn.as_deref().unwrap_or_default();
            gate.ask_plain("kinesis:PutRecords", &gate.named(stream))?;
        }
        gate.ask_plain(action, &target)
    }
}

/// Operations on one table or one of its indexes.
macro_rules! on_index {
    ($($input:ident: $action:literal,)*) => {
        $(impl Authorize for $input {
            fn authorize<E: Engine>(&self, gate: &Gate<'_, E>) -> Result<(), ApiError> {
                let target = gate.table(self.table_name.as_deref().unwrap_or_default())?;
                gate.ask_plain($action, &target.index(self.index_name.as_deref()))
            }
        })*
    };
}

on_index! {
    DescribeContributorInsightsInput: "dynamodb:DescribeContributorInsights",
    UpdateContributorInsightsInput: "dynamodb:UpdateContributorInsights",
}

/// Operations on the policy of a table or a stream.
macro_rules! on_policy {
    ($($input:ident: $action:literal,)*) => {
        $(impl Authorize for $input {
            fn authorize<E: Engine>(&self, gate: &Gate<'_, E>) -> Result<(), ApiError> {
                let arn = self.resource_arn.as_deref().unwrap_or_default();
                let target = match gate.stream_of_arn(arn) {
                    Ok(name) => gate.stream(&name),
                    Err(_) => gate.table(arn)?,
                };
                gate.ask_plain($action, &target)
            }
        })*
    };
}

on_policy! {
    GetResourcePolicyInput: "dynamodb:GetResourcePolicy",
    PutResourcePolicyInput: "dynamodb:PutResourcePolicy",
    DeleteResourcePolicyInput: "dynamodb:DeleteResourcePolicy",
}

/// Tags to set, as conditions see them.
fn tagging(tags: &[Tag]) -> Facts<'_> {
    let named = tags.iter().filter(|tag| tag.key.is_some());
    let tags = named.map(|tag| (tag.key.as_deref().unwrap_or_default(), tag.value.as_deref()));
    Facts {
        request_tags: Some(tags.collect()),
        ..Facts::default()
    }
}

impl Authorize for CreateTableInput {
    fn authorize<E: Engine>(&self, gate: &Gate<'_, E>) -> Result<(), ApiError> {
        let region = gate.api.tables.region();
        let target = gate.table_in(region, self.table_name.as_deref().unwrap_or_default())?;
        match self.tags.as_deref() {
            Some(tags) if !tags.is_empty() => {
                gate.ask("dynamodb:CreateTable", &target, &tagging(tags))?;
                gate.ask("dynamodb:TagResource", &target, &tagging(tags))?;
            }
            _ => gate.ask_plain("dynamodb:CreateTable", &target)?,
        }
        if self.resource_policy.is_some() {
            gate.ask_plain("dynamodb:PutResourcePolicy", &target)?;
        }
        if self.global_table_source_arn.is_some() {
            gate.ask_plain("dynamodb:AssociateTableReplica", &target)?;
        }
        Ok(())
    }
}

impl Authorize for UpdateTableInput {
    fn authorize<E: Engine>(&self, gate: &Gate<'_, E>) -> Result<(), ApiError> {
        let name = self.table_name.as_deref().unwrap_or_default();
        gate.ask_plain("dynamodb:UpdateTable", &gate.table(name)?)?;
        // Replicas in other regions are tables there.
        let replica = |action, region: Option<&str>| {
            let target = gate.table_in(region.unwrap_or_default(), name)?;
            gate.ask_plain(action, &target)
        };
        for update in self.replica_updates.iter().flatten() {
            if let Some(create) = &update.create {
                for action in TO_MAKE_A_REPLICA {
                    replica(action, create.region_name.as_deref())?;
                }
            }
            if let Some(change) = &update.update {
                replica("dynamodb:UpdateTable", change.region_name.as_deref())?;
            }
            if let Some(delete) = &update.delete {
                for action in TO_REMOVE_A_REPLICA {
                    replica(action, delete.region_name.as_deref())?;
                }
            }
            if let Some(part) = &update.disassociate {
                for action in TO_REMOVE_A_REPLICA {
                    replica(action, part.region_name.as_deref())?;
                }
            }
        }
        for witness in self.global_table_witness_updates.iter().flatten() {
            if let Some(create) = &witness.create {
                replica("dynamodb:CreateGlobalTableWitness", create.region_name.as_deref())?;
            }
            if let Some(delete) = &witness.delete {
                replica("dynamodb:DeleteGlobalTableWitness", delete.region_name.as_deref())?;
            }
        }
        Ok(())
    }
}

impl Authorize for TagResourceInput {
    fn authorize<E: Engine>(&self, gate: &Gate<'_, E>) -> Result<(), ApiError> {
        let target = gate.table(self.resource_arn.as_deref().unwrap_or_default())?;
        let tags = self.tags.as_deref().unwrap_or_default();
        gate.ask("dynamodb:TagResource", &target, &tagging(tags))
    }
}

impl Authorize for UntagResourceInput {
    fn authorize<E: Engine>(&self, gate: &Gate<'_, E>) -> Result<(), ApiError> {
        let target = gate.table(self.resource_arn.as_deref().unwrap_or_default())?;
        let keys = self.tag_keys.as_deref().unwrap_or_default();
        let facts = Facts {
            request_tags: Some(keys.iter().map(|key| (key.as_str(), None)).collect()),
            ..Facts::default()
        };
        gate.ask("dynamodb:UntagResource", &target, &facts)
    }
}

impl Authorize for ListTagsOfResourceInput {
    fn authorize<E: Engine>(&self, gate: &Gate<'_, E>) -> Result<(), ApiError> {
        let target = gate.table(self.resource_arn.as_deref().unwrap_or_default())?;
        gate.ask_plain("dynamodb:ListTagsOfResource", &target)
    }
}
