//! The account: its alias, and a summary of what it has.

use super::limits;
use crate::{
    call::{Changes, Context},
    entity::{Account, Kind},
    query::{
        error::{IamError, Result},
        value::{Structure, Value},
    },
    state::{pack, row},
};

pub(super) fn create_alias(cx: &Context<'_>, changes: &mut Changes) -> Result<Structure> {
    let alias = cx.input.required("AccountAlias");
    set_alias(changes, Some(alias.to_owned()))
}

pub(super) fn delete_alias(cx: &Context<'_>, changes: &mut Changes) -> Result<Structure> {
    let alias = cx.input.required("AccountAlias");
    if cx.state().account().alias.as_deref() != Some(alias) {
        return Err(IamError::no_such(format!("The account alias {alias} does not exist.")));
    }
    set_alias(changes, None)
}

fn set_alias(changes: &mut Changes, alias: Option<String>) -> Result<Structure> {
    let packed = pack(&Account { alias }).map_err(IamError::internal)?;
    changes.push((row::account(), Some(packed)));
    Ok(Structure::new())
}

pub(super) fn list_aliases(cx: &Context<'_>) -> Result<Structure> {
    let alias = cx.state().account().alias.iter();
    Ok(Structure::new()
        .with("AccountAliases", alias.cloned().collect::<Vec<_>>())
        .with("IsTruncated", false))
}

pub(super) fn summary(cx: &Context<'_>) -> Result<Structure> {
    let state = cx.state();
    let count = |kind| state.principals(kind).len();
    let versions = state.policies().values().map(|held| held.entity.versions.len());
    let root_keys = usize::from(!state.root_keys().is_empty());
    let entries = [
        ("AccessKeysPerUserQuota", limits::ACCESS_KEYS_PER_USER),
        ("AccountAccessKeysPresent", root_keys),
        ("AccountMFAEnabled", 0),
        ("AssumeRolePolicySizeQuota", limits::TRUST_CHARACTERS),
        ("AttachedPoliciesPerGroupQuota", limits::attached_to(Kind::Group)),
        ("AttachedPoliciesPerRoleQuota", limits::attached_to(Kind::Role)),
        ("AttachedPoliciesPerUserQuota", limits::attached_to(Kind::User)),
        ("GroupPolicySizeQuota", limits::inline_characters(Kind::Group)),
        ("Groups", count(Kind::Group)),
        ("GroupsPerUserQuota", limits::GROUPS_PER_USER),
        ("GroupsQuota", limits::of_kind(Kind::Group)),
        ("InstanceProfiles", 0),
        ("MFADevices", 0),
        ("MFADevicesInUse", 0),
        ("Policies", state.policies().len()),
        ("PoliciesQuota", limits::POLICIES_PER_ACCOUNT),
        ("PolicySizeQuota", limits::POLICY_CHARACTERS),
        ("PolicyVersionsInUse", versions.sum()),
        ("Providers", state.providers().len()),
        ("RolePolicySizeQuota", limits::inline_characters(Kind::Role)),
        ("Roles", count(Kind::Role)),
        ("RolesQuota", limits::of_kind(Kind::Role)),
        ("ServerCertificates", 0),
        ("UserPolicySizeQuota", limits::inline_characters(Kind::User)),
        ("Users", count(Kind::User)),
        ("UsersQuota", limits::of_kind(Kind::User)),
        ("VersionsPerPolicyQuota", limits::VERSIONS_PER_POLICY),
    ];
    let entries = entries.map(|(name, count)| (name.to_owned(), Value::from(count)));
    let mut answer = Structure::new();
    answer.0.push(("SummaryMap", Value::Map(entries.into())));
    Ok(answer)
}
