//! A frame is a length (four bytes, big-endian) and that many bytes of one protobuf message. Before the
//! message is decoded, its fields are counted: a megabyte of empty entries must not become fifty
//! megabytes of structures.

use bytes::{BufMut, Bytes, BytesMut};
use prost::Message as _;

use super::{
    codec::{self, pb},
    message::{CloseCode, Message},
};
use crate::limits::{FRAME_BYTES_MAX, PAGE_ENTRIES_MAX, SYNC_VERSION};

/// Length of the length, in bytes.
pub(crate) const PREFIX_BYTES: usize = 4;

/// The most fields a message has beside its one list.
const FIELDS_BESIDE_LIST_MAX: usize = 8;

/// Why bytes are not a message of this protocol.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Not the bytes of a message, or a field has an impossible value.
    #[error("malformed message: {0}")]
    Malformed(&'static str),
    /// Something exceeds its limit.
    #[error("{what} exceeds the limit of {most}")]
    TooLarge {
        /// What.
        what: &'static str,
        /// The limit.
        most: usize,
    },
    /// The peer speaks another version.
    #[error(
        "the peer speaks version {0} of /sedge/sync, this one speaks {SYNC_VERSION}: use the same release on both"
    )]
    Version(u32),
}

impl DecodeError {
    /// The code with which the session ends.
    pub fn code(&self) -> CloseCode {
        match self {
            Self::Malformed(_) => CloseCode::Malformed,
            Self::TooLarge { .. } => CloseCode::TooLarge,
            Self::Version(_) => CloseCode::WrongVersion,
        }
    }
}

/// A message as a frame, length included.
pub fn encode_frame(message: &Message) -> Bytes {
    let frame = codec::to_wire(message);
    let bytes = frame.encoded_len();
    let mut buffer = BytesMut::with_capacity(PREFIX_BYTES + bytes);
    // The core keeps every message below FRAME_BYTES_MAX, far below u32::MAX.
    buffer.put_u32(u32::try_from(bytes).unwrap_or(u32::MAX));
    buffer.put_slice(&frame.encode_to_vec());
    buffer.freeze()
}

/// The message in a frame's body (the bytes after the length).
///
/// # Errors
/// [`DecodeError`] when the body is not exactly one valid message within all limits.
pub fn decode_frame(body: Bytes) -> Result<Message, DecodeError> {
    if body.len() > FRAME_BYTES_MAX {
        return Err(DecodeError::TooLarge {
            what: "frame bytes",
            most: FRAME_BYTES_MAX,
        });
    }
    count_fields(&body)?;
    let frame =
        pb::Frame::decode(body).map_err(|_| DecodeError::Malformed("not a protobuf frame"))?;
    codec::from_wire(frame)
}

/// Refuses a frame that holds anything but one message, or whose message has more fields than any list may
/// have entries. (Lists stand only at that level.)
fn count_fields(body: &[u8]) -> Result<(), DecodeError> {
    let mut messages = 0;
    each_field(body, &mut |message| {
        messages += 1;
        if messages > 1 {
            return Err(DecodeError::Malformed("more than one message in a frame"));
        }
        count_list(message)
    })
}

/// Refuses a message with more fields than any list may have entries.
pub(super) fn count_list(message: &[u8]) -> Result<(), DecodeError> {
    let mut fields = 0;
    each_field(message, &mut |_| {
        fields += 1;
        if fields > PAGE_ENTRIES_MAX + FIELDS_BESIDE_LIST_MAX {
            return Err(DecodeError::TooLarge {
                what: "entries of a message",
                most: PAGE_ENTRIES_MAX,
            });
        }
        Ok(())
    })
}

/// Calls `visit` with the content of each field (empty for numbers).
fn each_field(
    mut bytes: &[u8],
    visit: &mut dyn FnMut(&[u8]) -> Result<(), DecodeError>,
) -> Result<(), DecodeError> {
    while !bytes.is_empty() {
        let key = take_varint(&mut bytes)?;
        let length = match key & 7 {
            0 => {
                take_varint(&mut bytes)?;
                0
            }
            1 => 8,
            2 => usize::try_from(take_varint(&mut bytes)?).map_err(|_| CUT)?,
            5 => 4,
            _ => return Err(DecodeError::Malformed("an unknown wire type")),
        };
        let (content, rest) = bytes.split_at_checked(length).ok_or(CUT)?;
        visit(content)?;
        bytes = rest;
    }
    Ok(())
}

const CUT: DecodeError = DecodeError::Malformed("a field is cut off");

/// Takes a protobuf varint (at most ten bytes) off the front.
fn take_varint(bytes: &mut &[u8]) -> Result<u64, DecodeError> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first().ok_or(CUT)?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(CUT)
}
