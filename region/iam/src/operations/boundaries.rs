//! Permissions boundaries.

use super::put as put_entity;
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
    entity.boundary = given(cx)?;
    put_entity(changes, kind, &entity)?;
    Ok(Structure::new())
}

pub(super) fn delete(cx: &Context<'_>, changes: &mut Changes, kind: Kind) -> Result<Structure> {
    let mut entity = cx.held(kind)?.entity.clone();
    if entity.boundary.take().is_none() {
        return Err(IamError::no_such(format!(
            "{} {} does not have a permissions boundary",
            kind.title(),
            entity.name
        )));
    }
    put_entity(changes, kind, &entity)?;
    Ok(Structure::new())
}

/// The boundary that a call gives.
pub(super) fn given(cx: &Context<'_>) -> Result<Option<String>> {
    let Some(arn) = cx.input.text("PermissionsBoundary") else {
        return Ok(None);
    };
    if cx.state().has_policy(cx.account(), arn) {
        return Ok(Some(arn.to_owned()));
    }
    Err(IamError::no_such(format!(
        "Scope ARN: {arn} does not exist or is not attachable."
    )))
}
