//! Against a small etcd of our own, which keeps keys and leases and can fail on demand.

use std::collections::BTreeMap;
use std::io::BufRead;
use std::io::BufReader;
use std::io::Read;
use std::io::Write;
use std::net::TcpListener;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::Mutex;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use serde_json::json;

use super::*;

#[derive(Default)]
struct State {
    /// Keys with their values, both in base64, and their leases.
    keys: BTreeMap<String, (String, Option<String>)>,
    /// Leases with the seconds that they live.
    leases: BTreeMap<String, u64>,
    next: i64,
    /// Paths in the order in which they were asked for.
    asked: Vec<String>,
    /// The values that transactions have put.
    changes: Vec<String>,
    /// The next transaction is done, and nobody learns of it.
    loses_answer: bool,
    /// Every request is answered so: a status and a text.
    fails: Option<(u16, String)>,
    hangs: bool,
}

struct Fake {
    state: Arc<Mutex<State>>,
    address: SocketAddr,
}

impl Fake {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let fake = Self { state: Arc::default(), address: listener.local_addr().expect("an address") };
        let state = fake.state.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = state.clone();
                std::thread::spawn(move || serve(stream, &state));
            }
        });
        fake
    }

    fn with(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().expect("not poisoned"));
    }

    fn node(&self, here: &str, peer: &str) -> Etcd {
        let names = Names { here: here.to_string(), peer: peer.to_string() };
        let (ttl, timeout) = (Duration::from_secs(1800), Duration::from_secs(30));
        Etcd::new(vec![self.address], "pairs/nfs".to_string(), ttl, names, timeout)
    }
}

fn serve(stream: TcpStream, state: &Mutex<State>) {
    let mut reader = BufReader::new(stream.try_clone().expect("a second handle"));
    let mut stream = stream;
    loop {
        let mut head = Vec::new();
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            if line.trim().is_empty() {
                break;
            }
            head.push(line.trim().to_ascii_lowercase());
        }
        let length =
            head.iter().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0);
        let mut body = vec![0; length];
        reader.read_exact(&mut body).expect("the body");
        let path = head[0].split(' ').nth(1).expect("a path").to_string();
        let (status, text) = {
            let mut state = state.lock().expect("not poisoned");
            if state.hangs {
                drop(state);
                std::thread::sleep(Duration::from_secs(600));
                return;
            }
            state.asked.push(path.clone());
            match state.fails.clone() {
                Some(fails) => fails,
                None => (
                    200,
                    answer(&mut state, &path, &serde_json::from_slice(&body).expect("JSON")).to_string(),
                ),
            }
        };
        let head = format!(
            "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            text.len()
        );
        if stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(text.as_bytes())).is_err() {
            return;
        }
    }
}

fn answer(state: &mut State, path: &str, question: &Value) -> Value {
    let text = |value: &Value, key: &str| value[key].as_str().map(str::to_string).expect("a text");
    match path {
        "/v3/kv/range" => match state.keys.get(&text(question, "key")) {
            None => json!({ "header": {} }),
            Some((value, lease)) => {
                let mut found = json!({ "key": question["key"], "value": value, "create_revision": "5" });
                if let Some(lease) = lease {
                    found["lease"] = json!(lease);
                }
                json!({ "header": {}, "kvs": [found], "count": "1" })
            }
        },
        "/v3/lease/grant" => {
            state.next += 1;
            // Too long for a number with a point.
            let id = (7_587_877_094_000_000_000 + state.next).to_string();
            let ttl = text(question, "TTL");
            state.leases.insert(id.clone(), ttl.parse().expect("a number"));
            json!({ "header": {}, "ID": id, "TTL": ttl })
        }
        "/v3/lease/keepalive" => {
            let id = text(question, "ID");
            let mut result = json!({ "header": {}, "ID": id });
            if let Some(ttl) = state.leases.get(&id) {
                result["TTL"] = json!(ttl.to_string());
            }
            json!({ "result": result })
        }
        "/v3/lease/timetolive" => {
            let id = text(question, "ID");
            match state.leases.get(&id) {
                Some(ttl) => json!({ "header": {}, "ID": id, "TTL": ttl.to_string(), "grantedTTL": "1800" }),
                None => json!({ "header": {}, "ID": id, "TTL": "-1" }),
            }
        }
        "/v3/lease/revoke" => {
            let id = text(question, "ID");
            state.leases.remove(&id);
            let keys = state.keys.len();
            state.keys.retain(|_, (_, lease)| lease.as_ref() != Some(&id));
            if state.keys.len() < keys {
                state.changes.push("gone".to_string());
            }
            json!({ "header": {} })
        }
        "/v3/kv/txn" => {
            let put = &question["success"][0]["request_put"];
            let key = text(put, "key");
            let found = state.keys.get(&key);
            let holds = |compare: &Value| {
                assert_eq!((key.as_str(), "EQUAL"), (&*text(compare, "key"), &*text(compare, "result")));
                match text(compare, "target").as_str() {
                    "CREATE" => {
                        assert_eq!(text(compare, "create_revision"), "0");
                        found.is_none()
                    }
                    "VALUE" => found.is_some_and(|(value, _)| *value == text(compare, "value")),
                    "LEASE" => found.is_some_and(|(_, lease)| *lease == Some(text(compare, "lease"))),
                    other => panic!("{other} is not known"),
                }
            };
            if !question["compare"].as_array().expect("a list").iter().all(holds) {
                return json!({ "header": {} });
            }
            state.changes.push(text(put, "value"));
            state.keys.insert(key, (text(put, "value"), Some(text(put, "lease"))));
            if std::mem::take(&mut state.loses_answer) {
                return json!({ "error": "the answer is lost" });
            }
            json!({ "header": {}, "succeeded": true, "responses": [{ "response_put": {} }] })
        }
        other => panic!("{other} is not known"),
    }
}

