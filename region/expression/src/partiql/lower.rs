//! A statement as written to what it means: paths, values, conditions, updates.

use geodynamo_item::{AttributeType, AttributeValue, Item, MAX_NESTING, Name, Set};

use super::error::{At, StatementError};
use super::parser::Outcome;
use super::tree::{Change, Expression, Is, Node, Parsed, SelectNode, Source, Span};
use super::{Column, DeleteItem, Insert, Order, Returning, Select, Statement, UpdateItem};
use crate::condition_checks::{Faults, call, check_between, check_comparison, check_distinct, size};
use crate::function::Function;
use crate::path::check_overlap;
use crate::update_parser::{check_appended, check_type};
use crate::{Comparator, Condition, Fault, Operand, Parameter, Path, Refusal, Step, Update, UpdateOperand, limits};

/// What a statement means. `text` is what it was parsed from.
pub(super) fn statement(text: &str, parsed: Parsed) -> Outcome<Statement> {
    let lower = &mut Lower { text, fault: None };
    Ok(match parsed {
        Parsed::Select(select) => Statement::Select(lower.select(select)?),
        Parsed::Exists(select) => Statement::Exists(lower.select(select)?),
        Parsed::Insert { table, value } => Statement::Insert(Insert {
            table: lower.table_to_insert_into(table)?,
            item: lower.item(value)?,
        }),
        Parsed::Update {
            table,
            changes,
            condition,
            returning,
        } => Statement::Update(UpdateItem {
            table: lower.table(table)?,
            update: lower.update(changes)?,
            condition: lower.where_clause(condition)?,
            returning,
        }),
        Parsed::Delete {
            table,
            condition,
            returning,
        } => Statement::Delete(DeleteItem {
            table: lower.table(table)?,
            condition: lower.where_clause(condition)?,
            returns_old: match returning {
                None => false,
                Some(Returning::AllOld) => true,
                Some(other) => return Err(StatementError::DeleteReturning(other)),
            },
        }),
    })
}

struct Lower<'t> {
    text: &'t str,
    /// The first fault that the checks of operands found.
    fault: Option<Fault>,
}

impl Faults for Lower<'_> {
    fn note(&mut self, fault: Fault) {
        self.fault.get_or_insert(fault);
    }
}

