//! Whether anything moves. Each stage notes what it does; a thread beside them looks at the notes, and when no byte
//! moved for too long it says for which side the transfer waited. What is done then is decided in [`super::flow`].

use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::Instant;

/// One end of a transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The side that sends.
    Sender,
    /// The side that receives.
    Receiver,
}

impl std::fmt::Display for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            End::Sender => "the sending side",
            End::Receiver => "the receiving side",
        })
    }
}

/// How long each part of a transfer may stand still.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// Without a byte moving anywhere between the two ends. `None`: for ever.
    pub bytes: Option<Duration>,
    /// After the last byte, until the end says how it went: a receive ends with work in the pool.
    pub end: Option<Duration>,
}

impl Default for Patience {
    fn default() -> Self {
        Self { bytes: Some(Duration::from_secs(60)), end: Some(Duration::from_secs(600)) }
    }
}

/// The notes of the stages.
#[derive(Debug)]
pub(super) struct Pulse {
    patience: Patience,
    notes: Mutex<Notes>,
}

#[derive(Debug)]
struct Notes {
    moved: Instant,
    /// Stages that wait because they were told to be slow.
    held_back: usize,
    /// The receiver has a block in hand.
    writing: bool,
    /// The side that was told that there is no more.
    ending: Option<End>,
}

impl Pulse {
    pub(super) fn new(patience: Patience) -> Self {
        let notes = Notes { moved: Instant::now(), held_back: 0, writing: false, ending: None };
        Self { patience, notes: Mutex::new(notes) }
    }

    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, note: impl FnOnce(&mut Notes)) {
        let mut notes = self.notes();
        note(&mut notes);
        notes.moved = Instant::now();
    }

    /// Bytes came or went.
    pub(super) fn moved(&self) {
        self.note(|_| {});
    }

    /// The limit of the rate holds a stage back, or does so no more.
    pub(super) fn held_back(&self, held: bool) {
        self.note(|notes| {
            notes.held_back = if held { notes.held_back + 1 } else { notes.held_back.saturating_sub(1) };
        });
    }

    /// The receiver gets a block, or took it.
    pub(super) fn writing(&self, writing: bool) {
        let mut notes = self.notes();
        notes.writing = writing;
        if !writing {
            notes.moved = Instant::now();
        }
    }

    /// The side was told that there is no more, or it answered.
    pub(super) fn ending(&self, end: Option<End>) {
        self.note(|notes| notes.ending = end);
    }

    /// The side that is waited for and how long, when that is too long.
    pub(super) fn stalled(&self, now: Instant) -> Option<(End, Duration)> {
        let notes = self.notes();
        let still = now.saturating_duration_since(notes.moved);
        let (end, patience) = match notes.ending {
            // Blocks may still be on their way to the receiver while the sender ends.
            Some(end) if !notes.writing => (end, self.patience.end),
            _ if notes.writing => (End::Receiver, self.patience.bytes),
            _ => (End::Sender, self.patience.bytes),
        };
        let too_long = notes.held_back == 0 && patience.is_some_and(|patience| still >= patience);
        too_long.then_some((end, still))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(61);
    const LONGER: Duration = Duration::from_secs(601);

    fn side(pulse: &Pulse, after: Duration) -> Option<End> {
        pulse.stalled(Instant::now() + after).map(|(end, _)| end)
    }

    #[test]
    fn who_is_waited_for_is_named() {
        let pulse = Pulse::new(Patience::default());
        assert_eq!(side(&pulse, Duration::from_secs(50)), None);
        assert_eq!(side(&pulse, LONG), Some(End::Sender));
        pulse.writing(true);
        assert_eq!(side(&pulse, LONG), Some(End::Receiver));
        pulse.writing(false);
        assert_eq!(side(&pulse, LONG), Some(End::Sender));
    }

    #[test]
    fn the_end_has_its_own_patience() {
        let pulse = Pulse::new(Patience::default());
        pulse.ending(Some(End::Receiver));
        assert_eq!(side(&pulse, LONG), None);
        assert_eq!(side(&pulse, LONGER), Some(End::Receiver));
        pulse.ending(Some(End::Sender));
        pulse.writing(true);
        assert_eq!(side(&pulse, LONG), Some(End::Receiver), "blocks are still to be written");
    }

    #[test]
    fn being_held_back_is_no_stall() {
        let pulse = Pulse::new(Patience::default());
        pulse.held_back(true);
        assert_eq!(side(&pulse, LONGER), None);
        pulse.held_back(false);
        assert_eq!(side(&pulse, LONG), Some(End::Sender));
        let patient = Pulse::new(Patience { bytes: None, end: None });
        assert_eq!(side(&patient, LONGER * 1000), None);
    }
}
