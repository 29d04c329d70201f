//! The host's end of the control channel to one booted node: a thread reads what the agent sends and sorts it
//! by command. What a command's output is used for is decided in `command`.

use crate::protocol::{CHANNEL_WINDOW, DIRECT, Exec, FILES, Frame, OUTPUT_WINDOW, STDIN_WINDOW, VERSION};
use std::collections::{HashMap, VecDeque};
use std::fs;
use std::io::{self, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// What arrives for one command.
#[derive(Debug)]
pub(crate) enum Event {
    Stdout(Vec<u8>),
    Stderr(Vec<u8>),
    /// Exit code, or the negative number of a signal. The last event.
    Exit(i32),
    /// It could not be started. The last event.
    Refused(String),
}

/// The channel to a node.
#[derive(Debug)]
pub(crate) struct Control {
    /// Where frames that are too large for the channel go.
    files: PathBuf,
    writer: Mutex<UnixStream>,
    state: Mutex<State>,
    changed: Condvar,
    next: AtomicU32,
}

#[derive(Debug, Default)]
struct State {
    hello: Option<Duration>,
    /// Why the channel ended.
    dead: Option<String>,
    commands: HashMap<u32, Slot>,
    /// Bytes sent and not yet read by the agent.
    in_flight: usize,
    /// Sizes of the frames in flight, with the file of those that have one.
    sent: VecDeque<(usize, Option<PathBuf>)>,
    next_file: u32,
}

#[derive(Debug)]
struct Slot {
    events: Sender<Event>,
    /// Bytes of standard input in flight.
    unread: usize,
}

/// A command as the channel knows it. Dropping it forgets the command, which goes on in the node.
#[derive(Debug)]
pub(crate) struct Handle {
    control: Arc<Control>,
    id: u32,
    events: Receiver<Event>,
    /// Output read since the agent was told last.
    taken: AtomicU32,
}

impl Control {
    /// Serves a channel; `dir` is the node's folder.
    pub(crate) fn start(stream: UnixStream, dir: &Path) -> io::Result<Arc<Self>> {
        let files = dir.join(FILES);
        if files.exists() {
            fs::remove_dir_all(&files)?;
        }
        fs::create_dir(&files)?;
        let reader = stream.try_clone()?;
        let control = Arc::new(Self {
            files,
            writer: Mutex::new(stream),
            state: Mutex::default(),
            changed: Condvar::new(),
            next: AtomicU32::new(1),
        });
        let me = Arc::clone(&control);
        thread::spawn(move || {
            let mut from = BufReader::with_capacity(64 * 1024, reader);
            let why = loop {
                match Frame::read(&mut from) {
                    Ok(frame) => {
                        if let Err(why) = me.sort(frame) {
                            break why;
                        }
                    }
                    Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => break "the node ended".into(),
                    Err(e) => break e.to_string(),
                }
            };
            me.end(&why);
        });
        Ok(control)
    }

    fn sort(&self, frame: Frame) -> Result<(), String> {
        let mut state = self.lock();
        match frame {
            Frame::Hello { version: VERSION, boot } => state.hello = Some(boot),
            Frame::Hello { version, .. } => {
                return Err(format!("the agent speaks version {version}, this program {VERSION}"));
            }
            Frame::Stdout(id, data) => state.tell(id, Event::Stdout(data)),
            Frame::Stderr(id, data) => state.tell(id, Event::Stderr(data)),
            Frame::StdinTaken(id, n) => {
                if let Some(slot) = state.commands.get_mut(&id) {
                    slot.unread = slot.unread.saturating_sub(n as usize);
                }
            }
            Frame::Got(_) => {
                if let Some((size, file)) = state.sent.pop_front() {
                    state.in_flight -= size;
                    file.map(fs::remove_file);
                }
            }
            Frame::Exit(id, code) => {
                state.tell(id, Event::Exit(code));
                state.commands.remove(&id);
            }
            Frame::Refused(id, why) => {
                state.tell(id, Event::Refused(why));
                state.commands.remove(&id);
            }
            other => return Err(format!("the agent sent {other:?}")),
        }
        self.changed.notify_all();
        Ok(())
    }

    /// Ends the channel: every waiting command sees its events end.
    pub(crate) fn end(&self, why: &str) {
        let mut state = self.lock();
        state.dead.get_or_insert_with(|| why.to_owned());
        state.commands.clear();
        self.changed.notify_all();
    }

    /// Waits until the node is ready; how long its kernel took, or why it did not get there.
    pub(crate) fn ready(&self, limit: Duration) -> Result<Duration, String> {
        let end = Instant::now() + limit;
        let mut state = self.lock();
        loop {
            if let Some(boot) = state.hello {
                return Ok(boot);
            }
            if let Some(why) = &state.dead {
                return Err(why.clone());
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(format!("not ready within {limit:?}"));
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Starts a command.
    pub(crate) fn exec(self: &Arc<Self>, exec: Exec) -> io::Result<Handle> {
        self.request(|id| Frame::Exec(id, exec))
    }

    /// Sets the node's clock.
    pub(crate) fn set_time(self: &Arc<Self>, seconds: i64, nanos: u32) -> io::Result<Handle> {
        self.request(|id| Frame::SetTime(id, seconds, nanos))
    }

    fn request(self: &Arc<Self>, frame: impl FnOnce(u32) -> Frame) -> io::Result<Handle> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, events) = channel();
        {
            let mut state = self.lock();
            if let Some(why) = &state.dead {
                return Err(io::Error::new(io::ErrorKind::BrokenPipe, why.clone()));
            }
            state.commands.insert(id, Slot { events: sender, unread: 0 });
        }
        self.send(&frame(id))?;
        Ok(Handle { control: Arc::clone(self), id, events, taken: AtomicU32::new(0) })
    }

    /// Sends a frame, once the agent has read enough of what was sent before.
    pub(crate) fn send(&self, frame: &Frame) -> io::Result<()> {
        let mut bytes = frame.encode()?;
        // Held from here on: frames of one command keep their order.
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let mut state = self.lock();
        let mut file = None;
        if bytes.len() > DIRECT {
            let number = state.next_file;
            state.next_file += 1;
            let path = self.files.join(number.to_string());
            fs::write(&path, &bytes)?;
            bytes = Frame::File(number).encode()?;
            file = Some(path);
        }
        loop {
            if let Some(why) = &state.dead {
                return Err(io::Error::new(io::ErrorKind::BrokenPipe, why.clone()));
            }
            if state.in_flight + bytes.len() <= CHANNEL_WINDOW {
                break;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.in_flight += bytes.len();
        state.sent.push_back((bytes.len(), file));
        drop(state);
        writer.write_all(&bytes)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn tell(&self, id: u32, event: Event) {
        if let Some(slot) = self.commands.get(&id) {
            let _ = slot.events.send(event);
        }
    }
}

impl Handle {
    /// The next event; `Ok(None)` when the limit is over, an error when the node is gone.
    pub(crate) fn next(&self, limit: Option<Duration>) -> Result<Option<Event>, NodeGone> {
        use std::sync::mpsc::RecvTimeoutError;
        let event = match limit {
            None => self.events.recv().map_err(|_| NodeGone),
            Some(limit) => match self.events.recv_timeout(limit) {
                Err(RecvTimeoutError::Timeout) => return Ok(None),
                other => other.map_err(|_| NodeGone),
            },
        }?;
        if let Event::Stdout(data) | Event::Stderr(data) = &event {
            let taken = self.taken.load(Ordering::Relaxed) + data.len() as u32;
            let report = taken as usize >= OUTPUT_WINDOW / 4;
            self.taken.store(if report { 0 } else { taken }, Ordering::Relaxed);
            if report {
                let _ = self.control.send(&Frame::OutputTaken(self.id, taken));
            }
        }
        Ok(Some(event))
    }

    /// What other threads use to act on the command.
    pub(crate) fn remote(&self) -> Remote {
        Remote { control: Arc::clone(&self.control), id: self.id }
    }
}

/// The node ended before its answer came.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NodeGone;

/// Acts on a running command.
#[derive(Debug, Clone)]
pub(crate) struct Remote {
    control: Arc<Control>,
    id: u32,
}

impl Remote {
    /// Gives it standard input; waits while it has enough unread.
    pub(crate) fn stdin(&self, data: &[u8]) -> io::Result<()> {
        for chunk in data.chunks(STDIN_WINDOW / 4) {
            let mut state = self.control.lock();
            loop {
                let Some(slot) = state.commands.get_mut(&self.id) else {
                    return Err(io::ErrorKind::BrokenPipe.into());
                };
                if slot.unread + chunk.len() <= STDIN_WINDOW {
                    slot.unread += chunk.len();
                    break;
                }
                state = self.control.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            drop(state);
            self.control.send(&Frame::Stdin(self.id, chunk.to_vec()))?;
        }
        Ok(())
    }

    pub(crate) fn stdin_end(&self) -> io::Result<()> {
        self.control.send(&Frame::StdinEnd(self.id))
    }

    pub(crate) fn signal(&self, signal: i32) -> io::Result<()> {
        self.control.send(&Frame::Signal(self.id, signal))
    }

    pub(crate) fn resize(&self, rows: u16, columns: u16) -> io::Result<()> {
        self.control.send(&Frame::Resize(self.id, rows, columns))
    }
}
