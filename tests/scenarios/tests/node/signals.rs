//! Sending and receiving while signals rain down on the process.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use signal_hook::consts::SIGALRM;
use signal_hook::consts::SIGCHLD;
use signal_hook::consts::SIGUSR1;
use zfs_core::copy::stream_to_receiver;
use zfs_core::receive::ReceiveRequest;
use zfs_core::send::SendRequest;

use crate::child;
use crate::pool::Pool;
use crate::pool::tree;
use crate::send::read;

/// Sends signals to the process and to each of its threads every 5 ms until stopped; counts what was handled.
struct Storm {
    stop: Arc<AtomicBool>,
    thread: thread::JoinHandle<()>,
    handled: Arc<AtomicUsize>,
}

impl Storm {
    fn start() -> Self {
        let handled = Arc::new(AtomicUsize::new(0));
        for signal in [SIGUSR1, SIGALRM, SIGCHLD] {
            let handled = handled.clone();
            let count = move || {
                handled.fetch_add(1, Ordering::Relaxed);
            };
            // SAFETY: the handler only adds to an atomic counter.
            unsafe { signal_hook::low_level::register(signal, count) }.expect("install a handler");
        }
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = thread::spawn(move || {
            let process = rustix::process::getpid();
            while !stopped.load(Ordering::Relaxed) {
                for signal in [
                    rustix::process::Signal::USR1,
                    rustix::process::Signal::ALARM,
                    rustix::process::Signal::CHILD,
                ] {
                    rustix::process::kill_process(process, signal).expect("signal the process");
                }
                for task in std::fs::read_dir("/proc/self/task").expect("/proc") {
                    let id = task.ok().and_then(|task| task.file_name().to_str()?.parse::<i64>().ok());
                    if let Some(id) = id {
                        let process = process.as_raw_nonzero().get();
                        // SAFETY: takes three numbers; a thread that has ended meanwhile is an error nobody looks at.
                        unsafe {
                            libc::syscall(libc::SYS_tgkill, i64::from(process), id, i64::from(SIGUSR1))
                        };
                    }
                }
                thread::sleep(Duration::from_millis(5));
            }
        });
        Self { stop, thread, handled }
    }

    /// How many signals were handled.
    fn end(self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("the storm ends");
        self.handled.load(Ordering::Relaxed)
    }
}

#[test]
fn transfers_complete_in_a_storm_of_signals() {
    child::alone("signals::transfers_complete_in_a_storm_of_signals", || {
        let pool = Pool::new();
        let (_, folder, one) = pool.filled("a", 48 << 20);
        let request = SendRequest::full(one);
        let (calm, _) = read(&pool, &request);

        let storm = Storm::start();
        let (stormy, _) = read(&pool, &request);
        for round in 0..3 {
            let target = format!("copy{round}");
            let mut stream = pool.zfs.send(&request).expect("send");
            let mut receiver = pool.zfs.receive(ReceiveRequest::new(pool.snap(&format!("{target}@one"))));
            if round == 0 {
                std::io::copy(&mut stream, &mut receiver).expect("copy");
            } else {
                stream_to_receiver(&mut stream, &mut receiver, |_| true).expect("splice");
            }
            receiver.finish().expect("receive");
            stream.finish().expect("send");
        }
        // The other calls of the library block, too.
        for round in 0..50 {
            let name = pool.snapshot(&format!("a@storm{round}"));
            assert!(pool.zfs.find_snapshot(&name).expect("look").is_some());
        }
        assert_eq!(pool.zfs.snapshots(&pool.dataset("a")).expect("list").filter(Result::is_ok).count(), 51);
        let handled = storm.end();
        assert!(handled > 50, "only {handled} signals arrived: this was no storm");
        assert!(calm == stormy, "the stream differs");
        for round in 0..3 {
            assert_eq!(tree(&folder), tree(&pool.mount(&pool.dataset(&format!("copy{round}")))));
        }
    });
}
