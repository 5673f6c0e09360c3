//! Attachments: what goes in comes out verified, by stream or by chunk; what no document names goes.

use super::*;
use proptest::prelude::*;
use sedge_crdt::limits::{ATTACHMENT_METADATA_BYTES_MAX, BLOB_BYTES_MAX};
use sedge_crdt::{
    Attachment, BLOB_CHUNK_BYTES, BlobError, BlobId, BlobRef, ChunkProof, Collected, ProofError,
    chunk_count,
};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::PathBuf;

const CHUNK: usize = BLOB_CHUNK_BYTES;

/// Bytes that differ from place to place, and from seed to seed.
fn content(len: usize, seed: u64) -> Vec<u8> {
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

fn put(store: &Store, bytes: &[u8]) -> Attachment {
    store.attachments().put(bytes, BTreeMap::new()).unwrap()
}

fn get(store: &Store, id: BlobId) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut reader = store.attachments().get(id).unwrap();
    reader.read_to_end(&mut bytes).unwrap();
    bytes
}

fn ids(store: &Store) -> Vec<BlobId> {
    let listed = store.attachments().list(None).unwrap();
    listed.iter().map(|stat| stat.id).collect()
}

/// What is missing when that is one stretch.
fn gap(chunks: Range<u64>) -> Vec<Range<u64>> {
    std::iter::once(chunks).collect()
}

fn file(folder: &Path, id: BlobId) -> PathBuf {
    let name = id.to_string();
    folder.join("blobs/whole").join(&name[..2]).join(name)
}

