//! The asking end against a serving one in the same process, and against agents that misbehave.

use std::io::Read;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;

use bytes::Bytes;
use proptest::prelude::*;
use zfs_core::ErrorKind;

use super::*;
use crate::agent::Answer;
use crate::agent::Class;
use crate::agent::DATA_LIMIT;
use crate::agent::Frames;
use crate::agent::Hello;
use crate::agent::Limits;
use crate::agent::fake::*;
use crate::agent::header;
use crate::agent::serve;
use crate::agent::whole;
use crate::compare::content::Content;
use crate::compare::content::Entry;
use crate::compare::content::Gathered;
use crate::compare::content::Piece;
use crate::host::Next;
use crate::transport::Exit;
use crate::transport::Process;

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

fn file(kind: u8, sum: Option<u8>) -> Entry {
    let link = if kind == b'l' { b"\xff\n".to_vec() } else { Vec::new() };
    let size = if kind == b'f' { u64::MAX } else { 0 };
    let sum = sum.map(|byte| [byte; 32]);
    Entry { kind, size, mode: 0o4755, owner: (1, 2), modified: (-2, 3), link, sum }
}

/// A root, and more files than go into one part, with paths that are no text.
fn some_files() -> Vec<Piece> {
    let mut pieces = vec![
        Piece::File(Vec::new(), file(b'd', None)),
        Piece::Bytes(7),
        Piece::File(b"link".to_vec(), file(b'l', None)),
    ];
    pieces
        .extend((0..2500).map(|n| Piece::File(format!("\u{1}{n}").into_bytes(), file(b'f', Some(n as u8)))));
    pieces.push(Piece::File(vec![0xff, b'\n', b'"'], file(b'f', Some(9))));
    pieces
}

/// What is in tank/a@s1.
fn content(host: &mut AgentHost, kind: DatasetKind) -> Result<Content, HostError> {
    let mut all = Gathered::new(kind);
    let bad = |why| HostError::BadAnswer { host: "far".to_string(), operation: "gathered", why };
    host.read(&snapshot("tank/a@s1"), kind, &mut |piece| all.add(piece).map_err(bad))?;
    all.finish().map_err(bad)
}

#[test]
fn what_is_in_a_snapshot_arrives_as_the_host_there_reads_it() {
    let segments: Vec<_> = (0..3000).map(|n| Piece::Segment(n * 2, [n as u8; 32])).collect();
    for (kind, pieces) in [(DatasetKind::Filesystem, some_files()), (DatasetKind::Volume, segments)] {
        let mut expected = Gathered::new(kind);
        pieces.iter().for_each(|piece| expected.add(piece.clone()).expect("it fits"));
        let fake = Fake { content: pieces, ..Fake::default() };
        let (mut host, starts) = serving(fake.clone());
        assert_eq!(content(&mut host, kind).expect("an answer"), expected.finish().expect("whole"));
        assert_eq!(fake.log.all(), [format!("read tank/a@s1 {kind:?}")]);
        // Of a kind that it is not, nothing is believed.
        let other = if kind == DatasetKind::Volume { DatasetKind::Filesystem } else { DatasetKind::Volume };
        assert!(matches!(content(&mut host, other), Err(HostError::BadAnswer { operation: "gathered", .. })));
        assert!(host.about("tank").is_ok() && starts.load(Ordering::SeqCst) == 2, "and it can go on");
    }
}

#[test]
fn holds_arrive_with_what_is_known_of_their_process_and_are_released_by_name() {
    let held = |tag: &[u8], runs| {
        let tag = HoldTag::try_from(tag).expect("a tag");
        Held::new(snapshot("tank/a@s1"), tag, Some(5), |_| Some(runs))
    };
    let mut holds =
        vec![held(b"replicator:1:7:0", true), held(b"replicator:1:8:0", false), held(b"\xff\n", true)];
    holds.extend(vec![held(&[1; 255], false); 1000]);
    let fake = Fake { holds: holds.clone(), ..Fake::default() };
    let (mut host, _) = serving(fake.clone());
    assert_eq!(host.holds(&dataset("tank"), Depth::All).expect("an answer"), holds);
    assert_eq!(host.holds(&dataset("tank"), Depth::One).expect("an answer"), []);
    let names: Vec<_> = holds.into_iter().map(|held| (held.snapshot, held.tag)).collect();
    host.release(&names).expect("released");
    assert_eq!(fake.log.all().len(), names.len());
}

