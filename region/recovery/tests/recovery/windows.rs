//! Windows of point-in-time recovery: how they begin, move on, and end.

use geodynamo_recovery::{Options, archived_tables};
use geodynamo_storage::Spanning;
use geodynamo_table::recovery::{BackupFilter, BackupKind, Recovery, RecoveryError, RestoreSource};

use crate::support::{DAY, NOW, World, key, n, s, small, with};

fn window(world: &World) -> Option<(u64, u64)> {
    world.recoveries.continuous_backups("t").unwrap().window
}

#[tokio::test]
async fn a_window_begins_when_it_is_switched_on_and_anew_each_time() {
    let world = World::new(Spanning::Yes, Options::default()).await;
    world.put(with(key("p", 1), "v", s("before"))).await;
    assert!(!world.recoveries.continuous_backups("t").unwrap().enabled);
    assert!(matches!(
        world.restored(None, "r").await,
        Err(RecoveryError::PointInTimeRecoveryUnavailable(table)) if table == "t"
    ));
    world.switch(true).await;
    assert_eq!(window(&world), None);
    world.time.pass(100);
    world.recoveries.ship().await.unwrap();
    world.time.pass(4900);
    world.put(with(key("p", 1), "v", s("after"))).await;
    world.recoveries.ship().await.unwrap();
    // Whole seconds within what there is.
    assert_eq!(window(&world), Some((NOW + 1000, NOW + 4000)));
    for (at, fits) in [
        (NOW + 99, false),
        (NOW + 100, true),
        (NOW + 4999, true),
        (NOW + 5000, false),
    ] {
        let restored = world.restored(Some(at), &format!("r{at}")).await;
        assert_eq!(restored.is_ok(), fits, "{at}");
        if let Ok(items) = restored {
            assert_eq!(items[&("p".into(), 1)].get("v"), Some(&s("before")));
        }
    }
    // The period may change without a new window; switching off and on makes one.
    let shorter = world
        .recoveries
        .update_continuous_backups("t", true, Some(3))
        .await
        .unwrap();
    assert_eq!(
        (shorter.period_days, shorter.window),
        (Some(3), Some((NOW + 1000, NOW + 4000)))
    );
    world.switch(false).await;
    assert_eq!(window(&world), None);
    world.time.pass(1000);
    world.switch(true).await;
    world.recoveries.ship().await.unwrap();
    world.time.pass(1500);
    world.recoveries.ship().await.unwrap();
    assert_eq!(window(&world), Some((NOW + 6000, NOW + 7000)));
}

#[tokio::test]
async fn a_restored_table_is_a_new_one() {
    let world = World::new(Spanning::Yes, Options::default()).await;
    world
        .tables
        .expiry()
        .update_time_to_live("t", true, "ttl")
        .await
        .unwrap();
    world
        .tables
        .catalog()
        .tag("t", [("k".to_owned(), "v".to_owned())].into())
        .await
        .unwrap();
    world.switch(true).await;
    world.put(with(key("p", 1), "g", s("x"))).await;
    world.recoveries.ship().await.unwrap();
    world.time.pass(10);
    world.recoveries.ship().await.unwrap();
    world.restored(None, "r").await.unwrap();
    let (old, new) = (world.tables.describe("t").unwrap(), world.tables.describe("r").unwrap());
    assert_ne!(old.uuid, new.uuid);
    assert_eq!((new.stream, new.deletion_protection), (None, false));
    assert!(world.tables.catalog().tags("r").unwrap().is_empty());
    assert!(!world.recoveries.continuous_backups("r").unwrap().enabled);
    let restore = new.restore.unwrap();
    assert!(!restore.in_progress);
    assert_eq!(
        restore.source_table_arn.as_deref(),
        Some("arn:aws:dynamodb:a:000000000000:table/t")
    );
    assert_eq!(new.global_indexes.len(), 1);
    // Restored again onto it, or onto itself: the name is taken.
    assert!(matches!(
        world.restored(None, "r").await,
        Err(RecoveryError::TableAlreadyExists(_))
    ));
}

