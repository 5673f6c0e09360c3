//! What the mesh gets to see of the store, and what one store takes from another over it.

use super::*;
use sedge_crdt::{Value, query::Params};
use sedge_identity::{AppId, CertificateRequest, DeviceKey, Issuer, LocalIdentity, Trust};
use sedge_mesh::SyncStatus;

fn store(folder: &tempfile::TempDir) -> Store {
    let (app, key) = (AppId::new("demo").unwrap(), DeviceKey::from_seed([1; 32]));
    let store = Store::open(folder.path(), &app, &key.public()).unwrap();
    let issuer = Issuer::new(app.clone(), DeviceKey::from_seed([9; 32]));
    let request = CertificateRequest::development(key.public(), "device");
    let certificate = issuer.issue(request, [1; 16], 1).unwrap();
    let trust = Trust::new(app, &[issuer.public()]).unwrap();
    let identity = LocalIdentity::new(key, &certificate.into(), trust, 1).unwrap();
    store.certify(Arc::new(identity)).unwrap();
    store
}

fn car(id: &str) -> DocumentKey {
    let collection = CollectionName::new("cars").unwrap();
    DocumentKey::new(collection, id.to_owned()).unwrap()
}

/// Goal: a damaged document is told of once and is no failure; any other error is one.
#[test]
fn damage_is_told_once_and_holds_up_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let replica = StoreReplica::new(store(&folder));
    let damaged = || StoreError::Damaged {
        what: "document a".to_owned(),
        reason: "a chunk is cut".to_owned(),
    };
    let found = replica.unless_damaged::<()>(&car("a"), Err(damaged()));
    assert!(matches!(found, Ok(None)));
    assert!(!replica.tell_damage(&car("a"), "again"));
    let reason = damaged().to_string();
    let outcome = replica.outcome(&car("b"), Arrived::Damaged { reason });
    assert_eq!(outcome, IngestOutcome::Damaged);
    assert!(!replica.tell_damage(&car("b"), "again"));
    let found = replica.unless_damaged::<()>(&car("c"), Err(StoreError::NotObservable));
    assert!(matches!(found, Err(StoreError::NotObservable)));
}

/// Goal: small commits carry their changes, large ones and missed ones only the names of their collections.
#[test]
fn only_small_commits_carry_their_changes() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder);
    let mut released = store.released();
    // Digits of a hash, since changes are compressed.
    let mut noise = vec![0; sedge_mesh::limits::FLOOD_BYTES_MAX];
    blake3::Hasher::new().finalize_xof().fill(&mut noise);
    let noise = sedge_identity::hex(&noise).to_string();
    for (text, floods) in [("small".to_owned(), 1), (noise, 0)] {
        let car = Value::Map([("text".to_owned(), Value::String(text))].into());
        let params: Params = [("car".to_owned(), car)].into();
        let insert = "INSERT INTO cars DOCUMENTS (:car)";
        store.execute(insert, &params).unwrap();
        store.seal().unwrap();
        let told = told(&store, &released.try_recv().unwrap());
        assert_eq!((told.documents, told.floods.len()), (1, floods));
    }
    let missed = missed(&store);
    let cars = CollectionName::new("cars").unwrap();
    assert_eq!(missed.collections, BTreeSet::from([cars]));
    assert_eq!(missed.last_sequence, Sequence(2));
}

/// Goal: whatever the store takes as a name can be replicated; the two crates don't see each other's limits.
#[test]
fn the_mesh_carries_every_name_of_the_store() {
    use sedge_crdt::limits as store;
    use sedge_mesh::limits as mesh;
    assert_eq!(
        mesh::COLLECTION_NAME_BYTES_MAX,
        store::COLLECTION_NAME_BYTES_MAX
    );
    assert_eq!(mesh::DOCUMENT_ID_BYTES_MAX, store::DOCUMENT_ID_BYTES_MAX);
    const { assert!(store::DELTA_BYTES_MAX <= mesh::DELTA_BYTES_MAX) };
}

