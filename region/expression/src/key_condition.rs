//! Key-condition expressions: which items of one partition key a query reads.

use geodynamo_item::{AttributeValue, Name};

use crate::condition::{Comparator, Condition, Operand};
use crate::error::KeyConditionFault;
use crate::{Context, ExpressionError, Parameter, Path, Refusal, condition_parser};

/// A query's key condition, before it is known which attributes are the keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyCondition {
    /// Conditions on one attribute each.
    pub tests: Vec<KeyTest>,
}

/// A condition on one attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyTest {
    /// The attribute.
    pub attribute: Name,
    /// What it must be.
    pub condition: SortCondition,
}

/// What a sort key must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SortCondition {
    /// `=`
    Equal(AttributeValue),
    /// `<`
    Less(AttributeValue),
    /// `<=`
    LessOrEqual(AttributeValue),
    /// `>`
    Greater(AttributeValue),
    /// `>=`
    GreaterOrEqual(AttributeValue),
    /// `BETWEEN low AND high`; both bounds belong to it.
    Between(AttributeValue, AttributeValue),
    /// `begins_with`: a string's or binary value's beginning.
    BeginsWith(AttributeValue),
}

/// A key condition, resolved for a table's or an index's keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolvedKeyCondition {
    /// The values of the partition key's attributes, in their order. Types are not checked.
    pub partition: Vec<AttributeValue>,
    /// What the first attributes of the sort key are equal to, if it has several. Types are not checked.
    pub sort_equal: Vec<AttributeValue>,
    /// What the sort key's next attribute must be; without it, anything. Types are not checked, see
    /// [`SortCondition::operands`].
    pub sort: Option<SortCondition>,
}

impl KeyCondition {
    /// Parses a KeyConditionExpression.
    ///
    /// # Errors
    /// Whatever DynamoDB refuses before it looks at the table.
    pub fn parse(text: &str, context: &mut Context<'_>) -> Result<Self, ExpressionError> {
        let condition = condition_parser::parse(Parameter::KeyCondition, text, context)?;
        Self::of(condition)
    }

    /// A key condition of a condition's tree.
    ///
    /// # Errors
    /// [`KeyConditionFault`], if the tree has operators, functions or nested paths that key conditions do not know.
    pub fn of(condition: Condition) -> Result<Self, ExpressionError> {
        let mut tests = Vec::new();
        flatten(condition, &mut tests).map_err(Refusal::from)?;
        Ok(Self { tests })
    }

    /// Resolves the conditions for the attributes of these keys: one each, but for the keys of some global indexes. Of a
    /// sort key of several attributes, the conditions are on the first ones, and all but the last are `=`.
    ///
    /// # Errors
    /// [`KeyConditionFault`], if a key is missed, tested twice, or the partition key is not tested by `=`.
    pub fn resolve(self, partition_key: &[&str], sort_key: &[&str]) -> Result<ResolvedKeyCondition, ExpressionError> {
        self.try_resolve(partition_key, sort_key)
            .map_err(|fault| Refusal::from(fault).into())
    }

    fn try_resolve(self, partition_key: &[&str], sort_key: &[&str]) -> Result<ResolvedKeyCondition, KeyConditionFault> {
        let mut tests = self.tests;
        let several = partition_key.len() > 1 || sort_key.len() > 1;
        // The first thing that is found: a range given by its two ends is told what is wrong with it.
        let twice = |(at, test): (usize, &KeyTest)| tests[..at].iter().any(|other| other.attribute == test.attribute);
        if tests.iter().enumerate().any(twice) {
            return Err(KeyConditionFault::OneConditionPerKey);
        }
        if tests.len() > 2 && !several {
            return Err(KeyConditionFault::Count);
        }
        let missed = |attribute: &str| KeyConditionFault::MissedKey {
            attribute: attribute.to_owned(),
        };
        // Keys of several attributes have refusals of their own.
        let not_equal = |key_type: &'static str, attribute: &str| KeyConditionFault::NotEqual {
            key_type,
            attribute: attribute.to_owned(),
        };
        let mut take = |name: &str| {
            let at = tests.iter().position(|test| test.attribute == name)?;
            Some(tests.swap_remove(at).condition)
        };
        let mut partition = Vec::with_capacity(partition_key.len());
        for name in partition_key {
            partition.push(match take(name) {
                Some(condition) if !several || matches!(condition, SortCondition::Equal(_)) => condition,
                _ if several => return Err(not_equal("HASH", name)),
                _ => return Err(missed(name)),
            });
        }
        let sorts: Vec<_> = sort_key.iter().map_while(|name| take(name)).collect();
        if !tests.is_empty() {
            let gap = sort_key.get(sorts.len());
            let behind = |test: &KeyTest| sort_key.contains(&test.attribute.as_str());
            return Err(match gap {
                // A condition on an attribute of the sort key behind one that has none,
                Some(gap) if several && tests.iter().any(behind) => not_equal("RANGE", gap),
                // or on something else.
                Some(gap) => missed(gap),
                None => KeyConditionFault::NotSupported,
            });
        }
        let partition = partition.into_iter().map(|condition| match condition {
            SortCondition::Equal(value) => Ok(value),
            _ => Err(KeyConditionFault::NotSupported),
        });
        let partition = partition.collect::<Result<_, _>>()?;
        let mut sorts = sorts.into_iter();
        let sort = sorts.next_back();
        let sort_equal = sorts.zip(sort_key).map(|(condition, name)| match condition {
            SortCondition::Equal(value) => Ok(value),
            _ => Err(not_equal("RANGE", name)),
        });
        Ok(ResolvedKeyCondition {
            partition,
            sort_equal: sort_equal.collect::<Result<_, _>>()?,
            sort,
        })
    }
}

