//! A key that may do no more than its line in `authorized_keys` says: the agent with its roots and rights, on a real
//! machine, whatever the other one asks for.

use crate::meddle::*;
use crate::replicas::*;
use crate::ways::Route;
use crate::ways::WAYS;

/// Both transports, with an agent at the far end.
fn agents(pull: bool, test: impl Fn(&Route<'_>)) {
    let cluster = pair();
    let mut tried = 0;
    for way in WAYS.iter().filter(|way| way.far_end == "agent" && way.pull == pull) {
        eprintln!("-- {way:?}");
        test(&Route::new(&cluster, *way));
        tried += 1;
    }
    assert_eq!(tried, 2);
}

/// F52: a backup host receives inside of its root and only adds: nothing outside is listed or made, nothing is renamed,
/// destroyed or read out, no property is set that could do harm, and there is no shell.
#[test]
fn a_key_for_receiving_only_adds_within_its_root() {
    agents(false, |route| {
        let (source, target) = (&route.source, &route.target);
        let inside = format!("{target}/inside");
        for below in ["", "/child"] {
            fill(route.from, &format!("{source}{below}"), 2);
        }
        sh(
            route.to,
            &format!(
                "zfs create {target}; zfs create {inside}; zfs create {target}/secret; zfs snapshot {target}/secret@s"
            ),
        );
        let key = forced(route, &format!("replicator agent --root {inside}"));
        let into = |dataset: &str, more: &str| {
            format!(
                "{source} node2:{dataset} --transport {} --far-end agent {key} {more}",
                route.way.transport
            )
        };
        // What it is for, and again, with a name that had to be made.
        completely(route.here, &[route.from, route.to], &into(&format!("{inside}/data"), "-r"));
        completely(route.here, &[route.from, route.to], &into(&format!("{inside}/new/data"), "-r"));
        change(route.from, source, 3);
        completely(route.here, &[route.from, route.to], &into(&format!("{inside}/data"), "-r"));
        for below in ["", "/child"] {
            assert_same(
                (route.from, &format!("{source}{below}")),
                (route.to, &format!("{inside}/data{below}")),
            );
        }
        // A receive that broke off may be thrown away.
        sh(
            route.from,
            &format!(
                "zfs send {source}/child@s1 | head -c 600000 | ssh node2 zfs receive -s -u {inside}/part || true"
            ),
        );
        completely(
            route.here,
            &[route.from, route.to],
            &into(&format!("{inside}/part"), "--discard-partial"),
        );
        // From here on everything is refused.
        sh(route.to, &format!("zfs snapshot {inside}/data@theirs"));
        change(route.from, source, 4);
        let before = (guids(route.from, source), state(route.to));
        for (arguments, word) in [
            (into(&format!("{target}/outside"), ""), "--root"),
            (into(&format!("{target}/secret"), ""), "--root"),
            (into(&format!("{inside}-beside"), ""), "--root"),
            (into("back", "-r"), "--root"),
            (into(&format!("{inside}/data"), "--divergence preserve"), "--allow"),
            (into(&format!("{inside}/x"), "--set mountpoint=/etc"), "--property"),
            (into(&format!("{inside}/x"), "--set sharenfs=on"), "--property"),
        ] {
            let err = refused(route.here, &arguments, 4, &["does not allow", word, "[R415]"]);
            assert!(!err.contains("secret@s"), "{err}");
            assert_eq!(before, (guids(route.from, source), state(route.to)), "{arguments}");
        }
        let pull = format!(
            "node2:{inside}/data tank/stolen --transport {} --far-end agent {key}",
            route.way.transport
        );
        refused(route.here, &pull, 4, &["--allow send", "[R415]"]);
        // Neither a shell nor the zfs command, whatever the asking end starts.
        let plain = into(&format!("{inside}/x"), "")
            .replace("--far-end agent", "--far-end zfs --idle-timeout 3 --retries 0");
        let output = replicator(route.here, &format!("replicate {plain}"));
        assert_ne!(output.code(), 0, "{}", output.out());
        let shell = sh(
            route.here,
            "timeout 5 ssh -i /root/.ssh/forced -o IdentitiesOnly=yes root@node2 'touch /tmp/pwned; id' < /dev/null | tr -d '\\0' || true",
        );
        assert!(shell.contains("replicator-agent") && !shell.contains("uid="), "{shell}");
        assert_eq!(sh(route.to, "ls /tmp | grep pwned || true"), "");
        assert_eq!(before, (guids(route.from, source), state(route.to)));
    });
}

/// F52: a source that is pulled from lists and sends what is within its root, keeps bookmarks there, and nothing else.
#[test]
fn a_key_for_sending_changes_nothing_but_bookmarks_within_its_root() {
    agents(true, |route| {
        let (source, target) = (&route.source, &route.target);
        fill(route.from, source, 2);
        fill(route.from, &format!("{source}-secret"), 1);
        let key = forced(route, &format!("replicator agent --root {source} --allow list,send,bookmark"));
        let run = |more: &str| replicate(route.here, &route.arguments("", &format!("{key} {more}")));
        run("");
        route.assert_same();
        assert_eq!(our_bookmarks(route.from, source).len(), 2);
        change(route.from, source, 3);
        // The older bookmark may not be removed: that is said, and is no failure.
        let said = run("");
        assert!(said.contains("older bookmarks stay"), "{said}");
        route.assert_same();
        let before = (state(route.from), state(route.to));
        let outside = route.arguments("", key).replace(&format!("{source}'"), &format!("{source}-secret'"));
        refused(route.here, &outside, 4, &["--root", "[R415]"]);
        let push = format!(
            "{target} node1:{source}/new --transport {} --far-end agent {key} --no-bookmarks",
            route.way.transport
        );
        refused(route.here, &push, 4, &["--allow receive", "[R415]"]);
        assert_eq!(before, (state(route.from), state(route.to)));
    });
}

/// What is read out of snapshots is for those alone who were given it, within the roots, and leaves nothing behind: also
/// when the agent is killed in the middle, or is an older one.
#[test]
fn an_agent_reads_snapshots_only_with_the_right_to_and_within_its_roots() {
    agents(false, |route| {
        let (source, target) = (&route.source, &route.target);
        fill(route.from, source, 1);
        // A link to a secret: its own words are compared, and never what it leads to.
        sh(
            route.from,
            &format!(
                "ln -s /etc/secret /{source}/link; ln -s / /{source}/top; zfs snapshot {source}@s2; echo 1 > /etc/secret"
            ),
        );
        sh(route.to, &format!("echo 2 > /etc/secret; zfs create {target}"));
        completely(route.here, &[route.from, route.to], &format!("{source} node2:{target}/in"));
        completely(route.here, &[route.from, route.to], &format!("{source} node2:{target}/out"));
        let compare = |key: &str, into: &str, code: i32, words: &[&str]| {
            let way = format!("--transport {} --far-end agent {key}", route.way.transport);
            let output =
                replicator(route.here, &format!("compare {source} node2:{target}/{into} --content {way}"));
            let text = format!("{}\n{}", output.out(), output.err());
            assert_eq!(output.code(), code, "{text}");
            for word in words {
                assert!(text.contains(word), "{word:?} is not in\n{text}");
            }
        };
        let before = (state(route.from), state(route.to));
        let key = forced(route, &format!("replicator agent --root {target}/in --allow list,send"));
        compare(key, "in", 4, &["does not allow", "--allow read", "authorized_keys"]);
        let key = forced(route, &format!("replicator agent --root {target}/in --allow list,read"));
        compare(key, "in", 0, &["files of", "are equal"]);
        compare(key, "out", 4, &["does not allow", "--root"]);
        assert_eq!(before, (state(route.from), state(route.to)));
        // Killed in the middle of a file: the mount goes with it.
        let big = "head -c 300000000 /dev/zero | tr '\\0' x";
        sh(
            route.to,
            &format!(
                "zfs set readonly=off {target}/in; zfs mount {target}/in; {big} > /{target}/in/big; zfs snapshot {target}/in@s3"
            ),
        );
        sh(route.from, &format!("echo small > /{source}/big; zfs snapshot {source}@s3"));
        let killing = route
            .to
            .script("for i in $(seq 2000); do p=$(pgrep -f '^replicator agent'); [ -n \"$p\" ] && \
                     grep -q ^rchar /proc/$p/io && [ $(sed -n 's/^rchar: //p' /proc/$p/io) -gt 20000000 ] && kill -9 $p && exit 0; \
                     sleep 0.01; done; exit 1")
            .spawn()
            .expect("it starts");
        let way = format!("--transport {} --far-end agent {key}", route.way.transport);
        let run = replicator(
            route.here,
            &format!("compare {source} node2:{target}/in --content --snapshot s3 {way}"),
        );
        assert_eq!(killing.wait().expect("it ends").code(), 0, "the agent was killed");
        assert_eq!(run.code(), 4, "{}\n{}", run.out(), run.err());
        for node in [route.from, route.to] {
            let left = sh(
                node,
                "grep '@' /proc/self/mountinfo /proc/mounts || true; ls -d /tmp/replicator-* 2>/dev/null || true",
            );
            assert_eq!(left, "");
            // Nothing keeps the snapshot busy.
            sh(node, "zfs list -H -o name -t snapshot | grep @s3 | xargs -n1 zfs destroy");
        }
    });
}
