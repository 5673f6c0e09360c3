//! Attachments: what goes in comes out verified, by stream or by chunk.

use super::*;
use sedge_crdt::limits::{ATTACHMENT_METADATA_BYTES_MAX, BLOB_BYTES_MAX};
use sedge_crdt::{
    Attachment, BLOB_CHUNK_BYTES, BlobError, BlobId, BlobRef, ChunkProof, ProofError, chunk_count,
};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::PathBuf;

pub(super) const CHUNK: usize = BLOB_CHUNK_BYTES;

/// Bytes that differ from place to place, and from seed to seed.
pub(super) fn content(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let byte = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..len).map(byte).collect()
}

/// Lengths around the edges of chunks and of trees.
fn edges() -> BTreeSet<usize> {
    let around = |chunks: usize| {
        let len = chunks * CHUNK;
        [len.saturating_sub(1), len, len + 1]
    };
    [0, 1, 2, 3, 4, 5, 8].into_iter().flat_map(around).collect()
}

pub(super) fn put(store: &Store, bytes: &[u8]) -> Attachment {
    store.attachments().put(bytes, BTreeMap::new()).unwrap()
}

pub(super) fn get(store: &Store, id: BlobId) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut reader = store.attachments().get(id).unwrap();
    reader.read_to_end(&mut bytes).unwrap();
    bytes
}

pub(super) fn ids(store: &Store) -> Vec<BlobId> {
    let listed = store.attachments().list(None).unwrap();
    listed.iter().map(|stat| stat.id).collect()
}

/// What is missing when that is one stretch.
pub(super) fn gap(chunks: Range<u64>) -> Vec<Range<u64>> {
    std::iter::once(chunks).collect()
}

fn file(folder: &Path, id: BlobId) -> PathBuf {
    let name = id.to_string();
    folder.join("blobs/whole").join(&name[..2]).join(name)
}

/// Every file under a folder.
pub(super) fn files(folder: &Path) -> usize {
    let entries = fs::read_dir(folder).unwrap().flatten();
    entries
        .map(|entry| match entry.path() {
            path if path.is_dir() => files(&path),
            _ => 1,
        })
        .sum()
}

/// Goal: at every edge a blob comes out as it went in, under its plain BLAKE3 name, also after reopening; bytes that are
/// here already take no more room.
#[test]
fn what_goes_in_comes_out() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), 1);
    for len in edges() {
        let bytes = content(len, len as u64);
        let token = put(&store, &bytes);
        assert_eq!(
            (token.blob().id, token.len),
            (BlobId::of(&bytes), len as u64)
        );
        assert_eq!(get(&store, token.blob().id), bytes, "{len}");
    }
    let before = files(&folder.path().join("blobs"));
    for len in edges() {
        put(&store, &content(len, len as u64));
    }
    assert_eq!(files(&folder.path().join("blobs")), before);
    drop(store);
    let store = open(folder.path(), 1);
    for len in edges() {
        let bytes = content(len, len as u64);
        assert_eq!(get(&store, BlobId::of(&bytes)), bytes, "{len}");
        let stat = store
            .attachments()
            .stat(BlobId::of(&bytes))
            .unwrap()
            .unwrap();
        assert_eq!((stat.len, stat.documents), (len as u64, 0));
    }
}

/// Goal: any range can be read without what is before it.
#[test]
fn ranges_are_read_from_their_place() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), 1);
    let bytes = content(3 * CHUNK + 100, 1);
    let id = put(&store, &bytes).blob().id;
    let mut reader = store.attachments().get(id).unwrap();
    for (from, len) in [
        (0, 1),
        (CHUNK - 1, 2),
        (CHUNK, CHUNK),
        (3 * CHUNK + 99, 1),
        (5, 2 * CHUNK),
    ] {
        let mut part = vec![0; len];
        reader.seek(SeekFrom::Start(from as u64)).unwrap();
        reader.read_exact(&mut part).unwrap();
        assert_eq!(part, bytes[from..from + len]);
    }
    reader.seek(SeekFrom::End(9)).unwrap();
    assert_eq!(reader.read(&mut [0; 9]).unwrap(), 0);
    assert!(reader.seek(SeekFrom::Current(i64::MIN)).is_err());
}

