//! What goes over the wire, as data, and how a call's parameters are read and held against it.

use std::sync::OnceLock;

use jiff::Timestamp;
use percent_encoding::percent_decode_str;
use regex_lite::Regex;
use serde_json::{Map, Value};

use crate::{
    error::{BackupError, Result},
    generated::OPERATIONS,
};

/// A call's parameters, by the members' names.
pub(crate) type Input = Map<String, Value>;

/// The longest text that an error repeats, in characters.
const SHOWN_MAX: usize = 256;
/// The longest text of a member, in bytes.
const TEXT_BYTES_MAX: usize = 2048;
/// The most members of a list or a map.
const MEMBERS_MAX: usize = 1000;

/// An operation.
#[derive(Debug)]
pub(crate) struct Operation {
    pub(crate) name: &'static str,
    pub(crate) method: &'static str,
    /// With parameters in braces, each a segment of its own.
    pub(crate) path: &'static str,
    /// Whether it answers with a document.
    pub(crate) answers: bool,
    pub(crate) input: &'static [Member],
}

/// A member of a structure.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) name: &'static str,
    pub(crate) place: Place,
    pub(crate) required: bool,
    pub(crate) shape: &'static Shape,
}

/// Where a member is.
#[derive(Debug)]
pub(crate) enum Place {
    Body,
    /// In the path, by this name.
    Path(&'static str),
    /// In the query, by this name.
    Query(&'static str),
}

/// The form of a value.
#[derive(Debug)]
pub(crate) enum Shape {
    Structure(&'static [Member]),
    List(&'static Shape),
    Map(&'static Shape, &'static Shape),
    Text {
        pattern: Option<&'static Pattern>,
        /// The values that it may have; any, if there is none.
        values: &'static [&'static str],
    },
    Integer {
        least: i64,
        most: i64,
    },
    Boolean,
    /// Seconds since 1970 in documents, ISO 8601 in queries. It is read as the former.
    Timestamp,
}

/// What the whole of a text must match.
#[derive(Debug)]
pub(crate) struct Pattern {
    told: &'static str,
    compiled: OnceLock<Option<Regex>>,
}

impl Pattern {
    pub(crate) const fn new(told: &'static str) -> Self {
        Self {
            told,
            compiled: OnceLock::new(),
        }
    }

    fn matches(&self, text: &str) -> bool {
        let compiled = self.compiled.get_or_init(|| Regex::new(self.told).ok());
        // That each compiles is tested; one that did not would let nothing through.
        compiled.as_ref().is_some_and(|regex| regex.is_match(text))
    }
}

/// Which operation a method and a path name, and the parameters in the path, decoded.
pub(crate) fn operation(method: &str, path: &str) -> Option<(usize, Vec<(&'static str, String)>)> {
    let given: Vec<&str> = path.strip_suffix('/').unwrap_or(path).split('/').collect();
    OPERATIONS.iter().enumerate().find_map(|(place, operation)| {
        let wanted: Vec<&'static str> = operation.path.split('/').collect();
        if operation.method != method || wanted.len() != given.len() {
            return None;
        }
        let mut parameters = Vec::new();
        for (wanted, given) in wanted.into_iter().zip(&given) {
            match wanted.strip_prefix('{').and_then(|name| name.strip_suffix('}')) {
                Some(_) if given.is_empty() => return None,
                Some(name) => parameters.push((name, percent_decode_str(given).decode_utf8_lossy().into_owned())),
                None if wanted != *given => return None,
                None => {}
            }
        }
        Some((place, parameters))
    })
}

/// A call's checked parameters.
pub(crate) fn input(
    operation: &Operation,
    parameters: Vec<(&'static str, String)>,
    query: &str,
    body: &[u8],
) -> Result<Input> {
    let mut given = match body {
        [] => Input::new(),
        body => match serde_json::from_slice(body) {
            Ok(Value::Object(members)) => members,
            _ => return Err(unreadable("The request body is not a JSON object")),
        },
    };
    let mut read = Input::new();
    for member in operation.input {
        let value = match member.place {
            Place::Path(name) => {
                let found = parameters.iter().find(|(known, _)| *known == name);
                found.map(|(_, value)| Value::from(value.as_str()))
            }
            Place::Body => given.remove(member.name),
            Place::Query(name) => of_query(member.shape, name, query)?,
        };
        if let Some(value) = checked(member, value, "")? {
            read.insert(member.name.to_owned(), value);
        }
    }
    // What nobody knows is passed over, as services of AWS do.
    Ok(read)
}

fn unreadable(message: &str) -> BackupError {
    BackupError::new("SerializationException", message)
}

fn of_query(shape: &Shape, name: &str, query: &str) -> Result<Option<Value>> {
    let mut pairs = form_urlencoded::parse(query.as_bytes());
    let Some((_, text)) = pairs.find(|(key, _)| key == name) else {
        return Ok(None);
    };
    let wrong = || BackupError::invalid(format!("Invalid value for parameter {name}: {}", shown(&text)));
    Ok(Some(match shape {
        Shape::Integer { .. } => text.parse::<i64>().map_err(|_| wrong())?.into(),
        Shape::Boolean => match &*text {
            "true" => true.into(),
            "false" => false.into(),
            _ => return Err(wrong()),
        },
        Shape::Timestamp => {
            let read: Timestamp = text.parse().map_err(|_| wrong())?;
            (read.as_millisecond() as f64 / 1000.0).into()
        }
        _ => text.into_owned().into(),
    }))
}

/// A member's value, if there is one.
fn checked(member: &Member, value: Option<Value>, within: &str) -> Result<Option<Value>> {
    let path = format!("{within}{}", member.name);
    match value {
        None | Some(Value::Null) if member.required => Err(BackupError::missing(&path)),
        None | Some(Value::Null) => Ok(None),
        Some(value) => {
            check(member.shape, &value, &path)?;
            Ok(Some(value))
        }
    }
}

fn check(shape: &Shape, value: &Value, path: &str) -> Result<()> {
    match (shape, value) {
        (Shape::Structure(members), Value::Object(given)) => members.iter().try_for_each(|member| {
            let value = given.get(member.name).cloned();
            checked(member, value, &format!("{path}.")).map(drop)
        }),
        (Shape::List(member), Value::Array(values)) => {
            few(values.len(), path)?;
            values.iter().try_for_each(|value| check(member, value, path))
        }
        (Shape::Map(key, member), Value::Object(entries)) => {
            few(entries.len(), path)?;
            entries.iter().try_for_each(|(name, value)| {
                check(key, &Value::from(name.as_str()), path)?;
                check(member, value, path)
            })
        }
        (Shape::Text { pattern, values }, Value::String(text)) => {
            let fits = text.len() <= TEXT_BYTES_MAX
                && pattern.is_none_or(|pattern| pattern.matches(text))
                && (values.is_empty() || values.contains(&text.as_str()));
            if fits { Ok(()) } else { Err(invalid(path, &shown(text))) }
        }
        (Shape::Integer { least, most }, Value::Number(number)) => match number.as_i64() {
            Some(number) if (*least..=*most).contains(&number) => Ok(()),
            _ => Err(invalid(path, &number.to_string())),
        },
        (Shape::Boolean, Value::Bool(_)) | (Shape::Timestamp, Value::Number(_)) => Ok(()),
        _ => Err(unreadable(&format!("The value of {path} is of another type"))),
    }
}

fn few(count: usize, path: &str) -> Result<()> {
    if count > MEMBERS_MAX {
        return Err(BackupError::invalid(format!(
            "{path} has more than {MEMBERS_MAX} members"
        )));
    }
    Ok(())
}

fn invalid(path: &str, value: &str) -> BackupError {
    BackupError::invalid(format!("Invalid value for parameter {path}: {value}"))
}

/// What a client sent, cut to what an error may show.
fn shown(text: &str) -> String {
    text.chars().take(SHOWN_MAX).collect()
}

/// A member that is a text.
pub(crate) fn text<'a>(input: &'a Input, name: &str) -> Option<&'a str> {
    input.get(name).and_then(Value::as_str)
}

/// A member that is a text and is always there, because the model requires it.
pub(crate) fn required<'a>(input: &'a Input, name: &str) -> Result<&'a str> {
    text(input, name).ok_or_else(|| BackupError::missing(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str, parameters: &[(&'static str, &str)], query: &str, body: &str) -> Result<Value> {
        let operation = OPERATIONS.iter().find(|operation| operation.name == name).unwrap();
        let parameters = parameters.iter().map(|(name, value)| (*name, (*value).to_owned()));
        input(operation, parameters.collect(), query, body.as_bytes()).map(Value::Object)
    }

    #[test]
    fn paths() {
        let named = |method: &str, path: &str| {
            let (place, parameters) = operation(method, path)?;
            let values: Vec<String> = parameters.into_iter().map(|(_, value)| value).collect();
            Some((OPERATIONS[place].name, values.join(" ")))
        };
        for (method, path, expect) in [
            ("PUT", "/backup-vaults/v", Some(("CreateBackupVault", "v"))),
            ("GET", "/backup-vaults/", Some(("ListBackupVaults", ""))),
            ("GET", "/backup-vaults", Some(("ListBackupVaults", ""))),
            (
                "PUT",
                "/backup-vaults/v/vault-lock",
                Some(("PutBackupVaultLockConfiguration", "v")),
            ),
            (
                "GET",
                "/backup-vaults/v/recovery-points/arn%3Aaws%3At%2Fb",
                Some(("DescribeRecoveryPoint", "v arn:aws:t/b")),
            ),
            ("PUT", "/backup-jobs", Some(("StartBackupJob", ""))),
            (
                "GET",
                "/backup/plans/p/selections/s",
                Some(("GetBackupSelection", "p s")),
            ),
            (
                "PUT",
                "/backup/plans/p/selections/",
                Some(("CreateBackupSelection", "p")),
            ),
            (
                "GET",
                "/supported-resource-types",
                Some(("GetSupportedResourceTypes", "")),
            ),
            ("PATCH", "/backup-jobs", None),
            ("GET", "/backup-vaults//recovery-points", None),
            ("GET", "/nothing", None),
        ] {
            let expect = expect.map(|(name, values)| (name, values.to_owned()));
            assert_eq!(named(method, path), expect, "{method} {path}");
        }
    }

    #[test]
    fn parameters_are_checked() {
        let start = |body: &str| read("StartBackupJob", &[], "", body);
        let code = |body: &str| start(body).unwrap_err().code;
        let whole =
            r#"{"BackupVaultName": "vv", "ResourceArn": "a", "IamRoleArn": "r", "StartWindowMinutes": 60, "X": 1}"#;
        assert!(start(whole).is_ok());
        assert_eq!(code("{}"), "MissingParameterValueException");
        assert_eq!(
            code(r#"{"BackupVaultName": "v!", "ResourceArn": "a", "IamRoleArn": "r"}"#),
            "InvalidParameterValueException"
        );
        assert_eq!(
            code(r#"{"BackupVaultName": 1, "ResourceArn": "a", "IamRoleArn": "r"}"#),
            "SerializationException"
        );
        assert_eq!(code("["), "SerializationException");
        let list = read(
            "ListBackupJobs",
            &[],
            "maxResults=7&createdAfter=2026-11-30T00%3A00%3A00Z&state=RUNNING",
            "",
        )
        .unwrap();
        assert_eq!(
            list,
            serde_json::json!({"MaxResults": 7, "ByCreatedAfter": 1_795_996_800.0, "ByState": "RUNNING"})
        );
        for bad in ["maxResults=0", "maxResults=x", "state=NO", "createdAfter=yesterday"] {
            assert_eq!(
                read("ListBackupJobs", &[], bad, "").unwrap_err().code,
                "InvalidParameterValueException",
                "{bad}"
            );
        }
    }

    #[test]
    fn patterns_compile() {
        let vault = |name: &str| {
            read(
                "DeleteBackupVaultLockConfiguration",
                &[("backupVaultName", name)],
                "",
                "",
            )
            .is_ok()
        };
        assert!(vault("a-vault_1"));
        assert!(!vault("v") && !vault("a vault") && !vault(&"v".repeat(51)));
    }
}
