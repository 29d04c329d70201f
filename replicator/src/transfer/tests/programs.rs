//! Streams through a program of this machine: gzip(1), which every machine has.

use std::sync::Mutex;

use super::stages::pieces;
use super::stages::target;
use super::*;

const PROGRAM: Codec = Codec::GZIP;

/// What the program makes of something, or brings back.
fn filtered(arguments: &[&str], data: &[u8]) -> Vec<u8> {
    use std::io::Write;
    use std::process::Command;
    use std::process::Stdio;

    let mut child = Command::new(PROGRAM.program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("gzip is there");
    let mut stdin = child.stdin.take().expect("a pipe");
    std::thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(data));
        child.wait_with_output().expect("an end").stdout
    })
}

fn settings() -> Settings {
    Settings { codec: PROGRAM, ..Settings::default() }
}

fn wire(head: Head<'_>, into: &Mutex<Vec<u8>>, leaves: Coding, from: u64) -> Result<Moved, TransferError> {
    let (dropped, expected) =
        (AtomicU64::new(0), Expected { to: Guid(5), from: Some(Guid(from)), raw: false });
    let target = target(&dropped, into);
    transfer(head, target, leaves, Wire::Out, expected, &settings(), &Cancel::new(), &|_| {})
}

#[test]
fn a_stream_arrives_whole_through_a_program_on_either_side() {
    for blocks in [0, 3, 2000] {
        let data = stream(5, 4, blocks);
        let packed = filtered(PROGRAM.pack, &data);
        for (arrives, leaves) in [
            (Coding::Plain, Coding::Packed),
            (Coding::Packed, Coding::Plain),
            (Coding::Packed, Coding::Packed),
        ] {
            let (dropped, into) = (AtomicU64::new(0), Mutex::new(Vec::new()));
            let sent = if arrives == Coding::Packed { &packed } else { &data };
            let settings = settings();
            let head = Head::unread(pieces(sent, 70_000, &dropped), arrives, &settings);
            let moved = wire(head, &into, leaves, 4).expect("good");
            let came = into.into_inner().expect("lock");
            assert_eq!(moved, Moved { plain: data.len() as u64, wire: came.len() as u64 });
            let plain = if leaves == Coding::Packed { filtered(PROGRAM.unpack, &came) } else { came };
            assert!(plain == data, "{blocks}: {arrives:?} to {leaves:?}");
        }
    }
}

#[test]
fn what_is_damaged_or_cut_or_no_stream_at_all_is_never_ended() {
    let packed = filtered(PROGRAM.pack, &stream(5, 4, 50));
    let mut changed = packed.clone();
    let middle = changed.len() / 2;
    changed[middle] ^= 0x10;
    let other = filtered(PROGRAM.pack, b"something else");
    let half = &packed[..packed.len() / 2];
    for sent in
        [half, &packed[..packed.len() - 1], changed.as_slice(), other.as_slice(), &b"no gzip"[..], &[]]
    {
        let seen = Seen::default();
        let settings = settings();
        let head = Head::unread(Box::new(From::new(sent.to_vec())), Coding::Packed, &settings);
        let expected = Expected { to: Guid(5), from: Some(Guid(4)), raw: false };
        let to = Box::new(To::new(&seen));
        let cancel = Cancel::new();
        let moved = transfer(head, to, Coding::Plain, Wire::In, expected, &settings, &cancel, &|_| {});
        assert!(matches!(moved, Err(TransferError::Stream(_))), "{} bytes: {moved:?}", sent.len());
        assert_eq!(seen.finished.into_inner(), 0);
    }
}

#[test]
fn what_came_before_the_sender_failed_reaches_the_receiver() {
    let data = stream(5, 4, 500);
    let cut = &data[..data.len() - 5000];
    let (dropped, into) = (AtomicU64::new(0), Mutex::new(Vec::new()));
    let mut from = pieces(cut, 100_000, &dropped);
    let mut next = std::mem::replace(&mut from.next, Box::new(|| Ok(Next::End)));
    from.next = Box::new(move || match next()? {
        Next::End => Err(failure("the line broke")),
        next => Ok(next),
    });
    let settings = settings();
    let error = wire(Head::unread(from, Coding::Plain, &settings), &into, Coding::Packed, 4);
    assert!(matches!(error, Err(TransferError::Sender(_))), "{error:?}");
    assert!(filtered(PROGRAM.unpack, &into.into_inner().expect("lock")) == cut);
}

#[test]
fn a_program_that_is_not_there_or_fails_is_told() {
    for (program, says) in [("no-such-program-here", "cannot be started"), ("false", "false ended before")] {
        let (dropped, into) = (AtomicU64::new(0), Mutex::new(Vec::new()));
        let settings = Settings { codec: Codec { program, ..PROGRAM }, ..Settings::default() };
        let data = stream(5, 4, 500);
        let head = Head::unread(pieces(&data, 100_000, &dropped), Coding::Plain, &settings);
        let expected = Expected { to: Guid(5), from: Some(Guid(4)), raw: false };
        let to = target(&dropped, &into);
        let cancel = Cancel::new();
        let error = transfer(head, to, Coding::Packed, Wire::Out, expected, &settings, &cancel, &|_| {});
        let error = error.expect_err(program).to_string();
        assert!(error.contains(says), "{error}");
    }
}
