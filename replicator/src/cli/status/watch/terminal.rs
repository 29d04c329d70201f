//! The terminal while the screen is on it, and as it was before: when this is left, on an error, and on a panic.

use std::io;
use std::io::Stdout;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;

use ratatui::backend::CrosstermBackend;
use ratatui::buffer::Buffer;
use ratatui::crossterm::cursor::Hide;
use ratatui::crossterm::cursor::Show;
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::EnterAlternateScreen;
use ratatui::crossterm::terminal::LeaveAlternateScreen;
use ratatui::crossterm::terminal::disable_raw_mode;
use ratatui::crossterm::terminal::enable_raw_mode;
use ratatui::layout::Rect;

/// Whether the screen is on the terminal.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// A terminal that is ours until this goes away.
pub(super) struct Terminal {
    inner: ratatui::Terminal<CrosstermBackend<Stdout>>,
}

impl Terminal {
    /// Takes it, with the keys as they are pressed.
    pub(super) fn enter() -> io::Result<Self> {
        restore_on_panic();
        TAKEN.store(true, Ordering::SeqCst);
        // Whatever fails below, this is dropped and gives the terminal back.
        let entered = Self { inner: ratatui::Terminal::new(CrosstermBackend::new(io::stdout()))? };
        enable_raw_mode()?;
        execute!(io::stdout(), EnterAlternateScreen, Hide)?;
        Ok(entered)
    }

    /// Draws all of it; what is already there is not sent again.
    pub(super) fn draw(&mut self, draw: impl FnOnce(Rect, &mut Buffer)) -> io::Result<()> {
        self.inner.draw(|frame| draw(frame.area(), frame.buffer_mut()))?;
        Ok(())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        restore();
    }
}

/// Gives the terminal back as it was. Only once: it would take the cursor back to where it was before.
fn restore() {
    if TAKEN.swap(false, Ordering::SeqCst) {
        // Where this fails there is nobody to see it.
        let _ = execute!(io::stdout(), LeaveAlternateScreen, Show);
        let _ = disable_raw_mode();
    }
}

/// Has a panic of this thread give the terminal back before it is told. One of another thread is not told while the screen
/// is there: it would be written across it, and becomes a line of it instead.
fn restore_on_panic() {
    let (before, here) = (std::panic::take_hook(), std::thread::current().id());
    std::panic::set_hook(Box::new(move |panic| {
        if std::thread::current().id() == here {
            restore();
        }
        if !TAKEN.load(Ordering::SeqCst) {
            before(panic);
        }
    }));
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// Set in the process on the terminal.
    const INSIDE: &str = "REPLICATOR_TEST_ON_A_TERMINAL";

    fn panics_on_a_terminal() {
        let mut terminal = Terminal::enter().expect("a terminal");
        terminal.draw(|area, buffer| buffer.set_style(area, ratatui::style::Style::new())).expect("it draws");
        // Not told, and the screen stays.
        let other = std::thread::spawn(|| panic!("of another thread"));
        assert!(other.join().is_err());
        panic!("on purpose");
    }

    #[test]
    fn a_panic_gives_the_terminal_back_and_is_told_behind_it() {
        // It starts itself on a terminal of its own.
        if std::env::var_os(INSIDE).is_some() {
            return panics_on_a_terminal();
        }
        let program = std::env::current_exe().expect("this program");
        let program = crate::transport::quote::sh(&program.to_string_lossy());
        let name =
            "cli::status::watch::terminal::tests::a_panic_gives_the_terminal_back_and_is_told_behind_it";
        let inside = format!(
            "stty rows 24 cols 80; stty -g; {INSIDE}=1 {program} --exact --nocapture {name}; stty -g"
        );
        let mut script = Command::new("script");
        script.args(["-qec", &inside, "/dev/null"]).env("TERM", "xterm").stdin(std::process::Stdio::null());
        let output = script.output().expect("script(1) of util-linux");
        let text = String::from_utf8_lossy(&output.stdout);
        let place = |part: &str| text.find(part).unwrap_or_else(|| panic!("{part:?} is not in {text:?}"));
        assert!(place("\u{1b}[?1049h") < place("\u{1b}[?1049l"), "{text:?}");
        assert!(place("\u{1b}[?1049l") < place("on purpose"), "{text:?}");
        assert_eq!(text.matches("\u{1b}[?1049l").count(), 1, "{text:?}");
        assert!(text.contains("\u{1b}[?25h") && !text.contains("of another thread"), "{text:?}");
        let mut modes = text.lines().filter(|line| line.matches(':').count() > 20);
        let (before, after) = (modes.next(), modes.next());
        assert!(before.is_some() && before == after, "{before:?} {after:?}");
    }
}
