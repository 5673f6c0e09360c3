//! What stores compare: always that of their documents, and equal where those are.

use super::sealing::Terms;
use super::*;
use proptest::prelude::*;
use sedge_crdt::{Check, Contents, Node, Replication, Summary};
use sedge_identity::{Permissions, Rights};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

const COLLECTIONS: [&str; 2] = ["cars", "vans"];

/// A mesh to which everything is delivered, and that brings nothing back.
struct Delivered;

impl Replication for Delivered {
    fn takes_in(&self, _: &str) -> bool {
        false
    }

    fn delivered(&self) -> u64 {
        u64::MAX
    }
}

/// What stands for a document.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Item {
    place: u64,
    item: [u8; 32],
    id: DocumentId,
    heads: Vec<[u8; 32]>,
}

/// The items of all collections of a store, made anew of the documents' states in its database, by place.
fn items(store: &Store) -> BTreeMap<String, Vec<Item>> {
    let folder = tempfile::tempdir().unwrap();
    let path = &folder.path().join("copy");
    let attachments = path.with_extension("attachments");
    store.checkpoint(path, &attachments).unwrap();
    let options = rocksdb::Options::default();
    let families = rocksdb::DB::list_cf(&options, path).unwrap();
    let database = rocksdb::DB::open_cf_for_read_only(&options, path, families, false).unwrap();
    let entries = |family| {
        let family = database.cf_handle(family).unwrap();
        let entries = database.iterator_cf(family, rocksdb::IteratorMode::Start);
        entries.map(Result::unwrap)
    };
    let meta = database.cf_handle("meta").unwrap();
    let sealed = database.get_cf(meta, "sealed").unwrap();
    let sealed_to = sealed.map_or(0, |bytes| number(&bytes[..8]));
    let mut items = BTreeMap::new();
    let names: BTreeMap<u64, String> = entries("collections")
        .map(|(name, value)| (number(&value[..4]), String::from_utf8(name.into()).unwrap()))
        .collect();
    for (key, state) in entries("states") {
        let collection = u32::from_be_bytes(key[..4].try_into().unwrap());
        let collection = &names[&collection.into()];
        let heads = sealed_heads(&state, sealed_to);
        if heads.is_empty() {
            continue;
        }
        let place = hash("place", collection, &key[4..], &[]);
        let item = Item {
            place: u64::from_be_bytes(place[..8].try_into().unwrap()),
            item: hash("item", collection, &key[4..], &heads),
            id: DocumentId::from_canonical(&key[4..]).unwrap(),
            heads,
        };
        items
            .entry(collection.clone())
            .or_insert_with(Vec::new)
            .push(item);
    }
    for items in items.values_mut() {
        items.sort_by(|one, other| (one.place, &one.id).cmp(&(other.place, &other.id)));
    }
    items
}

fn number(bytes: &[u8]) -> u64 {
    let bytes = bytes.iter().rev();
    bytes.fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// The heads in the record of a document's state without changes that are not sealed.
fn sealed_heads(state: &[u8], sealed_to: u64) -> Vec<[u8; 32]> {
    let own_sequence = number(&state[40..48]);
    let known = number(&state[52..56]) as usize;
    let earlier = number(&state[56..58]) as usize;
    let hashes = state[58 + earlier * 48..].as_chunks::<32>().0;
    let (known, heads) = hashes.split_at(known);
    match own_sequence > sealed_to {
        true => known.to_vec(),
        false => heads.to_vec(),
    }
}

fn hash(what: &str, collection: &str, id: &[u8], heads: &[[u8; 32]]) -> [u8; 32] {
    let mut bytes = Vec::new();
    for part in [b"demo", collection.as_bytes(), id] {
        bytes.extend_from_slice(&(part.len() as u64).to_le_bytes());
        bytes.extend_from_slice(part);
    }
    bytes.extend_from_slice(heads.as_flattened());
    blake3::derive_key(&format!("sedge reconciliation {what} 1"), &bytes)
}

fn sum<'a>(items: impl Iterator<Item = &'a Item>) -> Summary {
    items.fold(Summary::default(), |mut summary, item| {
        summary.count += 1;
        let mut carry = 0;
        for (byte, more) in summary.sum.iter_mut().zip(item.item) {
            let total = u16::from(*byte) + u16::from(more) + carry;
            (*byte, carry) = (total as u8, total >> 8);
        }
        summary
    })
}

