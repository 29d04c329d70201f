//! The numbers by which ZFS tells things apart: GUIDs and transaction groups. Newtypes, so that one can never be
//! passed where the other is meant.

use std::fmt;

/// The identity of a dataset, snapshot or bookmark: 64 random bits given at creation.
///
/// A snapshot keeps its GUID when it is received elsewhere, and a bookmark carries the GUID of its snapshot; this is
/// what makes an incremental source recognisable on both sides (`guid` in zfsprops(7)).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Guid(pub u64);

/// A transaction group number of one pool. Later is larger; numbers of two pools cannot be compared
/// (`createtxg` in zfsprops(7)).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Txg(pub u64);

macro_rules! number {
    ($type:ident) => {
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($type), self.0)
            }
        }
        impl From<u64> for $type {
            fn from(number: u64) -> Self {
                Self(number)
            }
        }
        impl std::str::FromStr for $type {
            type Err = std::num::ParseIntError;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }
    };
}

number!(Guid);
number!(Txg);
