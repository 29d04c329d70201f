//! One command in a node: started in a session of its own, its three streams carried by threads, signals sent
//! to its whole process group.

use super::serve::Outbox;
use super::setup;
use crate::protocol::{Exec, Frame, OUTPUT_WINDOW};
use crate::sys;
use rustix::process::{Pid, Signal, kill_process_group};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;

/// Bytes read from a command at once.
const CHUNK: usize = 32 * 1024;

/// A started command.
pub(super) struct Running {
    group: Pid,
    input: Option<mpsc::Sender<Vec<u8>>>,
    terminal: Option<File>,
    credit: Arc<Credit>,
    ended: Arc<AtomicBool>,
}

/// Bytes of output the host still wants.
struct Credit(Mutex<usize>, Condvar);

impl Credit {
    fn lock(&self) -> MutexGuard<'_, usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn give(&self, bytes: usize) {
        *self.lock() += bytes;
        self.1.notify_all();
    }

    /// Waits until there is some, takes at most `most`.
    fn take(&self, most: usize) -> usize {
        let mut left = self.lock();
        while *left == 0 {
            left = self.1.wait(left).unwrap_or_else(PoisonError::into_inner);
        }
        let taken = most.min(*left);
        *left -= taken;
        taken
    }
}

impl Running {
    pub(super) fn start(id: u32, exec: &Exec, outbox: &Outbox) -> io::Result<Self> {
        let (program, args) = exec.argv.split_first().ok_or_else(|| io::Error::other("an empty command"))?;
        let mut command = Command::new(OsStr::from_bytes(program));
        command.args(args.iter().map(|a| OsStr::from_bytes(a)));
        command.env_clear().envs([
            ("PATH", setup::path().as_str()),
            ("HOME", "/root"),
            ("USER", "root"),
            ("LOGNAME", "root"),
        ]);
        command.envs([("LC_ALL", "C.UTF-8"), ("SHELL", "/bin/bash"), ("TERM", "dumb")]);
        command.envs(exec.env.iter().map(|(n, v)| (OsStr::from_bytes(n), OsStr::from_bytes(v))));
        let cwd: &[u8] = if exec.cwd.is_empty() { b"/root" } else { &exec.cwd };
        command.current_dir(OsStr::from_bytes(cwd));
        // The PATH of the command, not the agent's, finds the program.
        let mut terminal = None;
        let input: Box<dyn Write + Send>;
        let mut readers: Vec<(Box<dyn Read + Send>, bool)> = Vec::new();
        let mut child: Child;
        if let Some(size) = exec.tty {
            let (master, slave) = open_terminal(size)?;
            sys::new_session(&mut command, true);
            command.stdin(slave.try_clone()?).stdout(slave.try_clone()?).stderr(slave);
            child = command.spawn()?;
            input = Box::new(master.try_clone()?);
            readers.push((Box::new(master.try_clone()?), false));
            terminal = Some(master);
        } else {
            sys::new_session(&mut command, false);
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
            child = command.spawn()?;
            input = Box::new(child.stdin.take().expect("was piped"));
            readers.push((Box::new(child.stdout.take().expect("was piped")), false));
            readers.push((Box::new(child.stderr.take().expect("was piped")), true));
        }
        // Our copies of the terminal's other end must go, or reading never ends.
        drop(command);
        let group = Pid::from_child(&child);
        let ended = Arc::new(AtomicBool::new(false));
        let sender = feed(id, input, outbox.clone());
        let credit = Arc::new(Credit(Mutex::new(OUTPUT_WINDOW), Condvar::new()));
        let carriers: Vec<_> = readers
            .into_iter()
            .map(|(from, complaints)| carry(id, from, complaints, Arc::clone(&credit), outbox.clone()))
            .collect();
        let (out, done) = (outbox.clone(), Arc::clone(&ended));
        thread::spawn(move || {
            let status = child.wait();
            carriers.into_iter().for_each(|c| drop(c.join()));
            done.store(true, Ordering::SeqCst);
            out.send(&match status {
                Ok(s) => Frame::Exit(id, s.code().unwrap_or_else(|| -s.signal().unwrap_or(0))),
                Err(e) => Frame::Refused(id, e.to_string()),
            });
        });
        Ok(Self { group, input: Some(sender), terminal, credit, ended })
    }

    pub(super) fn ended(&self) -> bool {
        self.ended.load(Ordering::SeqCst)
    }

    pub(super) fn stdin(&self, data: Vec<u8>) {
        // The host keeps within its window, so this queue is bounded.
        if let Some(input) = &self.input {
            let _ = input.send(data);
        }
    }

    pub(super) fn end_stdin(&mut self) {
        self.input = None;
    }

    pub(super) fn output_taken(&self, bytes: u32) {
        self.credit.give(bytes as usize);
    }

    pub(super) fn signal(&self, signal: i32) {
        if let Some(signal) = Signal::from_named_raw(signal) {
            let _ = kill_process_group(self.group, signal);
        }
    }

    pub(super) fn resize(&self, rows: u16, columns: u16) {
        if let Some(terminal) = &self.terminal {
            let _ = tcsetwinsize(terminal, size(rows, columns));
        }
    }
}

/// Writes what arrives for standard input, and says what was taken; once the command closed it, the rest is
/// taken and thrown away.
fn feed(id: u32, to: Box<dyn Write + Send>, outbox: Outbox) -> mpsc::Sender<Vec<u8>> {
    let (sender, receiver) = mpsc::channel::<Vec<u8>>();
    thread::spawn(move || {
        let mut to = Some(to);
        for data in receiver {
            if to.as_mut().is_some_and(|w| w.write_all(&data).is_err()) {
                to = None;
            }
            outbox.send(&Frame::StdinTaken(id, data.len() as u32));
        }
    });
    sender
}

fn carry(
    id: u32,
    mut from: Box<dyn Read + Send>,
    complaints: bool,
    credit: Arc<Credit>,
    outbox: Outbox,
) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        let mut buffer = vec![0; CHUNK];
        loop {
            let room = credit.take(CHUNK);
            match from.read(&mut buffer[..room]) {
                Ok(n) if n > 0 => {
                    credit.give(room - n);
                    let data = buffer[..n].to_vec();
                    outbox.send(&if complaints { Frame::Stderr(id, data) } else { Frame::Stdout(id, data) });
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => credit.give(room),
                // A terminal whose last user ended reads as an error.
                _ => return credit.give(room),
            }
        }
    })
}

fn open_terminal((rows, columns): (u16, u16)) -> io::Result<(File, OwnedFd)> {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
    grantpt(&master)?;
    unlockpt(&master)?;
    let name = ptsname(&master, Vec::new())?;
    let slave = File::options().read(true).write(true).open(OsStr::from_bytes(name.as_bytes()))?;
    tcsetwinsize(&master, size(rows, columns))?;
    Ok((File::from(master), OwnedFd::from(slave)))
}

fn size(rows: u16, columns: u16) -> Winsize {
    Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }
}