/// A store that rests has the summaries of its documents at every depth, and gives their items and heads.
#[track_caller]
fn agrees(store: &Store) {
    let mut items = items(store);
    for collection in COLLECTIONS {
        let items = items.remove(collection).unwrap_or_default();
        let of = |node: Node| sum(items.iter().filter(|item| node.contains(item.place)));
        let mut nodes = vec![Node::ROOT];
        while let Some(node) = nodes.pop() {
            assert_eq!(store.summary(collection, node).unwrap(), of(node));
            let below = store.summaries_below(collection, node).unwrap();
            let children = node.children().into_iter().flatten();
            for (child, summary) in children.zip(below) {
                assert_eq!(summary, of(child), "{collection} {child:?}");
                let is_deep = child.depth() > 5 && child.depth() < 15;
                nodes.extend((summary.count > 0 && !is_deep).then_some(child));
            }
        }
        assert_eq!(told(store, collection, Node::ROOT, 3), items);
        let node = Node::new(1, 7).unwrap();
        let (within, _): (Vec<_>, Vec<_>) =
            items.into_iter().partition(|it| node.contains(it.place));
        assert_eq!(told(store, collection, node, 1), within);
    }
    assert!(items.is_empty());
}

/// The items that a store tells of a node, so many at once.
fn told(store: &Store, collection: &str, node: Node, most: usize) -> Vec<Item> {
    let mut told: Vec<Item> = Vec::new();
    loop {
        let after = told.last().map(|item| (item.place, &item.id));
        let page = store.items(collection, node, after, most).unwrap();
        if page.is_empty() {
            return told;
        }
        assert!(page.len() <= most);
        told.extend(page.into_iter().map(|entry| Item {
            place: entry.place,
            item: entry.item,
            heads: store.sealed_heads(collection, &entry.id).unwrap(),
            id: entry.id,
        }));
    }
}

#[track_caller]
fn is_whole(path: &Path) {
    Contents::read(path, Check::Documents, &mut |_, _| ()).unwrap();
}

/// What a device may write while it may not write everything.
fn narrow(device: u8) -> Arc<sedge_identity::LocalIdentity> {
    let mut terms = Terms::of("demo", device);
    terms.serial += 50;
    let rules = BTreeMap::from([("cars".to_owned(), vec!["_id != '0'".to_owned()])]);
    terms.request.permissions = Permissions {
        read: Rights::Everything,
        write: Rights::Collections(rules),
    };
    terms.identity()
}

#[derive(Clone, Debug)]
enum Action {
    Write {
        document: u8,
        field: u8,
    },
    Delete(u8),
    Evict(u8),
    Seal,
    /// It gives the other store all that it has sealed.
    Give,
    /// It seals, and gives the other store everything.
    Meet,
    Reopen,
    /// It gets a certificate that gives less, or one that gives all.
    Certify {
        is_narrow: bool,
    },
    Copy,
    /// The last copy takes its place.
    Restore,
}

fn action() -> impl Strategy<Value = (usize, u8, Action)> {
    let action = prop_oneof![
        8 => (0u8..4, 0u8..3).prop_map(|(document, field)| Action::Write { document, field }),
        2 => (0u8..4).prop_map(Action::Delete),
        2 => (0u8..4).prop_map(Action::Evict),
        3 => Just(Action::Seal),
        3 => Just(Action::Give),
        2 => Just(Action::Meet),
        1 => Just(Action::Reopen),
        1 => any::<bool>().prop_map(|is_narrow| Action::Certify { is_narrow }),
        1 => Just(Action::Copy),
        1 => Just(Action::Restore),
    ];
    (0usize..2, 0u8..2, action)
}

struct Place {
    folder: tempfile::TempDir,
    device: u8,
    /// Numbers its folder, as a copy that takes its place has another one.
    number: usize,
    copies: usize,
    store: Option<Store>,
}

impl Place {
    fn new(device: u8) -> Self {
        let mut place = Self {
            folder: tempfile::tempdir().unwrap(),
            device,
            number: 0,
            copies: 0,
            store: None,
        };
        place.open();
        place
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join(self.number.to_string())
    }

    fn store(&self) -> &Store {
        self.store.as_ref().unwrap()
    }

    fn open(&mut self) {
        self.store = None;
        let store = open(&self.path(), self.device);
        store.set_replication(Some(Arc::new(Delivered)));
        self.store = Some(store);
    }

