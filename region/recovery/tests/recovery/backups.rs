//! Backups on demand.

use std::time::Duration;

use geodynamo_archive::{Archive, Place};
use geodynamo_recovery::Options;
use geodynamo_storage::Spanning;
use geodynamo_table::recovery::{
    Backup, BackupFilter, BackupKind, BackupState, Recovery, RecoveryError, RestoreSource,
};

use crate::support::{NOW, World, key, n, small, with};

async fn available(world: &World, arn: &str) -> Backup {
    let waited = tokio::time::timeout(Duration::from_secs(20), async {
        loop {
            let backup = world.recoveries.backup(arn).await.unwrap();
            if backup.state == BackupState::Available {
                return backup;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    waited.await.unwrap()
}

fn all() -> BackupFilter {
    BackupFilter {
        account: None,
        table: None,
        kind: None,
        from_ms: None,
        before_ms: None,
        after: None,
        limit: 100,
    }
}

#[tokio::test]
async fn a_backup_outlives_its_table() {
    let mut world = World::new(Spanning::Yes, small()).await;
    for number in 0..40 {
        world.put(with(key("p", number), "v", n(number))).await;
    }
    let before = world.items("t").await;
    let made = world.recoveries.create_backup("t", "mine").await.unwrap();
    assert_eq!(
        (made.state, made.kind, made.expires_ms),
        (BackupState::Creating, BackupKind::User, None)
    );
    world.put(key("later", 1)).await;
    let backup = available(&world, &made.arn).await;
    assert_eq!((backup.items, backup.name.as_str()), (40, "mine"));
    world.tables.catalog().delete_table("t").await.unwrap();
    world.tables.background().reconcile().await.unwrap();
    world.restart(small());
    assert_eq!(available(&world, &made.arn).await, backup, "also for the next process");
    let source = RestoreSource::Backup(made.arn.clone());
    assert_eq!(world.restored_from(source.clone(), "r").await.unwrap(), before);
    let restore = world.tables.describe("r").unwrap().restore.unwrap();
    assert_eq!(restore.source_backup_arn.as_ref(), Some(&made.arn));
    let deleted = world.recoveries.delete_backup(&made.arn).await.unwrap();
    assert_eq!(deleted.state, BackupState::Deleted);
    assert!(world.archive.list("").await.unwrap().is_empty());
    assert!(matches!(
        world.restored_from(source, "again").await,
        Err(RecoveryError::BackupNotFound(_))
    ));
}

/// After a crash each backup that was being written is whole, or gone; what is wrong with one of them does not stop the others.
#[tokio::test]
async fn none_stays_creating_after_a_crash() {
    let folder = tempfile::tempdir().unwrap();
    let archive = Archive::open(&Place::Folder(folder.path().into())).unwrap();
    let mut world = World::with(Spanning::Yes, small(), archive, NOW, 1).await;
    let other = crate::support::definition("u");
    world.tables.catalog().create_table(other).await.unwrap();
    for number in 0..40 {
        world.put(with(key("p", number), "v", n(number))).await;
    }
    let mut arns = Vec::new();
    // Its record is going to be damaged, its manifest; then one of a table that goes, and one of a table that stays.
    for table in ["t", "t", "u", "t"] {
        world.time.pass(1000);
        let made = world.recoveries.create_backup(table, "b").await.unwrap();
        available(&world, &made.arn).await;
        arns.push(made.arn);
    }
    let of = |number: usize, what: &str| -> Vec<_> {
        let id = arns[number].rsplit('/').next().unwrap();
        let mut found = Vec::new();
        let mut folders = vec![folder.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).unwrap() {
                let path = entry.unwrap().path();
                let text = path.to_string_lossy().into_owned();
                if path.is_dir() {
                    folders.push(path);
                } else if text.contains(id) && text.contains(what) {
                    found.push(path);
                }
            }
        }
        assert!(!found.is_empty(), "{what}");
        found
    };
    std::fs::write(&of(0, "/record")[0], "damaged").unwrap();
    std::fs::write(&of(1, "/manifest")[0], "damaged").unwrap();
    let chunk = std::fs::read(&of(3, "/base/")[0]).unwrap();
    for number in [2, 3] {
        of(number, "/base/")
            .iter()
            .for_each(|path| std::fs::remove_file(path).unwrap());
    }
    // A piece of a base that was never finished.
    let torn = of(3, "/record")[0]
        .with_file_name("base")
        .join("0000000000001-00000000/000000");
    std::fs::create_dir_all(torn.parent().unwrap()).unwrap();
    std::fs::write(&torn, chunk).unwrap();
    world.tables.catalog().delete_table("u").await.unwrap();
    world.tables.background().reconcile().await.unwrap();

    world.restart(small());
    assert_eq!(available(&world, &arns[3]).await.items, 40);
    assert!(!torn.exists());
    let gone = async || {
        matches!(
            world.recoveries.backup(&arns[2]).await,
            Err(RecoveryError::BackupNotFound(_))
        )
    };
    let waited = tokio::time::timeout(Duration::from_secs(20), async {
        while !gone().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    waited.await.unwrap();
    let hidden = world.recoveries.backup(&arns[0]).await;
    assert!(matches!(hidden, Err(RecoveryError::BackupNotFound(_))));
    assert_eq!(available(&world, &arns[1]).await.name, "b");
    let damaged = world
        .recoveries
        .restorable(RestoreSource::Backup(arns[1].clone()))
        .await;
    if let Ok(from) = damaged {
        let create = from.settings.create("r");
        world.recoveries.restore(from, create).await.unwrap();
        assert!(world.recoveries.restore_all().await.is_err());
        world.tables.background().reconcile().await.unwrap();
    }
    let source = RestoreSource::Backup(arns[3].clone());
    assert_eq!(world.restored_from(source, "r3").await.unwrap().len(), 40);
}

#[tokio::test]
async fn lists_are_filtered_and_paged() {
    let world = World::new(Spanning::Yes, Options::default()).await;
    world
        .tables
        .catalog()
        .create_table(crate::support::definition("u"))
        .await
        .unwrap();
    let mut arns = Vec::new();
    for number in 0..6 {
        world.time.pass(1000);
        let table = if number % 2 == 0 { "t" } else { "u" };
        let made = world
            .recoveries
            .create_backup(table, &format!("b{number}"))
            .await
            .unwrap();
        available(&world, &made.arn).await;
        arns.push(made.arn);
    }
    let list = async |filter| {
        let page = world.recoveries.backups(filter).await.unwrap();
        let names: Vec<_> = page.backups.into_iter().map(|backup| backup.name).collect();
        (names.join(" "), page.last)
    };
    assert_eq!(list(all()).await, ("b0 b1 b2 b3 b4 b5".into(), None));
    let of_table = BackupFilter {
        account: None,
        table: Some("u".into()),
        ..all()
    };
    assert_eq!(list(of_table).await.0, "b1 b3 b5");
    let between = BackupFilter {
        from_ms: Some(NOW + 2000),
        before_ms: Some(NOW + 4000),
        ..all()
    };
    assert_eq!(list(between).await.0, "b1 b2");
    let system = BackupFilter {
        kind: Some(BackupKind::System),
        ..all()
    };
    assert_eq!(list(system).await.0, "");
    let mut after = None;
    let mut pages = Vec::new();
    loop {
        let (names, last) = list(BackupFilter {
            after: after.clone(),
            limit: 4,
            ..all()
        })
        .await;
        pages.push(names);
        after = last;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(pages, ["b0 b1 b2 b3", "b4 b5"]);
}

#[tokio::test]
async fn what_cannot_be_is_refused() {
    let world = World::new(Spanning::Yes, Options::default()).await;
    let none = world.recoveries.create_backup("none", "mine").await;
    assert!(matches!(none, Err(RecoveryError::TableNotFound(table)) if table == "none"));
    let none = world.recoveries.update_continuous_backups("none", true, None).await;
    assert!(matches!(none, Err(RecoveryError::TableNotFound(_))));
    for arn in [
        "",
        "arn:aws:dynamodb:a:000000000000:table/t/backup/01-02",
        "x:table/t/backup/",
    ] {
        assert!(matches!(
            world.recoveries.backup(arn).await,
            Err(RecoveryError::BackupNotFound(_))
        ));
    }
    // One that is being written cannot be restored or deleted. Nothing else runs in this thread before the next await of the
    // test, so it is not finished yet.
    let made = world.recoveries.create_backup("t", "mine").await.unwrap();
    let deleted = world.recoveries.delete_backup(&made.arn).await;
    assert!(matches!(deleted, Err(RecoveryError::BackupInUse(arn)) if arn == made.arn));
    available(&world, &made.arn).await;
    // Nor can one that is being restored be deleted.
    let from = world
        .recoveries
        .restorable(RestoreSource::Backup(made.arn.clone()))
        .await
        .unwrap();
    let create = from.settings.create("r");
    world.recoveries.restore(from, create).await.unwrap();
    let deleted = world.recoveries.delete_backup(&made.arn).await;
    assert!(matches!(deleted, Err(RecoveryError::BackupInUse(_))));
    let busy = world.recoveries.create_backup("r", "mine").await;
    assert!(matches!(busy, Err(RecoveryError::TableInUse(_))));
    world.recoveries.restore_all().await.unwrap();
    world.recoveries.delete_backup(&made.arn).await.unwrap();
}

/// As many as may be restored at once, and of the others not even the table; also if all are asked for at once.
#[tokio::test]
async fn no_table_is_made_for_a_restore_too_many() {
    const MAX: usize = 2;
    let options = Options {
        restores_max: MAX,
        ..small()
    };
    let world = World::new(Spanning::Yes, options).await;
    world.put(key("p", 1)).await;
    let arn = world.recoveries.create_backup("t", "mine").await.unwrap().arn;
    available(&world, &arn).await;
    let names = ["r1", "r2", "r3", "r4"];
    let restores = names.map(async |name| {
        let from = world
            .recoveries
            .restorable(RestoreSource::Backup(arn.clone()))
            .await
            .unwrap();
        let create = from.settings.create(name);
        world.recoveries.restore(from, create).await
    });
    let mut refused = 0;
    let [one, two, three, four] = restores;
    let answers = tokio::join!(one, two, three, four);
    for (answer, name) in <[_; 4]>::from(answers).into_iter().zip(names) {
        match answer {
            Ok(shown) => assert_eq!(shown.status.code(), "CREATING"),
            Err(RecoveryError::LimitExceeded(text)) => {
                assert!(text.contains("limit of 2 simultaneous restores"), "{text}");
                assert!(world.tables.table_named(name).is_err(), "{name} was made all the same");
                refused += 1;
            }
            Err(other) => panic!("{other:?}"),
        }
    }
    assert_eq!(
        (refused, world.tables.loads().restoring().len()),
        (names.len() - MAX, MAX)
    );
    // Once they are done there is room for others.
    world.recoveries.restore_all().await.unwrap();
    let there = world
        .restored_from(RestoreSource::Backup(arn.clone()), "r6")
        .await
        .unwrap();
    assert_eq!(there, world.items("t").await);
}

/// Whatever is done to any one object of a backup: the restore fails and its table goes, or it is whole.
#[tokio::test]
async fn a_tampered_archive_makes_no_table() {
    let folder = tempfile::tempdir().unwrap();
    let archive = Archive::open(&Place::Folder(folder.path().into())).unwrap();
    let world = World::with(Spanning::Yes, small(), archive, NOW, 1).await;
    world.switch(true).await;
    world.recoveries.ship().await.unwrap();
    for number in 0..30 {
        world.put(with(key("p", number), "v", n(number))).await;
        world.time.pass(10);
        if number % 5 == 4 {
            world.recoveries.ship().await.unwrap();
        }
    }
    world.recoveries.ship().await.unwrap();
    let expected = world.items("t").await;
    let (mut failed, mut whole) = (0, 0);
    for (number, found) in world.archive.list("").await.unwrap().into_iter().enumerate() {
        let path = folder.path().join(&found.name);
        let bytes = std::fs::read(&path).unwrap();
        for damage in 0..3 {
            match damage {
                0 => std::fs::remove_file(&path).unwrap(),
                1 => std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap(),
                _ => {
                    let mut other = bytes.clone();
                    let last = other.len() - 1;
                    other[last] ^= 1;
                    std::fs::write(&path, other).unwrap();
                }
            }
            let name = format!("r{number}-{damage}");
            let source = RestoreSource::PointInTime {
                table: "t".into(),
                at_ms: None,
            };
            if let Ok(from) = world.recoveries.restorable(source).await {
                let create = from.settings.create(&name);
                world.recoveries.restore(from, create).await.unwrap();
                match world.recoveries.restore_all().await {
                    Ok(()) => {
                        assert_eq!(world.items(&name).await, expected, "{}", found.name);
                        whole += 1;
                    }
                    Err(_) => {
                        world.tables.background().reconcile().await.unwrap();
                        assert!(world.tables.table_named(&name).is_err(), "{}", found.name);
                        failed += 1;
                    }
                }
            } else {
                failed += 1;
            }
            std::fs::write(&path, &bytes).unwrap();
        }
    }
    // Settings that are not read, of a table that is there, do no harm.
    assert!(failed > 20 && whole > 0, "{failed} failed, {whole} whole");
}
