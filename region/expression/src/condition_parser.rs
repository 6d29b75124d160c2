//! Text to [`Condition`].

use crate::condition::{Comparator, Condition, Operand};
use crate::condition_checks::{NOTHING, call, check_between, check_comparison, check_distinct, size};
use crate::error::{ExpressionError, Fault, Parameter};
use crate::function::Function;
use crate::lexer::{Kind, Token};
use crate::parser::{self, Parsed, Parser};
use crate::{Context, limits};

type P<'p, 't, 'c, 'a> = &'p mut Parser<'t, 'c, 'a>;

pub(crate) fn parse(parameter: Parameter, text: &str, context: &mut Context<'_>) -> Result<Condition, ExpressionError> {
    parser::parse(parameter, text, context, |parser| {
        let node = or(parser)?;
        truth(parser, node)
    })
}

/// What a pair of parentheses may enclose: a condition or, as in `(a) = :b`, an operand.
///
/// Boxed, and what needs much stack kept out of line, because every level of nesting has several of them on the stack.
enum Node {
    Condition(Box<Condition>),
    /// In parentheses already.
    Enclosed(Box<Condition>),
    Operand(Operand),
}

/// The node must be a condition. If it is only an operand, the next token should have been an operator.
fn truth(p: P<'_, '_, '_, '_>, node: Node) -> Parsed<Condition> {
    match node {
        Node::Condition(condition) | Node::Enclosed(condition) => Ok(*condition),
        Node::Operand(Operand::Size(_)) => {
            p.note(Fault::FunctionMisused {
                function: Function::Size.name(),
            });
            Ok(Condition::And(Vec::new()))
        }
        Node::Operand(_) => Err(p.syntax_error()),
    }
}

fn or(p: P<'_, '_, '_, '_>) -> Parsed<Node> {
    let first = and(p)?;
    if !p.peek_keyword("OR") {
        return Ok(first);
    }
    let mut list = Vec::new();
    push_truth(p, &mut list, first)?;
    while p.take_keyword("OR") {
        p.count_operator()?;
        let next = and(p)?;
        push_truth(p, &mut list, next)?;
    }
    Ok(Node::Condition(Box::new(Condition::Or(list))))
}

fn and(p: P<'_, '_, '_, '_>) -> Parsed<Node> {
    let first = not(p)?;
    if !p.peek_keyword("AND") {
        return Ok(first);
    }
    let mut list = Vec::new();
    push_truth(p, &mut list, first)?;
    while p.take_keyword("AND") {
        p.count_operator()?;
        let next = not(p)?;
        push_truth(p, &mut list, next)?;
    }
    Ok(Node::Condition(Box::new(Condition::And(list))))
}

#[inline(never)]
fn push_truth(p: P<'_, '_, '_, '_>, list: &mut Vec<Condition>, node: Node) -> Parsed<()> {
    list.push(truth(p, node)?);
    Ok(())
}

fn not(p: P<'_, '_, '_, '_>) -> Parsed<Node> {
    let mut count = 0;
    while p.take_keyword("NOT") {
        p.count_operator()?;
        count += 1;
    }
    let node = if p.take_if(Kind::Open) {
        enclosed(p)?
    } else {
        simple(p)?
    };
    if count == 0 { Ok(node) } else { negated(p, node, count) }
}

#[inline(never)]
fn negated(p: P<'_, '_, '_, '_>, node: Node, times: usize) -> Parsed<Node> {
    let mut condition = Box::new(truth(p, node)?);
    for _ in 0..times {
        condition = Box::new(Condition::Not(condition));
    }
    Ok(Node::Condition(condition))
}

/// What is in parentheses, the first of which was taken; and what follows, if they enclose an operand.
fn enclosed(p: P<'_, '_, '_, '_>) -> Parsed<Node> {
    let twice = p.peek() == Kind::Open;
    let inner = p.nest(or)?;
    p.expect(Kind::Close)?;
    match inner {
        Node::Condition(condition) => Ok(Node::Enclosed(condition)),
        Node::Enclosed(condition) => {
            p.note(Fault::RedundantParentheses);
            Ok(Node::Enclosed(condition))
        }
        Node::Operand(operand) => {
            if twice {
                p.note(Fault::RedundantParentheses);
            }
            comparison(p, operand)
        }
    }
}

/// A condition without parentheses around it.
#[inline(never)]
fn simple(p: P<'_, '_, '_, '_>) -> Parsed<Node> {
    match term(p)? {
        Term::Operand(operand) => comparison(p, operand),
        Term::Truth { condition, function } => {
            if operator_follows(p) {
                p.note(Fault::FunctionMisused {
                    function: function.name(),
                });
                return comparison(p, NOTHING);
            }
            Ok(Node::Condition(condition))
        }
    }
}

