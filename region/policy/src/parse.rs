//! From a JSON document to a policy.
//!
//! The version may come after the statements and decides how they are read, so the document is first taken apart and then
//! compiled.

use std::{borrow::Cow, collections::BTreeSet};

use geodynamo_json::{JsonError, Kind, Reader};

use crate::{
    ENTRIES_MAX, ENTRY_BYTES_MAX, STATEMENTS_MAX, TEXT_BYTES_MAX,
    condition::Operator,
    error::PolicyError,
    policy::{Effect, Patterns, Place, Policy, PolicyKind, Statement, Version},
    principal::{Principal, Principals},
    shortlist::Shortlists,
    template::{Template, Wildcards},
};

pub(crate) fn parse(text: &str, kind: PolicyKind) -> Result<Policy, PolicyError> {
    let places = Places::new(text);
    if text.len() > TEXT_BYTES_MAX {
        return Err(places.error(Fault::new(
            0,
            format!("The policy has more than {TEXT_BYTES_MAX} bytes"),
        )));
    }
    document(text, kind)
        .map_err(|fault| places.error(fault))
        .map(|document| {
            let mut places = places;
            let shortlists = Shortlists::new(document.statements.len());
            Policy {
                shortlists,
                kind,
                version: document.version,
                id: document.id,
                size_chars: text.chars().filter(|character| !character.is_whitespace()).count(),
                statements: document
                    .statements
                    .into_iter()
                    .map(|(mut statement, (begin, end))| {
                        statement.begin = places.at(begin);
                        statement.end = places.at(end);
                        statement
                    })
                    .collect(),
            }
        })
}

/// What is wrong, and where in bytes.
struct Fault {
    offset: usize,
    reason: Cow<'static, str>,
}

impl Fault {
    fn new(offset: usize, reason: impl Into<Cow<'static, str>>) -> Self {
        Self {
            offset,
            reason: reason.into(),
        }
    }
}

impl From<JsonError> for Fault {
    fn from(error: JsonError) -> Self {
        let reason = match error {
            JsonError::Malformed { what, .. } => format!("Syntax errors in policy: {what}"),
            JsonError::TooDeep { .. } => "Syntax errors in policy: nested too deeply".into(),
            JsonError::Unexpected { expected, found, .. } => {
                format!("Syntax errors in policy: found {found} where {expected} was expected")
            }
        };
        Self::new(error.offset(), reason)
    }
}

/// Lines and columns of places in a text, which are asked for from its start to its end.
struct Places<'a> {
    text: &'a str,
    last: Place,
}

impl<'a> Places<'a> {
    fn new(text: &'a str) -> Self {
        let last = Place {
            offset: 0,
            line: 1,
            column: 1,
        };
        Self { text, last }
    }

    fn at(&mut self, offset: usize) -> Place {
        if offset < self.last.offset {
            *self = Self::new(self.text);
        }
        let passed = self.text.get(self.last.offset..offset).unwrap_or_default();
        for character in passed.chars() {
            if character == '\n' {
                self.last.line += 1;
                self.last.column = 1;
            } else {
                self.last.column += 1;
            }
        }
        self.last.offset = offset;
        self.last
    }

    fn error(&self, fault: Fault) -> PolicyError {
        PolicyError {
            place: Self::new(self.text).at(fault.offset.min(self.text.len())),
            reason: fault.reason.into_owned(),
        }
    }
}

/// A document's parts; with each statement, where it begins and ends.
struct Document {
    version: Version,
    id: Option<Box<str>>,
    statements: Vec<(Statement, (usize, usize))>,
}

