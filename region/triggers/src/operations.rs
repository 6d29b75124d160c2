//! What the operations do.

use std::{collections::BTreeMap, sync::Arc};

use geodynamo_storage::Engine;
use geodynamo_table::{Keeper, StreamError, StreamName, is_account};
use serde_json::{Map, Value, json};

use crate::{
    MAPPINGS_MAX, Triggers,
    entry::Entry,
    failure::{TableArn, fault},
    function::{function_arn, parse_name},
    ids::uuid,
    mapping::{Checkpoint, Mapping, Settings, Start, State, checkpoint_row, pack},
    removed_rows,
    runner::{Stop, group},
    table_of,
    wire::error::{LambdaError, Result},
};

/// What says why a mapping is in its state.
const USER_ACTION: &str = "User action";
/// The most mappings in one answer.
const PAGE_MAX: usize = 100;
/// The most tags of a mapping.
const TAGS_MAX: usize = 50;

type Output = Map<String, Value>;

/// Answers an account's call whose parameters are checked, and that its caller may make.
pub(crate) async fn answer<E: Engine>(
    triggers: &Arc<Triggers<E>>,
    account: &str,
    operation: &str,
    input: &Map<String, Value>,
) -> Result<Option<Output>> {
    match operation {
        "CreateEventSourceMapping" => triggers.create(account, input).await.map(Some),
        "GetEventSourceMapping" => {
            let entry = triggers.entry(account, input)?;
            Ok(Some(triggers.show(&entry, entry.state())))
        }
        "ListEventSourceMappings" => triggers.list(account, input).map(Some),
        "UpdateEventSourceMapping" => triggers.update(account, input).await.map(Some),
        "DeleteEventSourceMapping" => triggers.delete(account, input).await.map(Some),
        "ListTags" => {
            let tags = triggers.tagged(account, input)?.mapping.lock().tags.clone();
            Ok(Some([("Tags".to_owned(), json!(tags))].into_iter().collect()))
        }
        "TagResource" => {
            let new = tags(input);
            triggers.change_tags(account, input, |tags| tags.extend(new)).await?;
            Ok(None)
        }
        "UntagResource" => {
            let gone = input.get("TagKeys").and_then(Value::as_array);
            let gone: Vec<&str> = gone.into_iter().flatten().filter_map(Value::as_str).collect();
            triggers
                .change_tags(account, input, |tags| {
                    tags.retain(|key, _| !gone.contains(&key.as_str()))
                })
                .await?;
            Ok(None)
        }
        other => Err(LambdaError::internal(format_args!("nothing answers {other}"))),
    }
}

impl<E: Engine> Triggers<E> {
    /// A mapping's ARN.
    pub(crate) fn arn(&self, account: &str, uuid: &str) -> String {
        let region = self.shared.tables.region();
        format!("arn:aws:lambda:{region}:{account}:event-source-mapping:{uuid}")
    }

    /// An account's mapping.
    pub(crate) fn entry_of(&self, account: &str, uuid: &str) -> Option<Arc<Entry>> {
        let entry = self.entries.lock().get(uuid).cloned();
        entry.filter(|entry| entry.mapping.lock().account() == account)
    }

