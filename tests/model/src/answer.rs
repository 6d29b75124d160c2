//! What is answered to a request, in a form that can be compared.

use serde_json::{Map, Value as Json};

/// Stands for what is not known of a reply.
pub(crate) const UNKNOWN: &str = "unknown";

/// An answer as the model expects it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Expected {
    /// The reply, with every set and every unordered list sorted.
    Reply(Json),
    /// Any of these: which of several faults is told, DynamoDB does not say.
    Refused(Vec<Refusal>),
    /// A reply whose `Responses` each tell a success or a failure of their own, and the rest of it.
    Each(Vec<Each>, Json),
}

/// One of the responses of a batch of statements.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Each {
    Done(Json),
    /// Any of these, told with the table's name if the statement could be read.
    Failed(Vec<Refusal>, Option<String>),
}

/// An error.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Refusal {
    pub(crate) kind: &'static str,
    /// `None` if the words are not known.
    pub(crate) text: Option<String>,
    /// A part of the words, if that is what is known of them.
    pub(crate) part: Option<&'static str>,
    /// The item of a failed condition.
    pub(crate) item: Option<Json>,
    /// Of a cancelled transaction: what is wrong with each action, in their order. Of several things any may be told; an
    /// action with none is not to blame.
    pub(crate) reasons: Vec<Vec<Refusal>>,
}

impl Refusal {
    /// A ValidationException; an empty text is one that is not known.
    pub(crate) fn invalid(text: impl Into<String>) -> Self {
        Self::of("ValidationException", text)
    }

    /// A ValidationException of which some words are known.
    pub(crate) fn saying(part: &'static str) -> Self {
        Self {
            part: Some(part),
            ..Self::invalid("")
        }
    }

    /// Of two changes of a table's indexes at a time.
    pub(crate) fn simultaneous() -> Self {
        Self::of("LimitExceededException", "")
    }

    pub(crate) fn canceled(reasons: Vec<Vec<Self>>) -> Self {
        Self {
            reasons,
            ..Self::of("TransactionCanceledException", "")
        }
    }

    pub(crate) fn duplicate_item() -> Self {
        Self::of("DuplicateItemException", "Duplicate primary key exists in table")
    }

    pub(crate) fn parameter_mismatch() -> Self {
        // The words that AWS has for it are not in its documents.
        Self::of("IdempotentParameterMismatchException", "")
    }

    pub(crate) fn no_table() -> Self {
        Self::of("ResourceNotFoundException", "Requested resource not found")
    }

    pub(crate) fn condition_failed(item: Option<Json>) -> Self {
        Self {
            item,
            ..Self::of("ConditionalCheckFailedException", "The conditional request failed")
        }
    }

    fn of(kind: &'static str, text: impl Into<String>) -> Self {
        Self {
            kind,
            text: Some(text.into()).filter(|text| !text.is_empty()),
            part: None,
            item: None,
            reasons: Vec::new(),
        }
    }

    fn matches(&self, reply: &Json) -> bool {
        let kind = reply["__type"].as_str().unwrap_or_default();
        let text = reply["message"]
            .as_str()
            .or(reply["Message"].as_str())
            .unwrap_or_default();
        kind.rsplit('#').next() == Some(self.kind)
            && self.says(text)
            && self.item.as_ref().unwrap_or(&Json::Null) == &reply["Item"]
            && self.is_reasoned(text, &reply["CancellationReasons"])
    }

    fn says(&self, text: &str) -> bool {
        self.text.as_ref().is_none_or(|expected| expected == text) && self.part.is_none_or(|part| text.contains(part))
    }

    /// Whether a cancelled transaction's reasons are these, and its message lists their codes.
    fn is_reasoned(&self, text: &str, reasons: &Json) -> bool {
        if self.reasons.is_empty() {
            return reasons.is_null();
        }
        let reasons = reasons.as_array().map_or(&[][..], Vec::as_slice);
        let codes: Vec<_> = reasons.iter().filter_map(|reason| reason["Code"].as_str()).collect();
        let listed = format!(
            "Transaction cancelled, please refer cancellation reasons for specific reasons [{}]",
            codes.join(", ")
        );
        let fits = |(expected, found): (&Vec<Self>, &Json)| {
            if expected.is_empty() {
                *found == serde_json::json!({ "Code": "None" })
            } else {
                expected.iter().any(|refusal| refusal.is_part(found))
            }
        };
        text == listed && self.reasons.len() == reasons.len() && self.reasons.iter().zip(reasons).all(fits)
    }

    /// Whether this is what an action of a transaction, or a statement of a batch, is told to have failed for.
    fn is_part(&self, found: &Json) -> bool {
        let code = match self.kind {
            "ValidationException" => "ValidationError",
            kind => kind.trim_end_matches("Exception"),
        };
        let text = found["Message"].as_str().unwrap_or_default();
        found["Code"] == code && self.says(text) && self.item.as_ref().unwrap_or(&Json::Null) == &found["Item"]
    }
}

