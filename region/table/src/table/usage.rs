//! How a table is used: what CloudWatch tells of each of DynamoDB's tables, counted since the process started.
//!
//! Only so many tables are told apart ([`TOLD_APART_MAX`]), the first ones that the process knew, each for as long as it is
//! there; what is counted of all others, and of requests that name no table that there is, is one sum. So whoever makes tables,
//! or asks for some that do not exist, makes no more series of numbers than that.
//!
//! Source of the meanings: AWS developer guide, "DynamoDB metrics and dimensions".

use std::{
    cell::RefCell,
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use geodynamo_histogram::{Histogram, LATENCY_S, Snapshot};
use parking_lot::Mutex;
use smallvec::SmallVec;

use crate::{Access, Table};

/// How many tables are told apart.
pub const TOLD_APART_MAX: usize = 100;
/// What all others are called. A table of this name is one of them.
pub const OTHER: &str = "other";

/// Upper bounds of the ages of records, in seconds: up to a day, when they are gone.
const STREAM_AGE_S: &[f64] = &[
    0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 14_400.0, 86_400.0,
];

tokio::task_local! {
    /// The tables that a request has asked for by name.
    static USED: RefCell<SmallVec<[Arc<Usage>; 2]>>;
}

macro_rules! operations {
    ($($name:ident),*) => {
        /// An operation on items, as CloudWatch's dimension `Operation` has them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[expect(missing_docs, reason = "they are DynamoDB's names")]
        pub enum DataOperation { $($name),* }

        impl DataOperation {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// DynamoDB's name.
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name)),* }
            }

            /// Whether it gives back items that are counted: CloudWatch's ReturnedItemCount is of queries and scans.
            pub fn counts_items(self) -> bool {
                matches!(self, Self::Query | Self::Scan | Self::ExecuteStatement)
            }

            /// The one of this name.
            pub fn named(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|operation| operation.name() == name)
            }
        }
    };
}

/// Gives the names of the operations on items to a macro.
#[macro_export]
macro_rules! with_data_operations {
    ($then:ident) => {
        $then! {
            GetItem,
            PutItem,
            UpdateItem,
            DeleteItem,
            Query,
            Scan,
            BatchGetItem,
            BatchWriteItem,
            TransactGetItems,
            TransactWriteItems,
            ExecuteStatement,
            BatchExecuteStatement,
            ExecuteTransaction
        }
    };
}

with_data_operations! { operations }

/// What is counted of a table, or of all that are not told apart.
#[derive(Debug, Default)]
pub struct Usage {
    /// The table's name; `None` if it is not told apart.
    pub(crate) name: Option<String>,
    operations: [OnceLock<Box<OperationUsage>>; DataOperation::ALL.len()],
    failed_conditions: AtomicU64,
    transaction_conflicts: AtomicU64,
    expired_items: AtomicU64,
    stream: OnceLock<Box<StreamUsage>>,
    /// What was consumed of the tables that are not told apart; of others their meters know it.
    pub(crate) units: UnitsUsage,
}

/// What is counted of an operation on a table.
#[derive(Debug)]
pub struct OperationUsage {
    latency: Histogram,
    throttled: AtomicU64,
    user_errors: AtomicU64,
    system_errors: AtomicU64,
    returned_items: AtomicU64,
}

/// What readers of a table's stream were given.
#[derive(Debug)]
struct StreamUsage {
    age: Histogram,
    records: AtomicU64,
    bytes: AtomicU64,
}

/// Capacity units that were consumed, in thousandths, and requests that were refused for want of them.
#[derive(Debug, Default)]
pub(crate) struct UnitsUsage {
    pub(crate) consumed: [AtomicU64; 2],
    pub(crate) refused: [AtomicU64; 2],
}

/// How a request ended, as metrics tell.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RequestEnd {
    /// It was done, after so many seconds.
    Done(f64),
    /// There was no capacity for any of it.
    Throttled,
    /// A condition failed: that is counted for each write, where it is judged.
    ConditionFailed,
    /// It was refused for another reason.
    UserError,
    /// It failed.
    SystemError,
}

/// What was counted of an operation on a table.
#[derive(Clone, Debug, PartialEq)]
pub struct OperationCounts {
    /// Which.
    pub operation: DataOperation,
    /// How long requests took that were done, in seconds.
    pub latency: Snapshot,
    /// Requests that there was no capacity for.
    pub throttled: u64,
    /// Requests that were refused for other reasons than capacity and conditions.
    pub user_errors: u64,
    /// Requests that failed.
    pub system_errors: u64,
    /// Items that queries and scans gave back.
    pub returned_items: u64,
}

