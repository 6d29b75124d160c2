//! What CreateTable and UpdateTable have in common: key schemas, indexes, throughput, streams, tags.

use std::cmp::Ordering;

use compact_str::CompactString;
use geodynamo_table::{
    Description, NewIndex, TAGS_MAX, TableError,
    schema::{Billing, KeyAttribute, KeySchema, KeyType, Projection, StreamView, Tags, Throughput},
};

use super::describe::SETTINGS_REPLICATION;
use crate::{errors::ApiError, generated};

/// The most local indexes of a table.
pub(super) const LOCAL_INDEXES_MAX: usize = 5;
/// The most key attributes of a table or a local index.
const KEYS_MAX: usize = 2;
/// The most attributes of each key of a global index ("Multi-attribute keys pattern").
const KEY_ATTRIBUTES_MAX: usize = 4;
/// The most characters of a tag's key.
const TAG_KEY_MAX: usize = 128;
/// The most characters of a tag's value.
const TAG_VALUE_MAX: usize = 256;

/// `AttributeDefinitions`, and which of them keys have used.
#[derive(Debug)]
pub(super) struct Attributes {
    defined: Vec<(KeyAttribute, bool)>,
}

impl Attributes {
    pub(super) fn new(definitions: Option<Vec<generated::AttributeDefinition>>) -> Result<Self, ApiError> {
        let mut defined: Vec<(KeyAttribute, bool)> = Vec::new();
        for definition in definitions.unwrap_or_default() {
            let name = definition.attribute_name.unwrap_or_default();
            // The model allows no other types.
            let kind = match definition.attribute_type.as_deref() {
                Some("N") => KeyType::N,
                Some("B") => KeyType::B,
                _ => KeyType::S,
            };
            if defined.iter().any(|(known, _)| known.name == name) {
                return Err(ApiError::attribute_defined_twice(&name));
            }
            defined.push((
                KeyAttribute {
                    name: name.into(),
                    kind,
                },
                false,
            ));
        }
        Ok(Self { defined })
    }

    /// The key schema of a table that has so many indexes, its attributes' types looked up.
    pub(super) fn table_keys(
        &mut self,
        elements: Option<Vec<generated::KeySchemaElement>>,
        indexes: usize,
    ) -> Result<KeySchema, ApiError> {
        let few = indexes == 0 && self.defined.len() < elements.as_ref().map_or(0, Vec::len);
        if few && elements.as_deref().is_some_and(names_one_attribute_twice) {
            return Err(ApiError::key_without_definition());
        }
        let names = key_names(elements, KeysOf::Table)?;
        // Where keys of indexes cannot need them, definitions are only counted.
        match (indexes, self.defined.len().cmp(&names.len())) {
            (0, Ordering::Less) => Err(ApiError::key_without_definition()),
            (0, Ordering::Greater) => Err(ApiError::more_definitions_than_keys()),
            _ => self.typed(names),
        }
    }

    /// The key schema of an index, its attributes' types looked up.
    pub(super) fn index_keys(
        &mut self,
        elements: Option<Vec<generated::KeySchemaElement>>,
        of: KeysOf,
    ) -> Result<KeySchema, ApiError> {
        self.typed(key_names(elements, of)?)
    }

    fn typed(&mut self, names: KeyNames) -> Result<KeySchema, ApiError> {
        let all = || names.partition.iter().chain(&names.sort).map(CompactString::as_str);
        let missing: Vec<&str> = all().filter(|name| !self.has(name)).collect();
        if !missing.is_empty() {
            return Err(ApiError::undefined_key_attributes(&missing.join(", "), &self.names()));
        }
        // All are defined: it was checked above. And there is a partition key.
        let mut take = |names: &[CompactString]| names.iter().filter_map(|name| self.take(name)).collect::<Vec<_>>();
        let mut partition = take(&names.partition).into_iter();
        let mut sort = take(&names.sort).into_iter();
        let first = partition
            .next()
            .ok_or_else(|| ApiError::internal("a key schema without a key"))?;
        Ok(KeySchema {
            sort: sort.next(),
            more_partition: partition.collect(),
            more_sort: sort.collect(),
            ..KeySchema::new(first, None)
        })
    }

