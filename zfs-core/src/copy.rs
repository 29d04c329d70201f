//! From a send to a receive on this machine without copying: pages move from one pipe to the other with splice(2).

use std::io::{self, Read, Write};

use rustix::event::PollFlags;
use rustix::io::Errno;
use rustix::pipe::{SpliceFlags, splice};

use crate::ffi::BEGIN_BYTES;
use crate::pipe;
use crate::receive::Receiver;
use crate::send::SendStream;

/// One turn moves at most what fits into a pipe.
const CHUNK: usize = 1 << 20;

/// Moves the whole of a stream into a receiver, and calls `progress` with the number of bytes so far after each step.
/// When it returns false, the transfer stops with an error of kind [`io::ErrorKind::Interrupted`]; the receiver then
/// holds a resumable part.
///
/// Finish the receiver afterwards: only then is the snapshot committed and checked.
pub fn stream_to_receiver(
    stream: &mut SendStream,
    receiver: &mut Receiver,
    mut progress: impl FnMut(u64) -> bool,
) -> io::Result<u64> {
    let mut begin = [0; BEGIN_BYTES];
    stream.read_exact(&mut begin).map_err(|error| match stream.outcome() {
        Err(reason) => reason,
        Ok(()) => error,
    })?;
    receiver.write_all(&begin)?;
    loop {
        if !progress(stream.bytes_read()) {
            return Err(io::Error::new(io::ErrorKind::Interrupted, "the transfer was cancelled"));
        }
        let (Some(from), Some(to)) = (stream.pipe(), receiver.pipe()) else {
            return stream.outcome().map(|()| stream.bytes_read());
        };
        match splice(from, None, to, None, CHUNK, SpliceFlags::MOVE) {
            Ok(0) => {
                stream.outcome()?;
                return Ok(stream.bytes_read());
            }
            Ok(count) => {
                stream.moved(count);
                receiver.moved(count);
            }
            Err(Errno::INTR) => {}
            // The receiving end never waits by itself, and then splice does not for either.
            Err(Errno::AGAIN) => {
                pipe::wait(from, PollFlags::IN, None)?;
                pipe::wait(to, PollFlags::OUT, None)?;
            }
            // The receiving kernel closes its end when it has read the last record, which may be before this side sees
            // the end of the stream; splice looks at the reader first.
            Err(Errno::PIPE) if stream.at_end()? => return Ok(stream.bytes_read()),
            Err(error) => return Err(receiver.reason(error.into())),
        }
    }
}
