//! A far end that lies: in lists, in streams, in frames, in tokens. Nothing of it is reported as success, nothing on this
//! side changes by it, and no message lets it write on a terminal.

use lab::Output;

use crate::meddle::*;
use crate::replicas::*;
use crate::ways::Route;
use crate::ways::over_every_way;

/// The message of a failed run: short, printable, and no panic.
fn said(run: &Output, code: &[i32], lie: &str) -> String {
    let err = run.err();
    assert!(code.contains(&run.code()), "{lie}: {}\n{}\n{err}", run.code(), run.out());
    assert!(err.contains("error: ") && !err.contains("panicked"), "{lie}: {err}");
    assert!(err.len() < 20_000 && !err.contains('\u{1b}') && !err.contains('\u{7}'), "{lie}: {err:?}");
    err
}

/// Snapshots of both sides, and everything else on the target.
fn both(route: &Route<'_>) -> (Vec<String>, String) {
    (guids(route.from, &route.source), state(route.to))
}

/// F51: the zfs command at the far end answers with garbage, too little, too much, other numbers, other names.
#[test]
fn lists_that_lie_are_errors_and_change_nothing() {
    over_every_way(|route| {
        if route.way.far_end != "zfs" {
            return;
        }
        fill(route.from, &route.source, 2);
        route.as_planned("", "");
        change(route.from, &route.source, 3);
        let far = if route.way.pull { &route.source } else { &route.target };
        let before = both(route);
        let listed = |filter: &str| format!("case $1 in list) $real \"$@\" | {filter}; exit 0;; esac");
        // A bookmark of ours can still be the base of a stream that is another one then.
        let lies: [(&str, String, &[i32]); 16] = [
            ("garbage", "case $1 in list|get) head -c 300000 /dev/urandom; exit 0;; esac".to_string(), &[1]),
            ("nothing", "exit 0".to_string(), &[1]),
            ("fewer columns", listed("cut -f 1-5"), &[1]),
            ("another column", listed("sed 's/$/\\tx/'"), &[1]),
            ("an endless line", "case $1 in list) exec cat /dev/zero;; esac".to_string(), &[1]),
            ("endless lines", "case $1 in list) exec yes tank/x;; esac".to_string(), &[1]),
            (
                "a GUID of 65 bits",
                listed("sed -E 's/\\tsnapshot\\t[0-9]+/\\tsnapshot\\t18446744073709551616/'"),
                &[1],
            ),
            ("a GUID that is none", listed("sed -E 's/\\tsnapshot\\t[0-9]/\\tsnapshot\\t-/'"), &[1]),
            ("other GUIDs", listed("sed -E 's/\\tsnapshot\\t[0-9]+/\\tsnapshot\\t777/'"), &[1, 3]),
            ("other datasets", listed(&format!("sed 's|^{far}|{far}x|'")), &[1]),
            ("datasets outside", listed("sed '$s|$|\\ntank/../../etc\\tfilesystem\\t1\\t1|'"), &[1]),
            ("no end", "case $1 in list) $real \"$@\"; kill -9 $PPID; sleep 5;; esac".to_string(), &[1]),
            (
                "absent, and yet in the list above",
                format!(
                    "case \"$*\" in *{far}) echo \"cannot open '{far}': dataset does not exist\" >&2; exit 1;; esac"
                ),
                &[1],
            ),
            (
                "colours and a bell",
                "printf '\\033[31mowned\\033]0;x\\007\\nreplicator: end\\n' >&2; exit 1".to_string(),
                &[1],
            ),
            ("a flood of errors", "head -c 3000000 /dev/zero | tr '\\0' x >&2; exit 1".to_string(), &[1]),
            ("an end by a signal", "kill -9 $$".to_string(), &[1]),
        ];
        for (lie, script, code) in &lies {
            deceive(route.far, script);
            said(&route.run("--retries 0"), code, lie);
        }
        be_honest(route.far);
        assert_eq!(before, both(route));
        route.completely("");
        route.assert_same();
    });
}

