//! The terminal's whole screen. Ratatui keeps what it shows, so only what is different is drawn.

use std::{
    fmt::Write as _,
    io::{self, Write as _},
    time::Duration,
};

use console::{Term, colors_enabled};
use ratatui_core::{
    backend::{Backend, ClearType, WindowSize},
    buffer::{Buffer, Cell},
    layout::{Constraint, Layout, Position, Rect, Size},
    style::{Color, Modifier, Style},
    terminal::Terminal,
    widgets::Widget,
};

use super::{Watcher, frame::Frame, widgets::Bars};
use crate::Done;

/// How many looks the picture of requests holds.
const HISTORY_MAX: usize = 512;
/// How many lines it has.
const BARS_LINES: u16 = 4;
/// The other screen of a terminal, which leaves what was there before as it was (`xterm(1)`, DEC private mode 1049).
const OTHER_SCREEN: &str = "\x1b[?1049h";
const FIRST_SCREEN: &str = "\x1b[?1049l";

/// Shows the regions until Ctrl-C.
pub(super) fn run(watcher: &mut Watcher, every: Duration) -> Done {
    let out = Term::stdout();
    out.write_str(OTHER_SCREEN)?;
    out.hide_cursor()?;
    let shown = show(out.clone(), watcher, every);
    out.show_cursor()?;
    out.write_str(FIRST_SCREEN)?;
    shown
}

