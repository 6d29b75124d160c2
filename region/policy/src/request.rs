//! What is asked for.

use std::{borrow::Cow, net::IpAddr};

/// What a caller asks for: one action on one resource.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// The action as AWS spells it: `dynamodb:GetItem`. It is compared without regard to case.
    pub action: &'a str,
    /// The resource's ARN, or `*` for actions that have none.
    pub resource: &'a str,
    /// The account that owns the resource: `aws:ResourceAccount`. Of actions without a resource, the account they are done in.
    pub resource_account: &'a str,
    /// What is known of the request whatever it asks for.
    pub environment: &'a Environment<'a>,
    /// The keys of the action and its resource. They come before those of the environment and the caller.
    pub context: &'a dyn Context,
}

/// The global condition keys of a request that do not concern its caller. What is `None` is a missing key.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Environment<'a> {
    /// `aws:CurrentTime` and `aws:EpochTime`, in seconds since 1970.
    pub now_unix_s: Option<i64>,
    /// `aws:SourceIp`
    pub source_ip: Option<IpAddr>,
    /// `aws:SecureTransport`
    pub secure_transport: Option<bool>,
    /// `aws:UserAgent`
    pub user_agent: Option<&'a str>,
    /// `aws:referer`
    pub referer: Option<&'a str>,
    /// `aws:RequestedRegion`
    pub region: Option<&'a str>,
    /// `aws:ViaAWSService`: whether a service calls on its caller's behalf.
    pub via_service: Option<bool>,
}

/// Where condition keys get their values from. Values are asked for only if a condition or a variable names the key, so they
/// may be worked out when asked.
pub trait Context {
    /// The values of a key; `None` if the request does not have it. `key` is in lower case, such as `dynamodb:leadingkeys`
    /// and `aws:requesttag/team`.
    fn get(&self, key: &str) -> Option<ContextValue<'_>>;
}

/// No keys.
impl Context for () {
    fn get(&self, _: &str) -> Option<ContextValue<'_>> {
        None
    }
}

/// What a condition key has in a request. Everything is text, as in policies: `true`, `2024-01-31T00:00:00Z`, `10`,
/// `203.0.113.7`, base64.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ContextValue<'a> {
    /// A single-valued key's.
    Single(Cow<'a, str>),
    /// A multi-valued key's, perhaps none.
    Multi(Vec<Cow<'a, str>>),
    /// A multi-valued key's, kept by whoever was asked.
    Shared(&'a [Cow<'a, str>]),
}

impl ContextValue<'_> {
    /// The values.
    pub fn values(&self) -> &[Cow<'_, str>] {
        match self {
            Self::Single(value) => std::slice::from_ref(value),
            Self::Multi(values) => values,
            Self::Shared(values) => values,
        }
    }
}

impl<'a> From<&'a str> for ContextValue<'a> {
    fn from(value: &'a str) -> Self {
        Self::Single(Cow::Borrowed(value))
    }
}

impl From<String> for ContextValue<'_> {
    fn from(value: String) -> Self {
        Self::Single(Cow::Owned(value))
    }
}

impl From<bool> for ContextValue<'_> {
    fn from(value: bool) -> Self {
        Self::Single(Cow::Borrowed(if value { "true" } else { "false" }))
    }
}
