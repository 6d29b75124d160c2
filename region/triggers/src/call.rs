//! From a call to its answer.

use std::sync::LazyLock;

use geodynamo_policy::{Caller, Environment};
use geodynamo_storage::Engine;
use serde_json::{Map, Value};

use crate::{
    Triggers,
    generated::OPERATIONS,
    operations,
    wire::{
        error::LambdaError,
        read::{self, operation},
    },
};

/// What the paths of the API begin with.
const PATHS: [&str; 2] = ["/2015-03-31/", "/2017-03-31/"];

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

/// A call.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// `POST`
    pub method: &'a str,
    /// As it came, encoded.
    pub path: &'a str,
    /// As it came, without the question mark.
    pub query: &'a str,
    /// Its document.
    pub body: &'a [u8],
    /// Whose it is.
    pub caller: &'a Caller,
    /// What conditions may ask about it.
    pub environment: Environment<'a>,
    /// Whether policies are asked.
    pub authorization: Authorization,
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// The JSON document.
    pub body: String,
    /// Which of [`operation_names`] it was, if it was one.
    pub operation: Option<usize>,
    /// Its name.
    pub name: Option<&'static str>,
    /// The error, if it is one.
    pub error: Option<LambdaError>,
    /// What would have been refused, had [`Authorization::Enforce`] been the mode: for the log.
    pub denied: Option<String>,
    /// The ARN that it was about: for the audit trail.
    pub resource: Option<String>,
    /// What was asked for: for the audit trail.
    pub parameters: Value,
}

/// Names of the operations as metrics have them. DynamoDB has operations on tags with the same names.
static NAMES: LazyLock<Vec<&'static str>> = LazyLock::new(|| {
    let name = |name: &'static str| match name {
        "ListTags" => "LambdaListTags",
        "TagResource" => "LambdaTagResource",
        "UntagResource" => "LambdaUntagResource",
        name => name,
    };
    OPERATIONS.iter().map(|operation| name(operation.name)).collect()
});

/// The names of the operations that are offered.
pub fn operation_names() -> &'static [&'static str] {
    &NAMES
}

/// Whether a path is one of the API's.
pub fn is_path(path: &str) -> bool {
    PATHS.iter().any(|prefix| path.starts_with(prefix))
}

impl Reply {
    /// An answer that nothing else is known of.
    pub fn refusal(error: LambdaError) -> Self {
        Self {
            status: error.status(),
            body: error.document(),
            operation: None,
            name: None,
            error: Some(error),
            denied: None,
            resource: None,
            parameters: Value::Null,
        }
    }
}

impl<E: Engine> Triggers<E> {
    /// Answers a call. Never panics, whatever it is.
    pub async fn call(self: &std::sync::Arc<Self>, call: Call<'_>) -> Reply {
        let Some((place, parameter)) = operation(call.method, call.path) else {
            let message = "Unable to determine service/operation name to be authorized";
            return Reply::refusal(LambdaError::new("UnknownOperationException", message));
        };
        // It came from there.
        let Some(operation) = OPERATIONS.get(place) else {
            return Reply::refusal(LambdaError::internal("no such operation"));
        };
        let known = |mut reply: Reply| {
            reply.operation = Some(place);
            reply.name = Some(operation.name);
            reply
        };
        let input = match read::input(operation, parameter.as_deref(), call.query, call.body) {
            Ok(input) => input,
            Err(error) => return known(Reply::refusal(error)),
        };
        let parameters = Value::Object(input.clone());
        let told = |mut reply: Reply, denied: Option<String>, resource: Option<String>| {
            reply.denied = denied;
            reply.resource = resource;
            reply.parameters = parameters;
            known(reply)
        };
        let (denied, resource) = match self.authorize(&call, operation.name, &input) {
            Ok(passed) => passed,
            Err(error) => return told(Reply::refusal(error), None, None),
        };
        let reply = match operations::answer(self, &call.caller.account, operation.name, &input).await {
            Ok(output) => Reply {
                status: operation.status,
                body: output.map_or_else(String::new, document),
                operation: None,
                name: None,
                error: None,
                denied: None,
                resource: None,
                parameters: Value::Null,
            },
            Err(error) => Reply::refusal(error),
        };
        told(reply, denied, Some(resource))
    }
}

fn document(output: Map<String, Value>) -> String {
    Value::Object(output).to_string()
}
