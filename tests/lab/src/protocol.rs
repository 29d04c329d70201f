//! The frames between the host and the agent in a node: length, kind, number of the command, payload. Both
//! ends are this crate in the same version, so the format has no history; it is read defensively all the
//! same, because a kernel's panic may print into it.

use std::io::{self, Read, Write};
use std::time::Duration;

/// Says that both ends are the same program; raised with every change of the format.
pub(crate) const VERSION: u32 = 1;

/// The largest payload either end sends.
pub(crate) const MAX_PAYLOAD: usize = 256 * 1024;

/// Bytes of standard input a command may have unread in the agent.
pub(crate) const STDIN_WINDOW: usize = 512 * 1024;

/// Bytes that may be on their way to the agent. The console's input holds 4 KiB before it stops its device,
/// and a channel to which that happened often was seen to hang for good (7.2, two processors); so it never
/// comes to that.
pub(crate) const CHANNEL_WINDOW: usize = 2048;

/// Larger frames to the agent go through a file, and only its number through the channel.
pub(crate) const DIRECT: usize = 512;

/// The folder of those files in the node's folder.
pub(crate) const FILES: &str = "in";

/// Bytes of output of a command the host may have unread; a command whose output nobody reads waits, like at
/// the end of a pipe.
pub(crate) const OUTPUT_WINDOW: usize = 2 << 20;

/// One message. The number names the command it belongs to; the host chooses it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Frame {
    /// Agent: the node is ready.
    Hello { version: u32, boot: Duration },
    /// Host: start a command.
    Exec(u32, Exec),
    /// Agent: it could not be started.
    Refused(u32, String),
    /// Host: bytes for its standard input.
    Stdin(u32, Vec<u8>),
    /// Host: its standard input ends here.
    StdinEnd(u32),
    /// Agent: so many bytes of standard input were taken (or thrown away, once the command closed it).
    StdinTaken(u32, u32),
    /// Host: a signal for it and its descendants.
    Signal(u32, i32),
    /// Host: the size of its terminal.
    Resize(u32, u16, u16),
    /// Agent: output.
    Stdout(u32, Vec<u8>),
    /// Agent: complaints.
    Stderr(u32, Vec<u8>),
    /// Host: so many bytes of output were read.
    OutputTaken(u32, u32),
    /// Agent: it ended, all output was sent. Code, or the negative number of the signal.
    Exit(u32, i32),
    /// Host: set the node's clock (seconds and nanoseconds since 1970).
    SetTime(u32, i64, u32),
    /// Host: sync and power off.
    PowerOff,
    /// Host: a frame is in the file of this number.
    File(u32),
    /// Agent: so many bytes of the channel were read.
    Got(u32),
}

/// A command to start.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Exec {
    pub(crate) argv: Vec<Vec<u8>>,
    pub(crate) env: Vec<(Vec<u8>, Vec<u8>)>,
    pub(crate) cwd: Vec<u8>,
    /// Rows and columns, when it wants a terminal; its output is then all standard output.
    pub(crate) tty: Option<(u16, u16)>,
}

impl Frame {
    /// Writes one frame with a single write.
    pub(crate) fn write(&self, to: &mut impl Write) -> io::Result<()> {
        to.write_all(&self.encode()?)
    }

    /// The frame's bytes, its length first.
    pub(crate) fn encode(&self) -> io::Result<Vec<u8>> {
        let mut out = Builder(vec![0; 4]);
        match self {
            Self::Hello { version, boot } => out.u8(0).u32(0).u32(*version).u64(boot.as_micros() as u64),
            Self::Exec(id, exec) => {
                out.u8(1).u32(*id).u32(exec.argv.len() as u32);
                for arg in &exec.argv {
                    out.bytes(arg);
                }
                out.u32(exec.env.len() as u32);
                for (name, value) in &exec.env {
                    out.bytes(name).bytes(value);
                }
                let (rows, columns) = exec.tty.unwrap_or_default();
                out.bytes(&exec.cwd).u8(exec.tty.is_some().into()).u32(rows.into()).u32(columns.into())
            }
            Self::Refused(id, why) => out.u8(2).u32(*id).bytes(why.as_bytes()),
            Self::Stdin(id, data) => out.u8(3).u32(*id).bytes(data),
            Self::StdinEnd(id) => out.u8(4).u32(*id),
            Self::StdinTaken(id, n) => out.u8(5).u32(*id).u32(*n),
            Self::Signal(id, signal) => out.u8(6).u32(*id).u32(*signal as u32),
            Self::Resize(id, rows, columns) => out.u8(7).u32(*id).u32((*rows).into()).u32((*columns).into()),
            Self::Stdout(id, data) => out.u8(8).u32(*id).bytes(data),
            Self::Stderr(id, data) => out.u8(9).u32(*id).bytes(data),
            Self::Exit(id, code) => out.u8(10).u32(*id).u32(*code as u32),
            Self::SetTime(id, seconds, nanos) => out.u8(11).u32(*id).u64(*seconds as u64).u32(*nanos),
            Self::PowerOff => out.u8(12).u32(0),
            Self::OutputTaken(id, n) => out.u8(13).u32(*id).u32(*n),
            Self::File(number) => out.u8(14).u32(*number),
            Self::Got(bytes) => out.u8(15).u32(*bytes),
        };
        let mut bytes = out.0;
        let length = bytes.len() - 4;
        if length > MAX_PAYLOAD {
            return Err(invalid(format!("a frame of {length} bytes is larger than {MAX_PAYLOAD}")));
        }
        bytes[..4].copy_from_slice(&(length as u32).to_be_bytes());
        Ok(bytes)
    }

    /// Reads one frame; `UnexpectedEof` when the other end is gone.
    pub(crate) fn read(from: &mut impl Read) -> io::Result<Self> {
        Self::read_sized(from).map(|(frame, _)| frame)
    }

