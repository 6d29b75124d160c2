//! `geodynamo import`.

use std::{fs, path::PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use geodynamo_outgoing::encode_segment;
use serde_json::{Value, json};

use super::{ListJobs, NamedJob, Place, place, state_cell, table_arn, wait};
use crate::{
    Done,
    admin::{Admin, AdminPort},
    client::{Client, Failure, take},
    connection::Connection,
    output::{OutputForm, Table, count, print, print_json, print_object, time},
};

/// Arguments of `import`.
#[derive(Clone, PartialEq, Debug, Args)]
pub struct ImportArguments {
    /// What to do.
    #[command(subcommand)]
    pub command: ImportCommand,
}

/// What to do with imports.
#[derive(Clone, PartialEq, Debug, Subcommand)]
pub enum ImportCommand {
    /// Makes a new table of files in S3
    #[command(
        after_help = "Examples:\n  geodynamo import start orders --from s3://lake/orders.csv --format csv --key id:S --wait\n  \
                            geodynamo import start orders --from s3://lake/AWSDynamoDB/01700000000000-abcdef01/data --format json \
                            --compression gzip --key customer:S --sort-key placed:N\n  geodynamo import start orders --from \
                            s3://lake/orders --format ion --definition table.json"
    )]
    Start(Box<StartImport>),
    /// Lists imports
    #[command(after_help = "Examples:\n  geodynamo import list\n  geodynamo import list --output json")]
    List(ListJobs),
    /// Shows an import
    #[command(after_help = "Examples:\n  geodynamo import describe \
                            arn:aws:dynamodb:eu-west-1:000000000000:table/orders/import/01700000000000-abcdef01")]
    Describe(NamedJob),
    /// Waits until an import has ended
    #[command(after_help = "Examples:\n  geodynamo import wait \
                            arn:aws:dynamodb:eu-west-1:000000000000:table/orders/import/01700000000000-abcdef01")]
    Wait(NamedJob),
    /// Shows what was wrong with items of an import: the first 10,000
    #[command(
        after_help = "Examples:\n  geodynamo import errors 01700000000000-abcdef01\n  geodynamo import errors \
                            arn:aws:dynamodb:eu-west-1:000000000000:table/orders/import/01700000000000-abcdef01"
    )]
    Errors(ImportErrors),
}

/// Arguments of `import errors`.
#[derive(Clone, PartialEq, Debug, Args)]
pub struct ImportErrors {
    /// The import: its id, or its ARN, as `list` shows it
    pub import: String,
    /// How to print it
    #[arg(long, value_enum, default_value_t)]
    pub output: OutputForm,
    /// Which region is asked.
    #[command(flatten)]
    pub port: AdminPort,
}

/// Arguments of `import start`.
#[derive(Clone, PartialEq, Debug, Args)]
pub struct StartImport {
    /// The new table's name
    pub table: String,
    /// Where from: s3://BUCKET/PREFIX
    #[arg(long, value_name = "PLACE", value_parser = place)]
    pub from: Place,
    /// How items are written
    #[arg(long, value_enum)]
    pub format: ImportFormat,
    /// How files are compressed
    #[arg(long, value_enum, default_value_t = Compression::None)]
    pub compression: Compression,
    /// The partition key and its type: S, N or B
    #[arg(long, value_name = "NAME:TYPE", value_parser = key, required_unless_present = "definition")]
    pub key: Option<Key>,
    /// The sort key and its type
    #[arg(long, value_name = "NAME:TYPE", value_parser = key, requires = "key")]
    pub sort_key: Option<Key>,
    /// A file of JSON with the whole table, as ImportTable's TableCreationParameters; the table's name is put in
    #[arg(long, value_name = "FILE", conflicts_with_all = ["key", "sort_key"])]
    pub definition: Option<PathBuf>,
    /// What is between a CSV's fields; a comma if it is not told
    #[arg(long, value_name = "SIGN")]
    pub delimiter: Option<String>,
    /// A CSV's columns, where its first line does not name them
    #[arg(long, value_name = "NAME,NAME…", value_delimiter = ',')]
    pub columns: Vec<String>,
    /// Wait until it has ended
    #[arg(long)]
    pub wait: bool,
    /// How to print it
    #[arg(long, value_enum, default_value_t)]
    pub output: OutputForm,
    /// Which region is asked.
    #[command(flatten)]
    pub connection: Connection,
}

