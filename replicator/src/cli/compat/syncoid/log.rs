//! What syncoid says, on the streams where it says it: `INFO` and `DEBUG` on standard output, `WARNING` and `CRITICAL
//! ERROR` on standard error. `--quiet` leaves errors, and what is destroyed although nobody asked for it.

use std::io::Write;

/// How much something weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    /// With `--debug` only.
    Debug,
    /// Not with `--quiet`.
    Info,
    /// Not with `--quiet`, on standard error.
    Warn,
    /// On standard error, whatever was asked for.
    Loud,
    /// An error.
    Critical,
}

/// Takes lines.
type Sink = Box<dyn Fn(Level, &str) + Send + Sync>;

/// Where lines go.
pub(super) struct Log {
    quiet: bool,
    debug: bool,
    sink: Sink,
}

impl Log {
    /// To the streams of this process.
    pub(super) fn new(quiet: bool, debug: bool) -> Self {
        let sink = |level: Level, line: &str| {
            // Without a reader there is nobody to tell.
            let _ = match level {
                Level::Debug | Level::Info => writeln!(std::io::stdout(), "{line}"),
                Level::Warn | Level::Loud | Level::Critical => writeln!(std::io::stderr(), "{line}"),
            };
        };
        Self { quiet, debug, sink: Box::new(sink) }
    }

    /// To somebody else.
    #[cfg(test)]
    pub(super) fn to(quiet: bool, sink: impl Fn(Level, &str) + Send + Sync + 'static) -> Self {
        Self { quiet, debug: !quiet, sink: Box::new(sink) }
    }

    fn say(&self, level: Level, text: impl std::fmt::Display) {
        let (shown, head) = match level {
            Level::Debug => (self.debug, "DEBUG"),
            Level::Info => (!self.quiet, "INFO"),
            Level::Warn => (!self.quiet, "WARNING"),
            Level::Loud => (true, "WARNING"),
            Level::Critical => (true, "CRITICAL ERROR"),
        };
        if shown {
            (self.sink)(level, &format!("{head}: {text}"));
        }
    }

    pub(super) fn debug(&self, text: impl std::fmt::Display) {
        self.say(Level::Debug, text);
    }

    pub(super) fn info(&self, text: impl std::fmt::Display) {
        self.say(Level::Info, text);
    }

    pub(super) fn warn(&self, text: impl std::fmt::Display) {
        self.say(Level::Warn, text);
    }

    pub(super) fn loud(&self, text: impl std::fmt::Display) {
        self.say(Level::Loud, text);
    }

    pub(super) fn critical(&self, text: impl std::fmt::Display) {
        self.say(Level::Critical, text);
    }
}

/// A size as syncoid writes it. Below four kilobytes it says four.
pub(super) fn size(bytes: Option<u64>) -> String {
    let Some(bytes) = bytes else { return "UNKNOWN".to_string() };
    #[allow(clippy::cast_precision_loss, reason = "one digit behind the point is printed")]
    let bytes = bytes.max(4096) as f64;
    let kilo = 1024.0;
    if bytes > kilo * kilo * kilo {
        format!("{:.1} GB", bytes / kilo / kilo / kilo)
    } else if bytes > kilo * kilo {
        format!("{:.1} MB", bytes / kilo / kilo)
    } else {
        format!("{} KB", (bytes / kilo).trunc())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn sizes_are_written_as_there() {
        for (bytes, text) in [
            (None, "UNKNOWN"),
            (Some(0), "4 KB"),
            (Some(1024 * 1024), "1024 KB"),
            (Some(1024 * 1024 * 3 / 2), "1.5 MB"),
            (Some(u64::from(u32::MAX)), "4.0 GB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }

    #[test]
    fn quiet_leaves_errors_and_what_is_destroyed() {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let sink = lines.clone();
        let log = Log::to(true, move |_, line| sink.lock().expect("alone").push(line.to_string()));
        log.info("a");
        log.warn("b");
        log.loud("c");
        log.critical("d");
        assert_eq!(*lines.lock().expect("alone"), ["WARNING: c", "CRITICAL ERROR: d"]);
    }
}
