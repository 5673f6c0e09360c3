//! Counters, texts, lists and tokens: what concurrent edits make of them.

use super::*;

/// Goal: concurrent increments add up, and those of a counter made apart go to the one that stays.
#[test]
fn increments_add_up() {
    let (mut a, mut b) = pair(r#"{"m":{"n":{"$counter":10}}}"#);
    a.increment(&["m", "n"], 5);
    a.increment(&["m", "n"], 1);
    b.increment(&["m", "n"], -2);
    a.meet(&mut b);
    a.increment(&["m", "n"], 100);
    assert_eq!(met(a, b), r#"{"m":{"n":{"$counter":114}}}"#);

    let (mut a, mut b) = (Device::new(1), Device::new(2));
    a.put(r#"{"n":{"$counter":1}}"#);
    b.put(r#"{"n":{"$counter":2}}"#);
    a.meet(&mut b);
    assert_eq!(conflicts(&a, &["n"]), r#"[{"$counter":2},{"$counter":1}]"#);
    a.increment(&["n"], 10);
    assert_eq!(
        conflicts(&a, &["n"]),
        r#"[{"$counter":12},{"$counter":11}]"#
    );
    assert_eq!(met(a, b), r#"{"n":{"$counter":12}}"#);
}

/// Goal: SET of a counter means this number, whatever was added to the one before; two that set the same don't add up.
#[test]
fn setting_a_counter_replaces_it() {
    let (mut a, mut b) = pair(r#"{"n":{"$counter":10}}"#);
    a.set(&["n"], Some(r#"{"$counter":0}"#));
    b.set(&["n"], Some(r#"{"$counter":0}"#));
    assert_eq!(met(a, b), r#"{"n":{"$counter":0}}"#);
    let (mut a, mut b) = pair(r#"{"n":{"$counter":10}}"#);
    a.set(&["n"], Some("7"));
    b.increment(&["n"], 1);
    assert_eq!(met(a, b), r#"{"n":7}"#);
}

/// Goal: edits of different places of a text survive, and a plain string replaces it.
#[test]
fn texts_merge() {
    let (mut a, mut b) = pair(r#"{"t":{"$text":"Das Grün"}}"#);
    a.set(&["t"], Some(r#"{"$text":"Das schöne Grün"}"#));
    b.set(&["t"], Some(r#"{"$text":"Das Grün 🌲!"}"#));
    a.meet(&mut b);
    assert_eq!(a.shows(), r#"{"t":{"$text":"Das schöne Grün 🌲!"}}"#);
    a.set(&["t"], Some(r#"{"$text":""}"#));
    b.set(&["t"], Some(r#"{"$text":"Das schöne Grün 🌲!?"}"#));
    a.meet(&mut b);
    assert_eq!(a.shows(), r#"{"t":{"$text":"?"}}"#);
    a.set(&["t"], Some(r#""plain""#));
    assert_eq!(met(a, b), r#"{"t":"plain"}"#);
}

/// Goal: concurrent appends, insertions and removals of items all survive.
#[test]
fn lists_merge() {
    let (mut a, mut b) = pair(r#"{"l":[1,{"x":1},3]}"#);
    a.set(&["l"], Some(r#"[1,{"x":1},3,"a"]"#));
    b.set(&["l"], Some(r#"[0,{"x":1},3,"b"]"#));
    a.meet(&mut b);
    assert_eq!(a.shows(), r#"{"l":[0,{"x":1},3,"b","a"]}"#);
    a.set(&["l"], Some(r#"[0,3,"b","a"]"#));
    b.set(&["l"], Some(r#"[0,{"x":1},3,"a"]"#));
    assert_eq!(met(a, b), r#"{"l":[0,3,"a"]}"#);
}

/// Goal: a list or text that was made apart on two devices is one of the two after the next write, and no conflict.
#[test]
fn writing_a_list_resolves_its_conflict() {
    let (mut a, mut b) = (Device::new(1), Device::new(2));
    a.put(r#"{"l":["a"]}"#);
    b.put(r#"{"l":["b"]}"#);
    a.meet(&mut b);
    assert_eq!(conflicts(&a, &["l"]), r#"[["b"],["a"]]"#);
    a.set(&["l"], Some(r#"["a","b"]"#));
    assert_eq!(a.shows(), r#"{"l":["a","b"]}"#);
    assert_eq!(conflicts(&a, &["l"]), "none");
}

/// Goal: a scalar that loses against a map stays readable, with the map first, and goes when it is resolved.
#[test]
fn a_scalar_hidden_by_a_map_is_a_conflict() {
    for (one, other) in [(1, 2), (2, 1)] {
        let (mut a, mut b) = (Device::new(one), Device::new(other));
        a.put(r#"{"m":{"a":{"b":1}}}"#);
        b.put(r#"{"m":{"a":7}}"#);
        a.meet(&mut b);
        for device in [&a, &b] {
            assert_eq!(conflicts(device, &["m", "a"]), r#"[{"b":1},7]"#);
            assert_eq!(conflicts(device, &["m"]), "none");
        }
        b.set(&["m", "a", "c"], Some("2"));
        assert_eq!(conflicts(&b, &["m", "a"]), "none");
        assert_eq!(met(a, b), r#"{"m":{"a":{"b":1,"c":2}}}"#);
    }
}

/// Goal: equal values written apart are no conflict.
#[test]
fn equal_values_do_not_conflict() {
    let (mut a, mut b) = pair(r#"{"a":1}"#);
    a.set(&["a"], Some("2"));
    b.set(&["a"], Some("2"));
    a.meet(&mut b);
    assert_eq!(conflicts(&a, &["a"]), "none");
}

/// Goal: tokens and bytes merge as a whole, also those that look like each other.
#[test]
fn tokens_merge_as_a_whole() {
    let id = "ab".repeat(32);
    let token = |len| format!(r#"{{"$attachment":{{"id":"{id}","len":{len},"metadata":{{}}}}}}"#);
    let (mut a, mut b) = pair(&format!(r#"{{"f":{}}}"#, token(1)));
    a.set(&["f"], Some(&token(2)));
    b.set(&["f"], Some(&token(3)));
    a.meet(&mut b);
    assert_eq!(a.shows(), format!(r#"{{"f":{}}}"#, token(3)));
    assert_eq!(
        conflicts(&a, &["f"]),
        format!("[{},{}]", token(3), token(2))
    );
}

/// All values of a field, as CONFLICTS reads them.
pub(super) fn conflicts(device: &Device, path: &[&str]) -> String {
    let value = device.document().value(&id()).unwrap();
    let record = value.conflicts();
    match record.and_then(|record| values_at(&record, path).unwrap()) {
        Some(values) => Value::List(values).to_string(),
        None => "none".to_owned(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases()))]

    /// Goal: by whatever difference a list or text is written, it is what was wanted, and what is common keeps its identity:
    /// an insertion in front of it on another device stays in front of it.
    #[test]
    fn splices_give_what_is_wanted(
        before in prop::collection::vec(0u8..4, 0..12), after in prop::collection::vec(0u8..4, 0..12), appended in any::<bool>(),
    ) {
        let list = |items: &[u8]| Value::List(items.iter().map(|item| Value::Int((*item).into())).collect());
        let text = |items: &[u8]| Value::Text(items.iter().map(|item| char::from(b'a' + item)).collect());
        let both = |items: &[u8]| [("l".to_owned(), list(items)), ("t".to_owned(), text(items))].into();
        let (mut a, mut b) = pair(&Value::Map(both(&before)).to_string());
        a.put(&Value::Map(both(&after)).to_string());
        prop_assert_eq!(a.shows(), Value::Map(both(&after)).to_string());
        // What another device puts in front stays there, as nothing but the difference was written.
        let mut longer = before.clone();
        match appended {
            true => longer.push(9),
            false => longer.insert(0, 9),
        }
        b.put(&Value::Map(both(&longer)).to_string());
        a.meet(&mut b);
        let Some(Value::Map(shown)) = a.document().value(&id()) else { panic!("it is there") };
        let mut rest = after.clone();
        for (key, found) in [("l", list(&[9])), ("t", text(&[9]))] {
            let items: Vec<Value> = match (shown.get(key), found) {
                (Some(Value::List(items)), _) => items.clone(),
                (Some(Value::Text(text)), _) => text.chars().map(|c| Value::Int((c as i64) - 97)).collect(),
                other => panic!("{other:?}"),
            };
            prop_assert!(items.contains(&Value::Int(9)));
            let others: Vec<Value> = items.into_iter().filter(|item| *item != Value::Int(9)).collect();
            prop_assert_eq!(Value::List(others), list(&rest));
        }
        rest.clear();
    }
}