#[test]
fn an_older_agent_is_told_apart_before_it_is_asked() {
    let (mut host, _) = with(|mut stream| {
        let hello = Hello { newest: 1, program: "0.0.9".to_string(), ..Hello::ours() };
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
    });
    for error in [
        content(&mut host, DatasetKind::Filesystem).expect_err("too old"),
        host.holds(&dataset("tank"), Depth::All).expect_err("too old"),
        host.release(&[]).expect_err("too old"),
    ] {
        assert!(matches!(&error, HostError::Cannot { has, .. } if has.contains("0.0.9")), "{error}");
        assert!(error.hint().is_some_and(|hint| hint.contains("install")), "{error:?}");
    }
}

#[test]
fn content_that_cannot_be_of_a_snapshot_is_an_error_and_never_a_shorter_list() {
    let file = |path: &str, kind: char, sum: &str| {
        format!(
            r#"{{"path":"{path}","kind":{},"size":0,"mode":1,"owner":[0,0],"modified":[0,0],"link":"","sum":{sum}}}"#,
            kind as u32
        )
    };
    let sum = format!("\"{}\"", "0".repeat(64));
    let root = file("", 'd', "null");
    let (good, folder) = (file("a", 'f', &sum), file("a", 'd', "null"));
    let part = |files: &[&str]| frame(Kind::Part, 1, &format!(r#"{{"files":[{}]}}"#, files.join(",")));
    let read = |bytes: Vec<u8>| content(&mut saying(bytes), DatasetKind::Filesystem);
    assert_eq!(read([part(&[&root]), part(&[&good]), done(1)].concat()).expect("good").len(), 2);
    assert_eq!(
        read([part(&[&root, &folder, &file("a/b", 'f', &sum)]), done(1)].concat()).expect("good").len(),
        3
    );
    for files in [
        vec![&good],
        vec![&root, &good, &good],
        vec![&root, &file("a", 'f', "null")],
        vec![&root, &file("a", 'f', "\"00\"")],
        vec![&root, &file("a", 'd', &sum)],
        vec![&root, &good, &file("a/b", 'f', &sum)],
        vec![&root, &file("x/b", 'f', &sum)],
        vec![&root, &file("/etc/passwd", 'f', &sum)],
        vec![&root, &file("../a", 'f', &sum)],
        vec![&root, &file("a//b", 'f', &sum)],
        vec![&root, &file("a\\u0000", 'f', &sum)],
        vec![&root, &file("\u{100}", 'f', &sum)],
    ] {
        let files: Vec<&str> = files.iter().map(|file| file.as_str()).collect();
        assert!(read([part(&files), done(1)].concat()).is_err(), "{files:?} was taken");
    }
    assert!(read([part(&[&root])].concat()).is_err(), "it ends in the middle");
    assert!(read([part(&[&root]), frame(Kind::Part, 1, "\"ready\""), done(1)].concat()).is_err());
    let endless = part(&vec![good.as_str(); 200]).repeat(200);
    assert!(read(endless).is_err());
    let nothing = frame(Kind::Part, 1, r#"{"reading":1}"#).repeat(PIECES + 1);
    let error = read(nothing).expect_err("it never comes to an end");
    assert!(error.to_string().contains("more than"), "{error}");
}

/// How many parts and pieces these tests allow for.
const PIECES: usize = 20_000;

#[test]
fn a_stream_goes_from_one_agent_to_another_plain_and_compressed() {
    let mut data = stream(&begin(5), 300);
    assert!(data.len() > 2 * DATA_LIMIT);
    for compress in [false, true] {
        let from = Fake { stream: std::mem::take(&mut data).into(), ..Fake::default() };
        let to = Fake::default();
        let (mut source, _) = serving(from.clone());
        let (mut target, starts) = serving(to.clone());
        let spec = SendSpec { compress, ..send_spec("tank/a@s1", 5) };
        let sent = read_all(source.send(&spec).expect("started")).expect("sent");
        assert_eq!(compress, sent != from.stream);
        for _ in 0..2 {
            let spec = ReceiveSpec { compressed: compress, ..receive_spec("tank/a@s1") };
            let mut incoming = target.receive(&spec).expect("started");
            for block in sent.chunks(1_500_000) {
                incoming.write(&Bytes::copy_from_slice(block)).expect("taken");
            }
            assert!(!incoming.idle().expect("alive"));
            incoming.finish().expect("received");
            let received = std::mem::take(&mut *to.received.lock().expect("no panic"));
            assert!(received == from.stream);
        }
        assert_eq!(from.log.all(), ["send tank/a@s1", "sent"]);
        assert_eq!(to.log.all(), ["receive tank/a@s1", "received", "receive tank/a@s1", "received"]);
        assert_eq!(starts.load(Ordering::SeqCst), 1);
        data = from.stream.to_vec();
    }
}

#[test]
fn a_receive_that_fails_is_known_while_there_is_still_something_to_send() {
    let data = Bytes::from(stream(&begin(5), 300));
    let fake = Fake { full_after: Some(500_000), datasets: vec![state("tank", 1)], ..Fake::default() };
    let (mut host, starts) = serving(fake.clone());
    let mut incoming = host.receive(&receive_spec("tank/a@s")).expect("started");
    // The stream never ends by itself.
    let stopped = loop {
        if let Err(error) = incoming.write(&data.slice(..data.len().min(1 << 20))) {
            break error;
        }
    };
    assert!(matches!(stopped, HostError::Transport(TransportError::StdinClosed { .. })), "{stopped}");
    let error = incoming.finish().expect_err("no space");
    assert_eq!(error.zfs_kind(), Some(ErrorKind::NoSpace), "{error}");
    assert_eq!(error.hint().as_deref(), Some("make room"));
    assert!(matches!(
        error,
        HostError::Agent { errno: 28, operation: Some(zfs_core::Operation::Receive), .. }
    ));
    // The same host goes on.
    host.inventory(&dataset("tank"), Depth::One).expect("an answer");
    assert_eq!(starts.load(Ordering::SeqCst), 2);

    // Nothing more to send for a while: then it is known by looking.
    let mut incoming = host.receive(&receive_spec("tank/a@s")).expect("started");
    let noise = Bytes::from(vec![1; 5000]);
    incoming.write(&noise).expect("on its way");
    while !incoming.idle().expect("an answer") {}
    assert!(incoming.write(&noise).is_err());
    let error = incoming.finish().expect_err("no stream");
    assert_eq!(error.zfs_kind(), Some(ErrorKind::StreamCorrupt), "{error}");
    host.inventory(&dataset("tank"), Depth::One).expect("an answer");
}

#[test]
fn what_is_given_up_ends_there_and_the_next_question_is_answered() {
    let fake = Fake {
        stream: stream(&begin(5), 10).into(),
        endless: true,
        datasets: vec![state("tank", 1)],
        ..Fake::default()
    };
    let (mut host, starts) = serving(fake.clone());
    for _ in 0..3 {
        let mut outgoing = host.send(&send_spec("tank@s1", 5)).expect("started");
        while !matches!(outgoing.next(1 << 20).expect("a stream"), Next::Block(_)) {}
        drop(outgoing);
        host.inventory(&dataset("tank"), Depth::One).expect("an answer");
    }
    let mut incoming = host.receive(&receive_spec("tank/a@s")).expect("started");
    incoming.write(&fake.stream.slice(..1000)).expect("taken");
    drop(incoming);
    host.inventory(&dataset("tank"), Depth::One).expect("an answer");
    assert_eq!(starts.load(Ordering::SeqCst), 1);
    let log = fake.log.all();
    assert!(log.contains(&"left partial".to_string()), "{log:?}");
    assert!(!log.contains(&"received".to_string()) && !log.contains(&"sent".to_string()), "{log:?}");
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
        assert!(matches!(error, HostError::NoAgent { .. }), "{status} {said}: {error}");
        assert!(error.hint().is_some());
    }
    let (mut host, _) = with(|_| (5, "error: there is no /dev/zfs".to_string()));
    let error = host.start().expect_err("no zfs");
    assert!(matches!(error, HostError::Remote { .. }) && error.to_string().contains("/dev/zfs"), "{error}");
}

#[test]
fn hellos_that_are_none_are_errors_with_what_came() {
    let said = |bytes: Vec<u8>| {
        with(move |mut stream| {
            let _ = stream.write_all(&bytes);
            // Stays until the connection is closed.
            let _ = stream.read_to_end(&mut Vec::new());
            (0, String::new())
        })
        .0
    };
    let error = said(b"Welcome to this machine\n".to_vec()).start().expect_err("a greeting");
    assert!(matches!(error, HostError::BadAnswer { .. }) && error.to_string().contains("Welcome"), "{error}");
    for (oldest, newest) in [(crate::agent::NEWEST + 1, 99), (0, 0)] {
        let hello = format!(
            r#"{{"magic":"replicator-agent","oldest":{oldest},"newest":{newest},"program":"9\u001b9"}}"#
        );
        let error = said(frame(Kind::Hello, 0, &hello)).start().expect_err("another version");
        let text = error.to_string();
        assert!(matches!(error, HostError::AgentVersion { .. }) && error.hint().is_some(), "{text}");
        assert!(text.contains(env!("CARGO_PKG_VERSION")) && text.contains("9\\u{1b}9"), "{text}");
    }
    for bytes in [
        frame(Kind::Hello, 0, "{}"),
        frame(Kind::Hello, 0, r#"{"magic":"x","oldest":1,"newest":1,"program":"1"}"#),
        done(0),
        vec![0; 100],
        vec![0xff; 100],
    ] {
        assert!(matches!(said(bytes).start(), Err(HostError::BadAnswer { .. })));
    }
    let (mut host, _) = with(|mut stream| {
        let _ = stream.read_to_end(&mut Vec::new());
        (0, String::new())
    });
    host.link.command.patience = Duration::from_millis(50);
    assert!(matches!(host.start(), Err(HostError::Transport(TransportError::Timeout { .. }))));
}

#[test]
fn answers_that_are_none_are_errors() {
    let row = |kind: &str| format!(r#"{{"{kind}":[["s",1,1,null]]}}"#);
    let dataset_part = |name: &str| {
        frame(
            Kind::Part,
            1,
            &format!(
                r#"{{"dataset":{{"name":"{name}","volume":false,"guid":1,"encryption":null,"origin":null,"written":0,"referenced":0,"available":0,"token":null}}}}"#
            ),
        )
    };
    let ancestor = |name: &str| {
        let part = String::from_utf8(dataset_part(name)[9..].to_vec()).expect("JSON");
        frame(Kind::Part, 1, &part.replacen("dataset", "ancestor", 1))
    };
    let good = saying([dataset_part("tank/a"), done(1)].concat()).inventory(&dataset("tank/a"), Depth::One);
    assert!(good.is_ok(), "{good:?}");
    for (what, bytes) in [
        ("nothing", vec![]),
        ("done without a dataset", done(1)),
        ("a wrong id", [dataset_part("tank/a"), done(2)].concat()),
        ("id 0", [dataset_part("tank/a"), done(0)].concat()),
        ("another dataset", [dataset_part("tank/b"), done(1)].concat()),
        ("a child", [dataset_part("tank/a"), dataset_part("tank/a/b"), done(1)].concat()),
        ("twice", [dataset_part("tank/a"), dataset_part("tank/a"), done(1)].concat()),
        ("no name", [dataset_part("tank/../a"), done(1)].concat()),
        ("rows before a dataset", [frame(Kind::Part, 1, &row("snapshots")), done(1)].concat()),
        ("bookmarks before one", [frame(Kind::Part, 1, &row("bookmarks")), done(1)].concat()),
        ("an ancestor that is none", [ancestor("tank/b"), done(1)].concat()),
        ("itself as ancestor", [ancestor("tank/a"), done(1)].concat()),
        ("absent and present", [ancestor("tank"), dataset_part("tank/a"), done(1)].concat()),
        (
            "absent, but among the children",
            [ancestor("tank"), frame(Kind::Part, 1, r#"{"children":["tank/a"]}"#), done(1)].concat(),
        ),
        ("an unknown part", [frame(Kind::Part, 1, r#"{"secret":1}"#), done(1)].concat()),
        ("a stream", [frame(Kind::Data, 1, "x"), done(1)].concat()),
        ("cut", dataset_part("tank/a")[..20].to_vec()),
        ("no end", dataset_part("tank/a")),
        ("a huge frame", u32::MAX.to_be_bytes().to_vec()),
        ("a failure of nothing known", frame(Kind::Answer, 1, r#"{"failed":{"fire":{}}}"#)),
    ] {
        let answer = saying(bytes).inventory(&dataset("tank/a"), Depth::One);
        assert!(
            matches!(
                answer,
                Err(HostError::BadAnswer { .. } | HostError::Transport(TransportError::Lost { .. }))
            ),
            "{what}: {answer:?}"
        );
    }
    // What comes after the end is found by the next question.
    let mut host = saying([dataset_part("tank/a"), done(1), done(1)].concat());
    host.inventory(&dataset("tank/a"), Depth::One).expect("an answer");
    assert!(host.inventory(&dataset("tank/a"), Depth::One).is_err());
}

#[test]
fn too_few_and_too_many_guids_are_errors() {
    let names = [snapshot("tank/a@1"), snapshot("tank/a@2")];
    for guids in ["[]", "[1]", "[1,2,3]", "[1,-2]", "[1,\"x\"]"] {
        let part = frame(Kind::Part, 1, &format!(r#"{{"guids":{guids}}}"#));
        let answer = saying([part, done(1)].concat()).snapshot_guids(&names);
        assert!(matches!(answer, Err(HostError::BadAnswer { .. })), "{guids}: {answer:?}");
    }
    let part = frame(Kind::Part, 1, r#"{"guids":[1,null]}"#);
    let answer = saying([part, done(1)].concat()).snapshot_guids(&names).expect("an answer");
    assert_eq!(answer, [Some(Guid(1)), None]);
}

#[test]
fn an_answer_without_an_end_is_cut_off() {
    let (mut host, _) = with(|mut stream| {
        let hello = serde_json::to_vec(&Hello::ours()).expect("JSON");
        let _ = stream.write_all(&whole(Kind::Hello, 0, &hello).expect("a frame"));
        let rows = vec![r#"["s",1,1,null]"#; 500].join(",");
        let name = r#"{"dataset":{"name":"tank","volume":false,"guid":1,"encryption":null,"origin":null,"written":0,"referenced":0,"available":0,"token":null}}"#;
        let _ = stream.write_all(&frame(Kind::Part, 1, name));
        let part = frame(Kind::Part, 1, &format!(r#"{{"snapshots":[{rows}]}}"#));
        while stream.write_all(&part).is_ok() {}
        (0, String::new())
    });
    let error = host.inventory(&dataset("tank"), Depth::All).expect_err("endless");
    assert!(matches!(error, HostError::BadAnswer { .. }) && error.to_string().contains("entries"), "{error}");
}

#[test]
fn an_agent_that_goes_on_after_it_was_told_to_stop_is_ended() {
    let (mut host, starts) = with(|mut stream| {
        let hello = serde_json::to_vec(&Hello::ours()).expect("JSON");
        let _ = stream.write_all(&whole(Kind::Hello, 0, &hello).expect("a frame"));
        let block = frame(Kind::Data, 1, &"x".repeat(100_000));
        while stream.write_all(&block).is_ok() {}
        (0, String::new())
    });
    let mut outgoing = host.send(&send_spec("tank@s1", 5)).expect("started");
    while !matches!(outgoing.next(1 << 20).expect("a stream"), Next::Block(_)) {}
    drop(outgoing);
    // The next one is no better.
    assert!(host.inventory(&dataset("tank"), Depth::One).is_err());
    assert_eq!(starts.load(Ordering::SeqCst), 2);
}

#[test]
fn a_request_that_is_too_large_is_not_sent() {
    let (mut host, _) = serving(Fake::default());
    let set = vec![("org:x".to_string(), "x".repeat(2 << 20))];
    let error = host.apply(&Change::SetProperties { dataset: dataset("tank"), set }).expect_err("too large");
    assert!(matches!(error, HostError::Transport(TransportError::TooMuch { .. })), "{error}");
    host.about("tank").expect("the agent is still there");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn random_answers_are_errors(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(saying(bytes.clone()).inventory(&dataset("tank"), Depth::All).is_err());
        let mut host = saying(bytes);
        let answer = read_all(host.send(&send_spec("tank@s", 1)).expect("asked"));
        prop_assert!(answer.is_err());
    }

    #[test]
    fn random_frames_are_errors(
        frames in prop::collection::vec((1u8..9, 0u32..3, "[\\[\\]{}\":,a-z0-9]{0,40}"), 0..6),
    ) {
        let mut bytes = Vec::new();
        for (kind, id, payload) in frames {
            let mut head = header(Kind::Part, id, payload.len());
            head[4] = kind;
            bytes.extend_from_slice(&head);
            bytes.extend_from_slice(payload.as_bytes());
        }
        prop_assert!(saying(bytes.clone()).inventory(&dataset("tank"), Depth::All).is_err());
        prop_assert!(saying(bytes).receive(&receive_spec("tank@s")).is_err());
    }
}

#[test]
fn each_new_agent_keeps_other_runs_out_again() {
    let root: DatasetName = "tank/in".parse().expect("a name");
    let fake = Fake::default();
    let log = fake.log.clone();
    let (mut host, starts) = serving(fake);
    host.lock(&root, Depth::All).expect("free");
    host.link.close();
    host.about("tank").expect("a new agent");
    assert_eq!(starts.load(Ordering::SeqCst), 2);
    assert_eq!(log.all(), ["lock tank/in All", "lock tank/in All"]);

    let error = host.lock(&"tank/busy".parse().expect("a name"), Depth::One).expect_err("busy");
    assert!(matches!(&error, HostError::Busy { host, process: Some(7), .. } if host == "far"), "{error}");
    assert!(error.to_string().contains("tank/busy") && error.hint().is_some(), "{error}");
    // What is not had is not asked for again.
    host.link.close();
    host.about("tank").expect("a new agent");
    assert_eq!(log.all().last().map(String::as_str), Some("lock tank/in All"));
}

#[test]
fn signs_of_life_are_no_answer() {
    let alive = header(Kind::Alive, 0, 0).repeat(3);
    let done = serde_json::to_vec(&Answer::Done).expect("JSON");
    let answer = whole(Kind::Answer, 1, &done).expect("a frame");
    let root = "tank".parse().expect("a name");
    let mut host = saying([alive.as_slice(), &answer].concat());
    host.lock(&root, Depth::One).expect("it was done");
    // For ever, and nothing else.
    let mut host = saying(header(Kind::Alive, 0, 0).repeat(100_000));
    host.link.command.silence = Duration::ZERO;
    assert!(host.lock(&root, Depth::One).is_err());
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
