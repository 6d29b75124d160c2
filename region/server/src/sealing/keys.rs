//! `geodynamo keys`: what is done with keys, by hand.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Read as _, Write as _},
    path::PathBuf,
    time::{Duration, UNIX_EPOCH},
};

use geodynamo_command::OutputForm;
use geodynamo_seal::{FILE_HEADER_BYTES, KeyringFile, LocalKey, file_key_id};
use serde_json::{Value, json};
use tokio::runtime::Builder;

use super::{Found, HALFWAY, KEYRING, encrypt, look, region_key, rotate};
use crate::{
    cli::{KeysArguments, KeysCommand, KeysOf},
    config::Config,
    region::DATABASE,
    run::Done,
};

/// The last moment that can be shown: the end of the year 9999.
const DATE_MAX: u64 = 253_402_300_799;

/// Does what the command line says.
pub(crate) fn keys(arguments: &KeysArguments) -> Done {
    match &arguments.command {
        KeysCommand::New(arguments) => {
            if !LocalKey::make_file(&arguments.file)? {
                return Err(format!("{}: there is a file already", arguments.file.display()).into());
            }
            // Who asks for nothing else hears nothing: it did what it was told.
            arguments.printed.say("", &json!({ "file": arguments.file }))
        }
        KeysCommand::Status(arguments) => status(arguments),
        KeysCommand::Rotate(arguments) => {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(rotate::rotate(arguments))
        }
        KeysCommand::Encrypt(arguments) => encrypt::encrypt(arguments),
    }
}

fn status(arguments: &KeysOf) -> Done {
    let config = Config::load(&arguments.config)?;
    let mut out = io::stdout();
    match look(&config)? {
        Found::Nothing | Found::Plain if arguments.printed.output == OutputForm::Json => {
            Ok(writeln!(out, "{:#}", json!({ "encrypted": false }))?)
        }
        Found::Nothing => Ok(writeln!(out, "there are no tables yet")?),
        Found::Plain => Ok(writeln!(out, "not encrypted")?),
        Found::Halfway => Err(HALFWAY.into()),
        Found::Bereft => Err("the tables are encrypted, and the keyring is gone".into()),
        Found::Keyring => {
            let path = config.data_dir.join(KEYRING);
            let file = KeyringFile::read(&path)?;
            if arguments.printed.output == OutputForm::Json {
                let keys = entries_json(&config, &file)?;
                let key = region_key(&config)?;
                file.unwrap(&path, &*key)?;
                let found =
                    json!({ "encrypted": true, "data_keys": keys, "region_key": key.name(), "source": key.source() });
                return Ok(writeln!(out, "{found:#}")?);
            }
            let (files, bytes) = usage(&config)?;
            let (entries, current) = file.entries();
            for entry in entries {
                let mark = if entry.id == current { " (new files)" } else { "" };
                let count = |of: &BTreeMap<String, u64>| of.get(&entry.id).copied().unwrap_or(0);
                writeln!(
                    out,
                    "data key {}{mark}: made {}, under the region key {}; {} files, {} bytes",
                    entry.id,
                    httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(entry.made.min(DATE_MAX))),
                    entry.region_key,
                    count(&files),
                    count(&bytes)
                )?;
            }
            // Whether it is the right one.
            let key = region_key(&config)?;
            file.unwrap(&path, &*key)?;
            Ok(writeln!(out, "region key {}, of {}", key.name(), key.source())?)
        }
    }
}

/// The data keys of a keyring, and what of the store is under each.
pub(super) fn entries_json(config: &Config, file: &KeyringFile) -> io::Result<Vec<Value>> {
    let (files, bytes) = usage(config)?;
    let (entries, current) = file.entries();
    let count = |of: &BTreeMap<String, u64>, id: &String| of.get(id).copied().unwrap_or(0);
    let shown = entries.iter().map(|entry| {
        json!({
            "id": entry.id,
            "new_files": entry.id == current,
            "made": entry.made,
            "region_key": entry.region_key,
            "files": count(&files, &entry.id),
            "bytes": count(&bytes, &entry.id),
        })
    });
    Ok(shown.collect())
}

/// How many files of a store each data key has, and bytes.
fn usage(config: &Config) -> io::Result<(BTreeMap<String, u64>, BTreeMap<String, u64>)> {
    let (mut files, mut bytes) = (BTreeMap::new(), BTreeMap::new());
    for file in sealed_files(config)? {
        *files.entry(file.key.clone()).or_insert(0) += 1;
        *bytes.entry(file.key).or_insert(0) += file.bytes;
    }
    Ok((files, bytes))
}

/// A file of a store that is encrypted.
pub(super) struct SealedFile {
    pub(super) path: PathBuf,
    /// The id of the data key that its own key is derived from.
    pub(super) key: String,
    pub(super) bytes: u64,
}

/// The files of a store.
pub(super) fn sealed_files(config: &Config) -> io::Result<Vec<SealedFile>> {
    let mut files = Vec::new();
    let store = config.data_dir.join(DATABASE);
    let entries = fs::read_dir(&store).map_err(|error| {
        let told = "what to do: `data_dir` in the configuration names the directory of a region that has run";
        io::Error::new(error.kind(), format!("{}: {error}\n  {told}", store.display()))
    })?;
    let mut entries = entries.collect::<io::Result<Vec<_>>>()?;
    if let Some(cold_dir) = &config.storage.cold_dir {
        // Made at the first start with it.
        let cold = fs::read_dir(cold_dir).into_iter().flatten();
        entries.extend(cold.collect::<io::Result<Vec<_>>>()?);
    }
    for entry in entries {
        let mut header = Vec::new();
        // It may be gone by now: the region goes on.
        let Ok(file) = File::open(entry.path()) else { continue };
        let length = file.metadata().map_or(0, |about| about.len());
        if file.take(FILE_HEADER_BYTES as u64).read_to_end(&mut header).is_err() {
            continue;
        }
        if let Some(id) = file_key_id(&header) {
            files.push(SealedFile {
                path: entry.path(),
                key: id.to_string(),
                bytes: length,
            });
        }
    }
    Ok(files)
}
