//! The node that a verb works on: its datasets as any host has them, and what only happens on the node itself:
//! snapshots, mounts, the gate against receives, the state of a pool, and the service where this program takes it itself.

use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::Mode;
use rustix::fs::OFlags;
use rustix::mount::MountFlags;
use rustix::mount::UnmountFlags;
use zfs_core::PropertySet;
use zfs_core::Zfs;
use zfs_core::name::DatasetName;
use zfs_core::name::SnapshotName;

use super::Refused;
use crate::cancel::Cancel;
use crate::host::Host;
use crate::host::HostError;
use crate::host::local::Local;
use crate::lock::Gate;
use crate::lock::LockError;
use crate::lock::PolicyLock;
use crate::monitor::kstat;
use crate::pair::epoch::NodeName;
use crate::role::source::NotTaken;
use crate::role::source::Source;
use crate::role::watch::Fence;
use crate::transport::TransportError;

/// How long a receive in flight may take to give way to a promotion. It is given up within about a second; before the kernel
/// is done with it, it writes down what it has of it, and a pool that is busy may take a while for that.
pub const GIVE_WAY: Duration = Duration::from_secs(20);

/// How long those who take snapshots by policies may take to leave a node to itself.
const TAKERS: Duration = Duration::from_secs(10);

/// A filesystem of ZFS that is mounted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// The filesystem.
    pub dataset: DatasetName,
    /// Where.
    pub at: PathBuf,
    /// Whether it can be written to there.
    pub writable: bool,
}

/// A node of a pair.
pub trait Node {
    /// Its name.
    fn name(&self) -> &NodeName;

    /// Its datasets.
    fn host(&mut self) -> &mut dyn Host;

    /// Whether the next step may be taken: where a cluster started the work, the service may leave while it goes on. What a
    /// person asks for is looked at once, before it begins.
    ///
    /// # Errors
    /// When this node is not any more what it was when the work began.
    fn still(&mut self) -> Result<(), Refused> {
        Ok(())
    }

    /// Sees that nobody receives into these roots, until the value is dropped; ends receives that are in flight.
    ///
    /// # Errors
    /// When one does not end in time.
    fn close(&mut self, roots: &[DatasetName]) -> Result<Box<dyn Send>, LockError>;

    /// Sees that nobody takes or prunes snapshots by the policies of this node, until the value is dropped.
    ///
    /// # Errors
    /// When somebody does, and does not end in time.
    fn keep_from_taking(&mut self) -> Result<Box<dyn Send>, LockError> {
        Ok(Box::new(()))
    }

    /// The kernel's word for how a pool is.
    ///
    /// # Errors
    /// When it cannot be found out at all.
    fn health(&mut self, pool: &str) -> Result<Option<String>, HostError>;

    /// Takes snapshots of one pool in one transaction group.
    ///
    /// # Errors
    /// When one of them cannot be taken; then none is.
    fn take(&mut self, snapshots: &[SnapshotName]) -> Result<(), HostError>;

    /// The mounted filesystems, in the order of their mounting. Of other kinds of filesystems those, too, that hide one.
    ///
    /// # Errors
    /// When they cannot be found out.
    fn mounts(&mut self) -> Result<Vec<Mount>, HostError>;

    /// Mounts a filesystem.
    ///
    /// # Errors
    /// When the kernel refuses.
    fn mount(&mut self, dataset: &DatasetName, at: &Path) -> Result<(), HostError>;

    /// Ends a mount.
    ///
    /// # Errors
    /// When it is in use.
    fn unmount(&mut self, mount: &Mount) -> Result<(), HostError>;

    /// Hands to the pool what programs have written to a mount and the kernel still has in memory: what is read-only takes
    /// none of it any more.
    ///
    /// # Errors
    /// When it cannot be written.
    fn flush(&mut self, mount: &Mount) -> Result<(), HostError>;

    /// Takes the service for this node, as [`Source::claim`] does.
    ///
    /// # Errors
    /// When another node has it, or nobody knows.
    fn claim(&mut self) -> Result<(), NotTaken>;

    /// Gives the service to the other node, as [`Source::hand_over`] does.
    ///
    /// # Errors
    /// When a third node has it, or nobody knows.
    fn hand_over(&mut self) -> Result<bool, String>;

    /// Gives the service back, as [`Source::release`] does.
    ///
    /// # Errors
    /// When nobody answers.
    fn release(&mut self) -> Result<(), String>;
}

/// This machine.
pub struct LocalNode {
    name: NodeName,
    zfs: Zfs,
    host: Local,
    source: Option<Box<dyn Source>>,
    fence: Option<Arc<Fence>>,
    cancel: Cancel,
}

impl LocalNode {
    /// Under this name. Nobody is asked who has the service.
    #[must_use]
    pub fn new(name: NodeName, zfs: Zfs, cancel: Cancel) -> Self {
        let host = Local::new(zfs.clone()).cancelled_by(cancel.clone());
        Self { name, zfs, host, source: None, fence: None, cancel }
    }

    /// The same, of a pair in which this one decides where the service is.
    #[must_use]
    pub fn decided_by(self, source: Box<dyn Source>) -> Self {
        Self { source: Some(source), ..self }
    }

    /// From now on each step is taken only as long as this says so.
    pub fn fence_by(&mut self, fence: Arc<Fence>) {
        self.fence = Some(fence);
    }
}

impl Node for LocalNode {
    fn name(&self) -> &NodeName {
        &self.name
    }

    fn host(&mut self) -> &mut dyn Host {
        &mut self.host
    }

    fn still(&mut self) -> Result<(), Refused> {
        match &self.fence {
            Some(fence) => Ok(fence.check()?),
            None => Ok(()),
        }
    }

