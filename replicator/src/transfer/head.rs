//! The sending end of a transfer, and the beginning of its stream where that was looked at first: a far end with no
//! agent must be told before it starts whether what it will receive is compressed.

use std::time::Duration;
use std::time::Instant;

use bytes::Bytes;

use super::BLOCK;
use super::Coding;
use super::Compression;
use super::Settings;
use super::TransferError;
use super::budget::Account;
use super::budget::Lane;
use super::flow::LookAfter;
use super::flow::Piece;
use super::stall::End;
use super::worth_it::Decision;
use super::worth_it::SAMPLE;
use super::worth_it::decide;
use crate::cancel::Cancel;
use crate::host::Next;
use crate::host::Outgoing;

/// How long a sender that has begun may pause before the decision is made with what there is.
const PAUSE: Duration = Duration::from_secs(2);

/// An outgoing stream with the blocks that were read of it already.
pub struct Head<'a> {
    pub(super) outgoing: Box<dyn Outgoing + 'a>,
    pub(super) arrives: Coding,
    pub(super) blocks: Vec<Piece>,
    /// The sender has said that there is no more; it was not asked yet how it went.
    pub(super) ended: bool,
    pub(super) lane: Lane,
    pub(super) account: Account,
    decision: Decision,
}

impl<'a> Head<'a> {
    /// Without looking. The decision is what the settings say of a stream that nobody looked at: to compress only
    /// where that was asked for.
    #[must_use]
    pub fn unread(outgoing: Box<dyn Outgoing + 'a>, arrives: Coding, settings: &Settings) -> Self {
        let account = settings.budget.account();
        let lane = account.lane();
        let decision =
            if settings.compression == Compression::On { Decision::Compress } else { Decision::Off };
        Self { outgoing, arrives, blocks: Vec::new(), ended: false, lane, account, decision }
    }

    /// Reads as much of a plain stream as it takes to see whether compression is worth it: nothing where the settings
    /// or `raw` say it, else [`SAMPLE`] or what the memory budget has room for. A stream that arrives compressed is
    /// not looked at.
    ///
    /// # Errors
    /// When the sender fails or gives nothing for too long, or when `cancel` is set.
    pub fn read(
        outgoing: Box<dyn Outgoing + 'a>,
        arrives: Coding,
        raw: bool,
        settings: &Settings,
        cancel: &Cancel,
    ) -> Result<Self, TransferError> {
        let mut head = Self::unread(outgoing, arrives, settings);
        if settings.compression != Compression::Auto || arrives == Coding::Packed {
            return Ok(head);
        }
        if raw {
            head.decision = Decision::Raw;
            return Ok(head);
        }
        head.fill(settings, cancel)?;
        let sample: Vec<Bytes> = head.blocks.iter().map(|piece| piece.bytes.clone()).collect();
        head.decision = decide(&sample);
        Ok(head)
    }

    /// Whether the target shall receive zstd.
    #[must_use]
    pub fn decision(&self) -> Decision {
        self.decision
    }

    fn fill(&mut self, settings: &Settings, cancel: &Cancel) -> Result<(), TransferError> {
        let sender = |error| TransferError::of(error, TransferError::Sender);
        let mut permit = None;
        let mut length = 0;
        let mut moved = Instant::now();
        let mut look_after = LookAfter::new();
        while length < SAMPLE {
            if cancel.is_cancelled() {
                return Err(TransferError::Cancelled);
            }
            let Some(room) = permit.take().or_else(|| self.lane.try_acquire()) else { break };
            match self.outgoing.next(BLOCK).map_err(sender)? {
                Next::End => {
                    self.ended = true;
                    break;
                }
                Next::Block(block) => {
                    let bytes = block.len();
                    length += bytes;
                    moved = Instant::now();
                    self.blocks.push(Piece::new(block, bytes as u64, bytes as u64, room));
                }
                Next::Nothing => {
                    permit = Some(room);
                    let still = moved.elapsed();
                    if length > 0 && still > PAUSE {
                        break;
                    }
                    if settings.patience.bytes.is_some_and(|patience| still >= patience) {
                        return Err(TransferError::Stalled { end: End::Sender, still });
                    }
                    if look_after.is_due() {
                        self.outgoing.idle().map_err(sender)?;
                    }
                }
            }
        }
        Ok(())
    }
}
