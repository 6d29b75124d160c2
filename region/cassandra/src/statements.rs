//! The statements, prepared.

use geodynamo_storage::StorageError;
use scylla::{
    client::session::Session,
    statement::{Consistency, prepared::PreparedStatement},
};

use crate::store::failed;

/// Rows of the log in one page: each may have megabytes.
const ENTRIES_PER_PAGE: i32 = 16;
/// Small rows in one page.
const SMALL_PER_PAGE: i32 = 2000;

/// All statements of a slot's tables.
pub(crate) struct Statements {
    pub(crate) lease_read: PreparedStatement,
    pub(crate) lease_insert: PreparedStatement,
    pub(crate) lease_take: PreparedStatement,
    pub(crate) lease_beat: PreparedStatement,
    pub(crate) lease_release: PreparedStatement,
    pub(crate) fence_read: PreparedStatement,
    pub(crate) fence_first: PreparedStatement,
    pub(crate) fence_raise: PreparedStatement,
    pub(crate) entry_insert: PreparedStatement,
    pub(crate) entry_insert_unfenced: PreparedStatement,
    pub(crate) records_insert: PreparedStatement,
    pub(crate) entry_read: PreparedStatement,
    pub(crate) entries: PreparedStatement,
    pub(crate) tail: PreparedStatement,
    pub(crate) index: PreparedStatement,
    pub(crate) records: PreparedStatement,
    pub(crate) stretch_drop: PreparedStatement,
    pub(crate) mark_read: PreparedStatement,
    pub(crate) mark_write: PreparedStatement,
    pub(crate) row_get: PreparedStatement,
    pub(crate) scan: [PreparedStatement; 4],
    pub(crate) row_put: PreparedStatement,
    pub(crate) row_delete: PreparedStatement,
    pub(crate) row_delete_range: PreparedStatement,
    pub(crate) row_delete_from: PreparedStatement,
    pub(crate) ranges_read: PreparedStatement,
    pub(crate) logs_read: PreparedStatement,
    pub(crate) log_write: PreparedStatement,
    pub(crate) stretches_read: PreparedStatement,
    pub(crate) stretch_write: PreparedStatement,
    pub(crate) stretch_forget: PreparedStatement,
}

