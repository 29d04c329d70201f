//! What a person sees while a replication runs: a bar with rate and time left on a terminal, and otherwise one plain
//! line for each finished step.

use std::io::IsTerminal;
use std::sync::Mutex;
use std::time::Instant;

use indicatif::ProgressBar;
use indicatif::ProgressDrawTarget;
use indicatif::ProgressStyle;

use super::format;
use crate::plan::Action;
use crate::plan::Step;
use crate::replicate::Observer;

/// Prints to standard error.
pub(super) struct Progress {
    style: Style,
    now: Mutex<Now>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Style {
    Bar,
    Lines,
    Quiet,
}

#[derive(Default)]
struct Now {
    bar: Option<ProgressBar>,
    started: Option<Instant>,
    place: String,
}

impl Progress {
    /// A bar where standard error is a terminal, lines elsewhere, nothing when `quiet`.
    pub(super) fn new(quiet: bool) -> Self {
        let style = match (quiet, std::io::stderr().is_terminal()) {
            (true, _) => Style::Quiet,
            (false, true) => Style::Bar,
            (false, false) => Style::Lines,
        };
        Self { style, now: Mutex::default() }
    }

    fn now(&self) -> std::sync::MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Takes the bar away, so that a message can follow.
    pub(super) fn clear(&self) {
        if let Some(bar) = self.now().bar.take() {
            bar.finish_and_clear();
        }
    }
}

/// What a step does, in a few words.
pub(super) fn title(step: &Step) -> String {
    match &step.action {
        Action::Discard { .. } => "discard partial receive".to_string(),
        Action::Send { spec, .. } => {
            let to = spec.to.name.short();
            let what = match &spec.from {
                None => format!("full @{to}"),
                Some(from) => format!("{} → @{to}", from.short()),
            };
            if spec.resume.is_some() { format!("resume {what}") } else { what }
        }
    }
}

impl Observer for Progress {
    fn step_started(&self, number: usize, of: usize, step: &Step) {
        let mut now = self.now();
        now.started = Some(Instant::now());
        now.place = if of > 1 { format!("[{number}/{of}] ") } else { String::new() };
        if self.style != Style::Bar {
            return;
        }
        let bar = ProgressBar::with_draw_target(step.estimated_bytes, ProgressDrawTarget::stderr());
        let template = match step.estimated_bytes {
            Some(_) => "{msg} {wide_bar} {bytes}/{total_bytes} {binary_bytes_per_sec} ETA {eta}",
            None => "{msg} {spinner} {bytes} {binary_bytes_per_sec}",
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.set_message(format!("{}{}", now.place, title(step)));
        bar.enable_steady_tick(std::time::Duration::from_millis(200));
        now.bar = Some(bar);
    }

    fn progress(&self, bytes: u64) {
        if self.style != Style::Bar {
            return;
        }
        if let Some(bar) = &self.now().bar {
            bar.inc(bytes);
            // An estimate is an estimate: a stream that turns out longer moves the end.
            if bar.length().is_some_and(|length| bar.position() > length) {
                bar.set_length(bar.position());
            }
        }
    }

    fn step_finished(&self, step: &Step, bytes: u64) {
        self.clear();
        if self.style == Style::Quiet {
            return;
        }
        let now = self.now();
        let took = now.started.map(|started| started.elapsed()).unwrap_or_default();
        let mut line = format!("{}{}", now.place, title(step));
        if matches!(step.action, Action::Send { .. }) {
            let rate = bytes as f64 / took.as_secs_f64().max(0.001);
            line.push_str(&format!(
                ": {} in {} ({}/s)",
                format::bytes(bytes),
                format::duration(took),
                format::bytes(rate as u64)
            ));
        }
        use std::io::Write;
        let _ = writeln!(std::io::stderr(), "{line}");
    }
}
