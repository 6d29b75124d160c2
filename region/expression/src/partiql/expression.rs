//! Paths, values, sums and conditions in statements: a parser by precedence.

use geodynamo_item::{AttributeType, AttributeValue, Name, Number};

use super::error::{StatementError, SyntaxFault};
use super::keywords::is_keyword;
use super::lexer::{Kind, Token, unquote};
use super::parser::{Outcome, Parser};
use super::tree::{Expression, Is, Node, Span};
use crate::{Comparator, Fault, Path, Step, limits};

type P<'p, 't> = &'p mut Parser<'t>;

/// How closely operators bind; as in Amazon's reference parser, but that all comparisons bind alike.
mod precedence {
    pub(super) const OR: u8 = 10;
    pub(super) const AND: u8 = 20;
    pub(super) const NOT: u8 = 30;
    pub(super) const COMPARISON: u8 = 40;
    pub(super) const SUM: u8 = 60;
}

/// Whatever may stand in a clause.
pub(super) fn any(p: P<'_, '_>) -> Outcome<Node> {
    binary(p, 0)
}

/// An operand of a comparison.
pub(super) fn operand(p: P<'_, '_>) -> Outcome<Node> {
    binary(p, precedence::SUM)
}

/// A document path.
pub(super) fn path(p: P<'_, '_>) -> Outcome<Node> {
    let token = p.peek();
    match token.kind {
        Kind::Word if is_keyword(p.text_of(token)) => Err(SyntaxFault::Keyword.into()),
        Kind::Word | Kind::Quoted => path_from_here(p),
        Kind::Sign(sign) if is_operator(sign) => Err(SyntaxFault::Operator.into()),
        _ => Err(SyntaxFault::Term.into()),
    }
}

/// An infix operator.
#[derive(Clone, Copy)]
enum Infix {
    Or,
    And,
    Compare(Comparator),
    Between { not: bool },
    In { not: bool },
    Is,
    Plus,
    Minus,
}

impl Infix {
    fn precedence(self) -> u8 {
        match self {
            Self::Or => precedence::OR,
            Self::And => precedence::AND,
            Self::Compare(_) | Self::Between { .. } | Self::In { .. } | Self::Is => precedence::COMPARISON,
            Self::Plus | Self::Minus => precedence::SUM,
        }
    }
}

/// A term, and the operators behind it that bind at least as closely as this.
fn binary(p: P<'_, '_>, least: u8) -> Outcome<Node> {
    let mut left = if p.peek_keyword("NOT") { not(p)? } else { term(p)? };
    // Whether `left` is an AND or OR that this loop made, so that the next one of its kind goes into the same list.
    let mut open = false;
    while let Some(infix) = infix(p)? {
        if infix.precedence() < least {
            break;
        }
        let joins = matches!(infix, Infix::And | Infix::Or);
        left = joined(p, left, infix, open)?;
        open = joins;
    }
    Ok(left)
}

#[inline(never)]
fn not(p: P<'_, '_>) -> Outcome<Node> {
    let span = span(p.take());
    p.count_operator()?;
    let inner = p.nest(|p| binary(p, precedence::NOT))?;
    Ok(node(span, Expression::Not(Box::new(inner))))
}

/// The operator that comes, not taken.
fn infix(p: P<'_, '_>) -> Outcome<Option<Infix>> {
    let token = p.peek();
    let unsupported = |p: P<'_, '_>| StatementError::Operator {
        operator: p.text_of(p.peek()).to_owned(),
        at: p.here(),
    };
    Ok(Some(match token.kind {
        Kind::Sign(sign) => match sign {
            "=" => Infix::Compare(Comparator::Equal),
            "<>" | "!=" => Infix::Compare(Comparator::NotEqual),
            "<" => Infix::Compare(Comparator::Less),
            "<=" => Infix::Compare(Comparator::LessOrEqual),
            ">" => Infix::Compare(Comparator::Greater),
            ">=" => Infix::Compare(Comparator::GreaterOrEqual),
            "+" => Infix::Plus,
            "-" => Infix::Minus,
            "*" | "/" | "%" | "||" => return Err(unsupported(p)),
            _ => return Ok(None),
        },
        Kind::Word => {
            let not = p.peek_keyword("NOT");
            let word = p.text_of(if not { p.ahead(1) } else { token });
            let is = |keyword: &str| word.eq_ignore_ascii_case(keyword);
            if is("BETWEEN") {
                Infix::Between { not }
            } else if is("IN") {
                Infix::In { not }
            } else if is("LIKE") {
                return Err(unsupported(p));
            } else if not {
                return Ok(None);
            } else if is("AND") {
                Infix::And
            } else if is("OR") {
                Infix::Or
            } else if is("IS") {
                Infix::Is
            } else {
                return Ok(None);
            }
        }
        _ => return Ok(None),
    }))
}

