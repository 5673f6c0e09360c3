//! Backups as files: what is missing or changed in them is told, and nothing is restored of it.

use super::*;
use crate::Settings;
use crate::state::StateFolder;
use sedge_crdt::query::Params;
use sedge_crdt::{Durability, StoreError, parse_json};
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
        .open_store(&app, &state.key().unwrap().public(), Durability::Synced)
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
    let opened = state.open_store(&AppId::new("shop").unwrap(), &device, Durability::Synced);
    assert!(matches!(
        opened.err().unwrap(),
        NodeError::Store(StoreError::Foreign { .. })
    ));
}
