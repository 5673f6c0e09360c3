//! What changed in a live query's result, as steps for whoever keeps it as a list.

use super::shown::Row;
use crate::store::error::StoreError;
use crate::value::Value;
use std::collections::BTreeMap;

/// What changed in a live query's result. [`apply`](Self::apply) says how a list follows it.
#[derive(Clone, Debug, PartialEq)]
pub struct Update<R = Value> {
    /// The whole result now: with the first update, which has nothing else, and with every one if
    /// [asked for](super::Observation::with_items).
    pub items: Option<Vec<R>>,
    /// Rows that are gone.
    pub deleted: Vec<R>,
    /// Where each of them stood, from 0, ascending.
    pub deleted_at: Vec<usize>,
    /// Rows that were not there before.
    pub inserted: Vec<R>,
    /// Where each of them stands now, ascending.
    pub inserted_at: Vec<usize>,
    /// Rows of documents that showed another row before.
    pub updated: Vec<R>,
    /// Where each of them stands now, ascending.
    pub updated_at: Vec<usize>,
    /// Rows whose place among those that stay changed. They may be updated too.
    pub moved: Vec<Move>,
}

/// A row that moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Move {
    /// Where it stood, from 0.
    pub from: usize,
    /// Where it stands now.
    pub to: usize,
}

/// An update does not belong to the list that it was applied to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the update does not fit the list; it must have taken in all updates before this one")]
pub struct Misfit;

/// Nothing.
impl<R> Default for Update<R> {
    fn default() -> Self {
        Self {
            items: None,
            deleted: Vec::new(),
            deleted_at: Vec::new(),
            inserted: Vec::new(),
            inserted_at: Vec::new(),
            updated: Vec::new(),
            updated_at: Vec::new(),
            moved: Vec::new(),
        }
    }
}

impl<R> Update<R> {
    /// Whether nothing changed.
    pub(super) fn is_empty(&self) -> bool {
        self.deleted.is_empty()
            && self.inserted.is_empty()
            && self.updated.is_empty()
            && self.moved.is_empty()
    }
}

impl<R: Clone> Update<R> {
    /// Brings a list of the rows up to date: what was deleted or moved is taken out from where it stood, what was
    /// inserted or moved is put in where it stands now, from low to high, and what was updated is replaced there. An
    /// update with the whole result replaces the list.
    ///
    /// # Errors
    /// The update is not for this list, which stays as it is.
    pub fn apply(&self, items: &mut Vec<R>) -> Result<(), Misfit> {
        *items = match &self.items {
            Some(items) => items.clone(),
            None => self.applied(items).ok_or(Misfit)?,
        };
        Ok(())
    }

    fn applied(&self, items: &[R]) -> Option<Vec<R>> {
        let mut stays: Vec<Option<&R>> = items.iter().map(Some).collect();
        for at in &self.deleted_at {
            stays.get_mut(*at)?.take()?;
        }
        let gone = self.deleted_at.len();
        let mut places = vec![None; (items.len() - gone).checked_add(self.inserted.len())?];
        for (row, at) in self.inserted.iter().zip(&self.inserted_at) {
            put(&mut places, *at, row)?;
        }
        for Move { from, to } in &self.moved {
            let row = stays.get_mut(*from)?.take()?;
            put(&mut places, *to, row)?;
        }
        let mut rest = stays.into_iter().flatten();
        for place in places.iter_mut().filter(|place| place.is_none()) {
            *place = Some(rest.next()?);
        }
        for (row, at) in self.updated.iter().zip(&self.updated_at) {
            *places.get_mut(*at)? = Some(row);
        }
        places.into_iter().map(|place| place.cloned()).collect()
    }
}

/// Puts a row where none is yet.
fn put<'a, R>(places: &mut [Option<&'a R>], at: usize, row: &'a R) -> Option<()> {
    match places.get_mut(at)? {
        Some(_) => None,
        place => {
            *place = Some(row);
            Some(())
        }
    }
}

impl Update<Row> {
    pub(super) fn decode(self) -> Result<Update, StoreError> {
        let values = |rows: Vec<Row>| rows.iter().map(Row::value).collect::<Result<_, _>>();
        Ok(Update {
            items: self.items.map(values).transpose()?,
            deleted: values(self.deleted)?,
            deleted_at: self.deleted_at,
            inserted: values(self.inserted)?,
            inserted_at: self.inserted_at,
            updated: values(self.updated)?,
            updated_at: self.updated_at,
            moved: self.moved,
        })
    }
}

