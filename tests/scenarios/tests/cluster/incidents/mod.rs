//! Incidents of a pair: files of timed events in, a log of what came of each out, on two real nodes with real pools and a real
//! sshd. The cluster that decides is the stand-in for Proxmox VE; a third node of it has only a vote.
//!
//! `NAME.txt` holds the events and `NAME.log`, beside it, what has to come of them. A log that differs is printed as a whole;
//! with `LAB_GOLDEN=write` it takes the place of the file. What is another one each time (times, GUIDs, sizes, tokens) is
//! masked ([`mask`]). [`script`] tells what stands in a file of events, [`stage`] what each event does.
//!
//! Beside the log some things have to hold after every event, whatever the log says ([`laws`]).

use std::fmt::Write as _;
use std::path::Path;

use stage::Stage;

mod laws;
mod look;
mod mask;
mod nodes;
mod script;
mod stage;

/// What came of the events so far.
#[derive(Default)]
struct Log(String);

impl Log {
    /// Somebody may wait for it, and see how far it is.
    fn add(&mut self, line: &str) {
        eprintln!("{line}");
        let _ = writeln!(self.0, "{line}");
    }
}

/// Plays the events of a file, and holds the log against the one that is kept.
fn play(name: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cluster/incidents");
    let read = |end: &str| std::fs::read_to_string(folder.join(format!("{name}.{end}")));
    let script = script::Script::parse(&read("txt").expect("a file of events"));
    let mut stage = Stage::set(&script.given);
    let mut laws = laws::Laws::default();
    let mut log = Log::default();
    let (mut events, mut wrong) = (0, Vec::new());
    for line in &script.lines {
        log.add(line.text());
        let script::Line::Event(event) = line else { continue };
        let said = stage.play(event);
        for said in &said {
            log.add(&format!("    {said}"));
        }
        // What goes well says nothing of its status.
        let status = said.last().and_then(|last| last.strip_prefix("status ")).map_or(Ok(0), str::parse);
        if let Some(wanted) = event.status.filter(|wanted| status != Ok(*wanted)) {
            wrong.push(format!("{}: {status:?}, and not {wanted}", event.text));
        }
        events += 1;
        if event.shows_nothing() {
            continue;
        }
        let seen = stage.look(event);
        laws.hold(&seen, event.meddles()).unwrap_or_else(|broken| panic!("{broken}\n{}", log.0));
        for changed in stage.changed(seen) {
            log.add(&format!("  {changed}"));
        }
    }
    let log = log.0;
    assert!(events > 5, "{name} has only {events} events");
    stage.ended();
    if std::env::var("LAB_GOLDEN").is_ok_and(|how| how == "write") {
        std::fs::write(folder.join(format!("{name}.log")), &log).expect("written");
    }
    assert!(wrong.is_empty(), "{name} did not end as it has to:\n{}\n{log}", wrong.join("\n"));
    let kept = read("log").unwrap_or_default();
    if log != kept {
        let differs = log.lines().zip(kept.lines()).find(|(ours, theirs)| ours != theirs);
        panic!("{name}.log is not what came of it, from {differs:?} on. What came of it:\n{log}");
    }
}

/// A pair of encrypted datasets there and back: sent raw, and the standby has no key before it is promoted.
#[test]
fn raw() {
    play("raw");
}

/// The guest is moved in the middle of a send, and what was under way comes late.
#[test]
fn late() {
    play("late");
}

/// Both nodes are cut off from each other, and both can be written to; equal epochs.
#[test]
fn split() {
    play("split");
}

/// The other node is away for 30 days.
#[test]
fn away() {
    play("away");
}

/// The cluster says nothing, or what is old, or less than is needed.
#[test]
fn blind() {
    play("blind");
}

/// A pool is full.
#[test]
fn full() {
    play("full");
}

/// The guest goes back and forth within minutes.
#[test]
fn flapping() {
    play("flapping");
}

/// The guest moves twice, and the node that it left does not hear of it in time.
#[test]
fn untold() {
    play("untold");
}

/// Data are lost at the source, all at once.
#[test]
fn loss() {
    play("loss");
}

/// The clock of a node is a day off.
#[test]
fn clocks() {
    play("clocks");
}

/// Datasets and guests whose names begin alike.
#[test]
fn names() {
    play("names");
}

/// A disk is replaced: of the standby, and of the active node.
#[test]
fn disks() {
    play("disks");
}

/// A disk of the active node is replaced, and somebody helps.
#[test]
fn helped() {
    play("helped");
}
