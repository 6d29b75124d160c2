//! A peer that holds a valid certificate of its region, and wants more than a link of that region needs.

use geodynamo_replicator_core::{
    ApplyError, Batch, CopyRequest, Delta, Hlc, LogInfo, MergeKind, Past, Peer, Position, ReplicaId, Stamp, TableId,
    Version,
};
use geodynamo_storage::Spanning;

use crate::{
    regions::{Regions, peer},
    support::{NOW, get, key, n, put, with},
};

fn version(stamp: Stamp, value: Option<Vec<u8>>) -> Version {
    Version {
        stamp,
        past: Past::new(),
        kind: MergeKind::ItemLww,
        value: value.map(Into::into),
    }
}

#[tokio::test]
async fn a_region_without_a_replica_neither_reads_nor_writes() {
    let regions = Regions::new(Spanning::Yes, &["a", "b", "c"]).await;
    let [a, b, c] = [0, 1, 2].map(|at| &regions.all[at]);
    a.catalog().create_table(crate::support::definition("t")).await.unwrap();
    regions.add("t", "b").await;
    put(a, "t", with(key("k", 1), "x", n(1))).await;
    regions.settle().await;
    let id = TableId(a.table("t").unwrap().id());
    assert!(
        !a.logs().logs_to("c").iter().any(|info| info.table == id),
        "it is sent nothing"
    );
    for join in [0, 1, u64::MAX] {
        let request = CopyRequest {
            table: id,
            join,
            after: None,
        };
        assert!(a.merge().copy_out_start("c", &request).await.is_err());
    }

    let held = a
        .logs()
        .versions(id, vec![item_key(a)], 1)
        .await
        .unwrap()
        .remove(0)
        .unwrap();
    let write = |from: Peer, origin: ReplicaId, stamp: Stamp| Batch {
        log: LogInfo::new(origin, id, 0, (0, u64::MAX)),
        from,
        after: Position::START,
        up_to: Position(1 << 40),
        deltas: vec![Delta::Version {
            key: item_key(a),
            version: version(stamp, held.value.clone().map(|value| value.to_vec())),
        }],
        sent_ms: NOW,
    };
    let later = |replica: ReplicaId| Stamp::new(Hlc::from_millis(NOW + 10), replica);
    // By itself; in the name of a member; as a member that it is not.
    let claims = [
        (peer(c), c.replica()),
        (peer(c), b.replica()),
        (
            Peer {
                region: "c".into(),
                replica: b.replica(),
            },
            b.replica(),
        ),
        // A member, with a log of another one; and one of its former incarnations.
        (peer(b), c.replica()),
        (
            Peer {
                region: "b".into(),
                replica: ReplicaId(77),
            },
            ReplicaId(77),
        ),
    ];
    for (from, origin) in claims {
        let info = LogInfo::new(origin, id, 0, (0, u64::MAX));
        assert_eq!(a.merge().cursor_of(&from, &info), None, "{from:?} {origin}");
        let refused = a.merge().apply(write(from, origin, later(origin))).await;
        assert_eq!(refused, Err(ApplyError::Unknown));
    }
    let current = a
        .logs()
        .versions(id, vec![item_key(a)], 1)
        .await
        .unwrap()
        .remove(0)
        .unwrap();
    assert_eq!(current, held);
    // The control: a member's own log is taken.
    assert!(
        a.merge()
            .cursor_of(&peer(b), &LogInfo::new(b.replica(), id, 0, (0, u64::MAX)))
            .is_some()
    );
    assert!(
        a.merge()
            .apply(write(peer(b), b.replica(), later(b.replica())))
            .await
            .is_ok()
    );
    let current = a
        .logs()
        .versions(id, vec![item_key(a)], 1)
        .await
        .unwrap()
        .remove(0)
        .unwrap();
    assert_eq!(current.stamp, later(b.replica()));
}

/// A member writes, but not in the receiver's own name what that has yet to write: a stamp is issued once.
#[tokio::test]
async fn nobody_writes_in_ones_own_name() {
    let regions = Regions::with_table(Spanning::Yes, &["a", "b"]).await;
    let (a, b) = (&regions.all[0], &regions.all[1]);
    put(a, "t", with(key("k", 1), "x", n(1))).await;
    let id = TableId(a.table("t").unwrap().id());
    let held = a
        .logs()
        .versions(id, vec![item_key(a)], 1)
        .await
        .unwrap()
        .remove(0)
        .unwrap();
    let forged = Stamp::new(Hlc::from_millis(NOW + 900), a.replica());
    let undead = Stamp::new(Hlc::from_millis(NOW - 900), a.replica()).expired();
    for stamp in [forged, undead] {
        let batch = Batch {
            log: LogInfo::new(b.replica(), id, 0, (0, u64::MAX)),
            from: peer(b),
            after: Position::START,
            up_to: Position(1),
            deltas: vec![Delta::Version {
                key: item_key(a),
                version: version(stamp, held.value.clone().map(|value| value.to_vec())),
            }],
            sent_ms: NOW,
        };
        assert!(a.merge().apply(batch).await.is_ok_and(|applied| applied.applied == 0));
    }
    let current = a
        .logs()
        .versions(id, vec![item_key(a)], 1)
        .await
        .unwrap()
        .remove(0)
        .unwrap();
    assert_eq!(current, held);
    put(a, "t", with(key("k", 1), "x", n(2))).await;
    assert_eq!(get(a, "t", &key("k", 1)).await, Some(with(key("k", 1), "x", n(2))));
}

fn item_key(region: &crate::support::Region) -> bytes::Bytes {
    let table = region.table("t").unwrap();
    table.key_of(&key("k", 1)).unwrap().bytes().clone()
}
