//! Agents that misbehave: what is no hello, no answer or no end is an error, and the asking end survives it.

use proptest::prelude::*;

use super::*;
use crate::agent::Answer;
use crate::agent::header;

#[test]
fn hellos_that_are_none_are_errors_with_what_came() {
    let said = |bytes: Vec<u8>| {
        with(move |mut stream| {
            let _ = stream.write_all(&bytes);
            // Stays until the connection is closed.
            let _ = stream.read_to_end(&mut Vec::new());
            (0, String::new())
        })
        .0
    };
    let error = said(b"Welcome to this machine\n".to_vec()).start().expect_err("a greeting");
    assert!(error.code() == Code::BadAnswer && error.to_string().contains("Welcome"), "{error}");
    for (oldest, newest) in [(crate::agent::NEWEST + 1, 99), (0, 0)] {
        let hello = format!(
            r#"{{"magic":"replicator-agent","oldest":{oldest},"newest":{newest},"program":"9\u001b9"}}"#
        );
        let error = said(frame(Kind::Hello, 0, &hello)).start().expect_err("another version");
        let text = error.to_string();
        assert!(error.code() == Code::AgentVersion && error.hint().is_some(), "{text}");
        assert!(text.contains(env!("CARGO_PKG_VERSION")) && text.contains("9\\u{1b}9"), "{text}");
    }
    for bytes in [
        frame(Kind::Hello, 0, "{}"),
        frame(Kind::Hello, 0, r#"{"magic":"x","oldest":1,"newest":1,"program":"1"}"#),
        done(0),
        vec![0; 100],
        vec![0xff; 100],
    ] {
        assert!(matches!(said(bytes).start(), Err(HostError::BadAnswer { .. })));
    }
    let (mut host, _) = with(|mut stream| {
        let _ = stream.read_to_end(&mut Vec::new());
        (0, String::new())
    });
    host.link.command.patience = Duration::from_millis(50);
    assert!(matches!(host.start(), Err(HostError::Transport(TransportError::Timeout { .. }))));
}

#[test]
fn answers_that_are_none_are_errors() {
    let row = |kind: &str| format!(r#"{{"{kind}":[["s",1,1,null]]}}"#);
    let dataset_part = |name: &str| {
        frame(
            Kind::Part,
            1,
            &format!(
                r#"{{"dataset":{{"name":"{name}","volume":false,"guid":1,"encryption":null,"origin":null,"written":0,"referenced":0,"available":0,"token":null}}}}"#
            ),
        )
    };
    let ancestor = |name: &str| {
        let part = String::from_utf8(dataset_part(name)[9..].to_vec()).expect("JSON");
        frame(Kind::Part, 1, &part.replacen("dataset", "ancestor", 1))
    };
    let good = saying([dataset_part("tank/a"), done(1)].concat()).inventory(&dataset("tank/a"), Depth::One);
    assert!(good.is_ok(), "{good:?}");
    for (what, bytes) in [
        ("nothing", vec![]),
        ("done without a dataset", done(1)),
        ("a wrong id", [dataset_part("tank/a"), done(2)].concat()),
        ("id 0", [dataset_part("tank/a"), done(0)].concat()),
        ("another dataset", [dataset_part("tank/b"), done(1)].concat()),
        ("a child", [dataset_part("tank/a"), dataset_part("tank/a/b"), done(1)].concat()),
        ("twice", [dataset_part("tank/a"), dataset_part("tank/a"), done(1)].concat()),
        ("no name", [dataset_part("tank/../a"), done(1)].concat()),
        ("rows before a dataset", [frame(Kind::Part, 1, &row("snapshots")), done(1)].concat()),
        ("bookmarks before one", [frame(Kind::Part, 1, &row("bookmarks")), done(1)].concat()),
        ("an ancestor that is none", [ancestor("tank/b"), done(1)].concat()),
        ("itself as ancestor", [ancestor("tank/a"), done(1)].concat()),
        ("absent and present", [ancestor("tank"), dataset_part("tank/a"), done(1)].concat()),
        (
            "absent, but among the children",
            [ancestor("tank"), frame(Kind::Part, 1, r#"{"children":["tank/a"]}"#), done(1)].concat(),
        ),
        ("an unknown part", [frame(Kind::Part, 1, r#"{"secret":1}"#), done(1)].concat()),
        ("a stream", [frame(Kind::Data, 1, "x"), done(1)].concat()),
        ("cut", dataset_part("tank/a")[..20].to_vec()),
        ("no end", dataset_part("tank/a")),
        ("a huge frame", u32::MAX.to_be_bytes().to_vec()),
        ("a failure of nothing known", frame(Kind::Answer, 1, r#"{"failed":{"fire":{}}}"#)),
    ] {
        let answer = saying(bytes).inventory(&dataset("tank/a"), Depth::One);
        assert!(
            matches!(
                answer,
                Err(HostError::BadAnswer { .. } | HostError::Transport(TransportError::Lost { .. }))
            ),
            "{what}: {answer:?}"
        );
    }
    // What comes after the end is found by the next question.
    let mut host = saying([dataset_part("tank/a"), done(1), done(1)].concat());
    host.inventory(&dataset("tank/a"), Depth::One).expect("an answer");
    assert!(host.inventory(&dataset("tank/a"), Depth::One).is_err());
}

#[test]
fn too_few_and_too_many_guids_are_errors() {
    let names = [snapshot("tank/a@1"), snapshot("tank/a@2")];
    for guids in ["[]", "[1]", "[1,2,3]", "[1,-2]", "[1,\"x\"]"] {
        let part = frame(Kind::Part, 1, &format!(r#"{{"guids":{guids}}}"#));
        let answer = saying([part, done(1)].concat()).snapshot_guids(&names);
        assert!(matches!(answer, Err(HostError::BadAnswer { .. })), "{guids}: {answer:?}");
    }
    let part = frame(Kind::Part, 1, r#"{"guids":[1,null]}"#);
    let answer = saying([part, done(1)].concat()).snapshot_guids(&names).expect("an answer");
    assert_eq!(answer, [Some(Guid(1)), None]);
}

#[test]
fn an_answer_without_an_end_is_cut_off() {
    let (mut host, _) = with(|mut stream| {
        let hello = serde_json::to_vec(&Hello::ours()).expect("JSON");
        let _ = stream.write_all(&whole(Kind::Hello, 0, &hello).expect("a frame"));
        let rows = vec![r#"["s",1,1,null]"#; 500].join(",");
        let name = r#"{"dataset":{"name":"tank","volume":false,"guid":1,"encryption":null,"origin":null,"written":0,"referenced":0,"available":0,"token":null}}"#;
        let _ = stream.write_all(&frame(Kind::Part, 1, name));
        let part = frame(Kind::Part, 1, &format!(r#"{{"snapshots":[{rows}]}}"#));
        while stream.write_all(&part).is_ok() {}
        (0, String::new())
    });
    let error = host.inventory(&dataset("tank"), Depth::All).expect_err("endless");
    assert!(matches!(error, HostError::BadAnswer { .. }) && error.to_string().contains("entries"), "{error}");
}

#[test]
fn an_agent_that_goes_on_after_it_was_told_to_stop_is_ended() {
    let (mut host, starts) = with(|mut stream| {
        let hello = serde_json::to_vec(&Hello::ours()).expect("JSON");
        let _ = stream.write_all(&whole(Kind::Hello, 0, &hello).expect("a frame"));
        let block = frame(Kind::Data, 1, &"x".repeat(100_000));
        while stream.write_all(&block).is_ok() {}
        (0, String::new())
    });
    let mut outgoing = host.send(&send_spec("tank@s1", 5)).expect("started");
    while !matches!(outgoing.next(1 << 20).expect("a stream"), Next::Block(_)) {}
    drop(outgoing);
    // The next one is no better.
    assert!(host.inventory(&dataset("tank"), Depth::One).is_err());
    assert_eq!(starts.load(Ordering::SeqCst), 2);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn random_answers_are_errors(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(saying(bytes.clone()).inventory(&dataset("tank"), Depth::All).is_err());
        let mut host = saying(bytes);
        let answer = read_all(host.send(&send_spec("tank@s", 1)).expect("asked"));
        prop_assert!(answer.is_err());
    }

    #[test]
    fn random_frames_are_errors(
        frames in prop::collection::vec((1u8..9, 0u32..3, "[\\[\\]{}\":,a-z0-9]{0,40}"), 0..6),
    ) {
        let mut bytes = Vec::new();
        for (kind, id, payload) in frames {
            let mut head = header(Kind::Part, id, payload.len());
            head[4] = kind;
            bytes.extend_from_slice(&head);
            bytes.extend_from_slice(payload.as_bytes());
        }
        prop_assert!(saying(bytes.clone()).inventory(&dataset("tank"), Depth::All).is_err());
        prop_assert!(saying(bytes).receive(&receive_spec("tank@s")).is_err());
    }
}

#[test]
fn signs_of_life_are_no_answer() {
    let alive = header(Kind::Alive, 0, 0).repeat(3);
    let done = serde_json::to_vec(&Answer::Done).expect("JSON");
    let answer = whole(Kind::Answer, 1, &done).expect("a frame");
    let root = "tank".parse().expect("a name");
    let mut host = saying([alive.as_slice(), &answer].concat());
    host.lock(&root, Depth::One, "me").expect("it was done");
    // For ever, and nothing else.
    let mut host = saying(header(Kind::Alive, 0, 0).repeat(100_000));
    host.link.command.silence = Duration::ZERO;
    assert!(host.lock(&root, Depth::One, "me").is_err());
}
