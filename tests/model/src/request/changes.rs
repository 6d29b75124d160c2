//! Changes of tables and of time, and their bodies.

use serde_json::{Value as Json, json};

use crate::schema::{Index, Schema, name_of};

/// What is changed, or looked at, of a table itself.
#[derive(Clone, Debug)]
pub(crate) enum TableRequest {
    /// UpdateTable: a new global index.
    AddIndex(usize, Index),
    /// UpdateTable: a global index goes.
    RemoveIndex(usize, String),
    /// DescribeTable
    Describe(usize),
    /// UpdateTimeToLive
    SetTimeToLive {
        table: usize,
        enabled: bool,
        attribute: String,
    },
    /// DescribeTimeToLive
    DescribeTimeToLive(usize),
}

/// What happens by itself in a region, here when it is told to.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Event {
    /// So many milliseconds pass, and whatever has expired goes.
    Pass(u64),
    /// Indexes that are added are filled by one step more.
    Step,
    /// Indexes are filled and emptied to the end.
    Build,
}

impl TableRequest {
    pub(super) fn operation(&self) -> &'static str {
        match self {
            Self::AddIndex(..) | Self::RemoveIndex(..) => "UpdateTable",
            Self::Describe(_) => "DescribeTable",
            Self::SetTimeToLive { .. } => "UpdateTimeToLive",
            Self::DescribeTimeToLive(_) => "DescribeTimeToLive",
        }
    }

    pub(super) fn form(&self) -> &'static str {
        match self {
            Self::AddIndex(_, index) if index.keys.has_several() => {
                "that adds an index with keys of several attributes"
            }
            Self::AddIndex(..) => "that adds an index",
            Self::RemoveIndex(..) => "that removes an index",
            _ => "",
        }
    }

    pub(super) fn body(&self, schemas: &[Schema]) -> Json {
        match self {
            Self::AddIndex(table, index) => {
                let definition =
                    |key: &crate::schema::KeyAttribute| json!({ "AttributeName": key.name, "AttributeType": key.kind });
                json!({
                    "TableName": name_of(schemas, *table),
                    "AttributeDefinitions": index.keys.attributes().map(definition).collect::<Vec<_>>(),
                    "GlobalSecondaryIndexUpdates": [{ "Create": index.json() }],
                })
            }
            Self::RemoveIndex(table, name) => json!({
                "TableName": name_of(schemas, *table),
                "GlobalSecondaryIndexUpdates": [{ "Delete": { "IndexName": name } }],
            }),
            Self::SetTimeToLive {
                table,
                enabled,
                attribute,
            } => json!({
                "TableName": name_of(schemas, *table),
                "TimeToLiveSpecification": { "AttributeName": attribute, "Enabled": enabled },
            }),
            Self::Describe(table) | Self::DescribeTimeToLive(table) => {
                json!({ "TableName": name_of(schemas, *table) })
            }
        }
    }
}

impl Event {
    /// As a list of requests shows it, where no operation of DynamoDB's has such a name.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Pass(_) => "(time passes)",
            Self::Step => "(a step of back-fills)",
            Self::Build => "(back-fills end)",
        }
    }

    pub(super) fn body(self) -> Json {
        match self {
            Self::Pass(ms) => json!({ "ms": ms }),
            Self::Step | Self::Build => json!({}),
        }
    }
}
