//! Tumbling windows: what the function answers is its state, and goes with the next event of the window.

use std::time::Duration;

use geodynamo_storage::Engine;
use tokio::time::Instant;

use super::{
    batch::{Lane, Next},
    deliver::{Stopped, deliver, invoke, keep_window, pause},
    event::{InWindow, STATE_BYTES_MAX, event},
};
use crate::{
    entry::{CALL_FAILED, Counts, OK},
    ids::uuid,
    invoke::Outcome,
    mapping::Window,
};

/// How long after its end a window is closed of which nothing more came.
const GRACE: Duration = Duration::from_secs(1);
/// What a window begins with.
const EMPTY: &str = "{}";

impl<E: Engine> Lane<E> {
    /// Delivers all there is, window by window; `false` if the runner stopped before.
    pub(super) async fn run_windows(mut self) -> bool {
        let mut window = self.reading.window.lock().clone();
        loop {
            match self.one(&mut window).await {
                Ok(true) => {}
                Ok(false) => return true,
                Err(Stopped) => return false,
            }
        }
    }

    /// A batch, or the end of a window; `false` at the end of the shard.
    async fn one(&mut self, window: &mut Option<Window>) -> Result<bool, Stopped> {
        let length_s = self.reading.run.mapping.settings.tumbling_window_s.max(1);
        let now_ms = self.reading.run.shared.tables.now_ms();
        let end_s = |window: &Window| window.start_s.saturating_add(length_s);
        let until = window.as_ref().map(|window| {
            let left_ms = (end_s(window) * 1000).saturating_sub(now_ms);
            Instant::now() + Duration::from_millis(left_ms) + GRACE
        });
        let record = match self.next(until).await {
            Next::Record(record) => record,
            Next::Time => {
                self.close(window, false).await?;
                return Ok(true);
            }
            Next::End => {
                self.close(window, false).await?;
                return Ok(false);
            }
            Next::Stopped => return Err(Stopped),
        };
        if window.as_ref().is_some_and(|window| record.created_s >= end_s(window)) {
            self.put_back(record);
            self.close(window, false).await?;
            return Ok(true);
        }
        let open = window.get_or_insert_with(|| Window {
            start_s: record.created_s / length_s * length_s,
            state: EMPTY.into(),
        });
        let end = end_s(open);
        let batch = self.gather(record, |record| record.created_s < end).await;
        deliver(&self.reading, batch, window, &mut 0).await?;
        if window
            .as_ref()
            .is_some_and(|window| window.state.len() > STATE_BYTES_MAX)
        {
            self.close(window, true).await?;
        }
        Ok(true)
    }

    /// Invokes the function for the last time in a window. Nothing goes on before it has taken that.
    async fn close(&self, window: &mut Option<Window>, is_early: bool) -> Result<(), Stopped> {
        let Some(closing) = window.take() else { return Ok(()) };
        let run = &*self.reading.run;
        let at = InWindow {
            window: &closing,
            length_s: run.mapping.settings.tumbling_window_s,
            shard: &self.reading.shard,
            stream: &run.mapping.stream,
            is_final: true,
            is_early,
        };
        let mut in_row = 0;
        loop {
            match invoke(run, &uuid(), event(&[], Some(&at))).await? {
                Outcome::Answered(_) => break,
                Outcome::Failed(_) => {
                    Counts::add(&run.entry.counts.errors, 1);
                    run.entry.set_result(CALL_FAILED);
                }
                Outcome::NotReached(_) => {}
            }
            in_row += 1;
            pause(run, in_row).await?;
        }
        run.entry.set_result(OK);
        keep_window(&self.reading, window).await;
        Ok(())
    }
}
