//! Against a `zfs` of a few lines of shell.

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;

use super::*;
use crate::cancel::Cancel;
use crate::codes::Code;
use crate::codes::Coded;
use crate::host::Change;
use crate::host::Host;
use crate::host::Next;
use crate::host::SendSpec;
use crate::host::Snapshot;
use crate::transport::Process;
use crate::transport::here::Here;

/// A shell of this machine that finds these programs first, and counts its commands.
struct Shell {
    here: Here,
    path: String,
    started: Arc<AtomicUsize>,
}

impl Transport for Shell {
    fn peer(&self) -> &str {
        "far"
    }

    fn start<'a>(&'a mut self, command_line: &str) -> Result<Box<dyn Process + 'a>, TransportError> {
        self.started.fetch_add(1, Ordering::SeqCst);
        self.here.start(&format!("PATH={}:$PATH; export PATH; {command_line}", self.path))
    }

    fn another(&self) -> Result<Box<dyn Transport>, TransportError> {
        unreachable!("no test asks for it")
    }
}

struct Machine {
    _folder: tempfile::TempDir,
    host: ZfsCli,
    started: Arc<AtomicUsize>,
}

fn machine(programs: &[(&str, &str)]) -> Machine {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, text) in programs {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("written");
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).expect("executable");
    }
    let started = Arc::<AtomicUsize>::default();
    let path = folder.path().display().to_string();
    let shell = Shell { here: Here::new(&Cancel::new()), path, started: started.clone() };
    Machine { _folder: folder, host: ZfsCli::new(Box::new(shell)), started }
}

fn name(text: &str) -> DatasetName {
    text.parse().expect("a name")
}

const LISTS: &str = "#!/bin/sh
case $1 in
list) printf 'tank/a\\tfilesystem\\t1\\t2\\t0\\t5\\t9\\t-\\t-\\t-\\t-\\t-\\ntank/a@s\\tsnapshot\\t3\\t4\\t0\\t5\\t-\\t-\\t-\\t-\\t-\\t-\\n' ;;
get) printf 'tank/a\\tsyncoid:sync\\tnas,a\\tb\\tlocal\\n' ;;
esac
";

#[test]
fn a_listing_with_properties_is_one_command() {
    let mut far = machine(&[("zfs", LISTS)]);
    let names = ["syncoid:sync".to_string()];
    let (inventory, properties) =
        far.host.inventory_with(&name("tank/a"), Depth::All, &names).expect("listed");
    let Inventory::Present(tree) = inventory else { panic!("it is there") };
    assert_eq!(tree.root().snapshots.len(), 1);
    // A value may hold a tab.
    assert_eq!(properties[&name("tank/a")]["syncoid:sync"].value, "nas,a\tb");
    assert_eq!(far.started.load(Ordering::SeqCst), 1);
}

#[test]
fn a_property_that_cannot_be_had_is_an_error_and_no_empty_one() {
    let fails = LISTS.replace("get) ", "get) echo 'cannot open pool: I/O error' >&2; exit 1; ");
    let mut far = machine(&[("zfs", &fails)]);
    let names = ["syncoid:sync".to_string()];
    let error = far.host.inventory_with(&name("tank/a"), Depth::All, &names).expect_err("half an answer");
    assert!(matches!(error, HostError::Remote { .. }), "{error}");
    assert_eq!(error.code(), Code::PoolFault, "{error}");
    // Another property than what was asked for is no line of a list either.
    let mut other = machine(&[("zfs", LISTS)]);
    let error =
        other.host.inventory_with(&name("tank/a"), Depth::One, &["a:b".to_string()]).expect_err("not asked");
    assert!(matches!(error, HostError::BadAnswer { .. }), "{error}");
}

/// What lists two snapshots, of which `t` is the newer one.
const TWO: &str = "#!/bin/sh
case \"$*\" in
*'-t snapshot'*) printf 'tank/a@s\\t3\\ntank/a@t\\t4\\n' ;;
*) printf 'tank/a\\t1\\n' ;;
esac
";

