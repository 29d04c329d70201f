//! The datasets that a command is to look at: those that are named, here or on another machine, or all pools of this
//! machine when none is.

use zfs_core::Zfs;
use zfs_core::name::SnapshotName;

use super::Failure;
use super::connect::SshArguments;
use crate::cancel::Cancel;
use crate::codes::Code;
use crate::compare::content::Content;
use crate::compare::content::Gathered;
use crate::endpoint::Endpoint;
use crate::host::DatasetKind;
use crate::host::Depth;
use crate::host::Host;
use crate::host::HostError;
use crate::host::Inventory;
use crate::host::READ;
use crate::host::Tree;
use crate::inspect::holds::Held;

/// One of them.
pub(super) struct Place {
    pub(super) endpoint: Endpoint,
    pub(super) host: Box<dyn Host>,
    depth: Depth,
}

impl Place {
    /// One dataset, alone or with everything below it.
    pub(super) fn new(
        endpoint: Endpoint,
        recursive: bool,
        ssh: &SshArguments,
        cancel: &Cancel,
    ) -> Result<Self, Failure> {
        let host = ssh.host(&endpoint, None, cancel)?;
        Ok(Self { endpoint, host, depth: if recursive { Depth::All } else { Depth::One } })
    }

    /// What is there. That there is nothing is a failure: a name with a typing error must not read as "all is well".
    pub(super) fn tree(&mut self) -> Result<Tree, Failure> {
        match self.inventory()? {
            Inventory::Present(tree) => Ok(tree),
            Inventory::Absent { .. } => {
                let message = format!("{}: there is no dataset {}", self.host.label(), self.endpoint.dataset);
                Err(Failure::new(Code::NoDataset, message).hinted("check the name".to_string()))
            }
        }
    }

    /// What is there, or that there is nothing.
    pub(super) fn inventory(&mut self) -> Result<Inventory, Failure> {
        Ok(self.host.inventory(&self.endpoint.dataset, self.depth)?)
    }

    /// What is in a snapshot.
    pub(super) fn content(&mut self, snapshot: &SnapshotName, kind: DatasetKind) -> Result<Content, Failure> {
        let mut all = Gathered::new(kind);
        let label = self.host.label().to_string();
        let bad = |why: String| HostError::BadAnswer { host: label.clone(), operation: READ, why };
        self.host.read(snapshot, kind, &mut |piece| all.add(piece).map_err(bad))?;
        Ok(all.finish().map_err(bad)?)
    }

    /// The holds on what is there.
    pub(super) fn holds(&mut self) -> Result<Vec<Held>, Failure> {
        Ok(self.host.holds(&self.endpoint.dataset, self.depth)?)
    }

    /// How a dataset of this place is named on the command line.
    pub(super) fn name(&self, dataset: &zfs_core::name::DatasetName) -> String {
        Endpoint { machine: self.endpoint.machine.clone(), dataset: dataset.clone() }.to_string()
    }
}

/// All that are named.
pub(super) fn places(
    names: &[String],
    recursive: bool,
    ssh: &SshArguments,
    cancel: &Cancel,
) -> Result<Vec<Place>, Failure> {
    if names.is_empty() {
        let pools = Zfs::open()?.pools()?;
        let endpoints = pools.into_iter().map(|dataset| Endpoint { machine: None, dataset });
        return endpoints.map(|endpoint| Place::new(endpoint, true, ssh, cancel)).collect();
    }
    names.iter().map(|name| Place::new(name.parse()?, recursive, ssh, cancel)).collect()
}

/// What is added to "there are none" where something was left out.
pub(super) fn left_out(names: &[String], recursive: bool) -> &'static str {
    if names.is_empty() || recursive { "" } else { "; what is below was not looked at (-r does that)" }
}
