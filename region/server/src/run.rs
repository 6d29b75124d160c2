//! What the commands do.

use std::{
    error::Error,
    fmt::Write as _,
    fs,
    io::{self, Write as _},
    num::NonZero,
    process::ExitCode,
    thread,
};

use geodynamo_access::Mode;
use geodynamo_api::Habits;
use geodynamo_http::{shutdown, termination};
use geodynamo_metrics::catalogue;
use geodynamo_topology::Topology;
use serde_json::json;
use tokio::{io::AsyncReadExt, runtime};

use crate::{
    access, accounts, certs,
    cli::{Certs, Cli, Command, Dev, Health, Serve},
    config::{Address, ArchiveEntry, Config, CredentialEntry, Encryption, FunctionEntry, triggers},
    conflicts, demo, doctor, files, links, manuals, nodes,
    notify::{State, notify},
    plain_http,
    process::Ready,
    recovery,
    region::{Region, RegionError, reachable},
    schema, sealing, sinks,
    telemetry::Telemetry,
    verify,
};

/// The key of `dev --auth enforce` where the environment has none.
const DEV_KEY: (&str, &str) = ("local", "local");

/// Threads that serve, besides one for each core. A read runs where it was asked for, and may wait for the disk; and a thread
/// that the operating system has put aside keeps back the tasks that it has taken.
const WORKERS_SPARE: usize = 1;

/// What a command comes to.
pub(crate) type Done = Result<(), Box<dyn Error + Send + Sync>>;

