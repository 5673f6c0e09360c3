//! What stores take from each other: deltas, feeds, and what is no delta.

use super::*;

/// Goal: two stores that wrote apart end alike after exchanging what the other lacks, and a second exchange finds
/// nothing.
#[test]
fn stores_that_wrote_apart_converge() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (a, b) = (open(one.path(), 1), open(two.path(), 2));
    for n in 0..200 {
        insert(&a, &format!(r#"{{"_id":"a{n}","place":{{"n":{n}}}}}"#));
        insert(&b, &format!(r#"{{"_id":"b{n}","list":[{n},{{"x":1}}]}}"#));
    }
    insert(&a, r#"{"_id":"shared","m":{"from":{"a":1}}}"#);
    insert(&b, r#"{"_id":"shared","m":{"from":{"b":2}}}"#);
    assert_eq!((replicate(&a, &b), replicate(&b, &a)), (201, 201));
    a.execute("DELETE FROM cars WHERE _id = 'b7'", &Params::new())
        .unwrap();
    b.execute(
        "UPDATE cars SET place.n = -1 WHERE _id = 'a9'",
        &Params::new(),
    )
    .unwrap();
    assert_eq!((replicate(&a, &b), replicate(&b, &a)), (1, 1));
    assert_eq!((replicate(&a, &b), replicate(&b, &a)), (0, 0));
    assert_eq!(a.collections(), b.collections());
    assert_eq!(a.collections()[0].documents, 400);
    assert_eq!(
        rows(&b, "SELECT * FROM cars WHERE _id = 'shared'"),
        [r#"{"_id":"shared","m":{"from":{"a":1,"b":2}}}"#]
    );
}

/// Goal: a document of which more is missing than one delta may carry arrives whole, in parts.
#[test]
fn a_large_history_arrives_in_parts() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (a, b) = (open(one.path(), 1), open(two.path(), 2));
    insert(&a, r#"{"_id":"a","m":{"n":0}}"#);
    for n in 0..12 {
        let n = params(&format!("{{\"n\":\"{}\"}}", noise(600_000 + 2 * n)));
        let statement = "UPDATE cars SET m.n = :n, other.place.n = 1 WHERE _id = 'a'";
        a.execute(statement, &n).unwrap();
    }
    let parts = replicate_within(&a, &b, 1_000_000);
    assert!((3..12).contains(&parts), "{parts} parts");
    assert_eq!(replicate(&a, &b), 0);
    assert_eq!(a.collections(), b.collections());
}

/// Text that compression makes hardly shorter.
fn noise(bytes: usize) -> String {
    let mut noise = vec![0; bytes / 2];
    blake3::Hasher::new().finalize_xof().fill(&mut noise);
    sedge_identity::hex(&noise).to_string()
}

/// Goal: the deepest document that the store takes is read back from it.
#[test]
fn the_deepest_document_is_read_back() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (a, b) = (open(one.path(), 1), open(two.path(), 2));
    let levels = DEPTH_MAX - 1;
    let deepest = |levels| {
        format!(
            r#"{{"_id":"a","l":{}1{}}}"#,
            "[".repeat(levels),
            "]".repeat(levels)
        )
    };
    let document = parse_json(&deepest(levels)).unwrap();
    a.import("cars", &[document]).unwrap();
    assert_eq!(replicate(&a, &b), 1);
    for store in [&a, &b] {
        assert_eq!(rows(store, "SELECT * FROM cars"), [deepest(levels)]);
    }
    assert!(parse_json(&deepest(levels + 1)).is_err());
}

/// A change that puts a number under a key, in place of what `predecessors` put there.
fn change(
    actor_id: ActorId,
    seq: u64,
    deps: Vec<ChangeHash>,
    key: &str,
    predecessors: Vec<OpId>,
) -> Change {
    Change::from(ExpandedChange {
        operations: vec![Op {
            action: OpType::Put(1.into()),
            obj: ObjectId::Root,
            key: Key::from(key.to_owned()),
            pred: predecessors.into(),
            insert: false,
        }],
        actor_id,
        hash: None,
        seq,
        start_op: seq.try_into().unwrap(),
        time: 0,
        message: None,
        deps,
        extra_bytes: Vec::new(),
        author: None,
    })
}

/// A delta of one change: field 2 of the message, as bytes.
fn delta_of(change: &Change) -> Delta {
    let chunk = change.raw_bytes();
    let length = u8::try_from(chunk.len()).unwrap();
    assert!(length < 128);
    Delta::decode(&[&[0x12, length][..], chunk].concat()).unwrap()
}

/// Goal: a change whose operation names a predecessor under another key, which automerge applies but can't give out
/// or save again, is refused, and what was there before stays readable, writable and ready to be sent.
#[test]
fn a_malformed_change_is_refused_and_harms_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), 1);
    let (mallory, id) = (identity("demo", 7), DocumentId::new(&"x".into()).unwrap());
    let first = change(actor(&mallory), 1, Vec::new(), "a", Vec::new());
    let made_by_first = OpId::new(1, first.actor_id());
    let evil = change(
        actor(&mallory),
        2,
        vec![first.hash()],
        "b",
        vec![made_by_first],
    );
    for (change, is_taken) in [(&first, true), (&evil, false)] {
        let packet = Packet::sealed_by(&mallory, "cars", &id, delta_of(change));
        let arrived = packet.arrive(&store);
        assert_eq!(matches!(arrived[..], [Arrived::Applied { .. }]), is_taken);
        assert_eq!(matches!(arrived[..], [Arrived::Rejected { .. }]), !is_taken);
    }
    for n in 0..50 {
        let n = params(&format!("{{\"n\":{n}}}"));
        store.execute("UPDATE cars SET n = :n", &n).unwrap();
    }
    drop(store);
    let store = open(folder.path(), 1);
    assert_eq!(
        rows(&store, "SELECT a, b, n FROM cars"),
        [r#"{"a":1,"n":49}"#]
    );
    Packet::of(&store, "cars", &[b"\"x\""]);
}

#[test]
fn hostile_arrivals_store_nothing() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (a, b) = (open(one.path(), 1), open(two.path(), 2));
    insert(&a, r#"{"_id":"a","m":{"x":1}}"#);
    let packet = Packet::of(&a, "cars", &[b"\"a\""]);
    let good = packet.documents[0].2.clone();
    let mut flipped = good.clone();
    let last = flipped.len() - 30; // before the proof
    flipped[last] ^= 1;
    for (collection, id, delta) in [
        ("cars", &b"a"[..], &good[..]),
        ("cars", b"", &good),
        ("", b"\"a\"", &good),
        ("system:x", b"\"a\"", &good),
        ("cars", b"\"a\"", &flipped),
        ("cars", b"\"a\"", &good[..good.len() - 1]),
        ("cars", b"\"a\"", b"garbage"),
    ] {
        let packet = Packet {
            documents: vec![(collection.to_owned(), id.to_vec(), delta.to_vec())],
            ..packet.clone()
        };
        let arrived = packet.arrive(&b);
        assert!(
            matches!(arrived[..], [Arrived::Rejected { .. }]),
            "{collection} {id:?} {arrived:?}"
        );
    }
    assert_eq!(b.feed().last, 0);
    assert!(b.collections().is_empty());
}

/// Damages an entry of a closed store, as a failing disk would.
fn damage(path: &Path, family: &str, of: &str) {
    overwrite(path, family, of, b"damaged");
}

/// Goal: a document that is damaged here is an error of this store, not of the sender, and others go on.
#[test]
fn own_damage_is_nobody_elses_fault() {
    let [one, two] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let (a, b) = (open(one.path(), 1), open(two.path(), 2));
    for id in ["a", "b"] {
        insert(&a, &format!(r#"{{"_id":"{id}","n":1}}"#));
        insert(&b, &format!(r#"{{"_id":"{id}","m":1}}"#));
    }
    drop(b);
    damage(two.path(), "documents", "\"a\"");
    let b = open(two.path(), 2);
    let is_damage = |error: &StoreError| matches!(error, StoreError::Damaged { .. });
    let unknown = [[7; 32]];
    assert!(is_damage(
        &b.lacking("cars", b"\"a\"", &unknown).unwrap_err()
    ));
    let given = b
        .bundle()
        .add("cars", b"\"a\"", &[], usize::MAX, |_, _| true);
    assert!(is_damage(&given.unwrap_err()));
    let arrived = Packet::of(&a, "cars", &[b"\"a\"", b"\"b\""]).arrive(&b);
    let [Arrived::Damaged { reason }, Arrived::Applied { .. }] = &arrived[..] else {
        panic!("{arrived:?}");
    };
    assert!(reason.contains("restore a backup"), "{reason}");
}

/// Goal: however often a document changes it stands in the feed once, and a follower on its way still gets the newest.
#[test]
fn the_feed_keeps_a_documents_latest_entry() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), 1);
    insert(&store, r#"{"_id":"a","n":0}"#);
    insert(&store, r#"{"_id":"b"}"#);
    let heads = |after, scan_max| {
        store.seal().unwrap();
        let limits = FeedLimits {
            wanted: &|_| true,
            full: &mut |_| false,
            scan_max,
        };
        let page = store.feed_page(after, limits).unwrap();
        let entries = page
            .entries
            .into_iter()
            .map(|entry| (entry.id, entry.heads));
        (entries.collect::<Vec<_>>(), page.up_to)
    };
    for _ in 0..1_000 {
        let edited = store.execute("UPDATE cars SET n = n + 1 WHERE _id = 'a'", &Params::new());
        assert_eq!(edited.unwrap().mutated.len(), 1);
    }
    let last = store.feed().last;
    assert_eq!(last, 1_002);
    // Nothing but the two documents is walked.
    let (entries, up_to) = heads(0, 2);
    assert_eq!((entries.len(), up_to), (2, last));
    assert_eq!(heads(500, 1), (entries[1..].to_vec(), last));
    assert_eq!(heads(last, 1), (Vec::new(), last));
}

/// Goal: a document whose state can't be read does not hold up the feed.
#[test]
fn the_feed_goes_on_past_damage() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), 1);
    for id in ["a", "b"] {
        insert(&store, &format!(r#"{{"_id":"{id}","n":1}}"#));
    }
    drop(store);
    damage(folder.path(), "states", "\"a\"");
    let store = open(folder.path(), 1);
    store.seal().unwrap();
    let limits = FeedLimits {
        wanted: &|_| true,
        full: &mut |_| false,
        scan_max: 100,
    };
    let page = store.feed_page(0, limits).unwrap();
    let heads: Vec<_> = page.entries.iter().map(|entry| entry.heads.len()).collect();
    assert_eq!(heads, [0, 1]);
}
