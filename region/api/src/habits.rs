//! What a region's API does otherwise than DynamoDB for who develops against it: `geodynamo dev` sets it.

use std::{
    collections::HashMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use compact_str::CompactString;
use geodynamo_storage::Engine;
use geodynamo_table::{TABLES_MAX, Table};

use crate::{Api, errors::ApiError, generated};

/// How long an answer waits until a table has come to the state that was asked for. Afterwards it tells how far that is.
const SETTLED_MAX: Duration = Duration::from_secs(30);

/// What a region's API does otherwise than DynamoDB.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Habits {
    /// CreateTable, UpdateTable and DeleteTable answer when the table and its indexes are there, or gone, as DynamoDB Local
    /// does: no state is passed through afterwards.
    pub at_once: bool,
    /// Encryption with a key of KMS is taken and shown, though it is not built: what CDK and Terraform make of their templates
    /// sets it. The log says so once.
    pub shows_unbuilt: bool,
    /// Incremental exports of less than 15 minutes are taken, so that they can be tried out.
    pub short_exports: bool,
}

/// What was asked for of features that are not built, for as long as the process runs.
#[derive(Debug, Default)]
pub(crate) struct Unbuilt {
    said: AtomicBool,
    /// By the table's id. At most as many as there can be tables.
    asked: Mutex<HashMap<u64, Asked>>,
}

/// What was asked for of a table.
#[derive(Clone, Debug, Default)]
struct Asked {
    /// The ARN of the key.
    encryption: Option<CompactString>,
}

impl Unbuilt {
    fn asked(&self) -> MutexGuard<'_, HashMap<u64, Asked>> {
        // Nothing panics while it is held; and if, each entry is whole.
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, table: &Table, change: impl FnOnce(&mut Asked)) {
        if !self.said.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                table = table.name(),
                "encryption with a key is taken and shown, but nothing is encrypted"
            );
        }
        let mut asked = self.asked();
        if asked.len() < TABLES_MAX || asked.contains_key(&table.id()) {
            change(asked.entry(table.id()).or_default());
        }
    }

    fn of(&self, table: &Table) -> Asked {
        self.asked().get(&table.id()).cloned().unwrap_or_default()
    }

    pub(crate) fn forget(&self, table: u64) {
        self.asked().remove(&table);
    }
}

impl<E: Engine> Api<E> {
    /// Waits until a table that was changed is as asked, where that is this API's habit.
    pub(crate) async fn await_settled(&self, table: u64) {
        if self.habits.at_once && !self.tables.local().await_settled(table, SETTLED_MAX).await {
            tracing::warn!(table, "a table took long to come to the state that was asked for");
        }
    }

    /// A table is gone: nothing more is to be shown of it.
    pub(crate) fn forget_unbuilt(&self, table: u64) {
        self.unbuilt.forget(table);
    }

    /// Whether encryption is asked for, which only takes who shows what is not built.
    pub(crate) fn check_encryption(&self, given: Option<&generated::SSESpecification>) -> Result<(), ApiError> {
        let Some(given) = given else { return Ok(()) };
        let refuse = |parameter: &str| {
            if self.habits.shows_unbuilt {
                Ok(())
            } else {
                Err(ApiError::parameter_not_offered(parameter))
            }
        };
        if given.enabled == Some(true) {
            return refuse("SSESpecification with Enabled true");
        }
        let key = given.sse_type.is_some() || given.kms_master_key_id.is_some();
        if key {
            refuse("SSESpecification with SSEType or KMSMasterKeyId")?;
        }
        match (given.enabled, given.kms_master_key_id.is_some()) {
            (Some(false), true) => Err(ApiError::invalid(
                "KMSMasterKeyId can not be specified if Enabled is false",
            )),
            (Some(false), false) if key => Err(ApiError::invalid("SSEType can not be specified if Enabled is false")),
            _ => Ok(()),
        }
    }

    /// Takes note of encryption that is to be shown.
    pub(crate) fn note_encryption(&self, name: &str, given: Option<&generated::SSESpecification>) {
        let (true, Some(given), Ok(table)) = (self.habits.shows_unbuilt, given, self.tables.table_named(name)) else {
            return;
        };
        let on = given.enabled == Some(true) || given.sse_type.is_some() || given.kms_master_key_id.is_some();
        let known = self.unbuilt.of(&table).encryption;
        if !on && known.is_none() {
            return;
        }
        let key = on.then(|| match given.kms_master_key_id.as_deref() {
            None => known.unwrap_or_else(|| self.key_arn("alias/aws/dynamodb")),
            Some(name) => self.key_arn(name),
        });
        self.unbuilt.change(&table, |asked| asked.encryption = key);
    }

    /// `SSEDescription` of a table, if it has one to show.
    pub(crate) fn shown_encryption(&self, name: &str) -> Option<generated::SSEDescription> {
        if !self.habits.shows_unbuilt {
            return None;
        }
        let table = self.tables.table_named(name).ok()?;
        let key = self.unbuilt.of(&table).encryption?;
        Some(generated::SSEDescription {
            status: Some("ENABLED".into()),
            sse_type: Some("KMS".into()),
            kms_master_key_arn: Some(key),
            ..generated::SSEDescription::default()
        })
    }
}
