//! What DescribeTableReplicaAutoScaling and UpdateTableReplicaAutoScaling of DynamoDB's API ask.

use geodynamo_api::scaling::{Answer, AutoScaling, PolicyChange, Setting, SettingChange, SettingOf};
use geodynamo_storage::Engine;

use crate::{
    Scaling, ScalingError,
    service::{PERCENT, default_role},
    target::Key,
};

impl From<&SettingOf> for Key {
    fn from(of: &SettingOf) -> Self {
        Self {
            region: of.region.clone(),
            table: of.table.clone(),
            index: of.index.clone(),
            write: of.write,
        }
    }
}

impl<E: Engine> AutoScaling for Scaling<E> {
    fn setting(&self, of: &SettingOf) -> Option<Setting> {
        let target = self.0.target(&of.into())?;
        Some(Setting {
            min: target.min,
            max: target.max,
            role: target
                .role
                .unwrap_or_else(|| default_role(self.0.tables.local().owner(&of.table))),
            policy: target.policy.map(|policy| PolicyChange {
                name: Some(policy.name),
                percent: policy.percent,
                disable_scale_in: Some(policy.disable_scale_in),
                in_cooldown: policy.in_cooldown,
                out_cooldown: policy.out_cooldown,
            }),
        })
    }

    fn change(&self, changes: Vec<(SettingOf, SettingChange)>) -> Answer<'_> {
        let shared = std::sync::Arc::clone(&self.0);
        Box::pin(async move {
            // Once begun it goes to its end.
            let changed = tokio::spawn(async move { shared.change_settings(changes).await }).await;
            match changed {
                Ok(Ok(())) => Ok(()),
                Ok(Err(error)) if error.fault.is_none() => Err(error.message),
                Ok(Err(error)) => Err(error.fault.unwrap_or_default().into()),
                Err(error) => Err(error.to_string()),
            }
        })
    }
}

/// What a policy must track.
pub(crate) fn check_percent(percent: f64) -> Result<(), ScalingError> {
    if PERCENT.contains(&percent) {
        return Ok(());
    }
    let (least, most) = (PERCENT.start(), PERCENT.end());
    Err(ScalingError::validation(format!(
        "TargetValue must be between {least} and {most} for DynamoDB: {percent}"
    )))
}
