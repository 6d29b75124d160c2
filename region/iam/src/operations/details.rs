//! `GetAccountAuthorizationDetails`: everything, in pages.

use super::{page::Page, shapes};
use crate::{
    call::Context,
    entity::{Kind, ManagedPolicy, PolicyVersion, Principal},
    managed::{self, Managed},
    query::{
        error::Result,
        value::{Structure, Value},
    },
};

/// One of the things that are listed.
enum Entry<'a> {
    Principal(Kind, &'a Principal),
    Own(&'a ManagedPolicy),
    Aws(&'static Managed),
}

pub(super) fn get(cx: &Context<'_>) -> Result<Structure> {
    let filter: Vec<&str> = cx.input.texts("Filter").collect();
    let wants = |name: &str| filter.is_empty() || filter.contains(&name);
    let mut entries: Vec<(String, Entry<'_>)> = Vec::new();
    for kind in Kind::ALL {
        if wants(kind.title()) {
            let all = cx.state().principals(kind).iter();
            entries
                .extend(all.map(|(key, held)| (format!("{}/{key}", kind as u8), Entry::Principal(kind, &held.entity))));
        }
    }
    if wants("LocalManagedPolicy") {
        let all = cx.state().policies().iter();
        entries.extend(all.map(|(key, held)| (format!("3/{key}"), Entry::Own(&held.entity))));
    }
    if wants("AWSManagedPolicy") {
        entries.extend(
            managed::all()
                .iter()
                .map(|managed| (format!("4/{}", managed.name), Entry::Aws(managed))),
        );
    }
    let page = Page::of(cx.input, entries, |entry| {
        let (kind, shown) = match entry {
            Entry::Principal(kind, entity) => (kind.title(), principal(cx, kind, entity)),
            Entry::Own(entity) => ("Policy", own(cx, entity)),
            Entry::Aws(managed) => ("Policy", aws(cx, managed)),
        };
        let mut entry = Structure::new();
        entry.0.push((kind, shown.into()));
        entry
    })?;
    let truncated = page.is_truncated();
    let (mut lists, mut answer) = (<[Vec<Value>; 4]>::default(), Structure::new());
    let mut paged = page.answer("Entries");
    for (name, value) in paged.0.drain(..) {
        match (name, value) {
            ("Entries", Value::List(members)) => {
                for member in members {
                    let Value::Structure(Structure(member)) = member else {
                        continue;
                    };
                    for (kind, shown) in member {
                        let place = ["User", "Group", "Role", "Policy"]
                            .iter()
                            .position(|other| *other == kind);
                        lists[place.unwrap_or(3)].push(shown);
                    }
                }
            }
            ("Marker", marker) => answer.0.push(("Marker", marker)),
            _ => {}
        }
    }
    let [users, groups, roles, policies] = lists;
    Ok(answer
        .with("UserDetailList", users)
        .with("GroupDetailList", groups)
        .with("RoleDetailList", roles)
        .with("Policies", policies)
        .with("IsTruncated", truncated))
}

fn principal(cx: &Context<'_>, kind: Kind, entity: &Principal) -> Structure {
    let mut shown = shapes::principal(cx, kind, entity, true);
    shown
        .0
        .retain(|(name, _)| !["Description", "MaxSessionDuration"].contains(name));
    let inline = entity.inline.iter().map(|(name, document)| {
        Structure::new()
            .with("PolicyName", name)
            .with("PolicyDocument", shapes::document(document))
    });
    let inline: Vec<Structure> = inline.collect();
    let attached: Vec<Structure> = entity.attached.iter().map(|arn| shapes::attached(arn)).collect();
    shown = shown.with("AttachedManagedPolicies", attached);
    match kind {
        Kind::User => {
            let groups = cx.state().groups_of(entity).map(|group| &group.entity.name);
            let groups: Vec<&String> = groups.collect();
            shown.with("UserPolicyList", inline).with("GroupList", groups)
        }
        Kind::Group => shown.with("GroupPolicyList", inline),
        Kind::Role => shown
            .with("RolePolicyList", inline)
            .with("InstanceProfileList", Vec::<Structure>::new()),
    }
}

fn own(cx: &Context<'_>, entity: &ManagedPolicy) -> Structure {
    let mut shown = shapes::policy(cx, entity, true);
    shown.0.retain(|(name, _)| *name != "Tags");
    let versions = entity.versions.iter().rev();
    let versions = versions.map(|(number, version)| shapes::version(*number, version, *number == entity.default, true));
    shown.with("PolicyVersionList", versions.collect::<Vec<_>>())
}

fn aws(cx: &Context<'_>, managed: &Managed) -> Structure {
    let mut shown = shapes::aws_policy(cx, managed, true);
    shown.0.retain(|(name, _)| *name != "Tags");
    let version = PolicyVersion {
        document: managed.document.trim_end().to_owned(),
        created: managed::CREATED_UNIX_S,
    };
    shown.with("PolicyVersionList", vec![shapes::version(1, &version, true, true)])
}
