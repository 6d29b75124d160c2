//! What conditions may ask of a request: DynamoDB's own condition keys.
//! <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/specifying-conditions.html>

use std::{
    borrow::Cow,
    cell::{OnceCell, RefCell},
    collections::BTreeSet,
};

use compact_str::CompactString;
use geodynamo_expression::{Condition, Update, UpdateOperand};
use geodynamo_item::{AttributeValue, Item, Name};
use geodynamo_json::encode_base64;
use geodynamo_policy::{Context, ContextValue};
use geodynamo_table::{Table, schema::Tags};

use crate::errors::ApiError;

/// All keys, for tests of which are there.
#[cfg(test)]
pub(super) const KEYS: [&str; 10] = [
    "dynamodb:leadingkeys",
    "dynamodb:attributes",
    "dynamodb:select",
    "dynamodb:returnvalues",
    "dynamodb:returnconsumedcapacity",
    "dynamodb:enclosingoperation",
    "dynamodb:fulltablescan",
    "aws:tagkeys",
    "aws:requesttag/name",
    "aws:resourcetag/name",
];

/// The most attributes that a partition key has.
const PARTITION_ATTRIBUTES_MAX: usize = 4;

/// Values of partition keys, by the attributes of the key: of the first the values are `dynamodb:LeadingKeys`.
pub(crate) type Leading<'a> = [Option<Vec<Cow<'a, str>>>; PARTITION_ATTRIBUTES_MAX];

/// Something of a request that is worked out only if a policy asks for it.
type Later<'a, T> = Option<&'a dyn Fn() -> Result<T, ApiError>>;

/// What a request has of DynamoDB's condition keys. What is `None` is a missing key.
#[derive(Default)]
pub(crate) struct Facts<'a> {
    /// The values of partition keys.
    pub(crate) leading: Later<'a, Leading<'a>>,
    /// The top-level attributes that the request names.
    pub(crate) attributes: Later<'a, Attributes>,
    /// `dynamodb:Select`
    pub(crate) select: Option<&'a str>,
    /// `dynamodb:ReturnValues`
    pub(crate) return_values: Option<&'a str>,
    /// `dynamodb:ReturnConsumedCapacity`
    pub(crate) return_consumed_capacity: Option<&'a str>,
    /// `dynamodb:EnclosingOperation`
    pub(crate) enclosing_operation: Option<&'a str>,
    /// `dynamodb:FullTableScan`
    pub(crate) full_table_scan: Option<bool>,
    /// `aws:RequestTag/…` and `aws:TagKeys`; of tags that are to be taken away, the values are none.
    pub(crate) request_tags: Option<Vec<(&'a str, Option<&'a str>)>>,
    pub(super) known_leading: OnceCell<Leading<'a>>,
    pub(super) known_attributes: OnceCell<Vec<Cow<'a, str>>>,
    pub(super) error: RefCell<Option<ApiError>>,
}

impl<'a> Facts<'a> {
    /// With the tags of the resource.
    pub(super) fn with_tags<'f>(&'f self, resource_tags: Option<&'f Tags>) -> WithTags<'f, 'a> {
        WithTags {
            facts: self,
            resource_tags,
        }
    }

    /// What was wrong with the request where it was looked at.
    pub(super) fn take_error(&self) -> Option<ApiError> {
        self.error.borrow_mut().take()
    }

    /// The values of the key's attribute at this place.
    fn leading(&self, place: usize) -> Option<ContextValue<'_>> {
        let later = self.leading?;
        let known = self
            .known_leading
            .get_or_init(|| later().unwrap_or_else(|error| self.note(error)));
        Some(ContextValue::Shared(known.get(place)?.as_ref()?))
    }

    fn attributes(&self) -> Option<ContextValue<'_>> {
        let later = self.attributes?;
        let known = self.known_attributes.get_or_init(|| {
            let names = later().unwrap_or_else(|error| self.note(error));
            names.0.into_iter().map(|name| Cow::Owned(name.into())).collect()
        });
        Some(ContextValue::Shared(known))
    }

    fn note<T: Default>(&self, error: ApiError) -> T {
        self.error.borrow_mut().get_or_insert(error);
        T::default()
    }
}

/// [`Facts`], and the tags of the resource.
pub(super) struct WithTags<'f, 'a> {
    facts: &'f Facts<'a>,
    resource_tags: Option<&'f Tags>,
}

