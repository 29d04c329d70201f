//! The live view on terminals in memory.

use std::time::Duration;

use jiff::tz::TimeZone;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::crossterm::event::KeyCode;
use ratatui::crossterm::event::KeyEvent;
use ratatui::crossterm::event::KeyModifiers;
use ratatui::style::Color;

use super::Key;
use super::meaning;
use super::view::Move;
use super::view::View;
use crate::cli::status::screen::screen;
use crate::cli::status::tests::documented;
use crate::cli::status::tests::many;

/// A terminal of so many columns and lines.
struct On {
    terminal: Terminal<TestBackend>,
    view: View,
}

impl On {
    fn new(width: u16, height: u16, colours: bool) -> Self {
        let terminal = Terminal::new(TestBackend::new(width, height)).expect("a terminal");
        Self { terminal, view: View::new(TimeZone::UTC, colours) }
    }

    fn buffer(&mut self) -> Buffer {
        let done = self.terminal.draw(|frame| self.view.draw(frame, Duration::from_secs(3))).expect("drawn");
        done.buffer.clone()
    }

    fn lines(&mut self) -> Vec<String> {
        let buffer = self.buffer();
        let width = usize::from(buffer.area.width);
        let cells: Vec<&str> = buffer.content().iter().map(|cell| cell.symbol()).collect();
        cells.chunks(width).map(|line| line.concat().trim_end().to_string()).collect()
    }
}

#[test]
fn before_the_first_look_it_says_that_it_looks() {
    let lines = On::new(80, 24, true).lines();
    assert_eq!(lines[..23].concat(), "");
    assert_eq!(lines[23], " q ends it  looking …");
}

#[test]
fn it_is_the_screen_of_status_and_scrolls_to_its_end() {
    let mut on = On::new(80, 12, true);
    on.view.seen(Ok(&screen(&documented())));
    let first = on.lines();
    assert!(first[0].starts_with("store at 2026-11-28") && first[2].starts_with("AT RISK: "), "{first:#?}");
    assert!(
        first[11].starts_with(" q ends it  1-11 of ") && first[11].ends_with("seen 3s ago"),
        "{first:#?}"
    );
    on.view.go(Move::Lines(1));
    assert_eq!(on.lines()[..10], first[1..11]);
    on.view.go(Move::Pages(1));
    assert!(on.lines()[11].starts_with(" q ends it  12-22 of "), "{:#?}", on.lines());
    on.view.go(Move::Bottom);
    let last = on.lines();
    let (_, total) = last[11].split_once(" of ").expect("a place");
    let total = total.split(' ').next().expect("a number");
    assert!(last[11].contains(&format!("-{total} of ")) && !last[10].is_empty(), "{last:#?}");
    // There is nothing below it, and nothing above the first line.
    on.view.go(Move::Pages(3));
    assert_eq!(on.lines(), last);
    on.view.go(Move::Top);
    on.view.go(Move::Lines(-5));
    assert_eq!(on.lines(), first);
}

#[test]
fn all_of_300_datasets_can_be_reached() {
    let mut on = On::new(80, 24, false);
    on.view.seen(Ok(&screen(&many(300))));
    let mut seen = String::new();
    for _ in 0..60 {
        seen.push_str(&on.lines().join("\n"));
        on.view.go(Move::Pages(1));
    }
    for at in 0..300 {
        assert!(seen.contains(&format!("tank/set{at:03} ")), "{at}");
    }
}

#[test]
fn what_does_not_fit_is_to_the_right() {
    let mut on = On::new(40, 20, true);
    on.view.seen(Ok(&screen(&documented())));
    let wide: Vec<String> = {
        let mut on = On::new(80, 20, true);
        on.view.seen(Ok(&screen(&documented())));
        on.lines()
    };
    assert!(wide[4].contains("AT MOST") && !on.lines()[4].contains("AT MOST"), "{wide:#?}");
    on.view.go(Move::Columns(5));
    assert!(on.lines()[4].contains("AT MOST"), "{:#?}", on.lines());
    on.view.go(Move::Columns(-9));
    assert!(on.lines()[4].starts_with("DATASET"), "{:#?}", on.lines());
}

#[test]
fn colours_are_left_out_where_nobody_wants_them() {
    let colours = |wanted| {
        let mut on = On::new(80, 24, wanted);
        on.view.seen(Ok(&screen(&documented())));
        let buffer = on.buffer();
        buffer.content().iter().filter(|cell| cell.fg != Color::Reset || cell.bg != Color::Reset).count()
    };
    assert!(colours(true) > 20);
    assert_eq!(colours(false), 0);
}

#[test]
fn a_look_that_fails_leaves_what_was_seen_and_says_why() {
    let mut on = On::new(80, 24, true);
    on.view.seen(Ok(&screen(&documented())));
    let before = on.lines();
    on.view.seen(Err("there is no ZFS".to_string()));
    let after = on.lines();
    assert_eq!(after[..23], before[..23]);
    assert_eq!(after[23], " q ends it  there is no ZFS");
    on.view.seen(Ok(&screen(&documented())));
    assert_eq!(on.lines(), before);
}

#[test]
fn a_terminal_of_no_size_is_no_reason_to_end() {
    for (width, height) in [(1, 1), (0, 0), (3, 2)] {
        let mut on = On::new(width, height, true);
        on.view.seen(Ok(&screen(&documented())));
        on.view.go(Move::Bottom);
        on.buffer();
    }
}

#[test]
fn keys_mean_what_they_do_in_a_pager() {
    let of = |code| meaning(KeyEvent::new(code, KeyModifiers::NONE));
    for code in [KeyCode::Char('q'), KeyCode::Esc] {
        assert_eq!(of(code), Some(Key::End));
    }
    let interrupt = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
    assert_eq!((meaning(interrupt), of(KeyCode::Char('c'))), (Some(Key::End), None));
    assert_eq!(of(KeyCode::Down), of(KeyCode::Char('j')));
    assert_eq!(of(KeyCode::Char('G')), Some(Key::Go(Move::Bottom)));
    assert_eq!(of(KeyCode::PageUp), Some(Key::Go(Move::Pages(-1))));
}
