//! Condition keys, and where those that every request has come from.

use std::borrow::Cow;

use crate::{Caller, CallerKind, ContextValue, Request, value::date_text};

/// A condition key, resolved as far as possible.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Key {
    /// In lower case.
    name: Box<str>,
    global: Global,
}

/// The keys that the caller, the environment and the request itself have.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Global {
    PrincipalArn,
    PrincipalAccount,
    PrincipalType,
    PrincipalTag(Box<str>),
    PrincipalIsService,
    PrincipalServiceName,
    UserId,
    UserName,
    MfaPresent,
    MfaAge,
    TokenIssueTime,
    SourceIdentity,
    FederatedProvider,
    ResourceAccount,
    CurrentTime,
    EpochTime,
    SourceIp,
    SecureTransport,
    UserAgent,
    Referer,
    RequestedRegion,
    ViaService,
    /// What only the action or the session has.
    Other,
}

impl Key {
    pub(crate) fn new(name: &str) -> Self {
        let name = name.to_ascii_lowercase();
        let global = match &*name {
            "aws:principalarn" => Global::PrincipalArn,
            "aws:principalaccount" => Global::PrincipalAccount,
            "aws:principaltype" => Global::PrincipalType,
            "aws:principalisawsservice" => Global::PrincipalIsService,
            "aws:principalservicename" => Global::PrincipalServiceName,
            "aws:userid" => Global::UserId,
            "aws:username" => Global::UserName,
            "aws:multifactorauthpresent" => Global::MfaPresent,
            "aws:multifactorauthage" => Global::MfaAge,
            "aws:tokenissuetime" => Global::TokenIssueTime,
            "aws:sourceidentity" => Global::SourceIdentity,
            "aws:federatedprovider" => Global::FederatedProvider,
            "aws:resourceaccount" => Global::ResourceAccount,
            "aws:currenttime" => Global::CurrentTime,
            "aws:epochtime" => Global::EpochTime,
            "aws:sourceip" => Global::SourceIp,
            "aws:securetransport" => Global::SecureTransport,
            "aws:useragent" => Global::UserAgent,
            "aws:referer" => Global::Referer,
            "aws:requestedregion" => Global::RequestedRegion,
            "aws:viaawsservice" => Global::ViaService,
            _ => match name.strip_prefix("aws:principaltag/") {
                Some(tag) => Global::PrincipalTag(tag.into()),
                None => Global::Other,
            },
        };
        Self {
            name: name.into(),
            global,
        }
    }

    /// In lower case.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// What a request has of it. The action's own keys come first.
    pub(crate) fn get<'a>(&self, caller: &'a Caller, request: &Request<'a>) -> Option<ContextValue<'a>> {
        request.context.get(&self.name).or_else(|| self.global(caller, request))
    }

    fn global<'a>(&self, caller: &'a Caller, request: &Request<'a>) -> Option<ContextValue<'a>> {
        let environment = request.environment;
        let session = caller.session.as_ref();
        let is_service = caller.kind == CallerKind::Service;
        match &self.global {
            Global::PrincipalArn => (caller.kind != CallerKind::Anonymous).then(|| caller.principal_arn().into()),
            Global::PrincipalAccount => (caller.kind != CallerKind::Anonymous).then(|| (&*caller.account).into()),
            Global::PrincipalType => Some(principal_type(&caller.kind)?.into()),
            Global::PrincipalTag(tag) => {
                let mut tags = caller.tags.iter();
                let (_, value) = tags.find(|(name, _)| name.eq_ignore_ascii_case(tag))?;
                Some(value.as_str().into())
            }
            Global::PrincipalIsService => Some(is_service.into()),
            Global::PrincipalServiceName => is_service.then(|| (&*caller.arn).into()),
            Global::UserId => Some((&*caller.user_id).into()),
            Global::UserName => Some(caller.user_name.as_deref()?.into()),
            // Long-term keys do not have it, not even as `false`.
            Global::MfaPresent => Some(session?.mfa_unix_s.is_some().into()),
            Global::MfaAge => {
                let age = environment.now_unix_s?.saturating_sub(session?.mfa_unix_s?);
                Some(age.max(0).to_string().into())
            }
            Global::TokenIssueTime => Some(date_text(session?.issued_unix_s).into()),
            Global::SourceIdentity => Some(session?.source_identity.as_deref()?.into()),
            Global::FederatedProvider => Some(session?.federated_provider.as_deref()?.into()),
            Global::ResourceAccount => Some(request.resource_account.into()),
            Global::CurrentTime => Some(date_text(environment.now_unix_s?).into()),
            Global::EpochTime => Some(environment.now_unix_s?.to_string().into()),
            Global::SourceIp => Some(environment.source_ip?.to_string().into()),
            Global::SecureTransport => Some(environment.secure_transport?.into()),
            Global::UserAgent => Some(environment.user_agent?.into()),
            Global::Referer => Some(environment.referer?.into()),
            Global::RequestedRegion => Some(environment.region?.into()),
            Global::ViaService => Some(environment.via_service?.into()),
            Global::Other => {
                let values = session?.keys.get(&*self.name)?;
                Some(match &values[..] {
                    [one] => one.as_str().into(),
                    several => ContextValue::Multi(several.iter().map(|value| Cow::Borrowed(value.as_str())).collect()),
                })
            }
        }
    }
}

/// `aws:PrincipalType`
fn principal_type(kind: &CallerKind) -> Option<&'static str> {
    Some(match kind {
        CallerKind::Root => "Account",
        CallerKind::User => "User",
        CallerKind::AssumedRole { .. } => "AssumedRole",
        CallerKind::FederatedUser | CallerKind::WebIdentity { .. } => "FederatedUser",
        CallerKind::Anonymous => "Anonymous",
        CallerKind::Service => return None,
    })
}
