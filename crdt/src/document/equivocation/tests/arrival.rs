//! Stores that take changes in one by one, in any order, and end with the same document.

use super::*;
use crate::document::tests::forked::change;

/// What a store has of a document.
#[derive(Default)]
struct Store {
    accepted: Vec<Change>,
    aside: HashSet<ChangeHash>,
    document: Document,
    is_forked: bool,
}

impl Store {
    /// Takes in a change whose dependencies are here.
    fn take(&mut self, change: &Change) -> Result<(), TestCaseError> {
        let mut ancestry = Ancestry::of_document(&self.document.automerge);
        let is_aside = |change: &&Change| self.aside.contains(&change.hash());
        let aside = self.accepted.iter().filter(is_aside);
        aside.for_each(|change| ancestry.add(Cow::Borrowed(change)));
        prop_assert_eq!(wellformed::check(change, &mut ancestry), Ok(()));
        self.is_forked |= ancestry.forks(change);
        self.accepted.push(change.clone());
        if !self.is_forked {
            self.document.apply(vec![change.clone()]).unwrap();
            return Ok(());
        }
        let nodes: Vec<Node> = self.accepted.iter().filter_map(Node::of).collect();
        self.aside = resolve(&nodes, device_of).aside;
        prop_assert!(rebuild(self.accepted.clone(), &HashSet::new()).is_err());
        self.document = rebuild(self.accepted.clone(), &self.aside).unwrap();
        Ok(())
    }
}

fn id() -> DocumentId {
    DocumentId::new(&"x".into()).unwrap()
}

/// An order in which each comes behind what it builds on.
fn arrival(all: &Changes, order: &[u64]) -> Vec<Change> {
    let mut open: BTreeSet<usize> = (0..all.len()).collect();
    let (mut arrived, mut changes) = (BTreeSet::new(), Vec::new());
    let is_ready = |number: &usize, arrived: &BTreeSet<usize>| all[*number].1.is_subset(arrived);
    while !open.is_empty() {
        let ready = open.iter().filter(|number| is_ready(number, &arrived));
        let next = *ready.min_by_key(|number| order[**number]).unwrap();
        open.remove(&next);
        arrived.insert(next);
        changes.push(all[next].0.clone());
    }
    changes
}

fn hashes(document: &Document) -> BTreeSet<ChangeHash> {
    let changes = document.automerge.get_changes(&[]).into_iter();
    changes.map(|change| change.hash()).collect()
}

proptest! {
    /// Goal: whatever the order of arrival, stores with the same changes have the same document: heads, value, history, and
    /// bytes on disk, which load again, although automerge refuses a second change with a number.
    #[test]
    fn all_orders_end_in_one_document(
        history in history(ACTORS / 2, 24), orders in prop::collection::vec(prop::collection::vec(any::<u64>(), 24), 3),
    ) {
        let all = written(&history);
        let mut ends = Vec::new();
        for order in &orders {
            let mut store = Store::default();
            for change in arrival(&all, order) {
                store.take(&change)?;
            }
            let compact = store.document.compact(&id()).unwrap();
            let again = Document::load(&compact).unwrap();
            let kept = all.iter().map(|(change, _)| change.hash()).filter(|hash| !store.aside.contains(hash));
            prop_assert_eq!(hashes(&again), kept.collect::<BTreeSet<_>>());
            prop_assert_eq!(hashes(&again), hashes(&store.document));
            let rebuilt = rebuild(store.accepted, &store.aside).unwrap().compact(&id());
            prop_assert!(!store.is_forked || rebuilt.as_ref() == Some(&compact));
            ends.push((store.document.heads(), store.document.value(&id()), rebuilt, store.aside));
        }
        prop_assert!(ends.windows(2).all(|pair| pair[0] == pair[1]));
    }
}

/// Goal: of births those stay that what counts needs, and no others.
#[test]
fn births_stay_with_what_needs_them() {
    let births = crate::document::birth::Births::of("c", &id());
    let (one, other) = (births.under(None, "one"), births.under(None, "other"));
    let inner = births.under(Some(&other), "inner");
    let on = |birth: &Change, time| {
        let mut change = written(&[(1, vec![], 1)])[0].0.decode();
        change.deps = vec![birth.hash()];
        change.start_op = change.start_op.saturating_add(birth.max_op());
        change.time = time;
        change.hash = None;
        Change::from(change)
    };
    let (kept, lost) = (on(&inner.change, 1), on(&one.change, 2));
    let births = [inner.change, one.change, other.change];
    let all = [&[kept.clone(), lost.clone()][..], &births].concat();
    let both = rebuild(all.clone(), &HashSet::new());
    assert!(both.is_err(), "automerge can't hold both");
    let document = rebuild(all, &HashSet::from([lost.hash()])).unwrap();
    let expected = [&births[0], &births[2], &kept].map(Change::hash);
    assert_eq!(hashes(&document), BTreeSet::from(expected));
}

/// Goal: a change that counts and lacks what it builds on is told, not left out.
#[test]
fn a_missing_change_is_told() {
    let missing = ChangeHash([7; 32]);
    let orphan = change(&Vec::new(), &BTreeSet::new(), vec![missing], 1, 1);
    assert!(rebuild(vec![orphan], &HashSet::new()).is_err());
    let empty = rebuild(Vec::new(), &HashSet::new()).unwrap();
    assert!(empty.heads().is_empty());
}
