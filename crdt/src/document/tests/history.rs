//! What a document was, and what its changes did, against what their authors saw when they made them.

use super::random::{Step, step, take_step, write_into};
use super::*;
use crate::document::birth::is_birth;
use crate::document::{History, Moment};
use crate::limits::CHANGE_TIME_MS_MAX;
use crate::query::{Statement, Work};
use automerge::ReadDoc;
use std::collections::HashSet;

/// One change with what its author saw before and after it.
struct Made {
    hash: ChangeHash,
    before: Option<Value>,
    after: Option<Value>,
}

fn seen(device: &Device) -> Option<Value> {
    match device.seq == 0 && device.record.is_empty() {
        true => None,
        false => device.document().value(&id()),
    }
}

/// A write on a device; `None` when it changed nothing.
fn made(device: &mut Device, step: &Step) -> Option<Made> {
    let before = seen(device);
    let delta = take_step(device, step)?;
    let change = Change::from_bytes(delta.changes[0].clone()).unwrap();
    Some(Made {
        hash: change.hash(),
        before,
        after: seen(device),
    })
}

type Steps = Vec<(usize, Step, i64, Option<(usize, usize)>)>;

fn steps() -> impl Strategy<Value = Steps> {
    let time = prop_oneof![
        8 => 0i64..20,
        1 => Just(-CHANGE_TIME_MS_MAX),
        1 => Just(CHANGE_TIME_MS_MAX),
        1 => -CHANGE_TIME_MS_MAX..CHANGE_TIME_MS_MAX,
    ];
    let meeting = prop::option::weighted(0.3, (0usize..3, 0usize..3));
    prop::collection::vec((0usize..3, step(), time, meeting), 1..14)
}

/// Three devices write, at times of their own, and meet now and then. Gives all that was made, and a device that holds
/// it all.
fn lived(steps: &Steps) -> (Device, Vec<Made>) {
    let mut devices = [Device::new(1), Device::new(2), Device::new(3)];
    let mut all = Vec::new();
    for (device, step, time_ms, meeting) in steps {
        devices[*device].time_ms = *time_ms;
        all.extend(made(&mut devices[*device], step));
        if let Some((one, other)) = meeting
            && one != other
        {
            let mut second = devices[*other].clone();
            devices[*one].meet(&mut second);
            devices[*other] = second;
        }
    }
    let mut together = Device::new(9);
    for device in &devices {
        together.take(&all_beyond(&device.document(), &[]));
    }
    (together, all)
}

/// The value of a fresh document that takes only changes made until then, and only behind what they build on.
fn replayed(document: &Document, time_ms: i64) -> Option<Value> {
    let mut past = Document::default();
    let mut exists = false;
    let mut taken = HashSet::new();
    let mut grows = true;
    while std::mem::take(&mut grows) {
        for change in document.automerge.get_changes(&[]) {
            let is_birth = is_birth(change.actor_id());
            let is_in_time = is_birth || change.timestamp() <= time_ms;
            let follows = change.deps().iter().all(|dep| taken.contains(dep));
            if is_in_time && follows && taken.insert(change.hash()) {
                past.apply(vec![change]).unwrap();
                exists |= !is_birth;
                grows = true;
            }
        }
    }
    past.value(&id()).filter(|_| exists)
}

fn rows(document: &Document) -> Vec<Value> {
    let id = id();
    let history = History::of(document, &id).unwrap();
    let own = ActorId::from(&[1; DEVICE_ACTOR_BYTES][..]);
    let row = |number| history.row(number, &own, |_| None).unwrap().unwrap();
    (0..history.len()).map(row).collect()
}

fn names(path: &str) -> Vec<String> {
    let text = format!("UPDATE c SET {path} = 1");
    let Ok(Statement::Update(update)) = Statement::parse(&text) else {
        panic!("{text}");
    };
    let edits = update.edits(&Value::Null, &Work::default()).unwrap();
    edits[0].path.clone()
}

fn remove(fields: &mut BTreeMap<String, Value>, path: &[String]) {
    match path {
        [name] => drop(fields.remove(name).unwrap()),
        [name, rest @ ..] => match fields.get_mut(name) {
            Some(Value::Map(members)) => remove(members, rest),
            other => panic!("no map: {other:?}"),
        },
        [] => panic!("an empty path"),
    }
}