/// A statement as it is written.
#[derive(Default)]
struct Raw {
    begin: usize,
    end: usize,
    sid: Option<String>,
    effect: Option<Effect>,
    principals: Option<Element<(&'static str, String)>>,
    actions: Option<Element<String>>,
    resources: Option<Element<String>>,
    conditions: Vec<RawCondition>,
}

/// `Action` or `NotAction`, and so on.
struct Element<T> {
    offset: usize,
    negated: bool,
    entries: Vec<T>,
}

struct RawCondition {
    offset: usize,
    operator: Operator,
    key: String,
    values: Vec<String>,
}

fn document(text: &str, kind: PolicyKind) -> Result<Document, Fault> {
    let mut reader = Source {
        reader: Reader::new(text.as_bytes())?,
        entries: 0,
    };
    let mut version = None;
    let mut id = None;
    let mut statements = None;
    reader.object(|reader, name, offset| {
        match name {
            "Version" => {
                version = Some(match &*reader.string()? {
                    "2008-10-17" => Version::V2008,
                    "2012-10-17" => Version::V2012,
                    _ => return Err(Fault::new(offset, "The policy must contain a valid version string")),
                });
            }
            "Id" => id = Some(reader.string()?),
            "Statement" => statements = Some(reader.statements()?),
            _ => {
                return Err(Fault::new(
                    offset,
                    format!("Syntax errors in policy: no element {name}"),
                ));
            }
        }
        Ok(())
    })?;
    reader.reader.end()?;
    let version = version.unwrap_or(Version::V2008);
    let raw = statements.unwrap_or_default();
    if raw.is_empty() {
        return Err(Fault::new(0, "Syntax errors in policy: no statements"));
    }
    let mut sids = BTreeSet::new();
    let mut statements = Vec::with_capacity(raw.len());
    for raw in raw {
        if let Some(sid) = &raw.sid {
            let of_principal = !matches!(kind, PolicyKind::Resource | PolicyKind::Trust);
            if of_principal && !sid.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
                return Err(Fault::new(
                    raw.begin,
                    format!("Statement IDs (SID) must be alpha-numeric: {sid}"),
                ));
            }
            if !sid.is_empty() && !sids.insert(sid.clone()) {
                return Err(Fault::new(
                    raw.begin,
                    "Statement IDs (SID) in a single policy must be unique",
                ));
            }
        }
        let places = (raw.begin, raw.end);
        statements.push((raw.compile(kind, version)?, places));
    }
    Ok(Document {
        version,
        id: id.map(Into::into),
        statements,
    })
}

/// The document's text, and how many entries were read of it.
struct Source<'a> {
    reader: Reader<'a>,
    entries: usize,
}

