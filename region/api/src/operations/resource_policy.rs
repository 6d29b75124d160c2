//! Policies of tables and streams.

use geodynamo_policy::{Policy, PolicyKind, renamed};
use geodynamo_storage::Engine;
use geodynamo_table::{ExpectedPolicy, NewPolicy, PolicyOf, StreamName};

use super::streams::stream_error;
use crate::{
    Api,
    authorize::Gate,
    errors::ApiError,
    generated::{
        DeleteResourcePolicyInput, DeleteResourcePolicyOutput, GetResourcePolicyInput, GetResourcePolicyOutput,
        PutResourcePolicyInput, PutResourcePolicyOutput,
    },
};

/// The longest policy, in bytes: 20 KB, white space counts.
const POLICY_BYTES_MAX: usize = 20 * 1024;

/// What an ARN names that has a policy.
enum Resource {
    Table(String),
    Stream(StreamName),
}

impl Resource {
    fn of(&self) -> PolicyOf<'_> {
        match self {
            Self::Table(name) => PolicyOf::Table(name),
            Self::Stream(name) => PolicyOf::Stream(name),
        }
    }
}

/// The table or the stream of an ARN. Indexes have no policy of their own.
fn resource<E: Engine>(api: &Api<E>, arn: &str) -> Result<Resource, ApiError> {
    if !arn.contains("/stream/") {
        if arn.contains("/index/") {
            return Err(ApiError::invalid_arn(arn));
        }
        let name = api.table_of_arn(arn)?;
        api.tables.table_named(&name)?;
        return Ok(Resource::Table(name.into_owned()));
    }
    // A stream outlives its table, but a policy is the table's to keep.
    api.tables.table_named(&api.table_of_arn(arn)?)?;
    let name = api.stream_of_arn(arn)?;
    let found = api.tables.streams().describe_stream(&name, None, None, 1);
    found.map_err(|error| stream_error(error, arn))?;
    Ok(Resource::Stream(name))
}

/// Compiles a policy, and refuses one that is too long, is none, or names principals that do not exist. Gives it, and what is to
/// be stored of it.
pub(super) fn check<E: Engine>(api: &Api<E>, text: String) -> Result<(Policy, NewPolicy), ApiError> {
    if text.len() > POLICY_BYTES_MAX {
        return Err(ApiError::policy_too_large(POLICY_BYTES_MAX));
    }
    let policy =
        Policy::parse(&text, PolicyKind::Resource).map_err(|error| ApiError::invalid_policy(&error.to_string()))?;
    let missing = policy
        .aws_principals()
        .find(|principal| !api.principals.exists(&api.account, principal));
    if let Some(principal) = missing {
        return Err(ApiError::invalid_policy(&format!(
            "Invalid principal in policy: {principal}"
        )));
    }
    let known = policy
        .aws_principals()
        .filter_map(|principal| Some((principal.to_owned(), api.principals.id(principal)?)));
    let principals = known.collect();
    Ok((policy, NewPolicy { text, principals }))
}

/// Gives a policy.
pub(super) fn get<E: Engine>(
    api: &Api<E>,
    input: &GetResourcePolicyInput,
) -> Result<GetResourcePolicyOutput, ApiError> {
    let arn = input.resource_arn.as_deref().unwrap_or_default();
    let resource = resource(api, arn)?;
    let policy = api.tables.catalog().resource_policy(resource.of())?;
    let policy = policy.ok_or_else(|| ApiError::policy_not_found(arn))?;
    let names = api.principals.names(&policy.principals);
    Ok(GetResourcePolicyOutput {
        policy: Some(renamed(&policy.text, &names).into()),
        revision_id: Some(policy.revision.as_str().into()),
    })
}

/// Puts a policy in the place of the one that is there.
pub(super) async fn put<E: Engine>(
    api: &Api<E>,
    gate: &Gate<'_, E>,
    input: PutResourcePolicyInput,
) -> Result<PutResourcePolicyOutput, ApiError> {
    let arn = input.resource_arn.as_deref().unwrap_or_default();
    let text = input.policy.unwrap_or_default();
    let (policy, stored) = check(api, text.into())?;
    let resource = resource(api, arn)?;
    if input.confirm_remove_self_resource_access != Some(true) && !gate.could_change_policy(arn, policy)? {
        return Err(ApiError::removes_own_access());
    }
    let expected = match input.expected_revision_id.as_deref() {
        None => ExpectedPolicy::Any,
        Some("NO_POLICY") => ExpectedPolicy::Absent,
        Some(revision) => ExpectedPolicy::Revision(revision),
    };
    let put = api
        .tables
        .catalog()
        .set_resource_policy(resource.of(), Some(stored), expected)
        .await?;
    let put = put.flatten().ok_or_else(|| ApiError::policy_not_found(arn))?;
    Ok(PutResourcePolicyOutput {
        revision_id: Some(put.revision.into()),
    })
}

/// Takes a policy away. Where there is none, that is no error, unless a certain revision was meant.
pub(super) async fn delete<E: Engine>(
    api: &Api<E>,
    input: &DeleteResourcePolicyInput,
) -> Result<DeleteResourcePolicyOutput, ApiError> {
    let arn = input.resource_arn.as_deref().unwrap_or_default();
    let resource = resource(api, arn)?;
    let expected = input.expected_revision_id.as_deref();
    let expected = expected.map_or(ExpectedPolicy::Any, ExpectedPolicy::Revision);
    let deleted = api
        .tables
        .catalog()
        .set_resource_policy(resource.of(), None, expected)
        .await?;
    let deleted = deleted.ok_or_else(|| ApiError::policy_not_found(arn))?;
    Ok(DeleteResourcePolicyOutput {
        revision_id: deleted.map(|policy| policy.revision.into()),
    })
}
