//! The serving end against clients that misbehave, over a pair of sockets and a host in memory.

use std::io::Read;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::thread::JoinHandle;

use proptest::prelude::*;
use zfs_core::stream::ByteOrder;
use zfs_core::stream::Features;
use zfs_core::stream::build::Begin;
use zfs_core::stream::build::StreamBuilder;

use super::fake::*;
use super::fault::Fault;
use super::message::MAGIC;
use super::*;

mod conversation;
mod fast;
mod fenced;
mod streams;

/// A client that sends whatever it likes.
struct Raw {
    stream: UnixStream,
    frames: Frames,
    server: JoinHandle<Result<(), ServeError>>,
    log: Log,
}

impl Raw {
    fn silent(mut host: Fake, limits: Limits) -> Self {
        let (stream, far) = UnixStream::pair().expect("a pair");
        let log = host.log.clone();
        let server = std::thread::spawn(move || {
            let output = far.try_clone().expect("a clone");
            serve(far, output, &mut host, &limits)
        });
        Self { stream, frames: Frames::default(), server, log }
    }

    /// After the hellos.
    fn new(host: Fake, limits: Limits) -> Self {
        let mut raw = Self::silent(host, limits);
        raw.put(Kind::Hello, 0, &serde_json::to_vec(&Hello::ours()).expect("JSON"));
        let hello = raw.take().expect("a hello");
        assert_eq!((hello.kind, hello.id), (Kind::Hello, 0));
        raw
    }

    /// Within tank/in, with everything allowed.
    fn inside() -> Self {
        Self::new(host(), inside())
    }

    fn put(&mut self, kind: Kind, id: u32, payload: &[u8]) {
        self.bytes(&[&header(kind, id, payload.len()), payload].concat());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        // The server may be gone: what matters is what it said.
        let _ = self.stream.write_all(bytes);
    }

    fn take(&mut self) -> Option<Frame> {
        let mut buffer = [0; 4096];
        loop {
            if let Some(frame) = self.frames.next().expect("frames") {
                return Some(frame);
            }
            match self.stream.read(&mut buffer) {
                Ok(0) | Err(_) => return None,
                Ok(n) => self.frames.push(&buffer[..n]),
            }
        }
    }

    /// The answer to a request, its parts left out.
    fn answer(&mut self, id: u32) -> Answer {
        loop {
            let frame = self.take().expect("an answer");
            assert_eq!(frame.id, id);
            if frame.kind == Kind::Answer {
                return serde_json::from_slice(&frame.payload).expect("an answer");
            }
        }
    }

    fn ask(&mut self, id: u32, request: &str) -> Answer {
        self.put(Kind::Request, id, request.as_bytes());
        self.answer(id)
    }

    fn close(self) -> (Result<(), ServeError>, Vec<String>) {
        drop(self.stream);
        (self.server.join().expect("no panic"), self.log.all())
    }
}

fn host() -> Fake {
    let mut outside_origin = state("tank/in/clone", 1);
    outside_origin.origin = Some(snapshot("tank/out@s1"));
    let datasets = vec![
        state("tank", 0),
        state("tank/in", 2),
        state("tank/in/a", 3),
        outside_origin,
        state("tank/out", 1),
    ];
    Fake { datasets, stream: stream(&begin(5), 100).into(), ..Fake::default() }
}

fn inside() -> Limits {
    Limits::within(vec![dataset("tank/in")]).allowing(vec![Class::All])
}

fn refused(answer: &Answer) -> bool {
    matches!(answer, Answer::Failed(Fault::Refused { .. }))
}

fn not_understood(answer: &Answer) -> bool {
    matches!(answer, Answer::Failed(Fault::Protocol { .. }))
}

/// Changes and streams, as opposed to looks.
fn done(log: &[String]) -> Vec<&String> {
    log.iter().filter(|what| !what.starts_with("inventory")).collect()
}

const RECEIVE: &str =
    r#"{"receive":{"to":"tank/in/new@s","set":[],"origin":null,"compressed":false,"guid":5}}"#;

