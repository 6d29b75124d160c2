//! A run from its beginning to its end.

use std::{
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use crossbeam_channel::{Receiver, RecvTimeoutError};
use rustix::time::{ClockId, clock_gettime};

use super::{
    arrivals::Arrivals,
    ending::{DRAIN_MAX, Ending},
    keys::KeyChooser,
    lag,
    newest::Newest,
    outcome::{Client, FORMAT, Outcome, Second, operations},
    record::{ByOperation, Recorder, add},
    requests::{Requests, Source},
    sizes::Sizes,
    verify::{Left, Verified, verify},
    worker::{Shared, work},
    workload::Workload,
};
use crate::client::Endpoint;

/// Connections are open before the first request is due.
const HEAD_START: Duration = Duration::from_millis(300);
/// How often it is looked whether all is answered, after the end.
const LOOK_AGAIN: Duration = Duration::from_millis(5);
/// How often the live view is told.
const TICK: Duration = Duration::from_secs(1);
/// More than this share of the processor time of its threads, and the generator was the limit.
const BUSY: f64 = 0.9;
/// More than this share of requests late by its own fault, and its own delays are in what it measured.
const OWN_FAULT: f64 = 0.01;
/// Of fewer requests than this, a few late ones say nothing.
const JUDGED_MIN: u64 = 1_000;
/// A request that is not answered within this time has failed, unless told otherwise.
pub const TIMEOUT: Duration = Duration::from_secs(10);

/// What to run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The regions, with their names; connections are dealt out among them.
    pub regions: Vec<(String, Endpoint)>,
    /// The table.
    pub table: String,
    /// What is asked.
    pub workload: Workload,
    /// When.
    pub arrivals: Arrivals,
    /// How large items are.
    pub sizes: Sizes,
    /// Items that are there.
    pub items: u64,
    /// Connections, all regions together.
    pub connections: usize,
    /// The generator's threads.
    pub threads: usize,
    /// Left out of the results.
    pub warm_up: Duration,
    /// Measured.
    pub duration: Duration,
    /// The same seed gives the same requests.
    pub seed: u64,
    /// A request that is not answered within this time has failed.
    pub timeout: Duration,
    /// Whether what was written is kept, to be read back.
    pub verify: bool,
    /// Whether each directed pair of regions is probed meanwhile.
    pub probe: bool,
}

/// What a run leaves.
#[derive(Debug)]
pub struct Ran {
    /// Its results.
    pub outcome: Outcome,
    /// What it wrote, if the plan says that it is kept.
    pub written: Written,
}

/// What a run wrote.
#[derive(Debug)]
pub struct Written {
    run: Arc<str>,
    left: Vec<Left>,
}

impl Written {
    /// Reads it back in every region. What cannot be read is said in the result. Fails if a runtime cannot be made.
    pub fn read_back(&self, plan: &Plan) -> io::Result<Verified> {
        let endpoints: Vec<Endpoint> = plan.regions.iter().map(|(_, endpoint)| endpoint.clone()).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let collections = plan.workload.collections;
        Ok(runtime.block_on(verify(&endpoints, &plan.table, collections, &self.run, &self.left)))
    }
}

