//! A copy in PostgreSQL: one table for each table.
//!
//! It has the key attributes as columns of their types, and the item as one `jsonb` document. That is how AWS's own integration
//! with warehouses lays tables out, for reasons that hold here, too: items of one table need not have the same attributes, an
//! attribute need not have one type, and there may be more of them than a table of PostgreSQL's can have columns. What one queries
//! often gets an index on an expression, a generated column, or a view; these stay when the copy begins anew.
//!
//! Which copy it is and what it has is in the table `geodynamo_sinks` beside it, and changes in the transactions that change the
//! copy. A copy has one writer: it holds an advisory lock, and a transaction ends without effect if the positions are not those that
//! it goes on from.

mod connection;
mod statements;

use std::time::Duration;

use geodynamo_item::{AttributeType, AttributeValue, Item};
use tokio_postgres::{Client, Row, Statement, types::ToSql};

use self::{connection::Connection, statements::Statements};
use crate::{
    Document, PostgresSpec, SinkSpec, document,
    names::digest_of,
    target::{Batch, Held, Put, Shape, Target, TargetError},
};

type Result<T> = std::result::Result<T, TargetError>;

/// A copy in PostgreSQL.
pub(crate) struct Postgres {
    spec: PostgresSpec,
    into: String,
    position_first: bool,
    open: Option<Open>,
}

/// A connection, and what was prepared on it.
struct Open {
    connection: Connection,
    statements: Statements,
    /// The key attributes.
    keys: Vec<(String, AttributeType)>,
    prepared: Option<Prepared>,
}

/// Statements that changes are made with.
struct Prepared {
    put: Statement,
    delete: Statement,
    advance: Statement,
}

impl Postgres {
    pub(crate) fn new(sink: &SinkSpec, spec: PostgresSpec, position_first: bool) -> Self {
        Self {
            into: spec.into.clone().unwrap_or_else(|| sink.table.clone()),
            spec,
            position_first,
            open: None,
        }
    }

    fn opened(&mut self) -> Result<&mut Open> {
        self.open.as_mut().ok_or_else(|| TargetError("it is not open".into()))
    }
}

impl Target for Postgres {
    async fn open(&mut self, shape: &Shape) -> Result<Option<Held>> {
        self.open = None;
        let connection = connection::connect(&self.spec).await?;
        let statements = Statements::new(&self.spec.schema, &self.into, shape);
        let client = &connection.client;
        let row = client
            .query_one(statements::LOCK, &[&statements.target])
            .await
            .map_err(told)?;
        if !cell::<bool>(&row, 0)? {
            return Err(TargetError(format!(
                "another sink writes {} in this database",
                statements.target
            )));
        }
        let held = if exists(client, &statements.state).await? {
            let rows = client
                .query(&statements.held, &[&statements.target])
                .await
                .map_err(told)?;
            held(&rows)?
        } else {
            None
        };
        let open = Open {
            connection,
            statements,
            keys: shape.keys.clone(),
            prepared: None,
        };
        // A table that is not there, or not as it should be, is begun anew.
        let held = match held {
            Some(held) if open.has_columns().await? => Some(held),
            _ => None,
        };
        self.open = Some(open);
        Ok(held)
    }

    async fn begin_load(&mut self, _: &Shape) -> Result<()> {
        let open = self.opened()?;
        let (client, statements) = (&open.connection.client, &open.statements);
        client.batch_execute(statements::BEGIN_LOAD).await.map_err(told)?;
        // Two sinks that begin at once would make one table twice.
        client.query(statements::LOCK_SETUP, &[]).await.map_err(told)?;
        let schema = client.query_opt(statements::SCHEMA, &[&statements.schema]).await;
        if schema.map_err(told)?.is_none() {
            client.batch_execute(&statements.create_schema).await.map_err(told)?;
        }
        client.batch_execute(&statements.create_state).await.map_err(told)?;
        let rows = client
            .query(&statements.held, &[&statements.target])
            .await
            .map_err(told)?;
        if exists(client, &statements.table).await? {
            if rows.is_empty() {
                return Err(TargetError(format!(
                    "there is a table {} that no sink has made; it is left alone",
                    statements.table
                )));
            }
            // What is in the table is seen until the transaction ends, which TRUNCATE would not let it be.
            let empty = if open.has_columns().await? {
                &statements.empty
            } else {
                &statements.drop
            };
            client.batch_execute(empty).await.map_err(told)?;
        }
        client.batch_execute(&statements.create).await.map_err(told)?;
        client
            .execute(&statements.forget, &[&statements.target])
            .await
            .map_err(told)?;
        open.prepare().await
    }

