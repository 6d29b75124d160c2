//! IAM policies: their grammar, and what they decide.
//!
//! [`Policy::parse`] compiles a JSON document; [`evaluate`] says whether a [`Caller`] may do what a [`Request`] asks for, as
//! "Policy evaluation logic" describes:
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html>. The grammar is that of
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html>.
//!
//! ```
//! # use std::sync::Arc;
//! # use geodynamo_policy::{Caller, Decision, Environment, NamedPolicy, Policy, PolicyKind, Request, evaluate};
//! let policy = Policy::parse(
//!     r#"{
//!         "Version": "2012-10-17",
//!         "Statement": {"Effect": "Allow", "Action": "dynamodb:Get*", "Resource": "arn:aws:dynamodb:*:*:table/${aws:username}"}
//!     }"#,
//!     PolicyKind::Identity,
//! )?;
//! let mut caller = Caller::user("123456789012", "/", "ann", "AIDAANN");
//! caller.policies.identity.push(NamedPolicy::new("own-table", Arc::new(policy)));
//! let environment = Environment::default();
//! let request = |resource| Request {
//!     action: "dynamodb:GetItem",
//!     resource,
//!     resource_account: "123456789012",
//!     environment: &environment,
//!     context: &(),
//! };
//! let own = evaluate(&caller, None, &request("arn:aws:dynamodb:us-east-1:123456789012:table/ann"));
//! assert!(own.is_allowed());
//! let other = evaluate(&caller, None, &request("arn:aws:dynamodb:us-east-1:123456789012:table/bob"));
//! assert!(!other.is_allowed());
//! # Ok::<(), geodynamo_policy::PolicyError>(())
//! ```
//!
//! The crate is pure: no I/O and no clock. A policy is immutable; whoever owns it shares it as an `Arc<Policy>` and puts
//! another in its place when it changes.

mod caller;
mod condition;
mod error;
mod evaluate;
mod keys;
mod parse;
mod policy;
mod principal;
mod request;
mod shortlist;
mod shown;
mod template;
mod value;

pub use crate::{
    caller::{Caller, CallerKind, CallerPolicies, NamedPolicy, Session},
    error::PolicyError,
    evaluate::{Decision, Explanation, Match, PolicySource, StatementPlace, evaluate, explain},
    policy::{Effect, Place, Policy, PolicyKind, Version},
    request::{Context, ContextValue, Environment, Request},
    shown::renamed,
};

/// The longest text of a policy, in bytes, as IAM's `PolicyDocument` parameters have it.
pub const TEXT_BYTES_MAX: usize = 131_072;

/// The most statements in a policy.
pub const STATEMENTS_MAX: usize = 1_000;

/// The most actions, resources, principals and condition values in a policy, together.
pub const ENTRIES_MAX: usize = 10_000;

/// The longest value of a condition, and the longest action, resource or principal, in bytes.
pub const ENTRY_BYTES_MAX: usize = 4_096;
