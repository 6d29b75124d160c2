//! Whose the tables of this region are.

use std::borrow::Cow;

use geodynamo_storage::Engine;

use crate::{
    local::Local,
    schema::accounts::{is_account, owner_and_name, stored_name},
};

impl<E: Engine> Local<E> {
    /// The account of a table, by its name in the catalog.
    pub fn owner<'n>(&'n self, stored: &'n str) -> &'n str {
        owner_and_name(self.account(), stored).0
    }

    /// The ARN of a table of this region, by its name in the catalog.
    pub fn table_arn(&self, stored: &str) -> String {
        self.table_arn_in(self.region(), stored)
    }

    /// The ARN of a table's replica in a region.
    pub fn table_arn_in(&self, region: &str, stored: &str) -> String {
        let (account, name) = owner_and_name(self.account(), stored);
        format!("arn:aws:dynamodb:{region}:{account}:table/{name}")
    }

    /// The catalog's name of the table that an ARN names: of whichever account it tells, in whichever region. The ARN is one
    /// that this cluster made.
    pub fn name_in_arn(&self, arn: &str) -> Option<String> {
        let mut parts = arn.splitn(6, ':');
        let account = parts.nth(4)?;
        let name = parts.next()?.strip_prefix("table/")?.split('/').next()?;
        let stored = stored_name(self.account(), account, name).filter(|_| is_account(account));
        stored.map(Cow::into_owned)
    }

    /// Names of an account's tables, as clients know them, behind `after`, at most `limit`; and the last of them if there are
    /// more.
    pub fn list_of(&self, account: &str, after: Option<&str>, limit: usize) -> (Vec<String>, Option<String>) {
        let own = self.account();
        let directory = self.directory();
        let of_account = directory.by_name.keys().filter_map(|stored| {
            let (owner, name) = owner_and_name(own, stored);
            (owner == account).then_some(name)
        });
        // Names of one account are in the order of what clients know.
        let mut names = of_account.filter(|name| after.is_none_or(|after| *name > after));
        let page: Vec<String> = names.by_ref().take(limit).map(str::to_owned).collect();
        let last = page.last().filter(|_| names.next().is_some()).cloned();
        (page, last)
    }

    /// How many tables an account has in this region.
    pub fn count_of(&self, account: &str) -> usize {
        let own = self.account();
        let directory = self.directory();
        let names = directory.by_name.keys();
        names.filter(|stored| owner_and_name(own, stored).0 == account).count()
    }
}
