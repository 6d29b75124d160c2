//! PartiQL statements as text, with their parameters: many texts for one statement.

use crate::{
    expression::{Condition, KeyCondition, Operand, Path, Step, Term, Update},
    request::statements::{Select, StatedTest, Statement},
    rng::Rng,
    schema::{Schema, name_of},
    text::PLAIN,
    value::{Item, Value},
};

/// What stands in the text for a value until it is known which parameter that is. No name or value has it.
const MARK: char = '\u{1}';

pub(crate) struct StatementText {
    rng: Rng,
    values: Vec<Value>,
}

impl StatementText {
    /// `style` decides between texts that mean the same.
    pub(crate) fn new(style: u64) -> Self {
        Self {
            rng: Rng::new(style),
            values: Vec::new(),
        }
    }

    /// The text, and the parameters in their order.
    pub(crate) fn statement(mut self, statement: &Statement, schemas: &[Schema]) -> (String, Vec<Value>) {
        let marked = match statement {
            Statement::Select(select) => self.select(select, schemas),
            Statement::Insert { table, item } => {
                let value = self.literal(&Value::M(item.clone()), 0);
                let table = self.table(*table, schemas);
                self.words(&["INSERT INTO", &table, "VALUE", &value])
            }
            Statement::Update {
                table,
                key,
                update,
                rest,
                returning,
            } => {
                let table = self.table(*table, schemas);
                let changes = self.changes(update);
                let mut text = self.words(&["UPDATE", &table, &changes]);
                self.where_key(&mut text, key, rest.as_ref());
                if let Some(returning) = returning {
                    text = self.words(&[&text, "RETURNING", returning, "*"]);
                }
                text
            }
            Statement::Delete {
                table,
                key,
                rest,
                returns_old,
            } => {
                let table = self.table(*table, schemas);
                let mut text = self.words(&["DELETE FROM", &table]);
                self.where_key(&mut text, key, rest.as_ref());
                if *returns_old {
                    text = self.words(&[&text, "RETURNING ALL OLD *"]);
                }
                text
            }
            Statement::Exists { table, key, rest } => {
                let table = self.table(*table, schemas);
                let mut text = self.words(&["SELECT * FROM", &table]);
                self.where_key(&mut text, key, rest.as_ref());
                format!("EXISTS({text})")
            }
        };
        let mut text = String::new();
        let mut parameters = Vec::new();
        for (at, part) in marked.split(MARK).enumerate() {
            if at % 2 == 0 {
                text += part;
            } else {
                text.push('?');
                let value = part.parse::<usize>().ok().and_then(|at| self.values.get(at));
                parameters.push(value.cloned().unwrap_or(Value::Null));
            }
        }
        (text, parameters)
    }

    fn select(&mut self, select: &Select, schemas: &[Schema]) -> String {
        let schema = schemas.get(select.table);
        let keys = schema.and_then(|schema| schema.keys_of(select.index.as_deref()));
        let partition = keys.map_or("pk", |keys| keys.partition_name());
        let sort = keys.and_then(|keys| keys.sort.first());
        let sort = sort.map_or("sk", |key| key.name.as_str());

        let columns = match &select.columns {
            None => "*".into(),
            Some(paths) => {
                let paths: Vec<_> = paths.iter().map(|path| self.path(path)).collect();
                self.list(&paths)
            }
        };
        let mut source = self.table(select.table, schemas);
        if let Some(index) = &select.index {
            source += &format!(".{}", quoted(index));
        }
        let mut text = self.words(&["SELECT", &columns, "FROM", &source]);
        let mut parts = Vec::new();
        for (name, test) in &select.tests {
            parts.push(match test {
                StatedTest::Is(KeyCondition::Compare("=", value)) => self.equals(name, value),
                StatedTest::Is(condition) => self.key_condition(name, condition),
                StatedTest::In(values) => self.one_of(name, values),
            });
        }
        if let Some(filter) = &select.filter {
            parts.push(self.within(filter, 1));
        }
        self.where_all(&mut text, parts);
        let orders = [(partition, select.by_partition), (sort, select.by_sort)];
        let mut by = Vec::new();
        for (name, descending) in orders {
            let Some(descending) = descending else { continue };
            let name = self.name(name);
            by.push(match descending {
                true => format!("{name} DESC"),
                false if self.rng.percent(50) => name,
                false => format!("{name} ASC"),
            });
        }
        if !by.is_empty() {
            text = self.words(&[&text, "ORDER BY", &by.join(", ")]);
        }
        text
    }

    /// That an attribute is one of these: said by `IN` or `OR`.
    fn one_of(&mut self, name: &str, values: &[Value]) -> String {
        if self.rng.percent(20) {
            let parts: Vec<_> = values.iter().map(|value| self.equals(name, value)).collect();
            return format!("({})", parts.join(" OR "));
        }
        let name = self.name(name);
        let values: Vec<_> = values.iter().map(|value| self.value(value)).collect();
        let list = self.list(&values);
        if self.rng.percent(50) {
            format!("{name} IN [{list}]")
        } else {
            format!("{name} IN ({list})")
        }
    }