#[test]
fn a_request_is_answered_and_the_end_of_input_is_no_error() {
    let mut raw = Raw::inside();
    assert_eq!(raw.ask(1, r#"{"inventory":{"root":"tank/in","all":true}}"#), Answer::Done);
    assert_eq!(raw.ask(7, r#"{"about":{"pool":"tank"}}"#), Answer::Done);
    let (ended, _) = raw.close();
    assert!(ended.is_ok(), "{ended:?}");
}

#[test]
fn names_outside_the_roots_are_refused_wherever_they_stand() {
    let mut raw = Raw::inside();
    let mut id = 0;
    for name in ["tank", "tank/in2", "tank/out", "tank/inn/a", "rpool/in"] {
        for request in [
            r#"{"inventory":{"root":"NAME","all":true}}"#,
            r#"{"properties":{"root":"NAME","all":false}}"#,
            r#"{"snapshot-guids":{"snapshots":["tank/in@s1","NAME@s1"]}}"#,
            r#"{"send":{"to":"NAME@s1","guid":1,"createtxg":1,"ivset":null,"from":null,"raw":false,"resume":null,"compress":false}}"#,
            r#"{"send":{"to":"tank/in@s1","guid":1,"createtxg":1,"ivset":null,"from":{"snapshot":["NAME@s0",1]},"raw":false,"resume":null,"compress":false}}"#,
            r#"{"estimate":{"streams":[{"to":"tank/in@s1","guid":1,"createtxg":1,"ivset":null,"from":{"bookmark":["NAME#s0",1]},"raw":false,"resume":null,"compress":false}]}}"#,
            r#"{"receive":{"to":"NAME@s1","set":[],"origin":null,"compressed":false,"guid":5}}"#,
            r#"{"receive":{"to":"tank/in@s1","set":[],"origin":"NAME@s1","compressed":false,"guid":5}}"#,
            r#"{"content":{"snapshot":"NAME@s1","volume":false}}"#,
            r#"{"content":{"snapshot":"NAME@s1","volume":true}}"#,
            r#"{"holds":{"root":"NAME","all":true}}"#,
            r#"{"release":{"holds":[["tank/in@s1","a"],["NAME@s1","a"]]}}"#,
            r#"{"apply":{"create-filesystem":{"dataset":"NAME","set":[]}}}"#,
            r#"{"apply":{"bookmark":{"bookmarks":[["tank/in#b","NAME@s",1]]}}}"#,
            r#"{"apply":{"bookmark":{"bookmarks":[["NAME#b","tank/in@s",1]]}}}"#,
            r#"{"apply":{"destroy-bookmarks":{"bookmarks":[["NAME#b",1]]}}}"#,
            r#"{"apply":{"rename":{"from":"tank/in/a","guid":1,"to":"NAME"}}}"#,
            r#"{"apply":{"rename":{"from":"NAME","guid":1,"to":"tank/in/x"}}}"#,
            r#"{"apply":{"clone":{"snapshot":"NAME@s","guid":1,"to":"tank/in/x","set":[]}}}"#,
            r#"{"apply":{"promote":{"dataset":"NAME"}}}"#,
            r#"{"apply":{"set-properties":{"dataset":"NAME","set":[]}}}"#,
            r#"{"apply":{"discard-partial":{"dataset":"NAME","token":"1-x"}}}"#,
        ] {
            id += 1;
            let answer = raw.ask(id, &request.replace("NAME", name));
            assert!(refused(&answer), "{name} {request}: {answer:?}");
        }
    }
    assert!(refused(&raw.ask(1000, r#"{"about":{"pool":"rpool"}}"#)));
    // Its origin lies outside.
    assert!(refused(&raw.ask(1001, r#"{"apply":{"promote":{"dataset":"tank/in/clone"}}}"#)));
    assert_eq!(raw.ask(1002, r#"{"apply":{"promote":{"dataset":"tank/in/a"}}}"#), Answer::Done);
    let (_, log) = raw.close();
    assert_eq!(done(&log).len(), 1, "{log:?}");
}

#[test]
fn a_reading_that_nobody_wants_any_more_ends_and_the_next_request_is_answered() {
    let request = r#"{"content":{"snapshot":"tank/in@s1","volume":false}}"#;
    let endless = || Fake { never_done: true, ..host() };
    let mut raw = Raw::new(endless(), inside());
    raw.put(Kind::Request, 1, request.as_bytes());
    raw.put(Kind::Cancel, 1, &[]);
    assert_eq!(raw.answer(1), Answer::Failed(Fault::Cancelled));
    assert_eq!(raw.ask(2, r#"{"about":{"pool":"tank"}}"#), Answer::Done);
    let (ended, log) = raw.close();
    assert!(ended.is_ok() && log.contains(&"stopped reading".to_string()), "{ended:?} {log:?}");
    // What is no cancel, and a connection that is gone.
    let mut raw = Raw::new(endless(), inside());
    raw.put(Kind::Request, 1, request.as_bytes());
    raw.put(Kind::Data, 1, b"x");
    let (ended, log) = raw.close();
    assert!(ended.is_err() && log.contains(&"stopped reading".to_string()), "{ended:?} {log:?}");
}

#[test]
fn tags_that_no_hold_has_do_not_reach_the_host() {
    let mut raw = Raw::inside();
    for (id, tag) in
        (1..).zip(["".to_string(), "a\\u0000".to_string(), "\u{100}".to_string(), "x".repeat(256)])
    {
        let answer = raw.ask(id, &format!(r#"{{"release":{{"holds":[["tank/in@s1","{tag}"]]}}}}"#));
        assert!(not_understood(&answer), "{tag}: {answer:?}");
    }
    let many = vec![r#"["tank/in@s1","a"]"#; REQUEST_ENTRIES + 1].join(",");
    assert!(not_understood(&raw.ask(100, &format!(r#"{{"release":{{"holds":[{many}]}}}}"#))));
    let (_, log) = raw.close();
    assert!(log.is_empty(), "{log:?}");
}

#[test]
fn what_is_no_name_never_becomes_a_request() {
    let mut raw = Raw::inside();
    let names = [
        "",
        "/",
        "tank/in/",
        "tank/in/..",
        "tank/in/../out",
        "tank/in//a",
        "tank/in@x",
        "tank/in#x",
        "-rf",
        "tank/in/%recv",
        "tank/in/$x",
        "tank/in/a\\u0000",
        "tank/in/a\\n",
        "tank/in/a;b",
        "/tank/in",
    ];
    for (id, name) in (1..).zip(names) {
        let answer = raw.ask(id, &format!(r#"{{"inventory":{{"root":"{name}","all":true}}}}"#));
        assert!(not_understood(&answer), "{name}: {answer:?}");
    }
    let long = format!(r#"{{"inventory":{{"root":"tank/in/{}","all":true}}}}"#, "x".repeat(1000));
    assert!(not_understood(&raw.ask(100, &long)));
    let (_, log) = raw.close();
    assert!(log.is_empty(), "{log:?}");
}

#[test]
fn what_is_not_known_is_an_error_and_the_next_request_is_answered() {
    let mut raw = Raw::inside();
    for (id, request) in (1..).zip([
        "{}",
        "[]",
        "null",
        "{\"",
        "\u{fffd}x",
        r#"{"destroy":{"dataset":"tank/in/a"}}"#,
        r#"{"inventory":{"root":"tank/in","all":true,"force":true}}"#,
        r#"{"inventory":{"root":"tank/in"}}"#,
        r#"{"inventory":{"root":"tank/in","root":"tank/out","all":true}}"#,
        r#"{"apply":{"destroy":{"dataset":"tank/in/a"}}}"#,
        r#"{"about":{"pool":"tank"},"inventory":{"root":"tank/in","all":true}}"#,
        r#"{"send":{"to":"tank/in@s1","guid":-1,"createtxg":1,"ivset":null,"from":null,"raw":false,"resume":null,"compress":false}}"#,
        r#"{"send":{"to":"tank/in@s1","guid":18446744073709551616,"createtxg":1,"ivset":null,"from":null,"raw":false,"resume":null,"compress":false}}"#,
    ]) {
        let answer = raw.ask(id, request);
        assert!(not_understood(&answer), "{request}: {answer:?}");
    }
    let deep = "[".repeat(100_000);
    assert!(not_understood(&raw.ask(100, &deep)));
    let many = vec![r#""tank/in@s1""#; REQUEST_ENTRIES + 1].join(",");
    assert!(not_understood(&raw.ask(101, &format!(r#"{{"snapshot-guids":{{"snapshots":[{many}]}}}}"#))));
    assert_eq!(raw.ask(102, r#"{"about":{"pool":"tank"}}"#), Answer::Done);
    let (ended, log) = raw.close();
    assert!(ended.is_ok() && log.is_empty(), "{ended:?} {log:?}");
}

#[test]
fn tokens_that_are_forged_or_too_large_do_not_reach_the_host() {
    let mut raw = Raw::inside();
    let tokens =
        ["", "1-x", "1-0-0-0", "zzz", &"1-".repeat(100_000), &format!("1-f-{}-00", "ff".repeat(100_000))];
    for (id, token) in (1..).zip(tokens) {
        let request = format!(
            r#"{{"send":{{"to":"tank/in@s1","guid":1,"createtxg":1,"ivset":null,"from":null,"raw":false,"resume":"{token}","compress":false}}}}"#
        );
        let answer = raw.ask(id, &request);
        assert!(not_understood(&answer), "{answer:?}");
    }
    let (_, log) = raw.close();
    assert!(log.is_empty(), "{log:?}");
}

#[test]
fn without_the_right_nothing_is_done() {
    let mut raw = Raw::new(host(), Limits::within(vec![dataset("tank/in")]));
    for (id, request) in (1..).zip([
        r#"{"send":{"to":"tank/in@s1","guid":1,"createtxg":1,"ivset":null,"from":null,"raw":false,"resume":null,"compress":false}}"#,
        r#"{"content":{"snapshot":"tank/in@s1","volume":false}}"#,
        r#"{"release":{"holds":[["tank/in@s1","a"]]}}"#,
        r#"{"apply":{"rename":{"from":"tank/in/a","guid":1,"to":"tank/in/b"}}}"#,
        r#"{"apply":{"promote":{"dataset":"tank/in/a"}}}"#,
        r#"{"apply":{"destroy-bookmarks":{"bookmarks":[["tank/in#b",1]]}}}"#,
        r#"{"apply":{"set-properties":{"dataset":"tank/in","set":[["readonly","on"]]}}}"#,
        r#"{"receive":{"to":"tank/in@s1","set":[["mountpoint","/etc"]],"origin":null,"compressed":false,"guid":5}}"#,
        r#"{"apply":{"create-filesystem":{"dataset":"tank/in/x","set":[["sharenfs","on"]]}}}"#,
    ]) {
        let answer = raw.ask(id, request);
        assert!(refused(&answer), "{request}: {answer:?}");
    }
    let (_, log) = raw.close();
    assert!(log.is_empty(), "{log:?}");
}

#[test]
fn what_lies_above_a_root_is_told_without_its_secrets() {
    let limits = Limits::within(vec![dataset("tank/new")]);
    let mut raw = Raw::new(host(), limits);
    raw.put(Kind::Request, 1, br#"{"inventory":{"root":"tank/new/x","all":true}}"#);
    let text = String::from_utf8(raw.take().expect("a part").payload.to_vec()).expect("JSON");
    assert!(text.contains(r#""name":"tank""#) && text.contains(r#""token":null"#), "{text}");
    assert!(!text.contains("nonsense"), "{text}");
    // No list of children: none of them lies within the root.
    assert_eq!(raw.answer(1), Answer::Done);

    let mut raw = Raw::inside();
    raw.put(Kind::Request, 1, br#"{"inventory":{"root":"tank/in/clone","all":false}}"#);
    let text = String::from_utf8(raw.take().expect("a part").payload.to_vec()).expect("JSON");
    assert!(text.contains(r#""origin":null"#), "{text}");
}

#[test]
fn frames_out_of_turn_end_the_connection_with_a_reason() {
    type Act = fn(&mut Raw);
    let cases: [(&str, Act); 9] = [
        ("an id that was used", |raw| {
            raw.ask(5, r#"{"about":{"pool":"tank"}}"#);
            raw.put(Kind::Request, 5, br#"{"about":{"pool":"tank"}}"#);
        }),
        ("id 0", |raw| raw.put(Kind::Request, 0, br#"{"about":{"pool":"tank"}}"#)),
        ("data", |raw| raw.put(Kind::Data, 1, b"x")),
        ("an end", |raw| raw.put(Kind::End, 1, b"")),
        ("a second hello", |raw| raw.put(Kind::Hello, 0, b"{}")),
        ("an answer", |raw| raw.put(Kind::Answer, 1, b"{}")),
        ("a request in a stream", |raw| {
            raw.put(Kind::Request, 1, RECEIVE.as_bytes());
            raw.take();
            raw.put(Kind::Request, 2, RECEIVE.as_bytes());
        }),
        ("data of another stream", |raw| {
            raw.put(Kind::Request, 1, RECEIVE.as_bytes());
            raw.take();
            raw.put(Kind::Data, 2, b"x");
        }),
        ("a huge frame", |raw| raw.bytes(&u32::MAX.to_be_bytes())),
    ];
    for (what, act) in cases {
        let mut raw = Raw::inside();
        act(&mut raw);
        let frame = raw.take().expect("a reason");
        assert_eq!((frame.kind, frame.id), (Kind::Answer, 0), "{what}");
        let answer: Answer = serde_json::from_slice(&frame.payload).expect("an answer");
        assert!(matches!(answer, Answer::Last(Fault::Protocol { .. })), "{what}: {answer:?}");
        assert!(raw.take().is_none(), "{what}");
        let (ended, log) = raw.close();
        assert!(matches!(ended, Err(ServeError::Protocol(_))), "{what}: {ended:?}");
        assert!(!log.contains(&"received".to_string()));
    }
}

#[test]
fn another_version_is_refused_by_name() {
    for (oldest, newest) in [(NEWEST + 1, NEWEST + 5), (0, 0)] {
        let mut raw = Raw::silent(host(), inside());
        let hello = format!(
            r#"{{"magic":"{MAGIC}","oldest":{oldest},"newest":{newest},"program":"9.9","more":[1]}}"#
        );
        raw.put(Kind::Hello, 0, hello.as_bytes());
        // It says its own in any case, so that the other end can say the same.
        assert_eq!(raw.take().expect("a hello").kind, Kind::Hello);
        let (ended, _) = raw.close();
        let text = ended.expect_err("another version").to_string();
        assert!(text.contains("9.9") && text.contains(env!("CARGO_PKG_VERSION")), "{text}");
    }
    // A newer one that still speaks ours.
    let mut raw = Raw::silent(host(), inside());
    let hello = format!(r#"{{"magic":"{MAGIC}","oldest":0,"newest":99,"program":"9.9","more":[1]}}"#);
    raw.put(Kind::Hello, 0, hello.as_bytes());
    raw.take().expect("a hello");
    assert_eq!(raw.ask(1, r#"{"about":{"pool":"tank"}}"#), Answer::Done);
}

#[test]
fn a_flood_of_requests_is_answered_one_by_one() {
    let mut raw = Raw::inside();
    let mut flood = Vec::new();
    for id in 1..=3000 {
        let request = br#"{"inventory":{"root":"tank/in/a","all":false}}"#;
        flood.extend_from_slice(&header(Kind::Request, id, request.len()));
        flood.extend_from_slice(request);
    }
    let mut writer = raw.stream.try_clone().expect("a clone");
    // The answers are not read until the server waits for that: it takes no more requests meanwhile.
    let writing = std::thread::spawn(move || writer.write_all(&flood));
    for id in 1..=3000 {
        assert_eq!(raw.answer(id), Answer::Done);
    }
    writing.join().expect("no panic").expect("all was taken");
    assert_eq!(raw.close().1.len(), 3000);
}

#[test]
fn a_send_ends_when_it_is_given_up_and_when_nobody_listens() {
    let send = r#"{"send":{"to":"tank/in@s1","guid":1,"createtxg":1,"ivset":null,"from":null,"raw":false,"resume":null,"compress":false}}"#;
    let mut raw = Raw::new(Fake { endless: true, ..host() }, inside());
    raw.put(Kind::Request, 1, send.as_bytes());
    assert_eq!(raw.take().expect("a block").kind, Kind::Data);
    raw.put(Kind::Cancel, 1, b"");
    assert_eq!(raw.answer(1), Answer::Failed(Fault::Cancelled));
    // The same again, which may cross with the answer.
    raw.put(Kind::Cancel, 1, b"");
    assert_eq!(raw.ask(2, r#"{"about":{"pool":"tank"}}"#), Answer::Done);
    raw.put(Kind::Request, 3, send.as_bytes());
    assert_eq!(raw.take().expect("a block").kind, Kind::Data);
    let (ended, log) = raw.close();
    assert!(matches!(ended, Err(ServeError::Connection(_))), "{ended:?}");
    assert_eq!(done(&log), ["send tank/in@s1", "send tank/in@s1"], "neither was finished");
}

#[test]
fn other_runs_are_kept_out_only_of_what_may_be_received_into() {
    const LOCK: &str = r#"{"lock":{"root":"tank/in/a","all":true,"sender":"me-1"}}"#;
    let mut raw = Raw::inside();
    assert_eq!(raw.ask(1, LOCK), Answer::Done);
    let answer = raw.ask(2, r#"{"lock":{"root":"tank/in/busy","all":false}}"#);
    assert!(matches!(answer, Answer::Failed(Fault::Busy { process: Some(7), .. })), "{answer:?}");
    let answer = raw.ask(3, r#"{"lock":{"root":"tank/out","all":true}}"#);
    assert!(matches!(answer, Answer::Failed(Fault::Refused { .. })), "{answer:?}");
    for (id, sender) in (4..).zip(["", "me 1", "m/e", &"m".repeat(65)]) {
        let answer = raw.ask(id, &LOCK.replace("me-1", sender));
        assert!(matches!(answer, Answer::Failed(Fault::Protocol { .. })), "{sender:?}: {answer:?}");
    }
    let (_, log) = raw.close();
    assert_eq!(log, ["lock tank/in/a All for me-1", "lock tank/in/busy One for nobody"]);

    let mut raw = Raw::new(host(), Limits::within(vec![dataset("tank/in")]).allowing(vec![Class::List]));
    let answer = raw.ask(1, LOCK);
    assert!(matches!(answer, Answer::Failed(Fault::Refused { .. })), "{answer:?}");
    assert_eq!(raw.close().1, [""; 0]);
}

#[test]
fn an_agent_that_waits_says_so() {
    let (mut stream, far) = UnixStream::pair().expect("a pair");
    let server = std::thread::spawn(move || {
        let output = far.try_clone().expect("a clone");
        let alive = std::time::Duration::from_millis(1);
        super::server::serve_alive(far, output, &mut host(), &inside(), alive)
    });
    let hello = whole(Kind::Hello, 0, &serde_json::to_vec(&Hello::ours()).expect("JSON"));
    stream.write_all(&hello.expect("a frame")).expect("written");
    let request = whole(Kind::Request, 1, RECEIVE.as_bytes()).expect("a frame");
    let (mut frames, mut buffer, mut kinds) = (Frames::default(), [0; 4096], Vec::new());
    // Between requests, and while blocks of a stream are waited for.
    while kinds.len() < 6 {
        if let Some(frame) = frames.next().expect("frames") {
            match frame.kind {
                Kind::Alive if kinds.last() == Some(&Kind::Alive) => continue,
                kind => kinds.push(kind),
            }
            if kinds == [Kind::Hello, Kind::Alive] {
                stream.write_all(&request).expect("written");
            }
            if kinds.ends_with(&[Kind::Part, Kind::Alive]) {
                break;
            }
            continue;
        }
        let n = stream.read(&mut buffer).expect("readable");
        frames.push(&buffer[..n]);
    }
    assert_eq!(kinds, [Kind::Hello, Kind::Alive, Kind::Part, Kind::Alive]);
    // The connection ends in the middle of the stream, as when the machine is found to be gone.
    drop(stream);
    assert!(matches!(server.join().expect("no panic"), Err(ServeError::Connection(_))));
}