impl Lower<'_> {
    fn at(&self, span: Span) -> At {
        At::of(self.text, span.start, span.end)
    }

    /// The result, unless a fault was noted.
    fn sound<T>(&mut self, result: T) -> Outcome<T> {
        match self.fault.take() {
            Some(fault) => Err(fault.into()),
            None => Ok(result),
        }
    }

    fn select(&mut self, select: SelectNode) -> Outcome<Select> {
        let Source { table, index } = self.source(select.source)?;
        let columns = select.columns.map(|columns| self.columns(columns)).transpose()?;
        let condition = self.where_clause(select.condition)?;
        let mut order = Vec::with_capacity(select.order.len());
        for (key, descending) in select.order {
            let path = self.path(key)?;
            if !path.steps.is_empty() {
                return Err(StatementError::OrderAttribute(column_name(&path)));
            }
            order.push(Order {
                attribute: path.root,
                descending,
            });
        }
        Ok(Select {
            table,
            index,
            columns,
            condition,
            order,
        })
    }

    fn columns(&mut self, nodes: Vec<Node>) -> Outcome<Vec<Column>> {
        let mut columns = Vec::with_capacity(nodes.len());
        for node in nodes {
            let path = self.path(node)?;
            columns.push(Column {
                name: column_name(&path),
                path,
            });
        }
        let paths: Vec<&Path> = columns.iter().map(|column| &column.path).collect();
        overlap(Parameter::Projection, &paths)?;
        Ok(columns)
    }

    /// A table, or an index of one.
    fn source(&mut self, node: Node) -> Outcome<Source> {
        let at = self.at(node.span);
        let unexpected = || StatementError::FromSource(at);
        let path = node.into_path().ok_or_else(unexpected)?;
        let mut components = Vec::with_capacity(path.steps.len());
        for step in path.steps {
            match step {
                Step::Key(name) => components.push(name),
                Step::Index(_) => return Err(unexpected()),
            }
        }
        if components.len() > 1 {
            return Err(StatementError::SourceComponents);
        }
        Ok(Source {
            table: path.root,
            index: components.pop(),
        })
    }

    /// The table of an UPDATE or a DELETE, which know no indexes.
    fn table(&mut self, node: Node) -> Outcome<Name> {
        match self.source(node)? {
            Source { table, index: None } => Ok(table),
            Source { index: Some(_), .. } => Err(StatementError::WriteToIndex),
        }
    }

    /// The table of an INSERT, which tells of any longer path in one way.
    fn table_to_insert_into(&mut self, node: Node) -> Outcome<Name> {
        match self.source(node) {
            Ok(Source { table, index: None }) => Ok(table),
            Ok(Source { index: Some(_), .. }) | Err(StatementError::SourceComponents) => {
                Err(StatementError::InsertIntoIndex)
            }
            Err(error) => Err(error),
        }
    }

    fn path(&mut self, node: Node) -> Outcome<Path> {
        let at = self.at(node.span);
        node.into_path().ok_or(StatementError::PathComponent(at))
    }

    fn where_clause(&mut self, node: Option<Node>) -> Outcome<Option<Condition>> {
        let condition = node.map(|node| self.condition(node)).transpose()?;
        self.sound(condition)
    }

    /// Recurs as deep as the tree, which the parser bounds.
    fn condition(&mut self, node: Node) -> Outcome<Condition> {
        let span = node.span;
        Ok(match node.expression {
            Expression::And(list) => Condition::And(self.conditions(list)?),
            Expression::Or(list) => Condition::Or(self.conditions(list)?),
            Expression::Not(inner) => Condition::Not(Box::new(self.condition(*inner)?)),
            Expression::Compare(comparator, sides) => {
                let [left, right] = *sides;
                let missing = |node: &Node| matches!(node.expression, Expression::Missing);
                if missing(&left) || missing(&right) {
                    let path = if missing(&right) { left } else { right };
                    return self.missing(path, comparator, span);
                }
                let (left, right) = (self.operand(left)?, self.operand(right)?);
                check_comparison(self, comparator, &left, &right);
                Condition::Compare {
                    comparator,
                    left,
                    right,
                }
            }
            Expression::Between(operands) => {
                let [value, low, high] = *operands;
                let (value, low, high) = (self.operand(value)?, self.operand(low)?, self.operand(high)?);
                check_between(self, &value, &low, &high);
                Condition::Between { value, low, high }
            }
            Expression::In(value, list) => {
                let value = self.operand(*value)?;
                let list = self.in_list(*list)?;
                if list.is_empty() || list.len() > limits::IN_OPERANDS {
                    self.note(Fault::InOperands { count: list.len() });
                }
                check_distinct(self, "IN", &value, &list);
                Condition::In { value, list }
            }
            Expression::Is { value, not, kind } => {
                let path = self.path(*value)?;
                let condition = match kind {
                    Is::Missing if not => return Ok(Condition::Exists(path)),
                    Is::Missing => return Ok(Condition::NotExists(path)),
                    Is::OneOf(kinds) => {
                        let of = |kind: &AttributeType| Condition::Type {
                            value: Operand::Path(path.clone()),
                            kind: *kind,
                        };
                        match kinds {
                            [kind] => of(kind),
                            kinds => Condition::Or(kinds.iter().map(of).collect()),
                        }
                    }
                };
                if not {
                    Condition::Not(Box::new(condition))
                } else {
                    condition
                }
            }
            Expression::Call { function, operands } => self.call(&function, operands)?,
            _ => return Err(StatementError::Expression(self.at(span))),
        })
    }

    fn conditions(&mut self, nodes: Vec<Node>) -> Outcome<Vec<Condition>> {
        nodes.into_iter().map(|node| self.condition(node)).collect()
    }

    /// `path = MISSING`, as `path IS MISSING`.
    fn missing(&mut self, path: Node, comparator: Comparator, span: Span) -> Outcome<Condition> {
        let path = self.path(path)?;
        match comparator {
            Comparator::Equal => Ok(Condition::NotExists(path)),
            Comparator::NotEqual => Ok(Condition::Exists(path)),
            _ => Err(StatementError::Expression(self.at(span))),
        }
    }

    /// A function that gives a truth.
    fn call(&mut self, name: &str, operands: Vec<Node>) -> Outcome<Condition> {
        let function = match name {
            "begins_with" => Function::BeginsWith,
            "contains" => Function::Contains,
            "attribute_type" => Function::AttributeType,
            "size" => {
                return Err(Fault::FunctionMisused {
                    function: Function::Size.name(),
                }
                .into());
            }
            "list_append" => {
                let function = Function::ListAppend.name();
                let parameter = Parameter::Condition;
                return Err(Fault::FunctionElsewhere { parameter, function }.into());
            }
            _ => return Err(unknown(name)),
        };
        let [first, second] = exactly(function.name(), operands)?;
        let (first, second) = (self.operand(first)?, self.operand(second)?);
        Ok(call(self, function, first, second))
    }

    fn operand(&mut self, node: Node) -> Outcome<Operand> {
        Ok(match node.expression {
            Expression::Path(path) => Operand::Path(path),
            Expression::Call { function, operands } if function == "size" => {
                let [of] = exactly(Function::Size.name(), operands)?;
                let of = self.operand(of)?;
                size(self, of)
            }
            Expression::Call { function, .. } => {
                return Err(match function.as_str() {
                    "begins_with" => misused(Function::BeginsWith),
                    "contains" => misused(Function::Contains),
                    "attribute_type" => misused(Function::AttributeType),
                    _ => unknown(&function),
                });
            }
            _ => Operand::Value(self.literal(node)?),
        })
    }

    fn in_list(&mut self, node: Node) -> Outcome<Vec<Operand>> {
        let at = self.at(node.span);
        match node.expression {
            Expression::List(nodes) | Expression::Bag(nodes) => {
                nodes.into_iter().map(|node| self.operand(node)).collect()
            }
            Expression::Value(value) => {
                let values: Vec<AttributeValue> = match value {
                    AttributeValue::L(list) => list,
                    AttributeValue::Ss(set) => set.into_iter().map(AttributeValue::S).collect(),
                    AttributeValue::Ns(set) => set.into_iter().map(AttributeValue::N).collect(),
                    AttributeValue::Bs(set) => set.into_iter().map(AttributeValue::B).collect(),
                    _ => return Err(StatementError::Expression(at)),
                };
                Ok(values.into_iter().map(Operand::Value).collect())
            }
            _ => Err(StatementError::Expression(at)),
        }
    }

    fn update(&mut self, changes: Vec<Change>) -> Outcome<Update> {
        let mut update = Update::default();
        let mut order = Vec::with_capacity(changes.len());
        for change in changes {
            match change {
                Change::Set(path, value) => {
                    let path = self.path(path)?;
                    order.push(path.clone());
                    self.set(&mut update, path, value)?;
                }
                Change::Remove(path) => {
                    let path = self.path(path)?;
                    order.push(path.clone());
                    update.remove.push(path);
                }
            }
        }
        overlap(Parameter::Update, &order.iter().collect::<Vec<_>>())?;
        self.sound(update)
    }

    fn set(&mut self, update: &mut Update, path: Path, value: Node) -> Outcome<()> {
        let Expression::Call { function, operands } = value.expression else {
            let operand = self.update_operand(value)?;
            update.set.push((path, operand));
            return Ok(());
        };
        let (name, section) = match function.as_str() {
            "set_add" => ("set_add", &mut update.add),
            "set_delete" => ("set_delete", &mut update.delete),
            _ => {
                let operand = self.update_call(&function, operands)?;
                update.set.push((path, operand));
                return Ok(());
            }
        };
        let [of, members] = exactly(name, operands)?;
        let at = self.at(of.span);
        // The set is changed where it is: it cannot be taken from elsewhere.
        if self.path(of)? != path {
            return Err(StatementError::PathComponent(at));
        }
        let members = self.literal(members)?;
        let kind = members.kind();
        if !matches!(kind, AttributeType::Ss | AttributeType::Ns | AttributeType::Bs) {
            self.note(Fault::OperandType {
                operator: name,
                operand: kind,
            });
        }
        section.push((path, members));
        Ok(())
    }

    /// Recurs as deep as parentheses and calls, which the parser bounds. Sums, which may have many more terms, group to the
    /// left: their terms are worked off one by one.
    fn update_operand(&mut self, mut node: Node) -> Outcome<UpdateOperand> {
        let mut terms = Vec::new();
        loop {
            let (operator, sides) = match node.expression {
                Expression::Plus(sides) => ("+", sides),
                Expression::Minus(sides) => ("-", sides),
                expression => {
                    node = Node { expression, ..node };
                    break;
                }
            };
            let [left, right] = *sides;
            terms.push((operator, right));
            node = left;
        }
        let mut sum = self.term(node)?;
        while let Some((operator, right)) = terms.pop() {
            let right = self.update_operand(right)?;
            for operand in [&sum, &right] {
                check_type(self, operator, operand, AttributeType::N);
            }
            let (left, right) = (Box::new(sum), Box::new(right));
            sum = if operator == "+" {
                UpdateOperand::Plus(left, right)
            } else {
                UpdateOperand::Minus(left, right)
            };
        }
        Ok(sum)
    }

    /// An operand that is no sum.
    #[inline(never)]
    fn term(&mut self, node: Node) -> Outcome<UpdateOperand> {
        match node.expression {
            Expression::Path(path) => Ok(UpdateOperand::Path(path)),
            Expression::Call { function, operands } => self.update_call(&function, operands),
            expression => Ok(UpdateOperand::Value(self.literal(Node { expression, ..node })?)),
        }
    }

    fn update_call(&mut self, name: &str, operands: Vec<Node>) -> Outcome<UpdateOperand> {
        let misplaced = |function: Function| {
            let parameter = Parameter::Update;
            let function = function.name();
            Err(Fault::FunctionElsewhere { parameter, function }.into())
        };
        match name {
            "list_append" => {}
            "set_add" => return Err(Fault::FunctionMisused { function: "set_add" }.into()),
            "set_delete" => return Err(Fault::FunctionMisused { function: "set_delete" }.into()),
            "size" => return misplaced(Function::Size),
            "begins_with" => return misplaced(Function::BeginsWith),
            "contains" => return misplaced(Function::Contains),
            "attribute_type" => return misplaced(Function::AttributeType),
            _ => return Err(unknown(name)),
        }
        let function = Function::ListAppend.name();
        let [first, second] = exactly(function, operands)?;
        let (first, second) = (self.update_operand(first)?, self.update_operand(second)?);
        check_appended(self, [&first, &second]);
        Ok(UpdateOperand::ListAppend(Box::new(first), Box::new(second)))
    }

    fn item(&mut self, node: Node) -> Outcome<Item> {
        let at = self.at(node.span);
        // An item's attributes may nest as deep as a value; the item itself is not a level.
        let item = match self.value(node)? {
            AttributeValue::M(item) => item,
            _ => return Err(StatementError::InsertValue(at)),
        };
        if item.contains("") {
            return Err(StatementError::EmptyName);
        }
        if item.iter().all(|(_, value)| value.nests_within(MAX_NESTING)) {
            Ok(item)
        } else {
            Err(StatementError::Nesting)
        }
    }

    /// A value of the statement, not nested too deeply.
    fn literal(&mut self, node: Node) -> Outcome<AttributeValue> {
        let value = self.value(node)?;
        if value.nests_within(MAX_NESTING) {
            Ok(value)
        } else {
            Err(StatementError::Nesting)
        }
    }

    /// Recurs as deep as the tree, which the parser bounds.
    fn value(&mut self, node: Node) -> Outcome<AttributeValue> {
        let span = node.span;
        Ok(match node.expression {
            Expression::Value(value) => value,
            Expression::List(nodes) => AttributeValue::L(self.values(nodes)?),
            Expression::Bag(nodes) => set(self.values(nodes)?)?,
            Expression::Map(entries) => {
                let mut map = Item::new();
                for (name, value) in entries {
                    let at = self.at(name.span);
                    let AttributeValue::S(name) = self.value(name)? else {
                        return Err(StatementError::Expression(at));
                    };
                    let value = self.value(value)?;
                    if map.insert(name.clone(), value).is_some() {
                        return Err(StatementError::DuplicateName(name));
                    }
                }
                AttributeValue::M(map)
            }
            Expression::Path(_) => return Err(StatementError::PathComponent(self.at(span))),
            _ => return Err(StatementError::Expression(self.at(span))),
        })
    }

    fn values(&mut self, nodes: Vec<Node>) -> Outcome<Vec<AttributeValue>> {
        nodes.into_iter().map(|node| self.value(node)).collect()
    }
}