/// How two lists of rows differ that stand behind `start` rows which are the same. No key occurs twice in one of them.
pub(super) fn difference<K: Ord>(
    start: usize,
    before: &[(K, &Row)],
    after: &[(K, &Row)],
) -> Update<Row> {
    let mut places: BTreeMap<&K, (usize, &Row)> = BTreeMap::new();
    places.extend(
        (start..)
            .zip(before)
            .map(|(at, (key, row))| (key, (at, *row))),
    );
    let mut update = Update::default();
    let mut stays = Vec::new();
    for (to, (key, row)) in (start..).zip(after) {
        let Some((from, earlier)) = places.remove(key) else {
            update.inserted.push((*row).clone());
            update.inserted_at.push(to);
            continue;
        };
        if earlier != *row {
            update.updated.push((*row).clone());
            update.updated_at.push(to);
        }
        stays.push(Move { from, to });
    }
    let mut gone: Vec<(usize, &Row)> = places.into_values().collect();
    gone.sort_unstable_by_key(|(at, _)| *at);
    for (at, row) in gone {
        update.deleted.push(row.clone());
        update.deleted_at.push(at);
    }
    update.moved = moved(&stays);
    update
}

/// Of rows in their order now, the fewest that have to move: all but a longest run that ascends by their old places
/// (patience sorting, see Aldous and Diaconis 1999).
fn moved(stays: &[Move]) -> Vec<Move> {
    // For each length the row that ends a run of it lowest, and for each row the one before it in its run.
    let mut ends: Vec<usize> = Vec::new();
    let mut before: Vec<Option<usize>> = Vec::with_capacity(stays.len());
    for (index, row) in stays.iter().enumerate() {
        let length = ends.partition_point(|end| stays[*end].from < row.from);
        before.push(length.checked_sub(1).map(|shorter| ends[shorter]));
        match ends.get_mut(length) {
            Some(end) => *end = index,
            None => ends.push(index),
        }
    }
    let mut is_in_run = vec![false; stays.len()];
    let mut next = ends.last().copied();
    while let Some(index) = next {
        is_in_run[index] = true;
        next = before[index];
    }
    let rows = stays.iter().zip(is_in_run);
    rows.filter(|(_, is_in_run)| !is_in_run)
        .map(|(row, _)| *row)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rows(numbers: &[(u8, u8)]) -> Vec<(u8, Row)> {
        let row = |number: u8| Row::from(Value::Int(number.into()));
        numbers.iter().map(|(key, n)| (*key, row(*n))).collect()
    }

    fn keyed(rows: &[(u8, Row)]) -> Vec<(u8, &Row)> {
        rows.iter().map(|(key, row)| (*key, row)).collect()
    }

    /// Rows with keys of their own in any order.
    fn list() -> impl Strategy<Value = Vec<(u8, u8)>> {
        let keys = prop::sample::subsequence((0..12).collect::<Vec<u8>>(), 0..12).prop_shuffle();
        keys.prop_flat_map(|keys| {
            let rows: Vec<_> = keys.into_iter().map(|key| (Just(key), 0..3u8)).collect();
            rows
        })
    }

    proptest! {
        /// Goal: a list that takes in the difference of any two lists becomes the second one.
        #[test]
        fn differences_lead_from_one_list_to_the_other(before in list(), after in list()) {
            let (before, after) = (rows(&before), rows(&after));
            let update = difference(0, &keyed(&before), &keyed(&after));
            let mut list: Vec<Row> = before.iter().map(|(_, row)| row.clone()).collect();
            update.apply(&mut list).unwrap();
            let expected: Vec<Row> = after.iter().map(|(_, row)| row.clone()).collect();
            prop_assert_eq!(list, expected);
            prop_assert_eq!(update.is_empty(), before == after);
        }
    }

    /// Goal: one row that moves over many others is told as one move.
    #[test]
    fn only_what_moved_is_told() {
        let before = rows(&[(1, 1), (2, 2), (3, 3), (4, 4)]);
        let after = rows(&[(4, 4), (1, 1), (2, 9), (3, 3)]);
        let update = difference(5, &keyed(&before), &keyed(&after));
        assert_eq!(update.moved, [Move { from: 8, to: 5 }]);
        assert_eq!(update.updated_at, [7]);
        assert!(update.inserted.is_empty() && update.deleted.is_empty());
    }

    /// Goal: an update for another list is refused, and the list stays.
    #[test]
    fn what_does_not_fit_is_refused() {
        let mut list = vec!["a", "b"];
        let wrong: [Update<&str>; 5] = [
            Update {
                deleted: vec!["x"],
                deleted_at: vec![2],
                ..Update::default()
            },
            Update {
                deleted: vec!["a", "a"],
                deleted_at: vec![0, 0],
                ..Update::default()
            },
            Update {
                inserted: vec!["x"],
                inserted_at: vec![3],
                ..Update::default()
            },
            Update {
                updated: vec!["x"],
                updated_at: vec![2],
                ..Update::default()
            },
            Update {
                moved: vec![Move { from: 0, to: 0 }, Move { from: 1, to: 0 }],
                ..Update::default()
            },
        ];
        for update in wrong {
            assert_eq!(update.apply(&mut list), Err(Misfit), "{update:?}");
            assert_eq!(list, ["a", "b"]);
        }
    }
}
