//! What the tests of cut, stopped and killed runs share: data big enough to be caught in the middle of a stream, what
//! the target kept of it, and what a run leaves behind at either end.

use std::cmp::Ordering;
use std::time::Duration;
use std::time::Instant;

use lab::Link;
use lab::Node;
use lab::Output;
use lab::Process;

use crate::replicas::*;
use crate::ways::Route;

/// What one snapshot of [`Route::grow`] adds to a stream.
pub(crate) const SIZE: u64 = 8_000_000;

/// How much of that is in each of its four files.
pub(crate) const FILE: u64 = SIZE / 4;

/// A small generator, so that a failure can be repeated with the seed it prints.
pub(crate) struct Random(u64);

impl Random {
    /// From `LAB_SEED`, or a new one.
    pub(crate) fn seeded() -> Self {
        let seed = std::env::var("LAB_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
            u64::from(now.subsec_nanos()) | 1
        });
        println!("LAB_SEED={seed}");
        Self(seed | 1)
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit.max(1)
    }
}

/// Files that do not compress, [`SIZE`] bytes of them, and snapshot `s<n>`.
pub(crate) fn grow(node: &Node, dataset: &str, n: usize) {
    sh(
        node,
        &format!(
            "zfs list '{dataset}' >/dev/null 2>&1 || zfs create '{dataset}'
             for i in 1 2 3 4; do head -c {FILE} /dev/urandom > /{dataset}/f$i; done; zfs snapshot '{dataset}@s{n}'"
        ),
    );
}