/// Does to a value what a row says was done.
fn done(before: Option<Value>, row: &Value) -> Option<Value> {
    let says = |name| row.get(name) == Some(&Value::Bool(true));
    let before = match (before, says("inserted")) {
        (None, true) => Value::Map(BTreeMap::from([("_id".to_owned(), id().to_value())])),
        (Some(_), true) => panic!("inserted twice"),
        (before, false) => before?,
    };
    let Value::Map(mut fields) = before else {
        panic!("no document");
    };
    let Some(Value::List(unset)) = row.get("unset") else {
        panic!("no unset in {row}");
    };
    for path in unset {
        remove(&mut fields, &names(path.as_str().unwrap()));
    }
    for (path, value) in row.get("set").unwrap().as_map().unwrap() {
        write_into(&mut fields, &names(path), value);
    }
    (!says("deleted")).then_some(Value::Map(fields))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases()))]

    /// Goal: behind each change a document is what its author saw; at each time it is what the changes until then make
    /// of an empty document; whatever else came concurrently, and whatever times clocks gave.
    #[test]
    fn the_past_is_as_it_was_seen(steps in steps(), times in prop::collection::vec(-2i64..22, 4)) {
        let (together, all) = lived(&steps);
        let document = together.document();
        for Made { hash, after, .. } in &all {
            prop_assert_eq!(document.lacks(&[*hash]), None);
            prop_assert_eq!(&document.value_at(&id(), &Moment::Changes(vec![*hash])).unwrap(), after);
        }
        for time_ms in times.into_iter().chain([i64::MIN, i64::MAX]) {
            let then = document.value_at(&id(), &Moment::Time(time_ms)).unwrap();
            prop_assert_eq!(then, replayed(&document, time_ms));
        }
        let heads = document.heads();
        if document.lacks(&heads).is_none() && !heads.is_empty() {
            let now = document.value_at(&id(), &Moment::Changes(heads)).unwrap();
            prop_assert_eq!(now, document.value(&id()));
        }
    }

    /// Goal: each change has one row, and what the row says, done to what its author saw before, gives what its author
    /// saw after; nothing comes before what it builds on, and a later time never before an earlier one.
    #[test]
    fn history_tells_what_each_change_did(steps in steps()) {
        let (together, all) = lived(&steps);
        let document = together.document();
        let rows = rows(&document);
        prop_assert_eq!(rows.len(), all.len());
        let mut before: HashSet<String> = HashSet::new();
        for row in &rows {
            let hash = row.get("change").unwrap().as_str().unwrap().to_owned();
            let made = all.iter().find(|made| made.hash.to_string() == hash).unwrap();
            let [before_it, after_it] = [&made.before, &made.after].map(|seen| seen.clone().map(Value::visible));
            prop_assert_eq!(done(before_it, row), after_it, "{}", row);
            let change = document.automerge.get_change_by_hash(&made.hash).unwrap();
            let authored = |dep: &&ChangeHash| document.lacks(&[**dep]).is_none();
            for dep in change.deps().iter().filter(authored) {
                prop_assert!(before.contains(&dep.to_string()));
            }
            before.insert(hash);
        }
    }
}

/// Goal: one person's plain history reads as it was written.
#[test]
fn a_row_names_author_time_and_fields() {
    let mut device = Device::new(1);
    device.time_ms = 1_700_000_000_500;
    device.put(r#"{"name":"x","place":{"city":"Oslo","zip":1}}"#);
    device.time_ms = -1;
    device.set(&["place", "zip"], None);
    device.time_ms = CHANGE_TIME_MS_MAX;
    device.set(&["a.b"], Some("[1]"));
    device.delete();
    let shown: Vec<String> = rows(&device.document())
        .iter()
        .map(|row| {
            let mut row = row.as_map().unwrap().clone();
            let hash = row.remove("change").unwrap();
            assert_eq!(row.remove("heads"), Some(Value::List(vec![hash])));
            assert_eq!(row.remove("actor"), Some("01".repeat(16).into()));
            Value::Map(row).to_string()
        })
        .collect();
    assert_eq!(
        shown,
        [
            r#"{"inserted":true,"own":true,"seq":1,"set":{"name":"x","place":{"city":"Oslo","zip":1}},"time":"2023-11-14T22:13:20.5Z","unset":[]}"#,
            r#"{"own":true,"seq":2,"set":{},"time":"1969-12-31T23:59:59.999Z","unset":["place.zip"]}"#,
            r#"{"own":true,"seq":3,"set":{"\"a.b\"":[1]},"time":9007199254740992,"unset":[]}"#,
            r#"{"deleted":true,"own":true,"seq":4,"set":{},"time":9007199254740992,"unset":[]}"#,
        ]
    );
}

/// Goal: thousands of branches that never met are read like any other history.
#[test]
fn thousands_of_branches_are_read() {
    let mut base = Device::new(1);
    base.put(r#"{"n":0,"m":{"k":0}}"#);
    let mut all = base.clone();
    for branch in 1..=2_000u32 {
        let mut author = base.author();
        let mut actor = [7; DEVICE_ACTOR_BYTES];
        actor[..4].copy_from_slice(&branch.to_be_bytes());
        (author.actor, author.seq) = (ActorId::from(&actor[..]), 1);
        author.time_ms = i64::from(branch % 7) * (CHANGE_TIME_MS_MAX / 7);
        let edits = [Edit {
            path: vec!["m".to_owned(), "k".to_owned()],
            action: Action::Set(Value::Int(i64::from(branch))),
        }];
        let written = base.document().edit(COLLECTION, &id(), author, &edits);
        all.keep(written.unwrap());
    }
    let document = all.document();
    let rows = rows(&document);
    assert_eq!(rows.len(), 2_001);
    let sets = |row: &Value| row.get("set").unwrap().get("m.k").is_some();
    assert!(rows[1..].iter().all(sets));
    let heads = Moment::Changes(document.heads());
    let now = document.value(&id());
    assert_eq!(document.value_at(&id(), &heads).unwrap(), now);
    assert!(
        document
            .value_at(&id(), &Moment::Time(1))
            .unwrap()
            .is_some()
    );
}

/// Goal: a long path before each of many fields does not multiply: then whole fields are told.
#[test]
fn long_paths_are_told_by_whole_fields() {
    let mut device = Device::new(1);
    let members = |start: i64| {
        let member = |n: i64| format!("\"{n}\":{}", n + start);
        let members: Vec<String> = (0..2_000).map(member).collect();
        format!("{{{}}}", members.join(","))
    };
    let key = "k".repeat(1_000);
    device.put(&format!("{{\"a\":{{\"{key}\":{}}},\"b\":1}}", members(0)));
    device.put(&format!("{{\"a\":{{\"{key}\":{}}},\"b\":1}}", members(1)));
    let row = rows(&device.document()).pop().unwrap();
    let set = row.get("set").unwrap().as_map().unwrap();
    assert_eq!(set.keys().collect::<Vec<_>>(), ["a"]);
}
