//! When the data of a run began to flow. Over a line with a long round trip every program first spends some of them on
//! connecting and looking, each a number of its own; how well it fills the line shows from its first MiB on.

use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

use crate::counters::wire_bytes;

/// So much has to have gone through the network cards: more than connecting and looking take.
pub const FIRST: u64 = 1 << 20;

/// Between two looks.
const EVERY: Duration = Duration::from_millis(10);

/// Does some work. Also gives how many seconds were left of it when [`FIRST`] bytes were over the line; nothing where there
/// never were as many.
pub fn during<T>(work: impl FnOnce() -> T) -> (T, Option<f64>) {
    let before = wire();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watching = scope.spawn(|| {
            let begun = || Some(wire()?.saturating_sub(before?) >= FIRST);
            loop {
                // Asked once more after the end, so that nothing is missed between two looks.
                let last = over.load(Ordering::Acquire);
                if begun() == Some(true) {
                    return Some(Instant::now());
                }
                if last {
                    return None;
                }
                std::thread::sleep(EVERY);
            }
        });
        let ends = Ends(&over);
        let done = work();
        let end = Instant::now();
        drop(ends);
        let begun = watching.join().unwrap_or_default();
        (done, begun.map(|begun| end.saturating_duration_since(begun).as_secs_f64()))
    })
}

/// Says that it is over, also where the work panics: nobody would wait for an end then.
struct Ends<'o>(&'o AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

fn wire() -> Option<u64> {
    wire_bytes(&std::fs::read_to_string("/proc/net/dev").ok()?)
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::io::Write;
    use std::net::TcpListener;
    use std::net::TcpStream;

    use super::*;

    /// Sends over the loopback.
    fn send(bytes: usize) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let mut near = TcpStream::connect(listener.local_addr().expect("bound")).expect("connected");
        let (mut far, _) = listener.accept().expect("accepted");
        std::thread::scope(|scope| {
            scope.spawn(move || near.write_all(&vec![7; bytes]).expect("sent"));
            let mut all = Vec::new();
            far.read_to_end(&mut all).expect("received");
            assert_eq!(all.len(), bytes);
        });
    }

    #[test]
    fn data_that_flows_is_seen_and_what_comes_before_it_does_not_count() {
        let (done, flow) = during(|| {
            std::thread::sleep(Duration::from_millis(200));
            send(4 << 20);
            5
        });
        assert_eq!(done, 5);
        assert!(flow.is_some());
    }
}