/// Runs a plan. `tick` is told of every second, as it ends. Whatever comes through `interrupt` breaks it off: its results are of
/// what was done until then.
///
/// # Errors
/// If a thread or a timer cannot be made. Regions that cannot be reached are errors in the outcome.
pub fn run(plan: &Plan, interrupt: &Receiver<()>, mut tick: impl FnMut(&Second)) -> io::Result<Ran> {
    let threads = plan.threads.clamp(1, plan.connections.max(1));
    let length = plan.warm_up + plan.duration;
    let start = Instant::now() + HEAD_START;
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let schedule = match plan.arrivals {
        Arrivals::Closed => None,
        _ => Some(Mutex::new(plan.arrivals.schedule(length, plan.seed))),
    };
    let shared = Arc::new(Shared {
        endpoints: plan.regions.iter().map(|(_, endpoint)| endpoint.clone()).collect(),
        schedule,
        start,
        measured_from: start + plan.warm_up,
        planned_end: start + length,
        ending: Ending::new(),
        timeout: plan.timeout,
        late: AtomicU64::new(0),
        own_fault: AtomicU64::new(0),
    });
    // Runs that write the same table tell their versions apart.
    let tag: Arc<str> = format!(
        "{:08x}",
        since_1970.as_nanos() as u32 ^ std::process::id().rotate_left(16)
    )
    .into();
    let chooser = KeyChooser::new(plan.workload.keys, plan.workload.item_count(plan.items));
    let common = (tag.clone(), chooser, Arc::new(Newest::new(plan.items)));
    let recorders: Vec<_> = (0..threads)
        .map(|_| Arc::new(Mutex::new(Recorder::default())))
        .collect();
    let workers = recorders.iter().enumerate().map(|(thread, recorder)| {
        let (plan, shared, recorder, common) = (plan.clone(), shared.clone(), recorder.clone(), common.clone());
        std::thread::Builder::new()
            .name(format!("load-{thread}"))
            .spawn(move || converse(&plan, &shared, &recorder, &common, thread, threads))
    });
    let workers = workers.collect::<io::Result<Vec<_>>>()?;
    let prober = plan.probe.then(|| lag::watch(plan, &shared)).transpose()?;
    let names: Vec<String> = plan.regions.iter().map(|(name, _)| name.clone()).collect();
    let mut view = View {
        plan,
        shared: &shared,
        names: &names,
        recorders: &recorders,
        timeline: Vec::new(),
    };
    let used = view.watch(interrupt, &mut tick);
    let mut left = Vec::new();
    for worker in workers {
        left.extend(worker.join().map_err(|_| panicked())??);
    }
    let lag = prober.map(|prober| prober.join().map_err(|_| panicked())?);
    view.rest();
    let timeline = view.timeline;
    let mut measured = ByOperation::new();
    let mut first_error = None;
    for recorder in &recorders {
        let recorder = recorder.lock().unwrap_or_else(PoisonError::into_inner);
        add(&mut measured, &recorder.whole);
        first_error = first_error.or_else(|| recorder.first_error.clone());
    }
    let outcome = Outcome {
        format: FORMAT,
        workload: plan.workload.name.clone(),
        arrivals: format!("{:?}", plan.arrivals).to_lowercase(),
        started_unix_s: since_1970.as_secs(),
        seconds: lag::rounded(used.measured.as_secs_f64()),
        operations: operations(&names, &measured),
        timeline,
        client: client(&shared, &used, threads, &measured),
        first_error,
        verified: None,
        lag: lag.transpose()?.unwrap_or_default(),
        broken_off: used.broken_off,
    };
    let written = Written { run: tag, left };
    Ok(Ran { outcome, written })
}

fn panicked() -> io::Error {
    io::Error::other("a thread panicked")
}

/// One thread's connections.
fn converse(
    plan: &Plan,
    shared: &Arc<Shared>,
    recorder: &Arc<Mutex<Recorder>>,
    (run, chooser, newest): &(Arc<str>, KeyChooser, Arc<Newest>),
    thread: usize,
    threads: usize,
) -> io::Result<Vec<Left>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let connections = plan.connections as u64;
        let tasks: Vec<_> = (thread as u64..connections)
            .step_by(threads)
            .map(|number| {
                let region = (number % plan.regions.len().max(1) as u64) as usize;
                let seed = plan.seed.wrapping_mul(1_000_003).wrapping_add(number);
                let source = Source {
                    run: run.clone(),
                    connection: number,
                    newest: newest.clone(),
                };
                let requests = Requests::new(
                    &plan.workload,
                    &plan.table,
                    plan.sizes,
                    chooser.clone(),
                    plan.items,
                    source,
                    seed,
                );
                tokio::spawn(work(
                    shared.clone(),
                    recorder.clone(),
                    requests,
                    region,
                    number,
                    plan.verify,
                ))
            })
            .collect();
        let mut left = Vec::new();
        for task in tasks {
            left.push(task.await.map_err(io::Error::other)??);
        }
        Ok(left)
    })
}

/// What the measured time took.
#[derive(Debug, Default)]
struct Used {
    /// How long it was: shorter than planned if it was broken off.
    measured: Duration,
    /// The generator's processor time.
    cpu: Duration,
    /// Requests that ended in it.
    ended: u64,
    broken_off: bool,
}

/// A run, as it is looked at while it goes on.
struct View<'a> {
    plan: &'a Plan,
    shared: &'a Shared,
    names: &'a [String],
    recorders: &'a [Arc<Mutex<Recorder>>],
    timeline: Vec<Second>,
}