    /// That keys use every definition.
    pub(super) fn check_all_used(&self) -> Result<(), ApiError> {
        if self.defined.iter().all(|(_, used)| *used) {
            return Ok(());
        }
        let used: Vec<&str> = self
            .defined
            .iter()
            .filter(|(_, used)| *used)
            .map(|(attribute, _)| attribute.name.as_str())
            .collect();
        Err(ApiError::unused_attribute_definitions(&self.names(), &used.join(", ")))
    }

    /// The key schema of an index that is added to a table. The request defines all of its attributes, also those that are
    /// defined for the table already, and those as they are.
    pub(super) fn added_index_keys(
        &mut self,
        elements: Option<Vec<generated::KeySchemaElement>>,
        index: &str,
        table: &Description,
    ) -> Result<KeySchema, ApiError> {
        if self.defined.is_empty() {
            return Err(ApiError::no_attribute_definitions(index));
        }
        let keys = self.index_keys(elements, KeysOf::GlobalIndex)?;
        let indexes = table.local_indexes.iter().chain(&table.global_indexes);
        let mut schemas = std::iter::once(&table.keys).chain(indexes.map(|index| &index.definition.keys));
        let redefines = |there: &&KeySchema| {
            let mut attributes = there.attributes();
            attributes.any(|there| {
                let same = |new: &KeyAttribute| new.name == there.name && new.kind != there.kind;
                keys.attributes().any(same)
            })
        };
        match schemas.find(redefines) {
            Some(there) => Err(ApiError::attribute_redefined(there, &keys)),
            None => Ok(keys),
        }
    }

    fn has(&self, name: &str) -> bool {
        self.defined.iter().any(|(attribute, _)| attribute.name == name)
    }

    fn take(&mut self, name: &str) -> Option<KeyAttribute> {
        let (attribute, used) = self.defined.iter_mut().find(|(attribute, _)| attribute.name == name)?;
        *used = true;
        Some(attribute.clone())
    }

    fn names(&self) -> String {
        self.defined
            .iter()
            .map(|(attribute, _)| attribute.name.as_str())
            .collect::<Vec<_>>()
            .join(", ")
    }
}

/// Whether a key schema has one attribute as partition key and as sort key.
fn names_one_attribute_twice(elements: &[generated::KeySchemaElement]) -> bool {
    let [partition, sort] = elements else { return false };
    let is = |element: &generated::KeySchemaElement, kind: &str| element.key_type.as_deref() == Some(kind);
    is(partition, "HASH") && is(sort, "RANGE") && partition.attribute_name == sort.attribute_name
}

/// What a `KeySchema` is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeysOf {
    /// A table.
    Table,
    /// A local index.
    LocalIndex,
    /// A global index, whose keys may have several attributes.
    GlobalIndex,
}

/// The attributes that a `KeySchema` names.
#[derive(Debug)]
struct KeyNames {
    partition: Vec<CompactString>,
    sort: Vec<CompactString>,
}

impl KeyNames {
    fn len(&self) -> usize {
        self.partition.len() + self.sort.len()
    }
}

