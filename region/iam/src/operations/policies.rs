//! Managed policies and their versions.

use std::collections::BTreeMap;

use geodynamo_policy::PolicyKind;

use super::{attached, limits, page::Page, parse_policy, shapes, tags};
use crate::{
    call::{Changes, Context},
    entity::{ManagedPolicy, PolicyVersion, folded},
    ids::{self, Prefix},
    managed::{self, Managed},
    query::{
        error::{IamError, Result},
        value::Structure,
    },
    state::{pack, row},
};

pub(super) fn create(cx: &Context<'_>, changes: &mut Changes) -> Result<Structure> {
    let name = cx.input.required("PolicyName");
    if cx.state().policies().contains_key(&folded(name)) {
        return Err(IamError::exists(format!(
            "A policy called {name} already exists. Duplicate names are not allowed."
        )));
    }
    let quota = limits::POLICIES_PER_ACCOUNT;
    limits::check("PoliciesPerAccount", cx.state().policies().len() + 1, quota)?;
    let version = PolicyVersion {
        document: document(cx)?,
        created: cx.call.now_unix_s,
    };
    let mut entity = ManagedPolicy {
        name: name.to_owned(),
        id: ids::unique(Prefix::Policy)?,
        path: super::principals::path(cx.input.text("Path"))?,
        created: cx.call.now_unix_s,
        updated: cx.call.now_unix_s,
        description: cx.input.text("Description").map(str::to_owned),
        tags: BTreeMap::new(),
        versions: BTreeMap::from([(1, version)]),
        default: 1,
        next: 2,
    };
    tags::add(&mut entity.tags, cx.input)?;
    put(changes, &entity)?;
    Ok(Structure::new().with("Policy", shapes::policy(cx, &entity, true)))
}

pub(super) fn get(cx: &Context<'_>) -> Result<Structure> {
    let policy = match find(cx)? {
        Found::Own(entity) => shapes::policy(cx, entity, true),
        Found::Aws(managed) => shapes::aws_policy(cx, managed, true),
    };
    Ok(Structure::new().with("Policy", policy))
}

pub(super) fn list(cx: &Context<'_>) -> Result<Structure> {
    let scope = cx.input.text("Scope").unwrap_or("All");
    let prefix = cx.input.text("PathPrefix").unwrap_or("/");
    let only_attached = cx.input.boolean("OnlyAttached").unwrap_or(false);
    let as_boundary = cx
        .input
        .text("PolicyUsageFilter")
        .map(|usage| usage == "PermissionsBoundary");
    let used = |arn: &str| {
        let (attached, boundaries) = attached::counts(cx.state(), arn);
        let fits = match as_boundary {
            None => true,
            Some(true) => boundaries > 0,
            Some(false) => attached > 0,
        };
        fits && (!only_attached || attached > 0)
    };
    let mut found = BTreeMap::new();
    if scope != "AWS" {
        for (key, held) in cx.state().policies() {
            let entity = &held.entity;
            if entity.path.starts_with(prefix) && used(&entity.arn(cx.account())) {
                found.insert(format!("0/{key}"), Found::Own(entity));
            }
        }
    }
    if scope != "Local" {
        for managed in managed::all() {
            if managed.path.starts_with(prefix) && used(&managed.arn) {
                found.insert(format!("1/{}", managed.name), Found::Aws(managed));
            }
        }
    }
    let page = Page::of(cx.input, found, |found| match found {
        Found::Own(entity) => shapes::policy(cx, entity, false),
        Found::Aws(managed) => shapes::aws_policy(cx, managed, false),
    })?;
    Ok(page.answer("Policies"))
}

pub(super) fn delete(cx: &Context<'_>, changes: &mut Changes) -> Result<Structure> {
    let entity = own(cx)?;
    let (attached, boundaries) = attached::counts(cx.state(), cx.input.required("PolicyArn"));
    if attached + boundaries > 0 {
        return Err(IamError::conflict("Cannot delete a policy attached to entities."));
    }
    if entity.versions.len() > 1 {
        return Err(IamError::conflict(
            "This policy has more than one version. Before you delete a policy, you must delete the policy's versions. The \
             default version is deleted with the policy.",
        ));
    }
    changes.push((row::policy(&entity.name), None));
    Ok(Structure::new())
}

pub(super) fn create_version(cx: &Context<'_>, changes: &mut Changes) -> Result<Structure> {
    let mut entity = own(cx)?.clone();
    let version = PolicyVersion {
        document: document(cx)?,
        created: cx.call.now_unix_s,
    };
    if entity.versions.len() >= limits::VERSIONS_PER_POLICY {
        return Err(IamError::limit(format!(
            "A managed policy can have up to {} versions. Before you create a new version, you must delete an existing \
             version.",
            limits::VERSIONS_PER_POLICY
        )));
    }
    let number = entity.next.max(1);
    entity.next = number.saturating_add(1);
    entity.versions.insert(number, version.clone());
    let is_default = cx.input.boolean("SetAsDefault").unwrap_or(false);
    if is_default {
        entity.default = number;
    }
    entity.updated = cx.call.now_unix_s;
    put(changes, &entity)?;
    Ok(Structure::new().with("PolicyVersion", shapes::version(number, &version, is_default, false)))
}

