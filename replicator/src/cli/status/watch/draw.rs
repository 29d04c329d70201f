//! Where the lines stand: what stays at the top and the bottom, and what scrolls between. Pure.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::Line;
use ratatui::text::Span;

/// The least lines that scroll between others that stay. On a lower screen all of them scroll.
const LEAST: usize = 5;

/// All that is to be seen, as lines of the width of the screen.
pub(super) struct Page<'l> {
    /// Stays at the top.
    pub(super) head: Vec<Line<'static>>,
    /// Scrolls.
    pub(super) body: &'l [Line<'static>],
    /// Stays at the bottom, above the keys.
    pub(super) foot: Vec<Line<'static>>,
    /// The first of the lines that scroll which is seen.
    pub(super) top: usize,
    /// How the keys look.
    pub(super) keys: Style,
}

impl Page<'_> {
    /// How many lines stay: head and foot, one empty line at each, and the keys.
    fn fixed(&self) -> usize {
        self.head.len() + self.foot.len() + 3
    }

    fn all_scroll(&self, height: usize) -> bool {
        height < self.fixed() + LEAST
    }

    /// How many lines scroll on a screen so high, and how many of them are seen at once.
    pub(super) fn seen(&self, height: usize) -> (usize, usize) {
        if self.all_scroll(height) {
            (self.body.len() + self.fixed() - 1, height)
        } else {
            (self.body.len(), height - self.fixed())
        }
    }
}

/// Draws it.
pub(super) fn draw(page: &Page<'_>, area: Rect, buffer: &mut Buffer) {
    let height = usize::from(area.height);
    let (count, room) = page.seen(height);
    let empty = Line::default();
    let mut rows = area.rows();
    let mut put = |line: &Line<'_>| {
        if let Some(row) = rows.next() {
            buffer.set_line(row.x, row.y, line, row.width);
        }
    };
    if page.all_scroll(height) {
        let all = page.head.iter().chain([&empty]).chain(page.body).chain([&empty]).chain(&page.foot);
        all.skip(page.top).take(room).for_each(put);
        return;
    }
    page.head.iter().chain([&empty]).for_each(&mut put);
    let shown = page.body.iter().skip(page.top).chain(std::iter::repeat(&empty));
    shown.take(room).chain([&empty]).chain(&page.foot).for_each(&mut put);
    put(&keys(page.keys, (page.top, count, room), usize::from(area.width)));
}

/// The keys, and where one is among the lines.
fn keys(style: Style, (top, count, room): (usize, usize, usize), width: usize) -> Line<'static> {
    let last = (top + room).min(count);
    let place = if count > room { format!("{}-{last} of {count}", top + 1) } else { String::new() };
    let words =
        ["arrows, Page Up, Page Down, Home, End: move   q: quit", "arrows: move   q: quit", "q: quit"];
    let words = if count > room { &words[..] } else { &words[2..] };
    let fits = |words: &&&str| Span::raw(**words).width() + 2 + place.len() <= width;
    let words = words.iter().find(fits).copied().unwrap_or_default();
    let between = width.saturating_sub(Span::raw(words).width() + place.len());
    Line::styled(format!("{words}{}{place}", " ".repeat(between)), style)
}
