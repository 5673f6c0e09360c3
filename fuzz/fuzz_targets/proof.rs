//! Any length, index and proof for a chunk of a known attachment: what decodes has one encoding, and nothing but the
//! attachment's own chunk in its place holds. Its last chunk holds with the right length only.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sedge_crdt::{BlobId, ChunkProof, chunk_bytes, chunk_count, chunk_offset};
use sedge_fuzz::{Guarded, fixtures, guarded};

#[global_allocator]
static ALLOCATOR: Guarded = Guarded;

/// Memory a check may take beside its input: a chunk, and the hashes of one proof several times.
const BYTES_MAX: usize = 1 << 20;

fuzz_target!(|bytes: &[u8]| {
    let content = fixtures::attachment();
    guarded(BYTES_MAX + 4 * bytes.len(), || {
        let Some((head, proof)) = bytes.split_first_chunk::<16>() else {
            return;
        };
        let (len, index) = (number(&head[..8]), number(&head[8..]));
        let Ok(decoded) = ChunkProof::decode(proof, len, index) else {
            return;
        };
        assert!(decoded.encode() == proof, "another encoding");
        let wanted = chunk_bytes(len, index).expect("a proof of a chunk that is not there");
        let from = usize::try_from(chunk_offset(index)).unwrap_or(usize::MAX);
        let mut chunk = content.get(from..).unwrap_or_default().to_vec();
        let is_own = chunk.len() >= wanted;
        chunk.resize(wanted, 0);
        if decoded
            .check(BlobId::of(content), len, index, &chunk)
            .is_ok()
        {
            assert!(
                is_own,
                "chunk {index} of {len} bytes holds and is not there"
            );
            let is_last = index + 1 == chunk_count(len);
            assert!(!is_last || len == content.len() as u64, "{len} bytes hold");
        }
    });
});

fn number(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .rev()
        .fold(0, |number, byte| number << 8 | u64::from(*byte))
}
