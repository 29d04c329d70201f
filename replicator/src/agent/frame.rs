//! Frames: `length: u32, kind: u8, id: u32, payload`, numbers in network order, the length counting what follows it.
//! What a payload means is in [`super::message`].

use bytes::Buf;
use bytes::Bytes;
use bytes::BytesMut;

/// The largest payload of a control frame.
pub(crate) const CONTROL_LIMIT: usize = 1 << 20;

/// The largest payload of a data frame.
pub(crate) const DATA_LIMIT: usize = 1 << 20;

/// Kind and id.
const FIXED: usize = 5;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// The first frame of each side.
    Hello = 1,
    /// A question, with an id that is larger than all before.
    Request = 2,
    /// A piece of an answer.
    Part = 3,
    /// The end of an answer, and how it went. With id 0: the whole connection ends.
    Answer = 4,
    /// A block of a stream.
    Data = 5,
    /// The stream that the asking end sends is over.
    End = 6,
    /// The asking end gives the request up.
    Cancel = 7,
    /// The agent waits for the asking end. Where that is gone without a word, the connection tells.
    Alive = 8,
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Hello => "a greeting",
            Self::Request => "a request",
            Self::Part => "a piece of an answer",
            Self::Answer => "the end of an answer",
            Self::Data => "a block of a stream",
            Self::End => "the end of a stream",
            Self::Cancel => "a word that a request is given up",
            Self::Alive => "a sign of life",
        })
    }
}

impl Kind {
    /// The kind, and how long its payload may be.
    fn bounds(byte: u8) -> Option<(Self, std::ops::RangeInclusive<usize>)> {
        Some(match byte {
            1 => (Self::Hello, 2..=CONTROL_LIMIT),
            2 => (Self::Request, 2..=CONTROL_LIMIT),
            3 => (Self::Part, 2..=CONTROL_LIMIT),
            4 => (Self::Answer, 2..=CONTROL_LIMIT),
            5 => (Self::Data, 1..=DATA_LIMIT),
            6 => (Self::End, 0..=0),
            7 => (Self::Cancel, 0..=0),
            8 => (Self::Alive, 0..=0),
            _ => return None,
        })
    }
}

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) kind: Kind,
    pub(crate) id: u32,
    pub(crate) payload: Bytes,
}

/// What is not a frame.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FrameError {
    #[error("a frame of {length} bytes, where {FIXED} to {} are allowed", FIXED + CONTROL_LIMIT.max(DATA_LIMIT))]
    Length { length: usize },
    #[error("a frame of an unknown kind ({0})")]
    Kind(u8),
    #[error("a frame for {kind} with {length} bytes of payload")]
    Payload { kind: Kind, length: usize },
}

/// The bytes before the payload.
///
/// # Panics
/// Never: a payload that is too long is cut off by the bounds of those who call.
pub(crate) fn header(kind: Kind, id: u32, payload: usize) -> [u8; 4 + FIXED] {
    debug_assert!(payload <= CONTROL_LIMIT.max(DATA_LIMIT));
    let length = u32::try_from(FIXED + payload).unwrap_or(u32::MAX);
    let mut out = [0; 4 + FIXED];
    out[..4].copy_from_slice(&length.to_be_bytes());
    out[4] = kind as u8;
    out[5..].copy_from_slice(&id.to_be_bytes());
    out
}

/// A whole frame; none when the payload is longer than its kind allows.
pub(crate) fn whole(kind: Kind, id: u32, payload: &[u8]) -> Option<Bytes> {
    let (_, bounds) = Kind::bounds(kind as u8)?;
    if !bounds.contains(&payload.len()) {
        return None;
    }
    let mut out = BytesMut::with_capacity(4 + FIXED + payload.len());
    out.extend_from_slice(&header(kind, id, payload.len()));
    out.extend_from_slice(payload);
    Some(out.freeze())
}

/// Puts frames together from pieces. It keeps at most one frame and one piece, when each piece is followed by as many
/// [`Frames::next`] as give a frame.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    buffer: BytesMut,
}

