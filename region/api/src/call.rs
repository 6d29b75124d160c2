//! What comes with a request besides its operation and its body.

use std::{collections::BTreeMap, net::IpAddr};

use geodynamo_policy::{Caller, Environment};

/// A request as its operation is told of it: whose it is and how it came.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// Whose it is.
    pub caller: &'a Caller,
    /// The access key that signed it.
    pub access_key_id: &'a str,
    /// The id that the reply's `x-amzn-RequestId` tells.
    pub request_id: &'a str,
    /// The region's clock, in seconds since 1970.
    pub now_unix_s: i64,
    /// Where it came from.
    pub source_ip: Option<IpAddr>,
    /// Its `User-Agent` header.
    pub user_agent: Option<&'a str>,
    /// Its `Referer` header.
    pub referer: Option<&'a str>,
    /// Whether it came over TLS.
    pub secure_transport: bool,
}

impl<'a> Call<'a> {
    /// A call of this caller's of which nothing else is known, at the beginning of 1970.
    pub fn of(caller: &'a Caller) -> Self {
        Self {
            caller,
            access_key_id: "",
            request_id: "",
            now_unix_s: 0,
            source_ip: None,
            user_agent: None,
            referer: None,
            secure_transport: false,
        }
    }

    /// What conditions may ask about it.
    pub fn environment(&self, region: &'a str) -> Environment<'a> {
        Environment {
            now_unix_s: Some(self.now_unix_s),
            source_ip: self.source_ip,
            secure_transport: Some(self.secure_transport),
            user_agent: self.user_agent,
            referer: self.referer,
            region: Some(region),
            via_service: Some(false),
        }
    }
}

/// Whether policies are asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Authorization {
    /// Whoever calls may do everything.
    #[default]
    Off,
    /// Callers may do what their policies, and those of tables and streams, allow.
    Enforce,
    /// As [`Enforce`](Self::Enforce), but what would be refused is let through, and told in
    /// [`Reply::denied`](crate::Reply::denied).
    Warn,
}

/// Which principals there are: policies must not name others of their own account.
pub trait Principals: std::fmt::Debug + Send + Sync {
    /// Whether there is this account, user, role, session or unique id, as a policy of `account` names it under `AWS` in its
    /// `Principal`. Of accounts elsewhere nothing is known: every one is believed.
    fn exists(&self, account: &str, principal: &str) -> bool;

    /// The unique id of the user, the role or the session that an ARN names, if that is known. What is stored is about whoever has
    /// the id, not about somebody who is given the name later.
    fn id(&self, arn: &str) -> Option<String> {
        let _ = arn;
        None
    }

    /// Of principals that a stored policy has by ARN and unique id: what they are called now, where that is another ARN; their
    /// id, where there is none any more. By the ARN that the policy has.
    fn names(&self, ids: &BTreeMap<String, String>) -> BTreeMap<String, String> {
        let _ = ids;
        BTreeMap::new()
    }
}

/// Principals of which nobody knows whether they exist: every one is believed.
#[derive(Clone, Copy, Debug)]
pub struct AnyPrincipals;

impl Principals for AnyPrincipals {
    fn exists(&self, _: &str, _: &str) -> bool {
        true
    }
}
