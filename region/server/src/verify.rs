//! What verifications have shown, as the admin port has it and as `geodynamo verify` prints it.

use std::{
    io::{self, Write as _},
    thread::sleep,
    time::{Duration, Instant},
};

use geodynamo_command::OutputForm;
use geodynamo_table::{HealReason, HealedRow, PairReport, Proof, TableReport, Unmended, stream_label};
use serde_json::{Map, Value, json};

use crate::{
    cli::{RegionArguments, RegionCommand, VerifyArguments},
    plain_http,
    run::Done,
};

/// How often it is asked whether a verification has ended.
const POLL: Duration = Duration::from_millis(200);

/// The reports as the admin port has them: times in UTC.
pub(crate) fn reports_json(reports: &[TableReport]) -> Value {
    let table = |report: &TableReport| {
        let peers: Map<String, Value> = report
            .peers
            .iter()
            .map(|(peer, pair)| (peer.clone(), pair_json(report.partitions, pair)))
            .collect();
        json!({ "table": report.table, "peers": peers })
    };
    json!({ "tables": reports.iter().map(table).collect::<Vec<_>>() })
}

/// The same, with what was in damaged files and is not mended.
pub(crate) fn with_unmended(mut reports: Value, unmended: &[Unmended]) -> Value {
    let damage = |of: &Unmended| json!({ "table": of.table, "ranges": of.ranges, "mended_from": of.peers });
    reports["unmended"] = unmended.iter().map(damage).collect();
    reports
}

fn pair_json(partitions: u16, pair: &PairReport) -> Value {
    let partition = |number: u16| {
        let healed: Map<String, Value> = HealReason::ALL
            .iter()
            .filter_map(|reason| Some((reason.name().to_owned(), json!(pair.healed.get(&(number, *reason))?))))
            .collect();
        json!({ "partition": number, "proven": pair.proven.get(&number).map(proof_json), "healed": healed })
    };
    json!({
        "running": pair.running,
        "ended": pair.ended.as_ref().map(|(at, _)| utc(*at)),
        "broke_off": pair.ended.as_ref().and_then(|(_, why)| why.clone()),
        "rows": pair.rows,
        "in_flight": pair.in_flight,
        "unhealed": pair.unhealed,
        "twins": pair.twins,
        "partitions": (0..partitions).map(partition).collect::<Vec<_>>(),
        "last_healed": pair.last_healed.iter().map(healed_json).collect::<Vec<_>>(),
    })
}

fn proof_json(proof: &Proof) -> Value {
    let up_to = proof.up_to.iter();
    let up_to: Map<String, Value> = up_to
        .map(|(region, stamp)| (region.clone(), json!(utc(stamp.millis()))))
        .collect();
    json!({ "at": utc(proof.at_ms), "equal_up_to": up_to })
}

fn healed_json(row: &HealedRow) -> Value {
    let key: String = row.key.iter().map(|byte| format!("{byte:02x}")).collect();
    json!({
        "at": utc(row.at_ms),
        "partition": row.partition,
        "key": key,
        "stamp": row.stamp.to_string(),
        "reason": row.reason.name(),
    })
}

fn utc(ms: u64) -> String {
    format!("{}Z", stream_label(ms))
}

/// `geodynamo verify`.
pub(crate) fn run(arguments: &VerifyArguments) -> Done {
    let query = arguments.table.as_ref().map(|table| format!("?table={table}"));
    let path = format!("/verify{}", query.unwrap_or_default());
    let until = Instant::now() + Duration::from_secs(arguments.timeout);
    if !arguments.report {
        plain_http::ask_admin(&arguments.admin, "POST", &path, "")?;
    }
    let mut report = plain_http::ask_admin(&arguments.admin, "GET", &path, "")?;
    while !arguments.report && pairs(&report).any(|(_, _, pair)| pair["running"] == json!(true)) {
        if Instant::now() >= until {
            break;
        }
        sleep(POLL);
        report = plain_http::ask_admin(&arguments.admin, "GET", &path, "")?;
    }
    let mut out = io::stdout();
    if arguments.output == OutputForm::Json {
        serde_json::to_writer_pretty(&mut out, &report)?;
        writeln!(out)?;
    } else {
        print(&mut out, &report)?;
    }
    let lost = report["unmended"].as_array().map_or(0, Vec::len);
    if lost > 0 && !arguments.report {
        return Err(format!("rows of {lost} tables were in damaged files, and are not mended").into());
    }
    let open = pairs(&report).filter(|(_, _, pair)| !is_proven(pair)).count();
    if open == 0 || arguments.report {
        return Ok(());
    }
    Err(format!("{open} of {} pairs are not shown to be equal", pairs(&report).count()).into())
}

