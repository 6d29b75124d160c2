//! Users, groups and roles.

use std::collections::BTreeMap;

use geodynamo_policy::PolicyKind;

use super::{limits, page::Page, parse_policy, put, shapes, tags};
use crate::{
    authorize,
    call::{Changes, Context},
    entity::{Kind, Principal},
    ids::{self, Prefix},
    query::{
        error::{IamError, Result},
        value::Structure,
    },
    state::{Held, row},
};

/// How long a role's session may last unless it is told, in seconds.
const SESSION_S: i64 = 3_600;

pub(super) fn create(cx: &Context<'_>, changes: &mut Changes, kind: Kind) -> Result<Structure> {
    let name = cx.input.required(kind.parameter());
    if cx.state().principal(kind, name).is_some() {
        return Err(IamError::exists(format!(
            "{} with name {name} already exists.",
            kind.title()
        )));
    }
    let quota = format!("{}sPerAccount", kind.title());
    limits::check(&quota, cx.state().principals(kind).len() + 1, limits::of_kind(kind))?;
    let prefix = match kind {
        Kind::User => Prefix::User,
        Kind::Group => Prefix::Group,
        Kind::Role => Prefix::Role,
    };
    let mut entity = Principal {
        name: name.to_owned(),
        id: ids::unique(prefix)?,
        path: path(cx.input.text("Path"))?,
        created: cx.call.now_unix_s,
        ..Principal::default()
    };
    if kind != Kind::Group {
        tags::add(&mut entity.tags, cx.input)?;
        entity.boundary = super::boundaries::given(cx)?;
    }
    if kind == Kind::Role {
        let document = cx.input.required("AssumeRolePolicyDocument");
        entity.trusted = trusted(cx, document)?;
        entity.trust = document.to_owned();
        entity.description = cx.input.text("Description").map(str::to_owned);
        entity.session_s_max = cx.input.integer("MaxSessionDuration").unwrap_or(SESSION_S);
    }
    put(changes, kind, &entity)?;
    Ok(Structure::new().with(kind.title(), shapes::principal(cx, kind, &entity, true)))
}

pub(super) fn get_user(cx: &Context<'_>) -> Result<Structure> {
    let kind = Kind::User;
    let name = cx.input.text("UserName").or(cx.call.caller.user_name.as_deref());
    let user = match name {
        Some(name) => shapes::principal(cx, kind, &cx.held_named(kind, name)?.entity, true),
        None if cx.call.caller.is_root() => Structure::new()
            .with("UserId", cx.account())
            .with("Arn", &*cx.call.caller.arn)
            .with("CreateDate", shapes::time(0)),
        None => {
            return Err(IamError::validation(
                "Must specify userName when calling with non-User credentials",
            ));
        }
    };
    Ok(Structure::new().with("User", user))
}

pub(super) fn get_role(cx: &Context<'_>) -> Result<Structure> {
    let role = cx.held(Kind::Role)?;
    Ok(Structure::new().with("Role", shapes::principal(cx, Kind::Role, &role.entity, true)))
}

pub(super) fn get_group(cx: &Context<'_>) -> Result<Structure> {
    let group = cx.held(Kind::Group)?;
    let users = cx.state().principals(Kind::User).iter();
    let members = users.filter(|(_, user)| user.entity.groups.contains(&group.entity.id));
    let page = Page::of(
        cx.input,
        members.map(|(key, user)| (key.clone(), user)),
        |user: &std::sync::Arc<Held>| shapes::principal(cx, Kind::User, &user.entity, false),
    )?;
    let shown = shapes::principal(cx, Kind::Group, &group.entity, true);
    let mut answer = page.answer("Users");
    answer.0.push(("Group", shown.into()));
    Ok(answer)
}

pub(super) fn list(cx: &Context<'_>, kind: Kind) -> Result<Structure> {
    let prefix = cx.input.text("PathPrefix").unwrap_or("/");
    let all = cx.state().principals(kind).iter();
    let under = all.filter(|(_, held)| held.entity.path.starts_with(prefix));
    let page = Page::of(
        cx.input,
        under.map(|(key, held)| (key.clone(), held)),
        |held: &std::sync::Arc<Held>| shapes::principal(cx, kind, &held.entity, false),
    )?;
    Ok(page.answer(match kind {
        Kind::User => "Users",
        Kind::Group => "Groups",
        Kind::Role => "Roles",
    }))
}

pub(super) fn groups_for_user(cx: &Context<'_>) -> Result<Structure> {
    let user = cx.held(Kind::User)?;
    let groups: BTreeMap<String, _> = cx
        .state()
        .groups_of(&user.entity)
        .map(|group| (group.entity.name.to_lowercase(), group))
        .collect();
    let page = Page::of(cx.input, groups, |group| {
        shapes::principal(cx, Kind::Group, &group.entity, false)
    })?;
    Ok(page.answer("Groups"))
}