impl View<'_> {
    /// Looks every second at what was measured since, until the end; then waits for what is not answered yet, and gives it up.
    fn watch(&mut self, interrupt: &Receiver<()>, tick: &mut impl FnMut(&Second)) -> Used {
        let shared = self.shared;
        let is_told = |until: Instant| interrupt.recv_deadline(until) != Err(RecvTimeoutError::Timeout);
        let mut broken_off = is_told(shared.measured_from);
        let (cpu_before, ended_before) = (cpu_time(), self.ended());
        let mut next = shared.measured_from + TICK;
        while !broken_off && next <= shared.planned_end {
            broken_off = is_told(next);
            if !broken_off {
                let second = self.second(next);
                tick(&second);
                self.timeline.push(second);
                next += TICK;
            }
        }
        broken_off = broken_off || is_told(shared.planned_end);
        let end = shared.planned_end.min(Instant::now());
        let used = Used {
            measured: end.saturating_duration_since(shared.measured_from),
            cpu: cpu_time().saturating_sub(cpu_before),
            ended: self.ended() - ended_before,
            broken_off,
        };
        shared.ending.end(end);
        let deadline = Instant::now() + DRAIN_MAX;
        // Connections hold a reference each: when none is left, all is answered.
        while Instant::now() < deadline && self.is_working() {
            std::thread::sleep(LOOK_AGAIN);
        }
        shared.ending.give_up();
        used
    }

    fn second(&self, at: Instant) -> Second {
        let length = self.plan.warm_up + self.plan.duration;
        let after = at - self.shared.start;
        let asked = self.plan.arrivals.rate_at(after.saturating_sub(TICK / 2), length);
        Second::new(lag::rounded(after.as_secs_f64()), asked, self.names, &self.taken())
    }

    /// What is in no whole second becomes the last one.
    fn rest(&mut self) {
        let measured = self.taken();
        if !measured.is_empty() {
            let after = Instant::now().saturating_duration_since(self.shared.start);
            self.timeline.push(Second {
                rest: true,
                ..Second::new(lag::rounded(after.as_secs_f64()), None, self.names, &measured)
            });
        }
    }

    fn taken(&self) -> ByOperation {
        let mut taken = ByOperation::new();
        for recorder in self.recorders {
            add(
                &mut taken,
                &recorder.lock().unwrap_or_else(PoisonError::into_inner).take(),
            );
        }
        taken
    }

    /// Requests that have ended.
    fn ended(&self) -> u64 {
        let of = |recorder: &Arc<Mutex<Recorder>>| recorder.lock().unwrap_or_else(PoisonError::into_inner).ended;
        self.recorders.iter().map(of).sum()
    }

    /// Whether some connection is not through yet.
    fn is_working(&self) -> bool {
        self.recorders.iter().any(|recorder| Arc::strong_count(recorder) > 1)
    }
}

/// The processor time that this process has used.
fn cpu_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).unwrap_or_default()
}

fn client(shared: &Shared, used: &Used, threads: usize, measured: &ByOperation) -> Client {
    let requests: u64 = measured
        .values()
        .map(|measured| measured.done() + measured.error_count())
        .sum();
    let (late, own_fault) = (
        shared.late.load(Ordering::Relaxed),
        shared.own_fault.load(Ordering::Relaxed),
    );
    let cpu_share = used.cpu.as_secs_f64() / (used.measured.as_secs_f64() * threads as f64).max(1e-9);
    let limit = limit(cpu_share, requests, own_fault);
    Client {
        cpu_s: used.cpu.as_secs_f64(),
        cpu_us_per_request: used.cpu.as_secs_f64() * 1e6 / used.ended.max(1) as f64,
        cpu_share,
        threads: threads as u64,
        late,
        own_fault,
        limited: limit.is_some(),
        limit,
    }
}

/// Why the generator limited the run, if it did.
fn limit(cpu_share: f64, requests: u64, own_fault: u64) -> Option<String> {
    if cpu_share > BUSY {
        return Some(format!(
            "it used {:.0} % of the processor time of its threads: give it more --threads",
            cpu_share * 100.0
        ));
    }
    let share = own_fault as f64 / requests.max(1) as f64;
    (requests >= JUDGED_MIN && share > OWN_FAULT).then(|| {
        format!(
            "it sent {:.1} % of the requests late, with a connection free: this machine has no processor left for it, and its own \
             delays are in the response times",
            share * 100.0
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_late_requests_are_not_the_generators_limit() {
        assert_eq!(limit(0.3, 150, 3), None);
        assert_eq!(limit(0.3, 10_000, 90), None);
        assert!(limit(0.3, 10_000, 200).unwrap().contains("2.0 %"));
        assert!(limit(0.95, 150, 0).unwrap().contains("--threads"));
    }
}
