//! What seals prove is judged by time, rights and cuts, as data that every store has alike.

use super::forged::{Victim, delta, id, one_change};
use super::sealing::{INCARNATION, ISSUED_MS, Sealing, Terms};
use super::*;
use automerge::AutoCommit;
use automerge::transaction::{CommitOptions, Transactable};
use sedge_crdt::StoreOptions;
use sedge_identity::{ActorName, Permissions, Policy, Rights, Validity};
use std::collections::BTreeMap;

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
