//! A run as one self-contained HTML page: tables, and plots drawn as SVG.

use std::{collections::BTreeMap, fmt::Write as _};

use hdrhistogram::Histogram;

use super::outcome::{OperationOutcome, Outcome, QUANTILES, Second};

const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 260.0;
const LEFT: f64 = 64.0;
const BOTTOM: f64 = 34.0;
const COLOURS: [&str; 8] = [
    "#2563eb", "#dc2626", "#059669", "#d97706", "#7c3aed", "#0891b2", "#be185d", "#4d7c0f",
];
/// Points of a latency curve.
const CURVE_POINTS: usize = 120;

/// A line of a plot: its name and its points.
struct Line {
    name: String,
    points: Vec<(f64, f64)>,
}

/// The page.
pub fn page(outcome: &Outcome) -> String {
    let mut html = String::from(HEAD);
    // Writing to a String cannot fail, here and below.
    let _ = write!(
        html,
        "<h1>{}</h1><p>{}, measured for {:.0} s: <b>{:.0}</b> requests a second, {} errors.</p>",
        escape(&outcome.workload),
        escape(&outcome.arrivals),
        outcome.seconds,
        outcome.rate(),
        outcome.failed()
    );
    if let Some(limit) = &outcome.client.limit {
        let _ = write!(
            html,
            "<p class=warn>The load generator, not the server, limited this run: {}.</p>",
            escape(limit)
        );
    }
    if outcome.broken_off {
        html.push_str("<p class=warn>This run was broken off.</p>");
    }
    for complaint in outcome.complaints() {
        let _ = write!(html, "<p class=warn>{}</p>", escape(&complaint));
    }
    operations(outcome, &mut html);
    html.push_str("<h2>Response time by percentile</h2>");
    html.push_str(&plot(
        &by_percentile(outcome, OperationOutcome::response),
        "ms",
        &percentile_ticks(),
    ));
    html.push_str("<h2>Service time by percentile</h2>");
    html.push_str(&plot(
        &by_percentile(outcome, OperationOutcome::service),
        "ms",
        &percentile_ticks(),
    ));
    over_time(outcome, &mut html);
    lag(outcome, &mut html);
    let client = &outcome.client;
    let _ = write!(
        html,
        "<h2>The generator itself</h2><p>{:.2} s of processor time, {:.1} µs a request, {:.0} % of what its {} threads had; {} \
         requests were sent over 1 ms late, {} of them by its own fault.</p>",
        client.cpu_s,
        client.cpu_us_per_request,
        client.cpu_share * 100.0,
        client.threads,
        client.late,
        client.own_fault
    );
    if let Some(verified) = &outcome.verified {
        let _ = write!(
            html,
            "<h2>Read back</h2><p>{} items, {} faults.</p>",
            verified.items, verified.faults
        );
    }
    html.push_str("</body></html>\n");
    html
}

/// Latencies and rates by the second.
fn over_time(outcome: &Outcome, html: &mut String) {
    let seconds = || outcome.timeline.iter().filter(|second| !second.rest);
    let line = |name: &str, read: fn(&Second) -> f64| Line {
        name: name.to_owned(),
        points: seconds().map(|second| (second.at_s, read(second))).collect(),
    };
    html.push_str("<h2>Response time over time</h2>");
    let latencies = [
        line("p50", |second| second.p50_ms),
        line("p99", |second| second.p99_ms),
        line("p99.9", |second| second.p999_ms),
    ];
    html.push_str(&plot(&latencies, "ms", &[]));
    html.push_str("<h2>Response time over time by operation: p99</h2>");
    let of_one = |one: &OperationOutcome| {
        let points = seconds().filter_map(|second| {
            let found = second
                .operations
                .iter()
                .find(|other| (&other.region, &other.operation) == (&one.region, &one.operation))?;
            Some((second.at_s, found.response_ms.get("p99").copied()?))
        });
        Line {
            name: format!("{} {}", one.region, one.operation),
            points: points.collect(),
        }
    };
    let by_operation: Vec<_> = outcome.operations.iter().map(of_one).collect();
    html.push_str(&plot(&by_operation, "ms", &[]));
    html.push_str("<h2>Rate asked for and achieved</h2>");
    let mut rates = vec![
        line("done", |second| second.done as f64),
        line("failed", |second| second.failed as f64),
    ];
    if outcome.timeline.iter().any(|second| second.asked.is_some()) {
        rates.push(line("asked", |second| second.asked.unwrap_or_default()));
    }
    html.push_str(&plot(&rates, "per s", &[]));
}

