//! Expressions as the layers above use them.

mod values;

mod conditions;
mod key_conditions;
mod limits;
mod placeholders;
mod projections;
mod properties;
mod refusals;
mod updates;
