//! `geodynamo export` and `geodynamo import`: tables to S3 and from it, by the API.

mod export;
mod import;

use clap::Args;
use serde_json::{Value, json};

pub use self::{export::ExportArguments, import::ImportArguments};
pub(crate) use self::{export::run as export, import::run as import};
use crate::{
    client::{Client, Failure, take},
    connection::Connection,
    output::{Cell, OutputForm, Tone},
    wait::{Look, Progress, until},
};

/// Arguments of `export describe` and its like.
#[derive(Clone, PartialEq, Debug, Args)]
pub struct NamedJob {
    /// Its ARN, as `list` shows it
    pub arn: String,
    /// How to print it
    #[arg(long, value_enum, default_value_t)]
    pub output: OutputForm,
    /// Which region is asked.
    #[command(flatten)]
    pub connection: Connection,
}

/// Arguments of `export list` and its like.
#[derive(Clone, PartialEq, Debug, Args)]
pub struct ListJobs {
    /// Only those of this table: a name or an ARN
    #[arg(long)]
    pub table: Option<String>,
    /// The most of them
    #[arg(long, default_value_t = 1000)]
    pub limit: usize,
    /// How to print them
    #[arg(long, value_enum, default_value_t)]
    pub output: OutputForm,
    /// Which region is asked.
    #[command(flatten)]
    pub connection: Connection,
}

/// A place in S3 as the command line has it: `s3://BUCKET` or `s3://BUCKET/PREFIX`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    bucket: String,
    prefix: Option<String>,
}

fn place(text: &str) -> Result<Place, String> {
    let rest = text.strip_prefix("s3://").unwrap_or_default();
    let (bucket, prefix) = match rest.split_once('/') {
        Some((bucket, prefix)) => (bucket, Some(prefix.to_owned()).filter(|prefix| !prefix.is_empty())),
        None => (rest, None),
    };
    if bucket.is_empty() {
        return Err(format!("'{text}' is no place in S3: s3://BUCKET/PREFIX"));
    }
    Ok(Place {
        bucket: bucket.to_owned(),
        prefix,
    })
}

/// A table's ARN.
async fn table_arn(client: &Client, table: &str) -> Result<String, Failure> {
    if table.starts_with("arn:") {
        return Ok(table.to_owned());
    }
    let answer = client.call("DescribeTable", &json!({ "TableName": table })).await?;
    let arn = answer["Table"]["TableArn"].as_str();
    arn.map(str::to_owned)
        .ok_or_else(|| Failure::told(format!("{table} has no ARN"), "name the table by its ARN"))
}

/// Waits for a job to end; one that failed is a failure. `operation` describes it, `description` is the answer's member.
async fn wait(
    client: &Client,
    operation: &str,
    (input, description): (Value, &str),
    noun: &str,
) -> Result<Value, Failure> {
    let ended = until(noun, || async {
        let mut answer = client.call(operation, &input).await?;
        let job = take(&mut answer, description);
        let member = |names: [&str; 2]| names.iter().find_map(|name| job[*name].as_str()).map(str::to_owned);
        let state = member(["ExportStatus", "ImportStatus"]).unwrap_or_default();
        Ok(match state.as_str() {
            "IN_PROGRESS" => Look::Under(Progress {
                done: job["ProcessedItemCount"]
                    .as_u64()
                    .or(job["ItemCount"].as_u64())
                    .unwrap_or(0),
                of: None,
                state,
            }),
            _ => Look::Done(job),
        })
    })
    .await?;
    let state = ended["ExportStatus"]
        .as_str()
        .or(ended["ImportStatus"].as_str())
        .unwrap_or_default();
    if state == "COMPLETED" {
        return Ok(ended);
    }
    let text = |name: &str| ended[name].as_str().unwrap_or("-").to_owned();
    Err(Failure::told(
        format!(
            "the {noun} is {state}: {}: {}",
            text("FailureCode"),
            text("FailureMessage")
        ),
        format!("mend what the reason names and start another {noun}"),
    ))
}

fn state_cell(job: &Value, member: &str) -> Cell {
    let state = job[member].as_str().unwrap_or("-");
    let tone = match state {
        "COMPLETED" => Tone::Good,
        "IN_PROGRESS" => Tone::Warning,
        _ => Tone::Bad,
    };
    Cell::toned(state, tone)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places() {
        let read = |text: &str| place(text).ok().map(|place| (place.bucket, place.prefix));
        assert_eq!(read("s3://b"), Some(("b".to_owned(), None)));
        assert_eq!(read("s3://b/"), Some(("b".to_owned(), None)));
        assert_eq!(read("s3://b/c/d"), Some(("b".to_owned(), Some("c/d".to_owned()))));
        for bad in ["", "b", "s3://", "s3:///c", "http://b"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