/// How far regions lag behind each other, where that was probed.
fn lag(outcome: &Outcome, html: &mut String) {
    if outcome.lag.is_empty() {
        return;
    }
    html.push_str("<h2>Lag by pair</h2>");
    let lines = outcome.lag.iter().map(|lag| Line {
        name: format!("{} to {}", lag.from, lag.to),
        points: lag.series.clone(),
    });
    html.push_str(&plot(&lines.collect::<Vec<_>>(), "ms", &[]));
    html.push_str("<table><tr><th>from<th>to<th>probes");
    for (_, name) in QUANTILES {
        let _ = write!(html, "<th>{name}");
    }
    html.push_str("</tr>");
    for lag in &outcome.lag {
        let (from, to) = (escape(&lag.from), escape(&lag.to));
        let _ = write!(html, "<tr><td>{from}<td>{to}<td>{}", lag.probes);
        cells(html, &lag.visible_ms);
        html.push_str("</tr>");
    }
    html.push_str(
        "</table><p>Milliseconds from when a write was acknowledged in one region until it was visible in the other.</p>",
    );
}

fn cells(html: &mut String, quantiles: &BTreeMap<String, f64>) {
    for (_, name) in QUANTILES {
        let _ = write!(html, "<td>{:.2}", quantiles.get(name).copied().unwrap_or_default());
    }
}

fn operations(outcome: &Outcome, html: &mut String) {
    html.push_str("<table><tr><th>region<th>operation<th>done<th>errors<th>time");
    for (_, name) in QUANTILES {
        let _ = write!(html, "<th>{name}");
    }
    html.push_str("</tr>");
    for operation in &outcome.operations {
        let _ = write!(
            html,
            "<tr><td>{}<td>{}<td>{}<td>",
            escape(&operation.region),
            escape(&operation.operation),
            operation.done
        );
        let errors: Vec<_> = operation
            .errors
            .iter()
            .map(|(name, count)| format!("{} {count}", escape(name)))
            .collect();
        html.push_str(&errors.join(", "));
        html.push_str("<td>response");
        cells(html, &operation.response_ms);
        html.push_str("</tr><tr><td><td><td><td><td>service");
        cells(html, &operation.service_ms);
        html.push_str("</tr>");
    }
    html.push_str(
        "</table><p>Milliseconds: response times from when a request was due, service times from when it was sent.</p>",
    );
}

/// A curve for each region and operation; the x axis counts nines.
fn by_percentile(outcome: &Outcome, read: fn(&OperationOutcome) -> Histogram<u64>) -> Vec<Line> {
    let curve = |operation: &OperationOutcome| {
        let histogram = read(operation);
        let points = (0..=CURVE_POINTS).map(|step| {
            let nines = step as f64 / CURVE_POINTS as f64 * 4.0;
            let quantile = 1.0 - 10_f64.powf(-nines);
            (nines, histogram.value_at_quantile(quantile) as f64 / 1e6)
        });
        Line {
            name: format!("{} {}", operation.region, operation.operation),
            points: points.collect(),
        }
    };
    outcome.operations.iter().map(curve).collect()
}

fn percentile_ticks() -> Vec<(f64, &'static str)> {
    vec![
        (0.0, "0"),
        (0.301, "50 %"),
        (1.0, "90 %"),
        (2.0, "99 %"),
        (3.0, "99.9 %"),
        (4.0, "99.99 %"),
    ]
}

