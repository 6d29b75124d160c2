use std::sync::Arc;

use geodynamo_expression::partiql::{Select, Statement};
use geodynamo_item::Item;
use geodynamo_storage::Engine;
use geodynamo_table::{Capacity, ItemKey, Table, given_name};
use tokio::task::JoinSet;
use tracing::Instrument;

use super::{
    Answer,
    consumed::consumed,
    parameters::{says, unless_empty},
    select::{self, Single},
    statements::{Action, Bound, WriteFailed, action, parse, write},
};
use crate::{
    Api,
    authorize::Gate,
    errors::ApiError,
    generated::{BatchExecuteStatementInput, BatchExecuteStatementOutput, BatchStatementError, BatchStatementResponse},
    wire::encode,
};

/// Carries several PartiQL statements out, all of them reads or all of them writes, and each of another item. Each succeeds
/// or fails for itself. Writes run at once, and share the disk's syncs.
pub(super) async fn batch_execute_statement<E: Engine>(
    api: &Api<E>,
    gate: &Gate<'_, E>,
    input: BatchExecuteStatementInput,
) -> Answer {
    let requests = input.statements.unwrap_or_default();
    let bound: Vec<_> = requests
        .iter()
        .map(|request| {
            let text = request.statement.as_deref().unwrap_or_default();
            let on_failure = request.return_values_on_condition_check_failure.as_deref();
            let parameters = request.parameters.as_deref();
            gate.statement(text, parameters, Some("BatchExecuteStatement"), on_failure)?;
            Bound::of(api, parse(&request.statement, &request.parameters)?)
        })
        .collect();
    let reads = |reads: bool| bound.iter().flatten().any(|bound| bound.statement.reads() == reads);
    if reads(true) && reads(false) {
        return Err(ApiError::mixed_batch());
    }
    let mut responses = vec![BatchStatementResponse::default(); requests.len()];
    let mut wanted = Vec::with_capacity(requests.len());
    for (at, bound) in bound.into_iter().enumerate() {
        let planned = bound.and_then(|bound| {
            responses[at].table_name = Some(given_name(bound.table.name()).into());
            Wanted::of(bound)
        });
        match planned {
            Ok(of) => wanted.push((at, of)),
            Err(error) => responses[at].error = Some(batch_error(&error)),
        }
    }
    check_distinct(&wanted)?;

    let mut totals = Totals::default();
    let mut running = JoinSet::new();
    for (at, Wanted { table, what }) in wanted {
        let request = &requests[at];
        totals.begin(&table);
        match what {
            What::Read(read) => {
                let (select, single) = *read;
                let consistent = request.consistent_read.unwrap_or(false);
                let done = single.read(api, &table, &select, consistent).await;
                responses[at].finish(totals.add(&table, done.map_err(WriteFailed::from)));
            }
            What::Write(action) => {
                let tables = Arc::clone(&api.tables);
                let old_on_failure = says(&request.return_values_on_condition_check_failure, "ALL_OLD");
                let writing = async move {
                    let done = write(&tables, &table, *action, old_on_failure).await;
                    // Of a read, an item that has nothing of what was asked for is an empty one: it is there. Of a write
                    // it is none.
                    (at, table, done.map(|(item, capacity)| (unless_empty(item), capacity)))
                };
                running.spawn(writing.in_current_span());
            }
        }
    }
    let mut panicked = None;
    while let Some(joined) = running.join_next().await {
        match joined {
            Ok((at, table, done)) => responses[at].finish(totals.add(&table, done)),
            Err(panic) => panicked = Some(panic),
        }
    }
    if let Some(panic) = panicked {
        return Err(ApiError::internal(panic));
    }
    let shown = totals.0.into_iter().filter_map(|total| {
        let mut shown = consumed(
            given_name(total.table.name()),
            &input.return_consumed_capacity,
            &total.succeeded?,
        )?;
        shown.capacity_units = shown.capacity_units.map(|units| units + total.failed);
        Some(shown)
    });
    let shown: Vec<_> = shown.collect();
    Ok(encode(&BatchExecuteStatementOutput {
        responses: Some(responses),
        consumed_capacity: Some(shown).filter(|list| !list.is_empty()),
    }))
}

/// A statement that can be carried out.
struct Wanted {
    table: Arc<Table>,
    what: What,
}

/// What a statement does with its item.
enum What {
    Read(Box<(Select, Single)>),
    Write(Box<Action>),
}

impl Wanted {
    fn of(bound: Bound) -> Result<Self, ApiError> {
        let Bound { statement, table } = bound;
        let what = match statement {
            Statement::Select(select) => {
                let single = select::single(&table, &select);
                let single = single.ok_or_else(|| ApiError::select_of_several("BatchExecuteStatement"))?;
                What::Read(Box::new((select, single)))
            }
            statement => What::Write(Box::new(action(&table, statement)?)),
        };
        Ok(Self { table, what })
    }

    /// Where its item is; `None` for a key that no item of the table can have.
    fn place(&self) -> Option<(u64, ItemKey)> {
        let at = match &self.what {
            What::Read(read) => self.table.key_of(&read.1.key),
            What::Write(action) => self.table.key_of(&action.key(&self.table)),
        };
        Some((self.table.id(), at.ok()?))
    }
}

/// Refuses several statements of one item. A batch has few.
fn check_distinct(wanted: &[(usize, Wanted)]) -> Result<(), ApiError> {
    let places: Vec<_> = wanted.iter().filter_map(|(_, wanted)| wanted.place()).collect();
    let twice = |(at, place): (usize, &(u64, ItemKey))| places[..at].contains(place);
    if places.iter().enumerate().any(twice) {
        return Err(ApiError::duplicate_keys());
    }
    Ok(())
}

/// What the batch consumed of each table, in the order of first mention.
#[derive(Default)]
struct Totals(Vec<Total>);

struct Total {
    table: Arc<Table>,
    /// By the statements that succeeded; `None` if none has.
    succeeded: Option<Capacity>,
    /// Write units of those that failed: they count in the table's total, but not among its parts.
    failed: f64,
}

impl Totals {
    /// Mentions a table.
    fn begin(&mut self, table: &Arc<Table>) {
        self.of(table);
    }

    /// Adds what a statement consumed, done or not; gives the rest of its outcome.
    fn add(
        &mut self,
        table: &Arc<Table>,
        done: Result<(Option<Item>, Capacity), WriteFailed>,
    ) -> Result<Option<Item>, ApiError> {
        let total = self.of(table);
        match done {
            Ok((item, capacity)) => {
                total.succeeded.get_or_insert_default().add(&capacity);
                Ok(item)
            }
            Err(WriteFailed { error, units }) => {
                total.failed += units;
                Err(error)
            }
        }
    }

    fn of(&mut self, table: &Arc<Table>) -> &mut Total {
        let known = self.0.iter().position(|total| total.table.id() == table.id());
        let at = known.unwrap_or_else(|| {
            self.0.push(Total {
                table: Arc::clone(table),
                succeeded: None,
                failed: 0.0,
            });
            self.0.len() - 1
        });
        &mut self.0[at]
    }
}

impl BatchStatementResponse {
    fn finish(&mut self, done: Result<Option<Item>, ApiError>) {
        match done {
            Ok(item) => self.item = item,
            Err(error) => self.error = Some(batch_error(&error)),
        }
    }
}

/// An error as a batch's response has it.
fn batch_error(error: &ApiError) -> BatchStatementError {
    BatchStatementError {
        code: Some(error.statement_code().into()),
        message: Some(error.message().into()),
        item: error.item().cloned(),
    }
}
