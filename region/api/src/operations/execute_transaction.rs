use std::sync::Arc;

use geodynamo_expression::partiql::{Select, Statement};
use geodynamo_item::size;
use geodynamo_json::Writer;
use geodynamo_storage::Engine;
use geodynamo_table::{Capacity, ClientToken, Table, TableError, TransactAction, TransactWrite, capacity::read_units};

use super::{
    Answer,
    consumed::{Units, transacted},
    parameters::says,
    select::{self, Single},
    statements::{Action, Bound, action, parse},
};
use crate::{
    Api,
    errors::{ApiError, CancellationReason},
    generated::{ExecuteTransactionInput, ExecuteTransactionOutput, ItemResponse, ParameterizedStatement},
    wire::{encode, write_member},
};

/// How often an item is read: once to prepare the transaction, once to commit it.
const TWICE: f64 = 2.0;

/// Carries several PartiQL statements out, all or nothing; or reads several items as of one moment.
pub(super) async fn execute_transaction<E: Engine>(api: &Api<E>, input: ExecuteTransactionInput) -> Answer {
    let requests = input.transact_statements.as_deref().unwrap_or_default();
    let statements = requests
        .iter()
        .map(|request| parse(&request.statement, &request.parameters));
    let statements = statements.collect::<Result<Vec<_>, _>>()?;
    let reads = |reads: bool| statements.iter().any(|statement| statement.reads() == reads);
    let (any_reads, any_writes) = (reads(true), reads(false));
    if any_reads && any_writes {
        return Err(ApiError::mixed_transaction());
    }
    for (at, statement) in statements.iter().enumerate() {
        if statement.has_returning() {
            return Err(ApiError::transact_returning(at));
        }
        if statement.index().is_some() {
            return Err(ApiError::transact_index(at));
        }
    }
    let bound = statements.into_iter().map(|statement| Bound::of(api, statement));
    let bound = bound.collect::<Result<Vec<_>, _>>()?;
    if any_reads {
        read(api, bound, &input).await
    } else {
        write(api, bound, &input).await
    }
}

/// What is wanted of one item.
struct Wanted {
    table: Arc<Table>,
    select: Select,
    single: Single,
}

async fn read<E: Engine>(api: &Api<E>, bound: Vec<Bound>, input: &ExecuteTransactionInput) -> Answer {
    let mut wanted = Vec::with_capacity(bound.len());
    for Bound { statement, table } in bound {
        let Statement::Select(select) = statement else {
            return Err(ApiError::mixed_transaction());
        };
        let single =
            select::single(&table, &select).ok_or_else(|| ApiError::select_of_several("ExecuteTransaction"))?;
        wanted.push(Wanted { table, select, single });
    }
    let keys: Vec<_> = wanted
        .iter()
        .map(|wanted| (Arc::clone(&wanted.table), wanted.single.key.clone()))
        .collect();
    let found = api.tables.writes().transact_get(&keys).await?;
    let mut capacities: Vec<(Arc<Table>, Capacity)> = Vec::new();
    let mut responses = Vec::with_capacity(wanted.len());
    for (Wanted { table, select, single }, item) in wanted.into_iter().zip(found) {
        let size = item.as_ref().map(|item| item.size()).transpose()?.unwrap_or(0);
        let consumed = Capacity {
            table: TWICE * read_units(size, true),
            ..Capacity::default()
        };
        match capacities.iter_mut().find(|(other, _)| other.id() == table.id()) {
            Some((_, sum)) => sum.add(&consumed),
            None => capacities.push((table, consumed)),
        }
        let item = item.map(|item| item.decode()).transpose()?;
        responses.push(ItemResponse {
            item: single.show(&select, item),
        });
    }
    Ok(encode(&ExecuteTransactionOutput {
        responses: Some(responses),
        consumed_capacity: transacted(&capacities, &input.return_consumed_capacity, Units::Read),
    }))
}

async fn write<E: Engine>(api: &Api<E>, bound: Vec<Bound>, input: &ExecuteTransactionInput) -> Answer {
    let requests = input.transact_statements.as_deref().unwrap_or_default();
    let token = input.client_request_token.as_deref();
    let token = token.map(|text| ClientToken::new(&api.token(text), &parameters(requests)));
    let mut actions = Vec::with_capacity(bound.len());
    let mut inserts = Vec::with_capacity(bound.len());
    let mut reasons = vec![CancellationReason::NONE; bound.len()];
    for (at, (Bound { statement, table }, request)) in bound.into_iter().zip(requests).enumerate() {
        match action(&table, statement) {
            Ok(action) => {
                inserts.push(matches!(action, Action::Insert { .. }));
                actions.push(transact(table, action, request));
            }
            Err(error) => {
                // The first is told.
                reasons[at] = CancellationReason::of_statement(&error);
                return Err(ApiError::transaction_canceled(reasons));
            }
        }
    }
    let done = api.tables.writes().transact_write(actions, token.as_ref()).await;
    let done = done.map_err(|error| canceled(error, &inserts))?;
    let units = if done.repeated { Units::Read } else { Units::Write };
    Ok(encode(&ExecuteTransactionOutput {
        responses: Some(Vec::new()),
        consumed_capacity: transacted(&done.capacity, &input.return_consumed_capacity, units),
    }))
}

/// What a repetition under the same token must have the same: the statements, but not what the reply is to tell besides.
fn parameters(requests: &[ParameterizedStatement]) -> Vec<u8> {
    let mut writer = Writer::with_capacity(1024);
    writer.begin_object();
    write_member("TransactStatements", &Some(requests.to_vec()), &mut writer);
    writer.end_object();
    writer.into_bytes()
}

fn transact(table: Arc<Table>, action: Action, request: &ParameterizedStatement) -> TransactWrite {
    // An INSERT's parameters are its item's; a key that is among the others' counts with the action.
    let values_bytes = match &action {
        Action::Insert { .. } => 0,
        Action::Update { key, .. } | Action::Delete { key, .. } | Action::Check { key, .. } => {
            let bytes: usize = request.parameters.iter().flatten().map(size::value).sum();
            bytes.saturating_sub(size::item(key))
        }
    };
    let (action, condition) = match action {
        Action::Insert { item, condition } => (TransactAction::Put(item), Some(condition)),
        Action::Update {
            key, update, condition, ..
        } => (TransactAction::Update(key, Some(update)), Some(condition)),
        Action::Delete { key, condition, .. } => (TransactAction::Delete(key), condition),
        Action::Check { key, condition } => (TransactAction::Check(key), Some(condition)),
    };
    TransactWrite {
        table,
        action,
        condition,
        values_bytes,
        old_on_failure: says(&request.return_values_on_condition_check_failure, "ALL_OLD"),
    }
}

/// The error, where an INSERT's failed condition is told as what it is: a duplicate.
fn canceled(error: TableError, inserts: &[bool]) -> ApiError {
    let TableError::TransactionCanceled(reasons) = error else {
        return error.into();
    };
    let reasons = reasons.into_iter().zip(inserts).map(|(reason, insert)| match reason {
        Some(TableError::ConditionFailed(_)) if *insert => CancellationReason::duplicate_item(),
        reason => reason.into(),
    });
    ApiError::transaction_canceled(reasons.collect())
}
