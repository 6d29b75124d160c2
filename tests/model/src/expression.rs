//! The model's own trees of expressions, and what DynamoDB refuses of them before it looks at an item.

use crate::{
    fault::Fault,
    number::Number,
    value::{Item, Value},
};

/// A document path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Path {
    pub(crate) root: String,
    pub(crate) steps: Vec<Step>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Key(String),
    Index(usize),
}

/// What conditions compare.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Operand {
    Path(Path),
    Value(Value),
    Size(Path),
}

/// A condition or filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    And(Vec<Condition>),
    Or(Vec<Condition>),
    Not(Box<Condition>),
    /// `=`, `<>`, `<`, `<=`, `>` or `>=`
    Compare(&'static str, Operand, Operand),
    Between(Operand, Operand, Operand),
    In(Operand, Vec<Operand>),
    Exists(Path),
    NotExists(Path),
    /// The type's name is a value in requests.
    Type(Operand, String),
    BeginsWith(Operand, Operand),
    Contains(Operand, Operand),
}

/// What a query asks of key attributes, by their names: of the partition key's first.
pub(crate) type KeyTests = Vec<(String, KeyCondition)>;

/// What a query asks of one key attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum KeyCondition {
    /// `=`, `<`, `<=`, `>` or `>=`
    Compare(&'static str, Value),
    Between(Value, Value),
    BeginsWith(Value),
}

/// What `SET` sets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Term {
    Path(Path),
    Value(Value),
    IfNotExists(Path, Box<Term>),
    ListAppend(Box<Term>, Box<Term>),
    Plus(Box<Term>, Box<Term>),
    Minus(Box<Term>, Box<Term>),
}

/// An update expression.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Update {
    pub(crate) set: Vec<(Path, Term)>,
    pub(crate) remove: Vec<Path>,
    pub(crate) add: Vec<(Path, Value)>,
    pub(crate) delete: Vec<(Path, Value)>,
}

impl Update {
    /// Whether what an attribute is set to, or added to it, has a type that does not depend on the item.
    pub(crate) fn tells_type_of(&self, name: &str) -> bool {
        let is_it = |path: &Path| path.steps.is_empty() && path.root == name;
        let set = |(path, term): &(Path, Term)| is_it(path) && !matches!(term, Term::Path(_) | Term::IfNotExists(..));
        self.set.iter().any(set) || self.add.iter().any(|(path, _)| is_it(path))
    }
}

impl Path {
    pub(crate) fn top(name: &str) -> Self {
        Self {
            root: name.into(),
            steps: Vec::new(),
        }
    }

    pub(crate) fn find<'i>(&self, item: &'i Item) -> Option<&'i Value> {
        let mut value = item.get(&self.root)?;
        for step in &self.steps {
            value = match (step, value) {
                (Step::Key(key), Value::M(map)) => map.get(key)?,
                (Step::Index(index), Value::L(list)) => list.get(*index)?,
                _ => return None,
            };
        }
        Some(value)
    }

    /// As error messages have it.
    fn shown(&self) -> String {
        let mut parts = vec![self.root.clone()];
        parts.extend(self.steps.iter().map(|step| match step {
            Step::Key(key) => key.clone(),
            Step::Index(index) => format!("[{index}]"),
        }));
        format!("[{}]", parts.join(", "))
    }
}

impl KeyCondition {
    pub(crate) fn equal(&self) -> Option<&Value> {
        match self {
            Self::Compare("=", value) => Some(value),
            _ => None,
        }
    }

    pub(crate) fn values(&self) -> Vec<&Value> {
        match self {
            Self::Compare(_, value) | Self::BeginsWith(value) => vec![value],
            Self::Between(low, high) => vec![low, high],
        }
    }
}

impl Update {
    pub(crate) fn paths(&self) -> Vec<&Path> {
        let set = self.set.iter().map(|(path, _)| path);
        let rest = self.add.iter().chain(&self.delete).map(|(path, _)| path);
        set.chain(&self.remove).chain(rest).collect()
    }
}

/// What is wrong with an expression, in DynamoDB's words without the "Invalid …Expression: " before them. An empty text:
/// the words are not known.
pub(crate) type Faults = Vec<String>;

fn operand_type(operator: &str, kind: &str) -> String {
    format!("Incorrect operand type for operator or function; operator or function: {operator}, operand type: {kind}")
}

fn same_operand(operator: &str, path: &Path) -> String {
    format!(
        "The first operand must be distinct from the remaining operands for this operator or function; operator: \
         {operator}, first operand: {}",
        path.shown()
    )
}

/// The guide's page of constraints: attributes nest 32 levels; a path's levels are the attribute's name and its steps.
const LEVELS_MAX: usize = 32;

