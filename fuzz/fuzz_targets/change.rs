//! An honest history with changes that were tampered with before they got their hash, as one who may write can make them.
//! The input is a program: which change is taken, what is done to it, and in which order all of them arrive. No panic
//! escapes, each store takes in the same changes and shows the same document, and its record loads, compacts and gives
//! out what another store takes in.
#![no_main]

use automerge::legacy::{ElementId, Key, ObjectId, OpId, OpType};
use automerge::transaction::Transactable;
use automerge::{
    ActorId, AutoCommit, Change, ChangeHash, ExpandedChange, ObjType, ROOT, ReadDoc, ScalarValue,
};
use libfuzzer_sys::fuzz_target;
use prost::Message;
use sedge_crdt::fuzz::first_delta;
use sedge_crdt::{Delta, Document, Value, parse_json};
use sedge_fuzz::delta::{WireBirth, WireDelta};
use sedge_fuzz::{Guarded, fixtures, guarded};
use std::num::NonZeroU64;
use std::panic::catch_unwind;
use std::sync::LazyLock;

#[global_allocator]
static ALLOCATOR: Guarded = Guarded;

/// Memory that some small documents may take.
const BYTES_MAX: usize = 64 << 20;

/// The collection that the document is of.
const COLLECTION: &str = "c";

/// Tampered changes in one history, and what is done to each of them.
const TAMPERED_MAX: u8 = 3;
/// See [`TAMPERED_MAX`].
const MUTATIONS_MAX: u8 = 4;

/// The honest history: births, and authored changes in an order in which they apply.
struct History {
    places: Vec<WireBirth>,
    births: Vec<Change>,
    authored: Vec<Change>,
}

static HISTORY: LazyLock<History> = LazyLock::new(history);

/// A document with something of every kind, edited by three devices, two of them apart.
fn history() -> History {
    let json = r#"{"a":1,"n":{"$counter":1},"m":{"k":1,"o":{"x":2}}}"#;
    let id = fixtures::document_id();
    let fields = parse_json(json).expect("it is JSON");
    let first = first_delta(COLLECTION, &id, &fields).expect("it can be written");
    let wire = WireDelta::decode(&*first).expect("it was encoded");
    let delta = Delta::decode(&first).expect("it was encoded");
    let ingested = Document::ingest_assumed(&[], COLLECTION, &id, &delta).expect("it is honest");
    let mut births = ingested.changes;
    let mut authored = births.split_off(wire.births.len());
    let mut document = AutoCommit::new();
    document
        .apply_changes(births.iter().chain(&authored).cloned())
        .expect("it is honest");
    document.set_actor(ActorId::from([1; 16]));
    edit(&mut document, 1);
    let mut apart = document.fork().with_actor(ActorId::from([2; 16]));
    edit(&mut document, 2);
    edit(&mut apart, 3);
    edit(&mut apart, 4);
    document.merge(&mut apart).expect("it is honest");
    document.set_actor(ActorId::from([3; 16]));
    edit(&mut document, 5);
    authored.clear();
    let changes = document.get_changes(&[]);
    authored.extend(
        changes
            .into_iter()
            .filter(|it| it.actor_id().to_bytes().len() == 16),
    );
    History {
        places: wire.births,
        births,
        authored,
    }
}

/// One honest change with operations of most kinds.
fn edit(document: &mut AutoCommit, turn: i64) {
    let born = |document: &AutoCommit, key| {
        document
            .get(ROOT, key)
            .ok()
            .flatten()
            .expect("it is there")
            .1
    };
    let map = born(document, "m");
    let edits = |document: &mut AutoCommit| {
        match turn {
            3 => document.delete(ROOT, "a")?,
            _ => document.put(ROOT, "a", turn)?,
        }
        document.put(&map, "k", turn)?;
        document.increment(ROOT, "n", turn)?;
        if turn == 1 {
            let list = document.put_object(ROOT, "l", ObjType::List)?;
            document.insert(&list, 0, 1)?;
            document.insert_object(&list, 1, ObjType::Map)?;
            let text = document.put_object(ROOT, "t", ObjType::Text)?;
            document.splice_text(&text, 0, 0, "grün")?;
        } else {
            let (list, text) = (born(document, "l"), born(document, "t"));
            document.insert(&list, 0, turn)?;
            document.put(&list, 1, "x")?;
            document.splice_text(&text, 1, 1, "xy")?;
        }
        Ok::<(), automerge::AutomergeError>(())
    };
    edits(document).expect("it is honest");
    document.commit();
}

