//! Random writes on two to five replicas, exchanged in any order: values, heads and conflicts are the same in the end.

use super::*;

/// One random write on one of the replicas.
#[derive(Clone, Debug)]
enum Write {
    Set(Vec<String>, Value),
    Unset(Vec<String>),
    Increment(Vec<String>, i64),
    /// Puts an item or character into the list or text there, so far behind its beginning, or takes one away.
    Splice(Vec<String>, prop::sample::Index, Option<char>),
    Delete,
    Insert(Value),
    Meet(prop::sample::Index),
}

fn write() -> impl Strategy<Value = Write> {
    let path = || prop::collection::vec("[abc]", 1..4);
    let small = || {
        let text = "[xyz]{0,4}";
        prop_oneof![
            (0i64..5).prop_map(Value::Int),
            (0i64..5).prop_map(Value::Counter),
            text.prop_map(Value::Text),
            prop::collection::vec(0i64..3, 0..4)
                .prop_map(|items| Value::List(items.into_iter().map(Value::Int).collect())),
            prop::collection::btree_map("[abc]", (0i64..3).prop_map(Value::Int), 0..3)
                .prop_map(Value::Map),
        ]
    };
    let document = prop::collection::btree_map("[abc]", small(), 0..3).prop_map(Value::Map);
    prop_oneof![
        6 => (path(), small()).prop_map(|(path, value)| Write::Set(path, value)),
        3 => path().prop_map(Write::Unset),
        4 => (path(), -3i64..4).prop_map(|(path, by)| Write::Increment(path, by)),
        4 => (path(), any::<prop::sample::Index>(), prop::option::of(prop::char::range('p', 'r')))
            .prop_map(|(path, at, put)| Write::Splice(path, at, put)),
        1 => Just(Write::Delete),
        1 => document.prop_map(Write::Insert),
        3 => any::<prop::sample::Index>().prop_map(Write::Meet),
    ]
}

/// Some list or text of a value with one element more or less; the path to it begins with `path`.
fn spliced(value: &Value, at: prop::sample::Index, put: Option<char>) -> Option<Value> {
    fn splice<T>(mut items: Vec<T>, at: prop::sample::Index, put: Option<T>) -> Vec<T> {
        let index = at.index(items.len() + 1);
        match put {
            Some(item) => items.insert(index, item),
            None if index < items.len() => drop(items.remove(index)),
            None => {}
        }
        items
    }
    match value {
        Value::List(items) => {
            let put = put.map(|put| Value::String(put.to_string()));
            Some(Value::List(splice(items.clone(), at, put)))
        }
        Value::Text(text) => {
            let characters = splice(text.chars().collect(), at, put);
            Some(Value::Text(characters.into_iter().collect()))
        }
        _ => None,
    }
}