fn write(store: &Store, id: &str, mut fields: BTreeMap<String, Value>) -> Result<(), StoreError> {
    fields.insert("_id".to_owned(), id.into());
    let params: Params = [("car".to_owned(), Value::Map(fields))].into();
    let insert = "INSERT INTO cars DOCUMENTS (:car) ON ID CONFLICT DO UPDATE";
    store.execute(insert, &params).map(drop)
}

/// Text that compression makes hardly shorter.
fn noise(bytes: usize) -> String {
    let mut noise = vec![0; bytes];
    blake3::Hasher::new().finalize_xof().fill(&mut noise);
    let printed = noise.iter().map(|byte| char::from(b'!' + byte % 94));
    printed.collect()
}

/// Maps below one with a long name, as many as are born.
fn maps(name: String, names: impl Iterator<Item = String>) -> BTreeMap<String, Value> {
    let empty = || Value::Map(BTreeMap::new());
    let within = names.map(|name| (name, empty())).collect();
    [(name, Value::Map(within))].into()
}

/// The store with the largest document that a store takes, between two others: it has as many births, with as long
/// names, as a document may have.
fn store_with_the_largest_document(folder: &tempfile::TempDir) -> Store {
    use sedge_crdt::limits::{BIRTHS_MAX, DOCUMENT_BYTES_MAX, FIELD_NAME_BYTES_MAX};
    let store = store(folder);
    let noise = noise(DOCUMENT_BYTES_MAX);
    let name = |n: usize| format!("{n:03}{}", &noise[n * 7..][..FIELD_NAME_BYTES_MAX - 3]);
    let mut largest = maps(name(0), (1..BIRTHS_MAX).map(name));
    let text = DOCUMENT_BYTES_MAX - BIRTHS_MAX * (FIELD_NAME_BYTES_MAX + 32);
    largest.insert("text".to_owned(), noise[..text].into());
    write(&store, "before", BTreeMap::new()).unwrap();
    write(&store, "largest", largest).unwrap();
    write(&store, "after", BTreeMap::new()).unwrap();
    store
}

/// What is sent of a document in one delta of at most so many bytes.
fn changes(
    from: &StoreReplica,
    document: &DocumentKey,
    heads: Vec<ChangeHash>,
    delta_bytes_max: usize,
) -> Answered {
    let limits = ChangesLimits {
        answer_bytes_max: usize::MAX,
        part: PartLimits {
            delta_bytes_max,
            evidence_bytes_max: usize::MAX,
        },
    };
    let wants = [(document.clone(), heads)];
    from.changes(&wants, limits).unwrap()
}

/// What a neighbour takes in of all documents, in deltas of at most so many bytes; how many deltas each document took.
fn follow(from: &StoreReplica, to: &StoreReplica, bytes_max: usize) -> Vec<usize> {
    let limits = PageLimits {
        entries_max: 10,
        bytes_max: 1 << 20,
        scan_max: 10,
    };
    let everything = Interest::Everything;
    from.store.seal().unwrap();
    let page = from.feed_page(Sequence(0), &everything, limits).unwrap();
    let missing = to.missing(&page.entries).unwrap();
    let wants = page.entries.iter().zip(missing);
    let parts = wants.map(|(entry, missing)| {
        let mut have = match missing {
            Missing::Changes(heads) => Some(heads),
            Missing::Nothing | Missing::Damaged => None,
        };
        let mut parts = 0;
        while let Some(heads) = have.take() {
            let answered = changes(from, &entry.document, heads, bytes_max);
            let [delta] = &answered.bundle.deltas[..] else {
                break;
            };
            assert!(delta.payload.len() <= bytes_max);
            let outcomes = to.ingest(vec![answered.bundle], &Origin::Flood).unwrap();
            assert_eq!(outcomes, [IngestOutcome::Applied]);
            (parts, have) = (parts + 1, answered.more_after);
        }
        parts
    });
    parts.collect()
}

fn two_folders() -> [tempfile::TempDir; 2] {
    [(); 2].map(|()| tempfile::tempdir().unwrap())
}

