//! IAM's operations. Each is a function of a call and the state, and gives the answer and the rows to change.

mod absent;
mod account;
mod attached;
mod boundaries;
mod details;
mod inline;
pub(crate) mod keys;
mod limits;
mod page;
mod policies;
mod principals;
mod providers;
mod shapes;
mod simulate;
mod tags;

use std::sync::Arc;

use geodynamo_policy::{CallerKind, Policy, PolicyKind};

use crate::{
    call::{Changes, Context},
    entity::{Kind, Principal},
    query::{
        error::{IamError, Result},
        value::Structure,
    },
    state::{Held, State, pack, row},
};

/// Answers a call to IAM.
pub(crate) fn answer(cx: &Context<'_>, changes: &mut Changes) -> Result<Structure> {
    if cx.call.caller.kind == CallerKind::User && cx.call.caller.session.is_some() {
        // Credentials of GetSessionToken: IAM takes them only where a multi-factor device was used.
        return Err(IamError::new(
            "InvalidClientTokenId",
            "The security token included in the request is invalid",
        ));
    }
    cx.authorize_call()?;
    use Kind::{Group, Role, User};
    match cx.operation {
        "CreateUser" => principals::create(cx, changes, User),
        "CreateGroup" => principals::create(cx, changes, Group),
        "CreateRole" => principals::create(cx, changes, Role),
        "GetUser" => principals::get_user(cx),
        "GetGroup" => principals::get_group(cx),
        "GetRole" => principals::get_role(cx),
        "ListUsers" => principals::list(cx, User),
        "ListGroups" => principals::list(cx, Group),
        "ListRoles" => principals::list(cx, Role),
        "ListGroupsForUser" => principals::groups_for_user(cx),
        "UpdateUser" => principals::rename(cx, changes, User),
        "UpdateGroup" => principals::rename(cx, changes, Group),
        "UpdateRole" | "UpdateRoleDescription" => principals::update_role(cx, changes),
        "UpdateAssumeRolePolicy" => principals::update_trust(cx, changes),
        "DeleteUser" => principals::delete(cx, changes, User),
        "DeleteGroup" => principals::delete(cx, changes, Group),
        "DeleteRole" => principals::delete(cx, changes, Role),
        "AddUserToGroup" => principals::join_group(cx, changes, true),
        "RemoveUserFromGroup" => principals::join_group(cx, changes, false),

        "PutUserPolicy" => inline::put(cx, changes, User),
        "PutGroupPolicy" => inline::put(cx, changes, Group),
        "PutRolePolicy" => inline::put(cx, changes, Role),
        "GetUserPolicy" => inline::get(cx, User),
        "GetGroupPolicy" => inline::get(cx, Group),
        "GetRolePolicy" => inline::get(cx, Role),
        "DeleteUserPolicy" => inline::delete(cx, changes, User),
        "DeleteGroupPolicy" => inline::delete(cx, changes, Group),
        "DeleteRolePolicy" => inline::delete(cx, changes, Role),
        "ListUserPolicies" => inline::list(cx, User),
        "ListGroupPolicies" => inline::list(cx, Group),
        "ListRolePolicies" => inline::list(cx, Role),

        "AttachUserPolicy" => attached::attach(cx, changes, User),
        "AttachGroupPolicy" => attached::attach(cx, changes, Group),
        "AttachRolePolicy" => attached::attach(cx, changes, Role),
        "DetachUserPolicy" => attached::detach(cx, changes, User),
        "DetachGroupPolicy" => attached::detach(cx, changes, Group),
        "DetachRolePolicy" => attached::detach(cx, changes, Role),
        "ListAttachedUserPolicies" => attached::list(cx, User),
        "ListAttachedGroupPolicies" => attached::list(cx, Group),
        "ListAttachedRolePolicies" => attached::list(cx, Role),
        "ListEntitiesForPolicy" => attached::entities(cx),

        "PutUserPermissionsBoundary" => boundaries::put(cx, changes, User),
        "PutRolePermissionsBoundary" => boundaries::put(cx, changes, Role),
        "DeleteUserPermissionsBoundary" => boundaries::delete(cx, changes, User),
        "DeleteRolePermissionsBoundary" => boundaries::delete(cx, changes, Role),

        "CreatePolicy" => policies::create(cx, changes),
        "GetPolicy" => policies::get(cx),
        "ListPolicies" => policies::list(cx),
        "DeletePolicy" => policies::delete(cx, changes),
        "CreatePolicyVersion" => policies::create_version(cx, changes),
        "GetPolicyVersion" => policies::get_version(cx),
        "ListPolicyVersions" => policies::list_versions(cx),
        "DeletePolicyVersion" => policies::delete_version(cx, changes),
        "SetDefaultPolicyVersion" => policies::set_default(cx, changes),

        "TagUser" => tags::tag_principal(cx, changes, User),
        "TagRole" => tags::tag_principal(cx, changes, Role),
        "UntagUser" => tags::untag_principal(cx, changes, User),
        "UntagRole" => tags::untag_principal(cx, changes, Role),
        "ListUserTags" => tags::list_of_principal(cx, User),
        "ListRoleTags" => tags::list_of_principal(cx, Role),
        "TagPolicy" => tags::tag_policy(cx, changes),
        "UntagPolicy" => tags::untag_policy(cx, changes),
        "ListPolicyTags" => tags::list_of_policy(cx),
        "TagOpenIDConnectProvider" => tags::tag_provider(cx, changes),
        "UntagOpenIDConnectProvider" => tags::untag_provider(cx, changes),
        "ListOpenIDConnectProviderTags" => tags::list_of_provider(cx),

        "CreateAccessKey" => keys::create(cx, changes),
        "DeleteAccessKey" => keys::delete(cx, changes),
        "UpdateAccessKey" => keys::update(cx, changes),
        "ListAccessKeys" => keys::list(cx),
        "GetAccessKeyLastUsed" => keys::last_used(cx),

        "CreateAccountAlias" => account::create_alias(cx, changes),
        "DeleteAccountAlias" => account::delete_alias(cx, changes),
        "ListAccountAliases" => account::list_aliases(cx),
        "GetAccountSummary" => account::summary(cx),
        "GetAccountAuthorizationDetails" => details::get(cx),

        "CreateOpenIDConnectProvider" => providers::create(cx, changes),
        "GetOpenIDConnectProvider" => providers::get(cx),
        "ListOpenIDConnectProviders" => providers::list(cx),
        "DeleteOpenIDConnectProvider" => providers::delete(cx, changes),
        "AddClientIDToOpenIDConnectProvider" => providers::change_client(cx, changes, true),
        "RemoveClientIDFromOpenIDConnectProvider" => providers::change_client(cx, changes, false),
        "UpdateOpenIDConnectProviderThumbprint" => providers::update_thumbprints(cx, changes),

        "SimulatePrincipalPolicy" => simulate::principal(cx),
        "SimulateCustomPolicy" => simulate::custom(cx),

        _ => absent::answer(cx),
    }
}

