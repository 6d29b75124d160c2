//! Functions that are programs on this machine: started when they are needed, kept, and started again when they end.

use std::{
    path::PathBuf,
    process::Stdio,
    time::{Duration, Instant},
};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    process::Child,
    sync::oneshot,
};

use super::{
    Failure, Outcome,
    runtime::{Job, RuntimeApi},
};

/// What a program gets of this process's environment. It may be another's: keys are not among it.
const PASSED_ON: [&str; 8] = [
    "PATH",
    "HOME",
    "LANG",
    "LC_ALL",
    "TZ",
    "TMPDIR",
    "SSL_CERT_FILE",
    "LD_LIBRARY_PATH",
];
/// How soon a program is started again that ended without having answered.
const AGAIN_AFTER: Duration = Duration::from_secs(1);
/// How much of a line of its output is logged.
const LINE_BYTES_MAX: usize = 4 << 10;

/// A program that speaks the Runtime API.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Command {
    /// The program and its arguments.
    pub command: Vec<String>,
    /// Where it runs; where this process does if not told.
    pub folder: Option<PathBuf>,
    /// Variables that it gets.
    pub environment: Vec<(String, String)>,
    /// What `AWS_LAMBDA_FUNCTION_MEMORY_SIZE` tells it, in MiB.
    pub memory_mb: u64,
}

/// A function's programs: as many as there are invocations at once.
pub(crate) struct Processes {
    command: Command,
    name: String,
    arn: String,
    region: String,
    idle: Mutex<Vec<Instance>>,
    /// When one ended last that had not answered.
    failed: Mutex<Option<Instant>>,
}

struct Instance {
    api: RuntimeApi,
    child: Child,
}

impl Processes {
    pub(crate) fn new(command: Command, name: &str, arn: &str, region: &str) -> Self {
        Self {
            command,
            name: name.to_owned(),
            arn: arn.to_owned(),
            region: region.to_owned(),
            idle: Mutex::default(),
            failed: Mutex::default(),
        }
    }

    /// Invokes the function in a program that has nothing to do, or in a new one. The caller bounds how many there are.
    pub(super) async fn invoke(&self, request_id: &str, timeout: Duration, event: Bytes) -> Outcome {
        let mut instance = match self.instance().await {
            Ok(instance) => instance,
            Err(told) => return Outcome::NotReached(told),
        };
        let (outcome, told) = oneshot::channel();
        let job = Job {
            request_id: request_id.to_owned(),
            event,
            timeout,
            outcome,
        };
        if !instance.api.hand_over(job).await {
            return Outcome::NotReached("the program's Runtime API has ended".into());
        }
        let outcome = tokio::select! {
            // An answer that is there counts, also of a program that ends with it.
            biased;
            outcome = told => outcome.ok(),
            status = instance.child.wait() => {
                let status = status.map_or_else(|error| error.to_string(), |status| status.to_string());
                Some(Outcome::Failed(Failure::unhandled(format!(
                    "Runtime.ExitError: the program ended: {status}"
                ))))
            }
            () = tokio::time::sleep(timeout) => None,
        };
        match outcome {
            Some(outcome @ Outcome::Answered(_)) => {
                self.idle.lock().push(instance);
                outcome
            }
            Some(outcome) => {
                // It has told of an error, and goes on.
                if matches!(instance.child.try_wait(), Ok(None)) {
                    self.idle.lock().push(instance);
                } else {
                    *self.failed.lock() = Some(Instant::now());
                }
                outcome
            }
            None => {
                // What it does now is of no use to anyone, and the next event is not to wait for it.
                let _ = instance.child.kill().await;
                Outcome::Failed(Failure::late(timeout))
            }
        }
    }

    async fn instance(&self) -> Result<Instance, String> {
        loop {
            let idle = self.idle.lock().pop();
            let Some(mut instance) = idle else { break };
            if matches!(instance.child.try_wait(), Ok(None)) {
                return Ok(instance);
            }
        }
        let failed = *self.failed.lock();
        if let Some(failed) = failed {
            tokio::time::sleep(AGAIN_AFTER.saturating_sub(failed.elapsed())).await;
        }
        self.start().await.map_err(|error| {
            let program = self.command.command.first().map_or("", String::as_str);
            *self.failed.lock() = Some(Instant::now());
            format!("{program}: {error}")
        })
    }

    async fn start(&self) -> std::io::Result<Instance> {
        let api = RuntimeApi::start(&self.arn).await?;
        let Some((program, arguments)) = self.command.command.split_first() else {
            return Err(std::io::Error::other("there is no program"));
        };
        let mut command = tokio::process::Command::new(program);
        command
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .env_clear();
        for name in PASSED_ON {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        let handler = self.command.command.last().map_or("", String::as_str);
        for (name, value) in [
            ("AWS_LAMBDA_RUNTIME_API", api.address().to_string().as_str()),
            ("AWS_LAMBDA_FUNCTION_NAME", &self.name),
            ("AWS_LAMBDA_FUNCTION_VERSION", super::LATEST),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", &self.command.memory_mb.to_string()),
            ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand"),
            ("AWS_LAMBDA_LOG_GROUP_NAME", &format!("/aws/lambda/{}", self.name)),
            ("AWS_LAMBDA_LOG_STREAM_NAME", "local"),
            ("AWS_REGION", &self.region),
            ("AWS_DEFAULT_REGION", &self.region),
            ("_HANDLER", handler),
        ] {
            command.env(name, value);
        }
        if let Some(folder) = &self.command.folder {
            command.current_dir(folder).env("LAMBDA_TASK_ROOT", folder);
        }
        command.envs(self.command.environment.iter().map(|(name, value)| (name, value)));
        let mut child = command.spawn()?;
        if let Some(output) = child.stdout.take() {
            tokio::spawn(log(self.name.clone(), output));
        }
        if let Some(output) = child.stderr.take() {
            tokio::spawn(log(self.name.clone(), output));
        }
        Ok(Instance { api, child })
    }

    /// Ends the programs that have nothing to do; others end with their invocations.
    pub(crate) async fn stop(&self) {
        let idle = std::mem::take(&mut *self.idle.lock());
        for mut instance in idle {
            let _ = instance.child.kill().await;
        }
    }
}

/// Logs what a program writes, a line at a time.
async fn log(function: String, mut output: impl AsyncRead + Unpin) {
    let mut line = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(read) = output.read(&mut buffer).await {
        if read == 0 {
            break;
        }
        for byte in buffer.get(..read).unwrap_or_default() {
            match byte {
                b'\n' => tell(&function, &mut line),
                byte => line.push(*byte),
            }
            if line.len() >= LINE_BYTES_MAX {
                tell(&function, &mut line);
            }
        }
    }
    tell(&function, &mut line);
}

fn tell(function: &str, line: &mut Vec<u8>) {
    let text = String::from_utf8_lossy(line);
    let text = text.trim_end();
    if !text.is_empty() {
        tracing::info!(target: "function", function, "{text}");
    }
    line.clear();
}

impl std::fmt::Debug for Processes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Processes")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
