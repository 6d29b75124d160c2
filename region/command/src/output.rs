//! How answers are printed: tables for people, JSON for programs.

use std::io::{self, Write as _};

use clap::ValueEnum;
use console::{Style, measure_text_width};
use geodynamo_access::{format_iso8601, parse_iso8601};
use serde::Serialize;
use serde_json::Value;

use crate::{Done, client::now_unix_s};

const DAY_S: i64 = 86_400;

/// How data is printed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, ValueEnum)]
pub enum OutputForm {
    /// A line each, for people
    #[default]
    Table,
    /// JSON, for programs
    Json,
}

/// What colour a cell has, where there are colours.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Tone {
    #[default]
    Plain,
    Good,
    Warning,
    Bad,
}

impl Tone {
    fn style(self) -> Style {
        match self {
            Self::Plain => Style::new(),
            Self::Good => Style::new().green(),
            Self::Warning => Style::new().yellow(),
            Self::Bad => Style::new().red().bold(),
        }
    }

    /// A text in this tone, where the standard output is a terminal that has colours.
    pub(crate) fn paint(self, text: &str) -> String {
        self.style().apply_to(text).to_string()
    }
}

/// A cell of a table.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Cell {
    pub(crate) text: String,
    pub(crate) tone: Tone,
}

impl Cell {
    pub(crate) fn toned(text: impl Into<String>, tone: Tone) -> Self {
        Self {
            text: text.into(),
            tone,
        }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::toned(text, Tone::Plain)
    }
}

/// Rows under headings. A heading that begins with `>` stands over numbers, which end at its right.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Table {
    headings: Vec<&'static str>,
    pub(crate) rows: Vec<Vec<Cell>>,
}

impl Table {
    pub(crate) fn new(headings: &[&'static str]) -> Self {
        Self {
            headings: headings.to_vec(),
            rows: Vec::new(),
        }
    }

    /// A column's heading, and whether it stands over numbers; of no column, nothing.
    pub(crate) fn heading(&self, column: usize) -> (&'static str, bool) {
        let heading = self.headings.get(column).copied().unwrap_or_default();
        (heading.trim_start_matches('>'), heading.starts_with('>'))
    }

    fn headings(&self) -> impl Iterator<Item = &'static str> {
        self.headings.iter().map(|heading| heading.trim_start_matches('>'))
    }

    /// Each column's width.
    pub(crate) fn widths(&self) -> Vec<usize> {
        let cell =
            |row: &Vec<Cell>, column: usize| row.get(column).map_or(0, |cell| measure_text_width(&shown(&cell.text)));
        self.headings()
            .enumerate()
            .map(|(column, heading)| {
                let widest = self.rows.iter().map(|row| cell(row, column)).max();
                widest.unwrap_or(0).max(measure_text_width(heading))
            })
            .collect()
    }

