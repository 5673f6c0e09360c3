use super::*;
use proptest::prelude::*;

const CHUNK: u64 = BLOB_CHUNK_BYTES as u64;

fn content(len: u64) -> Vec<u8> {
    let mut bytes = vec![0; len as usize];
    Hasher::new()
        .update(&len.to_le_bytes())
        .finalize_xof()
        .fill(&mut bytes);
    bytes
}

fn build(bytes: &[u8]) -> (BlobId, Vec<Node>) {
    let mut nodes = Vec::new();
    let mut parent = |node| {
        nodes.push(node);
        Ok::<_, Infallible>(())
    };
    let mut builder = Builder::default();
    for index in 0..chunk_count(bytes.len() as u64) {
        builder.push(chunk(bytes, index), &mut parent).unwrap();
    }
    let id = builder.finish(&mut parent).unwrap();
    (id, nodes)
}

fn chunk(bytes: &[u8], index: u64) -> &[u8] {
    let from = chunk_offset(index) as usize;
    &bytes[from..from + chunk_bytes(bytes.len() as u64, index).unwrap()]
}

fn known(id: BlobId, len: u64, index: u64, nodes: &[Node]) -> Option<Known> {
    let stored = |node: u64| Ok::<_, Infallible>(nodes[node as usize]);
    Known::read(id, len, index, stored).unwrap()
}

/// Lengths at which trees change their shape.
fn edges() -> impl Iterator<Item = u64> {
    let around = |chunks: u64| {
        let len = chunks * CHUNK;
        [len.saturating_sub(1), len, len + 1]
    };
    [0, 1, 2, 3, 4, 5, 7, 8, 9].into_iter().flat_map(around)
}

/// Goal: for every shape of tree the name is the plain BLAKE3 hash, and each chunk holds by its proof alone, also after
/// a trip over the wire; the parents that the proof gives are those that streaming wrote.
#[test]
fn every_chunk_is_proven_at_every_edge() {
    for len in edges() {
        let bytes = content(len);
        let (id, nodes) = build(&bytes);
        assert_eq!(id, BlobId::of(&bytes), "{len}");
        assert_eq!(nodes.len() as u64, chunk_count(len) - 1, "{len}");
        for index in 0..chunk_count(len) {
            let known = known(id, len, index, &nodes).unwrap();
            assert!(known.is(chunk(&bytes, index)));
            assert_eq!(ChunkProof::of(&bytes, index).as_ref(), Some(&known.proof));
            let proof = ChunkProof::decode(&known.proof.encode(), len, index).unwrap();
            let proven = verify(id, len, index, chunk(&bytes, index), &proof).unwrap();
            assert_eq!(proven.len(), proof_hashes(len, index).unwrap());
            for (number, node) in proven {
                assert_eq!(node, nodes[number as usize], "{len} {index} {number}");
                assert_eq!(Node::read(&node.bytes()), node);
            }
        }
    }
}

/// Goal: with a wrong length the last chunk never holds, so that no blob of a wrong length is ever complete.
#[test]
fn a_wrong_length_never_completes() {
    let len = 5 * CHUNK + 7;
    let bytes = content(len);
    let (id, nodes) = build(&bytes);
    for wrong in edges().filter(|wrong| *wrong != len) {
        let last = chunk_count(wrong) - 1;
        let mut padded = bytes.clone();
        padded.resize(len.max(wrong) as usize, 0);
        let given = chunk(&padded[..wrong as usize], last);
        let needed = proof_hashes(wrong, last).unwrap();
        // The hashes that there are, in every window that has as many as are asked for.
        let known = known(id, len, last.min(chunk_count(len) - 1), &nodes).unwrap();
        let mut hashes: Vec<_> = nodes
            .iter()
            .flat_map(|node| [node.left, node.right])
            .collect();
        hashes.extend(known.proof.0);
        let windows: Vec<&[ChainingValue]> = match needed {
            0 => vec![&[]],
            needed => hashes.windows(needed).collect(),
        };
        for window in windows {
            let proof = ChunkProof(window.to_vec());
            let checked = proof.check(id, wrong, last, given);
            assert_eq!(
                checked,
                Err(ProofError::Mismatch { id, index: last }),
                "{wrong}"
            );
        }
    }
}

/// Goal: lengths near the end of 64 bits neither overflow nor loop, and a chunk behind the end is refused.
#[test]
fn enormous_lengths_are_harmless() {
    for len in [u64::MAX, u64::MAX - CHUNK, 1 << 63, (1 << 63) + 1] {
        let last = chunk_count(len) - 1;
        assert!(proof_hashes(len, last).unwrap() <= PROOF_HASHES_MAX);
        assert!(chunk_bytes(len, last).is_some());
        assert_eq!(chunk_bytes(len, last + 1), None);
        let refused = ChunkProof::decode(&[], len, last + 1);
        assert_eq!(
            refused,
            Err(ProofError::NoSuchChunk {
                len,
                index: last + 1
            })
        );
    }
}

proptest! {
    /// Goal: nothing but the chunk itself, in its place, with its whole proof, holds.
    #[test]
    fn whatever_is_changed_is_refused(len in 0..9 * CHUNK, at in any::<u64>(), bit in 0u8..8, place in any::<u64>()) {
        let bytes = content(len);
        let (id, nodes) = build(&bytes);
        let index = at % chunk_count(len);
        let good = chunk(&bytes, index);
        let encoded = known(id, len, index, &nodes).unwrap().proof.encode();
        let check = |bytes: &[u8], proof: &[u8], index| {
            ChunkProof::decode(proof, len, index).and_then(|proof| proof.check(id, len, index, bytes))
        };
        prop_assert_eq!(check(good, &encoded, index), Ok(()));
        if !good.is_empty() {
            let mut changed = good.to_vec();
            changed[(place % good.len() as u64) as usize] ^= 1 << bit;
            prop_assert!(check(&changed, &encoded, index).is_err());
            prop_assert!(check(&good[..good.len() - 1], &encoded, index).is_err());
        }
        if !encoded.is_empty() {
            let mut changed = encoded.clone();
            changed[(place % encoded.len() as u64) as usize] ^= 1 << bit;
            prop_assert!(check(good, &changed, index).is_err());
        }
        for end in 0..encoded.len() {
            prop_assert!(check(good, &encoded[..end], index).is_err());
        }
        let other = place % (chunk_count(len) + 2);
        prop_assert!(other == index || check(good, &encoded, other).is_err());
    }

    /// Goal: a damaged parent on the way to a chunk is noticed, never believed.
    #[test]
    fn a_damaged_parent_is_noticed(chunks in 2u64..20, at in any::<u64>(), place in 0usize..64, bit in 0u8..8) {
        let bytes = content(chunks * CHUNK);
        let (id, mut nodes) = build(&bytes);
        let index = at % chunks;
        let damaged = path(chunks * CHUNK, index)[0].node;
        let mut node = nodes[damaged as usize].bytes();
        node[place] ^= 1 << bit;
        nodes[damaged as usize] = Node::read(&node);
        prop_assert!(known(id, chunks * CHUNK, index, &nodes).is_none());
    }
}
