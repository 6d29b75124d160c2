use std::os::unix::fs::PermissionsExt as _;

use bytes::Bytes;
use geodynamo_archive::Place;
use geodynamo_engine::RegionEngine;

use super::*;
use crate::{
    cli::{KeysArguments, KeysCommand, Printed, RotateKeys},
    region::open_rocks,
};

struct Home(tempfile::TempDir);

impl Home {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A region's configuration with this `[encryption]`.
    fn config(&self, encryption: &str) -> Config {
        let path = self.path("region.toml");
        let text = format!(
            "region = \"us-east-1\"\nnode = \"us-east-1\"\ndata_dir = \"data\"\narchive = {{ url = \"archive\" }}\n\
             [encryption]\n{encryption}\n"
        );
        fs::write(&path, text).unwrap();
        Config::load(&path).unwrap()
    }

    fn engine(&self, encryption: &str) -> RegionEngine {
        let config = self.config(encryption);
        open_rocks(&config, open(&config).unwrap().as_ref()).unwrap()
    }

    fn archive(&self) -> Archive {
        Archive::open(&Place::Folder(self.path("archive"))).unwrap()
    }
}

fn refusal(config: &Config) -> String {
    match open(config) {
        Err(error) => error.to_string(),
        Ok(sealing) => panic!("it is to be refused: {}", sealing.is_some()),
    }
}

#[test]
fn a_new_directory_is_encrypted_unless_told_otherwise() {
    let home = Home::new();
    drop(home.engine(""));
    let key = home.path("data.key");
    assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(is_header(&fs::read(home.path("data/db/CURRENT")).unwrap()));
    // Whatever the configuration says now.
    drop(home.engine("enabled = false"));

    let plain = Home::new();
    drop(plain.engine("enabled = false"));
    assert!(!plain.path("data.key").exists() && !plain.path("data").join(KEYRING).exists());
    // It stays so.
    drop(plain.engine(""));
    assert!(!plain.path("data.key").exists());
    assert!(!is_header(&fs::read(plain.path("data/db/CURRENT")).unwrap()));
}

