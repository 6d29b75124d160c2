//! The services and the tables, as the ports know them.

use std::{
    net::SocketAddr,
    sync::{Arc, LazyLock},
};

use axum::Router;
use bytes::Bytes;
use geodynamo_access::{BACKUP, LAMBDA, Mode, SERVICE};
use geodynamo_admin::{Admin, AdminError};
use geodynamo_api::{Api, Authorization, Call, Operation};
use geodynamo_backup::{Authorization as BackupAuthorization, Backups, Call as BackupCall};
use geodynamo_console::{Facts, Links, Signs};
use geodynamo_http::{Handler, Origin, QueryReply, Reply, RestCall, RestReply};
use geodynamo_iam::{Authorization as IamAuthorization, Call as IamCall, ServiceName, operation_names};
use geodynamo_policy::Environment;
use geodynamo_scaling::{Authorization as ScalingAuthorization, Call as ScalingCall, Scaling};
use geodynamo_sinks::Sinks;
use geodynamo_storage::{Engine, Health};
use geodynamo_table::{ConflictId, TableError, Tables};
use geodynamo_transfer::Transfers;
use geodynamo_triggers::{Authorization as TriggerAuthorization, Call as TriggerCall, Triggers};
use http::StatusCode;
use serde_json::{Value, json};

use crate::{
    access::{KnownPrincipals, RegionIam},
    accounts::{self, OfAccounts},
    audit::Auditing,
    conflicts, console, imports, insights,
    links::{self, LinkControl},
    sealing::ShownKeys,
    session::Sessions,
    sinks, verify,
};

/// The operations' names: DynamoDB's in the order of [`Operation::ALL`], then IAM's and STS's, then Lambda's, then
/// Application Auto Scaling's, then AWS Backup's.
pub(crate) static NAMES: LazyLock<Vec<&'static str>> = LazyLock::new(|| {
    let dynamodb = Operation::ALL.iter().map(|operation| operation.name());
    let lambda = geodynamo_triggers::operation_names().iter().copied();
    dynamodb
        .chain(operation_names().iter().copied())
        .chain(lambda)
        .chain(geodynamo_scaling::operation_names().iter().copied())
        .chain(geodynamo_backup::operation_names().iter().copied())
        .collect()
});

/// Which of [`NAMES`] an `X-Amz-Target` header names; `None` if it names none.
pub(crate) fn operation_of(target: &str) -> Option<usize> {
    let scaling = || {
        let before = Operation::ALL.len() + operation_names().len() + geodynamo_triggers::operation_names().len();
        geodynamo_scaling::operation(target).map(|place| before + place)
    };
    let operation = Operation::from_target(target).map(|operation| operation as usize);
    operation.or_else(scaling)
}

/// How DynamoDB's API asks policies.
pub(crate) fn authorization_of(mode: Mode) -> Authorization {
    match mode {
        Mode::Enforce => Authorization::Enforce,
        Mode::Warn => Authorization::Warn,
        Mode::Any => Authorization::Off,
    }
}

/// Everything that the data port offers.
pub(crate) struct Services<E: Engine> {
    api: Api<E>,
    iam: Arc<RegionIam<E>>,
    triggers: Arc<Triggers<E>>,
    scaling: Scaling<E>,
    backups: Backups<E>,
    region: String,
    authorization: IamAuthorization,
    of_triggers: TriggerAuthorization,
    of_scaling: ScalingAuthorization,
    of_backups: BackupAuthorization,
    auditing: Option<Arc<Auditing>>,
    sessions: Sessions<E>,
}