/// Goal: the largest document that a store takes is carried, in one delta that the mesh has room for.
#[test]
fn the_largest_document_is_carried() {
    use sedge_mesh::limits::DELTA_BYTES_MAX;
    let folders = two_folders();
    let from = StoreReplica::new(store_with_the_largest_document(&folders[0]));
    let to = StoreReplica::new(store(&folders[1]));
    from.store.seal().unwrap();
    let largest = changes(&from, &car("\"largest\""), vec![], DELTA_BYTES_MAX);
    assert!(largest.bundle.deltas[0].payload.len() > 4 << 20);
    assert_eq!(follow(&from, &to, DELTA_BYTES_MAX), [1, 1, 1]);
    assert_eq!(from.store.collections(), to.store.collections());
}

/// Goal: a name whose repetition made a delta too large for the mesh is refused where it is written.
#[test]
fn a_name_that_is_too_long_is_refused_when_written() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder);
    let long = maps("x".repeat(80_000), (0..250).map(|n| n.to_string()));
    let refused = write(&store, "big", long).unwrap_err().to_string();
    assert!(refused.contains("80000 bytes; at most 2048"), "{refused}");
    assert_eq!(store.feed().last, 0);
}

/// Goal: a document of which a single change can't be carried is told of and passed over, and those behind it arrive.
#[test]
fn a_document_that_cannot_be_carried_holds_up_nobody() {
    let folders = two_folders();
    let from = StoreReplica::new(store_with_the_largest_document(&folders[0]));
    let to = StoreReplica::new(store(&folders[1]));
    assert_eq!(follow(&from, &to, 4 << 20), [1, 0, 1]);
    assert!(!from.tell_damage(&car("\"largest\""), "told already"));
    assert_eq!(to.store.collections()[0].documents, 2);
}

/// Goal: a history beyond one delta reaches another store whole, in parts within their budget.
#[test]
fn a_long_history_arrives_in_parts() {
    let folders = two_folders();
    let [from, to] = folders
        .each_ref()
        .map(|folder| StoreReplica::new(store(folder)));
    for n in 0..12 {
        let fields = [("text".to_owned(), noise(600_000 + n).as_str().into())];
        write(&from.store, "a", fields.into()).unwrap();
    }
    let parts = follow(&from, &to, 2_000_000);
    assert!(parts[0] > 2, "{parts:?}");
    assert_eq!(from.store.collections(), to.store.collections());
    assert_eq!(follow(&from, &to, 2_000_000), [0]);
}

/// Goal: as delivered counts what a neighbour that wants everything has, not what it merely passed.
#[test]
fn what_a_neighbour_left_out_is_not_delivered() {
    let neighbour = |whole, acked, whole_to| PeerStatus {
        peer: libp2p::PeerId::random(),
        address: libp2p::Multiaddr::empty(),
        direction: sedge_mesh::Direction::Inbound,
        name: None,
        connected_since: std::time::SystemTime::UNIX_EPOCH,
        sync: Some(SyncStatus {
            acked: Sequence(acked),
            whole_to: Sequence(whole_to),
            whole,
            ..SyncStatus::default()
        }),
        sent_bytes: 0,
        received_bytes: 0,
    };
    let delivered = |neighbours| {
        let (_sender, peers) = watch::channel(neighbours);
        let interest = Interest::Everything;
        Delivered { interest, peers }.delivered()
    };
    assert_eq!(delivered(vec![]), 0);
    assert_eq!(delivered(vec![neighbour(false, 9, 9)]), 0);
    assert_eq!(delivered(vec![neighbour(true, 9, 4)]), 4);
    let several = [(true, 9, 4), (true, 7, 5), (false, 9, 9)];
    let several = several.map(|(whole, acked, whole_to)| neighbour(whole, acked, whole_to));
    assert_eq!(delivered(several.to_vec()), 5);
}

/// Goal: both positions of a cursor are kept.
#[test]
fn a_cursor_comes_back_as_it_was_stored() {
    let folder = tempfile::tempdir().unwrap();
    let replica = StoreReplica::new(store(&folder));
    let (feed, interest) = (FeedId([7; 16]), Interest::Everything);
    assert_eq!(replica.cursor(feed, &interest).unwrap(), Cursor::default());
    let cursor = Cursor {
        up_to: Sequence(9),
        whole_to: Sequence(4),
    };
    replica.store_cursor(feed, &interest, cursor).unwrap();
    assert_eq!(replica.cursor(feed, &interest).unwrap(), cursor);
}
