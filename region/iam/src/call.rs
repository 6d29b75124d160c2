//! From a call's form to its answer.

use std::sync::Arc;

use geodynamo_policy::{Caller, Environment};
use parking_lot::Mutex;

use crate::{
    Core, Iam, Store,
    generated::{IAM, STS},
    operations,
    query::{
        error::{IamError, Result},
        form::{Form, quoted},
        read,
        shape::{NAMES, Operation, Service},
        value::{Structure, Value},
        xml,
    },
    resolve::Snapshot,
    store::Change,
    sts,
};

/// A service that answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ServiceName {
    /// `iam`
    Iam,
    /// `sts`
    Sts,
}

impl ServiceName {
    /// As credential scopes name it.
    pub const fn scope(self) -> &'static str {
        match self {
            Self::Iam => "iam",
            Self::Sts => "sts",
        }
    }

    /// The service whose API has this version.
    pub fn of_version(version: &str) -> Option<Self> {
        [Self::Iam, Self::Sts]
            .into_iter()
            .find(|service| service.service().version == version)
    }

    fn service(self) -> &'static Service {
        match self {
            Self::Iam => &IAM,
            Self::Sts => &STS,
        }
    }

    /// A refusal of what came before the call was looked into, such as a wrong signature: its status and its document.
    pub fn refusal(self, code: &'static str, message: &str, request_id: &str) -> (u16, String) {
        let error = IamError::new(code, message);
        let service = self.service();
        (error.status(service), xml::refusal(service, &error, request_id))
    }
}

/// Whether policies are asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Authorization {
    /// Whoever calls may do everything.
    Off,
    /// Callers may do what their policies allow.
    #[default]
    Enforce,
    /// As [`Enforce`](Self::Enforce), but what would be refused is let through, and told in [`Reply::denied`].
    Warn,
}

/// A call: who makes it, and what is known of it.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// The service that it is scoped to.
    pub service: ServiceName,
    /// Whose it is; nobody's, of calls that need no signature.
    pub caller: &'a Arc<Caller>,
    /// The access key that signed it.
    pub access_key_id: &'a str,
    /// What conditions may ask about it.
    pub environment: Environment<'a>,
    /// The region's clock, in seconds since 1970.
    pub now_unix_s: i64,
    /// The id that the answer tells.
    pub request_id: &'a str,
    /// Whether policies are asked.
    pub authorization: Authorization,
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// The XML document.
    pub body: String,
    /// The operation, if it is one.
    pub operation: Option<&'static str>,
    /// The error's code, if it is one.
    pub error: Option<IamError>,
    /// What would have been refused, had [`Authorization::Enforce`] been the mode: for the log.
    pub denied: Vec<String>,
    /// The ARNs that it was about: for the audit trail.
    pub resources: Vec<String>,
    /// What was asked for, without secrets: for the audit trail.
    pub parameters: serde_json::Value,
    /// What was answered, without secrets: for the audit trail, of operations that change something.
    pub elements: serde_json::Value,
}

/// The names of the operations that are offered, of both services.
pub fn operation_names() -> &'static [&'static str] {
    &NAMES
}

/// A call as operations see it.
pub(crate) struct Context<'a> {
    pub(crate) core: &'a Core,
    pub(crate) snapshot: Arc<Snapshot>,
    /// The account that the call is about: its caller's, or that of the role to assume.
    pub(crate) account: Arc<str>,
    pub(crate) call: &'a Call<'a>,
    /// `iam:CreateUser`
    pub(crate) action: String,
    pub(crate) operation: &'static str,
    pub(crate) input: &'a Structure,
    pub(crate) told: &'a Mutex<Told>,
}

/// What is noted on the way.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) denied: Vec<String>,
    pub(crate) resources: Vec<String>,
}

/// Rows to be changed in one commit.
pub(crate) type Changes = Vec<Change>;