/// A new name, a new path, or both.
pub(super) fn rename(cx: &Context<'_>, changes: &mut Changes, kind: Kind) -> Result<Structure> {
    let held = cx.held(kind)?;
    let (parameter, title) = match kind {
        Kind::User => ("NewUserName", "User"),
        _ => ("NewGroupName", "Group"),
    };
    let mut entity = held.entity.clone();
    if let Some(path_given) = cx.input.text("NewPath") {
        entity.path = path(Some(path_given))?;
    }
    if let Some(name) = cx.input.text(parameter) {
        let other = cx.state().principal(kind, name);
        if other.is_some_and(|other| other.entity.id != entity.id) {
            return Err(IamError::exists(format!("{title} with name {name} already exists.")));
        }
        let (before, after) = (row::principal(kind, &entity.name), row::principal(kind, name));
        if before != after {
            changes.push((before, None));
        }
        entity.name = name.to_owned();
    }
    put(changes, kind, &entity)?;
    Ok(Structure::new())
}

pub(super) fn update_role(cx: &Context<'_>, changes: &mut Changes) -> Result<Structure> {
    let mut entity = cx.held(Kind::Role)?.entity.clone();
    if let Some(description) = cx.input.text("Description") {
        entity.description = Some(description.to_owned()).filter(|description| !description.is_empty());
    }
    if let Some(duration) = cx.input.integer("MaxSessionDuration") {
        entity.session_s_max = duration;
    }
    put(changes, Kind::Role, &entity)?;
    if cx.operation == "UpdateRole" {
        return Ok(Structure::new());
    }
    Ok(Structure::new().with("Role", shapes::principal(cx, Kind::Role, &entity, true)))
}

pub(super) fn update_trust(cx: &Context<'_>, changes: &mut Changes) -> Result<Structure> {
    let mut entity = cx.held(Kind::Role)?.entity.clone();
    let document = cx.input.required("PolicyDocument");
    entity.trusted = trusted(cx, document)?;
    entity.trust = document.to_owned();
    put(changes, Kind::Role, &entity)?;
    Ok(Structure::new())
}

pub(super) fn delete(cx: &Context<'_>, changes: &mut Changes, kind: Kind) -> Result<Structure> {
    let held = cx.held(kind)?;
    let entity = &held.entity;
    let first = |what: &str| Err(IamError::conflict(format!("Cannot delete entity, must {what} first.")));
    if !entity.keys.is_empty() {
        return first("delete access keys");
    }
    if !entity.inline.is_empty() {
        return first("delete policies");
    }
    if !entity.attached.is_empty() {
        return first("detach all policies");
    }
    // Groups that are gone in the meantime do not count.
    if cx.state().groups_of(entity).next().is_some() {
        return first("remove users from group");
    }
    if kind == Kind::Group {
        let mut users = cx.state().principals(Kind::User).values();
        if users.any(|user| user.entity.groups.contains(&entity.id)) {
            return first("remove users from group");
        }
    }
    changes.push((row::principal(kind, &entity.name), None));
    Ok(Structure::new())
}

/// Adds a user to a group, or takes it out of it.
pub(super) fn join_group(cx: &Context<'_>, changes: &mut Changes, joins: bool) -> Result<Structure> {
    let group = cx.held(Kind::Group)?;
    let user = cx.held(Kind::User)?;
    let mut entity = user.entity.clone();
    // Groups that are gone are forgotten.
    entity
        .groups
        .retain(|id| matches!(cx.state().by_id(id), Some((Kind::Group, _))));
    if joins {
        entity.groups.insert(group.entity.id.clone());
        limits::check("GroupsPerUser", entity.groups.len(), limits::GROUPS_PER_USER)?;
    } else if !entity.groups.remove(&group.entity.id) {
        return Err(IamError::no_such(format!(
            "The user {} is not in group {}.",
            entity.name, group.entity.name
        )));
    }
    put(changes, Kind::User, &entity)?;
    Ok(Structure::new())
}

/// A path, `/` unless told.
pub(super) fn path(given: Option<&str>) -> Result<String> {
    let path = given.unwrap_or("/");
    if path.contains("//") {
        return Err(IamError::validation(format!(
            "The specified value for path is invalid: {path} has an empty part"
        )));
    }
    Ok(path.to_owned())
}

/// Checks a trust policy; gives the unique ids of those whom it names, by ARN.
fn trusted(cx: &Context<'_>, document: &str) -> Result<BTreeMap<String, String>> {
    let policy = parse_policy(document, PolicyKind::Trust)?;
    limits::check("ACLSizePerRole", policy.size_chars(), limits::TRUST_CHARACTERS)?;
    let accounts = &cx.snapshot.accounts;
    let missing = policy
        .aws_principals()
        .find(|named| !authorize::has_principal(accounts, cx.account(), named));
    match missing {
        Some(named) => Err(IamError::malformed(format!(
            "Invalid principal in policy: \"AWS\":\"{named}\""
        ))),
        None => Ok(policy
            .aws_principals()
            .filter_map(|named| Some((named.to_owned(), authorize::id_of(accounts, named)?)))
            .collect()),
    }
}