fn owner(node: &mut Etcd) -> Seen<Owner> {
    node.observe(&Cancel::new()).owner
}

#[test]
fn one_node_has_it_until_it_gives_it_back() {
    let etcd = Fake::new();
    let (mut a, mut b) = (etcd.node("a", "b"), etcd.node("b", "a"));
    let cancel = Cancel::new();
    assert_eq!((owner(&mut a), owner(&mut b)), (Seen::Known(Owner::Nowhere), Seen::Known(Owner::Nowhere)));
    a.claim(&cancel).expect("nobody has it");
    assert_eq!(
        (owner(&mut a), owner(&mut b)),
        (Seen::Known(Owner::Here), Seen::Known(Owner::Node("a".to_string())))
    );
    let held = NotTaken::Held { key: "etcd key pairs/nfs".to_string(), node: "a".to_string() };
    assert_eq!(held.to_string(), "etcd key pairs/nfs: a has it");
    assert_eq!(b.claim(&cancel), Err(held));
    // Again is no harm, and leaves no lease behind.
    a.claim(&cancel).expect("it has it");
    etcd.with(|state| assert_eq!(state.leases.len(), 1));
    // Who does not have it gives nothing back.
    b.release(&cancel).expect("nothing to do");
    assert_eq!(owner(&mut a), Seen::Known(Owner::Here));
    a.release(&cancel).expect("given back");
    a.release(&cancel).expect("nothing to do");
    etcd.with(|state| assert!(state.leases.is_empty() && state.keys.is_empty()));
    b.claim(&cancel).expect("it is free");
    let reading = b.observe(&cancel);
    assert_eq!(reading.quorum, Seen::Known(Quorum::Quorate));
    assert_eq!((reading.ha, reading.moving), (Seen::Known(Ha::NoHa), Seen::Known(false)));
}

#[test]
fn it_is_handed_over_in_one_step_and_the_other_node_renews_it() {
    let etcd = Fake::new();
    let (mut a, mut b, mut c) = (etcd.node("a", "b"), etcd.node("b", "a"), etcd.node("c", "d"));
    let cancel = Cancel::new();
    // Nobody has it, and nobody gets it by that.
    assert_eq!(a.hand_over(&cancel), Ok(false));
    etcd.with(|state| assert!(state.keys.is_empty() && state.leases.is_empty()));
    a.claim(&cancel).expect("nobody has it");
    assert_eq!(a.hand_over(&cancel), Ok(true));
    let there = base64_of("b");
    etcd.with(|state| {
        // At no time was there no key, and the old lease is not left behind.
        assert_eq!(state.changes, [base64_of("a"), there.clone()]);
        assert_eq!(state.leases.len(), 1);
        state.asked.clear();
    });
    assert_eq!(
        (owner(&mut a), owner(&mut b)),
        (Seen::Known(Owner::Node("b".to_string())), Seen::Known(Owner::Here))
    );
    b.renew(&cancel).expect("it has it");
    etcd.with(|state| assert_eq!(state.asked.last().map(String::as_str), Some("/v3/lease/keepalive")));
    // Again changes nothing, and a promotion of the other node finds that it has it.
    assert_eq!(a.hand_over(&cancel), Ok(true));
    b.claim(&cancel).expect("it has it");
    a.release(&cancel).expect("it has nothing to give back");
    etcd.with(|state| assert_eq!((state.changes.len(), state.leases.len()), (2, 1)));
    // What a third node has nobody hands on.
    assert!(c.hand_over(&cancel).expect_err("another has it").contains("b has it"));
}

#[test]
fn a_handover_whose_answer_is_lost_has_happened_or_not_and_is_finished_by_the_next() {
    let etcd = Fake::new();
    let mut a = etcd.node("a", "b");
    let cancel = Cancel::new();
    a.claim(&cancel).expect("nobody has it");
    etcd.with(|state| state.loses_answer = true);
    assert!(a.hand_over(&cancel).expect_err("nobody knows").contains("the answer is lost"));
    etcd.with(|state| assert_eq!(state.changes, [base64_of("a"), base64_of("b")]));
    assert_eq!(a.hand_over(&cancel), Ok(true));
    assert_eq!(owner(&mut a), Seen::Known(Owner::Node("b".to_string())));
    // It ran out in between, and somebody else has taken it: nothing is overwritten.
    let etcd = Fake::new();
    let mut a = etcd.node("a", "b");
    a.claim(&cancel).expect("nobody has it");
    etcd.with(|state| {
        let key = STANDARD.encode("pairs/nfs");
        state.keys.insert(key, (base64_of("c"), Some("7".to_string())));
    });
    assert!(a.hand_over(&cancel).expect_err("c has it").contains("c has it"));
    etcd.with(|state| assert_eq!(state.keys.values().next().map(|one| one.0.clone()), Some(base64_of("c"))));
}

