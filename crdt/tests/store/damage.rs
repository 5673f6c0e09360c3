//! Bytes of a closed store's files that change: what can't be read is told, and never are there fewer documents.

use super::*;
use sedge_crdt::FeedCursor;
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

/// Documents that are in the write-ahead log only.
const LATE: usize = 20;

/// Bytes of each kind of file that are changed, one at a time.
fn places() -> usize {
    match std::env::var("SEDGE_FULL").as_deref() {
        Ok("store") => 2_000,
        _ => 60,
    }
}

/// The files of a store of two collections as a crash leaves it: some in tables, the last in the write-ahead log only.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let store = open(folder, 1);
    store.import("cars", &many(300)).unwrap();
    store.compact().unwrap();
    store.import("vans", &many(100)).unwrap();
    drop(store);
    let store = open(folder, 1);
    for n in 0..LATE {
        insert(&store, &format!(r#"{{"_id":"late{n:02}"}}"#));
    }
    files_of(folder) // before the store is closed
}

fn newest_log(files: &BTreeMap<String, Vec<u8>>) -> (&String, &Vec<u8>) {
    let mut logs = files.iter().filter(|(name, _)| name.ends_with(".log"));
    logs.next_back().unwrap() // their names are numbers of six digits
}

/// The files as a crash at one moment would leave them: read until nothing was flushed or compacted meanwhile.
fn files_of(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut last = None;
    loop {
        let files = try_files_of(folder).ok();
        if let Some(files) = files.clone().filter(|_| files == last) {
            return files;
        }
        last = files;
    }
}

fn try_files_of(folder: &Path) -> std::io::Result<BTreeMap<String, Vec<u8>>> {
    let entries = fs::read_dir(folder)?.flatten();
    let entries = entries.filter(|entry| entry.path().is_file());
    let files = entries.map(|entry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        Ok((name, fs::read(entry.path())?))
    });
    files.collect()
}

/// All documents of the store, or why not all of them can be read. What is told names damage.
fn read(folder: &Path) -> Result<Vec<String>, String> {
    let read = || {
        let store = try_open(folder, "demo", 1)?;
        let mut documents = Vec::new();
        for collection in ["cars", "vans"] {
            for document in store.view().documents(collection)? {
                documents.push(document?.to_string());
            }
        }
        Ok(documents)
    };
    read().map_err(|error: StoreError| {
        let told = error.to_string();
        let names = ["damaged", "Corruption", "no collection", "corrupt"];
        assert!(names.iter().any(|name| told.contains(name)), "{told}");
        told
    })
}

/// Changes single bytes of the files of one kind, and sees that all documents are there or damage is told.
fn assert_told(kind: impl Fn(&str) -> bool, changes: &[u8]) {
    let folder = tempfile::tempdir().unwrap();
    let files = files(&folder.path().join("store"));
    let damaged = folder.path().join("damaged");
    let lay = |skip: Option<(&str, usize, u8)>| -> PathBuf {
        fs::remove_dir_all(&damaged).unwrap_or_default();
        fs::create_dir(&damaged).unwrap();
        for (name, bytes) in &files {
            let mut bytes = bytes.clone();
            if let Some((_, place, change)) = skip.filter(|skip| skip.0 == name) {
                bytes[place] ^= change;
            }
            fs::write(damaged.join(name), bytes).unwrap();
        }
        damaged.clone()
    };
    let whole = read(&lay(None)).unwrap();
    assert_eq!(whole.len(), 400 + LATE);
    let bytes: Vec<(&str, usize)> = files
        .iter()
        .filter(|(name, _)| kind(name))
        .flat_map(|(name, bytes)| (0..bytes.len()).map(move |place| (name.as_str(), place)))
        .collect();
    assert!(!bytes.is_empty());
    let (mut told, mut unharmed) = (0, 0);
    for n in 0..places().min(bytes.len()) {
        let (name, place) = bytes[n * bytes.len() / places().min(bytes.len())];
        let change = changes[n % changes.len()];
        match read(&lay(Some((name, place, change)))) {
            Ok(documents) => {
                assert!(
                    documents == whole,
                    "{} of {} documents after byte {place} of {name} was changed by {change}",
                    documents.len(),
                    whole.len()
                );
                unharmed += 1;
            }
            Err(_) => told += 1,
        }
    }
    println!("{told} told, {unharmed} without effect");
    assert!(told > 0);
}

/// Goal: a byte changed in a table file is told when it is met.
#[test]
fn a_changed_byte_of_a_table_is_told() {
    assert_told(|name| name.ends_with(".sst"), &[0xff, 0x01]);
}

/// Goal: a byte changed in the list of tables never makes tables disappear.
#[test]
fn a_changed_byte_of_the_manifest_is_told() {
    let changes = &[0xff, 0x01, 0x10];
    assert_told(|name| name.starts_with("MANIFEST"), changes);
}

/// Goal: a byte changed in the write-ahead log that a crash has left is told, wherever it is.
#[test]
fn a_changed_byte_of_the_log_is_told() {
    let changes = &[0xff, 0x01, 0x10];
    assert_told(|name| name.ends_with(".log"), changes);
}