/// Every file under a folder.
fn files(folder: &Path) -> usize {
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
fn carry(from: &Store, to: &Store, blob: BlobRef, order: impl Iterator<Item = u64>) -> bool {
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

fn document(id: &str, tokens: &[Attachment]) -> Value {
    let tokens = tokens.iter().cloned().map(Value::from).collect();
    let fields = [
        ("_id".to_owned(), id.into()),
        ("files".to_owned(), Value::List(tokens)),
    ];
    Value::Map(BTreeMap::from(fields))
}

/// Goal: an attachment stays while a document of any origin names it, and the grace over both kinds of beginnings holds.
#[test]
fn references_count_local_and_remote_documents() {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let [a, b] = [0, 1].map(|n| open(folders[n].path(), n as u8 + 1));
    let token = put(&a, b"photo");
    let id = token.blob().id;
    a.import(
        "cars",
        &[
            document("x", std::slice::from_ref(&token)),
            document("y", std::slice::from_ref(&token)),
        ],
    )
    .unwrap();
    assert_eq!(a.attachments().stat(id).unwrap().unwrap().documents, 2);
    replicate(&a, &b);
    assert_eq!(b.attachments().wanted(None).unwrap(), [token.blob()]);
    assert!(carry(&a, &b, token.blob(), 0..1));
    assert!(b.attachments().wanted(None).unwrap().is_empty());
    assert_eq!(
        b.attachments().collect(Duration::ZERO).unwrap(),
        Collected::default()
    );
    let all = |store: &Store| {
        store
            .execute("DELETE FROM cars WHERE true", &Params::new())
            .unwrap()
    };
    all(&a);
    replicate(&a, &b);
    for store in [&a, &b] {
        assert_eq!(store.attachments().stat(id).unwrap().unwrap().documents, 0);
        let hour = Duration::from_secs(3600);
        assert_eq!(
            store.attachments().collect(hour).unwrap(),
            Collected::default(),
            "the grace"
        );
        let gone = Collected {
            attachments: 1,
            bytes: 5,
        };
        assert_eq!(store.attachments().collect(Duration::ZERO).unwrap(), gone);
        assert!(ids(store).is_empty());
    }
}

/// Goal: an attachment that only a lost value of a field names stays as long as CONFLICTS shows that value.
#[test]
fn what_only_a_conflict_names_stays() {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let stores = [0, 1].map(|n| open(folders[n].path(), n as u8 + 1));
    let [a, b] = &stores;
    insert(a, r#"{"_id":"x","m":{"n":0}}"#);
    replicate(a, b);
    let tokens = [b"one", b"two"].map(|bytes| {
        let [token, _] = stores.each_ref().map(|store| put(store, bytes));
        token
    });
    for (store, token) in stores.iter().zip(&tokens) {
        let file = Params::from([("file".to_owned(), token.clone().into())]);
        store
            .execute("UPDATE cars SET m.file = :file", &file)
            .unwrap();
    }
    replicate(a, b);
    replicate(b, a);
    for (store, folder) in stores.iter().zip(&folders) {
        assert_eq!(
            rows(store, "SELECT CONFLICTS(m.file) AS f FROM cars").len(),
            1
        );
        assert_eq!(
            store.attachments().collect(Duration::ZERO).unwrap(),
            Collected::default()
        );
        for token in &tokens {
            let stat = store.attachments().stat(token.blob().id).unwrap();
            assert_eq!(stat.unwrap().documents, 1);
        }
        store
            .execute(
                "UPDATE cars SET m.file = :file",
                &Params::from([("file".to_owned(), tokens[0].clone().into())]),
            )
            .unwrap();
        assert_eq!(
            store
                .attachments()
                .collect(Duration::ZERO)
                .unwrap()
                .attachments,
            1
        );
        assert_eq!(ids(store), [tokens[0].blob().id], "{folder:?}");
    }
}

/// Goal: what is here in part, and named by no document, goes as well.
#[test]
fn unused_parts_are_collected() {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let [from, to] = [0, 1].map(|n| open(folders[n].path(), n as u8 + 1));
    let blob = put(&from, &content(2 * CHUNK, 7)).blob();
    carry(&from, &to, blob, 0..1);
    assert_eq!(
        to.attachments()
            .collect(Duration::ZERO)
            .unwrap()
            .attachments,
        1
    );
    assert_eq!(to.attachments().missing(blob).unwrap(), gap(0..2));
    assert_eq!(files(&folders[1].path().join("blobs")), 0);
    // A part of what has come as a whole meanwhile goes too, though a document names it.
    carry(&from, &to, blob, 1..2);
    let token = put(&to, &content(2 * CHUNK, 7));
    to.import("c", &[document("x", &[token])]).unwrap();
    to.attachments().collect(Duration::ZERO).unwrap();
    assert_eq!(files(&folders[1].path().join("blobs/partial")), 0);
    assert_eq!(get(&to, blob.id), content(2 * CHUNK, 7));
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

#[derive(Clone, Debug)]
enum Step {
    Put(u8),
    Write(u8, Vec<u8>),
    Delete(u8),
    Collect,
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0u8..6).prop_map(Step::Put),
        4 => (0u8..4, prop::collection::vec(0u8..6, 0..4)).prop_map(|(id, blobs)| Step::Write(id, blobs)),
        2 => (0u8..4).prop_map(Step::Delete),
        2 => Just(Step::Collect),
        1 => Just(Step::Reopen),
    ]
}

fn cases() -> u32 {
    match std::env::var("SEDGE_FULL").as_deref() {
        Ok("store") => 2_000,
        _ => 16,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases()))]

    /// Goal: after any puts, writes, deletes and collections exactly what was put and is named remains.
    #[test]
    fn exactly_what_is_named_remains(steps in prop::collection::vec(step(), 1..24)) {
        let folder = tempfile::tempdir().unwrap();
        let mut store = open(folder.path(), 1);
        let bytes = |n: u8| content(usize::from(n) * CHUNK / 2, u64::from(n));
        let token = |n: u8| Attachment::new(BlobId::of(&bytes(n)), bytes(n).len() as u64, BTreeMap::new()).unwrap();
        let (mut here, mut documents) = (BTreeMap::new(), BTreeMap::new());
        for step in steps.into_iter().chain([Step::Collect]) {
            match step {
                Step::Put(n) => _ = here.insert(put(&store, &bytes(n)).blob().id, n),
                Step::Write(id, blobs) => {
                    let tokens: Vec<_> = blobs.iter().map(|n| token(*n)).collect();
                    store.import("c", &[document(&id.to_string(), &tokens)]).unwrap();
                    documents.insert(id, blobs);
                }
                Step::Delete(id) => {
                    if documents.remove(&id).is_some() {
                        store.execute(&format!("DELETE FROM c WHERE _id = '{id}'"), &Params::new()).unwrap();
                    }
                }
                Step::Collect => {
                    store.attachments().collect(Duration::ZERO).unwrap();
                    here.retain(|_, n| documents.values().flatten().any(|named| named == n));
                }
                Step::Reopen => {
                    drop(store);
                    store = open(folder.path(), 1);
                }
            }
            prop_assert_eq!(ids(&store), here.keys().copied().collect::<Vec<_>>());
        }
        for stat in store.attachments().list(None).unwrap() {
            let naming = documents.values().filter(|blobs| blobs.contains(&here[&stat.id]));
            prop_assert_eq!(stat.documents, naming.count() as u64);
            prop_assert_eq!(get(&store, stat.id), bytes(here[&stat.id]));
        }
    }
}
