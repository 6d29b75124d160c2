//! What happened, for whoever looks for the reason of a failure; and the failure itself.

use std::{collections::VecDeque, fmt};

use geodynamo_replicator_core::Millis;

use crate::control::Control;

/// The most lines kept.
const LINES_MAX: usize = 20_000;
/// The lines shown with a failure.
const LINES_SHOWN: usize = 60;

/// The last lines of what happened; keeps nothing unless it was asked for.
#[derive(Debug)]
pub(crate) struct Trace {
    lines: Option<VecDeque<String>>,
}

impl Trace {
    pub(crate) fn new(wanted: bool) -> Self {
        Self {
            lines: wanted.then(VecDeque::new),
        }
    }

    /// Adds a line, which is made only if it is kept.
    pub(crate) fn line(&mut self, now: Millis, line: impl FnOnce() -> String) {
        let Some(lines) = &mut self.lines else { return };
        if lines.len() == LINES_MAX {
            lines.pop_front();
        }
        lines.push_back(format!("{now:>8} {}", line()));
    }

    pub(crate) fn into_lines(self) -> Vec<String> {
        self.lines.unwrap_or_default().into()
    }
}

/// The laws that a world can break, by their numbers in ARCHITECTURE.md.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Law {
    /// 1: an acknowledged write survives.
    Durable,
    /// 2: equal deltas give equal states.
    Converges,
    /// 3: the greatest stamp wins.
    GreatestStampWins,
    /// 4: a write after a read has a greater stamp; no stamp is issued twice.
    StampsFollowReads,
    /// 5: a delete never comes back; what is visible never gets older.
    NothingComesBack,
    /// 6: a cursor is never ahead of what is durable; a version crosses a link once.
    CursorsAndLinks,
    /// 7: exactly the conflicts' losers are recorded, everywhere.
    Conflicts,
    /// 8: per item, stamps in a log only grow; every write is in its log.
    Logs,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// Which law was broken.
    pub law: Law,
    /// How.
    pub detail: String,
}

/// A world that broke a law.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Its seed.
    pub seed: u64,
    /// What was done wrong on purpose.
    pub control: Control,
    /// What was found.
    pub broken: Broken,
    /// What happened, line by line: the virtual milliseconds, then the event.
    pub trace: Vec<String>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.trace[self.trace.len().saturating_sub(LINES_SHOWN)..] {
            writeln!(f, "{line}")?;
        }
        let Broken { law, detail } = &self.broken;
        writeln!(f, "seed {} broke {law:?}: {detail}", self.seed)?;
        write!(
            f,
            "replay: GEODYNAMO_SEED={} cargo test -p geodynamo-simulation replay -- --nocapture",
            self.seed
        )
    }
}