/// Takes an operator and what is right of it.
#[inline(never)]
fn joined(p: P<'_, '_>, left: Node, infix: Infix, open: bool) -> Outcome<Node> {
    let span = span(p.take());
    p.count_operator()?;
    let closer = infix.precedence() + 1;
    let mut negated = false;
    let expression = match infix {
        Infix::Or => {
            let right = p.nest(|p| binary(p, closer))?;
            Expression::Or(list(left, right, open, |expression| match expression {
                Expression::Or(list) => Ok(list),
                other => Err(other),
            }))
        }
        Infix::And => {
            let right = p.nest(|p| binary(p, closer))?;
            Expression::And(list(left, right, open, |expression| match expression {
                Expression::And(list) => Ok(list),
                other => Err(other),
            }))
        }
        Infix::Compare(comparator) => {
            let right = p.nest(|p| binary(p, closer))?;
            Expression::Compare(comparator, Box::new([left, right]))
        }
        Infix::Plus => Expression::Plus(Box::new([left, p.nest(|p| binary(p, closer))?])),
        Infix::Minus => Expression::Minus(Box::new([left, p.nest(|p| binary(p, closer))?])),
        Infix::Between { not } => {
            negated = take_second(p, not);
            let low = p.nest(operand)?;
            p.expect_keyword("AND", "AND")?;
            let high = p.nest(operand)?;
            Expression::Between(Box::new([left, low, high]))
        }
        Infix::In { not } => {
            negated = take_second(p, not);
            Expression::In(Box::new(left), Box::new(p.nest(in_list)?))
        }
        Infix::Is => {
            let not = p.take_keyword("NOT");
            Expression::Is {
                value: Box::new(left),
                not,
                kind: is_kind(p)?,
            }
        }
    };
    let joined = node(span, expression);
    Ok(if negated {
        node(span, Expression::Not(Box::new(joined)))
    } else {
        joined
    })
}

/// Takes the word behind `NOT`, if that was the operator's first.
fn take_second(p: P<'_, '_>, not: bool) -> bool {
    if not {
        p.take();
    }
    not
}

/// The operands of an AND or OR with one more.
fn list(
    left: Node,
    right: Node,
    open: bool,
    of: impl FnOnce(Expression) -> Result<Vec<Node>, Expression>,
) -> Vec<Node> {
    let Node { span, expression } = left;
    let mut operands = match if open { of(expression) } else { Err(expression) } {
        Ok(operands) => operands,
        Err(expression) => vec![node(span, expression)],
    };
    operands.push(right);
    operands
}

/// What IN looks in: a list in brackets or parentheses, or a parameter.
fn in_list(p: P<'_, '_>) -> Outcome<Node> {
    let open = p.peek();
    if !p.take_sign("(") {
        return operand(p);
    }
    let elements = elements(p, ")", "RIGHT_PAREN")?;
    Ok(node(span(open), Expression::List(elements)))
}