/// How items are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum ImportFormat {
    /// Comma-separated values
    Csv,
    /// DynamoDB JSON
    Json,
    /// Ion
    Ion,
}

/// How files are compressed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Compression {
    /// Not at all
    None,
    /// gzip
    Gzip,
    /// Zstandard
    Zstd,
}

/// A key's attribute and its type.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Key {
    name: String,
    kind: String,
}

fn key(text: &str) -> Result<Key, String> {
    match text.rsplit_once(':') {
        Some((name, kind @ ("S" | "N" | "B"))) if !name.is_empty() => Ok(Key {
            name: name.to_owned(),
            kind: kind.to_owned(),
        }),
        _ => Err(format!("'{text}' is no key: NAME:S, NAME:N or NAME:B")),
    }
}

pub(crate) async fn run(arguments: &ImportArguments) -> Done {
    match &arguments.command {
        ImportCommand::Start(arguments) => start(arguments).await,
        ImportCommand::List(arguments) => list(arguments).await,
        ImportCommand::Describe(named) => {
            let client = Client::new(&named.connection)?;
            let mut answer = client
                .call("DescribeImport", &json!({ "ImportArn": named.arn }))
                .await?;
            print_object(&take(&mut answer, "ImportTableDescription"), named.output)
        }
        ImportCommand::Wait(named) => {
            let client = Client::new(&named.connection)?;
            print_object(&ended(&client, &named.arn).await?, named.output)
        }
        ImportCommand::Errors(arguments) => errors(arguments).await,
    }
}

async fn errors(arguments: &ImportErrors) -> Done {
    let admin = Admin::new(&arguments.port.admin)?;
    let path = format!("/import-errors?import={}", encode_segment(&arguments.import));
    let (status, text) = admin.get(&path).await?;
    if status != 200 {
        let document: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
        let told = document["error"].as_str().unwrap_or(text.trim()).to_owned();
        return Err(Failure::told(told, "`geodynamo import list` lists the imports").into());
    }
    let errors = text
        .lines()
        .map(serde_json::from_str)
        .collect::<Result<Vec<Value>, _>>()?;
    match arguments.output {
        OutputForm::Json => print_json(&errors),
        OutputForm::Table if errors.is_empty() => print("nothing was wrong with its items\n"),
        OutputForm::Table => {
            let mut table = Table::new(&["OBJECT", ">LINE", "ERROR"]);
            for error in &errors {
                let place = &error["itemS3Pointer"];
                table.rows.push(vec![
                    place["key"].as_str().unwrap_or_default().into(),
                    count(place["line"].as_u64().unwrap_or(0)).into(),
                    error["errorMessages"][0].as_str().unwrap_or_default().into(),
                ]);
            }
            print(&table.render())
        }
    }
}

async fn ended(client: &Client, arn: &str) -> Result<Value, Failure> {
    let what = (json!({ "ImportArn": arn }), "ImportTableDescription");
    wait(client, "DescribeImport", what, "import").await
}

async fn start(arguments: &StartImport) -> Done {
    let client = Client::new(&arguments.connection)?;
    let mut answer = client.call("ImportTable", &request(arguments)?).await?;
    let mut import = take(&mut answer, "ImportTableDescription");
    if arguments.wait
        && let Some(arn) = import["ImportArn"].as_str().map(str::to_owned)
    {
        import = ended(&client, &arn).await?;
    }
    print_object(&import, arguments.output)
}

fn request(arguments: &StartImport) -> Result<Value, Failure> {
    let mut source = json!({ "S3Bucket": arguments.from.bucket });
    if let Some(prefix) = &arguments.from.prefix {
        source["S3KeyPrefix"] = prefix.as_str().into();
    }
    let mut input = json!({
        "S3BucketSource": source,
        "InputFormat": match arguments.format {
            ImportFormat::Csv => "CSV",
            ImportFormat::Json => "DYNAMODB_JSON",
            ImportFormat::Ion => "ION",
        },
        "InputCompressionType": match arguments.compression {
            Compression::None => "NONE",
            Compression::Gzip => "GZIP",
            Compression::Zstd => "ZSTD",
        },
        "TableCreationParameters": table(arguments)?,
    });
    if let Some(delimiter) = &arguments.delimiter {
        input["InputFormatOptions"]["Csv"]["Delimiter"] = delimiter.as_str().into();
    }
    if !arguments.columns.is_empty() {
        input["InputFormatOptions"]["Csv"]["HeaderList"] = json!(arguments.columns);
    }
    Ok(input)
}