#[test]
fn without_its_key_a_directory_stays_as_it_is() {
    let home = Home::new();
    drop(home.engine(""));
    let keyring = fs::read(home.path("data").join(KEYRING)).unwrap();
    let key = home.path("data.key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(refusal(&home.config("")).contains("chmod 600"));
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    fs::rename(&key, home.path("elsewhere.key")).unwrap();
    assert!(refusal(&home.config("")).contains("data.key is not there"));
    assert!(!key.exists(), "no other key is made");
    LocalKey::make_file(&home.path("other.key")).unwrap();
    assert!(refusal(&home.config("key_file = \"other.key\"")).contains("sealed under the region key local-"));
    assert!(refusal(&home.config("key_variable = \"GEODYNAMO_NO_SUCH\"")).contains("GEODYNAMO_NO_SUCH"));
    assert!(refusal(&home.config("key_command = [\"false\"]")).contains("the command 'false'"));
    assert_eq!(fs::read(home.path("data").join(KEYRING)).unwrap(), keyring);
    drop(home.engine("key_file = \"elsewhere.key\""));
    let cat = format!("key_command = [\"cat\", {:?}]", home.path("elsewhere.key"));
    drop(home.engine(&cat));
    fs::remove_file(home.path("data").join(KEYRING)).unwrap();
    assert!(refusal(&home.config("key_file = \"elsewhere.key\"")).contains("the keyring is gone"));
    let two = Config::parse(
        "c",
        "region = \"a\"\nnode = \"a\"\ndata_dir = \"d\"\n[encryption]\nkey_file = \"f\"\nkey_variable = \"v\"",
    );
    assert!(two.is_err());
}

#[tokio::test]
async fn an_archive_is_read_with_the_regions_key_alone() {
    let home = Home::new();
    let content = Bytes::from_static(b"planted-secret");
    home.archive().put("us-east-1/old", 3, content.clone()).await.unwrap();
    let sealed = async || {
        let sealing = open(&home.config("")).unwrap().unwrap();
        sealing.exchange(&home.archive(), "us-east-1").await.unwrap();
        sealing.archive(&home.archive())
    };
    let archive = sealed().await;
    archive.put("us-east-1/new", 3, content.clone()).await.unwrap();
    // The same again, though it is sealed otherwise.
    archive.put("us-east-1/new", 3, content.clone()).await.unwrap();
    assert!(archive.put("us-east-1/new", 3, Bytes::new()).await.is_err());
    let stored = fs::read(home.path("archive/us-east-1/new")).unwrap();
    assert!(!stored.windows(content.len()).any(|window| window == content));
    let plain = home.archive();
    assert!(matches!(
        plain.get("us-east-1/new").await,
        Err(ArchiveError::Sealed(..))
    ));
    let verified = plain.verify("", |_, _| {}).await.unwrap();
    assert_eq!((verified.whole, verified.damaged.len()), (3, 0));

    // The data directory is lost; another one has a keyring of its own.
    let read = async |archive: &Archive| {
        for name in ["us-east-1/old", "us-east-1/new"] {
            assert_eq!(archive.get(name).await.unwrap(), (3, content.clone()), "{name}");
        }
    };
    fs::remove_dir_all(home.path("data")).unwrap();
    read(&sealed().await).await;
    assert_eq!(archive.list(KEYRINGS).await.unwrap().len(), 2);
    let rotate = |data_key| KeysArguments {
        command: KeysCommand::Rotate(rotating(&home, data_key)),
    };
    let before = LocalKey::from_file(&home.path("data.key")).unwrap();
    for data_key in [false, true] {
        let arguments = rotate(data_key);
        tokio::task::spawn_blocking(move || keys(&arguments).unwrap())
            .await
            .unwrap();
        read(&sealed().await).await;
    }
    let after = LocalKey::from_file(&home.path("data.key")).unwrap();
    assert!(after.names().all(|name| name != before.name()), "the old key is gone");
    assert_eq!(after.names().count(), 1);
    assert_eq!(archive.list(KEYRINGS).await.unwrap().len(), 2, "old wraps are gone");
    fs::remove_dir_all(home.path("data")).unwrap();
    read(&sealed().await).await;
}

fn rotating(home: &Home, data_key: bool) -> RotateKeys {
    RotateKeys {
        printed: Printed::default(),
        config: home.path("region.toml"),
        data_key,
    }
}

/// Broken off behind any step, as by kill -9: the region starts with the key file as it is, the archive can be read with it alone,
/// and the next rotation leaves one key, and nothing under the old one.
#[tokio::test]
async fn a_rotation_may_be_broken_off_anywhere() {
    let content = Bytes::from_static(b"planted-secret");
    let mut broken_off = 0;
    for (stop_at, data_key) in (0..7).flat_map(|step| [(step, false), (step, true)]) {
        let home = Home::new();
        let config = home.config("");
        let sealing = open(&config).unwrap().unwrap();
        sealing.exchange(&home.archive(), "us-east-1").await.unwrap();
        let archive = sealing.archive(&home.archive());
        archive.put("us-east-1/a", 3, content.clone()).await.unwrap();
        let first = LocalKey::from_file(&home.path("data.key")).unwrap().name();
        let reads = async || {
            let sealing = open(&home.config("")).unwrap().unwrap();
            sealing.exchange(&home.archive(), "us-east-1").await.unwrap();
            let archive = sealing.archive(&home.archive());
            assert_eq!(archive.get("us-east-1/a").await.unwrap(), (3, content.clone()));
        };
        // Twice in a row, too.
        for _ in 0..2 {
            let mut steps = 0;
            let broken = rotate::carry_out(&config, data_key, |step| {
                steps += 1;
                if steps > stop_at {
                    Err(format!("killed behind {step:?}").into())
                } else {
                    Ok(())
                }
            });
            broken_off += usize::from(broken.await.is_err());
            reads().await;
            // Without the data directory, as well.
            fs::rename(home.path("data"), home.path("away")).unwrap();
            check_key(&home.config(""), &home.archive(), "us-east-1").await.unwrap();
            fs::rename(home.path("away"), home.path("data")).unwrap();
        }
        rotate::carry_out(&config, data_key, |_| Ok(())).await.unwrap();
        reads().await;
        let last = LocalKey::from_file(&home.path("data.key")).unwrap();
        assert_eq!(last.names().count(), 1);
        assert_ne!(last.name(), first);
        for (name, file) in keyrings(&home.archive()).await.unwrap() {
            assert!(
                file.entries().0.iter().all(|entry| entry.region_key == last.name()),
                "{name}"
            );
        }
    }
    assert!(broken_off > 10, "{broken_off}");
}

/// A region that runs goes over to a data key that was made meanwhile; until the archive has it, it does not.
#[tokio::test]
async fn a_new_data_key_is_taken_up_while_serving() {
    let home = Home::new();
    let config = Arc::new(home.config(""));
    let sealing = open(&config).unwrap().unwrap();
    let before = sealing.keyring.current_id();
    assert!(keywatch::take_up(&config, &sealing).await.unwrap().is_none());
    rotate::carry_out(&config, false, |_| Ok(())).await.unwrap();
    assert!(
        keywatch::take_up(&config, &sealing).await.unwrap().is_none(),
        "the data key is the same one"
    );
    // Killed before it is in the archive.
    let killed = rotate::carry_out(&config, true, |step| match step {
        rotate::Step::Rewrapped => Err("killed".into()),
        _ => Ok(()),
    });
    assert!(killed.await.is_err());
    fs::rename(home.path("archive"), home.path("elsewhere")).unwrap();
    fs::write(home.path("archive"), "").unwrap();
    assert!(keywatch::take_up(&config, &sealing).await.is_err());
    assert_eq!(sealing.keyring.current_id(), before);
    fs::remove_file(home.path("archive")).unwrap();
    fs::rename(home.path("elsewhere"), home.path("archive")).unwrap();
    let archive = sealing.archive(&home.archive());
    assert!(keywatch::take_up(&config, &sealing).await.unwrap().is_some());
    assert_ne!(sealing.keyring.current_id(), before);
    // What is written from now on is read with the region's key and the archive alone.
    archive.put("us-east-1/a", 3, Bytes::from_static(b"new")).await.unwrap();
    fs::remove_dir_all(home.path("data")).unwrap();
    let other = open(&home.config("")).unwrap().unwrap();
    other.exchange(&home.archive(), "us-east-1").await.unwrap();
    let archive = other.archive(&home.archive());
    assert_eq!(archive.get("us-east-1/a").await.unwrap().1, Bytes::from_static(b"new"));
}

/// With a key that is not there, or is not the one, a restore is refused before anything is made.
#[tokio::test]
async fn an_archive_is_not_restored_with_another_key() {
    let home = Home::new();
    let sealing = open(&home.config("")).unwrap().unwrap();
    let key = LocalKey::from_file(&home.path("data.key")).unwrap().name();
    let refusal = async |encryption: &str| {
        let checked = check_key(&home.config(encryption), &home.archive(), "us-east-1").await;
        checked.err().map(|error| error.to_string())
    };
    assert_eq!(refusal("").await, None, "nothing is encrypted there");
    sealing.exchange(&home.archive(), "us-east-1").await.unwrap();
    let archive = sealing.archive(&home.archive());
    archive.put("us-east-1/a", 3, Bytes::from_static(b"a")).await.unwrap();
    assert_eq!(refusal("").await, None);
    fs::remove_dir_all(home.path("data")).unwrap();
    assert_eq!(refusal("").await, None, "the key is enough");
    fs::rename(home.path("data.key"), home.path("old.key")).unwrap();
    let missing = refusal("").await.unwrap();
    assert!(
        missing.contains("data.key is not there") && missing.contains(&key),
        "{missing}"
    );
    LocalKey::make_file(&home.path("other.key")).unwrap();
    let other = LocalKey::from_file(&home.path("other.key")).unwrap().name();
    let wrong = refusal("key_file = \"other.key\"").await.unwrap();
    assert!(
        wrong.contains(&key) && wrong.contains(&other) && wrong.contains("key_file"),
        "{wrong}"
    );
    let plain = refusal("enabled = false").await.unwrap();
    assert!(plain.contains("is encrypted"), "{plain}");
    assert!(
        !home.path("data").exists() && !home.path("data.key").exists(),
        "nothing was made"
    );
    assert_eq!(refusal("key_file = \"old.key\"").await, None);
    // What is read all the same is not called damaged.
    let wrong = open(&home.config("key_file = \"other.key\"")).unwrap().unwrap();
    let read = wrong.archive(&home.archive()).get("us-east-1/a").await.unwrap_err();
    assert!(matches!(read, ArchiveError::Sealed(..)), "{read}");
    let verified = wrong.archive(&home.archive()).verify("", |_, _| {}).await.unwrap();
    assert!(verified.damaged.is_empty());
}
