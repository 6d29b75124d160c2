//! Requests, and their bodies.

use serde_json::{Value as Json, json};

use crate::{
    expression::{Condition, KeyTests, Path, Update},
    fault::Fault,
    schema::{Schema, name_of},
    text::Texts,
    value::{Item, Value, item_json},
};

pub(crate) mod changes;
pub(crate) mod older;
pub(crate) mod statements;
pub(crate) mod transactions;

use changes::{Event, TableRequest};
use older::{Change, Older, attribute_updates};
use statements::{Execute, Stated, StatementTransaction};
use transactions::{Get, Transaction, transact_gets};

/// A request. Tables are named by their place among the world's; one beyond the last is a table that is not there.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// Decides between bodies that mean the same.
    pub(crate) style: u64,
    /// `ReturnConsumedCapacity`
    pub(crate) capacity: Option<&'static str>,
    /// `ReturnItemCollectionMetrics: SIZE`
    pub(crate) metrics: bool,
    /// A fault written into its expression.
    pub(crate) mistake: Option<Mistake>,
    /// The parameters that expressions replaced.
    pub(crate) older: Option<Older>,
    pub(crate) action: Action,
}

/// What is asked for.
#[derive(Clone, Debug)]
pub(crate) enum Action {
    Get {
        table: usize,
        key: Item,
        projection: Option<Vec<Path>>,
        consistent: bool,
    },
    Write {
        table: usize,
        write: Box<Write>,
        condition: Option<Condition>,
        returns: Option<&'static str>,
        /// `ReturnValuesOnConditionCheckFailure: ALL_OLD`
        shows_failed: bool,
    },
    Read(Box<Read>),
    BatchGet(Vec<BatchGet>),
    BatchWrite(Vec<(usize, Vec<Write>)>),
    TransactWrite(Transaction),
    TransactGet(Vec<Get>),
    Execute(Box<Execute>),
    BatchExecute(Vec<Stated>),
    ExecuteTransaction(StatementTransaction),
    Table(TableRequest),
    Event(Event),
}

/// A write of one item.
#[derive(Clone, Debug)]
pub(crate) enum Write {
    Put(Item),
    Delete(Item),
    Update(Item, Option<Update>),
    /// An update by `AttributeUpdates`.
    Older(Item, Vec<(String, Change)>),
    /// Only its condition counts: a transaction's.
    Check(Item),
}

impl Write {
    /// What has the key.
    pub(crate) fn item(&self) -> &Item {
        match self {
            Self::Put(item) | Self::Delete(item) | Self::Update(item, _) | Self::Older(item, _) | Self::Check(item) => {
                item
            }
        }
    }
}

/// A Query, if it asks something of keys; or a Scan.
#[derive(Clone, Debug)]
pub(crate) struct Read {
    pub(crate) table: usize,
    pub(crate) index: Option<String>,
    pub(crate) query: Option<KeyTests>,
    pub(crate) filter: Option<Condition>,
    pub(crate) projection: Option<Vec<Path>>,
    pub(crate) select: Option<&'static str>,
    pub(crate) limit: Option<usize>,
    pub(crate) forward: Option<bool>,
    pub(crate) consistent: bool,
    pub(crate) start: Option<Item>,
    /// `Segment` and `TotalSegments`
    pub(crate) segment: Option<(usize, usize)>,
    /// How many pages are read, each from where the one before ended.
    pub(crate) pages: usize,
}

/// What a BatchGetItem wants of one table.
#[derive(Clone, Debug)]
pub(crate) struct BatchGet {
    pub(crate) table: usize,
    pub(crate) keys: Vec<Item>,
    pub(crate) projection: Option<Vec<Path>>,
    /// Whether that is said in `AttributesToGet`.
    pub(crate) attributes: bool,
    pub(crate) consistent: bool,
}

/// Faults that are written into an otherwise good expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mistake {
    UnusedName,
    UnusedValue,
    UndefinedName,
    UndefinedValue,
    Reserved,
    UnknownFunction,
    RedundantParentheses,
    Syntax,
    /// The expression has [`LONG`] bytes.
    TooLong,
    /// An empty set of this type among the values.
    EmptySet(&'static str),
    /// A key condition on something in an attribute.
    NestedKey,
    /// A key condition that compares two attributes.
    TwoKeys,
}

/// Bytes of an expression that is too long.
const LONG: usize = 5000;