/// The last attribute's name, and the indexes behind it.
fn column_name(path: &Path) -> Name {
    let last = path.steps.iter().rposition(|step| matches!(step, Step::Key(_)));
    let mut name = match last.and_then(|at| path.steps.get(at)) {
        Some(Step::Key(key)) => key.to_string(),
        _ => path.root.to_string(),
    };
    for step in path.steps.iter().skip(last.map_or(0, |at| at + 1)) {
        if let Step::Index(index) = step {
            name.push_str(&format!("[{index}]"));
        }
    }
    name.into()
}

/// Refuses paths that overlap, as the expression of this name would.
fn overlap(parameter: Parameter, paths: &[&Path]) -> Outcome<()> {
    check_overlap(paths).map_err(|fault| StatementError::Refused(Refusal::Expression { parameter, fault }.into()))
}

fn unknown(function: &str) -> StatementError {
    let function = function.to_owned();
    Fault::UnknownFunction { function }.into()
}

fn misused(function: Function) -> StatementError {
    let function = function.name();
    Fault::FunctionMisused { function }.into()
}

/// A function's operands, which must be so many.
fn exactly<const N: usize>(operator: &'static str, operands: Vec<Node>) -> Outcome<[Node; N]> {
    let count = operands.len();
    operands
        .try_into()
        .map_err(|_| Fault::OperandCount { operator, count }.into())
}

/// A set of these values, which must be strings, numbers or binary values, each once.
fn set(values: Vec<AttributeValue>) -> Outcome<AttributeValue> {
    let (mut strings, mut numbers, mut blobs) = (Vec::new(), Vec::new(), Vec::new());
    let count = values.len();
    for value in values {
        match value {
            AttributeValue::S(text) => strings.push(text),
            AttributeValue::N(number) => numbers.push(number),
            AttributeValue::B(bytes) => blobs.push(bytes),
            other => {
                let kind = other.kind();
                return Err(StatementError::Value(format!(
                    "A set may not have a member of type {kind}"
                )));
            }
        }
    }
    let twice = || StatementError::Value("Input collection contains duplicates".into());
    if count == 0 {
        return Err(StatementError::Value("An string set  may not be empty".into()));
    }
    if strings.len() == count {
        return Set::new(strings).map(AttributeValue::Ss).ok_or_else(twice);
    }
    if numbers.len() == count {
        return Set::new(numbers).map(AttributeValue::Ns).ok_or_else(twice);
    }
    if blobs.len() == count {
        return Set::new(blobs).map(AttributeValue::Bs).ok_or_else(twice);
    }
    Err(StatementError::Value("The members of a set must be of one type".into()))
}