impl Frames {
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Whether all that came was given out.
    pub(crate) fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    /// What waits, for messages.
    pub(crate) fn head(&self) -> &[u8] {
        &self.buffer[..self.buffer.len().min(200)]
    }

    /// The next frame, if it is whole. What is wrong with it is known from its first nine bytes: memory for a frame
    /// that is too long is never asked for.
    pub(crate) fn next(&mut self) -> Result<Option<Frame>, FrameError> {
        let Some(start) = self.buffer.first_chunk::<4>() else { return Ok(None) };
        let length = u32::from_be_bytes(*start) as usize;
        if !(FIXED..=FIXED + CONTROL_LIMIT.max(DATA_LIMIT)).contains(&length) {
            return Err(FrameError::Length { length });
        }
        let Some(byte) = self.buffer.get(4) else { return Ok(None) };
        let (kind, bounds) = Kind::bounds(*byte).ok_or(FrameError::Kind(*byte))?;
        if !bounds.contains(&(length - FIXED)) {
            return Err(FrameError::Payload { kind, length: length - FIXED });
        }
        if self.buffer.len() < 4 + length {
            return Ok(None);
        }
        let mut frame = self.buffer.split_to(4 + length);
        frame.advance(FIXED);
        let id = frame.get_u32();
        Ok(Some(Frame { kind, id, payload: frame.freeze() }))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(bytes: &[u8]) -> Result<Option<Frame>, FrameError> {
        let mut frames = Frames::default();
        frames.push(bytes);
        frames.next()
    }

    #[test]
    fn lengths_and_kinds_have_bounds() {
        for length in [0, 1, 2, 3, 4, (FIXED + CONTROL_LIMIT + 1) as u32, u32::MAX] {
            let error = read(&length.to_be_bytes()).expect_err("a bad length");
            assert_eq!(error, FrameError::Length { length: length as usize });
        }
        for kind in [0, 9, 255] {
            let error = read(&[0, 0, 0, 7, kind]).expect_err("a bad kind");
            assert_eq!(error, FrameError::Kind(kind));
        }
        // An empty block says nothing, an end says no more than that.
        assert!(read(&header(Kind::Data, 1, 0)).is_err());
        assert!(read(&header(Kind::End, 1, 1)).is_err());
        assert!(read(&header(Kind::Cancel, 1, 4)).is_err());
        assert!(read(&header(Kind::Request, 1, 1)).is_err());
        assert!(whole(Kind::Request, 1, &vec![b' '; CONTROL_LIMIT]).is_some());
        assert!(whole(Kind::Request, 1, &vec![b' '; CONTROL_LIMIT + 1]).is_none());
        assert!(whole(Kind::Data, 1, &[]).is_none());
    }

    #[test]
    fn what_is_wrong_with_a_frame_is_said_in_words() {
        let said = read(&header(Kind::End, 1, 1)).expect_err("too long").to_string();
        assert_eq!(said, "a frame for the end of a stream with 1 bytes of payload");
    }

    proptest! {
        #[test]
        fn frames_arrive_however_they_are_cut(
            payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 2..300), 0..5),
            piece in 1usize..50,
        ) {
            let mut bytes = Vec::new();
            for (id, payload) in payloads.iter().enumerate() {
                bytes.extend_from_slice(&whole(Kind::Part, id as u32, payload).expect("within bounds"));
            }
            let mut frames = Frames::default();
            let mut found = Vec::new();
            for piece in bytes.chunks(piece) {
                frames.push(piece);
                while let Some(frame) = frames.next().expect("frames") {
                    prop_assert_eq!((frame.kind, frame.id as usize), (Kind::Part, found.len()));
                    found.push(frame.payload.to_vec());
                }
            }
            prop_assert!(frames.is_empty());
            prop_assert_eq!(found, payloads);
        }

        #[test]
        fn anything_is_a_frame_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let mut frames = Frames::default();
            frames.push(&bytes);
            while let Ok(Some(_)) = frames.next() {}
        }
    }
}
