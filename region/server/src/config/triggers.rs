//! `[functions]`, `[destinations]` and `[triggers]`: what event source mappings invoke.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use geodynamo_outgoing::{Credentials, Endpoint, EndpointError};
use geodynamo_table::is_account;
use geodynamo_triggers::{Command, Destination, Destinations, FunctionOptions, HmacSecret, HmacSecretError, Target};
use serde::Deserialize;

use super::{AccessKeyId, Address, Secret, Within};

/// The most functions.
const FUNCTIONS_MAX: usize = 1000;
/// The longest name of a function, as Lambda has it.
const NAME_LEN_MAX: usize = 64;

/// A function that event source mappings can name: behind `invoke`, `url` or `command`, one of them.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FunctionEntry {
    /// The address of a service that speaks Lambda's Invoke API: AWS Lambda, its runtime interface emulator, and others.
    pub invoke: Option<Address>,
    /// What the function is called there; the same as here if it is not told.
    pub function: Option<String>,
    /// An address that gets each event as a POST request.
    pub url: Option<Address>,
    /// For `url`: the file with the secret that events are signed with, alone. It is read again when it changes.
    pub hmac_secret_file: Option<PathBuf>,
    /// A program on this machine that speaks Lambda's Runtime API, and its arguments.
    pub command: Option<Vec<String>>,
    /// Where the program runs.
    pub folder: Option<PathBuf>,
    /// Variables that the program gets. Of this process's own it gets `PATH`, `HOME` and a few like them.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// What the program is told of its memory, in MiB.
    #[serde(default = "memory_mb")]
    pub memory_mb: Within<1, 1_048_576>,
    /// The key that calls are signed with; without one they are not.
    #[serde(flatten)]
    pub key: Key,
    /// How long an invocation may take, in seconds.
    #[serde(default = "timeout_s")]
    pub timeout_s: Within<1, 900>,
    /// How many invocations there are at once, of all mappings together. A program is started for each.
    #[serde(default = "concurrency")]
    pub concurrency: Within<1, 1000>,
}

/// Why there is no function.
#[derive(Debug, thiserror::Error)]
pub enum FunctionError {
    /// Its address is none.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// There is no secret to sign with.
    #[error("hmac_secret_file: {0}")]
    Secret(#[from] HmacSecretError),
}

/// What calls to a service of AWS, or one like it, are signed with.
#[derive(Clone, PartialEq, Debug, Default, Deserialize)]
pub struct Key {
    /// The region that signatures name; this one if it is not told.
    pub region: Option<String>,
    /// The access key.
    pub access_key_id: Option<AccessKeyId>,
    /// Its secret.
    pub secret_access_key: Option<Secret>,
    /// Of a temporary key.
    pub session_token: Option<Secret>,
}

/// Where what is sent to services of AWS goes: notes of records that a function does not take, by the service that a mapping names;
/// and changes, to Kinesis.
#[derive(Clone, PartialEq, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DestinationsEntry {
    /// For queues.
    pub sqs: Option<DestinationEntry>,
    /// For topics.
    pub sns: Option<DestinationEntry>,
    /// For buckets.
    pub s3: Option<DestinationEntry>,
    /// For changes of tables with Kinesis streaming destinations.
    pub kinesis: Option<DestinationEntry>,
}

/// A service, or a folder that stands for it.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DestinationEntry {
    /// The service's address.
    pub endpoint: Option<Address>,
    /// A folder: each queue, topic or bucket has a file there, with a JSON document on each line.
    pub folder: Option<PathBuf>,
    /// The key that calls are signed with.
    #[serde(flatten)]
    pub key: Key,
    /// Of other accounts than the cluster's own: the key with which each reaches the service. One without a key does not. In a
    /// folder each has one of its own without being told here.
    #[serde(default)]
    pub accounts: BTreeMap<String, Key>,
}

/// How event source mappings run.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TriggersEntry {
    /// For records on their way to functions, all mappings together, in MiB.
    pub memory_mb: Within<1, 65_536>,
    /// For `https://` addresses: a file with the authorities that are trusted, in PEM. The system's, if there is none.
    pub ca_file: Option<PathBuf>,
    /// Whether checkpoints are stored before functions have taken the records. That loses records in a crash: for negative
    /// controls only.
    pub checkpoint_first: bool,
}

