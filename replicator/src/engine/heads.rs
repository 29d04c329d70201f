//! Looking at the heads of streams before a plan is carried out: what a stream needs on the target's pool depends on
//! what the dataset has in it, and only the stream says that. Asked for only where it can make a difference.

use std::time::Duration;
use std::time::Instant;

use zfs_core::stream::Features;
use zfs_core::stream::Policy;
use zfs_core::stream::StreamChecker;

use crate::host::Host;
use crate::host::Next;
use crate::host::SendSpec;

/// How much of a stream is taken at once.
const BLOCK: usize = 64 * 1024;
/// What the first record and the list after it may take.
const HEAD: usize = 1 << 20;
/// How long a sender may take to begin.
const PATIENCE: Duration = Duration::from_secs(60);

/// The features that a stream says it needs. `None` where the sender does not say in time, or fails: then the receive
/// will tell.
pub(super) fn features(source: &mut dyn Host, spec: &SendSpec) -> Option<Features> {
    let mut outgoing = source.send(&SendSpec { compress: false, ..spec.clone() }).ok()?;
    let mut checker = StreamChecker::new(Policy::default());
    let (end, mut taken) = (Instant::now() + PATIENCE, 0);
    while taken < HEAD && Instant::now() < end {
        match outgoing.next(BLOCK).ok()? {
            Next::Block(block) => {
                taken += block.len();
                // Whether the stream is sound is found out when it is sent.
                checker.push(&block).ok()?;
                if let Some(begin) = checker.begin() {
                    return Some(begin.features);
                }
            }
            Next::Nothing => outgoing.idle().ok()?,
            Next::End => return None,
        }
    }
    None
}
