//! Screens of machines that are tables in memory, on terminals that are too.

use std::time::Duration;
use std::time::Instant;

use jiff::tz::TimeZone;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::crossterm::event::Event as Input;
use ratatui::crossterm::event::KeyCode;
use ratatui::crossterm::event::KeyEvent;
use ratatui::crossterm::event::KeyModifiers;
use ratatui::style::Color;
use serde_json::json;

use super::draw;
use super::lines::Palette;
use super::lines::folded;
use super::sources::Event;
use super::sources::pause;
use super::sources::without_panic;
use super::state::State;
use super::state::Then;
use crate::cli::Outcome;
use crate::cli::status::gather::Asked;
use crate::cli::status::gather::Recorded;
use crate::cli::status::screen::Facts;
use crate::cli::status::tests::NOW;
use crate::cli::status::tests::documented;
use crate::cli::status::tests::replicated;
use crate::cli::status::tests::watched;
use crate::cli::status::tests::way;
use crate::cli::status::tests::well;
use crate::monitor::history::of_record;
use crate::monitor::lag::Look;

fn parts(facts: Facts) -> (Asked, Recorded) {
    let Facts { now, datasets, pools, unread, ways, copies, history, .. } = facts;
    let Facts { running, lying, next, pairs, unknown, .. } = facts;
    let asked = Asked { datasets, pools, unread, ways, copies, next, pairs };
    (asked, Recorded { now, history, running, lying, unknown })
}

fn blank(colours: bool) -> State {
    State::new("store".to_string(), TimeZone::UTC, Palette { colours })
}

fn take(state: &mut State, event: Event) -> Then {
    state.take(event).expect("there are keys")
}

/// A screen of these facts, as of this moment.
fn of(facts: Facts, at: Instant) -> State {
    let mut state = blank(true);
    let (asked, recorded) = parts(facts);
    assert_eq!(take(&mut state, Event::Asked(at, Ok(asked))), Then::GoOn);
    assert_eq!(take(&mut state, Event::Recorded(at, Ok(recorded))), Then::GoOn);
    state
}

fn many() -> Facts {
    let names: Vec<_> = (0..300).map(|n| format!("tank/{n:03}")).collect();
    let there = names.iter().map(|name| replicated(name, Some(420))).collect();
    Facts {
        datasets: names.iter().map(|name| watched(name, 420)).collect(),
        ways: vec![way("nas", Look::Both(there))],
        ..well()
    }
}

/// What is on a terminal of this size.
fn buffer(state: &mut State, (width, height): (u16, u16), now: Instant) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a terminal");
    let draw = |frame: &mut ratatui::Frame<'_>| {
        let area = frame.area();
        draw::draw(&state.page(area.as_size(), now), area, frame.buffer_mut());
    };
    terminal.draw(draw).expect("it draws");
    terminal.backend().buffer().clone()
}

fn shown(state: &mut State, size: (u16, u16), now: Instant) -> Vec<String> {
    let buffer = buffer(state, size, now);
    let row = |y| (0..size.0).map(|x| buffer[(x, y)].symbol()).collect::<String>().trim_end().to_string();
    (0..size.1).map(row).collect()
}

fn press(state: &mut State, code: KeyCode) -> Then {
    take(state, Event::Input(Input::Key(KeyEvent::new(code, KeyModifiers::NONE))))
}

/// All lines that scroll, read page by page.
fn read_through(state: &mut State, size: (u16, u16), at: Instant) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    press(state, KeyCode::Home);
    loop {
        let lines = shown(state, size, at);
        let place = lines.last().and_then(|line| line.rsplit_once("  ")).expect("a place").1.to_string();
        let (first, rest) = place.split_once('-').expect("from - to of all");
        let (last, count) = rest.split_once(" of ").expect("of all");
        let number = |text: &str| text.parse::<usize>().expect("a number");
        let (first, last, count) = (number(first), number(last), number(count));
        let top = lines.iter().position(String::is_empty).expect("an empty line") + 1;
        let page = &lines[top..top + last + 1 - first];
        all.truncate(first - 1);
        assert_eq!(all.len(), first - 1, "{place}: lines were skipped");
        all.extend_from_slice(page);
        if last == count {
            return all;
        }
        press(state, KeyCode::PageDown);
    }
}

