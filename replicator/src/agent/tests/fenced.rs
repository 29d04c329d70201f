//! Roots of pairs: who may change them through an agent, and how a receive gives way to a promotion.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::Ordering;

use super::*;
use crate::host::PropertySource;
use crate::marks;
use crate::pair::fence::Kind as Why;

/// Pool 77 of the fake. tank/in is a root.
fn of_pair(value: &str, source: PropertySource) -> Fake {
    let host = host();
    host.epochs.lock().expect("no panic").insert(dataset("tank/in"), (value.to_string(), source));
    host
}

/// Epoch 3 of this number on the pool of the fake.
fn held(holder: &str) -> Fake {
    of_pair(&format!("1:3:{holder}:000000000000004d"), PropertySource::Local)
}

fn limits() -> Limits {
    inside().as_node("here".parse().expect("a name"))
}

fn claim(epoch: u64, holder: &str) -> String {
    format!(r#"{{"root":"tank/in","epoch":{epoch},"holder":"{holder}","receiver":"here"}}"#)
}

fn receive(claim: &str) -> String {
    format!(
        r#"{{"receive":{{"to":"tank/in/new@s","set":[],"origin":null,"compressed":false,"guid":5,"claim":{claim}}}}}"#
    )
}

fn apply(claim: &str, change: &str) -> String {
    format!(r#"{{"apply-for":{{"claim":{claim},"change":{change}}}}}"#)
}

const CREATE: &str = r#"{"create-filesystem":{"dataset":"tank/in/x","set":[]}}"#;

/// Why one request is refused, and what was done all the same.
fn refusal(host: Fake, request: &str) -> (Why, Vec<String>) {
    let mut raw = Raw::new(host, limits());
    let answer = raw.ask(1, request);
    let Answer::Failed(Fault::Fenced { kind, message, hint }) = answer else {
        panic!("{request}: {answer:?}")
    };
    assert!(message.len() > 20 && hint.len() > 10, "{message} {hint}");
    let (ended, log) = raw.close();
    assert!(ended.is_ok(), "{ended:?}");
    (kind, done(&log).into_iter().cloned().collect())
}

#[test]
fn only_the_node_that_was_promoted_last_changes_a_root() {
    let local = PropertySource::Local;
    for (host, presented, why) in [
        (held("far"), claim(2, "far"), Why::Lower),
        (held("far"), claim(3, "third"), Why::Both),
        (held("here"), claim(4, "far"), Why::Active),
        (held("here"), claim(3, "far"), Why::Both),
        (held("far"), claim(4, "here"), Why::SameName),
        (Fake { mounted: vec![dataset("tank/in")], ..held("far") }, claim(3, "far"), Why::Writable),
        (of_pair("1:3:far:000000000000004e", local), claim(3, "far"), Why::Unknown),
        (of_pair("1:3:far:000000000000004d", PropertySource::Received), claim(3, "far"), Why::Unknown),
        (of_pair("nonsense", local), claim(3, "far"), Why::Unknown),
    ] {
        assert_eq!(refusal(host.clone(), &receive(&presented)), (why, vec![]), "{presented}");
        assert_eq!(refusal(host, &apply(&presented, CREATE)), (why, vec![]), "{presented}");
    }
}

/// Its locks lie where root does not look: a promotion would not wait for what it receives.
#[test]
fn an_agent_that_is_not_roots_lets_nothing_of_a_pair_in() {
    let limited = |host: Fake| Fake { not_root: true, ..host };
    let overtakes = overtake(&claim(4, "far"), "[]");
    for request in [receive(&claim(3, "far")), apply(&claim(3, "far"), CREATE), overtakes] {
        let mut raw = Raw::new(limited(held("far")), limits());
        let Answer::Failed(Fault::Fenced { kind: Why::Other, message, hint }) = raw.ask(1, &request) else {
            panic!("{request}")
        };
        assert!(message.contains("does not run as root") && hint.contains("as root"), "{message} {hint}");
        let (ended, log) = raw.close();
        assert!(ended.is_ok() && done(&log).is_empty(), "{ended:?}");
    }
    // What belongs to no pair is as before.
    let mut raw = Raw::new(limited(host()), limits());
    assert_eq!(raw.ask(1, &format!(r#"{{"apply":{CREATE}}}"#)), Answer::Done);
}

#[test]
fn a_request_that_presents_nothing_is_refused_where_there_is_an_epoch_and_only_there() {
    for host in [held("far"), held("here")] {
        assert_eq!(refusal(host.clone(), RECEIVE), (Why::NoClaim, vec![]));
        for change in [
            CREATE,
            r#"{"rename":{"from":"tank/in/a","guid":1,"to":"tank/in/b"}}"#,
            r#"{"promote":{"dataset":"tank/in/a"}}"#,
            r#"{"set-properties":{"dataset":"tank/in/a","set":[["readonly","on"]]}}"#,
            r#"{"prune-snapshots":{"dataset":"tank/in/a","snapshots":[]}}"#,
            r#"{"discard-partial":{"dataset":"tank/in/a","token":"1-x"}}"#,
            r#"{"destroy":{"dataset":"tank/in/a","guid":1,"bytes":0}}"#,
        ] {
            let request = format!(r#"{{"apply":{change}}}"#);
            assert_eq!(refusal(host.clone(), &request), (Why::NoClaim, vec![]), "{change}");
        }
        // Who replicates from here needs them, and they change nothing.
        let mut raw = Raw::new(host, limits());
        let request = r#"{"apply":{"bookmark":{"bookmarks":[["tank/in/a#b","tank/in/a@s1",1]]}}}"#;
        assert_eq!(raw.ask(1, request), Answer::Done);
    }
    // Without an epoch all is as before, whatever is mounted.
    let mut raw = Raw::new(Fake { mounted: vec![dataset("tank/in")], ..host() }, limits());
    assert_eq!(raw.ask(1, &format!(r#"{{"apply":{CREATE}}}"#)), Answer::Done);
}

#[test]
fn a_root_below_what_is_changed_counts_too() {
    let host = host();
    let value = ("1:3:far:000000000000004d".to_string(), PropertySource::Local);
    host.epochs.lock().expect("no panic").insert(dataset("tank/in/a"), value);
    let rename = r#"{"apply":{"rename":{"from":"tank/in","guid":1,"to":"tank/in/b"}}}"#;
    assert_eq!(refusal(host, rename).0, Why::NoClaim);
}

#[test]
fn nobody_sets_the_epoch_by_a_request() {
    let set = format!(r#"[["{}","1:9:far:000000000000004d"]]"#, marks::EPOCH);
    let everything =
        || Limits::everywhere().allowing(vec![Class::All]).as_node("here".parse().expect("a name"));
    for request in [
        format!(r#"{{"apply":{{"set-properties":{{"dataset":"tank/in","set":{set}}}}}}}"#),
        format!(r#"{{"apply":{{"create-filesystem":{{"dataset":"tank/in/x","set":{set}}}}}}}"#),
        RECEIVE.replace("[]", &set),
        apply(&claim(3, "far"), &format!(r#"{{"set-properties":{{"dataset":"tank/in","set":{set}}}}}"#)),
    ] {
        let mut raw = Raw::new(held("far"), everything());
        let answer = raw.ask(1, &request);
        let forged = matches!(answer, Answer::Failed(Fault::Fenced { kind: Why::Forged, .. }));
        assert!(forged, "{request}: {answer:?}");
        assert_eq!(done(&raw.close().1), Vec::<&String>::new());
    }
}

#[test]
fn a_newer_epoch_is_taken_over_before_anything_else_is_done() {
    let mut raw = Raw::new(held("far"), limits());
    assert_eq!(raw.ask(1, &apply(&claim(3, "far"), CREATE)), Answer::Done);
    assert_eq!(raw.ask(2, &apply(&claim(5, "far"), CREATE)), Answer::Done);
    // And the older one is over.
    let answer = raw.ask(3, &apply(&claim(3, "far"), CREATE));
    assert!(matches!(answer, Answer::Failed(Fault::Fenced { kind: Why::Lower, .. })), "{answer:?}");
    let (_, log) = raw.close();
    let log = done(&log);
    assert!(log.len() == 3 && log[0].starts_with("apply"), "{log:?}");
    assert_eq!(log[1], "epoch 1:5:far:000000000000004d on tank/in");
}

#[test]
fn a_root_without_an_epoch_gets_that_of_the_first_who_presents_one() {
    let mut raw = Raw::new(host(), limits());
    assert_eq!(raw.ask(1, &apply(&claim(4, "far"), CREATE)), Answer::Done);
    let answer = raw.ask(2, RECEIVE);
    assert!(matches!(answer, Answer::Failed(Fault::Fenced { kind: Why::NoClaim, .. })), "{answer:?}");
    let (_, log) = raw.close();
    // And it is not known yet whether all of it is here.
    assert_eq!(done(&log)[0], "epoch 1:4:far:000000000000004d on tank/in, replicator:first=1:0:0");
}

fn count(claim: &str, there: u64, of: u64) -> String {
    format!(r#"{{"count":{{"claim":{claim},"there":{there},"of":{of}}}}}"#)
}

#[test]
fn how_far_a_first_replication_is_stands_on_the_root_until_it_is_over() {
    let mut raw = Raw::new(host(), limits());
    let far = || claim(4, "far");
    assert_eq!(raw.ask(1, &apply(&far(), CREATE)), Answer::Done);
    assert_eq!(raw.ask(2, &count(&far(), 1, 3)), Answer::Done);
    // Whoever comes for an epoch that is over has nothing to say.
    let answer = raw.ask(3, &count(&claim(3, "far"), 3, 3));
    assert!(matches!(answer, Answer::Failed(Fault::Fenced { kind: Why::Lower, .. })), "{answer:?}");
    assert_eq!(raw.ask(4, &count(&far(), 3, 3)), Answer::Done);
    // Nothing is left to take down, whatever is counted later.
    assert_eq!(raw.ask(5, &count(&far(), 1, 3)), Answer::Done);
    let (_, log) = raw.close();
    let log = done(&log);
    assert!(log[2].contains(r#"("replicator:first", "1:1:3")"#), "{log:?}");
    assert!(log[3].contains("UnsetProperties") && log[3].contains("replicator:first"), "{log:?}");
    assert_eq!(log.len(), 4, "{log:?}");
}

/// Whether the root is there, or has just been set aside.
#[test]
fn what_a_rejoin_has_left_half_done_lets_nobody_in() {
    let marked = |host: Fake, on: &str| {
        let key = (dataset(on), marks::REJOIN.to_string());
        host.marks.lock().expect("no panic").insert(key, "1:3".to_string());
        host
    };
    let far = || claim(4, "far");
    for request in
        [receive(&far()), apply(&far(), CREATE), count(&far(), 1, 1), format!(r#"{{"claim":{}}}"#, far())]
    {
        assert_eq!(refusal(marked(held("far"), "tank/in"), &request), (Why::Unfinished, vec![]), "{request}");
    }
    // It holds the root itself, and has nothing alone.
    let (host, both) = left(held("here"));
    let host = marked(host, "tank/in");
    assert_eq!(refusal(host, &overtake(&far(), &both)), (Why::Unfinished, vec![]));
    // The whole root is aside, and what would come now would come in full.
    let mut gone = host_without("tank/in");
    gone.datasets.push(state("tank/in-divergent-3", 2));
    for request in [receive(&far()), format!(r#"{{"claim":{}}}"#, far())] {
        let host = marked(gone.clone(), "tank/in-divergent-3");
        assert_eq!(refusal(host, &request), (Why::Unfinished, vec![]), "{request}");
    }
    // Once that is over it may come.
    gone.marks.lock().expect("no panic").clear();
    let mut raw = Raw::new(gone, limits());
    assert_eq!(raw.ask(1, &format!(r#"{{"claim":{}}}"#, far())), Answer::Done);
}

fn host_without(root: &str) -> Fake {
    let mut host = host();
    host.datasets.retain(|one| !one.name.is_within(&dataset(root)));
    host
}

#[test]
fn what_an_older_asking_end_does_not_know_is_told_in_words_that_it_knows() {
    // Those who knew epochs, and did not say whom they take this one for, are told what to do.
    let mut raw = Raw::new(held("far"), limits());
    let unnamed = r#"{"root":"tank/in","epoch":3,"holder":"far"}"#;
    for (id, request) in (1..).zip([
        receive(unnamed),
        apply(unnamed, CREATE),
        format!(r#"{{"claim":{unnamed}}}"#),
        r#"{"take-over":{"roots":["tank/in"],"epoch":4}}"#.to_string(),
    ]) {
        let answer = raw.ask(id, &request);
        let says = matches!(&answer, Answer::Failed(Fault::Refused { why }) if why.contains("older"));
        assert!(says, "{request}: {answer:?}");
    }
    assert_eq!(done(&raw.close().1), Vec::<&String>::new());
    let mut raw = Raw::silent(held("here"), limits());
    let old = Hello { newest: 3, ..Hello::ours() };
    raw.put(Kind::Hello, 0, &serde_json::to_vec(&old).expect("JSON"));
    assert_eq!(raw.take().expect("a hello").kind, Kind::Hello);
    let answer = raw.ask(1, RECEIVE);
    assert!(refused(&answer), "{answer:?}");
}

#[test]
fn a_claim_that_makes_no_sense_is_not_understood() {
    let mut raw = Raw::new(held("far"), limits());
    for (id, claim) in (1..).zip([
        claim(0, "far"),
        claim(3, ""),
        claim(3, "a b"),
        r#"{"root":"tank/in","epoch":3,"receiver":"here"}"#.to_string(),
        claim(3, "far").replace("here", "a b"),
        claim(3, "far").replace("tank/in", "tank/in@x"),
        claim(3, "far").replace('}', r#","force":true}"#),
    ]) {
        let answer = raw.ask(id, &receive(&claim));
        assert!(not_understood(&answer), "{claim}: {answer:?}");
    }
    // One that lies outside of what the agent is for.
    assert!(refused(&raw.ask(100, &receive(&claim(3, "far").replace("tank/in", "tank")))));
    let (_, log) = raw.close();
    assert_eq!(done(&log), Vec::<&String>::new());
}

#[test]
fn a_claim_alone_is_judged_and_taken_over() {
    let ask = |claim: &str| format!(r#"{{"claim":{claim}}}"#);
    assert_eq!(refusal(held("here"), &ask(&claim(4, "far"))), (Why::Active, vec![]));
    let mut raw = Raw::new(held("far"), limits());
    assert_eq!(raw.ask(1, &ask(&claim(3, "far"))), Answer::Done);
    assert_eq!(raw.ask(2, &ask(&claim(6, "far"))), Answer::Done);
    assert_eq!(raw.ask(3, &ask(&claim(6, "far"))), Answer::Done);
    assert!(refused(&raw.ask(4, &ask(&claim(6, "far").replace("tank/in", "tank/out")))));
    let (_, log) = raw.close();
    assert_eq!(done(&log), ["epoch 1:6:far:000000000000004d on tank/in"]);
    // Who may not receive has nothing to claim.
    let limits = Limits::within(vec![dataset("tank/in")]).allowing(vec![Class::List]);
    assert!(refused(&Raw::new(held("far"), limits).ask(1, &ask(&claim(3, "far")))));
}

/// An agent without a name of its own, in a cluster that knows the machine by another name than it has.
#[test]
fn a_node_knows_what_it_holds_by_the_name_that_it_is_asked_by() {
    let mut raw = Raw::new(held("here"), inside());
    for (id, request) in (1..).zip([receive(&claim(4, "far")), apply(&claim(4, "far"), CREATE)]) {
        let answer = raw.ask(id, &request);
        assert!(matches!(answer, Answer::Failed(Fault::Fenced { kind: Why::Active, .. })), "{answer:?}");
    }
    // One that has a name answers to no other.
    let mut named = Raw::new(held("far"), limits());
    let other = claim(4, "far").replace("here", "other");
    for (id, request) in (1..).zip([receive(&other), apply(&other, CREATE), overtake(&other, "[]")]) {
        let answer = named.ask(id, &request);
        assert!(refused(&answer), "{answer:?}");
    }
    for raw in [raw, named] {
        assert_eq!(done(&raw.close().1), Vec::<&String>::new());
    }
}

fn overtake(claim: &str, both: &str) -> String {
    format!(r#"{{"overtake":{{"claim":{claim},"both":{both}}}}}"#)
}

/// tank/in and all below it without anything written since the newest snapshot, and what the other node says it has.
fn left(host: Fake) -> (Fake, String) {
    let mut host = host;
    host.datasets.retain(|one| one.name.is_within(&dataset("tank/in")));
    host.datasets.iter_mut().for_each(|one| one.written = 0);
    let newest = |one: &crate::host::DatasetState| {
        format!(r#"["{}",{}]"#, one.name, one.snapshots.last().expect("a snapshot").guid.0)
    };
    let both: Vec<_> = host.datasets.iter().map(newest).collect();
    (host, format!("[{}]", both.join(",")))
}

#[test]
fn a_node_that_has_nothing_of_its_own_lets_go_when_the_other_one_was_promoted() {
    let (host, both) = left(held("here"));
    let mut raw = Raw::new(host, limits());
    assert_eq!(raw.ask(1, &overtake(&claim(4, "far"), &both)), Answer::Done);
    // It is one of the other node's from now on.
    assert_eq!(raw.ask(2, &apply(&claim(4, "far"), CREATE)), Answer::Done);
    assert_eq!(raw.ask(3, &overtake(&claim(4, "far"), "[]")), Answer::Done, "nothing is left to do");
    let (_, log) = raw.close();
    let log = done(&log);
    assert_eq!(log[0], "epoch 1:4:far:000000000000004d on tank/in");
    assert!(log.len() == 2 && log[1].starts_with("apply CreateFilesystem"), "{log:?}");
}

#[test]
fn a_node_that_may_have_something_of_its_own_keeps_it() {
    let (host, both) = left(held("here"));
    let newest = host.datasets[1].snapshots.last().expect("a snapshot").guid.0;
    let mut written = host.clone();
    written.datasets[1].written = 1;
    let mut bare = host.clone();
    bare.datasets[1].snapshots.clear();
    let mounted = Fake { mounted: vec![host.datasets[1].name.clone()], ..host.clone() };
    let less = both.replace(&newest.to_string(), "5");
    for (host, presented, both, why) in [
        (written, claim(4, "far"), &both, Why::Active),
        (bare, claim(4, "far"), &both, Why::Active),
        (host.clone(), claim(4, "far"), &less, Why::Active),
        (host.clone(), claim(4, "far"), &"[]".to_string(), Why::Active),
        (mounted, claim(4, "far"), &both, Why::Writable),
        // Who was not promoted after it has nothing to ask for.
        (host.clone(), claim(3, "far"), &both, Why::Both),
        (host.clone(), claim(2, "far"), &both, Why::Lower),
        (host.clone(), claim(1 << 40, "far"), &both, Why::TooFar),
        (host.clone(), claim(4, "here"), &both, Why::SameName),
    ] {
        assert_eq!(refusal(host, &overtake(&presented, both)), (why, vec![]), "{presented} {both}");
    }
    host.promotes.store(true, Ordering::Relaxed);
    assert_eq!(refusal(host, &overtake(&claim(4, "far"), &both)).0, Why::Promoting);
}

/// What is in a dataset that the pair does not replicate is nobody's to lose.
#[test]
fn what_the_pair_leaves_out_keeps_no_node_from_letting_go() {
    let (mut host, both) = left(held("here"));
    let out = host.datasets[1].clone();
    host.datasets[1].written = 1;
    let newest = out.snapshots.last().expect("a snapshot").guid.0;
    assert_eq!(refusal(host.clone(), &overtake(&claim(4, "far"), &both)).0, Why::Active);
    let without = both.replace(&format!(r#"["{}",{newest}]"#, out.name), &format!(r#"["{}",0]"#, out.name));
    assert_ne!(without, both);
    let mut raw = Raw::new(host, limits());
    assert_eq!(raw.ask(1, &overtake(&claim(4, "far"), &without)), Answer::Done);
}

#[test]
fn what_takes_over_an_epoch_is_made_read_only_first() {
    let writable = || Arc::new(Mutex::new(BTreeSet::from([dataset("tank/in"), dataset("tank/in/a")])));
    let mut raw = Raw::new(Fake { writable: writable(), ..held("far") }, limits());
    assert_eq!(raw.ask(1, &apply(&claim(4, "far"), CREATE)), Answer::Done);
    let (_, log) = raw.close();
    let log = done(&log);
    assert!(log[..2].iter().all(|line| line.contains(r#"("readonly", "on")"#)), "{log:?}");
    assert_eq!(log[2], "epoch 1:4:far:000000000000004d on tank/in");
    // Where that is without effect nothing is taken over, and nothing done.
    let mut raw = Raw::new(Fake { writable: writable(), stays_writable: true, ..held("far") }, limits());
    let answer = raw.ask(1, &apply(&claim(4, "far"), CREATE));
    assert!(matches!(&answer, Answer::Failed(_)), "{answer:?}");
    let (_, log) = raw.close();
    assert!(log.iter().all(|line| !line.starts_with("epoch") && !line.contains("Create")), "{log:?}");
}

#[test]
fn while_somebody_promotes_nothing_begins() {
    let host = held("far");
    host.promotes.store(true, Ordering::Relaxed);
    assert_eq!(refusal(host.clone(), &receive(&claim(3, "far"))), (Why::Promoting, vec![]));
    assert_eq!(refusal(host, &apply(&claim(3, "far"), CREATE)), (Why::Promoting, vec![]));
}

/// Also when the sender says nothing any more, as one that has lost its power, and when the kernel takes nothing.
#[test]
fn a_receive_gives_way_to_a_promotion() {
    for (silent, stuck) in [(true, false), (false, false), (true, true), (false, true)] {
        let mut raw = Raw::new(Fake { promotes_then: true, stuck, ..held("far") }, limits());
        raw.put(Kind::Request, 1, receive(&claim(3, "far")).as_bytes());
        assert_eq!(raw.take().expect("ready").kind, Kind::Part);
        let data = stream(&begin(5), 100);
        let mut at = 0;
        raw.stream.set_nonblocking(true).expect("a socket");
        let answer = loop {
            if !silent || at == 0 {
                let piece = &data[at % data.len()..data.len().min(at % data.len() + 1000)];
                at += piece.len();
                raw.put(Kind::Data, 1, piece);
            }
            let mut buffer = [0; 4096];
            match raw.stream.read(&mut buffer) {
                Ok(0) => panic!("it ended without a word"),
                Ok(count) => raw.frames.push(&buffer[..count]),
                Err(_) => std::thread::sleep(std::time::Duration::from_millis(20)),
            }
            if let Some(frame) = raw.frames.next().expect("frames").filter(|frame| frame.kind == Kind::Answer)
            {
                break serde_json::from_slice::<Answer>(&frame.payload).expect("an answer");
            }
        };
        let promoting = matches!(answer, Answer::Last(Fault::Fenced { kind: Why::Promoting, .. }));
        assert!(promoting, "{answer:?}");
        let (ended, log) = raw.close();
        assert!(ended.is_ok(), "{ended:?}");
        assert_eq!(&log[log.len() - 2..], ["left partial", "permit given back"], "in this order");
    }
}
