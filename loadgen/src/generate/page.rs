//! A run as one self-contained HTML page: tables, and plots drawn as SVG.

use std::fmt::Write as _;

use super::outcome::{Outcome, QUANTILES};

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
    if outcome.client.limited {
        html.push_str("<p class=warn>The load generator, not the server, limited this run.</p>");
    }
    operations(outcome, &mut html);
    html.push_str("<h2>Response time by percentile</h2>");
    html.push_str(&plot(&by_percentile(outcome), "ms", &percentile_ticks()));
    let over_time = |name: &str, read: fn(&super::outcome::Second) -> f64| Line {
        name: name.to_owned(),
        points: outcome
            .timeline
            .iter()
            .map(|second| (second.at_s, read(second)))
            .collect(),
    };
    html.push_str("<h2>Response time over time</h2>");
    let latencies = [
        over_time("p50", |second| second.p50_ms),
        over_time("p99", |second| second.p99_ms),
        over_time("p99.9", |second| second.p999_ms),
    ];
    html.push_str(&plot(&latencies, "ms", &[]));
    html.push_str("<h2>Rate asked for and achieved</h2>");
    let mut rates = vec![
        over_time("done", |second| second.done as f64),
        over_time("failed", |second| second.failed as f64),
    ];
    if outcome.timeline.iter().any(|second| second.asked.is_some()) {
        rates.push(over_time("asked", |second| second.asked.unwrap_or_default()));
    }
    html.push_str(&plot(&rates, "per s", &[]));
    let client = &outcome.client;
    let _ = write!(
        html,
        "<h2>The generator itself</h2><p>{:.2} s of processor time, {:.1} µs a request; {} requests were sent over 1 ms late, {} of \
         them by its own fault.</p>",
        client.cpu_s, client.cpu_us_per_request, client.late, client.own_fault
    );
    if let Some(verified) = &outcome.verified {
        let _ = write!(
            html,
            "<h2>Read back</h2><p>{} items, {} faults.</p>",
            verified.items, verified.faults
        );
        for example in &verified.examples {
            let _ = write!(html, "<p class=warn>{}</p>", escape(example));
        }
    }
    html.push_str("</body></html>\n");
    html
}

fn operations(outcome: &Outcome, html: &mut String) {
    html.push_str("<table><tr><th>region<th>operation<th>done<th>errors");
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
        for (_, name) in QUANTILES {
            let _ = write!(
                html,
                "<td>{:.2}",
                operation.response_ms.get(name).copied().unwrap_or_default()
            );
        }
        html.push_str("</tr>");
    }
    html.push_str("</table><p>Response times in milliseconds, from when a request was due.</p>");
}

/// A curve for each region and operation; the x axis counts nines.
fn by_percentile(outcome: &Outcome) -> Vec<Line> {
    let curve = |operation: &super::outcome::OperationOutcome| {
        let histogram = operation.response();
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
        assert_eq!(page.matches("<svg").count(), 3);
        assert!(page.contains("&lt;script&gt;"));
    }
}
