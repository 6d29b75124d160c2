//! Inline policies of users, groups and roles.

use geodynamo_policy::PolicyKind;

use super::{limits, page::Page, parse_policy, shapes};
use crate::{
    call::{Changes, Context},
    entity::Kind,
    query::{
        error::{IamError, Result},
        value::Structure,
    },
};

pub(super) fn put(cx: &Context<'_>, changes: &mut Changes, kind: Kind) -> Result<Structure> {
    let mut entity = cx.held(kind)?.entity.clone();
    let document = cx.input.required("PolicyDocument");
    parse_policy(document, PolicyKind::Identity)?;
    let name = cx.input.required("PolicyName");
    entity.inline.insert(name.to_owned(), document.to_owned());
    let all = entity.inline.values().flat_map(|document| document.chars());
    let size = all.filter(|character| !character.is_whitespace()).count();
    let max = limits::inline_characters(kind);
    if size > max {
        return Err(IamError::limit(format!(
            "Maximum policy size of {max} bytes exceeded for {} {}",
            kind.noun(),
            entity.name
        )));
    }
    put_entity(changes, kind, &entity)
}

pub(super) fn get(cx: &Context<'_>, kind: Kind) -> Result<Structure> {
    let held = cx.held(kind)?;
    let name = cx.input.required("PolicyName");
    let document = held.entity.inline.get(name).ok_or_else(|| no_policy(kind, name))?;
    Ok(Structure::new()
        .with(kind.parameter(), &held.entity.name)
        .with("PolicyName", name)
        .with("PolicyDocument", shapes::document(document)))
}

pub(super) fn delete(cx: &Context<'_>, changes: &mut Changes, kind: Kind) -> Result<Structure> {
    let mut entity = cx.held(kind)?.entity.clone();
    let name = cx.input.required("PolicyName");
    if entity.inline.remove(name).is_none() {
        return Err(no_policy(kind, name));
    }
    put_entity(changes, kind, &entity)
}

pub(super) fn list(cx: &Context<'_>, kind: Kind) -> Result<Structure> {
    let held = cx.held(kind)?;
    let names = held.entity.inline.keys().map(|name| (name.clone(), name.clone()));
    Ok(Page::of(cx.input, names, |name| name)?.answer("PolicyNames"))
}

fn put_entity(changes: &mut Changes, kind: Kind, entity: &crate::entity::Principal) -> Result<Structure> {
    super::put(changes, kind, entity)?;
    Ok(Structure::new())
}

fn no_policy(kind: Kind, name: &str) -> IamError {
    IamError::no_such(format!("The {} policy with name {name} cannot be found.", kind.noun()))
}
