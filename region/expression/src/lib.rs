//! DynamoDB's expressions: conditions, filters, projections, key conditions and updates.
//!
//! One lexer and one family of parsers give trees ([`Condition`], [`Projection`], [`KeyCondition`], [`Update`]) that know
//! nothing of text: the legacy parameters and PartiQL are translated into the same ones.
//!
//! Parsing resolves `#names` and `:values` through the request's [`Context`] at once, in one pass, into a tree that owns what
//! it holds. A cache of trees by text was weighed against this: it would have to hash the text and share a map between
//! threads, and names and values would still have to be bound, checked for their types, and their paths compared, in every
//! request; so a second form of every tree and a second pass would save a part of what parsing costs, which is about 0.3 µs
//! for `SET a = :v` (with its context) and 1 µs for four conditions. An owned tree can also outlive the request's buffers: a
//! transaction may keep it while it waits.
//!
//! Nothing here panics, whatever the text; every recursion is bounded by [`limits`]. Errors carry DynamoDB's words; all of
//! them are in one catalogue, see [`Fault`], [`PlaceholderFault`], [`KeyConditionFault`] and [`UpdateError`].

pub mod limits;
pub mod partiql;

mod condition;
mod condition_checks;
mod condition_parser;
mod context;
mod error;
mod evaluate;
mod function;
mod key_condition;
mod lexer;
mod parser;
mod path;
mod print;
mod projection;
mod reserved;
mod update;
mod update_apply;
mod update_parser;

pub use condition::{Comparator, Condition, Operand};
pub use context::Context;
pub use error::{ExpressionError, Fault, KeyConditionFault, Parameter, PlaceholderFault, Refusal, UpdateError};
pub use evaluate::order;
pub use key_condition::{KeyCondition, KeyTest, ResolvedKeyCondition, SortCondition};
pub use path::{Path, Step};
pub use print::Printed;
pub use projection::Projection;
pub use reserved::is_reserved;
pub use update::{Update, UpdateOperand};