impl Source<'_> {
    /// Reads an object; `member` reads each value.
    fn object(&mut self, mut member: impl FnMut(&mut Self, &str, usize) -> Result<(), Fault>) -> Result<(), Fault> {
        self.reader.begin_object()?;
        let mut names = BTreeSet::new();
        loop {
            let offset = self.reader.offset();
            let Some(name) = self.reader.next_key()? else {
                return Ok(());
            };
            if !names.insert(name.to_string()) {
                return Err(Fault::new(offset, format!("Duplicate key: {name}")));
            }
            self.entry(offset, &name)?;
            member(self, &name, offset)?;
        }
    }

    /// Counts an entry.
    fn entry(&mut self, offset: usize, text: &str) -> Result<(), Fault> {
        self.entries += 1;
        if self.entries > ENTRIES_MAX {
            return Err(Fault::new(
                offset,
                format!("The policy has more than {ENTRIES_MAX} entries"),
            ));
        }
        if text.len() > ENTRY_BYTES_MAX {
            let reason = format!("An entry of the policy has more than {ENTRY_BYTES_MAX} bytes");
            return Err(Fault::new(offset, reason));
        }
        Ok(())
    }

    fn string(&mut self) -> Result<String, Fault> {
        let offset = self.reader.offset();
        let text = self.reader.string()?.into_owned();
        self.entry(offset, &text)?;
        Ok(text)
    }

    /// A string, or a list of strings.
    fn strings(&mut self) -> Result<Vec<String>, Fault> {
        self.list(Self::string)
    }

    /// One of something, or a list of them.
    fn list<T>(&mut self, read: impl Fn(&mut Self) -> Result<T, Fault>) -> Result<Vec<T>, Fault> {
        if self.reader.peek()? != Kind::Array {
            return Ok(vec![read(self)?]);
        }
        let mut list = Vec::new();
        self.reader.begin_array()?;
        while self.reader.next_element()? {
            list.push(read(self)?);
        }
        Ok(list)
    }

    fn statements(&mut self) -> Result<Vec<Raw>, Fault> {
        let statements = self.list(Self::statement)?;
        if statements.len() > STATEMENTS_MAX {
            let reason = format!("The policy has more than {STATEMENTS_MAX} statements");
            return Err(Fault::new(self.reader.offset(), reason));
        }
        Ok(statements)
    }

    fn statement(&mut self) -> Result<Raw, Fault> {
        // White space is consumed, so that the place is that of the brace.
        self.reader.peek()?;
        let mut raw = Raw {
            begin: self.reader.offset(),
            ..Raw::default()
        };
        self.object(|reader, name, offset| {
            let both = |taken: bool| {
                let reason = format!("Syntax errors in policy: {name} beside its opposite");
                if taken { Err(Fault::new(offset, reason)) } else { Ok(()) }
            };
            match name {
                "Sid" => raw.sid = Some(reader.string()?),
                "Effect" => {
                    raw.effect = Some(match &*reader.string()? {
                        "Allow" => Effect::Allow,
                        "Deny" => Effect::Deny,
                        other => return Err(Fault::new(offset, format!("Invalid effect: {other}"))),
                    });
                }
                "Principal" | "NotPrincipal" => {
                    both(raw.principals.is_some())?;
                    raw.principals = Some(Element {
                        offset,
                        negated: name == "NotPrincipal",
                        entries: reader.principals()?,
                    });
                }
                "Action" | "NotAction" => {
                    both(raw.actions.is_some())?;
                    raw.actions = Some(Element {
                        offset,
                        negated: name == "NotAction",
                        entries: reader.strings()?,
                    });
                }
                "Resource" | "NotResource" => {
                    both(raw.resources.is_some())?;
                    raw.resources = Some(Element {
                        offset,
                        negated: name == "NotResource",
                        entries: reader.strings()?,
                    });
                }
                "Condition" => raw.conditions = reader.conditions()?,
                _ => {
                    return Err(Fault::new(
                        offset,
                        format!("Syntax errors in policy: no element {name}"),
                    ));
                }
            }
            Ok(())
        })?;
        raw.end = self.reader.offset();
        Ok(raw)
    }

    fn principals(&mut self) -> Result<Vec<(&'static str, String)>, Fault> {
        if self.reader.peek()? == Kind::String {
            return Ok(vec![("*", self.string()?)]);
        }
        let mut principals = Vec::new();
        self.object(|reader, name, offset| {
            let kind = match name {
                "AWS" => "AWS",
                "Federated" => "Federated",
                "Service" => "Service",
                "CanonicalUser" => "CanonicalUser",
                _ => return Err(Fault::new(offset, format!("Invalid principal in policy: {name}"))),
            };
            principals.extend(reader.strings()?.into_iter().map(|text| (kind, text)));
            Ok(())
        })?;
        Ok(principals)
    }

    fn conditions(&mut self) -> Result<Vec<RawCondition>, Fault> {
        let mut conditions = Vec::new();
        self.object(|reader, name, offset| {
            let Some(operator) = Operator::parse(name) else {
                return Err(Fault::new(offset, format!("Invalid Condition type : {name}")));
            };
            let mut keys = BTreeSet::new();
            reader.object(|reader, key, offset| {
                if !key.contains(':') {
                    let reason = "Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.";
                    return Err(Fault::new(offset, reason));
                }
                // Names of keys are the same whatever their case.
                if !keys.insert(key.to_ascii_lowercase()) {
                    return Err(Fault::new(offset, format!("Duplicate key: {key}")));
                }
                conditions.push(RawCondition {
                    offset,
                    operator,
                    key: key.to_owned(),
                    values: reader.list(Self::condition_value)?,
                });
                Ok(())
            })
        })?;
        Ok(conditions)
    }

    /// A string, a number, or a truth value, as text.
    fn condition_value(&mut self) -> Result<String, Fault> {
        let offset = self.reader.offset();
        let text = match self.reader.peek()? {
            Kind::Number => self.reader.number()?.to_owned(),
            Kind::Bool => self.reader.bool()?.to_string(),
            _ => return self.string(),
        };
        self.entry(offset, &text)?;
        Ok(text)
    }
}

