//! What CreateTable and UpdateTable have in common: key schemas, indexes, throughput, streams, tags.

use compact_str::CompactString;
use geodynamo_table::{
    Description, NewIndex, TAGS_MAX,
    schema::{Billing, KeyAttribute, KeySchema, KeyType, Projection, StreamView, Tags, Throughput},
};

use super::describe::SETTINGS_REPLICATION;
use crate::{errors::ApiError, generated};

/// The most local indexes of a table.
pub(super) const LOCAL_INDEXES_MAX: usize = 5;
/// The most key attributes of a schema.
const KEYS_MAX: usize = 2;
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
                return Err(ApiError::invalid(format!(
                    "Duplicate AttributeName in AttributeDefinitions: {name}"
                )));
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

    /// A key schema, its attributes' types looked up.
    pub(super) fn key_schema(
        &mut self,
        elements: Option<Vec<generated::KeySchemaElement>>,
    ) -> Result<KeySchema, ApiError> {
        let elements = elements.unwrap_or_default();
        if elements.len() > KEYS_MAX {
            return Err(ApiError::too_many_key_schema_elements(&elements));
        }
        let is = |at: usize, kind: &str| {
            elements
                .get(at)
                .is_none_or(|element: &generated::KeySchemaElement| element.key_type.as_deref() == Some(kind))
        };
        if elements.is_empty() || !is(0, "HASH") {
            return Err(ApiError::validation(
                "Invalid KeySchema: The first KeySchemaElement is not a HASH key type",
            ));
        }
        if !is(1, "RANGE") {
            return Err(ApiError::validation(
                "Invalid KeySchema: The second KeySchemaElement is not a RANGE key type",
            ));
        }
        let names: Vec<CompactString> = elements
            .into_iter()
            .map(|element| element.attribute_name.unwrap_or_default())
            .collect();
        if names.len() == KEYS_MAX && names[0] == names[1] {
            return Err(ApiError::validation(
                "Both the Hash Key and the Range Key element in the KeySchema have the same name",
            ));
        }
        let missing: Vec<&str> = names
            .iter()
            .map(|name| name.as_str())
            .filter(|name| !self.has(name))
            .collect();
        if !missing.is_empty() {
            return Err(ApiError::undefined_key_attributes(&missing.join(", "), &self.names()));
        }
        let mut keys = names.iter().filter_map(|name| self.take(name));
        let partition = keys.next();
        let sort = keys.next();
        // Both are defined: it was checked above.
        partition
            .map(|partition| KeySchema { partition, sort })
            .ok_or_else(|| ApiError::internal("a key schema without a key"))
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

    /// Adds what a table's keys and indexes use already: an update that adds an index need not name it again, and must
    /// not say otherwise.
    pub(super) fn join(mut self, table: &Description) -> Result<Self, ApiError> {
        for there in &table.attributes {
            match self
                .defined
                .iter_mut()
                .find(|(attribute, _)| attribute.name == there.name)
            {
                Some((attribute, used)) => {
                    if attribute.kind != there.kind {
                        return Err(ApiError::attribute_redefined(
                            &there.name,
                            there.kind.code(),
                            attribute.kind.code(),
                        ));
                    }
                    *used = true;
                }
                None => self.defined.push((there.clone(), true)),
            }
        }
        Ok(self)
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

/// An index's `Projection`.
pub(super) fn index_projection(projection: Option<generated::Projection>) -> Result<Projection, ApiError> {
    let projection = projection.unwrap_or_default();
    let listed = projection.non_key_attributes;
    match (projection.projection_type.as_deref(), listed) {
        (None, _) => Err(ApiError::invalid("Unknown ProjectionType: null")),
        (Some("INCLUDE"), Some(names)) => Ok(Projection::Include(names.into_iter().map(Into::into).collect())),
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

/// A stream to switch on; `None` to have none.
pub(super) fn stream(specification: &generated::StreamSpecification) -> Result<Option<StreamView>, ApiError> {
    let view = specification.stream_view_type.as_deref();
    match (specification.stream_enabled.unwrap_or(false), view) {
        (true, Some("KEYS_ONLY")) => Ok(Some(StreamView::KeysOnly)),
        (true, Some("NEW_IMAGE")) => Ok(Some(StreamView::NewImage)),
        (true, Some("OLD_IMAGE")) => Ok(Some(StreamView::OldImage)),
        (true, Some(_)) => Ok(Some(StreamView::NewAndOldImages)),
        (true, None) => Err(ApiError::invalid(
            "StreamViewType must be specified when StreamEnabled is true",
        )),
        (false, None) => Ok(None),
        (false, Some(_)) => Err(ApiError::invalid(
            "StreamViewType must not be specified when StreamEnabled is false",
        )),
    }
}

/// Tags of a request.
pub(super) fn tags(list: Vec<generated::Tag>) -> Result<Tags, ApiError> {
    let mut tags = Tags::new();
    for tag in list {
        let (key, value) = (tag.key.unwrap_or_default(), tag.value.unwrap_or_default());
        let fits = (1..=TAG_KEY_MAX).contains(&key.chars().count()) && value.chars().count() <= TAG_VALUE_MAX;
        if !fits {
            return Err(ApiError::invalid(format!("Invalid tag: {key}")));
        }
        if key.starts_with("aws:") {
            return Err(ApiError::validation(
                "One or more tag keys are reserved: the prefix aws: is for AWS's own use",
            ));
        }
        if tags.insert(key.clone().into(), value.into()).is_some() {
            return Err(ApiError::invalid(format!("Duplicate tag key: {key}")));
        }
    }
    if tags.len() > TAGS_MAX {
        return Err(ApiError::validation(format!("Too many tags: the limit is {TAGS_MAX}")));
    }
    Ok(tags)
}

/// Refuses a parameter that is not offered: better than to pass over what a client relies on.
pub(super) fn refuse(parameter: &str, given: bool) -> Result<(), ApiError> {
    if given {
        Err(ApiError::parameter_not_offered(parameter))
    } else {
        Ok(())
    }
}

/// Refuses settings of encryption that are not the default: nothing is encrypted at rest yet, and no reply says so.
pub(super) fn refuse_encryption(given: Option<&generated::SSESpecification>) -> Result<(), ApiError> {
    let Some(given) = given else { return Ok(()) };
    let key = given.sse_type.is_some() || given.kms_master_key_id.is_some();
    refuse("SSESpecification with Enabled true", given.enabled == Some(true))?;
    refuse("SSESpecification with SSEType or KMSMasterKeyId", key)
}

/// Refuses ways of spreading a global table's settings other than the one there is.
pub(super) fn refuse_settings_mode(mode: Option<&str>) -> Result<(), ApiError> {
    let other = mode.is_some_and(|mode| mode != SETTINGS_REPLICATION);
    refuse(
        "GlobalTableSettingsReplicationMode other than ENABLED_WITH_OVERRIDES",
        other,
    )
}
