//! What a session has seen of tables, so that another region can tell whether it has that, too.
//!
//! [`Seen`] is a version vector: of each table, how far each replica's change logs go. A replica notes of its own logs the last
//! change that links have to send, which covers every write that was acknowledged here; and of each other replica's logs up to
//! where they last brought something. Another replica has seen that once its cursors have come as far and nothing of it is
//! parked.
//!
//! Of own writes that is exact. Of what third replicas wrote it is so but for versions that overtook their place in the log: a
//! link sends a key's current version, which may have been written behind what the cursor tells.

use std::{collections::BTreeMap, future::Future, sync::Mutex};

use geodynamo_replicator_core::{Position, ReplicaId};
use smallvec::SmallVec;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// The longest form of what a session has seen, in characters of its text (base64): about a hundred tables of four partitions
/// in three regions.
pub const SESSION_CHARS_MAX: usize = 8192;
/// The longest form, in bytes.
const BYTES_MAX: usize = SESSION_CHARS_MAX / 4 * 3;
/// The form's version.
const VERSION: u8 = 1;
/// Bytes of the checksum behind it.
const CHECK_BYTES: usize = 8;

tokio::task_local! {
    /// The tables that a request has asked for by name.
    static NOTED: Mutex<SmallVec<[u64; 4]>>;
}

/// What a session has seen, the table that it used last first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen(pub(crate) Vec<SeenTable>);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SeenTable {
    pub(crate) table: u64,
    /// Of each replica, a position for each partition.
    pub(crate) logs: BTreeMap<ReplicaId, Vec<Position>>,
}

impl SeenTable {
    pub(crate) fn raise(&mut self, replica: ReplicaId, partition: u16, to: Position) {
        if to == Position::START {
            return;
        }
        let positions = self.logs.entry(replica).or_default();
        let place = usize::from(partition);
        if positions.len() <= place {
            positions.resize(place + 1, Position::START);
        }
        positions[place] = positions[place].max(to);
    }
}

impl Seen {
    /// Whether it has seen nothing.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Its form: at most [`SESSION_CHARS_MAX`] once it is text. If not all tables fit, the ones that were used last do, and
    /// the number of the others is told. A checksum of `cluster` and all that goes before ends it.
    pub fn to_bytes(&self, cluster: &str) -> (Vec<u8>, usize) {
        let (mut out, mut fit) = (vec![VERSION], 0);
        for table in &self.0 {
            let before = out.len();
            out.extend_from_slice(&table.table.to_be_bytes());
            put_number(&mut out, table.logs.len() as u64);
            for (replica, positions) in &table.logs {
                out.extend_from_slice(&replica.0.to_be_bytes());
                put_number(&mut out, positions.len() as u64);
                positions.iter().for_each(|at| put_number(&mut out, at.0));
            }
            if out.len() + CHECK_BYTES > BYTES_MAX {
                out.truncate(before);
                break;
            }
            fit += 1;
        }
        let check = check(cluster, &out);
        out.extend_from_slice(&check);
        (out, self.0.len() - fit)
    }

    /// Reads what [`Seen::to_bytes`] wrote for the same cluster; `None` if it is something else.
    pub fn from_bytes(bytes: &[u8], cluster: &str) -> Option<Self> {
        if bytes.len() > BYTES_MAX {
            return None;
        }
        let (body, told) = bytes.split_last_chunk::<CHECK_BYTES>()?;
        let (&VERSION, mut rest) = body.split_first()? else {
            return None;
        };
        if *told != check(cluster, body) {
            return None;
        }
        let mut seen = Self::default();
        while !rest.is_empty() {
            let mut table = SeenTable {
                table: take_u64(&mut rest)?,
                logs: BTreeMap::new(),
            };
            for _ in 0..take_number(&mut rest)? {
                let replica = ReplicaId(take_u64(&mut rest)?);
                let count = usize::try_from(take_number(&mut rest)?).ok()?;
                // Each takes a byte at least, so there are no more than bytes.
                if count > rest.len() {
                    return None;
                }
                let positions = (0..count).map(|_| take_number(&mut rest).map(Position));
                table.logs.insert(replica, positions.collect::<Option<_>>()?);
            }
            seen.0.push(table);
        }
        Some(seen)
    }

