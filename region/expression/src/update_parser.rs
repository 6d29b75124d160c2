//! Text to [`Update`].

use geodynamo_item::{AttributeType, AttributeValue};
use smallvec::SmallVec;

use crate::Context;
use crate::condition_checks::Faults;
use crate::error::{ExpressionError, Fault, Parameter};
use crate::function::Function;
use crate::lexer::{Kind, Token};
use crate::parser::{self, Parsed, Parser};
use crate::path::{Path, check_overlap};
use crate::update::{Update, UpdateOperand};

type P<'p, 't, 'c, 'a> = &'p mut Parser<'t, 'c, 'a>;

pub(crate) fn parse(text: &str, context: &mut Context<'_>) -> Result<Update, ExpressionError> {
    parser::parse(Parameter::Update, text, context, |parser| {
        let update = sections(parser)?;
        let overlap = check_overlap(&update.paths().collect::<SmallVec<[&Path; 8]>>());
        if let Err(fault) = overlap {
            parser.note(fault);
        }
        Ok(update)
    })
}

const SECTIONS: [&str; 4] = ["SET", "REMOVE", "ADD", "DELETE"];

fn sections(p: P<'_, '_, '_, '_>) -> Parsed<Update> {
    let mut update = Update::default();
    let mut seen = [false; SECTIONS.len()];
    loop {
        let Some(at) = SECTIONS.iter().position(|section| p.peek_keyword(section)) else {
            return Err(p.syntax_error());
        };
        p.take();
        if std::mem::replace(&mut seen[at], true) {
            p.note(Fault::SectionTwice { section: SECTIONS[at] });
        }
        loop {
            let path = target(p)?;
            match at {
                0 => {
                    p.expect(Kind::Equal)?;
                    let operand = set_value(p)?;
                    update.set.push((path, operand));
                }
                1 => update.remove.push(path),
                2 => update.add.push((path, action_value(p, "ADD")?)),
                _ => update.delete.push((path, action_value(p, "DELETE")?)),
            }
            if !p.take_if(Kind::Comma) {
                break;
            }
        }
        if p.peek() == Kind::End {
            return Ok(update);
        }
    }
}

/// A path to change.
fn target(p: P<'_, '_, '_, '_>) -> Parsed<Path> {
    if SECTIONS.into_iter().any(|section| p.peek_keyword(section)) {
        return Err(p.syntax_error());
    }
    p.path()
}

/// What SET sets: `operand`, `operand + operand` or `operand - operand`, perhaps in parentheses. There is one operator at most:
/// by the guide's syntax summary an operand is a path or a function.
fn set_value(p: P<'_, '_, '_, '_>) -> Parsed<UpdateOperand> {
    Ok(value(p)?.operand)
}

/// A part of what SET sets, and how it is written.
struct Written {
    operand: UpdateOperand,
    enclosed: bool,
    is_sum: bool,
}

fn value(p: P<'_, '_, '_, '_>) -> Parsed<Written> {
    let left = if p.take_if(Kind::Open) {
        let inner = p.nest(value)?;
        p.expect(Kind::Close)?;
        if inner.enclosed {
            p.note(Fault::RedundantParentheses);
        }
        Written {
            enclosed: true,
            ..inner
        }
    } else {
        Written {
            operand: operand(p)?,
            enclosed: false,
            is_sum: false,
        }
    };
    let (operator, build): (_, fn(_, _) -> _) = match p.peek() {
        Kind::Plus if !left.is_sum => ("+", UpdateOperand::Plus),
        Kind::Minus if !left.is_sum => ("-", UpdateOperand::Minus),
        _ => return Ok(left),
    };
    p.take();
    p.count_operator()?;
    let (left, right) = (left.operand, operand(p)?);
    for operand in [&left, &right] {
        check_type(p, operator, operand, AttributeType::N);
    }
    Ok(Written {
        operand: build(Box::new(left), Box::new(right)),
        enclosed: false,
        is_sum: true,
    })
}

