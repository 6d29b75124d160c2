//! STS: who one is, and temporary credentials.

mod assume;
pub(crate) mod identity;
pub(crate) mod jwt;
mod web_identity;

use std::{collections::BTreeMap, sync::Arc};

use geodynamo_policy::{CallerKind, PolicyKind};

use crate::{
    accounts::is_id,
    authorize::CallKeys,
    call::{Call, Context},
    ids::{self, Prefix},
    operations::parse_policy,
    query::{
        error::{IamError, Result},
        shape::Operation,
        value::{Structure, Value},
    },
    session::Session,
};

/// How long a session of GetSessionToken lasts unless told, in seconds.
const SESSION_S: i64 = 12 * 3600;
/// The same of an account's root user, and the most that it can have.
const ROOT_SESSION_S: i64 = 3600;
/// All session policies and tags of a session together, in bytes. AWS packs them first.
const PACKED_BYTES_MAX: usize = 8 * 1024;

/// The account that a call of either service is about: of a role that is to be assumed, that which its ARN names, else the
/// caller's.
pub(crate) fn account(call: &Call<'_>, operation: &Operation, input: &Structure) -> Arc<str> {
    let role = input
        .text("RoleArn")
        .filter(|_| operation.name.starts_with("AssumeRole"));
    let named = role
        .and_then(|arn| arn.split(':').nth(4))
        .filter(|account| is_id(account));
    named.map_or_else(|| Arc::clone(&call.caller.account), Into::into)
}

/// Answers a call to STS.
pub(crate) async fn answer(cx: &Context<'_>) -> Result<Structure> {
    match cx.operation {
        "GetCallerIdentity" => Ok(caller_identity(cx)),
        "GetSessionToken" => session_token(cx),
        "GetAccessKeyInfo" => access_key_info(cx),
        "AssumeRole" => assume::role(cx),
        "AssumeRoleWithWebIdentity" => web_identity::assume_role(cx).await,
        other => Err(IamError::internal(format!("{other} is offered and not answered"))),
    }
}

/// Whose a key is. What a temporary key is of stands in its session token alone, so of those only the caller's own is known.
fn access_key_info(cx: &Context<'_>) -> Result<Structure> {
    cx.authorize(&cx.action, "*", &CallKeys::default(), None)?;
    let id = cx.input.required("AccessKeyId");
    let account = match cx.snapshot.accounts.of_key(id) {
        Some(account) => account,
        None if id == cx.call.access_key_id => &cx.call.caller.account,
        None => return Err(IamError::validation(format!("The access key {id} does not exist"))),
    };
    Ok(Structure::new().with("Account", &**account))
}

/// No policy is asked: whoever signed the call may know.
fn caller_identity(cx: &Context<'_>) -> Structure {
    let caller = cx.call.caller;
    Structure::new()
        .with("UserId", &*caller.user_id)
        .with("Account", &*caller.account)
        .with("Arn", &*caller.arn)
}

fn session_token(cx: &Context<'_>) -> Result<Structure> {
    let caller = cx.call.caller;
    let is_root = caller.is_root();
    if caller.session.is_some() || !matches!(caller.kind, CallerKind::User | CallerKind::Root) {
        return Err(IamError::denied("Cannot call GetSessionToken with session credentials"));
    }
    if cx.input.text("SerialNumber").is_some() {
        return Err(IamError::denied(
            "MultiFactorAuthentication failed with invalid MFA one time pass code. ",
        ));
    }
    let wanted = cx.input.integer("DurationSeconds");
    let duration = match wanted {
        Some(wanted) if is_root => wanted.min(ROOT_SESSION_S),
        Some(wanted) => wanted,
        None if is_root => ROOT_SESSION_S,
        None => SESSION_S,
    };
    let session = Session {
        generation: is_root
            .then(|| cx.state().member())
            .flatten()
            .map(|member| member.generation.clone()),
        principal: caller.user_id.to_string(),
        ..new_session(cx, duration)?
    };
    Ok(Structure::new().with("Credentials", credentials(cx, &session)?))
}

/// A session with an access key and nothing more yet.
fn new_session(cx: &Context<'_>, duration_s: i64) -> Result<Session> {
    Ok(Session {
        access_key_id: ids::unique(Prefix::TemporaryAccessKey)?,
        secret: ids::secret()?,
        issued: cx.call.now_unix_s,
        expires: cx.call.now_unix_s.saturating_add(duration_s),
        account: (*cx.account != *cx.core.account).then(|| cx.account.to_string()),
        generation: None,
        principal: String::new(),
        name: None,
        documents: Vec::new(),
        managed: Vec::new(),
        tags: BTreeMap::new(),
        transitive: Vec::new(),
        source_identity: None,
        provider: None,
        keys: BTreeMap::new(),
    })
}

/// `Credentials` of answers.
fn credentials(cx: &Context<'_>, session: &Session) -> Result<Structure> {
    let token = session.token(&cx.core.seals).map_err(IamError::internal)?;
    Ok(Structure::new()
        .with("AccessKeyId", &session.access_key_id)
        .with("SecretAccessKey", &session.secret)
        .with("SessionToken", token)
        .with("Expiration", Value::Time(session.expires)))
}

/// Takes the session policies that a call gives; tells how much of what a session may hold they and its tags are, in percent.
fn take_policies(cx: &Context<'_>, session: &mut Session) -> Result<Option<i64>> {
    if let Some(document) = cx.input.text("Policy") {
        parse_policy(document, PolicyKind::Session)?;
        session.documents.push(document.to_owned());
    }
    for given in cx.input.structures("PolicyArns") {
        let arn = given.text("arn").unwrap_or_default();
        if !cx.state().has_policy(cx.account(), arn) {
            return Err(IamError::malformed(format!("Policy {arn} does not exist.")));
        }
        session.managed.push(arn.to_owned());
    }
    let documents: usize = session.documents.iter().chain(&session.managed).map(String::len).sum();
    let tags: usize = session.tags.iter().map(|(key, value)| key.len() + value.len()).sum();
    let bytes = documents + tags;
    if bytes > PACKED_BYTES_MAX {
        let percent = bytes * 100 / PACKED_BYTES_MAX;
        return Err(IamError::new(
            "PackedPolicyTooLarge",
            format!("Packed policy consumes {percent}% of allotted space, please use smaller policy."),
        ));
    }
    if bytes == 0 {
        return Ok(None);
    }
    Ok(Some(
        i64::try_from((bytes * 100).div_ceil(PACKED_BYTES_MAX)).unwrap_or(100),
    ))
}
