//! Policies: the target that a scalable target tracks.

use geodynamo_storage::Engine;
use serde_json::{Value, json};

use crate::{
    Shared,
    error::ScalingError,
    replicas::check_percent,
    service::{Input, NAMESPACE, Result, no_target, page, seconds, text},
    target::{Key, Policy},
};

impl<E: Engine> Shared<E> {
    pub(crate) async fn put_policy(&self, account: &str, input: &Input) -> Result<Value> {
        let key = self.key(account, input)?;
        let name = text(input, "PolicyName").unwrap_or_default().to_owned();
        let _changing = self.changing.lock().await;
        let mut target = self.target(&key).ok_or_else(|| no_target(&key))?;
        let kind = text(input, "PolicyType");
        let held = target.policy.as_ref().is_some_and(|policy| policy.name == name);
        if kind.is_some_and(|kind| kind != "TargetTrackingScaling") || (kind.is_none() && !held) {
            return Err(ScalingError::validation(
                "Policy type must be TargetTrackingScaling for service namespace dynamodb",
            ));
        }
        let Some(Value::Object(given)) = input.get("TargetTrackingScalingPolicyConfiguration") else {
            return Err(ScalingError::validation(
                "TargetTrackingScalingPolicyConfiguration must be specified for policy type TargetTrackingScaling",
            ));
        };
        if given.contains_key("CustomizedMetricSpecification") {
            return Err(ScalingError::validation(
                "CustomizedMetricSpecification is not available in this version of geodynamo.",
            ));
        }
        let metric = given
            .get("PredefinedMetricSpecification")
            .and_then(|metric| metric.get("PredefinedMetricType"));
        if metric.and_then(Value::as_str) != Some(key.metric()) {
            return Err(ScalingError::validation(format!(
                "PredefinedMetricType must be {} for scalable dimension {}",
                key.metric(),
                key.dimension()
            )));
        }
        if target.policy.as_ref().is_some_and(|policy| policy.name != name) {
            return Err(ScalingError::validation(
                "Only one TargetTrackingScaling policy for a given metric specification is allowed.",
            ));
        }
        let percent = given.get("TargetValue").and_then(Value::as_f64).unwrap_or_default();
        check_percent(percent)?;
        let created_ms = target
            .policy
            .as_ref()
            .map_or_else(|| self.tables.now_ms(), |policy| policy.created_ms);
        target.policy = Some(Policy {
            name: name.clone(),
            percent,
            disable_scale_in: given.get("DisableScaleIn").and_then(Value::as_bool).unwrap_or(false),
            in_cooldown: cooldown(given, "ScaleInCooldown")?,
            out_cooldown: cooldown(given, "ScaleOutCooldown")?,
            created_ms,
        });
        self.store(&key, &target).await?;
        Ok(json!({ "PolicyARN": key.policy_arn(account, &name), "Alarms": [] }))
    }

    pub(crate) async fn delete_policy(&self, account: &str, input: &Input) -> Result<Value> {
        let key = self.key(account, input)?;
        let name = text(input, "PolicyName").unwrap_or_default();
        let _changing = self.changing.lock().await;
        let mut target = self.target(&key).ok_or_else(|| no_policy(&key, name))?;
        if target.policy.as_ref().is_none_or(|policy| policy.name != name) {
            return Err(no_policy(&key, name));
        }
        target.policy = None;
        self.store(&key, &target).await?;
        Ok(json!({}))
    }

    pub(crate) fn describe_policies(&self, account: &str, input: &Input) -> Result<Value> {
        let names: Option<Vec<&str>> = input
            .get("PolicyNames")
            .and_then(Value::as_array)
            .map(|all| all.iter().filter_map(Value::as_str).collect());
        let (resource, dimension) = (text(input, "ResourceId"), text(input, "ScalableDimension"));
        let mut shown = Vec::new();
        for (key, target) in self.own_targets(account) {
            let Some(policy) = target.policy else { continue };
            let wanted = names
                .as_ref()
                .is_none_or(|names| names.is_empty() || names.contains(&policy.name.as_str()))
                && resource.is_none_or(|resource| resource == key.resource())
                && dimension.is_none_or(|dimension| dimension == key.dimension());
            if !wanted {
                continue;
            }
            let mut tracking = json!({
                "TargetValue": policy.percent,
                "PredefinedMetricSpecification": { "PredefinedMetricType": key.metric() },
                "DisableScaleIn": policy.disable_scale_in,
            });
            for (name, cooldown) in [
                ("ScaleInCooldown", policy.in_cooldown),
                ("ScaleOutCooldown", policy.out_cooldown),
            ] {
                if let Some(seconds) = cooldown {
                    tracking[name] = seconds.into();
                }
            }
            shown.push(json!({
                "PolicyARN": key.policy_arn(account, &policy.name),
                "PolicyName": policy.name,
                "ServiceNamespace": NAMESPACE,
                "ResourceId": key.resource(),
                "ScalableDimension": key.dimension(),
                "PolicyType": "TargetTrackingScaling",
                "TargetTrackingScalingPolicyConfiguration": tracking,
                "Alarms": [],
                "CreationTime": seconds(policy.created_ms),
            }));
        }
        page(input, "ScalingPolicies", shown)
    }
}

fn cooldown(given: &Input, name: &str) -> Result<Option<u32>> {
    let Some(seconds) = given.get(name).and_then(Value::as_i64) else {
        return Ok(None);
    };
    let seconds = u32::try_from(seconds);
    seconds
        .map(Some)
        .map_err(|_| ScalingError::validation(format!("{name} must not be negative")))
}

fn no_policy(key: &Key, name: &str) -> ScalingError {
    let (resource, dimension) = (key.resource(), key.dimension());
    ScalingError::new(
        "ObjectNotFoundException",
        format!(
            "No scaling policy found for service namespace: {NAMESPACE}, resource ID: {resource}, scalable dimension: \
             {dimension}, policy name: {name}"
        ),
    )
}