/// The faults of paths that lead deeper than anything can be.
pub(crate) fn depth_faults(paths: &[&Path], fault: Option<Fault>, faults: &mut Faults) {
    if fault == Some(Fault::PathsHaveAnyDepth) {
        return;
    }
    let levels = paths.iter().map(|path| path.steps.len() + 1);
    faults.extend(
        levels
            .filter(|levels| *levels > LEVELS_MAX)
            .map(|levels| format!("The document path has too many nesting levels; nesting levels: {levels}")),
    );
}

/// The faults of a condition.
pub(crate) fn condition_faults(condition: &Condition, fault: Option<Fault>, faults: &mut Faults) {
    let mut paths = Vec::new();
    condition_paths(condition, &mut paths);
    depth_faults(&paths, fault, faults);
    operand_faults(condition, fault, faults);
}

fn operand_faults(condition: &Condition, fault: Option<Fault>, faults: &mut Faults) {
    let mut typed = |operator: &str, operands: &[&Operand], fits: fn(&Value) -> bool| {
        for operand in operands {
            match operand {
                Operand::Value(value) if !fits(value) => faults.push(operand_type(operator, value.kind())),
                _ => {}
            }
        }
    };
    match condition {
        Condition::And(list) | Condition::Or(list) => {
            list.iter().for_each(|inner| operand_faults(inner, fault, faults))
        }
        Condition::Not(inner) => operand_faults(inner, fault, faults),
        Condition::Compare(operator, left, right) => {
            if !matches!(*operator, "=" | "<>") {
                typed(operator, &[left, right], Value::has_order);
            }
            distinct(operator, left, &[right], faults);
        }
        Condition::Between(value, low, high) => {
            typed("BETWEEN", &[value, low, high], Value::has_order);
            if let (Operand::Value(low), Operand::Value(high)) = (low, high)
                && low.order(high).is_none_or(std::cmp::Ordering::is_gt)
            {
                faults.push(String::new());
            }
            distinct("BETWEEN", value, &[low, high], faults);
        }
        Condition::In(value, list) => distinct("IN", value, &list.iter().collect::<Vec<_>>(), faults),
        Condition::Exists(_) | Condition::NotExists(_) => {}
        Condition::Type(of, kind) => {
            if fault == Some(Fault::AttributeTypesAreOfPathsOnly) && !matches!(of, Operand::Path(_)) {
                faults
                    .push("Operator or function requires a document path; operator or function: attribute_type".into());
            }
            if !["B", "NULL", "SS", "BOOL", "L", "BS", "N", "NS", "S", "M"].contains(&kind.as_str()) {
                faults.push(format!(
                    "Invalid attribute type name found; type: {kind}, valid types: {{B,NULL,SS,BOOL,L,BS,N,NS,S,M}}"
                ));
            }
        }
        Condition::BeginsWith(value, prefix) => {
            typed("begins_with", &[value, prefix], |value| {
                matches!(value, Value::S(_) | Value::B(_))
            });
            distinct("begins_with", value, &[prefix], faults);
        }
        Condition::Contains(container, element) => distinct("contains", container, &[element], faults),
    }
}

fn distinct(operator: &str, first: &Operand, rest: &[&Operand], faults: &mut Faults) {
    if rest.contains(&first) {
        faults.push(match first {
            Operand::Path(path) => same_operand(operator, path),
            // Two values, or two sizes: how they are shown is not known.
            _ => String::new(),
        });
    }
}

/// The faults of paths that are changed, or projected, together.
pub(crate) fn overlap_faults(paths: &[&Path], faults: &mut Faults) {
    for (at, two) in paths.iter().enumerate() {
        for one in &paths[..at] {
            if one.root != two.root {
                continue;
            }
            let how = match one.steps.iter().zip(&two.steps).find(|(a, b)| a != b) {
                None => "overlap",
                Some((Step::Key(_), Step::Index(_)) | (Step::Index(_), Step::Key(_))) => "conflict",
                Some(_) => continue,
            };
            faults.push(format!(
                "Two document paths {how} with each other; must remove or rewrite one of these paths; path one: {}, path \
                 two: {}",
                one.shown(),
                two.shown()
            ));
        }
    }
}

/// The faults of an update, which may be a statement's.
pub(crate) fn update_faults(update: &Update, stated: bool, fault: Option<Fault>, faults: &mut Faults) {
    overlap_faults(&update.paths(), faults);
    let mut paths = update.paths();
    for (_, term) in &update.set {
        term_faults(term, fault, faults);
        if !stated && fault != Some(Fault::SumsHaveAnyNumberOfTerms) && has_inner_sum(term) {
            // A syntax error; what is near the token depends on the text.
            faults.push(String::new());
        }
        term_paths(term, &mut paths);
    }
    depth_faults(&paths, fault, faults);
    let long = |kind: &str| match kind {
        "S" => "STRING",
        "N" => "NUMBER",
        "B" => "BINARY",
        "SS" => "STRING_SET",
        "NS" => "NUMBER_SET",
        "BS" => "BINARY_SET",
        "BOOL" => "BOOLEAN",
        "NULL" => "NULL",
        "L" => "LIST",
        _ => "MAP",
    };
    for (section, list) in [("ADD", &update.add), ("DELETE", &update.delete)] {
        for (_, value) in list {
            let set = matches!(value, Value::Ss(_) | Value::Ns(_) | Value::Bs(_));
            if !(set || section == "ADD" && matches!(value, Value::N(_))) {
                faults.push(format!(
                    "Incorrect operand type for operator or function; operator: {section}, operand type: {}, typeSet: \
                     ALLOWED_FOR_{section}_OPERAND",
                    long(value.kind())
                ));
            }
        }
    }
}

