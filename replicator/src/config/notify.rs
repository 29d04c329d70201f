//! Who is told when the state of something changes.

use super::value::Command;

/// The whole of `[notify]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notify {
    /// A command, which gets what there is to say in its environment.
    pub command: Option<Command>,
    /// Addresses for mail, which goes out through the sendmail of this machine.
    pub mail: Vec<String>,
    /// An address that gets JSON by HTTP.
    pub webhook: Option<String>,
    /// Seconds that must have passed since somebody was told of a check before they are told that it is better.
    pub cooldown: u64,
}
