//! Whole conversations that are cut or changed anywhere.

use super::*;

/// A conversation that is right.
fn conversation() -> Vec<u8> {
    let hello = serde_json::to_vec(&Hello::ours()).expect("JSON");
    let mut bytes = whole(Kind::Hello, 0, &hello).expect("a frame").to_vec();
    let inventory = br#"{"inventory":{"root":"tank/in","all":true}}"#;
    bytes.extend_from_slice(&whole(Kind::Request, 1, inventory).expect("a frame"));
    bytes.extend_from_slice(&whole(Kind::Request, 2, RECEIVE.as_bytes()).expect("a frame"));
    bytes.extend_from_slice(&whole(Kind::Data, 2, &stream(&begin(5), 1)).expect("a frame"));
    bytes.extend_from_slice(&whole(Kind::End, 2, &[]).expect("a frame"));
    bytes
}

/// Lets the server read all of it, and gives how it ended.
fn converse(bytes: &[u8]) -> (Result<(), ServeError>, Vec<String>) {
    let mut raw = Raw::silent(host(), inside());
    raw.bytes(bytes);
    raw.stream.shutdown(std::net::Shutdown::Write).expect("shut down");
    let mut said = Vec::new();
    let _ = raw.stream.read_to_end(&mut said);
    raw.close()
}

#[test]
fn a_conversation_that_is_cut_ends_in_order_wherever_it_is_cut() {
    let bytes = conversation();
    let (ended, log) = converse(&bytes);
    assert!(ended.is_ok() && log.last().is_some_and(|last| last == "received"), "{ended:?} {log:?}");
    for cut in (0..bytes.len()).step_by(97).chain([bytes.len() - 1, bytes.len() - 9]) {
        let (_, log) = converse(&bytes[..cut]);
        assert!(!log.contains(&"received".to_string()), "cut at {cut}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn random_bytes_change_nothing(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let (_, log) = converse(&bytes);
        prop_assert!(log.is_empty(), "{:?}", log);
    }

    #[test]
    fn random_frames_change_nothing(
        frames in prop::collection::vec((1u8..9, 0u32..4, prop::collection::vec(any::<u8>(), 0..60)), 0..8),
    ) {
        let hello = serde_json::to_vec(&Hello::ours()).expect("JSON");
        let mut bytes = whole(Kind::Hello, 0, &hello).expect("a frame").to_vec();
        for (kind, id, payload) in frames {
            let mut head = header(Kind::Request, id, payload.len());
            head[4] = kind;
            bytes.extend_from_slice(&head);
            bytes.extend_from_slice(&payload);
        }
        let (_, log) = converse(&bytes);
        prop_assert!(log.is_empty(), "{:?}", log);
    }

    #[test]
    fn a_changed_byte_is_survived(at in 0usize..9000, bit in 0u8..8) {
        let mut bytes = conversation();
        let at = at % bytes.len();
        bytes[at] ^= 1 << bit;
        // Whatever it became, it stays within the roots.
        let (_, log) = converse(&bytes);
        for what in &log {
            prop_assert!(
                what == "received" || what == "left partial" || what.contains(" tank/in"),
                "{}", what
            );
        }
    }
}
