//! The bugs, one row each. What is not here: bugs of packages (`-R`, `-I`), of forced receives and of deduplicated
//! streams, which this program never makes; and those that nothing known before a transfer tells apart.

use super::Answer;
use super::Bug;
use crate::plan::steps::Side;

pub(super) const BUGS: &[Bug] = &[
    Bug {
        reports: &["#12014"],
        what: "sending an encrypted dataset decrypted can damage the source's own snapshots",
        fixed: &[(2, 2, 8), (2, 3, 3), (2, 4, 0)],
        at: Side::Source,
        concerns: |transfer| transfer.encrypted && transfer.plain,
        answer: Answer::Refuse,
    },
    Bug {
        reports: &["#10523", "#11221", "#11294", "#12594", "#16351"],
        what: "a raw stream received back where its dataset came from makes it unreadable",
        fixed: &[(2, 1, 3)],
        at: Side::Target,
        // Nothing tells whether a dataset was received once: any that exists may be where the streams came from.
        concerns: |transfer| transfer.raw && transfer.existing,
        answer: Answer::Refuse,
    },
    Bug {
        reports: &["#13445", "#12275", "#13699", "#13782"],
        what: "raw streams with large blocks can panic the receiver",
        fixed: &[(2, 1, 7)],
        at: Side::Target,
        concerns: |transfer| transfer.raw && transfer.large_blocks.0,
        answer: Answer::Refuse,
    },
    Bug {
        reports: &["#13598", "#14055", "#14119"],
        what: "receiving into an encrypted dataset can panic the receiver if its key is unloaded meanwhile",
        fixed: &[(2, 1, 7)],
        at: Side::Target,
        concerns: |transfer| transfer.into_encrypted,
        answer: Answer::Refuse,
    },
    Bug {
        reports: &["#9818", "#10234"],
        what: "a resumed raw receive skips the check of its initialisation vectors",
        fixed: &[(2, 0, 0)],
        at: Side::Target,
        concerns: |transfer| transfer.raw && transfer.resumed,
        answer: Answer::Refuse,
    },
    Bug {
        reports: &["#6224"],
        what: "an incremental stream with large blocks zeroes files that arrived without them",
        fixed: &[(2, 0, 0)],
        at: Side::Target,
        // Nothing on the target's pool is in large blocks, so what it has of this dataset was sent without -L.
        concerns: |transfer| {
            transfer.existing && transfer.incremental && transfer.large_blocks == (true, false)
        },
        answer: Answer::Refuse,
    },
    Bug {
        reports: &["#12762", "#12770", "#12522"],
        what: "compressed streams can be damaged where the target's disks have larger sectors (ashift) than the source's",
        fixed: &[(2, 0, 7), (2, 1, 2)],
        at: Side::Target,
        concerns: |transfer| transfer.raw || transfer.plain,
        answer: Answer::Warn,
    },
    Bug {
        reports: &["#13067"],
        what: "raw streams cannot be read where the target's disks have larger sectors (ashift) than the source's",
        fixed: &[(2, 1, 3)],
        at: Side::Target,
        concerns: |transfer| transfer.raw,
        answer: Answer::Warn,
    },
    Bug {
        reports: &["#11893", "#14358"],
        what: "receiving an incremental stream in which many files were removed can, rarely, fail or panic the receiver",
        fixed: &[(2, 1, 12)],
        at: Side::Target,
        concerns: |transfer| transfer.incremental,
        answer: Answer::Warn,
    },
    Bug {
        reports: &["#15039"],
        what: "a raw incremental stream panics the receiver where both sides have other sizes of indirect blocks",
        fixed: &[(2, 1, 13)],
        at: Side::Target,
        concerns: |transfer| transfer.raw && transfer.incremental,
        answer: Answer::Warn,
    },
    Bug {
        reports: &["#15927"],
        what: "what arrived of a stream with little data is not all counted, and may be sent again",
        fixed: &[(2, 2, 4)],
        at: Side::Target,
        concerns: |transfer| transfer.resumed,
        answer: Answer::Warn,
    },
    Bug {
        reports: &["#18101", "#18105", "#18908"],
        what: "the target may refuse the streams: it was the source once and has large blocks, this side has none",
        fixed: &[(2, 4, 1)],
        // The side that received before, and did not note that large blocks came.
        at: Side::Source,
        concerns: |transfer| {
            transfer.turned_round && transfer.existing && transfer.large_blocks == (false, true)
        },
        answer: Answer::Warn,
    },
    Bug {
        reports: &["#18143"],
        what: "the target may refuse the streams: it was the source once and has large directories, this side has none",
        fixed: &[(2, 4, 1)],
        at: Side::Source,
        concerns: |transfer| {
            transfer.turned_round && transfer.existing && transfer.large_microzap == (false, true)
        },
        answer: Answer::Warn,
    },
    Bug {
        reports: &["#18491"],
        what: "resuming a raw stream that starts from a bookmark may fail; if it does, discard what arrived",
        fixed: &[],
        at: Side::Source,
        concerns: |transfer| transfer.raw && transfer.resumed_from_bookmark,
        answer: Answer::Warn,
    },
    Bug {
        reports: &["#12614", "#12123"],
        what: "the target has its key from another dataset: after a change of the source's key it cannot be opened there",
        fixed: &[],
        at: Side::Target,
        concerns: |transfer| transfer.raw && transfer.existing && transfer.inherits_key,
        answer: Answer::Warn,
    },
];
