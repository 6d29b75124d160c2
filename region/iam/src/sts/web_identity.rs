//! `AssumeRoleWithWebIdentity`.

use std::sync::Arc;

use geodynamo_policy::{Caller, CallerKind, Request, evaluate};

use super::{assume, credentials, identity::IdentityKeyError, jwt, new_session, take_policies};
use crate::{
    authorize::CallKeys,
    call::Context,
    query::{
        error::{IamError, Result},
        value::Structure,
    },
    session::Session,
};

/// The action.
const ACTION: &str = "sts:AssumeRoleWithWebIdentity";

pub(super) async fn assume_role(cx: &Context<'_>) -> Result<Structure> {
    if cx.input.text("ProviderId").is_some() {
        return Err(IamError::validation("Only OpenID Connect providers are offered"));
    }
    let token = cx.input.required("WebIdentityToken");
    let (claimed, key_id) = jwt::read(token)?;
    let url = claimed.iss.strip_prefix("https://").unwrap_or(&claimed.iss);
    let provider = cx.state().providers().get(url.trim_end_matches('/')).cloned();
    let Some(provider) = provider else {
        let message = format!("No OpenIDConnect provider found in your account for {}", claimed.iss);
        return Err(jwt::invalid(&message));
    };
    let keys = cx.core.identity_keys.keys(&provider.url, key_id.as_deref()).await;
    let keys = keys.map_err(|error| {
        tracing::warn!(%error, provider = provider.url, "a web identity provider's keys cannot be had");
        let message = "Couldn't retrieve verification key from your identity provider,  please reference \
                       AssumeRoleWithWebIdentity documentation for requirements";
        match error {
            IdentityKeyError::Unknown(_) => jwt::invalid(message),
            IdentityKeyError::Unavailable(_) => IamError::new("IDPCommunicationError", message),
        }
    })?;
    let claims = jwt::verify(token, &keys, cx.call.now_unix_s)?;
    let audience = claims
        .aud
        .all()
        .iter()
        .find(|audience| provider.clients.contains(*audience));
    let Some(audience) = audience else {
        return Err(jwt::invalid("Incorrect token audience"));
    };
    let arn = cx.input.required("RoleArn");
    let name = cx.input.required("RoleSessionName");
    let provider_arn = provider.arn(cx.account());
    // Keys that trust policies and, for as long as the session lasts, other policies may ask for.
    let prefix = provider.url.to_lowercase();
    let mut brought = vec![
        (format!("{prefix}:sub"), claims.sub.clone()),
        (
            format!("{prefix}:aud"),
            claims.azp.clone().unwrap_or_else(|| audience.clone()),
        ),
    ];
    if claims.azp.is_some() {
        brought.push((format!("{prefix}:oaud"), audience.clone()));
    }
    let mut keys = CallKeys::default();
    for (key, value) in &brought {
        keys.set(key.as_str(), value.as_str());
    }
    keys.set("sts:rolesessionname", name);
    let role = assume::find(cx, arn).filter(|role| role.trust.is_some());
    let denied = || IamError::denied(format!("Not authorized to perform {ACTION}"));
    let role = role.ok_or_else(denied)?;
    keys.resource_tags(&role.entity.tags);
    cx.told.lock().resources.push(arn.to_owned());
    let caller = Caller::new(
        cx.account(),
        provider_arn.as_str(),
        CallerKind::WebIdentity {
            provider: Arc::from(provider_arn.as_str()),
        },
        &format!("{}:{}:{}", provider_arn, audience, claims.sub),
    );
    let request = Request {
        action: ACTION,
        resource: arn,
        resource_account: cx.account(),
        environment: &cx.call.environment,
        context: &keys,
    };
    // Whatever the mode: without a signature this is all that there is.
    if !evaluate(&caller, role.trust.as_deref(), &request).is_allowed() {
        return Err(denied());
    }
    let mut session = Session {
        principal: role.entity.id.clone(),
        name: Some(name.to_owned()),
        provider: Some(provider_arn.clone()),
        keys: brought.into_iter().map(|(key, value)| (key, vec![value])).collect(),
        ..new_session(cx, assume::duration(cx, &role, false)?)?
    };
    let packed = take_policies(cx, &mut session)?;
    Ok(Structure::new()
        .with("Credentials", credentials(cx, &session)?)
        .with("SubjectFromWebIdentityToken", &claims.sub)
        .with("AssumedRoleUser", assume::assumed_role_user(cx, &role, name))
        .with("PackedPolicySize", packed)
        .with("Provider", &provider_arn)
        .with("Audience", audience))
}
