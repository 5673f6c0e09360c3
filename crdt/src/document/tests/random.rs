//! Random writes on several devices: whatever they do, they meet.

use super::*;

/// Writes into a model of the visible value, as one SET does.
pub(super) fn write_into(fields: &mut BTreeMap<String, Value>, path: &[String], value: &Value) {
    let [key, rest @ ..] = path else { return };
    if rest.is_empty() {
        fields.insert(key.clone(), value.clone());
        return;
    }
    let child = fields.entry(key.clone()).or_insert(Value::Null);
    if !matches!(child, Value::Map(_)) {
        *child = Value::Map(BTreeMap::new());
    }
    if let Value::Map(members) = child {
        write_into(members, rest, value);
    }
}

/// One random write.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Put(Value),
    Set(Vec<String>, Option<Value>),
    Delete,
}

pub(super) fn step() -> impl Strategy<Value = Step> {
    let path = prop::collection::vec("[abc]", 1..4);
    prop_oneof![
        1 => arbitrary::document().prop_map(|document| {
            let mut fields = document.as_map().cloned().unwrap_or_default();
            fields.remove("_id");
            Step::Put(Value::Map(fields))
        }),
        6 => (path, prop::option::of(arbitrary::value())).prop_map(|(path, value)| Step::Set(path, value)),
        1 => Just(Step::Delete),
    ]
}

/// The change that it made, if any.
pub(super) fn take_step(device: &mut Device, step: &Step) -> Option<Delta> {
    match step {
        Step::Put(value) => device.put(&value.to_string()),
        Step::Set(path, value) => {
            let path: Vec<&str> = path.iter().map(String::as_str).collect();
            let json = value.as_ref().map(Value::to_string);
            device.set(&path, json.as_deref())
        }
        Step::Delete => device.delete(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases()))]

    /// Goal: the fast path of a first change (no op set) shows exactly what the change, applied, shows.
    #[test]
    fn a_first_change_encodes_its_value(document in arbitrary::document()) {
        let mut fields = document.as_map().unwrap().clone();
        fields.remove("_id");
        let device = Device::new(1);
        let (fast, _) = create(COLLECTION, &id(), device.author(), fields.clone()).unwrap();
        let slow = Document::default()
            .replace(COLLECTION, &id(), device.author(), &fields)
            .unwrap();
        if let Some(slow) = slow {
            prop_assert_eq!(fast.change.hash(), slow.change.hash());
        }
        let mut device = device;
        device.keep(Some(fast));
        prop_assert_eq!(device.shows(), Value::Map(fields).to_string());
    }

    /// Goal: edits of one change whose paths share parents all take effect, with births left and without, and no key is
    /// deleted or written twice in a change.
    #[test]
    fn edits_with_common_parents_all_take_effect(
        exhausted in any::<bool>(),
        writes in prop::collection::vec(
            prop::collection::vec((prop::collection::vec("[abc]", 1..5), arbitrary::value()), 1..6), 1..5),
    ) {
        let mut device = if exhausted { without_births_left() } else { Device::new(1) };
        let mut model = match device.document().value(&id()) {
            Some(Value::Map(fields)) => fields,
            _ => BTreeMap::new(),
        };
        for write in writes {
            let mut edits: Vec<Edit> = Vec::new();
            for (path, value) in write {
                let apart = |edit: &Edit| !edit.path.starts_with(&path) && !path.starts_with(&edit.path);
                if edits.iter().all(apart) {
                    write_into(&mut model, &path, &value);
                    edits.push(Edit { path, action: Action::Set(value) });
                }
            }
            let Some(delta) = device.edit(&edits) else { continue };
            let operations = Change::from_bytes(delta.changes[0].clone()).unwrap().decode().operations;
            let keys = operations.iter().filter(|operation| !operation.insert);
            let mut seen = std::collections::HashSet::new();
            for operation in keys {
                prop_assert!(seen.insert((operation.obj.clone(), operation.key.clone())), "{operation:?} comes twice");
            }
        }
        model.insert("_id".to_owned(), id().to_value());
        prop_assert_eq!(device.document().value(&id()), Some(Value::Map(model)));
    }

    /// Goal: random concurrent histories of three devices lead to one document, in whatever order they meet, and the
    /// record still loads.
    #[test]
    fn histories_converge_in_every_order(
        base in arbitrary::document(),
        steps in prop::collection::vec((0usize..3, step(), prop::option::weighted(0.2, (0usize..3, 0usize..3))), 1..12),
    ) {
        let mut devices = [Device::new(1), Device::new(2), Device::new(3)];
        devices[0].put(&{
            let mut fields = base.as_map().unwrap().clone();
            fields.remove("_id");
            Value::Map(fields).to_string()
        });
        for (device, step, meeting) in &steps {
            take_step(&mut devices[*device], step);
            if let Some((one, other)) = meeting && one != other {
                let mut second = devices[*other].clone();
                devices[*one].meet(&mut second);
                devices[*other] = second;
            }
        }
        let orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
        let mut results = Vec::new();
        for order in orders {
            let mut all = Device::new(9);
            for index in order {
                all.take(&all_beyond(&devices[index].document(), &[]));
            }
            results.push((all.document().heads(), all.shows()));
            prop_assert!(all.document().compact(&id()).is_some());
        }
        prop_assert!(results.windows(2).all(|pair| pair[0] == pair[1]), "{:?}", results);
    }

    /// Goal: no truncated delta is taken, and none makes anything panic.
    #[test]
    fn truncated_deltas_are_refused(cut in any::<prop::sample::Index>()) {
        let mut device = Device::new(1);
        let bytes = device.put(r#"{"a":{"b":[1,2,3]},"c":"text"}"#).unwrap().encode();
        let cut = cut.index(bytes.len());
        let taken = Delta::decode(&bytes[..cut]).and_then(|delta| {
            Document::ingest_assumed(&[], COLLECTION, &id(), &delta)
        });
        if let Ok(ingested) = taken {
            prop_assert!(ingested.changes.is_empty());
        }
    }
}
