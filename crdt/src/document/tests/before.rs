//! Records that are decoded in the place of loading them: it makes no difference.

use super::random::{step, take_step};
use super::*;
use prop::sample::Index;

/// Both ways to take in a delta, which must agree.
fn both(record: &[u8], delta: &Delta) -> Result<Option<Ingested>, TestCaseError> {
    let taken = Document::ingest_assumed(record, COLLECTION, &id(), delta);
    let loaded = Document::ingest_loaded(record, COLLECTION, &id(), delta);
    let (Ok(taken), Ok(loaded)) = (&taken, &loaded) else {
        prop_assert_eq!(taken.is_err(), loaded.is_err());
        return Ok(None);
    };
    prop_assert_eq!(&taken.heads, &loaded.heads);
    prop_assert_eq!(&taken.value, &loaded.value);
    prop_assert_eq!(&taken.changes, &loaded.changes);
    prop_assert_eq!(&taken.delta, &loaded.delta);
    prop_assert_eq!(taken.incomplete, loaded.incomplete);
    Ok(Document::ingest_assumed(record, COLLECTION, &id(), delta).ok())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases()))]

    /// Goal: what arrives has the same outcome behind a record of changes, a snapshot, and a snapshot with changes as by
    /// loading the record before and after, and a damaged or incomplete record is an error with each.
    #[test]
    fn a_record_is_taken_for_what_it_loads_as(
        steps in prop::collection::vec((0usize..2, step()), 2..12), compact_at in prop::option::of(any::<Index>()),
        known in any::<Index>(), damage in prop::option::of((any::<Index>(), 1..=255u8)), left_out in prop::option::of(any::<Index>()),
    ) {
        let (mut writer, mut other) = (Device::new(1), Device::new(2));
        let mut records = vec![Vec::new()];
        for (number, (device, step)) in steps.iter().enumerate() {
            match device {
                0 => drop(take_step(&mut writer, step)),
                _ => drop(take_step(&mut other, step)),
            }
            writer.meet(&mut other);
            if compact_at.is_some_and(|at| at.index(steps.len()) == number) && !writer.record.is_empty() {
                writer.record = writer.document().compact(&id()).unwrap();
            }
            records.push(writer.record.clone());
        }
        let record = known.get(&records).clone();
        let device = Device { record: record.clone(), ..Device::new(3) };
        let delta = all_beyond(&writer.document(), &device.document().heads());
        let ingested = both(&record, &delta)?.unwrap();
        prop_assert_eq!(ingested.heads, writer.document().heads());
        let mut damaged = record.clone();
        if let Some((at, by)) = damage.filter(|_| !record.is_empty()) {
            damaged[at.index(record.len())] ^= by;
            prop_assert!(both(&damaged, &delta)?.is_none());
        }
        let chunks = crate::document::chunk::changes(&record, usize::MAX).unwrap_or_default();
        if let Some(at) = left_out.filter(|_| chunks.len() > 1) {
            let at = at.index(chunks.len());
            let rest: Vec<&[u8]> = chunks.iter().enumerate().filter(|(number, _)| *number != at).map(|(_, chunk)| *chunk).collect();
            both(&rest.concat(), &Delta::default())?;
            both(&rest.concat(), &delta)?;
        }
    }
}

/// Goal: a record is cut into its chunks, and is none of changes when it is truncated, longer than a few, or has others.
#[test]
fn only_short_records_of_changes_are_cut() {
    let changes = crate::document::chunk::changes;
    let mut device = Device::new(1);
    (0..3).for_each(|number| drop(device.put(&format!(r#"{{"a":{number}}}"#))));
    let record = device.record.clone();
    let chunks = changes(&record, 3).unwrap();
    assert_eq!((chunks.len(), chunks.concat()), (3, record.clone()));
    assert_eq!(changes(&record, 2), None);
    assert_eq!(changes(&[], 0), Some(vec![]));
    let ends: Vec<usize> = (1..3).map(|count| chunks[..count].concat().len()).collect();
    for cut in (1..record.len()).filter(|cut| !ends.contains(cut)) {
        assert_eq!(changes(&record[..cut], 3), None, "cut to {cut} bytes");
    }
    assert_eq!(changes(&device.document().compact(&id()).unwrap(), 3), None);
}
