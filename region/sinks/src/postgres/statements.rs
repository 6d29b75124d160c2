//! What a copy's statements say.

use geodynamo_item::AttributeType;

use crate::{
    names::{ITEM, KEY, columns, fitting, quoted},
    target::Shape,
};

/// The table that says which copies a schema has, and what they have.
const STATE: &str = "geodynamo_sinks";

/// Makes a connection the only writer of a copy for as long as it lasts; tells whether it is.
pub(super) const LOCK: &str = "SELECT pg_try_advisory_lock(hashtextextended('geodynamo sink ' || $1::text, 0))";
/// Begins a transaction in which a large table may be emptied, however long that takes.
pub(super) const BEGIN_LOAD: &str = "BEGIN; SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = '60s'";
/// Makes a transaction the only one that makes a sink's tables.
pub(super) const LOCK_SETUP: &str = "SELECT pg_advisory_xact_lock(hashtextextended('geodynamo sinks', 0))";
/// Whether there is a table.
pub(super) const EXISTS: &str = "SELECT to_regclass($1::text) IS NOT NULL";
/// Whether there is a schema.
pub(super) const SCHEMA: &str = "SELECT 1 FROM pg_namespace WHERE nspname = $1::text";
/// A table's columns and their types, in their order; none if there is no table.
pub(super) const COLUMNS: &str = "SELECT attname::text, format_type(atttypid, atttypmod) FROM pg_attribute \
     WHERE attrelid = to_regclass($1::text) AND attnum > 0 AND NOT attisdropped ORDER BY attnum";

/// The statements of a copy.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Statements {
    /// The schema's name.
    pub(super) schema: String,
    /// The copy's table, in quotes.
    pub(super) table: String,
    /// The table of what copies have, in quotes.
    pub(super) state: String,
    /// What the copy is called there.
    pub(super) target: String,
    /// The columns and their types.
    pub(super) columns: Vec<(String, String)>,
    pub(super) create_schema: String,
    pub(super) create_state: String,
    pub(super) create: String,
    pub(super) empty: String,
    pub(super) drop: String,
    pub(super) held: String,
    pub(super) forget: String,
    pub(super) remember: String,
    pub(super) advance: String,
    pub(super) put: String,
    pub(super) delete: String,
}

impl Statements {
    /// Of a copy of a table, in a schema, with a name.
    pub(super) fn new(schema: &str, into: &str, shape: &Shape) -> Self {
        let (schema, into) = (fitting(schema), fitting(into));
        let in_schema = |name: &str| format!("{}.{}", quoted(&schema), quoted(name));
        let (table, state) = (in_schema(&into), in_schema(STATE));
        let names = columns(shape.keys.iter().map(|(name, _)| name.as_str()));
        let keys: Vec<(String, &'static str, &'static str)> = names
            .into_iter()
            .zip(&shape.keys)
            .map(|(name, (_, kind))| match kind {
                AttributeType::N => (name, "numeric", "text[]"),
                AttributeType::B => (name, "bytea", "bytea[]"),
                _ => (name, "text", "text[]"),
            })
            .collect();
        let mut all: Vec<(String, String)> = vec![(KEY.into(), "bytea".into())];
        all.extend(keys.iter().map(|(name, kind, _)| (name.clone(), (*kind).into())));
        all.push((ITEM.into(), "jsonb".into()));
        let listed: Vec<String> = all.iter().map(|(name, _)| quoted(name)).collect();
        let defined: Vec<String> = all
            .iter()
            .map(|(name, kind)| format!("{} {kind} NOT NULL", quoted(name)))
            .collect();
        let mut sent = vec!["$1::bytea[]".to_owned()];
        sent.extend(
            keys.iter()
                .enumerate()
                .map(|(place, (_, _, kind))| format!("${}::{kind}", place + 2)),
        );
        sent.push(format!("${}::text[]", keys.len() + 2));
        let aliases: Vec<String> = (0..sent.len()).map(|place| format!("c{place}")).collect();
        let cast: Vec<String> = aliases
            .iter()
            .zip(&all)
            .map(|(alias, (_, kind))| format!("{alias}::{kind}"))
            .collect();
        // A partition key has 2,048 bytes at most, which an index takes.
        let index = quoted(&fitting(&format!("{into}_by_partition_key")));
        let partition_key = listed.get(1).cloned().unwrap_or_default();
        let (key, item) = (quoted(KEY), quoted(ITEM));
        Self {
            create_schema: format!("CREATE SCHEMA IF NOT EXISTS {}", quoted(&schema)),
            create_state: format!(
                "CREATE TABLE IF NOT EXISTS {state} (target text NOT NULL, partition integer NOT NULL, epoch text NOT NULL, \
                 position bigint NOT NULL, at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (target, partition))"
            ),
            create: format!(
                "CREATE TABLE IF NOT EXISTS {table} ({}, PRIMARY KEY ({key})); \
                 CREATE INDEX IF NOT EXISTS {index} ON {table} ({partition_key})",
                defined.join(", ")
            ),
            empty: format!("DELETE FROM {table}"),
            drop: format!("DROP TABLE {table}"),
            held: format!("SELECT epoch, partition, position FROM {state} WHERE target = $1 ORDER BY partition"),
            forget: format!("DELETE FROM {state} WHERE target = $1"),
            remember: format!(
                "INSERT INTO {state} (target, epoch, partition, position) \
                 SELECT $1, $2, n, p FROM unnest($3::integer[], $4::bigint[]) AS u(n, p)"
            ),
            advance: format!(
                "UPDATE {state} AS s SET position = u.later, at = now() \
                 FROM unnest($3::integer[], $4::bigint[], $5::bigint[]) AS u(n, earlier, later) \
                 WHERE s.target = $1 AND s.epoch = $2 AND s.partition = u.n AND s.position = u.earlier"
            ),
            put: format!(
                "INSERT INTO {table} ({}) SELECT {} FROM unnest({}) AS u({}) ON CONFLICT ({key}) DO UPDATE SET {item} = \
                 EXCLUDED.{item}",
                listed.join(", "),
                cast.join(", "),
                sent.join(", "),
                aliases.join(", ")
            ),
            delete: format!("DELETE FROM {table} WHERE {key} = ANY($1::bytea[])"),
            target: into,
            columns: all,
            schema,
            table,
            state,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements() {
        let shape = Shape {
            table: "orders".into(),
            keys: vec![("pk".into(), AttributeType::S), ("sk".into(), AttributeType::N)],
        };
        let statements = Statements::new("public", "orders", &shape);
        assert_eq!(
            statements.put,
            "INSERT INTO \"public\".\"orders\" (\"_key\", \"pk\", \"sk\", \"item\") SELECT c0::bytea, c1::text, c2::numeric, \
             c3::jsonb FROM unnest($1::bytea[], $2::text[], $3::text[], $4::text[]) AS u(c0, c1, c2, c3) ON CONFLICT \
             (\"_key\") DO UPDATE SET \"item\" = EXCLUDED.\"item\""
        );
        assert!(statements.create.contains("(\"pk\")"));
        let odd = Statements::new("s\"; DROP TABLE x; --", "t\"", &shape);
        assert_eq!(odd.table, "\"s\"\"; DROP TABLE x; --\".\"t\"\"\"");
    }
}
