//! What `top` draws.

use ratatui_core::{
    buffer::Buffer,
    layout::Rect,
    style::{Color, Modifier, Style},
    widgets::Widget,
};

use crate::output::{Table, Tone, shown};

/// An eighth of a line each.
const EIGHTHS: [&str; 9] = [" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"];
/// Between two columns.
const GAP: u16 = 2;

/// The latest values that there is room for, each a bar, relative to the greatest of them.
pub(super) struct Bars<'a>(pub(super) &'a [f64]);

impl Widget for Bars<'_> {
    fn render(self, area: Rect, buffer: &mut Buffer) {
        let Self(values) = self;
        let latest = values.get(values.len().saturating_sub(area.width.into())..);
        let latest = latest.unwrap_or_default();
        let greatest = latest.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
        let full = EIGHTHS.len() - 1;
        for (x, value) in (area.left()..area.right()).zip(latest) {
            let mut eighths = (value / greatest * (usize::from(area.height) * full) as f64).round() as usize;
            for y in (area.top()..area.bottom()).rev() {
                let sign = EIGHTHS.get(eighths.min(full)).copied().unwrap_or(" ");
                buffer.set_string(x, y, sign, Style::new().fg(Color::Cyan));
                eighths = eighths.saturating_sub(full);
            }
        }
    }
}

/// A table that is too wide loses its last columns, one that is too long its last rows, and says how many.
impl Widget for &Table {
    fn render(self, area: Rect, buffer: &mut Buffer) {
        let room = usize::from(area.height.saturating_sub(1));
        let hidden = match self.rows.len() > room {
            true => self.rows.len() - room.saturating_sub(1),
            false => 0,
        };
        let mut x = area.left();
        for (column, width) in self.widths().into_iter().enumerate() {
            let width = u16::try_from(width).unwrap_or(u16::MAX);
            if area.is_empty() || x.saturating_add(width) > area.right() {
                break;
            }
            let (heading, is_number) = self.heading(column);
            let mut put = |y: u16, text: &str, style: Style| {
                let text = shown(text);
                let used = u16::try_from(console::measure_text_width(&text)).unwrap_or(width);
                let start = if is_number { x + width.saturating_sub(used) } else { x };
                buffer.set_stringn(start, y, &text, width.into(), style);
            };
            put(area.top(), heading, Style::new().add_modifier(Modifier::BOLD));
            let rows = self.rows.iter().take(self.rows.len() - hidden);
            for (row, y) in rows.zip(area.top() + 1..area.bottom()) {
                if let Some(cell) = row.get(column) {
                    put(y, &cell.text, style(cell.tone));
                }
            }
            x = x.saturating_add(width).saturating_add(GAP);
        }
        if hidden > 0 && room > 0 {
            let text = format!("… {hidden} more");
            buffer.set_stringn(area.left(), area.bottom() - 1, text, area.width.into(), Style::new());
        }
    }
}

fn style(tone: Tone) -> Style {
    match tone {
        Tone::Plain => Style::new(),
        Tone::Good => Style::new().fg(Color::Green),
        Tone::Warning => Style::new().fg(Color::Yellow),
        Tone::Bad => Style::new().fg(Color::Red).add_modifier(Modifier::BOLD),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(width: u16, height: u16, widget: impl Widget) -> Vec<String> {
        let area = Rect::new(0, 0, width, height);
        let mut buffer = Buffer::empty(area);
        widget.render(area, &mut buffer);
        let signs: Vec<_> = buffer.content().iter().map(|cell| cell.symbol()).collect();
        let lines = signs.chunks(usize::from(width).max(1));
        lines.map(|line| line.concat().trim_end().to_owned()).collect()
    }

    #[test]
    fn bars_are_relative_to_the_greatest() {
        assert_eq!(drawn(2, 1, Bars(&[0.0, 4.0, 8.0])), ["▄█"]);
        assert_eq!(drawn(2, 2, Bars(&[4.0, 8.0])), [" █", "██"]);
        assert_eq!(drawn(9, 1, Bars(&[0.0; 3])), [""]);
    }

    #[test]
    fn tables_lose_what_has_no_room() {
        let mut table = Table::new(&["NAME", ">ITEMS"]);
        for name in ["a", "b", "c\u{1b}[2J"] {
            table.rows.push(vec![name.into(), "12".into()]);
        }
        assert_eq!(
            drawn(20, 4, &table),
            ["NAME   ITEMS", "a         12", "b         12", "c?[2J     12"]
        );
        assert_eq!(drawn(8, 3, &table), ["NAME", "a", "… 2 more"]);
        assert_eq!(drawn(1, 1, &table), [""]);
        assert_eq!(drawn(0, 0, &table), [""; 0]);
    }
}
