//! Delivers a batch: retries it, divides it, gives it up, as the mapping says. Records of a batch are done with in their order.

use std::time::Duration;

use bytes::Bytes;
use geodynamo_storage::Engine;
use geodynamo_table::STREAM_RETENTION_MS;

use super::{
    Run, Stop,
    event::{InWindow, Said, event, said, state},
    queue::Queued,
    shard::Reading,
};
use crate::{
    entry::{CALL_FAILED, Counts, OK},
    failure::{self, Condition, GivenUp},
    ids::uuid,
    invoke::{Failure, Outcome},
    mapping::Window,
};

/// The pause after a first failure; it doubles with each that follows.
const PAUSE_MIN: Duration = Duration::from_millis(100);
/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// What a mapping says whose function is not configured any more.
const NO_FUNCTION: &str = "PROBLEM: Function not found";

/// The runner stops; what is not done with is delivered when it runs again.
#[derive(Debug)]
pub(super) struct Stopped;

/// A part of a batch.
struct Part {
    records: Vec<Queued>,
    /// How often the function failed with them.
    failures: u64,
    invocations: u64,
    /// The last time.
    failure: Option<(String, Failure)>,
}

/// Delivers a batch. `in_row` counts failures that follow each other, of the lane.
pub(super) async fn deliver<E: Engine>(
    reading: &Reading<E>,
    batch: Vec<Queued>,
    window: &mut Option<Window>,
    in_row: &mut u32,
) -> Result<(), Stopped> {
    let run = &*reading.run;
    let settings = &run.mapping.settings;
    // The next one last.
    let mut parts = vec![Part {
        records: batch,
        failures: 0,
        invocations: 0,
        failure: None,
    }];
    while let Some(mut part) = parts.pop() {
        if run.stop() > Stop::No {
            return Err(Stopped);
        }
        give_up_aged(reading, &mut part).await?;
        if part.records.is_empty() {
            continue;
        }
        let at = window.as_ref().map(|window| InWindow {
            window,
            length_s: settings.tumbling_window_s,
            shard: &reading.shard,
            stream: &run.mapping.stream,
            is_final: false,
            is_early: false,
        });
        let request_id = uuid();
        let outcome = invoke(run, &request_id, event(&part.records, at.as_ref())).await?;
        let failure = match outcome {
            Outcome::NotReached(_) => {
                *in_row = in_row.saturating_add(1);
                parts.push(part);
                pause(run, *in_row).await?;
                continue;
            }
            Outcome::Failed(failure) => failure,
            Outcome::Answered(answer) => {
                match take(reading, &mut part, window, &answer) {
                    Ok(()) if part.records.is_empty() => {
                        *in_row = 0;
                        run.entry.set_result(OK);
                        if window.is_some() {
                            keep_window(reading, window).await;
                        }
                        continue;
                    }
                    // Some were taken. The first that was not has failed once.
                    Ok(()) => {
                        part.failures = 0;
                        if window.is_some() {
                            keep_window(reading, window).await;
                        }
                        if settings.bisect {
                            parts.push(part);
                            continue;
                        }
                        Failure::unhandled("the function reports failures")
                    }
                    Err(failure) => failure,
                }
            }
        };
        Counts::add(&run.entry.counts.errors, 1);
        run.entry.set_result(CALL_FAILED);
        tracing::debug!(
            mapping = run.mapping.uuid,
            request_id,
            told = failure.told,
            records = part.records.len(),
            "a function failed"
        );
        *in_row = in_row.saturating_add(1);
        part.invocations += 1;
        part.failure = Some((request_id, failure));
        if settings.bisect && part.records.len() > 1 {
            let rest = part.records.split_off(part.records.len() / 2);
            parts.push(Part {
                records: rest,
                failures: part.failures,
                invocations: part.invocations,
                failure: part.failure.clone(),
            });
            parts.push(part);
            continue;
        }
        part.failures += 1;
        let retries = part.failures - 1;
        if u64::try_from(settings.retries_max).is_ok_and(|most| retries >= most) {
            give_up(reading, &part, &part.records, Condition::RetryAttemptsExhausted).await?;
            *in_row = 0;
            continue;
        }
        parts.push(part);
        pause(run, *in_row).await?;
    }
    Ok(())
}

/// What an answer says: records that are done with leave the part.
fn take<E: Engine>(
    reading: &Reading<E>,
    part: &mut Part,
    window: &mut Option<Window>,
    answer: &[u8],
) -> Result<(), Failure> {
    let settings = &reading.run.mapping.settings;
    let new_state = match window {
        None => None,
        Some(_) => Some(state(answer).ok_or_else(|| Failure::unhandled("the answer has no state"))?),
    };
    let taken = match settings.reports_failures.then(|| said(answer, &part.records)) {
        None | Some(Said::All) => part.records.len(),
        Some(Said::Before(0)) => return Err(Failure::unhandled("the function reports failures")),
        Some(Said::Before(place)) => place,
        Some(Said::None(told)) => return Err(Failure::unhandled(told)),
    };
    if let (Some(window), Some(state)) = (window.as_mut(), new_state) {
        window.state = state;
    }
    let rest = part.records.split_off(taken);
    let done = std::mem::replace(&mut part.records, rest);
    Counts::add(&reading.run.entry.counts.delivered, done.len());
    reading.progress.finish(done.iter().map(|record| &record.sequence));
    Ok(())
}

