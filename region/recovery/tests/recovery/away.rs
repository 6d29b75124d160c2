//! Tables whose key is away: their backups are sealed, and are restored once the key is there again.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use geodynamo_archive::{Archive, Place};
use geodynamo_seal::{KeyId, LocalKey, MasterKeys, RegionKey, SealError, Secret};
use geodynamo_storage::Spanning;
use geodynamo_table::{
    CreateTable, TableKeyOptions, TableStatus,
    recovery::{Backup, BackupFilter, BackupKind, BackupState, Recovery, RestoreSource},
};

use crate::support::{DAY, Items, NOW, World, definition, key, s, small, with};

const SECRET: &str = "what nobody else may read";

/// A key service that may refuse its one key.
#[derive(Clone, Debug, Default)]
struct Service(Arc<AtomicBool>);

#[derive(Debug)]
struct Master {
    key: LocalKey,
    refuses: Arc<AtomicBool>,
}

impl MasterKeys for Service {
    fn master_key(&self, name: &str) -> Arc<dyn RegionKey> {
        Arc::new(Master {
            key: LocalKey::parse(name.to_owned(), &"5e".repeat(32)).unwrap(),
            refuses: Arc::clone(&self.0),
        })
    }
}

impl Master {
    fn check(&self) -> Result<(), SealError> {
        let (service, reason) = ("the test's".to_owned(), "as the test wants it".to_owned());
        match self.refuses.load(Ordering::Relaxed) {
            true => Err(SealError::Refused { service, reason }),
            false => Ok(()),
        }
    }
}

impl RegionKey for Master {
    fn source(&self) -> String {
        self.key.source()
    }

    fn name(&self) -> String {
        self.key.name()
    }

    fn wrap(&self, id: KeyId, secret: &Secret) -> Result<Vec<u8>, SealError> {
        self.check()?;
        self.key.wrap(id, secret)
    }

    fn unwrap(&self, name: &str, id: KeyId, wrapped: &[u8]) -> Result<Option<Secret>, SealError> {
        self.check()?;
        self.key.unwrap(name, id, wrapped)
    }
}

/// A region with the table `k`, which is under a key, has items and had others.
async fn world(spanning: Spanning) -> (World, Service, Items) {
    let service = Service::default();
    let masters: Arc<dyn MasterKeys> = Arc::new(service.clone());
    let archive = Archive::open(&Place::Memory).unwrap();
    let world = World::with_masters(spanning, small(), archive, NOW, 1, Some(masters)).await;
    let create = CreateTable {
        master_key: Some("mine".into()),
        ..definition("k")
    };
    world.tables.catalog().create_table(create).await.unwrap();
    for number in 0..30 {
        put(&world, number).await;
    }
    let table = world.tables.table("k").unwrap();
    for number in 0..5 {
        world
            .tables
            .writes()
            .delete(&table, &key("p", number), Default::default())
            .await
            .unwrap();
    }
    let items = world.items("k").await;
    assert_eq!(items.len(), 25);
    (world, service, items)
}

async fn put(world: &World, number: i64) {
    let table = world.tables.table("k").unwrap();
    let item = with(key("p", number), "text", s(SECRET));
    world
        .tables
        .writes()
        .put(&table, item, Default::default())
        .await
        .unwrap();
}

