//! Seals that prove nothing: whatever is wrong with them, nothing of what came with them is stored.

use super::sealing::{Sealing, Terms};
use super::*;
use automerge::AutoCommit;
use automerge::transaction::Transactable;
use sedge_crdt::{CollectionStatus, Evidence, Sealed};
use sedge_identity::{Incarnation, LocalIdentity, Seal, SealName};

const PLACE: &str = "its seal does not hold";
const NOT_COVERED: &str = "it is not among what its seal covers";
const UNNAMED: &str = "a seal came with it that no document names";
const NOT_HERE: &str = "it names a seal that did not come with it";
const OTHER_AUTHOR: &str = "its seal is of another device or incarnation";
const OTHER_COLLECTION: &str = "its seal is of another collection";

const IDS: [&[u8]; 3] = [b"\"a\"", b"\"b\"", b"\"c\""];

/// A store with something in it, and what it shows of that.
pub(super) struct Victim {
    store: Store,
    before: (u64, Vec<CollectionStatus>, Vec<String>),
    _folder: tempfile::TempDir,
}

impl Victim {
    pub(super) fn new() -> Self {
        Self::certified(Terms::of("demo", 2))
    }

    pub(super) fn certified(terms: Terms) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = DeviceKey::from_seed([2; 32]).public();
        let store = Store::open(folder.path(), &terms.app, &key).unwrap();
        store.certify(terms.identity()).unwrap();
        execute(&store, "INSERT INTO planes DOCUMENTS ({'_id': 'mine'})");
        let mut victim = Self {
            store,
            before: Default::default(),
            _folder: folder,
        };
        victim.before = victim.shown();
        victim
    }

    fn shown(&self) -> (u64, Vec<CollectionStatus>, Vec<String>) {
        let planes = rows(&self.store, "SELECT * FROM planes");
        (self.store.feed().last, self.store.collections(), planes)
    }

    /// Takes a packet, which changes nothing.
    #[track_caller]
    fn is_unmoved_by(&self, packet: &Packet) -> Vec<Arrived> {
        let arrived = packet.arrive(&self.store);
        assert_eq!(self.shown(), self.before, "{arrived:?}");
        for (collection, id, _) in &packet.documents {
            let here = self.store.lacking(collection, id, &[]).unwrap();
            assert!(here.is_none_or(|heads| heads.is_empty()), "{arrived:?}");
        }
        arrived
    }

    #[track_caller]
    pub(super) fn refuses(&self, packet: &Packet, why: &str) {
        for arrived in self.is_unmoved_by(packet) {
            let Arrived::Rejected { reason } = &arrived else {
                panic!("{arrived:?}, not {why:?}");
            };
            assert!(reason.contains(why), "{reason:?}, not {why:?}");
        }
    }

    #[track_caller]
    fn answers(&self, packet: &Packet, answer: Arrived) {
        for arrived in self.is_unmoved_by(packet) {
            assert_eq!(arrived, answer);
        }
    }

    #[track_caller]
    pub(super) fn takes(&self, packet: &Packet) {
        for arrived in packet.arrive(&self.store) {
            assert_eq!(arrived, Arrived::Applied { incomplete: false });
        }
    }
}