impl Default for TriggersEntry {
    fn default() -> Self {
        Self {
            memory_mb: Within::new(64),
            ca_file: None,
            checkpoint_first: false,
        }
    }
}

fn memory_mb() -> Within<1, 1_048_576> {
    Within::new(128)
}

fn timeout_s() -> Within<1, 900> {
    Within::new(60)
}

fn concurrency() -> Within<1, 1000> {
    Within::new(10)
}

impl FunctionEntry {
    /// A function at an address, as a command line has it.
    pub fn at(url: Address) -> Self {
        Self {
            invoke: None,
            function: None,
            url: Some(url),
            hmac_secret_file: None,
            command: None,
            folder: None,
            environment: BTreeMap::new(),
            memory_mb: memory_mb(),
            key: Key::default(),
            timeout_s: timeout_s(),
            concurrency: concurrency(),
        }
    }

    /// The files that it names.
    pub(super) fn paths(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        self.folder.iter_mut().chain(&mut self.hmac_secret_file)
    }

    fn options(&self, name: &str, region: &str) -> Result<FunctionOptions, FunctionError> {
        let endpoint = |address: &Address| self.key.endpoint(address, "lambda", region);
        let target = match (&self.invoke, &self.url) {
            (Some(invoke), _) => {
                let called = self.function.as_deref().unwrap_or(account_and_name(name).1);
                Target::Invoke(endpoint(invoke)?, called.to_owned())
            }
            (None, Some(url)) => {
                let secret = self.hmac_secret_file.as_deref().map(HmacSecret::open).transpose()?;
                Target::Post(endpoint(url)?, secret.map(Arc::new))
            }
            (None, None) => Target::Run(Command {
                command: self.command.clone().unwrap_or_default(),
                folder: self.folder.clone(),
                environment: self.environment.clone().into_iter().collect(),
                memory_mb: self.memory_mb.get(),
            }),
        };
        let (account, name) = account_and_name(name);
        Ok(FunctionOptions {
            account: account.map(str::to_owned),
            name: name.to_owned(),
            target,
            timeout: Duration::from_secs(self.timeout_s.get()),
            concurrency: self.concurrency.to_usize(),
        })
    }
}

impl Key {
    pub(super) fn endpoint(&self, address: &Address, service: &str, region: &str) -> Result<Endpoint, EndpointError> {
        let key = self.access_key_id.as_ref().zip(self.secret_access_key.as_ref());
        let credentials = key.map(|(id, secret)| Credentials {
            access_key_id: id.as_str().to_owned(),
            secret_access_key: secret.reveal().to_owned(),
            session_token: self.session_token.as_ref().map(|token| token.reveal().to_owned()),
        });
        let region = self.region.as_deref().unwrap_or(region);
        Endpoint::new(address.as_str(), service, region, credentials.as_ref())
    }

    fn is_half(&self) -> bool {
        self.access_key_id.is_some() != self.secret_access_key.is_some()
    }
}

impl DestinationsEntry {
    fn all(&self) -> impl Iterator<Item = (&'static str, &DestinationEntry)> {
        let all = [("sqs", &self.sqs), ("sns", &self.sns), ("s3", &self.s3)];
        all.into_iter()
            .filter_map(|(service, entry)| Some((service, entry.as_ref()?)))
    }

    pub(super) fn folders(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        let all = [&mut self.sqs, &mut self.sns, &mut self.s3];
        all.into_iter().flatten().filter_map(|entry| entry.folder.as_mut())
    }
}

/// The account, if it is told, and the name of a function: `NAME`, or Lambda's partial ARN, `ACCOUNT:function:NAME`.
fn account_and_name(told: &str) -> (Option<&str>, &str) {
    match told.split_once(":function:") {
        Some((account, name)) if is_account(account) => (Some(account), name),
        _ => (None, told),
    }
}