#[test]
fn it_shows_what_status_shows() {
    let at = Instant::now();
    let mut state = of(documented(), at);
    let whole = shown(&mut state, (80, 60), at);
    let docs = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/monitoring.md");
    let docs = std::fs::read_to_string(docs).expect("docs/monitoring.md");
    let once = docs.split("\n```text\n").find(|part| part.starts_with("store at "));
    let once = once.and_then(|part| part.split_once("```")).expect("the screen").0;
    // The title has seconds here; all else is the same.
    let mut once = once.lines();
    assert_eq!(whole[0], format!("{}:00", once.next().unwrap_or_default()));
    let skipped_blank = once.next();
    assert_eq!(skipped_blank, Some(""));
    for (line, expected) in whole[1..].iter().zip(once) {
        assert_eq!(line, expected);
    }
}

#[test]
fn three_datasets_at_80_columns() {
    let at = Instant::now();
    let mut state = of(documented(), at);
    let lines = shown(&mut state, (80, 24), at + Duration::from_secs(12));
    assert_eq!(lines[0], "store at 2026-11-28 14:07:00");
    assert_eq!(lines[1], "AT RISK: 3 things to do below.");
    assert_eq!(lines[3], "DATASET        SNAPSHOTS  NEWEST       AGE    AT MOST");
    assert_eq!(lines[5], "  data to nas             11-27 12:07  1d02h  3h       CONFLICT");
    assert_eq!(lines[22], "Runs as of 12s ago, pools and targets as of 12s ago.");
    assert!(lines[23].ends_with("1-18 of 36"), "{}", lines[23]);
    let all = read_through(&mut state, (80, 24), at).join("\n");
    for part in ["(37 %), 96.0 MiB/s, 54s left", "in 10m", "  4. 83 % of the pool tank", "GOOD TO KNOW"] {
        assert!(all.contains(part), "{part} is not in\n{all}");
    }
}

#[test]
fn nothing_is_lost_at_40_columns() {
    let at = Instant::now();
    let mut state = of(documented(), at);
    let wide = read_through(&mut state, (80, 24), at).join(" ");
    let narrow = read_through(&mut state, (40, 20), at);
    assert_eq!(narrow[0], "tank/vm  LATE");
    assert_eq!(narrow[1], "  snapshots: 48, newest: 11-28 11:00,");
    assert_eq!(narrow[3], "  data to nas  CONFLICT");
    assert!(narrow.iter().all(|line| line.chars().count() <= 40), "{narrow:#?}");
    let narrow: String = narrow.join(" ").split_whitespace().collect();
    let columns =
        ["DATASET", "SNAPSHOTS", "NEWEST", "AGE", "AT", "MOST", "RUN", "LAST", "TOOK", "NEXT", "RESULT", "-"];
    for word in wide.split_whitespace().filter(|word| !columns.contains(word)) {
        assert!(narrow.contains(word), "{word} is not in {narrow}");
    }
}

#[test]
fn three_hundred_datasets_are_all_there() {
    for size in [(80, 24), (40, 20)] {
        let at = Instant::now();
        let mut state = of(many(), at);
        let all = read_through(&mut state, size, at);
        for n in 0..300 {
            let name = format!("tank/{n:03}");
            assert!(
                all.iter().any(|line| line.split_whitespace().next() == Some(&name)),
                "{name} at {size:?}"
            );
        }
        assert_eq!(all.last().map(String::as_str), Some("  nothing"));
    }
}

