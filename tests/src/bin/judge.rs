//! Judges a history that some other program has recorded: one JSON object a line on standard input, a call on an item each.
//!
//! ```text
//! {"item": "a", "begin": 3, "end": 7, "read": 5}                      saw 5; null is no item
//! {"item": "a", "begin": 3, "end": 7, "write": 6, "from": 5}          wrote 6 and saw 5 go; without `from` it saw nothing
//! {"item": "a", "begin": 3, "end": 7, "expected": 5, "swap": 6, "done": true}
//! {"item": "a", "begin": 3, "end": null, "increment": null}           was not answered
//! ```
//!
//! Prints a line for each item that is not linearizable, and how many calls there were; ends with 1 if there is such an item.

use std::{
    collections::BTreeMap,
    io::{self, BufRead},
    process::ExitCode,
};

use geodynamo_tests::{
    Failure,
    linearizable::{Call, Operation, Verdict, check},
};
use serde_json::Value;

fn main() -> Result<ExitCode, Failure> {
    let mut items: BTreeMap<String, Vec<Call>> = BTreeMap::new();
    for line in io::stdin().lock().lines() {
        let (item, call) = read(&serde_json::from_str(&line?)?)?;
        items.entry(item).or_default().push(call);
    }
    let mut bad = 0;
    for (item, calls) in &items {
        let verdict = check(None, calls);
        if verdict != Verdict::Linearizable {
            println!("{item}: {verdict:?}");
            bad += 1;
        }
    }
    let calls: usize = items.values().map(Vec::len).sum();
    println!("{calls} calls on {} items, {bad} not linearizable", items.len());
    Ok(ExitCode::from(u8::from(bad > 0)))
}

fn read(line: &Value) -> Result<(String, Call), Failure> {
    let seen = |name: &str| line.get(name).map(Value::as_u64);
    let begin = line["begin"].as_u64().ok_or("no begin")?;
    let operation = if let Some(value) = seen("read") {
        Operation::Read(value)
    } else if let Some(to) = seen("write") {
        Operation::Write { to, from: seen("from") }
    } else if let Some(to) = seen("swap") {
        Operation::Swap {
            expected: line["expected"].as_u64(),
            to,
            done: line["done"].as_bool(),
            found: seen("found"),
        }
    } else if let Some(to) = seen("increment") {
        Operation::Increment { to }
    } else {
        return Err(format!("no call: {line}").into());
    };
    let item = line["item"].as_str().ok_or("no item")?.to_owned();
    let end = line["end"].as_u64();
    Ok((item, Call { operation, begin, end }))
}
