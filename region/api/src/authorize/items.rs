//! Reads and writes of items by their keys: alone, in batches, in transactions.

use std::collections::BTreeMap;

use compact_str::CompactString;
use geodynamo_expression::{Condition, Context, Parameter, Projection, Update};
use geodynamo_item::Item;
use geodynamo_storage::Engine;

use super::{
    Authorize, Facts, Gate,
    facts::{Attributes, leading_of},
};
use crate::{
    errors::ApiError,
    generated::{
        BatchGetItemInput, BatchWriteItemInput, DeleteItemInput, ExpectedAttributeValue, GetItemInput, PutItemInput,
        TransactGetItemsInput, TransactWriteItemsInput, UpdateItemInput,
    },
};

type Text = Option<CompactString>;
type Names = Option<BTreeMap<CompactString, CompactString>>;

/// What a write has, of whichever kind it is.
struct Write<'a> {
    action: &'static str,
    enclosing: Option<&'static str>,
    table: &'a Text,
    /// The item, or its key.
    item: &'a Option<Item>,
    update: Option<&'a CompactString>,
    condition: &'a Text,
    names: &'a Names,
    values: &'a Option<Item>,
    /// Attributes that the older parameters name.
    older: Vec<&'a CompactString>,
    return_values: Option<&'a str>,
    on_failure: Option<&'a str>,
    return_consumed_capacity: &'a Text,
}

impl Write<'_> {
    fn authorize<E: Engine>(&self, gate: &Gate<'_, E>) -> Result<(), ApiError> {
        let target = gate.table(self.table.as_deref().unwrap_or_default())?;
        let leading = || Ok(leading_of(target.table.as_deref(), self.item.iter()));
        let attributes = || self.attributes();
        let facts = Facts {
            leading: Some(&leading),
            attributes: Some(&attributes),
            return_values: Some(self.returned()),
            return_consumed_capacity: Some(self.return_consumed_capacity.as_deref().unwrap_or("NONE")),
            enclosing_operation: self.enclosing,
            ..Facts::default()
        };
        gate.ask(self.action, &target, &facts)
    }

    /// What the write may give of the item. A failed condition may give all of it, too.
    fn returned(&self) -> &str {
        if self.on_failure == Some("ALL_OLD") {
            "ALL_OLD"
        } else {
            self.return_values.unwrap_or("NONE")
        }
    }

    fn attributes(&self) -> Result<Attributes, ApiError> {
        let mut attributes = Attributes::default();
        self.item.iter().for_each(|item| attributes.add_item(item));
        self.older.iter().for_each(|name| attributes.add(name));
        let mut context = Context::of(self.names.as_ref(), self.values.as_ref())?;
        if let Some(text) = self.update {
            attributes.add_update(&Update::parse(text, &mut context)?);
        }
        if let Some(text) = self.condition {
            attributes.add_condition(&Condition::parse(Parameter::Condition, text, &mut context)?);
        }
        Ok(attributes)
    }
}

fn names_of<T>(map: &Option<BTreeMap<CompactString, T>>) -> impl Iterator<Item = &CompactString> {
    map.iter().flat_map(BTreeMap::keys)
}

fn expected(map: &Option<BTreeMap<CompactString, ExpectedAttributeValue>>) -> Vec<&CompactString> {
    names_of(map).collect()
}

impl Authorize for PutItemInput {
    fn authorize<E: Engine>(&self, gate: &Gate<'_, E>) -> Result<(), ApiError> {
        Write {
            action: "dynamodb:PutItem",
            enclosing: None,
            table: &self.table_name,
            item: &self.item,
            update: None,
            condition: &self.condition_expression,
            names: &self.expression_attribute_names,
            values: &self.expression_attribute_values,
            older: expected(&self.expected),
            return_values: self.return_values.as_deref(),
            on_failure: self.return_values_on_condition_check_failure.as_deref(),
            return_consumed_capacity: &self.return_consumed_capacity,
        }
        .authorize(gate)
    }
}