/// Stores what a window has come to, with the records that it has come to it by.
pub(super) async fn keep_window<E: Engine>(reading: &Reading<E>, window: &Option<Window>) {
    reading.window.lock().clone_from(window);
    reading.tell_age();
    reading.store(false).await;
}

/// Invokes the mapping's function.
pub(super) async fn invoke<E: Engine>(run: &Run<E>, request_id: &str, event: Bytes) -> Result<Outcome, Stopped> {
    let Some((function, version)) = run.shared.function_of(&run.mapping) else {
        run.entry.set_result(NO_FUNCTION);
        return Ok(Outcome::NotReached(NO_FUNCTION.into()));
    };
    let outcome = tokio::select! {
        biased;
        () = run.stopped(Stop::Now) => return Err(Stopped),
        outcome = function.invoke(version, request_id, event) => outcome,
    };
    Counts::add(&run.entry.counts.invocations, 1);
    if let Outcome::NotReached(told) = &outcome {
        Counts::add(&run.entry.counts.not_reached, 1);
        run.entry.set_result(CALL_FAILED);
        tracing::debug!(mapping = run.mapping.uuid, told, "a function was not reached");
    }
    Ok(outcome)
}

/// Gives up the records of a part that are too old.
async fn give_up_aged<E: Engine>(reading: &Reading<E>, part: &mut Part) -> Result<(), Stopped> {
    let run = &*reading.run;
    let told = run.mapping.settings.record_age_s_max;
    // Older ones are not in the stream any more.
    let kept_s = STREAM_RETENTION_MS / 1000;
    let age_s_max = u64::try_from(told).map_or(kept_s, |told| told.min(kept_s));
    let now_s = run.shared.tables.now_ms() / 1000;
    let is_old = |record: &&Queued| now_s.saturating_sub(record.created_s) > age_s_max;
    let old = part.records.iter().take_while(is_old).count();
    if old == 0 {
        return Ok(());
    }
    let aged = part.records.get(..old).unwrap_or_default();
    give_up(reading, part, aged, Condition::RecordAgeExceeded).await?;
    part.records.drain(..old);
    Ok(())
}

/// Gives records up: a note goes where the mapping says, and only then are they done with.
async fn give_up<E: Engine>(
    reading: &Reading<E>,
    part: &Part,
    records: &[Queued],
    condition: Condition,
) -> Result<(), Stopped> {
    let run = &*reading.run;
    let (Some(first), Some(last)) = (records.first(), records.last()) else {
        return Ok(());
    };
    let request_id = part.failure.as_ref().map_or_else(uuid, |(id, _)| id.clone());
    tracing::warn!(
        mapping = run.mapping.uuid,
        condition = ?condition,
        records = records.len(),
        first = &*first.sequence,
        last = &*last.sequence,
        told = part.failure.as_ref().map(|(_, failure)| failure.told.as_str()),
        "records are given up"
    );
    if let Some(arn) = &run.mapping.settings.on_failure {
        let mut in_row = 0;
        loop {
            let given_up = GivenUp {
                request_id: &request_id,
                function: &run.mapping.settings.function,
                mapping: &run.mapping.uuid,
                condition,
                invocations: part.invocations,
                failure: part.failure.as_ref().map(|(_, failure)| failure),
                stream: &run.mapping.stream,
                shard: &reading.shard,
                sequences: (&first.sequence, &last.sequence),
                created_s: (first.created_s, last.created_s),
                records: records.len(),
                now_ms: run.shared.tables.now_ms(),
            };
            match failure::send(&run.shared, arn, &given_up, || event(records, None)).await {
                Ok(()) => break,
                // Nothing is lost: the shard waits.
                Err(error) => {
                    tracing::warn!(%error, mapping = run.mapping.uuid, "a note of records given up was not taken");
                    run.entry
                        .set_result("PROBLEM: The on-failure destination cannot be reached");
                }
            }
            in_row += 1;
            pause(run, in_row).await?;
        }
    }
    Counts::add(&run.entry.counts.discarded, records.len());
    reading.progress.finish(records.iter().map(|record| &record.sequence));
    Ok(())
}

/// Waits after failures.
pub(super) async fn pause<E: Engine>(run: &Run<E>, in_row: u32) -> Result<(), Stopped> {
    let doubled = PAUSE_MIN.saturating_mul(1_u32.checked_shl(in_row.saturating_sub(1)).unwrap_or(u32::MAX));
    match run.pause(doubled.min(PAUSE_MAX)).await {
        true => Ok(()),
        false => Err(Stopped),
    }
}
