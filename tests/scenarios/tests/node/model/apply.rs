//! The same operation on the kernel and on the model, and what each says to it.

use std::path::Path;

use replicator::model::Receiver;
use replicator::model::Refused;
use replicator::model::Stream;
use rustix::mount::MountFlags;
use rustix::mount::UnmountFlags;
use zfs_core::DatasetKind;
use zfs_core::PropertySet;
use zfs_core::name::DatasetName;
use zfs_core::name::SnapshotName;
use zfs_core::receive::ReceiveRequest;
use zfs_core::send::IncrementalSource;
use zfs_core::send::SendFlags;
use zfs_core::send::SendRequest;
use zfs_core::snapshot::WhenInUse;
use zfs_core::token::ResumeToken;

use super::Outcome;
use super::Sequence;
use super::op::How;
use super::op::Op;
use crate::expect::inner;
use crate::pool::Pool;
use crate::pool::tag;
use crate::pool::write_noise;
use crate::receive::receive;

impl<'p> Sequence<'p> {
    fn pool_of(&self, name: &str) -> &'p Pool {
        self.pools.into_iter().find(|pool| pool.root().as_str() == name).expect("one of the pools")
    }

    pub(super) fn apply(&mut self, op: &Op) -> (Outcome, Outcome) {
        let zfs = &self.pools[0].zfs;
        let none = PropertySet::new();
        let model = &mut self.model;
        match op {
            Op::Create(name, DatasetKind::Filesystem) => {
                let real = zfs.create_filesystem(name, &none);
                (kind(real), refused(model.create(name, DatasetKind::Filesystem, &[])))
            }
            Op::Create(name, DatasetKind::Volume) => {
                let real = zfs.create_volume(name, 1 << 20, &none);
                (kind(real), refused(model.create(name, DatasetKind::Volume, &[])))
            }
            Op::Write(name) => {
                self.written += 1;
                let (number, pool) = (self.written, self.pool_of(name.pool()));
                mounted(pool, name, self.seed, |folder| {
                    let file = folder.join(format!("f{}", number % 3));
                    write_noise(&file, 100_000, self.seed ^ (number << 32));
                });
                self.model.write(name, number % 3, number);
                (Ok(()), Ok(()))
            }
            Op::Set(name, value) => {
                let real = zfs.set_properties(name, &PropertySet::new().text("org.x:p", value));
                let set = [("org.x:p".to_string(), (*value).to_string())];
                (kind(real), refused(model.set_properties(name, &set)))
            }
            Op::Inherit(name) => (
                kind(zfs.inherit_property(name, "org.x:p")),
                refused(model.inherit_property(name, "org.x:p")),
            ),
            Op::Rename(from, to) => (kind(zfs.rename(from, to)), refused(model.rename(from, to))),
            Op::Destroy(name) => (kind(zfs.destroy(name)), refused(model.destroy(name))),
            Op::Clone(snapshot, name) => {
                let real = zfs.clone_snapshot(snapshot, name, &none);
                (kind(real), refused(model.clone_snapshot(snapshot, name, &[])))
            }
            Op::Promote(name) => (kind(zfs.promote(name)), refused(model.promote(name))),
            Op::Snapshot(names) => (kind(zfs.snapshot(names, &none)), refused(model.snapshot(names))),
            Op::DestroySnapshot(name) => {
                let outcome = zfs.destroy_snapshots(std::slice::from_ref(name), WhenInUse::Keep);
                let real = match outcome {
                    Ok(outcome) => outcome.failed.first().map_or(Ok(()), |failed| Err(failed.kind)),
                    Err(error) => Err(error.kind()),
                };
                (real, refused(model.destroy_snapshot(name)))
            }
            Op::RenameSnapshot(from, to) => {
                (kind(zfs.rename_snapshot(from, to)), refused(model.rename_snapshot(from, to)))
            }
            Op::Rollback(to) => (kind(zfs.rollback(to)), refused(model.rollback(to))),
            Op::Hold(name, text) => {
                (kind(zfs.hold(&[(name.clone(), tag(text))])), refused(model.hold(name, text)))
            }
            Op::Release(name, text) => {
                (kind(zfs.release(&[(name.clone(), tag(text))])), refused(model.release(name, text)))
            }
            Op::Bookmark(name, source) => {
                let pair = [(name.clone(), source.clone())];
                (kind(zfs.bookmark(&pair)), refused(model.bookmark(&pair)))
            }
            Op::DestroyBookmark(name) => {
                let real = zfs.destroy_bookmarks(std::slice::from_ref(name));
                model.destroy_bookmarks(std::slice::from_ref(name));
                (kind(real), Ok(()))
            }
            Op::Abort(name) => {
                let (real, model) = (zfs.abort_receive(name), model.abort_receive(name));
                if let (Ok(real), Ok(model)) = (&real, &model) {
                    assert_eq!(real, model, "whether there was something to abort\n{}", self.log);
                }
                (kind(real), refused(model))
            }
            Op::Send { to, from, into, origin, how } => {
                let real = self.send_real(to, from.as_ref(), into, origin.as_ref(), *how);
                (real, self.send_model(to, from.as_ref(), into, origin.as_ref(), *how))
            }
        }
    }

    fn send_real(
        &self,
        to: &SnapshotName,
        from: Option<&IncrementalSource>,
        into: &SnapshotName,
        origin: Option<&SnapshotName>,
        how: How,
    ) -> Outcome {
        use std::io::Read;
        let pool = self.pools[0];
        let mut request = match from {
            None => SendRequest::full(to.clone()),
            Some(from) => SendRequest::incremental(from.clone(), to.clone()),
        };
        request = request.flags(SendFlags::COMPRESSED);
        if matches!(how, How::Resumed | How::ResumedAndCut) {
            let found = pool.zfs.dataset(into.dataset()).expect("there");
            let token = found.receive_resume_token().expect("a token").parse::<ResumeToken>().expect("read");
            request = request.resume(&token);
        }
        let mut bytes = Vec::new();
        let mut stream = pool.zfs.send(&request).expect("a pipe");
        if let Err(error) = stream.read_to_end(&mut bytes) {
            return Err(inner(&error).kind());
        }
        stream.finish().map_err(|error| error.kind())?;
        if matches!(how, How::Cut | How::ResumedAndCut) {
            bytes.truncate(bytes.len() - 200);
        }
        let mut request = ReceiveRequest::new(into.clone());
        if let Some(origin) = origin {
            request = request.origin(origin.clone());
        }
        kind(receive(pool, request, &bytes))
    }

    fn send_model(
        &mut self,
        to: &SnapshotName,
        from: Option<&IncrementalSource>,
        into: &SnapshotName,
        origin: Option<&SnapshotName>,
        how: How,
    ) -> Outcome {
        let resumed = matches!(how, How::Resumed | How::ResumedAndCut);
        let token = self.model.token(into.dataset()).filter(|_| resumed);
        let resume = token.map(|token| token.parse().expect("a token"));
        let stream = Stream { to: to.clone(), from: from.cloned(), raw: false, resume };
        let mut bytes = self.model.send(&stream).map_err(|refused| refused.kind)?;
        if matches!(how, How::Cut | How::ResumedAndCut) {
            bytes.truncate(bytes.len() - 200);
        }
        let mut receiver = Receiver::new(into.clone(), origin.cloned(), Vec::new());
        let written = receiver.write(&mut self.model, &bytes);
        refused(written.and_then(|()| receiver.finish(&mut self.model)))
    }
}

/// Does something in a mounted filesystem. The commands for it would take most of the time of all of this.
fn mounted(pool: &Pool, name: &DatasetName, seed: u64, what: impl FnOnce(&Path)) {
    let folder = pool.mounts().with_file_name(format!("here-{seed}"));
    std::fs::create_dir_all(&folder).expect("a folder");
    rustix::mount::mount(name.as_str(), &folder, "zfs", MountFlags::empty(), None).expect("mount");
    what(&folder);
    rustix::mount::unmount(&folder, UnmountFlags::empty()).expect("unmount");
}

fn kind<T>(result: Result<T, zfs_core::Error>) -> Outcome {
    result.map(drop).map_err(|error| error.kind())
}

fn refused<T>(result: Result<T, Refused>) -> Outcome {
    result.map(drop).map_err(|refused| refused.kind)
}
