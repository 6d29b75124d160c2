//! `AssumeRole`.

use std::{collections::BTreeMap, sync::Arc};

use geodynamo_policy::CallerKind;

use super::{credentials, new_session, take_policies};
use crate::{
    authorize::CallKeys,
    call::Context,
    entity::Kind,
    query::{
        error::{IamError, Result},
        value::Structure,
    },
    resolve::TRANSITIVE_KEYS,
    session::Session,
    state::Held,
};

/// How long a session lasts unless told, in seconds.
pub(super) const DURATION_S: i64 = 3600;
/// How long a session may last that was begun with another one, in seconds.
const CHAINED_S_MAX: i64 = 3600;
/// The most tags of a session.
const TAGS_MAX: usize = 50;

pub(super) fn role(cx: &Context<'_>) -> Result<Structure> {
    let caller = cx.call.caller;
    let arn = cx.input.required("RoleArn");
    if caller.is_root() {
        cx.refuse("Roles may not be assumed by root accounts.".into())?;
    }
    if cx.input.text("SerialNumber").is_some() {
        return Err(IamError::denied(
            "MultiFactorAuthentication failed with invalid MFA one time pass code. ",
        ));
    }
    let own = caller.session.as_ref();
    let tags = session_tags(cx)?;
    let transitive: Vec<String> = cx.input.texts("TransitiveTagKeys").map(str::to_owned).collect();
    let mut keys = CallKeys::default();
    keys.set("sts:rolesessionname", cx.input.required("RoleSessionName"));
    if let Some(id) = cx.input.text("ExternalId") {
        keys.set("sts:externalid", id);
    }
    keys.request_tags(tags.iter().map(|(key, value)| (key.as_str(), value.as_str())));
    if !transitive.is_empty() {
        keys.set_all("sts:transitivetagkeys", transitive.clone());
    }
    let inherited = own.and_then(|session| session.source_identity.as_deref());
    let source_identity = match (cx.input.text("SourceIdentity"), inherited) {
        (Some(given), Some(inherited)) if given != inherited => {
            return Err(IamError::denied("The source identity of a session cannot be changed"));
        }
        (given, inherited) => given.or(inherited),
    };
    if let Some(identity) = source_identity {
        keys.set("sts:sourceidentity", identity);
    }
    let role = find(cx, arn);
    if let Some(role) = &role {
        keys.resource_tags(&role.entity.tags);
    }
    let mut actions = vec!["sts:AssumeRole"];
    if !tags.is_empty() {
        actions.push("sts:TagSession");
    }
    if source_identity.is_some() {
        actions.push("sts:SetSourceIdentity");
    }
    let trust = role.as_ref().and_then(|role| role.trust.clone());
    for action in actions {
        match &role {
            // Whether it is not there or does not trust the caller is not told.
            Some(role) if role.trust.is_some() => {
                cx.authorize(action, arn, &keys, trust.as_deref())
                    .map_err(|_| denied(cx, action, arn))?;
            }
            _ => return Err(denied(cx, action, arn)),
        }
    }
    let Some(role) = role else {
        return Err(denied(cx, "sts:AssumeRole", arn));
    };
    let duration = duration(cx, &role, matches!(caller.kind, CallerKind::AssumedRole { .. }))?;
    let name = cx.input.required("RoleSessionName");
    let mut session = Session {
        principal: role.entity.id.clone(),
        name: Some(name.to_owned()),
        source_identity: source_identity.map(str::to_owned),
        ..new_session(cx, duration)?
    };
    pass_on(cx, &mut session, tags, transitive)?;
    let packed = take_policies(cx, &mut session)?;
    Ok(Structure::new()
        .with("Credentials", credentials(cx, &session)?)
        .with("AssumedRoleUser", assumed_role_user(cx, &role, name))
        .with("PackedPolicySize", packed)
        .with("SourceIdentity", source_identity))
}

/// The tags that a call gives to the session.
fn session_tags(cx: &Context<'_>) -> Result<BTreeMap<String, String>> {
    let mut tags: BTreeMap<String, String> = BTreeMap::new();
    for tag in cx.input.structures("Tags") {
        let (key, value) = (tag.required("Key"), tag.required("Value"));
        if tags.keys().any(|other| other.eq_ignore_ascii_case(key)) {
            return Err(IamError::new(
                "InvalidParameterValue",
                "Duplicate tag keys found. Please note that Tag keys are case insensitive.",
            ));
        }
        tags.insert(key.to_owned(), value.to_owned());
    }
    Ok(tags)
}

/// Gives a session its tags: those of the call, and those of the caller's session that go on.
fn pass_on(
    cx: &Context<'_>,
    session: &mut Session,
    tags: BTreeMap<String, String>,
    transitive: Vec<String>,
) -> Result<()> {
    let before = cx.call.caller.session.as_ref();
    let inherited = before.and_then(|before| before.keys.get(TRANSITIVE_KEYS));
    for key in inherited.into_iter().flatten() {
        if tags.keys().any(|other| other.eq_ignore_ascii_case(key)) {
            return Err(IamError::new(
                "InvalidParameterValue",
                format!(
                    "One of the specified transitive tag keys can't be set because it conflicts with a transitive tag key \
                         from the calling session: {key}"
                ),
            ));
        }
        if let Some(value) = cx.call.caller.tags.get(key) {
            session.tags.insert(key.clone(), value.clone());
            session.transitive.push(key.clone());
        }
    }
    session.tags.extend(tags);
    for key in transitive {
        if !session.tags.contains_key(&key) {
            return Err(IamError::new(
                "InvalidParameterValue",
                format!("The transitive tag key {key} is not among the tags"),
            ));
        }
        if !session.transitive.contains(&key) {
            session.transitive.push(key);
        }
    }
    if session.tags.len() > TAGS_MAX {
        return Err(IamError::new(
            "InvalidParameterValue",
            format!("A session has at most {TAGS_MAX} tags"),
        ));
    }
    Ok(())
}

/// The role with an ARN.
pub(super) fn find(cx: &Context<'_>, arn: &str) -> Option<Arc<Held>> {
    let name = arn.rsplit('/').next()?;
    let role = cx.state().principal(Kind::Role, name)?;
    (role.entity.arn(Kind::Role, cx.account()) == arn).then(|| Arc::clone(role))
}

/// How long the session is to last, in seconds.
pub(super) fn duration(cx: &Context<'_>, role: &Held, chained: bool) -> Result<i64> {
    let wanted = cx.input.integer("DurationSeconds").unwrap_or(DURATION_S);
    if chained && wanted > CHAINED_S_MAX {
        return Err(IamError::validation(
            "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining.",
        ));
    }
    if wanted > role.entity.session_s_max {
        return Err(IamError::validation(
            "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.",
        ));
    }
    Ok(wanted)
}

pub(super) fn assumed_role_user(cx: &Context<'_>, role: &Held, name: &str) -> Structure {
    let (entity, account) = (&role.entity, cx.account());
    Structure::new()
        .with("AssumedRoleId", format!("{}:{name}", entity.id))
        .with(
            "Arn",
            format!("arn:aws:sts::{account}:assumed-role/{}/{name}", entity.name),
        )
}

fn denied(cx: &Context<'_>, action: &str, arn: &str) -> IamError {
    IamError::denied(format!(
        "User: {} is not authorized to perform: {action} on resource: {arn}",
        cx.call.caller.arn
    ))
}
