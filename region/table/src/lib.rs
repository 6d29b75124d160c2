//! What DynamoDB promises of tables: conditional writes, indexes, queries, the catalog, and the merge of other regions'
//! deltas, on any [`geodynamo_storage::Engine`].
//!
//! [`Tables`] is the root. A request takes a [`Table`] from it, then reads or writes through it. Keys and items are
//! checked against the schema here; what needs no schema is the api's.
//!
//! A write's future must run to its end: dropped after its commit was handed over, its key's latch would open before the
//! commit is durable, and the next write of the key would not see it. Whoever serves clients that may go away runs
//! writes where nobody drops them.

pub mod capacity;
pub mod kinesis;
pub mod recovery;
pub mod schema;
pub mod throughput;

mod apply;
mod backfill;
mod catalog;
mod classes;
mod collections;
mod conflicts;
mod copies;
mod copy;
mod counts;
mod cursors;
mod date;
mod description;
mod digest;
mod directory;
mod encryption;
mod ends;
mod error;
mod expiry;
mod group;
mod imports;
mod index;
mod index_changes;
mod index_state;
mod insights;
mod kept;
mod keys;
mod lawful;
mod logs;
mod lost;
mod metered;
mod ongoing;
mod order;
mod parked;
mod prepare;
mod range;
mod reach;
mod read;
mod reconcile;
mod record;
mod registers;
mod replicas;
mod resource_policy;
mod scaling;
mod session;
mod stats;
mod store;
mod stored;
mod streams;
mod sweep;
mod system;
mod table;
mod tables;
mod throttle;
mod throughput_changes;
mod token;
mod traces;
mod transaction;
mod ttl;
mod update_size;
pub mod usage;
mod verify;
mod write;

pub use capacity::Capacity;
pub use catalog::{CreateTable, NewIndex, TABLES_MAX, TAGS_MAX, UpdateTable};
pub use collections::COLLECTION_BYTES_MAX;
pub use conflicts::{CONFLICTS_PAGE_MAX, Conflict, ConflictId, ConflictPage, ConflictSide};
pub use copies::{CopiedChange, CopiedChanges};
pub use description::{Description, IndexDescription, ReplicaDescription};
pub use digest::{Digest, PartDigest};
pub use encryption::{EncryptionDescription, TableKeyOptions};
pub use error::{ConditionFailed, Result, TableError};
pub use geodynamo_item::size::ITEM_BYTES_MAX;
pub use index::ItemKey;
pub use index_changes::{GLOBAL_INDEXES_MAX, NON_KEY_ATTRIBUTES_MAX};
pub use index_state::IndexBuild;
pub use insights::{
    INSIGHTS_KEYS_MAX, INSIGHTS_MINUTES_MAX, InsightsKind, InsightsMode, InsightsReport, InsightsSetting,
};
pub use kept::Keeper;
pub use lost::GIVEN_UP_MS;
pub use metered::ReadItems;
pub use order::TimeSource;
pub use reach::LOOK_MS_MAX;
pub use read::{PAGE_BYTES_MAX, Query, ReadPage, ScanRequest};
pub use reconcile::DRAIN_MS_MAX;
pub use replicas::OUT_OF_REACH_MS;
pub use resource_policy::{ExpectedPolicy, PolicyOf, ResourcePolicy};
pub use scaling::{Consumed, Provisioned};
pub use session::{SESSION_CHARS_MAX, Seen, noting};
pub use stored::StoredItem;
pub use streams::{
    ConflictVersion, ConflictVersions, EventKind, GENERATIONS_MAX, ITERATOR_MS, RECORDS_BYTES_MAX, RECORDS_MAX,
    RecordForm, RecordPage, SHARD_MS, STREAM_RETENTION_MS, STREAMS_PER_TABLE_MAX, Shard, ShardPlace, StreamDescription,
    StreamError, StreamKind, StreamName, StreamOptions, StreamPage, StreamRecord, stream_label,
};
pub use sweep::Swept;
pub use system::SystemTable;
pub use table::{PARTITION_KEY_BYTES_MAX, SORT_KEY_BYTES_MAX, Table, TableStatus};
pub use tables::{Counts, Options, Tables};
pub use throttle::{Access, KEY_RANGE_READ_MAX, KEY_RANGE_WRITE_MAX, KEY_RANGES, Limit, ThrottleOptions, Throttled};
pub use token::{ClientToken, TOKEN_VALID_MS};
pub use traces::TracedWrite;
pub use transaction::{TRANSACTION_BYTES_MAX, TransactAction, TransactWrite, Transacted};
pub use ttl::{TimeToLiveStatus, TtlOptions};
pub use verify::{
    CollectOptions, HealReason, HealedRow, PairReport, Proof, Remains, TableReport, VerifyCounts, VerifyOptions,
};
pub use write::{WriteOptions, Written};
