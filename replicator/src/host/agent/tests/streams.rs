//! Streams from and to agents: they arrive as they left, a failure is known while there is still something to send, and
//! what is given up ends there.

use zfs_core::ErrorKind;

use super::*;
use crate::agent::DATA_LIMIT;

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
