use std::{
    fs,
    path::Path,
    sync::{Arc, atomic::Ordering},
};

use geodynamo_policy::{Caller, Session};
use serde_json::{Value, json};

use crate::{Event, Options, RECORD_BYTES_MAX, Resource, Trail};

fn options(path: &Path, file_bytes_max: u64) -> Options {
    Options {
        path: path.to_owned(),
        file_bytes_max,
        files: 3,
        region: "eu-west-1".into(),
    }
}

fn event<'a>(caller: &'a Caller, name: &'a str) -> Event<'a> {
    Event {
        caller,
        access_key_id: "AKIA",
        service: "iam",
        name,
        now_unix_s: 1_796_019_120,
        source_ip: Some([127, 0, 0, 1].into()),
        user_agent: Some("aws-cli"),
        request_id: "request",
        error: None,
        parameters: json!({ "userName": "ann" }),
        elements: Value::Null,
        resources: vec![Resource {
            arn: "arn:aws:iam::123456789012:user/ann",
            kind: "AWS::IAM::User",
        }],
        read_only: false,
        is_data: false,
    }
}

fn lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn records_are_as_cloudtrail_has_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.log");
    let trail = Trail::open(options(&path, 1 << 20)).unwrap();
    let user = Caller::user("123456789012", "/", "ann", "AIDA");
    trail.record(&event(&user, "CreateUser"));
    let mut session = Caller::assumed_role("123456789012", "/", "reader", "AROA", "s");
    session.session = Some(Session {
        issued_unix_s: 1_796_019_120,
        source_identity: Some("bob".into()),
        ..Session::default()
    });
    trail.record(&Event {
        error: Some(("AccessDenied", "no")),
        ..event(&session, "GetUser")
    });
    drop(trail);
    let mut all = lines(&path);
    assert_eq!(all.len(), 2);
    let id = all[0].as_object_mut().unwrap().remove("eventID").unwrap();
    assert_eq!(id.as_str().unwrap().len(), 36);
    assert_eq!(
        all[0],
        json!({
            "eventVersion": "1.11",
            "userIdentity": {
                "type": "IAMUser", "principalId": "AIDA", "arn": "arn:aws:iam::123456789012:user/ann",
                "accountId": "123456789012", "accessKeyId": "AKIA", "userName": "ann",
            },
            "eventTime": "2026-11-30T06:12:00Z",
            "eventSource": "iam.amazonaws.com",
            "eventName": "CreateUser",
            "awsRegion": "eu-west-1",
            "sourceIPAddress": "127.0.0.1",
            "userAgent": "aws-cli",
            "requestParameters": { "userName": "ann" },
            "responseElements": null,
            "requestID": "request",
            "readOnly": false,
            "resources": [
                { "accountId": "123456789012", "type": "AWS::IAM::User", "ARN": "arn:aws:iam::123456789012:user/ann" }
            ],
            "eventType": "AwsApiCall",
            "managementEvent": true,
            "recipientAccountId": "123456789012",
            "eventCategory": "Management",
        })
    );
    assert_eq!(all[1]["errorCode"], "AccessDenied");
    let context = &all[1]["userIdentity"]["sessionContext"];
    assert_eq!(context["sessionIssuer"]["arn"], "arn:aws:iam::123456789012:role/reader");
    assert_eq!(context["sourceIdentity"], "bob");
}

#[test]
fn files_follow_one_another_and_the_oldest_goes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.log");
    let user = Caller::root("123456789012");
    for round in 0..2 {
        let trail = Trail::open(options(&path, 2_000)).unwrap();
        for number in 0..10 {
            trail.record(&event(&user, &format!("Call{round}{number}")));
        }
        drop(trail);
    }
    let mut names: Vec<_> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    names.sort();
    assert_eq!(names, ["audit.log", "audit.log.1", "audit.log.2"]);
    assert_eq!(lines(&path).last().unwrap()["eventName"], "Call19");
    for name in names {
        assert!(fs::metadata(folder.path().join(name)).unwrap().len() <= 2_000);
    }
}

#[test]
fn what_cannot_be_written_is_counted_and_nobody_waits() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gone").join("audit.log");
    assert!(Trail::open(options(&path, 1)).is_err());
    // Files of a byte: each record makes the file before it go, whose folder is gone meanwhile.
    fs::create_dir(folder.path().join("gone")).unwrap();
    let trail = Trail::open(options(&path, 1)).unwrap();
    fs::remove_dir_all(folder.path().join("gone")).unwrap();
    let user = Caller::root("123456789012");
    for _ in 0..100 {
        trail.record(&event(&user, "Call"));
    }
    let long = "x".repeat(RECORD_BYTES_MAX);
    trail.record(&Event {
        parameters: json!({ "long": long }),
        ..event(&user, "Long")
    });
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while trail.counts().written + trail.counts().lost < 101 {
        assert!(std::time::Instant::now() < deadline, "{:?}", trail.counts());
        std::thread::yield_now();
    }
    assert!(trail.counts().lost >= 99, "{:?}", trail.counts());
}

#[test]
fn what_a_full_disk_loses_is_counted() {
    let trail = Trail::open(options(Path::new("/dev/full"), 1 << 20)).unwrap();
    let user = Caller::root("123456789012");
    for _ in 0..50 {
        trail.record(&event(&user, "Call"));
    }
    let counters = Arc::clone(&trail.counters);
    // Whatever waits is tried.
    drop(trail);
    let (written, lost) = (&counters.written, &counters.lost);
    assert_eq!((written.load(Ordering::Relaxed), lost.load(Ordering::Relaxed)), (0, 50));
}
