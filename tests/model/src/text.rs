//! Expressions as text, with their placeholders: many texts for one tree.

use serde_json::{Map, Value as Json};

use crate::{
    expression::{Condition, KeyCondition, KeyTests, Operand, Path, Step, Term, Update},
    rng::Rng,
    value::Value,
};

/// Names that may stand in an expression as they are.
pub(crate) const PLAIN: &[&str] = &[
    "pk", "sk", "a", "b", "c", "d", "e1", "ix1", "ix2", "ix3", "ix4", "ix5", "ix6",
];

/// A request's names and values as they gather.
pub(crate) struct Texts {
    rng: Rng,
    names: Vec<(String, String)>,
    values: Vec<(String, Value)>,
}

impl Texts {
    /// `style` decides between texts that mean the same.
    pub(crate) fn new(style: u64) -> Self {
        Self {
            rng: Rng::new(style),
            names: Vec::new(),
            values: Vec::new(),
        }
    }

    /// Adds the members that the expressions need.
    pub(crate) fn finish(self, body: &mut Json) {
        if !self.names.is_empty() {
            let names: Map<_, _> = self.names.into_iter().map(|(key, name)| (key, name.into())).collect();
            body["ExpressionAttributeNames"] = names.into();
        }
        if !self.values.is_empty() {
            let values: Map<_, _> = self
                .values
                .into_iter()
                .map(|(key, value)| (key, value.json()))
                .collect();
            body["ExpressionAttributeValues"] = values.into();
        }
    }

    pub(crate) fn condition(&mut self, condition: &Condition) -> String {
        self.within(condition, 0)
    }

    pub(crate) fn projection(&mut self, paths: &[Path]) -> String {
        let paths: Vec<_> = paths.iter().map(|path| self.path(path)).collect();
        self.list(&paths)
    }

    pub(crate) fn key_condition(&mut self, tests: &KeyTests) -> String {
        let mut parts = Vec::new();
        for (name, condition) in tests {
            let part = self.key_test(name, condition);
            parts.push(self.perhaps_enclosed(part));
        }
        // They may stand in any order.
        if self.rng.percent(30) {
            let turn = self.rng.below(parts.len());
            parts.rotate_left(turn);
            parts.reverse();
        }
        let mut words = Vec::new();
        for part in &parts {
            words.extend(["AND", part]);
        }
        self.words(words.get(1..).unwrap_or_default())
    }

    fn key_test(&mut self, name: &str, condition: &KeyCondition) -> String {
        let path = self.name(name);
        match condition {
            KeyCondition::Compare(operator, value) => {
                let value = self.value(value);
                self.comparison(operator, path, value)
            }
            KeyCondition::Between(low, high) => {
                let (low, high) = (self.value(low), self.value(high));
                self.words(&[&path, "BETWEEN", &low, "AND", &high])
            }
            KeyCondition::BeginsWith(prefix) => {
                let prefix = self.value(prefix);
                self.call("begins_with", &[path, prefix])
            }
        }
    }

    pub(crate) fn update(&mut self, update: &Update) -> String {
        let mut sections = Vec::new();
        if !update.set.is_empty() {
            let mut parts = Vec::new();
            for (path, term) in &update.set {
                let (path, term) = (self.path(path), self.term(term, false));
                parts.push(self.comparison("=", path, term));
            }
            sections.push(("SET", parts));
        }
        if !update.remove.is_empty() {
            sections.push(("REMOVE", update.remove.iter().map(|path| self.path(path)).collect()));
        }
        for (section, list) in [("ADD", &update.add), ("DELETE", &update.delete)] {
            let mut parts = Vec::new();
            for (path, value) in list {
                let (path, value) = (self.path(path), self.value(value));
                parts.push(format!("{path}{}{value}", self.gap()));
            }
            if !parts.is_empty() {
                sections.push((section, parts));
            }
        }
        // The sections may stand in any order.
        let turn = self.rng.below(sections.len());
        sections.rotate_left(turn);
        let mut text = String::new();
        for (section, parts) in sections {
            if !text.is_empty() {
                text += self.gap();
            }
            text += &self.keyword(section);
            text += self.gap();
            text += &self.list(&parts);
        }
        text
    }

    /// How tightly a condition binds: `OR` 0, `AND` 1, `NOT` 2, the others 3.
    fn within(&mut self, condition: &Condition, least: usize) -> String {
        let (level, text) = match condition {
            Condition::And(list) => (1, self.joined(list, "AND", 2)),
            Condition::Or(list) => (0, self.joined(list, "OR", 1)),
            Condition::Not(inner) => {
                let inner = self.within(inner, 2);
                (2, self.words(&["NOT", &inner]))
            }
            other => (3, self.simple(other)),
        };
        if level < least {
            self.enclosed(text)
        } else {
            self.perhaps_enclosed(text)
        }
    }

    fn joined(&mut self, list: &[Condition], word: &str, least: usize) -> String {
        let parts: Vec<_> = list.iter().map(|inner| self.within(inner, least)).collect();
        let mut words = Vec::new();
        for part in &parts {
            if !words.is_empty() {
                words.push(word);
            }
            words.push(part);
        }
        self.words(&words)
    }

