//! The tables that a request names, for the audit trail.

use geodynamo_expression::partiql::Statement;
use geodynamo_item::AttributeValue;

use crate::{
    Operation,
    generated::{
        BatchExecuteStatementInput, BatchGetItemInput, BatchWriteItemInput, ExecuteStatementInput,
        ExecuteTransactionInput, TransactGetItemsInput, TransactWriteItemsInput,
    },
    wire,
};

/// The tables that requests about several items or in PartiQL name, each once, sorted, as the request writes them: names or
/// ARNs. Nothing of other operations, whose `TableName` says it, and of what is malformed.
pub fn tables_named(operation: Operation, body: &[u8]) -> Vec<String> {
    let mut names = named(operation, body).unwrap_or_default();
    names.sort_unstable();
    names.dedup();
    names
}

fn named(operation: Operation, body: &[u8]) -> Option<Vec<String>> {
    let names: Vec<String> = match operation {
        Operation::BatchGetItem => {
            let input = wire::checked::<BatchGetItemInput>(body).ok()?;
            let tables = input.request_items.iter().flat_map(|tables| tables.keys());
            tables.map(ToString::to_string).collect()
        }
        Operation::BatchWriteItem => {
            let input = wire::checked::<BatchWriteItemInput>(body).ok()?;
            let tables = input.request_items.iter().flat_map(|tables| tables.keys());
            tables.map(ToString::to_string).collect()
        }
        Operation::TransactGetItems => {
            let input = wire::checked::<TransactGetItemsInput>(body).ok()?;
            let gets = input
                .transact_items
                .iter()
                .flatten()
                .filter_map(|item| item.get.as_ref());
            gets.filter_map(|get| get.table_name.as_deref().map(str::to_owned))
                .collect()
        }
        Operation::TransactWriteItems => {
            let input = wire::checked::<TransactWriteItemsInput>(body).ok()?;
            let items = input.transact_items.iter().flatten();
            let tables = items.flat_map(|item| {
                [
                    item.condition_check.as_ref().map(|check| &check.table_name),
                    item.put.as_ref().map(|put| &put.table_name),
                    item.delete.as_ref().map(|delete| &delete.table_name),
                    item.update.as_ref().map(|update| &update.table_name),
                ]
            });
            tables
                .flatten()
                .filter_map(|name| name.as_deref().map(str::to_owned))
                .collect()
        }
        Operation::ExecuteStatement => {
            let input = wire::checked::<ExecuteStatementInput>(body).ok()?;
            let table = of_statement(input.statement.as_deref(), input.parameters.as_deref());
            table.into_iter().collect()
        }
        Operation::BatchExecuteStatement => {
            let input = wire::checked::<BatchExecuteStatementInput>(body).ok()?;
            let statements = input.statements.iter().flatten();
            statements
                .filter_map(|one| of_statement(one.statement.as_deref(), one.parameters.as_deref()))
                .collect()
        }
        Operation::ExecuteTransaction => {
            let input = wire::checked::<ExecuteTransactionInput>(body).ok()?;
            let statements = input.transact_statements.iter().flatten();
            statements
                .filter_map(|one| of_statement(one.statement.as_deref(), one.parameters.as_deref()))
                .collect()
        }
        _ => Vec::new(),
    };
    Some(names)
}

fn of_statement(text: Option<&str>, parameters: Option<&[AttributeValue]>) -> Option<String> {
    let statement = Statement::parse(text?, parameters.unwrap_or_default()).ok()?;
    Some(statement.table().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_each_operation() {
        let key = r#"{"pk":{"S":"x"}}"#;
        for (operation, body) in [
            (
                Operation::BatchGetItem,
                format!(r#"{{"RequestItems":{{"bbb":{{"Keys":[{key}]}},"aaa":{{"Keys":[{key}]}}}}}}"#),
            ),
            (
                Operation::BatchWriteItem,
                format!(
                    r#"{{"RequestItems":{{"aaa":[{{"DeleteRequest":{{"Key":{key}}}}}],"bbb":[{{"PutRequest":{{"Item":{key}}}}}]}}}}"#
                ),
            ),
            (
                Operation::TransactGetItems,
                format!(
                    r#"{{"TransactItems":[{{"Get":{{"TableName":"aaa","Key":{key}}}}},{{"Get":{{"TableName":"bbb","Key":{key}}}}}]}}"#
                ),
            ),
            (
                Operation::TransactWriteItems,
                format!(
                    r#"{{"TransactItems":[{{"Put":{{"TableName":"aaa","Item":{key}}}}},{{"Delete":{{"TableName":"bbb","Key":{key}}}}}]}}"#
                ),
            ),
            (
                Operation::BatchExecuteStatement,
                r#"{"Statements":[{"Statement":"SELECT * FROM aaa WHERE pk = ?","Parameters":[{"S":"x"}]},
                    {"Statement":"DELETE FROM bbb WHERE pk = 'x'"},{"Statement":"nothing"}]}"#
                    .into(),
            ),
            (
                Operation::ExecuteTransaction,
                r#"{"TransactStatements":[{"Statement":"INSERT INTO aaa VALUE {'pk': 'x'}"},{"Statement":"UPDATE bbb SET c = 1 WHERE pk = 'x'"}]}"#
                    .into(),
            ),
        ] {
            assert_eq!(tables_named(operation, body.as_bytes()), ["aaa", "bbb"], "{operation:?}");
        }
        let statement = r#"{"Statement":"SELECT * FROM aaa.i WHERE pk = 'x'"}"#;
        assert_eq!(tables_named(Operation::ExecuteStatement, statement.as_bytes()), ["aaa"]);
        assert!(tables_named(Operation::BatchGetItem, b"{").is_empty());
    }
}
