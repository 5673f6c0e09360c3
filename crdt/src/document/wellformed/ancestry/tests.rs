use super::*;
use crate::document::tests::forked::{Changes, actor, change, history, holds_a_fork, written};
use crate::document::wellformed::{self, IllFormed};
use automerge::legacy::OpId;
use proptest::prelude::*;
use proptest::sample::Index;
use std::num::NonZeroU64;

/// Devices that write.
const DEVICES: u8 = 3;

/// Checks all that an ancestry says of a change's ancestors.
fn check(
    ancestors: &Ancestors<'_>,
    all: &Changes,
    of: &BTreeSet<usize>,
) -> Result<(), TestCaseError> {
    let changes = || of.iter().map(|number| &all[*number].0);
    let max_op = changes().map(Change::max_op).max().unwrap_or(0);
    prop_assert_eq!(ancestors.max_op(), max_op);
    let highest = all.iter().map(|(change, _)| change.max_op()).max();
    for device in 0..DEVICES {
        let own = || changes().filter(|change| *change.actor_id() == actor(device));
        let last = own().max_by_key(|change| change.seq());
        let seq = last.map_or(0, Change::seq);
        prop_assert_eq!(ancestors.last_seq(&actor(device)), seq);
        for counter in 0..=1 + highest.unwrap_or(0) {
            let begins =
                |change: &&Change| (change.start_op().get()..=change.max_op()).contains(&counter);
            let expected = own().find(begins).map(|change| {
                let at = counter - change.start_op().get();
                change.decode().operations.remove(at as usize)
            });
            let found = ancestors.operation(&OpId::new(counter, &actor(device)));
            prop_assert_eq!(found, expected.as_ref());
        }
    }
    Ok(())
}

/// Only these changes.
fn of_these<'a>(all: &'a Changes, numbers: &BTreeSet<usize>) -> Ancestry<'a> {
    let mut ancestry = Ancestry::default();
    for number in numbers {
        ancestry.add(Cow::Borrowed(&all[*number].0));
    }
    ancestry
}

proptest! {
    /// Goal: in any history, with devices that write from copies of their state, what is said of a change's ancestors is
    /// true of exactly those changes that its dependencies lead to, whatever else there is.
    #[test]
    fn ancestors_are_what_dependencies_lead_to(history in history(DEVICES, 40)) {
        let all = written(&history);
        let mut ancestry = Ancestry::default();
        for (number, (change, expected)) in all.iter().enumerate() {
            if number % 2 == 0 {
                ancestry.of(&all[0].0); // which has none, and isn't added
            }
            let ancestors = ancestry.of(change);
            let found: BTreeSet<usize> = (0..number).filter(|it| ancestors.contains(*it)).collect();
            prop_assert_eq!(&found, expected);
            prop_assert!(!ancestors.hold_a_fork());
            check(&ancestors, &all, expected)?;
            ancestry.add(Cow::Borrowed(change));
        }
        for (change, expected) in &all {
            check(&ancestry.of(change), &all, expected)?;
        }
    }

    /// Goal: the verdict about a change is the same among all others as with nothing but its ancestors, for those that are
    /// well-formed, tampered with, or built on two changes of one device with one number.
    #[test]
    fn a_verdict_does_not_depend_on_what_else_is_there(
        history in history(DEVICES, 30), merged in prop::collection::vec(any::<Index>(), 1..4), name in 0..DEVICES + 1,
        seq in prop::option::weighted(0.3, 0..6u64), start_op in prop::option::weighted(0.3, 1..20u64),
        replaced in prop::option::weighted(0.5, (0..20u64, 0..DEVICES)),
    ) {
        let all = written(&history);
        let deps: BTreeSet<usize> = merged.iter().map(|it| it.index(all.len())).collect();
        let ancestors = deps.iter().fold(deps.clone(), |union, dep| &union | &all[*dep].1);
        let mut hashes: Vec<ChangeHash> = deps.iter().map(|dep| all[*dep].0.hash()).collect();
        hashes.sort_unstable();
        let mut tampered = change(&all, &ancestors, hashes, name, 1).decode();
        tampered.seq = seq.unwrap_or(tampered.seq);
        tampered.start_op = start_op.and_then(NonZeroU64::new).unwrap_or(tampered.start_op);
        let is_honest = seq.is_none() && start_op.is_none() && replaced.is_none();
        if let Some((counter, name)) = replaced {
            tampered.operations[0].pred = vec![OpId::new(counter, &actor(name))].into();
        }
        let tampered = Change::from(tampered);
        let alone = wellformed::check(&tampered, &mut of_these(&all, &ancestors));
        let mut everything = of_these(&all, &(0..all.len()).collect());
        prop_assert_eq!(wellformed::check(&tampered, &mut everything), alone);
        prop_assert_eq!(wellformed::check(&tampered, &mut everything), alone);
        let forked = holds_a_fork(&all, &ancestors);
        prop_assert_eq!(alone == Err(IllFormed::Equivocation), forked);
        prop_assert!(alone.is_ok() || forked || !is_honest, "{:?}", alone);
    }

    /// Goal: whether a device forks is told before the change is added.
    #[test]
    fn a_second_change_with_a_number_is_told(history in history(DEVICES, 40)) {
        let (mut ancestry, mut seen) = (Ancestry::default(), BTreeSet::new());
        for (change, _) in written(&history) {
            let is_new = seen.insert((change.actor_id().clone(), change.seq()));
            prop_assert_eq!(ancestry.forks(&change), !is_new);
            ancestry.add(Cow::Owned(change));
        }
    }

    /// Goal: the changes of a loaded document are the ancestors that they are when each is given.
    #[test]
    fn a_documents_changes_are_found(history in history(DEVICES, 40)) {
        let mut all = written(&history);
        let mut document = Automerge::new();
        for (number, (change, _)) in all.iter().enumerate() {
            let is_second = document.apply_changes([change.clone()]).is_err();
            if is_second {
                all.truncate(number);
                break;
            }
        }
        let mut ancestry = Ancestry::of_document(&document);
        for (change, expected) in &all {
            check(&ancestry.of(change), &all, expected)?;
        }
    }
}
