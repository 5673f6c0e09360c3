//! What seals prove is judged by time, rights and cuts, as data that every store has alike.

use super::forged::{Victim, delta, id, one_change};
use super::sealing::{INCARNATION, ISSUED_MS, Sealing, Terms};
use super::*;
use automerge::AutoCommit;
use automerge::transaction::{CommitOptions, Transactable};
use proptest::prelude::*;
use proptest::sample::Index;
use sedge_crdt::{Sealed, StoreOptions};
use sedge_identity::{ActorName, LocalIdentity, Permissions, Policy, Rights, Validity};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

const YEAR_MS: u64 = 365 * 24 * 3_600_000;

/// Goal: acceptance asks when something was sealed, never when it arrives: under a certificate of other days, past or to come,
/// what was sealed in them is taken, and what says it was sealed outside of them is not.
#[test]
fn the_time_of_the_seal_decides() {
    for (device, issued_ms) in [
        (7, ISSUED_MS - 20 * YEAR_MS),
        (8, ISSUED_MS),
        (9, ISSUED_MS + 20 * YEAR_MS),
    ] {
        let victim = Victim::new();
        let mut terms = Terms::of("demo", device);
        terms.issued_ms = issued_ms;
        terms.request.validity = Validity::Life { life_ms: YEAR_MS };
        let device = terms.identity();
        let mut sealing = Sealing::by(&device, "cars");
        for (time_ms, counts) in [
            (0, false),
            (issued_ms - YEAR_MS, false),
            (issued_ms + YEAR_MS + 1, false),
            (u64::MAX, false),
            (issued_ms + YEAR_MS, true),
        ] {
            sealing.terms.time_ms = time_ms;
            let packet = Packet::sealed_under(&sealing, &id("x"), one_change(&device));
            match counts {
                true => victim.takes(&packet),
                false => victim.refuses(&packet, "certificate did not count"),
            }
        }
    }
}

/// A store of a device whose clock stands still, and whose certificate is valid for a year around that.
fn living_at(folder: &Path, device: u8, clock: fn() -> u64) -> Store {
    let mut terms = Terms::of("demo", device);
    terms.issued_ms = clock();
    terms.request.validity = Validity::Life { life_ms: YEAR_MS };
    let key = DeviceKey::from_seed([device; 32]).public();
    let options = StoreOptions {
        clock,
        ..StoreOptions::default()
    };
    let store = Store::open_with(folder, &terms.app, &key, options).unwrap();
    store.certify(terms.identity()).unwrap();
    store
}

