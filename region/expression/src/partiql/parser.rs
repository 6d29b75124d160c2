//! Text to [`Parsed`]: statements and their clauses. What may stand in them is [`expression`](super::expression)'s.

use geodynamo_item::AttributeValue;

use super::error::{At, StatementError, SyntaxFault};
use super::keywords::is_keyword;
use super::lexer::{Kind, Token, tokens};
use super::tree::{Change, Expression, Node, Parsed, SelectNode};
use super::{Returning, expression};
use crate::limits;

/// Parses a statement, its parameters filled in.
pub(super) fn parse(text: &str, parameters: &[AttributeValue]) -> Result<Parsed, StatementError> {
    if text.len() > 4 * limits::STATEMENT_CHARACTERS || text.chars().count() > limits::STATEMENT_CHARACTERS {
        return Err(SyntaxFault::Length.into());
    }
    let mut parser = Parser {
        text,
        tokens: tokens(text)?,
        at: 0,
        parameters,
        taken: 0,
        operators: 0,
        depth: 0,
    };
    let statement = parser.statement()?;
    parser.take_sign(";");
    if parser.peek().kind != Kind::End {
        return Err(SyntaxFault::After.into());
    }
    if parser.taken != parameters.len() {
        return Err(StatementError::Parameters);
    }
    Ok(statement)
}

/// The outcome of a part of a statement; the error ends the parsing.
pub(super) type Outcome<T> = Result<T, StatementError>;

/// A cursor over a statement's tokens.
pub(super) struct Parser<'t> {
    text: &'t str,
    tokens: Vec<Token>,
    at: usize,
    parameters: &'t [AttributeValue],
    /// How many `?` there were.
    taken: usize,
    operators: usize,
    depth: usize,
}

/// Clauses of SQL that DynamoDB does not know.
const CLAUSES: [&str; 7] = ["LIMIT", "GROUP", "HAVING", "OFFSET", "UNION", "EXCEPT", "INTERSECT"];
/// What a join begins with.
const JOINS: [&str; 7] = ["JOIN", "INNER", "LEFT", "RIGHT", "FULL", "OUTER", "CROSS"];

impl<'t> Parser<'t> {
    fn statement(&mut self) -> Outcome<Parsed> {
        if self.take_keyword("SELECT") {
            return Ok(Parsed::Select(self.select()?));
        }
        if self.take_keyword("INSERT") {
            return self.insert();
        }
        if self.take_keyword("UPDATE") {
            return self.update();
        }
        if self.take_keyword("DELETE") {
            return self.delete();
        }
        if self.take_keyword("EXISTS") {
            self.expect_sign("(", "LEFT_PAREN")?;
            self.expect_keyword("SELECT", "SELECT")?;
            let select = self.select()?;
            self.expect_sign(")", "RIGHT_PAREN")?;
            return Ok(Parsed::Exists(select));
        }
        Err(SyntaxFault::DataManipulation.into())
    }

    fn select(&mut self) -> Outcome<SelectNode> {
        let columns = self.columns()?;
        self.expect_keyword("FROM", "FROM after SELECT list")?;
        let source = expression::operand(self)?;
        let joins = JOINS.into_iter().any(|join| self.peek_keyword(join));
        if joins || self.peek_sign(",") || self.is_alias() {
            return Err(StatementError::FromSource(self.here()));
        }
        let condition = self.condition()?;
        self.unknown_clause()?;
        let order = self.order()?;
        self.unknown_clause()?;
        Ok(SelectNode {
            columns,
            source,
            condition,
            order,
        })
    }

    fn columns(&mut self) -> Outcome<Option<Vec<Node>>> {
        if self.peek_keyword("FROM") {
            return Err(SyntaxFault::EmptySelect.into());
        }
        if self.peek_keyword("DISTINCT") || self.peek_keyword("VALUE") {
            return Err(self.clause());
        }
        if self.take_sign("*") {
            return if self.peek_sign(",") {
                Err(SyntaxFault::AsteriskNotAlone.into())
            } else {
                Ok(None)
            };
        }
        let mut columns = Vec::new();
        loop {
            if self.peek_sign("*") {
                return Err(SyntaxFault::AsteriskNotAlone.into());
            }
            columns.push(expression::any(self)?);
            if self.is_alias() {
                return Err(StatementError::PathComponent(self.here()));
            }
            if !self.take_sign(",") {
                return Ok(Some(columns));
            }
        }
    }

