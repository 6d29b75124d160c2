//! The archive in a folder and in memory.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

use bytes::Bytes;
use geodynamo_archive::{Archive, ArchiveError, Place, UNFINISHED_AGE};

fn in_folder() -> (Archive, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    (Archive::open(&Place::Folder(folder.path().into())).unwrap(), folder)
}

#[test]
fn an_archive_that_is_not_there_is_not_made_by_reading() {
    let folder = tempfile::tempdir().unwrap();
    let misspelt = folder.path().join("archiv");
    let opened = Archive::open_existing(&Place::Folder(misspelt.clone()));
    assert!(matches!(opened, Err(ArchiveError::Place { .. })), "{opened:?}");
    assert!(!misspelt.exists());
    assert!(Archive::open_existing(&Place::Folder(folder.path().into())).is_ok());
}

#[tokio::test]
async fn what_was_put_is_there() {
    let (archive, _folder) = in_folder();
    for archive in [archive, Archive::open(&Place::Memory).unwrap()] {
        let content = Bytes::from_static(b"content");
        archive.put("a/b/1", 3, content.clone()).await.unwrap();
        archive.put("a/c/2", 4, Bytes::new()).await.unwrap();
        assert_eq!(archive.get("a/b/1").await.unwrap(), (3, content.clone()));
        // The same again is no other object; another one is refused, and nothing has changed.
        archive.put("a/b/1", 3, content.clone()).await.unwrap();
        let other = archive.put("a/b/1", 3, Bytes::from_static(b"other")).await;
        assert!(matches!(other, Err(ArchiveError::Exists(name)) if name == "a/b/1"));
        assert_eq!(archive.get("a/b/1").await.unwrap(), (3, content));
        let names =
            |found: Vec<geodynamo_archive::Found>| found.into_iter().map(|found| found.name).collect::<Vec<_>>();
        assert_eq!(names(archive.list("").await.unwrap()), ["a/b/1", "a/c/2"]);
        assert_eq!(names(archive.list("a/c").await.unwrap()), ["a/c/2"]);
        assert_eq!(archive.folders("a").await.unwrap(), ["b", "c"]);
        assert_eq!(archive.folders("x").await.unwrap(), [""; 0]);
        archive.delete(&["a/b/1".into(), "a/b/1".into()]).await.unwrap();
        assert!(matches!(archive.get("a/b/1").await, Err(ArchiveError::Missing(_))));
    }
}

#[tokio::test]
async fn what_was_tampered_with_is_told() {
    let (archive, folder) = in_folder();
    for number in 0..4 {
        archive
            .put(&format!("t/{number}"), 1, vec![number; 3000].into())
            .await
            .unwrap();
    }
    assert_eq!(archive.verify("", |_, _| {}).await.unwrap().whole, 4);
    let at = |number: u8| folder.path().join(format!("t/{number}"));
    let bytes = std::fs::read(at(0)).unwrap();
    std::fs::write(at(0), &bytes[..bytes.len() - 1]).unwrap();
    std::fs::write(at(1), bytes).unwrap();
    std::fs::write(at(2), b"").unwrap();
    let verified = archive.verify("t", |_, count| assert_eq!(count, 4)).await.unwrap();
    assert_eq!((verified.whole, verified.damaged.len()), (1, 3));
    assert!(verified.damaged.iter().all(|error| !error.may_pass()));
}

#[tokio::test]
async fn what_a_crash_left_goes() {
    let (archive, folder) = in_folder();
    archive.put("t/1", 1, Bytes::new()).await.unwrap();
    std::fs::write(folder.path().join("t/2#1"), b"half").unwrap();
    assert_eq!(archive.list("").await.unwrap().len(), 1, "half an object is none");
    assert_eq!(archive.collect_garbage().await.unwrap(), 0, "its writer may be at work");
    let left = std::fs::File::options()
        .write(true)
        .open(folder.path().join("t/2#1"))
        .unwrap();
    left.set_modified(std::time::SystemTime::now() - UNFINISHED_AGE)
        .unwrap();
    assert_eq!(archive.collect_garbage().await.unwrap(), 1);
    assert_eq!(archive.collect_garbage().await.unwrap(), 0);
    assert_eq!(archive.get("t/1").await.unwrap().0, 1);
}