    async fn create(self: &Arc<Self>, account: &str, input: &Map<String, Value>) -> Result<Output> {
        let text = |name: &str| input.get(name).and_then(Value::as_str);
        let Some(arn) = text("EventSourceArn") else {
            return Err(LambdaError::invalid(
                "Unrecognized event source, must be kinesis, dynamodb stream or sqs.",
            ));
        };
        let unknown = || LambdaError::invalid(format!("Stream not found: {arn}"));
        if arn.split(':').nth(2) != Some("dynamodb") {
            return Err(LambdaError::invalid(
                "Unrecognized event source, must be kinesis, dynamodb stream or sqs.",
            ));
        }
        // A mapping reads a stream of its own account.
        let is_others = |of: &str| is_account(of) && of != account;
        if arn.split(':').nth(4).is_some_and(is_others) {
            return Err(unknown());
        }
        let stream = self.shared.stream_of(account, arn).ok_or_else(unknown)?;
        let start = match text("StartingPosition") {
            Some("TRIM_HORIZON") => Start::TrimHorizon,
            Some("LATEST") => Start::Latest,
            Some(_) => {
                return Err(LambdaError::invalid(
                    "Unsupported starting position for event source: AT_TIMESTAMP is not supported for DynamoDB streams.",
                ));
            }
            None => {
                return Err(LambdaError::invalid(
                    "1 validation error detected: Value null at 'startingPosition' failed to satisfy constraint: Member \
                     must not be null.",
                ));
            }
        };
        let mut settings = Settings {
            function: self.known_function(account, text("FunctionName").unwrap_or_default())?,
            ..Settings::default()
        };
        settings.take(input)?;
        self.check_destination(account, arn, &settings)?;
        let tags = tags(input);
        check_tags(&tags)?;

        let _writing = self.writing.lock().await;
        self.check_new(arn, &settings.function)?;
        let uuid = uuid();
        let beginning = self.beginning(&stream, start).map_err(|error| match error {
            StreamError::NoStream => unknown(),
            error => LambdaError::internal(error),
        })?;
        let mapping = Mapping {
            uuid: uuid.clone(),
            stream: arn.to_owned(),
            start,
            enabled: input.get("Enabled").and_then(Value::as_bool).unwrap_or(true),
            modified_ms: self.shared.tables.now_ms(),
            settings,
            tags,
        };
        let mut rows = Vec::new();
        for (shard, checkpoint) in &beginning {
            let packed = pack(checkpoint).map_err(LambdaError::internal)?;
            rows.push((checkpoint_row(&uuid, shard), Some(packed)));
        }
        self.commit(&mapping, rows).await.map_err(LambdaError::internal)?;
        let entry = Arc::new(Entry::new(mapping, beginning, State::Creating));
        self.entries.lock().insert(uuid, Arc::clone(&entry));
        let shown = self.show(&entry, State::Creating);
        self.settle(entry, Stop::No);
        Ok(shown)
    }

    /// Where the shards that there are now begin. From what is LATEST at this moment on, nothing is missed: that is told
    /// before anyone is told of the mapping.
    fn beginning(&self, stream: &StreamName, start: Start) -> Result<BTreeMap<String, Checkpoint>, StreamError> {
        let tables = &self.shared.tables;
        let described = tables.streams().describe_stream(stream, None, None, usize::MAX)?;
        if start == Start::TrimHorizon {
            return Ok(BTreeMap::new());
        }
        let mut beginning = BTreeMap::new();
        for shard in described.shards {
            let done = shard.end.is_some();
            let after = match done {
                true => None,
                false => Some(tables.streams().shard_end(stream, &shard.id)?),
            };
            let checkpoint = Checkpoint {
                after,
                done,
                window: None,
            };
            beginning.insert(shard.id, checkpoint);
        }
        Ok(beginning)
    }

    fn list(&self, account: &str, input: &Map<String, Value>) -> Result<Output> {
        let text = |name: &str| input.get(name).and_then(Value::as_str);
        let function = match text("FunctionName") {
            None => None,
            Some(told) => Some(self.mapped_function(account, told)?),
        };
        let most = input.get("MaxItems").and_then(Value::as_u64);
        let most = most.map_or(PAGE_MAX, |most| usize::try_from(most).unwrap_or(PAGE_MAX).min(PAGE_MAX));
        let after = text("Marker").unwrap_or_default();
        let entries: Vec<_> = self.entries.lock().values().cloned().collect();
        let mut found = entries.iter().filter(|entry| {
            let mapping = entry.mapping.lock();
            mapping.uuid.as_str() > after
                && mapping.account() == account
                && function
                    .as_ref()
                    .is_none_or(|function| *function == mapping.settings.function)
                && text("EventSourceArn").is_none_or(|stream| stream == mapping.stream)
        });
        let page: Vec<_> = found.by_ref().take(most).collect();
        let mut output = Output::new();
        if found.next().is_some()
            && let Some(last) = page.last()
        {
            output.insert("NextMarker".into(), last.mapping.lock().uuid.clone().into());
        }
        let shown: Vec<Value> = page
            .into_iter()
            .map(|entry| Value::Object(self.show(entry, entry.state())))
            .collect();
        output.insert("EventSourceMappings".into(), shown.into());
        Ok(output)
    }

