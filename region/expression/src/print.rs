//! Trees to text: for logs, and for tests that parse what was printed.

use std::collections::BTreeMap;

use geodynamo_item::{AttributeValue, Item, Name};

use crate::{Condition, Context, ExpressionError, Operand, Path, Projection, Step, Update, UpdateOperand};

/// An expression as text, with the names and values that it refers to. Every name is a `#n0`, `#n1`, …, every value a `:v0`,
/// `:v1`, …, so any tree that the parsers give can be printed, whatever its names are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Printed {
    /// The expression.
    pub text: String,
    /// ExpressionAttributeNames.
    pub names: BTreeMap<String, String>,
    /// ExpressionAttributeValues.
    pub values: Item,
}

impl Printed {
    /// The context to parse the text in.
    ///
    /// # Errors
    /// None for what this crate printed.
    pub fn context(&self) -> Result<Context<'_>, ExpressionError> {
        let names = (!self.names.is_empty()).then_some(&self.names);
        Context::of(names, (!self.values.is_empty()).then_some(&self.values))
    }

    fn text(&mut self, text: &str) {
        self.text.push_str(text);
    }

    fn list<T>(&mut self, separator: &str, list: impl IntoIterator<Item = T>, mut print: impl FnMut(&mut Self, T)) {
        for (at, element) in list.into_iter().enumerate() {
            if at > 0 {
                self.text(separator);
            }
            print(self, element);
        }
    }

    fn enclosed(&mut self, print: impl FnOnce(&mut Self)) {
        self.text("(");
        print(self);
        self.text(")");
    }

    fn path(&mut self, path: &Path) {
        self.name(&path.root);
        for step in &path.steps {
            match step {
                Step::Key(key) => {
                    self.text(".");
                    self.name(key);
                }
                Step::Index(index) => self.text(&format!("[{index}]")),
            }
        }
    }

    fn name(&mut self, name: &Name) {
        let key = format!("#n{}", self.names.len());
        self.text(&key);
        self.names.insert(key, name.to_string());
    }

    fn value(&mut self, value: &AttributeValue) {
        let key = format!(":v{}", self.values.len());
        self.text(&key);
        self.values.insert(Name::from(key), value.clone());
    }

    fn operand(&mut self, operand: &Operand) {
        match operand {
            Operand::Path(path) => self.path(path),
            Operand::Value(value) => self.value(value),
            Operand::Size(path) => {
                self.text("size");
                self.enclosed(|out| out.path(path));
            }
        }
    }

    fn call(&mut self, function: &str, operands: [&Operand; 2]) {
        self.text(function);
        self.enclosed(|out| out.list(", ", operands, Self::operand));
    }

    /// A condition; within another operator, one that binds less closely is put in parentheses.
    fn condition(&mut self, condition: &Condition) {
        match condition {
            Condition::And(list) => self.list(" AND ", list, |out, inner| {
                let loose = matches!(inner, Condition::And(_) | Condition::Or(_));
                out.inner(inner, loose);
            }),
            Condition::Or(list) => self.list(" OR ", list, |out, inner| {
                out.inner(inner, matches!(inner, Condition::Or(_)))
            }),
            Condition::Not(inner) => {
                self.text("NOT ");
                self.inner(inner, matches!(**inner, Condition::And(_) | Condition::Or(_)));
            }
            Condition::Compare {
                comparator,
                left,
                right,
            } => {
                self.operand(left);
                self.text(" ");
                self.text(comparator.symbol());
                self.text(" ");
                self.operand(right);
            }
            Condition::Between { value, low, high } => {
                self.operand(value);
                self.text(" BETWEEN ");
                self.operand(low);
                self.text(" AND ");
                self.operand(high);
            }
            Condition::In { value, list } => {
                self.operand(value);
                self.text(" IN ");
                self.enclosed(|out| out.list(", ", list, Self::operand));
            }
            Condition::Exists(path) => {
                self.text("attribute_exists");
                self.enclosed(|out| out.path(path));
            }
            Condition::NotExists(path) => {
                self.text("attribute_not_exists");
                self.enclosed(|out| out.path(path));
            }
            Condition::Type { value, kind } => {
                let kind = Operand::Value(AttributeValue::S(kind.code().into()));
                self.call("attribute_type", [value, &kind]);
            }
            Condition::BeginsWith { value, prefix } => self.call("begins_with", [value, prefix]),
            Condition::Contains { container, element } => self.call("contains", [container, element]),
        }
    }

    fn inner(&mut self, condition: &Condition, enclose: bool) {
        if enclose {
            self.enclosed(|out| out.condition(condition));
        } else {
            self.condition(condition);
        }
    }

    fn update(&mut self, update: &Update) {
        let mut separator = "";
        let mut section = |out: &mut Self, name: &str, is_empty: bool| {
            if !is_empty {
                out.text(std::mem::replace(&mut separator, " "));
                out.text(name);
            }
        };
        section(self, "SET ", update.set.is_empty());
        self.list(", ", &update.set, |out, (path, operand)| {
            out.path(path);
            out.text(" = ");
            out.update_operand(operand);
        });
        section(self, "REMOVE ", update.remove.is_empty());
        self.list(", ", &update.remove, Self::path);
        for (name, actions) in [("ADD ", &update.add), ("DELETE ", &update.delete)] {
            section(self, name, actions.is_empty());
            self.list(", ", actions, |out, (path, value)| {
                out.path(path);
                out.text(" ");
                out.value(value);
            });
        }
    }

    fn update_operand(&mut self, operand: &UpdateOperand) {
        match operand {
            UpdateOperand::Path(path) => self.path(path),
            UpdateOperand::Value(value) => self.value(value),
            UpdateOperand::IfNotExists(path, otherwise) => {
                self.text("if_not_exists");
                self.enclosed(|out| {
                    out.path(path);
                    out.text(", ");
                    out.update_operand(otherwise);
                });
            }
            UpdateOperand::ListAppend(first, second) => {
                self.text("list_append");
                self.enclosed(|out| out.list(", ", [first, second], |out, operand| out.update_operand(operand)));
            }
            UpdateOperand::Plus(left, right) => self.sum(left, " + ", right),
            UpdateOperand::Minus(left, right) => self.sum(left, " - ", right),
        }
    }

    fn sum(&mut self, left: &UpdateOperand, sign: &str, right: &UpdateOperand) {
        self.update_operand(left); // sums group to the left
        self.text(sign);
        if matches!(right, UpdateOperand::Plus(..) | UpdateOperand::Minus(..)) {
            self.enclosed(|out| out.update_operand(right));
        } else {
            self.update_operand(right);
        }
    }
}

impl Condition {
    /// The condition as text.
    pub fn print(&self) -> Printed {
        let mut out = Printed::default();
        out.condition(self);
        out
    }
}

impl Projection {
    /// The projection as text.
    pub fn print(&self) -> Printed {
        let mut out = Printed::default();
        out.list(", ", self.paths(), Printed::path);
        out
    }
}

impl Update {
    /// The update as text.
    pub fn print(&self) -> Printed {
        let mut out = Printed::default();
        out.update(self);
        out
    }
}