fn take(devices: &mut [Device], index: usize, write: &Write) {
    let path = |path: &[String]| path.to_vec();
    let edit = |path: Vec<String>, action| vec![Edit { path, action }];
    let edits = match write {
        Write::Set(at, value) => edit(path(at), Action::Set(value.clone())),
        Write::Unset(at) => edit(path(at), Action::Unset),
        Write::Increment(at, by) => edit(path(at), Action::Increment(*by)),
        Write::Splice(at, place, put) => {
            let document = devices[index].document().value(&id());
            let value = document
                .as_ref()
                .and_then(|document| at.iter().try_fold(document, |value, key| value.get(key)));
            match value.and_then(|value| spliced(value, *place, *put)) {
                Some(value) => edit(path(at), Action::Set(value)),
                None => return,
            }
        }
        Write::Delete => return drop(devices[index].delete()),
        Write::Insert(value) => return drop(devices[index].put(&value.to_string())),
        Write::Meet(other) => {
            let other = other.index(devices.len());
            if other != index {
                let mut met = devices[other].clone();
                devices[index].meet(&mut met);
                devices[other] = met;
            }
            return;
        }
    };
    devices[index].edit(&edits);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases()))]

    /// Goal: whatever replicas write apart, all that learn it, in whatever order, show the same values and conflicts.
    #[test]
    fn replicas_converge_in_values_and_conflicts(
        replicas in 2usize..6,
        writes in prop::collection::vec((any::<prop::sample::Index>(), write()), 1..24),
        orders in prop::collection::vec(Just((0..6usize).collect::<Vec<_>>()).prop_shuffle(), 3),
    ) {
        let mut devices: Vec<Device> = (1u8..).take(replicas).map(Device::new).collect();
        for (index, write) in &writes {
            take(&mut devices, index.index(replicas), write);
        }
        let mut results = Vec::new();
        for order in &orders {
            let mut all = Device::new(9);
            for index in order.iter().filter(|index| **index < replicas) {
                let (own, theirs) = (all.document(), devices[*index].document());
                all.take(&all_beyond(&theirs, &own.heads()));
            }
            let document = all.document();
            // The record of conflicts is part of this value.
            results.push((document.heads(), document.value(&id())));
            prop_assert!(document.compact(&id()).is_some());
            // A change loads again, so its document can be written on.
            all.put(r#"{"a":{"b":{"c":1}}}"#);
            prop_assert_eq!(all.shows(), r#"{"a":{"b":{"c":1}}}"#);
        }
        prop_assert!(results.windows(2).all(|pair| pair[0] == pair[1]), "{:?}", results);
    }
}

/// What plain Automerge makes of two maps made apart: one of them is lost. Why maps are born.
#[test]
fn plain_automerge_loses_a_map_made_apart() {
    use automerge::{AutoCommit, ROOT, ReadDoc, transaction::Transactable};
    let make = |key: &str| {
        let mut document = AutoCommit::new();
        let place = document.put_object(ROOT, "place", automerge::ObjType::Map);
        document.put(place.unwrap(), key, 1).unwrap();
        document
    };
    let (mut a, mut b) = (make("city"), make("zip"));
    a.merge(&mut b).unwrap();
    let (_, place) = a.get(ROOT, "place").unwrap().unwrap();
    assert_eq!(a.keys(place).count(), 1);

    let (mut a, mut b) = (Device::new(1), Device::new(2));
    a.put(r#"{"place":{"city":1}}"#);
    b.put(r#"{"place":{"zip":1}}"#);
    assert_eq!(met(a, b), r#"{"place":{"city":1,"zip":1}}"#);
}

/// Runs a scenario with either device's operations ordered first.
fn in_both_orders(scenario: impl Fn(Device, Device)) {
    for (one, other) in [(1, 2), (2, 1)] {
        let (mut a, mut b) = (Device::new(one), Device::new(other));
        a.put(r#"{"x":{"y":{"z":{"old":1}}}}"#);
        a.meet(&mut b);
        scenario(a, b);
    }
}

const DEEP: [&str; 3] = ["x", "y", "z"];

/// Goal: three levels deep a map becomes a scalar and a map again, and what another device adds meanwhile survives.
#[test]
fn map_to_scalar_to_map_three_levels_deep() {
    in_both_orders(|mut a, mut b| {
        a.set(&DEEP, Some("5"));
        assert_eq!(a.shows(), r#"{"x":{"y":{"z":5}}}"#);
        a.set(&DEEP, Some(r#"{"new":1}"#));
        b.set(&["x", "y", "z", "added"], Some("2"));
        assert_eq!(met(a, b), r#"{"x":{"y":{"z":{"added":2,"new":1}}}}"#);
    });
    in_both_orders(|mut a, mut b| {
        a.set(&DEEP, Some("5"));
        b.set(&["x", "y", "z", "added"], Some("2"));
        a.meet(&mut b);
        assert_eq!(a.shows(), r#"{"x":{"y":{"z":{"added":2}}}}"#);
        assert_eq!(types::conflicts(&a, &DEEP), r#"[{"added":2},5]"#);
        b.set(&DEEP, Some("6"));
        assert_eq!(met(a, b), r#"{"x":{"y":{"z":6}}}"#);
    });
}

/// Goal: an INSERT after a DELETE shows what it inserts alone, whatever was added below meanwhile and seen; what was not
/// seen is added.
#[test]
fn delete_then_insert_three_levels_deep() {
    in_both_orders(|mut a, mut b| {
        a.delete();
        b.set(&["x", "y", "z", "added"], Some("2"));
        a.meet(&mut b);
        assert_eq!((a.shows(), b.shows()), ("nothing".into(), "nothing".into()));
        a.put(r#"{"x":{"y":{"z":{"new":1}}}}"#);
        assert_eq!(met(a, b), r#"{"x":{"y":{"z":{"new":1}}}}"#);
    });
    in_both_orders(|mut a, mut b| {
        a.delete();
        a.put(r#"{"x":{"y":{"z":{"new":1}}}}"#);
        b.set(&["x", "y", "z", "added"], Some("2"));
        assert_eq!(met(a, b), r#"{"x":{"y":{"z":{"added":2,"new":1}}}}"#);
    });
}

/// Goal: add wins, three levels deep and from each level above.
#[test]
fn unset_against_a_concurrent_add() {
    for levels in 1..=3 {
        in_both_orders(|mut a, mut b| {
            a.set(&DEEP[..levels], None);
            b.set(&["x", "y", "z", "added"], Some("2"));
            assert_eq!(met(a, b), r#"{"x":{"y":{"z":{"added":2}}}}"#);
        });
    }
}