/// A store whose three cars were sealed as one.
fn cars(folder: &Path) -> Store {
    let store = open(folder, 1);
    let cars: Vec<Value> = ["a", "b", "c"]
        .map(|id| parse_json(&format!(r#"{{"_id":"{id}","n":1}}"#)).unwrap())
        .into();
    store.import("cars", &cars).unwrap();
    store.seal().unwrap();
    store
}

fn with_evidence(packet: &Packet, change: impl Fn(&mut Evidence)) -> Packet {
    let seals = packet.seals.iter().map(|bytes| {
        let mut evidence = Evidence::decode(bytes).unwrap();
        change(&mut evidence);
        evidence.encode()
    });
    Packet {
        seals: seals.collect(),
        ..packet.clone()
    }
}

fn with_sealed(packet: &Packet, change: impl Fn(&mut Sealed)) -> Packet {
    let mut packet = packet.clone();
    for (_, _, delta) in &mut packet.documents {
        let mut sealed = Sealed::decode(delta).unwrap();
        change(&mut sealed);
        *delta = sealed.encode();
    }
    packet
}

/// A packet whose documents are said to be others.
fn renamed(packet: &Packet, collection: &str, id: Option<&[u8]>) -> Packet {
    let mut packet = packet.clone();
    for (of, document, _) in &mut packet.documents {
        *of = collection.to_owned();
        *document = id.map_or(document.clone(), <[u8]>::to_vec);
    }
    packet
}

/// Another seal in the place of the only one, and the documents name it.
fn resealed(packet: &Packet, seal: &Seal) -> Packet {
    let name = seal.name();
    let packet = with_evidence(packet, |evidence| evidence.seal = seal.clone());
    with_sealed(&packet, |sealed| {
        sealed.proofs.iter_mut().for_each(|proof| proof.seal = name);
    })
}

/// Changes that devices make one after the other, each of which builds on all before, as the chunks that travel.
fn changes_by(devices: &[&LocalIdentity]) -> Vec<Vec<u8>> {
    let mut document = AutoCommit::new();
    let change = |(number, device): (usize, &&LocalIdentity)| {
        document.set_actor(actor(device));
        document
            .put(automerge::ROOT, "n", i64::try_from(number).unwrap())
            .unwrap();
        document.commit();
        let mut change = document.get_last_local_change().unwrap();
        change.bytes().to_vec()
    };
    devices.iter().enumerate().map(change).collect()
}

/// A delta of these changes: field 2 of the message, as often as needed.
pub(super) fn delta(chunks: &[Vec<u8>]) -> Delta {
    let mut bytes = Vec::new();
    for chunk in chunks {
        bytes.push(0x12);
        if chunk.len() >= 128 {
            bytes.push(chunk.len() as u8 | 128);
        }
        bytes.push(if chunk.len() < 128 {
            chunk.len()
        } else {
            chunk.len() >> 7
        } as u8);
        bytes.extend_from_slice(chunk);
    }
    Delta::decode(&bytes).unwrap()
}

pub(super) fn id(name: &str) -> DocumentId {
    DocumentId::new(&name.into()).unwrap()
}

pub(super) fn one_change(device: &LocalIdentity) -> Delta {
    delta(&changes_by(&[device]))
}

/// Goal: a leaf leads to its seal's root from its own place, along its own way, for its own document alone, and only once.
#[test]
fn places_in_a_seal_are_proven() {
    let folder = tempfile::tempdir().unwrap();
    let (cars, victim) = (cars(folder.path()), Victim::new());
    let one = Packet::of(&cars, "cars", &IDS[..1]);
    let all = Packet::of(&cars, "cars", &IDS);
    let rest = Evidence::decode(&one.seals[0]).unwrap().rest.len();
    assert_eq!(rest, 2, "one of three travels with its way to the root");
    for hash in 0..rest {
        let wrong = with_evidence(&one, |evidence| evidence.rest[hash].0[31] ^= 1);
        victim.refuses(&wrong, NOT_COVERED);
    }
    let cut = with_evidence(&one, |evidence| evidence.rest.truncate(1));
    victim.refuses(&cut, NOT_COVERED);
    let more = with_evidence(&one, |evidence| evidence.rest.push(evidence.rest[0]));
    victim.refuses(&more, NOT_COVERED);
    let swapped = with_evidence(&one, |evidence| evidence.rest.reverse());
    victim.refuses(&swapped, NOT_COVERED);
    for moved in [1, 2, 3, 63, u16::MAX] {
        let wrong = with_sealed(&one, |sealed| sealed.proofs[0].index ^= moved);
        victim.refuses(&wrong, NOT_COVERED);
    }
    let twice = with_sealed(&one, |sealed| sealed.proofs.push(sealed.proofs[0]));
    victim.refuses(&twice, NOT_COVERED);
    let in_two_places = with_sealed(&one, |sealed| {
        let mut second = sealed.proofs[0];
        second.index += 1;
        sealed.proofs.push(second);
    });
    victim.refuses(&in_two_places, NOT_COVERED);
    victim.refuses(&renamed(&one, "cars", Some(b"\"d\"")), NOT_COVERED);
    let mut exchanged = all.clone();
    let (first, second) = (all.documents[0].1.clone(), all.documents[1].1.clone());
    (exchanged.documents[0].1, exchanged.documents[1].1) = (second, first);
    victim.refuses(&exchanged, NOT_COVERED);
    let elsewhere = Packet {
        documents: vec![all.documents[0].clone(); 3],
        ..all.clone()
    };
    victim.refuses(&elsewhere, NOT_COVERED);
    victim.takes(&all);
}

/// Goal: a change is sealed for its collection and app alone, also at a store that has taken the same seal in before.
#[test]
fn a_seal_counts_in_its_collection_and_app() {
    let folder = tempfile::tempdir().unwrap();
    let (cars, victim) = (cars(folder.path()), Victim::new());
    let [one, all] = [&IDS[..1], &IDS].map(|ids| Packet::of(&cars, "cars", ids));
    for packet in [&one, &all] {
        for collection in ["planes", "new"] {
            victim.refuses(&renamed(packet, collection, None), PLACE);
        }
    }
    let mut both = all.clone();
    both.documents[1].0 = "planes".to_owned();
    let arrived = both.arrive(&Victim::new().store);
    assert!(
        matches!(&arrived[1], Arrived::Rejected { reason } if reason.contains(OTHER_COLLECTION))
    );

    victim.takes(&all);
    let known = Victim {
        before: victim.shown(),
        ..victim
    };
    for packet in [&one, &all] {
        for collection in ["planes", "new"] {
            known.refuses(&renamed(packet, collection, None), PLACE);
        }
    }
    let other = Victim::certified(Terms::of("demo2", 2));
    other.refuses(&all, "the certificate is for app 'demo'");

    let (device, victim) = (identity("demo", 7), Victim::new());
    let app = AppId::new("demo2").unwrap();
    for (app, collection) in [(&app, "cars"), (device.app(), "planes")] {
        let mut sealing = Sealing::by(&device, "cars");
        (sealing.terms.app, sealing.terms.collection) = (app, collection);
        let packet = Packet::sealed_under(&sealing, &id("x"), one_change(&device));
        victim.refuses(&packet, PLACE);
    }
    victim.takes(&Packet::sealed_by(
        &device,
        "cars",
        &id("x"),
        one_change(&device),
    ));
}

/// Goal: nobody seals in another device's name, nor a device under an incarnation that did not make the change.
#[test]
fn a_seal_covers_its_own_actors_changes() {
    let victim = Victim::new();
    let [insider, author] = [7, 8].map(|device| identity("demo", device));
    let mut sealing = Sealing::by(&insider, "cars");
    sealing.of = actor(&author);
    let packet = Packet::sealed_under(&sealing, &id("x"), one_change(&author));
    victim.refuses(&packet, OTHER_AUTHOR);
    sealing.terms.certificate = author.certificate().signed().name();
    let mut packet = Packet::sealed_under(&sealing, &id("x"), one_change(&author));
    victim.answers(&packet, Arrived::UnknownCertificate);
    let honest = Packet::sealed_by(&author, "cars", &id("x"), one_change(&author));
    packet.certificates.extend(honest.certificates.clone());
    victim.refuses(&packet, PLACE);
    let mut sealing = Sealing::by(&author, "cars");
    sealing.terms.incarnation = Incarnation([2; 8]);
    let packet = Packet::sealed_under(&sealing, &id("x"), one_change(&author));
    victim.refuses(&packet, OTHER_AUTHOR);
    victim.takes(&honest);
}

/// Goal: no byte of a seal, of what proves its leaves, of a place or of a change can be another one.
#[test]
fn every_byte_counts() {
    let folder = tempfile::tempdir().unwrap();
    let (cars, victim) = (cars(folder.path()), Victim::new());
    let honest = Packet::of(&cars, "cars", &IDS[..1]);
    let evidence = Evidence::decode(&honest.seals[0]).unwrap();
    let bytes = evidence.seal.to_bytes();
    for at in 0..bytes.len() {
        let mut wrong = bytes;
        wrong[at] ^= 1;
        let Ok(seal) = Seal::decode(&wrong) else {
            assert!(
                at == 0 || at == 49,
                "{at}: neither the version nor the count"
            );
            continue;
        };
        let unnamed = with_evidence(&honest, |evidence| evidence.seal = seal.clone());
        victim.refuses(&unnamed, UNNAMED);
        let named = resealed(&honest, &seal);
        match seal.certificate() == evidence.seal.certificate() {
            true => victim.refuses(&named, PLACE),
            false => victim.answers(&named, Arrived::UnknownCertificate),
        }
    }
    for part in [true, false] {
        let length = if part {
            honest.seals[0].len()
        } else {
            honest.documents[0].2.len()
        };
        for at in 0..length {
            let mut wrong = honest.clone();
            match part {
                true => wrong.seals[0][at] ^= 1,
                false => wrong.documents[0].2[at] ^= 1,
            }
            let arrived = victim.is_unmoved_by(&wrong);
            assert!(!matches!(
                arrived[0],
                Arrived::Applied { .. } | Arrived::Known
            ));
            let mut cut = honest.clone();
            match part {
                true => cut.seals[0].truncate(at),
                false => cut.documents[0].2.truncate(at),
            }
            let arrived = victim.is_unmoved_by(&cut);
            assert!(!matches!(arrived[0], Arrived::Applied { .. }));
        }
    }
    victim.takes(&honest);
}

/// Goal: a seal counts under a certificate that was shown, by a trusted issuer; once it is shown the same packet is taken.
#[test]
fn certificates_are_shown_and_trusted() {
    let victim = Victim::new();
    let device = identity("demo", 7);
    let honest = Packet::sealed_by(&device, "cars", &id("x"), one_change(&device));
    let unshown = Packet {
        certificates: Vec::new(),
        ..honest.clone()
    };
    victim.answers(&unshown, Arrived::UnknownCertificate);
    let stranger = Terms {
        issuer: 98,
        ..Terms::of("demo", 7)
    };
    let stranger = stranger.identity();
    let strange = Packet::sealed_by(&stranger, "cars", &id("x"), one_change(&stranger));
    victim.refuses(&strange, "does not trust");
    for at in 0..honest.certificates[0].len() {
        let mut wrong = honest.clone();
        wrong.certificates[0][at] ^= 1;
        for arrived in victim.is_unmoved_by(&wrong) {
            assert!(
                matches!(
                    arrived,
                    Arrived::UnknownCertificate | Arrived::Rejected { .. }
                ),
                "{at}: {arrived:?}"
            );
        }
    }
    victim.takes(&honest);
}

/// Goal: what no seal covers is not stored, whatever comes with it; what is covered is, as far as it builds on nothing else.
#[test]
fn changes_without_proof_are_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let (cars, victim) = (cars(folder.path()), Victim::new());
    let honest = Packet::of(&cars, "cars", &IDS);
    let bare = with_sealed(&honest, |sealed| sealed.proofs.clear());
    victim.refuses(&bare, UNNAMED);
    let alone = Packet {
        seals: Vec::new(),
        ..bare
    };
    victim.answers(&alone, Arrived::MissingDependencies);
    let sealless = Packet {
        seals: Vec::new(),
        ..honest.clone()
    };
    victim.refuses(&sealless, NOT_HERE);
    let unknown = with_sealed(&honest, |sealed| sealed.proofs[0].seal = SealName([0; 16]));
    victim.refuses(&unknown, UNNAMED);

    let [first, second] = [7, 8].map(|device| identity("demo", device));
    let changes = changes_by(&[&first, &second]);
    let of_second = Packet::sealed_by(&second, "cars", &id("x"), delta(&changes));
    victim.answers(&of_second, Arrived::MissingDependencies);
    let of_first = Packet::sealed_by(&first, "cars", &id("x"), delta(&changes));
    let arrived = of_first.arrive(&victim.store);
    assert_eq!(arrived, [Arrived::Applied { incomplete: true }]);
    let n = |store: &Store| rows(store, "SELECT n FROM cars WHERE _id = 'x'");
    assert_eq!(n(&victim.store), [r#"{"n":0}"#]);
    let arrived = of_second.arrive(&victim.store);
    assert_eq!(arrived, [Arrived::Applied { incomplete: false }]);
    assert_eq!(n(&victim.store), [r#"{"n":1}"#]);
}

/// Goal: a seal that a store knows already proves no more than it did the first time.
#[test]
fn a_known_seal_covers_nothing_else() {
    let victim = Victim::new();
    let device = identity("demo", 7);
    let changes = changes_by(&[&device, &device]);
    let known = Packet::sealed_by(&device, "cars", &id("x"), delta(&changes[..1]));
    victim.takes(&known);
    let victim = Victim {
        before: victim.shown(),
        ..victim
    };
    let seal = Evidence::decode(&known.seals[0]).unwrap().seal;
    for (document, changes) in [("x", &changes[1..]), ("y", &changes[..1])] {
        let next = Packet::sealed_by(&device, "cars", &id(document), delta(changes));
        let arrived = resealed(&next, &seal).arrive(&victim.store);
        let [Arrived::Rejected { reason }] = &arrived[..] else {
            panic!("{arrived:?}");
        };
        assert_eq!(
            (reason.as_str(), victim.shown()),
            (NOT_COVERED, victim.before.clone())
        );
    }
}
