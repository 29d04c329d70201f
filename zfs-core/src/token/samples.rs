//! Tokens recorded on real ZFS, against what OpenZFS' own reader says of them (`tests/data/README.md`).

use super::*;

const SAMPLES: [(&str, &str); 6] = [
    ("flags.token", include_str!("../../tests/data/flags.token")),
    ("full.token", include_str!("../../tests/data/full.token")),
    ("incremental.token", include_str!("../../tests/data/incremental.token")),
    ("raw.token", include_str!("../../tests/data/raw.token")),
    ("redacted.token", include_str!("../../tests/data/redacted.token")),
    ("resumed.token", include_str!("../../tests/data/resumed.token")),
];
const EXPECTED: &str = include_str!("../../tests/data/tokens.txt");

/// The token in the form in which `zstream token` prints it.
fn as_zstream(token: &ResumeToken) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(guid) = token.from_guid {
        lines.push(format!("fromguid: {}", guid.0));
    }
    lines.push(format!("object: {}", token.object));
    lines.push(format!("offset: {}", token.offset));
    lines.push(format!("bytes: {}", token.bytes));
    lines.push(format!("toguid: {}", token.to_guid.0));
    lines.push(format!("toname: '{}'", token.to_name));
    let flags = [token.large_blocks, token.embedded, token.compressed, token.raw];
    lines.extend(FLAGS.iter().zip(flags).filter(|(_, set)| *set).map(|(name, _)| (*name).to_owned()));
    for (at, guid) in token.redact_snaps.iter().flatten().enumerate() {
        lines.push(format!("redact_snaps[{at}]: {guid}"));
    }
    lines
}

#[test]
fn recorded_tokens_say_what_openzfs_reads_in_them() {
    for (name, text) in SAMPLES {
        let token: ResumeToken = text.parse().unwrap();
        assert!(token.unknown.is_empty(), "{name}: {:?}", token.unknown);
        let mut section = EXPECTED.lines().skip_while(|line| *line != format!("== {name}"));
        section.next().unwrap();
        let expected: Vec<&str> = section.take_while(|line| !line.starts_with("==")).map(str::trim).collect();
        assert_eq!(as_zstream(&token), expected, "{name}");
        assert_eq!(token.encode().parse(), Ok(token));
    }
}

#[test]
fn every_digit_of_a_recorded_token_matters() {
    let text = SAMPLES[3].1.trim();
    for at in 0..text.len() {
        let mut changed = text.as_bytes().to_vec();
        changed[at] = if changed[at] == b'7' { b'8' } else { b'7' };
        let changed = std::str::from_utf8(&changed).unwrap();
        assert_ne!(changed.parse::<ResumeToken>(), text.parse(), "digit {at}");
    }
}
