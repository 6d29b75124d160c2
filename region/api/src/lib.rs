//! DynamoDB's API: the wire shapes, their validation, the operations, the error texts.
//!
//! [`Api::call`] is the way in: a caller, a target and a body, and a reply comes back.
//!
//! The wire shapes and their constraints ([`generated`]) come from botocore's service models by
//! `generator/generate.py`. All error texts are in one catalogue, [`errors`], but for those of expressions
//! (geodynamo-expression), attribute values (geodynamo-item) and schemas (geodynamo-table), each in its own.

mod authorize;
mod call;
mod encryption;
mod ends;
pub mod errors;
pub mod generated;
mod habits;
mod named;
mod operations;
pub mod scaling;
pub mod transfer;
mod wire;

use std::{ops::Deref, pin::pin, sync::Arc, time::Instant};

use bytes::Bytes;
use geodynamo_storage::Engine;
use geodynamo_table::{Tables, kinesis::KinesisDestinations, recovery::Recovery, usage};

use authorize::Gate;
pub use call::{AnyPrincipals, Authorization, Call, Principals};
pub use errors::ApiError;
pub use generated::Operation;
pub use habits::Habits;
pub use named::tables_named;
pub use operations::ExportFilter;
use scaling::AutoScaling;
use transfer::Transfer;

/// A region's API, as callers of one account see it. Cheap to clone.
pub struct Api<E: Engine> {
    shared: Arc<Shared<E>>,
    /// The callers' account.
    account: Arc<str>,
    /// What ARNs of other accounts are to it.
    others: Others,
}

/// What ARNs of other accounts than the caller's are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Others {
    /// Nobody is asked about anything: there is one account, whatever ARNs call it.
    Ignored,
    /// The gate let the request through unasked, as it names nothing of theirs: what does after all is not there.
    Absent,
    /// Their tables' policies were asked.
    Asked,
}

/// What does not depend on who calls.
pub struct Shared<E: Engine> {
    tables: Arc<Tables<E>>,
    endpoint: String,
    habits: Habits,
    unbuilt: Arc<habits::Unbuilt>,
    authorization: Authorization,
    recovery: Option<Arc<dyn Recovery>>,
    transfer: Option<Arc<dyn Transfer>>,
    kinesis: Option<Arc<dyn KinesisDestinations>>,
    scaling: Option<Arc<dyn AutoScaling>>,
    principals: Arc<dyn Principals>,
    policies: Arc<authorize::PolicyCache>,
}

impl<E: Engine> Clone for Api<E> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            account: Arc::clone(&self.account),
            others: self.others,
        }
    }
}

impl<E: Engine> Clone for Shared<E> {
    fn clone(&self) -> Self {
        Self {
            tables: Arc::clone(&self.tables),
            endpoint: self.endpoint.clone(),
            habits: self.habits,
            unbuilt: Arc::clone(&self.unbuilt),
            authorization: self.authorization,
            recovery: self.recovery.clone(),
            transfer: self.transfer.clone(),
            kinesis: self.kinesis.clone(),
            scaling: self.scaling.clone(),
            principals: Arc::clone(&self.principals),
            policies: Arc::clone(&self.policies),
        }
    }
}

impl<E: Engine> Deref for Api<E> {
    type Target = Shared<E>;

    fn deref(&self) -> &Shared<E> {
        &self.shared
    }
}

/// What is sent back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// The JSON document; empty for the operations that have no output.
    pub body: Bytes,
    /// The error's name without its namespace, such as `ValidationException`.
    pub error: Option<Box<str>>,
    /// The operation; `None` if the target names none.
    pub operation: Option<Operation>,
    /// What went wrong inside, if something did: for the log, not for the client.
    pub fault: Option<Box<str>>,
    /// What would have been refused, had [`Authorization::Enforce`] been the mode: for the log.
    pub denied: Option<Box<str>>,
}

impl<E: Engine> Api<E> {
    /// An API of these tables. `endpoint` is what DescribeEndpoints tells: `host:port` of this region's data port.
    pub fn new(tables: Arc<Tables<E>>, endpoint: impl Into<String>) -> Self {
        let policies = Arc::new(authorize::PolicyCache::new(tables.region()));
        let account = tables.account().into();
        let shared = Shared {
            tables,
            endpoint: endpoint.into(),
            habits: Habits::default(),
            unbuilt: Arc::default(),
            authorization: Authorization::Off,
            recovery: None,
            transfer: None,
            kinesis: None,
            scaling: None,
            principals: Arc::new(AnyPrincipals),
            policies,
        };
        Self {
            shared: Arc::new(shared),
            account,
            others: Others::Ignored,
        }
    }

