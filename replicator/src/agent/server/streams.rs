//! The two requests that carry a stream.

use super::Server;
use super::claimed;
use super::trouble::Trouble;
use super::trouble::protocol;
use crate::agent::answer::Part;
use crate::agent::codec::Compress;
use crate::agent::codec::Decompress;
use crate::agent::fault::Fault;
use crate::agent::frame::DATA_LIMIT;
use crate::agent::frame::Kind;
use crate::agent::message::ReceiveRequest;
use crate::agent::pass::Pass;
use crate::host::HostError;
use crate::host::Next;
use crate::host::ReceiveSpec;
use crate::host::SendSpec;
use crate::pair::Refusal;
use crate::pair::fence::Asked;
use bytes::Buf;
use bytes::Bytes;
use std::io::Read;
use std::io::Write;
use std::os::fd::AsFd;
use std::time::Duration;
use std::time::Instant;
use zfs_core::ErrorKind;

/// Between two looks after a receive that no blocks come for.
const LOOK: Duration = Duration::from_secs(1);

impl<R: Read + AsFd, W: Write> Server<'_, R, W> {
    pub(super) fn send(&mut self, id: u32, spec: SendSpec) -> Result<(), Trouble> {
        let mut compress =
            if spec.compress { Some(Compress::new().map_err(|error| zstd(&error))?) } else { None };
        // It is done here, whatever the host can.
        let spec = SendSpec { compress: false, ..spec };
        let Self { input, output, host, .. } = self;
        let mut outgoing = host.send(&spec)?;
        let mut give = |piece: &[u8]| piece.chunks(DATA_LIMIT).try_for_each(|piece| output.data(id, piece));
        loop {
            match (outgoing.next(DATA_LIMIT)?, &mut compress) {
                (Next::End, _) => break,
                (Next::Nothing, None) => {}
                (Next::Nothing, Some(compress)) => compress.pause(&mut give)?,
                (Next::Block(block), None) => give(&block)?,
                (Next::Block(block), Some(compress)) => compress.block(&block, &mut give)?,
            }
            while let Some(frame) = input.within(Duration::ZERO)? {
                match frame.kind {
                    Kind::Cancel if frame.id == id => return Err(Fault::Cancelled.into()),
                    Kind::Cancel if frame.id < id => {}
                    kind => return Err(protocol(format!("{kind} while a stream is sent")).into()),
                }
            }
        }
        outgoing.finish()?;
        if let Some(compress) = &mut compress {
            compress.finish(&mut give)?;
        }
        Ok(())
    }

    pub(super) fn receive(&mut self, id: u32, mut request: ReceiveRequest) -> Result<(), Trouble> {
        let guid = zfs_core::Guid(request.guid);
        let claim = request.claim.take().map(claimed).transpose()?;
        let spec = request.spec();
        self.limits.receive(&spec)?;
        // From here until the receive has ended nobody promotes what it goes into.
        let admitted = self.admit(&Asked::receive(&spec), claim.as_ref())?;
        let mut decompress =
            if spec.compressed { Some(Decompress::new().map_err(|error| zstd(&error))?) } else { None };
        let subject = spec.to.to_string();
        let mut pass = Pass::new(subject.clone(), guid);
        let spec = ReceiveSpec { compressed: false, ..spec };
        let Self { input, output, host, .. } = self;
        let mut incoming = host.receive(&spec)?;
        output.part(id, &Part::Ready)?;
        let mut looked = Instant::now();
        loop {
            if looked.elapsed() >= LOOK / 2 {
                looked = Instant::now();
                if admitted.is_recalled()? {
                    // What arrived is kept until the promotion has looked at it.
                    drop(incoming);
                    return Err(promoting(&spec));
                }
            }
            let Some(frame) = input.within(LOOK)? else {
                if incoming.idle()? {
                    return Err(Trouble::last(reason(incoming.finish(), None)));
                }
                output.alive()?;
                continue;
            };
            match frame.kind {
                Kind::Data if frame.id == id => {
                    // What is refused never reaches the kernel, and the receive is not ended as if it were whole.
                    let mut take = |block: Bytes| -> Result<(), NotTaken> {
                        let Some(mut rest) = pass.block(block)? else { return Ok(()) };
                        while !rest.is_empty() {
                            let taken = incoming.offer(&rest);
                            let taken = taken.map_err(|error| NotTaken::Host(Box::new(error)))?;
                            rest.advance(taken);
                            // Also a kernel that takes nothing for long keeps nobody from being promoted.
                            if taken == 0 && looked.elapsed() >= LOOK / 2 {
                                looked = Instant::now();
                                let recalled = admitted.is_recalled();
                                if recalled.map_err(|error| NotTaken::Unknown(Box::new(error)))? {
                                    return Err(NotTaken::Recalled);
                                }
                            }
                        }
                        Ok(())
                    };
                    let taken = match &mut decompress {
                        None => take(frame.payload),
                        Some(decompress) => decompress.block(&frame.payload, &mut take),
                    };
                    match taken {
                        Ok(()) => {}
                        Err(NotTaken::Stream(fault)) => return Err(Trouble::Last(fault)),
                        Err(NotTaken::Zstd(error)) => {
                            let why = format!("zstd: {error}");
                            return Err(Trouble::last(Fault::stream(
                                &subject,
                                ErrorKind::StreamCorrupt,
                                why,
                            )));
                        }
                        Err(NotTaken::Host(error)) => {
                            return Err(Trouble::last(reason(incoming.finish(), Some(*error))));
                        }
                        Err(NotTaken::Unknown(error)) => return Err((*error).into()),
                        Err(NotTaken::Recalled) => {
                            drop(incoming);
                            return Err(promoting(&spec));
                        }
                    }
                }
                Kind::End if frame.id == id => break,
                Kind::Cancel if frame.id == id => {
                    // What arrived is kept, to go on from there.
                    drop(incoming);
                    return Err(Fault::Cancelled.into());
                }
                Kind::Cancel if frame.id < id => {}
                kind => return Err(protocol(format!("{kind} while a stream is received")).into()),
            }
        }
        pass.finish()?;
        if decompress.is_some_and(|decompress| !decompress.is_whole()) {
            return Err(
                Fault::stream(&subject, ErrorKind::StreamTruncated, "its compression is cut off").into()
            );
        }
        incoming.finish()?;
        Ok(admitted.done(*host)?)
    }
}