impl Each {
    fn is_met_by(&self, response: &Json) -> bool {
        match self {
            Self::Done(expected) => expected == response,
            Self::Failed(list, table) => {
                let name = table.as_ref().map_or(Json::Null, |name| name.as_str().into());
                response["TableName"] == name
                    && response["Item"].is_null()
                    && list.iter().any(|refusal| refusal.is_part(&response["Error"]))
            }
        }
    }
}

impl Expected {
    pub(crate) fn of(reply: Result<Json, Vec<Refusal>>) -> Self {
        match reply {
            Ok(reply) => Self::Reply(settled(reply)),
            Err(refusals) => Self::Refused(refusals),
        }
    }

    /// Whether a reply with this status is the expected one. The reply is [`settled`].
    pub(crate) fn is_met_by(&self, status: u16, reply: &Json) -> bool {
        match self {
            Self::Reply(expected) => status == 200 && expected == reply,
            Self::Refused(list) => status == 400 && list.iter().any(|refusal| refusal.matches(reply)),
            Self::Each(each, rest) => {
                let mut found = reply.clone();
                let responses = match found.as_object_mut().and_then(|members| members.remove("Responses")) {
                    Some(Json::Array(responses)) => responses,
                    _ => Vec::new(),
                };
                let met = each.iter().zip(&responses).all(|(each, found)| each.is_met_by(found));
                // Whatever it consumed, where that is not known.
                if rest["ConsumedCapacity"] == UNKNOWN
                    && let Some(capacity) = found.get_mut("ConsumedCapacity")
                {
                    *capacity = UNKNOWN.into();
                }
                status == 200 && each.len() == responses.len() && met && *rest == found
            }
        }
    }
}

/// The document with numbers of more than 38 digits in exponents, as a planted fault has it.
pub(crate) fn with_exponents(document: Json) -> Json {
    match document {
        Json::Object(map) => {
            let entry = |(key, value): (String, Json)| match (key.as_str(), value) {
                ("N", Json::String(text)) if text.len() > 38 && !text.contains('.') => {
                    let digits = text.trim_start_matches('-').len();
                    let text = format!("{}E+{}", text.trim_end_matches('0'), digits - 1);
                    (key, text.into())
                }
                (_, value) => (key, with_exponents(value)),
            };
            Json::Object(map.into_iter().map(entry).collect())
        }
        Json::Array(list) => Json::Array(list.into_iter().map(with_exponents).collect()),
        other => other,
    }
}

/// A document in which everything that has no order is sorted: sets, the items of batches, lists of consumed capacity.
pub(crate) fn settled(document: Json) -> Json {
    match document {
        Json::Object(map) => {
            let sorts = |key: &str, value: &Json| match key {
                "SS" | "NS" | "BS" | "ConsumedCapacity" => value.is_array(),
                _ => false,
            };
            let entry = |(key, value): (String, Json)| {
                let unordered = sorts(&key, &value);
                let value = match (key.as_str(), settled(value)) {
                    // What is in a token is nobody's business.
                    ("NextToken", Json::String(_)) => true.into(),
                    ("Table" | "TableDescription", Json::Object(table)) => description(table),
                    ("Responses" | "ItemCollectionMetrics", Json::Object(tables)) => {
                        Json::Object(tables.into_iter().map(|(name, list)| (name, sorted(list))).collect())
                    }
                    (_, value) if unordered => sorted(value),
                    (_, value) => value,
                };
                (key, value)
            };
            Json::Object(map.into_iter().map(entry).collect::<Map<_, _>>())
        }
        Json::Array(list) => Json::Array(list.into_iter().map(settled).collect()),
        Json::Number(number) => number.as_f64().map_or(Json::Null, Json::from),
        other => other,
    }
}

/// What is compared of a table's description; of an index that is not there yet, or not any more, not what it holds.
fn description(mut table: Map<String, Json>) -> Json {
    // "Table" is also a member of ConsumedCapacity.
    if table.contains_key("CapacityUnits") {
        return table.into();
    }
    table.retain(|name, _| {
        let counts = ["TableName", "TableStatus", "ItemCount", "TableSizeBytes"];
        counts.contains(&name.as_str()) || name.ends_with("SecondaryIndexes")
    });
    for member in ["LocalSecondaryIndexes", "GlobalSecondaryIndexes"] {
        let Some(Json::Array(indexes)) = table.get_mut(member) else {
            continue;
        };
        for index in indexes.iter_mut().filter_map(Json::as_object_mut) {
            let there = index.get("IndexStatus").is_none_or(|status| status == "ACTIVE");
            index.retain(|name, _| {
                let names = ["IndexName", "KeySchema", "Projection", "IndexStatus"];
                names.contains(&name.as_str()) || there && ["ItemCount", "IndexSizeBytes"].contains(&name.as_str())
            });
        }
        indexes.sort_by_key(|index| index["IndexName"].to_string());
    }
    table.into()
}

fn sorted(value: Json) -> Json {
    match value {
        Json::Array(mut list) => {
            list.sort_by_cached_key(Json::to_string);
            Json::Array(list)
        }
        other => other,
    }
}
