//! The asking end against a serving one in the same process: questions and changes, limits, locks, and machines without
//! an agent. What the tests of streams and of agents that misbehave share is here as well.

use std::io::Read;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;

use bytes::Bytes;

use super::*;
use crate::agent::Class;
use crate::agent::Frames;
use crate::agent::Hello;
use crate::agent::Limits;
use crate::agent::fake::*;
use crate::agent::serve;
use crate::agent::whole;
use crate::codes::Code;
use crate::codes::Coded;
use crate::host::Next;
use crate::transport::Exit;
use crate::transport::Process;

mod fast;
mod hostile;
mod pairs;
mod reading;
mod streams;

/// What runs at the far end: it gets the connection, and gives its exit status and what it says about it.
type Far = dyn Fn(UnixStream) -> (i32, String) + Send + Sync;

/// A transport to a thread.
struct Thread {
    far: Arc<Far>,
    starts: Arc<AtomicUsize>,
}

impl Transport for Thread {
    fn peer(&self) -> &str {
        "far"
    }

    fn start<'a>(&'a mut self, command_line: &str) -> Result<Box<dyn Process + 'a>, TransportError> {
        assert!(command_line.contains("replicator"), "{command_line}");
        self.starts.fetch_add(1, Ordering::SeqCst);
        let (stream, there) = UnixStream::pair().expect("a pair");
        stream.set_read_timeout(Some(Duration::from_millis(20))).expect("a timeout");
        let far = self.far.clone();
        Ok(Box::new(Running { stream, far: Some(std::thread::spawn(move || far(there))) }))
    }

    fn another(&self) -> Result<Box<dyn Transport>, TransportError> {
        Ok(Box::new(Self { far: self.far.clone(), starts: self.starts.clone() }))
    }
}

struct Running {
    stream: UnixStream,
    far: Option<JoinHandle<(i32, String)>>,
}

impl Process for Running {
    fn write(&mut self, data: &Bytes) -> Result<(), TransportError> {
        self.stream.write_all(data).map_err(|_| TransportError::StdinClosed { peer: "far".to_string() })
    }

    fn read(&mut self, buf: &mut [u8]) -> Result<Option<usize>, TransportError> {
        match self.stream.read(buf) {
            Ok(n) => Ok(Some(n)),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Ok(None),
            // The other end closed with something of ours unread.
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => Ok(Some(0)),
            Err(error) => panic!("{error}"),
        }
    }

    fn idle(&mut self) -> Result<bool, TransportError> {
        Ok(false)
    }

    fn finish(
        mut self: Box<Self>,
        sink: &mut dyn FnMut(&[u8]) -> Result<(), TransportError>,
    ) -> Result<Exit, TransportError> {
        let _ = self.stream.shutdown(std::net::Shutdown::Write);
        let mut buffer = [0; 4096];
        loop {
            match self.read(&mut buffer)? {
                Some(0) => break,
                Some(n) => sink(&buffer[..n])?,
                None => {}
            }
        }
        let far = self.far.take().expect("not joined yet");
        let (status, said) = far.join().expect("no panic");
        Ok(Exit { status: Ok(status), stderr: said.into_bytes() })
    }
}

fn command() -> AgentCommand {
    AgentCommand::default()
}

/// A host whose agent is this.
fn with(far: impl Fn(UnixStream) -> (i32, String) + Send + Sync + 'static) -> (AgentHost, Arc<AtomicUsize>) {
    let starts = Arc::new(AtomicUsize::new(0));
    let transport = Thread { far: Arc::new(far), starts: starts.clone() };
    (AgentHost::new(Box::new(transport), command()).expect("a thread"), starts)
}

/// A host with a real agent over a host in memory.
fn serving(fake: Fake) -> (AgentHost, Arc<AtomicUsize>) {
    with(move |stream| {
        let limits = Limits::everywhere().allowing(vec![Class::All]);
        let output = stream.try_clone().expect("a clone");
        match serve(stream, output, &mut fake.clone(), &limits) {
            Ok(()) => (0, String::new()),
            Err(error) => (4, error.to_string()),
        }
    })
}

/// A host whose agent says hello, then waits for a request, and then says these bytes.
fn saying(bytes: Vec<u8>) -> AgentHost {
    with(move |mut stream| {
        let hello = serde_json::to_vec(&Hello::ours()).expect("JSON");
        let _ = stream.write_all(&whole(Kind::Hello, 0, &hello).expect("a frame"));
        let mut frames = Frames::default();
        let mut buffer = [0; 4096];
        // Hello and request.
        let mut came = 0;
        while came < 2 {
            match stream.read(&mut buffer) {
                Ok(0) | Err(_) => return (1, "no request".to_string()),
                Ok(n) => frames.push(&buffer[..n]),
            }
            while let Ok(Some(_)) = frames.next() {
                came += 1;
            }
        }
        let _ = stream.write_all(&bytes);
        (0, "gone".to_string())
    })
    .0
}