impl Context<'_> {
    pub(crate) fn state(&self) -> &State {
        self.snapshot.accounts.state(&self.account)
    }

    /// The principal that the call names.
    pub(crate) fn held(&self, kind: Kind) -> Result<&Arc<Held>> {
        self.held_named(kind, self.input.required(kind.parameter()))
    }

    pub(crate) fn held_named(&self, kind: Kind, name: &str) -> Result<&Arc<Held>> {
        let found = self.state().principal(kind, name);
        found.ok_or_else(|| IamError::no_such(format!("The {} with name {name} cannot be found.", kind.noun())))
    }

    pub(crate) fn account(&self) -> &str {
        &self.account
    }
}

/// Puts a principal in place of what has its name.
pub(crate) fn put(changes: &mut Changes, kind: Kind, entity: &Principal) -> Result<()> {
    let packed = pack(entity).map_err(IamError::internal)?;
    changes.push((row::principal(kind, &entity.name), Some(packed)));
    Ok(())
}

/// Checks a policy's document.
///
/// # Errors
/// `MalformedPolicyDocument` that tells what is wrong where.
pub(crate) fn parse_policy(document: &str, kind: PolicyKind) -> Result<Policy> {
    Policy::parse(document, kind).map_err(|error| IamError::malformed(error.to_string()))
}
