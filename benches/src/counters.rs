//! What a machine has counted since it booted, read from /proc before and after a run.

use serde::Deserialize;
use serde::Serialize;

use crate::error::BenchError;
use crate::error::Result;

/// Clock ticks a second in /proc/stat. Linux has shown the same number to programs on every machine for decades.
const TICKS: f64 = 100.0;

/// The state of the counters, or how much they grew.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Counters {
    /// CPU time that was not idle, in seconds.
    pub busy: f64,
    /// Processes and threads started, the kernel's included.
    pub tasks: u64,
    /// TCP connections opened from here.
    pub connections: u64,
    /// Bytes through all network cards; on the loopback each once.
    pub wire: u64,
}

/// The lines of bash that print what [`Counters::parse`] reads. Builtins only: a question that starts programs would
/// count itself.
pub const QUESTION: &str = r#"for file in /proc/stat /proc/net/snmp /proc/net/dev; do
    echo "== $file"; while IFS= read -r line; do printf '%s\n' "$line"; done < "$file"; done"#;

impl Counters {
    /// Reads the three files.
    ///
    /// # Errors
    /// Where a counter is missing.
    pub fn parse(text: &str) -> Result<Self> {
        let missing = |what: &str| BenchError::Unfit(format!("this kernel does not tell its {what}"));
        let section = |file: &str| {
            let head = format!("== {file}\n");
            let start = text.find(&head).map(|at| at + head.len())?;
            let rest = &text[start..];
            Some(&rest[..rest.find("\n== ").unwrap_or(rest.len())])
        };
        let stat = section("/proc/stat").ok_or_else(|| missing("CPU time"))?;
        let busy = stat
            .lines()
            .find_map(|line| line.strip_prefix("cpu "))
            .and_then(busy_ticks)
            .ok_or_else(|| missing("CPU time"))?;
        let tasks = stat
            .lines()
            .find_map(|line| line.strip_prefix("processes ")?.trim().parse().ok())
            .ok_or_else(|| missing("count of processes"))?;
        let connections = section("/proc/net/snmp")
            .and_then(active_opens)
            .ok_or_else(|| missing("count of connections"))?;
        let wire = section("/proc/net/dev").and_then(wire_bytes).ok_or_else(|| missing("network bytes"))?;
        Ok(Self { busy: busy as f64 / TICKS, tasks, connections, wire })
    }

    /// How much they grew since.
    pub fn since(&self, before: &Self) -> Self {
        Self {
            busy: (self.busy - before.busy).max(0.0),
            tasks: self.tasks.saturating_sub(before.tasks),
            connections: self.connections.saturating_sub(before.connections),
            wire: self.wire.saturating_sub(before.wire),
        }
    }
}

/// user nice system idle iowait irq softirq steal: all but the two in which nothing was done, and what another
/// machine took.
fn busy_ticks(fields: &str) -> Option<u64> {
    let ticks: Vec<u64> = fields.split_whitespace().map(|field| field.parse().ok()).collect::<Option<_>>()?;
    let of = |at: usize| ticks.get(at).copied();
    Some(of(0)? + of(1)? + of(2)? + of(5)? + of(6)?)
}

/// `Tcp: … ActiveOpens …` and, on the next line, the numbers in the same order.
fn active_opens(text: &str) -> Option<u64> {
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("Tcp: "));
    let at = lines.next()?.split_whitespace().position(|name| name == "ActiveOpens")?;
    lines.next()?.split_whitespace().nth(at)?.parse().ok()
}

/// Bytes through all network cards, as /proc/net/dev tells them: `vec0: RECEIVED 7 more SENT …`.
pub fn wire_bytes(text: &str) -> Option<u64> {
    let mut sum = 0;
    let cards = text.lines().filter_map(|line| line.split_once(':'));
    for (name, fields) in cards {
        let fields: Vec<&str> = fields.split_whitespace().collect();
        let (received, sent): (u64, u64) = (fields.first()?.parse().ok()?, fields.get(8)?.parse().ok()?);
        sum += if name.trim() == "lo" { sent } else { received + sent };
    }
    Some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
== /proc/stat
cpu  100 20 30 4000 500 6 7 8 9 10
cpu0 100 20 30 4000 500 6 7 8 9 10
ctxt 12
processes 345
== /proc/net/snmp
Ip: Forwarding DefaultTTL
Ip: 1 64
Tcp: RtoAlgorithm RtoMin ActiveOpens PassiveOpens
Tcp: 1 200 77 5
== /proc/net/dev
Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets
    lo:    1000      10    0    0    0     0          0         0     1000      10    0
  vec0:     200       2    0    0    0     0          0         0       30       3    0
";

    #[test]
    fn counters_are_read_and_subtracted() {
        let counters = Counters::parse(TEXT).expect("read");
        assert_eq!(counters, Counters { busy: 1.63, tasks: 345, connections: 77, wire: 1230 });
        let later = Counters { tasks: 350, wire: 1300, ..counters };
        assert_eq!(later.since(&counters), Counters { busy: 0.0, tasks: 5, connections: 0, wire: 70 });
    }

    #[test]
    fn a_counter_that_is_missing_is_an_error_and_not_zero() {
        for gone in ["cpu  100", "processes", "ActiveOpens", "== /proc/net/dev"] {
            assert!(Counters::parse(&TEXT.replace(gone, "gone")).is_err(), "{gone}");
        }
    }
}
