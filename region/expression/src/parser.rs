//! What the parsers of all expressions share: the cursor over the tokens, placeholders, paths, and the collecting of faults.

use geodynamo_item::{AttributeValue, Name};

use crate::Context;
use crate::condition_checks::Faults;
use crate::context::Given;
use crate::error::{ExpressionError, Fault, Parameter, Refusal};
use crate::lexer::{Kind, Lexer, Token, quote};
use crate::limits;
use crate::path::{Path, Step};
use crate::reserved::is_reserved;

/// A cursor over one expression.
///
/// A method that meets a syntax error returns it and parsing ends. Any other fault is noted, and parsing goes on, because
/// DynamoDB tells of syntax errors first.
pub(crate) struct Parser<'t, 'c, 'a> {
    parameter: Parameter,
    text: &'t str,
    lexer: Lexer<'t>,
    token: Token,
    context: &'c mut Context<'a>,
    operators: usize,
    depth: usize,
    fault: Option<Fault>,
}

/// The outcome of a part of an expression; the error ends the parsing.
///
/// Boxed, because results lie on the stack once a level of nesting.
pub(crate) type Parsed<T> = Result<T, Box<Fault>>;

/// Parses a whole expression with `parse`.
pub(crate) fn parse<'t, 'c, 'a, T>(
    parameter: Parameter,
    text: &'t str,
    context: &'c mut Context<'a>,
    parse: impl FnOnce(&mut Parser<'t, 'c, 'a>) -> Parsed<T>,
) -> Result<T, ExpressionError> {
    whole(parameter, text, context, parse).map_err(|fault| {
        Refusal::Expression {
            parameter,
            fault: *fault,
        }
        .into()
    })
}

fn whole<'t, 'c, 'a, T>(
    parameter: Parameter,
    text: &'t str,
    context: &'c mut Context<'a>,
    parse: impl FnOnce(&mut Parser<'t, 'c, 'a>) -> Parsed<T>,
) -> Parsed<T> {
    if text.len() > limits::EXPRESSION_BYTES {
        return Err(Box::new(Fault::Size { bytes: text.len() }));
    }
    let mut lexer = Lexer::new(text);
    let token = lexer.next();
    if text.is_empty() {
        return Err(Box::new(Fault::Empty));
    }
    let mut parser = Parser {
        parameter,
        text,
        lexer,
        token,
        context,
        operators: 0,
        depth: 0,
        fault: None,
    };
    let tree = parse(&mut parser)?;
    parser.expect(Kind::End)?;
    match parser.fault {
        Some(fault) => Err(Box::new(fault)),
        None => Ok(tree),
    }
}

impl<'t> Parser<'t, '_, '_> {
    /// The expression's parameter.
    pub(crate) fn parameter(&self) -> Parameter {
        self.parameter
    }

    /// The kind of the next token.
    pub(crate) fn peek(&self) -> Kind {
        self.token.kind
    }

    /// Takes the next token.
    pub(crate) fn take(&mut self) -> Token {
        let token = self.token;
        self.token = self.lexer.next();
        token
    }

    /// Takes the next token if it is of this kind.
    pub(crate) fn take_if(&mut self, kind: Kind) -> bool {
        let is = self.peek() == kind;
        if is {
            self.take();
        }
        is
    }

    /// Takes the next token, which must be of this kind.
    pub(crate) fn expect(&mut self, kind: Kind) -> Parsed<Token> {
        if self.peek() == kind {
            Ok(self.take())
        } else {
            Err(self.syntax_error())
        }
    }

    /// Whether the next token is this keyword, in any case.
    pub(crate) fn peek_keyword(&self, keyword: &str) -> bool {
        self.peek() == Kind::Word && self.text_of(self.token).eq_ignore_ascii_case(keyword)
    }

    /// Takes the next token if it is this keyword.
    pub(crate) fn take_keyword(&mut self, keyword: &str) -> bool {
        let is = self.peek_keyword(keyword);
        if is {
            self.take();
        }
        is
    }

