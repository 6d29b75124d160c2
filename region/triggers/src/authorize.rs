//! Who may call: Lambda's actions, as "Actions, resources, and condition keys for AWS Lambda" in the Service Authorization
//! Reference has them.

use std::collections::BTreeMap;

use geodynamo_policy::{Context as Keys, ContextValue, Request, evaluate};
use geodynamo_storage::Engine;
use serde_json::{Map, Value};

use crate::{
    Triggers,
    call::{Authorization, Call},
    wire::error::{LambdaError, Result},
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

impl<E: Engine> Triggers<E> {
    /// Refuses a call that its caller may not make. Gives what would be refused, where that is only to be told, and the
    /// resource.
    pub(crate) fn authorize(
        &self,
        call: &Call<'_>,
        operation: &str,
        input: &Map<String, Value>,
    ) -> Result<(Option<String>, String)> {
        let tables = &self.shared.tables;
        let text = |name: &str| input.get(name).and_then(Value::as_str);
        let uuid = text("UUID");
        let resource = match (uuid, text("Resource")) {
            (Some(uuid), _) => self.arn(uuid),
            (None, Some(arn)) => arn.to_owned(),
            (None, None) => "*".to_owned(),
        };
        if call.authorization == Authorization::Off {
            return Ok((None, resource));
        }
        let mut keys = CallKeys::default();
        let mut set = |key: String, value: String| drop(keys.0.insert(key, Values::Single(value)));
        let known = uuid.or_else(|| resource.rsplit(':').next());
        let entry = known.and_then(|uuid| self.entries.lock().get(uuid).cloned());
        let held = entry.map(|entry| entry.mapping.lock().clone());
        let function = match text("FunctionName") {
            // One that there is not has an ARN, too.
            Some(told) => Some(self.function_arn(told).unwrap_or_else(|| told.to_owned())),
            None => held.as_ref().map(|mapping| mapping.settings.function.clone()),
        };
        if let Some(function) = function {
            set("lambda:functionarn".into(), function);
        }
        let stream = text("EventSourceArn").or(held.as_ref().map(|mapping| mapping.stream.as_str()));
        if let Some(stream) = stream {
            set("lambda:eventsourcearn".into(), stream.to_owned());
        }
        for (key, value) in held.iter().flat_map(|mapping| &mapping.tags) {
            set(format!("aws:resourcetag/{}", key.to_lowercase()), value.clone());
        }
        let mut tag_keys: Vec<String> = Vec::new();
        if let Some(tags) = input.get("Tags").and_then(Value::as_object) {
            for (key, value) in tags {
                let value = value.as_str().unwrap_or_default();
                set(format!("aws:requesttag/{}", key.to_lowercase()), value.to_owned());
                tag_keys.push(key.clone());
            }
        }
        if let Some(told) = input.get("TagKeys").and_then(Value::as_array) {
            tag_keys.extend(told.iter().filter_map(Value::as_str).map(str::to_owned));
        }
        if !tag_keys.is_empty() {
            keys.0.insert("aws:tagkeys".into(), Values::Multi(tag_keys));
        }
        let action = format!("lambda:{operation}");
        let request = Request {
            action: &action,
            resource: &resource,
            resource_account: tables.account(),
            environment: &call.environment,
            context: &keys,
        };
        let refusal = evaluate(call.caller, None, &request).message(call.caller, &request);
        match (refusal, call.authorization) {
            (Some(message), Authorization::Enforce) => Err(LambdaError::new("AccessDeniedException", message)),
            (refusal, _) => Ok((refusal, resource)),
        }
    }
}
