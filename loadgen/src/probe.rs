//! Times when a write made in one region becomes visible in another.

use std::io;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::alarm::Alarm;
use crate::client::{Connection, Endpoint};
use crate::load::latency_histogram;

/// What to probe.
#[derive(Clone, Debug)]
pub struct Probe {
    /// Where probes are written.
    pub from: Endpoint,
    /// Where they are looked for.
    pub to: Endpoint,
    /// A table that both regions have; partition key `pk` (S).
    pub table: String,
    /// Whether it has the sort key `sk` (S), too.
    pub collections: bool,
    /// How long to go on.
    pub duration: Duration,
    /// The pause between two probes.
    pub pause: Duration,
    /// The pause between two looks; [`LOOK_PAUSE`] is short.
    pub look_pause: Duration,
    /// Distinguishes the keys of probes that run at the same time.
    pub name: String,
}

/// What the probes saw, in nanoseconds.
#[derive(Clone, Debug)]
pub struct Visibility {
    /// From the write's reply in the one region to the reply that shows it in the other; 0 if it was there first.
    pub after_ack_ns: Histogram<u64>,
    /// From sending the write.
    pub after_send_ns: Histogram<u64>,
    /// (seconds since the start, milliseconds after the ack), in order: shows whether a backlog grows.
    pub series: Vec<(f64, f64)>,
    start: Instant,
    /// The probe that is looked for: when it was sent and acknowledged.
    waiting: Option<(Instant, Instant)>,
}

/// A probe that is not visible by then is an error.
const VISIBLE_MAX: Duration = Duration::from_secs(60);
/// The pause between two looks. Looks without one would take a good part of the processor that they share with what they
/// look at.
pub const LOOK_PAUSE: Duration = Duration::from_micros(250);

impl Probe {
    /// Writes probes one after the other and looks for each until it is there.
    pub async fn run(&self) -> io::Result<Visibility> {
        let mut seen = Visibility::new(Instant::now());
        self.run_into(&mut seen).await?;
        Ok(seen)
    }

    /// As [`Probe::run`]; what was seen until an error is kept.
    pub async fn run_into(&self, seen: &mut Visibility) -> io::Result<()> {
        let mut writer = Connection::open(&self.from).await?;
        let mut reader = Connection::open(&self.to).await?;
        let alarm = Alarm::new()?;
        let (start, mut number) = (Instant::now(), 0_u64);
        let sort = if self.collections { ",\"sk\":{\"S\":\"0\"}" } else { "" };
        while start.elapsed() < self.duration {
            let key = format!("probe-{}-{number}", self.name);
            number += 1;
            let named = |member| {
                format!(
                    "{{\"TableName\":\"{}\",\"{member}\":{{\"pk\":{{\"S\":\"{key}\"}}{sort}}}}}",
                    self.table
                )
            };
            let (put, get) = (named("Item"), named("Key"));
            let sent = Instant::now();
            let reply = writer.call("DynamoDB_20120810.PutItem", put.as_bytes()).await?;
            if reply.status != 200 {
                let body = String::from_utf8_lossy(writer.body(reply)).into_owned();
                return Err(io::Error::other(format!("a probe was refused: {body}")));
            }
            seen.waiting = Some((sent, Instant::now()));
            self.wait_for(&mut reader, &alarm, get.as_bytes(), &key).await?;
            seen.end_waiting(Instant::now());
            tokio::time::sleep(self.pause).await;
        }
        Ok(())
    }

    /// A look's own round trip is part of what is reported, and so is the pause before it.
    async fn wait_for(&self, reader: &mut Connection, alarm: &Alarm, get: &[u8], key: &str) -> io::Result<()> {
        let deadline = Instant::now() + VISIBLE_MAX;
        loop {
            let reply = reader.call("DynamoDB_20120810.GetItem", get).await?;
            let body = reader.body(reply);
            if reply.status == 200 && body.windows(6).any(|bytes| bytes == b"\"Item\"") {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(io::Error::other(format!(
                    "{key} did not become visible within {VISIBLE_MAX:?}"
                )));
            }
            alarm.sleep(self.look_pause).await?;
        }
    }
}

impl Visibility {
    /// Nothing yet; the series counts from `start`.
    pub fn new(start: Instant) -> Visibility {
        Visibility {
            after_ack_ns: latency_histogram(),
            after_send_ns: latency_histogram(),
            series: Vec::new(),
            start,
            waiting: None,
        }
    }

    /// The probe that is looked for is visible, or is no longer looked for: its time is this, or would have been longer.
    pub fn end_waiting(&mut self, now: Instant) {
        if let Some((sent, acknowledged)) = self.waiting.take() {
            let after_ack = now.saturating_duration_since(acknowledged);
            self.after_ack_ns.saturating_record(after_ack.as_nanos() as u64);
            let after_send = now.saturating_duration_since(sent);
            self.after_send_ns.saturating_record(after_send.as_nanos() as u64);
            let at = now.saturating_duration_since(self.start);
            self.series.push((at.as_secs_f64(), after_ack.as_secs_f64() * 1e3));
        }
    }

    /// Adds another probe's figures to these.
    pub fn merge(&mut self, other: &Visibility) {
        // All have the same bounds.
        let _ = self.after_ack_ns.add(&other.after_ack_ns);
        let _ = self.after_send_ns.add(&other.after_send_ns);
        self.series.extend_from_slice(&other.series);
        self.series.sort_by(|a, b| a.0.total_cmp(&b.0));
    }

    /// A quantile of the time from the ack, in milliseconds.
    pub fn after_ack_ms(&self, quantile: f64) -> f64 {
        self.after_ack_ns.value_at_quantile(quantile) as f64 / 1e6
    }

    /// A quantile of the time from sending, in milliseconds.
    pub fn after_send_ms(&self, quantile: f64) -> f64 {
        self.after_send_ns.value_at_quantile(quantile) as f64 / 1e6
    }

    /// The median, in milliseconds after the ack, of the probes in the given part of the run (fractions of its length).
    pub fn median_of_part(&self, from: f64, to: f64) -> f64 {
        let end = self.series.last().map_or(0.0, |(at, _)| *at);
        let part: Vec<f64> = self
            .series
            .iter()
            .filter(|(at, _)| *at >= from * end && *at <= to * end)
            .map(|(_, ms)| *ms)
            .collect();
        crate::report::median(&part)
    }
}