    fn execute(&self, statement: &str) {
        match self.store().execute(statement, &Params::new()) {
            Ok(_)
            | Err(
                StoreError::NotPermitted(_)
                | StoreError::UnknownCollection { .. }
                | StoreError::NotEvictable { .. },
            ) => {}
            Err(error) => panic!("{error}"),
        }
    }

    fn go(&mut self, other: &Store, collection: &str, number: usize, action: &Action) {
        match *action {
            Action::Write { document, field } => {
                self.execute(&format!(
                    "INSERT INTO {collection} DOCUMENTS ({{'_id': '{document}'}}) ON ID CONFLICT DO NOTHING"
                ));
                self.execute(&format!(
                    "UPDATE {collection} SET f{field} = {number} WHERE _id = '{document}'"
                ));
            }
            Action::Delete(document) => {
                self.execute(&format!(
                    "DELETE FROM {collection} WHERE _id = '{document}'"
                ));
            }
            Action::Evict(document) => {
                self.execute(&format!("EVICT FROM {collection} WHERE _id = '{document}'"));
            }
            Action::Seal => self.store().seal().unwrap(),
            Action::Give => drop(give(self.store(), other, 16 << 20)),
            Action::Meet => drop(replicate(self.store(), other)),
            Action::Reopen => self.open(),
            Action::Certify { is_narrow: true } => {
                self.store().certify(narrow(self.device)).unwrap();
            }
            Action::Certify { is_narrow: false } => {
                let all = identity("demo", self.device);
                self.store().certify(all).unwrap();
            }
            Action::Copy => {
                self.copies += 1;
                let path = self.folder.path().join(self.copies.to_string());
                let attachments = path.with_extension("attachments");
                self.store().checkpoint(&path, &attachments).unwrap();
            }
            Action::Restore if self.copies > self.number => {
                self.store = None;
                is_whole(&self.path());
                self.number = self.copies;
                let key = DeviceKey::from_seed([self.device; 32]);
                Store::begin_anew(&self.path(), &key.public()).unwrap();
                self.open();
            }
            Action::Restore => {}
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10, failure_persistence: None, ..ProptestConfig::default() })]

    /// Goal: after any history a store's summaries are at every depth those of its documents' sealed heads, in memory and on
    /// disk, and stores that have met have equal ones.
    #[test]
    fn summaries_are_those_of_the_documents(actions in prop::collection::vec(action(), 1..40)) {
        let mut places = [Place::new(1), Place::new(2)];
        for (number, (at, collection, action)) in actions.iter().enumerate() {
            let other = places[1 - at].store().clone();
            let collection = COLLECTIONS[usize::from(*collection)];
            places[*at].go(&other, collection, number, action);
            if number % 8 == 7 {
                agrees(&other);
                agrees(places[*at].store());
            }
        }
        let [a, b] = &places;
        for place in [a, b] {
            place.store().certify(identity("demo", place.device)).unwrap();
        }
        for (from, to) in [(a, b), (b, a), (a, b)] {
            replicate(from.store(), to.store());
        }
        prop_assert_eq!(items(a.store()), items(b.store()));
        for collection in COLLECTIONS {
            let [one, other] = [a, b].map(|it| it.store().summary(collection, Node::ROOT).unwrap());
            prop_assert_eq!(one, other);
        }
        for place in &mut places {
            place.open();
            agrees(place.store());
            place.store = None;
            is_whole(&place.path());
        }
    }
}

/// Goal: summaries stay right while documents are written, arrive and are sealed in part, all at once.
#[test]
fn summaries_hold_while_all_happens_at_once() {
    let folders = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let [a, b] = [0, 1].map(|at| open(folders[at].path(), at as u8 + 1));
    let _audience = a.released();
    insert(&a, r#"{"_id":"first"}"#);
    let documents = |round: usize, count: usize| -> Vec<Value> {
        let document = |n| format!(r#"{{"_id":"{n}","round":{round}}}"#);
        let documents = (0..count).map(|n| parse_json(&document(n)).unwrap());
        documents.collect()
    };
    for round in 0..6 {
        b.import("cars", &documents(100 + round, 900)).unwrap();
        b.seal().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| a.import("cars", &documents(round, 1_500)).unwrap());
            scope.spawn(|| give(&b, &a, 16 << 20));
            scope.spawn(|| {
                for n in 0..40 {
                    execute(&a, &format!("UPDATE cars SET n = {n} WHERE _id = '{n}'"));
                }
            });
            scope.spawn(|| (0..5).for_each(|_| a.seal().unwrap()));
        });
        a.seal().unwrap();
        agrees(&a);
    }
    replicate(&a, &b);
    assert_eq!(replicate(&a, &b), 0);
    for store in [&a, &b] {
        let root = store.summary("cars", Node::ROOT).unwrap();
        assert_eq!(root, a.summary("cars", Node::ROOT).unwrap());
    }
    drop((a, b));
    folders.iter().for_each(|folder| is_whole(folder.path()));
}