/// A host whose agent knows no newer version than this one, and is never asked anything.
fn older(newest: u16) -> AgentHost {
    with(move |mut stream| {
        let hello = Hello { newest, program: "0.0.9".to_string(), ..Hello::ours() };
        let hello = serde_json::to_vec(&hello).expect("JSON");
        let _ = stream.write_all(&whole(Kind::Hello, 0, &hello).expect("a frame"));
        let mut frames = Frames::default();
        let mut buffer = [0; 4096];
        loop {
            match stream.read(&mut buffer) {
                Ok(0) | Err(_) => return (0, String::new()),
                Ok(n) => frames.push(&buffer[..n]),
            }
            while let Ok(Some(frame)) = frames.next() {
                assert_eq!(frame.kind, Kind::Hello, "nothing that it does not know");
            }
        }
    })
    .0
}

fn frame(kind: Kind, id: u32, payload: &str) -> Vec<u8> {
    whole(kind, id, payload.as_bytes()).expect("a frame").to_vec()
}

fn done(id: u32) -> Vec<u8> {
    frame(Kind::Answer, id, "\"done\"")
}

fn read_all(mut outgoing: Box<dyn Outgoing + '_>) -> Result<Vec<u8>, HostError> {
    let mut data = Vec::new();
    loop {
        match outgoing.next(70_000)? {
            Next::Block(block) => {
                assert!(!block.is_empty() && block.len() <= 70_000);
                data.extend_from_slice(&block);
            }
            Next::Nothing => {}
            Next::End => break,
        }
    }
    outgoing.finish()?;
    Ok(data)
}

#[test]
fn what_is_asked_arrives_as_the_host_there_says_it() {
    let datasets = vec![state("tank", 0), state("tank/a", 5000), state("tank/a/vol", 2), state("tank/b", 1)];
    let mut fake = Fake { datasets, ..Fake::default() };
    let (mut host, starts) = serving(fake.clone());
    assert_eq!(host.label(), "far");
    for (root, depth) in
        [("tank", Depth::All), ("tank/a", Depth::All), ("tank/a", Depth::One), ("tank/a/x/y", Depth::All)]
    {
        let root = dataset(root);
        assert_eq!(
            host.inventory(&root, depth).expect("an answer"),
            fake.inventory(&root, depth).expect("it")
        );
    }
    assert!(
        matches!(host.inventory(&dataset("no"), Depth::One), Err(HostError::NoPool { host, .. }) if host == "far")
    );
    assert_eq!(host.about("tank").expect("an answer"), fake.about("tank").expect("it"));
    let root = dataset("tank/a");
    assert_eq!(
        host.properties(&root, Depth::One).expect("an answer"),
        fake.properties(&root, Depth::One).expect("it")
    );
    let mut names: Vec<_> = (0..2500).map(|n| snapshot(&format!("tank/a@s{n}"))).collect();
    names.push(snapshot("tank/gone@s1"));
    assert_eq!(host.snapshot_guids(&names).expect("an answer"), fake.snapshot_guids(&names).expect("it"));
    let streams = vec![send_spec("tank/a@s1", 1); 150];
    assert_eq!(host.estimate(&streams).expect("an answer"), vec![Some(123); 150]);
    let changes = [
        Change::CreateFilesystem { dataset: dataset("tank/c"), set: vec![("canmount".into(), "off".into())] },
        Change::Bookmark {
            bookmarks: vec![("tank/a#b".parse().expect("a name"), snapshot("tank/a@s1"), Guid(1))],
        },
        Change::DestroyBookmarks { bookmarks: vec![("tank/a#b".parse().expect("a name"), Guid(1))] },
        Change::Rename { from: dataset("tank/a"), guid: Guid(5), to: dataset("tank/d") },
        Change::Clone { snapshot: snapshot("tank/a@s1"), guid: Guid(1), to: dataset("tank/e"), set: vec![] },
        Change::Promote { dataset: dataset("tank/a") },
        Change::SetProperties { dataset: dataset("tank/a"), set: vec![("readonly".into(), "on".into())] },
        Change::DiscardPartial {
            dataset: dataset("tank/a"),
            partial: crate::host::listing::partial("1-nonsense").expect("a token"),
        },
    ];
    for change in &changes {
        host.apply(change).expect("applied");
        assert_eq!(fake.log.all().last(), Some(&format!("apply {change:?}")));
    }
    assert!(host.has_zstd().expect("an answer"));
    assert_eq!(starts.load(Ordering::SeqCst), 1, "one agent for all of it");
    let mut other = host.another().expect("another");
    other.about("tank").expect("an answer");
    host.about("tank").expect("an answer");
    assert_eq!(starts.load(Ordering::SeqCst), 2);
}