impl<E: Engine> Services<E> {
    /// DynamoDB, IAM, Lambda's mappings, auto scaling and AWS Backup, which all ask policies as `mode` says.
    pub(crate) fn new(
        api: Api<E>,
        iam: Arc<RegionIam<E>>,
        triggers: Arc<Triggers<E>>,
        (scaling, backups): (Scaling<E>, Backups<E>),
        mode: Mode,
        auditing: Option<Arc<Auditing>>,
        sessions: Sessions<E>,
    ) -> Self {
        let (authorization, of_triggers) = match mode {
            Mode::Enforce => (IamAuthorization::Enforce, TriggerAuthorization::Enforce),
            Mode::Warn => (IamAuthorization::Warn, TriggerAuthorization::Warn),
            Mode::Any => (IamAuthorization::Off, TriggerAuthorization::Off),
        };
        let of_scaling = match mode {
            Mode::Enforce => ScalingAuthorization::Enforce,
            Mode::Warn => ScalingAuthorization::Warn,
            Mode::Any => ScalingAuthorization::Off,
        };
        let of_backups = match mode {
            Mode::Enforce => BackupAuthorization::Enforce,
            Mode::Warn => BackupAuthorization::Warn,
            Mode::Any => BackupAuthorization::Off,
        };
        // Where policies are asked, they must not name nobody.
        let api = match mode {
            Mode::Enforce | Mode::Warn => api.with_principals(Arc::new(KnownPrincipals(Arc::clone(&iam)))),
            Mode::Any => api,
        };
        Self {
            region: api.tables().region().to_owned(),
            api: api.with_authorization(authorization_of(mode)),
            iam,
            triggers,
            scaling,
            backups,
            authorization,
            of_triggers,
            of_scaling,
            of_backups,
            auditing,
            sessions,
        }
    }

    /// What conditions may ask about a call.
    fn environment<'a>(&'a self, origin: &'a Origin, now_unix_s: i64) -> Environment<'a> {
        Environment {
            now_unix_s: Some(now_unix_s),
            source_ip: origin.source_ip,
            secure_transport: Some(origin.secure_transport),
            user_agent: origin.user_agent(),
            referer: origin.referer(),
            region: Some(&self.region),
            via_service: Some(false),
        }
    }

    /// Answers one call to Application Auto Scaling.
    async fn scale(&self, origin: &Origin, target: &str, body: &[u8]) -> Reply {
        let now_unix_s = self.now_unix_s();
        let call = ScalingCall {
            target,
            body,
            caller: &origin.principal.caller,
            environment: self.environment(origin, now_unix_s),
            authorization: self.of_scaling,
        };
        let reply = self.scaling.call(call).await;
        if let Some(denied) = &reply.denied {
            tracing::warn!(denied, request_id = origin.request_id(), "would be refused");
        }
        let reply = Reply {
            status: StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            body: reply.body.into(),
            fault: reply.fault,
            session: None,
        };
        if let Some(auditing) = &self.auditing {
            auditing.scaling(origin, now_unix_s, target, body, &reply);
        }
        reply
    }

    /// Answers one call to AWS Backup.
    async fn back_up(&self, origin: &Origin, call: RestCall) -> RestReply {
        let now_unix_s = self.now_unix_s();
        let call = BackupCall {
            method: call.method.as_str(),
            path: &call.path,
            query: &call.query,
            body: &call.body,
            caller: &origin.principal.caller,
            environment: self.environment(origin, now_unix_s),
            authorization: self.of_backups,
        };
        let reply = self.backups.call(call).await;
        if let Some(denied) = &reply.denied {
            tracing::warn!(denied, request_id = origin.request_id(), "would be refused");
        }
        if let Some(auditing) = &self.auditing {
            auditing.backup(origin, now_unix_s, &reply);
        }
        let before = NAMES.len() - geodynamo_backup::operation_names().len();
        RestReply {
            status: StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            error: reply.error.as_ref().map(|error| error.code),
            body: reply.body.into(),
            operation: reply.operation.map(|place| before + place),
            fault: reply.error.and_then(|error| error.fault),
        }
    }

    fn now_unix_s(&self) -> i64 {
        i64::try_from(self.api.tables().now_ms() / 1000).unwrap_or(i64::MAX)
    }
}

