//! Merge semantics: what two devices write apart must meet as the design says, in every order.

use super::*;
use crate::query::{Action, Edit};
use crate::seal::{Proof, Proofs};
use crate::value::{arbitrary, parse_json, values_at};
use automerge::ActorId;
use proptest::prelude::*;
use sedge_identity::{ActorName, SealName};
use std::collections::BTreeMap;
use std::convert::Infallible;

mod before;
mod delta;
mod first;
pub(in crate::document) mod forked;
mod history;
mod merge;
mod random;
mod types;
mod wellformed;

const COLLECTION: &str = "cars";

/// One device's copy of a document.
#[derive(Clone, Default)]
struct Device {
    record: Vec<u8>,
    seq: u64,
    name: u8,
    time_ms: i64,
}

impl Device {
    fn new(name: u8) -> Self {
        Self {
            name,
            ..Self::default()
        }
    }

    fn document(&self) -> Document {
        if self.record.is_empty() {
            return Document::default();
        }
        Document::load(&self.record).unwrap()
    }

    fn author(&self) -> Author {
        Author {
            actor: ActorId::from(&[self.name; DEVICE_ACTOR_BYTES][..]),
            seq: self.seq + 1,
            time_ms: self.time_ms,
        }
    }

    fn keep(&mut self, written: Option<Written>) -> Option<Delta> {
        let written = written?;
        for birth in &written.births {
            self.record.extend_from_slice(birth.raw_bytes());
        }
        self.record.extend_from_slice(written.change.raw_bytes());
        self.seq += 1;
        Some(written.delta)
    }

    fn put(&mut self, json: &str) -> Option<Delta> {
        let fields = parse_json(json).unwrap().as_map().unwrap().clone();
        let mut document = self.document();
        let written = document.replace(COLLECTION, &id(), self.author(), &fields);
        self.keep(written.unwrap())
    }

    fn set(&mut self, path: &[&str], json: Option<&str>) -> Option<Delta> {
        let edit = Edit {
            path: path.iter().map(|key| key.to_string()).collect(),
            action: json.map_or(Action::Unset, |json| Action::Set(parse_json(json).unwrap())),
        };
        self.edit(&[edit])
    }

    fn set_all(&mut self, edits: &[(&[&str], &str)]) -> Option<Delta> {
        let edit = |(path, json): &(&[&str], &str)| Edit {
            path: path.iter().map(|key| key.to_string()).collect(),
            action: Action::Set(parse_json(json).unwrap()),
        };
        let edits: Vec<Edit> = edits.iter().map(edit).collect();
        self.edit(&edits)
    }

    fn edit(&mut self, edits: &[Edit]) -> Option<Delta> {
        let mut document = self.document();
        let written = document.edit(COLLECTION, &id(), self.author(), edits);
        self.keep(written.unwrap())
    }

    fn increment(&mut self, path: &[&str], by: i64) -> Option<Delta> {
        let edit = Edit {
            path: path.iter().map(|key| key.to_string()).collect(),
            action: Action::Increment(by),
        };
        self.edit(&[edit])
    }

    fn delete(&mut self) -> Option<Delta> {
        let mut document = self.document();
        let written = document.delete(COLLECTION, &id(), self.author());
        self.keep(written.unwrap())
    }

    fn take(&mut self, delta: &Delta) -> Ingested {
        let wire = Delta::decode(&delta.encode()).unwrap();
        let ingested = Document::ingest_assumed(&self.record, COLLECTION, &id(), &wire).unwrap();
        for change in &ingested.changes {
            self.record.extend_from_slice(change.raw_bytes());
        }
        self.assert_loads(&ingested);
        ingested
    }

    /// What was made of a delta is what the record with it loads as.
    #[track_caller]
    fn assert_loads(&self, ingested: &Ingested) {
        let loaded = self.document();
        assert_eq!(loaded.heads(), ingested.heads);
        assert_eq!(loaded.value(&id()), ingested.value);
    }

    fn meet(&mut self, other: &mut Device) {
        let (own, others) = (self.document(), other.document());
        self.take(&all_beyond(&others, &own.heads()));
        other.take(&all_beyond(&own, &others.heads()));
    }

    fn shows(&self) -> String {
        match self.document().value(&id()).map(Value::visible) {
            Some(Value::Map(mut fields)) => {
                fields.remove("_id");
                Value::Map(fields).to_string()
            }
            _ => "nothing".to_owned(),
        }
    }
}

/// Random cases of each property: more in a long run (`scripts/test --full store`).
fn cases() -> u32 {
    let long = std::env::var("SEDGE_FULL").is_ok_and(|group| group == "store");
    if long { 10_000 } else { 256 }
}

fn id() -> DocumentId {
    DocumentId::new(&"x".into()).unwrap()
}

/// All that a device with `have` lacks of a document.
fn all_beyond(document: &Document, have: &[ChangeHash]) -> Delta {
    let part = document.delta(have, usize::MAX, &all_proofs(document), &Aside::default());
    let part = part.unwrap().unwrap();
    assert_eq!(part.more_after, None);
    part.delta
}