    /// The same, with something else in it.
    fn with(self, change: impl FnOnce(&mut Shared<E>)) -> Self {
        let mut shared = Arc::unwrap_or_clone(self.shared);
        change(&mut shared);
        Self {
            shared: Arc::new(shared),
            account: self.account,
            others: self.others,
        }
    }

    /// The same with other habits than DynamoDB's.
    #[must_use]
    pub fn with_habits(self, habits: Habits) -> Self {
        self.with(|shared| shared.habits = habits)
    }

    /// The same API, which asks policies as `authorization` says. A new one does not ask.
    #[must_use]
    pub fn with_authorization(self, authorization: Authorization) -> Self {
        let others = match authorization {
            Authorization::Off => Others::Ignored,
            Authorization::Enforce | Authorization::Warn => Others::Absent,
        };
        let api = self.with(|shared| shared.authorization = authorization);
        Self { others, ..api }
    }

    /// The same, with backups.
    #[must_use]
    pub fn with_recovery(self, recovery: Option<Arc<dyn Recovery>>) -> Self {
        self.with(|shared| shared.recovery = recovery)
    }

    /// The same, with exports and imports.
    #[must_use]
    pub fn with_transfer(self, transfer: Option<Arc<dyn Transfer>>) -> Self {
        self.with(|shared| shared.transfer = transfer)
    }

    /// The same, with Kinesis streaming destinations.
    #[must_use]
    pub fn with_kinesis(self, kinesis: Option<Arc<dyn KinesisDestinations>>) -> Self {
        self.with(|shared| shared.kinesis = kinesis)
    }

    /// The same, with auto scaling.
    #[must_use]
    pub fn with_scaling(self, scaling: Option<Arc<dyn AutoScaling>>) -> Self {
        self.with(|shared| shared.scaling = scaling)
    }

    /// The same API, which refuses policies that name principals that `principals` does not know. A new one knows all.
    #[must_use]
    pub fn with_principals(self, principals: Arc<dyn Principals>) -> Self {
        self.with(|shared| shared.principals = principals)
    }

    /// Whether policies are asked.
    pub fn authorization(&self) -> Authorization {
        self.authorization
    }

    /// The tables.
    pub fn tables(&self) -> &Arc<Tables<E>> {
        &self.tables
    }

    /// Answers a request: who calls and how, its `X-Amz-Target` header and its body. Never panics, whatever they are.
    pub async fn call(&self, call: Call<'_>, target: &str, body: &[u8]) -> Reply {
        let Some(operation) = Operation::from_target(target) else {
            return Reply::of(None, Err(ApiError::unknown_operation()));
        };
        let api = self.of(&call, body);
        let gate = Gate::new(&api, call, operation);
        let started = Instant::now();
        let answer = {
            // Pinned where it is: it is large, and would be moved from scope to scope.
            let answering = pin!(operations::run(&api, &gate, operation, body));
            match ends::on_items(operation) {
                None => answering.await,
                Some(operation) => {
                    let end = |answer: &_| ends::end_of(answer, started.elapsed().as_secs_f64());
                    usage::counting(self.tables.local(), operation, answering, end).await
                }
            }
        };
        Reply {
            denied: gate.into_denied(),
            ..Reply::of(Some(operation), answer)
        }
    }

    /// As a call's caller sees it.
    fn of(&self, call: &Call<'_>, body: &[u8]) -> Self {
        let own = *call.caller.account == *self.tables.account();
        let passes = own && call.caller.is_root() && !names_an_arn(body);
        let asks = self.authorization != Authorization::Off && !passes;
        Self {
            shared: Arc::clone(&self.shared),
            account: Arc::clone(&call.caller.account),
            others: if asks { Others::Asked } else { self.others },
        }
    }
}

/// Whether a body may hold an ARN, written as it is or with escapes: of those only `\u` stands for letters.
fn names_an_arn(body: &[u8]) -> bool {
    let holds = |text: &[u8]| memchr::memmem::find(body, text).is_some();
    holds(b"arn:") || holds(b"\\u")
}

impl Reply {
    fn of(operation: Option<Operation>, answer: Result<Vec<u8>, ApiError>) -> Self {
        match answer {
            Ok(body) => Self {
                status: 200,
                body: body.into(),
                error: None,
                operation,
                fault: None,
                denied: None,
            },
            Err(error) => Self {
                operation,
                ..Self::from(&error)
            },
        }
    }
}

impl From<&ApiError> for Reply {
    fn from(error: &ApiError) -> Self {
        Self {
            status: error.status(),
            body: error.body().into(),
            error: Some(error.name().into()),
            operation: None,
            fault: error.fault().map(Into::into),
            denied: None,
        }
    }
}
