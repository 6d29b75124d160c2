//! `geodynamo top`: rates and latencies, live.

mod frame;
mod screen;
mod widgets;

use std::{
    io::{self, IsTerminal as _},
    time::Duration,
};

use clap::{Args, value_parser};
use tokio::{
    runtime::{Builder, Runtime},
    signal::unix::{Signal, SignalKind, signal},
};

use self::frame::{Frame, Reading};
use crate::{
    Done,
    admin::{Admin, AdminPort, World},
    client::Failure,
    output::{OutputForm, print},
    status::nobody,
};

/// Arguments of `top`.
#[derive(Clone, PartialEq, Debug, Args)]
pub struct TopArguments {
    /// Which region is asked; it asks the others.
    #[command(flatten)]
    pub port: AdminPort,
    /// Seconds from one look to the next
    #[arg(long, default_value_t = 2, value_parser = value_parser!(u64).range(1..=3600), value_name = "SECONDS")]
    pub every: u64,
    /// End after so many looks; without it, Ctrl-C ends it
    #[arg(long, value_parser = value_parser!(u64).range(1..), value_name = "N")]
    pub count: Option<u64>,
    /// Print plain lines, as happens anyway where the output is no terminal
    #[arg(long)]
    pub plain: bool,
    /// How to print; `json` is an object a line
    #[arg(long, value_enum, default_value_t)]
    pub output: OutputForm,
}

/// Who looks at the regions, again and again.
struct Watcher {
    runtime: Runtime,
    admin: Admin,
    world: World,
    last: Vec<Reading>,
    /// Ctrl-C, also while a look is taken.
    interrupts: Signal,
}

impl Watcher {
    fn new(address: &str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let admin = Admin::new(address)?;
        let world = runtime.block_on(admin.world())?;
        let interrupts = runtime.block_on(async { signal(SignalKind::interrupt()) })?;
        let mut watcher = Self {
            runtime,
            admin,
            world,
            last: Vec::new(),
            interrupts,
        };
        watcher.last = watcher.look()?;
        Ok(watcher)
    }

    fn look(&self) -> Result<Vec<Reading>, Failure> {
        let observations = self.runtime.block_on(self.admin.observe_all(&self.world));
        match nobody(&observations) {
            Some(failure) if self.last.is_empty() => Err(failure),
            _ => Ok(observations.iter().map(Reading::of).collect()),
        }
    }

    /// Waits; gives whether somebody pressed Ctrl-C meanwhile.
    fn interrupted_within(&mut self, pause: Duration) -> bool {
        self.runtime.block_on(async {
            tokio::select! {
                _ = self.interrupts.recv() => true,
                () = tokio::time::sleep(pause) => false,
            }
        })
    }

    /// What has happened since the look before.
    fn next(&mut self) -> Result<Frame, Failure> {
        let readings = self.look()?;
        let frame = Frame::between(&self.last, &readings);
        self.last = readings;
        Ok(frame)
    }
}

pub(crate) fn run(arguments: &TopArguments) -> Done {
    let mut watcher = Watcher::new(&arguments.port.admin)?;
    let every = Duration::from_secs(arguments.every);
    let is_screen = !arguments.plain
        && arguments.count.is_none()
        && arguments.output == OutputForm::Table
        && io::stdout().is_terminal()
        && io::stdin().is_terminal();
    if is_screen {
        return screen::run(&mut watcher, every);
    }
    let mut left = arguments.count.unwrap_or(u64::MAX);
    while left > 0 {
        if watcher.interrupted_within(every) {
            return Ok(());
        }
        let frame = watcher.next()?;
        match arguments.output {
            OutputForm::Json => print(&format!("{}\n", serde_json::to_string(&frame)?))?,
            OutputForm::Table => print(&frame.render())?,
        }
        left -= 1;
    }
    Ok(())
}
