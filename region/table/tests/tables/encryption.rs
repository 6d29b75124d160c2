//! Tables under keys of their own: what lies in the engine, keys that come and go, and tables that change theirs.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use geodynamo_seal::{KeyId, LocalKey, MasterKeys, RegionKey, SealError, Secret};
use geodynamo_storage::{Direction, Engine, LogId, MemoryEngine, Position, Scan, Spanning, StorageError};
use geodynamo_table::{CreateTable, TableError, TableKeyOptions, TableStatus, Tables, UpdateTable};

use crate::{
    regions::Regions,
    support::{MODES, NOW, Region, Time, definition, get, key, options, put, s, with},
};

const SECRET: &str = "what nobody else may read";

/// A key service whose keys are made of their names, and which may refuse them, or be away.
#[derive(Debug, Default)]
struct Service(AtomicU8);

const REFUSES: u8 = 1;
const IS_AWAY: u8 = 2;

#[derive(Debug)]
struct Master {
    name: String,
    key: LocalKey,
    service: Arc<Service>,
}

#[derive(Clone, Debug, Default)]
struct Masters(Arc<Service>);

impl MasterKeys for Masters {
    fn master_key(&self, name: &str) -> Arc<dyn RegionKey> {
        let digits: String = name
            .bytes()
            .cycle()
            .take(32)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        Arc::new(Master {
            name: name.to_owned(),
            key: LocalKey::parse(name.to_owned(), &digits).unwrap(),
            service: Arc::clone(&self.0),
        })
    }
}

impl Master {
    fn check(&self) -> Result<(), SealError> {
        let (service, reason) = (self.name.clone(), "as the test wants it".to_owned());
        match self.service.0.load(Ordering::Relaxed) {
            REFUSES => Err(SealError::Refused { service, reason }),
            IS_AWAY => Err(SealError::Service { service, reason }),
            _ => Ok(()),
        }
    }
}

