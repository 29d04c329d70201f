//! Conversations that go on over TLS, and those that cannot.

use std::sync::Mutex;
use std::sync::PoisonError;

use zfs_core::ErrorKind;

use super::*;
use crate::transport::tls;

/// What was noted, by all tests of this process.
static NOTES: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn notes() -> Vec<String> {
    NOTES.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// A host whose agent may listen there, and who looks for it at an address. The name of the machine is for its notes.
fn fast(fake: &Fake, listen: Option<u16>, at: &str, name: &'static str) -> (AgentHost, Arc<AtomicUsize>) {
    tls::notes_to(|note| NOTES.lock().unwrap_or_else(PoisonError::into_inner).push(note.to_string()));
    let fake = fake.clone();
    let listen =
        listen.map(|port| format!("127.0.0.1:{port}").parse::<crate::agent::Listen>().expect("a place"));
    let (mut host, starts) = with(move |stream| {
        let limits = Limits::everywhere().allowing(vec![Class::All]).listening(listen.clone());
        let output = stream.try_clone().expect("a clone");
        match serve(stream, output, &mut fake.clone(), &limits) {
            Ok(()) => (0, String::new()),
            Err(error) => (4, error.to_string()),
        }
    });
    host.link.command.fast = Some(at.to_string());
    host.link.label = name.to_string();
    (host, starts)
}

/// A port that was free a moment ago.
fn free() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound").port()
}

#[test]
fn streams_go_both_ways_over_it() {
    let data = stream(&begin(5), 2000);
    let from = Fake { stream: data.clone().into(), datasets: vec![state("tank", 1)], ..Fake::default() };
    let (mut source, starts) = fast(&from, Some(free()), "127.0.0.1", "both ways");
    source.inventory(&dataset("tank"), Depth::One).expect("an answer");
    for _ in 0..2 {
        assert!(read_all(source.send(&send_spec("tank/a@s1", 5)).expect("started")).expect("sent") == data);
    }
    let to = Fake::default();
    let (mut target, _) = fast(&to, Some(free()), "127.0.0.1", "both ways");
    let mut incoming = target.receive(&receive_spec("tank/a@s1")).expect("started");
    for block in data.chunks(1_500_000) {
        incoming.write(&Bytes::copy_from_slice(block)).expect("taken");
    }
    assert!(!incoming.idle().expect("alive"));
    incoming.finish().expect("received");
    assert!(*to.received.lock().expect("no panic") == data);
    assert_eq!(starts.load(Ordering::SeqCst), 1);
    let told: Vec<_> = notes().into_iter().filter(|note| note.starts_with("both ways:")).collect();
    assert!(told.is_empty(), "{told:?}");
}

#[test]
fn a_receive_that_fails_is_known_there_too_while_there_is_still_something_to_send() {
    let data = Bytes::from(stream(&begin(5), 3000));
    let fake = Fake { full_after: Some(500_000), datasets: vec![state("tank", 1)], ..Fake::default() };
    let (mut host, starts) = fast(&fake, Some(free()), "127.0.0.1", "full");
    let mut incoming = host.receive(&receive_spec("tank/a@s")).expect("started");
    let stopped = loop {
        if let Err(error) = incoming.write(&data.slice(..data.len().min(1 << 20))) {
            break error;
        }
    };
    assert!(matches!(stopped, HostError::Transport(TransportError::StdinClosed { .. })), "{stopped}");
    let error = incoming.finish().expect_err("no space");
    assert_eq!(error.zfs_kind(), Some(ErrorKind::NoSpace), "{error}");
    // The same host goes on, with a new agent and a new door.
    host.inventory(&dataset("tank"), Depth::One).expect("an answer");
    assert_eq!(starts.load(Ordering::SeqCst), 2);
    let told: Vec<_> = notes().into_iter().filter(|note| note.starts_with("full:")).collect();
    assert!(told.is_empty(), "{told:?}");
}

#[test]
fn what_is_given_up_ends_there_and_the_next_question_is_answered() {
    let fake = Fake {
        stream: stream(&begin(5), 10).into(),
        endless: true,
        datasets: vec![state("tank", 1)],
        ..Fake::default()
    };
    let (mut host, starts) = fast(&fake, Some(free()), "127.0.0.1", "given up");
    for _ in 0..3 {
        let mut outgoing = host.send(&send_spec("tank@s1", 5)).expect("started");
        while !matches!(outgoing.next(1 << 20).expect("a stream"), Next::Block(_)) {}
        drop(outgoing);
        host.inventory(&dataset("tank"), Depth::One).expect("an answer");
    }
    assert_eq!(starts.load(Ordering::SeqCst), 1);
}

#[test]
fn where_it_cannot_be_had_all_goes_on_over_ssh_with_a_note() {
    let data = stream(&begin(5), 50);
    let fake = Fake { stream: data.clone().into(), datasets: vec![state("tank", 1)], ..Fake::default() };
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = (taken.local_addr().expect("bound").port(), taken);
    for (name, listen, at, says) in [
        ("not allowed", None, "127.0.0.1", "--listen"),
        ("no port", Some(taken.0), "127.0.0.1", "no port of 127.0.0.1:"),
        // The agent listens at another address of the machine than the one that is reached.
        ("blocked", Some(free()), "127.0.0.2", "cannot connect to 127.0.0.2"),
        ("no address", Some(free()), "no such host.invalid", "cannot connect to"),
    ] {
        let (mut host, starts) = fast(&fake, listen, at, name);
        host.inventory(&dataset("tank"), Depth::One).expect("an answer");
        assert!(read_all(host.send(&send_spec("tank/a@s1", 5)).expect("started")).expect("sent") == data);
        assert_eq!(starts.load(Ordering::SeqCst), 1, "{name}");
        let start = format!("{name}: data goes over ssh");
        let told: Vec<_> = notes().into_iter().filter(|note| note.starts_with(&start)).collect();
        assert!(told.len() == 1 && told[0].contains(says), "{name}: {told:?}");
    }
}