/// `geodynamo region`.
pub(crate) fn forget(arguments: &RegionArguments) -> Done {
    let RegionCommand::Forget(forget) = &arguments.command;
    let path = format!("/regions/{}/forget", forget.region);
    let answer = plain_http::ask_admin(&forget.admin, "POST", &path, "")?;
    let tables: Vec<&str> = answer["tables"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let text = match tables.is_empty() {
        true => format!("no table here has a replica in {}", forget.region),
        false => format!("{} leaves {}", forget.region, tables.join(", ")),
    };
    forget.printed.say(&text, &answer)
}

/// Table, peer and what is known of the two.
fn pairs(report: &Value) -> impl Iterator<Item = (&str, &str, &Value)> {
    let tables = report["tables"].as_array().into_iter().flatten();
    tables.flat_map(|table| {
        let name = table["table"].as_str().unwrap_or("?");
        let peers = table["peers"].as_object().into_iter().flatten();
        peers.map(move |(peer, pair)| (name, peer.as_str(), pair))
    })
}

/// Whether the last verification ended, and has shown every partition to be equal.
fn is_proven(pair: &Value) -> bool {
    let whole = ["in_flight", "unhealed", "twins"]
        .iter()
        .all(|what| pair[what] == json!(0));
    let mut partitions = pair["partitions"].as_array().into_iter().flatten();
    let proven = partitions.all(|partition| !partition["proven"].is_null());
    pair["running"] == json!(false) && pair["broke_off"].is_null() && whole && proven
}

fn print(out: &mut impl io::Write, report: &Value) -> io::Result<()> {
    for unmended in report["unmended"].as_array().into_iter().flatten() {
        let peers: Vec<&str> = unmended["mended_from"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        let from = match peers.is_empty() {
            true => "no other region has the table".to_owned(),
            false => format!("being mended from {}", peers.join(", ")),
        };
        let table = unmended["table"].as_str().unwrap_or("?");
        writeln!(
            out,
            "{table}  damaged: {} ranges of rows are lost here, {from}",
            unmended["ranges"]
        )?;
    }
    if pairs(report).next().is_none() {
        return writeln!(out, "no other region has any of it");
    }
    for (table, peer, pair) in pairs(report) {
        let state = match (&pair["running"], &pair["broke_off"], is_proven(pair)) {
            (Value::Bool(true), _, _) => "under way, or waiting for the link".to_owned(),
            (_, Value::String(why), _) => format!("broke off: {why}"),
            (_, _, true) => "equal".to_owned(),
            _ if pair["ended"].is_null() => "not verified yet".to_owned(),
            _ => "not shown to be equal".to_owned(),
        };
        writeln!(out, "{table}  {peer}  {state}  ({} rows)", pair["rows"])?;
        let partitions: Vec<&Value> = pair["partitions"].as_array().into_iter().flatten().collect();
        let oldest = partitions
            .iter()
            .filter_map(|partition| partition["proven"].as_object())
            .min_by_key(|proof| proof["at"].as_str());
        if let Some(proof) = oldest {
            let up_to = proof["equal_up_to"].as_object().into_iter().flatten();
            let up_to: Vec<String> = up_to
                .map(|(region, stamp)| format!("{region} {}", stamp.as_str().unwrap_or("?")))
                .collect();
            let proven = partitions.iter().filter(|partition| !partition["proven"].is_null());
            writeln!(
                out,
                "    {} of {} partitions proven equal, the last {} up to {}",
                proven.count(),
                partitions.len(),
                proof["at"].as_str().unwrap_or("?"),
                up_to.join(", ")
            )?;
        }
        for reason in HealReason::ALL.map(HealReason::name) {
            let rows = partitions
                .iter()
                .filter_map(|partition| partition["healed"][reason].as_u64());
            let rows: u64 = rows.sum();
            if rows > 0 {
                writeln!(out, "    healed from there since the start: {rows} {reason}")?;
            }
        }
        for (what, said) in [
            ("in_flight", "rows were still on their way"),
            ("unhealed", "damaged rows are whole in neither"),
            ("twins", "rows of one stamp differ"),
        ] {
            if pair[what].as_u64().unwrap_or(0) > 0 {
                writeln!(out, "    {} {said}", pair[what])?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use geodynamo_replicator_core::Hlc;

    use super::*;

    #[test]
    fn a_report_reads_as_text() {
        let proof = Proof {
            at_ms: 1_700_000_000_000,
            up_to: BTreeMap::from([("a".to_owned(), Hlc::from_millis(1_699_999_999_000))]),
        };
        let mut pair = PairReport {
            ended: Some((1_700_000_000_000, None)),
            rows: 7,
            ..PairReport::default()
        };
        pair.proven = (0..2).map(|partition| (partition, proof.clone())).collect();
        pair.healed.insert((1, HealReason::Damaged), 3);
        let mut report = TableReport {
            table: "t".into(),
            partitions: 2,
            peers: BTreeMap::from([("b".to_owned(), pair)]),
        };
        let text = |report: &TableReport| {
            let mut out = Vec::new();
            print(&mut out, &reports_json(std::slice::from_ref(report))).expect("a Vec takes it");
            String::from_utf8(out).expect("it is text")
        };
        assert_eq!(
            text(&report),
            "t  b  equal  (7 rows)\n    2 of 2 partitions proven equal, the last 2023-11-14T22:13:20.000Z up to a \
             2023-11-14T22:13:19.000Z\n    healed from there since the start: 3 damaged\n"
        );
        if let Some(pair) = report.peers.get_mut("b") {
            pair.proven.remove(&1);
        }
        assert!(text(&report).starts_with("t  b  not shown to be equal"));
    }
}
