//! Who may call: Lambda's actions, as "Actions, resources, and condition keys for AWS Lambda" in the Service Authorization
//! Reference has them.

use std::collections::BTreeMap;

use geodynamo_policy::{Context as Keys, ContextValue, Policy, PolicyKind, Request, evaluate};
use geodynamo_storage::Engine;
use serde_json::{Map, Value};

use crate::{
    Triggers,
    call::{Authorization, Call},
    failure::{NOTE_ATTRIBUTES, TableArn},
    wire::error::{LambdaError, Result},
};

/// What puts notes into a table.
const PUT: &str = "dynamodb:PutItem";
/// What stands for a table's policy that cannot be read: nobody may do anything.
const UNREADABLE: &str = r#"{"Statement":{"Effect":"Deny","Principal":"*","Action":"*","Resource":"*"}}"#;

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
        let text = |name: &str| input.get(name).and_then(Value::as_str);
        let (uuid, account) = (text("UUID"), &*call.caller.account);
        let resource = match (uuid, text("Resource")) {
            (Some(uuid), _) => self.arn(account, uuid),
            (None, Some(arn)) => arn.to_owned(),
            (None, None) => "*".to_owned(),
        };
        if call.authorization == Authorization::Off {
            return Ok((None, resource));
        }
        let mut keys = CallKeys::default();
        let mut set = |key: String, value: String| drop(keys.0.insert(key, Values::Single(value)));
        let known = uuid.or_else(|| resource.rsplit(':').next());
        let entry = known.and_then(|uuid| self.entry_of(account, uuid));
        let held = entry.map(|entry| entry.mapping.lock().clone());
        let function = match text("FunctionName") {
            // One that there is not has an ARN, too.
            Some(told) => Some(self.function_arn(account, told).unwrap_or_else(|| told.to_owned())),
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
            resource_account: account,
            environment: &call.environment,
            context: &keys,
        };
        let refusal = evaluate(call.caller, None, &request).message(call.caller, &request);
        let refusal = refusal.or_else(|| self.refused_table(call, input, uuid));
        match (refusal, call.authorization) {
            (Some(message), Authorization::Enforce) => Err(LambdaError::new("AccessDeniedException", message)),
            (refusal, _) => Ok((refusal, resource)),
        }
    }

    /// What refuses to let a caller's mapping put notes into the table that a call names, if it names one and something does.
    fn refused_table(&self, call: &Call<'_>, input: &Map<String, Value>, uuid: Option<&str>) -> Option<String> {
        let on_failure = input.get("DestinationConfig")?.get("OnFailure")?;
        let arn = on_failure.get("Destination")?.as_str()?;
        let named = TableArn::parse(arn)?;
        let tables = &self.shared.tables;
        let table = named
            .stored(tables.account())
            .and_then(|stored| tables.table_named(&stored).ok());
        let stored = table.as_ref().and_then(|table| table.resource_policy(tables.region()));
        let policy = stored.and_then(|stored| {
            let parsed = Policy::parse(&stored.text, PolicyKind::Resource);
            parsed.or_else(|_| Policy::parse(UNREADABLE, PolicyKind::Resource)).ok()
        });
        // Keys of notes begin with the mapping's id, which a new one does not have yet.
        let mut attributes: Vec<String> = NOTE_ATTRIBUTES.map(str::to_owned).into();
        let keys = table.as_ref().map(|table| table.keys().attributes());
        attributes.extend(keys.into_iter().flatten().map(|key| key.name.clone()));
        let keys = CallKeys(BTreeMap::from([
            (
                "dynamodb:leadingkeys".to_owned(),
                Values::Multi(vec![uuid.unwrap_or_default().to_owned()]),
            ),
            ("dynamodb:attributes".to_owned(), Values::Multi(attributes)),
        ]));
        let request = Request {
            action: PUT,
            resource: arn,
            resource_account: named.account,
            environment: &call.environment,
            context: &keys,
        };
        evaluate(call.caller, policy.as_ref(), &request).message(call.caller, &request)
    }
}