    async fn load(&mut self, rows: &[Put]) -> Result<()> {
        let form = self.spec.document;
        let open = self.opened()?;
        open.put(rows, form).await
    }

    async fn end_load(&mut self, held: &Held) -> Result<()> {
        let open = self.opened()?;
        let (client, statements) = (&open.connection.client, &open.statements);
        let (partitions, positions) = columns(held)?;
        client
            .execute(
                &statements.remember,
                &[&statements.target, &held.epoch, &partitions, &positions],
            )
            .await
            .map_err(told)?;
        client.batch_execute("COMMIT").await.map_err(told)
    }

    async fn apply(&mut self, batch: &Batch, from: &Held, to: &Held) -> Result<()> {
        let form = self.spec.document;
        let position_first = self.position_first;
        let open = self.opened()?;
        open.prepare().await?;
        open.begin().await?;
        open.advance(from, to).await?;
        if position_first {
            open.commit().await?;
            open.begin().await?;
        }
        open.delete(batch).await?;
        open.put(&batch.puts, form).await?;
        open.commit().await
    }

    fn interval(&self) -> Duration {
        Duration::ZERO
    }

    fn close(&mut self) {
        self.open = None;
    }
}

impl Open {
    async fn begin(&self) -> Result<()> {
        self.connection.client.batch_execute("BEGIN").await.map_err(told)
    }

    async fn commit(&self) -> Result<()> {
        self.connection.client.batch_execute("COMMIT").await.map_err(told)
    }

    /// Whether the table is there and has the columns that it should have.
    async fn has_columns(&self) -> Result<bool> {
        let rows = self
            .connection
            .client
            .query(statements::COLUMNS, &[&self.statements.table])
            .await;
        let mut found = Vec::new();
        for row in &rows.map_err(told)? {
            found.push((cell::<String>(row, 0)?, cell::<String>(row, 1)?));
        }
        // Columns that somebody added are his own.
        Ok(found.starts_with(&self.statements.columns))
    }

    async fn prepare(&mut self) -> Result<()> {
        if self.prepared.is_some() {
            return Ok(());
        }
        let (client, statements) = (&self.connection.client, &self.statements);
        self.prepared = Some(Prepared {
            put: client.prepare(&statements.put).await.map_err(told)?,
            delete: client.prepare(&statements.delete).await.map_err(told)?,
            advance: client.prepare(&statements.advance).await.map_err(told)?,
        });
        Ok(())
    }

    fn prepared(&self) -> Result<&Prepared> {
        self.prepared
            .as_ref()
            .ok_or_else(|| TargetError("nothing is prepared".into()))
    }

    /// Moves the positions that differ, if they are where they are thought to be.
    async fn advance(&self, from: &Held, to: &Held) -> Result<()> {
        let (partitions, before) = columns(from)?;
        let (_, after) = columns(to)?;
        let moved: Vec<usize> = (0..after.len())
            .filter(|place| before.get(*place) != after.get(*place))
            .collect();
        let pick = |all: &[i64]| {
            moved
                .iter()
                .filter_map(|place| all.get(*place).copied())
                .collect::<Vec<i64>>()
        };
        let which: Vec<i32> = moved
            .iter()
            .filter_map(|place| partitions.get(*place).copied())
            .collect();
        let target = &self.statements.target;
        let changed = self
            .connection
            .client
            .execute(
                &self.prepared()?.advance,
                &[target, &from.epoch, &which, &pick(&before), &pick(&after)],
            )
            .await
            .map_err(told)?;
        if changed == which.len() as u64 {
            Ok(())
        } else {
            Err(TargetError(format!("{target} is not where this sink left it")))
        }
    }