impl<S: Store> Iam<S> {
    /// Answers a call. Never panics, whatever its body is.
    ///
    /// Its future must run to its end: dropped after its commit was handed over, the change would be in the store and not in
    /// memory.
    pub async fn call(&self, call: Call<'_>, body: &[u8]) -> Reply {
        let service = call.service.service();
        let told = Mutex::new(Told::default());
        let (mut operation, mut given) = (None, None);
        let result = match find(service, body) {
            Ok((found, form)) => {
                operation = Some(found);
                match read::input(found, &form) {
                    Ok(input) => {
                        let input = given.insert(input);
                        self.answer(&call, found, input, &told).await
                    }
                    Err(error) => Err(error),
                }
            }
            Err(error) => Err(error),
        };
        let told = told.into_inner();
        let mut reply = Reply {
            status: 200,
            body: String::new(),
            operation: operation.map(|operation| operation.name),
            error: None,
            denied: told.denied,
            resources: told.resources,
            parameters: given.as_ref().map_or(serde_json::Value::Null, json),
            elements: serde_json::Value::Null,
        };
        match (result, operation) {
            (Ok(output), Some(operation)) => {
                reply.body = xml::answer(service, operation, &output, call.request_id);
                if !is_reading(operation.name) {
                    reply.elements = json(&output);
                }
            }
            (Ok(_), None) => {}
            (Err(error), _) => {
                reply.status = error.status(service);
                reply.body = xml::refusal(service, &error, call.request_id);
                reply.error = Some(error);
            }
        }
        reply
    }

    async fn answer(
        &self,
        call: &Call<'_>,
        operation: &'static Operation,
        input: &Structure,
        told: &Mutex<Told>,
    ) -> Result<Structure> {
        let context = |snapshot| Context {
            core: &self.core,
            snapshot,
            account: sts::account(call, operation, input),
            call,
            action: format!("{}:{}", call.service.scope(), operation.name),
            operation: operation.name,
            input,
            told,
        };
        if call.service == ServiceName::Sts {
            return sts::answer(&context(self.core.snapshot.load_full())).await;
        }
        if is_reading(operation.name) {
            return operations::answer(&context(self.core.snapshot.load_full()), &mut Changes::new());
        }
        let _writing = self.writing.lock().await;
        // Whoever's account was deleted while the call waited leaves no row.
        if !self.core.snapshot.load().accounts.has(&call.caller.account) {
            return Err(IamError::new(
                "InvalidClientTokenId",
                "The security token included in the request is invalid.",
            ));
        }
        let mut changes = Changes::new();
        let output = operations::answer(&context(self.core.snapshot.load_full()), &mut changes)?;
        if !changes.is_empty() {
            self.commit(self.stored(&call.caller.account, changes))
                .await
                .map_err(IamError::internal)?;
        }
        Ok(output)
    }

    /// Changes of an account's rows, as they are stored.
    fn stored(&self, account: &str, changes: Changes) -> Changes {
        let snapshot = self.core.snapshot.load();
        let stored = changes
            .into_iter()
            .map(|(key, value)| (snapshot.accounts.key(account, &key), value));
        stored.collect()
    }
}

fn find(service: &'static Service, body: &[u8]) -> Result<(&'static Operation, Form)> {
    let form = Form::read(body)?;
    let action = form.get("Action").unwrap_or_default();
    if action.is_empty() {
        return Err(IamError::new("MissingAction", "The request does not name an action"));
    }
    let version = form.get("Version").unwrap_or(service.version);
    if version == service.version {
        if let Some(operation) = service.operation(action) {
            return Ok((operation, form));
        }
        if service.others.contains(&action) {
            let message = format!("geodynamo does not offer the action {}:{action}", service.name);
            return Err(IamError::new("InvalidAction", message));
        }
    }
    let message = format!(
        "Could not find operation {} for version {}",
        quoted(action),
        quoted(version)
    );
    Err(IamError::new("InvalidAction", message))
}

/// Whether an operation changes nothing.
pub fn is_reading(operation: &str) -> bool {
    ["Get", "List", "Simulate"]
        .iter()
        .any(|verb| operation.starts_with(verb))
}

/// A value for the audit trail: names as CloudTrail has them, without secrets.
fn json(structure: &Structure) -> serde_json::Value {
    const SECRETS: [&str; 3] = ["SecretAccessKey", "SessionToken", "WebIdentityToken"];
    let mut members = serde_json::Map::new();
    for (name, value) in &structure.0 {
        let mut key = name[..1].to_ascii_lowercase();
        key.push_str(&name[1..]);
        let value = if SECRETS.contains(name) {
            "HIDDEN_DUE_TO_SECURITY_REASONS".into()
        } else {
            json_value(value)
        };
        members.insert(key, value);
    }
    members.into()
}

fn json_value(value: &Value) -> serde_json::Value {
    match value {
        Value::Text(text) => text.as_str().into(),
        Value::Integer(number) => (*number).into(),
        Value::Boolean(is) => (*is).into(),
        Value::Time(unix_s) => geodynamo_access::format_iso8601(*unix_s).into(),
        Value::List(members) => members.iter().map(json_value).collect(),
        Value::Structure(structure) => json(structure),
        Value::Map(entries) => entries
            .iter()
            .map(|(key, value)| (key.clone(), json_value(value)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
    }
}
