//! The API and the tables, as the ports know them.

use std::sync::Arc;

use bytes::Bytes;
use geodynamo_access::Principal;
use geodynamo_api::{Api, Call, Operation};
use geodynamo_storage::{Engine, Health};
use geodynamo_table::{TableError, Tables};
use http::StatusCode;
use serde_json::Value;

use crate::{
    admin::{Admin, DigestError},
    handler::{Handler, Reply},
};

/// The operations' names, in the order of [`Operation::ALL`].
static NAMES: [&str; Operation::ALL.len()] = {
    let mut names = [""; Operation::ALL.len()];
    let mut place = 0;
    while place < names.len() {
        names[place] = Operation::ALL[place].name();
        place += 1;
    }
    names
};

impl<E: Engine> Handler for Api<E> {
    fn operations(&self) -> &'static [&'static str] {
        &NAMES
    }

    fn operation(&self, target: &str) -> Option<usize> {
        Operation::from_target(target).map(|operation| operation as usize)
    }

    async fn call(&self, principal: Principal, target: &str, body: Bytes) -> Reply {
        let call = Call {
            access_key_id: &principal.access_key_id,
            now_unix_s: i64::try_from(self.tables().now_ms() / 1000).unwrap_or(i64::MAX),
            ..Call::of(&principal.caller)
        };
        let reply = Api::call(self, call, target, &body).await;
        // The API has only statuses that are some.
        let status = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Reply {
            status,
            body: reply.body,
            fault: reply.fault,
        }
    }
}

/// The tables, as the admin port sees them.
pub struct TablesAdmin<E: Engine>(pub Arc<Tables<E>>);

impl<E: Engine> Admin for TablesAdmin<E> {
    /// The ports are bound after the engine and the catalog are open, so what is left to ask is whether writes are taken.
    fn readiness(&self) -> Result<(), String> {
        match &*self.0.engine().health().borrow() {
            Health::Open => Ok(()),
            trouble => Err(trouble.to_string()),
        }
    }

    async fn digest(&self, table: &str) -> Result<Value, DigestError> {
        let digest = self.0.digest(table).await.map_err(|error| match error {
            TableError::ResourceNotFound(_) => DigestError::NoSuchTable(table.to_owned()),
            error => DigestError::Failed(error.to_string()),
        })?;
        serde_json::to_value(digest).map_err(|error| DigestError::Failed(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_in_their_places() {
        for (place, operation) in Operation::ALL.into_iter().enumerate() {
            assert_eq!((operation as usize, NAMES[place]), (place, operation.name()));
        }
    }
}
