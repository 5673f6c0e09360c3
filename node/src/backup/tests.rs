//! Backups as files: what is missing or changed in them is told, and nothing is restored of it.

use super::*;
use crate::Settings;
use crate::state::StateFolder;
use sedge_crdt::query::Params;
use sedge_crdt::{BlobId, StoreError, StoreOptions, parse_json};
use sedge_identity::AppId;

struct Fixture {
    folder: tempfile::TempDir,
}

impl Fixture {
    /// A device with a backup of 200 documents in `backup`.
    fn new() -> Self {
        let fixture = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        let state = fixture.device("a", "shop");
        let store = open(&state);
        let document = |n| parse_json(&format!("{{\"_id\":\"{n}\",\"n\":{n}}}")).unwrap();
        let documents: Vec<_> = (0..200).map(document).collect();
        store.import("cars", &documents).unwrap();
        let manifest = take(&store, "a", &fixture.backup(), &mut |_| ()).unwrap();
        assert_eq!(manifest.documents(), 200);
        fixture
    }

    fn device(&self, name: &str, app: &str) -> StateFolder {
        let state = StateFolder::new(self.folder.path().join(name));
        state.init(&Settings::of(app, name), None).unwrap();
        state
    }

    fn backup(&self) -> PathBuf {
        self.folder.path().join("backup")
    }

    fn refused(&self, state: &StateFolder) -> String {
        let error = restore(state, &self.backup(), false, &mut |_| ()).unwrap_err();
        error.to_string()
    }
}

fn open(state: &StateFolder) -> Store {
    let app = AppId::new("shop").unwrap();
    state
        .open_store(
            &app,
            &state.key().unwrap().public(),
            StoreOptions::default(),
        )
        .unwrap()
}

fn documents(state: &StateFolder) -> u64 {
    let collections = open(state).collections();
    collections.iter().map(|it| it.documents).sum()
}

/// Goal: each file of a backup that is missing, cut or has one byte changed is named, and the device stays as it was.
#[test]
fn a_damaged_backup_is_named_and_not_restored() {
    let fixture = Fixture::new();
    let state = fixture.device("b", "shop");
    let store = fixture.backup().join(STORE);
    let files = Manifest::read(&fixture.backup()).unwrap().files;
    assert!(files.len() > 4, "{files:?}");
    for (name, sum) in &files {
        let path = store.join(name);
        let whole = fs::read(&path).unwrap();
        assert_eq!(whole.len() as u64, sum.bytes);
        fs::remove_file(&path).unwrap();
        assert!(fixture.refused(&state).contains(name));
        let mut damaged = vec![whole.clone(), [&whole[..], b"x"].concat()];
        damaged[0].pop();
        if !whole.is_empty() {
            let mut flipped = whole.clone();
            flipped[whole.len() / 2] ^= 1;
            damaged.push(flipped);
        }
        for bytes in damaged.iter().filter(|bytes| **bytes != whole) {
            fs::write(&path, bytes).unwrap();
            let reason = fixture.refused(&state);
            assert!(
                reason.contains(name) && reason.contains("damaged"),
                "{reason}"
            );
        }
        fs::write(&path, whole).unwrap();
    }
    assert_eq!(documents(&state), 0);
    let restored = restore(&state, &fixture.backup(), false, &mut |_| ()).unwrap();
    assert_eq!(documents(&state), 200);
    assert!(
        restored.set_aside.is_none(),
        "an empty store is nothing to keep"
    );
    let left = fs::read_dir(state.path()).unwrap().flatten();
    let left: Vec<_> = left.map(|entry| entry.file_name()).collect();
    let made = |name: &std::ffi::OsString| {
        let name = name.to_string_lossy();
        name.starts_with("restor") || name.starts_with("store-")
    };
    assert!(!left.iter().any(made), "{left:?}");
}

/// Goal: what is no backup, or none for this device, is told apart.
#[test]
fn other_backups_are_refused() {
    let fixture = Fixture::new();
    let other = fixture.device("b", "other");
    assert!(fixture.refused(&other).contains("app shop"));
    let state = fixture.device("c", "shop");
    let manifest = fixture.backup().join(MANIFEST);
    let text = fs::read_to_string(&manifest).unwrap();
    let later = text.replacen("\"backup\": 1", "\"backup\": 2", 1);
    assert_ne!(later, text);
    for (text, part) in [
        (later, "version 2"),
        ("{}".to_owned(), "makes no sense"),
        (text.replace("cars", "vans"), "something else"),
        (text.replacen("\"files\"", "\"fils\"", 1), "damaged"),
        (text.replacen("CURRENT", "../CURRENT", 1), "name of a file"),
    ] {
        fs::write(&manifest, text).unwrap();
        let reason = fixture.refused(&state);
        assert!(reason.contains(part), "{part}: {reason}");
    }
    fs::remove_file(&manifest).unwrap();
    assert!(fixture.refused(&state).contains("no backup"));
    assert_eq!(documents(&state), 0);
}

/// Goal: documents are set aside only when asked for, and are still all there then.
#[test]
fn a_store_with_documents_is_set_aside_never_deleted() {
    let fixture = Fixture::new();
    let state = fixture.device("b", "shop");
    let store = open(&state);
    let insert = "INSERT INTO cars DOCUMENTS ({'_id': 'own'})";
    store.execute(insert, &Params::new()).unwrap();
    drop(store);
    assert!(fixture.refused(&state).contains("--force"));
    assert_eq!(documents(&state), 1);
    let restored = restore(&state, &fixture.backup(), true, &mut |_| ()).unwrap();
    assert_eq!(documents(&state), 200);
    let aside = restored.set_aside.unwrap();
    let contents = Contents::read(&aside, Check::Documents, &mut |_, _| ()).unwrap();
    assert_eq!(contents.documents(), 1);
}

