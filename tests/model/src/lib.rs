//! The differential fuzzer: random tables, items and requests, against an engine and against a small plain model of
//! DynamoDB in memory, whole answers compared.
//!
//! The model is written from AWS's documents. It shares nothing with the region's crates but the partition hash, which is
//! geodynamo's own choice and gives a scan's order: it has its own numbers, sizes, order of keys, and trees of expressions,
//! from which the expressions' texts are made, so that parser and evaluator are tested together.
//!
//! Nothing happens by itself in a world's region: that time passes (and expired items go), and that indexes are filled, are
//! among the requests.
//!
//! One seed gives a [`World`]; it replays exactly, and one that differs shrinks to a short list of requests.

mod answer;
mod engines;
mod evaluate;
mod expression;
mod fault;
mod generate;
mod model;
mod number;
mod older;
mod place;
mod request;
mod rng;
mod schema;
mod statement_text;
mod text;
mod update;
mod value;
mod world;

pub use engines::EngineKind;
pub use fault::Fault;
pub use world::{Counts, Difference, Kind, Sent, World, report};