impl Context for WithTags<'_, '_> {
    fn get(&self, key: &str) -> Option<ContextValue<'_>> {
        let facts = self.facts;
        match key {
            "dynamodb:leadingkeys" | "dynamodb:firstpartitionkeyvalues" => facts.leading(0),
            "dynamodb:secondpartitionkeyvalues" => facts.leading(1),
            "dynamodb:thirdpartitionkeyvalues" => facts.leading(2),
            "dynamodb:fourthpartitionkeyvalues" => facts.leading(3),
            "dynamodb:attributes" => facts.attributes(),
            "dynamodb:select" => Some(facts.select?.into()),
            "dynamodb:returnvalues" => Some(facts.return_values?.into()),
            "dynamodb:returnconsumedcapacity" => Some(facts.return_consumed_capacity?.into()),
            "dynamodb:enclosingoperation" => Some(facts.enclosing_operation?.into()),
            "dynamodb:fulltablescan" => Some(facts.full_table_scan?.into()),
            "aws:tagkeys" => {
                let tags = facts.request_tags.as_ref()?;
                Some(ContextValue::Multi(
                    tags.iter().map(|(key, _)| Cow::Borrowed(*key)).collect(),
                ))
            }
            _ => {
                // The names of tags in keys are the same whatever their case, as the names of keys are.
                if let Some(tag) = key.strip_prefix("aws:requesttag/") {
                    let mut tags = facts.request_tags.as_ref()?.iter();
                    let (_, value) = tags.find(|(name, _)| name.eq_ignore_ascii_case(tag))?;
                    return Some((*value)?.into());
                }
                let tag = key.strip_prefix("aws:resourcetag/")?;
                let mut tags = self.resource_tags?.iter();
                let (_, value) = tags.find(|(name, _)| name.eq_ignore_ascii_case(tag))?;
                Some(value.as_str().into())
            }
        }
    }
}

/// The partition keys in items or keys of a table; nothing if there is no table.
pub(super) fn leading_of<'a>(table: Option<&Table>, items: impl Iterator<Item = &'a Item>) -> Leading<'a> {
    let mut leading = Leading::default();
    let Some(table) = table else { return leading };
    for item in items {
        for (place, attribute) in table.keys().partition_attributes().enumerate() {
            add_leading(&mut leading, place, item.get(&attribute.name));
        }
    }
    leading
}

/// Notes a value of the key's attribute at this place. What can be no key is passed over: the operation refuses it.
pub(super) fn add_leading<'a>(leading: &mut Leading<'a>, place: usize, value: Option<&'a AttributeValue>) {
    if let (Some(values), Some(text)) = (leading.get_mut(place), value.and_then(key_text)) {
        values.get_or_insert_default().push(text);
    }
}

/// A key attribute's value as policies write it.
fn key_text(value: &AttributeValue) -> Option<Cow<'_, str>> {
    match value {
        AttributeValue::S(text) => Some(Cow::Borrowed(text)),
        AttributeValue::N(number) => Some(Cow::Owned(number.to_string())),
        AttributeValue::B(bytes) => Some(Cow::Owned(encode_base64(bytes))),
        _ => None,
    }
}

/// The same values, without a borrow.
pub(super) fn owned(leading: Leading<'_>) -> Leading<'static> {
    leading.map(|values| {
        let owned = |value: Cow<'_, str>| Cow::Owned(value.into_owned());
        values.map(|values| values.into_iter().map(owned).collect())
    })
}

/// The top-level names of attributes that a request has.
#[derive(Default)]
pub(crate) struct Attributes(BTreeSet<CompactString>);

impl Attributes {
    pub(super) fn add(&mut self, name: &str) {
        if !self.0.contains(name) {
            self.0.insert(name.into());
        }
    }

    pub(super) fn add_item(&mut self, item: &Item) {
        item.iter().for_each(|(name, _)| self.add(name.as_str()));
    }

    pub(super) fn add_all<'n>(&mut self, names: impl Iterator<Item = &'n Name>) {
        names.for_each(|name| self.add(name.as_str()));
    }

    pub(super) fn add_condition(&mut self, condition: &Condition) {
        condition.for_each_path(&mut |path| self.add(path.root.as_str()));
    }

    /// What an update changes, and what it reads.
    pub(super) fn add_update(&mut self, update: &Update) {
        self.add_all(update.paths().map(|path| &path.root));
        let mut operands: Vec<&UpdateOperand> = update.set.iter().map(|(_, operand)| operand).collect();
        while let Some(operand) = operands.pop() {
            match operand {
                UpdateOperand::Value(_) => {}
                UpdateOperand::Path(path) => self.add(path.root.as_str()),
                UpdateOperand::IfNotExists(path, otherwise) => {
                    self.add(path.root.as_str());
                    operands.push(otherwise);
                }
                UpdateOperand::ListAppend(left, right)
                | UpdateOperand::Plus(left, right)
                | UpdateOperand::Minus(left, right) => operands.extend([&**left, &**right]),
            }
        }
    }
}