impl Request {
    /// The operation's name.
    pub(crate) fn operation(&self) -> &'static str {
        match &self.action {
            Action::Get { .. } => "GetItem",
            Action::Write { write, .. } => match **write {
                Write::Put(_) => "PutItem",
                Write::Delete(_) => "DeleteItem",
                Write::Update(..) | Write::Older(..) | Write::Check(_) => "UpdateItem",
            },
            Action::Read(read) if read.query.is_some() => "Query",
            Action::Read(_) => "Scan",
            Action::BatchGet(_) => "BatchGetItem",
            Action::BatchWrite(_) => "BatchWriteItem",
            Action::TransactWrite(_) => "TransactWriteItems",
            Action::TransactGet(_) => "TransactGetItems",
            Action::Execute(_) => "ExecuteStatement",
            Action::BatchExecute(_) => "BatchExecuteStatement",
            Action::ExecuteTransaction(_) => "ExecuteTransaction",
            Action::Table(change) => change.operation(),
            Action::Event(event) => event.name(),
        }
    }

    /// What kind of request it is, for counting: the operation, and in which of its forms.
    pub(crate) fn kind(&self) -> (&'static str, &'static str) {
        let form = match &self.action {
            Action::Write { write, .. } if matches!(**write, Write::Older(..)) => "with older parameters",
            Action::BatchGet(list) if list.iter().any(|wanted| wanted.attributes) => "with older parameters",
            _ if self.older.is_some() => "with older parameters",
            Action::Read(read) if read.query.as_ref().is_some_and(|tests| tests.len() > 2) => {
                "by keys of several attributes"
            }
            Action::TransactWrite(Transaction { token: Some(_), .. })
            | Action::ExecuteTransaction(StatementTransaction { token: Some(_), .. }) => "with a token",
            Action::Execute(execute) => execute.stated.statement.kind(),
            Action::BatchExecute(list) if list.iter().all(|stated| stated.statement.reads()) => "of reads",
            Action::BatchExecute(_) => "of writes",
            Action::ExecuteTransaction(transaction)
                if transaction.list.iter().all(|stated| stated.statement.reads()) =>
            {
                "of reads"
            }
            Action::ExecuteTransaction(_) => "of writes",
            Action::Table(change) => change.form(),
            _ => "",
        };
        (self.operation(), form)
    }

    /// How many pages are read.
    pub(crate) fn pages(&self) -> usize {
        match &self.action {
            Action::Read(read) => read.pages,
            Action::Execute(execute) => execute.pages,
            _ => 1,
        }
    }

    /// The body, as the SDKs would send it.
    pub(crate) fn body(&self, schemas: &[Schema]) -> Json {
        let name = |table: usize| name_of(schemas, table);
        let mut texts = Texts::new(self.style);
        let mut body = json!({});
        match &self.action {
            Action::Get {
                table,
                key,
                projection,
                consistent,
            } => {
                body["TableName"] = name(*table).into();
                body["Key"] = item_json(key);
                self.consistent(&mut body, *consistent);
                self.projection(projection.as_deref(), &mut body, &mut texts);
            }
            Action::Write {
                table,
                write,
                condition,
                returns,
                shows_failed,
            } => {
                body["TableName"] = name(*table).into();
                match &**write {
                    Write::Put(item) => body["Item"] = item_json(item),
                    Write::Delete(key) | Write::Check(key) => body["Key"] = item_json(key),
                    Write::Update(key, update) => {
                        body["Key"] = item_json(key);
                        if let Some(update) = update {
                            body["UpdateExpression"] = texts.update(update).into();
                        }
                    }
                    Write::Older(key, changes) => {
                        body["Key"] = item_json(key);
                        body["AttributeUpdates"] = attribute_updates(changes);
                    }
                }
                if let Some(condition) = condition {
                    body["ConditionExpression"] = self.mistaken(texts.condition(condition)).into();
                }
                if let Some(returns) = returns {
                    body["ReturnValues"] = (*returns).into();
                }
                if *shows_failed {
                    body["ReturnValuesOnConditionCheckFailure"] = "ALL_OLD".into();
                }
            }
            Action::Read(read) => self.read(read, schemas, &mut body, &mut texts),
            Action::BatchGet(list) => {
                for (at, wanted) in list.iter().enumerate() {
                    // Each table has names of its own.
                    let mut texts = Texts::new(self.style + at as u64);
                    let mut of_table = json!({ "Keys": wanted.keys.iter().map(item_json).collect::<Json>() });
                    self.consistent(&mut of_table, wanted.consistent);
                    match &wanted.projection {
                        Some(paths) if wanted.attributes => of_table["AttributesToGet"] = attributes(paths),
                        Some(paths) => of_table["ProjectionExpression"] = texts.projection(paths).into(),
                        None => {}
                    }
                    texts.finish(&mut of_table);
                    body["RequestItems"][name(wanted.table)] = of_table;
                }
            }
            Action::BatchWrite(list) => {
                for (table, writes) in list {
                    let of_write = |write: &Write| match write {
                        Write::Put(item) => json!({ "PutRequest": { "Item": item_json(item) } }),
                        other => json!({ "DeleteRequest": { "Key": item_json(other.item()) } }),
                    };
                    body["RequestItems"][name(*table)] = writes.iter().map(of_write).collect();
                }
            }
            Action::TransactWrite(transaction) => {
                body["TransactItems"] = self.transact_writes(transaction, schemas);
                if let Some(token) = &transaction.token {
                    body["ClientRequestToken"] = token.as_str().into();
                }
            }
            Action::TransactGet(list) => body["TransactItems"] = transact_gets(self.style, list, schemas),
            Action::Table(change) => return change.body(schemas),
            Action::Event(event) => return event.body(),
            Action::Execute(execute) => body = self.execute(execute, schemas),
            Action::BatchExecute(list) => body["Statements"] = self.batch_statements(list, schemas),
            Action::ExecuteTransaction(transaction) => {
                body["TransactStatements"] = self.transact_statements(&transaction.list, schemas);
                if let Some(token) = &transaction.token {
                    body["ClientRequestToken"] = token.as_str().into();
                }
            }
        }
        if let Some(older) = &self.older {
            self.write_older(older, &mut body);
        }
        texts.finish(&mut body);
        if matches!(self.action, Action::Write { .. } | Action::Read(_)) {
            self.unused(&mut body);
        }
        if let Some(capacity) = self.capacity {
            body["ReturnConsumedCapacity"] = capacity.into();
        }
        if self.metrics {
            body["ReturnItemCollectionMetrics"] = "SIZE".into();
        }
        body
    }

    fn read(&self, read: &Read, schemas: &[Schema], body: &mut Json, texts: &mut Texts) {
        body["TableName"] = name_of(schemas, read.table).into();
        if let Some(index) = &read.index {
            body["IndexName"] = index.as_str().into();
        }
        let by_expression = !self.older.as_ref().is_some_and(|older| older.keys);
        if let Some(tests) = read.query.as_ref().filter(|_| by_expression) {
            let text = texts.key_condition(tests);
            body["KeyConditionExpression"] = match self.mistake {
                Some(Mistake::NestedKey) => {
                    let path = ["a.b", "a[0]"][usize::from(self.style.is_multiple_of(2))];
                    format!("{text} AND {path} = {}", texts.value(&Value::Null))
                }
                Some(Mistake::TwoKeys) => format!("a = b AND {text}"),
                _ => text,
            }
            .into();
        }
        if let Some(filter) = &read.filter {
            body["FilterExpression"] = self.mistaken(texts.condition(filter)).into();
        }
        self.projection(read.projection.as_deref(), body, texts);
        if let Some(select) = read.select {
            body["Select"] = select.into();
        }
        if let Some(limit) = read.limit {
            body["Limit"] = limit.into();
        }
        if let Some(forward) = read.forward {
            body["ScanIndexForward"] = forward.into();
        }
        self.consistent(body, read.consistent);
        if let Some(start) = &read.start {
            body["ExclusiveStartKey"] = item_json(start);
        }
        if let Some((segment, total)) = read.segment {
            body["Segment"] = segment.into();
            body["TotalSegments"] = total.into();
        }
    }

    fn projection(&self, paths: Option<&[Path]>, body: &mut Json, texts: &mut Texts) {
        let by_attributes = self.older.as_ref().is_some_and(|older| older.attributes);
        match paths {
            Some(paths) if by_attributes => body["AttributesToGet"] = attributes(paths),
            Some(paths) => body["ProjectionExpression"] = texts.projection(paths).into(),
            None => {}
        }
    }

    /// `false` may be said or left out.
    fn consistent(&self, body: &mut Json, consistent: bool) {
        if consistent || self.style.is_multiple_of(3) {
            body["ConsistentRead"] = consistent.into();
        }
    }

    /// The mistakes that stand beside the expression.
    fn unused(&self, body: &mut Json) {
        match self.mistake {
            Some(Mistake::UnusedName) => body["ExpressionAttributeNames"]["#unused"] = "a".into(),
            Some(Mistake::UnusedValue) => body["ExpressionAttributeValues"][":unused"] = json!({ "S": "a" }),
            Some(Mistake::EmptySet(kind)) => body["ExpressionAttributeValues"][":none"] = json!({ kind: [] }),
            _ => {}
        }
    }

    fn mistaken(&self, text: String) -> String {
        match self.mistake {
            None | Some(Mistake::UnusedName | Mistake::UnusedValue | Mistake::NestedKey | Mistake::TwoKeys) => text,
            Some(Mistake::TooLong) => format!("{text:LONG$}"),
            Some(Mistake::EmptySet(_)) => format!("a = :none OR {text}"),
            Some(Mistake::UndefinedName) => format!("attribute_exists(#undefined) OR {text}"),
            Some(Mistake::UndefinedValue) => format!("a = :undefined OR {text}"),
            Some(Mistake::Reserved) => format!("attribute_exists(Name) AND {text}"),
            Some(Mistake::UnknownFunction) => format!("attribute_is(a) OR {text}"),
            Some(Mistake::RedundantParentheses) => format!("(({text}))"),
            Some(Mistake::Syntax) => format!("{text} ="),
        }
    }
}

