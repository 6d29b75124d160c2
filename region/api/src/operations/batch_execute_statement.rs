use std::sync::Arc;

use compact_str::CompactString;
use geodynamo_expression::partiql::{Select, Statement};
use geodynamo_item::Item;
use geodynamo_storage::Engine;
use geodynamo_table::{Capacity, Table, Tables};
use tokio::task::JoinSet;

use super::{
    Answer,
    consumed::consumed,
    parameters::{says, unless_empty},
    select,
    statements::{Action, Bound, action, bind, write},
};
use crate::{
    Api,
    authorize::Gate,
    errors::ApiError,
    generated::{
        BatchExecuteStatementInput, BatchExecuteStatementOutput, BatchStatementError, BatchStatementRequest,
        BatchStatementResponse, ConsumedCapacity,
    },
    wire::encode,
};

/// What a statement of the batch came to.
#[derive(Default)]
struct Outcome {
    response: BatchStatementResponse,
    consumed: Option<ConsumedCapacity>,
}

/// Carries several PartiQL statements out, all of them reads or all of them writes. Each succeeds or fails for itself.
/// Writes of different items run at once, and share the disk's syncs; those of one item in their order.
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
            bind(api, text, &request.parameters)
        })
        .collect();
    let reads = |reads: bool| bound.iter().flatten().any(|bound| bound.statement.reads() == reads);
    if reads(true) && reads(false) {
        return Err(ApiError::mixed_statements());
    }
    let mut outcomes: Vec<Outcome> = bound.iter().map(|_| Outcome::default()).collect();
    let mut writes: Vec<Writes> = Vec::new();
    for (at, (bound, request)) in bound.into_iter().zip(&requests).enumerate() {
        let Bound { statement, table } = match bound {
            Ok(bound) => bound,
            Err(error) => {
                outcomes[at].response.error = Some(batch_error(&error));
                continue;
            }
        };
        outcomes[at].response.table_name = Some(table.name().into());
        let done = match statement {
            Statement::Select(select) => read(api, &table, &select, request).await,
            statement => match action(&table, statement) {
                Ok(action) => {
                    let old_on_failure = says(&request.return_values_on_condition_check_failure, "ALL_OLD");
                    Writes::add(&mut writes, table, at, action, old_on_failure);
                    continue;
                }
                Err(error) => Err(error),
            },
        };
        outcomes[at].finish(table.name(), done, &input.return_consumed_capacity);
    }
    let mut running = JoinSet::new();
    for writes in writes {
        let tables = Arc::clone(&api.tables);
        running.spawn(async move { writes.run(&tables).await });
    }
    let mut panicked = None;
    while let Some(joined) = running.join_next().await {
        let (table, all) = match joined {
            Ok(joined) => joined,
            Err(panic) => {
                panicked = Some(panic);
                continue;
            }
        };
        for (at, done) in all {
            outcomes[at].finish(table.name(), done, &input.return_consumed_capacity);
        }
    }
    if let Some(panic) = panicked {
        return Err(ApiError::internal(panic));
    }
    let consumed: Vec<_> = outcomes
        .iter_mut()
        .filter_map(|outcome| outcome.consumed.take())
        .collect();
    Ok(encode(&BatchExecuteStatementOutput {
        responses: Some(outcomes.into_iter().map(|outcome| outcome.response).collect()),
        consumed_capacity: Some(consumed).filter(|list| !list.is_empty()),
    }))
}

/// What a statement gives: an item, if it gives one, and what it consumed.
type Done = Result<(Option<Item>, Capacity), ApiError>;

async fn read<E: Engine>(api: &Api<E>, table: &Table, select: &Select, request: &BatchStatementRequest) -> Done {
    let single = select::single(table, select).ok_or_else(|| ApiError::select_of_several("BatchExecuteStatement"))?;
    let consistent = request.consistent_read.unwrap_or(false);
    single.read(api, table, select, consistent).await
}

/// The writes of one item, in their order.
struct Writes {
    table: Arc<Table>,
    key: Item,
    list: Vec<(usize, Action, bool)>,
}

impl Writes {
    fn add(all: &mut Vec<Self>, table: Arc<Table>, at: usize, action: Action, old_on_failure: bool) {
        let key = action.key(&table);
        let write = (at, action, old_on_failure);
        match all.iter_mut().find(|of| of.table.id() == table.id() && of.key == key) {
            Some(of) => of.list.push(write),
            None => all.push(Self {
                table,
                key,
                list: vec![write],
            }),
        }
    }

    async fn run<E: Engine>(self, tables: &Tables<E>) -> (Arc<Table>, Vec<(usize, Done)>) {
        let mut done = Vec::with_capacity(self.list.len());
        for (at, action, old_on_failure) in self.list {
            let written = write(tables, &self.table, action, old_on_failure).await;
            done.push((at, written.map(|(item, capacity)| (unless_empty(item), capacity))));
        }
        (self.table, done)
    }
}

impl Outcome {
    fn finish(&mut self, table: &str, done: Done, asked: &Option<CompactString>) {
        match done {
            Ok((item, capacity)) => {
                // Of a read, an item that has nothing of what was asked for is an empty one: it is there.
                self.response.item = item;
                self.consumed = consumed(table, asked, &capacity);
            }
            Err(error) => self.response.error = Some(batch_error(&error)),
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
