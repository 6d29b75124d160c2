//! The commands that run one region, and the one that makes certificates.

use std::{error::Error, fs, net::SocketAddr, path::Path};

use geodynamo_access::Mode;
use geodynamo_topology::Topology;
use tokio::{
    io::AsyncReadExt,
    runtime::{Builder, Runtime},
};

use crate::{
    certs,
    cli::{Auth, Certs, Dev, Serve},
    config::Config,
    region::Region,
    shutdown::termination,
    telemetry::Telemetry,
};

/// What a command comes to.
pub type Done = Result<(), Box<dyn Error + Send + Sync>>;

/// Runs one region's process, as a configuration file says, until SIGTERM or SIGINT.
pub fn serve(arguments: &Serve) -> Done {
    let config = Config::load(&arguments.config)?;
    runtime()?.block_on(async {
        let telemetry = Telemetry::start(&config)?;
        let region = Region::start(&config, Mode::Enforce).await?;
        println!("{}", ready_line(&config, &region));
        tokio::select! {
            signal = termination() => signal?,
            () = input_ends(), if arguments.stop_with_stdin => {}
        }
        region.stop().await?;
        telemetry.stop();
        Ok(())
    })
}

/// Runs a single region for development, until SIGTERM or SIGINT.
pub fn dev(arguments: &Dev) -> Done {
    let temporary = match &arguments.data {
        Some(_) => None,
        None => Some(tempfile::Builder::new().prefix("geodynamo-dev-").tempdir()?),
    };
    let folder = match (&arguments.data, &temporary) {
        (Some(folder), _) => folder.clone(),
        (None, Some(folder)) => folder.path().to_owned(),
        (None, None) => return Err("no data directory".into()),
    };
    let mut config =
        Config::alone(arguments.region.clone(), folder, SocketAddr::new(arguments.host, arguments.port));
    config.listen.admin = SocketAddr::new(arguments.host, arguments.admin_port);
    let key = std::env::var("AWS_ACCESS_KEY_ID").unwrap_or_else(|_| "local".into());
    let secret = std::env::var("AWS_SECRET_ACCESS_KEY").unwrap_or_else(|_| "local".into());
    config.credentials = vec![crate::config::CredentialEntry::local(&key, &secret)?];
    let mode = match arguments.auth {
        Auth::Any => Mode::Any,
        Auth::Enforce => Mode::Enforce,
    };
    runtime()?.block_on(async {
        let telemetry = Telemetry::start(&config)?;
        let region = Region::start(&config, mode).await?;
        let endpoint = format!("http://{}", region.ports().data_address());
        println!("geodynamo dev: region {} at {endpoint}", config.region);
        println!("admin (health, metrics): http://{}", region.ports().admin_address());
        match &arguments.data {
            Some(folder) => println!("data: {}", folder.display()),
            None => println!("data: in a temporary directory, gone when this ends (keep it with --data DIR)"),
        }
        println!("\nexport AWS_ENDPOINT_URL_DYNAMODB={endpoint} AWS_ENDPOINT_URL_DYNAMODB_STREAMS={endpoint}");
        println!("export AWS_ACCESS_KEY_ID={key} AWS_SECRET_ACCESS_KEY={secret} AWS_REGION={}", config.region);
        println!("aws dynamodb list-tables --endpoint-url {endpoint}");
        termination().await?;
        region.stop().await?;
        telemetry.stop();
        drop(temporary);
        Ok(())
    })
}

/// Makes the certificates that a topology's nodes show to each other.
pub fn certs(arguments: &Certs) -> Done {
    let topology = read_topology(&arguments.topology)?;
    for path in certs::make(&arguments.out, &topology)? {
        println!("{}", path.display());
    }
    Ok(())
}

pub(crate) fn read_topology(path: &Path) -> Result<Topology, Box<dyn Error + Send + Sync>> {
    let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(Topology::parse(&path.display().to_string(), &text)?)
}

pub(crate) fn runtime() -> std::io::Result<Runtime> {
    Builder::new_multi_thread().enable_all().build()
}

/// Returns when the standard input ends: with the process that holds its other end, however that one ended.
async fn input_ends() {
    let mut input = tokio::io::stdin();
    let mut ignored = [0; 64];
    while input.read(&mut ignored).await.is_ok_and(|read| read > 0) {}
}

/// What `serve` prints once it takes requests: one JSON object, for whoever started it.
fn ready_line(config: &Config, region: &Region) -> String {
    let ports = region.ports();
    serde_json::json!({
        "region": config.region.as_str(),
        "data": ports.data_address().to_string(),
        "admin": ports.admin_address().to_string(),
    })
    .to_string()
}