/// A path, a value of the request or a function, perhaps in parentheses.
fn operand(p: P<'_, '_, '_, '_>) -> Parsed<UpdateOperand> {
    match p.peek() {
        Kind::Value => Ok(UpdateOperand::Value(p.value()?)),
        Kind::Name => Ok(UpdateOperand::Path(p.path()?)),
        Kind::Word if !SECTIONS.into_iter().any(|section| p.peek_keyword(section)) => {
            let word = p.take();
            if p.peek() == Kind::Open {
                function(p, word)
            } else {
                Ok(UpdateOperand::Path(p.path_from(word)?))
            }
        }
        Kind::Open => {
            p.take();
            if p.peek() == Kind::Open {
                p.note(Fault::RedundantParentheses);
            }
            let inner = p.nest(operand)?;
            p.expect(Kind::Close)?;
            Ok(inner)
        }
        _ => Err(p.syntax_error()),
    }
}

/// Stands where a noted fault leaves nothing to stand; never seen outside.
const NOTHING: UpdateOperand = UpdateOperand::Value(AttributeValue::Null);

/// A function; its name was taken.
fn function(p: P<'_, '_, '_, '_>, word: Token) -> Parsed<UpdateOperand> {
    p.count_operator()?;
    let operands = p.nest(|p| {
        p.expect(Kind::Open)?;
        let mut operands = vec![operand(p)?];
        while p.take_if(Kind::Comma) {
            operands.push(operand(p)?);
        }
        p.expect(Kind::Close)?;
        Ok(operands)
    })?;
    Ok(applied(p, word, operands))
}

/// A function with its operands, checked.
#[inline(never)]
fn applied(p: P<'_, '_, '_, '_>, word: Token, operands: Vec<UpdateOperand>) -> UpdateOperand {
    let name = p.text_of(word);
    let Some(function) = Function::named(name) else {
        p.note(Fault::UnknownFunction {
            function: name.to_owned(),
        });
        return NOTHING;
    };
    if !function.is_for_updates() {
        p.note(Fault::FunctionElsewhere {
            parameter: Parameter::Update,
            function: function.name(),
        });
        return NOTHING;
    }
    if operands.len() != function.operands() {
        p.note(Fault::OperandCount {
            operator: function.name(),
            count: operands.len(),
        });
        return NOTHING;
    }
    let mut operands = operands.into_iter();
    let first = operands.next().unwrap_or(NOTHING);
    let second = operands.next().unwrap_or(NOTHING);
    if function == Function::ListAppend {
        check_appended(p, [&first, &second]);
        return UpdateOperand::ListAppend(Box::new(first), Box::new(second));
    }
    let UpdateOperand::Path(path) = first else {
        p.note(Fault::PathWanted {
            operator: function.name(),
        });
        return NOTHING;
    };
    UpdateOperand::IfNotExists(path, Box::new(second))
}

/// Refuses an operand whose type is known before the item is, and wrong.
pub(crate) fn check_type(p: &mut impl Faults, operator: &'static str, operand: &UpdateOperand, wanted: AttributeType) {
    let kind = match operand {
        UpdateOperand::Path(_) | UpdateOperand::IfNotExists(..) => return,
        UpdateOperand::Value(value) => value.kind(),
        UpdateOperand::ListAppend(..) => AttributeType::L,
        UpdateOperand::Plus(..) | UpdateOperand::Minus(..) => AttributeType::N,
    };
    if kind != wanted {
        p.note(Fault::OperandType {
            operator,
            operand: kind,
        });
    }
}

/// Refuses operands of `list_append` that are known to be no lists, and those that are lists appended to others.
pub(crate) fn check_appended(p: &mut impl Faults, operands: [&UpdateOperand; 2]) {
    let function = Function::ListAppend.name();
    for operand in operands {
        if matches!(operand, UpdateOperand::ListAppend(..)) {
            p.note(Fault::FunctionMisused { function });
        }
        check_type(p, function, operand, AttributeType::L);
    }
}

/// The value that ADD adds, or DELETE takes away.
fn action_value(p: P<'_, '_, '_, '_>, section: &'static str) -> Parsed<AttributeValue> {
    let value = p.value()?;
    let kind = value.kind();
    let fits = match kind {
        AttributeType::Ss | AttributeType::Ns | AttributeType::Bs => true,
        AttributeType::N => section == "ADD",
        _ => false,
    };
    if !fits {
        p.note(Fault::ActionOperandType { section, operand: kind });
    }
    Ok(value)
}
