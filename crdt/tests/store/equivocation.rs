//! Copied state folders: two stores write under one name, and everybody ends alike whatever the order of arrival.

use super::*;
use sedge_crdt::{Check, Contents, Copied};
use std::fs;

/// Whose stores these are: two copies of one device's, and those of others.
const DEVICES: [u8; 4] = [1, 1, 2, 3];

/// Who meets whom: the copies never meet each other, as they are one peer.
const LINKS: [(usize, usize); 5] = [(0, 2), (0, 3), (1, 2), (1, 3), (2, 3)];

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().flatten() {
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &to.join(entry.file_name())),
            false => drop(fs::copy(entry.path(), to.join(entry.file_name())).unwrap()),
        }
    }
}

fn run(store: &Store, statement: &str) {
    store.execute(statement, &Params::new()).unwrap();
}

/// A closed store's folder is copied; both copies write the same documents, and a device builds on each variant.
fn forked(folder: &Path) {
    let path = |number: usize| folder.join(number.to_string());
    let first = open(&path(0), 1);
    for id in ["x", "y", "z"] {
        insert(
            &first,
            &format!(r#"{{"_id":"{id}","v":"base","m":{{"n":0}}}}"#),
        );
    }
    first.seal().unwrap();
    drop(first);
    copy(&path(0), &path(1));
    for (number, other) in [(0, 2), (1, 3)] {
        let store = open(&path(number), 1);
        run(
            &store,
            &format!("UPDATE cars SET v = 'of {number}', m.c{number}.d = 1"),
        );
        run(
            &store,
            &format!("UPDATE cars SET w = {number} WHERE _id = 'y'"),
        );
        insert(&store, &format!(r#"{{"_id":"only{number}"}}"#));
        let other_store = open(&path(other), DEVICES[other]);
        replicate(&store, &other_store);
        let set = format!("UPDATE cars SET m.e{other} = {other} WHERE _id < 'z'");
        run(&other_store, &set);
        other_store.seal().unwrap();
    }
}

fn stores(folder: &Path) -> Vec<Store> {
    let stores = DEVICES.iter().enumerate();
    let stores = stores.map(|(number, device)| open(&folder.join(number.to_string()), *device));
    stores.collect()
}

fn meet(stores: &[Store], (one, other): (usize, usize)) -> usize {
    replicate(&stores[one], &stores[other]) + replicate(&stores[other], &stores[one])
}

/// Lets all meet until nobody lacks anything.
fn settle(stores: &[Store]) {
    for _ in 0..10 {
        let moved = LINKS.iter().map(|link| meet(stores, *link));
        if moved.sum::<usize>() == 0 {
            return;
        }
    }
    panic!("they go on exchanging");
}

/// Rows, and the heads of each document.
type Seen = (Vec<String>, Vec<(String, Vec<[u8; 32]>)>);

/// All that others see of a store: its documents and the heads of their changes.
fn seen(store: &Store) -> Seen {
    store.seal().unwrap();
    let limits = FeedLimits {
        wanted: &|_| true,
        full: &mut |_| false,
        scan_max: 1_000,
    };
    let page = store.feed_page(0, limits).unwrap();
    let heads = page.entries.into_iter();
    let mut heads: Vec<_> = heads.map(|it| (it.id.to_string(), it.heads)).collect();
    heads.sort();
    (rows(store, "SELECT * FROM cars ORDER BY _id"), heads)
}

fn check(folder: &Path, number: usize) {
    let path = folder.join(number.to_string());
    Contents::read(&path, Check::Documents, &mut |_, _| ()).unwrap();
}

fn names(store: &Store) -> Vec<String> {
    let copied = store.copied().unwrap().into_iter();
    copied.map(|Copied { name, .. }| name).collect()
}

/// The orders in which five things can be done.
fn orders() -> Vec<Vec<usize>> {
    let mut orders: Vec<Vec<usize>> = vec![Vec::new()];
    for next in 0..LINKS.len() {
        let at_each = |order: Vec<usize>| {
            let places = 0..=order.len();
            places.map(move |place| {
                let mut order = order.clone();
                order.insert(place, next);
                order
            })
        };
        orders = orders.into_iter().flat_map(at_each).collect();
    }
    orders
}

/// Goal: in whatever order the stores meet, all end with the same documents and heads, and the same ones each time.
#[test]
fn every_order_of_meeting_ends_alike() {
    let folder = tempfile::tempdir().unwrap();
    let base = folder.path().join("base");
    forked(&base);
    let mut expected = None;
    for (round, order) in orders().into_iter().enumerate().step_by(7) {
        let folder = folder.path().join(round.to_string());
        copy(&base, &folder);
        let stores = stores(&folder);
        for link in &order {
            meet(&stores, LINKS[*link]);
        }
        settle(&stores);
        let first = seen(&stores[0]);
        for store in &stores {
            assert_eq!(seen(store), first, "{order:?}");
            assert_eq!(store.collections(), stores[0].collections());
            assert_eq!(names(store), ["device 1"]);
        }
        assert_eq!(
            *expected.get_or_insert_with(|| first.clone()),
            first,
            "{order:?}"
        );
        assert_eq!(
            first.0.len(),
            5,
            "what only one copy wrote is everywhere, too"
        );
        assert!(
            first.1.iter().any(|(_, heads)| heads.len() > 1),
            "{first:?}"
        );
        drop(stores);
        (0..DEVICES.len()).for_each(|number| check(&folder, number));
    }
}

/// Goal: both copies go on under names of their own after they have heard of each other: what they write then is taken everywhere,
/// also on what was forked, and so is what a device writes whose change was set aside.
#[test]
fn copies_go_on_apart() {
    let folder = tempfile::tempdir().unwrap();
    forked(folder.path());
    let stores = stores(folder.path());
    let feeds: Vec<_> = stores.iter().map(|store| store.feed().id).collect();
    assert_eq!(feeds[0], feeds[1]);
    settle(&stores);
    let now: Vec<_> = stores.iter().map(|store| store.feed().id).collect();
    assert!(now[0] != now[1] && (now[0] != feeds[0] || now[1] != feeds[1]));
    for round in 0..3 {
        for (number, store) in stores.iter().enumerate() {
            run(store, &format!("UPDATE cars SET later{number} = {round}"));
            run(store, &format!("UPDATE cars SET m.again{number} = {round}"));
        }
        settle(&stores);
    }
    let all = "SELECT COUNT(*) AS n FROM cars WHERE later0 = 2 AND later1 = 2 AND later2 = 2 AND later3 = 2 AND m.again1 = 2";
    for store in &stores {
        assert_eq!(rows(store, all), [r#"{"n":5}"#]);
        assert_eq!(seen(store), seen(&stores[0]));
        assert_eq!(names(store), ["device 1"], "no fork is added");
    }
}

/// Goal: the variant that more other devices built on counts, whatever the hashes.
#[test]
fn devices_decide() {
    for winner in [0, 1] {
        let folder = tempfile::tempdir().unwrap();
        forked(folder.path());
        let stores = stores(folder.path());
        for device in 4..6 {
            let other = open(&folder.path().join(device.to_string()), device);
            replicate(&stores[winner], &other);
            run(&other, "UPDATE cars SET voted = true");
            replicate(&other, &stores[winner]);
        }
        settle(&stores);
        let won =
            format!("SELECT COUNT(*) AS n FROM cars WHERE v = 'of {winner}' AND voted = true");
        for store in &stores {
            assert_eq!(rows(store, &won), [r#"{"n":3}"#]);
        }
    }
}

/// Goal: what does not count is kept over a restart, and spreads to a store that comes later; EVICT leaves nothing of it.
#[test]
fn evidence_is_kept_and_spreads() {
    let folder = tempfile::tempdir().unwrap();
    forked(folder.path());
    let four = stores(folder.path());
    settle(&four);
    let before = seen(&four[2]);
    drop(four);
    let store = open(&folder.path().join("2"), 2);
    assert_eq!(seen(&store), before);
    for bytes_max in [1, 1 << 20] {
        let path = folder.path().join(format!("fresh{bytes_max}"));
        let fresh = open(&path, 9);
        replicate_within(&store, &fresh, bytes_max);
        assert_eq!(seen(&fresh), before);
        assert_eq!(names(&fresh), ["device 1"]);
        assert_eq!(replicate(&store, &fresh) + replicate(&fresh, &store), 0);
        drop(fresh);
        let fresh = open(&path, 9);
        assert_eq!(seen(&fresh), before);
        run(&fresh, "EVICT FROM cars");
        drop(fresh);
        let options = rocksdb::Options::default();
        let families = rocksdb::DB::list_cf(&options, &path).unwrap();
        let database = rocksdb::DB::open_cf(&options, &path, families).unwrap();
        let aside = database.cf_handle("aside").unwrap();
        assert_eq!(
            database
                .iterator_cf(aside, rocksdb::IteratorMode::Start)
                .count(),
            0
        );
    }
}

/// Goal: changes that are not sealed when their fork is found are sealed, and go to others like the rest.
#[test]
fn unsealed_changes_that_lose_are_given_out() {
    let folder = tempfile::tempdir().unwrap();
    forked(folder.path());
    let stores = stores(folder.path());
    for round in 0..3 {
        // A certain loser: nobody else builds on it.
        run(
            &stores[0],
            &format!("UPDATE cars SET v = 'unsealed {round}'"),
        );
        let packet = Packet::of(&stores[3], "cars", &[b"\"x\"", b"\"y\"", b"\"z\""]);
        packet.arrive(&stores[0]);
        run(&stores[0], &format!("UPDATE cars SET u = {round}"));
        run(&stores[3], &format!("UPDATE cars SET t = {round}"));
    }
    // It alone gives out all that it has, the other copy's changes with it.
    let fresh = open(&folder.path().join("fresh"), 9);
    replicate(&stores[0], &fresh);
    assert_eq!(seen(&fresh), seen(&stores[0]));
    settle(&stores);
    for store in &stores {
        assert_eq!(seen(store), seen(&stores[0]));
    }
}

/// Goal: a device has one vote, whatever the number of its stores.
#[test]
fn stores_of_one_device_decide_nothing() {
    let folder = tempfile::tempdir().unwrap();
    forked(folder.path());
    let stores = stores(folder.path());
    for (name, device, of) in [("2b", 2, 0), ("2c", 2, 0), ("4", 4, 1)] {
        let other = open(&folder.path().join(name), device);
        replicate(&stores[of], &other);
        run(&other, "UPDATE cars SET voted = true");
        replicate(&other, &stores[of]);
    }
    settle(&stores);
    let won = "SELECT COUNT(*) AS n FROM cars WHERE v = 'of 1' AND _id < 'z'";
    for store in &stores {
        assert_eq!(rows(store, won), [r#"{"n":2}"#]);
    }
}

/// Goal: a store that was set back to an earlier copy of its folder draws a new name as soon as it hears what it had written.
#[test]
fn a_folder_that_was_set_back_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let (store, other) = (open(&path("a"), 1), open(&path("b"), 2));
    insert(&store, r#"{"_id":"x"}"#);
    replicate(&store, &other);
    drop(store);
    copy(&path("a"), &path("copy"));
    let store = open(&path("a"), 1);
    run(&store, "UPDATE cars SET lost = 1");
    replicate(&store, &other);
    drop(store);
    let store = open(&path("copy"), 1);
    let feed = store.feed().id;
    replicate(&other, &store);
    assert_ne!(store.feed().id, feed);
    run(&store, "UPDATE cars SET again = 1");
    replicate(&store, &other);
    assert_eq!(
        rows(&other, "SELECT * FROM cars"),
        [r#"{"_id":"x","again":1,"lost":1}"#]
    );
    assert_eq!(seen(&other).1[0].1.len(), 1, "nothing is set aside");
}
