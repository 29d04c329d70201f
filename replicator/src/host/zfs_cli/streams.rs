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
    arguments.extend(["-L", "-c"].map(str::to_string));
    if spec.raw {
        arguments.push("-w".to_string());
    }
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

pub(super) struct CliIncoming<'a> {
    pub(super) process: Box<dyn Process + 'a>,
    pub(super) host: String,
    pub(super) subject: String,
}

impl Incoming for CliIncoming<'_> {
    fn write(&mut self, block: &Bytes) -> Result<(), HostError> {
        Ok(self.process.write(block)?)
    }

    fn idle(&mut self) -> Result<bool, HostError> {
        Ok(self.process.idle()?)
    }

    fn finish(self: Box<Self>) -> Result<(), HostError> {
        let exit = self.process.finish(&mut |_| Ok(()))?;
        check(&self.host, "receive into", &self.subject, &exit)
    }
}
