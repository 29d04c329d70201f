//! Cancelled transfers: at any point, on either side, nothing stays behind.

use std::io::Read;
use std::io::Write;

use zfs_core::copy::stream_to_receiver;
use zfs_core::receive::ReceiveRequest;
use zfs_core::send::SendRequest;

use crate::child;
use crate::pool::Pool;

const ROUNDS: u64 = 200;

#[test]
fn threads_and_files_are_back_after_200_cancelled_transfers() {
    child::alone("cancellation::threads_and_files_are_back_after_200_cancelled_transfers", || {
        let pool = Pool::new();
        let (_, _, one) = pool.filled("a", 4 << 20);
        let request = SendRequest::full(one);
        let into = || ReceiveRequest::new(pool.snap("b@one"));
        // Once before counting, for what is made on first use and kept.
        drop(pool.zfs.send(&request).expect("send"));
        let before = child::threads_and_files_at_rest();

        let mut cut_short = 0;
        for round in 0..ROUNDS {
            // From before the first byte to past the middle.
            let limit = round * (3 << 20) / ROUNDS;
            match round % 4 {
                0 => drop(pool.zfs.send(&request).expect("send")),
                1 => {
                    let mut stream = pool.zfs.send(&request).expect("send");
                    std::io::copy(&mut (&mut stream).take(limit), &mut std::io::sink()).expect("read");
                    stream.finish().expect_err("not read to its end");
                    cut_short += 1;
                }
                2 => {
                    let mut stream = pool.zfs.send(&request).expect("send");
                    let mut receiver = pool.zfs.receive(into());
                    let copied = stream_to_receiver(&mut stream, &mut receiver, |bytes| bytes <= limit);
                    assert_eq!(copied.expect_err("cancelled").kind(), std::io::ErrorKind::Interrupted);
                    // Either side may be dropped first.
                    if round % 8 == 2 {
                        drop((stream, receiver));
                    } else {
                        drop((receiver, stream));
                    }
                    cut_short += 1;
                }
                _ => {
                    let mut receiver = pool.zfs.receive(into());
                    let mut stream = pool.zfs.send(&request).expect("send");
                    let mut some = vec![0; usize::try_from(limit).expect("small")];
                    stream.read_exact(&mut some).expect("read");
                    receiver.write_all(&some).expect("write");
                    drop(receiver);
                    cut_short += 1;
                }
            }
            pool.zfs.abort_receive(&pool.dataset("b")).expect("abort");
        }
        assert_eq!(cut_short, ROUNDS * 3 / 4);
        assert_eq!(child::threads_and_files_settled(before), before);
        // And nothing of it is in the way of a real one.
        let mut stream = pool.zfs.send(&request).expect("send");
        let mut receiver = pool.zfs.receive(into());
        stream_to_receiver(&mut stream, &mut receiver, |_| true).expect("transfer");
        receiver.finish().expect("receive");
        stream.finish().expect("send");
    });
}

#[test]
fn reader_that_goes_away_does_not_kill_the_process() {
    child::alone("cancellation::reader_that_goes_away_does_not_kill_the_process", || {
        let pool = Pool::new();
        let (_, _, one) = pool.filled("a", 4 << 20);
        for _ in 0..20 {
            let mut stream = pool.zfs.send(&SendRequest::full(one.clone())).expect("send");
            stream.read_exact(&mut [0; 400]).expect("read");
            // The kernel writes into a pipe without a reader: that is a SIGPIPE for the thread, which blocks it.
            drop(stream);
        }
    });
}

#[test]
fn waiting_for_either_end_can_be_given_up() {
    let pool = Pool::new();
    let (_, _, one) = pool.filled("a", 4 << 20);
    let soon = std::time::Duration::from_millis(10);
    let mut stream = pool.zfs.send(&SendRequest::full(one)).expect("send");
    let mut head = vec![0; 1 << 20];
    stream.read_exact(&mut head).expect("read");
    assert!(stream.wait(std::time::Duration::from_secs(60)).expect("poll"), "there is more to read");

    // In turns that never wait long, as a caller does who looks at other things between them.
    let mut receiver = pool.zfs.receive(ReceiveRequest::new(pool.snap("b@one")));
    let mut written = 0;
    while written < head.len() {
        written += receiver.write_within(&head[written..], soon).expect("write");
    }
    assert_eq!(receiver.bytes_written(), head.len() as u64);
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).expect("read");
    assert!(stream.wait(soon).expect("poll"), "the end is something to read");
    let mut written = 0;
    while written < rest.len() {
        written += receiver.write_within(&rest[written..], soon).expect("write");
    }
    receiver.finish().expect("receive");
}