/// Goal: a restore that was cut after it had set the earlier store aside is completed by the next opening.
#[test]
fn a_restore_that_was_cut_short_is_completed() {
    let fixture = Fixture::new();
    let state = fixture.device("b", "shop");
    restore(&state, &fixture.backup(), false, &mut |_| ()).unwrap();
    fs::rename(state.store_path(), state.restored_path()).unwrap();
    state.create().unwrap();
    assert_eq!(documents(&state), 200);
}

/// Goal: the copy of a store that another device holds can't be used without beginning anew.
#[test]
fn a_copied_store_is_foreign_until_it_begins_anew() {
    let fixture = Fixture::new();
    let state = fixture.device("b", "shop");
    fs::remove_dir_all(state.store_path()).unwrap();
    fs::rename(fixture.backup().join(STORE), state.store_path()).unwrap();
    let device = state.key().unwrap().public();
    let opened = state.open_store(
        &AppId::new("shop").unwrap(),
        &device,
        StoreOptions::default(),
    );
    assert!(matches!(
        opened.err().unwrap(),
        NodeError::Store(StoreError::Foreign { .. })
    ));
}

/// Goal: an attachment that a backup has lost, or that rotted there or before, is told by name; all others come back
/// byte for byte, and so do the documents.
#[test]
fn a_lost_attachment_is_told_and_costs_itself_only() {
    let fixture = Fixture::new();
    let store = open(&fixture.device("c", "shop"));
    let attachments = store.attachments();
    let contents: Vec<Vec<u8>> = (0..5u8).map(|n| vec![n; 70_000 * usize::from(n)]).collect();
    for (n, bytes) in contents.iter().enumerate() {
        let token = attachments.put(&bytes[..], BTreeMap::new()).unwrap();
        let fields = [
            ("_id".to_owned(), sedge_crdt::Value::from(n.to_string())),
            ("file".to_owned(), sedge_crdt::Value::from(token)),
        ];
        let document = sedge_crdt::Value::Map(fields.into());
        store.import("files", &[document]).unwrap();
    }
    let id = |n: usize| BlobId::of(&contents[n]);
    let hex = id(4).to_string();
    let kept = fixture.folder.path().join("c/store/blobs/whole");
    // Damaged before the backup, so that it isn't in it.
    fs::write(kept.join(&hex[..2]).join(&hex), "rotten").unwrap();
    let backup = fixture.folder.path().join("with attachments");
    let manifest = take(&store, "c", &backup, &mut |_| ()).unwrap();
    let names: Vec<_> = manifest.attachments.keys().cloned().collect();
    let mut expected: Vec<_> = (0..4).map(|n| id(n).to_string()).collect();
    expected.sort();
    assert_eq!(names, expected);
    fs::remove_file(backup.join(ATTACHMENTS).join(id(2).to_string())).unwrap();
    // The hash of one that is in its place, and of none.
    let swapped = backup.join(ATTACHMENTS).join(id(3).to_string());
    for wrong in [&contents[1][..], b"rotten"] {
        fs::remove_file(&swapped).unwrap(); // the store has the same file
        fs::write(&swapped, wrong).unwrap();
        let state = fixture.device(&format!("restored {}", wrong.len()), "shop");
        let restored = restore(&state, &backup, false, &mut |_| ()).unwrap();
        let mut lost = vec![id(2), id(3)];
        lost.sort();
        assert_eq!(restored.attachments.lost, lost);
        assert_eq!(
            (restored.attachments.restored, restored.attachments.wanted),
            (2, 3)
        );
        assert_eq!(documents(&state), 5);
        let store = open(&state);
        assert_eq!(store.attachments().list(None).unwrap().len(), 2);
        for n in [0, 1] {
            let mut bytes = Vec::new();
            let mut reader = store.attachments().get(id(n)).unwrap();
            io::Read::read_to_end(&mut reader, &mut bytes).unwrap();
            assert_eq!(bytes, contents[n]);
        }
    }
}

/// Goal: what a backup that was cut off has left goes with the next one beside it; a backup that is being made, and what
/// only looks like one, stays.
#[test]
fn leftovers_of_backups_are_removed() {
    let fixture = Fixture::new();
    let place = |name: &str| fixture.folder.path().join(name);
    let draft = draft::Draft::new(fixture.folder.path()).unwrap();
    let (left, file) = (place(".sedge-backup-abc"), place(".sedge-backup-file"));
    fs::create_dir_all(left.join("store")).unwrap();
    fs::write(left.join("store/CURRENT"), "x").unwrap();
    fs::write(&file, "x").unwrap();
    let store = open(&fixture.device("c", "shop"));
    take(&store, "c", &place("next"), &mut |_| ()).unwrap();
    assert!(!left.exists());
    assert!(draft.path().exists() && file.exists());
}

/// Goal: a backup is not made where a restore would set it aside.
#[test]
fn a_backup_does_not_lie_in_a_store() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    fs::create_dir(&store).unwrap();
    assert!(check_target(&store.join("bk")).is_ok());
    for name in ["CURRENT", "IDENTITY"] {
        fs::write(store.join(name), "").unwrap();
    }
    for path in [store.join("bk"), store.join("blobs/bk")] {
        let refused = check_target(&path);
        assert!(
            matches!(refused, Err(BackupError::InStore(_))),
            "{refused:?}"
        );
    }
    assert!(check_target(&folder.path().join("bk")).is_ok());
}