#[test]
fn keys_move_and_never_beyond_the_ends() {
    let at = Instant::now();
    let mut state = of(many(), at);
    let first = |state: &mut State, code| {
        assert_eq!(press(state, code), Then::GoOn);
        let lines = shown(state, (80, 24), at);
        lines[23].rsplit_once("  ").map(|(_, place)| place.to_string()).unwrap_or_default()
    };
    assert_eq!(first(&mut state, KeyCode::Up), "1-18 of 611");
    assert_eq!(first(&mut state, KeyCode::Down), "2-19 of 611");
    assert_eq!(first(&mut state, KeyCode::Char('j')), "3-20 of 611");
    assert_eq!(first(&mut state, KeyCode::Char('k')), "2-19 of 611");
    assert_eq!(first(&mut state, KeyCode::PageDown), "19-36 of 611");
    assert_eq!(first(&mut state, KeyCode::PageUp), "2-19 of 611");
    assert_eq!(first(&mut state, KeyCode::PageUp), "1-18 of 611");
    assert_eq!(first(&mut state, KeyCode::End), "594-611 of 611");
    assert_eq!(first(&mut state, KeyCode::PageDown), "594-611 of 611");
    assert_eq!(first(&mut state, KeyCode::Char('x')), "594-611 of 611");
    // Fewer lines than before: the end is the end.
    let (asked, recorded) = parts(documented());
    take(&mut state, Event::Asked(at, Ok(asked)));
    take(&mut state, Event::Recorded(at, Ok(recorded)));
    assert_eq!(first(&mut state, KeyCode::Null), "19-36 of 36");
    assert_eq!(first(&mut state, KeyCode::Home), "1-18 of 36");
}

#[test]
fn it_is_left_by_its_keys_and_ended_by_signals() {
    let mut state = blank(true);
    for code in [KeyCode::Char('q'), KeyCode::Esc] {
        assert_eq!(press(&mut state, code), Then::End(Outcome::Success));
    }
    let control = |c| Event::Input(Input::Key(KeyEvent::new(KeyCode::Char(c), KeyModifiers::CONTROL)));
    assert_eq!(take(&mut state, control('c')), Then::End(Outcome::Success));
    assert_eq!(press(&mut state, KeyCode::Char('c')), Then::GoOn);
    assert_eq!(take(&mut state, Event::Signal), Then::End(Outcome::Interrupted));
    let gone = state.take(Event::NoInput(std::io::ErrorKind::BrokenPipe.into()));
    assert_eq!(gone.map_err(|error| error.kind()), Err(std::io::ErrorKind::BrokenPipe));
}

#[test]
fn colours_are_for_what_is_not_well_and_off_with_no_color() {
    let at = Instant::now();
    let colours = |colours: bool| {
        let mut state = blank(colours);
        let (asked, recorded) = parts(documented());
        take(&mut state, Event::Asked(at, Ok(asked)));
        take(&mut state, Event::Recorded(at, Ok(recorded)));
        take(&mut state, Event::Asked(at, Err("no".to_string())));
        buffer(&mut state, (80, 60), at)
    };
    let coloured = colours(true);
    assert_eq!((coloured[(0, 4)].symbol(), coloured[(0, 4)].fg), ("t", Color::Red));
    assert_eq!((coloured[(0, 6)].symbol(), coloured[(0, 6)].fg), ("t", Color::Reset));
    let plain = colours(false);
    assert!(plain.content().iter().all(|cell| (cell.fg, cell.bg) == (Color::Reset, Color::Reset)));
    let text =
        |buffer: &Buffer| buffer.content().iter().map(|cell| cell.symbol().to_string()).collect::<String>();
    assert_eq!(text(&plain), text(&coloured));
}

#[test]
fn what_fails_is_a_line_and_what_was_known_stays_with_its_age() {
    let at = Instant::now();
    let later = |seconds| at + Duration::from_secs(seconds);
    let mut state = of(well(), at);
    take(&mut state, Event::Asked(later(30), Err("/proc cannot be read".to_string())));
    let lines = shown(&mut state, (80, 24), later(42));
    assert_eq!(lines[1], "WELL: nothing to do.");
    assert_eq!(lines[21], "Could not ask pools and targets 12s ago: /proc cannot be read.");
    assert_eq!(lines[22], "Runs as of 42s ago, pools and targets as of 42s ago.");
    take(&mut state, Event::Recorded(later(40), Err("a defect of this program: no".to_string())));
    take(&mut state, Event::Asked(later(40), Err("long ".repeat(100))));
    let lines = shown(&mut state, (80, 24), later(42));
    assert_eq!(lines[18], "Could not read runs 2s ago: a defect of this program: no.");
    assert!(lines[19].starts_with("Could not ask pools and targets 2s ago: long long"), "{lines:#?}");
    assert_eq!(lines[21], "  …");
    let (asked, _) = parts(well());
    take(&mut state, Event::Asked(later(60), Ok(asked)));
    let lines = shown(&mut state, (80, 24), later(61));
    assert!(!lines.iter().any(|line| line.contains("Could not ask")), "{lines:#?}");
    assert_eq!(lines[22], "Runs as of 1m ago, pools and targets as of 1s ago.");
}