/// The table to be made.
fn table(arguments: &StartImport) -> Result<Value, Failure> {
    let mut table = match &arguments.definition {
        Some(path) => {
            let wrong = |error: &dyn std::fmt::Display| {
                Failure::told(
                    format!("{}: {error}", path.display()),
                    "--definition FILE has an object with KeySchema and AttributeDefinitions, as ImportTable's \
                     TableCreationParameters",
                )
            };
            let text = fs::read_to_string(path).map_err(|error| wrong(&error))?;
            let table: Value = serde_json::from_str(&text).map_err(|error| wrong(&error))?;
            if !table.is_object() {
                return Err(wrong(&"it is no object"));
            }
            table
        }
        None => {
            let keys = [("HASH", &arguments.key), ("RANGE", &arguments.sort_key)];
            let keys = || keys.iter().filter_map(|(role, key)| Some((*role, key.as_ref()?)));
            json!({
                "KeySchema": keys()
                    .map(|(role, key)| json!({ "AttributeName": key.name, "KeyType": role }))
                    .collect::<Vec<_>>(),
                "AttributeDefinitions": keys()
                    .map(|(_, key)| json!({ "AttributeName": key.name, "AttributeType": key.kind }))
                    .collect::<Vec<_>>(),
                "BillingMode": "PAY_PER_REQUEST",
            })
        }
    };
    table["TableName"] = arguments.table.as_str().into();
    Ok(table)
}

async fn list(arguments: &ListJobs) -> Done {
    let client = Client::new(&arguments.connection)?;
    let mut input = json!({});
    if let Some(table) = &arguments.table {
        input["TableArn"] = table_arn(&client, table).await?.into();
    }
    let ends = ("NextToken", "NextToken");
    let imports = client
        .list("ListImports", input, "ImportSummaryList", ends, arguments.limit)
        .await?;
    match arguments.output {
        OutputForm::Json => print_json(&imports),
        OutputForm::Table if imports.is_empty() => print("there are no imports\n"),
        OutputForm::Table => {
            let mut table = Table::new(&["STATUS", "STARTED", ">ITEMS", ">ERRORS", "FROM", "ARN"]);
            for import in &imports {
                let mut whole = client
                    .call("DescribeImport", &json!({ "ImportArn": import["ImportArn"] }))
                    .await?;
                let whole = take(&mut whole, "ImportTableDescription");
                let number = |member: &str| count(whole[member].as_u64().unwrap_or(0));
                let source = &whole["S3BucketSource"];
                table.rows.push(vec![
                    state_cell(&whole, "ImportStatus"),
                    time(&whole["StartTime"]).into(),
                    number("ImportedItemCount").into(),
                    number("ErrorCount").into(),
                    format!(
                        "s3://{}/{}",
                        source["S3Bucket"].as_str().unwrap_or_default(),
                        source["S3KeyPrefix"].as_str().unwrap_or_default()
                    )
                    .into(),
                    whole["ImportArn"].as_str().unwrap_or_default().into(),
                ]);
            }
            print(&table.render())
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        import: StartImport,
    }

    #[test]
    fn requests() {
        let line = "x orders --from s3://b/p --format csv --key id:S --sort-key at:N --columns id,at --delimiter ;";
        let line = Line::try_parse_from(line.split(' ')).unwrap();
        assert_eq!(
            request(&line.import).unwrap(),
            json!({
                "S3BucketSource": { "S3Bucket": "b", "S3KeyPrefix": "p" },
                "InputFormat": "CSV",
                "InputCompressionType": "NONE",
                "InputFormatOptions": { "Csv": { "Delimiter": ";", "HeaderList": ["id", "at"] } },
                "TableCreationParameters": {
                    "TableName": "orders",
                    "BillingMode": "PAY_PER_REQUEST",
                    "KeySchema": [
                        { "AttributeName": "id", "KeyType": "HASH" },
                        { "AttributeName": "at", "KeyType": "RANGE" },
                    ],
                    "AttributeDefinitions": [
                        { "AttributeName": "id", "AttributeType": "S" },
                        { "AttributeName": "at", "AttributeType": "N" },
                    ],
                },
            })
        );
        for bad in [
            "x t --from s3://b --format csv",
            "x t --from b --format csv --key a:S",
            "x t --from s3://b --format csv --key a:X",
        ] {
            assert!(Line::try_parse_from(bad.split(' ')).is_err(), "{bad}");
        }
    }
}