    async fn update(self: &Arc<Self>, account: &str, input: &Map<String, Value>) -> Result<Output> {
        let _writing = self.writing.lock().await;
        let entry = self.entry(account, input)?;
        let mut mapping = entry.mapping.lock().clone();
        if let Some(told) = input.get("FunctionName").and_then(Value::as_str) {
            let function = self.known_function(account, told)?;
            if function != mapping.settings.function {
                self.check_new(&mapping.stream, &function)?;
            }
            mapping.settings.function = function;
        }
        mapping.settings.take(input)?;
        self.check_destination(account, &mapping.stream, &mapping.settings)?;
        let was_enabled = mapping.enabled;
        if let Some(enabled) = input.get("Enabled").and_then(Value::as_bool) {
            mapping.enabled = enabled;
        }
        let state = match (was_enabled, mapping.enabled) {
            (true, false) => State::Disabling,
            (false, true) => State::Enabling,
            _ => State::Updating,
        };
        mapping.modified_ms = self.shared.tables.now_ms();
        if !entry.change_state(state) {
            return Err(in_use("update"));
        }
        if let Err(error) = self.commit(&mapping, Vec::new()).await {
            entry.set_state(if was_enabled { State::Enabled } else { State::Disabled });
            return Err(LambdaError::internal(error));
        }
        *entry.mapping.lock() = mapping;
        let shown = self.show(&entry, state);
        self.settle(entry, Stop::AfterInvocation);
        Ok(shown)
    }

    async fn delete(self: &Arc<Self>, account: &str, input: &Map<String, Value>) -> Result<Output> {
        let _writing = self.writing.lock().await;
        let entry = self.entry(account, input)?;
        let before = entry.state();
        if !entry.change_state(State::Deleting) {
            return Err(in_use("delete"));
        }
        let uuid = entry.mapping.lock().uuid.clone();
        let rows = removed_rows(&uuid, &entry);
        if let Err(error) = self
            .shared
            .tables
            .local()
            .keep(Keeper::Triggers, group(&uuid), rows)
            .await
        {
            entry.set_state(before);
            return Err(LambdaError::internal(error));
        }
        let shown = self.show(&entry, State::Deleting);
        self.settle(entry, Stop::Now);
        Ok(shown)
    }

    /// Removes the mappings of an account that is deleted.
    ///
    /// # Errors
    /// If that cannot be stored.
    pub async fn forget_account(self: &Arc<Self>, account: &str) -> std::result::Result<(), LambdaError> {
        let of_account: Vec<String> = {
            let entries = self.entries.lock();
            let of_account = entries
                .iter()
                .filter(|(_, entry)| entry.mapping.lock().account() == account);
            of_account.map(|(uuid, _)| uuid.clone()).collect()
        };
        for uuid in of_account {
            let input = [("UUID".to_owned(), uuid.into())].into_iter().collect();
            self.delete(account, &input).await?;
        }
        Ok(())
    }

    /// The mapping with the UUID of a call.
    fn entry(&self, account: &str, input: &Map<String, Value>) -> Result<Arc<Entry>> {
        let uuid = input.get("UUID").and_then(Value::as_str).unwrap_or_default();
        self.entry_of(account, uuid).ok_or_else(LambdaError::no_mapping)
    }

    /// The mapping with the ARN of a call.
    fn tagged(&self, account: &str, input: &Map<String, Value>) -> Result<Arc<Entry>> {
        let arn = input.get("Resource").and_then(Value::as_str).unwrap_or_default();
        let uuid = arn.rsplit(':').next().unwrap_or_default();
        self.entry_of(account, uuid)
            .filter(|_| self.arn(account, uuid) == arn)
            .ok_or_else(|| LambdaError::new("ResourceNotFoundException", format!("Resource not found: {arn}")))
    }

    async fn change_tags(
        &self,
        account: &str,
        input: &Map<String, Value>,
        change: impl FnOnce(&mut BTreeMap<String, String>),
    ) -> Result<()> {
        let _writing = self.writing.lock().await;
        let entry = self.tagged(account, input)?;
        let mut mapping = entry.mapping.lock().clone();
        change(&mut mapping.tags);
        check_tags(&mapping.tags)?;
        if entry.state() == State::Deleting {
            return Err(in_use("update"));
        }
        self.commit(&mapping, Vec::new()).await.map_err(LambdaError::internal)?;
        *entry.mapping.lock() = mapping;
        Ok(())
    }

