//! Who may call what: the actions, resources and condition keys that each operation's request asks for.
//!
//! A request is parsed, then authorized, then run, all through [`Gate`]: operations get their input from it alone, and only
//! input that says what it needs ([`Authorize`]). Whether a table exists is told only after the request was allowed on the ARN
//! that the table has or would have. Which actions, resources and keys there are is the Service Authorization Reference's:
//! <https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazondynamodb.html>, a copy of which is in
//! `region/reference`: the tests hold every operation against it.

mod facts;
mod items;
mod others;
mod policies;
mod reads;
mod statements;
mod tables;
#[cfg(test)]
mod tests;

use std::sync::{Arc, OnceLock};

use geodynamo_policy::{Environment, Policy, Request as Question, evaluate};
use geodynamo_storage::Engine;
use geodynamo_table::{StreamName, Table};

pub(crate) use facts::Facts;
pub(crate) use policies::PolicyCache;

use crate::{
    Api, Authorization, Call, Operation, Others,
    errors::ApiError,
    wire::{self, Request, Structure},
};

/// A request that says what its caller must be allowed.
pub(crate) trait Authorize {
    /// Asks the gate for each action that the request takes.
    ///
    /// # Errors
    /// AccessDeniedException for the first that is not allowed; what is wrong with the request itself.
    fn authorize<E: Engine>(&self, gate: &Gate<'_, E>) -> Result<(), ApiError>;
}

/// Where a request's caller is asked for what it may do.
pub(crate) struct Gate<'a, E: Engine> {
    api: &'a Api<E>,
    call: Call<'a>,
    operation: Operation,
    /// Whether nothing needs to be asked: policies are off, or the caller is root of the cluster's
    /// own account and names nothing by an ARN.
    open: bool,
    /// What would have been refused first.
    denied: OnceLock<Box<str>>,
    /// What was asked for: action, resource, and the keys that were there.
    #[cfg(test)]
    asked: std::sync::Mutex<Vec<(&'static str, String, Vec<&'static str>)>>,
}

/// A resource that something is to be done with.
pub(crate) struct Target {
    /// Its ARN, or `*`.
    arn: String,
    /// The account that owns it.
    account: String,
    /// The region that it is in, if not this one.
    region: Option<String>,
    /// The table, if there is one.
    table: Option<Arc<Table>>,
    /// The resource's policy.
    policy: Option<Arc<Policy>>,
}

impl Target {
    /// An index of the table.
    fn index(mut self, name: Option<&str>) -> Self {
        if let Some(name) = name {
            self.arn.push_str("/index/");
            self.arn.push_str(name);
        }
        self
    }
}

impl<'a, E: Engine> Gate<'a, E> {
    pub(crate) fn new(api: &'a Api<E>, call: Call<'a>, operation: Operation) -> Self {
        Self {
            api,
            call,
            operation,
            open: api.others != Others::Asked,
            denied: OnceLock::new(),
            #[cfg(test)]
            asked: std::sync::Mutex::default(),
        }
    }

    /// Decodes, checks and authorizes a request; see [`wire::checked`].
    pub(crate) fn checked<T: Structure + Authorize>(&self, body: &[u8]) -> Result<T, ApiError> {
        self.authorized(wire::checked(body)?)
    }

    /// Decodes, checks and authorizes a request; see [`wire::prepared`].
    pub(crate) fn prepared<T: Request + Authorize>(&self, body: &[u8]) -> Result<T, ApiError> {
        self.authorized(wire::prepared(body)?)
    }

    fn authorized<T: Authorize>(&self, input: T) -> Result<T, ApiError> {
        if !self.open {
            input.authorize(self)?;
        }
        Ok(input)
    }

    /// Whether nothing needs to be asked.
    pub(crate) fn is_open(&self) -> bool {
        self.open
    }

    /// What would have been refused, had it not been let through.
    pub(crate) fn into_denied(self) -> Option<Box<str>> {
        self.denied.into_inner()
    }

    /// The table that a `TableName` or an ARN names.
    pub(crate) fn table(&self, name: &str) -> Result<Target, ApiError> {
        let tables = &self.api.tables;
        let stored = self.api.table_of(name)?;
        let found = tables.table_named(&stored).ok();
        Ok(Target {
            arn: tables.local().table_arn(&stored),
            account: tables.local().owner(&stored).to_owned(),
            region: None,
            policy: found.as_ref().and_then(|table| self.api.policies.of_table(table)),
            table: found,
        })
    }

    /// A table that is to be made, or whose replica in another region is meant.
    pub(crate) fn table_in(&self, region: &str, name: &str) -> Result<Target, ApiError> {
        let tables = &self.api.tables;
        if region == tables.region() {
            return self.table(name);
        }
        let stored = self.api.table_of(name)?;
        Ok(Target {
            arn: tables.local().table_arn_in(region, &stored),
            account: tables.local().owner(&stored).to_owned(),
            region: Some(region.to_owned()),
            ..self.anything()
        })
    }