#[test]
fn nothing_is_called_well_before_anybody_has_answered() {
    let at = Instant::now();
    let mut state = blank(true);
    let lines = shown(&mut state, (80, 24), at);
    assert_eq!((lines[0].as_str(), lines[1].as_str()), ("store", "Pools and targets are being asked…"));
    assert_eq!(lines[22], "Runs not known yet, pools and targets not known yet.");
    let (asked, recorded) = parts(documented());
    take(&mut state, Event::Recorded(at, Ok(recorded)));
    let lines = shown(&mut state, (80, 24), at);
    assert!(lines.iter().any(|line| line.starts_with("replicate  4m ago")), "{lines:#?}");
    assert!(!lines.iter().any(|line| line.contains("TO DO") || line.contains("WELL")), "{lines:#?}");
    let mut state = blank(true);
    take(&mut state, Event::Asked(at, Ok(asked)));
    let lines = shown(&mut state, (80, 24), at);
    assert!(!lines.iter().any(|line| line.contains("never, as far as records go")), "{lines:#?}");
}

#[test]
fn a_run_that_has_ended_asks_again() {
    let at = Instant::now();
    let mut state = of(well(), at);
    let (_, recorded) = parts(well());
    assert_eq!(take(&mut state, Event::Recorded(at, Ok(recorded))), Then::GoOn);
    let (_, mut recorded) = parts(well());
    let ended = json!({ "started": NOW - 9, "ended": NOW - 8, "phases": {} });
    recorded.history.runs.extend(of_record(&ended));
    assert_eq!(take(&mut state, Event::Recorded(at, Ok(recorded))), Then::AskAgain);
}

#[test]
fn every_size_is_drawn() {
    let at = Instant::now();
    let mut state = of(documented(), at);
    take(&mut state, Event::Asked(at, Err("no".to_string())));
    for width in (0..12).chain([39, 41, 79, 300]) {
        for height in (0..20).chain([100]) {
            press(&mut state, KeyCode::End);
            assert_eq!(shown(&mut state, (width, height), at).len(), usize::from(height));
        }
    }
    // On a low screen all lines scroll, those that stay elsewhere included.
    press(&mut state, KeyCode::Home);
    assert_eq!(shown(&mut state, (80, 3), at)[1], "AT RISK: 3 things to do below.");
    press(&mut state, KeyCode::End);
    assert!(shown(&mut state, (80, 3), at)[2].starts_with("Runs as of"));
}

#[test]
fn wide_characters_take_their_room_and_no_others_are_lost() {
    assert_eq!(folded("abcdef", 4), ["abcd", "ef"]);
    assert_eq!(folded("漢字漢字", 5), ["漢字", "漢字"]);
    assert_eq!(folded("a\n\nb", 5), ["a", "", "b"]);
    assert_eq!(folded("ab", 0), ["a", "b"]);
}

#[test]
fn who_needs_long_is_asked_less_often() {
    let seconds = Duration::from_secs;
    assert_eq!(pause(seconds(2), seconds(1)), seconds(30));
    assert_eq!(pause(seconds(2), seconds(20)), seconds(80));
    assert_eq!(pause(seconds(60), seconds(1)), seconds(60));
}

#[test]
fn a_defect_of_a_source_is_an_error() {
    assert_eq!(without_panic(|| Ok(1)), Ok(1));
    let number = 7;
    let found = without_panic::<()>(|| panic!("number {number}"));
    assert_eq!(found, Err("a defect of this program: number 7".to_string()));
}
