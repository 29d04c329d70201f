//! Runs that help themselves: the network comes back while they try again, one broken dataset among many, and far ends
//! that lack something.

use std::time::Duration;

use crate::faults::*;
use crate::replicas::*;
use crate::support::long;
use crate::ways::Route;
use crate::ways::Way;
use crate::ways::over_every_way;

/// F01, F05: the link is cut in the middle and comes back while the run tries again; the same process reaches its end,
/// and sends nothing twice that had arrived.
#[test]
fn a_network_that_comes_back_lets_the_same_run_reach_its_end_over_every_way() {
    over_every_way(|route| {
        route.grow(1);
        change(route.from, &route.source, 2);
        let link = route.link();
        link.drop_after(3_000_000);
        let before = link.counters();
        let run = route.begin("--idle-timeout 2 --connect-timeout 2 --compress off --json");
        until("a word of the next try", Duration::from_secs(60), || {
            String::from_utf8_lossy(&run.stderr()).contains("again")
        });
        assert!(link.counters().silenced > before.silenced, "the cut did not happen");
        link.heal();
        // Until the far end notices, it holds what it receives.
        route.hang_up();
        let output = broken_off(run, &[0]);
        let json: serde_json::Value = serde_json::from_str(&output.out()).expect("JSON");
        assert_eq!(json["result"]["failures"], serde_json::json!([]), "{json}");
        let passed = link.counters().payload - before.payload;
        assert!(passed < SIZE + SIZE / 2, "{passed} bytes passed for {SIZE}");
        route.assert_quiet();
        route.assert_same();
    });
}

/// A hundred datasets, four at a time, and one of them has changed on the target: the others arrive, and the run says
/// which did not.
#[test]
fn one_of_a_hundred_datasets_is_broken_and_the_others_arrive_over_every_way() {
    over_every_way(|route| {
        // Over the plain far ends each costs the lab several processes.
        let wide = Way { transport: "libssh2", far_end: "agent", pull: false };
        let count = if long() || route.way == wide { 100 } else { 10 };
        let snapshots = |node: &lab::Node, root: &str| {
            let list = sh(node, &format!("zfs list -Hp -r -t snapshot -o name,guid '{root}' | sort"));
            list.replace(root, "")
        };
        sh(
            route.from,
            &format!(
                "zfs create '{0}'; for i in $(seq {count}); do zfs create '{0}/d'$i; echo $i > '/{0}/d'$i/x; done
                 zfs snapshot -r '{0}@s1'",
                route.source
            ),
        );
        replicate(route.here, &route.arguments("", "-r --jobs 4 --quiet"));
        let first = snapshots(route.to, &route.target);
        assert_eq!(first.lines().count(), count + 1);
        assert_eq!(first, snapshots(route.from, &route.source));
        sh(route.to, &format!("zfs snapshot '{}/d7@theirs'", route.target));
        sh(
            route.from,
            &format!(
                "for i in $(seq {count}); do echo $i$i > '/{0}/d'$i/y; done; zfs snapshot -r '{0}@s2'",
                route.source
            ),
        );
        let planned = plan_in(&route.plan("-r --json", 3).out());
        let run = route.run("-r --jobs 4 --json");
        assert_eq!((run.code(), planned), (3, plan_in(&run.out())));
        let said = run.err();
        for word in ["d7@theirs", &format!("1 of {} datasets", count + 1)] {
            assert!(said.contains(word), "{word:?} is not in\n{said}");
        }
        assert!(!said.contains("d8@"), "{said}");
        let (from, to) = (snapshots(route.from, &route.source), snapshots(route.to, &route.target));
        let without = |list: &str| -> Vec<String> {
            list.lines().filter(|line| !line.starts_with("/d7@")).map(str::to_string).collect()
        };
        assert_eq!(without(&from), without(&to));
        assert_eq!(without(&to).len(), 2 * count);
        assert_eq!(to.lines().filter(|line| line.starts_with("/d7@")).count(), 2, "s1 and theirs");
        route.assert_quiet();
    });
}

/// A way with an agent at the far end, or one that may fall back to `zfs`.
fn with_far_end<'a>(cluster: &'a lab::Cluster, far_end: &'static str, pull: bool) -> Vec<Route<'a>> {
    ["libssh2", "ssh"].map(|transport| Route::new(cluster, Way { transport, far_end, pull })).into()
}

/// An agent of another version is told, and that its machine is; `auto` does not hide it, because it is no lack.
#[test]
fn an_agent_of_another_version_is_refused_with_both_versions() {
    let cluster = pair();
    for pull in [false, true] {
        for route in with_far_end(&cluster, "agent", pull) {
            fill(route.from, &route.source, 1);
            let hello = r#"{"magic":"replicator-agent","oldest":70,"newest":90,"program":"77.1"}"#;
            let length = format!("\\{:03o}", hello.len() + 5);
            route.in_front(&format!(
                "printf '\\0\\0\\0{length}\\001\\0\\0\\0\\0%s' '{hello}'; exec cat > /dev/null"
            ));
            let before = route.state();
            let ours = sh(route.here, "replicator --version | awk '{print $NF}'");
            let program = "replicator 77.1 (protocol 70 to 90)".to_string();
            let words = [route.far.name(), program, ours, "same version".into(), "[R413]".into()];
            route.refused("", 4, &words.each_ref().map(String::as_str));
            route.straighten();
            route.assert_quiet();
            assert_eq!(before, route.state());
            route.as_planned("", "");
            route.assert_same();
        }
    }
}

/// No agent at the far end: told, with the way round it; with `auto` it goes by the `zfs` command.
#[test]
fn without_an_agent_it_says_so_and_auto_goes_by_zfs() {
    let cluster = pair();
    for pull in [false, true] {
        for route in with_far_end(&cluster, "agent", pull) {
            fill(route.from, &route.source, 1);
            route.in_front("");
            sh(route.far, &format!("rm {}/replicator", lab::cluster::node_bin_dir()));
            route.refused("", 4, &[&route.far.name(), "replicator", "install", "without an agent", "[R412]"]);
            let auto = Route { way: Way { far_end: "auto", ..route.way }, ..Route::new(&cluster, route.way) };
            auto.completely("");
            auto.assert_same();
            auto.assert_quiet();
            route.straighten();
            // And with an agent it is the agent.
            change(route.from, &route.source, 2);
            auto.as_planned("", "");
            auto.assert_same();
        }
    }
}