/// The type behind IS.
fn is_kind(p: P<'_, '_>) -> Outcome<Is> {
    let token = p.peek();
    let word = if token.kind == Kind::Word {
        p.text_of(token).to_ascii_lowercase()
    } else {
        String::new()
    };
    use AttributeType as T;
    let kind = match word.as_str() {
        "missing" => Is::Missing,
        "null" => Is::OneOf(&[T::Null]),
        "bool" | "boolean" => Is::OneOf(&[T::Bool]),
        "string" | "varchar" | "char" | "character" | "symbol" => Is::OneOf(&[T::S]),
        "blob" => Is::OneOf(&[T::B]),
        "list" => Is::OneOf(&[T::L]),
        "struct" | "tuple" => Is::OneOf(&[T::M]),
        "bag" => Is::OneOf(&[T::Ss, T::Ns, T::Bs]),
        "int" | "integer" | "smallint" | "bigint" | "decimal" | "numeric" | "float" | "real" => Is::OneOf(&[T::N]),
        _ => return Err(SyntaxFault::Expected("type name").into()),
    };
    p.take();
    Ok(kind)
}

/// A path, a value, a call, or anything in parentheses. What needs much stack is kept out of line here and elsewhere,
/// because every level of nesting has this on the stack.
fn term(p: P<'_, '_>) -> Outcome<Node> {
    let token = p.peek();
    match token.kind {
        Kind::Quoted => path_from_here(p),
        Kind::Word => word(p, token),
        Kind::Text | Kind::Number | Kind::Parameter => literal(p, token, false),
        Kind::Sign("(") => enclosed(p),
        Kind::Sign("[") => list_literal(p),
        Kind::Sign("<<") => bag_literal(p),
        Kind::Sign("{") => map_literal(p),
        Kind::Sign(sign @ ("-" | "+")) if p.ahead(1).kind == Kind::Number => {
            p.take();
            let number = p.peek();
            literal(p, number, sign == "-")
        }
        Kind::Sign(sign) if is_operator(sign) => Err(SyntaxFault::Operator.into()),
        Kind::Sign(_) | Kind::End => Err(SyntaxFault::Term.into()),
    }
}

#[inline(never)]
fn enclosed(p: P<'_, '_>) -> Outcome<Node> {
    p.take();
    let inner = p.nest(any)?;
    p.expect_sign(")", "RIGHT_PAREN")?;
    Ok(inner)
}

#[inline(never)]
fn list_literal(p: P<'_, '_>) -> Outcome<Node> {
    let open = p.take();
    let elements = elements(p, "]", "RIGHT_BRACKET")?;
    Ok(node(span(open), Expression::List(elements)))
}

#[inline(never)]
fn bag_literal(p: P<'_, '_>) -> Outcome<Node> {
    let open = p.take();
    let elements = elements(p, ">>", "RIGHT_DOUBLE_ANGLE_BRACKET")?;
    Ok(node(span(open), Expression::Bag(elements)))
}

#[inline(never)]
fn literal(p: P<'_, '_>, token: Token, negative: bool) -> Outcome<Node> {
    p.take();
    let value = match token.kind {
        Kind::Text => AttributeValue::S(unquote(p.text_of(token)).into()),
        Kind::Parameter => p.parameter(),
        _ => {
            let number = Number::parse(p.text_of(token))?;
            AttributeValue::N(if negative { number.negated() } else { number })
        }
    };
    Ok(node(span(token), Expression::Value(value)))
}

#[inline(never)]
fn word(p: P<'_, '_>, token: Token) -> Outcome<Node> {
    let text = p.text_of(token);
    let lower = text.to_ascii_lowercase();
    let literal = match lower.as_str() {
        "true" => Some(Expression::Value(AttributeValue::Bool(true))),
        "false" => Some(Expression::Value(AttributeValue::Bool(false))),
        "null" => Some(Expression::Value(AttributeValue::Null)),
        "missing" => Some(Expression::Missing),
        _ => None,
    };
    if let Some(literal) = literal {
        p.take();
        return Ok(node(span(token), literal));
    }
    let calls = p.ahead(1).kind == Kind::Sign("(");
    if calls && (!is_keyword(text) || is_function_keyword(&lower)) {
        p.take();
        p.take();
        p.count_operator()?;
        let operands = if p.take_sign("*") {
            p.expect_sign(")", "RIGHT_PAREN")?;
            Vec::new()
        } else {
            elements(p, ")", "RIGHT_PAREN")?
        };
        let function = lower;
        return Ok(node(span(token), Expression::Call { function, operands }));
    }
    if is_keyword(text) {
        return Err(SyntaxFault::Keyword.into());
    }
    path_from_here(p)
}