/// What readers of a table's streams were given.
#[derive(Clone, Debug, PartialEq)]
pub struct StreamCounts {
    /// How old the last record was that each call gave, in seconds; 0 for one that gave none.
    pub age: Snapshot,
    /// Records.
    pub records: u64,
    /// Their bytes, by DynamoDB's formula.
    pub bytes: u64,
}

/// The capacity of a table, or of one of its global indexes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct UnitCounts {
    /// The index's name; empty for the table.
    pub index: String,
    /// Units consumed: read, write.
    pub consumed: [f64; 2],
    /// Reads and writes that there was no capacity for.
    pub refused: [u64; 2],
    /// Units a second that are provisioned: read, write; `None` in on-demand mode.
    pub provisioned: Option<[u64; 2]>,
}

/// What was counted of a table.
#[derive(Clone, Debug, PartialEq)]
pub struct TableCounts {
    /// Its name, or [`OTHER`].
    pub name: String,
    /// Of each operation that there was.
    pub operations: Vec<OperationCounts>,
    /// Of the table, then of its global indexes.
    pub units: Vec<UnitCounts>,
    /// Writes whose conditions failed, those of transactions not among them.
    pub failed_conditions: u64,
    /// Items that were refused to a request because of a transaction.
    pub transaction_conflicts: u64,
    /// Items deleted because their time to live was over.
    pub expired_items: u64,
    /// Of its streams, if one was read.
    pub stream: Option<StreamCounts>,
}

/// Gives tables what they are counted in.
#[derive(Debug, Default)]
pub(crate) struct Usages {
    other: Arc<Usage>,
    told_apart: Mutex<Vec<Weak<Usage>>>,
}

impl Usages {
    /// What a new table of this name is counted in.
    pub(crate) fn of(&self, name: &str) -> Arc<Usage> {
        let mut told_apart = self.told_apart.lock();
        told_apart.retain(|usage| usage.strong_count() > 0);
        if told_apart.len() >= TOLD_APART_MAX || name == OTHER {
            return Arc::clone(&self.other);
        }
        let usage = Arc::new(Usage {
            name: Some(name.to_owned()),
            ..Usage::default()
        });
        told_apart.push(Arc::downgrade(&usage));
        usage
    }

    /// What requests are counted in that name no table.
    pub(crate) fn other(&self) -> &Arc<Usage> {
        &self.other
    }
}

impl Usage {
    /// What is counted of an operation.
    fn operation(&self, operation: DataOperation) -> &OperationUsage {
        self.operations[operation as usize].get_or_init(Box::default)
    }

    /// Counts a request.
    pub fn ended(&self, operation: DataOperation, end: RequestEnd) {
        let usage = self.operation(operation);
        let one = |count: &AtomicU64| {
            count.fetch_add(1, Relaxed);
        };
        match end {
            RequestEnd::Done(seconds) => usage.latency.record(seconds),
            RequestEnd::Throttled => one(&usage.throttled),
            RequestEnd::ConditionFailed => {}
            RequestEnd::UserError => one(&usage.user_errors),
            RequestEnd::SystemError => one(&usage.system_errors),
        }
    }

    /// Counts items that were given back.
    pub(crate) fn returned(&self, operation: DataOperation, items: usize) {
        let count = &self.operation(operation).returned_items;
        count.fetch_add(items as u64, Relaxed);
    }

    pub(crate) fn condition_failed(&self) {
        self.failed_conditions.fetch_add(1, Relaxed);
    }

    pub(crate) fn transaction_conflict(&self) {
        self.transaction_conflicts.fetch_add(1, Relaxed);
    }

    pub(crate) fn expired(&self, items: u64) {
        self.expired_items.fetch_add(items, Relaxed);
    }

    /// A reader of a stream was given so much, the last of it so old.
    pub(crate) fn read_stream(&self, records: u64, bytes: u64, age: Duration) {
        let stream = self.stream.get_or_init(Box::default);
        stream.age.record(age.as_secs_f64());
        stream.records.fetch_add(records, Relaxed);
        stream.bytes.fetch_add(bytes, Relaxed);
    }

    /// Where the capacity is counted of tables that are not told apart.
    pub(crate) fn sum_of_units(&self) -> Option<&UnitsUsage> {
        self.name.is_none().then_some(&self.units)
    }