impl Authorize for DeleteItemInput {
    fn authorize<E: Engine>(&self, gate: &Gate<'_, E>) -> Result<(), ApiError> {
        Write {
            action: "dynamodb:DeleteItem",
            enclosing: None,
            table: &self.table_name,
            item: &self.key,
            update: None,
            condition: &self.condition_expression,
            names: &self.expression_attribute_names,
            values: &self.expression_attribute_values,
            older: expected(&self.expected),
            return_values: self.return_values.as_deref(),
            on_failure: self.return_values_on_condition_check_failure.as_deref(),
            return_consumed_capacity: &self.return_consumed_capacity,
        }
        .authorize(gate)
    }
}

impl Authorize for UpdateItemInput {
    fn authorize<E: Engine>(&self, gate: &Gate<'_, E>) -> Result<(), ApiError> {
        let mut older = expected(&self.expected);
        older.extend(names_of(&self.attribute_updates));
        Write {
            action: "dynamodb:UpdateItem",
            enclosing: None,
            table: &self.table_name,
            item: &self.key,
            update: self.update_expression.as_ref(),
            condition: &self.condition_expression,
            names: &self.expression_attribute_names,
            values: &self.expression_attribute_values,
            older,
            return_values: self.return_values.as_deref(),
            on_failure: self.return_values_on_condition_check_failure.as_deref(),
            return_consumed_capacity: &self.return_consumed_capacity,
        }
        .authorize(gate)
    }
}

impl Authorize for TransactWriteItemsInput {
    fn authorize<E: Engine>(&self, gate: &Gate<'_, E>) -> Result<(), ApiError> {
        // `None` stands for no update expression.
        macro_rules! write {
            ($action:literal, $write:expr, $item:expr, $update:expr) => {
                Write {
                    action: $action,
                    enclosing: Some("TransactWriteItems"),
                    table: &$write.table_name,
                    item: $item,
                    update: $update,
                    condition: &$write.condition_expression,
                    names: &$write.expression_attribute_names,
                    values: &$write.expression_attribute_values,
                    older: Vec::new(),
                    return_values: None,
                    on_failure: $write.return_values_on_condition_check_failure.as_deref(),
                    return_consumed_capacity: &self.return_consumed_capacity,
                }
                .authorize(gate)?
            };
        }
        for item in self.transact_items.iter().flatten() {
            // There is one of them: the request was checked.
            if let Some(check) = &item.condition_check {
                write!("dynamodb:ConditionCheckItem", check, &check.key, None);
            }
            if let Some(put) = &item.put {
                write!("dynamodb:PutItem", put, &put.item, None);
            }
            if let Some(delete) = &item.delete {
                write!("dynamodb:DeleteItem", delete, &delete.key, None);
            }
            if let Some(update) = &item.update {
                write!(
                    "dynamodb:UpdateItem",
                    update,
                    &update.key,
                    update.update_expression.as_ref()
                );
            }
        }
        Ok(())
    }
}

impl Authorize for BatchWriteItemInput {
    fn authorize<E: Engine>(&self, gate: &Gate<'_, E>) -> Result<(), ApiError> {
        for (name, writes) in self.request_items.iter().flatten() {
            let target = gate.table(name)?;
            let items = || {
                writes.iter().flat_map(|write| {
                    let put = write.put_request.iter().filter_map(|put| put.item.as_ref());
                    let delete = write.delete_request.iter().filter_map(|delete| delete.key.as_ref());
                    put.chain(delete)
                })
            };
            let leading = || Ok(leading_of(target.table.as_deref(), items()));
            let attributes = || {
                let mut attributes = Attributes::default();
                items().for_each(|item| attributes.add_item(item));
                Ok(attributes)
            };
            let facts = Facts {
                leading: Some(&leading),
                attributes: Some(&attributes),
                return_consumed_capacity: Some(self.return_consumed_capacity.as_deref().unwrap_or("NONE")),
                ..Facts::default()
            };
            gate.ask("dynamodb:BatchWriteItem", &target, &facts)?;
        }
        Ok(())
    }
}