    async fn delete(&self, batch: &Batch) -> Result<()> {
        if batch.deletes.is_empty() {
            return Ok(());
        }
        let keys: Vec<Vec<u8>> = batch.deletes.iter().map(|key| digest_of(key)).collect();
        let deleted = self.connection.client.execute(&self.prepared()?.delete, &[&keys]).await;
        deleted.map(|_| ()).map_err(told)
    }

    async fn put(&self, rows: &[Put], form: Document) -> Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        let mut keys = Vec::with_capacity(rows.len());
        let mut columns: Vec<Column> = self.keys.iter().map(|(_, kind)| Column::new(*kind)).collect();
        let mut documents = Vec::with_capacity(rows.len());
        for row in rows {
            let item = row.item.decode().map_err(|error| TargetError(error.to_string()))?;
            keys.push(digest_of(&row.key));
            for ((name, _), column) in self.keys.iter().zip(&mut columns) {
                column.push(&item, name)?;
            }
            documents.push(document::write_without_nul(&item, form));
        }
        let mut values: Vec<&(dyn ToSql + Sync)> = vec![&keys];
        for column in &columns {
            values.push(match column {
                Column::Text(values) => values,
                Column::Bytes(values) => values,
            });
        }
        values.push(&documents);
        let put = self.connection.client.execute(&self.prepared()?.put, &values).await;
        put.map(|_| ()).map_err(told)
    }
}

/// The values of a key attribute.
enum Column {
    /// Of S, and of N as they are written.
    Text(Vec<String>),
    /// Of B.
    Bytes(Vec<Vec<u8>>),
}

impl Column {
    fn new(kind: AttributeType) -> Self {
        match kind {
            AttributeType::B => Self::Bytes(Vec::new()),
            _ => Self::Text(Vec::new()),
        }
    }

    fn push(&mut self, item: &Item, name: &str) -> Result<()> {
        match (self, item.get(name)) {
            (Self::Text(values), Some(AttributeValue::S(value))) => values.push(document::text(value).into_owned()),
            (Self::Text(values), Some(AttributeValue::N(number))) => values.push(number.text().to_string()),
            (Self::Bytes(values), Some(AttributeValue::B(value))) => values.push(value.to_vec()),
            _ => return Err(TargetError("an item has not the key that its table's have".into())),
        }
        Ok(())
    }
}

async fn exists(client: &Client, name: &str) -> Result<bool> {
    let row = client.query_one(statements::EXISTS, &[&name]).await.map_err(told)?;
    cell(&row, 0)
}

/// What a copy says that it has.
fn held(rows: &[Row]) -> Result<Option<Held>> {
    let mut epoch: Option<String> = None;
    let mut positions = Vec::with_capacity(rows.len());
    for (place, row) in rows.iter().enumerate() {
        let of_row: String = cell(row, 0)?;
        let is_same = epoch.as_ref().is_none_or(|epoch| *epoch == of_row);
        if usize::try_from(cell::<i32>(row, 1)?) != Ok(place) || !is_same {
            return Ok(None);
        }
        positions.push(u64::try_from(cell::<i64>(row, 2)?).unwrap_or(0));
        epoch = Some(of_row);
    }
    Ok(epoch.map(|epoch| Held { epoch, positions }))
}

/// Partitions and their positions, as PostgreSQL has them.
fn columns(held: &Held) -> Result<(Vec<i32>, Vec<i64>)> {
    let mut columns = (Vec::new(), Vec::new());
    for (place, position) in held.positions.iter().enumerate() {
        let number = |_| TargetError("a position is too large for PostgreSQL".into());
        columns.0.push(i32::try_from(place).map_err(number)?);
        columns.1.push(i64::try_from(*position).map_err(number)?);
    }
    Ok(columns)
}

fn cell<'a, T: tokio_postgres::types::FromSql<'a>>(row: &'a Row, place: usize) -> Result<T> {
    row.try_get(place).map_err(told)
}

/// An error with what PostgreSQL says of it.
fn told(error: tokio_postgres::Error) -> TargetError {
    let mut text = match error.as_db_error() {
        Some(error) => format!("{}: {}", error.code().code(), error.message()),
        None => error.to_string(),
    };
    if error.as_db_error().is_none()
        && let Some(cause) = std::error::Error::source(&error)
    {
        text.push_str(&format!(": {cause}"));
    }
    TargetError(text)
}
