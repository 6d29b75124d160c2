//! `geodynamo restore` and `geodynamo archive`: what is done with an archive while no region runs.

use std::{
    collections::BTreeMap,
    fmt,
    io::{self, Write as _},
    sync::Arc,
    time::Duration,
};

use geodynamo_archive::Archive;
use geodynamo_command::{Failure, OutputForm};
use geodynamo_engine::RegionEngine;
use geodynamo_recovery::{Archived, Options, Recoveries, archived_tables};
use geodynamo_storage::Engine;
use geodynamo_table::{Tables, TimeSource, recovery::Recovery};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use serde_json::json;
use tokio::runtime::Builder;

use crate::{
    cli::{ArchiveArguments, ArchiveCommand, RestoreArchive, VerifyArchive},
    clock::SystemClock,
    config::{ArchiveEntry, Config},
    region::{open_engine, table_options},
    run::Done,
    sealing::{self, table_keys},
};

/// How often progress is shown.
const SHOW_EVERY: Duration = Duration::from_millis(200);
const SECOND_MS: u64 = 1000;

/// Brings tables back from an archive alone: the newest of each name.
pub(crate) fn restore(arguments: &RestoreArchive) -> Done {
    // Without a subcommand, the command line has both.
    let (Some(config), Some(from)) = (&arguments.config, &arguments.from) else {
        return Err("--from ARCHIVE and --config FILE".into());
    };
    let config = Config::load(config)?;
    let mut archive = Archive::open_existing(&ArchiveEntry::at(from)?.place()).map_err(|error| misnamed(&error))?;
    let time: Arc<dyn TimeSource> = Arc::new(SystemClock);
    Builder::new_multi_thread().enable_all().build()?.block_on(async {
        let region = arguments.region.as_ref().unwrap_or(&config.region);
        sealing::check_key(&config, &archive, region.as_str()).await?;
        let sealing = sealing::open(&config)?;
        if let Some(sealing) = &sealing {
            sealing.exchange(&archive, config.region.as_str()).await?;
            archive = sealing.archive(&archive);
        }
        let tables = Tables::open_sealed(
            open_engine(&config, sealing.as_ref()).await?,
            table_options(&config, None, &time),
            table_keys(&config)?,
        )
        .await?;
        let restored = restore_into(&tables, archive, &config, arguments).await;
        tables.local().store_counts().await?;
        tables.engine().close().await?;
        restored
    })
}

async fn restore_into(
    tables: &Arc<Tables<RegionEngine>>,
    archive: Archive,
    config: &Config,
    arguments: &RestoreArchive,
) -> Done {
    let region = arguments.region.as_ref().unwrap_or(&config.region);
    let options = Options {
        // All of an archive's tables are begun before the first is filled; then they are, one after the other.
        restores_max: usize::MAX,
        ..Options::default()
    };
    let recoveries = Recoveries::new(Arc::clone(tables), archive, options);
    let at_ms = arguments.at.map(|seconds| seconds.saturating_mul(SECOND_MS));
    let mut there = Vec::new();
    let mut missing: Vec<&String> = arguments.tables.iter().collect();
    let mut begun = Vec::new();
    for (name, chain) in newest(&recoveries, region.as_str(), at_ms).await? {
        let wanted = arguments.tables.is_empty() || arguments.tables.contains(&name);
        missing.retain(|missing| **missing != name);
        if !wanted {
            continue;
        }
        if tables
            .loads()
            .restoring()
            .iter()
            .any(|restoring| restoring.name == name)
        {
            begun.push(name);
            continue;
        }
        if tables.table_named(&name).is_ok() {
            there.push(name);
            continue;
        }
        let from = recoveries.restorable_of(&chain, at_ms).await?;
        let create = from.settings.create(&name);
        recoveries.restore(from, create).await?;
        begun.push(name);
    }
    show_restores(&recoveries).await?;
    let mut out = io::stdout();
    let mut restored = Vec::new();
    for name in &begun {
        restored.push((name, tables.describe(name)?.items));
    }
    match arguments.output {
        OutputForm::Json => {
            let restored: Vec<_> = restored
                .iter()
                .map(|(name, items)| json!({ "table": name, "items": items }))
                .collect();
            writeln!(out, "{:#}", json!({ "restored": restored, "there_already": there }))?;
        }
        OutputForm::Table => {
            for name in &there {
                writeln!(out, "{name}: there is a table of this name already")?;
            }
            for (name, items) in &restored {
                writeln!(out, "{name}: {items} items")?;
            }
        }
    }
    match missing.first() {
        None => Ok(()),
        Some(name) => Err(format!("the archive has no table {name} of that moment").into()),
    }
}

