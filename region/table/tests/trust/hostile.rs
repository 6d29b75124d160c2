//! A peer that holds a valid certificate of its region, and wants more than a link of that region needs.

use geodynamo_replicator_core::verify::{RowKind, Task, VerifyOrder};
use geodynamo_replicator_core::{
    ApplyError, Batch, CopyRequest, Delta, Hlc, LogInfo, MergeKind, Past, Peer, Position, ReplicaId, Stamp, TableId,
    Version,
};
use geodynamo_storage::Spanning;
use geodynamo_table::{
    TableStatus, UpdateTable,
    schema::{ReplicaAction, ReplicaEntry, ReplicaRequest, ReplicaStatus},
};

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

/// What a region that nobody asked can say: that it has a replica, in its own name; that members asked for it, have admitted
/// it and are to give it what they have, in theirs.
fn forged(c: &crate::support::Region, id: TableId, status: ReplicaStatus, join: u64) -> Vec<Delta> {
    let entry = ReplicaEntry {
        status,
        join,
        source: Some("a".into()),
        incarnation: Some(c.replica().0),
        since_ms: NOW,
        failure: None,
    };
    let request = |of: &str, by: &str, action| {
        let request = ReplicaRequest {
            action,
            join,
            by: by.into(),
            since_ms: NOW,
        };
        (format!("replica-request/{of}"), rmp_serde::to_vec_named(&request))
    };
    let promise = || rmp_serde::to_vec_named(&join);
    let registers = [
        ("replica/c".to_owned(), rmp_serde::to_vec_named(&entry)),
        ("replica/b".to_owned(), rmp_serde::to_vec_named(&entry)),
        request("c", "a", ReplicaAction::Create),
        request("c", "c", ReplicaAction::Create),
        request("b", "c", ReplicaAction::Delete),
        request("b", "a", ReplicaAction::Delete),
        ("admission/c/a".to_owned(), promise()),
        ("admission/c/b".to_owned(), promise()),
        ("admission/c/c".to_owned(), promise()),
        ("relay/c/a".to_owned(), promise()),
        ("relay/c/b".to_owned(), promise()),
        ("deletion-protection/a".to_owned(), rmp_serde::to_vec_named(&true)),
    ];
    let registers = registers.into_iter().enumerate();
    let forged = registers.map(|(number, (name, value))| Delta::Version {
        key: format!("{:016x}/{name}", id.0).into_bytes().into(),
        // Ahead of what is there, but not of c's own later writes.
        version: version(
            Stamp::new(Hlc(Hlc::from_millis(NOW).0 + 200 + number as u64), c.replica()),
            value.ok(),
        ),
    });
    forged.collect()
}

async fn send_catalog(from: &crate::support::Region, to: &crate::support::Region, number: u64, deltas: Vec<Delta>) {
    let log = LogInfo::new(from.replica(), TableId(0), 9, (0, u64::MAX));
    let batch = Batch {
        log,
        from: peer(from),
        after: Position(number),
        up_to: Position(number + 1),
        deltas,
        sent_ms: NOW,
    };
    assert!(to.merge().apply(batch).await.is_ok());
}

/// A region of the topology that no member has asked says that it has a replica: it is given nothing, and disturbs nobody.
#[tokio::test]
async fn nobody_admits_itself() {
    for (number, status) in [ReplicaStatus::Creating, ReplicaStatus::Active, ReplicaStatus::Deleting]
        .into_iter()
        .enumerate()
    {
        let mut regions = Regions::new(Spanning::Yes, &["a", "b", "c"]).await;
        regions.all[0]
            .catalog()
            .create_table(crate::support::definition("t"))
            .await
            .unwrap();
        regions.add("t", "b").await;
        put(&regions.all[0], "t", with(key("k", 1), "x", n(1))).await;
        regions.settle().await;
        let id = TableId(regions.all[0].table("t").unwrap().id());
        let join = 99 + number as u64;
        for to in 0..2 {
            let (c, to) = (&regions.all[2], &regions.all[to]);
            send_catalog(c, to, 0, forged(c, id, status, join)).await;
            // The same as what was found lacking: whoever passes on may not do so about itself.
            let (before, passed) = (to.counts().refused_registers, forged(c, id, status, join + 1));
            let order = VerifyOrder {
                table: TableId(0),
                peer: "c".into(),
                stretches: Vec::new(),
            };
            for delta in passed {
                let task = Task::Heal {
                    kind: RowKind::Item,
                    deltas: vec![delta],
                    from: c.replica(),
                };
                to.verify().verify_do(&order, &peer(c), task).await.unwrap();
            }
            assert!(to.counts().refused_registers >= before + 8);
        }
        regions.settle_among(&["a", "b"]).await;
        for restarted in [false, true] {
            if restarted {
                regions.restart(0).await;
                regions.restart(1).await;
            }
            for member in &regions.all[..2] {
                let description = member.describe("t").unwrap();
                let replicas: Vec<_> = description
                    .replicas
                    .iter()
                    .map(|replica| replica.region.as_str())
                    .collect();
                let other = if member.region() == "a" { "b" } else { "a" };
                assert_eq!(replicas, [other], "{status:?}");
                assert_eq!(member.table_named("t").unwrap().status(), TableStatus::Active);
                let c = &regions.all[2];
                assert!(!member.logs().logs_to("c").iter().any(|info| info.table == id));
                let log = LogInfo::new(c.replica(), id, 0, (0, u64::MAX));
                assert_eq!(member.merge().cursor_of(&peer(c), &log), None);
                let standing = Default::default();
                assert!(
                    member
                        .verify()
                        .verify_begin("c", id, c.replica(), standing)
                        .await
                        .is_err()
                );
                let refused = member.counts().refused_copies;
                for join in [join, join + 1] {
                    let request = CopyRequest {
                        table: id,
                        join,
                        after: None,
                    };
                    assert!(member.merge().copy_out_start("c", &request).await.is_err());
                }
                assert_eq!(member.counts().refused_copies, refused + 2);
                assert!(restarted || member.counts().refused_registers >= 8);
            }
        }
        // The control: a member asks for it, and the very region is given all.
        regions.settle().await;
        regions.add("t", "c").await;
        regions.settle().await;
        assert_eq!(regions.agree_on_digests("t").await, 1, "{status:?}");
    }
}

/// A region that was a member, and was removed, does not come back by itself.
#[tokio::test]
async fn who_was_removed_stays_out() {
    let regions = Regions::with_table(Spanning::Yes, &["a", "b", "c"]).await;
    let [a, b, c] = [0, 1, 2].map(|at| &regions.all[at]);
    let id = TableId(a.table("t").unwrap().id());
    let removal = UpdateTable {
        replica_deletes: vec!["c".into()],
        ..UpdateTable::default()
    };
    a.catalog().update_table("t", removal).await.unwrap();
    regions.settle().await;
    regions.times.iter().for_each(|time| time.set(NOW + 1000));
    for member in [a, b] {
        let mut registers = forged(c, id, ReplicaStatus::Active, 5);
        for delta in &mut registers {
            if let Delta::Version { version, .. } = delta {
                version.stamp.time = Hlc::from_millis(NOW + 900);
            }
        }
        send_catalog(c, member, 1 << 20, registers).await;
        assert!(!member.logs().logs_to("c").iter().any(|info| info.table == id));
        assert_eq!(member.table_named("t").unwrap().status(), TableStatus::Active);
        assert_eq!(member.describe("t").unwrap().replicas.len(), 1);
    }
}