#[test]
fn what_is_another_one_by_now_and_the_newest_are_not_destroyed() {
    let mut far = machine(&[("zfs", TWO)]);
    for (short, guid, code) in [("s", 9, Code::Changed), ("t", 4, Code::NotDestroyed)] {
        let snapshot = format!("tank/a@{short}").parse().expect("a name");
        let change =
            Change::PruneSnapshots { dataset: name("tank/a"), snapshots: vec![(snapshot, Guid(guid))] };
        let error = far.host.apply(&change).expect_err("refused");
        assert_eq!(error.code(), code, "{error}");
    }
}

#[test]
fn what_compresses_is_looked_for_once_and_then_used() {
    let zfs = "#!/bin/sh\nprintf stream\n";
    let mut far = machine(&[("zfs", zfs), ("lz4", "#!/bin/sh\necho \"$*\"; cat\n")]);
    let missing = Codec { program: "no-such-program-here", ..Codec::XZ };
    for _ in 0..2 {
        assert!(!far.host.compresses_with(&missing).expect("asked"));
        assert!(far.host.compresses_with(&Codec::LZ4).expect("asked"));
    }
    assert_eq!(far.started.load(Ordering::SeqCst), 2);
    assert_eq!(came(&mut far.host, true), b"-qc\nstream");
    assert_eq!(came(&mut far.host, false), b"stream");
}

/// What a send brings, to its end.
fn came(host: &mut ZfsCli, compress: bool) -> Vec<u8> {
    let to = Snapshot {
        name: "tank/a@s".parse().expect("a name"),
        guid: Guid(1),
        createtxg: 1.into(),
        ivset: None,
    };
    let spec = SendSpec { to, from: None, raw: false, flags: None, resume: None, compress };
    let mut outgoing = host.send(&spec).expect("it starts");
    let mut all = Vec::new();
    loop {
        match outgoing.next(1 << 20).expect("a block") {
            Next::End => break,
            Next::Nothing => {}
            Next::Block(block) => all.extend_from_slice(&block),
        }
    }
    outgoing.finish().expect("it ended well");
    all
}

/// Connects as socat does where it is told to.
const SOCAT: &str = "#!/bin/bash
to=${3#TCP:}; to=${to%%,*}
exec cat >\"/dev/tcp/${to%:*}/${to##*:}\"
";

#[test]
fn a_stream_comes_over_a_connection_of_its_own_one_after_the_other() {
    let port =
        std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound").port();
    let direct: Direct = format!("127.0.0.1:{port}").parse().expect("an address");
    let mut far =
        machine(&[("zfs", "#!/bin/sh\nprintf stream\n"), ("socat", SOCAT), ("lz4", "#!/bin/sh\ncat\n")]);
    far.host = far.host.over(direct.clone());
    for compress in [false, true, false] {
        assert!(far.host.compresses_with(&Codec::LZ4).expect("asked"));
        assert_eq!(came(&mut far.host, compress), b"stream");
    }
    // The failure of what sends is told, although what carries it ended well.
    let mut fails = machine(&[("zfs", "#!/bin/sh\nprintf str; echo oops >&2; exit 1\n"), ("socat", SOCAT)]);
    fails.host = fails.host.over(direct);
    let to = Snapshot {
        name: "tank/a@s".parse().expect("a name"),
        guid: Guid(1),
        createtxg: 1.into(),
        ivset: None,
    };
    let spec = SendSpec { to, from: None, raw: false, flags: None, resume: None, compress: false };
    let mut outgoing = fails.host.send(&spec).expect("it starts");
    while outgoing.next(100).expect("a block") != Next::End {}
    let error = outgoing.finish().expect_err("it failed");
    assert_eq!(error.to_string(), "far: send tank/a@s: oops");
}