/// The input, read as a program; behind its end come zeros.
struct Program<'a>(&'a [u8]);

impl Program<'_> {
    fn byte(&mut self) -> u8 {
        let (byte, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        *byte
    }

    fn one_of<'b, T>(&mut self, all: &'b [T]) -> &'b T {
        &all[usize::from(self.byte()) % all.len()]
    }
}

fuzz_target!(|bytes: &[u8]| {
    guarded(BYTES_MAX, || {
        let mut program = Program(bytes);
        let mut changes = HISTORY.authored.clone();
        for number in 0..program.byte() % (TAMPERED_MAX + 1) {
            let actor = ActorId::from([100 + number; 16]);
            if let Some(change) = tampered(&mut program, &changes, &actor) {
                changes.push(change);
            }
        }
        let mut backwards = changes.clone();
        backwards.reverse();
        let mut shuffled = changes.clone();
        for at in 0..shuffled.len() {
            let other = usize::from(program.byte()) % shuffled.len();
            shuffled.swap(at, other);
        }
        let ends = [changes, backwards, shuffled].map(|order| arrive(&order));
        assert!(ends[0] == ends[1] && ends[1] == ends[2], "{ends:?}");
    });
});

/// A change as another device tells it as its own, with some mutations; `None` where automerge can't encode it, or not
/// read it again.
fn tampered(program: &mut Program<'_>, changes: &[Change], actor: &ActorId) -> Option<Change> {
    let victim = program.one_of(changes);
    let all: Vec<&Change> = HISTORY.births.iter().chain(changes).collect();
    let mut change = catch_unwind(|| renamed(victim, actor)).ok()?;
    for _ in 0..program.byte() % (MUTATIONS_MAX + 1) {
        mutate(program, &mut change, &all);
    }
    let encoded = catch_unwind(|| Change::from(change)).ok()?;
    catch_unwind(|| Change::from_bytes(encoded.raw_bytes().to_vec()))
        .ok()?
        .ok()
}

fn renamed(change: &Change, actor: &ActorId) -> ExpandedChange {
    let mut change = change.decode();
    let (own, start) = (change.actor_id, change.start_op.get());
    let rename = |id: &mut OpId| {
        if *id.actor() == own && id.counter() >= start {
            *id = OpId::new(id.counter(), actor);
        }
    };
    for operation in &mut change.operations {
        if let ObjectId::Id(object) = &mut operation.obj {
            rename(object);
        }
        if let Key::Seq(ElementId::Id(element)) = &mut operation.key {
            rename(element);
        }
    }
    change.actor_id = actor.clone();
    change.seq = 1;
    change.hash = None;
    change
}

fn mutate(program: &mut Program<'_>, change: &mut ExpandedChange, all: &[&Change]) {
    match program.byte() % 16 {
        0 => change.seq = u64::from(program.byte() % 4),
        1 => {
            let starts = [
                1,
                2,
                9,
                30,
                (1 << 31) + 1,
                u64::from(u32::MAX),
                i64::MAX as u64,
            ];
            change.start_op = NonZeroU64::new(*program.one_of(&starts)).unwrap_or(NonZeroU64::MIN);
        }
        2 => drop(change.deps.pop()),
        3 => change.deps.push(program.one_of(all).hash()),
        4 => change.deps = vec![program.one_of(all).hash()],
        5 => change.extra_bytes = vec![1, program.byte()],
        6 => change.deps.sort_unstable(),
        _ => mutate_operation(program, change, all),
    }
}