    pub(crate) fn read(&self, units: Vec<UnitCounts>) -> TableCounts {
        let of = |operation: &DataOperation| {
            let usage = self.operations[*operation as usize].get()?;
            Some(OperationCounts {
                operation: *operation,
                latency: usage.latency.snapshot(),
                throttled: usage.throttled.load(Relaxed),
                user_errors: usage.user_errors.load(Relaxed),
                system_errors: usage.system_errors.load(Relaxed),
                returned_items: usage.returned_items.load(Relaxed),
            })
        };
        TableCounts {
            name: self.name.clone().unwrap_or_else(|| OTHER.to_owned()),
            operations: DataOperation::ALL.iter().filter_map(of).collect(),
            units,
            failed_conditions: self.failed_conditions.load(Relaxed),
            transaction_conflicts: self.transaction_conflicts.load(Relaxed),
            expired_items: self.expired_items.load(Relaxed),
            stream: self.stream.get().map(|stream| StreamCounts {
                age: stream.age.snapshot(),
                records: stream.records.load(Relaxed),
                bytes: stream.bytes.load(Relaxed),
            }),
        }
    }
}

impl Default for StreamUsage {
    fn default() -> Self {
        Self {
            age: Histogram::new(STREAM_AGE_S),
            records: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
        }
    }
}

impl Default for OperationUsage {
    fn default() -> Self {
        Self {
            latency: Histogram::new(LATENCY_S),
            throttled: AtomicU64::new(0),
            user_errors: AtomicU64::new(0),
            system_errors: AtomicU64::new(0),
            returned_items: AtomicU64::new(0),
        }
    }
}

impl UnitsUsage {
    pub(crate) fn consume(&self, access: Access, thousandths: u64) {
        self.consumed[access as usize].fetch_add(thousandths, Relaxed);
    }

    pub(crate) fn refuse(&self, access: Access) {
        self.refused[access as usize].fetch_add(1, Relaxed);
    }

    pub(crate) fn read(&self) -> UnitCounts {
        UnitCounts {
            consumed: self.consumed.each_ref().map(|count| count.load(Relaxed) as f64 / 1e3),
            refused: self.refused.each_ref().map(|count| count.load(Relaxed)),
            ..UnitCounts::default()
        }
    }
}

/// Carries a request out, and gives the tables that it asked for data of with its output.
pub(crate) async fn noting_used<F: Future>(request: F) -> (F::Output, SmallVec<[Arc<Usage>; 2]>) {
    USED.scope(RefCell::default(), async {
        let output = request.await;
        (output, USED.with(|used| std::mem::take(&mut *used.borrow_mut())))
    })
    .await
}

/// A table was asked for.
pub(crate) fn note(table: &Table) {
    // An error means that nobody counts.
    let _ = USED.try_with(|used| {
        let mut used = used.borrow_mut();
        if !used.iter().any(|known| Arc::ptr_eq(known, &table.live.usage)) {
            used.push(Arc::clone(&table.live.usage));
        }
    });
}

impl Table {
    /// Counts items that a query or a scan gave back.
    pub fn count_returned(&self, operation: DataOperation, items: usize) {
        self.live.usage.returned(operation, items);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_tables_are_told_apart_while_they_are_there() {
        let usages = Usages::default();
        let mut held: Vec<_> = (0..TOLD_APART_MAX)
            .map(|number| usages.of(&format!("t{number}")))
            .collect();
        assert!(held.iter().all(|usage| usage.name.is_some()));
        let late = usages.of("late");
        assert!(Arc::ptr_eq(&late, usages.other()));
        drop(held.pop());
        assert_eq!(usages.of("next").name.as_deref(), Some("next"));
        assert!(usages.of(OTHER).name.is_none(), "no table passes for the sum of others");
    }

    #[test]
    fn operations_are_told_by_their_names() {
        for operation in DataOperation::ALL {
            assert_eq!(DataOperation::named(operation.name()), Some(*operation));
        }
        assert_eq!(DataOperation::named("CreateTable"), None);
    }

    #[test]
    fn requests_are_counted_by_their_ends() {
        let usage = Usage::default();
        for end in [
            RequestEnd::Done(0.002),
            RequestEnd::Throttled,
            RequestEnd::ConditionFailed,
            RequestEnd::UserError,
            RequestEnd::SystemError,
        ] {
            usage.ended(DataOperation::Query, end);
        }
        usage.returned(DataOperation::Query, 7);
        let counts = usage.read(Vec::new());
        assert_eq!((counts.name.as_str(), counts.operations.len()), (OTHER, 1));
        let of = &counts.operations[0];
        assert_eq!(
            (of.operation, of.latency.count(), of.returned_items),
            (DataOperation::Query, 1, 7)
        );
        assert_eq!((of.throttled, of.user_errors, of.system_errors), (1, 1, 1));
    }
}
