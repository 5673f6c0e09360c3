//! Any bytes as a seal, as a claim about some leaves of a Merkle tree, and as damage to an honest proof: what decodes has
//! one encoding, nothing but the fixture holds, paths and proofs agree, and no damaged proof leads to the root.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sedge_fuzz::fixtures::{SEALED_COLLECTION, Sealed, sealed};
use sedge_fuzz::{Guarded, guarded};
use sedge_identity::{
    MerkleHash, SEAL_CHANGES_MAX, Seal, SealTerms, leaf, open, prove, prove_from_paths, root,
    root_of,
};
use std::sync::OnceLock;

#[global_allocator]
static ALLOCATOR: Guarded = Guarded;

/// Memory a check may take beside its input: the leaves of a tree and their paths several times.
const BYTES_MAX: usize = 1 << 20;

const HASH_BYTES: usize = 32;

fn fixture() -> &'static Sealed {
    static FIXTURE: OnceLock<Sealed> = OnceLock::new();
    FIXTURE.get_or_init(sealed)
}

fuzz_target!(|bytes: &[u8]| {
    let fixture = fixture();
    guarded(BYTES_MAX + bytes.len() * 16, || {
        as_seal(fixture, bytes);
        as_claim(bytes);
        as_damage(bytes);
    });
});

fn as_seal(fixture: &Sealed, bytes: &[u8]) {
    let Ok(seal) = Seal::decode(bytes) else {
        return;
    };
    assert!(seal.to_bytes() == bytes, "another encoding");
    let (key, app) = (fixture.key.public(), &fixture.app);
    let holds = seal.verify(&key, app, SEALED_COLLECTION).is_ok();
    assert!(!holds || seal == fixture.seal, "a forged seal holds");
    let terms = SealTerms {
        app,
        collection: SEALED_COLLECTION,
        certificate: seal.certificate(),
        incarnation: seal.incarnation(),
        time_ms: seal.time_ms(),
    };
    let leaves = leaves(seal.count());
    let own = Seal::sign(&fixture.key, terms, &leaves).expect("the count is within limits");
    assert!(own.verify(&key, app, SEALED_COLLECTION).is_ok());
    assert!(Seal::decode(&own.to_bytes()) == Ok(own.clone()));
    assert!((own.count(), own.root()) == (seal.count(), root(&leaves)));
}

/// Count, number of known leaves, and for each its place and hash; the other hashes are the proof.
fn as_claim(bytes: &[u8]) {
    let Some(([count, number], rest)) = bytes.split_first_chunk::<2>() else {
        return;
    };
    let known_bytes = usize::from(*number) * (1 + HASH_BYTES);
    let Some((known, rest)) = rest.split_at_checked(known_bytes) else {
        return;
    };
    let count = u16::from(*count);
    let known: Vec<(u16, MerkleHash)> = known
        .chunks_exact(1 + HASH_BYTES)
        .map(|chunk| (u16::from(chunk[0]), hashes(&chunk[1..])[0]))
        .collect();
    let rest = hashes(rest);
    let opened = open(count, &known, &rest);
    let root = root_of(count, &known, &rest);
    assert!(opened.as_ref().map(|opened| opened.root) == root);
    let Some(opened) = opened else {
        return;
    };
    assert!(opened.paths.len() == known.len());
    let proven: Vec<_> = known
        .iter()
        .zip(&opened.paths)
        .map(|((index, leaf), path)| (*index, *leaf, path.as_slice()))
        .collect();
    for one in &proven {
        let alone = prove_from_paths(count, &[*one]).expect("a path proves its leaf");
        assert!(root_of(count, &[(one.0, one.1)], &alone) == root);
    }
    if !proven.is_empty() {
        assert!(prove_from_paths(count, &proven).as_ref() == Some(&rest));
    }
}

/// Count, which leaves are known, and what is to be changed in them and in their proof.
fn as_damage(bytes: &[u8]) {
    let Some((head, damage)) = bytes.split_first_chunk::<9>() else {
        return;
    };
    let [count, which @ ..] = *head;
    let count = u16::from(count) % SEAL_CHANGES_MAX as u16 + 1;
    let which = u64::from_be_bytes(which);
    let named: Vec<u16> = (0..count).filter(|index| which >> index & 1 == 1).collect();
    let leaves = leaves(count);
    let known: Vec<MerkleHash> = named
        .iter()
        .map(|index| leaves[usize::from(*index)])
        .collect();
    let mut hashes = [known, prove(&leaves, &named)].concat();
    let mut damaged = false;
    let targets = hashes.iter_mut().flat_map(|hash| &mut hash.0);
    for (byte, damage) in targets.zip(damage) {
        *byte ^= damage;
        damaged |= *damage != 0;
    }
    let (known, rest) = hashes.split_at(named.len());
    let known: Vec<_> = named.into_iter().zip(known.iter().copied()).collect();
    let found = root_of(count, &known, rest).expect("as many hashes as there must be");
    assert!(damaged == (found != root(&leaves)), "a damaged proof holds");
}

fn leaves(count: u16) -> Vec<MerkleHash> {
    let at = |index: u16| leaf(&index.to_be_bytes(), &[index as u8; HASH_BYTES]);
    (0..count).map(at).collect()
}

fn hashes(bytes: &[u8]) -> Vec<MerkleHash> {
    let chunks = bytes.as_chunks::<HASH_BYTES>().0.iter();
    chunks.map(|chunk| MerkleHash(*chunk)).collect()
}