/// Waits until a condition holds that is looked at from here.
pub(crate) fn until(what: &str, limit: Duration, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < limit, "{what}: not within {limit:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Waits until nothing of a run is left on a node: no process of ours, of ssh, or of the connection, and no files.
pub(crate) fn assert_quiet(node: &Node) {
    let script = "for i in $(seq 150); do
           pgrep -x 'zfs|zstd|replicator|ssh|sshd-session|sshd-auth' > /dev/null || break; sleep 0.1
         done
         ps -e -o pid,stat,args | grep -E '[ /](zfs|zstd|replicator|ssh|sshd-session:?|sshd-auth:?) ' | grep -v grep || true
         ls -d /tmp/replicator-ssh-* 2>/dev/null || true";
    assert_eq!(sh(node, script), "", "{} is not done", node.name());
}

/// Waits until none of our holds is left: ZFS releases those of a process that is gone.
pub(crate) fn assert_not_held(node: &Node) {
    let held = "zfs list -H -o name -t snapshot | while read -r s; do zfs holds -H \"$s\"; done";
    assert_eq!(sh(node, held), "", "{}", node.name());
}

/// How much of the files of [`grow`] has arrived, by the place that a resume token says a stream goes on from, as the
/// machine with the snapshot reads it. (The bytes that the token counts are too many: those that a receive has read and
/// not written when it breaks off come again, and count again.)
pub(crate) fn arrived(source: &Node, dataset: &str, token: &str) -> u64 {
    let text = sh(
        source,
        &format!(
            "zfs send -nvt {token} | sed -n 's/^[[:space:]]*\\(object\\|offset\\) = 0x/\\1 /p'; cd '/{dataset}'; ls -i f?"
        ),
    );
    let (mut object, mut offset, mut files) = (0, 0, Vec::new());
    for line in text.lines() {
        let mut words = line.split_whitespace();
        match (words.next(), words.next()) {
            (Some("object"), Some(number)) => object = u64::from_str_radix(number, 16).expect("a number"),
            (Some("offset"), Some(number)) => offset = u64::from_str_radix(number, 16).expect("a number"),
            (Some(number), Some(_)) => files.push(number.parse::<u64>().expect("a number")),
            _ => {}
        }
    }
    assert_eq!(files.len(), 4, "{text}");
    let of = |file: u64| match file.cmp(&object) {
        Ordering::Less => FILE,
        Ordering::Equal => offset.min(FILE),
        Ordering::Greater => 0,
    };
    files.into_iter().map(of).sum()
}

impl Route<'_> {
    /// Files and snapshot `s<n>` for the source of this route.
    pub(crate) fn grow(&self, n: usize) {
        grow(self.from, &self.source, n);
    }

    /// The link between the two nodes.
    pub(crate) fn link(&self) -> Link {
        self.cluster.link(1, 2)
    }

    /// Starts a run.
    pub(crate) fn begin(&self, more: &str) -> Process {
        let script = format!("exec replicator replicate {}", self.arguments("", more));
        self.here.script(&script).limit(Duration::from_secs(150)).spawn().expect("started")
    }

    /// Starts a run over a narrow link, and waits until so many bytes have passed, or it has ended.
    pub(crate) fn begin_until(&self, more: &str, bytes: u64) -> Process {
        let link = self.link();
        link.bandwidth(Some(4_000_000));
        let before = link.counters().payload;
        let run = self.begin(more);
        until("bytes pass", Duration::from_secs(60), || {
            link.counters().payload - before >= bytes || run.finished()
        });
        run
    }

    /// The token on the target.
    pub(crate) fn token(&self) -> Option<String> {
        let get = format!("zfs get -H -o value receive_resume_token '{}' 2>/dev/null || true", self.target);
        Some(sh(self.to, &get)).filter(|token| token.starts_with("1-"))
    }

    /// How much of a stream the target has kept.
    pub(crate) fn kept(&self) -> u64 {
        self.token().map_or(0, |token| arrived(self.from, &self.source, &token))
    }

    /// Whether the target has snapshot `s<n>`.
    pub(crate) fn has(&self, n: usize) -> bool {
        let name = format!("{}@s{n}", self.target);
        !sh(self.to, &format!("zfs list -H -o name -t snapshot '{name}' 2>/dev/null || true")).is_empty()
    }

    /// What was left by a run is gone, at both ends.
    pub(crate) fn assert_quiet(&self) {
        assert_quiet(self.here);
        assert_quiet(self.far);
        assert_not_held(self.from);
    }

    /// The far machine notices at last that a connection is gone: its sshd ends, as it does by itself in time.
    pub(crate) fn hang_up(&self) {
        sh(self.far, "pkill -x sshd-session || true");
    }

    /// Ends the connection in the middle, noticed by both sides.
    pub(crate) fn tear(&self) {
        sh(self.far, "pkill -9 -x sshd-session || true");
    }

    /// A run that was cut is finished by the next one, which sends again at most a little of what the target kept, and
    /// both sides are equal then. Gives how much was kept.
    pub(crate) fn assert_goes_on(&self) -> u64 {
        let (begun, kept) = (self.token().is_some(), self.kept());
        let planned = plan_in(&self.plan("--json", 0).out());
        let run = self.run("--compress off --json");
        assert_eq!(run.code(), 0, "{}", run.err());
        let plan = plan_in(&run.out());
        assert_eq!(planned, plan, "the run did something else than was planned");
        assert_eq!(actions(&plan).iter().any(|action| action == "resume"), begun, "{plan}");
        let json: serde_json::Value = serde_json::from_str(&run.out()).expect("JSON");
        let moved = json["result"]["bytes"].as_u64().expect("a number");
        // Beside what is inside of the records there are only their headers.
        assert!(moved < SIZE + SIZE / 8 - kept, "{kept} of {SIZE} had arrived, and {moved} were sent again");
        self.assert_same();
        kept
    }

    /// Kills the run, and what its ssh leaves here for a minute.
    pub(crate) fn kill(&self, run: Process) {
        run.signal(9);
        assert_ne!(run.wait().expect("it ends").code(), 0);
        if self.way.transport == "ssh" {
            sh(self.here, "pkill -x ssh || true; rm -rf /tmp/replicator-ssh-*");
        }
    }
}

/// A run that was broken off: no success, no panic.
pub(crate) fn broken_off(run: Process, codes: &[i32]) -> Output {
    let output = run.wait().expect("it ends");
    let err = output.err();
    assert!(
        codes.contains(&output.code()),
        "status {} is none of {codes:?}\n{}\n{err}",
        output.code(),
        output.out()
    );
    assert!(!err.contains("panicked"), "{err}");
    output
}
