//! Runs a workload over many connections and measures it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use tokio::sync::Semaphore;

use crate::alarm::Alarm;
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
/// How often an open loop releases the requests that are due, if it has one thread; more take turns, up to
/// [`PACERS_IN_TURN`] of them.
const PACE: Duration = Duration::from_micros(200);
/// A request waits to be released no longer than so many times [`PACE`], however many threads there are.
const PACERS_IN_TURN: u32 = 2;
/// How often the backlog is sampled.
const SAMPLE_EVERY: Duration = Duration::from_millis(100);

/// A histogram of nanoseconds, 1 µs to 60 s, three digits.
pub fn latency_histogram() -> Histogram<u64> {
    // The bounds are constants that the crate accepts: low ≥ 1, high ≥ 2 × low, 0 to 5 digits.
    #[allow(clippy::expect_used)]
    Histogram::new_with_bounds(1_000, LATENCY_NS_MAX, 3).expect("valid bounds")
}

/// Runs a plan to its end on threads of its own; blocks. Fails if a thread or a timer cannot be made; connections that do not
/// open count as errors.
pub fn run(plan: &Plan) -> io::Result<Outcome> {
    let threads = plan.threads.clamp(1, plan.connections.max(1));
    // Threads have begun by then.
    let start = Instant::now() + Duration::from_millis(200);
    let turns: Vec<_> = (0..threads)
        .map(|thread| Arc::new(Turns::new(plan, start, thread, threads)))
        .collect();
    let workers: Vec<_> = turns
        .iter()
        .map(|turns| {
            let (plan, turns) = (plan.clone(), turns.clone());
            std::thread::Builder::new()
                .name(format!("load-{}", turns.thread))
                .spawn(move || client_thread(&plan, &turns))
        })
        .collect::<io::Result<_>>()?;
    let backlog = watch(plan, start, &turns);
    let mut outcome = Outcome {
        done: 0,
        answered: 0,
        errors: 0,
        first_error: None,
        elapsed: plan.duration,
        latency_ns: latency_histogram(),
        backlog,
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

/// The turns of one thread's connections. An open loop's requests are dealt out among all connections, one after the other;
/// those of a thread's share its turns.
struct Turns {
    thread: usize,
    threads: usize,
    /// Of all threads, and of this one.
    connections: u64,
    own: u64,
    start: Instant,
    /// Open loop: the nanoseconds between two requests, of all threads.
    period_ns: Option<f64>,
    /// Open loop: requests that have been released and not taken.
    due: Semaphore,
    /// Open loop: the number of the next request.
    next: AtomicU64,
    stop: AtomicBool,
}

impl Turns {
    fn new(plan: &Plan, start: Instant, thread: usize, threads: usize) -> Turns {
        Turns {
            thread,
            threads,
            connections: plan.connections as u64,
            own: (thread..plan.connections).step_by(threads).len() as u64,
            start,
            period_ns: plan.rate.map(|rate| 1e9 / rate),
            due: Semaphore::new(0),
            next: AtomicU64::new(0),
            stop: AtomicBool::new(false),
        }
    }

    /// When a request of this thread is due after the start, in nanoseconds.
    fn due_ns(&self, number: u64, period_ns: f64) -> f64 {
        let own = self.own.max(1);
        let (cycle, place) = (number / own, number % own);
        (cycle * self.connections + place * self.threads as u64 + self.thread as u64) as f64 * period_ns
    }

    /// How many requests of this thread are due within so many nanoseconds of the start.
    fn due_within(&self, elapsed_ns: f64, period_ns: f64) -> u64 {
        let due = (elapsed_ns / period_ns) as u64 + 1;
        let (cycles, rest) = (due / self.connections.max(1), due % self.connections.max(1));
        let of_rest = rest.saturating_sub(self.thread as u64).div_ceil(self.threads as u64);
        cycles * self.own + of_rest
    }

    /// Requests of this thread that are due and not taken.
    fn backlog(&self) -> u64 {
        let due = |period_ns| self.due_within(self.start.elapsed().as_nanos() as f64, period_ns);
        let taken = self.next.load(Ordering::Relaxed);
        self.period_ns
            .map_or(0, |period_ns| due(period_ns).saturating_sub(taken))
    }

    /// Releases what is due until the run is over.
    async fn release(&self, period_ns: f64) -> io::Result<()> {
        let alarm = Alarm::new()?;
        let period = PACE * PACERS_IN_TURN.min(self.threads as u32);
        let first = self.start + period * self.thread as u32 / self.threads as u32;
        alarm.set(first.saturating_duration_since(Instant::now()), period)?;
        let mut released = 0;
        while !self.stop.load(Ordering::Relaxed) {
            alarm.gone_off().await?;
            let due = self.due_within(self.start.elapsed().as_nanos() as f64, period_ns);
            // A semaphore holds a limited number of permits; a backlog that large is no backlog to measure.
            if due > released && self.due.available_permits() < Semaphore::MAX_PERMITS / 2 {
                self.due.add_permits((due - released) as usize);
                released = due;
            }
        }
        Ok(())
    }

    /// When the next request's latency starts: now, or when it was due. None when the run is over.
    async fn next(&self) -> Option<Instant> {
        let Some(period_ns) = self.period_ns else {
            return Some(Instant::now());
        };
        self.due.acquire().await.ok()?.forget();
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        Some(self.start + Duration::from_nanos(self.due_ns(number, period_ns) as u64))
    }
}

/// Waits until the time is up, and ends the run; gives the samples of the backlog.
fn watch(plan: &Plan, start: Instant, turns: &[Arc<Turns>]) -> Vec<u64> {
    let mut backlog = Vec::new();
    let mut next = start + plan.warm_up;
    let end = next + plan.duration;
    while next < end {
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
        backlog.push(turns.iter().map(|turns| turns.backlog()).sum());
        next += SAMPLE_EVERY;
    }
    std::thread::sleep(end.saturating_duration_since(Instant::now()));
    for turns in turns {
        turns.stop.store(true, Ordering::Relaxed);
        // Wakes those who wait for a turn.
        turns.due.close();
    }
    if plan.rate.is_none() {
        backlog.clear();
    }
    backlog
}

struct Tally {
    done: u64,
    answered: u64,
    errors: u64,
    first_error: Option<String>,
    latency_ns: Histogram<u64>,
}

fn client_thread(plan: &Plan, turns: &Arc<Turns>) -> io::Result<Vec<Tally>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let tasks: Vec<_> = (turns.thread..plan.connections)
            .step_by(turns.threads)
            .map(|number| {
                let (plan, turns) = (plan.clone(), turns.clone());
                tokio::spawn(async move { converse(&plan, &turns, number as u64).await })
            })
            .collect();
        if let Some(period_ns) = turns.period_ns {
            turns.release(period_ns).await?;
        }
        let mut tallies = Vec::new();
        for task in tasks {
            tallies.push(task.await.map_err(io::Error::other)?);
        }
        Ok(tallies)
    })
}