fn show(out: Term, watcher: &mut Watcher, every: Duration) -> Done {
    let mut terminal = Terminal::new(Screen::new(out))?;
    let (mut frame, mut history) = (Frame::default(), Vec::new());
    // The first look is soon, so that there is something to see.
    let mut pause = every.min(Duration::from_secs(1));
    loop {
        terminal.draw(|picture| draw(&frame, &history, picture.area(), picture.buffer_mut()))?;
        if watcher.interrupted_within(pause) {
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

/// What fits into an area: a head, the requests of late, and the tables as far as there is room.
fn draw(frame: &Frame, history: &[f64], area: Rect, buffer: &mut Buffer) {
    let tables = [frame.regions_table(), frame.links_table(), frame.operations_table()];
    let lines = |rows: usize| Constraint::Length(u16::try_from(rows).unwrap_or(u16::MAX));
    let [head, requests, bars, regions, links, operations] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Length(BARS_LINES),
        // A heading, and an empty line before it.
        lines(tables[0].rows.len() + 2),
        lines(tables[1].rows.len() + 2),
        Constraint::Min(0),
    ])
    .areas(area);
    let time = if frame.regions.is_empty() {
        "looking …".to_owned()
    } else {
        frame.clock()
    };
    let bold = Style::new().add_modifier(Modifier::BOLD);
    line(buffer, head, &format!("geodynamo top   {time}   Ctrl-C ends it"), bold);
    // The sum of nothing is a negative zero.
    let now = history.last().copied().unwrap_or(0.0) + 0.0;
    line(buffer, requests, &format!("{now:.0} requests a second"), Style::new());
    Bars(history).render(bars, buffer);
    for (table, area) in tables.iter().zip([regions, links, operations]) {
        if !table.rows.is_empty() {
            let below = Rect {
                y: area.y.saturating_add(1),
                height: area.height.saturating_sub(1),
                ..area
            };
            Widget::render(table, below, buffer);
        }
    }
}

fn line(buffer: &mut Buffer, area: Rect, text: &str, style: Style) {
    if !area.is_empty() {
        buffer.set_stringn(area.x, area.y, text, area.width.into(), style);
    }
}

/// A terminal that understands ECMA-48. What is to be written is gathered until the picture is whole.
struct Screen {
    out: Term,
    pending: String,
    has_colors: bool,
}

impl Screen {
    fn new(out: Term) -> Self {
        Self {
            out,
            pending: String::new(),
            has_colors: colors_enabled(),
        }
    }

    fn push(&mut self, text: std::fmt::Arguments<'_>) {
        // Writing to a String cannot fail.
        let _ = self.pending.write_fmt(text);
    }

    /// Select Graphic Rendition: from nothing to what a cell has.
    fn style(&mut self, cell: &Cell) {
        self.push(format_args!("\x1b[0m"));
        if cell.modifier.contains(Modifier::BOLD) {
            self.push(format_args!("\x1b[1m"));
        }
        let color = match cell.fg {
            Color::Red => 31,
            Color::Green => 32,
            Color::Yellow => 33,
            Color::Cyan => 36,
            _ => return,
        };
        if self.has_colors {
            self.push(format_args!("\x1b[{color}m"));
        }
    }
}

impl Backend for Screen {
    type Error = io::Error;

    fn draw<'a, I>(&mut self, content: I) -> io::Result<()>
    where
        I: Iterator<Item = (u16, u16, &'a Cell)>,
    {
        let mut last: Option<(u16, u16, Style)> = None;
        for (x, y, cell) in content {
            let style = cell.style();
            // What follows needs no move, and what looks alike no colour.
            if last.is_none_or(|(before, line, _)| (before.saturating_add(1), line) != (x, y)) {
                self.push(format_args!("\x1b[{};{}H", y.saturating_add(1), x.saturating_add(1)));
            }
            if last.is_none_or(|(_, _, before)| before != style) {
                self.style(cell);
            }
            self.pending.push_str(cell.symbol());
            last = Some((x, y, style));
        }
        self.push(format_args!("\x1b[0m"));
        Ok(())
    }

    fn hide_cursor(&mut self) -> io::Result<()> {
        self.push(format_args!("\x1b[?25l"));
        Ok(())
    }

    fn show_cursor(&mut self) -> io::Result<()> {
        self.push(format_args!("\x1b[?25h"));
        Ok(())
    }

    /// It is hidden, and nobody asks.
    fn get_cursor_position(&mut self) -> io::Result<Position> {
        Ok(Position::ORIGIN)
    }

    fn set_cursor_position<P: Into<Position>>(&mut self, position: P) -> io::Result<()> {
        let Position { x, y } = position.into();
        self.push(format_args!("\x1b[{};{}H", y.saturating_add(1), x.saturating_add(1)));
        Ok(())
    }

    fn clear(&mut self) -> io::Result<()> {
        self.clear_region(ClearType::All)
    }

    fn clear_region(&mut self, what: ClearType) -> io::Result<()> {
        let sequence = match what {
            ClearType::All => "\x1b[2J",
            ClearType::AfterCursor => "\x1b[0J",
            ClearType::BeforeCursor => "\x1b[1J",
            ClearType::CurrentLine => "\x1b[2K",
            ClearType::UntilNewLine => "\x1b[0K",
        };
        self.pending.push_str(sequence);
        Ok(())
    }

    fn size(&self) -> io::Result<Size> {
        let (height, width) = self.out.size();
        Ok(Size { width, height })
    }

    fn window_size(&mut self) -> io::Result<WindowSize> {
        Ok(WindowSize {
            columns_rows: self.size()?,
            pixels: Size::ZERO,
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.write_all(self.pending.as_bytes())?;
        self.pending.clear();
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_size_is_drawn() {
        for (height, width) in [(0, 0), (1, 1), (5, 20), (40, 120)] {
            let area = Rect::new(0, 0, width, height);
            let mut buffer = Buffer::empty(area);
            draw(&Frame::default(), &[1.0, 2.0, 3.0], area, &mut buffer);
            let text: String = buffer.content().iter().map(Cell::symbol).collect();
            assert_eq!(width > 20, text.contains("Ctrl-C ends it"), "{text}");
        }
    }

    #[test]
    fn only_what_is_different_is_written() {
        let mut screen = Screen::new(Term::stdout());
        let mut bold = Cell::new("b");
        bold.modifier = Modifier::BOLD;
        let plain = Cell::new("a");
        let cells = [(0, 0, &plain), (1, 0, &plain), (4, 2, &bold)];
        screen.draw(cells.into_iter()).expect("a String takes it");
        assert_eq!(screen.pending, "\x1b[1;1H\x1b[0maa\x1b[3;5H\x1b[0m\x1b[1mb\x1b[0m");
    }
}
