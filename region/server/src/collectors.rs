//! Collectors: what the region's parts have to show as metrics, read when somebody looks.

mod cassandra;
mod identity;
mod insights;
mod keys;
mod kinesis;
mod recovery;
mod replication;
mod scrub;
mod sinks;
mod storage;
mod tables;
mod triggers;

pub(crate) use self::{
    cassandra::{CassandraCollector, StandByCollector},
    insights::InsightsCollector,
    keys::KeyCollector,
    scrub::ScrubCollector,
};
pub use self::{
    identity::{IdentityCollector, LagCollector, ReplicationLag},
    kinesis::KinesisCollector,
    recovery::{BackupCollector, RecoveryCollector, TransferCollector},
    replication::{LinkCollector, ReplicationObserver},
    sinks::SinkCollector,
    storage::{RocksCollector, TableCollector},
    tables::UsageCollector,
    triggers::TriggerCollector,
};