fn plot(lines: &[Line], unit: &str, ticks: &[(f64, &str)]) -> String {
    let all = || lines.iter().flat_map(|line| &line.points);
    let x_max = all().map(|(x, _)| *x).fold(1e-9, f64::max);
    let y_max = all().map(|(_, y)| *y).fold(1e-9, f64::max) * 1.05;
    let x_of = |x: f64| LEFT + x / x_max * (WIDTH - LEFT - 10.0);
    let y_of = |y: f64| HEIGHT - BOTTOM - y / y_max * (HEIGHT - BOTTOM - 10.0);
    let mut svg = format!("<svg viewBox='0 0 {WIDTH} {HEIGHT}' role=img>");
    for part in 0..=4 {
        let value = y_max * f64::from(part) / 4.0;
        let y = y_of(value);
        let _ = write!(
            svg,
            "<line x1={LEFT} x2={WIDTH} y1={y:.1} y2={y:.1} class=grid /><text x={:.1} y={:.1} text-anchor=end>{value:.2}</text>",
            LEFT - 6.0,
            y + 4.0
        );
    }
    let evenly: Vec<(f64, String)> = match ticks {
        [] => (0..=5)
            .map(|part| x_max * f64::from(part) / 5.0)
            .map(|x| (x, format!("{x:.0} s")))
            .collect(),
        given => given.iter().map(|(x, text)| (*x, (*text).to_owned())).collect(),
    };
    for (x, text) in evenly {
        let _ = write!(
            svg,
            "<text x={:.1} y={:.1} text-anchor=middle>{text}</text>",
            x_of(x),
            HEIGHT - 14.0
        );
    }
    let _ = write!(svg, "<text x=4 y=12>{unit}</text>");
    let mut legend = String::from("<p class=legend>");
    for (line, colour) in lines.iter().zip(COLOURS.iter().cycle()) {
        let points: Vec<_> = line
            .points
            .iter()
            .map(|(x, y)| format!("{:.1},{:.1}", x_of(*x), y_of(*y)))
            .collect();
        let _ = write!(
            svg,
            "<polyline fill=none stroke='{colour}' stroke-width=1.5 points='{}' />",
            points.join(" ")
        );
        let _ = write!(legend, "<span style='color:{colour}'>● {}</span> ", escape(&line.name));
    }
    format!("{svg}</svg>{legend}</p>")
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('\'', "&#39;")
        .replace('"', "&quot;")
}

const HEAD: &str = "<!doctype html><html lang=en><head><meta charset=utf-8><title>geodynamo-loadgen</title><style>
body{font:15px/1.5 system-ui,sans-serif;max-width:900px;margin:2em auto;padding:0 1em;color:#111;background:#fff}
table{border-collapse:collapse}th,td{padding:.2em .8em;text-align:right;border-bottom:1px solid #ddd}
th:nth-child(-n+2),td:nth-child(-n+2){text-align:left}svg{width:100%}svg text{font-size:11px;fill:#555}
.grid{stroke:#e5e5e5}.warn{background:#fef3c7;padding:.5em 1em}.legend span{margin-right:1em}
@media(prefers-color-scheme:dark){body{background:#111;color:#eee}.grid{stroke:#333}svg text{fill:#aaa}.warn{background:#713f12}}
</style></head><body>";

#[cfg(test)]
mod tests {
    use super::{super::outcome::tests::outcome, *};

    #[test]
    fn a_page_needs_nothing_from_elsewhere_and_escapes_names() {
        let mut outcome = outcome(5);
        outcome.workload = "<script>alert(1)</script>".into();
        let page = page(&outcome);
        assert!(!page.contains("<script") && !page.contains("http"));
        assert_eq!(page.matches("<svg").count(), 6);
        assert!(page.contains("<td>service") && page.contains("us-east-1 to eu-west-1"));
        assert!(page.contains("&lt;script&gt;"));
    }
}