    /// The same, with the number of bytes it took.
    pub(crate) fn read_sized(from: &mut impl Read) -> io::Result<(Self, usize)> {
        let mut head = [0; 4];
        from.read_exact(&mut head)?;
        let length = u32::from_be_bytes(head) as usize;
        if length > MAX_PAYLOAD {
            return Err(invalid(format!(
                "a frame claims {length} bytes: something else wrote into the channel"
            )));
        }
        let mut bytes = vec![0; length];
        from.read_exact(&mut bytes)?;
        Ok((Self::decode(&bytes)?, 4 + length))
    }

    fn decode(bytes: &[u8]) -> io::Result<Self> {
        let mut r = Reader(bytes);
        let kind = r.u8()?;
        let id = r.u32()?;
        let frame = match kind {
            0 => Self::Hello { version: r.u32()?, boot: Duration::from_micros(r.u64()?) },
            1 => {
                let mut exec = Exec::default();
                for _ in 0..r.u32()? {
                    exec.argv.push(r.bytes()?);
                }
                for _ in 0..r.u32()? {
                    exec.env.push((r.bytes()?, r.bytes()?));
                }
                exec.cwd = r.bytes()?;
                let (tty, rows, columns) = (r.u8()? != 0, r.u32()? as u16, r.u32()? as u16);
                exec.tty = tty.then_some((rows, columns));
                Self::Exec(id, exec)
            }
            2 => Self::Refused(id, String::from_utf8_lossy(&r.bytes()?).into_owned()),
            3 => Self::Stdin(id, r.bytes()?),
            4 => Self::StdinEnd(id),
            5 => Self::StdinTaken(id, r.u32()?),
            6 => Self::Signal(id, r.u32()? as i32),
            7 => Self::Resize(id, r.u32()? as u16, r.u32()? as u16),
            8 => Self::Stdout(id, r.bytes()?),
            9 => Self::Stderr(id, r.bytes()?),
            10 => Self::Exit(id, r.u32()? as i32),
            11 => Self::SetTime(id, r.u64()? as i64, r.u32()?),
            12 => Self::PowerOff,
            13 => Self::OutputTaken(id, r.u32()?),
            14 => Self::File(id),
            15 => Self::Got(id),
            other => return Err(invalid(format!("a frame of unknown kind {other}"))),
        };
        if r.0.is_empty() { Ok(frame) } else { Err(invalid("a frame with bytes left over".into())) }
    }
}

struct Builder(Vec<u8>);

impl Builder {
    fn u8(&mut self, v: u8) -> &mut Self {
        self.0.push(v);
        self
    }
    fn u32(&mut self, v: u32) -> &mut Self {
        self.0.extend(v.to_be_bytes());
        self
    }
    fn u64(&mut self, v: u64) -> &mut Self {
        self.0.extend(v.to_be_bytes());
        self
    }
    fn bytes(&mut self, v: &[u8]) -> &mut Self {
        self.u32(v.len() as u32).0.extend(v);
        self
    }
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take(&mut self, n: usize) -> io::Result<&[u8]> {
        let Some((head, tail)) = self.0.split_at_checked(n) else {
            return Err(invalid("a frame ends early".into()));
        };
        self.0 = tail;
        Ok(head)
    }
    fn u8(&mut self) -> io::Result<u8> {
        Ok(self.take(1)?[0])
    }
    fn u32(&mut self) -> io::Result<u32> {
        Ok(self.take(4)?.iter().fold(0, |v, b| v << 8 | u32::from(*b)))
    }
    fn u64(&mut self) -> io::Result<u64> {
        Ok(u64::from(self.u32()?) << 32 | u64::from(self.u32()?))
    }
    fn bytes(&mut self) -> io::Result<Vec<u8>> {
        let n = self.u32()? as usize;
        Ok(self.take(n)?.to_vec())
    }
}

fn invalid(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_frame_survives_the_way() {
        let exec = Exec {
            argv: vec![b"zfs".to_vec(), vec![0xff, b'\n'], vec![]],
            env: vec![(b"A".to_vec(), b"b c".to_vec())],
            cwd: b"/tmp".to_vec(),
            tty: Some((24, 80)),
        };
        let frames = [
            Frame::Hello { version: 7, boot: Duration::from_micros(12) },
            Frame::Exec(1, exec),
            Frame::Refused(2, "no such file".into()),
            Frame::Stdin(3, vec![0; 70_000]),
            Frame::StdinEnd(3),
            Frame::StdinTaken(3, 5),
            Frame::Signal(4, 9),
            Frame::Resize(4, 1, 2),
            Frame::Stdout(5, vec![1, 2]),
            Frame::Stderr(5, vec![]),
            Frame::OutputTaken(5, 2),
            Frame::Exit(5, -9),
            Frame::SetTime(6, -1, 5),
            Frame::PowerOff,
            Frame::File(9),
            Frame::Got(17),
        ];
        let mut wire = Vec::new();
        for frame in &frames {
            frame.write(&mut wire).unwrap();
        }
        let mut from = wire.as_slice();
        for frame in &frames {
            assert_eq!(&Frame::read(&mut from).unwrap(), frame);
        }
        assert_eq!(Frame::read(&mut from).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn foreign_text_and_cut_frames_are_errors() {
        assert!(Frame::read(&mut b"Kernel panic - not syncing".as_slice()).is_err());
        for length in 0..5 {
            assert!(Frame::decode(&vec![1; length]).is_err());
        }
        assert!(Frame::decode(&[4, 0, 0, 0, 1, 9]).is_err());
        assert!(Frame::Stdin(1, vec![0; MAX_PAYLOAD]).write(&mut Vec::new()).is_err());
    }
}
