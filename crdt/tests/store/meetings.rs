//! Stores that meet by chance: whatever they wrote, sealed and dropped before, all of it arrives everywhere.

use super::sealing::Terms;
use super::*;
use proptest::prelude::*;

/// The last of the stores only carries what others wrote.
const RELAY: usize = 3;

#[derive(Clone, Debug)]
enum Step {
    /// A store writes a field of a document.
    Write {
        store: usize,
        document: u8,
        field: u8,
    },
    Delete {
        store: usize,
        document: u8,
    },
    Seal(usize),
    /// A store gets another certificate.
    Renew(usize),
    /// One gives another all that it lacks.
    Meet(usize, usize),
    Reopen(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let writer = 0..RELAY;
    let any = 0..=RELAY;
    prop_oneof![
        6 => (writer.clone(), 0u8..3, 0u8..3).prop_map(|(store, document, field)| Step::Write { store, document, field }),
        1 => (writer.clone(), 0u8..3).prop_map(|(store, document)| Step::Delete { store, document }),
        3 => writer.clone().prop_map(Step::Seal),
        1 => writer.clone().prop_map(Step::Renew),
        4 => (any.clone(), any.clone()).prop_map(|(from, to)| Step::Meet(from, to)),
        1 => any.prop_map(Step::Reopen),
    ]
}

/// Some stores, each with the serial of its certificate.
struct Stores(Vec<(tempfile::TempDir, Option<Store>, u8)>);

impl Stores {
    fn new() -> Self {
        let begin = |device| {
            let folder = tempfile::tempdir().unwrap();
            let store = open(folder.path(), device);
            (folder, Some(store), device)
        };
        Self((1..=RELAY as u8 + 1).map(begin).collect())
    }

    fn of(&self, number: usize) -> &Store {
        self.0[number].1.as_ref().unwrap()
    }

    fn certify(&self, number: usize) {
        let terms = Terms {
            serial: self.0[number].2,
            ..Terms::of("demo", number as u8 + 1)
        };
        self.of(number).certify(terms.identity()).unwrap();
    }

    fn go(&mut self, number: usize, step: &Step) {
        match *step {
            Step::Write {
                store,
                document,
                field,
            } => {
                let store = self.of(store);
                let insert = format!(
                    "INSERT INTO cars DOCUMENTS ({{'_id': '{document}'}}) ON ID CONFLICT DO NOTHING"
                );
                execute(store, &insert);
                let update =
                    format!("UPDATE cars SET f{field} = {number} WHERE _id = '{document}'");
                execute(store, &update);
            }
            Step::Delete { store, document } => {
                let delete = format!("DELETE FROM cars WHERE _id = '{document}'");
                if !self.of(store).collections().is_empty() {
                    execute(self.of(store), &delete);
                }
            }
            Step::Seal(store) => self.of(store).seal().unwrap(),
            Step::Renew(store) => {
                self.0[store].2 += 50;
                self.certify(store);
            }
            Step::Meet(from, to) if from != to => {
                replicate(self.of(from), self.of(to));
            }
            Step::Meet(..) => {}
            Step::Reopen(number) => {
                self.0[number].1 = None;
                let store = open(self.0[number].0.path(), number as u8 + 1);
                self.0[number].1 = Some(store);
                self.certify(number);
            }
        }
    }
}

fn cases() -> u32 {
    match std::env::var("SEDGE_FULL").as_deref() {
        Ok("store" | "identity") => 400,
        _ => 24,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    /// Goal: covered seals are dropped without anybody losing what they proved: after any history all stores come to hold the
    /// same, over a relay that wrote nothing, and each of them can give all of it to one that has nothing.
    #[test]
    fn all_of_it_arrives_everywhere(steps in prop::collection::vec(step(), 1..40)) {
        let mut stores = Stores::new();
        for (number, step) in steps.iter().enumerate() {
            stores.go(number, step);
        }
        for _ in 0..2 {
            for writer in 0..RELAY {
                replicate(stores.of(writer), stores.of(RELAY));
                replicate(stores.of(RELAY), stores.of(writer));
            }
        }
        for writer in 0..RELAY {
            prop_assert_eq!(stores.of(writer).collections(), stores.of(RELAY).collections());
        }
        for giver in 0..=RELAY {
            let folder = tempfile::tempdir().unwrap();
            let fresh = open(folder.path(), 9);
            replicate(stores.of(giver), &fresh);
            prop_assert_eq!(replicate(stores.of(giver), &fresh), 0);
            prop_assert_eq!(fresh.collections(), stores.of(giver).collections());
        }
    }
}

/// Goal: documents that are written here and come from elsewhere at the same moment keep what proves either part.
#[test]
fn sealing_and_taking_in_keep_each_others_proofs() {
    let folders = [(); 3].map(|()| tempfile::tempdir().unwrap());
    let [a, b, c] = [0, 1, 2].map(|at| open(folders[at].path(), at as u8 + 1));
    for round in 0..20 {
        let ids: Vec<String> = (0..500).map(|n| format!("{round}-{n}")).collect();
        let documents = |field: &str| -> Vec<Value> {
            let document = |id| parse_json(&format!(r#"{{"_id":"{id}","{field}":1}}"#)).unwrap();
            ids.iter().map(document).collect()
        };
        b.import("cars", &documents("b")).unwrap();
        let keys: Vec<Vec<u8>> = ids.iter().map(|id| format!("\"{id}\"").into()).collect();
        let keys: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
        let packet = Packet::of(&b, "cars", &keys);
        a.import("cars", &documents("a")).unwrap();
        std::thread::scope(|scope| {
            let sealing = scope.spawn(|| a.seal().unwrap());
            scope.spawn(|| packet.arrive(&a));
            sealing.join().unwrap();
        });
    }
    replicate(&a, &c);
    assert_eq!(c.collections(), a.collections());
}
