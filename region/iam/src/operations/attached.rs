//! Managed policies attached to users, groups and roles.

use super::{limits, page::Page, put, shapes};
use crate::{
    call::{Changes, Context},
    entity::Kind,
    query::{
        error::{IamError, Result},
        value::Structure,
    },
    state::State,
};

pub(super) fn attach(cx: &Context<'_>, changes: &mut Changes, kind: Kind) -> Result<Structure> {
    let mut entity = cx.held(kind)?.entity.clone();
    let arn = cx.input.required("PolicyArn");
    if !cx.state().has_policy(cx.account(), arn) {
        return Err(IamError::no_such(format!(
            "Policy {arn} does not exist or is not attachable."
        )));
    }
    // Policies that are gone are forgotten.
    entity
        .attached
        .retain(|other| other != arn && cx.state().has_policy(cx.account(), other));
    entity.attached.push(arn.to_owned());
    let quota = format!("PoliciesPer{}", kind.title());
    limits::check(&quota, entity.attached.len(), limits::attached_to(kind))?;
    put(changes, kind, &entity)?;
    Ok(Structure::new())
}

pub(super) fn detach(cx: &Context<'_>, changes: &mut Changes, kind: Kind) -> Result<Structure> {
    let mut entity = cx.held(kind)?.entity.clone();
    let arn = cx.input.required("PolicyArn");
    let before = entity.attached.len();
    entity.attached.retain(|other| other != arn);
    if entity.attached.len() == before {
        return Err(IamError::no_such(format!("Policy {arn} was not found.")));
    }
    put(changes, kind, &entity)?;
    Ok(Structure::new())
}

pub(super) fn list(cx: &Context<'_>, kind: Kind) -> Result<Structure> {
    let held = cx.held(kind)?;
    let prefix = cx.input.text("PathPrefix").unwrap_or("/");
    let mut arns: Vec<&String> = held.entity.attached.iter().collect();
    arns.retain(|arn| cx.state().has_policy(cx.account(), arn) && path_of(arn).starts_with(prefix));
    arns.sort_unstable();
    let page = Page::of(cx.input, arns.into_iter().map(|arn| (arn.clone(), arn)), |arn| {
        shapes::attached(arn)
    })?;
    Ok(page.answer("AttachedPolicies"))
}

/// Who has a policy, attached or as a boundary.
pub(super) fn entities(cx: &Context<'_>) -> Result<Structure> {
    let arn = cx.input.required("PolicyArn");
    if !cx.state().has_policy(cx.account(), arn) {
        return Err(IamError::no_such(format!("Policy {arn} was not found.")));
    }
    let wanted = cx.input.text("EntityFilter");
    let as_boundary = cx
        .input
        .text("PolicyUsageFilter")
        .map(|usage| usage == "PermissionsBoundary");
    let prefix = cx.input.text("PathPrefix").unwrap_or("/");
    let mut found = Vec::new();
    for kind in Kind::ALL {
        if wanted.is_some_and(|wanted| wanted != kind.title()) {
            continue;
        }
        for (name, held) in cx.state().principals(kind) {
            let entity = &held.entity;
            let has = (as_boundary != Some(true) && entity.attached.iter().any(|other| other == arn))
                || (as_boundary != Some(false) && entity.boundary.as_deref() == Some(arn));
            if has && entity.path.starts_with(prefix) {
                found.push((format!("{}/{name}", kind as u8), (kind, entity)));
            }
        }
    }
    let page = Page::of(cx.input, found, |(kind, entity)| {
        let id = match kind {
            Kind::User => "UserId",
            Kind::Group => "GroupId",
            Kind::Role => "RoleId",
        };
        Structure::new()
            .with(kind.parameter(), &entity.name)
            .with(id, &entity.id)
    })?;
    let mut answer = page.answer("Entities");
    let all = answer.0.iter().position(|(name, _)| *name == "Entities");
    let all = all.map(|place| answer.0.remove(place).1);
    let mut lists: [Vec<Structure>; 3] = Default::default();
    if let Some(crate::query::value::Value::List(members)) = all {
        for member in members {
            if let crate::query::value::Value::Structure(member) = member {
                let kind = Kind::ALL
                    .into_iter()
                    .find(|kind| member.text(kind.parameter()).is_some());
                if let Some(kind) = kind {
                    lists[kind as usize].push(member);
                }
            }
        }
    }
    let [users, groups, roles] = lists;
    Ok(answer
        .with("PolicyGroups", groups)
        .with("PolicyUsers", users)
        .with("PolicyRoles", roles))
}

/// How many have a policy attached, and how many as their boundary.
pub(super) fn counts(state: &State, arn: &str) -> (usize, usize) {
    let all = || {
        Kind::ALL
            .into_iter()
            .flat_map(move |kind| state.principals(kind).values())
    };
    let attached = all().filter(|held| held.entity.attached.iter().any(|other| other == arn));
    let bound = all().filter(|held| held.entity.boundary.as_deref() == Some(arn));
    (attached.count(), bound.count())
}

/// The path in a policy's ARN.
fn path_of(arn: &str) -> &str {
    let resource = arn.splitn(6, ':').nth(5).unwrap_or_default();
    let path = resource.strip_prefix("policy").unwrap_or("/");
    path.rfind('/').map_or("/", |last| &path[..=last])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        assert_eq!(path_of("arn:aws:iam::1:policy/a/b/P"), "/a/b/");
        assert_eq!(path_of("arn:aws:iam::1:policy/P"), "/");
        assert_eq!(path_of("nonsense"), "/");
    }
}
