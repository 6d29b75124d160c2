//! What has happened between two looks at the regions.

use std::{collections::BTreeMap, fmt::Write as _};

use geodynamo_access::format_iso8601;
use serde::Serialize;

use crate::{
    admin::Observation,
    output::{Cell, Table, Tone, bytes, count, duration},
};

/// How many requests were answered, and how fast.
#[derive(Clone, PartialEq, Debug, Default)]
struct Counts {
    /// Upper bounds in seconds, and how many are in each bucket or below.
    buckets: Vec<(f64, f64)>,
    count: f64,
}

/// A link at one moment.
#[derive(Clone, PartialEq, Debug, Default)]
struct Link {
    up: bool,
    lag_s: Option<f64>,
    rtt_s: f64,
    deltas: f64,
    bytes: f64,
}

/// A region at one moment.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct Reading {
    region: String,
    ready: bool,
    at: f64,
    /// By operation and outcome.
    requests: BTreeMap<(String, String), Counts>,
    links: BTreeMap<String, Link>,
    cpu_s: f64,
    memory: f64,
    commits: f64,
    written: f64,
    throttled: f64,
    connections: f64,
    silent: bool,
}

impl Reading {
    pub(super) fn of(observation: &Observation) -> Self {
        let mut reading = Self {
            region: observation.region.clone(),
            ready: observation.ready.is_ok(),
            at: observation.asked_at,
            silent: observation.metrics.is_none(),
            ..Self::default()
        };
        let Some(metrics) = &observation.metrics else {
            return reading;
        };
        let number = |name: &str| metrics.value(name).unwrap_or(0.0);
        for sample in metrics.all("geodynamo_request_duration_seconds_bucket") {
            let label = |name| sample.label(name).unwrap_or_default().to_owned();
            let bound = sample.label("le").and_then(|bound| match bound {
                "+Inf" => Some(f64::INFINITY),
                bound => bound.parse().ok(),
            });
            if let Some(bound) = bound {
                let counts = reading
                    .requests
                    .entry((label("operation"), label("outcome")))
                    .or_default();
                counts.buckets.push((bound, sample.value));
                counts.count = counts.count.max(sample.value);
            }
        }
        for up in metrics.all("geodynamo_link_up") {
            let Some(peer) = up.label("peer_region") else { continue };
            let of = |name: &str| metrics.value_of(name, "peer_region", peer);
            reading.links.insert(
                peer.to_owned(),
                Link {
                    up: up.value > 0.0,
                    lag_s: of("geodynamo_replication_oldest_unreplicated_seconds"),
                    rtt_s: of("geodynamo_link_rtt_seconds").unwrap_or(0.0),
                    deltas: of("geodynamo_link_sent_deltas_total").unwrap_or(0.0),
                    bytes: of("geodynamo_link_sent_bytes_total").unwrap_or(0.0),
                },
            );
        }
        reading.cpu_s = number("geodynamo_process_cpu_seconds_total");
        reading.memory = number("geodynamo_process_resident_memory_bytes");
        reading.commits = number("geodynamo_storage_commits_total");
        reading.written = number("geodynamo_storage_written_bytes_total");
        reading.throttled = number("geodynamo_requests_throttled_total");
        reading.connections = number("geodynamo_connections_open");
        reading
    }
}

/// A region between two looks.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub(super) struct RegionRow {
    pub(super) region: String,
    state: &'static str,
    pub(super) requests_per_s: f64,
    errors_per_s: f64,
    throttled_per_s: f64,
    commits_per_s: f64,
    written_bytes_per_s: f64,
    /// Of one core, in percent.
    cpu_percent: f64,
    memory_bytes: f64,
    connections: f64,
}

/// An operation of a region between two looks.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub(super) struct OperationRow {
    region: String,
    operation: String,
    per_s: f64,
    errors_per_s: f64,
    p50_s: Option<f64>,
    p99_s: Option<f64>,
    p999_s: Option<f64>,
}

/// A link between two looks.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub(super) struct LinkRow {
    from: String,
    to: String,
    up: bool,
    lag_s: Option<f64>,
    rtt_s: f64,
    deltas_per_s: f64,
    bytes_per_s: f64,
}

/// What has happened between two looks.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub(super) struct Frame {
    /// When, in seconds since 1970.
    time: f64,
    pub(super) regions: Vec<RegionRow>,
    operations: Vec<OperationRow>,
    links: Vec<LinkRow>,
}

impl Frame {
    pub(super) fn between(before: &[Reading], now: &[Reading]) -> Self {
        let mut frame = Self::default();
        for reading in now {
            frame.time = frame.time.max(reading.at);
            let last = before.iter().find(|last| last.region == reading.region);
            frame.add(last.unwrap_or(reading), reading);
        }
        frame
            .operations
            .sort_by(|a, b| b.per_s.total_cmp(&a.per_s).then_with(|| a.operation.cmp(&b.operation)));
        frame
    }

