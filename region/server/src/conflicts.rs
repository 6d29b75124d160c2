//! Conflicts, as the admin port shows them and as `geodynamo conflicts` prints them.

use std::io::{self, Write as _};

use geodynamo_command::{Connection, Failure, OutputForm};
use geodynamo_json::Writer;
use geodynamo_table::{Conflict, ConflictPage, ConflictSide, StoredItem, TableError, stream_label};
use serde_json::{Value, json};

use crate::{
    cli::{ConflictsArguments, ConflictsCommand, ListConflicts, RestoreConflict, ShowConflict},
    plain_http,
    run::Done,
};

/// How many conflicts are asked for at a time.
const PAGE: usize = 100;

/// A page of conflicts as the admin port has it.
pub(crate) fn page_json(page: &ConflictPage) -> Result<Value, TableError> {
    let conflicts: Result<Vec<_>, _> = page.conflicts.iter().map(conflict_json).collect();
    Ok(json!({
        "conflicts": conflicts?,
        "next": page.next.as_ref().map(ToString::to_string),
    }))
}

/// A conflict as the admin port has it: items in DynamoDB JSON, times in UTC.
pub(crate) fn conflict_json(conflict: &Conflict) -> Result<Value, TableError> {
    Ok(json!({
        "id": conflict.id.to_string(),
        "key": item_json(&StoredItem::encode(&conflict.keys))?,
        "loser": side_json(&conflict.loser)?,
        "current": conflict.current.as_ref().map(side_json).transpose()?,
    }))
}

fn side_json(side: &ConflictSide) -> Result<Value, TableError> {
    Ok(json!({
        "region": side.region,
        "replica": side.stamp.replica.to_string(),
        "time": format!("{}Z", stream_label(side.stamp.time.millis())),
        "deleted": side.item.is_none(),
        "item": side.item.as_ref().map(item_json).transpose()?,
    }))
}

/// An item in DynamoDB JSON.
pub(crate) fn item_json(item: &StoredItem) -> Result<Value, TableError> {
    let mut writer = Writer::with_capacity(256);
    item.write_json(&mut writer)?;
    let read = serde_json::from_slice(&writer.into_bytes());
    read.map_err(|error| TableError::Corrupt(error.to_string()))
}

/// `geodynamo conflicts`.
pub(crate) fn run(arguments: &ConflictsArguments) -> Done {
    match &arguments.command {
        ConflictsCommand::List(list) => print_list(list),
        ConflictsCommand::Show(show) => {
            let conflict = ask_for(&show.conflict)?;
            let mut out = io::stdout();
            if show.output == OutputForm::Json {
                return Ok(writeln!(out, "{conflict:#}")?);
            }
            let side = |side: &Value| match (side, &side["item"]) {
                (Value::Null, _) => "nothing".to_owned(),
                (side, Value::Null) => format!("deleted by {} at {}", side["region"], side["time"]),
                (side, item) => format!("{item}\n         by {} at {}", side["region"], side["time"]),
            };
            writeln!(out, "key      {}", conflict["key"])?;
            writeln!(out, "lost     {}", side(&conflict["loser"]))?;
            Ok(writeln!(out, "current  {}", side(&conflict["current"]))?)
        }
        ConflictsCommand::Restore(restore) => put_back(restore),
    }
}

fn print_list(list: &ListConflicts) -> Done {
    let mut out = io::stdout();
    let (mut after, mut all) = (String::new(), Vec::new());
    while all.len() < list.limit {
        let limit = (list.limit - all.len()).min(PAGE);
        let path = format!("/conflicts?table={}&limit={limit}&after={after}", list.table);
        let mut page = ask(&list.admin, &path)?;
        if let Value::Array(conflicts) = page["conflicts"].take() {
            all.extend(conflicts);
        }
        match page["next"].as_str() {
            Some(next) => after = next.to_owned(),
            None => break,
        }
    }
    if list.output == OutputForm::Json {
        serde_json::to_writer_pretty(&mut out, &all)?;
        return Ok(writeln!(out)?);
    }
    if all.is_empty() {
        return Ok(writeln!(out, "{} has no conflicts here", list.table)?);
    }
    for conflict in &all {
        let (loser, key) = (&conflict["loser"], &conflict["key"]);
        let text = |value: &Value| value.as_str().unwrap_or("?").to_owned();
        let by = loser["region"].as_str().or(loser["replica"].as_str()).unwrap_or("?");
        let what = if loser["deleted"] == json!(true) {
            "delete"
        } else {
            "put"
        };
        writeln!(
            out,
            "{}  {by}  {what}  {key}\n    {}",
            text(&loser["time"]),
            text(&conflict["id"])
        )?;
    }
    Ok(())
}

fn ask_for(show: &ShowConflict) -> Result<Value, Failure> {
    ask(&show.admin, &format!("/conflicts/{}?table={}", show.id, show.table))
}

fn ask(admin: &str, path: &str) -> Result<Value, Failure> {
    plain_http::ask_admin(admin, "GET", path, "")
}

fn put_back(restore: &RestoreConflict) -> Done {
    let conflict = ask_for(&restore.conflict)?;
    let table = &restore.conflict.table;
    let (operation, input) = match &conflict["loser"]["item"] {
        Value::Null => ("DeleteItem", json!({ "TableName": table, "Key": conflict["key"] })),
        item => ("PutItem", json!({ "TableName": table, "Item": item })),
    };
    let endpoint = match restore.endpoint.contains("://") {
        true => restore.endpoint.clone(),
        false => format!("http://{}", restore.endpoint),
    };
    let connection = Connection {
        endpoint: Some(endpoint),
        signed_for: Some(restore.region.to_string()),
        profile: restore.profile.clone(),
        ca_file: restore.ca_file.clone(),
    };
    geodynamo_command::call(&connection, operation, &input)?;
    let text = format!("{operation} of {} in {}", conflict["key"], restore.region);
    let found = json!({ "operation": operation, "key": conflict["key"], "region": restore.region.as_str() });
    restore.printed.say(&text, &found)
}