/// Proofs of each change of a document, as if each had a seal of its own.
fn all_proofs(document: &Document) -> Proofs {
    let mut proofs = Proofs::default();
    for change in document.automerge.get_changes(&[]) {
        if let Ok(actor) = change.actor_id().to_bytes().try_into() {
            let of = (ActorName(actor), change.seq(), &change.hash());
            let proof = Proof::new(of, (SealName([0; 16]), 0), 0, Vec::new());
            proofs.add(proof, |_| Ok::<_, Infallible>(false)).unwrap();
        }
    }
    proofs
}

/// Two devices that share `json` and then part.
fn pair(json: &str) -> (Device, Device) {
    let (mut a, mut b) = (Device::new(1), Device::new(2));
    a.put(json);
    a.meet(&mut b);
    (a, b)
}

/// Both meet; both must show the same, which is returned.
fn met(mut a: Device, mut b: Device) -> String {
    a.meet(&mut b);
    assert_eq!(a.document().heads(), b.document().heads());
    assert_eq!(a.shows(), b.shows());
    a.shows()
}

/// Goal: a nested map that two devices create apart keeps both sides, which plain Automerge loses.
#[test]
fn maps_created_apart_merge() {
    let (mut a, mut b) = (Device::new(1), Device::new(2));
    a.put(r#"{"address":{"home":{"city":"Rome"}}}"#);
    b.put(r#"{"address":{"home":{"zip":"00100"}}}"#);
    assert_eq!(
        met(a, b),
        r#"{"address":{"home":{"city":"Rome","zip":"00100"}}}"#
    );
}

/// Goal: add wins: unsetting a map deletes the keys it has seen, not what is added meanwhile.
#[test]
fn unset_of_a_map_keeps_what_is_added_concurrently() {
    let (mut a, mut b) = pair(r#"{"a":{"b":{"c":1}}}"#);
    a.set(&["a"], None);
    assert_eq!(a.shows(), "{}");
    b.set(&["a", "b", "d"], Some("2"));
    assert_eq!(met(a, b), r#"{"a":{"b":{"d":2}}}"#);
}

#[test]
fn map_to_scalar_to_map() {
    let (mut a, mut b) = pair(r#"{"a":{"b":1}}"#);
    a.set(&["a"], Some("5"));
    assert_eq!(a.shows(), r#"{"a":5}"#);
    a.meet(&mut b);
    b.set(&["a", "c"], Some("2"));
    assert_eq!(met(a, b), r#"{"a":{"c":2}}"#);
}

/// Goal: a map with live keys wins over a scalar written concurrently, in both orders of actors.
#[test]
fn a_map_wins_over_a_concurrent_scalar() {
    for (one, other) in [(1, 2), (2, 1)] {
        let (mut a, mut b) = (Device::new(one), Device::new(other));
        a.put(r#"{"a":{"b":1}}"#);
        b.put(r#"{"a":7}"#);
        assert_eq!(met(a, b), r#"{"a":{"b":1}}"#);
    }
}

#[test]
fn an_empty_map_shows_only_when_written() {
    let mut a = Device::new(1);
    a.put(r#"{"a":{},"b":{"c":{}}}"#);
    assert_eq!(a.shows(), r#"{"a":{},"b":{"c":{}}}"#);
    a.set(&["a", "x"], Some("1"));
    a.set(&["a", "x"], None);
    a.set(&["b", "c"], None);
    assert_eq!(a.shows(), r#"{"a":{}}"#);
}

/// Goal: no zombies and no husks: a concurrent update does not bring a deleted document back, an insert does.
#[test]
fn delete_update_insert() {
    let (mut a, mut b) = pair(r#"{"a":1,"m":{"x":1}}"#);
    a.delete();
    assert_eq!(a.shows(), "nothing");
    b.set(&["a"], Some("2"));
    b.set(&["m", "y"], Some("2"));
    a.meet(&mut b);
    assert_eq!((a.shows(), b.shows()), ("nothing".into(), "nothing".into()));
    b.put(r#"{"c":3}"#);
    assert_eq!(met(a, b), r#"{"c":3}"#);
}

#[test]
fn a_write_that_changes_nothing_makes_no_change() {
    let mut a = Device::new(1);
    let json = r#"{"a":1,"b":[1,{"c":2}],"m":{"e":{}}}"#;
    assert!(a.put(json).is_some());
    assert!(a.put(json).is_none());
    assert!(a.set(&["m", "zz", "y"], None).is_none());
    assert_eq!(a.shows(), json);
}

/// Goal: changes that arrive before what they depend on are left out and said to be missing.
#[test]
fn missing_dependencies_are_told() {
    let mut a = Device::new(1);
    let first = a.put(r#"{"a":1}"#).unwrap();
    let second = a.put(r#"{"a":2}"#).unwrap();
    let mut b = Device::new(2);
    let early = b.take(&second);
    assert!(early.incomplete && early.changes.is_empty());
    b.take(&first);
    assert!(!b.take(&second).incomplete);
    assert_eq!(b.shows(), r#"{"a":2}"#);
}

/// Goal: births alone store nothing, and a forged birth (an authored change with a birth's actor) is refused.
#[test]
fn births_count_only_below_authored_changes() {
    let mut a = Device::new(1);
    let delta = a.put(r#"{"m":{"x":1}}"#).unwrap();
    let mut births = Delta::default();
    let all = all_beyond(&a.document(), &[]);
    assert_eq!(all, delta);
    births.extend(all);
    let wire = births.encode();
    let forged = super::birth::Births::of(COLLECTION, &id()).under(None, "m");
    let mut evil = Delta::decode(&wire).unwrap();
    evil.push_change_for_test(forged.change.raw_bytes().to_vec());
    assert!(matches!(
        Document::ingest_assumed(&[], COLLECTION, &id(), &evil),
        Err(DeltaError::Actor(17))
    ));
}

/// Goal: a document whose compact form would not load is not compacted.
#[test]
fn what_would_not_load_is_not_compacted() {
    let mut a = Device::new(1);
    a.put(r#"{"a":1}"#);
    assert!(a.document().compact(&id()).is_some());
    let mut second = Change::from_bytes(a.put(r#"{"a":1,"b":2}"#).unwrap().changes.remove(0))
        .unwrap()
        .decode();
    let mut evil = Device::new(1);
    evil.put(r#"{"a":1}"#);
    // Its operation under "b" names the one under "a" as predecessor.
    let one = automerge::legacy::OpId::new(1, &second.actor_id);
    second.operations[0].pred = vec![one].into();
    second.hash = None;
    evil.record
        .extend_from_slice(Change::from(second).raw_bytes());
    assert_eq!(evil.document().compact(&id()), None);
}

/// Goal: a large history travels in parts that each apply on their own, until nothing is left.
#[test]
fn a_delta_beyond_its_budget_travels_in_parts() {
    let mut a = Device::new(1);
    for n in 0..20 {
        a.put(&format!(
            r#"{{"k{n}":{{"x":{n}}},"text":"{}"}}"#,
            "x".repeat(50 * n)
        ));
    }
    let (mut b, mut have, mut parts) = (Device::new(2), Vec::new(), 0);
    loop {
        let document = a.document();
        let part = document.delta(&have, 1_000, &all_proofs(&document), &Aside::default());
        let part = part.unwrap().unwrap();
        let taken = b.take(&part.delta);
        assert!(!taken.incomplete && part.delta.encode().len() < 2_000);
        parts += 1;
        let Some(heads) = part.more_after else { break };
        assert_eq!(heads, b.document().heads());
        have = heads;
    }
    assert!(parts > 3, "{parts} parts");
    assert_eq!(b.document().heads(), a.document().heads());
}

/// Goal: more maps than births are allowed still work, as ordinary objects.
#[test]
fn maps_beyond_the_birth_limit_are_ordinary() {
    let members: BTreeMap<String, Value> = (0..400)
        .map(|n| {
            (
                format!("k{n:03}"),
                Value::Map([("v".into(), Value::Int(n))].into()),
            )
        })
        .collect();
    let json = Value::Map(members).to_string();
    let mut a = Device::new(1);
    a.put(&json);
    assert_eq!(a.shows(), json);
    a.set(&["k399", "w"], Some("1"));
    assert!(a.shows().contains(r#""k399":{"v":399,"w":1}"#));
    assert_eq!(met(a, Device::new(2)).len(), json.len() + 6);
}

/// A device whose document has no births left.
fn without_births_left() -> Device {
    let empty = Value::Map(BTreeMap::new());
    let maps = (0..crate::limits::BIRTHS_MAX).map(|n| (format!("k{n:03}"), empty.clone()));
    let mut device = Device::new(1);
    device.put(&Value::Map(maps.collect()).to_string());
    device
}

/// Goal: an ordinary map beside a concurrent scalar is entered, not replaced, and the scalar is deleted once.
#[test]
fn an_ordinary_map_beside_a_scalar_is_entered() {
    for (one, other) in [(2, 3), (3, 2)] {
        let base = without_births_left();
        let device = |name| Device {
            record: base.record.clone(),
            ..Device::new(name)
        };
        let (mut a, mut b) = (device(one), device(other));
        a.set(&["m"], Some(r#"{"kept":1}"#));
        b.set(&["m"], Some("7"));
        a.meet(&mut b);
        b.set_all(&[(&["m", "x"], "2"), (&["m", "y"], "3")]);
        assert!(
            b.shows().contains(r#""m":{"kept":1,"x":2,"y":3}"#),
            "{}",
            b.shows()
        );
    }
}

/// Goal: there is nothing to unset below a list, so the list stays.
#[test]
fn unset_below_a_list_changes_nothing() {
    let mut a = Device::new(1);
    a.put(r#"{"a":[1,2]}"#);
    assert!(a.set(&["a", "x"], None).is_none());
}