/// The newest chain of each name that has the moment.
async fn newest(
    recoveries: &Recoveries<RegionEngine>,
    region: &str,
    at_ms: Option<u64>,
) -> Result<BTreeMap<String, Archived>, geodynamo_recovery::Error> {
    let mut newest: BTreeMap<String, Archived> = BTreeMap::new();
    for chain in archived_tables(recoveries.archive(), region, None).await? {
        let (first, last) = chain.window();
        if at_ms.is_some_and(|at| !(first..=last).contains(&at)) {
            continue;
        }
        let older = newest.get(&chain.name).is_none_or(|known| known.window().1 <= last);
        if older {
            newest.insert(chain.name.clone(), chain);
        }
    }
    Ok(newest)
}

/// Restores what was begun, and shows how far it is.
async fn show_restores(recoveries: &Recoveries<RegionEngine>) -> Done {
    let bars = MultiProgress::new();
    let mut shown: BTreeMap<String, ProgressBar> = BTreeMap::new();
    let working = recoveries.clone();
    let mut work = tokio::spawn(async move { working.restore_all().await });
    loop {
        let done = tokio::time::timeout(SHOW_EVERY, &mut work).await;
        for restore in recoveries.status().restores {
            let bar = shown.entry(restore.table.clone()).or_insert_with(|| {
                let style = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} {eta}");
                let bar = ProgressBar::new(0).with_message(restore.table.clone());
                bars.add(bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar())))
            });
            bar.set_length(restore.of.max(restore.items));
            bar.set_position(restore.items);
        }
        if let Ok(ended) = done {
            shown.values().for_each(ProgressBar::finish_and_clear);
            return Ok(ended??);
        }
    }
}

/// An archive that is not where it was said to be.
fn misnamed(what: &dyn fmt::Display) -> Failure {
    Failure::told(
        what.to_string(),
        "--from DIR or --from s3://BUCKET/PREFIX is the `url` of `[archive]` in the configuration of a region that has run with it",
    )
}

/// Looks after an archive.
pub(crate) fn archive(arguments: &ArchiveArguments) -> Done {
    let ArchiveCommand::Verify(arguments) = &arguments.command;
    Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(verify(arguments))
}

async fn verify(arguments: &VerifyArchive) -> Done {
    let entry = match (&arguments.from, &arguments.config) {
        (Some(address), _) => ArchiveEntry::at(address)?,
        (None, Some(path)) => {
            let archive = Config::load(path)?.archive;
            archive.ok_or_else(|| format!("{}: there is no [archive]", path.display()))?
        }
        (None, None) => return Err("no archive is named".into()),
    };
    let archive = Archive::open_existing(&entry.place()).map_err(|error| misnamed(&error))?;
    let bar = ProgressBar::new(0);
    let verified = archive.verify("", |number, count| {
        bar.set_length(count);
        bar.set_position(number);
    });
    let verified = verified.await?;
    bar.finish_and_clear();
    if verified.whole == 0 && verified.damaged.is_empty() {
        return Err(misnamed(&format!("the archive {} holds nothing", archive.place())).into());
    }
    let mut out = io::stdout();
    if arguments.output == OutputForm::Json {
        let damaged: Vec<_> = verified.damaged.iter().map(ToString::to_string).collect();
        let found = json!({ "whole": verified.whole, "bytes": verified.bytes, "damaged": damaged });
        writeln!(out, "{found:#}")?;
    } else {
        for error in &verified.damaged {
            writeln!(out, "{error}")?;
        }
        writeln!(out, "{} objects are whole, {} bytes", verified.whole, verified.bytes)?;
    }
    match verified.damaged.len() {
        0 => Ok(()),
        count => Err(format!("{count} objects are damaged").into()),
    }
}
