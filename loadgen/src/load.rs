//! Runs a workload over many connections and measures it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use tokio::sync::Semaphore;

use crate::client::{Connection, Endpoint};
use crate::workload::{Requests, Workload};

/// One run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The server.
    pub endpoint: Endpoint,
    /// What is asked.
    pub workload: Workload,
    /// Open connections, one request at a time on each.
    pub connections: usize,
    /// OS threads of the client; connections are dealt out among them.
    pub threads: usize,
    /// Requests a second for an open loop; none for a closed loop (each connection asks again as soon as it is answered).
    pub rate: Option<f64>,
    /// Before measuring.
    pub warm_up: Duration,
    /// While measuring.
    pub duration: Duration,
    /// The same seed gives the same requests.
    pub seed: u64,
}

/// What a run gave.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Requests answered with status 200 within the measured time.
    pub done: u64,
    /// Requests answered with status 200 at any time, warm-up included: what a server's work over the whole run was for.
    pub answered: u64,
    /// Other answers and broken connections, warm-up included.
    pub errors: u64,
    /// The first of them.
    pub first_error: Option<String>,
    /// The measured time.
    pub elapsed: Duration,
    /// Latencies in nanoseconds: from when the request was due (open loop) or sent (closed loop) to its whole reply.
    pub latency_ns: Histogram<u64>,
    /// Open loop: requests that were due and not yet sent, sampled ten times a second while measuring.
    pub backlog: Vec<u64>,
}

impl Outcome {
    /// Answers a second.
    pub fn rate(&self) -> f64 {
        self.done as f64 / self.elapsed.as_secs_f64()
    }

    /// A quantile of the latency, in milliseconds.
    pub fn quantile_ms(&self, quantile: f64) -> f64 {
        self.latency_ns.value_at_quantile(quantile) as f64 / 1e6
    }

    /// Whether the backlog stayed flat: the last quarter's mean is not above the second quarter's by more than what
    /// `slack` seconds of the rate would add.
    pub fn backlog_is_flat(&self, rate: f64, slack_s: f64) -> bool {
        let quarter = self.backlog.len() / 4;
        let mean = |part: &[u64]| part.iter().sum::<u64>() as f64 / part.len().max(1) as f64;
        if quarter == 0 {
            return false;
        }
        mean(&self.backlog[3 * quarter..]) <= mean(&self.backlog[quarter..2 * quarter]) + rate * slack_s
    }
}

/// Latencies above this are recorded as this.
const LATENCY_NS_MAX: u64 = 60_000_000_000;
/// How often an open loop releases the requests that are due. Timers of the runtime are coarser (1 ms).
const PACE: Duration = Duration::from_micros(200);

/// A histogram of nanoseconds, 1 µs to 60 s, three digits.
pub fn latency_histogram() -> Histogram<u64> {
    // The bounds are constants that the crate accepts: low ≥ 1, high ≥ 2 × low, 0 to 5 digits.
    #[allow(clippy::expect_used)]
    Histogram::new_with_bounds(1_000, LATENCY_NS_MAX, 3).expect("valid bounds")
}

/// Runs a plan to its end on threads of its own; blocks. Fails if a thread cannot be made or no connection opens.
pub fn run(plan: &Plan) -> io::Result<Outcome> {
    let shared = Arc::new(Shared::new(plan));
    let threads = plan.threads.clamp(1, plan.connections.max(1));
    let workers: Vec<_> = (0..threads)
        .map(|thread| {
            let (plan, shared) = (plan.clone(), shared.clone());
            std::thread::Builder::new()
                .name(format!("load-{thread}"))
                .spawn(move || client_thread(&plan, &shared, thread, threads))
        })
        .collect::<io::Result<_>>()?;
    let pacer = pace(plan, &shared);
    let mut outcome = Outcome {
        done: 0,
        answered: 0,
        errors: 0,
        first_error: None,
        elapsed: plan.duration,
        latency_ns: latency_histogram(),
        backlog: pacer,
    };
    for worker in workers {
        let part = worker
            .join()
            .map_err(|_| io::Error::other("a client thread panicked"))??;
        for tally in part {
            outcome.done += tally.done;
            outcome.answered += tally.answered;
            outcome.errors += tally.errors;
            outcome.first_error = outcome.first_error.or(tally.first_error);
            // Both have the same bounds.
            let _ = outcome.latency_ns.add(tally.latency_ns);
        }
    }
    Ok(outcome)
}

/// What the pacer and the connections share.
struct Shared {
    start: Instant,
    /// Open loop: the nanoseconds between two requests.
    period_ns: Option<f64>,
    /// Open loop: requests that are due and not taken.
    due: Semaphore,
    /// Open loop: the number of the next request.
    next: AtomicU64,
    stop: AtomicBool,
}

