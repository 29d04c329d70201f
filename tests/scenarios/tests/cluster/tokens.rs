//! Receives that broke off, and tokens that do not belong to what would be sent: none is followed blindly, none is
//! thrown away unless that was asked for, and each stops its own dataset alone.

use crate::meddle::*;
use crate::replicas::*;
use crate::ways::Route;
use crate::ways::over_every_way;

const KEY: &str = "echo 'a long passphrase'";

fn token(route: &Route<'_>, below: &str) -> String {
    sh(route.to, &format!("zfs get -H -o value receive_resume_token '{}{below}'", route.target))
}

/// Leaves a part of a stream on the target, by means of the zfs command: the state is not of our own making.
fn break_off(route: &Route<'_>, send: &str, below: &str) {
    sh(
        route.from,
        &format!(
            "zfs send {send} | head -c 600000 | ssh node2 zfs receive -s -u '{}{below}' || true",
            route.target
        ),
    );
    assert!(token(route, below).starts_with("1-"), "{below}");
}

/// Sends a first snapshot by means of the zfs command, which makes no bookmark.
fn seed(route: &Route<'_>, below: &str, snapshot: &str) {
    let (source, target) = (&route.source, &route.target);
    sh(
        route.from,
        &format!("zfs send '{source}{below}@{snapshot}' | ssh node2 zfs receive -u '{target}{below}'"),
    );
}

/// F19: the token is of a snapshot, or starts at a snapshot, that the source has destroyed. Where a bookmark stands for
/// the latter, it goes on; else it stops, and is thrown away on request only.
#[test]
fn tokens_of_snapshots_that_the_source_destroyed_stop_until_they_may_be_discarded() {
    over_every_way(|route| {
        let source = &route.source;
        fill(route.from, source, 1);
        route.as_planned("", "");
        for below in ["/bookmark", "/from", "/full", "/to"] {
            fill(route.from, &format!("{source}{below}"), 1);
            if below != "/full" {
                seed(route, below, "s1");
            }
            change(route.from, &format!("{source}{below}"), 2);
        }
        for below in ["/bookmark", "/from", "/to"] {
            break_off(route, &format!("-i @s1 {source}{below}@s2"), below);
        }
        break_off(route, &format!("{source}/full@s2"), "/full");
        sh(
            route.from,
            &format!(
                "zfs bookmark {source}/bookmark@s1 {source}/bookmark#kept; zfs destroy {source}/bookmark@s1
                 zfs destroy {source}/from@s1; zfs destroy {source}/full@s2; zfs destroy {source}/to@s2"
            ),
        );
        for below in ["/full", "/to"] {
            change(route.from, &format!("{source}{below}"), 3);
        }
        let stuck = ["/from", "/full", "/to"];
        let before: Vec<String> = stuck.iter().map(|below| token(route, below)).collect();
        let planned = route.plan("-r --json", 3).out();
        assert!(planned.contains("\"resume\""), "{planned}");
        fails_with(route, "-r", 3, &stuck.map(|below| (below, "partial-receive")));
        let after: Vec<String> = stuck.iter().map(|below| token(route, below)).collect();
        assert_eq!(before, after);
        let (from, to) = (format!("{source}/bookmark"), format!("{}/bookmark", route.target));
        assert_eq!(guids(route.from, &from).last(), guids(route.to, &to).last());
        assert_eq!(files(route.from, &from, "s2"), files(route.to, &to, "s2"));
        // Without its base there is nothing to start anew from: that one keeps its state, and says why.
        fails_with(route, "-r --discard-partial", 3, &[("/from", "no-common-base")]);
        assert_eq!(before[0], token(route, "/from"));
        for below in ["/full", "/to"] {
            assert_same_below(route, below);
        }
    });
}

