//! Streams to and from a serving end: unchanged however they are cut, and none that is not allowed.

use super::*;

/// Sends a stream in pieces, and gives what the host got of it, the answer, and the record.
fn receive(data: &[u8], piece: usize) -> (Vec<u8>, Answer, Vec<String>) {
    let host = host();
    let received = host.received.clone();
    let mut raw = Raw::new(host, inside());
    raw.put(Kind::Request, 1, RECEIVE.as_bytes());
    assert_eq!(raw.take().expect("ready").kind, Kind::Part);
    for piece in data.chunks(piece) {
        raw.put(Kind::Data, 1, piece);
    }
    raw.put(Kind::End, 1, &[]);
    let answer = raw.answer(1);
    let (_, log) = raw.close();
    let received = received.lock().expect("no panic").clone();
    (received, answer, log)
}

#[test]
fn a_stream_arrives_unchanged_however_it_is_cut() {
    let data = stream(&begin(5), 10);
    for piece in [1000, 311, 312, 313, data.len()] {
        let (received, answer, log) = receive(&data, piece);
        assert_eq!(answer, Answer::Done);
        assert!(received == data, "{piece}");
        assert_eq!(done(&log), ["receive tank/in/new@s", "received"]);
    }
}

#[test]
fn streams_that_are_not_allowed_do_not_reach_the_host() {
    let with = |change: &dyn Fn(&mut Begin)| {
        let mut begin = begin(5);
        change(&mut begin);
        stream(&begin, 3)
    };
    let package = StreamBuilder::new(ByteOrder::Little)
        .begin(&Begin { compound: true, ..begin(5) })
        .end()
        .begin(&begin(5))
        .end()
        .package_end()
        .build();
    for (what, data) in [
        ("another snapshot", with(&|begin| begin.to_guid = 6)),
        ("a package", package),
        ("deduplication", with(&|begin| begin.features = Features::DEDUP)),
        ("redaction", with(&|begin| begin.features = Features::REDACTED)),
        ("an unknown feature", with(&|begin| begin.features = Features(1 << 60))),
        ("noise", vec![0xaa; 10_000]),
        ("nothing like a stream", b"#!/bin/sh\n".repeat(1000)),
    ] {
        for piece in [100, 5000] {
            let (received, answer, log) = receive(&data, piece);
            assert!(matches!(answer, Answer::Last(Fault::Zfs { .. })), "{what}: {answer:?}");
            assert!(received.is_empty(), "{what}: {} bytes got through", received.len());
            assert_eq!(done(&log), ["receive tank/in/new@s", "left partial"], "{what}");
        }
    }
}

#[test]
fn a_stream_that_is_cut_or_changed_is_never_ended_as_if_it_were_whole() {
    let data = stream(&begin(5), 3);
    for cut in [1, 100, 311, 312, 313, 5000, data.len() - 1] {
        let (_, answer, log) = receive(&data[..cut], 4096);
        assert!(matches!(answer, Answer::Failed(Fault::Zfs { .. })), "{cut}: {answer:?}");
        assert!(!log.contains(&"received".to_string()), "{cut}");
    }
    for at in [8, 400, 5000, data.len() - 1] {
        let mut data = data.clone();
        data[at] ^= 1;
        let (_, answer, log) = receive(&data, 4096);
        assert!(matches!(answer, Answer::Last(Fault::Zfs { .. })), "{at}: {answer:?}");
        assert!(!log.contains(&"received".to_string()), "{at}");
    }
    let (_, answer, log) = receive(&[data.clone(), data].concat(), 4096);
    assert!(matches!(answer, Answer::Last(Fault::Zfs { .. })), "{answer:?}");
    assert!(!log.contains(&"received".to_string()));
}

#[test]
fn a_connection_that_ends_in_a_stream_leaves_it_partial() {
    let data = stream(&begin(5), 3);
    let mut raw = Raw::inside();
    raw.put(Kind::Request, 1, RECEIVE.as_bytes());
    raw.put(Kind::Data, 1, &data);
    let (ended, log) = raw.close();
    assert!(matches!(ended, Err(ServeError::Connection(_))), "{ended:?}");
    assert_eq!(done(&log), ["receive tank/in/new@s", "left partial"], "all came but the word that it is all");
}
