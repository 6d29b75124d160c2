//! The expiry index: which items of a table expire when, in the order of time.
//!
//! It is derived from the items and kept by one function of the change ([`maintain`]), whoever made it: a client, a link, a
//! copy. Where the engine spans groups an item's entry changes in the item's own commit; where it does not, a new entry is
//! committed before the item and an old one taken away after it (see `Writes::commit`). So an item that expires always has
//! its entry. The reverse need not hold: an entry may be stale, which costs the sweeper one look.
//!
//! An entry's key is `[space][table][due, milliseconds since the Unix epoch][item key]`, its value empty. What is due is
//! one contiguous range, however many items there are. A replica is due to expire the versions that it wrote as soon as
//! they have expired, and the other replicas' a while later ([`crate::TtlOptions::grace_ms`]): so an expiry usually begins
//! in one region, as in AWS, and still happens if that region is gone. Entries therefore differ between replicas, and the
//! index is not part of the digest.

use bytes::Bytes;
use geodynamo_item::{AttributeValue, codec};
use geodynamo_replicator_core::{Millis, ReplicaId};
use geodynamo_storage::Write;

use crate::{
    Result, TableError,
    layout::{index::ItemKey, keys, record::Record},
};

/// Milliseconds of five years: what expired longer ago is not deleted. Source: AWS developer guide, "Using time to live
/// (TTL) in DynamoDB" ("no more than five years in the past"); leap days are counted, as 365.25 days a year.
pub(crate) const AGE_MS_MAX: Millis = 5 * 36_525 * 24 * 36_000;

/// When a replica lets items expire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sweeper {
    /// The replica.
    pub(crate) replica: ReplicaId,
    /// How long it leaves other replicas' versions to them, in milliseconds.
    pub(crate) grace_ms: Millis,
}

/// The engine key of a record's entry; `None` if the item does not expire.
pub(crate) fn entry(
    table: u64,
    at: &ItemKey,
    record: &Record,
    attribute: &str,
    sweeper: Sweeper,
) -> Result<Option<Bytes>> {
    let grace = if record.stamp.replica == sweeper.replica {
        0
    } else {
        sweeper.grace_ms
    };
    let due = expires_ms(record, attribute)?.map(|expires| expires.saturating_add(grace));
    Ok(due.map(|due| keys::expiry(table, due, &at.bytes)))
}

/// When a record's item expires, in milliseconds since the Unix epoch; `None` if it never does. Only a whole number of
/// seconds says when; anything else is passed over, as in DynamoDB.
pub(crate) fn expires_ms(record: &Record, attribute: &str) -> Result<Option<Millis>> {
    let Some(item) = &record.item else { return Ok(None) };
    let found = codec::decode_attributes(item, &[attribute])
        .map_err(|_| TableError::Corrupt("a stored item cannot be read".into()))?;
    let seconds = match found.get(attribute) {
        Some(AttributeValue::N(number)) => number.to_i64(),
        _ => None,
    };
    Ok(seconds
        .and_then(|seconds| Millis::try_from(seconds).ok())
        .and_then(|seconds| seconds.checked_mul(1000)))
}

/// Stages the writes that take an item's entry from one version to the next.
pub(crate) fn maintain(
    table: u64,
    at: &ItemKey,
    old: Option<&Record>,
    new: &Record,
    attribute: &str,
    sweeper: Sweeper,
    writes: &mut Vec<Write>,
) -> Result<()> {
    let before = match old {
        Some(old) => entry(table, at, old, attribute, sweeper)?,
        None => None,
    };
    let after = entry(table, at, new, attribute, sweeper)?;
    if before == after {
        return Ok(());
    }
    writes.extend(before.map(Write::Delete));
    writes.extend(after.map(|key| Write::Put(key, Bytes::new())));
    Ok(())
}

/// Whether a write puts an entry: it must be durable no later than the item's.
pub(crate) fn is_put(write: &Write) -> bool {
    matches!(write, Write::Put(key, _) if key.first() == Some(&keys::space::EXPIRY))
}

#[cfg(test)]
mod tests {
    use geodynamo_item::{Item, Number};
    use geodynamo_replicator_core::{Hlc, MergeKind, Past, Stamp};

    use super::*;

    const OWN: ReplicaId = ReplicaId(1);
    const SWEEPER: Sweeper = Sweeper {
        replica: OWN,
        grace_ms: 7_000,
    };

    fn record(replica: ReplicaId, value: Option<AttributeValue>) -> Record {
        let item: Item = value.into_iter().map(|value| ("ttl".into(), value)).collect();
        let mut stored = Vec::new();
        codec::encode(&item, &mut stored);
        Record {
            stamp: Stamp::new(Hlc::from_millis(5), replica),
            past: Past::new(),
            kind: MergeKind::ItemLww,
            item: Some(stored.into()),
        }
    }

    fn number(text: &str) -> Option<AttributeValue> {
        Some(AttributeValue::N(Number::parse(text).unwrap()))
    }

    #[test]
    fn only_whole_seconds_expire() {
        let check = |value: Option<AttributeValue>, expected: Option<u64>| {
            assert_eq!(
                expires_ms(&record(OWN, value.clone()), "ttl").unwrap(),
                expected,
                "{value:?}"
            );
        };
        check(None, None);
        check(number("0"), Some(0));
        check(number("1700000000"), Some(1_700_000_000_000));
        check(number("17E8"), Some(1_700_000_000_000));
        // Milliseconds by mistake: the item expires in the year 55,842.
        check(number("1700000000000"), Some(1_700_000_000_000_000));
        check(number("1700000000.5"), None);
        check(number("-1"), None);
        check(number("1E30"), None);
        check(number("9223372036854775807"), None);
        check(Some(AttributeValue::S("1700000000".into())), None);
        check(Some(AttributeValue::L(vec![])), None);
    }

    #[test]
    fn a_change_moves_the_entry_and_other_replicas_versions_wait() {
        let at = ItemKey {
            route: 9,
            bytes: Bytes::from_static(b"k"),
        };
        let check = |old: Option<Record>, new: Record, expected: &[Write]| {
            let mut writes = Vec::new();
            maintain(3, &at, old.as_ref(), &new, "ttl", SWEEPER, &mut writes).unwrap();
            assert_eq!(writes, expected);
        };
        let put = |due| Write::Put(keys::expiry(3, due, b"k"), Bytes::new());
        let delete = |due| Write::Delete(keys::expiry(3, due, b"k"));
        let (own, other) = (record(OWN, number("2")), record(ReplicaId(2), number("2")));
        let (later, never) = (record(OWN, number("3")), record(OWN, None));
        let tombstone = Record {
            item: None,
            ..own.clone()
        };
        check(None, never.clone(), &[]);
        check(None, own.clone(), &[put(2_000)]);
        check(None, other.clone(), &[put(9_000)]);
        check(Some(own.clone()), own.clone(), &[]);
        check(Some(own.clone()), other.clone(), &[delete(2_000), put(9_000)]);
        check(Some(own.clone()), later, &[delete(2_000), put(3_000)]);
        check(Some(own.clone()), never, &[delete(2_000)]);
        check(Some(own.clone()), tombstone.clone(), &[delete(2_000)]);
        check(Some(tombstone), own, &[put(2_000)]);
        assert!(is_put(&put(1)) && !is_put(&delete(1)));
        assert!(!is_put(&Write::Put(keys::item(3, 9, b"k"), Bytes::new())));
    }
}
