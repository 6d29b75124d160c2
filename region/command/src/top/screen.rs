//! The terminal's whole screen, drawn anew with each look.

use std::time::Duration;

use console::{Style, Term, measure_text_width};

use super::{Watcher, frame::Frame};
use crate::{Done, output::Table};

/// How many looks the picture of requests holds.
const HISTORY_MAX: usize = 512;
/// An eighth of a line each.
const BARS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// The other screen of a terminal, which leaves what was there before as it was (`xterm(1)`, DEC private mode 1049).
const OTHER_SCREEN: &str = "\x1b[?1049h";
const FIRST_SCREEN: &str = "\x1b[?1049l";
const CLEAR_TO_END: &str = "\x1b[0J";
const CLEAR_LINE: &str = "\x1b[K";

/// Shows the regions until Ctrl-C.
pub(super) fn run(watcher: &mut Watcher, every: Duration) -> Done {
    let terminal = Term::stdout();
    terminal.write_str(OTHER_SCREEN)?;
    terminal.hide_cursor()?;
    let shown = show(&terminal, watcher, every);
    terminal.show_cursor()?;
    terminal.write_str(FIRST_SCREEN)?;
    shown
}

fn show(terminal: &Term, watcher: &mut Watcher, every: Duration) -> Done {
    let (mut frame, mut history) = (Frame::default(), Vec::new());
    // The first look is soon, so that there is something to see.
    let mut pause = every.min(Duration::from_secs(1));
    loop {
        let (lines, columns) = terminal.size();
        let picture = draw(&frame, &history, lines.into(), columns.into());
        terminal.move_cursor_to(0, 0)?;
        terminal.write_str(&picture)?;
        if watcher.interrupted_within(pause)? {
            return Ok(());
        }
        pause = every;
        frame = watcher.next()?;
        let requests: f64 = frame.regions.iter().map(|row| row.requests_per_s).sum();
        history.push(requests);
        let surplus = history.len().saturating_sub(HISTORY_MAX);
        history.drain(..surplus);
    }
}

/// A screen of so many lines: each is cleared to its end, and so is what is below.
fn draw(frame: &Frame, history: &[f64], lines: usize, columns: usize) -> String {
    let bold = Style::new().bold();
    let head = if frame.regions.is_empty() {
        "looking …".to_owned()
    } else {
        frame.clock()
    };
    let now = history.last().copied().unwrap_or(0.0);
    let mut all = vec![
        bold.apply_to(format!("geodynamo top   {head}   Ctrl-C ends it"))
            .to_string(),
        format!("{now:.0} requests a second"),
        Style::new().cyan().apply_to(sparkline(history, columns)).to_string(),
    ];
    for table in [frame.regions_table(), frame.links_table(), frame.operations_table()] {
        if table.rows.is_empty() {
            continue;
        }
        all.push(String::new());
        all.extend(rendered(&table, columns));
    }
    all.truncate(lines);
    let mut picture = all.join(&format!("{CLEAR_LINE}\r\n"));
    picture.push_str(CLEAR_TO_END);
    picture
}

/// A table's lines. One that is too wide loses its last columns: half a line would be drawn over the next.
fn rendered(table: &Table, columns: usize) -> Vec<String> {
    let mut fitting = 0;
    let mut width = 0;
    for column in table.widths() {
        width += column + 2;
        if width > columns + 2 {
            break;
        }
        fitting += 1;
    }
    table
        .first_columns(fitting)
        .render()
        .lines()
        .map(str::to_owned)
        .collect()
}

/// The latest values that there is room for, relative to the greatest of them.
fn sparkline(history: &[f64], columns: usize) -> String {
    let latest = history.get(history.len().saturating_sub(columns)..).unwrap_or_default();
    let greatest = latest.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
    let bar = |value: &f64| {
        let eighths = (value / greatest * (BARS.len() - 1) as f64).round() as usize;
        BARS.get(eighths).copied().unwrap_or(' ')
    };
    let line: String = latest.iter().map(bar).collect();
    debug_assert!(measure_text_width(&line) <= columns);
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_size_is_drawn() {
        for (lines, columns) in [(0, 0), (1, 1), (5, 20), (40, 120)] {
            let picture = draw(&Frame::default(), &[1.0, 2.0, 3.0], lines, columns);
            assert!(picture.lines().count() <= lines.max(1), "{picture}");
        }
        assert_eq!(sparkline(&[0.0, 4.0, 8.0], 2), "▄█");
        assert_eq!(sparkline(&[0.0; 3], 9), "   ");
    }
}