impl RegionKey for Master {
    fn source(&self) -> String {
        self.name.clone()
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

async fn open(engine: MemoryEngine, time: &Arc<Time>, masters: &Masters) -> Region {
    let masters: Arc<dyn MasterKeys> = Arc::new(masters.clone());
    Tables::open_sealed(engine, options("a", &["a", "b"], time), Some(masters))
        .await
        .unwrap()
}

fn under(master: Option<&str>) -> CreateTable {
    CreateTable {
        master_key: master.map(str::to_owned),
        ..definition("t")
    }
}

fn change(master: Option<&str>) -> UpdateTable {
    UpdateTable {
        master_key: Some(master.map(str::to_owned)),
        ..UpdateTable::default()
    }
}

/// Everything that lies in the engine, rows and change logs.
async fn stored(tables: &Region) -> Vec<Bytes> {
    let mut all = rows(tables).await;
    for info in tables.local().change_logs(&tables.table_named("t").unwrap()) {
        let records = tables
            .engine()
            .log_read(LogId(info.log.0), Position::START, 10_000, usize::MAX)
            .await;
        all.extend(records.unwrap().into_iter().map(|record| record.record));
    }
    all
}

async fn rows(tables: &Region) -> Vec<Bytes> {
    let scan = Scan {
        from: std::ops::Bound::Unbounded,
        to: std::ops::Bound::Unbounded,
        direction: Direction::Forward,
        rows_max: 100_000,
        bytes_max: usize::MAX,
        once: false,
    };
    let page = tables.engine().scan(scan).await.unwrap();
    page.rows.into_iter().map(|(_, value)| value).collect()
}

fn with_secret(all: &[Bytes]) -> usize {
    let holds = |value: &&Bytes| value.windows(SECRET.len()).any(|part| part == SECRET.as_bytes());
    all.iter().filter(holds).count()
}

async fn fill(tables: &Region) {
    for number in 0..5 {
        let item = with(with(key("k", number), "x", s(SECRET)), "g", s("g"));
        put(tables, "t", with(item, "l", s("l"))).await;
    }
}

/// Looks after keys until a table is as it should be.
async fn keep_until(tables: &Region, holds: impl Fn(&Region) -> bool) {
    let every = TableKeyOptions {
        check_every: Duration::from_millis(5),
        unreachable_max: Duration::from_secs(60),
    };
    let waiting = async {
        while !holds(tables) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::select! {
        () = tables.keys().keep_table_keys(every) => panic!("keys are looked after for ever"),
        waited = tokio::time::timeout(Duration::from_secs(20), waiting) => waited.unwrap(),
    }
}

fn is_settled(tables: &Region) -> bool {
    let encryption = tables.describe("t").unwrap().encryption;
    encryption.is_none_or(|encryption| !encryption.updating)
}

#[tokio::test]
async fn what_is_stored_is_sealed() {
    for mode in MODES {
        for master in [Some("mine"), None] {
            let (time, masters) = (Time::at(NOW), Masters::default());
            let tables = open(MemoryEngine::new(mode), &time, &masters).await;
            tables.catalog().create_table(under(master)).await.unwrap();
            fill(&tables).await;
            let found = with_secret(&stored(&tables).await);
            // The control: a table without a key has its secrets in rows and entries, and in no key's.
            assert_eq!(found == 0, master.is_some(), "{mode:?}: {found}");
            let item = get(&tables, "t", &key("k", 3)).await.unwrap();
            assert_eq!(item.get("x"), Some(&s(SECRET)));
            let shown = tables.describe("t").unwrap().encryption;
            assert_eq!(shown.map(|shown| shown.master).as_deref(), master);

            // A crash later all is there, and digests are of what is in the rows.
            let digest = tables.reads().digest("t").await.unwrap();
            let again = open(tables.engine().crash(), &time, &masters).await;
            assert_eq!(again.reads().digest("t").await.unwrap(), digest);
        }
    }
}

#[tokio::test]
async fn rows_are_written_anew_when_the_key_changes() {
    for mode in MODES {
        let (time, masters) = (Time::at(NOW), Masters::default());
        let tables = open(MemoryEngine::new(mode), &time, &masters).await;
        tables.catalog().create_table(under(None)).await.unwrap();
        fill(&tables).await;
        let plain = with_secret(&rows(&tables).await);
        let digest = tables.reads().digest("t").await.unwrap();
        assert!(plain > 5);
        tables.catalog().update_table("t", change(Some("first"))).await.unwrap();
        assert!(!is_settled(&tables));
        keep_until(&tables, is_settled).await;
        assert_eq!(with_secret(&rows(&tables).await), 0);
        assert_eq!(tables.reads().digest("t").await.unwrap(), digest);
        // Another master key: the data key is the same, and rows stay as they are.
        let before = rows(&tables).await;
        tables
            .catalog()
            .update_table("t", change(Some("second")))
            .await
            .unwrap();
        assert!(is_settled(&tables));
        let sealed = |all: Vec<Bytes>| {
            all.into_iter()
                .filter(|row| row.first() == Some(&0xC1))
                .collect::<Vec<_>>()
        };
        assert_eq!(sealed(rows(&tables).await), sealed(before));
        let again = open(tables.engine().crash(), &time, &masters).await;
        assert_eq!(again.reads().digest("t").await.unwrap(), digest);
        // And none.
        again.catalog().update_table("t", change(None)).await.unwrap();
        keep_until(&again, |tables| tables.describe("t").unwrap().encryption.is_none()).await;
        let rows_plain = async {
            while with_secret(&rows(&again).await) < plain {
                tokio::task::yield_now().await;
            }
        };
        let every = TableKeyOptions::default();
        tokio::select! {
            () = again.keys().keep_table_keys(every) => panic!("keys are looked after for ever"),
            waited = tokio::time::timeout(Duration::from_secs(20), rows_plain) => waited.unwrap(),
        }
        assert_eq!(again.reads().digest("t").await.unwrap(), digest);
        assert_eq!(get(&again, "t", &key("k", 3)).await.unwrap().get("x"), Some(&s(SECRET)));
    }
}

#[tokio::test]
async fn a_key_that_is_refused_makes_its_table_inaccessible() {
    let (time, masters) = (Time::at(NOW), Masters::default());
    let tables = open(MemoryEngine::new(Spanning::Yes), &time, &masters).await;
    tables.catalog().create_table(under(Some("mine"))).await.unwrap();
    tables
        .catalog()
        .create_table(CreateTable {
            name: "other".into(),
            ..under(None)
        })
        .await
        .unwrap();
    fill(&tables).await;
    let status = |tables: &Region| tables.describe("t").unwrap().status;
    // A service that is away changes nothing for a while.
    masters.0.0.store(IS_AWAY, Ordering::Relaxed);
    tokio::select! {
        () = tables.keys().keep_table_keys(TableKeyOptions { check_every: Duration::from_millis(2), ..Default::default() }) => {}
        () = tokio::time::sleep(Duration::from_millis(50)) => {}
    }
    assert_eq!(status(&tables), TableStatus::Active);
    masters.0.0.store(REFUSES, Ordering::Relaxed);
    keep_until(&tables, |tables| status(tables) == TableStatus::Inaccessible).await;
    let refused = tables.table("t").map(|_| ());
    assert!(
        matches!(refused, Err(TableError::Storage(StorageError::KeyAway))),
        "{refused:?}"
    );
    assert_eq!(
        tables.describe("t").unwrap().encryption.unwrap().away_since_ms,
        Some(NOW)
    );
    put(&tables, "other", key("k", 1)).await;
    let refused = tables.catalog().update_table("other", change(Some("mine"))).await;
    assert!(matches!(refused, Err(TableError::Validation(_))), "{refused:?}");

    // So it stays through a restart, and the others serve.
    let again = open(tables.engine().crash(), &time, &masters).await;
    assert_eq!(status(&again), TableStatus::Inaccessible);
    assert!(get(&again, "other", &key("k", 1)).await.is_some());
    masters.0.0.store(0, Ordering::Relaxed);
    keep_until(&again, |tables| status(tables) == TableStatus::Active).await;
    assert_eq!(get(&again, "t", &key("k", 3)).await.unwrap().get("x"), Some(&s(SECRET)));

    // With the table goes what could be unwrapped.
    masters.0.0.store(REFUSES, Ordering::Relaxed);
    keep_until(&again, |tables| status(tables) == TableStatus::Inaccessible).await;
    again.catalog().delete_table("t").await.unwrap();
    for _ in 0..10 {
        again.background().reconcile().await.unwrap();
    }
    assert!(again.table_named("t").is_err());
    assert!(!rows(&again).await.iter().any(|row| row.first() == Some(&0xC1)));
}

#[tokio::test]
async fn replicas_have_keys_of_their_own() {
    for mode in MODES {
        let mut regions = Regions::new(mode, &["a", "b"]).await;
        let masters = Masters::default();
        let master_keys: Arc<dyn MasterKeys> = Arc::new(masters.clone());
        for at in 0..2 {
            let options = options(["a", "b"][at], &["a", "b"], &regions.times[at]);
            let engine = regions.all[at].engine().crash();
            regions.all[at] = Tables::open_sealed(engine, options, Some(Arc::clone(&master_keys)))
                .await
                .unwrap();
        }
        regions.all[0]
            .catalog()
            .create_table(under(Some("of-a")))
            .await
            .unwrap();
        fill(&regions.all[0]).await;
        let update = UpdateTable {
            replica_creates: vec!["b".into()],
            replica_keys: vec![("b".into(), "of-b".into())],
            ..UpdateTable::default()
        };
        regions.all[0].catalog().update_table("t", update).await.unwrap();
        let settling = async {
            while !regions.all[1].local().is_settled("t") || regions.all[1].table("t").is_err() {
                regions.settle().await;
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            () = regions.all[1].keys().keep_table_keys(TableKeyOptions::default()) => panic!("keys are looked after for ever"),
            waited = tokio::time::timeout(Duration::from_secs(20), settling) => waited.unwrap(),
        }
        put(&regions.all[1], "t", with(key("new", 1), "x", s(SECRET))).await;
        regions.settle().await;
        let digests = [
            regions.all[0].reads().digest("t").await.unwrap(),
            regions.all[1].reads().digest("t").await.unwrap(),
        ];
        assert_eq!(digests[0], digests[1]);
        for region in &regions.all {
            assert_eq!(with_secret(&stored(region).await), 0, "{mode:?} {}", region.region());
        }
        let shown = regions.all[0].describe("t").unwrap();
        assert_eq!(shown.replicas[0].master_key.as_deref(), Some("of-b"));

        // A replica whose key is away takes nothing; the other one goes on, and it catches up.
        masters.0.0.store(REFUSES, Ordering::Relaxed);
        keep_until(&regions.all[1], |tables| {
            tables.describe("t").unwrap().status == TableStatus::Inaccessible
        })
        .await;
        put(&regions.all[0], "t", with(key("later", 1), "x", s(SECRET))).await;
        masters.0.0.store(0, Ordering::Relaxed);
        keep_until(&regions.all[1], |tables| tables.table("t").is_ok()).await;
        regions.settle().await;
        assert!(get(&regions.all[1], "t", &key("later", 1)).await.is_some());
    }
}

/// What a peer has not had yet is read from a change log that is still sealed, though the table has no key any more.
#[tokio::test]
async fn a_key_is_kept_for_as_long_as_logs_need_it() {
    for mode in MODES {
        let mut regions = Regions::with_table(mode, &["a", "b"]).await;
        let masters: Arc<dyn MasterKeys> = Arc::new(Masters::default());
        let reopened = async |region: &Region, time: &Arc<Time>| {
            let options = options("a", &["a", "b"], time);
            let masters = Some(Arc::clone(&masters));
            Tables::open_sealed(region.engine().crash(), options, masters)
                .await
                .unwrap()
        };
        regions.all[0] = reopened(&regions.all[0], &regions.times[0]).await;
        regions.all[0]
            .catalog()
            .update_table("t", change(Some("mine")))
            .await
            .unwrap();
        keep_until(&regions.all[0], is_settled).await;
        put(&regions.all[0], "t", with(key("k", 1), "x", s(SECRET))).await;
        assert_eq!(with_secret(&stored(&regions.all[0]).await), 0);
        regions.all[0].catalog().update_table("t", change(None)).await.unwrap();
        let rows_plain = async {
            while with_secret(&rows(&regions.all[0]).await) == 0 {
                tokio::task::yield_now().await;
            }
            // Whoever looks after keys has had the time to forget it.
            keep_until(&regions.all[0], |_| true).await;
        };
        tokio::select! {
            () = regions.all[0].keys().keep_table_keys(TableKeyOptions::default()) => panic!("keys are looked after for ever"),
            waited = tokio::time::timeout(Duration::from_secs(20), rows_plain) => waited.unwrap(),
        }
        regions.all[0] = reopened(&regions.all[0], &regions.times[0]).await;
        regions.settle().await;
        let there = get(&regions.all[1], "t", &key("k", 1)).await.unwrap();
        assert_eq!(there.get("x"), Some(&s(SECRET)), "{mode:?}");
    }
}