/// Goal: an upload that fails leaves nothing, not even a draft, and too much metadata is refused before it is read.
#[test]
fn a_failed_upload_leaves_nothing() {
    struct Fails(usize);
    impl Read for Fails {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            match self.0.checked_sub(buffer.len()) {
                Some(left) => {
                    self.0 = left;
                    Ok(buffer.len())
                }
                None => Err(io::Error::other("pulled out")),
            }
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), 1);
    let failed = store
        .attachments()
        .put(Fails(5 * CHUNK), BTreeMap::new())
        .unwrap_err();
    assert!(failed.to_string().contains("pulled out"), "{failed}");
    let much = BTreeMap::from([("n".to_owned(), "x".repeat(ATTACHMENT_METADATA_BYTES_MAX))]);
    let refused = store.attachments().put(Fails(0), much).unwrap_err();
    assert!(refused.to_string().contains("metadata"), "{refused}");
    assert_eq!(files(&folder.path().join("blobs")), 0);
}

/// Goal: whichever byte of a stored blob or of its tree is changed, no wrong byte is given out, and the damage is named;
/// adding the same bytes again mends it.
#[test]
fn damage_is_named_and_never_given_out() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), 1);
    let bytes = content(3 * CHUNK, 2);
    let id = put(&store, &bytes).blob().id;
    let (data, tree) = (
        file(folder.path(), id),
        file(folder.path(), id).with_extension("tree"),
    );
    type Spoil = fn(&mut Vec<u8>);
    let spoil: [(&PathBuf, Spoil); 6] = [
        (&data, |bytes| bytes[CHUNK + 5] ^= 1),
        (&data, |bytes| bytes.truncate(2 * CHUNK + 1)),
        (&data, |bytes| bytes.push(0)),
        (&data, |bytes| bytes.clear()),
        (&tree, |bytes| bytes[70] ^= 1),
        (&tree, |bytes| bytes.truncate(64)),
    ];
    for (number, (path, spoil)) in spoil.iter().enumerate() {
        let good = fs::read(path).unwrap();
        let mut bad = good.clone();
        spoil(&mut bad);
        fs::write(path, bad).unwrap();
        let mut given = Vec::new();
        let mut reader = store.attachments().get(id).unwrap();
        let error = reader.read_to_end(&mut given).unwrap_err();
        assert!(bytes.starts_with(&given), "{number}");
        assert!(
            error
                .to_string()
                .contains(&format!("attachment {id} is damaged")),
            "{number}: {error}"
        );
        put(&store, &bytes);
        assert_eq!(get(&store, id), bytes, "{number}");
    }
    fs::remove_file(&tree).unwrap();
    let error = store
        .attachments()
        .get(id)
        .unwrap()
        .read(&mut [0])
        .unwrap_err();
    assert!(error.to_string().contains("hash tree"), "{error}");
}

/// Carries a blob over by chunks, in an order that `order` gives.
pub(super) fn carry(
    from: &Store,
    to: &Store,
    blob: BlobRef,
    order: impl Iterator<Item = u64>,
) -> bool {
    let mut whole = false;
    for index in order {
        let given = from.attachments().chunk_with_proof(blob, index).unwrap();
        let (bytes, proof) = given.unwrap();
        let proof = ChunkProof::decode(&proof.encode(), blob.len, index).unwrap();
        whole = to
            .attachments()
            .put_chunk(blob, index, &bytes, &proof)
            .unwrap();
    }
    whole
}

/// Goal: at every edge a blob travels chunk by chunk, backwards, and is whole with its last chunk and not before.
#[test]
fn blobs_travel_by_chunks() {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let [from, to] = [0, 1].map(|n| open(folders[n].path(), n as u8 + 1));
    for len in edges() {
        let bytes = content(len, 3);
        let blob = put(&from, &bytes).blob();
        let chunks = chunk_count(blob.len);
        assert_eq!(to.attachments().missing(blob).unwrap(), gap(0..chunks));
        assert!(!carry(&from, &to, blob, (1..chunks).rev()), "{len}");
        assert_eq!(to.attachments().missing(blob).unwrap(), gap(0..1));
        assert!(
            to.attachments().get(blob.id).is_err(),
            "a part is never given as the whole"
        );
        assert!(carry(&from, &to, blob, 0..1), "{len}");
        assert!(to.attachments().missing(blob).unwrap().is_empty());
        assert_eq!(get(&to, blob.id), bytes, "{len}");
    }
    assert_eq!(files(&folders[1].path().join("blobs/partial")), 0);
}

/// Goal: a partial blob outlives a restart, goes on from another peer that has but a part itself, and ends the same.
#[test]
fn a_transfer_is_resumed_after_a_restart() {
    let folders: Vec<_> = (0..3).map(|_| tempfile::tempdir().unwrap()).collect();
    let [a, b, c] = [0, 1, 2].map(|n| open(folders[n].path(), n as u8 + 1));
    let bytes = content(200 * CHUNK + 9, 4);
    let blob = put(&a, &bytes).blob();
    carry(&a, &b, blob, 0..150);
    carry(&a, &c, blob, 100..170);
    drop(b);
    let b = open(folders[1].path(), 2);
    assert_eq!(b.attachments().missing(blob).unwrap(), gap(150..201));
    assert_eq!(c.attachments().chunk_with_proof(blob, 99).unwrap(), None);
    assert!(!carry(&c, &b, blob, 140..170));
    assert!(carry(&a, &b, blob, 170..201));
    assert_eq!(get(&b, blob.id), bytes);
}

