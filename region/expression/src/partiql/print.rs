//! Conditions to PartiQL: for logs, and for tests that parse what was printed.

use geodynamo_item::{AttributeValue, Name};

use crate::{Condition, Operand, Path, Step};

/// A condition as the text of a WHERE clause, with its parameters. Names are in double quotes, so any that are not empty
/// can be printed; strings and numbers are printed as they are, everything else as `?`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PrintedCondition {
    /// The text, without `WHERE`.
    pub text: String,
    /// The values of the `?`, in order.
    pub parameters: Vec<AttributeValue>,
}

impl PrintedCondition {
    /// Prints a condition; `None` if PartiQL has no words for it (an empty AND or OR).
    pub fn of(condition: &Condition) -> Option<Self> {
        let mut out = Self::default();
        out.condition(condition)?;
        Some(out)
    }

    /// Recurs as deep as the condition.
    fn condition(&mut self, condition: &Condition) -> Option<()> {
        match condition {
            Condition::And(list) => self.joined(" AND ", list)?,
            Condition::Or(list) => self.joined(" OR ", list)?,
            Condition::Not(inner) => {
                self.text.push_str("NOT ");
                self.inner(inner)?;
            }
            Condition::Compare {
                comparator,
                left,
                right,
            } => {
                self.operand(left);
                self.text.push_str(&format!(" {} ", comparator.symbol()));
                self.operand(right);
            }
            Condition::Between { value, low, high } => {
                self.operand(value);
                self.text.push_str(" BETWEEN ");
                self.operand(low);
                self.text.push_str(" AND ");
                self.operand(high);
            }
            Condition::In { value, list } => {
                self.operand(value);
                self.text.push_str(" IN [");
                self.operands(list);
                self.text.push(']');
            }
            Condition::Exists(path) => {
                self.path(path);
                self.text.push_str(" IS NOT MISSING");
            }
            Condition::NotExists(path) => {
                self.path(path);
                self.text.push_str(" IS MISSING");
            }
            Condition::Type { value, kind } => {
                self.text.push_str("attribute_type(");
                self.operand(value);
                self.text.push_str(&format!(", '{kind}')"));
            }
            Condition::BeginsWith { value, prefix } => self.call("begins_with", value, prefix),
            Condition::Contains { container, element } => self.call("contains", container, element),
        }
        Some(())
    }

    fn joined(&mut self, separator: &str, list: &[Condition]) -> Option<()> {
        if list.len() < 2 {
            return None;
        }
        for (at, condition) in list.iter().enumerate() {
            if at > 0 {
                self.text.push_str(separator);
            }
            self.inner(condition)?;
        }
        Some(())
    }

    /// A condition within another: in parentheses, if it is made of several.
    fn inner(&mut self, condition: &Condition) -> Option<()> {
        if !matches!(condition, Condition::And(_) | Condition::Or(_)) {
            return self.condition(condition);
        }
        self.text.push('(');
        self.condition(condition)?;
        self.text.push(')');
        Some(())
    }

    fn call(&mut self, function: &str, first: &Operand, second: &Operand) {
        self.text.push_str(function);
        self.text.push('(');
        self.operand(first);
        self.text.push_str(", ");
        self.operand(second);
        self.text.push(')');
    }

    fn operands(&mut self, list: &[Operand]) {
        for (at, operand) in list.iter().enumerate() {
            if at > 0 {
                self.text.push_str(", ");
            }
            self.operand(operand);
        }
    }

    fn operand(&mut self, operand: &Operand) {
        match operand {
            Operand::Path(path) => self.path(path),
            Operand::Size(path) => {
                self.text.push_str("size(");
                self.path(path);
                self.text.push(')');
            }
            Operand::Value(AttributeValue::S(text)) => self.text.push_str(&format!("'{}'", text.replace('\'', "''"))),
            Operand::Value(AttributeValue::N(number)) => self.text.push_str(&number.text()),
            Operand::Value(value) => {
                self.text.push('?');
                self.parameters.push(value.clone());
            }
        }
    }

    fn path(&mut self, path: &Path) {
        self.name(&path.root);
        for step in &path.steps {
            match step {
                Step::Key(name) => {
                    self.text.push('.');
                    self.name(name);
                }
                Step::Index(index) => self.text.push_str(&format!("[{index}]")),
            }
        }
    }

    fn name(&mut self, name: &Name) {
        self.text.push_str(&format!("\"{}\"", name.replace('"', "\"\"")));
    }
}