    fn close(&mut self, roots: &[DatasetName]) -> Result<Box<dyn Send>, LockError> {
        Ok(Box::new(Gate::close(roots, GIVE_WAY)?))
    }

    fn keep_from_taking(&mut self) -> Result<Box<dyn Send>, LockError> {
        Ok(Box::new(PolicyLock::take(TAKERS, &|| self.cancel.is_cancelled())?))
    }

    fn health(&mut self, pool: &str) -> Result<Option<String>, HostError> {
        let pools = kstat::pools(Path::new(kstat::FOLDER)).map_err(failed("find out how the pools are"))?;
        Ok(pools.get(pool).cloned().flatten())
    }

    fn take(&mut self, snapshots: &[SnapshotName]) -> Result<(), HostError> {
        Ok(self.zfs.snapshot(snapshots, &PropertySet::new())?)
    }

    fn mounts(&mut self) -> Result<Vec<Mount>, HostError> {
        let text = std::fs::read_to_string("/proc/self/mounts").map_err(failed("read /proc/self/mounts"))?;
        Ok(text.lines().filter_map(read).collect())
    }

    fn mount(&mut self, dataset: &DatasetName, at: &Path) -> Result<(), HostError> {
        std::fs::create_dir_all(at).map_err(failed("make a mountpoint"))?;
        // What zfsprops(7) says of the dataset the kernel applies itself.
        let mounted = rustix::mount::mount(dataset.as_str(), at, "zfs", MountFlags::empty(), None);
        mounted.map_err(|errno| failed(&format!("mount {dataset} on {}", at.display()))(errno.into()))
    }

    fn unmount(&mut self, mount: &Mount) -> Result<(), HostError> {
        // Snapshots that the kernel has mounted below it by itself keep nobody's work, and would keep it from going.
        let text = std::fs::read_to_string("/proc/self/mounts").map_err(failed("read /proc/self/mounts"))?;
        for at in text.lines().filter_map(|line| snapshot_below(line, &mount.at)) {
            // One that is in use shows in what follows.
            let _ = rustix::mount::unmount(&at, UnmountFlags::empty());
        }
        let unmounted = rustix::mount::unmount(&mount.at, UnmountFlags::empty());
        let what = format!("unmount {} from {}", mount.dataset, mount.at.display());
        unmounted.map_err(|errno| failed(&what)(errno.into()))
    }

    fn flush(&mut self, mount: &Mount) -> Result<(), HostError> {
        let what = format!("write out what was written to {}", mount.at.display());
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let place = rustix::fs::open(&mount.at, flags, Mode::empty());
        let flushed = place.and_then(rustix::fs::syncfs);
        flushed.map_err(|errno| failed(&what)(errno.into()))
    }

    fn claim(&mut self) -> Result<(), NotTaken> {
        self.source.as_mut().map_or(Ok(()), |source| source.claim(&self.cancel))
    }

    fn hand_over(&mut self) -> Result<bool, String> {
        self.source.as_mut().map_or(Ok(true), |source| source.hand_over(&self.cancel))
    }

    fn release(&mut self) -> Result<(), String> {
        self.source.as_mut().map_or(Ok(()), |source| source.release(&self.cancel))
    }
}

fn failed(what: &str) -> impl Fn(std::io::Error) -> HostError + '_ {
    move |error| TransportError::Local { what: format!("cannot {what}"), cause: error.to_string() }.into()
}

/// A line of /proc/self/mounts. What is mounted over one of ours, and is none itself, has a name that no dataset has.
fn read(line: &str) -> Option<Mount> {
    let mut fields = line.split(' ');
    let (source, at, kind, options) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
    let dataset = match kind {
        "zfs" => unescaped(source).parse().ok()?,
        _ => "other".parse().ok()?,
    };
    let writable = kind == "zfs" && !options.split(',').any(|option| option == "ro");
    Some(Mount { dataset, at: unescaped(at).into(), writable })
}

/// Where a line of /proc/self/mounts has a snapshot mounted that a filesystem shows in its `.zfs`.
fn snapshot_below(line: &str, filesystem: &Path) -> Option<PathBuf> {
    let mut fields = line.split(' ');
    let (source, at, kind) = (fields.next()?, PathBuf::from(unescaped(fields.next()?)), fields.next()?);
    let below = at.starts_with(filesystem.join(".zfs/snapshot"));
    (kind == "zfs" && source.contains('@') && below).then_some(at)
}

/// Spaces and the like are written as a backslash and three octal digits.
pub(crate) fn unescaped(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let octal = tail.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
        match octal.filter(|_| *first == b'\\').and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                out.push(byte);
                rest = &tail[3..];
            }
            None => {
                out.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_are_read_whatever_their_names() {
        let one = read("tank/a\\040b /mnt/x\\040y\\134z zfs rw,relatime,xattr 0 0").expect("a mount");
        assert_eq!((one.dataset.as_str(), one.at.as_path()), ("tank/a b", Path::new("/mnt/x y\\z")));
        assert!(one.writable);
        assert!(!read("tank/a /mnt zfs ro 0 0").expect("a mount").writable);
        let over = read("tmpfs /mnt tmpfs rw 0 0").expect("it hides what is below");
        assert!(!over.writable);
        assert_eq!(read("tank/a@s /mnt zfs ro 0 0"), None);
        assert_eq!(read(""), None);
        let line = "tank/a@s /mnt/x\\040y/.zfs/snapshot/s zfs ro 0 0";
        assert_eq!(snapshot_below(line, Path::new("/mnt/x y")), Some("/mnt/x y/.zfs/snapshot/s".into()));
        assert_eq!(snapshot_below(line, Path::new("/mnt/x")), None);
        assert_eq!(snapshot_below("tank/a@s /mnt zfs ro 0 0", Path::new("/")), None);
    }
}
