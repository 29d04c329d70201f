//! What has passed: records and bytes, by type.

use super::record::RecordType;

/// Records of one type.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RecordCount {
    /// Number of headers.
    pub records: u64,
    /// Bytes of payload announced by those headers.
    pub payload: u64,
}

/// Counts of a whole stream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StreamStats {
    counts: [RecordCount; RecordType::ALL.len()],
    /// Headers without a checksum, which very old senders made; END always has one.
    pub without_checksum: u64,
}

impl StreamStats {
    /// What passed of that type.
    pub fn of(&self, record: RecordType) -> RecordCount {
        self.counts[record as usize]
    }

    /// What passed in all.
    pub fn total(&self) -> RecordCount {
        self.counts.iter().fold(RecordCount::default(), |sum, count| RecordCount {
            records: sum.records + count.records,
            payload: sum.payload.saturating_add(count.payload),
        })
    }

    pub(super) fn add(&mut self, record: RecordType, payload: u64) {
        let count = &mut self.counts[record as usize];
        count.records += 1;
        count.payload = count.payload.saturating_add(payload);
    }
}
