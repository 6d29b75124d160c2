//! Selections: which tables a plan is for.

use geodynamo_storage::Engine;
use serde_json::{Value, json};

use crate::{
    BackupError, SELECTIONS_MAX, Shared,
    error::Result,
    page::{latest_first, lean, page, seconds},
    points::role_of,
    state::{Row, Selection, Tags},
    uuid,
    wire::{Input, required, text},
};

/// The most ARNs of a selection.
const RESOURCES_MAX: usize = 500;
/// The most conditions of a selection, of each kind.
const CONDITIONS_MAX: usize = 50;
/// What the keys of conditions begin with.
const RESOURCE_TAG: &str = "aws:ResourceTag/";
/// The most names that are read of the tables at a time.
const TABLES_AT_ONCE: usize = 1000;

impl Selection {
    fn body(&self) -> Value {
        // It was written from one.
        serde_json::from_str(&self.body).unwrap_or_default()
    }

    pub(crate) fn role(&self) -> String {
        self.body()["IamRoleArn"].as_str().unwrap_or_default().to_owned()
    }
}

/// Whether a selection's document selects a table of this ARN and with these tags.
///
/// A table is selected by its ARN (`Resources`, with `*`) or by one of its tags (`ListOfTags`); if neither is told, every table
/// is. Then all `Conditions` must hold, and no ARN of `NotResources` may.
pub(crate) fn selects(body: &Value, arn: &str, tags: &Tags) -> bool {
    let array = |name: &str| body[name].as_array().map(Vec::as_slice).unwrap_or_default();
    let by_arn = |list: &[Value]| {
        let mut patterns = list.iter().filter_map(Value::as_str);
        patterns.any(|pattern| is_like(pattern, arn))
    };
    let (resources, by_tags) = (array("Resources"), array("ListOfTags"));
    let tag = |key: &str| {
        tags.get(key.strip_prefix(RESOURCE_TAG).unwrap_or(key))
            .map(String::as_str)
    };
    let text = |condition: &Value, name: &str| condition[name].as_str().unwrap_or_default().to_owned();
    let tagged = by_tags
        .iter()
        .any(|condition| tag(&text(condition, "ConditionKey")) == Some(&text(condition, "ConditionValue")));
    let chosen = (resources.is_empty() && by_tags.is_empty()) || by_arn(resources) || tagged;
    let conditions = &body["Conditions"];
    let all = |name: &str, holds: fn(Option<&str>, &str) -> bool| {
        let mut told = conditions[name].as_array().into_iter().flatten();
        told.all(|condition| {
            holds(
                tag(&text(condition, "ConditionKey")),
                &text(condition, "ConditionValue"),
            )
        })
    };
    chosen
        && !by_arn(array("NotResources"))
        && all("StringEquals", |tag, value| tag == Some(value))
        && all("StringNotEquals", |tag, value| tag != Some(value))
        && all("StringLike", |tag, value| tag.is_some_and(|tag| is_like(value, tag)))
        && all("StringNotLike", |tag, value| tag.is_none_or(|tag| !is_like(value, tag)))
}

/// Whether a text is one that a pattern stands for, whose `*` stand for any text.
fn is_like(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else {
        return false;
    };
    let Some(last) = parts.next_back() else {
        return rest.is_empty();
    };
    for part in parts {
        let Some(place) = rest.find(part) else { return false };
        rest = &rest[place + part.len()..];
    }
    rest.ends_with(last)
}

fn check(selection: &Value) -> Result<()> {
    let count = |value: &Value| value.as_array().map_or(0, Vec::len);
    let arns = ["Resources", "NotResources"];
    for name in arns {
        if count(&selection[name]) > RESOURCES_MAX {
            return Err(BackupError::invalid(format!("{name} has {RESOURCES_MAX} ARNs at most")));
        }
        for arn in selection[name]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
        {
            if arn != "*" && !arn.starts_with("arn:") {
                return Err(BackupError::invalid(format!("Invalid ARN: {arn}")));
            }
        }
    }
    let kinds = ["StringEquals", "StringNotEquals", "StringLike", "StringNotLike"];
    let conditions = &selection["Conditions"];
    let many = kinds.iter().any(|kind| count(&conditions[*kind]) > CONDITIONS_MAX);
    if many || count(&selection["ListOfTags"]) > CONDITIONS_MAX {
        return Err(BackupError::invalid(format!(
            "A selection has {CONDITIONS_MAX} conditions of a kind at most"
        )));
    }
    let told = kinds.iter().any(|kind| count(&conditions[*kind]) > 0);
    if !told
        && arns
            .iter()
            .chain(&["ListOfTags"])
            .all(|name| count(&selection[*name]) == 0)
    {
        return Err(BackupError::invalid("A selection names resources, tags or conditions"));
    }
    Ok(())
}

impl<E: Engine> Shared<E> {
    /// The tables that a selection has now, by the names that clients give them.
    pub(crate) fn selected(&self, selection: &Selection) -> Vec<String> {
        let body = selection.body();
        let (mut all, mut after) = (Vec::new(), None);
        loop {
            let (names, last) = self
                .tables
                .local()
                .list_of(&self.account, after.as_deref(), TABLES_AT_ONCE);
            for name in names {
                let stored = self.stored(&name).unwrap_or_default();
                let tags = self.tables.catalog().tags(&stored).unwrap_or_default();
                if selects(&body, &self.table_arn(&name), &tags) {
                    all.push(name);
                }
            }
            after = last;
            if after.is_none() {
                return all;
            }
        }
    }