pub(super) fn get_version(cx: &Context<'_>) -> Result<Structure> {
    let shown = match find(cx)? {
        Found::Own(entity) => {
            let (number, version) = version(cx, entity)?;
            shapes::version(number, version, number == entity.default, true)
        }
        Found::Aws(managed) if cx.input.required("VersionId") == "v1" => aws_version(managed, true),
        Found::Aws(managed) => return Err(no_version(&managed.arn, cx.input.required("VersionId"))),
    };
    Ok(Structure::new().with("PolicyVersion", shown))
}

pub(super) fn list_versions(cx: &Context<'_>) -> Result<Structure> {
    let entity = match find(cx)? {
        Found::Own(entity) => entity,
        Found::Aws(managed) => {
            let page = Page::of(cx.input, [("v1".to_owned(), managed)], |managed| {
                aws_version(managed, false)
            })?;
            return Ok(page.answer("Versions"));
        }
    };
    // The newest first, as IAM has them.
    let versions = entity.versions.iter().rev();
    let page = Page::of(
        cx.input,
        versions.map(|(number, version)| (format!("{:010}", u32::MAX - number), (*number, version))),
        |(number, version)| shapes::version(number, version, number == entity.default, false),
    )?;
    Ok(page.answer("Versions"))
}

pub(super) fn delete_version(cx: &Context<'_>, changes: &mut Changes) -> Result<Structure> {
    let mut entity = own(cx)?.clone();
    let (number, _) = version(cx, &entity)?;
    if number == entity.default {
        return Err(IamError::conflict("Cannot delete the default version of a policy."));
    }
    entity.versions.remove(&number);
    put(changes, &entity)?;
    Ok(Structure::new())
}

pub(super) fn set_default(cx: &Context<'_>, changes: &mut Changes) -> Result<Structure> {
    let mut entity = own(cx)?.clone();
    (entity.default, _) = version(cx, &entity)?;
    entity.updated = cx.call.now_unix_s;
    put(changes, &entity)?;
    Ok(Structure::new())
}

enum Found<'a> {
    Own(&'a ManagedPolicy),
    Aws(&'static Managed),
}

fn find<'a>(cx: &'a Context<'_>) -> Result<Found<'a>> {
    match managed::find(cx.input.required("PolicyArn")) {
        Some(managed) => Ok(Found::Aws(managed)),
        None => own(cx).map(Found::Own),
    }
}

/// The policy of the account's own that a call names.
pub(super) fn own<'a>(cx: &'a Context<'_>) -> Result<&'a ManagedPolicy> {
    let arn = cx.input.required("PolicyArn");
    if managed::find(arn).is_some() {
        return Err(IamError::denied(format!(
            "Policies that AWS manages cannot be changed: {arn}"
        )));
    }
    match cx.state().own_policy(cx.account(), arn) {
        Some(held) => Ok(&held.entity),
        None => Err(IamError::no_such(format!("Policy {arn} was not found."))),
    }
}

pub(super) fn put(changes: &mut Changes, entity: &ManagedPolicy) -> Result<()> {
    let packed = pack(entity).map_err(IamError::internal)?;
    changes.push((row::policy(&entity.name), Some(packed)));
    Ok(())
}

fn document(cx: &Context<'_>) -> Result<String> {
    let document = cx.input.required("PolicyDocument");
    let policy = parse_policy(document, PolicyKind::Identity)?;
    limits::check("PolicySize", policy.size_chars(), limits::POLICY_CHARACTERS)?;
    Ok(document.to_owned())
}

fn version<'a>(cx: &Context<'_>, entity: &'a ManagedPolicy) -> Result<(u32, &'a PolicyVersion)> {
    let id = cx.input.required("VersionId");
    let number = id.strip_prefix('v').and_then(|number| number.parse().ok());
    let found = number.and_then(|number| Some((number, entity.versions.get(&number)?)));
    found.ok_or_else(|| no_version(cx.input.required("PolicyArn"), id))
}

fn no_version(arn: &str, id: &str) -> IamError {
    IamError::no_such(format!(
        "Policy {arn} version {id} does not exist or is not attachable."
    ))
}

fn aws_version(managed: &Managed, with_document: bool) -> Structure {
    let version = PolicyVersion {
        document: managed.document.trim_end().to_owned(),
        created: managed::CREATED_UNIX_S,
    };
    shapes::version(1, &version, true, with_document)
}
