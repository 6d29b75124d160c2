//! What DynamoDB promises of tables: conditional writes, indexes, queries, the catalog, and the merge of other regions'
//! deltas, on any [`geodynamo_storage::Engine`].
//!
//! `Tables<E>` is the root. A request takes a [`Table`] from it (`tables.table(name)?`: an `Arc`, ACTIVE or refused), then
//! reads or writes through it. Keys and items are checked against the schema here; what needs no schema is the api's.

mod error;
pub mod schema;

pub use error::{Result, TableError};
