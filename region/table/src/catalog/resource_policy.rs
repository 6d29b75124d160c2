//! Policies of tables and streams.

use std::sync::Arc;

use geodynamo_storage::Engine;

use crate::{
    ExpectedPolicy, NewPolicy, PolicyOf, ResourcePolicy, Result, StreamName,
    catalog::Catalog,
    table::registers::{Setting, pack},
};

impl<E: Engine> Catalog<E> {
    /// The policy of a table or a stream in this region.
    ///
    /// # Errors
    /// ResourceNotFound if there is no such table.
    pub fn resource_policy(&self, of: PolicyOf<'_>) -> Result<Option<Arc<ResourcePolicy>>> {
        let table = self.local.table_named(of.table())?;
        Ok(table.policy_of(self.local.region(), of).cloned())
    }

    /// The policy of a stream; none if there is no such stream.
    pub fn stream_policy(&self, stream: &StreamName) -> Option<Arc<ResourcePolicy>> {
        self.resource_policy(PolicyOf::Stream(stream)).ok().flatten()
    }

    /// Puts a policy in the place of the one that is there, or takes it away (`policy` is `None`). Gives the policy that there is
    /// now, or was before it was taken away; the outer `None` if there was not what `expected` says, and nothing is changed.
    ///
    /// # Errors
    /// ResourceNotFound if there is no such table.
    pub async fn set_resource_policy(
        &self,
        of: PolicyOf<'_>,
        policy: Option<NewPolicy>,
        expected: ExpectedPolicy<'_>,
    ) -> Result<Option<Option<ResourcePolicy>>> {
        let _changing = self.catalog_lock.lock().await;
        let table = self.local.table_named(of.table())?;
        let before = table
            .policy_of(self.local.region(), of)
            .map(|policy| ResourcePolicy::clone(policy));
        let fits = match (expected, &before) {
            (ExpectedPolicy::Any, _) | (ExpectedPolicy::Absent, None) => true,
            (ExpectedPolicy::Revision(revision), Some(before)) => before.revision == revision,
            (ExpectedPolicy::Absent, Some(_)) | (ExpectedPolicy::Revision(_), None) => false,
        };
        if !fits {
            return Ok(None);
        }
        let region = self.local.region().to_owned();
        let setting = match of {
            PolicyOf::Table(_) => Setting::ResourcePolicy(region),
            PolicyOf::Stream(stream) => Setting::StreamPolicy(region, stream.label_ms),
        };
        let after = policy.map(|policy| ResourcePolicy::new(policy, before.as_ref(), self.local.now_ms()));
        if after != before {
            let packed = after.as_ref().map(pack).transpose()?;
            self.set_locked(table.id(), vec![(setting, packed)]).await?;
        }
        Ok(Some(after.or(before)))
    }
}
