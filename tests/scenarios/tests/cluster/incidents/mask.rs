//! What is another one at each run gives way to a word in angle brackets: times, GUIDs, sizes, tokens, addresses, and the
//! reasons for which a machine cannot be reached, which depend on when it was tried.

use std::sync::LazyLock;

use fancy_regex::Regex;

/// In this order: what comes first may hold what comes later.
static MASKS: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
    let masks = [
        // Resume tokens.
        (r"\b1-[0-9a-f]+-[0-9a-f]+-[0-9a-f]{20,}", "<token>"),
        // Why a machine does not answer.
        (
            r"(cannot be asked: |cannot connect to \S+ port \d+: |does not answer: |cannot be reached: |not everything was sent (?:yet )?\().*?(?=\. A run reached|$)",
            "$1<why>",
        ),
        // Dates, as in names and in messages.
        (r"\d{4}-\d\d-\d\d[T_ ]\d\d[:.]?\d\d[:.]?\d\d(?:\.\d+)?Z?(?:\+00:00)?", "<time>"),
        (r"\b\d{8}T\d{6}Z", "<time>"),
        (r"\b(?:\d{4}-)?\d\d-\d\d \d\d:\d\d\b", "<time>"),
        // Sizes, counts of bytes, lengths of time.
        (r"\b\d+(?:[.,]\d+)? ?(?:bytes|[kKMGT]?i?B)(?:/s)?\b", "<size>"),
        (r"\b\d+d\d\dh\b|\b\d+h\d\dm\b|\b\d+m\b", "<length>"),
        (r"\b\d+(?:\.\d+)? ?(?:ms|s|min|h|seconds?|minutes?|hours?|days?)\b", "<length>"),
        // Bookmarks of ours, by their target and their snapshot.
        (r"#replicator_1_[0-9a-f]+_[0-9a-f]+", "#replicator_1_<guid>"),
        // GUIDs, decimal and hexadecimal.
        (r"\b0x[0-9a-f]{8,16}\b", "<guid>"),
        (r"\b[0-9a-f]{16}\b", "<guid>"),
        (r"\b\d{15,20}\b", "<guid>"),
        // Bytes without a unit.
        (r"\b\d{6,14}\b", "<number>"),
        (r"\b(process|pid) \d+", "$1 <number>"),
        (r"\b10\.\d+\.\d+\.\d+", "<address>"),
        // Columns are as wide as what is in them.
        (r"(?<=\S)  +", "  "),
    ];
    masks.map(|(pattern, word)| (Regex::new(pattern).expect("a pattern"), word)).into()
});

/// The first line of a paragraph on the screen of a pair, and the others.
static BEGINS: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^  (?:\d+\.|if \S+ died:|-) ").expect("a pattern"));
static GOES_ON: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"^ {4,5}(?=\S)").expect("a pattern"));

/// What a program says, line by line. A paragraph, which may be wrapped elsewhere next time, is one line.
pub(super) fn masked(said: &[String]) -> Vec<String> {
    let is = |pattern: &Regex, line: &str| pattern.is_match(line).unwrap_or(false);
    let mut lines: Vec<String> = Vec::new();
    for line in said {
        match lines.last_mut() {
            Some(last) if is(&BEGINS, last) && is(&GOES_ON, line) => {
                last.push(' ');
                last.push_str(line.trim_start());
            }
            _ => lines.push(line.clone()),
        }
    }
    lines.iter().map(|line| mask(line)).collect()
}

/// A line without what is another one each time.
pub(super) fn mask(line: &str) -> String {
    MASKS.iter().fold(line.to_string(), |line, (mask, word)| mask.replace_all(&line, *word).into_owned())
}

#[test]
fn what_differs_from_run_to_run_is_masked_and_nothing_else() {
    for (line, wanted) in [
        (
            "sent zpool1/data@autosnap_2026-11-23_00:05:07_hourly, 1.2 MB",
            "sent zpool1/data@autosnap_<time>_hourly, <size>",
        ),
        (
            "  both have @a (age 17 s); nothing would be lost",
            "  both have @a (age <length>); nothing would be lost",
        ),
        ("1:2:elitedesk:0123456789abcdef", "1:2:elitedesk:<guid>"),
        ("thinkpad is active now, in epoch 12", "thinkpad is active now, in epoch 12"),
        ("thinkpad cannot be asked: node2: timed out", "thinkpad cannot be asked: <why>"),
        ("the guest 103 of 3 nodes, 2 snapshots", "the guest 103 of 3 nodes, 2 snapshots"),
        ("data-divergent-3 keeps 40 bytes", "data-divergent-3 keeps <size>"),
        (
            "zpool1/data   11-23 04:00  29d23h  15m   nothing",
            "zpool1/data  <time>  <length>  <length>  nothing",
        ),
        (
            "x does not answer: why (os error 113). A run reached it 1h01m ago.",
            "x does not answer: <why>. A run reached it <length> ago.",
        ),
    ] {
        assert_eq!(mask(line), wanted);
    }
    let lines =
        ["  1. RISK: it does", "     something.", "       zfs list", "", "    as it is"].map(String::from);
    assert_eq!(
        masked(&lines),
        ["  1. RISK: it does something.", "       zfs list", "", "    as it is"].map(mask)
    );
}
