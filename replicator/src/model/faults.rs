//! What can go wrong on demand. A fault that was injected must strike: a test whose fault did not is a test that
//! checked nothing, so the world refuses to be dropped with one that is still waiting.

use super::machine::Machine;

/// On which side of a change the process dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// The change is not made.
    Before,
    /// It is made, and nobody learns of it.
    After,
}

/// When somebody else does something. Both count from 1 since the last restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Just before this call to any machine.
    Call(u64),
    /// Just before this change on any machine.
    Effect(u64),
}

/// Something that goes wrong once.
pub enum Fault {
    /// The process dies at the change with this number, counted from 1 since the last restart. From then on every call
    /// fails, until [`restart`](super::World::restart).
    Crash {
        /// The number of the change.
        effect: u64,
        /// Before or after it.
        moment: Moment,
    },
    /// The connection of the next stream that gets this far breaks after so many bytes.
    Cut {
        /// Bytes that come through.
        bytes: u64,
    },
    /// The network to a machine breaks at a call to it, and so many calls fail, or all until the restart.
    Partition {
        /// The machine.
        machine: String,
        /// Which call to it is the first, counted from 1 since the last restart.
        call: u64,
        /// Whether that one gets there, and only its answer is lost.
        moment: Moment,
        /// How many calls fail.
        calls: u64,
    },
    /// A target runs out of space when so many bytes of one stream have come.
    Full {
        /// Bytes that find room.
        bytes: u64,
    },
    /// The listing with this number on one machine, counted from 1, fails.
    Listing {
        /// The machine.
        machine: String,
        /// Which listing.
        number: u64,
    },
    /// No bookmark may be made on a machine, now and later.
    NoBookmarks {
        /// The machine.
        machine: String,
    },
    /// Changes of one kind are not allowed on a machine, now and later.
    Denied {
        /// The machine.
        machine: String,
        /// The kind of change, as [`Change::kind`](crate::host::Change::kind) says it; of bookmarks there is
        /// [`Fault::NoBookmarks`].
        kind: &'static str,
    },
    /// The next receive that breaks off goes on running for so many calls to its machine.
    Linger {
        /// How many.
        calls: u64,
    },
    /// Somebody else does something.
    Meddle {
        /// When.
        when: When,
        /// On which machine it is done.
        machine: String,
        /// What is done.
        what: Meddling,
    },
}

impl std::fmt::Debug for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Crash { effect, moment } => write!(f, "a crash {moment:?} change {effect}"),
            Self::Cut { bytes } => write!(f, "a cut after {bytes} bytes"),
            Self::Partition { machine, call, moment, .. } => {
                write!(f, "the network broken {moment:?} call {call} to {machine}")
            }
            Self::Full { bytes } => write!(f, "a full target after {bytes} bytes"),
            Self::Listing { machine, number } => write!(f, "listing {number} of {machine} failing"),
            Self::NoBookmarks { machine } => write!(f, "no right to bookmark on {machine}"),
            Self::Linger { calls } => write!(f, "a receive that goes on for {calls} calls"),
            Self::Denied { machine, kind } => write!(f, "no right to {kind} on {machine}"),
            Self::Meddle { when, machine, .. } => write!(f, "somebody else on {machine} before {when:?}"),
        }
    }
}

/// What somebody else does.
pub type Meddling = Box<dyn FnOnce(&mut Machine) + Send>;

/// A fault and whether it struck.
#[derive(Debug)]
struct Armed {
    fault: Fault,
    struck: bool,
}

/// The faults of a world.
#[derive(Debug, Default)]
pub(super) struct Faults {
    armed: Vec<Armed>,
    /// Listings of each machine so far.
    listings: std::collections::BTreeMap<String, u64>,
}

impl Faults {
    pub(super) fn add(&mut self, fault: Fault) {
        if let Fault::Listing { machine, .. } = &fault {
            self.listings.insert(machine.clone(), 0);
        }
        self.armed.push(Armed { fault, struck: false });
    }

