//! Damage in the archive is found before somebody needs what is damaged.

use std::{fs, path::PathBuf, time::Duration};

use geodynamo_archive::{Archive, Place};
use geodynamo_storage::Spanning;
use geodynamo_table::recovery::{BackupState, Recovery};

use crate::support::{NOW, World, key, n, small, with};

fn chunks(folder: PathBuf) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(chunks(path));
        } else if path.file_name().unwrap().to_string_lossy().starts_with("000") {
            found.push(path);
        }
    }
    found
}

#[tokio::test]
async fn damage_is_found_and_told_until_it_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let archive = Archive::open(&Place::Folder(folder.path().to_owned())).unwrap();
    let world = World::with(Spanning::Yes, small(), archive, NOW, 1).await;
    for number in 0..40 {
        world.put(with(key("p", number), "v", n(number))).await;
    }
    let made = world.recoveries.create_backup("t", "mine").await.unwrap();
    let whole = async {
        while world.recoveries.backup(&made.arn).await.unwrap().state != BackupState::Available {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), whole).await.unwrap();
    world.recoveries.scrub().await.unwrap();
    let status = world.recoveries.status();
    assert!(status.scrubbed_bytes > 0);
    assert_eq!(status.damaged_objects, 0);
    let all = chunks(folder.path().to_owned());
    assert!(all.len() > 2, "{} chunks", all.len());
    let before = fs::read(&all[1]).unwrap();
    let mut flipped = before.clone();
    let last = flipped.len() - 1;
    flipped[last] ^= 1;
    fs::write(&all[1], &flipped).unwrap();
    fs::write(&all[2], b"short").unwrap();
    for _ in 0..2 {
        world.recoveries.scrub().await.unwrap();
        assert_eq!(world.recoveries.status().damaged_objects, 2);
    }
    fs::write(&all[1], &before).unwrap();
    world.recoveries.scrub().await.unwrap();
    assert_eq!(world.recoveries.status().damaged_objects, 1);
    world.recoveries.delete_backup(&made.arn).await.unwrap();
    world.recoveries.scrub().await.unwrap();
    assert_eq!(world.recoveries.status().damaged_objects, 0);
}