impl Statements {
    /// Prepares them for a keyspace.
    pub(crate) async fn prepare(session: &Session, keyspace: &str) -> Result<Self, StorageError> {
        let plain = async |text: &str| {
            let text = qualified(text, keyspace);
            session.prepare(text).await.map_err(failed)
        };
        let serial = async |text: &str| {
            let mut statement = plain(text).await?;
            statement.set_consistency(Consistency::Serial);
            Ok::<_, StorageError>(statement)
        };
        let paged = |mut statement: PreparedStatement, rows| {
            statement.set_page_size(rows);
            statement
        };
        let scan = async |reverse: bool, to: bool| {
            let upper = if to { " AND key < ?" } else { "" };
            let order = if reverse { " ORDER BY key DESC" } else { "" };
            plain(&format!(
                "SELECT key, value FROM rows WHERE slot = ? AND range = ? AND key >= ?{upper}{order}"
            ))
            .await
        };
        Ok(Self {
            lease_read: serial("SELECT epoch, node, address, beat FROM lease WHERE slot = ?").await?,
            lease_insert: plain("INSERT INTO lease (slot, epoch, node, address, beat) VALUES (?, ?, ?, ?, 0) IF NOT EXISTS")
                .await?,
            lease_take: plain(
                "UPDATE lease SET epoch = ?, node = ?, address = ?, beat = 0 WHERE slot = ? IF epoch = ? AND beat = ?",
            )
            .await?,
            lease_beat: plain("UPDATE lease SET beat = ? WHERE slot = ? IF epoch = ?").await?,
            lease_release: plain("UPDATE lease SET node = null, address = null WHERE slot = ? IF epoch = ?").await?,
            fence_read: serial("SELECT DISTINCT epoch FROM wal WHERE slot = ? AND stretch = ?").await?,
            fence_first: plain("UPDATE wal SET epoch = ? WHERE slot = ? AND stretch = ? IF epoch = null").await?,
            fence_raise: plain("UPDATE wal SET epoch = ? WHERE slot = ? AND stretch = ? IF epoch = ?").await?,
            entry_insert: plain(
                "INSERT INTO wal (slot, stretch, kind, log, place, writer, ends, payload) VALUES (?, ?, ?, 0, ?, ?, ?, ?) \
                 IF NOT EXISTS",
            )
            .await?,
            entry_insert_unfenced: plain(
                "INSERT INTO wal (slot, stretch, kind, log, place, writer, ends, payload) VALUES (?, ?, ?, 0, ?, ?, ?, ?)",
            )
            .await?,
            records_insert: plain(
                "INSERT INTO wal (slot, stretch, kind, log, place, count, payload) VALUES (?, ?, ?, ?, ?, ?, ?)",
            )
            .await?,
            entry_read: serial("SELECT writer FROM wal WHERE slot = ? AND stretch = ? AND kind = ? AND log = 0 AND place = ?")
                .await?,
            entries: paged(
                serial(
                    "SELECT place, ends, payload FROM wal WHERE slot = ? AND stretch = ? AND kind = ? AND log = 0 AND place > ?",
                )
                .await?,
                ENTRIES_PER_PAGE,
            ),
            tail: paged(
                plain(
                    "SELECT place, ends, payload FROM wal WHERE slot = ? AND stretch = ? AND kind = ? AND log = 0 AND place > ?",
                )
                .await?,
                ENTRIES_PER_PAGE,
            ),
            index: paged(
                plain("SELECT log, place, count FROM wal WHERE slot = ? AND stretch = ? AND kind = ?").await?,
                SMALL_PER_PAGE,
            ),
            records: paged(
                plain("SELECT place, payload FROM wal WHERE slot = ? AND stretch = ? AND kind = ? AND log = ? AND place > ?")
                    .await?,
                ENTRIES_PER_PAGE,
            ),
            stretch_drop: plain("DELETE FROM wal WHERE slot = ? AND stretch = ?").await?,
            mark_read: plain("SELECT stretch, place, oldest FROM marks WHERE slot = ?").await?,
            mark_write: plain("INSERT INTO marks (slot, stretch, place, oldest) VALUES (?, ?, ?, ?) USING TIMESTAMP ?").await?,
            row_get: plain("SELECT value FROM rows WHERE slot = ? AND range = ? AND key = ?").await?,
            scan: [
                scan(false, false).await?,
                scan(false, true).await?,
                scan(true, false).await?,
                scan(true, true).await?,
            ],
            row_put: plain("INSERT INTO rows (slot, range, key, value) VALUES (?, ?, ?, ?) USING TIMESTAMP ?").await?,
            row_delete: plain("DELETE FROM rows USING TIMESTAMP ? WHERE slot = ? AND range = ? AND key = ?").await?,
            row_delete_range: plain(
                "DELETE FROM rows USING TIMESTAMP ? WHERE slot = ? AND range = ? AND key >= ? AND key < ?",
            )
            .await?,
            row_delete_from: plain("DELETE FROM rows USING TIMESTAMP ? WHERE slot = ? AND range = ? AND key >= ?").await?,
            ranges_read: paged(plain("SELECT first, range FROM ranges WHERE slot = ?").await?, SMALL_PER_PAGE),
            logs_read: paged(plain("SELECT log, last, trimmed FROM logs WHERE slot = ?").await?, SMALL_PER_PAGE),
            log_write: plain("INSERT INTO logs (slot, log, last, trimmed) VALUES (?, ?, ?, ?) USING TIMESTAMP ?").await?,
            stretches_read: paged(
                plain("SELECT stretch, logs FROM stretches WHERE slot = ? AND stretch >= ?").await?,
                ENTRIES_PER_PAGE,
            ),
            stretch_write: plain("INSERT INTO stretches (slot, stretch, logs) VALUES (?, ?, ?)").await?,
            stretch_forget: plain("DELETE FROM stretches WHERE slot = ? AND stretch = ?").await?,
        })
    }
}

/// A statement with the keyspace before its table: what a session's own keyspace is, no statement depends on.
fn qualified(text: &str, keyspace: &str) -> String {
    let mut text = text.to_owned();
    for before in ["FROM ", "INTO ", "UPDATE "] {
        text = text.replacen(before, &format!("{before}{keyspace}."), 1);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_named_with_its_keyspace() {
        for (text, expect) in [
            ("SELECT a FROM rows WHERE b = ?", "SELECT a FROM ks.rows WHERE b = ?"),
            (
                "DELETE FROM rows USING TIMESTAMP ?",
                "DELETE FROM ks.rows USING TIMESTAMP ?",
            ),
            ("INSERT INTO wal (a) VALUES (?)", "INSERT INTO ks.wal (a) VALUES (?)"),
            ("UPDATE lease SET a = ?", "UPDATE ks.lease SET a = ?"),
        ] {
            assert_eq!(qualified(text, "ks"), expect);
        }
    }
}
