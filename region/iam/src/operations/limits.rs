//! IAM's quotas: <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html>.

use crate::{
    entity::Kind,
    query::error::{IamError, Result},
};

pub(super) const ACCESS_KEYS_PER_USER: usize = 2;
pub(super) const GROUPS_PER_USER: usize = 10;
pub(super) const POLICIES_PER_ACCOUNT: usize = 1_500;
pub(super) const VERSIONS_PER_POLICY: usize = 5;
pub(super) const PROVIDERS_PER_ACCOUNT: usize = 100;
pub(super) const CLIENTS_PER_PROVIDER: usize = 100;
pub(super) const TAGS: usize = 50;
/// The longest managed policy, in characters without white space.
pub(super) const POLICY_CHARACTERS: usize = 6_144;
/// The longest trust policy, likewise. AWS's default is 2,048; this is the most that one can ask for.
pub(super) const TRUST_CHARACTERS: usize = 4_096;

/// The most of a kind in an account.
pub(super) const fn of_kind(kind: Kind) -> usize {
    match kind {
        Kind::User => 5_000,
        Kind::Group => 300,
        Kind::Role => 1_000,
    }
}

/// The most managed policies attached to one.
pub(super) const fn attached_to(_: Kind) -> usize {
    10
}

/// All inline policies of one together, in characters without white space.
pub(super) const fn inline_characters(kind: Kind) -> usize {
    match kind {
        Kind::User => 2_048,
        Kind::Group => 5_120,
        Kind::Role => 10_240,
    }
}

/// Refuses what goes beyond a quota.
pub(super) fn check(quota: &str, wanted: usize, max: usize) -> Result<()> {
    if wanted <= max {
        return Ok(());
    }
    Err(IamError::limit(format!("Cannot exceed quota for {quota}: {max}")))
}