/// Does what the command line says. What goes wrong is told on standard error.
pub fn run(cli: Cli) -> ExitCode {
    let result = match cli.command {
        Command::Serve(arguments) => serve(&arguments),
        Command::Dev(arguments) => dev(&arguments),
        Command::Demo(arguments) => demo::demo(&arguments),
        Command::Certs(arguments) => certs(&arguments),
        Command::Status(arguments) => geodynamo_command::status(&arguments),
        Command::Tables(arguments) => geodynamo_command::tables(&arguments),
        Command::Insights(arguments) => geodynamo_command::insights(&arguments),
        Command::Top(arguments) => geodynamo_command::top(&arguments),
        Command::Doctor(arguments) => doctor::doctor(&arguments),
        Command::Backup(arguments) => geodynamo_command::backup(&arguments),
        Command::Restore(arguments) => match &arguments.command {
            Some(command) => geodynamo_command::restore(command),
            None => recovery::restore(&arguments.archive),
        },
        Command::Export(arguments) => geodynamo_command::export(&arguments),
        Command::Import(arguments) => geodynamo_command::import(&arguments),
        Command::Archive(arguments) => recovery::archive(&arguments),
        Command::Conflicts(arguments) => conflicts::run(&arguments),
        Command::Account(arguments) => accounts::run(&arguments),
        Command::Sink(arguments) => sinks::run(&arguments),
        Command::Link(arguments) => links::run(&arguments),
        Command::Verify(arguments) => verify::run(&arguments),
        Command::Region(arguments) => verify::forget(&arguments),
        Command::Schema(arguments) => schema::run(&arguments),
        Command::Keys(arguments) => sealing::keys(&arguments),
        Command::Health(arguments) => health(&arguments),
        Command::Completions(arguments) => manuals::completions(arguments.shell),
        Command::Metrics => metrics(),
        Command::Manuals(arguments) => manuals::write(&arguments.out),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Without a standard error, there is nobody to tell.
            let _ = writeln!(io::stderr(), "geodynamo: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(arguments: &Serve) -> Done {
    let mut config = Config::load(&arguments.config)?;
    if arguments.s3_dir.is_some() {
        config.s3.dir = arguments.s3_dir.clone();
    }
    access::configure_root(&mut config)?;
    run_region(&config, arguments.auth.into(), arguments.stop_with_stdin, |ready| {
        // For whoever started this process and waits for it.
        let ready = json!({
            "region": config.region.as_str(),
            "data": ready.data.to_string(),
            "admin": ready.admin.to_string(),
        });
        writeln!(io::stdout(), "{ready}")?;
        match &config.archive {
            Some(archive) => tracing::info!(archive = %archive.place(), "backups are kept"),
            None => tracing::warn!("no [archive]: there are no backups, and no point-in-time recovery"),
        }
        if !config.storage.sync && config.storage.on_cassandra().is_none() {
            tracing::warn!("sync is off: a crash loses acknowledged writes");
        }
        Ok(())
    })
}

fn dev(arguments: &Dev) -> Done {
    let (folder, _temporary) = match &arguments.data {
        Some(folder) => (folder.clone(), None),
        None => {
            let temporary = tempfile::Builder::new().prefix("geodynamo-dev-").tempdir()?;
            // The key's place is beside it, and both go.
            (temporary.path().join("data"), Some(temporary))
        }
    };
    let address = (arguments.host, arguments.port).into();
    let mut config = Config::alone(arguments.region.clone(), folder, address);
    config.throttle.enabled = arguments.throttle;
    config.encryption = Encryption::wanted(arguments.encrypt);
    config.s3.dir = arguments.s3_dir.clone();
    config.archive = Some(ArchiveEntry::in_folder(&config.data_dir.join("archive")));
    config.habits = Habits {
        at_once: !arguments.delay_transient_statuses,
        shows_unbuilt: true,
        short_exports: true,
    };
    config.listen.admin = (arguments.host, arguments.admin_port).into();
    for function in &arguments.functions {
        let (name, url) = function.split_once('=').ok_or("--function NAME=URL")?;
        let url = Address::new(url).map_err(|error| format!("--function {function}: {error}"))?;
        config.functions.insert(name.to_owned(), FunctionEntry::at(url));
    }
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let (id, secret) = match (variable("AWS_ACCESS_KEY_ID"), variable("AWS_SECRET_ACCESS_KEY")) {
        (Some(id), Some(secret)) => (id, secret),
        _ => (DEV_KEY.0.to_owned(), DEV_KEY.1.to_owned()),
    };
    let mode = Mode::from(arguments.auth);
    if mode != Mode::Any {
        let token = variable("AWS_SESSION_TOKEN");
        config
            .credentials
            .push(CredentialEntry::new(&id, &secret, token.as_deref())?);
    }
    if let Some(reason) = triggers::contradiction(&config.functions, &config.destinations) {
        return Err(reason.into());
    }
    run_region(&config, mode, false, |ready| {
        let endpoint = reachable(ready.data);
        let mut text = format!("geodynamo {} answers at http://{endpoint}\n\n", arguments.region);
        // Writing to a String cannot fail, here and below.
        let _ = writeln!(text, "export AWS_ENDPOINT_URL_DYNAMODB=http://{endpoint}");
        let _ = writeln!(text, "export AWS_ENDPOINT_URL_DYNAMODB_STREAMS=http://{endpoint}");
        let _ = writeln!(text, "export AWS_ENDPOINT_URL_LAMBDA=http://{endpoint}");
        let _ = writeln!(text, "export AWS_ENDPOINT_URL_BACKUP=http://{endpoint}");
        let _ = writeln!(text, "export AWS_ENDPOINT_URL_IAM=http://{endpoint}");
        let _ = writeln!(text, "export AWS_ENDPOINT_URL_STS=http://{endpoint}");
        let _ = writeln!(text, "export AWS_DEFAULT_REGION={}", arguments.region);
        if (id.as_str(), secret.as_str()) == DEV_KEY {
            let _ = writeln!(text, "export AWS_ACCESS_KEY_ID={id} AWS_SECRET_ACCESS_KEY={secret}");
        }
        let _ = writeln!(text, "aws dynamodb list-tables\n");
        let admin = reachable(ready.admin);
        let _ = writeln!(text, "console: http://{admin}/");
        let _ = writeln!(text, "health and metrics: http://{admin}");
        let _ = writeln!(text, "at a glance: geodynamo status --admin {admin}");
        if arguments.data.is_none() {
            text.push_str("the tables are gone when this ends; --data DIR keeps them\n");
        }
        let mut out = io::stdout();
        out.write_all(text.as_bytes())?;
        out.flush()
    })
}

fn certs(arguments: &Certs) -> Done {
    let path = &arguments.topology;
    let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let topology = Topology::parse(&path.display().to_string(), &text)?;
    let written = certs::make(&arguments.out, &topology)?;
    let lines: Vec<String> = written.iter().map(|path| path.display().to_string()).collect();
    arguments.printed.say(&lines.join("\n"), &json!({ "files": lines }))
}

fn metrics() -> Done {
    Ok(io::stdout().write_all(catalogue::markdown().as_bytes())?)
}

fn health(arguments: &Health) -> Done {
    let answer = plain_http::get(&arguments.admin.to_string(), &arguments.path)?;
    if answer.status == 200 {
        arguments
            .printed
            .say(&answer.body, &json!({ "ready": true, "said": answer.body.trim() }))
    } else {
        Err(format!("not ready: {}", answer.body.trim()).into())
    }
}

/// Runs a region until the process is asked to end, then ends it in order.
fn run_region(config: &Config, mode: Mode, stop_with_stdin: bool, greet: impl Fn(Ready) -> io::Result<()>) -> Done {
    // Before any thread of the runtime: the exporter has threads of its own.
    let mut telemetry = Telemetry::start(config)?;
    files::raise_limit(config.limits.connections.get());
    if config.encryption.enabled != Some(false) {
        files::no_core_dumps();
    }
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let runtime = runtime::Builder::new_multi_thread()
        .worker_threads(cores.saturating_add(WORKERS_SPARE))
        .enable_all()
        .build()?;
    let result = runtime.block_on(async {
        // Asked to end while it starts, it ends when it has started.
        let termination = tokio::spawn(termination());
        let asked = async {
            tokio::select! {
                asked = termination => asked?,
                () = input_ends(), if stop_with_stdin => Ok(()),
            }
        };
        if let Some(entry) = config.storage.on_cassandra() {
            return nodes::serve(config, entry, mode, asked, greet).await;
        }
        let (trigger, signal) = shutdown();
        let region = Region::start(config, mode, signal.clone()).await?;
        let exported = telemetry.export_metrics(region.metrics().clone(), signal);
        let ports = region.ports();
        let ready = Ready {
            data: ports.data_address(),
            admin: ports.admin_address(),
        };
        tracing::info!(
            data = %ready.data,
            admin = %ready.admin,
            replication = region.replication_address().map(tracing::field::display),
            replica = %region.tables().replica(),
            "{config} is ready"
        );
        greet(ready)?;
        notify(State::Ready);
        let lost = tokio::select! {
            asked = asked => { asked?; false }
            () = region.key_lost() => true,
        };
        tracing::info!("asked to end: answering what has begun");
        notify(State::Stopping);
        trigger.trigger();
        region.finish().await?;
        if let Some(exported) = exported {
            // It panics nowhere; what was not sent is lost.
            let _ = exported.await;
        }
        tracing::info!("ended");
        match lost {
            true => Err(RegionError::KeyLost.into()),
            false => Ok(()),
        }
    });
    // Connections that would not end are cut off here.
    drop(runtime);
    telemetry.stop();
    result
}

/// Returns when the standard input ends: with the process that holds its other end, however that one ended.
async fn input_ends() {
    let mut input = tokio::io::stdin();
    let mut ignored = [0; 64];
    while input.read(&mut ignored).await.is_ok_and(|read| read > 0) {}
}
