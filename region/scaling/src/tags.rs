//! Tags of scalable targets.

use std::collections::BTreeMap;

use geodynamo_storage::Engine;
use serde_json::{Value, json};

use crate::{
    Shared,
    error::ScalingError,
    service::{Input, Result, text},
    target::{Key, Row, Target},
};

/// The most tags of a target.
const TAGS_MAX: usize = 50;

impl<E: Engine> Shared<E> {
    pub(crate) fn by_arn(&self, account: &str, input: &Input) -> Result<(Key, Target)> {
        let arn = text(input, "ResourceARN").unwrap_or_default();
        let found = self
            .own_targets(account)
            .into_iter()
            .find(|(key, _)| key.arn(account) == arn);
        found.ok_or_else(|| {
            ScalingError::new(
                "ResourceNotFoundException",
                format!("No scalable target found for ARN: {arn}"),
            )
        })
    }

    pub(crate) async fn tag(&self, account: &str, input: &Input) -> Result<Value> {
        let _changing = self.changing.lock().await;
        let (key, mut target) = self.by_arn(account, input)?;
        target.tags.extend(tags(input)?);
        if target.tags.len() > TAGS_MAX {
            return Err(ScalingError::new(
                "TooManyTagsException",
                format!("A scalable target can have at most {TAGS_MAX} tags"),
            ));
        }
        self.commit(vec![Row::Target(key, target)], Vec::new()).await?;
        Ok(json!({}))
    }

    pub(crate) async fn untag(&self, account: &str, input: &Input) -> Result<Value> {
        let _changing = self.changing.lock().await;
        let (key, mut target) = self.by_arn(account, input)?;
        let names = input.get("TagKeys").and_then(Value::as_array);
        for name in names.into_iter().flatten().filter_map(Value::as_str) {
            target.tags.remove(name);
        }
        self.commit(vec![Row::Target(key, target)], Vec::new()).await?;
        Ok(json!({}))
    }
}

/// The tags that a call gives.
pub(crate) fn tags(input: &Input) -> Result<BTreeMap<String, String>> {
    let Some(given) = input.get("Tags").and_then(Value::as_object) else {
        return Ok(BTreeMap::new());
    };
    if given.len() > TAGS_MAX {
        return Err(ScalingError::validation(format!(
            "A scalable target can have at most {TAGS_MAX} tags"
        )));
    }
    let tag = |(name, value): (&String, &Value)| (name.clone(), value.as_str().unwrap_or_default().to_owned());
    Ok(given.iter().map(tag).collect())
}
