//! Waiting for what goes on in a region, with a bar where the standard error is a terminal.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;

use crate::client::Failure;

/// The time between two looks: short for what is soon done, longer for what is not.
const LOOK_FIRST: Duration = Duration::from_millis(100);
const LOOK_LAST: Duration = Duration::from_secs(2);

/// How far something is.
pub(crate) struct Progress {
    /// So much is done.
    pub(crate) done: u64,
    /// Of so much, if that is known.
    pub(crate) of: Option<u64>,
    /// What it is doing.
    pub(crate) state: String,
}

/// A look at something.
pub(crate) enum Look {
    /// It goes on.
    Under(Progress),
    /// It is done: what it is now.
    Done(Value),
}

/// Looks again and again until it is done. Whoever waits may end the command: what it waits for goes on.
pub(crate) async fn until<F>(name: &str, mut look: impl FnMut() -> F) -> Result<Value, Failure>
where
    F: Future<Output = Result<Look, Failure>>,
{
    let bar = ProgressBar::new_spinner().with_message(name.to_owned());
    bar.enable_steady_tick(LOOK_FIRST);
    let mut pause = LOOK_FIRST;
    loop {
        match look().await {
            Ok(Look::Done(value)) => {
                bar.finish_and_clear();
                return Ok(value);
            }
            Ok(Look::Under(progress)) => show(&bar, name, progress),
            Err(error) => {
                bar.finish_and_clear();
                return Err(error);
            }
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 3 / 2).min(LOOK_LAST);
    }
}

fn show(bar: &ProgressBar, name: &str, progress: Progress) {
    let template = match progress.of {
        Some(of) if of > 0 => {
            bar.set_length(of.max(progress.done));
            "{msg} {wide_bar} {human_pos}/{human_len} {eta}"
        }
        _ => "{spinner} {msg} {human_pos} items, {elapsed}",
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.set_message(format!("{name}: {}", progress.state));
    bar.set_position(progress.done);
}