impl SortCondition {
    /// The values it compares with, whose types must be the key's.
    pub fn operands(&self) -> impl Iterator<Item = &AttributeValue> {
        let (first, second) = match self {
            Self::Equal(value)
            | Self::Less(value)
            | Self::LessOrEqual(value)
            | Self::Greater(value)
            | Self::GreaterOrEqual(value)
            | Self::BeginsWith(value) => (value, None),
            Self::Between(low, high) => (low, Some(high)),
        };
        std::iter::once(first).chain(second)
    }
}

/// Takes `AND`s apart. Not recursive beyond the parser's nesting limit.
fn flatten(condition: Condition, tests: &mut Vec<KeyTest>) -> Result<(), KeyConditionFault> {
    let refuse = |operator| Err(KeyConditionFault::Operator { operator });
    match condition {
        Condition::And(list) => {
            for condition in list {
                flatten(condition, tests)?;
            }
            return Ok(());
        }
        Condition::Or(_) => return refuse("OR"),
        Condition::Not(_) => return refuse("NOT"),
        Condition::In { .. } => return refuse("IN"),
        Condition::Exists(_) => return refuse("attribute_exists"),
        Condition::NotExists(_) => return refuse("attribute_not_exists"),
        Condition::Type { .. } => return refuse("attribute_type"),
        Condition::Contains { .. } => return refuse("contains"),
        Condition::Compare {
            comparator: Comparator::NotEqual,
            ..
        } => return refuse("<>"),
        Condition::Compare {
            comparator,
            left,
            right,
        } => tests.push(comparison(comparator, left, right)?),
        Condition::Between { value, low, high } => {
            let attribute = first("BETWEEN", value, &[&low, &high])?;
            let condition = SortCondition::Between(value_of(low)?, value_of(high)?);
            tests.push(KeyTest { attribute, condition });
        }
        Condition::BeginsWith { value, prefix } => {
            let attribute = first("begins_with", value, &[&prefix])?;
            let condition = SortCondition::BeginsWith(value_of(prefix)?);
            tests.push(KeyTest { attribute, condition });
        }
    }
    Ok(())
}

fn comparison(comparator: Comparator, left: Operand, right: Operand) -> Result<KeyTest, KeyConditionFault> {
    let (comparator, path, value) = match (left, right) {
        (Operand::Path(path), Operand::Value(value)) => (comparator, path, value),
        (Operand::Value(value), Operand::Path(path)) => (comparator.flipped(), path, value),
        (Operand::Size(_), _) | (_, Operand::Size(_)) => return Err(KeyConditionFault::NestedOperation),
        (Operand::Value(_), Operand::Value(_)) => return Err(KeyConditionFault::NoAttribute),
        (Operand::Path(_), Operand::Path(_)) => return Err(KeyConditionFault::SeveralAttributes),
    };
    let condition = match comparator {
        Comparator::Equal => SortCondition::Equal(value),
        Comparator::Less => SortCondition::Less(value),
        Comparator::LessOrEqual => SortCondition::LessOrEqual(value),
        Comparator::Greater => SortCondition::Greater(value),
        Comparator::GreaterOrEqual => SortCondition::GreaterOrEqual(value),
        Comparator::NotEqual => return Err(KeyConditionFault::Operator { operator: "<>" }),
    };
    Ok(KeyTest {
        attribute: attribute(path)?,
        condition,
    })
}

/// The attribute that must be the first operand of an operator that knows no other order.
fn first(operator: &'static str, value: Operand, rest: &[&Operand]) -> Result<Name, KeyConditionFault> {
    if matches!(value, Operand::Size(_)) || rest.iter().any(|operand| matches!(operand, Operand::Size(_))) {
        return Err(KeyConditionFault::NestedOperation);
    }
    let others = rest
        .iter()
        .filter(|operand| matches!(operand, Operand::Path(_)))
        .count();
    match (value, others) {
        (Operand::Path(path), 0) => attribute(path),
        (Operand::Path(_), _) => Err(KeyConditionFault::SeveralAttributes),
        (_, 0) => Err(KeyConditionFault::NoAttribute),
        (_, 1) => Err(KeyConditionFault::AttributeNotFirst { operator }),
        (_, _) => Err(KeyConditionFault::SeveralAttributes),
    }
}

fn attribute(path: Path) -> Result<Name, KeyConditionFault> {
    if path.steps.is_empty() {
        Ok(path.root)
    } else {
        Err(KeyConditionFault::NestedAttribute)
    }
}

fn value_of(operand: Operand) -> Result<AttributeValue, KeyConditionFault> {
    match operand {
        Operand::Value(value) => Ok(value),
        Operand::Path(_) => Err(KeyConditionFault::SeveralAttributes),
        Operand::Size(_) => Err(KeyConditionFault::NestedOperation),
    }
}
