//! The frames of `/sedge/blob/1`: a length (four bytes, big-endian) and that many bytes of one protobuf message.

use bytes::{BufMut, Bytes, BytesMut};
use prost::Message as _;

use super::{Blob, Chunk};
use crate::{
    limits::{
        BLOB_ANSWER_BYTES_MAX, BLOB_CHUNK_BYTES, BLOB_PROOF_BYTES_MAX, BLOB_REQUEST_BYTES_MAX,
        BLOB_SET_BYTES_MAX,
    },
    proto::DecodeError,
};

/// Length of the length, in bytes.
const PREFIX_BYTES: usize = 4;

mod pb {
    include!(concat!(env!("OUT_DIR"), "/sedge.blob.v1.rs"));
}

/// What a peer wants of another one's blobs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BlobRequest {
    /// To know which chunks of a blob are there; what follows is about this blob.
    Ask(Blob),
    /// A chunk.
    Get(u64),
}

/// The answer to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BlobAnswer {
    /// The chunks that are there, as [`ChunkSet::encode`](super::ChunkSet::encode) writes them.
    Held(Bytes),
    /// The chunk that was asked for.
    Chunk(u64, Chunk),
    /// Nothing of the blob is there, or not this chunk.
    NotHere,
}

impl BlobRequest {
    /// The frame, length included.
    pub fn encode(&self) -> Bytes {
        use pb::request::Request;
        let request = match self {
            Self::Ask(blob) => Request::Ask(pb::Ask {
                id: Bytes::copy_from_slice(&blob.id),
                len: blob.len,
            }),
            Self::Get(index) => Request::Get(pb::Get { index: *index }),
        };
        let request = Some(request);
        frame(&pb::Request { request })
    }

    /// Reads a frame's body (the bytes after the length).
    ///
    /// # Errors
    /// It is not exactly one request within the limits.
    pub fn decode(body: Bytes) -> Result<Self, DecodeError> {
        use pb::request::Request;
        at_most("request bytes", body.len(), BLOB_REQUEST_BYTES_MAX)?;
        let message = pb::Request::decode(body).map_err(|_| NO_MESSAGE)?;
        match message.request.ok_or(NO_MESSAGE)? {
            Request::Ask(ask) => {
                let id = <[u8; 32]>::try_from(ask.id.as_ref());
                let id = id.map_err(|_| DecodeError::Malformed("a blob's id has 32 bytes"))?;
                let blob = Blob { id, len: ask.len };
                match blob.is_allowed() {
                    true => Ok(Self::Ask(blob)),
                    false => Err(DecodeError::Malformed("no blob is so long")),
                }
            }
            Request::Get(get) => Ok(Self::Get(get.index)),
        }
    }
}

impl BlobAnswer {
    /// The frame, length included.
    pub fn encode(&self) -> Bytes {
        use pb::answer::Answer;
        let answer = match self {
            Self::Held(chunks) => Answer::Held(pb::Held {
                chunks: chunks.clone(),
            }),
            Self::Chunk(index, chunk) => Answer::Chunk(pb::Chunk {
                index: *index,
                bytes: chunk.bytes.clone(),
                proof: chunk.proof.clone(),
            }),
            Self::NotHere => Answer::NotHere(pb::NotHere {}),
        };
        let answer = Some(answer);
        frame(&pb::Answer { answer })
    }

    /// Reads a frame's body (the bytes after the length).
    ///
    /// # Errors
    /// It is not exactly one answer within the limits.
    pub fn decode(body: Bytes) -> Result<Self, DecodeError> {
        use pb::answer::Answer;
        at_most("answer bytes", body.len(), BLOB_ANSWER_BYTES_MAX)?;
        let message = pb::Answer::decode(body).map_err(|_| NO_MESSAGE)?;
        match message.answer.ok_or(NO_MESSAGE)? {
            Answer::Held(held) => {
                at_most("bytes of a set", held.chunks.len(), BLOB_SET_BYTES_MAX)?;
                Ok(Self::Held(held.chunks))
            }
            Answer::Chunk(chunk) => {
                at_most("chunk bytes", chunk.bytes.len(), BLOB_CHUNK_BYTES)?;
                at_most("proof bytes", chunk.proof.len(), BLOB_PROOF_BYTES_MAX)?;
                let (bytes, proof) = (chunk.bytes, chunk.proof);
                Ok(Self::Chunk(chunk.index, Chunk { bytes, proof }))
            }
            Answer::NotHere(pb::NotHere {}) => Ok(Self::NotHere),
        }
    }
}

const NO_MESSAGE: DecodeError = DecodeError::Malformed("not a message about blobs");

fn at_most(what: &'static str, bytes: usize, most: usize) -> Result<(), DecodeError> {
    match bytes <= most {
        true => Ok(()),
        false => Err(DecodeError::TooLarge { what, most }),
    }
}

fn frame(message: &impl prost::Message) -> Bytes {
    let bytes = message.encoded_len();
    let mut buffer = BytesMut::with_capacity(PREFIX_BYTES + bytes);
    // What is sent is made of chunks and sets within their limits, far below u32::MAX.
    buffer.put_u32(u32::try_from(bytes).unwrap_or(u32::MAX));
    buffer.put_slice(&message.encode_to_vec());
    buffer.freeze()
}