/// `AttributesToGet`
fn attributes(paths: &[Path]) -> Json {
    paths.iter().map(|path| path.root.as_str()).collect()
}

impl Mistake {
    /// DynamoDB's words for it, behind `Invalid …Expression: ` unless they are the whole message.
    pub(crate) fn text(self, parameter: &str, planted: Option<Fault>) -> String {
        let size;
        let fault = match self {
            Self::UnusedName => {
                return "Value provided in ExpressionAttributeNames unused in expressions: keys: {#unused}".into();
            }
            Self::UnusedValue => {
                return "Value provided in ExpressionAttributeValues unused in expressions: keys: {:unused}".into();
            }
            Self::UndefinedName => {
                "An expression attribute name used in the document path is not defined; attribute name: #undefined"
            }
            Self::UndefinedValue => {
                "An expression attribute value used in expression is not defined; attribute value: :undefined"
            }
            Self::Reserved => "Attribute name is a reserved keyword; reserved keyword: Name",
            Self::UnknownFunction => "Invalid function name; function: attribute_is",
            Self::RedundantParentheses => "The expression has redundant parentheses;",
            // What is near the token depends on the text.
            Self::Syntax => return String::new(),
            Self::TooLong if planted == Some(Fault::SizesOfExpressionsAreNotTold) => {
                "Expression size has exceeded the maximum allowed size;"
            }
            Self::TooLong => {
                size = format!("Expression size has exceeded the maximum allowed size; expression size: {LONG}");
                &size
            }
            Self::EmptySet(kind) => {
                let what = match kind {
                    "SS" => "An string set  may not be empty",
                    "NS" => "An number set  may not be empty",
                    _ => "Binary sets should not be empty",
                };
                let text = format!("One or more parameter values were invalid: {what}");
                if planted == Some(Fault::EmptySetsAreToldWithTheirParameter) {
                    return format!("ExpressionAttributeValues contains invalid value: {text} for key :none");
                }
                return text;
            }
            Self::NestedKey => "KeyConditionExpressions cannot have conditions on nested attributes",
            Self::TwoKeys => {
                "Invalid condition in KeyConditionExpression: Multiple attribute names used in one condition"
            }
        };
        if self.is_of_keys() && planted == Some(Fault::KeyConditionsAreToldWithoutTheirParameter) {
            return fault.into();
        }
        format!("Invalid {parameter}: {fault}")
    }

    /// Whether it is in a key condition.
    pub(crate) fn is_of_keys(self) -> bool {
        matches!(self, Self::NestedKey | Self::TwoKeys)
    }

    /// Of key conditions.
    pub(crate) const OF_KEYS: [Self; 2] = [Self::NestedKey, Self::TwoKeys];

    /// Of other conditions.
    pub(crate) const ALL: [Self; 12] = [
        Self::UnusedName,
        Self::UnusedValue,
        Self::UndefinedName,
        Self::UndefinedValue,
        Self::Reserved,
        Self::UnknownFunction,
        Self::RedundantParentheses,
        Self::Syntax,
        Self::TooLong,
        Self::EmptySet("SS"),
        Self::EmptySet("NS"),
        Self::EmptySet("BS"),
    ];
}