#[test]
fn limits_at_the_far_end_are_errors_of_their_own() {
    let (mut host, _) = with(|stream| {
        let output = stream.try_clone().expect("a clone");
        let limits = Limits::within(vec![dataset("tank/in")]);
        let ended = serve(stream, output, &mut Fake::default(), &limits);
        (i32::from(ended.is_err()), String::new())
    });
    let error = host.inventory(&dataset("tank/out"), Depth::One).expect_err("outside");
    assert!(matches!(error, HostError::Refused { .. }) && error.hint().is_some(), "{error}");
    assert!(matches!(host.receive(&receive_spec("tank/out@s")), Err(HostError::Refused { .. })));
    assert!(matches!(
        read_all(host.send(&send_spec("tank/in@s", 1)).expect("asked")),
        Err(HostError::Refused { .. })
    ));
}

#[test]
fn a_machine_without_an_agent_is_told_apart_from_one_with_a_bad_one() {
    for (status, said) in [
        (127, "sh: 1: exec: replicator: not found"),
        (126, ""),
        (1, "sudo: replicator: command not found"),
        (2, "error: unrecognized subcommand 'agent'"),
    ] {
        let (mut host, _) = with(move |_| (status, said.to_string()));
        let error = host.start().expect_err("none");
        assert_eq!(error.code(), Code::NoAgent, "{status} {said}: {error}");
        assert!(error.hint().is_some());
    }
    let (mut host, _) = with(|_| (5, "error: there is no /dev/zfs".to_string()));
    let error = host.start().expect_err("no zfs");
    assert!(matches!(error, HostError::Remote { .. }) && error.to_string().contains("/dev/zfs"), "{error}");
    assert_eq!(error.code(), Code::Connection);
}

#[test]
fn a_request_that_is_too_large_is_not_sent() {
    let (mut host, _) = serving(Fake::default());
    let set = vec![("org:x".to_string(), "x".repeat(2 << 20))];
    let error = host.apply(&Change::SetProperties { dataset: dataset("tank"), set }).expect_err("too large");
    assert!(matches!(error, HostError::Transport(TransportError::TooMuch { .. })), "{error}");
    assert_eq!(error.code(), Code::BadAnswer);
    host.about("tank").expect("the agent is still there");
}

#[test]
fn each_new_agent_keeps_other_runs_out_again() {
    let root: DatasetName = "tank/in".parse().expect("a name");
    let fake = Fake::default();
    let log = fake.log.clone();
    let (mut host, starts) = serving(fake);
    host.lock(&root, Depth::All, "me").expect("free");
    host.link.close();
    host.about("tank").expect("a new agent");
    assert_eq!(starts.load(Ordering::SeqCst), 2);
    assert_eq!(log.all(), ["lock tank/in All for me", "lock tank/in All for me"]);

    // Several share a connection.
    let other: DatasetName = "tank/other".parse().expect("a name");
    host.lock(&other, Depth::All, "me").expect("free");
    host.link.close();
    host.about("tank").expect("a new agent");
    assert_eq!(log.all()[3..], ["lock tank/in All for me", "lock tank/other All for me"]);

    let error = host.lock(&"tank/busy".parse().expect("a name"), Depth::One, "me").expect_err("busy");
    assert!(matches!(&error, HostError::Busy { host, process: Some(7), .. } if host == "far"), "{error}");
    assert!(error.to_string().contains("tank/busy") && error.hint().is_some(), "{error}");
    // What is not had is not asked for again.
    host.link.close();
    host.about("tank").expect("a new agent");
    assert_eq!(log.all().last().map(String::as_str), Some("lock tank/other All for me"));
}

#[test]
fn many_long_names_go_in_requests_that_fit() {
    let long = "x".repeat(200);
    let dataset: DatasetName = "tank/in".parse().expect("a name");
    let bookmarks: Vec<_> = (0..2500)
        .map(|at| {
            let short = format!("{long}{at:05}");
            let name = dataset.bookmark(&short).expect("a name");
            (name, dataset.snapshot(&short).expect("a name"), Guid(u64::MAX))
        })
        .collect();
    let gone = bookmarks.iter().map(|(name, _, guid)| (name.clone(), *guid)).collect();
    for change in [Change::Bookmark { bookmarks }, Change::DestroyBookmarks { bookmarks: gone }] {
        let fake = Fake::default();
        let log = fake.log.clone();
        let (mut host, starts) = serving(fake);
        host.apply(&change).expect("applied");
        assert_eq!((log.all().len(), starts.load(Ordering::SeqCst)), (3, 1), "{:?}", change.kind());
    }
}