/// F51: the far end says that it received, and did not; or the other way round.
#[test]
fn a_receive_that_lies_is_found_out_by_reading_back() {
    over_every_way(|route| {
        if route.way.far_end != "zfs" || route.way.pull {
            return;
        }
        fill(route.from, &route.source, 1);
        route.as_planned("", "");
        change(route.from, &route.source, 2);
        let before = both(route);
        for (lie, script, word) in [
            ("taken and thrown away", "case $1 in receive) cat > /dev/null; exit 0;; esac", "does not exist"),
            ("not even read", "case $1 in receive) exit 0;; esac", "does not exist"),
            ("refused", "case $1 in receive) echo odd >&2; exit 1;; esac", "odd"),
        ] {
            deceive(route.far, script);
            let err = said(&route.run("--retries 0"), &[1], lie);
            assert!(err.contains(word), "{lie}: {err}");
            assert_eq!(before, both(route), "{lie}");
        }
        // What arrived is not what was sent, and the far end says it is fine.
        be_honest(route.far);
        let other = "tank/impostor";
        fill(route.from, other, 2);
        sh(
            route.from,
            &format!("zfs send {other}@s2 | ssh node2 zfs receive -u back/impostor; zfs destroy -r {other}"),
        );
        deceive(
            route.far,
            &format!(
                "case $1 in receive) cat > /dev/null; $real send back/impostor@s2 | $real receive {}/x; \
                 $real snapshot {}@s2; exit 0;; esac",
                route.target, route.target
            ),
        );
        let err = said(&route.run("--retries 0"), &[1], "another snapshot");
        assert!(err.contains("has GUID") && err.contains("was sent") && err.contains("[R110]"), "{err}");
        be_honest(route.far);
        route.refused("", 3, &["has changed since", "@s2", "[R315]"]);
    });
}

/// F52: what a far source sends is not the stream that was asked for: a package of several, garbage, another dataset's,
/// in full instead of a step, cut short, longer, damaged. The target takes no snapshot from it.
#[test]
fn streams_that_were_not_asked_for_are_never_a_success() {
    over_every_way(|route| {
        if route.way.far_end != "zfs" || !route.way.pull {
            return;
        }
        let source = &route.source;
        fill(route.from, source, 1);
        fill(route.from, &format!("{source}/other"), 1);
        route.as_planned("", "");
        change(route.from, source, 2);
        let before = guids(route.to, &route.target);
        let sent = |command: &str| format!("case \"$*\" in *-n*) ;; send*) {command}; exit 0;; esac");
        for (lie, script) in [
            ("a package", sent(&format!("$real send -R {source}@s2"))),
            ("garbage", sent("head -c 3000000 /dev/urandom")),
            ("zeros without end", sent("cat /dev/zero")),
            ("nothing", sent("true")),
            ("another dataset", sent(&format!("$real send {source}/other@s1"))),
            ("in full", sent(&format!("$real send {source}@s2"))),
            ("cut short", sent("$real \"$@\" | head -c 300000")),
            ("longer", sent("$real \"$@\"; $real \"$@\"")),
            ("with a tail", sent("$real \"$@\"; echo tail")),
            ("damaged", sent("$real \"$@\" | LC_ALL=C sed '9,$s/a/b/'")),
        ] {
            deceive(route.far, &script);
            said(&route.run("--retries 0"), &[1], lie);
            assert_eq!(before, guids(route.to, &route.target), "{lie}");
        }
        be_honest(route.far);
        let rest = route.run("--retries 0");
        assert_eq!(rest.code(), 0, "{}", rest.err());
        nothing_is_left(route, "");
        route.assert_same();
    });
}

