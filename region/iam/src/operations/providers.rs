//! OpenID Connect providers.

use std::collections::BTreeSet;

use super::{limits, shapes, tags};
use crate::{
    call::{Changes, Context},
    entity::Provider,
    query::{
        error::{IamError, Result},
        value::Structure,
    },
    state::{pack, row},
};

pub(super) fn create(cx: &Context<'_>, changes: &mut Changes) -> Result<Structure> {
    let given = cx.input.required("Url");
    let url = given
        .strip_prefix("https://")
        .map(|url| url.trim_end_matches('/'))
        .filter(|url| !url.is_empty() && !url.contains(['?', '#', ' ']))
        .ok_or_else(|| IamError::invalid_input("Invalid Open ID Connect Provider URL"))?;
    if cx.state().providers().contains_key(url) {
        return Err(IamError::exists(format!("Provider with url {given} already exists.")));
    }
    let quota = limits::PROVIDERS_PER_ACCOUNT;
    limits::check(
        "OpenIdConnectProvidersPerAccount",
        cx.state().providers().len() + 1,
        quota,
    )?;
    let mut provider = Provider {
        url: url.to_owned(),
        created: cx.call.now_unix_s,
        clients: cx
            .input
            .texts("ClientIDList")
            .map(str::to_owned)
            .collect::<BTreeSet<_>>(),
        thumbprints: cx.input.texts("ThumbprintList").map(str::to_owned).collect(),
        ..Provider::default()
    };
    check_clients(&provider)?;
    tags::add(&mut provider.tags, cx.input)?;
    put(changes, &provider)?;
    Ok(Structure::new()
        .with("OpenIDConnectProviderArn", provider.arn(cx.account()))
        .with("Tags", shapes::tags(&provider.tags)))
}

pub(super) fn get(cx: &Context<'_>) -> Result<Structure> {
    let provider = find(cx)?;
    Ok(Structure::new()
        .with("Url", &provider.url)
        .with("ClientIDList", provider.clients.iter().collect::<Vec<_>>())
        .with("ThumbprintList", provider.thumbprints.clone())
        .with("CreateDate", shapes::time(provider.created))
        .with("Tags", shapes::tags(&provider.tags)))
}

pub(super) fn list(cx: &Context<'_>) -> Result<Structure> {
    let all = cx.state().providers().values();
    let arns = all.map(|provider| Structure::new().with("Arn", provider.arn(cx.account())));
    Ok(Structure::new().with("OpenIDConnectProviderList", arns.collect::<Vec<_>>()))
}

pub(super) fn delete(cx: &Context<'_>, changes: &mut Changes) -> Result<Structure> {
    changes.push((row::provider(&find(cx)?.url), None));
    Ok(Structure::new())
}

/// Adds a client, or takes it away; either is fine if it is so already.
pub(super) fn change_client(cx: &Context<'_>, changes: &mut Changes, adds: bool) -> Result<Structure> {
    let mut provider = find(cx)?.clone();
    let client = cx.input.required("ClientID");
    if adds {
        provider.clients.insert(client.to_owned());
        check_clients(&provider)?;
    } else {
        provider.clients.remove(client);
    }
    put(changes, &provider)
}

pub(super) fn update_thumbprints(cx: &Context<'_>, changes: &mut Changes) -> Result<Structure> {
    let mut provider = find(cx)?.clone();
    provider.thumbprints = cx.input.texts("ThumbprintList").map(str::to_owned).collect();
    put(changes, &provider)
}

/// The provider that a call names.
pub(super) fn find<'a>(cx: &'a Context<'_>) -> Result<&'a Provider> {
    let arn = cx.input.required("OpenIDConnectProviderArn");
    let prefix = format!("arn:aws:iam::{}:oidc-provider/", cx.account());
    let provider = arn
        .strip_prefix(&prefix)
        .and_then(|url| cx.state().providers().get(url));
    provider
        .map(|provider| &**provider)
        .ok_or_else(|| IamError::no_such(format!("OpenIDConnect Provider not found for arn {arn}")))
}

pub(super) fn put(changes: &mut Changes, provider: &Provider) -> Result<Structure> {
    let packed = pack(provider).map_err(IamError::internal)?;
    changes.push((row::provider(&provider.url), Some(packed)));
    Ok(Structure::new())
}

fn check_clients(provider: &Provider) -> Result<()> {
    limits::check(
        "ClientIdsPerOpenIdConnectProvider",
        provider.clients.len(),
        limits::CLIENTS_PER_PROVIDER,
    )
}