    fn equals(&mut self, name: &str, value: &Value) -> String {
        let (name, value) = (self.name(name), self.value(value));
        if self.rng.percent(10) {
            self.infix("=", &value, &name)
        } else {
            self.infix("=", &name, &value)
        }
    }

    fn key_condition(&mut self, name: &str, condition: &KeyCondition) -> String {
        let name = self.name(name);
        match condition {
            KeyCondition::Compare(operator, value) => {
                let value = self.value(value);
                self.infix(operator, &name, &value)
            }
            KeyCondition::Between(low, high) => {
                let (low, high) = (self.value(low), self.value(high));
                self.words(&[&name, "BETWEEN", &low, "AND", &high])
            }
            KeyCondition::BeginsWith(prefix) => {
                let prefix = self.value(prefix);
                format!("begins_with({name}, {prefix})")
            }
        }
    }

    fn where_key(&mut self, text: &mut String, key: &Item, rest: Option<&Condition>) {
        let mut parts: Vec<_> = key.iter().map(|(name, value)| self.equals(name, value)).collect();
        if let Some(rest) = rest {
            parts.push(self.within(rest, 1));
        }
        self.where_all(text, parts);
    }

    fn where_all(&mut self, text: &mut String, mut parts: Vec<String>) {
        if parts.is_empty() {
            return;
        }
        let turn = self.rng.below(parts.len());
        parts.rotate_left(turn);
        let all = parts.join(" AND ");
        *text = self.words(&[text, "WHERE", &all]);
    }

    fn changes(&mut self, update: &Update) -> String {
        let mut sets = Vec::new();
        for (path, term) in &update.set {
            let (path, term) = (self.path(path), self.term(term, false));
            sets.push(self.infix("=", &path, &term));
        }
        for (function, list) in [("set_add", &update.add), ("set_delete", &update.delete)] {
            for (path, value) in list {
                let (path, value) = (self.path(path), self.value(value));
                sets.push(format!("{path} = {function}({path}, {value})"));
            }
        }
        let mut clauses = Vec::new();
        let together = self.rng.percent(50);
        if together && !sets.is_empty() {
            clauses.push(format!("SET {}", self.list(&sets)));
        } else {
            clauses.extend(sets.iter().map(|set| format!("SET {set}")));
        }
        for path in &update.remove {
            clauses.push(format!("REMOVE {}", self.path(path)));
        }
        let turn = self.rng.below(clauses.len());
        clauses.rotate_left(turn);
        clauses.join(self.gap())
    }

    /// How tightly a condition binds: `OR` 0, `AND` 1, `NOT` 2, the others 3.
    fn within(&mut self, condition: &Condition, least: usize) -> String {
        let (level, text) = match condition {
            Condition::And(list) => {
                let parts: Vec<_> = list.iter().map(|inner| self.within(inner, 2)).collect();
                (1, parts.join(" AND "))
            }
            Condition::Or(list) => {
                let parts: Vec<_> = list.iter().map(|inner| self.within(inner, 1)).collect();
                (0, parts.join(" or "))
            }
            Condition::Not(inner) => (2, format!("NOT {}", self.within(inner, 2))),
            other => (3, self.simple(other)),
        };
        if level < least || self.rng.percent(10) {
            format!("({text})")
        } else {
            text
        }
    }

    fn simple(&mut self, condition: &Condition) -> String {
        match condition {
            Condition::Compare(operator, left, right) => {
                let (left, right) = (self.operand(left), self.operand(right));
                let operator = match *operator {
                    "<>" if self.rng.percent(50) => "!=",
                    operator => operator,
                };
                self.infix(operator, &left, &right)
            }
            Condition::Between(value, low, high) => {
                let (value, low, high) = (self.operand(value), self.operand(low), self.operand(high));
                self.words(&[&value, "BETWEEN", &low, "AND", &high])
            }
            Condition::In(value, list) => {
                let value = self.operand(value);
                let list: Vec<_> = list.iter().map(|operand| self.operand(operand)).collect();
                let list = self.list(&list);
                if self.rng.percent(50) {
                    format!("{value} IN [{list}]")
                } else {
                    format!("{value} in ({list})")
                }
            }
            Condition::Exists(path) => {
                let path = self.path(path);
                self.words(&[&path, "IS NOT MISSING"])
            }
            Condition::NotExists(path) => {
                let path = self.path(path);
                self.words(&[&path, "IS MISSING"])
            }
            Condition::Type(of, kind) => {
                let (of, kind) = (self.operand(of), self.value(&Value::S(kind.clone())));
                format!("attribute_type({of}, {kind})")
            }
            Condition::BeginsWith(value, prefix) => {
                let (value, prefix) = (self.operand(value), self.operand(prefix));
                format!("begins_with({value}, {prefix})")
            }
            Condition::Contains(container, element) => {
                let (container, element) = (self.operand(container), self.operand(element));
                format!("contains({container},{element})")
            }
            Condition::And(_) | Condition::Or(_) | Condition::Not(_) => self.within(condition, 3),
        }
    }

