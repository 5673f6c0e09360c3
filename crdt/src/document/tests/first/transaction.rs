//! A first change as a transaction of automerge makes it.

use super::*;
use automerge::transaction::{CommitOptions, Transactable};
use automerge::{AutoCommit, ObjId, ObjType, ROOT, ReadDoc};

/// The same first change by a transaction of automerge, over the births.
pub(super) fn by_transaction(births: &[Change], fields: &BTreeMap<String, Value>) -> Change {
    let mut document = AutoCommit::new().with_actor(ActorId::from(&[1; DEVICE_ACTOR_BYTES][..]));
    document.apply_changes(births.to_vec()).unwrap();
    fill(&mut document, &ROOT, fields, true);
    let options = || CommitOptions::default().with_time(TIME_MS);
    if document.commit_with(options()).is_none() {
        document.empty_change(options());
    }
    document.get_last_local_change().unwrap()
}

/// Puts members into a map. One that is reached `by_keys` alone marks that it was written without any.
fn fill(document: &mut AutoCommit, map: &ObjId, members: &BTreeMap<String, Value>, by_keys: bool) {
    if members.is_empty() && by_keys && *map != ROOT {
        document.put(map, EMPTY_MAP, true).unwrap();
    }
    for (key, value) in members {
        let born = document.get(map, key.as_str()).unwrap().map(|(_, id)| id);
        match (born, value) {
            (Some(born), Value::Map(members)) => fill(document, &born, members, by_keys),
            (None, Value::Map(members)) => {
                let made = document.put_object(map, key.as_str(), ObjType::Map);
                fill(document, &made.unwrap(), members, by_keys);
            }
            (_, Value::List(items)) => {
                let list = document.put_object(map, key.as_str(), ObjType::List);
                push(document, &list.unwrap(), items);
            }
            (_, Value::Text(text)) => {
                let made = document.put_object(map, key.as_str(), ObjType::Text);
                document.splice_text(made.unwrap(), 0, 0, text).unwrap();
            }
            (_, value) => {
                let scalar = scalar_of(value).unwrap();
                document.put(map, key.as_str(), scalar).unwrap();
            }
        }
    }
}

fn push(document: &mut AutoCommit, list: &ObjId, items: &[Value]) {
    for (at, item) in items.iter().enumerate() {
        match item {
            Value::Map(members) => {
                let made = document.insert_object(list, at, ObjType::Map).unwrap();
                fill(document, &made, members, false);
            }
            Value::List(items) => {
                let made = document.insert_object(list, at, ObjType::List).unwrap();
                push(document, &made, items);
            }
            Value::Text(text) => {
                let made = document.insert_object(list, at, ObjType::Text).unwrap();
                document.splice_text(made, 0, 0, text).unwrap();
            }
            item => document.insert(list, at, scalar_of(item).unwrap()).unwrap(),
        }
    }
}
