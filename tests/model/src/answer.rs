//! What is answered to a request, in a form that can be compared.

use serde_json::{Map, Value as Json};

/// An answer as the model expects it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Expected {
    /// The reply, with every set and every unordered list sorted.
    Reply(Json),
    /// Any of these: which of several faults is told, DynamoDB does not say.
    Refused(Vec<Refusal>),
}

/// An error.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Refusal {
    pub(crate) kind: &'static str,
    /// `None` if the words are not known.
    pub(crate) text: Option<String>,
    /// The item of a failed condition.
    pub(crate) item: Option<Json>,
}

impl Refusal {
    /// A ValidationException; an empty text is one that is not known.
    pub(crate) fn invalid(text: impl Into<String>) -> Self {
        Self::of("ValidationException", text)
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
            item: None,
        }
    }

    fn matches(&self, reply: &Json) -> bool {
        let kind = reply["__type"].as_str().unwrap_or_default();
        let text = reply["message"]
            .as_str()
            .or(reply["Message"].as_str())
            .unwrap_or_default();
        kind.rsplit('#').next() == Some(self.kind)
            && self.text.as_ref().is_none_or(|expected| expected == text)
            && self.item.as_ref().unwrap_or(&Json::Null) == &reply["Item"]
    }
}

impl Expected {
    /// Whether a reply with this status is the expected one. The reply is [`settled`].
    pub(crate) fn is_met_by(&self, status: u16, reply: &Json) -> bool {
        match self {
            Self::Reply(expected) => status == 200 && expected == reply,
            Self::Refused(list) => status == 400 && list.iter().any(|refusal| refusal.matches(reply)),
        }
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

fn sorted(value: Json) -> Json {
    match value {
        Json::Array(mut list) => {
            list.sort_by_cached_key(Json::to_string);
            Json::Array(list)
        }
        other => other,
    }
}