impl<E: Engine> Handler for Services<E> {
    fn operations(&self) -> &'static [&'static str] {
        &NAMES
    }

    fn operation(&self, target: &str) -> Option<usize> {
        operation_of(target)
    }

    async fn call(&self, origin: Origin, target: &str, body: Bytes) -> Reply {
        if geodynamo_scaling::is_target(target) {
            return self.scale(&origin, target, &body).await;
        }
        let call = Call {
            caller: &origin.principal.caller,
            access_key_id: &origin.principal.access_key_id,
            request_id: origin.request_id(),
            now_unix_s: self.now_unix_s(),
            source_ip: origin.source_ip,
            user_agent: origin.user_agent(),
            referer: origin.referer(),
            secure_transport: origin.secure_transport,
        };
        let (reply, session) = match &origin.session {
            None => (self.api.call(call, target, &body).await, None),
            Some(asked) => match self
                .sessions
                .serve(asked, &body, || self.api.call(call, target, &body))
                .await
            {
                Ok(answered) => answered,
                Err(refused) => return refused,
            },
        };
        if let Some(denied) = &reply.denied {
            tracing::warn!(denied = &**denied, request_id = origin.request_id(), "would be refused");
        }
        // The API has only statuses that are some.
        let status = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let operation = reply.operation;
        let reply = Reply {
            status,
            body: reply.body,
            fault: reply.fault,
            session,
        };
        if let (Some(auditing), Some(operation)) = (&self.auditing, operation)
            && auditing.wants(operation)
        {
            auditing.dynamodb(&origin, self.now_unix_s(), operation, &body, &reply);
        }
        reply
    }

    async fn query(&self, origin: Origin, service: ServiceName, body: Bytes) -> QueryReply {
        let now_unix_s = self.now_unix_s();
        let call = IamCall {
            service,
            caller: &origin.principal.caller,
            access_key_id: &origin.principal.access_key_id,
            environment: self.environment(&origin, now_unix_s),
            now_unix_s,
            request_id: origin.request_id(),
            authorization: self.authorization,
        };
        let reply = self.iam.call(call, &body).await;
        for denied in &reply.denied {
            tracing::warn!(denied, request_id = origin.request_id(), "would be refused");
        }
        if let Some(auditing) = &self.auditing {
            auditing.iam(&origin, now_unix_s, service, &reply);
        }
        let place = reply.operation.and_then(|name| {
            let place = operation_names().iter().position(|known| *known == name);
            place.map(|place| Operation::ALL.len() + place)
        });
        QueryReply {
            status: StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            body: reply.body.into(),
            operation: place,
            fault: reply.error.and_then(|error| error.fault),
        }
    }

    fn service(&self, target: &str) -> &'static str {
        if geodynamo_scaling::is_target(target) {
            geodynamo_scaling::SERVICE
        } else {
            SERVICE
        }
    }

    fn rest_service(&self, path: &str) -> Option<&'static str> {
        if geodynamo_backup::is_path(path) {
            Some(BACKUP)
        } else if geodynamo_triggers::is_path(path) {
            Some(LAMBDA)
        } else {
            None
        }
    }

    async fn rest(&self, origin: Origin, call: RestCall) -> RestReply {
        if geodynamo_backup::is_path(&call.path) {
            return self.back_up(&origin, call).await;
        }
        let now_unix_s = self.now_unix_s();
        let call = TriggerCall {
            method: call.method.as_str(),
            path: &call.path,
            query: &call.query,
            body: &call.body,
            caller: &origin.principal.caller,
            environment: self.environment(&origin, now_unix_s),
            authorization: self.of_triggers,
        };
        let reply = self.triggers.call(call).await;
        if let Some(denied) = &reply.denied {
            tracing::warn!(denied, request_id = origin.request_id(), "would be refused");
        }
        if let Some(auditing) = &self.auditing {
            auditing.lambda(&origin, now_unix_s, &reply);
        }
        let before = Operation::ALL.len() + operation_names().len();
        RestReply {
            status: StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            error: reply.error.as_ref().map(|error| error.code),
            body: reply.body.into(),
            operation: reply.operation.map(|place| before + place),
            fault: reply.error.and_then(|error| error.fault),
        }
    }
}

/// The tables and the console, as the admin port sees them.
pub struct TablesAdmin<E: Engine> {
    /// The tables.
    pub tables: Arc<Tables<E>>,
    /// What the console is told, but for where the data port is; `None` is no console.
    pub console: Option<Facts>,
    /// The links that the console shows.
    pub links: Option<Arc<dyn Links>>,
    /// Signs what the console asks of other regions.
    pub signer: Option<Arc<dyn Signs>>,
    /// The sinks.
    pub sinks: Sinks<E>,
    /// What is told of keys.
    pub(crate) keys: ShownKeys,
    /// The imports.
    pub(crate) transfers: Transfers<E>,
    /// Who has accounts.
    pub(crate) iam: Arc<RegionIam<E>>,
    /// What else accounts have.
    pub(crate) of_accounts: OfAccounts<E>,
    /// Who writes, in a region of several nodes.
    pub(crate) owner: Option<Box<dyn Fn() -> Value + Send + Sync>>,
    /// What puts faults on links.
    pub(crate) control: Option<Arc<LinkControl>>,
}