impl Shared {
    fn new(plan: &Plan) -> Shared {
        Shared {
            // Connections are opened before this.
            start: Instant::now() + Duration::from_millis(200),
            period_ns: plan.rate.map(|rate| 1e9 / rate),
            due: Semaphore::new(0),
            next: AtomicU64::new(0),
            stop: AtomicBool::new(false),
        }
    }
}

/// Releases what is due until the time is up; gives the samples of the backlog.
fn pace(plan: &Plan, shared: &Shared) -> Vec<u64> {
    let measured_from = shared.start + plan.warm_up;
    let end = measured_from + plan.duration;
    let mut backlog = Vec::new();
    let mut released = 0_u64;
    let mut next_sample = measured_from;
    while Instant::now() < end {
        if let Some(period_ns) = shared.period_ns {
            let due = (shared.start.elapsed().as_nanos() as f64 / period_ns) as u64;
            // A semaphore holds a limited number of permits; a backlog that large is no backlog to measure.
            if due > released && shared.due.available_permits() < Semaphore::MAX_PERMITS / 2 {
                shared.due.add_permits((due - released) as usize);
                released = due;
            }
            if Instant::now() >= next_sample {
                backlog.push(shared.due.available_permits() as u64);
                next_sample += Duration::from_millis(100);
            }
            std::thread::sleep(PACE);
        } else {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    shared.stop.store(true, Ordering::Relaxed);
    // Wakes those who wait for a turn.
    shared.due.close();
    backlog
}

struct Tally {
    done: u64,
    answered: u64,
    errors: u64,
    first_error: Option<String>,
    latency_ns: Histogram<u64>,
}

fn client_thread(plan: &Plan, shared: &Arc<Shared>, thread: usize, threads: usize) -> io::Result<Vec<Tally>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let tasks: Vec<_> = (thread..plan.connections)
            .step_by(threads)
            .map(|number| {
                let (plan, shared) = (plan.clone(), shared.clone());
                tokio::spawn(async move { converse(&plan, &shared, number as u64).await })
            })
            .collect();
        let mut tallies = Vec::new();
        for task in tasks {
            tallies.push(task.await.map_err(io::Error::other)?);
        }
        Ok(tallies)
    })
}

/// One connection's requests, until the time is up.
async fn converse(plan: &Plan, shared: &Shared, number: u64) -> Tally {
    let mut tally = Tally {
        done: 0,
        answered: 0,
        errors: 0,
        first_error: None,
        latency_ns: latency_histogram(),
    };
    let seed = plan.seed.wrapping_mul(1_000_003) + number;
    let mut requests = Requests::of_connection(plan.workload.clone(), seed, number, plan.connections as u64);
    let mut connection = None;
    tokio::time::sleep_until(shared.start.into()).await;
    let measured_from = shared.start + plan.warm_up;
    let end = measured_from + plan.duration;
    while !shared.stop.load(Ordering::Relaxed) {
        let Some(from) = turn(shared).await else { break };
        let open = match &mut connection {
            Some(open) => open,
            None => match Connection::open(&plan.endpoint).await {
                Ok(open) => connection.insert(open),
                Err(error) => {
                    tally.note_error(error.to_string());
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
        };
        let (operation, body) = requests.draw();
        match open.call(operation.target(), body).await {
            Ok(reply) if reply.status == 200 => {
                let now = Instant::now();
                tally.answered += 1;
                if from >= measured_from && now <= end {
                    tally.done += 1;
                    let latency = now.saturating_duration_since(from).as_nanos() as u64;
                    tally.latency_ns.saturating_record(latency.min(LATENCY_NS_MAX));
                }
            }
            Ok(reply) => {
                tally.note_error(format!(
                    "{} {}",
                    reply.status,
                    String::from_utf8_lossy(open.body(reply))
                ));
            }
            Err(error) => {
                tally.note_error(error.to_string());
                connection = None;
            }
        }
    }
    tally
}

/// When the next request's latency starts: now, or when it was due. None when the run is over.
async fn turn(shared: &Shared) -> Option<Instant> {
    let Some(period_ns) = shared.period_ns else {
        return Some(Instant::now());
    };
    shared.due.acquire().await.ok()?.forget();
    let number = shared.next.fetch_add(1, Ordering::Relaxed);
    Some(shared.start + Duration::from_nanos((number as f64 * period_ns) as u64))
}

impl Tally {
    fn note_error(&mut self, what: String) {
        self.errors += 1;
        self.first_error.get_or_insert(what);
    }
}