/// Goal: a log that is written over an older one holds all that was acknowledged, and a byte changed in it is told if it
/// was part of that.
#[test]
fn a_log_over_an_older_one_is_read_to_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder.path().join("store"), 1);
    let log_of_rocksdb = folder.path().join("store/LOG");
    let reuses = || {
        let told = fs::read_to_string(&log_of_rocksdb).unwrap();
        told.matches("reusing log").count()
    };
    let text = "x".repeat(20_000);
    let mut rounds = 0;
    while reuses() < 2 {
        let document = |n: usize| {
            let json = format!(r#"{{"_id":"{n}","round":{rounds},"text":"{text}"}}"#);
            parse_json(&json).unwrap()
        };
        let documents: Vec<Value> = (0..50).map(document).collect();
        store.import("large", &documents).unwrap();
        rounds += 1;
        assert!(rounds < 200, "logs are written over");
    }
    for n in 0..LATE {
        insert(&store, &format!(r#"{{"_id":"late{n:02}"}}"#));
    }
    let files = files_of(&folder.path().join("store"));
    let (name, log) = newest_log(&files);
    let end = log
        .windows(6)
        .rposition(|bytes| bytes == b"late19")
        .unwrap();
    let read = |change: Option<usize>| {
        let crashed = tempfile::tempdir().unwrap();
        for (name, bytes) in &files {
            fs::write(crashed.path().join(name), bytes).unwrap();
        }
        let mut bytes = log.clone();
        if let Some(place) = change {
            bytes[place] ^= 0xff;
        }
        fs::write(crashed.path().join(name), bytes).unwrap();
        let store = try_open(crashed.path(), "demo", 1)?;
        Ok::<_, StoreError>(rows(&store, "SELECT _id FROM cars").len())
    };
    assert_eq!(read(None).unwrap(), LATE);
    for place in (0..end).step_by(end / 8) {
        let told = read(Some(place)).unwrap_err();
        assert!(
            matches!(told, StoreError::Damaged { .. }),
            "{place}: {told}"
        );
    }
    if end + 1_000 < log.len() {
        // Here are bytes of the older one.
        assert_eq!(read(Some(log.len() - 100)).unwrap(), LATE);
    }
}

/// Goal: what a crash has torn off the end of the log, or left there of an older one, is no damage where nothing of it
/// was acknowledged; acknowledged writes that are cut off are told.
#[test]
fn a_torn_end_is_no_damage() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder.path().join("store"), 1);
    insert(&store, r#"{"_id":"early"}"#);
    let acknowledged = files_of(&folder.path().join("store"));
    let cursor = FeedCursor {
        up_to: 1,
        whole_to: 1,
    };
    store.store_cursor(&[1; 16], &[1; 8], cursor).unwrap(); // nobody has waited for it
    let written = files_of(&folder.path().join("store"));
    let (name, log) = newest_log(&written);
    let synced = acknowledged[name].len();
    assert!(synced < log.len());
    let opens_with = |log: &[u8]| {
        let torn = tempfile::tempdir().unwrap();
        for (name, bytes) in &written {
            fs::write(torn.path().join(name), bytes).unwrap();
        }
        fs::write(torn.path().join(name), log).unwrap();
        let store = try_open(torn.path(), "demo", 1)?;
        Ok::<_, StoreError>(store.cursor(&[1; 16], &[1; 8]).unwrap().up_to)
    };
    assert_eq!(opens_with(log).unwrap(), 1);
    for length in (synced..log.len()).step_by(7) {
        assert_eq!(opens_with(&log[..length]).unwrap(), 0, "{length} bytes");
        let mut older = log[..length].to_vec();
        older.resize(log.len() + 100, 0x5e);
        assert_eq!(opens_with(&older).unwrap(), 0, "{length} bytes and others");
    }
    for length in (0..synced).step_by(synced / 20) {
        let told = opens_with(&log[..length]);
        let told = told.expect_err(&format!("{length} of {synced} bytes"));
        assert!(
            matches!(told, StoreError::Damaged { .. }),
            "{length}: {told}"
        );
    }
}

/// Goal: a store that was closed has nothing in its write-ahead log that a changed byte could hide.
#[test]
fn a_closed_store_has_an_empty_log() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), 1);
    store.import("cars", &many(10)).unwrap();
    drop(store);
    for entry in fs::read_dir(folder.path()).unwrap().flatten() {
        if entry.file_name().to_string_lossy().ends_with(".log") {
            fs::remove_file(entry.path()).unwrap();
        }
    }
    assert_eq!(
        rows(&open(folder.path(), 1), "SELECT _id FROM cars").len(),
        10
    );
}

/// Goal: a damaged table is named, and what lies in others can still be read, queried and written.
#[test]
fn damage_in_one_table_leaves_the_rest_usable() {
    let folder = tempfile::tempdir().unwrap();
    let files = files(&folder.path().join("store"));
    let tables = files.iter().filter(|(name, _)| name.ends_with(".sst"));
    let tables = tables.filter(|(_, bytes)| !bytes.is_empty()); // a compaction may have just begun one
    let mut left = 0;
    for (table, bytes) in tables {
        let path = folder.path().join(table);
        fs::create_dir(&path).unwrap();
        for (name, bytes) in &files {
            fs::write(path.join(name), bytes).unwrap();
        }
        let mut damaged = bytes.clone();
        damaged[20] ^= 0xff; // entries come first in a table
        fs::write(path.join(table), damaged).unwrap();
        let told = match read(&path) {
            Ok(_) => continue, // a filter, or of a family that is not read here
            Err(told) => told,
        };
        assert!(told.contains(table), "{table} is named: {told}");
        let Ok(store) = try_open(&path, "demo", 1) else {
            continue;
        };
        let all = store.execute("SELECT _id FROM cars", &Params::new());
        let vans = store.execute("SELECT _id FROM vans", &Params::new());
        if all.is_err() && vans.is_ok_and(|vans| vans.items.len() == 100) {
            store.import("vans", &many(101)).unwrap();
            assert_eq!(rows(&store, "SELECT _id FROM vans").len(), 101);
            left += 1;
        }
    }
    assert!(left > 0, "the table of one collection was damaged");
}