impl DestinationEntry {
    /// What contradicts itself, if something does.
    fn contradiction(&self, service: &str) -> Option<String> {
        if self.key.is_half() {
            return Some(half(&format!("destination {service}")));
        }
        if self.endpoint.is_none() && !self.accounts.is_empty() {
            return Some(format!(
                "[destinations.{service}.accounts] has keys, but there is no endpoint that they are for"
            ));
        }
        for (account, key) in &self.accounts {
            if !is_account(account) {
                return Some(format!(
                    "[destinations.{service}.accounts.{account}]: an account has 12 digits"
                ));
            }
            if key.access_key_id.is_none() || key.is_half() {
                return Some(format!(
                    "[destinations.{service}.accounts.{account}] must have access_key_id and secret_access_key"
                ));
            }
        }
        None
    }

    /// The service as other accounts reach it.
    fn endpoints(&self, service: &str, region: &str) -> Result<BTreeMap<String, Endpoint>, EndpointError> {
        let mut all = BTreeMap::new();
        for (account, key) in &self.accounts {
            if let Some(address) = &self.endpoint {
                all.insert(account.clone(), key.endpoint(address, service, region)?);
            }
        }
        Ok(all)
    }
}

/// What does not go together.
pub(crate) fn contradiction(
    functions: &BTreeMap<String, FunctionEntry>,
    destinations: &DestinationsEntry,
) -> Option<String> {
    if functions.len() > FUNCTIONS_MAX {
        return Some(format!("at most {FUNCTIONS_MAX} functions"));
    }
    for (told, entry) in functions {
        let name = account_and_name(told).1;
        let is_name = (1..=NAME_LEN_MAX).contains(&name.len())
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
        if !is_name {
            return Some(format!(
                "a function's name has 1 to {NAME_LEN_MAX} letters, digits, hyphens and underscores, unlike '{name}'"
            ));
        }
        let command = entry.command.as_ref().map(|command| !command.is_empty());
        let targets = [entry.invoke.is_some(), entry.url.is_some(), command == Some(true)];
        if command == Some(false) || targets.into_iter().filter(|is| *is).count() != 1 {
            return Some(format!("the function {name} must have one of invoke, url and command"));
        }
        if entry.hmac_secret_file.is_some() && entry.url.is_none() {
            return Some(format!(
                "the function {name} has an hmac_secret_file, which goes with url"
            ));
        }
        if entry.key.is_half() {
            return Some(half(&format!("function {name}")));
        }
    }
    for (service, entry) in destinations.all() {
        if entry.endpoint.is_some() == entry.folder.is_some() {
            return Some(format!("[destinations.{service}] must have one of endpoint and folder"));
        }
        if let Some(reason) = entry.contradiction(service) {
            return Some(reason);
        }
    }
    match &destinations.kinesis {
        Some(entry) if entry.endpoint.is_none() || entry.folder.is_some() => {
            Some("[destinations.kinesis] must have an endpoint".into())
        }
        Some(entry) => entry.contradiction("kinesis"),
        None => None,
    }
}

fn half(of: &str) -> String {
    format!("the {of} must have both of access_key_id and secret_access_key, or neither")
}

/// The functions, as mappings find them.
pub(crate) fn functions(
    functions: &BTreeMap<String, FunctionEntry>,
    region: &str,
) -> Result<Vec<FunctionOptions>, FunctionError> {
    let options = functions.iter().map(|(name, entry)| entry.options(name, region));
    options.collect()
}

/// A service as the cluster's own account reaches it, and as others do.
pub(crate) type Endpoints = (Endpoint, BTreeMap<String, Endpoint>);

/// The service that has Kinesis streams, if there is one.
pub(crate) fn kinesis(entry: &DestinationsEntry, region: &str) -> Result<Option<Endpoints>, EndpointError> {
    let Some(entry) = &entry.kinesis else { return Ok(None) };
    let Some(address) = &entry.endpoint else {
        return Ok(None);
    };
    let own = entry.key.endpoint(address, "kinesis", region)?;
    Ok(Some((own, entry.endpoints("kinesis", region)?)))
}