impl<E: Engine> Admin for TablesAdmin<E> {
    /// The ports are bound after the engine and the catalog are open, so what is left to ask is whether writes are taken.
    fn readiness(&self) -> Result<(), String> {
        match &*self.tables.engine().health().borrow() {
            Health::Open => Ok(()),
            trouble => Err(trouble.to_string()),
        }
    }

    fn owner(&self) -> Option<Value> {
        self.owner.as_ref().map(|owner| owner())
    }

    async fn digest(&self, table: &str) -> Result<Value, AdminError> {
        let digest = self
            .tables
            .reads()
            .digest(table)
            .await
            .map_err(|error| admin_error(error, table))?;
        serde_json::to_value(digest).map_err(|error| AdminError::Failed(error.to_string()))
    }

    async fn conflicts(&self, table: &str, after: &str, limit: usize) -> Result<Value, AdminError> {
        let after = match after {
            "" => None,
            after => Some(ConflictId::parse(after).ok_or_else(|| AdminError::NoSuchConflict(after.to_owned()))?),
        };
        let page = self.tables.reads().conflicts(table, after.as_ref(), limit).await;
        page.and_then(|page| conflicts::page_json(&page))
            .map_err(|error| admin_error(error, table))
    }

    async fn conflict(&self, table: &str, id: &str) -> Result<Value, AdminError> {
        let none = || AdminError::NoSuchConflict(id.to_owned());
        let parsed = ConflictId::parse(id).ok_or_else(none)?;
        let found = self.tables.reads().conflict(table, &parsed).await;
        let found = found.map_err(|error| admin_error(error, table))?.ok_or_else(none)?;
        conflicts::conflict_json(&found).map_err(|error| admin_error(error, table))
    }

    fn verify_report(&self, table: Option<&str>) -> Result<Value, AdminError> {
        let reports = self.tables.verify().verify_report(table);
        reports
            .map(|reports| verify::with_unmended(verify::reports_json(&reports), &self.tables.verify().unmended()))
            .map_err(|error| admin_error(error, table.unwrap_or_default()))
    }

    fn insights(&self, table: Option<&str>, index: Option<&str>, minutes: Option<u64>) -> Result<Value, AdminError> {
        let Some(table) = table else {
            return Ok(insights::settings_json(&self.tables));
        };
        let report = insights::report_json(&self.tables, table, index, minutes.unwrap_or(insights::MINUTES));
        report.map_err(|error| admin_error(error, table))
    }

    fn verify_now(&self, table: Option<&str>) -> Result<Value, AdminError> {
        let begun = self.tables.verify().verify_now(table);
        begun.map_err(|error| admin_error(error, table.unwrap_or_default()))?;
        self.verify_report(table)
    }

    async fn forget_region(&self, region: &str) -> Result<Value, AdminError> {
        let links = self.links.as_ref().map(|links| links.read()).unwrap_or_default();
        if links.get(region).is_some_and(|link| link.up) {
            let reason = format!("{region} is connected: its replicas are removed with UpdateTable");
            return Err(AdminError::Refused(reason));
        }
        let forgotten = self.tables.background().forget_region(region).await;
        let tables = forgotten.map_err(|error| AdminError::Refused(error.to_string()))?;
        Ok(json!({ "tables": tables }))
    }

    fn pages(&self, data: SocketAddr) -> Router {
        let pages = match &self.console {
            Some(facts) => {
                let facts = console::located(facts.clone(), data);
                geodynamo_console::router(facts, self.links.clone(), self.signer.clone())
            }
            None => Router::new(),
        };
        let links = self.control.as_ref().map(|control| links::router(Arc::clone(control)));
        pages
            .merge(links.unwrap_or_default())
            .merge(sinks::router(self.sinks.clone()))
            .merge(self.keys.clone().router())
            .merge(imports::router(self.transfers.clone()))
            .merge(accounts::router(
                Arc::clone(&self.iam),
                Arc::clone(&self.tables),
                self.of_accounts.clone(),
            ))
    }
}

fn admin_error(error: TableError, table: &str) -> AdminError {
    match error {
        TableError::ResourceNotFound(_) => AdminError::NoSuchTable(table.to_owned()),
        error => AdminError::Failed(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_in_their_places_and_none_is_there_twice() {
        for (place, operation) in Operation::ALL.into_iter().enumerate() {
            assert_eq!((operation as usize, NAMES[place]), (place, operation.name()));
        }
        let mut all = NAMES.clone();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), NAMES.len());
    }
}