/// The guide's syntax of what SET sets: an operand, or two and an operator; operands are paths and functions. PartiQL's is not
/// told.
fn has_inner_sum(term: &Term) -> bool {
    let is_sum = |term: &Term| matches!(term, Term::Plus(..) | Term::Minus(..));
    match term {
        Term::Path(_) | Term::Value(_) => false,
        Term::IfNotExists(_, one) => is_sum(one) || has_inner_sum(one),
        Term::ListAppend(one, two) | Term::Plus(one, two) | Term::Minus(one, two) => {
            is_sum(one) || is_sum(two) || has_inner_sum(one) || has_inner_sum(two)
        }
    }
}

fn term_paths<'t>(term: &'t Term, paths: &mut Vec<&'t Path>) {
    match term {
        Term::Path(path) => paths.push(path),
        Term::Value(_) => {}
        Term::IfNotExists(path, otherwise) => {
            paths.push(path);
            term_paths(otherwise, paths);
        }
        Term::ListAppend(one, two) | Term::Plus(one, two) | Term::Minus(one, two) => {
            term_paths(one, paths);
            term_paths(two, paths);
        }
    }
}

fn term_faults(term: &Term, fault: Option<Fault>, faults: &mut Faults) {
    let mut check = |operator: &str, terms: [&Term; 2], wanted: &str| {
        for inner in terms {
            let kind = match inner {
                Term::Path(_) | Term::IfNotExists(..) => continue,
                Term::Value(value) => value.kind(),
                Term::ListAppend(..) => "L",
                Term::Plus(..) | Term::Minus(..) => "N",
            };
            if kind != wanted {
                faults.push(operand_type(operator, kind));
            }
        }
    };
    let (one, two) = match term {
        Term::Path(_) | Term::Value(_) => return,
        Term::IfNotExists(_, otherwise) => return term_faults(otherwise, fault, faults),
        Term::ListAppend(one, two) => {
            check("list_append", [one, two], "L");
            let appended = |term: &Term| matches!(term, Term::ListAppend(..));
            if (appended(one) || appended(two)) && fault != Some(Fault::ListsAreAppendedToAppendedOnes) {
                faults.push(
                    "The function is not allowed to be used this way in an expression; function: list_append".into(),
                );
            }
            (one, two)
        }
        Term::Plus(one, two) => {
            check("+", [one, two], "N");
            (one, two)
        }
        Term::Minus(one, two) => {
            check("-", [one, two], "N");
            (one, two)
        }
    };
    term_faults(one, fault, faults);
    term_faults(two, fault, faults);
}

/// Every path of a condition.
pub(crate) fn condition_paths<'c>(condition: &'c Condition, paths: &mut Vec<&'c Path>) {
    let mut operand = |operand: &'c Operand| match operand {
        Operand::Path(path) | Operand::Size(path) => paths.push(path),
        Operand::Value(_) => {}
    };
    match condition {
        Condition::And(list) | Condition::Or(list) => list.iter().for_each(|inner| condition_paths(inner, paths)),
        Condition::Not(inner) => condition_paths(inner, paths),
        Condition::Compare(_, one, two) | Condition::BeginsWith(one, two) | Condition::Contains(one, two) => {
            operand(one);
            operand(two);
        }
        Condition::Between(one, two, three) => [one, two, three].into_iter().for_each(operand),
        Condition::In(one, list) => std::iter::once(one).chain(list).for_each(operand),
        Condition::Type(one, _) => operand(one),
        Condition::Exists(path) | Condition::NotExists(path) => paths.push(path),
    }
}

/// `size()`: a string's length in UTF-16 code units, a binary's in bytes, how many elements a set, list or map has.
pub(crate) fn size_of(value: &Value) -> Option<Number> {
    Some(Number::of_count(match value {
        Value::S(text) => text.encode_utf16().count(),
        Value::B(bytes) => bytes.len(),
        Value::L(list) => list.len(),
        Value::M(map) => map.len(),
        Value::Ss(set) => set.len(),
        Value::Ns(set) => set.len(),
        Value::Bs(set) => set.len(),
        Value::N(_) | Value::Bool(_) | Value::Null => return None,
    }))
}
