//! What DynamoDB promises of tables: conditional writes, indexes, queries, the catalog, and the merge of other regions'
//! deltas, on any [`geodynamo_storage::Engine`].
//!
//! [`Tables`] is the root: it builds the crate's parts and hands them out. Requests take a [`Table`] from it, then read through
//! [`Reads`], write through [`Writes`], and change settings through [`Catalog`]; the replicator needs [`Logs`] and [`Merge`]. Keys and
//! items are checked against the schema here; what needs no schema is the api's.
//!
//! Each part stands in a room of its own, a folder that uses those below it alone; ARCHITECTURE.md lists them from the ground up.
//!
//! A write holds a critical section (`local/section.rs`) from before it reads until its commit is durable, whether or not its caller
//! still waits. Changes of settings have more than one step: whoever serves clients that may go away runs them where nobody
//! drops them.

mod background;
mod catalog;
mod error;
mod following;
mod indexes;
mod indexing;
mod layout;
mod local;
mod log;
mod merge;
mod progress;
mod read;
pub mod recovery;
mod rows;
pub mod schema;
mod sealing;
mod store;
mod streams;
mod table;
mod table_keys;
mod tables;
mod time;
mod ttl;
mod verify;
mod write;

pub use schema::capacity;
pub use streams::kinesis;
pub use table::throughput;

/// What is counted of tables.
pub mod usage {
    pub use crate::{local::usage::counting, table::usage::*};
}

pub use background::{Background, DRAIN_MS_MAX};
pub use catalog::index_changes::{GLOBAL_INDEXES_MAX, NON_KEY_ATTRIBUTES_MAX};
pub use catalog::reach::LOOK_MS_MAX;
pub use catalog::scaling::{Consumed, Provisioned};
pub use catalog::{Catalog, TABLES_MAX, TAGS_MAX};
pub use error::{ConditionFailed, Result, TableError};
pub use following::{Followed, Following, is_followed};
pub use geodynamo_item::size::ITEM_BYTES_MAX;
pub use indexes::Indexes;
pub use indexing::Backfill;
pub use layout::index::ItemKey;
pub use layout::stored::StoredItem;
pub use local::Local;
pub use local::kept::Keeper;
pub use local::options::{
    CollectOptions, Options, SHARD_MS, STREAM_RETENTION_MS, StreamOptions, TtlOptions, VerifyOptions,
};
pub use local::seen::{SESSION_CHARS_MAX, Seen, noting};
pub use local::system::SystemTable;
pub use local::traces::TracedWrite;
pub use log::Logs;
pub use log::copies::{CopiedChange, CopiedChanges};
pub use merge::{CopyUnderWay, Merge};
pub use read::conflicts::{CONFLICTS_PAGE_MAX, Conflict, ConflictId, ConflictPage, ConflictSide};
pub use read::digest::{Digest, PartDigest};
pub use read::metered::ReadItems;
pub use read::{PAGE_BYTES_MAX, Query, ReadPage, Reads, ScanRequest};
pub use recovery::{ImportLoad, RestoreLoad};
pub use rows::SystemRows;
pub use schema::accounts::{given_name, is_account, is_given_name, owner_and_name, stored_name};
pub use schema::capacity::Capacity;
pub use schema::capacity::{KEY_RANGE_READ_MAX, KEY_RANGE_WRITE_MAX, KEY_RANGES};
pub use schema::{PARTITION_KEY_BYTES_MAX, SORT_KEY_BYTES_MAX};
pub use sealing::Sealing;
pub use streams::{
    ConflictVersion, ConflictVersions, EventKind, GENERATIONS_MAX, ITERATOR_MS, RECORDS_BYTES_MAX, RECORDS_MAX,
    RecordForm, RecordPage, STREAMS_PER_TABLE_MAX, Shard, ShardPlace, StreamDescription, StreamError, StreamPage,
    StreamRecord, Streams,
};
pub use table::description::{Description, IndexDescription, ReplicaDescription};
pub use table::encryption::EncryptionDescription;
pub use table::index_state::IndexBuild;
pub use table::insights::{
    INSIGHTS_KEYS_MAX, INSIGHTS_MINUTES_MAX, InsightsKind, InsightsMode, InsightsReport, InsightsSetting,
};
pub use table::lost::GIVEN_UP_MS;
pub use table::replicas::OUT_OF_REACH_MS;
pub use table::requests::{CreateTable, NewIndex, UpdateTable};
pub use table::resource_policy::{ExpectedPolicy, NewPolicy, PolicyOf, ResourcePolicy};
pub use table::stream_name::{StreamKind, StreamName, stream_label};
pub use table::throttle::{Access, Limit, ThrottleOptions, Throttled};
pub use table::{Table, TableStatus};
pub use table_keys::{TableKeyOptions, TableKeys};
pub use tables::{Counts, Tables};
pub use time::TimeSource;
pub use ttl::sweep::Swept;
pub use ttl::{Expiry, TimeToLiveStatus};
pub use verify::{HealReason, HealedRow, PairReport, Proof, Remains, TableReport, Unmended, Verify, VerifyCounts};
pub use write::collections::COLLECTION_BYTES_MAX;
pub use write::token::{ClientToken, TOKEN_VALID_MS};
pub use write::transaction::{TRANSACTION_BYTES_MAX, TransactAction, TransactWrite, Transacted};
pub use write::{WriteOptions, Writes, Written};