    pub(crate) fn used(&mut self, table: u64) -> &mut SeenTable {
        let place = self.0.iter().position(|known| known.table == table);
        let known = place.map(|place| self.0.remove(place));
        self.0.insert(
            0,
            known.unwrap_or_else(|| SeenTable {
                table,
                logs: BTreeMap::new(),
            }),
        );
        &mut self.0[0]
    }
}

fn check(cluster: &str, body: &[u8]) -> [u8; CHECK_BYTES] {
    xxh3_64_with_seed(body, xxh3_64_with_seed(cluster.as_bytes(), u64::from(VERSION))).to_be_bytes()
}

/// LEB128.
fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn take_number(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..u64::BITS).step_by(7) {
        let (&byte, behind) = rest.split_first()?;
        *rest = behind;
        number |= u64::from(byte & 0x7f).checked_shl(shift)?;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

fn take_u64(rest: &mut &[u8]) -> Option<u64> {
    let (bytes, behind) = rest.split_first_chunk::<8>()?;
    *rest = behind;
    Some(u64::from_be_bytes(*bytes))
}

/// Carries a request out, and gives the ids of the tables that it asked for data of.
pub async fn noting<F: Future>(request: F) -> (F::Output, SmallVec<[u64; 4]>) {
    NOTED
        .scope(Mutex::default(), async {
            let output = request.await;
            (output, NOTED.with(|noted| std::mem::take(&mut *lock(noted))))
        })
        .await
}

/// A table was asked for.
pub(crate) fn note(table: u64) {
    // An error means that nobody wants to know.
    let _ = NOTED.try_with(|noted| {
        let mut noted = lock(noted);
        if !noted.contains(&table) {
            noted.push(table);
        }
    });
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // Nothing panics while it is held.
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn seen() -> impl Strategy<Value = Seen> {
        let positions = prop::collection::vec(prop_oneof![0..300_u64, any::<u64>()].prop_map(Position), 0..6);
        let logs = prop::collection::btree_map(any::<u64>().prop_map(ReplicaId), positions, 0..4);
        let table = (any::<u64>(), logs).prop_map(|(table, logs)| SeenTable { table, logs });
        prop::collection::vec(table, 0..5).prop_map(Seen)
    }

    proptest! {
        #[test]
        fn forms_come_back(seen in seen()) {
            let (bytes, left) = seen.to_bytes("house");
            prop_assert_eq!(left, 0);
            prop_assert_eq!(Seen::from_bytes(&bytes, "house"), Some(seen));
            prop_assert_eq!(Seen::from_bytes(&bytes, "other"), None);
        }

        #[test]
        fn damage_is_noticed(seen in seen(), at in any::<prop::sample::Index>(), by in 1..=255_u8) {
            let (mut bytes, _) = seen.to_bytes("house");
            let at = at.index(bytes.len());
            bytes[at] ^= by;
            prop_assert_eq!(Seen::from_bytes(&bytes, "house"), None);
        }

        #[test]
        fn anything_can_be_read(mut bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert_eq!(Seen::from_bytes(&bytes, "house"), None);
            // Also behind a good checksum.
            bytes.insert(0, VERSION);
            let check = check("house", &bytes);
            bytes.extend_from_slice(&check);
            let _ = Seen::from_bytes(&bytes, "house");
        }
    }

    #[test]
    fn what_does_not_fit_was_used_longest_ago() {
        let mut seen = Seen::default();
        for table in 0..1000 {
            for partition in 0..4 {
                seen.used(table).raise(ReplicaId(table), partition, Position(1 << 40));
            }
        }
        seen.used(7);
        let (bytes, left) = seen.to_bytes("house");
        assert!(bytes.len() <= BYTES_MAX && bytes.len() > BYTES_MAX - 100);
        let read = Seen::from_bytes(&bytes, "house").unwrap();
        assert_eq!((read.0[0].table, read.0[1].table, read.0.len() + left), (7, 999, 1000));
    }

    #[tokio::test]
    async fn tables_are_noted_for_who_asked_only() {
        note(1);
        let (_, noted) = noting(async {
            note(2);
            note(3);
            note(2);
        })
        .await;
        assert_eq!(noted.as_slice(), [2, 3]);
        note(4);
    }
}