    fn operand(&mut self, operand: &Operand) -> String {
        match operand {
            Operand::Path(path) => self.path(path),
            Operand::Value(value) => self.value(value),
            Operand::Size(path) => format!("size({})", self.path(path)),
        }
    }

    /// Sums bind to the left, and stand in parentheses elsewhere.
    fn term(&mut self, term: &Term, inner: bool) -> String {
        let (operator, one, two) = match term {
            // There is no if_not_exists in PartiQL; the generator makes none.
            Term::Path(path) | Term::IfNotExists(path, _) => return self.path(path),
            Term::Value(value) => return self.value(value),
            Term::ListAppend(one, two) => {
                let (one, two) = (self.term(one, false), self.term(two, false));
                return format!("list_append({one}, {two})");
            }
            Term::Plus(one, two) => ("+", one, two),
            Term::Minus(one, two) => ("-", one, two),
        };
        let (one, two) = (self.term(one, true), self.term(two, true));
        let text = format!("{one} {operator} {two}");
        if inner { format!("({text})") } else { text }
    }

    fn table(&mut self, table: usize, schemas: &[Schema]) -> String {
        let name = name_of(schemas, table);
        if name.contains('-') || self.rng.percent(50) {
            quoted(name)
        } else {
            name.into()
        }
    }

    fn path(&mut self, path: &Path) -> String {
        let mut text = self.name(&path.root);
        for step in &path.steps {
            match step {
                Step::Key(key) if self.rng.percent(20) => text += &format!("['{key}']"),
                Step::Key(key) => {
                    text.push('.');
                    text += &self.name(key);
                }
                Step::Index(index) => text += &format!("[{index}]"),
            }
        }
        text
    }

    fn name(&mut self, name: &str) -> String {
        if PLAIN.contains(&name) && self.rng.percent(60) {
            name.into()
        } else {
            quoted(name)
        }
    }

    /// A value, as a parameter or written out.
    fn value(&mut self, value: &Value) -> String {
        self.literal(value, 50)
    }

    fn literal(&mut self, value: &Value, parameters: usize) -> String {
        let large = matches!(value, Value::S(text) if text.len() > 500);
        if large || matches!(value, Value::B(_)) || self.rng.percent(parameters) {
            self.values.push(value.clone());
            return format!("{MARK}{}{MARK}", self.values.len() - 1);
        }
        match value {
            Value::S(text) => format!("'{}'", text.replace('\'', "''")),
            Value::N(number) => number.to_string(),
            Value::B(_) => String::new(),
            Value::Bool(truth) => truth.to_string(),
            Value::Null => "NULL".into(),
            Value::L(list) => {
                let list: Vec<_> = list.iter().map(|value| self.literal(value, 10)).collect();
                format!("[{}]", self.list(&list))
            }
            Value::M(map) => {
                let mut entries = Vec::new();
                for (name, value) in map {
                    let value = self.literal(value, 10);
                    entries.push(format!("'{name}': {value}"));
                }
                format!("{{{}}}", self.list(&entries))
            }
            Value::Ss(set) => self.set(set.iter().map(|text| Value::S(text.clone())).collect()),
            Value::Ns(set) => self.set(set.iter().map(|number| Value::N(number.clone())).collect()),
            Value::Bs(set) => self.set(set.iter().map(|bytes| Value::B(bytes.clone())).collect()),
        }
    }

    fn set(&mut self, members: Vec<Value>) -> String {
        let members: Vec<_> = members.iter().map(|value| self.literal(value, 10)).collect();
        format!("<<{}>>", self.list(&members))
    }

    fn infix(&mut self, operator: &str, left: &str, right: &str) -> String {
        if self.rng.percent(20) && !right.starts_with('-') {
            format!("{left}{operator}{right}")
        } else {
            self.words(&[left, operator, right])
        }
    }

    fn list(&mut self, parts: &[String]) -> String {
        let comma = self.rng.pick(&[",", ", ", " , ", ",\n"]);
        parts.join(comma)
    }

    /// Keywords may be in any case.
    fn words(&mut self, words: &[&str]) -> String {
        let mut text = String::new();
        for word in words {
            if !text.is_empty() {
                text += self.gap();
            }
            let keyword = word.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b' ');
            if keyword && self.rng.percent(20) {
                text += &word.to_lowercase();
            } else {
                text += word;
            }
        }
        text
    }

    fn gap(&mut self) -> &'static str {
        self.rng.pick(&[" ", " ", " ", " ", "  ", "\n", "\t"])
    }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
