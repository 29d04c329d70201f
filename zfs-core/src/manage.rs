//! Making, changing and removing filesystems and volumes. Nothing here mounts or unmounts: like libzfs_core below
//! it, this library leaves mounts to the `zfs` command and to the services that use it.

use crate::Zfs;
use crate::command::Command;
use crate::error::{Error, ErrorKind, Operation, Result};
use crate::ffi::Ioctl;
use crate::name::{DatasetName, SnapshotName};
use crate::property::PropertySet;
use crate::snapshot::check;

impl Zfs {
    /// Creates a filesystem. Its parent must exist.
    pub fn create_filesystem(&self, name: &DatasetName, properties: &PropertySet) -> Result<()> {
        let list = properties.checked(Operation::Create, name)?;
        check(Operation::Create, name, self.ffi.create_filesystem(name.as_str(), list))
    }

    /// Creates a volume of `volsize` bytes, a multiple of its block size (`volblocksize`, 16 KiB unless set). Without a
    /// `refreservation` among the properties it is sparse.
    pub fn create_volume(&self, name: &DatasetName, volsize: u64, properties: &PropertySet) -> Result<()> {
        let properties = properties.clone().number("volsize", volsize);
        let list = properties.checked(Operation::Create, name)?;
        check(Operation::Create, name, self.ffi.create_volume(name.as_str(), list))
    }

    /// Makes a writable clone of a snapshot in the same pool.
    pub fn clone_snapshot(
        &self,
        origin: &SnapshotName,
        name: &DatasetName,
        properties: &PropertySet,
    ) -> Result<()> {
        let errno = self.ffi.clone_snapshot(
            name.as_str(),
            origin.as_str(),
            properties.checked(Operation::Clone, name)?,
        );
        if errno == libc::ENOENT && self.find_snapshot(origin)?.is_none() {
            let detail = format!("there is no snapshot {origin}");
            return Err(Error::found(Operation::Clone, name, ErrorKind::NotFound, detail));
        }
        check(Operation::Clone, name, errno)
    }

    /// Makes a clone independent: it takes over the snapshots up to its origin, and its origin's dataset becomes the
    /// clone. Bookmarks of these snapshots go over as well.
    ///
    /// # Errors
    /// [`ErrorKind::Exists`] names a snapshot or bookmark whose name both datasets have. OpenZFS, up to 2.4.4 at least,
    /// looks for such bookmarks in the wrong list, finds none, and stops the machine; so they are looked for here. A
    /// bookmark that somebody makes between that look and the promotion is not seen.
    pub fn promote(&self, name: &DatasetName) -> Result<()> {
        self.no_bookmark_in_the_way(name)?;
        let (errno, conflict) = self.ffi.promote(name.as_str());
        match (errno, conflict) {
            (0, _) => Ok(()),
            (libc::EEXIST, Some(snapshot)) => Err(Error::new(Operation::Promote, name, errno)
                .detailed(format!("both datasets have a snapshot named {snapshot:?}"))),
            (errno, _) => Err(Error::new(Operation::Promote, name, errno)),
        }
    }

    fn no_bookmark_in_the_way(&self, name: &DatasetName) -> Result<()> {
        let Some(origin) = self.find_dataset(name)?.and_then(|found| found.origin) else { return Ok(()) };
        let own = self.bookmarks(name)?;
        if own.is_empty() {
            return Ok(());
        }
        let Some(until) = self.find_snapshot(&origin)?.map(|found| found.createtxg) else { return Ok(()) };
        let others = self.bookmarks(origin.dataset())?;
        let moving: Vec<&str> =
            others.iter().filter(|one| one.createtxg <= until).map(|one| one.name.short()).collect();
        match own.iter().map(|one| one.name.short()).find(|short| moving.contains(short)) {
            None => Ok(()),
            Some(short) => {
                let detail = format!("both it and {} have a bookmark named {short:?}", origin.dataset());
                Err(Error::found(Operation::Promote, name, ErrorKind::Exists, detail))
            }
        }
    }

    /// Renames a dataset within its pool, its children and snapshots with it.
    pub fn rename(&self, from: &DatasetName, to: &DatasetName) -> Result<()> {
        let errno = self.ffi.rename(from.as_str(), to.as_str());
        if errno == libc::ENOENT && self.find_dataset(from)?.is_none() {
            return Err(Error::found(
                Operation::Rename,
                from,
                ErrorKind::NotFound,
                format!("wanted as {to}"),
            ));
        }
        check(Operation::Rename, from, errno)
    }

    /// Destroys a filesystem or volume that has neither children nor snapshots, and is not mounted.
    pub fn destroy(&self, name: &DatasetName) -> Result<()> {
        let errno = self.ffi.destroy(name.as_str());
        // The kernel says "busy" of a mounted dataset and of one with snapshots.
        if errno == libc::EBUSY && self.snapshots(name)?.next().transpose()?.is_some() {
            let detail = "destroy its snapshots first";
            return Err(Error::found(Operation::Destroy, name, ErrorKind::HasChildren, detail));
        }
        check(Operation::Destroy, name, errno)
    }

    /// Sets properties of a dataset. Not atomic: where the error lists single properties, the others were set.
    pub fn set_properties(&self, name: &DatasetName, properties: &PropertySet) -> Result<()> {
        let mut command = Command::new(name.as_str());
        let packed = properties.checked(Operation::SetProperty, name)?.encode_xdr().map_err(|error| {
            Error::found(Operation::SetProperty, name, ErrorKind::InvalidProperty, error.to_string())
        })?;
        command.set_input(packed);
        let mut answer = vec![0; 64 << 10];
        let outcome = self.ffi.ioctl(Ioctl::SetProp, &mut command, &mut answer);
        let Err(errno) = outcome else { return Ok(()) };
        let length = command.answer_length().min(answer.len());
        let list = crate::nvlist::NvList::decode(&answer[..length], &crate::nvlist::Limits::default()).ok();
        crate::snapshot::per_name(Operation::SetProperty, name, &crate::ffi::Answer { errno, list })
    }

    /// Removes what was set of one property on this dataset, so that it is inherited again, or back at its default.
    pub fn inherit_property(&self, name: &DatasetName, property: &str) -> Result<()> {
        self.unset(name, property, false)
    }

    /// Removes what was set locally of one property, so that the received value is in force again, if there is one
    /// (`zfs inherit -S`).
    pub fn revert_property_to_received(&self, name: &DatasetName, property: &str) -> Result<()> {
        self.unset(name, property, true)
    }

    fn unset(&self, name: &DatasetName, property: &str, to_received: bool) -> Result<()> {
        let mut command = Command::new(name.as_str());
        if !command.set_value(property) {
            let detail = "the property's name is too long or holds a NUL";
            return Err(Error::found(Operation::InheritProperty, name, ErrorKind::InvalidProperty, detail));
        }
        command.set_cookie(u64::from(to_received));
        let outcome = self.ffi.ioctl(Ioctl::InheritProp, &mut command, &mut Vec::new());
        outcome.map_err(|errno| Error::new(Operation::InheritProperty, name, errno))
    }
}
