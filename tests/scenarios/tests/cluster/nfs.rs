//! An NFS server that moves between nodes as one in a container does: its address, its name and `/var/lib/nfs` go with it.
//! And a client, which writes all day into a file that it holds open and locked, and notes what was acknowledged.

use std::path::Path;
use std::time::Duration;

use lab::Node;
use lab::Process;

use crate::faults::until;
use crate::replicas::*;

/// Where clients find the server, wherever it runs.
const ADDRESS: &str = "10.77.0.100";

/// Where the client has it.
pub(crate) const MOUNTED: &str = "/mnt/nfs";

/// The longest that a client may take to go on: it waits longer from attempt to attempt to connect.
const PATIENCE: Duration = Duration::from_secs(240);

/// Writes a numbered line twice a second, and notes it once the server has said that it is on disk.
const HOLD: &str = r#"
import fcntl, os, time
held = os.open("/mnt/nfs/held", os.O_RDWR | os.O_CREAT, 0o644)
fcntl.lockf(held, fcntl.LOCK_EX)
with open("/root/acknowledged", "w", buffering=1) as noted:
    number = 0
    while True:
        os.pwrite(held, b"%015d\n" % number, 16 * number)
        os.fsync(held)
        noted.write("%d %.2f\n" % (number, time.monotonic()))
        number += 1
        time.sleep(0.5)
"#;

/// Holds a file open that is new, and says on demand what became of it.
const NEWER: &str = r#"
import errno, os, sys, time
name = sys.argv[1]
newer = os.open("/mnt/nfs/" + name, os.O_RDWR | os.O_CREAT, 0o644)
os.write(newer, b"nobody else has this\n" * 100)
os.fsync(newer)
open("/root/" + name + ".there", "w").close()
while not os.path.exists("/root/" + name + ".look"):
    time.sleep(0.2)
def tried(what):
    try:
        return repr(what())
    except OSError as error:
        return errno.errorcode[error.errno]
def write():
    os.pwrite(newer, b"more", 0)
    os.fsync(newer)
print("stat", tried(lambda: os.fstat(newer).st_size))
print("read", tried(lambda: os.pread(newer, 20, 0)))
print("write", tried(write))
"#;