impl Raw {
    fn compile(self, kind: PolicyKind, version: Version) -> Result<Statement, Fault> {
        let begin = self.begin;
        let variables = version == Version::V2012;
        let needs_principal = matches!(kind, PolicyKind::Resource | PolicyKind::Trust);
        let effect = self
            .effect
            .ok_or_else(|| Fault::new(begin, "Syntax errors in policy: a statement without an effect"))?;
        let principals = match self.principals {
            Some(principals) if !needs_principal => {
                return Err(Fault::new(
                    principals.offset,
                    "Policy document should not specify a principal",
                ));
            }
            None if needs_principal => return Err(Fault::new(begin, "Policy statement must contain principals")),
            Some(principals) => Some(compile_principals(principals, effect, kind)?),
            None => None,
        };
        let actions = self.actions.filter(|actions| !actions.entries.is_empty());
        let actions = actions.ok_or_else(|| Fault::new(begin, "Policy statement must contain actions"))?;
        let resources = match self.resources.filter(|resources| !resources.entries.is_empty()) {
            Some(resources) if kind == PolicyKind::Trust => {
                return Err(Fault::new(resources.offset, "Has prohibited field Resource"));
            }
            None if kind != PolicyKind::Trust => {
                return Err(Fault::new(begin, "Policy statement must contain resources"));
            }
            Some(resources) => Some(compile_resources(resources, variables)?),
            None => None,
        };
        let conditions = self.conditions.into_iter().map(|condition| {
            let compiled = condition
                .operator
                .condition(&condition.key, &condition.values, variables);
            compiled.map_err(|value| {
                let reason = format!("Invalid value for the condition on {}: {value}", condition.key);
                Fault::new(condition.offset, reason)
            })
        });
        Ok(Statement {
            sid: self.sid.map(Into::into),
            effect,
            principals,
            actions: compile_actions(actions)?,
            resources,
            conditions: conditions.collect::<Result<_, _>>()?,
            begin: Place::default(),
            end: Place::default(),
        })
    }
}

fn compile_principals(
    principals: Element<(&'static str, String)>,
    effect: Effect,
    kind: PolicyKind,
) -> Result<Principals, Fault> {
    let offset = principals.offset;
    if principals.negated && effect == Effect::Allow {
        return Err(Fault::new(offset, "Allow with NotPrincipal is not allowed"));
    }
    if principals.negated && kind == PolicyKind::Trust {
        return Err(Fault::new(offset, "Has prohibited field NotPrincipal"));
    }
    let one = |(kind, text): (&str, String)| {
        let principal = match kind {
            "AWS" => Principal::aws(&text),
            "*" => (text == "*").then_some(Principal::Anyone),
            "Federated" => Some(Principal::Federated(text.as_str().into())),
            "Service" => Some(Principal::Service(text.as_str().into())),
            _ => Some(Principal::Canonical),
        };
        principal.ok_or_else(|| Fault::new(offset, format!("Invalid principal in policy: {text}")))
    };
    let patterns = principals.entries.into_iter().map(one).collect::<Result<Box<_>, _>>()?;
    if patterns.is_empty() {
        return Err(Fault::new(offset, "Policy statement must contain principals"));
    }
    Ok(Principals {
        negated: principals.negated,
        patterns,
    })
}

fn compile_actions(actions: Element<String>) -> Result<Patterns, Fault> {
    let one = |action: &String| {
        let has_vendor = action.split_once(':').is_some_and(|(vendor, name)| {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
            !vendor.is_empty() && vendor.bytes().all(plain) && !name.is_empty()
        });
        if action != "*" && !has_vendor {
            let reason = "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.";
            return Err(Fault::new(actions.offset, reason));
        }
        Ok(Template::new(&action.to_ascii_lowercase(), Wildcards::Any, false))
    };
    Ok(Patterns {
        negated: actions.negated,
        patterns: actions.entries.iter().map(one).collect::<Result<_, _>>()?,
    })
}

fn compile_resources(resources: Element<String>, variables: bool) -> Result<Patterns, Fault> {
    let one = |resource: &String| {
        if resource != "*" && !resource.starts_with("arn:") {
            let reason = format!("Resource {resource} must be in ARN format or \"*\".");
            return Err(Fault::new(resources.offset, reason));
        }
        Ok(Template::new(resource, Wildcards::Any, variables))
    };
    Ok(Patterns {
        negated: resources.negated,
        patterns: resources.entries.iter().map(one).collect::<Result<_, _>>()?,
    })
}
