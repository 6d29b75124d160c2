//! Tags.

use std::collections::BTreeMap;

use super::{limits, page::Page, policies, providers, put};
use crate::{
    call::{Changes, Context},
    entity::Kind,
    query::{
        error::{IamError, Result},
        value::Structure,
    },
};

/// Adds the tags that a call brings. Keys are unique without regard to case.
pub(super) fn add(all: &mut BTreeMap<String, String>, input: &Structure) -> Result<()> {
    let mut seen = Vec::new();
    for tag in input.structures("Tags") {
        let (key, value) = (tag.required("Key"), tag.required("Value"));
        let folded = key.to_lowercase();
        if folded.starts_with("aws:") {
            return Err(IamError::invalid_input(
                "aws: prefixed tag key names are not allowed for external use.",
            ));
        }
        if seen.contains(&folded) {
            return Err(IamError::invalid_input(
                "Duplicate tag keys found. Please note that Tag keys are case insensitive.",
            ));
        }
        seen.push(folded);
        all.retain(|other, _| other.to_lowercase() != key.to_lowercase());
        all.insert(key.to_owned(), value.to_owned());
    }
    if all.len() > limits::TAGS {
        return Err(IamError::limit(format!(
            "The number of tags has reached the maximum limit: {}.",
            limits::TAGS
        )));
    }
    Ok(())
}

fn remove(all: &mut BTreeMap<String, String>, input: &Structure) {
    for key in input.texts("TagKeys") {
        all.retain(|other, _| other.to_lowercase() != key.to_lowercase());
    }
}

fn list(all: &BTreeMap<String, String>, input: &Structure) -> Result<Structure> {
    let page = Page::of(
        input,
        all.iter().map(|(key, value)| (key.clone(), (key, value))),
        |(key, value)| Structure::new().with("Key", key).with("Value", value),
    )?;
    Ok(page.answer("Tags"))
}

pub(super) fn tag_principal(cx: &Context<'_>, changes: &mut Changes, kind: Kind) -> Result<Structure> {
    let mut entity = cx.held(kind)?.entity.clone();
    add(&mut entity.tags, cx.input)?;
    put(changes, kind, &entity)?;
    Ok(Structure::new())
}

pub(super) fn untag_principal(cx: &Context<'_>, changes: &mut Changes, kind: Kind) -> Result<Structure> {
    let mut entity = cx.held(kind)?.entity.clone();
    remove(&mut entity.tags, cx.input);
    put(changes, kind, &entity)?;
    Ok(Structure::new())
}

pub(super) fn list_of_principal(cx: &Context<'_>, kind: Kind) -> Result<Structure> {
    list(&cx.held(kind)?.entity.tags, cx.input)
}

pub(super) fn tag_policy(cx: &Context<'_>, changes: &mut Changes) -> Result<Structure> {
    let mut entity = policies::own(cx)?.clone();
    add(&mut entity.tags, cx.input)?;
    policies::put(changes, &entity)?;
    Ok(Structure::new())
}

pub(super) fn untag_policy(cx: &Context<'_>, changes: &mut Changes) -> Result<Structure> {
    let mut entity = policies::own(cx)?.clone();
    remove(&mut entity.tags, cx.input);
    policies::put(changes, &entity)?;
    Ok(Structure::new())
}

pub(super) fn list_of_policy(cx: &Context<'_>) -> Result<Structure> {
    if crate::managed::find(cx.input.required("PolicyArn")).is_some() {
        return list(&BTreeMap::new(), cx.input);
    }
    list(&policies::own(cx)?.tags, cx.input)
}

pub(super) fn tag_provider(cx: &Context<'_>, changes: &mut Changes) -> Result<Structure> {
    let mut provider = providers::find(cx)?.clone();
    add(&mut provider.tags, cx.input)?;
    providers::put(changes, &provider)
}

pub(super) fn untag_provider(cx: &Context<'_>, changes: &mut Changes) -> Result<Structure> {
    let mut provider = providers::find(cx)?.clone();
    remove(&mut provider.tags, cx.input);
    providers::put(changes, &provider)
}

pub(super) fn list_of_provider(cx: &Context<'_>) -> Result<Structure> {
    list(&providers::find(cx)?.tags, cx.input)
}