/// Keywords that name functions.
fn is_function_keyword(word: &str) -> bool {
    matches!(
        word,
        "size" | "count" | "avg" | "max" | "min" | "sum" | "upper" | "lower" | "substring" | "char_length" | "coalesce"
    )
}

/// Elements until the closing sign, which is taken, too.
fn elements(p: P<'_, '_>, close: &'static str, expected: &'static str) -> Outcome<Vec<Node>> {
    let mut elements = Vec::new();
    if p.take_sign(close) {
        return Ok(elements);
    }
    loop {
        elements.push(p.nest(any)?);
        if !p.take_sign(",") {
            p.expect_sign(close, expected)?;
            return Ok(elements);
        }
    }
}

#[inline(never)]
fn map_literal(p: P<'_, '_>) -> Outcome<Node> {
    let open = p.take();
    let mut entries = Vec::new();
    if !p.take_sign("}") {
        loop {
            let name = p.nest(operand)?;
            p.expect_sign(":", "COLON")?;
            entries.push((name, p.nest(any)?));
            if !p.take_sign(",") {
                p.expect_sign("}", "RIGHT_CURLY")?;
                break;
            }
        }
    }
    Ok(node(span(open), Expression::Map(entries)))
}

/// A path; its first token comes.
#[inline(never)]
fn path_from_here(p: P<'_, '_>) -> Outcome<Node> {
    let first = p.take();
    let root = name(p, first)?.ok_or(SyntaxFault::Term)?;
    let mut steps = Vec::new();
    loop {
        if p.take_sign(".") {
            let token = p.peek();
            if p.peek_sign("*") {
                return Err(StatementError::PathComponent(p.here()));
            }
            let keyword = token.kind == Kind::Word && is_keyword(p.text_of(token));
            let name = name(p, token)?.filter(|_| !keyword).ok_or(SyntaxFault::DotComponent)?;
            p.take();
            steps.push(Step::Key(name));
        } else if p.peek_sign("[") {
            p.take();
            steps.push(bracket(p)?);
            p.expect_sign("]", "RIGHT_BRACKET")?;
        } else {
            break;
        }
    }
    if steps.len() >= limits::PATH_ELEMENTS {
        let levels = steps.len() + 1;
        return Err(Fault::PathDepth { levels }.into());
    }
    Ok(node(span(first), Expression::Path(Path { root, steps })))
}

/// What is in a path's brackets: an index, or a name as a string.
fn bracket(p: P<'_, '_>) -> Outcome<Step> {
    let token = p.peek();
    let text = p.text_of(token);
    let step = match token.kind {
        Kind::Number => {
            // Indexes are a Java int's: the last is 2^31 - 1.
            let index = text
                .parse::<i32>()
                .map_err(|_| Fault::ListIndex { index: text.to_owned() })?;
            Step::Index(index.unsigned_abs())
        }
        Kind::Text => Step::Key(component(unquote(text))?),
        _ => return Err(StatementError::PathComponent(p.here())),
    };
    p.take();
    Ok(step)
}

/// The name that a token is, if it is one.
fn name(p: P<'_, '_>, token: Token) -> Outcome<Option<Name>> {
    let text = p.text_of(token);
    match token.kind {
        Kind::Word => Ok(Some(text.into())),
        Kind::Quoted => component(unquote(text)).map(Some),
        _ => Ok(None),
    }
}

/// A quoted component of a path; none is empty.
fn component(text: String) -> Outcome<Name> {
    if text.is_empty() {
        return Err(StatementError::EmptyComponent);
    }
    Ok(text.into())
}

fn is_operator(sign: &str) -> bool {
    matches!(
        sign,
        "=" | "<>" | "!=" | "<" | "<=" | ">" | ">=" | "+" | "-" | "*" | "/" | "%" | "||" | "@"
    )
}

fn span(token: Token) -> Span {
    Span {
        start: token.start,
        end: token.end,
    }
}

fn node(span: Span, expression: Expression) -> Node {
    Node { span, expression }
}
