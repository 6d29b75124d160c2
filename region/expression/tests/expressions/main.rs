//! Expressions as the layers above use them.

#![allow(clippy::unwrap_used, reason = "a test may panic; helpers are not seen as tests")]

mod values;

mod conditions;
mod key_conditions;
mod limits;
mod placeholders;
mod projections;
mod properties;
mod refusals;
mod statement_properties;
mod statement_refusals;
mod statements;
mod updates;
