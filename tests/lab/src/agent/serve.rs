//! The agent's end of the control channel: one thread reads frames, every command has its own threads, and
//! all of them write through one lock.

use super::command::Running;
use super::setup;
use crate::protocol::{FILES, Frame, VERSION};
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufReader};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The console that carries frames.
const CHANNEL: &str = "/dev/tty1";

/// Where all threads write.
#[derive(Clone)]
pub(super) struct Outbox(Arc<Mutex<File>>);

impl Outbox {
    /// Sends a frame. A failure means that the host is gone, and with it the node: nobody is left to tell.
    pub(super) fn send(&self, frame: &Frame) {
        let mut file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(e) = frame.write(&mut *file) {
            eprintln!("lab: cannot send: {e}");
        }
    }
}

pub(super) fn run() -> io::Result<()> {
    let channel = File::options().read(true).write(true).open(CHANNEL)?;
    let mut modes = tcgetattr(&channel)?;
    modes.make_raw();
    tcsetattr(&channel, OptionalActions::Now, &modes)?;
    let outbox = Outbox(Arc::new(Mutex::new(channel.try_clone()?)));
    outbox.send(&Frame::Hello { version: VERSION, boot: uptime() });

    let mut from = BufReader::with_capacity(64 * 1024, channel);
    let mut running: HashMap<u32, Running> = HashMap::new();
    loop {
        let (mut frame, size) = Frame::read_sized(&mut from)?;
        if let Frame::File(number) = frame {
            frame = Frame::read(&mut File::open(format!("/lab/{FILES}/{number}"))?)?;
        }
        outbox.send(&Frame::Got(size as u32));
        running.retain(|_, command| !command.ended());
        match frame {
            Frame::Exec(id, exec) => match Running::start(id, &exec, &outbox) {
                Ok(command) => drop(running.insert(id, command)),
                Err(e) => outbox.send(&Frame::Refused(id, e.to_string())),
            },
            Frame::Stdin(id, data) => match running.get(&id) {
                Some(command) => command.stdin(data),
                None => outbox.send(&Frame::StdinTaken(id, data.len() as u32)),
            },
            Frame::StdinEnd(id) => drop(running.get_mut(&id).map(Running::end_stdin)),
            Frame::Signal(id, signal) => drop(running.get(&id).map(|c| c.signal(signal))),
            Frame::OutputTaken(id, bytes) => drop(running.get(&id).map(|c| c.output_taken(bytes))),
            Frame::Resize(id, rows, columns) => drop(running.get(&id).map(|c| c.resize(rows, columns))),
            Frame::SetTime(id, seconds, nanos) => outbox.send(&match setup::set_clock(seconds, nanos) {
                Ok(()) => Frame::Exit(id, 0),
                Err(e) => Frame::Refused(id, e.to_string()),
            }),
            Frame::PowerOff => {
                super::power_off();
                return Ok(());
            }
            other => return Err(io::Error::other(format!("the host sent {other:?}"))),
        }
    }
}

/// From the file: the lab's kernels offer no vDSO, without which rustix's `clock_gettime` panics.
fn uptime() -> Duration {
    let text = std::fs::read_to_string("/proc/uptime").unwrap_or_default();
    text.split_whitespace()
        .next()
        .and_then(|s| s.parse().ok())
        .map_or(Duration::ZERO, Duration::from_secs_f64)
}