/// F20: the token is of another dataset, of a raw stream where the replica is not raw, of a decrypted one where it is,
/// or of a snapshot that is excluded.
#[test]
fn tokens_of_another_stream_than_the_plan_has_stop_until_they_may_be_discarded() {
    over_every_way(|route| {
        let source = &route.source;
        fill(route.from, source, 1);
        for below in ["/excluded", "/other"] {
            fill(route.from, &format!("{source}{below}"), 1);
        }
        for below in ["/decrypted", "/raw"] {
            let dataset = format!("{source}{below}");
            sh(
                route.from,
                &format!("{KEY} | zfs create -o encryption=on -o keyformat=passphrase '{dataset}'"),
            );
            change(route.from, &dataset, 1);
        }
        as_planned(route.here, &[route.from, route.to], &route.arguments("", ""), "");
        seed(route, "/excluded", "s1");
        change(route.from, &format!("{source}/excluded"), 2);
        sh(route.from, &format!("zfs rename '{source}/excluded@s2' '{source}/excluded@x'"));
        change(route.from, &format!("{source}/excluded"), 3);
        break_off(route, &format!("-i @s1 {source}/excluded@x"), "/excluded");
        break_off(route, &format!("{source}@s1"), "/other");
        break_off(route, &format!("{source}/decrypted@s1"), "/decrypted");
        break_off(route, &format!("-w {source}/raw@s1"), "/raw");
        let options = "-r --exclude-snapshots x";
        let stuck = ["/decrypted", "/excluded", "/other"];
        let tokens = || stuck.map(|below| token(route, below));
        let before = (tokens(), token(route, "/raw"));
        // Asked for decrypted, the raw one is the wrong one; asked for as usual, it goes on.
        let decrypt = route.arguments("/raw", "--decrypt");
        refused(route.here, &decrypt, 3, &["its stream was raw, and this replication is not raw", "[R319]"]);
        assert_eq!(before, (tokens(), token(route, "/raw")));
        fails_with(route, options, 3, &stuck.map(|below| (below, "partial-receive")));
        assert_eq!(before.0, tokens());
        let plan = route.completely(&format!("{options} --discard-partial"));
        assert_eq!(actions(&plan).iter().filter(|action| *action == "discard-partial").count(), 3, "{plan}");
        assert_same_below(route, "/other");
        for below in ["/decrypted", "/raw"] {
            let target = format!("{}{below}", route.target);
            assert_eq!(sh(route.to, &format!("zfs get -H -o value keystatus '{target}'")), "unavailable");
            sh(route.to, &format!("{KEY} | zfs load-key '{target}'"));
            assert_same_below(route, below);
        }
        let (from, to) = (format!("{source}/excluded"), format!("{}/excluded", route.target));
        assert_eq!(guids(route.to, &to).len(), 2);
        assert_eq!(files(route.from, &from, "s3"), files(route.to, &to, "s3"));
    });
}

/// F21: a partial receive that cannot be thrown away. No ZFS of today does that on request, so the far end's answer is
/// made up; it is told with the name of the dataset, and the others go on.
#[test]
fn a_token_that_cannot_be_discarded_is_told_and_stops_its_dataset_alone() {
    over_every_way(|route| {
        if route.far.name() != route.to.name() || route.way.far_end != "zfs" {
            return;
        }
        let source = &route.source;
        for below in ["", "/other", "/stuck", "/z"] {
            fill(route.from, &format!("{source}{below}"), 1);
        }
        route.as_planned("", "");
        break_off(route, &format!("{source}/other@s1"), "/stuck");
        let before = token(route, "/stuck");
        deceive(
            route.far,
            "case \"$1 $2\" in 'receive -A') echo \"cannot receive: dataset is odd\" >&2; exit 1;; esac",
        );
        fails_with(route, "-r --discard-partial", 1, &[("/stuck", "is odd")]);
        be_honest(route.far);
        assert_eq!(before, token(route, "/stuck"));
        for below in ["/other", "/z"] {
            assert_same_below(route, below);
        }
        route.completely("-r --discard-partial");
        assert_same_below(route, "/stuck");
    });
}
