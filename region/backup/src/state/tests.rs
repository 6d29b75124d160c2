use super::*;

fn tags() -> Tags {
    [("k".to_owned(), "v".to_owned())].into()
}

fn lifecycle() -> Lifecycle {
    Lifecycle {
        cold_days: Some(1),
        delete_days: Some(91),
    }
}

fn creator() -> Creator {
    Creator {
        plan: "plan-id".into(),
        plan_name: "plan".into(),
        version: "version".into(),
        rule: "rule-id".into(),
        rule_name: "rule".into(),
        schedule: "cron(0 5 * * ? *)".into(),
        zone: "Etc/UTC".into(),
    }
}

fn job() -> Job {
    Job {
        id: "job".into(),
        state: JobState::Completed,
        message: Some("m".into()),
        created_ms: 1,
        ended_ms: Some(2),
        role: "role".into(),
        resource: "table".into(),
        bytes: 3,
        token: Some("token".into()),
        creator: Some(creator()),
    }
}

/// One of each kind, with everything in it.
fn rows() -> Vec<(&'static str, Row)> {
    let copy = CopyAction {
        vault_arn: "vault-arn".into(),
        lifecycle: lifecycle(),
    };
    let vault = Vault {
        name: "vault".into(),
        created_ms: 1,
        creator_request: Some("request".into()),
        tags: tags(),
        lock: Some(Lock {
            min_days: Some(2),
            max_days: Some(3),
            fixed_ms: Some(4),
        }),
    };
    let plan = Plan {
        id: "plan-id".into(),
        created_ms: 1,
        deleted_ms: Some(2),
        ran_ms: Some(3),
        creator_request: Some("request".into()),
        tags: tags(),
        versions: vec![PlanVersion {
            version: "version".into(),
            created_ms: 1,
            name: "plan".into(),
            body: "{}".into(),
        }],
        through_ms: [("rule-id".to_owned(), 4)].into(),
    };
    let selection = Selection {
        id: "selection".into(),
        plan: "plan-id".into(),
        created_ms: 1,
        creator_request: Some("request".into()),
        body: "{}".into(),
    };
    let marks = Marks {
        arn: "point".into(),
        lifecycle: Some(lifecycle()),
        tags: Some(tags()),
        restored_ms: Some(1),
    };
    let backup = BackupJob {
        job: job(),
        vault: "vault".into(),
        lifecycle: lifecycle(),
        tags: tags(),
        start_by_ms: 4,
        complete_ms: 5,
        begun_ms: Some(6),
        point: Some("point".into()),
        copies: vec![copy],
    };
    let copy = CopyJob {
        job: job(),
        source_vault: "vault".into(),
        source_point: "point".into(),
        vault_arn: "vault-arn".into(),
        backup_id: "id".into(),
        lifecycle: lifecycle(),
        point: Some("there".into()),
        by_job: Some("by".into()),
    };
    let restore = RestoreJob {
        job: job(),
        point: "point".into(),
        vault: "vault".into(),
        table: "table".into(),
        point_created_ms: 1,
        tags: tags(),
        key: None,
    };
    vec![
        ("vault", Row::Vault(vault)),
        ("plan", Row::Plan(plan)),
        ("selection", Row::Selection(selection)),
        ("marks", Row::Marks(marks)),
        ("backup-job", Row::Backup(backup)),
        ("copy-job", Row::Copy(copy)),
        ("restore-job", Row::Restore(restore)),
    ]
}

fn note() -> Note {
    Note {
        vault: "vault".into(),
        resource: "table".into(),
        role: "role".into(),
        job: "job".into(),
        lifecycle: lifecycle(),
        tags: tags(),
        creator: Some(creator()),
        source_vault_arn: Some("vault-arn".into()),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn the_forms_are_the_golden_files() {
    use crate::carry::{Heard, Said};
    let mut lines: Vec<String> = Vec::new();
    for (name, row) in rows() {
        let packed = row.pack().unwrap();
        assert_eq!(rmp_serde::from_slice::<Row>(&packed).unwrap(), row);
        lines.push(format!("{name} {}", hex(&packed)));
    }
    lines.push(format!("note {}", hex(&rmp_serde::to_vec_named(&note()).unwrap())));
    let part = Said::Part {
        id: "id".into(),
        number: 1,
        from: 2,
        len: 3,
        sum: "ff".into(),
        bytes: serde_bytes::ByteBuf::from(*b"b"),
    };
    let said = [
        ("said-part", part),
        ("said-end", Said::End { id: "id".into() }),
        ("said-given-up", Said::GivenUp { id: "id".into() }),
    ];
    for (name, said) in said {
        lines.push(format!("{name} {}", hex(&rmp_serde::to_vec_named(&said).unwrap())));
    }
    let heard = [
        Heard::Part,
        Heard::Until(1),
        Heard::Whole("a".into()),
        Heard::Anew,
        Heard::Later("l".into()),
        Heard::Refused("r".into()),
    ];
    for heard in heard {
        lines.push(format!("heard {}", hex(&rmp_serde::to_vec_named(&heard).unwrap())));
    }
    let golden: Vec<&str> = include_str!("../../golden/forms-1.hex").lines().collect();
    assert_eq!(lines, golden, "\n{}", lines.join("\n"));
}