    fn simple(&mut self, condition: &Condition) -> String {
        match condition {
            Condition::Compare(operator, left, right) => {
                let (left, right) = (self.operand(left), self.operand(right));
                self.comparison(operator, left, right)
            }
            Condition::Between(value, low, high) => {
                let (value, low, high) = (self.operand(value), self.operand(low), self.operand(high));
                self.words(&[&value, "BETWEEN", &low, "AND", &high])
            }
            Condition::In(value, list) => {
                let value = self.operand(value);
                let list: Vec<_> = list.iter().map(|operand| self.operand(operand)).collect();
                let list = self.list(&list);
                let list = self.enclosed(list);
                self.words(&[&value, "IN", &list])
            }
            Condition::Exists(path) => {
                let path = self.path(path);
                self.call("attribute_exists", &[path])
            }
            Condition::NotExists(path) => {
                let path = self.path(path);
                self.call("attribute_not_exists", &[path])
            }
            Condition::Type(of, kind) => {
                let (of, kind) = (self.operand(of), self.value(&Value::S(kind.clone())));
                self.call("attribute_type", &[of, kind])
            }
            Condition::BeginsWith(value, prefix) => {
                let (value, prefix) = (self.operand(value), self.operand(prefix));
                self.call("begins_with", &[value, prefix])
            }
            Condition::Contains(container, element) => {
                let (container, element) = (self.operand(container), self.operand(element));
                self.call("contains", &[container, element])
            }
            Condition::And(_) | Condition::Or(_) | Condition::Not(_) => self.within(condition, 3),
        }
    }

    fn operand(&mut self, operand: &Operand) -> String {
        match operand {
            Operand::Path(path) => self.path(path),
            Operand::Value(value) => self.value(value),
            Operand::Size(path) => {
                let path = self.path(path);
                self.call("size", &[path])
            }
        }
    }

    /// Sums bind to the left, and stand in parentheses elsewhere.
    fn term(&mut self, term: &Term, inner: bool) -> String {
        let text = match term {
            Term::Path(path) => return self.path(path),
            Term::Value(value) => return self.value(value),
            Term::IfNotExists(path, otherwise) => {
                let (path, otherwise) = (self.path(path), self.term(otherwise, false));
                return self.call("if_not_exists", &[path, otherwise]);
            }
            Term::ListAppend(one, two) => {
                let (one, two) = (self.term(one, false), self.term(two, false));
                return self.call("list_append", &[one, two]);
            }
            Term::Plus(one, two) => {
                let (one, two) = (self.term(one, true), self.term(two, true));
                self.comparison("+", one, two)
            }
            Term::Minus(one, two) => {
                let (one, two) = (self.term(one, true), self.term(two, true));
                self.comparison("-", one, two)
            }
        };
        if inner { self.enclosed(text) } else { text }
    }

    pub(crate) fn path(&mut self, path: &Path) -> String {
        let mut text = self.name(&path.root);
        for step in &path.steps {
            match step {
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
        if PLAIN.contains(&name) && self.rng.percent(70) {
            return name.into();
        }
        if let Some((key, _)) = self.names.iter().find(|(_, known)| known == name)
            && self.rng.percent(70)
        {
            return key.clone();
        }
        let key = format!("{}{}", self.rng.pick(&["#n", "#_", "#Name_", "#"]), self.names.len());
        self.names.push((key.clone(), name.into()));
        key
    }

    pub(crate) fn value(&mut self, value: &Value) -> String {
        if let Some((key, _)) = self.values.iter().find(|(_, known)| known == value)
            && self.rng.percent(70)
        {
            return key.clone();
        }
        let key = format!("{}{}", self.rng.pick(&[":v", ":_", ":Value_", ":"]), self.values.len());
        self.values.push((key.clone(), value.clone()));
        key
    }

    fn comparison(&mut self, operator: &str, left: String, right: String) -> String {
        if self.rng.percent(30) && !matches!(operator, "-" | "+") {
            format!("{left}{operator}{right}")
        } else {
            format!("{left}{}{operator}{}{right}", self.gap(), self.gap())
        }
    }

    fn call(&mut self, function: &str, operands: &[String]) -> String {
        let operands = self.list(operands);
        let gap = if self.rng.percent(15) { " " } else { "" };
        format!("{function}{gap}({operands})")
    }

    fn list(&mut self, parts: &[String]) -> String {
        let comma = self.rng.pick(&[",", ", ", " , ", ",\n"]);
        parts.join(comma)
    }

    fn words(&mut self, words: &[&str]) -> String {
        let mut text = String::new();
        for word in words {
            if !text.is_empty() {
                text += self.gap();
            }
            match *word {
                "AND" | "OR" | "NOT" | "BETWEEN" | "IN" => text += &self.keyword(word),
                word => text += word,
            }
        }
        text
    }

    fn keyword(&mut self, word: &str) -> String {
        match self.rng.below(4) {
            0 => word.to_lowercase(),
            1 => word[..1].to_owned() + &word[1..].to_lowercase(),
            _ => word.into(),
        }
    }

    fn gap(&mut self) -> &'static str {
        self.rng.pick(&[" ", " ", " ", " ", "  ", "\n", "\t", " \r\n "])
    }

    fn perhaps_enclosed(&mut self, text: String) -> String {
        if self.rng.percent(12) {
            self.enclosed(text)
        } else {
            text
        }
    }

    fn enclosed(&mut self, text: String) -> String {
        if self.rng.percent(20) {
            format!("( {text} )")
        } else {
            format!("({text})")
        }
    }
}
