//! Policies, from their text to a decision.

mod conditions;
mod decisions;
mod documents;
mod grammar;
mod plain;
mod properties;
mod requests;