/// Why a block of a stream was not taken.
enum NotTaken {
    Stream(Box<Fault>),
    Zstd(std::io::Error),
    Host(Box<HostError>),
    /// Somebody is to be promoted, and waits for the receive to end.
    Recalled,
    /// Whether somebody waits could not be found out.
    Unknown(Box<HostError>),
}

impl From<Fault> for NotTaken {
    fn from(fault: Fault) -> Self {
        Self::Stream(Box::new(fault))
    }
}

impl From<std::io::Error> for NotTaken {
    fn from(error: std::io::Error) -> Self {
        Self::Zstd(error)
    }
}

fn zstd(error: &std::io::Error) -> Fault {
    Fault::Other { message: format!("cannot start zstd: {error}"), hint: None }
}

/// A receive that gives way to a promotion.
fn promoting(spec: &ReceiveSpec) -> Trouble {
    Trouble::last(Fault::from(&Refusal::Promoting(spec.to.dataset().clone())))
}

/// Why a receive ended by itself.
fn reason(finished: Result<(), HostError>, written: Option<HostError>) -> Fault {
    match (finished, written) {
        (Err(error), _) | (Ok(()), Some(error)) => error.into(),
        (Ok(()), None) => {
            Fault::Other { message: "the receive ended before its stream".to_string(), hint: None }
        }
    }
}