    /// Forgets all; gives those that did not strike.
    pub(super) fn disarm(&mut self) -> Vec<Fault> {
        self.armed.drain(..).filter(|armed| !armed.struck).map(|armed| armed.fault).collect()
    }

    /// Whether any fault waits.
    pub(super) fn waiting(&self) -> impl Iterator<Item = &Fault> {
        self.armed.iter().filter(|armed| !armed.struck).map(|armed| &armed.fault)
    }

    fn strike(&mut self, this: impl Fn(&Fault) -> bool) -> bool {
        let found = self.armed.iter_mut().find(|armed| !armed.struck && this(&armed.fault));
        found.is_some_and(|armed| {
            armed.struck = true;
            true
        })
    }

    pub(super) fn crash(&mut self, number: u64, at: Moment) -> bool {
        self.strike(
            |fault| matches!(fault, Fault::Crash { effect, moment } if *effect == number && *moment == at),
        )
    }

    /// How many of the next bytes still come through, if the connection breaks within them.
    pub(super) fn cut(&mut self, before: u64, next: u64) -> Option<u64> {
        let within = |bytes: u64| (before..before + next).contains(&bytes);
        let found = self.armed.iter().find_map(|armed| match armed.fault {
            Fault::Cut { bytes } if !armed.struck && within(bytes) => Some(bytes - before),
            _ => None,
        });
        found.filter(|_| self.strike(|fault| matches!(fault, Fault::Cut { bytes } if within(*bytes))))
    }

    /// Whether the network breaks at this call to a machine, on which side of it, and for how many calls.
    pub(super) fn partition(&mut self, on: &str, number: u64) -> Option<(Moment, u64)> {
        let found = self.armed.iter_mut().find_map(|armed| match &armed.fault {
            Fault::Partition { machine, call, moment, calls }
                if !armed.struck && machine == on && *call == number =>
            {
                Some((*moment, *calls, &mut armed.struck))
            }
            _ => None,
        });
        found.map(|(moment, calls, struck)| {
            *struck = true;
            (moment, calls)
        })
    }

    pub(super) fn full(&mut self, so_far: u64) -> bool {
        self.strike(|fault| matches!(fault, Fault::Full { bytes } if *bytes < so_far))
    }

    pub(super) fn listing(&mut self, on: &str) -> bool {
        let Some(count) = self.listings.get_mut(on) else { return false };
        *count += 1;
        let count = *count;
        self.strike(
            |fault| matches!(fault, Fault::Listing { machine, number } if machine == on && *number == count),
        )
    }

    pub(super) fn no_bookmarks(&mut self, on: &str) -> bool {
        let mine = |fault: &Fault| matches!(fault, Fault::NoBookmarks { machine } if machine == on);
        let found = self.armed.iter_mut().find(|armed| mine(&armed.fault));
        found.is_some_and(|armed| {
            armed.struck = true;
            true
        })
    }

    pub(super) fn denied(&mut self, on: &str, change: &str) -> bool {
        let mine = |fault: &Fault| matches!(fault, Fault::Denied { machine, kind } if machine == on && *kind == change);
        let found = self.armed.iter_mut().find(|armed| mine(&armed.fault));
        found.is_some_and(|armed| {
            armed.struck = true;
            true
        })
    }

    pub(super) fn linger(&mut self) -> Option<u64> {
        let found = self.armed.iter_mut().find_map(|armed| match armed.fault {
            Fault::Linger { calls } if !armed.struck => Some((armed, calls)),
            _ => None,
        });
        found.map(|(armed, calls)| {
            armed.struck = true;
            calls
        })
    }

    /// What somebody else does now.
    pub(super) fn meddle(&mut self, now: When) -> Option<(String, Meddling)> {
        let due =
            |armed: &Armed| !armed.struck && matches!(armed.fault, Fault::Meddle { when, .. } if when == now);
        let at = self.armed.iter().position(due)?;
        match self.armed.remove(at).fault {
            Fault::Meddle { machine, what, .. } => Some((machine, what)),
            _ => None,
        }
    }
}