fn base64_of(text: &str) -> String {
    STANDARD.encode(text)
}

#[test]
fn only_who_has_it_renews_it_looking_never_does_and_a_lease_that_ran_out_is_none() {
    let etcd = Fake::new();
    let (mut a, mut b) = (etcd.node("a", "b"), etcd.node("b", "a"));
    let cancel = Cancel::new();
    a.claim(&cancel).expect("nobody has it");
    etcd.with(|state| state.asked.clear());
    for _ in 0..3 {
        assert_eq!(owner(&mut a), Seen::Known(Owner::Here));
        assert_eq!(a.glance(&cancel).owner, Seen::Known(Owner::Here));
        assert_eq!(owner(&mut b), Seen::Known(Owner::Node("a".to_string())));
    }
    etcd.with(|state| {
        assert!(!state.asked.iter().any(|path| path == "/v3/lease/keepalive"), "{:?}", state.asked);
        state.asked.clear();
    });
    b.renew(&cancel).expect("it has nothing to renew");
    etcd.with(|state| assert_eq!(state.asked, ["/v3/kv/range"]));
    a.renew(&cancel).expect("it has it");
    etcd.with(|state| assert_eq!(state.asked[1..], ["/v3/kv/range", "/v3/lease/keepalive"]));
    // It runs out between the two questions.
    etcd.with(|state| state.leases.clear());
    assert!(owner(&mut a).why().is_some_and(|why| why.contains("has run out")));
    assert!(a.renew(&cancel).expect_err("too late").contains("has run out"));
    // So little is left that it may have run out before anything is done about it.
    etcd.with(|state| {
        let lease = state.keys.values().next().and_then(|(_, lease)| lease.clone()).expect("bound");
        state.leases.insert(lease, 4);
    });
    assert!(owner(&mut a).why().is_some_and(|why| why.contains("are left")));
    // Gone with its key: nobody has it, and nobody takes it by looking.
    etcd.with(|state| state.keys.clear());
    assert_eq!((owner(&mut a), owner(&mut b)), (Seen::Known(Owner::Nowhere), Seen::Known(Owner::Nowhere)));
    // Somebody wrote the key by hand.
    etcd.with(|state| {
        state.keys.insert(STANDARD.encode("pairs/nfs"), (STANDARD.encode("a"), None));
    });
    assert!(owner(&mut a).why().is_some_and(|why| why.contains("has no lease")));
    assert!(a.claim(&Cancel::new()).is_err());
}

#[test]
fn without_a_majority_nothing_is_known() {
    let etcd = Fake::new();
    let mut a = etcd.node("a", "b");
    a.claim(&Cancel::new()).expect("nobody has it");
    let answers = [
        (503, r#"{"error":"etcdserver: no leader","code":14}"#, "503"),
        (200, r#"{"error":{"grpc_code":14,"message":"etcdserver: request timed out"}}"#, "request timed out"),
        (200, "<html>", "no JSON"),
        (302, "", "302"),
        (200, r#"{"kvs":[{"value":"%"}]}"#, "not base64"),
        (200, r#"{"kvs":[{"value":"YQ==","lease":"x"}]}"#, "no number"),
    ];
    for (status, text, says) in answers {
        etcd.with(|state| state.fails = Some((status, text.to_string())));
        let reading = a.observe(&Cancel::new());
        assert!(reading.owner.why().is_some_and(|why| why.contains(says)), "{says}: {reading:?}");
        assert!(reading.quorum.known().is_none() && reading.ha.known().is_none());
    }
    let long = format!("{{\"x\":\"{}\"}}", "y".repeat(70_000));
    etcd.with(|state| state.fails = Some((200, long)));
    assert!(owner(&mut a).known().is_none());
    etcd.with(|state| {
        state.fails = None;
        state.hangs = true;
    });
    let names = Names { here: "a".to_string(), peer: "b".to_string() };
    let hanging = vec![etcd.address];
    let mut late = Etcd::new(hanging, "pairs/nfs".to_string(), a.ttl, names.clone(), Duration::from_secs(1));
    assert!(owner(&mut late).known().is_none());
    // One member hangs, one is not there, and the third knows.
    let well = Fake::new();
    well.node("b", "a").claim(&Cancel::new()).expect("nobody has it");
    let closed =
        TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("an address");
    let all = vec![etcd.address, closed, well.address];
    let mut third = Etcd::new(all, "pairs/nfs".to_string(), a.ttl, names, Duration::from_secs(6));
    assert_eq!(owner(&mut third), Seen::Known(Owner::Node("b".to_string())));
}
