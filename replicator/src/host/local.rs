//! This machine, through its kernel. Starts no process.

use std::io::Read;
use std::io::Write;

use bytes::Bytes;
use bytes::BytesMut;
use zfs_core::Guid;
use zfs_core::PropertySet;
use zfs_core::Zfs;
use zfs_core::name::DatasetName;
use zfs_core::name::SnapshotName;
use zfs_core::receive::ReceiveRequest;
use zfs_core::receive::Receiver;
use zfs_core::send::SendFlags;
use zfs_core::send::SendRequest;
use zfs_core::send::SendStream;
use zfs_core::token::Limits;
use zfs_core::token::ResumeToken;

use super::Base;
use super::Bookmark;
use super::DatasetState;
use super::Host;
use super::HostError;
use super::Incoming;
use super::Inventory;
use super::Next;
use super::Outgoing;
use super::ReceiveSpec;
use super::SendSpec;
use super::Snapshot;
use super::listing;

/// The datasets of this machine.
pub struct Local {
    zfs: Zfs,
}

impl Local {
    /// With an open handle.
    #[must_use]
    pub fn new(zfs: Zfs) -> Self {
        Self { zfs }
    }

    /// The nearest ancestor that exists. The kernel said "no such dataset" for `dataset` itself.
    fn absent(&self, dataset: &DatasetName) -> Result<Inventory, HostError> {
        let mut ancestor = dataset.parent();
        let mut parent_exists = true;
        while let Some(name) = ancestor {
            if self.zfs.find_dataset(&name)?.is_some() {
                return Ok(Inventory::Absent { ancestor: name, parent_exists });
            }
            parent_exists = false;
            ancestor = name.parent();
        }
        Err(HostError::NoPool {
            host: self.label().to_string(),
            pool: dataset.pool().to_string(),
            dataset: dataset.to_string(),
        })
    }

    fn request(spec: &SendSpec) -> SendRequest {
        let flags = if spec.raw { SendFlags::RAW } else { SendFlags::COMPRESSED };
        let to = spec.to.name.clone();
        let request = match &spec.from {
            None => SendRequest::full(to),
            Some(Base::Snapshot(from, _)) => SendRequest::incremental(from.clone(), to),
            Some(Base::Bookmark(from, _)) => SendRequest::incremental(from.clone(), to),
        };
        let token = spec
            .resume
            .as_ref()
            .and_then(|partial| ResumeToken::parse(&partial.token, &Limits::default()).ok());
        let request = request.flags(flags);
        match token {
            // The planner compared the token with the stream; only the position is taken from it.
            Some(token) => request.resume(&token),
            None => request,
        }
    }
}

impl Host for Local {
    fn label(&self) -> &str {
        "this machine"
    }

    fn inventory(&mut self, name: &DatasetName) -> Result<Inventory, HostError> {
        let Some(dataset) = self.zfs.find_dataset(name)? else { return self.absent(name) };
        let mut snapshots = Vec::new();
        for snapshot in self.zfs.snapshots(name)? {
            let snapshot = snapshot?;
            let zfs_core::Snapshot { name, guid, createtxg, .. } = snapshot;
            snapshots.push(Snapshot { name, guid, createtxg });
        }
        snapshots.sort_by_key(|snapshot| snapshot.createtxg);
        let bookmarks = self.zfs.bookmarks(name)?;
        let mut bookmarks: Vec<_> = bookmarks
            .into_iter()
            .map(|bookmark| Bookmark {
                name: bookmark.name,
                guid: bookmark.guid,
                createtxg: bookmark.createtxg,
            })
            .collect();
        bookmarks.sort_by_key(|bookmark| bookmark.createtxg);
        let Some(written) = dataset.properties.number("written") else {
            // Read as 0 it would say "unchanged since the newest snapshot", which nobody knows.
            return Err(HostError::BadAnswer {
                host: self.label().to_string(),
                operation: "the question for its properties",
                why: format!("{name} has no property `written`"),
            });
        };
        Ok(Inventory::Present(DatasetState {
            name: name.clone(),
            kind: dataset.kind,
            guid: dataset.guid,
            encrypted: dataset.is_encrypted(),
            written,
            partial: dataset.receive_resume_token().and_then(listing::partial),
            snapshots,
            bookmarks,
        }))
    }

    fn snapshot_guid(&mut self, snapshot: &SnapshotName) -> Result<Option<Guid>, HostError> {
        Ok(self.zfs.find_snapshot(snapshot)?.map(|found| found.guid))
    }

    fn estimate(&mut self, streams: &[SendSpec]) -> Result<Vec<Option<u64>>, HostError> {
        // An estimate that cannot be had is no reason not to send.
        Ok(streams.iter().map(|spec| self.zfs.estimate_send(&Self::request(spec)).ok()).collect())
    }

    fn send<'a>(&'a mut self, spec: &SendSpec) -> Result<Box<dyn Outgoing + 'a>, HostError> {
        Ok(Box::new(LocalOutgoing { stream: self.zfs.send(&Self::request(spec))? }))
    }

    fn receive<'a>(&'a mut self, spec: &ReceiveSpec) -> Result<Box<dyn Incoming + 'a>, HostError> {
        let mut request = ReceiveRequest::new(spec.to.clone());
        if !spec.set.is_empty() {
            let properties =
                spec.set.iter().fold(PropertySet::new(), |set, (name, value)| set.text(name, value));
            request = request.set(&properties);
        }
        Ok(Box::new(LocalIncoming { receiver: self.zfs.receive(request) }))
    }

    fn discard_partial(&mut self, dataset: &DatasetName) -> Result<(), HostError> {
        self.zfs.abort_receive(dataset)?;
        Ok(())
    }
}

/// The typed error inside an I/O error, where there is one.
fn unwrap(error: std::io::Error, doing: &'static str) -> HostError {
    match error.downcast::<zfs_core::Error>() {
        Ok(error) => HostError::Zfs(error),
        Err(error) => crate::transport::TransportError::Local {
            what: format!("cannot {doing}"),
            cause: error.to_string(),
        }
        .into(),
    }
}

struct LocalOutgoing {
    stream: SendStream,
}

impl Outgoing for LocalOutgoing {
    fn next(&mut self, limit: usize) -> Result<Next, HostError> {
        // A read gives at most what is in the pipe; a block is what a few of them bring.
        let mut block = BytesMut::zeroed(limit);
        let mut filled = 0;
        while filled < limit {
            match self.stream.read(&mut block[filled..]) {
                Ok(0) => break,
                Ok(n) => filled += n,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(unwrap(error, "read the stream")),
            }
        }
        block.truncate(filled);
        Ok(if filled == 0 { Next::End } else { Next::Block(block.freeze()) })
    }

    fn idle(&mut self) -> Result<(), HostError> {
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<(), HostError> {
        self.stream.finish()?;
        Ok(())
    }
}

struct LocalIncoming {
    receiver: Receiver,
}

impl Incoming for LocalIncoming {
    fn write(&mut self, block: &Bytes) -> Result<(), HostError> {
        self.receiver.write_all(block).map_err(|error| unwrap(error, "write the stream"))
    }

    fn idle(&mut self) -> Result<bool, HostError> {
        Ok(false)
    }

    fn finish(self: Box<Self>) -> Result<(), HostError> {
        self.receiver.finish()?;
        Ok(())
    }
}
