//! What is sent into this machine by a command that knows nothing of pairs must not go into a root of one.

use zfs_core::name::DatasetName;

use super::Failure;
use crate::codes::Code;
use crate::host::Host;
use crate::marks;
use crate::pair::NodeName;
use crate::pair::fence;
use crate::pair::fence::Admitted;
use crate::pair::fence::Asked;
use crate::pair::fence::NotAdmitted;
use crate::pair::fence::Refusal;

/// A target of this machine must not be within a root of a pair, as an agent sees to it for its own: those are written to by
/// the pair alone, and nothing is ever received where the service is. To be kept until the end.
///
/// # Errors
/// When it is, with what to do, or when that cannot be found out.
pub(in crate::cli) fn of_no_pair(
    host: &mut dyn Host,
    target: &DatasetName,
    is_here: bool,
) -> Result<Option<Admitted>, Failure> {
    if !is_here {
        return Ok(None);
    }
    // Nobody is told this name: nothing is presented.
    let node = NodeName::of_this_machine().or_else(|_| "this-machine".parse());
    let node = node.map_err(|error| Failure::new(Code::NodeName, error.to_string()))?;
    match fence::admit(host, &node, &Asked::tree(target), None) {
        Ok(admitted) => Ok(Some(admitted)),
        Err(NotAdmitted::Host(error)) => Err((*error).into()),
        Err(NotAdmitted::Refused(refusal)) => Err(match *refusal {
            Refusal::NoClaim { root, held } => {
                let message = format!("{root} belongs to a pair ({held}), and only the pair writes to it");
                let hint = format!(
                    "`replicator run` sends it where this node is active; receive into another dataset, or, where {root} is part of no pair any more, `zfs inherit {} {root}`",
                    marks::EPOCH
                );
                Failure::new(Code::Fenced, message).hinted(hint)
            }
            refusal => Failure::new(Code::Fenced, refusal.to_string()).hinted(refusal.hint()),
        }),
    }
}
