//! Goal: the reference replica takes in nothing without its proofs, so that what runs on it sees whether they arrive.

use super::*;

fn document(id: &str) -> DocumentKey {
    let collection = CollectionName::new("cars").unwrap();
    DocumentKey::new(collection, id.to_owned()).unwrap()
}

/// What a replica that wrote two documents answers to who has neither.
fn answer() -> Bundle {
    let author = MemoryReplica::new(FeedId([2; 16]));
    let content = Bytes::from_static(b"content");
    let writes = ["a", "b"].map(|id| (document(id), content.clone()));
    author.write(writes.to_vec());
    let limits = ChangesLimits {
        answer_bytes_max: 1_000,
        part: PartLimits {
            delta_bytes_max: 1_000,
            evidence_bytes_max: 1_000,
        },
    };
    let wants = ["a", "b"].map(|id| (document(id), Vec::new()));
    author.changes(&wants, limits).unwrap().bundle
}

fn outcomes(bundles: Vec<Bundle>) -> Vec<IngestOutcome> {
    let replica = MemoryReplica::new(FeedId([1; 16]));
    replica.ingest(bundles, &Origin::Flood).unwrap()
}

#[test]
fn a_bundle_with_its_proofs_is_applied() {
    let applied = vec![IngestOutcome::Applied; 2];
    assert_eq!(outcomes(vec![answer()]), applied);
    assert_eq!(answer().seals.len(), 1);
    assert_eq!(answer().seals[0].len(), SEAL_BYTES);
}

#[test]
fn a_bundle_that_was_altered_is_rejected() {
    let altered: [fn(&mut Bundle); 6] = [
        |bundle| bundle.seals.clear(),
        |bundle| bundle.seals[0] = Bytes::from_static(&[1; SEAL_BYTES]),
        |bundle| bundle.deltas.reverse(),
        |bundle| bundle.deltas.truncate(1),
        |bundle| bundle.deltas[0].document = document("c"),
        |bundle| bundle.certificates[0].bytes = Bytes::from_static(b"another"),
    ];
    for alter in altered {
        let mut bundle = answer();
        alter(&mut bundle);
        let outcomes = outcomes(vec![bundle]);
        let rejected = |outcome: &IngestOutcome| matches!(outcome, IngestOutcome::Rejected { .. });
        assert!(outcomes.iter().all(rejected), "{outcomes:?}");
    }
}

/// Goal: merging two bundles, or splitting one, spoils both.
#[test]
fn a_bundle_is_proven_as_a_whole() {
    let [mut first, mut second] = [answer(), answer()];
    first.deltas.truncate(1);
    second.deltas.remove(0);
    let split = outcomes(vec![first, second]);
    assert!(matches!(
        split[..],
        [
            IngestOutcome::Rejected { .. },
            IngestOutcome::Rejected { .. }
        ]
    ));
}

#[test]
fn nothing_is_applied_before_its_certificate() {
    let replica = MemoryReplica::new(FeedId([1; 16]));
    let mut without = answer();
    without.certificates.clear();
    let unknown = vec![IngestOutcome::UnknownCertificate; 2];
    let ingest = |bundle: &Bundle| {
        let bundles = vec![bundle.clone()];
        replica.ingest(bundles, &Origin::Flood).unwrap()
    };
    assert_eq!(ingest(&without), unknown);
    let applied = vec![IngestOutcome::Applied; 2];
    assert_eq!(ingest(&answer()), applied);
    let known = vec![IngestOutcome::Known; 2];
    assert_eq!(ingest(&without), known);
    replica.forget_certificates();
    assert_eq!(ingest(&without), unknown);
}
