//! Copies in another region: whole or not at all, whatever is interrupted.

use std::{sync::Arc, time::Duration};

use geodynamo_recovery::CopyHead;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::support::{HOUR, Peer, ROLE, Region, two};

async fn copy(a: &Region, point: &str, vault: &str, to: &str) -> Value {
    let started = json!({
        "RecoveryPointArn": point,
        "SourceBackupVaultName": vault,
        "DestinationBackupVaultArn": to,
        "IamRoleArn": ROLE,
        "Lifecycle": { "DeleteAfterDays": 40 },
    });
    a.call("PUT", "/copy-jobs", started).await.unwrap()["CopyJobId"].take()
}

async fn filled(a: &Region, items: usize) {
    a.make_table("tab").await;
    for number in 0..items {
        a.put(
            "tab",
            &format!("key{number:04}"),
            &format!("value {number} {}", "x".repeat(number % 50)),
        )
        .await;
    }
    a.make_vault("here").await;
}

/// Objects of the region's archive in folders of backups without a record: what is to be collected.
async fn halves(region: &Region) -> usize {
    let all = region.archive.list(&format!("{}/backup", region.name)).await.unwrap();
    let folder = |name: &str| name.splitn(5, '/').take(4).collect::<Vec<_>>().join("/");
    let whole: Vec<String> = all
        .iter()
        .filter(|found| found.name.ends_with("/record"))
        .map(|found| folder(&found.name))
        .collect();
    all.iter().filter(|found| !whole.contains(&folder(&found.name))).count()
}

#[tokio::test]
async fn a_copy_needs_nothing_of_its_source() {
    let (a, mut b, peer) = two().await;
    filled(&a, 300).await;
    b.make_vault("there").await;
    let point = a.back_up("tab", "here").await;
    let before = a.items("tab").await;
    a.put("tab", "key0000", "changed").await;
    let id = copy(&a, &point, "here", &b.vault_arn("there")).await;
    let job = a.ended("copy-jobs", &id).await;
    assert_eq!(job["State"], "COMPLETED", "{job}");
    assert!(
        peer.asked() > 10,
        "{} questions: it was to have many objects",
        peer.asked()
    );
    let copied = job["DestinationRecoveryPointArn"].as_str().unwrap();
    assert!(copied.starts_with("arn:aws:dynamodb:b:"), "{copied}");
    let points = b.points("there").await;
    assert_eq!(points.len(), 1);
    assert_eq!(points[0]["RecoveryPointArn"], copied);
    assert_eq!(points[0]["SourceBackupVaultArn"], a.vault_arn("here"));
    assert_eq!(points[0]["ResourceArn"], a.table_arn("tab"));
    assert_eq!(points[0]["Lifecycle"]["DeleteAfterDays"], 40);
    // The first region loses all it has.
    let all: Vec<String> = a
        .archive
        .list("")
        .await
        .unwrap()
        .into_iter()
        .map(|found| found.name)
        .collect();
    a.archive.delete(&all).await.unwrap();
    drop(a);
    for round in 0..2 {
        let name = format!("restored{round}");
        b.restore(copied, &name).await;
        assert_eq!(b.items(&name).await, before);
        b.restart().await;
    }
    assert_eq!(halves(&b).await, 0);
}

#[tokio::test]
async fn a_copy_comes_to_its_end_whatever_is_interrupted() {
    for fails in 2..9 {
        let (mut a, mut b, peer) = two().await;
        filled(&a, 120).await;
        b.make_vault("there").await;
        let point = a.back_up("tab", "here").await;
        peer.fails_every(fails);
        let id = copy(&a, &point, "here", &b.vault_arn("there")).await;
        let path = format!("/copy-jobs/{}", id.as_str().unwrap());
        // Now and then one of the two is killed, and has its data afterwards.
        let mut peer = peer;
        for round in 0..6 {
            a.tick().await;
            tokio::time::sleep(Duration::from_millis(15)).await;
            if a.get(&path).await["CopyJob"]["State"] == "COMPLETED" {
                break;
            }
            // A half of a copy is none.
            assert_eq!(b.points("there").await.len(), 0);
            if round % 2 == 0 {
                b.restart().await;
                peer = Peer::of(&b);
                peer.fails_every(fails);
            }
            a.restart().await;
            a.backups.connect(Arc::<Peer>::clone(&peer));
        }
        peer.fails_every(0);
        let job = a.ended("copy-jobs", &id).await;
        assert_eq!(job["State"], "COMPLETED", "{job}");
        assert_eq!(b.points("there").await.len(), 1);
        b.restore(job["DestinationRecoveryPointArn"].as_str().unwrap(), "tab")
            .await;
        assert_eq!(b.items("tab").await, a.items("tab").await);
        assert_eq!(halves(&b).await, 0);
    }
}