    /// A token's text.
    pub(crate) fn text_of(&self, token: Token) -> &'t str {
        &self.text[token.start..token.end]
    }

    /// The next token may not stand where it stands.
    #[cold]
    pub(crate) fn syntax_error(&self) -> Box<Fault> {
        let (token, near) = quote(self.text, self.token.start);
        Box::new(Fault::Syntax {
            token: token.to_owned(),
            near: near.to_owned(),
        })
    }

    /// Notes a fault; of several, the one that DynamoDB reports first stays.
    #[cold]
    pub(crate) fn note(&mut self, fault: Fault) {
        if self.fault.as_ref().is_none_or(|noted| fault.rank() < noted.rank()) {
            self.fault = Some(fault);
        }
    }

    /// Counts an operator or a function.
    pub(crate) fn count_operator(&mut self) -> Parsed<()> {
        self.operators += 1;
        if self.operators > limits::OPERATORS {
            return Err(Box::new(Fault::Operators { count: self.operators }));
        }
        Ok(())
    }

    /// Parses something that may contain its own kind, one level deeper. The limit keeps the stack bounded, here and
    /// wherever the tree is walked.
    pub(crate) fn nest<T>(&mut self, parse: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        if self.depth == limits::NESTING {
            return Err(self.syntax_error());
        }
        self.depth += 1;
        let result = parse(self);
        self.depth -= 1;
        result
    }

    /// A `:value`, resolved.
    pub(crate) fn value(&mut self) -> Parsed<AttributeValue> {
        let token = self.expect(Kind::Value)?;
        let key = self.text_of(token);
        let fault = match self.context.value(key) {
            Given::Value(value) => return Ok(value.clone()),
            Given::TooOften => Fault::Repeated,
            Given::Nothing => Fault::UndefinedValue { value: key.to_owned() },
        };
        self.note(fault);
        Ok(AttributeValue::Null) // never seen: the fault is noted
    }

    /// A document path, resolved.
    pub(crate) fn path(&mut self) -> Parsed<Path> {
        let root = self.path_name()?;
        self.path_below(root)
    }

    /// The rest of a path whose root, a word, was taken.
    pub(crate) fn path_from(&mut self, root: Token) -> Parsed<Path> {
        let root = self.word_name(root);
        self.path_below(root)
    }

    fn path_below(&mut self, root: Name) -> Parsed<Path> {
        let mut steps = Vec::new();
        loop {
            if self.take_if(Kind::Dot) {
                steps.push(Step::Key(self.path_name()?));
            } else if self.take_if(Kind::OpenIndex) {
                let token = self.expect(Kind::Number)?;
                steps.push(Step::Index(self.list_index(token)));
                self.expect(Kind::CloseIndex)?;
            } else {
                break;
            }
        }
        if steps.len() >= limits::PATH_ELEMENTS {
            self.note(Fault::PathDepth {
                levels: steps.len() + 1,
            });
        }
        Ok(Path { root, steps })
    }

    fn path_name(&mut self) -> Parsed<Name> {
        match self.peek() {
            Kind::Word => {
                let token = self.take();
                Ok(self.word_name(token))
            }
            Kind::Name => {
                let token = self.take();
                let key = self.text_of(token);
                Ok(match self.context.name(key) {
                    Some(name) => Name::from(name),
                    None => {
                        self.note(Fault::UndefinedName { name: key.to_owned() });
                        Name::default() // never seen: the fault is noted
                    }
                })
            }
            _ => Err(self.syntax_error()),
        }
    }

    fn word_name(&mut self, token: Token) -> Name {
        let word = self.text_of(token);
        if is_reserved(word) {
            self.note(Fault::Reserved { word: word.to_owned() });
        }
        Name::from(word)
    }

    fn list_index(&mut self, token: Token) -> u32 {
        let digits = self.text_of(token);
        // Indexes are a Java int's: the last is 2^31 - 1.
        match digits.parse::<i32>() {
            Ok(index) => index.unsigned_abs(),
            Err(_) => {
                self.note(Fault::ListIndex {
                    index: digits.to_owned(),
                });
                0 // never seen: the fault is noted
            }
        }
    }
}

impl Faults for Parser<'_, '_, '_> {
    fn note(&mut self, fault: Fault) {
        Parser::note(self, fault);
    }
}
