//! Far ends that take nothing more, over a transport that then waits in its write for ever: each kind of host gets out
//! of it, and can be used again.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use super::*;
use crate::agent::Hello;
use crate::agent::Kind;
use crate::agent::Part;
use crate::agent::header;
use crate::agent::whole;
use crate::host::Host;
use crate::host::ReceiveSpec;
use crate::host::agent::AgentCommand;
use crate::host::agent::AgentHost;
use crate::host::zfs_cli::ZfsCli;
use crate::transport::Exit;
use crate::transport::Process;
use crate::transport::Transport;

/// The other machine: it says these frames, each after another message came, and takes nothing once all are said.
#[derive(Clone)]
struct Machine {
    says: Vec<Bytes>,
    starts: Arc<AtomicUsize>,
    breaker: Cancel,
}

struct Running {
    says: VecDeque<Bytes>,
    breaker: Cancel,
}

impl Transport for Machine {
    fn peer(&self) -> &str {
        "far"
    }

    fn start<'a>(&'a mut self, _: &str) -> Result<Box<dyn Process + 'a>, TransportError> {
        self.starts.fetch_add(1, Ordering::SeqCst);
        Ok(Box::new(Running { says: self.says.clone().into(), breaker: self.breaker.clone() }))
    }

    fn breaker(&self) -> Option<Cancel> {
        Some(self.breaker.clone())
    }

    fn another(&self) -> Result<Box<dyn Transport>, TransportError> {
        Ok(Box::new(self.clone()))
    }
}

impl Process for Running {
    fn write(&mut self, _: &Bytes) -> Result<(), TransportError> {
        while self.says.is_empty() {
            if self.breaker.is_cancelled() {
                return Err(TransportError::Cancelled);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    fn read(&mut self, buf: &mut [u8]) -> Result<Option<usize>, TransportError> {
        if self.breaker.is_cancelled() {
            return Err(TransportError::Cancelled);
        }
        let Some(next) = self.says.pop_front() else {
            std::thread::sleep(Duration::from_millis(1));
            return Ok(None);
        };
        buf[..next.len()].copy_from_slice(&next);
        Ok(Some(next.len()))
    }

    fn idle(&mut self) -> Result<bool, TransportError> {
        Ok(false)
    }

    fn finish(
        self: Box<Self>,
        _: &mut dyn FnMut(&[u8]) -> Result<(), TransportError>,
    ) -> Result<Exit, TransportError> {
        panic!("it was never told that the stream is over");
    }
}

fn gets_out(mut host: impl Host, starts: &AtomicUsize) {
    let spec = ReceiveSpec {
        to: "tank/a@x".parse().expect("a name"),
        guid: Guid(5),
        set: Vec::new(),
        origin: None,
        compressed: false,
    };
    let breaker = host.breaker().expect("that of its transport");
    let short = Some(Duration::from_millis(300));
    let settings = Settings {
        patience: Patience { bytes: short, end: short },
        ends: vec![breaker.clone()],
        ..Settings::default()
    };
    for round in 1..=2 {
        let (from, to) = (From::new(stream(5, 4, 100)), host.receive(&spec).expect("it begins"));
        let ended = go(Box::new(from), to, Coding::Plain, Coding::Plain, &settings, &Cancel::new());
        let error = ended.expect_err("stalled");
        assert!(matches!(error, TransferError::Stalled { end: End::Receiver, .. }), "{error}");
        assert_eq!(error.code(), Code::Stalled);
        assert_eq!(starts.load(Ordering::SeqCst), round);
        breaker.reset();
    }
}

fn machine(says: Vec<Bytes>) -> Machine {
    Machine { says, starts: Arc::default(), breaker: Cancel::new() }
}

#[test]
fn a_zfs_command_that_reads_no_more_is_left() {
    let far = machine(Vec::new());
    let starts = far.starts.clone();
    gets_out(ZfsCli::new(Box::new(far)), &starts);
}

#[test]
fn an_agent_that_reads_no_more_is_left() {
    let hello = serde_json::to_vec(&Hello::ours()).expect("JSON");
    let ready = serde_json::to_vec(&Part::Ready).expect("JSON");
    let says = [(Kind::Hello, 0, hello), (Kind::Part, 1, ready)]
        .map(|(kind, id, text)| whole(kind, id, &text).expect("a frame"));
    let far = machine(says.to_vec());
    let starts = far.starts.clone();
    gets_out(AgentHost::new(Box::new(far), AgentCommand::default()).expect("a thread"), &starts);
}

#[test]
fn an_agent_that_never_answers_is_given_up() {
    let hello = serde_json::to_vec(&Hello::ours()).expect("JSON");
    // It begins a frame and stops in the middle of it.
    let begun = Bytes::copy_from_slice(&header(Kind::Part, 1, 100)[..4]);
    let far = machine(vec![whole(Kind::Hello, 0, &hello).expect("a frame"), begun]);
    let command = AgentCommand { silence: Duration::from_millis(50), ..AgentCommand::default() };
    let mut host = AgentHost::new(Box::new(far), command).expect("a thread");
    let error = host.about("tank").expect_err("no answer");
    assert!(matches!(error, HostError::Transport(TransportError::Timeout { .. })), "{error}");
}