/// The attributes of a `KeySchema`: the partition key's first, none twice.
fn key_names(elements: Option<Vec<generated::KeySchemaElement>>, of: KeysOf) -> Result<KeyNames, ApiError> {
    let elements = elements.unwrap_or_default();
    if elements.len() > KEYS_MAX && of != KeysOf::GlobalIndex {
        return Err(ApiError::too_many_key_schema_elements(&elements));
    }
    let hash = |element: &generated::KeySchemaElement| element.key_type.as_deref() == Some("HASH");
    let hashes = elements.iter().take_while(|element| hash(element)).count();
    if elements.len() > KEYS_MAX && elements[hashes..].iter().any(hash) {
        return Err(ApiError::hash_behind_range());
    }
    if hashes == 0 {
        return Err(ApiError::validation(
            "Invalid KeySchema: The first KeySchemaElement is not a HASH key type",
        ));
    }
    let sole = of != KeysOf::GlobalIndex && hashes > 1;
    if sole || elements[hashes..].iter().any(hash) {
        return Err(ApiError::validation(
            "Invalid KeySchema: The second KeySchemaElement is not a RANGE key type",
        ));
    }
    let mut partition: Vec<CompactString> = elements
        .into_iter()
        .map(|element| element.attribute_name.unwrap_or_default())
        .collect();
    if let Some(twice) = (1..partition.len()).find(|at| partition[..*at].contains(&partition[*at])) {
        return Err(match partition.len() {
            KEYS_MAX if hashes == 1 => {
                ApiError::validation("Both the Hash Key and the Range Key element in the KeySchema have the same name")
            }
            _ => ApiError::key_attribute_twice(&partition[twice]),
        });
    }
    let sort = partition.split_off(hashes);
    for (kind, names) in [("HASH", &partition), ("RANGE", &sort)] {
        if names.len() > KEY_ATTRIBUTES_MAX {
            return Err(ApiError::too_many_key_attributes(kind, names.len(), KEY_ATTRIBUTES_MAX));
        }
    }
    Ok(KeyNames { partition, sort })
}

/// An index's `Projection`.
pub(super) fn index_projection(projection: Option<generated::Projection>) -> Result<Projection, ApiError> {
    let projection = projection.unwrap_or_default();
    let listed = projection.non_key_attributes;
    match (projection.projection_type.as_deref(), listed) {
        (None, _) => Err(ApiError::invalid("Unknown ProjectionType: null")),
        (Some("INCLUDE"), Some(names)) => {
            if let Some(twice) = (1..names.len()).find(|at| names[..*at].contains(&names[*at])) {
                return Err(ApiError::projected_twice(&names[twice]));
            }
            Ok(Projection::Include(names.into_iter().map(Into::into).collect()))
        }
        (Some("INCLUDE"), None) => Err(ApiError::invalid(
            "ProjectionType is INCLUDE, but NonKeyAttributes is not specified",
        )),
        (Some(kind), Some(_)) => Err(ApiError::invalid(format!(
            "ProjectionType is {kind}, but NonKeyAttributes is specified"
        ))),
        (Some("KEYS_ONLY"), None) => Ok(Projection::KeysOnly),
        (Some(_), None) => Ok(Projection::All),
    }
}

/// The names that a projection lists.
pub(super) fn listed(index: &NewIndex) -> usize {
    if let Projection::Include(names) = &index.projection {
        names.len()
    } else {
        0
    }
}

/// How a table is billed.
pub(super) fn billing(
    mode: Option<&str>,
    throughput: Option<generated::ProvisionedThroughput>,
) -> Result<Billing, ApiError> {
    match (mode, throughput) {
        (Some("PAY_PER_REQUEST"), None) => Ok(Billing::OnDemand),
        (Some("PAY_PER_REQUEST"), Some(_)) => Err(ApiError::invalid(
            "Neither ReadCapacityUnits nor WriteCapacityUnits can be specified when BillingMode is PAY_PER_REQUEST",
        )),
        (_, Some(throughput)) => Ok(Billing::Provisioned(units(&throughput))),
        (_, None) => Err(ApiError::invalid(
            "ReadCapacityUnits and WriteCapacityUnits must both be specified when BillingMode is PROVISIONED",
        )),
    }
}

/// Provisioned throughput, which the model keeps above zero.
pub(super) fn units(throughput: &generated::ProvisionedThroughput) -> Throughput {
    let units = |units: Option<i64>| units.and_then(|units| u64::try_from(units).ok()).unwrap_or(0);
    Throughput {
        read: units(throughput.read_capacity_units),
        write: units(throughput.write_capacity_units),
    }
}

/// The throughput of a global index, which a provisioned table's must have and no other's may.
pub(super) fn index_throughput(
    name: &str,
    billing: Billing,
    throughput: Option<&generated::ProvisionedThroughput>,
) -> Result<Option<Throughput>, ApiError> {
    match (billing, throughput) {
        (Billing::OnDemand, None) => Ok(None),
        (Billing::OnDemand, Some(_)) => Err(ApiError::invalid(format!(
            "ProvisionedThroughput should not be specified for index: {name} when BillingMode is PAY_PER_REQUEST"
        ))),
        (Billing::Provisioned(_), Some(throughput)) => Ok(Some(units(throughput))),
        (Billing::Provisioned(_), None) => Err(ApiError::invalid(format!(
            "ProvisionedThroughput is not specified for index: {name}"
        ))),
    }
}