    fn add(&mut self, before: &Reading, now: &Reading) {
        let elapsed = (now.at - before.at).max(1e-3);
        // Counters of a region that was started anew begin at 0, and one that was silent tells of no rate.
        let rate = |before_count: f64, count: f64| {
            if before.silent || now.silent {
                0.0
            } else {
                (count - before_count).max(0.0) / elapsed
            }
        };
        let mut of_operation: BTreeMap<&str, (Counts, f64)> = BTreeMap::new();
        for ((operation, outcome), counts) in &now.requests {
            let empty = Counts::default();
            let last = before
                .requests
                .get(&(operation.clone(), outcome.clone()))
                .unwrap_or(&empty);
            let new = counts.since(last);
            if new.count <= 0.0 || before.silent {
                continue;
            }
            let (all, errors) = of_operation.entry(operation.as_str()).or_default();
            if outcome != "success" {
                *errors += new.count;
            }
            all.add(&new);
        }
        let sum = |of: fn(&(Counts, f64)) -> f64| of_operation.values().map(of).sum::<f64>() / elapsed;
        self.regions.push(RegionRow {
            region: now.region.clone(),
            state: match (now.silent, now.ready) {
                (true, _) => "silent",
                (false, true) => "ready",
                (false, false) => "not ready",
            },
            requests_per_s: sum(|(all, _)| all.count),
            errors_per_s: sum(|(_, errors)| *errors),
            throttled_per_s: rate(before.throttled, now.throttled),
            commits_per_s: rate(before.commits, now.commits),
            written_bytes_per_s: rate(before.written, now.written),
            cpu_percent: rate(before.cpu_s, now.cpu_s) * 100.0,
            memory_bytes: now.memory,
            connections: now.connections,
        });
        for (operation, (all, errors)) in of_operation {
            self.operations.push(OperationRow {
                region: now.region.clone(),
                operation: operation.to_owned(),
                per_s: all.count / elapsed,
                errors_per_s: errors / elapsed,
                p50_s: all.quantile(0.5),
                p99_s: all.quantile(0.99),
                p999_s: all.quantile(0.999),
            });
        }
        for (peer, link) in &now.links {
            let empty = Link::default();
            let last = before.links.get(peer).unwrap_or(&empty);
            self.links.push(LinkRow {
                from: now.region.clone(),
                to: peer.clone(),
                up: link.up,
                lag_s: link.lag_s,
                rtt_s: link.rtt_s,
                deltas_per_s: rate(last.deltas, link.deltas),
                bytes_per_s: rate(last.bytes, link.bytes),
            });
        }
    }

    pub(super) fn clock(&self) -> String {
        format_iso8601(self.time as i64)
    }

    pub(super) fn regions_table(&self) -> Table {
        let mut table = Table::new(&[
            "REGION",
            "STATE",
            ">REQUESTS/S",
            ">ERRORS/S",
            ">THROTTLED/S",
            ">COMMITS/S",
            ">WRITTEN/S",
            ">CPU",
            ">MEMORY",
            ">CLIENTS",
        ]);
        for row in &self.regions {
            let tone = if row.state == "ready" { Tone::Good } else { Tone::Bad };
            table.rows.push(vec![
                row.region.as_str().into(),
                Cell::toned(row.state, tone),
                rate(row.requests_per_s).into(),
                bad_if_any(row.errors_per_s),
                bad_if_any(row.throttled_per_s),
                rate(row.commits_per_s).into(),
                bytes(row.written_bytes_per_s as u64).into(),
                format!("{:.0} %", row.cpu_percent).into(),
                bytes(row.memory_bytes as u64).into(),
                count(row.connections as u64).into(),
            ]);
        }
        table
    }

    pub(super) fn operations_table(&self) -> Table {
        let mut table = Table::new(&["OPERATION", "REGION", ">PER S", ">ERRORS/S", ">P50", ">P99", ">P99.9"]);
        let time = |seconds: Option<f64>| seconds.map_or_else(|| "-".to_owned(), duration);
        for row in &self.operations {
            table.rows.push(vec![
                row.operation.as_str().into(),
                row.region.as_str().into(),
                rate(row.per_s).into(),
                bad_if_any(row.errors_per_s),
                time(row.p50_s).into(),
                time(row.p99_s).into(),
                time(row.p999_s).into(),
            ]);
        }
        table
    }

    pub(super) fn links_table(&self) -> Table {
        let mut table = Table::new(&["LINK", "STATE", ">LAG", ">ROUND TRIP", ">DELTAS/S", ">BYTES/S"]);
        for row in &self.links {
            let (state, tone) = if row.up {
                ("up", Tone::Good)
            } else {
                ("down", Tone::Bad)
            };
            table.rows.push(vec![
                format!("{} → {}", row.from, row.to).into(),
                Cell::toned(state, tone),
                row.lag_s.map_or_else(|| "-".to_owned(), duration).into(),
                duration(row.rtt_s).into(),
                rate(row.deltas_per_s).into(),
                bytes(row.bytes_per_s as u64).into(),
            ]);
        }
        table
    }