    /// The stream that an ARN names.
    pub(crate) fn stream_of_arn(&self, arn: &str) -> Result<StreamName, ApiError> {
        self.api.stream_of_arn(arn)
    }

    /// A stream. Its ARN is the one that it has, however the request wrote it: the operations take any region for their own.
    pub(crate) fn stream(&self, name: &StreamName) -> Target {
        let tables = &self.api.tables;
        let stored = tables.catalog().stream_policy(name);
        Target {
            arn: format!("{}/stream/{}", tables.local().table_arn(&name.table), name.label()),
            account: tables.local().owner(&name.table).to_owned(),
            region: None,
            table: None,
            policy: stored.and_then(|stored| self.api.policies.of_stream(name, &stored)),
        }
    }

    /// What has no resource: `*`, in the caller's account.
    pub(crate) fn anything(&self) -> Target {
        Target {
            arn: "*".into(),
            account: self.api.account.to_string(),
            region: None,
            table: None,
            policy: None,
        }
    }

    /// A backup, an export, an import or another thing that its ARN names. The operation sees to it that it is of this region.
    pub(crate) fn named(&self, arn: &str) -> Target {
        let anything = self.anything();
        let account = Some(account_of(arn)).filter(|account| !account.is_empty());
        Target {
            arn: arn.to_owned(),
            account: account.map_or(anything.account, str::to_owned),
            ..anything
        }
    }

    /// A bucket, or what is in it under a key. It has no account in its ARN; it is that of `of`: for exports and imports the account
    /// whose table goes there or comes from there, for the region reaches it with that account's credentials, whoever asks.
    pub(crate) fn in_s3(&self, of: &Target, bucket: &str, key: Option<&str>) -> Target {
        let arn = match key {
            Some(key) => format!("arn:aws:s3:::{bucket}/{key}"),
            None => format!("arn:aws:s3:::{bucket}"),
        };
        Target {
            arn,
            account: of.account.clone(),
            ..self.anything()
        }
    }

    /// Whether the caller is of another account than the cluster's own.
    pub(crate) fn is_of_another_account(&self) -> bool {
        *self.api.account != *self.api.tables.account()
    }

    /// A global table of version 2017.11.29.
    pub(crate) fn global_table(&self, name: &str) -> Target {
        let account = &self.api.account;
        self.named(&format!("arn:aws:dynamodb::{account}:global-table/{name}"))
    }

    /// Asks whether the caller may do an action with a resource.
    ///
    /// # Errors
    /// AccessDeniedException. What is wrong with the request's
    /// own parameters, if a policy asked for what they say.
    pub(crate) fn ask(&self, action: &'static str, target: &Target, facts: &Facts<'_>) -> Result<(), ApiError> {
        let region = self.api.tables.region();
        let environment: Environment<'_> = self.call.environment(target.region.as_deref().unwrap_or(region));
        let tags = target.table.as_ref().and_then(|table| table.tags_in(region));
        let context = facts.with_tags(tags);
        let question = Question {
            action,
            resource: &target.arn,
            resource_account: &target.account,
            environment: &environment,
            context: &context,
        };
        #[cfg(test)]
        {
            let keys = facts::KEYS
                .into_iter()
                .filter(|key| geodynamo_policy::Context::get(&context, key).is_some());
            let mut asked = self.asked.lock().expect("nobody panics with it");
            asked.push((action, target.arn.clone(), keys.collect()));
        }
        let decision = evaluate(self.call.caller, target.policy.as_deref(), &question);
        if let Some(error) = facts.take_error() {
            return Err(error);
        }
        match decision.message(self.call.caller, &question) {
            Some(message) if self.api.authorization == Authorization::Warn => {
                self.denied.get_or_init(|| message.into());
                Ok(())
            }
            Some(message) => Err(ApiError::access_denied(message)),
            None => Ok(()),
        }
    }

    /// Whether the caller could still put another policy in the place of this one.
    pub(crate) fn could_change_policy(&self, arn: &str, policy: Policy) -> Result<bool, ApiError> {
        if self.open {
            return Ok(true);
        }
        let target = Target {
            policy: Some(Arc::new(policy)),
            ..self.table(arn)?
        };
        let environment = self.call.environment(self.api.tables.region());
        let question = Question {
            action: "dynamodb:PutResourcePolicy",
            resource: arn,
            resource_account: &target.account,
            environment: &environment,
            context: &(),
        };
        Ok(evaluate(self.call.caller, target.policy.as_deref(), &question).is_allowed())
    }

    /// Asks for an action that has no keys of its own.
    pub(crate) fn ask_plain(&self, action: &'static str, target: &Target) -> Result<(), ApiError> {
        self.ask(action, target, &Facts::default())
    }
}

/// The account in an ARN.
pub(crate) fn account_of(arn: &str) -> &str {
    arn.split(':').nth(4).unwrap_or_default()
}