    pub(crate) async fn create_selection(&self, input: &Input) -> Result<Value> {
        let id = required(input, "BackupPlanId")?;
        let body = input.get("BackupSelection").cloned().unwrap_or_default();
        check(&body)?;
        if let Value::Object(members) = &body {
            role_of(members)?;
        }
        let request = text(input, "CreatorRequestId");
        let _changing = self.changing.lock().await;
        let plan = self.plan(id)?;
        let there: Vec<Selection> = {
            let known = self.known.lock();
            known
                .selections
                .values()
                .filter(|known| known.plan == id)
                .cloned()
                .collect()
        };
        let answer = |selection: &Selection| {
            json!({
                "SelectionId": selection.id,
                "BackupPlanId": selection.plan,
                "CreationDate": seconds(selection.created_ms),
            })
        };
        let again = there
            .iter()
            .find(|known| request.is_some() && known.creator_request.as_deref() == request);
        if let Some(again) = again {
            return Ok(answer(again));
        }
        if there
            .iter()
            .any(|known| known.body()["SelectionName"] == body["SelectionName"])
        {
            return Err(BackupError::exists(format!(
                "The plan has a selection of this name: {}",
                body["SelectionName"]
            )));
        }
        if there.len() >= SELECTIONS_MAX {
            return Err(BackupError::limit(format!(
                "A plan has {SELECTIONS_MAX} selections at most"
            )));
        }
        let selection = Selection {
            id: uuid().to_lowercase(),
            plan: plan.id,
            created_ms: self.tables.now_ms(),
            creator_request: request.map(str::to_owned),
            body: body.to_string(),
        };
        self.commit(vec![Row::Selection(selection.clone())], Vec::new()).await?;
        Ok(answer(&selection))
    }

    fn selection(&self, input: &Input) -> Result<Selection> {
        let (plan, id) = (required(input, "BackupPlanId")?, required(input, "SelectionId")?);
        let found = self.known.lock().selections.get(id).cloned();
        found
            .filter(|selection| selection.plan == plan)
            .ok_or_else(|| BackupError::not_found(format!("Backup selection does not exist: {id}")))
    }

    pub(crate) fn get_selection(&self, input: &Input) -> Result<Value> {
        let selection = self.selection(input)?;
        Ok(lean(json!({
            "BackupSelection": selection.body(),
            "SelectionId": selection.id,
            "BackupPlanId": selection.plan,
            "CreationDate": seconds(selection.created_ms),
            "CreatorRequestId": selection.creator_request,
        })))
    }

    pub(crate) fn list_selections(&self, input: &Input) -> Result<Value> {
        let plan = self.plan(required(input, "BackupPlanId")?)?;
        let selections: Vec<Selection> = self.known.lock().selections.values().cloned().collect();
        let of_plan = selections.iter().filter(|selection| selection.plan == plan.id);
        let shown = of_plan.map(|selection| {
            let value = lean(json!({
                "SelectionId": selection.id,
                "SelectionName": selection.body()["SelectionName"],
                "BackupPlanId": selection.plan,
                "CreationDate": seconds(selection.created_ms),
                "CreatorRequestId": selection.creator_request,
                "IamRoleArn": selection.role(),
            }));
            (latest_first(selection.created_ms, &selection.id), value)
        });
        Ok(page(input, "BackupSelectionsList", shown.collect()))
    }

    pub(crate) async fn delete_selection(&self, input: &Input) -> Result<Value> {
        let _changing = self.changing.lock().await;
        let selection = self.selection(input)?;
        self.commit(Vec::new(), vec![Row::Selection(selection)]).await?;
        Ok(Value::Null)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, text, expect) in [
            ("*", "", true),
            ("a", "a", true),
            ("a", "ab", false),
            ("a*", "ab", true),
            ("*b", "ab", true),
            ("a*c*e", "abcde", true),
            ("a*c*e", "abde", false),
            ("ab*ba", "aba", false),
            ("", "a", false),
        ] {
            assert_eq!(is_like(pattern, text), expect, "{pattern} {text}");
        }
    }

    #[test]
    fn what_is_selected() {
        const ARN: &str = "arn:aws:dynamodb:eu:0:table/orders";
        let tags: Tags = [("stage", "prod"), ("team", "a1")]
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .into();
        let tag = |key: &str, value: &str| json!([{ "ConditionType": "STRINGEQUALS", "ConditionKey": key, "ConditionValue": value }]);
        let when = |kind: &str, key: &str, value: &str| {
            let key = format!("aws:ResourceTag/{key}");
            json!({ "Conditions": { kind: [{ "ConditionKey": key, "ConditionValue": value }] } })
        };
        for (body, expect) in [
            (json!({ "Resources": [ARN] }), true),
            (json!({ "Resources": ["arn:aws:dynamodb:*:*:table/or*"] }), true),
            (json!({ "Resources": ["*"], "NotResources": ["*orders"] }), false),
            (json!({ "Resources": ["arn:aws:dynamodb:eu:0:table/order"] }), false),
            (json!({ "Resources": ["*s"], "ListOfTags": tag("stage", "test") }), true),
            (json!({ "ListOfTags": tag("stage", "prod") }), true),
            (json!({ "ListOfTags": tag("stage", "test") }), false),
            (when("StringEquals", "stage", "prod"), true),
            (when("StringEquals", "stage", "test"), false),
            (when("StringNotEquals", "stage", "test"), true),
            (when("StringLike", "team", "a*"), true),
            (when("StringLike", "nobody", "*"), false),
            (when("StringNotLike", "team", "a*"), false),
        ] {
            assert_eq!(selects(&body, ARN, &tags), expect, "{body}");
        }
    }
}
