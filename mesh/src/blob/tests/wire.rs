//! Goal: the exact bytes of every message are pinned, every message survives the way through bytes, and nothing beyond the
//! limits is taken.

use bytes::Bytes;
use proptest::{collection::vec, prelude::*};
use sedge_identity::hex;

use crate::{
    blob::{Blob, BlobAnswer, BlobRequest, Chunk, ChunkSet},
    limits::{
        BLOB_ANSWER_BYTES_MAX, BLOB_BYTES_MAX, BLOB_CHUNK_BYTES, BLOB_PROOF_BYTES_MAX,
        BLOB_REQUEST_BYTES_MAX, BLOB_SET_BYTES_MAX,
    },
};

const PREFIX_BYTES: usize = 4;

fn blob(len: u64) -> Blob {
    Blob {
        id: [0xab; 32],
        len,
    }
}

fn chunk(bytes: usize, proof: usize) -> Chunk {
    Chunk {
        bytes: vec![7; bytes].into(),
        proof: vec![9; proof].into(),
    }
}

/// Goal: another implementation can be written against these bytes.
#[test]
fn the_bytes_of_every_message_are_pinned() {
    let requests = [
        (
            BlobRequest::Ask(blob(300_000)),
            "000000280a260a20abababababababababababababababababababababababababababababababab10e0a712",
        ),
        (BlobRequest::Get(0), "000000021200"),
        (BlobRequest::Get(300), "00000005120308ac02"),
    ];
    for (request, bytes) in requests {
        assert_eq!(hex(&request.encode()).to_string(), bytes, "{request:?}");
    }
    let answers = [
        (
            BlobAnswer::Held(ChunkSet::all(9).encode()),
            "000000060a040a02ff01",
        ),
        (
            BlobAnswer::Chunk(5, chunk(3, 2)),
            "0000000d120b080512030707071a020909",
        ),
        (BlobAnswer::NotHere, "000000021a00"),
    ];
    for (answer, bytes) in answers {
        assert_eq!(hex(&answer.encode()).to_string(), bytes, "{answer:?}");
    }
}

/// Goal: the largest message of each kind fits its frame.
#[test]
fn the_largest_fit() {
    let largest = [
        BlobAnswer::Held(vec![0xff; BLOB_SET_BYTES_MAX].into()),
        BlobAnswer::Chunk(u64::MAX, chunk(BLOB_CHUNK_BYTES, BLOB_PROOF_BYTES_MAX)),
    ];
    for answer in largest {
        let frame = answer.encode();
        assert!(frame.len() <= PREFIX_BYTES + BLOB_ANSWER_BYTES_MAX);
        assert_eq!(BlobAnswer::decode(frame.slice(PREFIX_BYTES..)), Ok(answer));
    }
    for request in [
        BlobRequest::Ask(blob(BLOB_BYTES_MAX)),
        BlobRequest::Get(u64::MAX),
    ] {
        let frame = request.encode();
        assert!(frame.len() <= PREFIX_BYTES + BLOB_REQUEST_BYTES_MAX);
        assert_eq!(
            BlobRequest::decode(frame.slice(PREFIX_BYTES..)),
            Ok(request)
        );
    }
}

/// Goal: what exceeds a limit by one is refused, and so is what is no message.
#[test]
fn what_is_too_large_is_refused() {
    let too_large = [
        BlobAnswer::Held(vec![0xff; BLOB_SET_BYTES_MAX + 1].into()),
        BlobAnswer::Chunk(0, chunk(BLOB_CHUNK_BYTES + 1, 0)),
        BlobAnswer::Chunk(0, chunk(0, BLOB_PROOF_BYTES_MAX + 1)),
    ];
    for answer in too_large {
        let body = answer.encode().slice(PREFIX_BYTES..);
        assert!(BlobAnswer::decode(body).is_err());
    }
    let too_long = BlobRequest::Ask(blob(BLOB_BYTES_MAX + 1));
    assert!(BlobRequest::decode(too_long.encode().slice(PREFIX_BYTES..)).is_err());
    for body in [
        vec![],
        vec![0x0a, 0x00],
        vec![0; BLOB_REQUEST_BYTES_MAX + 1],
    ] {
        assert!(BlobRequest::decode(body.into()).is_err());
    }
    for body in [vec![], vec![0; BLOB_ANSWER_BYTES_MAX + 1]] {
        assert!(BlobAnswer::decode(body.into()).is_err());
    }
}

proptest! {
    /// Goal: every message survives the way through bytes, and no part of one is taken for it.
    #[test]
    fn messages_survive(index: u64, bytes in vec(any::<u8>(), 1..200), proof in vec(any::<u8>(), 0..96)) {
        let (bytes, proof) = (Bytes::from(bytes), Bytes::from(proof));
        let answer = BlobAnswer::Chunk(index, Chunk { bytes: bytes.clone(), proof });
        for answer in [answer, BlobAnswer::Held(bytes)] {
            let body = answer.encode().slice(PREFIX_BYTES..);
            for end in 0..body.len() {
                prop_assert_ne!(BlobAnswer::decode(body.slice(..end)), Ok(answer.clone()));
            }
            prop_assert_eq!(BlobAnswer::decode(body), Ok(answer));
        }
    }
}