fn mutate_operation(program: &mut Program<'_>, change: &mut ExpandedChange, all: &[&Change]) {
    let target = target(program, change, all);
    let count = change.operations.len();
    if count == 0 {
        return;
    }
    let at = usize::from(program.byte()) % count;
    let operation = &mut change.operations[at];
    match program.byte() % 9 {
        0 => operation.obj = ObjectId::Id(target),
        1 => operation.key = Key::Seq(ElementId::Id(target)),
        2 => operation.key = Key::Seq(ElementId::Head),
        3 => operation.key = Key::Map((*program.one_of(&["a", "m", "n", "", "\0deleted"])).into()),
        4 => operation.pred = operation.pred.iter().cloned().chain([target]).collect(),
        5 => operation.pred = Vec::new().into(),
        6 => operation.insert ^= true,
        7 => drop(change.operations.remove(at)),
        _ => operation.action = action(program),
    }
}

/// The id of one of all operations, its own included, or of none.
fn target(program: &mut Program<'_>, change: &ExpandedChange, all: &[&Change]) -> OpId {
    let at = usize::from(program.byte());
    match at.checked_rem(all.len() + 2).and_then(|at| all.get(at)) {
        Some(change) => {
            let counter = change.start_op().get() + u64::from(program.byte()) % 24;
            OpId::new(counter, change.actor_id())
        }
        None => {
            let counter = change.start_op.get() + u64::from(program.byte()) % 24;
            OpId::new(counter, &change.actor_id)
        }
    }
}

fn action(program: &mut Program<'_>) -> OpType {
    let actions = [
        OpType::Delete,
        OpType::Increment(1),
        OpType::Increment(i64::MIN),
        OpType::Put(ScalarValue::counter(1)),
        OpType::Put(ScalarValue::counter(i64::MAX)),
        OpType::Put(ScalarValue::Int(7)),
        OpType::Put(ScalarValue::Str("x".into())),
        OpType::Put(ScalarValue::Str("".into())),
        OpType::Make(ObjType::Map),
        OpType::Make(ObjType::List),
        OpType::Make(ObjType::Text),
        OpType::Make(ObjType::Table),
        OpType::MarkEnd(false),
    ];
    program.one_of(&actions).clone()
}

/// What a store has in the end, to which these changes came one by one, again and again while something was missing.
fn arrive(changes: &[Change]) -> (Vec<ChangeHash>, Option<Value>) {
    let mut record = Vec::new();
    let mut waiting: Vec<&Change> = changes.iter().collect();
    loop {
        let before = waiting.len();
        waiting.retain(|change| !is_dealt_with(&mut record, change));
        if waiting.len() == before || waiting.is_empty() {
            break;
        }
    }
    let id = fixtures::document_id();
    let document = Document::load(&record).expect("the record loads");
    let is_here = |change: &Change| document.has(&change.hash());
    assert!(
        HISTORY.authored.iter().all(is_here),
        "an honest change was refused"
    );
    let compact = document
        .compact(&id)
        .expect("the document has a compact form");
    let again = Document::load(&compact).expect("the compact form loads");
    assert!(
        again.heads() == document.heads(),
        "other heads in the compact form"
    );
    (document.heads(), document.value(&id))
}

/// Whether a change was taken in or refused; else something that it builds on is missing.
fn is_dealt_with(record: &mut Vec<u8>, change: &Change) -> bool {
    let delta = WireDelta {
        births: HISTORY.places.clone(),
        changes: vec![change.raw_bytes().to_vec()],
    };
    let delta = Delta::decode(&delta.encode_to_vec()).expect("its parts are good");
    match Document::ingest_assumed(record, COLLECTION, &fixtures::document_id(), &delta) {
        Ok(ingested) if ingested.incomplete => false,
        Ok(ingested) => {
            for change in &ingested.changes {
                record.extend_from_slice(change.raw_bytes());
            }
            true
        }
        Err(_) => true,
    }
}
