//! Functions: their names, and what stands behind them.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use geodynamo_outgoing::{Client, Endpoint};
use tokio::sync::Semaphore;

use crate::invoke::{
    hmac::HmacSecret,
    process::{Command, Processes},
};

/// What a function is, as the configuration has it.
#[derive(Clone, Debug)]
pub struct FunctionOptions {
    /// The account that it is of; the cluster's own if it is not told.
    pub account: Option<String>,
    /// Its name, without region and account.
    pub name: String,
    /// What is behind it.
    pub target: Target,
    /// How long an invocation may take.
    pub timeout: Duration,
    /// How many invocations there are at once, of all mappings together.
    pub concurrency: usize,
}

/// What is behind a function's name.
#[derive(Clone, Debug)]
pub enum Target {
    /// A service that speaks Lambda's Invoke API, and the function's name there.
    Invoke(Endpoint, String),
    /// An address that gets events as POST requests, signed with a secret if there is one.
    Post(Endpoint, Option<Arc<HmacSecret>>),
    /// A program that speaks Lambda's Runtime API.
    Run(Command),
}

/// A function.
#[derive(Debug)]
pub(crate) struct Function {
    pub(crate) arn: String,
    pub(crate) behind: Behind,
    pub(crate) timeout: Duration,
    /// Whoever waits longest is next, so no mapping starves another.
    pub(crate) slots: Semaphore,
}

#[derive(Debug)]
pub(crate) enum Behind {
    Invoke(Client, Endpoint, String),
    Post(Client, Endpoint, Option<Arc<HmacSecret>>),
    Run(Processes),
}

/// All of them, by their ARNs.
#[derive(Debug)]
pub(crate) struct Functions(BTreeMap<String, Arc<Function>>);

impl Functions {
    pub(crate) fn new(all: Vec<FunctionOptions>, client: &Client, region: &str, account: &str) -> Self {
        let function = |options: FunctionOptions| {
            let account = options.account.as_deref().unwrap_or(account);
            let arn = function_arn(region, account, &options.name);
            let behind = match options.target {
                Target::Invoke(endpoint, name) => Behind::Invoke(client.clone(), endpoint, name),
                Target::Post(endpoint, secret) => Behind::Post(client.clone(), endpoint, secret),
                Target::Run(command) => Behind::Run(Processes::new(command, &options.name, &arn, region)),
            };
            let function = Function {
                arn: arn.clone(),
                behind,
                timeout: options.timeout,
                slots: Semaphore::new(options.concurrency.clamp(1, Semaphore::MAX_PERMITS)),
            };
            (arn, Arc::new(function))
        };
        Self(all.into_iter().map(function).collect())
    }

    /// The one with this ARN, which has no version.
    pub(crate) fn get(&self, arn: &str) -> Option<&Arc<Function>> {
        self.0.get(arn)
    }

    /// Ends the programs.
    pub(crate) async fn stop(&self) {
        for function in self.0.values() {
            if let Behind::Run(processes) = &function.behind {
                processes.stop().await;
            }
        }
    }
}

/// A function's ARN.
pub(crate) fn function_arn(region: &str, account: &str, name: &str) -> String {
    format!("arn:aws:lambda:{region}:{account}:function:{name}")
}

/// The name and the version, if there is one, in what a client calls a function: its name, its ARN or part of it. `None` if it
/// is of another region or account.
pub(crate) fn parse_name<'a>(told: &'a str, region: &str, account: &str) -> Option<(&'a str, Option<&'a str>)> {
    let mut parts: Vec<&str> = told.split(':').collect();
    if let ["arn", _, "lambda", of, owner, "function", ..] = parts[..] {
        if of != region || owner != account {
            return None;
        }
        parts.drain(..6);
    } else if let [owner, "function", _, ..] = parts[..] {
        if owner != account {
            return None;
        }
        parts.drain(..2);
    } else if parts.first() == Some(&"function") && parts.len() > 1 {
        parts.drain(..1);
    }
    match parts[..] {
        [name] => Some((name, None)),
        [name, version] => Some((name, Some(version))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let parse = |told| parse_name(told, "eu-west-1", "000000000000");
        assert_eq!(parse("f"), Some(("f", None)));
        assert_eq!(parse("f:PROD"), Some(("f", Some("PROD"))));
        assert_eq!(
            parse("arn:aws:lambda:eu-west-1:000000000000:function:f"),
            Some(("f", None))
        );
        assert_eq!(
            parse("arn:aws:lambda:eu-west-1:000000000000:function:f:1"),
            Some(("f", Some("1")))
        );
        assert_eq!(parse("000000000000:function:f"), Some(("f", None)));
        assert_eq!(parse("function:f"), Some(("f", None)));
        assert_eq!(parse("arn:aws:lambda:us-east-1:000000000000:function:f"), None);
        assert_eq!(parse("arn:aws:lambda:eu-west-1:111111111111:function:f"), None);
        assert_eq!(parse("a:b:c:d"), None);
    }
}