/// Looks after keys until the table's is away.
async fn lose_key(world: &World, service: &Service) {
    service.0.store(true, Ordering::Relaxed);
    let every = TableKeyOptions {
        check_every: Duration::from_millis(5),
        ..TableKeyOptions::default()
    };
    let waiting = async {
        while world.tables.table_named("k").unwrap().status() != TableStatus::Inaccessible {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::select! {
        () = world.tables.keys().keep_table_keys(every) => panic!("keys are looked after for ever"),
        waited = tokio::time::timeout(Duration::from_secs(20), waiting) => waited.unwrap(),
    }
}

async fn backups(world: &World) -> Vec<Backup> {
    let all = BackupFilter {
        account: None,
        table: Some("k".into()),
        kind: None,
        from_ms: None,
        before_ms: None,
        after: None,
        limit: 100,
    };
    world.recoveries.backups(all).await.unwrap().backups
}

/// How many objects of the archive hold the secret.
async fn with_secret(world: &World) -> usize {
    let mut found = 0;
    for object in world.archive.list("").await.unwrap() {
        let (_, content) = world.archive.get(&object.name).await.unwrap();
        found += usize::from(content.windows(SECRET.len()).any(|part| part == SECRET.as_bytes()));
    }
    found
}

#[tokio::test]
async fn a_table_whose_key_is_away_for_seven_days_is_a_backup_and_gone() {
    for spanning in [Spanning::Yes, Spanning::No] {
        let (mut world, service, items) = world(spanning).await;
        lose_key(&world, &service).await;
        world.time.pass(7 * DAY - 1);
        world.recoveries.archive_inaccessible().await.unwrap();
        assert!(backups(&world).await.is_empty(), "not before seven days are over");
        world.time.pass(1);
        world.recoveries.archive_inaccessible().await.unwrap();
        assert_eq!(world.tables.describe("k").unwrap().status, TableStatus::Deleting);
        world.tables.background().reconcile().await.unwrap();
        assert!(world.tables.describe("k").is_err(), "the table is gone");
        world.recoveries.archive_inaccessible().await.unwrap();
        world.restart(small());
        let [backup] = &backups(&world).await[..] else {
            panic!("one backup, also for the next process")
        };
        assert_eq!(
            (backup.name.as_str(), backup.kind, backup.state),
            ("k$ArchivedTableBackup", BackupKind::User, BackupState::Available)
        );
        assert_eq!(backup.items, 25);
        assert_eq!(with_secret(&world).await, 0);

        let source = RestoreSource::Backup(backup.arn.clone());
        let refused = world.restored_from(source.clone(), "r").await.unwrap_err();
        assert!(refused.to_string().contains("KMS"), "{refused}");
        assert!(world.tables.table_named("r").is_err(), "nothing is begun");
        service.0.store(false, Ordering::Relaxed);
        assert_eq!(world.restored_from(source, "r").await.unwrap(), items);
    }
}

#[tokio::test]
async fn a_table_whose_key_comes_back_in_time_stays() {
    let (world, service, items) = world(Spanning::Yes).await;
    lose_key(&world, &service).await;
    world.time.pass(6 * DAY);
    service.0.store(false, Ordering::Relaxed);
    let every = TableKeyOptions {
        check_every: Duration::from_millis(5),
        ..TableKeyOptions::default()
    };
    let waiting = async {
        while world.tables.table("k").is_err() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::select! {
        () = world.tables.keys().keep_table_keys(every) => panic!("keys are looked after for ever"),
        waited = tokio::time::timeout(Duration::from_secs(20), waiting) => waited.unwrap(),
    }
    world.time.pass(6 * DAY);
    world.recoveries.archive_inaccessible().await.unwrap();
    assert_eq!(world.items("k").await, items);
    assert!(backups(&world).await.is_empty());
}

#[tokio::test]
async fn a_table_that_is_deleted_while_its_key_is_away_leaves_its_backup() {
    let (world, service, mut items) = world(Spanning::Yes).await;
    world
        .recoveries
        .update_continuous_backups("k", true, Some(35))
        .await
        .unwrap();
    world.time.pass(1000);
    world.recoveries.ship().await.unwrap();
    let in_the_clear = with_secret(&world).await;
    assert!(
        in_the_clear > 0,
        "what was shipped with the key there is under the region's key only"
    );
    // What is not shipped any more is in the backup all the same.
    put(&world, 99).await;
    items.clone_from(&world.items("k").await);
    lose_key(&world, &service).await;
    world.tables.catalog().delete_table("k").await.unwrap();
    world.tables.background().reconcile().await.unwrap();
    assert!(world.tables.describe("k").is_ok(), "it waits for the archive");
    world.recoveries.ship().await.unwrap();
    world.tables.background().reconcile().await.unwrap();
    assert!(world.tables.describe("k").is_err(), "and not for the key");
    let [backup] = &backups(&world).await[..] else {
        panic!("one backup")
    };
    assert_eq!(
        (backup.name.as_str(), backup.kind, backup.state),
        ("k$DeletedTableBackup", BackupKind::System, BackupState::Available)
    );
    assert!(backup.expires_ms.is_some());
    service.0.store(false, Ordering::Relaxed);
    let source = RestoreSource::Backup(backup.arn.clone());
    assert_eq!(world.restored_from(source, "r").await.unwrap(), items);
}