/// Goal: what was sealed in part while a document of this device was changed by another leaves nothing out: an own change is
/// sealed though the feed leads to its document later than it did.
#[test]
fn an_own_change_below_an_arrival_is_sealed() {
    let folders = [(); 3].map(|()| tempfile::tempdir().unwrap());
    let [a, b, c] = [0, 1, 2].map(|at| open(folders[at].path(), at as u8 + 1));
    insert(&b, r#"{"_id":"x","of_b":1}"#);
    let packet = Packet::of(&b, "cars", &[b"\"x\""]);
    let mut ended = Terms::of("demo", 1);
    ended.serial = 60;
    ended.request.validity = sedge_identity::Validity::Life { life_ms: 10 };
    a.certify(ended.identity()).unwrap(); // so that nothing is sealed for now
    insert(&a, r#"{"_id":"x","of_a":1}"#);
    a.import("cars", &many(600)).unwrap();
    assert!(a.seal().is_err());
    packet.arrive(&a);
    a.certify(identity("demo", 1)).unwrap();
    replicate(&a, &c);
    agrees(&a);
    assert_eq!(a.collections(), c.collections());
}

/// Goal: items and sums that are not those of the documents are told when a closed store is read through, with what is wrong,
/// and put right by a recomputation.
#[test]
fn what_is_wrong_is_told_and_put_right() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let store = open(&path("store"), 1);
    store.import("cars", &many(40)).unwrap();
    store.seal().unwrap();
    store.compact().unwrap(); // sums can be read without their merge operator then
    insert(&store, r#"{"_id":"unsealed"}"#);
    let item = "the item by which peers compare it";
    let sum = "of collection cars is of";
    let long: &[u8] = &[7; 12];
    type Change<'a> =
        &'a dyn Fn(&rocksdb::DB, &rocksdb::ColumnFamily, &[u8]) -> Result<(), rocksdb::Error>;
    let changes: [(&str, &str, Change<'_>, &str, u64); 5] = [
        (
            "items",
            "00007\"",
            &|all, family, key| all.delete_cf(family, key),
            item,
            1,
        ),
        (
            "items",
            "00007\"",
            &|all, family, key| all.put_cf(family, key, [1; 32]),
            item,
            1,
        ),
        (
            "items",
            "00007\"",
            &|all, family, key| all.put_cf(family, [&key[..4], long].concat(), [1; 32]),
            "42 items",
            1,
        ),
        (
            "sums",
            "",
            &|all, family, key| all.delete_cf(family, key),
            sum,
            1,
        ),
        (
            "sums",
            "",
            &|all, family, key| all.put_cf(family, key, [1; 40]),
            sum,
            1,
        ),
    ];
    for (number, (family, of, change, told, wrong)) in changes.into_iter().enumerate() {
        let path = path(&number.to_string());
        let attachments = path.with_extension("attachments");
        store.checkpoint(&path, &attachments).unwrap();
        is_whole(&path);
        alter(&path, family, of, change);
        let error = Contents::read(&path, Check::Entries, &mut |_, _| ()).unwrap_err();
        assert!(error.to_string().contains(told), "{told}: {error}");
        let key = DeviceKey::from_seed([1; 32]).public();
        let copy = Store::open(&path, &AppId::new("demo").unwrap(), &key).unwrap();
        assert_eq!(
            copy.recompute("cars", Node::ROOT).unwrap(),
            wrong,
            "{number}"
        );
        assert_eq!(copy.recompute("cars", Node::ROOT).unwrap(), 0);
        assert_eq!(copy.recompute("vans", Node::ROOT).unwrap(), 0);
        agrees(&copy);
        drop(copy);
        is_whole(&path);
    }
}
