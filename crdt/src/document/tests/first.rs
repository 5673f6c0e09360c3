//! A document's first change, written and read without an op set: what comes of it is what automerge makes of it.

use super::*;
use crate::document::delta::Place;
use crate::document::scalar::scalar_of;
use crate::document::wellformed::IllFormed;
use crate::limits::{BIRTHS_MAX, TAIL_CHUNKS_MAX};
use crate::value::DEPTH_MAX;
use transaction::by_transaction;
use twist::twist;

mod transaction;
mod twist;

/// When first changes are made, in ms since 1970.
const TIME_MS: i64 = 1_700_000_000_000;

/// Where a short chunk's body begins.
const CHUNK_HEADER_BYTES: usize = 10;

/// What precedes the specifications of its columns in a change without dependencies, time and message.
const BODY_BYTES_BEFORE_COLUMNS: usize = 24;

/// The specification of the column of actions.
const ACTION_COLUMN: u8 = 0x42;

/// Everything that a store keeps and passes on of what arrived.
#[derive(Debug, PartialEq)]
struct Outcome {
    value: Option<Value>,
    encoded: Option<Vec<u8>>,
    heads: Vec<ChangeHash>,
    record: Vec<u8>,
    times_ms: Vec<i64>,
    delta: Delta,
    incomplete: bool,
}

impl Outcome {
    fn of(ingested: &Ingested) -> Self {
        let changes = &ingested.changes;
        Self {
            value: ingested.value.clone(),
            encoded: ingested.value.as_ref().map(Value::encode),
            heads: ingested.heads.clone(),
            record: changes
                .iter()
                .flat_map(|change| change.raw_bytes().to_vec())
                .collect(),
            times_ms: changes.iter().map(Change::timestamp).collect(),
            delta: ingested.delta.clone(),
            incomplete: ingested.incomplete,
        }
    }
}

/// Takes a delta in, and whether that was done without an op set. Then it must be what an op set gives, its record must
/// load as it, and need no compaction.
fn arrive(id: &DocumentId, delta: &Delta) -> (Result<Ingested, DeltaError>, bool) {
    let ingested = Document::ingest_assumed(&[], COLLECTION, id, delta);
    let Ok(Ingested { document: None, .. }) = &ingested else {
        return (ingested, false);
    };
    let loaded = Document::ingest_loaded(&[], COLLECTION, id, delta).unwrap();
    let (fast, slow) = (ingested.unwrap(), Outcome::of(&loaded));
    assert_eq!(Outcome::of(&fast), slow);
    assert!(fast.changes.len() <= TAIL_CHUNKS_MAX);
    let document = Document::load(&slow.record).unwrap();
    assert_eq!(document.heads(), slow.heads);
    assert_eq!(document.value(id), slow.value);
    (Ok(fast), true)
}

fn written(id: &DocumentId, fields: &BTreeMap<String, Value>) -> Written {
    let author = Device {
        time_ms: TIME_MS,
        ..Device::new(1)
    };
    create(COLLECTION, id, author.author(), fields.clone())
        .unwrap()
        .0
}

/// A scalar of any type.
fn scalar() -> impl Strategy<Value = Value> {
    arbitrary::value().prop_map(|value| match scalar_of(&value) {
        Some(_) => value,
        None => Value::Bytes(value.encode()),
    })
}

fn key() -> impl Strategy<Value = String> {
    prop_oneof![8 => "[a-z]{1,3}", 1 => Just(String::new()), 1 => "\\PC{0,4}"]
}

/// Fields of scalars and of maps that aren't empty.
fn plain() -> impl Strategy<Value = BTreeMap<String, Value>> {
    let value = scalar().prop_recursive(4, 40, 6, |inner| {
        prop::collection::btree_map(key(), inner, 1..6).prop_map(Value::Map)
    });
    prop::collection::btree_map(key(), value, 1..12)
}