#[tokio::test]
async fn what_is_left_of_a_copy_goes() {
    let (a, mut b, _) = two().await;
    filled(&a, 60).await;
    let point = a.back_up("tab", "here").await;
    let outgoing = a.recoveries.outgoing(&point).await.unwrap();
    let id = "01763890000000-abcdef01";
    b.recoveries
        .copy_begins(id, outgoing.head.clone(), b"note".to_vec())
        .await
        .unwrap();
    let (_, content, sum) = outgoing.object(0).await.unwrap();
    assert_eq!(b.recoveries.copy_object(id, 0, content.clone(), sum).await.unwrap(), 1);
    // What is not what was sent is not taken, nor what is not its turn, nor an end before the end.
    let (_, other, of_other) = outgoing.object(1).await.unwrap();
    assert!(b.recoveries.copy_object(id, 1, other.clone(), sum).await.is_err());
    assert!(b.recoveries.copy_object(id, 2, other, of_other).await.is_err());
    assert!(b.recoveries.copy_ends(id).await.is_err());
    assert!(halves(&b).await > 0);
    assert_eq!(b.recoveries.noted().await.unwrap().len(), 0);
    // Given up, it is gone; so is one that a crash leaves.
    b.recoveries.copy_given_up(id).await.unwrap();
    assert_eq!(halves(&b).await, 0);
    b.recoveries
        .copy_begins(id, outgoing.head.clone(), b"note".to_vec())
        .await
        .unwrap();
    b.recoveries.copy_object(id, 0, content, sum).await.unwrap();
    assert!(halves(&b).await > 0);
    b.restart().await;
    b.recoveries.load_backups().await.unwrap();
    assert_eq!(halves(&b).await, 0);
    // Names are no way out of the archive's folder.
    let mut told = rmp_serde::to_vec_named(&outgoing.head).unwrap();
    let is_base = |name: &[u8]| name[13] == b'-' && name[..13].iter().all(u8::is_ascii_digit);
    let place = told.windows(22).position(is_base).unwrap();
    told[place + 14..place + 22].copy_from_slice(b"/../../x");
    let head: CopyHead = rmp_serde::from_slice(&told).unwrap();
    assert!(b.recoveries.copy_begins(id, head, Vec::new()).await.is_err());
    let mut head = outgoing.head.clone();
    head.settings.name = "../../t".into();
    assert!(b.recoveries.copy_begins(id, head, Vec::new()).await.is_err());
    assert!(
        b.recoveries
            .copy_begins("../x", outgoing.head, Vec::new())
            .await
            .is_err()
    );
}

#[tokio::test]
async fn copies_that_cannot_be() {
    let (a, b, _) = two().await;
    filled(&a, 5).await;
    let point = a.back_up("tab", "here").await;
    let start = |to: &str| {
        json!({
            "RecoveryPointArn": point,
            "SourceBackupVaultName": "here",
            "DestinationBackupVaultArn": to,
            "IamRoleArn": ROLE,
        })
    };
    for to in [
        "vault",
        "arn:aws:backup:c:000000000000:backup-vault:there",
        "arn:aws:backup:b:111111111111:backup-vault:there",
    ] {
        assert_eq!(
            a.call("PUT", "/copy-jobs", start(to)).await,
            Err("InvalidParameterValueException"),
            "{to}"
        );
    }
    // A vault that is not there is found there, and so is a lock that the copy does not fit.
    let id = copy(&a, &point, "here", &b.vault_arn("none")).await;
    assert_eq!(a.ended("copy-jobs", &id).await["State"], "FAILED");
    b.make_vault("locked").await;
    let lock = json!({ "MinRetentionDays": 50 });
    b.call("PUT", "/backup-vaults/locked/vault-lock", lock).await.unwrap();
    let id = copy(&a, &point, "here", &b.vault_arn("locked")).await;
    let job = a.ended("copy-jobs", &id).await;
    assert_eq!(job["State"], "FAILED");
    assert!(job["StatusMessage"].as_str().unwrap().contains("retention"), "{job}");
    // The default vault need not be made, and one's own region is as good as another.
    let id = copy(&a, &point, "here", &b.vault_arn("Default")).await;
    assert_eq!(a.ended("copy-jobs", &id).await["State"], "COMPLETED");
    let id = copy(&a, &point, "here", &a.vault_arn("Default")).await;
    assert_eq!(a.ended("copy-jobs", &id).await["State"], "COMPLETED");
    assert_eq!(
        (a.points("Default").await.len(), b.points("Default").await.len()),
        (1, 1)
    );
    // Backups of DynamoDB's own can be copied, too.
    use geodynamo_table::recovery::{BackupState, Recovery};
    let plain = a.recoveries.create_backup("tab", "plain").await.unwrap().arn;
    while a.recoveries.backup(&plain).await.unwrap().state != BackupState::Available {
        tokio::task::yield_now().await;
    }
    let id = copy(&a, &plain, "Default", &b.vault_arn("Default")).await;
    assert_eq!(a.ended("copy-jobs", &id).await["State"], "COMPLETED");
    assert_eq!(b.points("Default").await.len(), 2);
    a.time.pass(HOUR);
    let listed = a.get("/copy-jobs?state=FAILED").await;
    assert_eq!(listed["CopyJobs"].as_array().unwrap().len(), 2);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_question_makes_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (_, b, _) = two().await;
            assert!(!b.backups.answer(&bytes).await.unwrap().is_empty());
        });
    }
}
