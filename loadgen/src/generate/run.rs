//! A run from its beginning to its end.

use std::{
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use super::{
    arrivals::Arrivals,
    keys::KeyChooser,
    outcome::{Client, FORMAT, Outcome, Second, operations},
    record::{ByOperation, Measured, Recorder, add},
    sizes::Sizes,
    verify::verify,
    worker::{Left, Shared, work},
    workload::{Requests, Workload},
};
use crate::{client::Endpoint, process};

/// Connections are open before the first request is due.
const HEAD_START: Duration = Duration::from_millis(300);
/// How often the live view is told.
const TICK: Duration = Duration::from_secs(1);
/// More than this share of the processor time of its threads, and the generator was the limit.
const BUSY: f64 = 0.9;

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
    /// Whether what was written is read back.
    pub verify: bool,
}

/// Runs a plan. `tick` is told of every second, as it ends.
///
/// # Errors
/// If a thread or a timer cannot be made, or reading back fails. Regions that cannot be reached are errors in the outcome.
pub fn run(plan: &Plan, mut tick: impl FnMut(&Second)) -> io::Result<Outcome> {
    let threads = plan.threads.clamp(1, plan.connections.max(1));
    let length = plan.warm_up + plan.duration;
    let start = Instant::now() + HEAD_START;
    let schedule = match plan.arrivals {
        Arrivals::Closed => None,
        _ => Some(Mutex::new(plan.arrivals.schedule(length, plan.seed))),
    };
    let shared = Arc::new(Shared {
        endpoints: plan.regions.iter().map(|(_, endpoint)| endpoint.clone()).collect(),
        schedule,
        start,
        warm_up: plan.warm_up,
        end: start + length,
        stop: AtomicBool::new(false),
        late: AtomicU64::new(0),
        own_fault: AtomicU64::new(0),
    });
    let chooser = KeyChooser::new(plan.workload.keys, plan.items);
    let cpu_before = process::cpu_time(std::process::id()).unwrap_or_default();
    let recorders: Vec<_> = (0..threads)
        .map(|_| Arc::new(Mutex::new(Recorder::default())))
        .collect();
    let workers = recorders.iter().enumerate().map(|(thread, recorder)| {
        let (plan, shared, recorder, chooser) = (plan.clone(), shared.clone(), recorder.clone(), chooser.clone());
        std::thread::Builder::new()
            .name(format!("load-{thread}"))
            .spawn(move || converse(&plan, &shared, &recorder, &chooser, thread, threads))
    });
    let workers = workers.collect::<io::Result<Vec<_>>>()?;
    let timeline = watch(plan, &shared, &recorders, &mut tick);
    let mut left = Vec::new();
    for worker in workers {
        left.extend(worker.join().map_err(|_| io::Error::other("a thread panicked"))??);
    }
    let cpu = process::cpu_time(std::process::id())
        .unwrap_or_default()
        .saturating_sub(cpu_before);
    let mut measured = ByOperation::new();
    let mut first_error = None;
    for recorder in &recorders {
        let recorder = recorder.lock().unwrap_or_else(PoisonError::into_inner);
        add(&mut measured, &recorder.whole);
        first_error = first_error.or_else(|| recorder.first_error.clone());
    }
    let names: Vec<String> = plan.regions.iter().map(|(name, _)| name.clone()).collect();
    let client = client(&shared, cpu, length, threads, &measured);
    let verified = if plan.verify {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Some(runtime.block_on(verify(&shared.endpoints, &plan.table, plan.workload.collections, &left))?)
    } else {
        None
    };
    Ok(Outcome {
        format: FORMAT,
        workload: plan.workload.name.clone(),
        arrivals: format!("{:?}", plan.arrivals).to_lowercase(),
        started_unix_s: SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |now| now.as_secs().saturating_sub(length.as_secs())),
        seconds: plan.duration.as_secs_f64(),
        operations: operations(&names, &measured),
        timeline,
        client,
        first_error,
        verified,
    })
}

/// One thread's connections.
fn converse(
    plan: &Plan,
    shared: &Arc<Shared>,
    recorder: &Arc<Mutex<Recorder>>,
    chooser: &KeyChooser,
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
                let place = (number, connections);
                let requests = Requests::new(
                    &plan.workload,
                    &plan.table,
                    plan.sizes,
                    chooser.clone(),
                    plan.items,
                    place,
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

/// Looks every second at what was measured since, until the end.
fn watch(
    plan: &Plan,
    shared: &Shared,
    recorders: &[Arc<Mutex<Recorder>>],
    tick: &mut impl FnMut(&Second),
) -> Vec<Second> {
    let length = plan.warm_up + plan.duration;
    let mut timeline = Vec::new();
    let mut next = shared.start + plan.warm_up + TICK;
    while next <= shared.end {
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
        let mut all = Measured::default();
        for recorder in recorders {
            for measured in recorder.lock().unwrap_or_else(PoisonError::into_inner).take().values() {
                all.add(measured);
            }
        }
        let milliseconds = |quantile| all.response_ns.value_at_quantile(quantile) as f64 / 1e6;
        let at = next - shared.start;
        let second = Second {
            at_s: at.as_secs_f64(),
            asked: plan.arrivals.rate_at(at - TICK / 2, length),
            done: all.response_ns.len(),
            failed: all.error_count(),
            p50_ms: milliseconds(0.5),
            p99_ms: milliseconds(0.99),
            p999_ms: milliseconds(0.999),
        };
        tick(&second);
        timeline.push(second);
        next += TICK;
    }
    std::thread::sleep(shared.end.saturating_duration_since(Instant::now()));
    shared.stop.store(true, Ordering::Relaxed);
    timeline
}

fn client(shared: &Shared, cpu: Duration, length: Duration, threads: usize, measured: &ByOperation) -> Client {
    let requests: u64 = measured
        .values()
        .map(|measured| measured.response_ns.len() + measured.error_count())
        .sum();
    let (late, own_fault) = (
        shared.late.load(Ordering::Relaxed),
        shared.own_fault.load(Ordering::Relaxed),
    );
    let busy = cpu.as_secs_f64() / (length.as_secs_f64() * threads as f64).max(1e-9);
    Client {
        cpu_s: cpu.as_secs_f64(),
        cpu_us_per_request: cpu.as_secs_f64() * 1e6 / requests.max(1) as f64,
        late,
        own_fault,
        limited: own_fault * 100 > requests.max(1) || busy > BUSY,
    }
}