    fn order(&mut self) -> Outcome<Vec<(Node, bool)>> {
        let mut order = Vec::new();
        if !self.take_keyword("ORDER") {
            return Ok(order);
        }
        self.expect_keyword("BY", "BY")?;
        loop {
            let key = expression::operand(self)?;
            let descending = self.take_keyword("DESC");
            if !descending {
                self.take_keyword("ASC");
            }
            order.push((key, descending));
            if !self.take_sign(",") {
                return Ok(order);
            }
        }
    }

    fn insert(&mut self) -> Outcome<Parsed> {
        self.expect_keyword("INTO", "INTO")?;
        let table = expression::path(self)?;
        let start = self.peek().start;
        if !self.take_keyword("VALUE") {
            // What SQL's other forms of INSERT lead to is an error of their own, if not one of form.
            expression::any(self)?;
            return Err(StatementError::InsertValue(At::of(self.text, start, self.last_end())));
        }
        let value = expression::any(self)?;
        if self.peek_keyword("RETURNING") {
            return Err(StatementError::Returning(self.here()));
        }
        Ok(Parsed::Insert { table, value })
    }

    fn update(&mut self) -> Outcome<Parsed> {
        let table = expression::path(self)?;
        let mut changes = Vec::new();
        loop {
            if self.take_keyword("SET") {
                loop {
                    if !matches!(self.peek().kind, Kind::Word | Kind::Quoted) {
                        return Err(SyntaxFault::Assignment.into());
                    }
                    let path = expression::path(self)?;
                    self.expect_sign("=", "EQUALS")?;
                    changes.push(Change::Set(path, expression::any(self)?));
                    if !self.take_sign(",") {
                        break;
                    }
                }
            } else if self.take_keyword("REMOVE") {
                changes.push(Change::Remove(expression::path(self)?));
            } else {
                break;
            }
        }
        if changes.is_empty() {
            return Err(SyntaxFault::DataManipulation.into());
        }
        let condition = self.condition()?;
        let returning = self.returning()?;
        Ok(Parsed::Update {
            table,
            changes,
            condition,
            returning,
        })
    }

    fn delete(&mut self) -> Outcome<Parsed> {
        self.expect_keyword("FROM", "FROM after DELETE")?;
        let table = expression::path(self)?;
        let condition = self.condition()?;
        let returning = self.returning()?;
        Ok(Parsed::Delete {
            table,
            condition,
            returning,
        })
    }

    fn condition(&mut self) -> Outcome<Option<Node>> {
        if self.take_keyword("WHERE") {
            expression::any(self).map(Some)
        } else {
            Ok(None)
        }
    }

    fn returning(&mut self) -> Outcome<Option<Returning>> {
        if !self.take_keyword("RETURNING") {
            return Ok(None);
        }
        let all = self.take_keyword("ALL");
        if !all && !self.take_keyword("MODIFIED") {
            return Err(SyntaxFault::Returning.into());
        }
        let old = self.take_keyword("OLD");
        if !old && !self.take_keyword("NEW") {
            return Err(SyntaxFault::Returning.into());
        }
        let returning = match (all, old) {
            (true, true) => Returning::AllOld,
            (false, true) => Returning::ModifiedOld,
            (true, false) => Returning::AllNew,
            (false, false) => Returning::ModifiedNew,
        };
        if !self.take_sign("*") || self.peek_sign(",") {
            return Err(StatementError::Returning(self.here()));
        }
        Ok(Some(returning))
    }

    /// Refuses a clause that DynamoDB does not know.
    fn unknown_clause(&self) -> Outcome<()> {
        let unknown = CLAUSES.into_iter().any(|clause| self.peek_keyword(clause));
        if unknown { Err(self.clause()) } else { Ok(()) }
    }

    fn clause(&self) -> StatementError {
        StatementError::Clause {
            clause: self.text_of(self.peek()).to_uppercase(),
            at: self.here(),
        }
    }