    /// The text, with colours where there are some.
    pub(crate) fn render(&self) -> String {
        let widths = self.widths();
        let mut text = String::new();
        let bold = Style::new().bold();
        let headings: Vec<_> = self.headings().map(Cell::from).collect();
        for (number, row) in std::iter::once(&headings).chain(&self.rows).enumerate() {
            let mut line = String::new();
            for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
                let plain = shown(&cell.text);
                let blanks = " ".repeat(width.saturating_sub(measure_text_width(&plain)));
                let style = if number == 0 { bold.clone() } else { cell.tone.style() };
                let painted = style.apply_to(&plain).to_string();
                if self.heading(column).1 {
                    line.push_str(&blanks);
                    line.push_str(&painted);
                } else {
                    line.push_str(&painted);
                    line.push_str(&blanks);
                }
                line.push_str("  ");
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

/// A text that cannot change the terminal: names and messages come from elsewhere.
pub(crate) fn shown(text: &str) -> String {
    text.chars()
        .map(|sign| if sign.is_control() { '?' } else { sign })
        .collect()
}

/// Prints a text. Who reads no further, as `head` does, is no failure.
pub(crate) fn print(text: &str) -> Done {
    let mut out = io::stdout();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        done => Ok(done?),
    }
}

/// Prints a document.
pub(crate) fn print_json(document: &impl Serialize) -> Done {
    print(&format!("{}\n", serde_json::to_string_pretty(document)?))
}

/// Prints a document in either form: of an object, a table of what it has.
pub(crate) fn print_object(document: &Value, form: OutputForm) -> Done {
    match form {
        OutputForm::Json => print_json(document),
        OutputForm::Table => {
            let mut lines = Vec::new();
            flatten("", document, &mut lines);
            let width = lines.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
            let text: String = lines
                .iter()
                .map(|(name, value)| format!("{name:width$}  {}\n", shown(value)))
                .collect();
            print(&text)
        }
    }
}

fn flatten(name: &str, value: &Value, lines: &mut Vec<(String, String)>) {
    match value {
        Value::Null => {}
        Value::Object(members) => {
            for (member, value) in members {
                let inner = if name.is_empty() {
                    member.clone()
                } else {
                    format!("{name}.{member}")
                };
                flatten(&inner, value, lines);
            }
        }
        Value::Array(elements) => {
            for (place, value) in elements.iter().enumerate() {
                flatten(&format!("{name}[{place}]"), value, lines);
            }
        }
        value => lines.push((name.to_owned(), scalar(name, value))),
    }
}

fn scalar(name: &str, value: &Value) -> String {
    let last = name.rsplit('.').next().unwrap_or_default();
    let is_time = ["Time", "DateTime", "Date"].iter().any(|end| last.ends_with(end));
    match value {
        Value::String(text) => text.clone(),
        Value::Number(_) if is_time => time(value),
        value if last.ends_with("Bytes") => value.as_u64().map_or_else(|| value.to_string(), bytes),
        value => value.to_string(),
    }
}

/// A moment in JSON, seconds since 1970, as a date; `-` if there is none.
pub(crate) fn time(value: &Value) -> String {
    match value.as_f64() {
        Some(seconds) => format_iso8601(seconds as i64),
        None => "-".to_owned(),
    }
}

/// `1.5 GiB`
pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let (mut value, mut unit) = (count as f64, 0);
    while value >= 1000.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    match (unit, value) {
        (0, _) => format!("{count} B"),
        (_, value) if value < 10.0 => format!("{value:.1} {}", UNITS[unit]),
        _ => format!("{value:.0} {}", UNITS[unit]),
    }
}

/// `12 345 678`, as people read it.
pub(crate) fn count(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A duration in its two greatest units: `3 h 05 min`, `1.25 s`, `800 µs`.
pub(crate) fn duration(seconds: f64) -> String {
    let whole = seconds.max(0.0) as u64;
    match seconds {
        _ if whole >= 86_400 => format!("{} d {:02} h", whole / 86_400, whole % 86_400 / 3600),
        _ if whole >= 3600 => format!("{} h {:02} min", whole / 3600, whole % 3600 / 60),
        _ if whole >= 60 => format!("{} min {:02} s", whole / 60, whole % 60),
        _ if seconds >= 10.0 => format!("{seconds:.0} s"),
        _ if seconds >= 1.0 => format!("{seconds:.2} s"),
        _ if seconds >= 0.01 => format!("{:.0} ms", seconds * 1e3),
        _ if seconds >= 0.001 => format!("{:.1} ms", seconds * 1e3),
        _ => format!("{:.0} µs", seconds.max(0.0) * 1e6),
    }
}

/// A moment on the command line, in seconds since 1970: a date (`2026-11-30`, `2026-11-30T06:12:00Z`, with an offset, or with
/// none for UTC), the seconds themselves, or how long ago (`90s`, `15m`, `6h`, `2d`).
pub(crate) fn moment(text: &str) -> Result<i64, String> {
    moment_at(text, now_unix_s()).ok_or_else(|| {
        format!("'{text}' is no moment: 2026-11-30T06:12:00Z, seconds since 1970, or how long ago: 90s, 15m, 6h, 2d")
    })
}

fn moment_at(text: &str, now: i64) -> Option<i64> {
    if let Ok(seconds) = text.parse::<i64>() {
        return (seconds >= 0).then_some(seconds);
    }
    let unit = match text.chars().last() {
        Some('s') => Some(1),
        Some('m') => Some(60),
        Some('h') => Some(3600),
        Some('d') => Some(DAY_S),
        _ => None,
    };
    if let Some(unit) = unit {
        let number: i64 = text.get(..text.len() - 1)?.parse().ok()?;
        return (number >= 0).then(|| now.saturating_sub(number.saturating_mul(unit)));
    }
    let spaced = text.replacen(' ', "T", 1);
    let whole = if spaced.contains('T') {
        spaced
    } else {
        format!("{spaced}T00:00:00")
    };
    parse_iso8601(&whole).or_else(|| parse_iso8601(&format!("{whole}Z")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        for (value, expect) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 KiB"),
            (1 << 20, "1.0 MiB"),
            (50 << 30, "50 GiB"),
        ] {
            assert_eq!(bytes(value), expect);
        }
        for (value, expect) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(count(value), expect);
        }
        for (value, expect) in [
            (0.0, "0 µs"),
            (0.0008, "800 µs"),
            (0.0025, "2.5 ms"),
            (1.25, "1.25 s"),
            (61.0, "1 min 01 s"),
            (90_000.0, "1 d 01 h"),
        ] {
            assert_eq!(duration(value), expect);
        }
    }

    #[test]
    fn moments() {
        let now = 1_800_000_000;
        for (text, expect) in [
            ("0", Some(0)),
            ("1700000000", Some(1_700_000_000)),
            ("15m", Some(now - 900)),
            ("2d", Some(now - 172_800)),
            ("1970-01-02", Some(86_400)),
            ("1970-01-01T00:00:10", Some(10)),
            ("1970-01-01 00:00:10Z", Some(10)),
            ("1970-01-01T01:00:10+01:00", Some(10)),
            ("-5", None),
            ("-5m", None),
            ("soon", None),
            ("m", None),
            ("", None),
            ("2026-13-01", None),
        ] {
            assert_eq!(moment_at(text, now), expect, "{text}");
        }
    }

    #[test]
    fn tables_line_up() {
        console::set_colors_enabled(false);
        let mut table = Table::new(&["NAME", ">ITEMS"]);
        table.rows.push(vec!["a".into(), Cell::toned("12,345,678", Tone::Bad)]);
        table.rows.push(vec!["longer\u{1b}[2J".into(), "1".into()]);
        assert_eq!(
            table.render(),
            "NAME             ITEMS\na           12,345,678\nlonger?[2J           1\n"
        );
    }

    #[test]
    fn objects_are_flattened() {
        let document =
            serde_json::json!({ "A": { "StartTime": 0.5, "List": [{ "B": true }] }, "SizeBytes": 2048, "C": null });
        let mut lines = Vec::new();
        flatten("", &document, &mut lines);
        let lines: Vec<_> = lines.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(
            lines,
            [
                "A.List[0].B=true",
                "A.StartTime=1970-01-01T00:00:00Z",
                "SizeBytes=2.0 KiB"
            ]
        );
    }
}
