//! What is checked of a condition's operands before any item is looked at, whatever text the condition came in.

use std::cmp::Ordering;

use geodynamo_item::{AttributeType, AttributeValue};

use crate::condition::{Comparator, Condition, Operand};
use crate::error::Fault;
use crate::evaluate::{order, size_of};
use crate::function::Function;
use crate::path::Path;

/// Where faults are noted; what they are found in goes on being read.
pub(crate) trait Faults {
    /// Notes a fault.
    fn note(&mut self, fault: Fault);
}

/// Stands where a noted fault leaves nothing to stand; never seen outside.
pub(crate) const NOTHING: Operand = Operand::Value(AttributeValue::Null);

pub(crate) fn size(p: &mut impl Faults, of: Operand) -> Operand {
    let kind = match of {
        Operand::Path(path) => return Operand::Size(path),
        Operand::Size(_) => AttributeType::N,
        Operand::Value(value) => match size_of(&value) {
            Some(size) => return Operand::Value(AttributeValue::N(size)),
            None => value.kind(),
        },
    };
    p.note(Fault::OperandType {
        operator: Function::Size.name(),
        operand: kind,
    });
    NOTHING
}

/// A function that gives a truth, its operands checked.
pub(crate) fn call(p: &mut impl Faults, function: Function, first: Operand, second: Operand) -> Condition {
    let operator = function.name();
    match function {
        Function::AttributeExists => Condition::Exists(path(p, operator, first)),
        Function::AttributeNotExists => Condition::NotExists(path(p, operator, first)),
        Function::AttributeType => Condition::Type {
            value: first,
            kind: named_type(p, &second),
        },
        Function::BeginsWith => {
            for operand in [&first, &second] {
                check_type(p, operator, operand, |kind| {
                    matches!(kind, AttributeType::S | AttributeType::B)
                });
            }
            check_distinct(p, operator, &first, std::slice::from_ref(&second));
            Condition::BeginsWith {
                value: first,
                prefix: second,
            }
        }
        _ => {
            check_type(p, operator, &first, |kind| {
                !matches!(
                    kind,
                    AttributeType::N | AttributeType::Bool | AttributeType::Null | AttributeType::M
                )
            });
            check_distinct(p, operator, &first, std::slice::from_ref(&second));
            Condition::Contains {
                container: first,
                element: second,
            }
        }
    }
}

fn path(p: &mut impl Faults, operator: &'static str, operand: Operand) -> Path {
    match operand {
        Operand::Path(path) => path,
        Operand::Value(_) | Operand::Size(_) => {
            p.note(Fault::PathWanted { operator });
            Path::from("")
        }
    }
}

fn named_type(p: &mut impl Faults, operand: &Operand) -> AttributeType {
    let operator = Function::AttributeType.name();
    let fault = match operand {
        Operand::Value(AttributeValue::S(name)) => match AttributeType::from_code(name) {
            Some(kind) => return kind,
            None => Fault::TypeName { name: name.to_string() },
        },
        Operand::Value(value) => Fault::OperandType {
            operator,
            operand: value.kind(),
        },
        Operand::Size(_) => Fault::OperandType {
            operator,
            operand: AttributeType::N,
        },
        // A type's name is read from the request only, so that a bad one is known before any item.
        Operand::Path(_) => Fault::FunctionMisused { function: operator },
    };
    p.note(fault);
    AttributeType::Null
}

pub(crate) fn check_comparison(p: &mut impl Faults, comparator: Comparator, left: &Operand, right: &Operand) {
    let operator = comparator.symbol();
    if !matches!(comparator, Comparator::Equal | Comparator::NotEqual) {
        check_type(p, operator, left, has_order);
        check_type(p, operator, right, has_order);
    }
    check_distinct(p, operator, left, std::slice::from_ref(right));
}

pub(crate) fn check_between(p: &mut impl Faults, value: &Operand, low: &Operand, high: &Operand) {
    for operand in [value, low, high] {
        check_type(p, "BETWEEN", operand, has_order);
    }
    for bound in [low, high] {
        check_distinct(p, "BETWEEN", value, std::slice::from_ref(bound));
    }
    if let (Operand::Value(low), Operand::Value(high)) = (low, high) {
        match order(low, high) {
            Some(Ordering::Less | Ordering::Equal) => {}
            Some(Ordering::Greater) => p.note(Fault::BoundOrder {
                low: low.clone(),
                high: high.clone(),
            }),
            None => p.note(Fault::BoundTypes {
                low: low.clone(),
                high: high.clone(),
            }),
        }
    }
}

fn check_type(p: &mut impl Faults, operator: &'static str, operand: &Operand, allowed: impl Fn(AttributeType) -> bool) {
    let kind = match operand {
        Operand::Path(_) => return, // known only when an item is there
        Operand::Value(value) => value.kind(),
        Operand::Size(_) => AttributeType::N,
    };
    if !allowed(kind) {
        p.note(Fault::OperandType {
            operator,
            operand: kind,
        });
    }
}

fn has_order(kind: AttributeType) -> bool {
    matches!(kind, AttributeType::S | AttributeType::N | AttributeType::B)
}

pub(crate) fn check_distinct(p: &mut impl Faults, operator: &'static str, first: &Operand, rest: &[Operand]) {
    if let Operand::Path(path) = first
        && rest.contains(first)
    {
        p.note(Fault::SameOperand {
            operator,
            operand: path.to_string(),
        });
    }
}