    /// Whether an alias comes: `AS` and a name, or a name alone.
    fn is_alias(&self) -> bool {
        let token = self.peek();
        self.peek_keyword("AS")
            || token.kind == Kind::Quoted
            || token.kind == Kind::Word && !is_keyword(self.text_of(token))
    }
}

/// What all of the parsing is made of.
impl<'t> Parser<'t> {
    /// The next token.
    pub(super) fn peek(&self) -> Token {
        self.ahead(0)
    }

    /// A token further on.
    pub(super) fn ahead(&self, by: usize) -> Token {
        let end = self.text.len();
        self.tokens.get(self.at + by).copied().unwrap_or(Token {
            kind: Kind::End,
            start: end,
            end,
        })
    }

    /// Takes the next token.
    pub(super) fn take(&mut self) -> Token {
        let token = self.peek();
        self.at += 1;
        token
    }

    /// A token's text.
    pub(super) fn text_of(&self, token: Token) -> &'t str {
        self.text.get(token.start..token.end).unwrap_or_default()
    }

    /// Whether the next token is this keyword, in any case.
    pub(super) fn peek_keyword(&self, keyword: &str) -> bool {
        let token = self.peek();
        token.kind == Kind::Word && self.text_of(token).eq_ignore_ascii_case(keyword)
    }

    /// Takes the next token if it is this keyword.
    pub(super) fn take_keyword(&mut self, keyword: &str) -> bool {
        let is = self.peek_keyword(keyword);
        self.at += usize::from(is);
        is
    }

    /// Takes the next token, which must be this keyword.
    pub(super) fn expect_keyword(&mut self, keyword: &str, expected: &'static str) -> Outcome<()> {
        if self.take_keyword(keyword) {
            return Ok(());
        }
        Err(SyntaxFault::Expected(expected).into())
    }

    /// Whether the next token is this sign.
    pub(super) fn peek_sign(&self, sign: &str) -> bool {
        matches!(self.peek().kind, Kind::Sign(is) if is == sign)
    }

    /// Takes the next token if it is this sign.
    pub(super) fn take_sign(&mut self, sign: &str) -> bool {
        let is = self.peek_sign(sign);
        self.at += usize::from(is);
        is
    }

    /// Takes the next token, which must be this sign.
    pub(super) fn expect_sign(&mut self, sign: &str, expected: &'static str) -> Outcome<()> {
        if self.take_sign(sign) {
            return Ok(());
        }
        Err(SyntaxFault::Expected(expected).into())
    }

    /// Where the next token stands.
    pub(super) fn here(&self) -> At {
        let token = self.peek();
        At::of(self.text, token.start, token.end)
    }

    /// Where the last token that was taken ends.
    pub(super) fn last_end(&self) -> usize {
        let last = self.at.checked_sub(1).and_then(|at| self.tokens.get(at));
        last.map_or(0, |token| token.end)
    }

    /// The next parameter. If there are too few, it is told when the text has been read.
    pub(super) fn parameter(&mut self) -> AttributeValue {
        let value = self.parameters.get(self.taken).cloned();
        self.taken += 1;
        value.unwrap_or(AttributeValue::Null)
    }

    /// Counts an operator or a function.
    pub(super) fn count_operator(&mut self) -> Outcome<()> {
        self.operators += 1;
        if self.operators > limits::OPERATORS {
            return Err(crate::Fault::Operators { count: self.operators }.into());
        }
        Ok(())
    }

    /// Parses something that may contain its own kind, one level deeper. The limit keeps the stack bounded, here and
    /// wherever the tree is walked.
    pub(super) fn nest<T>(&mut self, parse: impl FnOnce(&mut Self) -> Outcome<T>) -> Outcome<T> {
        if self.depth == limits::STATEMENT_NESTING {
            return Err(SyntaxFault::Nesting.into());
        }
        self.depth += 1;
        let result = parse(self);
        self.depth -= 1;
        result
    }
}

impl Node {
    /// The path that it is, if it is one.
    pub(super) fn into_path(self) -> Option<crate::Path> {
        match self.expression {
            Expression::Path(path) => Some(path),
            _ => None,
        }
    }
}