/// One connection's requests, until the time is up.
async fn converse(plan: &Plan, turns: &Turns, number: u64) -> Tally {
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
    tokio::time::sleep_until(turns.start.into()).await;
    let measured_from = turns.start + plan.warm_up;
    let end = measured_from + plan.duration;
    while !turns.stop.load(Ordering::Relaxed) {
        let Some(from) = turns.next().await else { break };
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

impl Tally {
    fn note_error(&mut self, what: String) {
        self.errors += 1;
        self.first_error.get_or_insert(what);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> Plan {
        Plan {
            endpoint: Endpoint {
                address: ([127, 0, 0, 1], 1).into(),
                credentials: crate::signer::Credentials {
                    access_key_id: "a".into(),
                    secret_access_key: "s".into(),
                    region: "r".into(),
                },
                tls: None,
            },
            workload: Workload {
                table: "t".into(),
                mix: vec![],
                keys: 1,
                collection: None,
                item_bytes: 1,
            },
            connections: 9,
            threads: 3,
            rate: Some(1e9 / 100.0),
            warm_up: Duration::ZERO,
            duration: Duration::from_secs(1),
            seed: 1,
        }
    }

    /// Every request is due once, in one thread, and is released when it is due and not before.
    #[test]
    fn an_open_loop_is_dealt_out_among_threads() {
        let plan = plan();
        let turns = [0, 1, 2].map(|thread| Turns::new(&plan, Instant::now(), thread, 3));
        let mut due: Vec<_> = turns
            .iter()
            .flat_map(|turns| (0..10).map(|number| turns.due_ns(number, 100.0) as u64))
            .collect();
        due.sort_unstable();
        assert_eq!(due, (0..30).map(|number| number * 100).collect::<Vec<_>>());
        let within = |elapsed: f64| turns.each_ref().map(|turns| turns.due_within(elapsed, 100.0));
        assert_eq!(within(0.0), [1, 0, 0]);
        assert_eq!(within(99.0), [1, 0, 0]);
        assert_eq!(within(100.0), [1, 1, 0]);
        assert_eq!(within(300.0), [2, 1, 1]);
        assert_eq!(within(2_999.0), [10, 10, 10]);
        // Threads whose connections are not as many get as many requests for each.
        let plan = Plan { connections: 4, ..plan };
        let turns = [0, 1, 2].map(|thread| Turns::new(&plan, Instant::now(), thread, 3));
        let within = |elapsed: f64| turns.each_ref().map(|turns| turns.due_within(elapsed, 100.0));
        assert_eq!(within(300.0), [2, 1, 1]);
        assert_eq!(within(799.0), [4, 2, 2]);
        let due = |number| turns.each_ref().map(|turns| turns.due_ns(number, 1.0) as u64);
        assert_eq!([due(0), due(1), due(2)], [[0, 1, 2], [3, 5, 6], [4, 9, 10]]);
    }

    /// Against a server that answers at once: requests are asked as they fall due, on every connection, none of them twice.
    #[test]
    fn an_open_loop_asks_what_is_due() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            use std::io::{BufRead as _, Read as _, Write as _};
            let serve = |stream: std::net::TcpStream| {
                let mut reader = std::io::BufReader::new(stream);
                loop {
                    let (mut line, mut length) = (String::new(), 0);
                    while line != "\r\n" {
                        line.clear();
                        if reader.read_line(&mut line).unwrap_or(0) == 0 {
                            return;
                        }
                        if let Some((name, value)) = line.split_once(':')
                            && name.eq_ignore_ascii_case("content-length")
                        {
                            length = value.trim().parse().unwrap();
                        }
                    }
                    reader.read_exact(&mut vec![0; length]).unwrap();
                    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
                    reader.get_mut().write_all(answer).unwrap();
                }
            };
            // As many as the run opens.
            let streams: Vec<_> = (0..3).map(|_| listener.accept().unwrap().0).collect();
            std::thread::scope(|scope| {
                for stream in streams {
                    scope.spawn(move || serve(stream));
                }
            });
        });
        let outcome = run(&Plan {
            endpoint: Endpoint {
                address,
                ..plan().endpoint
            },
            workload: Workload {
                mix: vec![(crate::workload::Operation::Get, 1)],
                ..plan().workload
            },
            connections: 3,
            threads: 2,
            rate: Some(1_000.0),
            warm_up: Duration::ZERO,
            duration: Duration::from_millis(500),
            seed: 1,
        })
        .unwrap();
        server.join().unwrap();
        assert_eq!((outcome.errors, outcome.first_error), (0, None));
        // A machine that stands still at the end leaves some unasked, or asks some more.
        let answered = outcome.answered;
        assert!((50..1_000).contains(&answered), "{answered} answered");
        assert_eq!(outcome.backlog.len(), 5);
        assert!(outcome.latency_ns.min() < 5_000_000);
    }
}