/// Goal: a blob whose last chunk came just before a crash is whole afterwards, without any chunk more.
#[test]
fn what_came_before_a_crash_gets_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), 1);
    let bytes = content(9 * CHUNK + 9, 5);
    let blob = put(&store, &bytes).blob();
    let whole = file(folder.path(), blob.id);
    let part = folder.path().join("blobs/partial");
    let part = part.join(format!("{}.{}", blob.id, blob.len));
    for ending in ["", ".tree"] {
        let named = |path: &Path| PathBuf::from(format!("{}{ending}", path.display()));
        fs::rename(named(&whole), named(&part)).unwrap();
    }
    fs::write(format!("{}.have", part.display()), [0xff, 0x03]).unwrap();
    assert_eq!(ids(&store), []);
    assert_eq!(store.attachments().missing(blob).unwrap(), []);
    assert_eq!(get(&store, blob.id), bytes);
    assert_eq!(files(&folder.path().join("blobs/partial")), 0);
}

/// Goal: wrong lengths, wrong chunks and wrong proofs are refused and leave nothing; a length that another document
/// claims is told apart from damage.
#[test]
fn what_is_wrong_is_refused() {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let [from, to] = [0, 1].map(|n| open(folders[n].path(), n as u8 + 1));
    let blob = put(&from, &content(3 * CHUNK, 5)).blob();
    let (bytes, proof) = from
        .attachments()
        .chunk_with_proof(blob, 1)
        .unwrap()
        .unwrap();
    let refused = |blob: BlobRef, index, bytes: &[u8], proof: &ChunkProof| match to
        .attachments()
        .put_chunk(blob, index, bytes, proof)
        .unwrap_err()
    {
        StoreError::Attachment(BlobError::Chunk(error)) => Some(error),
        StoreError::Attachment(_) => None,
        error => panic!("{error}"),
    };
    let mismatch = |index| Some(ProofError::Mismatch { id: blob.id, index });
    assert_eq!(refused(blob, 0, &bytes, &proof), mismatch(0));
    assert_eq!(refused(blob, 1, &vec![0; CHUNK], &proof), mismatch(1));
    assert!(matches!(
        refused(blob, 1, &bytes[1..], &proof),
        Some(ProofError::Length { .. })
    ));
    assert!(matches!(
        refused(blob, 3, &bytes, &proof),
        Some(ProofError::NoSuchChunk { .. })
    ));
    assert!(matches!(
        refused(blob, 2, &bytes, &proof),
        Some(ProofError::ProofLength { .. })
    ));
    let too_long = BlobRef {
        len: BLOB_BYTES_MAX + 1,
        ..blob
    };
    assert_eq!(refused(too_long, 1, &bytes, &proof), None);
    assert_eq!(files(&folders[1].path().join("blobs")), 0);
    let longer = BlobRef {
        len: blob.len + 1,
        ..blob
    };
    let error = from.attachments().missing(longer).unwrap_err();
    assert!(
        error.to_string().contains("196608 bytes, not 196609"),
        "{error}"
    );
}

/// Goal: a store opened after a kill shows no half blob, and what the upload left is gone.
#[test]
fn drafts_are_gone_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    drop(open(folder.path(), 1));
    fs::write(folder.path().join("blobs/new/7"), content(CHUNK, 6)).unwrap();
    let store = open(folder.path(), 1);
    assert!(ids(&store).is_empty());
    assert_eq!(files(&folder.path().join("blobs")), 0);
}

/// Goal: a list has pages, and a removed blob is told from one that never was.
#[test]
fn lists_go_on_where_they_ended() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), 1);
    let tokens: Vec<_> = (0..40).map(|n| put(&store, &content(9, n))).collect();
    let all = ids(&store);
    assert!(all.is_sorted() && all.len() == 40);
    let rest = store.attachments().list(Some(all[30])).unwrap();
    assert_eq!(
        rest.iter().map(|stat| stat.id).collect::<Vec<_>>(),
        all[31..]
    );
    let id = tokens[0].blob().id;
    assert!(store.attachments().remove(id).unwrap());
    assert!(!store.attachments().remove(id).unwrap());
    assert!(matches!(
        store.attachments().get(id),
        Err(StoreError::Attachment(BlobError::NotHere(_)))
    ));
}