    fn show(&self, entry: &Entry, state: State) -> Output {
        let mapping = entry.mapping.lock();
        mapping.shown(
            &self.arn(mapping.account(), &mapping.uuid),
            state,
            USER_ACTION,
            &entry.result(),
        )
    }

    /// The ARN of a function that is there, or that a mapping has although it is not there any more.
    fn mapped_function(&self, account: &str, told: &str) -> Result<String> {
        let tables = &self.shared.tables;
        let named = parse_name(told, tables.region(), account).map(|(name, version)| {
            let arn = function_arn(tables.region(), account, name);
            version.map_or_else(|| arn.clone(), |version| format!("{arn}:{version}"))
        });
        let is_mapped = |arn: &String| {
            let entries = self.entries.lock();
            entries
                .values()
                .any(|entry| entry.mapping.lock().settings.function == *arn)
        };
        match named.filter(is_mapped) {
            Some(arn) => Ok(arn),
            None => self.known_function(account, told),
        }
    }

    fn known_function(&self, account: &str, told: &str) -> Result<String> {
        self.function_arn(account, told).ok_or_else(|| {
            let tables = &self.shared.tables;
            let arn = match told.starts_with("arn:") {
                true => told.to_owned(),
                false => function_arn(tables.region(), account, told),
            };
            LambdaError::new("ResourceNotFoundException", format!("Function not found: {arn}"))
        })
    }

    /// That there is room for a mapping, and that it is not there yet.
    fn check_new(&self, stream: &str, function: &str) -> Result<()> {
        let entries = self.entries.lock();
        let same = entries.values().find_map(|entry| {
            let mapping = entry.mapping.lock();
            let is_same = mapping.stream == stream && mapping.settings.function == function;
            is_same.then(|| mapping.uuid.clone())
        });
        if let Some(uuid) = same {
            return Err(LambdaError::new(
                "ResourceConflictException",
                format!(
                    "The event source arn (\" {stream} \") and function (\" {} \") provided mapping already exists. Please \
                     update or delete the existing mapping with UUID {uuid}",
                    function.split(':').nth(6).unwrap_or(function)
                ),
            ));
        }
        if entries.len() >= MAPPINGS_MAX {
            return Err(LambdaError::new(
                "TooManyRequestsException",
                format!("A region has at most {MAPPINGS_MAX} event source mappings."),
            ));
        }
        Ok(())
    }

    /// That notes of a mapping can go where they are to.
    fn check_destination(&self, account: &str, stream: &str, settings: &Settings) -> Result<()> {
        let Some(arn) = &settings.on_failure else {
            return Ok(());
        };
        let fault = match TableArn::parse(arn) {
            Some(table) => {
                fault(&self.shared.tables, account, table, table_of(stream)).map(|fault| format!(" ({fault})"))
            }
            None => {
                let of = self.shared.destinations.of(self.shared.other(account), arn);
                of.is_none().then(String::new)
            }
        };
        match fault {
            None => Ok(()),
            Some(fault) => Err(LambdaError::invalid(format!(
                "The provided destination config DestinationConfig(onSuccess=null, \
                 onFailure=OnFailure(destination={arn})) is invalid.{fault}"
            ))),
        }
    }
}

fn in_use(verb: &str) -> LambdaError {
    LambdaError::new(
        "ResourceInUseException",
        format!("Cannot {verb} the event source mapping because it is in use."),
    )
}

fn tags(input: &Map<String, Value>) -> BTreeMap<String, String> {
    let tags = input.get("Tags").and_then(Value::as_object);
    let tag = |(key, value): (&String, &Value)| Some((key.clone(), value.as_str()?.to_owned()));
    tags.into_iter().flatten().filter_map(tag).collect()
}

fn check_tags(tags: &BTreeMap<String, String>) -> Result<()> {
    if tags.len() > TAGS_MAX {
        return Err(LambdaError::invalid(format!(
            "The number of tags exceeds the limit of {TAGS_MAX}."
        )));
    }
    if tags.keys().any(|key| key.to_ascii_lowercase().starts_with("aws:")) {
        return Err(LambdaError::invalid(
            "Tag keys starting with 'aws:' are reserved for system use.",
        ));
    }
    Ok(())
}