/// Goal: stores whose clocks are ten years apart, so that by each one's clock the other's certificate does not count, take
/// everything from each other, also what one builds on the other's, and a third store takes it from either. Each writes under
/// its own time, whatever it has seen.
#[test]
fn stores_whose_clocks_are_years_apart_converge() {
    let folders = [(); 4].map(|()| tempfile::tempdir().unwrap());
    let behind = living_at(folders[0].path(), 1, || ISSUED_MS);
    let ahead = living_at(folders[1].path(), 2, || ISSUED_MS + 10 * YEAR_MS);
    let both = [(&behind, &ahead), (&ahead, &behind)];
    for (number, (store, _)) in both.into_iter().enumerate() {
        insert(store, &format!(r#"{{"_id":"own {number}"}}"#));
        insert(store, &format!(r#"{{"_id":"x","n":{{"by{number}":0}}}}"#));
    }
    for round in 1..4 {
        for (number, (store, other)) in both.into_iter().enumerate() {
            execute(store, &format!("UPDATE cars SET n.by{number} = {round}"));
            replicate(store, other);
        }
    }
    replicate(&behind, &ahead);
    let shown = rows(&behind, "SELECT * FROM cars ORDER BY _id");
    assert_eq!(shown.len(), 3);
    for (number, (store, _)) in both.into_iter().enumerate() {
        let third = open(folders[2 + number].path(), 3);
        replicate(store, &third);
        for store in [store, &third] {
            assert_eq!(store.collections(), behind.collections());
            assert_eq!(rows(store, "SELECT * FROM cars ORDER BY _id"), shown);
        }
    }
    let history = rows(&ahead, "HISTORY OF 'x' FROM cars");
    let made = |device: &str, year: &str| {
        let by =
            |row: &&String| row.contains(device) && row.contains(&format!("\"time\":\"{year}-"));
        history.iter().filter(by).count()
    };
    assert_eq!((made("device 1", "2023"), made("device 2", "2033")), (4, 4));
    assert_eq!(history.len(), 8);
}

/// Goal: a document that the certificate's write rules leave out is not taken from its holder, whoever brings it.
#[test]
fn rights_are_looked_at_where_changes_arrive() {
    let victim = Victim::new();
    let mut terms = Terms::of("demo", 7);
    let rules = BTreeMap::from([("cars".to_owned(), vec!["_id = 'mine'".to_owned()])]);
    terms.request.permissions = Permissions {
        read: Rights::Everything,
        write: Rights::Collections(rules),
    };
    let device = terms.identity();
    for (collection, document, is_allowed) in [
        ("cars", "other", false),
        ("planes", "mine", false),
        ("cars", "mine", true),
    ] {
        let packet = Packet::sealed_by(&device, collection, &id(document), one_change(&device));
        match is_allowed {
            true => victim.takes(&packet),
            false => victim.refuses(&packet, "its device may not write it"),
        }
    }
}

/// Goal: a cut takes what its device made after it and nothing that it made before, whenever that was sealed.
#[test]
fn a_cut_judges_changes_by_their_own_time() {
    let device = identity("demo", 7);
    let change = |time: i64| {
        let mut document = AutoCommit::new().with_actor(actor(&device));
        document.put(automerge::ROOT, "n", time).unwrap();
        document.commit_with(CommitOptions::default().with_time(time));
        let mut change = document.get_last_local_change().unwrap();
        delta(&[change.bytes().to_vec()])
    };
    let cut = ActorName::of(&device.key().public(), INCARNATION);
    let mut terms = Terms::of("demo", 2);
    terms.policy = Policy {
        cuts: BTreeMap::from([(cut, 1_000)]),
        ..Policy::default()
    };
    let victim = Victim::certified(terms);
    let mut sealing = Sealing::by(&device, "cars");
    for sealed_ms in [1, 999, ISSUED_MS, 2 * ISSUED_MS] {
        sealing.terms.time_ms = sealed_ms;
        let packet = Packet::sealed_under(&sealing, &id("late"), change(1_001));
        victim.refuses(&packet, "after its device was cut off");
    }
    for (name, sealed_ms) in [("early", 1), ("last", ISSUED_MS)] {
        sealing.terms.time_ms = sealed_ms;
        let packet = Packet::sealed_under(&sealing, &id(name), change(1_000));
        victim.takes(&packet);
    }
}

/// Goal: what a renewed certificate no longer lets its device write is set aside and told, also after reopening; nothing of it
/// leaves, all else does, and under a certificate that gives it again it leaves after all.
#[test]
fn what_cannot_be_sealed_is_set_aside() {
    let folders = [(); 3].map(|()| tempfile::tempdir().unwrap());
    let [a, b, c] = [0, 1, 2].map(|at| open(folders[at].path(), at as u8 + 1));
    let limited = || {
        let mut terms = Terms::of("demo", 1);
        terms.serial = 50;
        let rules = BTreeMap::from([("cars".to_owned(), vec!["_id = 'allowed'".to_owned()])]);
        terms.request.permissions = Permissions {
            read: Rights::Everything,
            write: Rights::Collections(rules),
        };
        terms.identity()
    };
    insert(&a, r#"{"_id":"withheld","n":1}"#);
    insert(&a, r#"{"_id":"allowed","n":1}"#);
    a.certify(limited()).unwrap();
    assert_eq!(replicate(&a, &b), 1);
    assert_eq!(rows(&b, "SELECT _id FROM cars"), [r#"{"_id":"allowed"}"#]);
    let told = |store: &Store| {
        let aside = store.withheld().unwrap().set_aside_first.into_iter();
        aside.map(|(_, id)| id.to_string()).collect::<Vec<_>>()
    };
    let withheld = [id("withheld").to_string()];
    assert_eq!(told(&a), withheld);
    drop(a);
    let key = DeviceKey::from_seed([1; 32]).public();
    let a = Store::open(folders[0].path(), &AppId::new("demo").unwrap(), &key).unwrap();
    a.certify(limited()).unwrap();
    assert_eq!((told(&a), replicate(&a, &c)), (withheld.to_vec(), 1));
    a.certify(identity("demo", 1)).unwrap();
    assert_eq!(replicate(&a, &b), 1);
    assert_eq!(told(&a), Vec::<String>::new());
    assert_eq!(a.collections(), b.collections());
    assert_eq!(
        rows(&a, "SELECT * FROM cars"),
        rows(&b, "SELECT * FROM cars")
    );
}

/// Who writes in a random history: two honest devices, one that is cut, and one that may not write.
const HONEST: usize = 2;
const CUT: usize = 2;
const WITHOUT_RIGHTS: usize = 3;

/// The cut device's last moment.
const CUT_MS: i64 = 1_000;

/// Changes of one document, and what each builds on, itself included.
struct History {
    devices: [Arc<LocalIdentity>; 4],
    changes: Vec<(usize, Change)>,
    ancestors: Vec<BTreeSet<usize>>,
}

impl History {
    /// Each change is a device's, before or after the cut, and builds on some of those before it and its device's last.
    fn of(writings: &[(usize, bool, Vec<Index>)]) -> Self {
        let device = |at: usize| {
            let mut terms = Terms::of("demo", 10 + at as u8);
            if at == WITHOUT_RIGHTS {
                terms.request.permissions.write = Rights::Collections(BTreeMap::new());
            }
            terms.identity()
        };
        let mut history = Self {
            devices: [0, 1, CUT, WITHOUT_RIGHTS].map(device),
            changes: Vec::new(),
            ancestors: Vec::new(),
        };
        for (device, is_late, deps) in writings {
            history.write(*device, *is_late, deps);
        }
        history
    }

    fn write(&mut self, device: usize, is_late: bool, wanted: &[Index]) {
        let number = self.changes.len();
        let own = (0..number).rfind(|it| self.changes[*it].0 == device);
        let wanted = wanted.iter().filter(|_| number > 0);
        let deps: BTreeSet<usize> = wanted.map(|it| it.index(number)).chain(own).collect();
        let ancestors = deps.iter().flat_map(|dep| self.ancestors[*dep].clone());
        let mut ancestors: BTreeSet<usize> = ancestors.collect();
        let greatest = ancestors
            .iter()
            .map(|it| self.changes[*it].1.max_op())
            .max();
        let mut deps: Vec<ChangeHash> = deps.iter().map(|it| self.changes[*it].1.hash()).collect();
        deps.sort_unstable();
        let change = Change::from(ExpandedChange {
            operations: vec![Op {
                action: OpType::Put(1.into()),
                obj: ObjectId::Root,
                key: Key::from(format!("k{number}")),
                pred: Vec::new().into(),
                insert: false,
            }],
            actor_id: actor(&self.devices[device]),
            hash: None,
            seq: 1 + own.map_or(0, |own| self.changes[own].1.seq()),
            start_op: (1 + greatest.unwrap_or(0)).try_into().unwrap(),
            time: CUT_MS + i64::from(is_late),
            message: None,
            deps,
            extra_bytes: Vec::new(),
            author: None,
        });
        ancestors.insert(number);
        self.ancestors.push(ancestors);
        self.changes.push((device, change));
    }

    /// These changes as one delta, with a seal for each of which `is_proven` says so.
    fn packet(&self, numbers: &BTreeSet<usize>, is_proven: impl Fn(usize) -> bool) -> Packet {
        let mut packet = Packet::default();
        let (mut chunks, mut proofs) = (Vec::new(), Vec::new());
        for number in numbers {
            let (device, change) = &self.changes[*number];
            let chunk = change.raw_bytes().to_vec();
            let one = delta(std::slice::from_ref(&chunk));
            if is_proven(*number) {
                let one = Packet::sealed_by(&self.devices[*device], "cars", &id("x"), one);
                let mut proof = Sealed::decode(&one.documents[0].2).unwrap().proofs[0];
                proof.change = chunks.len() as u32;
                proofs.push(proof);
                packet.certificates.extend(one.certificates);
                packet.seals.extend(one.seals);
            }
            chunks.push(chunk);
        }
        let delta = delta(&chunks);
        let sealed = Sealed { delta, proofs }.encode();
        packet.documents = vec![("cars".to_owned(), id("x").as_bytes().to_vec(), sealed)];
        packet
    }

    /// Whether a change counts with all that it builds on.
    fn counts(&self, number: usize) -> bool {
        self.ancestors[number].iter().all(|it| {
            let (device, change) = &self.changes[*it];
            *device < HONEST || (*device == CUT && change.timestamp() <= CUT_MS)
        })
    }

    fn store(&self, folder: &Path) -> Store {
        let mut terms = Terms::of("demo", 2);
        let cut = ActorName::of(&self.devices[CUT].key().public(), INCARNATION);
        terms.policy.cuts = BTreeMap::from([(cut, CUT_MS as u64)]);
        let key = DeviceKey::from_seed([2; 32]).public();
        let store = Store::open(folder, &terms.app, &key).unwrap();
        store.certify(terms.identity()).unwrap();
        insert(&store, r#"{"_id":"own"}"#);
        store
    }
}

fn writing() -> impl Strategy<Value = (usize, bool, Vec<Index>)> {
    let deps = prop::collection::vec(any::<Index>(), 0..3);
    let device = prop_oneof![0..HONEST, 0..=WITHOUT_RIGHTS];
    (device, any::<bool>(), deps)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    /// Goal: what stores under one policy accept follows from the changes and proofs that they have seen, not from what was
    /// sent together or in which order: what a cut or missing rights exclude takes along nothing but what builds on it.
    #[test]
    fn what_counts_does_not_depend_on_packing(
        writings in prop::collection::vec(writing(), 1..12),
        packing in prop::collection::vec((any::<Index>(), any::<u16>()), 0..8),
    ) {
        let folders = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let history = History::of(&writings);
        let all: BTreeSet<usize> = (0..writings.len()).collect();
        let [one, other] = [0, 1].map(|at| history.store(folders[at].path()));
        for (number, unproven) in packing {
            let numbers = &history.ancestors[number.index(all.len())];
            let packet = history.packet(numbers, |it| unproven >> (it % 16) & 1 == 0);
            packet.arrive(&one);
        }
        let whole = history.packet(&all, |_| true);
        for store in [&one, &other] {
            whole.arrive(store);
            let shown = rows(store, "SELECT * FROM cars WHERE _id = 'x'").concat();
            for number in &all {
                let is_shown = shown.contains(&format!("\"k{number}\""));
                prop_assert_eq!(is_shown, history.counts(*number), "{}: {}", number, shown);
            }
        }
        prop_assert_eq!(one.collections(), other.collections());
        let counting = all.iter().filter(|number| history.counts(**number)).count();
        let arrived = whole.arrive(&history.store(&folders[0].path().join("fresh")));
        let is_as_told = match &arrived[..] {
            [Arrived::Applied { incomplete: false }] => counting == all.len(),
            [Arrived::Partly { .. }] => (1..all.len()).contains(&counting),
            [Arrived::Rejected { .. }] => counting == 0,
            _ => false,
        };
        prop_assert!(is_as_told, "{:?}, {} of {} count", arrived, counting, all.len());
    }
}