/// What follows an operand: an operator and the other operands, or nothing.
#[inline(never)]
fn comparison(p: P<'_, '_, '_, '_>, left: Operand) -> Parsed<Node> {
    if let Some(comparator) = comparator(p) {
        p.take();
        p.count_operator()?;
        let right = operand(p)?;
        check_comparison(p, comparator, &left, &right);
        return Ok(Node::Condition(Box::new(Condition::Compare {
            comparator,
            left,
            right,
        })));
    }
    if p.take_keyword("BETWEEN") {
        p.count_operator()?;
        let low = operand(p)?;
        if !p.take_keyword("AND") {
            return Err(p.syntax_error());
        }
        let high = operand(p)?;
        check_between(p, &left, &low, &high);
        return Ok(Node::Condition(Box::new(Condition::Between { value: left, low, high })));
    }
    if p.take_keyword("IN") {
        p.count_operator()?;
        p.expect(Kind::Open)?;
        let mut list = vec![operand(p)?];
        while p.take_if(Kind::Comma) {
            list.push(operand(p)?);
        }
        p.expect(Kind::Close)?;
        if list.len() > limits::IN_OPERANDS {
            p.note(Fault::InOperands { count: list.len() });
        }
        check_distinct(p, "IN", &left, &list);
        return Ok(Node::Condition(Box::new(Condition::In { value: left, list })));
    }
    Ok(Node::Operand(left))
}

fn comparator(p: P<'_, '_, '_, '_>) -> Option<Comparator> {
    Some(match p.peek() {
        Kind::Equal => Comparator::Equal,
        Kind::NotEqual => Comparator::NotEqual,
        Kind::Less => Comparator::Less,
        Kind::LessOrEqual => Comparator::LessOrEqual,
        Kind::Greater => Comparator::Greater,
        Kind::GreaterOrEqual => Comparator::GreaterOrEqual,
        _ => return None,
    })
}

fn operator_follows(p: P<'_, '_, '_, '_>) -> bool {
    p.peek_keyword("BETWEEN") || p.peek_keyword("IN") || comparator(p).is_some()
}

/// An operand, or a function that gives a truth.
enum Term {
    Operand(Operand),
    Truth {
        condition: Box<Condition>,
        function: Function,
    },
}

fn operand(p: P<'_, '_, '_, '_>) -> Parsed<Operand> {
    if p.take_if(Kind::Open) {
        if p.peek() == Kind::Open {
            p.note(Fault::RedundantParentheses);
        }
        let inner = p.nest(operand)?;
        p.expect(Kind::Close)?;
        return Ok(inner);
    }
    match term(p)? {
        Term::Operand(operand) => Ok(operand),
        Term::Truth { function, .. } => {
            p.note(Fault::FunctionMisused {
                function: function.name(),
            });
            Ok(NOTHING)
        }
    }
}

fn term(p: P<'_, '_, '_, '_>) -> Parsed<Term> {
    match p.peek() {
        Kind::Value => Ok(Term::Operand(Operand::Value(p.value()?))),
        Kind::Name => Ok(Term::Operand(Operand::Path(p.path()?))),
        Kind::Word
            if !["AND", "OR", "NOT", "BETWEEN", "IN"]
                .into_iter()
                .any(|word| p.peek_keyword(word)) =>
        {
            let word = p.take();
            if p.peek() == Kind::Open {
                function(p, word)
            } else {
                Ok(Term::Operand(Operand::Path(p.path_from(word)?)))
            }
        }
        _ => Err(p.syntax_error()),
    }
}

/// A function; its name was taken.
fn function(p: P<'_, '_, '_, '_>, word: Token) -> Parsed<Term> {
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
fn applied(p: P<'_, '_, '_, '_>, word: Token, operands: Vec<Operand>) -> Term {
    let name = p.text_of(word);
    let Some(function) = Function::named(name) else {
        p.note(Fault::UnknownFunction {
            function: name.to_owned(),
        });
        return unknown(p);
    };
    if function.is_for_updates() {
        p.note(Fault::FunctionElsewhere {
            parameter: p.parameter(),
            function: function.name(),
        });
        return unknown(p);
    }
    if operands.len() != function.operands() {
        p.note(Fault::OperandCount {
            operator: function.name(),
            count: operands.len(),
        });
        return unknown(p);
    }
    let mut operands = operands.into_iter();
    let first = operands.next().unwrap_or(NOTHING);
    let second = operands.next().unwrap_or(NOTHING);
    if function == Function::Size {
        return Term::Operand(size(p, first));
    }
    Term::Truth {
        condition: Box::new(call(p, function, first, second)),
        function,
    }
}

/// Stands for a function that was refused: as an operand where an operator follows, as a condition elsewhere.
fn unknown(p: P<'_, '_, '_, '_>) -> Term {
    if operator_follows(p) {
        Term::Operand(NOTHING)
    } else {
        Term::Truth {
            condition: Box::new(Condition::And(Vec::new())),
            function: Function::AttributeExists,
        }
    }
}
