//! Entities as answers show them.

use std::collections::BTreeMap;

use geodynamo_policy::renamed;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::{
    authorize::names_now,
    call::Context,
    entity::{AccessKey, Kind, ManagedPolicy, PolicyVersion, Principal},
    managed::{self, Managed},
    query::value::Structure,
};

/// What RFC 3986 does not reserve stays.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A document as answers have it: URL-encoded.
pub(super) fn document(text: &str) -> String {
    utf8_percent_encode(text, ENCODED).to_string()
}

pub(super) fn tags(tags: &BTreeMap<String, String>) -> Vec<Structure> {
    tags.iter()
        .map(|(key, value)| Structure::new().with("Key", key).with("Value", value))
        .collect()
}

fn some_tags(all: &BTreeMap<String, String>) -> Option<Vec<Structure>> {
    (!all.is_empty()).then(|| tags(all))
}

fn boundary(entity: &Principal) -> Option<Structure> {
    entity.boundary.as_ref().map(|arn| {
        Structure::new()
            .with("PermissionsBoundaryType", "Policy")
            .with("PermissionsBoundaryArn", arn)
    })
}

/// A user, a group or a role. Lists show neither tags nor boundaries.
pub(super) fn principal(cx: &Context<'_>, kind: Kind, entity: &Principal, whole: bool) -> Structure {
    let name = kind.parameter();
    let id = match kind {
        Kind::User => "UserId",
        Kind::Group => "GroupId",
        Kind::Role => "RoleId",
    };
    let mut shown = Structure::new()
        .with("Path", &entity.path)
        .with(name, &entity.name)
        .with(id, &entity.id)
        .with("Arn", entity.arn(kind, cx.account()))
        .with("CreateDate", time(entity.created));
    if kind == Kind::Role {
        let names = names_now(&cx.snapshot.accounts, &entity.trusted);
        shown = shown
            .with("AssumeRolePolicyDocument", document(&renamed(&entity.trust, &names)))
            .with("Description", entity.description.as_ref())
            .with("MaxSessionDuration", entity.session_s_max);
    }
    if whole && kind != Kind::Group {
        shown = shown
            .with("PermissionsBoundary", boundary(entity))
            .with("Tags", some_tags(&entity.tags));
        if kind == Kind::Role {
            shown = shown.with("RoleLastUsed", Structure::new());
        }
    }
    shown
}

/// A managed policy of the account's own. Lists show neither its description nor its tags.
pub(super) fn policy(cx: &Context<'_>, entity: &ManagedPolicy, whole: bool) -> Structure {
    let arn = entity.arn(cx.account());
    let (attached, boundaries) = super::attached::counts(cx.state(), &arn);
    let shown = Structure::new()
        .with("PolicyName", &entity.name)
        .with("PolicyId", &entity.id)
        .with("Arn", arn)
        .with("Path", &entity.path)
        .with("DefaultVersionId", version_id(entity.default))
        .with("AttachmentCount", attached)
        .with("PermissionsBoundaryUsageCount", boundaries)
        .with("IsAttachable", true)
        .with("CreateDate", time(entity.created))
        .with("UpdateDate", time(entity.updated));
    if !whole {
        return shown;
    }
    shown
        .with("Description", entity.description.as_ref())
        .with("Tags", tags(&entity.tags))
}

/// A managed policy of AWS's.
pub(super) fn aws_policy(cx: &Context<'_>, managed: &Managed, whole: bool) -> Structure {
    let (attached, boundaries) = super::attached::counts(cx.state(), &managed.arn);
    let shown = Structure::new()
        .with("PolicyName", managed.name)
        .with("PolicyId", managed.id)
        .with("Arn", &managed.arn)
        .with("Path", managed.path)
        .with("DefaultVersionId", "v1")
        .with("AttachmentCount", attached)
        .with("PermissionsBoundaryUsageCount", boundaries)
        .with("IsAttachable", true)
        .with("CreateDate", time(managed::CREATED_UNIX_S))
        .with("UpdateDate", time(managed::CREATED_UNIX_S));
    if whole {
        shown
            .with("Description", managed.description)
            .with("Tags", Vec::<Structure>::new())
    } else {
        shown
    }
}

pub(super) fn version(number: u32, version: &PolicyVersion, is_default: bool, with_document: bool) -> Structure {
    let document = with_document.then(|| document(&version.document));
    Structure::new()
        .with("Document", document)
        .with("VersionId", version_id(number))
        .with("IsDefaultVersion", is_default)
        .with("CreateDate", time(version.created))
}

pub(super) fn access_key(user: Option<&str>, key: &AccessKey) -> Structure {
    Structure::new()
        .with("UserName", user)
        .with("AccessKeyId", &key.id)
        .with("Status", status(key.active))
        .with("CreateDate", time(key.created))
}

pub(super) fn status(active: bool) -> &'static str {
    if active { "Active" } else { "Inactive" }
}

pub(super) fn version_id(number: u32) -> String {
    format!("v{number}")
}

pub(super) fn attached(arn: &str) -> Structure {
    Structure::new()
        .with("PolicyName", crate::authorize::policy_name(arn))
        .with("PolicyArn", arn)
}

pub(super) fn time(unix_s: i64) -> crate::query::value::Value {
    crate::query::value::Value::Time(unix_s)
}