/// The stream of a new table, or that a table is to have: one to switch on; `None` to have none.
pub(super) fn stream(
    specification: &generated::StreamSpecification,
    of_new_table: bool,
) -> Result<Option<StreamView>, ApiError> {
    let view = specification.stream_view_type.as_deref();
    match (specification.stream_enabled.unwrap_or(false), view) {
        (true, Some("KEYS_ONLY")) => Ok(Some(StreamView::KeysOnly)),
        (true, Some("NEW_IMAGE")) => Ok(Some(StreamView::NewImage)),
        (true, Some("OLD_IMAGE")) => Ok(Some(StreamView::OldImage)),
        (true, Some(_)) => Ok(Some(StreamView::NewAndOldImages)),
        (false, None) => Ok(None),
        (enabled, _) => Err(ApiError::stream_view(enabled, of_new_table)),
    }
}

/// Tags of a request.
pub(super) fn tags(list: Vec<generated::Tag>) -> Result<Tags, ApiError> {
    let mut tags = Tags::new();
    for tag in list {
        let (key, value) = (tag.key.unwrap_or_default(), tag.value.unwrap_or_default());
        check_tag_key(&key)?;
        if value.chars().count() > TAG_VALUE_MAX || !is_tag_text(&value) {
            return Err(ApiError::invalid_tag_value(&value));
        }
        if tags.insert(key.clone().into(), value.into()).is_some() {
            return Err(ApiError::tag_key_twice(&key));
        }
    }
    if tags.len() > TAGS_MAX {
        return Err(ApiError::too_many_tags());
    }
    Ok(tags)
}

/// Keys of tags to take away.
pub(super) fn tag_keys(list: Vec<CompactString>) -> Result<Vec<String>, ApiError> {
    if list.len() > TAGS_MAX {
        return Err(ApiError::too_many_tags());
    }
    let key = |key: CompactString| check_tag_key(&key).map(|()| key.into());
    list.into_iter().map(key).collect()
}

fn check_tag_key(key: &str) -> Result<(), ApiError> {
    if !(1..=TAG_KEY_MAX).contains(&key.chars().count()) || !is_tag_text(key) {
        return Err(ApiError::invalid_tag_key(key));
    }
    if key.starts_with("aws:") {
        return Err(ApiError::reserved_tag_key(key));
    }
    Ok(())
}

/// Whether tags may have a text: letters, digits and spaces of any script, and a few marks (API reference, `Tag`: "the
/// Unicode letters, digits, white space, and the characters + - = . _ : /", to which the service adds @).
fn is_tag_text(text: &str) -> bool {
    let may_have = |c: char| c.is_alphanumeric() || "+-=._:/@".contains(c) || (c.is_whitespace() && !c.is_control());
    text.chars().all(may_have)
}

/// Why tags could not be read or set.
pub(super) fn tags_error(error: TableError, arn: &str) -> ApiError {
    match error {
        TableError::ResourceNotFound(_) => ApiError::resource_arn_not_found(arn),
        error => error.into(),
    }
}

/// Refuses a parameter that is not offered: better than to pass over what a client relies on.
pub(super) fn refuse(parameter: &str, given: bool) -> Result<(), ApiError> {
    if given {
        Err(ApiError::parameter_not_offered(parameter))
    } else {
        Ok(())
    }
}

/// Refuses ways of spreading a global table's settings other than the one there is.
pub(super) fn refuse_settings_mode(mode: Option<&str>) -> Result<(), ApiError> {
    let other = mode.is_some_and(|mode| mode != SETTINGS_REPLICATION);
    refuse(
        "GlobalTableSettingsReplicationMode other than ENABLED_WITH_OVERRIDES",
        other,
    )
}