/// Fields of whatever may stand in a document, as many maps as a document has births and more, and maps deep within each
/// other.
fn any_fields() -> impl Strategy<Value = BTreeMap<String, Value>> {
    let any = arbitrary::document().prop_map(|document| document.as_map().unwrap().clone());
    let counts = prop_oneof![0..40usize, BIRTHS_MAX - 2..BIRTHS_MAX + 3];
    let wide = (counts, scalar()).prop_map(|(maps, value)| {
        let map = Value::Map([("v".into(), value)].into());
        let fields = (0..maps).map(|n| (format!("k{n}"), map.clone()));
        fields.collect()
    });
    let deep = (1..DEPTH_MAX, scalar()).prop_map(|(levels, value)| {
        let within = |value, _| Value::Map([("m".to_owned(), value)].into());
        let value = (1..levels).fold(value, within);
        BTreeMap::from([("m".to_owned(), value)])
    });
    prop_oneof![4 => plain(), 4 => any, 1 => wide, 1 => deep]
}

/// Any id, a composite one among them.
fn any_id() -> impl Strategy<Value = DocumentId> {
    let composite = prop::collection::btree_map("[a-z]{1,3}", ".{0,5}", 1..4).prop_map(|members| {
        let members = members.into_iter();
        let members = members.map(|(key, text)| (key, Value::String(text)));
        Value::Map(members.collect())
    });
    prop_oneof![".{1,20}".prop_map(Value::String), composite]
        .prop_filter_map("an id", |value| DocumentId::new(&value).ok())
}

/// The chunk with the checksum that automerge finds it should have, if it finds a change in it.
fn with_checksum(mut chunk: Vec<u8>) -> Vec<u8> {
    let parsed = contained(|| Change::from_bytes(chunk.clone()));
    if let Ok(Ok(change)) = parsed {
        chunk[4..8].copy_from_slice(&change.hash().0[..4]);
    }
    chunk
}