    /// The tables one below the other.
    pub(super) fn render(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{}", self.clock());
        for table in [self.regions_table(), self.operations_table(), self.links_table()] {
            if !table.rows.is_empty() {
                text.push_str(&table.render());
                text.push('\n');
            }
        }
        text
    }
}

fn rate(per_s: f64) -> String {
    if per_s > 0.0 && per_s < 10.0 {
        format!("{per_s:.1}")
    } else {
        count(per_s.round() as u64)
    }
}

fn bad_if_any(per_s: f64) -> Cell {
    Cell::toned(rate(per_s), if per_s > 0.0 { Tone::Bad } else { Tone::Plain })
}

impl Counts {
    fn since(&self, before: &Self) -> Self {
        // Of a region that was started anew, all is new.
        let restarted = self.count < before.count;
        let old = |bound: f64| {
            let found = before.buckets.iter().find(|(known, _)| *known == bound);
            found.filter(|_| !restarted).map_or(0.0, |(_, count)| *count)
        };
        Self {
            buckets: self
                .buckets
                .iter()
                .map(|(bound, count)| (*bound, count - old(*bound)))
                .collect(),
            count: self.count - if restarted { 0.0 } else { before.count },
        }
    }

    fn add(&mut self, other: &Self) {
        self.count += other.count;
        for (bound, count) in &other.buckets {
            match self.buckets.iter_mut().find(|(known, _)| known == bound) {
                Some((_, sum)) => *sum += count,
                None => self.buckets.push((*bound, *count)),
            }
        }
    }

    /// The duration that a part of all is within, evenly spread within its bucket.
    fn quantile(&self, part: f64) -> Option<f64> {
        let wanted = self.count * part;
        let (mut low, mut below) = (0.0, 0.0);
        for (bound, count) in &self.buckets {
            if *count >= wanted && *count > below {
                // Of the last bucket, nothing but its beginning is known.
                return Some(if bound.is_finite() {
                    low + (bound - low) * ((wanted - below) / (count - below))
                } else {
                    low
                });
            }
            (low, below) = (*bound, *count);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use geodynamo_metrics::exposition::Exposition;

    fn reading(at: f64, ok: [u64; 3], failed: u64, more: &str) -> Reading {
        let mut text = more.to_owned();
        for (outcome, counts) in [("success", ok), ("client_error", [0, failed, failed])] {
            for (bound, count) in ["0.001", "0.01", "+Inf"].iter().zip(counts) {
                let _ = writeln!(
                    text,
                    "geodynamo_request_duration_seconds_bucket{{operation=\"GetItem\",outcome=\"{outcome}\",le=\"{bound}\"}} {count}"
                );
            }
        }
        Reading::of(&Observation {
            region: "a".to_owned(),
            ready: Ok(()),
            metrics: Some(Exposition::parse(&text)),
            asked_at: at,
            took: 0.0,
        })
    }

    #[test]
    fn rates_and_quantiles() {
        let before = reading(10.0, [100, 100, 100], 5, "geodynamo_process_cpu_seconds_total 1\n");
        let now = reading(
            12.0,
            [150, 200, 200],
            7,
            "geodynamo_process_cpu_seconds_total 2\ngeodynamo_link_up{peer_region=\"b\"} 1\n",
        );
        let frame = Frame::between(std::slice::from_ref(&before), std::slice::from_ref(&now));
        let region = &frame.regions[0];
        assert_eq!(
            (region.requests_per_s, region.errors_per_s, region.cpu_percent),
            (51.0, 1.0, 50.0)
        );
        let operation = &frame.operations[0];
        assert_eq!((operation.per_s, operation.errors_per_s), (51.0, 1.0));
        assert!((0.001..0.002).contains(&operation.p50_s.unwrap()), "{operation:?}");
        assert!((0.009..=0.01).contains(&operation.p99_s.unwrap()), "{operation:?}");
        assert!(frame.render().contains("a → b"));
        // A region that has begun anew, and one that is silent.
        let anew = Frame::between(std::slice::from_ref(&now), &[reading(13.0, [1, 1, 1], 0, "")]);
        assert_eq!(anew.regions[0].requests_per_s, 1.0);
        let silent = Reading {
            region: "a".to_owned(),
            at: 14.0,
            silent: true,
            ..Reading::default()
        };
        let frame = Frame::between(std::slice::from_ref(&now), std::slice::from_ref(&silent));
        assert_eq!(
            (frame.regions[0].state, frame.regions[0].requests_per_s),
            ("silent", 0.0)
        );
        assert_eq!(Frame::between(&[silent], &[now]).regions[0].requests_per_s, 0.0);
    }

    #[test]
    fn quantiles_of_little() {
        assert_eq!(Counts::default().quantile(0.5), None);
        let beyond = Counts {
            buckets: vec![(1.0, 0.0), (f64::INFINITY, 3.0)],
            count: 3.0,
        };
        assert_eq!(beyond.quantile(0.5), Some(1.0));
    }
}
