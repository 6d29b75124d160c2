//! The parameters that expressions replaced, and what they are in a request's body.

use serde_json::{Map, Value as Json, json};

use super::{Action, Request, Write};
use crate::{expression::KeyCondition, value::Value};

/// A request's older parameters, but for `AttributeUpdates`, which are a write of their own.
#[derive(Clone, Debug, Default)]
pub(crate) struct Older {
    /// `Expected`, `QueryFilter` or `ScanFilter`
    pub(crate) tests: Vec<(String, Test)>,
    /// `ConditionalOperator`
    pub(crate) operator: Option<&'static str>,
    /// Whether what is projected, top-level attributes only, is said in `AttributesToGet`.
    pub(crate) attributes: bool,
    /// Whether a query says its keys in `KeyConditions`.
    pub(crate) keys: bool,
    /// The operator for the partition key in them: `EQ`, unless it is to be refused.
    pub(crate) keys_operator: &'static str,
}

/// What is asked of one attribute.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Test {
    /// `Value`, and perhaps `Exists: true`: only in `Expected`, as the next two.
    Is(Value, bool),
    /// `Exists: false`
    IsNot,
    /// `Exists`, and what does not go with it.
    Wrong(bool, Option<Value>),
    /// `ComparisonOperator` and `AttributeValueList`
    Compare(&'static str, Vec<Value>),
}

/// One of `AttributeUpdates`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Change {
    pub(crate) action: Option<&'static str>,
    pub(crate) value: Option<Value>,
}

impl Test {
    fn json(&self) -> Json {
        let values = |list: &[Value]| list.iter().map(Value::json).collect::<Json>();
        match self {
            Self::Is(value, false) => json!({ "Value": value.json() }),
            Self::Is(value, true) => json!({ "Value": value.json(), "Exists": true }),
            Self::IsNot => json!({ "Exists": false }),
            Self::Wrong(exists, None) => json!({ "Exists": exists }),
            Self::Wrong(exists, Some(value)) => json!({ "Exists": exists, "Value": value.json() }),
            Self::Compare(operator, list) if list.is_empty() => json!({ "ComparisonOperator": operator }),
            Self::Compare(operator, list) => {
                json!({ "ComparisonOperator": operator, "AttributeValueList": values(list) })
            }
        }
    }
}

/// `AttributeUpdates`
pub(super) fn attribute_updates(changes: &[(String, Change)]) -> Json {
    let mut members = Map::new();
    for (name, change) in changes {
        let mut member = json!({});
        if let Some(action) = change.action {
            member["Action"] = action.into();
        }
        if let Some(value) = &change.value {
            member["Value"] = value.json();
        }
        members.insert(name.clone(), member);
    }
    Json::Object(members)
}

impl Request {
    /// Which older parameters there are, and which expressions.
    pub(crate) fn both_kinds(&self) -> (Vec<&'static str>, Vec<&'static str>) {
        let (mut older, mut expressions) = (Vec::new(), Vec::new());
        let given = |list: &mut Vec<&'static str>, name, given: bool| {
            if given {
                list.push(name);
            }
        };
        let of = self.older.as_ref();
        let tests = of.is_some_and(|of| !of.tests.is_empty());
        let attributes = of.is_some_and(|of| of.attributes);
        given(
            &mut older,
            "ConditionalOperator",
            of.is_some_and(|of| of.operator.is_some()),
        );
        match &self.action {
            Action::Get { projection, .. } => {
                given(&mut older, "AttributesToGet", projection.is_some() && attributes);
                given(
                    &mut expressions,
                    "ProjectionExpression",
                    projection.is_some() && !attributes,
                );
            }
            Action::Write { write, condition, .. } => {
                given(&mut older, "Expected", tests);
                given(&mut older, "AttributeUpdates", matches!(**write, Write::Older(..)));
                given(&mut expressions, "ConditionExpression", condition.is_some());
                given(
                    &mut expressions,
                    "UpdateExpression",
                    matches!(**write, Write::Update(_, Some(_))),
                );
            }
            Action::Read(read) => {
                let filter = if read.query.is_some() {
                    "QueryFilter"
                } else {
                    "ScanFilter"
                };
                given(&mut older, filter, tests);
                given(&mut older, "AttributesToGet", read.projection.is_some() && attributes);
                given(
                    &mut expressions,
                    "ProjectionExpression",
                    read.projection.is_some() && !attributes,
                );
                given(&mut expressions, "FilterExpression", read.filter.is_some());
                // KeyConditions go with the expressions that there were before KeyConditionExpression.
                let keys = read.query.is_some() && !of.is_some_and(|of| of.keys);
                given(&mut expressions, "KeyConditionExpression", keys);
            }
            _ => {}
        }
        (older, expressions)
    }

    /// Adds the older parameters to the body.
    pub(super) fn write_older(&self, older: &Older, body: &mut Json) {
        let tests = older.tests.iter().map(|(name, test)| (name.clone(), test.json()));
        let tests: Map<_, _> = tests.collect();
        if !tests.is_empty() {
            let parameter = match &self.action {
                Action::Read(read) if read.query.is_some() => "QueryFilter",
                Action::Read(_) => "ScanFilter",
                _ => "Expected",
            };
            body[parameter] = tests.into();
        }
        if let Some(operator) = older.operator {
            body["ConditionalOperator"] = operator.into();
        }
        if let Action::Read(read) = &self.action
            && older.keys
            && let Some(tests) = &read.query
        {
            let mut conditions = Map::new();
            for (at, (name, condition)) in tests.iter().enumerate() {
                let test = match key_test(condition) {
                    Test::Compare(_, values) if at == 0 => Test::Compare(older.keys_operator, values),
                    test => test,
                };
                conditions.insert(name.clone(), test.json());
            }
            body["KeyConditions"] = conditions.into();
        }
    }
}

/// A query's condition on a key attribute as one of `KeyConditions`.
pub(crate) fn key_test(condition: &KeyCondition) -> Test {
    match condition {
        KeyCondition::Compare(operator, value) => {
            let operator = match *operator {
                "=" => "EQ",
                "<" => "LT",
                "<=" => "LE",
                ">" => "GT",
                _ => "GE",
            };
            Test::Compare(operator, vec![value.clone()])
        }
        KeyCondition::Between(low, high) => Test::Compare("BETWEEN", vec![low.clone(), high.clone()]),
        KeyCondition::BeginsWith(prefix) => Test::Compare("BEGINS_WITH", vec![prefix.clone()]),
    }
}
