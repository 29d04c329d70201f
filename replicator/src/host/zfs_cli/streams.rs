//! Streams from and to the `zfs` command of another machine.

use super::check;
use crate::host::Base;
use crate::host::HostError;
use crate::host::Incoming;
use crate::host::Next;
use crate::host::Outgoing;
use crate::host::SendSpec;
use crate::transport::Process;
use bytes::Bytes;
use bytes::BytesMut;
use zfs_core::Guid;
use zfs_core::name::SnapshotName;
use zfs_core::send::SendFlags;

/// The arguments of `zfs send` for a stream.
pub(super) fn send_arguments(spec: &SendSpec, dry: bool) -> Vec<String> {
    let mut arguments = vec!["send".to_string()];
    if dry {
        arguments.push("-nvP".to_string());
    }
    if let Some(partial) = &spec.resume {
        // The planner compared the token with the stream; it carries the flags of the stream itself.
        arguments.extend(["-t".to_string(), partial.token.clone()]);
        return arguments;
    }
    // The same flags as the native sender: a chain must be sent with large blocks always or never (openzfs #6224).
    let ours = SendFlags { raw: spec.raw, embedded: false, ..SendFlags::COMPRESSED };
    let flags = spec.flags.unwrap_or(ours);
    let words =
        [(flags.large_blocks, "-L"), (flags.compressed, "-c"), (flags.embedded, "-e"), (flags.raw, "-w")];
    arguments.extend(words.iter().filter(|(set, _)| *set).map(|(_, word)| (*word).to_string()));
    if let Some(from) = &spec.from {
        let name = match from {
            Base::Snapshot(name, _) => name.as_str(),
            Base::Bookmark(name, _) => name.as_str(),
        };
        arguments.extend(["-i".to_string(), name.to_string()]);
    }
    arguments.push(spec.to.name.to_string());
    arguments
}

pub(super) struct CliOutgoing<'a> {
    pub(super) process: Box<dyn Process + 'a>,
    pub(super) host: String,
    pub(super) subject: String,
}

impl Outgoing for CliOutgoing<'_> {
    fn next(&mut self, limit: usize) -> Result<Next, HostError> {
        let mut block = BytesMut::zeroed(limit);
        let mut filled = 0;
        while filled < limit {
            match self.process.read(&mut block[filled..])? {
                Some(0) if filled == 0 => return Ok(Next::End),
                Some(0) | None => break,
                Some(n) => filled += n,
            }
        }
        block.truncate(filled);
        Ok(if filled == 0 { Next::Nothing } else { Next::Block(block.freeze()) })
    }

    fn idle(&mut self) -> Result<(), HostError> {
        self.process.idle()?;
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<(), HostError> {
        let exit = self.process.finish(&mut |_| Ok(()))?;
        check(&self.host, "send", &self.subject, &exit)
    }
}

/// The arguments of `zfs` for the GUID of one dataset or snapshot, as `<name>\t<guid>`.
pub(super) fn guid_arguments<'n>(kind: &'n str, name: &'n str) -> [&'n str; 7] {
    ["list", "-Hp", "-t", kind, "-o", "name,guid", name]
}

/// The most that is looked at of what a receive says: a name, a number, and what a login shell may print.
const SAID: usize = 64 * 1024;

pub(super) struct CliIncoming<'a> {
    pub(super) process: Box<dyn Process + 'a>,
    pub(super) host: String,
    pub(super) to: SnapshotName,
    /// Where the GUID goes that was read back.
    pub(super) read_back: &'a mut Option<(SnapshotName, Guid)>,
}

impl Incoming for CliIncoming<'_> {
    fn write(&mut self, block: &Bytes) -> Result<(), HostError> {
        Ok(self.process.write(block)?)
    }

    fn idle(&mut self) -> Result<bool, HostError> {
        Ok(self.process.idle()?)
    }

    fn finish(self: Box<Self>) -> Result<(), HostError> {
        let mut said = Vec::new();
        let exit = self.process.finish(&mut |bytes| {
            said.extend_from_slice(&bytes[..bytes.len().min(SAID - said.len())]);
            Ok(())
        })?;
        check(&self.host, "receive into", self.to.as_str(), &exit)?;
        // Without it, it is asked for as any other.
        *self.read_back = guid_of(&said, &self.to).map(|guid| (self.to.clone(), guid));
        Ok(())
    }
}

/// The GUID of a snapshot in what was said, if it is there once.
fn guid_of(said: &[u8], name: &SnapshotName) -> Option<Guid> {
    let text = std::str::from_utf8(said).ok()?;
    let mut found =
        text.lines().filter_map(|line| line.split_once('\t')).filter(|(one, _)| *one == name.as_str());
    let (_, guid) = found.next()?;
    if found.next().is_some() { None } else { guid.parse().ok().map(Guid) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guid_that_is_read_back_is_that_of_the_snapshot_or_none() {
        let name: SnapshotName = "back/a b@s 1".parse().expect("a name");
        let read = |said: &str| guid_of(said.as_bytes(), &name);
        assert_eq!(read("back/a b@s 1\t18446744073709551615\n"), Some(Guid(u64::MAX)));
        assert_eq!(read("Welcome\tto it\nback/a b@s 1\t7\n"), Some(Guid(7)));
        let twice = "back/a b@s 1\t7\nback/a b@s 1\t7\n";
        for said in ["", "back/a b@s 1\n", "back/a b@s 1\t\n", "back/a b@s 1\tx", "back/a b@s 2\t7\n", twice]
        {
            assert_eq!(read(said), None, "{said:?}");
        }
        assert_eq!(guid_of(b"\xff\nback/a b@s 1\t7\n", &name), None);
    }
}