/// What is held has every line up to a number, but for ranges of lines that a failover has lost; and beside these lines
/// nothing, least of all something else.
const CHECK: &str = r#"
import sys
data, last = open(sys.argv[1], "rb").read(), int(sys.argv[2])
lost = [tuple(map(int, word.split("-"))) for word in sys.argv[3:]]
there = 0
for number in range(max(last + 1, (len(data) + 15) // 16)):
    line = data[16 * number:16 * number + 16]
    if line == b"%015d\n" % number:
        there += 1
    elif line.strip(b"\0"):
        sys.exit("line %d is %r" % (number, line))
    elif number <= last and not any(first <= number < end for first, end in lost):
        sys.exit("line %d is not there, and all up to %d were acknowledged" % (number, last))
print(there)
"#;

/// What a client has written until some moment.
#[derive(Clone, Default)]
pub(crate) struct Written {
    /// Its files.
    pub(crate) names: Vec<String>,
    /// The last acknowledged line of the one that it holds.
    pub(crate) line: u64,
    /// Lines of it that were acknowledged and lost: from the first one to the one after the last.
    pub(crate) lost: Vec<(u64, u64)>,
}

/// Starts the server on a node whose `tank/data` is mounted. `carried` is a folder of this machine, which is as the disk of a
/// container that is on both nodes: it outlives power cuts, and no node has read it before it has the service.
///
/// The lease is short so that clients that are gone are soon forgotten. The time in which files and locks can be claimed
/// again is not: it ends by itself once all clients have done so, and a client that comes later has lost its locks.
pub(crate) fn serve(node: &Node, carried: &Path, client: &Node) {
    let script = format!(
        "mount -t hostfs -o hostfs={} none /var/lib/nfs
         mkdir -p /run/rpc_pipefs /var/lib/nfs/nfsdcld
         mountpoint -q /run/rpc_pipefs || mount -t rpc_pipefs rpc_pipefs /run/rpc_pipefs
         mountpoint -q /proc/fs/nfsd || mount -t nfsd nfsd /proc/fs/nfsd
         pgrep -x rpcbind > /dev/null || rpcbind -w > /dev/null 2>&1
         grep ' /tank/data ' /proc/mounts
         echo '/tank/data 10.77.0.0/24(rw,sync,no_root_squash,no_subtree_check,fsid=0)' > /etc/exports
         nfsdcld > /tmp/nfsdcld.log 2>&1
         exportfs -ra
         echo 10 > /proc/fs/nfsd/nfsv4leasetime
         echo 60 > /proc/fs/nfsd/nfsv4gracetime
         rpc.mountd --no-nfs-version 3 > /tmp/mountd.log 2>&1
         rpc.nfsd --no-nfs-version 3 --scope nfs-server 4
         ip address add {ADDRESS}/24 dev vec0
         # The others learn where the address is now from whom it asks for theirs.
         ip neighbour flush dev vec0
         ping -q -c 1 -W 5 -I {ADDRESS} {} > /dev/null",
        carried.display(),
        client.address()
    );
    sh(node, &script);
}

/// Stops it. The address goes first: a client is to find nobody, and not a server without exports.
pub(crate) fn stop(node: &Node) {
    sh(
        node,
        &format!(
            "ip address del {ADDRESS}/24 dev vec0
             rpc.nfsd 0; exportfs -ua; exportfs -f
             pkill -x rpc.mountd; pkill -x nfsdcld
             while pgrep -x 'rpc.mountd|nfsdcld' > /dev/null; do sleep 0.1; done
             umount /var/lib/nfs"
        ),
    );
}

/// The machine that uses the service.
pub(crate) struct Client<'c> {
    pub(crate) node: &'c Node,
    holds: Process,
    /// The number that the kernel has given to the mount.
    mount: String,
}

impl<'c> Client<'c> {
    /// Mounts what is served, and begins to write into the file that it holds.
    pub(crate) fn begin(node: &'c Node) -> Self {
        sh(
            node,
            &format!(
                "mkdir -p {MOUNTED} /root/copies
                 mount -t nfs4 -o vers=4.2,hard,timeo=20,retrans=2 {ADDRESS}:/ {MOUNTED}"
            ),
        );
        let holds = node.script(&format!("exec python3 - <<'E'\n{HOLD}\nE")).limit(None);
        let holds = holds.spawn().expect("started");
        let client = Self { node, holds, mount: mount_number(node) };
        client.goes_on(0);
        client
    }

    /// The number of the last line that the server has acknowledged.
    pub(crate) fn acknowledged(&self) -> u64 {
        assert!(!self.holds.finished(), "it has ended: {}", String::from_utf8_lossy(&self.holds.stderr()));
        let last = sh(self.node, "tail -n 1 /root/acknowledged 2>/dev/null | cut -d' ' -f1 || true");
        last.parse().unwrap_or(0)
    }

    /// Waits until more was acknowledged than a number.
    pub(crate) fn goes_on(&self, from: u64) {
        until("the client goes on", PATIENCE, || self.acknowledged() > from);
    }

    /// How long it was, in seconds, from the acknowledgement of this line to that of the next one.
    pub(crate) fn paused(&self, line: u64) -> f64 {
        let times = format!(
            "awk '$1 == {line} {{ one = $2 }} $1 == {line} + 1 {{ print $2 - one }}' /root/acknowledged"
        );
        sh(self.node, &times).parse().expect("seconds")
    }

    /// Puts a file of random bytes on the server, and keeps a copy. It is on the server's disk afterwards.
    pub(crate) fn put(&self, name: &str, bytes: u64) {
        let script = format!(
            "head -c {bytes} /dev/urandom > /root/copies/{name}
             cp /root/copies/{name} {MOUNTED}/{name}; sync {MOUNTED}/{name}"
        );
        let put = self.node.script(&format!("set -e\n{script}")).limit(PATIENCE);
        put.check().expect("it is written");
    }

    /// Holds a file open that nobody has seen yet.
    pub(crate) fn hold_newer(&self, name: &str) -> Process {
        let held = self.node.script(&format!("exec python3 - {name} <<'E'\n{NEWER}\nE")).limit(None);
        let held = held.spawn().expect("started");
        until("it is there", PATIENCE, || {
            assert!(!held.finished(), "{}", String::from_utf8_lossy(&held.stderr()));
            !sh(self.node, &format!("ls /root/{name}.there 2>/dev/null || true")).is_empty()
        });
        held
    }

    /// Looks at a file that the server does not have any more: it is gone, to who holds it and to who looks for it, and it has
    /// not become another one.
    pub(crate) fn is_stale(&self, name: &str, held: Process) {
        // What was read before is not asked for.
        sh(self.node, &format!("echo 3 > /proc/sys/vm/drop_caches; touch /root/{name}.look"));
        let output = held.wait().and_then(lab::Output::ok).expect("it looks");
        let said = output.out();
        eprintln!("{name}, which was not replicated, is to who holds it:\n{said}");
        let found = |what: &str| {
            let line = said.lines().find_map(|line| line.strip_prefix(what));
            line.map(str::trim).unwrap_or_default().to_string()
        };
        assert_eq!(found("stat"), "ESTALE", "{said}");
        for what in ["read", "write"] {
            assert!(["ESTALE", "EIO"].contains(&&*found(what)), "{what}: {said}");
        }
        let looked = self.node.script(&format!("cat {MOUNTED}/{name}")).limit(PATIENCE).run();
        let looked = looked.expect("the node answers");
        assert!(looked.err().contains("No such file"), "{}{}", looked.out(), looked.err());
    }

    /// It is the mount of the morning, and it shows what the server has.
    pub(crate) fn assert_mounted(&self, server: &Node) {
        assert_eq!(mount_number(self.node), self.mount, "it was mounted again");
        let names = |node: &Node, folder: &str| {
            let list = node.script(&format!("ls -1 {folder}")).limit(PATIENCE).check().expect("a list");
            list.out()
        };
        assert_eq!(names(self.node, MOUNTED), names(server, "/tank/data"));
    }

    /// In a folder is what this client has written: the same files, and all lines of the one that it holds.
    pub(crate) fn assert_there(&self, node: &Node, folder: &str, written: &Written) {
        let Written { names, line, lost } = written;
        let sums =
            |node: &Node, folder: &str| sh(node, &format!("cd {folder}; sha256sum {}", names.join(" ")));
        assert!(!names.is_empty() && *line > 0, "nothing to compare");
        assert_eq!(sums(node, folder), sums(self.node, "/root/copies"), "{folder} of {}", node.name());
        let lost: Vec<String> = lost.iter().map(|(first, end)| format!("{first}-{end}")).collect();
        let lost = lost.join(" ");
        let lines = sh(node, &format!("python3 - {folder}/held {line} {lost} <<'E'\n{CHECK}\nE"));
        eprintln!("{folder} of {}: {} files and {lines} lines, of {line}", node.name(), names.len());
    }
}

fn mount_number(node: &Node) -> String {
    let number = sh(node, &format!("awk '$5 == \"{MOUNTED}\" {{ print $1 }}' /proc/self/mountinfo"));
    assert!(!number.is_empty() && !number.contains('\n'), "mounted once: {number}");
    number
}