/// What a read by keys has.
struct Read<'a> {
    action: &'static str,
    enclosing: Option<&'static str>,
    table: &'a str,
    keys: &'a [Item],
    projection: &'a Text,
    names: &'a Names,
    /// `AttributesToGet`
    older: Option<&'a [CompactString]>,
    return_consumed_capacity: &'a Text,
}

impl Read<'_> {
    fn authorize<E: Engine>(&self, gate: &Gate<'_, E>) -> Result<(), ApiError> {
        let target = gate.table(self.table)?;
        let leading = || Ok(leading_of(target.table.as_deref(), self.keys.iter()));
        let attributes = || self.attributes();
        let is_projected = self.projection.is_some() || self.older.is_some();
        let select = if is_projected {
            "SPECIFIC_ATTRIBUTES"
        } else {
            "ALL_ATTRIBUTES"
        };
        let facts = Facts {
            leading: Some(&leading),
            attributes: Some(&attributes),
            select: Some(select),
            return_consumed_capacity: Some(self.return_consumed_capacity.as_deref().unwrap_or("NONE")),
            enclosing_operation: self.enclosing,
            ..Facts::default()
        };
        gate.ask(self.action, &target, &facts)
    }

    fn attributes(&self) -> Result<Attributes, ApiError> {
        let mut attributes = Attributes::default();
        self.keys.iter().for_each(|key| attributes.add_item(key));
        self.older
            .iter()
            .copied()
            .flatten()
            .for_each(|name| attributes.add(name));
        if let Some(text) = self.projection {
            let mut context = Context::of(self.names.as_ref(), None)?;
            attributes.add_all(Projection::parse(text, &mut context)?.top_level_names());
        }
        Ok(attributes)
    }
}

impl Authorize for GetItemInput {
    fn authorize<E: Engine>(&self, gate: &Gate<'_, E>) -> Result<(), ApiError> {
        Read {
            action: "dynamodb:GetItem",
            enclosing: None,
            table: self.table_name.as_deref().unwrap_or_default(),
            keys: self.key.as_slice(),
            projection: &self.projection_expression,
            names: &self.expression_attribute_names,
            older: self.attributes_to_get.as_deref(),
            return_consumed_capacity: &self.return_consumed_capacity,
        }
        .authorize(gate)
    }
}

impl Authorize for BatchGetItemInput {
    fn authorize<E: Engine>(&self, gate: &Gate<'_, E>) -> Result<(), ApiError> {
        for (table, request) in self.request_items.iter().flatten() {
            Read {
                action: "dynamodb:BatchGetItem",
                enclosing: None,
                table,
                keys: request.keys.as_deref().unwrap_or_default(),
                projection: &request.projection_expression,
                names: &request.expression_attribute_names,
                older: request.attributes_to_get.as_deref(),
                return_consumed_capacity: &self.return_consumed_capacity,
            }
            .authorize(gate)?;
        }
        Ok(())
    }
}

impl Authorize for TransactGetItemsInput {
    fn authorize<E: Engine>(&self, gate: &Gate<'_, E>) -> Result<(), ApiError> {
        let items = self.transact_items.iter().flatten();
        for get in items.filter_map(|item| item.get.as_ref()) {
            Read {
                action: "dynamodb:GetItem",
                enclosing: Some("TransactGetItems"),
                table: get.table_name.as_deref().unwrap_or_default(),
                keys: get.key.as_slice(),
                projection: &get.projection_expression,
                names: &get.expression_attribute_names,
                older: None,
                return_consumed_capacity: &self.return_consumed_capacity,
            }
            .authorize(gate)?;
        }
        Ok(())
    }
}
