//! Tags of vaults, plans and recovery points.

use geodynamo_storage::Engine;
use serde_json::{Value, json};

use crate::{
    BackupError, PLAN, Shared, VAULT,
    error::Result,
    state::{Plan, Row, Tags, Vault},
    wire::{Input, required},
};

/// The most tags of a resource.
const TAGS_MAX: usize = 50;
/// The longest key, in characters.
const KEY_LEN_MAX: usize = 128;
/// The longest value, in characters.
const VALUE_LEN_MAX: usize = 256;

/// What a tag is of.
enum Tagged {
    Vault(Vault),
    Plan(Plan),
    Point(String, Tags),
}

/// A map of tags that a call brings; none if it brings none.
pub(crate) fn tags_of(input: &Input, member: &str) -> Result<Tags> {
    input.get(member).map_or_else(|| Ok(Tags::new()), read)
}

/// Tags from their document.
pub(crate) fn read(told: &Value) -> Result<Tags> {
    let mut tags = Tags::new();
    for (key, value) in told.as_object().into_iter().flatten() {
        let value = value.as_str().unwrap_or_default();
        let fits = (1..=KEY_LEN_MAX).contains(&key.chars().count()) && value.chars().count() <= VALUE_LEN_MAX;
        if !fits || key.starts_with("aws:") {
            return Err(BackupError::invalid(format!("Invalid tag: {key}")));
        }
        tags.insert(key.clone(), value.to_owned());
    }
    few(&tags)?;
    Ok(tags)
}

fn few(tags: &Tags) -> Result<()> {
    if tags.len() > TAGS_MAX {
        return Err(BackupError::limit(format!("A resource has {TAGS_MAX} tags at most")));
    }
    Ok(())
}

impl<E: Engine> Shared<E> {
    async fn tagged(&self, arn: &str) -> Result<Tagged> {
        if let Some(name) = arn.strip_prefix(&self.arn(VAULT, "")) {
            return self.vault(name).map(Tagged::Vault);
        }
        if let Some(id) = arn.strip_prefix(&self.arn(PLAN, "")) {
            return self.plan(id).map(Tagged::Plan);
        }
        let point = self.points().await?.into_iter().find(|point| point.backup.arn == arn);
        let point = point.ok_or_else(|| BackupError::not_found(format!("Resource does not exist: {arn}")))?;
        let tags = point.tags().clone();
        Ok(Tagged::Point(point.backup.arn, tags))
    }

    pub(crate) async fn list_tags(&self, input: &Input) -> Result<Value> {
        let tags = match self.tagged(required(input, "ResourceArn")?).await? {
            Tagged::Vault(vault) => vault.tags,
            Tagged::Plan(plan) => plan.tags,
            Tagged::Point(_, tags) => tags,
        };
        Ok(json!({ "Tags": tags }))
    }

    pub(crate) async fn tag(&self, input: &Input) -> Result<Value> {
        let added = tags_of(input, "Tags")?;
        self.change_tags(input, |tags| tags.extend(added)).await
    }

    pub(crate) async fn untag(&self, input: &Input) -> Result<Value> {
        let keys: Vec<&str> = input
            .get("TagKeyList")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        self.change_tags(input, |tags| tags.retain(|key, _| !keys.contains(&key.as_str())))
            .await
    }

    async fn change_tags(&self, input: &Input, change: impl FnOnce(&mut Tags)) -> Result<Value> {
        let _changing = self.changing.lock().await;
        let row = match self.tagged(required(input, "ResourceArn")?).await? {
            Tagged::Vault(mut vault) => {
                change(&mut vault.tags);
                few(&vault.tags)?;
                self.store_vault(&vault).await?;
                return Ok(Value::Null);
            }
            Tagged::Plan(mut plan) => {
                change(&mut plan.tags);
                few(&plan.tags)?;
                Row::Plan(plan)
            }
            Tagged::Point(arn, mut tags) => {
                change(&mut tags);
                few(&tags)?;
                let mut marks = self.marks(&arn);
                marks.tags = Some(tags);
                Row::Marks(marks)
            }
        };
        self.commit(vec![row], Vec::new()).await?;
        Ok(Value::Null)
    }
}
