//! Attachments stay as long as a document names them.

use super::attachments::{CHUNK, carry, content, files, gap, get, ids, put};
use super::*;
use proptest::prelude::*;
use sedge_crdt::{Attachment, BlobId, Collected};
use std::collections::BTreeMap;

fn document(id: &str, tokens: &[Attachment]) -> Value {
    let tokens = tokens.iter().cloned().map(Value::from).collect();
    let fields = [
        ("_id".to_owned(), id.into()),
        ("files".to_owned(), Value::List(tokens)),
    ];
    Value::Map(BTreeMap::from(fields))
}

/// Goal: an id alone is told as most documents name it.
#[test]
fn an_id_is_told_as_documents_name_it() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), 1);
    let id = BlobId::of(b"photo");
    let token = |len| Attachment::new(id, len, BTreeMap::new()).unwrap();
    assert_eq!(store.attachments().named(id).unwrap(), None);
    for (document_id, len) in [("a", 9), ("b", 5), ("c", 5)] {
        let document = document(document_id, &[token(len)]);
        store.import("cars", &[document]).unwrap();
    }
    let named = |id| store.attachments().named(id).unwrap();
    assert_eq!(named(id), Some(token(5).blob()));
    assert_eq!(named(BlobId::of(b"")), None);
    let delete = "DELETE FROM cars WHERE true";
    store.execute(delete, &Params::new()).unwrap();
    assert_eq!(named(id), None);
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
