//! `find-max`: the highest rate whose p99 stays under a target.

use std::{io, process::ExitCode};

use clap::Args;
use geodynamo_loadgen::generate::{arrivals::Arrivals, outcome::Outcome};
use serde_json::json;

use crate::{Load, Target, interrupt, plan, watched};

/// The relative width at which a search for the highest rate ends.
const WIDTH: f64 = 0.05;
/// The most runs of a search.
const RUNS_MAX: usize = 24;
/// Lower rates are not tried, in requests a second.
const RATE_MIN: f64 = 1.0;
/// A run that does less than this part of what it was asked for does not keep up.
const DONE_MIN: f64 = 0.98;

#[derive(Debug, Args)]
pub(crate) struct FindMax {
    #[command(flatten)]
    load: Load,
    /// The target of the p99, all operations together
    #[arg(long, default_value_t = 10.0)]
    p99_ms: f64,
    /// The rate that is tried first
    #[arg(long, default_value_t = 500.0, value_parser = rate)]
    start: f64,
    /// One JSON object in place of the lines
    #[arg(long)]
    json: bool,
}

fn rate(text: &str) -> Result<f64, String> {
    let arrivals: Result<Arrivals, _> = format!("constant:{text}").parse();
    match arrivals {
        Ok(Arrivals::Constant(rate)) if rate >= RATE_MIN => Ok(rate),
        _ => Err(format!("'{text}' is no rate of at least {RATE_MIN} a second")),
    }
}

/// The rates that are tried: doubled until the target is missed, then halfway between the last that kept and the last that missed
/// it.
#[derive(Debug)]
struct Search {
    kept: f64,
    missed: f64,
}

impl Search {
    /// The next rate after one was tried; none if the answer is known well enough.
    fn next(&mut self, tried: f64, keeps: bool) -> Option<f64> {
        *(if keeps { &mut self.kept } else { &mut self.missed }) = tried;
        let next = if self.missed.is_finite() {
            f64::midpoint(self.kept, self.missed)
        } else {
            tried * 2.0
        };
        (self.missed - self.kept >= WIDTH * self.missed && next >= RATE_MIN).then_some(next)
    }
}

/// Searches. The exit code is 2 if no rate keeps the target.
pub(crate) fn find_max(target: &Target, arguments: &FindMax) -> io::Result<ExitCode> {
    let interrupts = interrupt::listen()?;
    let mut search = Search {
        kept: 0.0,
        missed: f64::INFINITY,
    };
    let (mut next, mut tried, mut first_error) = (Some(arguments.start), Vec::new(), None);
    while let Some(rate) = next.filter(|_| tried.len() < RUNS_MAX) {
        let plan = plan(target, &arguments.load, Arrivals::Constant(rate))?;
        let outcome = watched(&plan, &interrupts, true)?.outcome;
        if outcome.broken_off {
            return Ok(ExitCode::from(interrupt::CODE));
        }
        let p99_ms = p99_ms(&outcome);
        let keeps = p99_ms < arguments.p99_ms && outcome.rate() > DONE_MIN * rate && outcome.failed() == 0;
        if !arguments.json {
            println!(
                "{rate:>9.0} per s: {:.0} done, {} errors, p99 {p99_ms:.2} ms{}",
                outcome.rate(),
                outcome.failed(),
                if keeps { "" } else { ": too much" }
            );
        }
        tried.push(json!({
            "rate": rate, "done_per_s": outcome.rate(), "errors": outcome.failed(), "p99_ms": p99_ms, "keeps": keeps,
            "limit": outcome.client.limit,
        }));
        first_error = first_error.or(outcome.first_error);
        next = search.next(rate, keeps);
        if let Some(limit) = outcome.client.limit.filter(|_| !keeps) {
            eprintln!("the load generator, not the server, was the limit: {limit}");
            next = None;
        }
    }
    if arguments.json {
        println!(
            "{}",
            json!({"p99_ms": arguments.p99_ms, "highest_rate": search.kept, "tried": tried})
        );
    } else if search.kept > 0.0 {
        println!(
            "the highest rate with p99 under {} ms: {:.0} a second",
            arguments.p99_ms, search.kept
        );
    }
    if search.kept > 0.0 {
        return Ok(ExitCode::SUCCESS);
    }
    let why = first_error
        .map(|error| format!("; first error: {error}"))
        .unwrap_or_default();
    eprintln!(
        "no rate that was tried keeps the p99 under {} ms{why}",
        arguments.p99_ms
    );
    Ok(ExitCode::from(2))
}

fn p99_ms(outcome: &Outcome) -> f64 {
    outcome.response(None).value_at_quantile(0.99) as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is found where rates up to so many a second are kept, and in how many runs.
    fn found(limit: f64) -> (f64, usize) {
        let mut search = Search {
            kept: 0.0,
            missed: f64::INFINITY,
        };
        let (mut next, mut runs) = (Some(500.0), 0);
        while let Some(rate) = next {
            runs += 1;
            next = search.next(rate, rate <= limit);
        }
        (search.kept, runs)
    }

    #[test]
    fn it_finds_rates_above_and_below_the_first() {
        for limit in [20.0, 300.0, 501.0, 9_000.0, 123_456.0] {
            let (kept, runs) = found(limit);
            assert!(
                kept <= limit && kept > 0.94 * limit && runs <= RUNS_MAX,
                "{limit}: {kept} in {runs}"
            );
        }
        let (kept, runs) = found(0.0);
        assert!(kept == 0.0 && runs < 12, "{runs}");
    }
}