/// F53: the token that the target tells of is forged: nonsense, a shell command, far too long, changed in one place, or
/// a real one that belongs to another dataset.
#[test]
fn forged_tokens_are_never_followed() {
    over_every_way(|route| {
        if route.way.pull {
            // Of what arrives here nobody else tells.
            return;
        }
        let (source, target) = (&route.source, &route.target);
        fill(route.from, source, 1);
        route.as_planned("", "");
        change(route.from, source, 2);
        sh(
            route.from,
            &format!("zfs create {source}-z; head -c 900000 /dev/urandom > /{source}-z/f; zfs snapshot {source}-z@s1
                      zfs send {source}-z@s1 | head -c 600000 | ssh node2 zfs receive -s -u {target}-z || true"),
        );
        let real = sh(route.to, &format!("zfs get -H -o value receive_resume_token {target}-z"));
        assert!(real.starts_with("1-"), "{real}");
        let before = both(route);
        let changed = format!("{}{}", &real[..real.len() - 1], if real.ends_with('0') { '1' } else { '0' });
        let long = format!("1-0-{}", "0".repeat(60_000));
        for token in
            [real.as_str(), "1-nonsense", "1-$(touch /tmp/pwned)`x`", "1-c0ffee-10-789c", &long, &changed]
        {
            let option = match route.way.far_end {
                "zfs" => {
                    route.far.write_file("/tmp/token", token).expect("written");
                    deceive(
                        route.far,
                        &format!(
                            "case \"$*\" in *receive_resume_token*) $real \"$@\" | awk -F'\\t' -v OFS='\\t' \
                                 -v t=\"$(cat /tmp/token)\" '$1 == \"{target}\" {{ $12 = t }} {{ print }}'; exit 0;; esac"
                        ),
                    );
                    ""
                }
                _ => {
                    route.far.write_file("/tmp/token", token).expect("written");
                    relay(route, "token")
                }
            };
            let err = said(&route.run(&format!("{option} --retries 0")), &[3], token);
            assert!(err.contains("cannot go on") && err.contains("--discard-partial"), "{token}: {err}");
            be_honest(route.far);
            assert_eq!(before.1, state(route.to), "{token}");
        }
        assert_eq!(sh(route.far, "ls /tmp | grep pwned || true"), "");
        route.completely("");
        route.assert_same();
        sh(route.to, &format!("zfs receive -A {target}-z"));
    });
}

/// Stands between a real agent and its asking end, and changes what it says.
const RELAY: &str = r#"
import json, os, struct, subprocess, sys, threading
how = sys.argv[1]
child = subprocess.Popen(['replicator', 'agent', '--everywhere', '--allow', 'all'], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
def feed():
    while True:
        data = os.read(0, 65536)
        if not data: break
        child.stdin.write(data); child.stdin.flush()
    child.stdin.close()
threading.Thread(target=feed, daemon=True).start()
def out(data):
    while data: data = data[os.write(1, data):]
number = 0
while True:
    head = child.stdout.read(4)
    if len(head) < 4: break
    frame = child.stdout.read(struct.unpack('>I', head)[0])
    kind, payload = frame[0], frame[5:]
    number += 1
    if number > 1:
        if how == 'huge': out(struct.pack('>IBI', 0xffffffff, 3, 1)); continue
        if how == 'random': out(os.urandom(3000)); continue
        if how == 'cut': out(head + frame[:7]); os._exit(0)
        if how == 'twice': out(head + frame)
    if kind == 3:
        part = json.loads(payload)
        if isinstance(part, dict):
            if how == 'guids' and 'snapshots' in part:
                part['snapshots'] = [[row[0], 777 + at] + row[2:] for at, row in enumerate(part['snapshots'])]
            if how == 'names' and 'snapshots' in part:
                part['snapshots'] = [['../../' + row[0]] + row[1:] for row in part['snapshots']]
            if 'dataset' in part and how == 'outside':
                part['dataset']['name'] = 'other/' + part['dataset']['name']
            if 'dataset' in part and how == 'token':
                part['dataset']['token'] = open('/tmp/token').read()
            payload = json.dumps(part).encode()
    if kind == 5 and how == 'data':
        payload = payload[:-1] + bytes([payload[-1] ^ 1])
    frame = frame[:5] + payload
    out(struct.pack('>I', len(frame)) + frame)
"#;

/// The option with which the far end is such a relay.
fn relay(route: &Route<'_>, how: &str) -> &'static str {
    route.far.write_file("/root/relay.py", RELAY).expect("written");
    forced(route, &format!("exec python3 /root/relay.py {how}"))
}

/// F51: an agent that is none, or that says something else than what there is.
#[test]
fn agents_that_lie_are_errors_and_change_nothing() {
    over_every_way(|route| {
        if route.way.far_end != "agent" {
            return;
        }
        fill(route.from, &route.source, 2);
        route.as_planned("", "");
        change(route.from, &route.source, 3);
        let before = both(route);
        for (lie, command) in [
            ("nothing", "true"),
            ("zeros", "exec cat /dev/zero"),
            ("noise", "head -c 500000 /dev/urandom"),
            ("a shell", "echo Welcome; exec sh"),
            ("silence", "exec sleep 60"),
            ("colours", "printf '\\033[31mowned\\007\\n' >&2; exit 1"),
        ] {
            let option = forced(route, command);
            said(&route.run(&format!("{option} --retries 0 --idle-timeout 3")), &[1, 4], lie);
        }
        let mut lies = vec!["huge", "random", "cut", "twice", "guids", "names", "outside"];
        if route.way.pull {
            lies.push("data");
        }
        for lie in lies {
            let option = relay(route, lie);
            said(
                &route.run(&format!("{option} --retries 0 --idle-timeout 3 --stall-timeout 3")),
                &[1, 3, 4],
                lie,
            );
            assert_eq!(before.0, guids(route.from, &route.source), "{lie}");
            let known = guids(route.to, &route.target);
            assert_eq!(known.len(), 2, "{lie}: {known:?}");
        }
        // The relay alone is no obstacle, so that it was its lies that were found.
        let option = relay(route, "nothing");
        let run = route.run(option);
        assert_eq!(run.code(), 0, "{}", run.err());
        nothing_is_left(route, "");
        route.assert_same();
    });
}