/// Goal: what makes first synchronisation fast is used where it may be: for scalars of every type in maps that are born.
#[test]
fn first_changes_of_scalars_need_no_op_set() {
    let is_fast = |json: &str| {
        let delta = Device::new(1).put(json).unwrap();
        let (ingested, is_fast) = arrive(&id(), &delta);
        let mut shown = parse_json(json).unwrap().as_map().unwrap().clone();
        shown.insert("_id".to_owned(), id().to_value());
        assert_eq!(ingested.unwrap().value, Some(Value::Map(shown)));
        is_fast
    };
    assert!(is_fast(r#"{"a":1,"b":"x","c":null,"d":true,"e":0.5}"#));
    assert!(is_fast(
        r#"{"a":{"$counter":1},"b":{"$bytes":"AP8="},"c":{"$timestamp":"2026-11-23T12:00:00Z"}}"#
    ));
    assert!(is_fast(r#"{"m":{"n":{"x":1},"y":2},"o":{"x":3},"z":4}"#));
    assert!(is_fast(&format!(r#"{{"long":"{}"}}"#, "x".repeat(1_000))));
    assert!(!is_fast(r#"{"a":[1]}"#));
    assert!(!is_fast(r#"{"a":{"$text":"x"}}"#));
    assert!(!is_fast(r#"{"a":{}}"#));
}

/// Goal: a record that would be compacted at once is not read without the op set that this takes.
#[test]
fn a_record_of_many_births_is_loaded() {
    let born = |maps: usize| {
        let member = Value::Map([("v".into(), Value::Int(1))].into());
        let fields = (0..maps).map(|n| (format!("k{n}"), member.clone()));
        arrive(&id(), &written(&id(), &fields.collect()).delta).1
    };
    assert!(born(TAIL_CHUNKS_MAX - 1));
    assert!(!born(TAIL_CHUNKS_MAX));
}

/// Goal: only what is new is read: the first change beside a later one, or of a document that is here, is applied.
#[test]
fn only_a_lone_first_change_is_read() {
    let (mut a, mut b) = (Device::new(1), Device::new(2));
    let mut delta = a.put(r#"{"a":1}"#).unwrap();
    let other = b.put(r#"{"b":1}"#).unwrap();
    assert!(b.take(&delta).document.is_some());
    delta.extend(other);
    let (both, is_fast) = arrive(&id(), &delta);
    assert!(!is_fast && both.unwrap().changes.len() == 2);
}

/// Goal: a chunk whose operations automerge would encode otherwise is refused.
#[test]
fn other_encodings_of_a_first_change_are_not_read() {
    let mut delta = Device::new(1).put(r#"{"a":7,"b":7}"#).unwrap();
    let usual = Change::from_bytes(delta.changes[0].clone()).unwrap();
    let mut chunk = usual.raw_bytes().to_vec();
    let mut column = CHUNK_HEADER_BYTES + BODY_BYTES_BEFORE_COLUMNS;
    let columns = usize::from(chunk[column - 1]);
    let mut start = column + 2 * columns;
    while chunk[column] != ACTION_COLUMN {
        start += usize::from(chunk[column + 1]);
        column += 2;
    }
    assert_eq!(chunk[start..start + 2], [2, 1], "a run of two puts");
    chunk.splice(start..start + 2, [0x7e, 1, 1]); // two literal puts
    chunk[column + 1] += 1;
    chunk[CHUNK_HEADER_BYTES - 1] += 1;
    let chunk = with_checksum(chunk);
    let same = Change::from_bytes(chunk.clone()).unwrap();
    assert_eq!(same.decode().operations, usual.decode().operations);
    delta.changes = vec![chunk];
    let refused = Document::ingest_assumed(&[], COLLECTION, &id(), &delta);
    let Err(DeltaError::NotAccepted(NotAccepted::IllFormed { rule, .. })) = refused else {
        panic!("it was taken in");
    };
    assert_eq!(rule, IllFormed::Encoding);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases()))]

    /// Goal: the fast path of a first change, encoded from its operations, is byte for byte what a transaction of
    /// automerge gives.
    #[test]
    fn a_first_change_is_what_a_transaction_gives(id in any_id(), fields in any_fields()) {
        let fast = written(&id, &fields);
        let slow = by_transaction(&fast.births, &fields);
        prop_assert_eq!(fast.change.raw_bytes(), slow.raw_bytes());
        prop_assert_eq!(fast.change.hash(), slow.hash());
    }

    /// Goal: a first change that is read without an op set gives value for value and byte for byte what it gives when
    /// it is applied, whatever the document is made of.
    #[test]
    fn first_changes_arrive_as_if_applied(id in any_id(), fields in any_fields()) {
        let written = written(&id, &fields);
        let delta = Delta::decode(&written.delta.encode()).unwrap();
        let (ingested, _) = arrive(&id, &delta);
        let mut shown = fields;
        shown.insert("_id".to_owned(), id.to_value());
        let (ingested, shown) = (ingested.unwrap(), Value::Map(shown));
        if shown.fits(DEPTH_MAX) {
            prop_assert_eq!(ingested.value, Some(shown));
        }
        prop_assert_eq!(ingested.delta, written.delta);
    }

    /// Goal: documents of scalars in born maps, which most are, all take the fast path.
    #[test]
    fn plain_documents_need_no_op_set(id in any_id(), fields in plain()) {
        let written = written(&id, &fields);
        let (_, is_fast) = arrive(&id, &written.delta);
        prop_assert_eq!(is_fast, written.births.len() < TAIL_CHUNKS_MAX);
    }

    /// Goal: hostile first changes are either left to automerge or seen as automerge sees them.
    #[test]
    fn twisted_first_changes_arrive_as_if_applied(
        fields in plain(), twists in prop::collection::vec(twist(), 1..3),
        surplus in prop::collection::vec((any::<prop::sample::Index>(), "[abm]|\u{0}deleted"), 0..3),
    ) {
        let Written { births, change, mut delta } = written(&id(), &fields);
        let mut twisted = change.decode();
        twists.into_iter().for_each(|twist| twist.apply(&mut twisted, &births));
        let encoded = contained(|| Change::from(twisted));
        let Ok(encoded) = encoded else { return Ok(()) };
        delta.changes = vec![encoded.raw_bytes().to_vec()];
        for (parent, key) in surplus {
            let parent = parent.index(delta.births.len() + 1).checked_sub(1);
            delta.births.push(Place { parent, key });
        }
        arrive(&id(), &delta).0.ok();
    }

    /// Goal: the same for change chunks with other bytes, plain and behind a right checksum.
    #[test]
    fn damaged_first_changes_arrive_as_if_applied(
        fields in plain(), damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let Written { change, mut delta, .. } = written(&id(), &fields);
        let mut chunk = change.raw_bytes().to_vec();
        for (at, byte) in damage {
            let at = at.index(chunk.len() - 8);
            chunk[8 + at] = byte;
        }
        delta.changes = vec![with_checksum(chunk)];
        arrive(&id(), &delta).0.ok();
    }
}