/// Where notes of failures go.
pub(crate) fn destinations(entry: &DestinationsEntry, region: &str) -> Result<Destinations, EndpointError> {
    let (mut all, mut of_accounts) = (Vec::new(), Vec::new());
    for (service, entry) in entry.all() {
        let destination = match (&entry.endpoint, &entry.folder) {
            (Some(endpoint), _) => Destination::Service(entry.key.endpoint(endpoint, service, region)?),
            (None, folder) => Destination::Folder(folder.clone().unwrap_or_default()),
        };
        all.push((service.to_owned(), destination));
        for (account, endpoint) in entry.endpoints(service, region)? {
            of_accounts.push(((account, service.to_owned()), Destination::Service(endpoint)));
        }
    }
    Ok(Destinations::new(all).with_accounts(of_accounts))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn config(more: &str) -> Result<Config, String> {
        let text = format!("region = \"us-east-1\"\nnode = \"n\"\ndata_dir = \"d\"\n{more}");
        Config::parse("test", &text).map_err(|error| error.to_string())
    }

    #[test]
    fn functions_and_destinations() {
        let read = config(
            "[functions.a]\nurl = \"http://127.0.0.1:1/x\"\ntimeout_s = 3\naccess_key_id = \"k\"\nsecret_access_key = \"s\"\n\
             [functions.b]\ncommand = [\"python3\", \"-m\", \"awslambdaric\"]\nfolder = \"f\"\nconcurrency = 2\n\
             environment = { A = \"b\" }\n\
             [functions.c]\ninvoke = \"http://127.0.0.1:9001\"\nfunction = \"function\"\n\
             [destinations.sqs]\nendpoint = \"http://127.0.0.1:9324\"\n\
             [destinations.s3]\nfolder = \"notes\"\n\
             [destinations.sqs.accounts.111122223333]\naccess_key_id = \"k\"\nsecret_access_key = \"s\"\n\
             [functions.\"111122223333:function:a\"]\nurl = \"http://127.0.0.1:1/y\"\n\
             [triggers]\nmemory_mb = 7\n",
        );
        let read = read.unwrap();
        let all = functions(&read.functions, "us-east-1").unwrap();
        assert_eq!(all.len(), 4);
        // The key of its account sorts first.
        let theirs = all.first().unwrap();
        assert_eq!((theirs.account.as_deref(), &*theirs.name), (Some("111122223333"), "a"));
        let all = &all[1..];
        assert!(matches!(&all[0].target, Target::Post(_, None)) && all[0].timeout == Duration::from_secs(3));
        assert!(
            matches!(&all[1].target, Target::Run(command) if command.command.len() == 3) && all[1].concurrency == 2
        );
        assert!(matches!(&all[2].target, Target::Invoke(_, name) if name == "function"));
        assert!(destinations(&read.destinations, "us-east-1").is_ok());
        assert_eq!(read.triggers.memory_mb.get(), 7);
    }

    #[test]
    fn what_does_not_go_together_is_refused() {
        for (text, reason) in [
            ("[functions.a]\n", "one of invoke, url and command"),
            ("[functions.a]\ncommand = []\n", "one of invoke, url and command"),
            (
                "[functions.a]\nurl = \"http://a\"\ninvoke = \"http://a\"\n",
                "one of invoke, url and command",
            ),
            ("[functions.\"a b\"]\nurl = \"http://a\"\n", "a function's name"),
            (
                "[functions.a]\nurl = \"http://a\"\naccess_key_id = \"k\"\n",
                "or neither",
            ),
            ("[functions.a]\nurl = \"ftp://a\"\n", "http://"),
            ("[functions.a]\nurl = \"http://a\"\ntimeout = 3\n", "unknown field"),
            ("[functions.a]\nurl = \"http://a\"\ntimeout_s = 901\n", "from 1 to 900"),
            (
                "[functions.a]\ninvoke = \"http://a\"\nhmac_secret_file = \"s\"\n",
                "which goes with url",
            ),
            ("[destinations.sqs]\n", "one of endpoint and folder"),
            (
                "[destinations.sqs]\nfolder = \"f\"\n[destinations.sqs.accounts.111122223333]\naccess_key_id = \"k\"\n\
                 secret_access_key = \"s\"\n",
                "no endpoint",
            ),
            (
                "[destinations.kinesis]\nendpoint = \"http://a\"\n[destinations.kinesis.accounts.111122223333]\n",
                "must have access_key_id",
            ),
            (
                "[functions.\"1:function:a\"]\nurl = \"http://a\"\n",
                "a function's name",
            ),
            ("[destinations.kafka]\nfolder = \"f\"\n", "unknown field"),
        ] {
            let error = config(text).unwrap_err();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }
}
