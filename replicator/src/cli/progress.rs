//! What a person sees while a replication runs: a bar with rate and time left on a terminal, and otherwise one plain
//! line for each finished step.

use std::collections::HashMap;
use std::io::IsTerminal;
use std::io::Write;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::Instant;

use indicatif::MultiProgress;
use indicatif::ProgressBar;
use indicatif::ProgressDrawTarget;
use indicatif::ProgressStyle;
use zfs_core::name::DatasetName;

use super::format;
use crate::engine::Observer;
use crate::engine::Place;
use crate::engine::RunError;
use crate::plan::Action;
use crate::plan::Step;
use crate::plan::TreePlan;
use crate::transfer::Moved;

/// Prints to standard error.
pub(super) struct Progress {
    style: Style,
    bars: MultiProgress,
    /// The dataset of each place, where there is more than one.
    names: Vec<String>,
    now: Mutex<HashMap<Option<usize>, Now>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Style {
    Bar,
    Lines,
    Quiet,
}

/// The step that goes on at one place.
struct Now {
    bar: Option<ProgressBar>,
    started: Instant,
}

impl Progress {
    /// A bar where standard error is a terminal, lines elsewhere, nothing when `quiet`.
    pub(super) fn new(quiet: bool, plan: &TreePlan) -> Self {
        let style = match (quiet, std::io::stderr().is_terminal()) {
            (true, _) => Style::Quiet,
            (false, true) => Style::Bar,
            (false, false) => Style::Lines,
        };
        let names = match plan.datasets.as_slice() {
            [] | [_] => Vec::new(),
            several => several.iter().map(|dataset| dataset.source.to_string()).collect(),
        };
        let bars = MultiProgress::with_draw_target(ProgressDrawTarget::stderr());
        Self { style, bars, names, now: Mutex::default() }
    }

    fn now(&self) -> MutexGuard<'_, HashMap<Option<usize>, Now>> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the bars away, so that a message can follow.
    pub(super) fn clear(&self) {
        self.now().clear();
        // Nothing depends on a tidy terminal.
        let _ = self.bars.clear();
    }

    fn title(&self, place: Place, step: &Step) -> String {
        let name = place.dataset.and_then(|at| self.names.get(at));
        let name = name.map_or_else(String::new, |name| format!("{name}: "));
        let number = if place.of > 1 { format!("[{}/{}] ", place.number, place.of) } else { String::new() };
        format!("{name}{number}{}", title(step))
    }

    /// A line that stays.
    fn line(&self, line: &str) {
        self.bars.suspend(|| {
            let _ = writeln!(std::io::stderr(), "{line}");
        });
    }
}

/// What a step does, in a few words.
pub(super) fn title(step: &Step) -> String {
    match &step.action {
        Action::Change { change, .. } => change.to_string(),
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
    fn step_started(&self, place: Place, step: &Step) {
        let mut bar = None;
        if self.style == Style::Bar && step.stream().is_some() {
            let new = self.bars.add(ProgressBar::new(step.estimated_bytes.unwrap_or_default()));
            let template = match step.estimated_bytes {
                Some(_) => "{msg} {wide_bar} {bytes}/{total_bytes} {binary_bytes_per_sec} ETA {eta}",
                None => "{msg} {spinner} {bytes} {binary_bytes_per_sec}",
            };
            if let Ok(style) = ProgressStyle::with_template(template) {
                new.set_style(style);
            }
            new.set_message(self.title(place, step));
            new.enable_steady_tick(Duration::from_millis(200));
            bar = Some(new);
        }
        self.now().insert(place.dataset, Now { bar, started: Instant::now() });
    }

    fn progress(&self, place: Place, moved: Moved) {
        if self.style != Style::Bar {
            return;
        }
        if let Some(bar) = self.now().get(&place.dataset).and_then(|now| now.bar.as_ref()) {
            bar.inc(moved.plain);
            // An estimate is an estimate: a stream that turns out longer moves the end.
            if bar.length().is_some_and(|length| bar.position() > length) {
                bar.set_length(bar.position());
            }
        }
    }

    fn step_finished(&self, place: Place, step: &Step, moved: Moved) {
        let Some(now) = self.now().remove(&place.dataset) else { return };
        if let Some(bar) = now.bar {
            bar.finish_and_clear();
            self.bars.remove(&bar);
        }
        if self.style == Style::Quiet {
            return;
        }
        let took = now.started.elapsed();
        let mut line = self.title(place, step);
        if step.stream().is_some() {
            let rate = moved.plain as f64 / took.as_secs_f64().max(0.001);
            line.push_str(&format!(
                ": {} in {} ({}/s)",
                format::bytes(moved.plain),
                format::duration(took),
                format::bytes(rate as u64)
            ));
        }
        self.line(&line);
    }

    fn retry(&self, dataset: &DatasetName, error: &RunError, after: Duration) {
        if self.style != Style::Quiet {
            self.line(&format!("{dataset}: {error}; tries again in {}", format::duration(after)));
        }
    }

    fn note(&self, text: &str) {
        if self.style != Style::Quiet {
            self.line(&format!("note: {text}"));
        }
    }
}