#[tokio::test]
async fn what_is_too_old_goes_and_nothing_else() {
    let options = Options {
        base_age_ms: DAY,
        ..Options::default()
    };
    let world = World::new(Spanning::Yes, options).await;
    world.switch(true).await;
    for day in 0..60 {
        world.put(with(key("p", 1), "day", n(day))).await;
        world.time.pass(DAY / 2);
        world.recoveries.ship().await.unwrap();
        world.time.pass(DAY / 2);
        world.recoveries.retain().await.unwrap();
        world.recoveries.ship().await.unwrap();
    }
    // The table's last 35 days, to the day, and not much more is kept.
    let now = world.time.now();
    let (first, last) = window(&world).unwrap();
    assert_eq!((first, last / DAY), (now - 35 * DAY, (now - 1) / DAY));
    for (number, age) in [35, 34, 20, 1].into_iter().enumerate() {
        let items = world
            .restored(Some(now - age * DAY + 10), &format!("r{number}"))
            .await
            .unwrap();
        assert_eq!(
            items[&("p".into(), 1)].get("day"),
            Some(&n(60 - age as i64)),
            "{age} days ago"
        );
    }
    assert!(matches!(
        world.restored(Some(now - 35 * DAY - 1000), "too-old").await,
        Err(RecoveryError::InvalidRestoreTime)
    ));
    let chain = &archived_tables(&world.archive, "a", Some("t")).await.unwrap()[0];
    assert!(chain.window().0 > now - 38 * DAY, "what is older is gone");
    // A shorter period takes away more.
    world
        .recoveries
        .update_continuous_backups("t", true, Some(2))
        .await
        .unwrap();
    world.recoveries.retain().await.unwrap();
    let chain = &archived_tables(&world.archive, "a", Some("t")).await.unwrap()[0];
    assert!(chain.window().0 > now - 4 * DAY);
    assert!(world.restored(Some(now - DAY), "day-before").await.is_ok());
    // Switched off: nothing is left.
    world.switch(false).await;
    world.recoveries.ship().await.unwrap();
    world.recoveries.retain().await.unwrap();
    assert!(
        archived_tables(&world.archive, "a", Some("t"))
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn a_deleted_table_comes_back() {
    let mut world = World::new(Spanning::Yes, small()).await;
    world.switch(true).await;
    world.put(with(key("p", 1), "v", s("first"))).await;
    world.recoveries.ship().await.unwrap();
    world.time.pass(2000);
    world.put(with(key("p", 1), "v", s("second"))).await;
    let before = world.items("t").await;
    world.tables.catalog().delete_table("t").await.unwrap();
    // It stays until the archive has the last of it.
    world.tables.background().reconcile().await.unwrap();
    assert!(world.tables.table_named("t").is_ok());
    world.restart(small());
    world.recoveries.ship().await.unwrap();
    world.tables.background().reconcile().await.unwrap();
    assert!(world.tables.table_named("t").is_err());
    let arn = "arn:aws:dynamodb:a:000000000000:table/t".to_owned();
    let filter = BackupFilter {
        account: None,
        table: Some("t".into()),
        kind: Some(BackupKind::System),
        from_ms: None,
        before_ms: None,
        after: None,
        limit: 10,
    };
    let backups = world.recoveries.backups(filter).await.unwrap().backups;
    let [backup] = &backups[..] else { panic!("{backups:?}") };
    assert_eq!(backup.name, "t$DeletedTableBackup");
    assert_eq!(backup.expires_ms, Some(backup.created_ms + 35 * DAY));
    let from_backup = RestoreSource::Backup(backup.arn.clone());
    assert_eq!(
        world.restored_from(from_backup.clone(), "from-backup").await.unwrap(),
        before
    );
    let at = |at_ms| RestoreSource::PointInTime {
        table: arn.clone(),
        at_ms,
    };
    assert_eq!(world.restored_from(at(None), "latest").await.unwrap(), before);
    let earlier = world.restored_from(at(Some(NOW + 1000)), "earlier").await.unwrap();
    assert_eq!(earlier[&("p".into(), 1)].get("v"), Some(&s("first")));
    // By its name alone there is no such table.
    assert!(matches!(
        world.restored(None, "r").await,
        Err(RecoveryError::TableNotFound(_))
    ));
    // 34 days later the backup is still there, and its moment; a day more, and nothing is.
    world.time.pass(34 * DAY);
    world.recoveries.retain().await.unwrap();
    assert_eq!(world.restored_from(from_backup.clone(), "late").await.unwrap(), before);
    world.time.pass(DAY + 1);
    world.recoveries.retain().await.unwrap();
    assert!(matches!(
        world.restored_from(from_backup, "too-late").await,
        Err(RecoveryError::BackupNotFound(_))
    ));
    assert!(
        archived_tables(&world.archive, "a", Some("t"))
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn another_cluster_restores_from_the_archive_alone() {
    let world = World::new(Spanning::Yes, small()).await;
    world.switch(true).await;
    for number in 0..50 {
        world.put(with(key("p", number), "v", n(number))).await;
        world.time.pass(10);
        world.recoveries.ship().await.unwrap();
    }
    let before = world.items("t").await;
    let (archive, now) = (world.archive.clone(), world.time.now());
    drop(world);
    let other = World::with(Spanning::Yes, small(), archive, now + 1000, 2).await;
    // It has a table of that name itself, without continuous backups, so the old one is named by what the archive says.
    let chains = archived_tables(&other.archive, "a", None).await.unwrap();
    assert_eq!(chains.len(), 1);
    other.tables.catalog().delete_table("t").await.unwrap();
    other.tables.background().reconcile().await.unwrap();
    let source = RestoreSource::PointInTime {
        table: "arn:aws:dynamodb:a:000000000000:table/t".into(),
        at_ms: None,
    };
    assert_eq!(other.restored_from(source, "t").await.unwrap(), before);
}

#[tokio::test]
async fn an_archive_that_is_gone_for_too_long_starts_the_window_anew() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("archive");
    let archive = geodynamo_archive::Archive::open(&geodynamo_archive::Place::Folder(place.clone())).unwrap();
    let world = World::with(Spanning::Yes, Options::default(), archive, NOW, 1).await;
    world.switch(true).await;
    world.recoveries.ship().await.unwrap();
    world.time.pass(5000);
    world.recoveries.ship().await.unwrap();
    let before = window(&world);
    // The archive cannot be written: a file stands in its place.
    let away = folder.path().join("away");
    std::fs::rename(&place, &away).unwrap();
    std::fs::write(&place, b"").unwrap();
    world.time.pass(10_000);
    for number in 0..100 {
        world.put(with(key("p", number), "v", n(number))).await;
    }
    world.recoveries.ship().await.unwrap_err();
    world.tables.streams().trim_logs().await.unwrap();
    assert_eq!(window(&world), before, "the last moment stands still");
    assert!(world.recoveries.status().behind_ms >= 10_000);
    std::fs::remove_file(&place).unwrap();
    std::fs::rename(&away, &place).unwrap();
    world.recoveries.ship().await.unwrap();
    assert!(window(&world) > before, "and nothing was lost");
    assert_eq!(world.recoveries.status().chains_broken, 0);
    // For longer than the log waits: writes go on, and the window begins anew.
    std::fs::rename(&place, &away).unwrap();
    std::fs::write(&place, b"").unwrap();
    world.time.pass(Options::default().behind_ms_max + 1);
    world.put(key("q", 1)).await;
    world.recoveries.ship().await.unwrap_err();
    assert_eq!(world.recoveries.status().chains_broken, 1);
    assert_eq!(window(&world), None);
    world.tables.streams().trim_logs().await.unwrap();
    std::fs::remove_file(&place).unwrap();
    std::fs::rename(&away, &place).unwrap();
    world.recoveries.ship().await.unwrap();
    world.time.pass(2000);
    world.recoveries.ship().await.unwrap();
    let (first, _) = window(&world).unwrap();
    assert!(first > before.unwrap().1);
    assert_eq!(world.restored(None, "r").await.unwrap(), world.items("t").await);
    // What was archived before is there all the same.
    assert!(world.restored(Some(before.unwrap().1), "old").await.unwrap().is_empty());
}
