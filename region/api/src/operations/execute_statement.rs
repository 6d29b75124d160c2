use geodynamo_expression::partiql::Statement;
use geodynamo_json::Writer;
use geodynamo_storage::Engine;
use geodynamo_table::given_name;
use geodynamo_table::usage::DataOperation;

use super::{
    Answer,
    consumed::consumed,
    next_token,
    parameters::{says, unless_empty},
    reading::limit,
    select::{self, Reading},
    statements::{Bound, action, parse, write},
};
use crate::{
    Api,
    generated::{ExecuteStatementInput, ExecuteStatementOutput},
    wire::{encode, write_member},
};

/// Bytes of a page's reply to begin with.
const REPLY_BYTES: usize = 4096;

/// Carries a PartiQL statement out.
pub(super) async fn execute_statement<E: Engine>(api: &Api<E>, input: ExecuteStatementInput) -> Answer {
    // Required by the model, so it is there.
    let text = input.statement.as_deref().unwrap_or_default();
    let Bound { statement, table } = Bound::of(api, parse(&input.statement, &input.parameters)?)?;
    let digest = next_token::digest(&table, text, &input.parameters);
    let from = input
        .next_token
        .as_deref()
        .map(|token| next_token::read(token, digest))
        .transpose()?;
    let Statement::Select(select) = statement else {
        let old_on_failure = says(&input.return_values_on_condition_check_failure, "ALL_OLD");
        let (item, capacity) = write(&api.tables, &table, action(&table, statement)?, old_on_failure)
            .await
            .map_err(|failed| failed.error)?;
        return Ok(encode(&ExecuteStatementOutput {
            items: Some(unless_empty(item).into_iter().collect()),
            consumed_capacity: consumed(given_name(table.name()), &input.return_consumed_capacity, &capacity),
            ..ExecuteStatementOutput::default()
        }));
    };
    let reading = Reading {
        limit: limit(input.limit),
        consistent: input.consistent_read,
        from,
    };
    let page = select::page(api, &table, &select, reading).await?;
    table.count_returned(DataOperation::ExecuteStatement, page.items.len());
    let mut writer = Writer::with_capacity(REPLY_BYTES);
    writer.begin_object();
    writer.plain_key("Items");
    writer.begin_array();
    for item in &page.items {
        select::write_shown(item, &select, &mut writer)?;
    }
    writer.end_array();
    if let Some(next) = &page.next {
        writer.plain_key("NextToken");
        writer.plain_string(&next_token::write(next, digest));
    }
    write_member(
        "ConsumedCapacity",
        &consumed(
            given_name(table.name()),
            &input.return_consumed_capacity,
            &page.capacity,
        ),
        &mut writer,
    );
    write_member("LastEvaluatedKey", &page.next.and_then(|next| next.key), &mut writer);
    writer.end_object();
    Ok(writer.into_bytes())
}
