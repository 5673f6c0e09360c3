//! Comparing two stores, as the side whose documents are offered sees it: which ranges are still to be described to the
//! follower, and which documents were found to be offered.
//!
//! Where both followers want their stores compared, one comparison serves both: the side with the lower feed id describes its
//! ranges, and the other one, while it tells what differs, finds what it has beyond them.

use std::collections::VecDeque;

use super::{
    compare::{Content, Described, Differs, Divergence, Fingerprint, Found, Nonce},
    message::CloseCode,
};
use crate::{
    limits::{FOUND_MAX, RANGES_MAX},
    replica::{Interest, Prefix, Range, Sequence},
};

/// Whole collections that are described in one message: each may take 2 kB.
const ROOTS_AT_ONCE: usize = 16;

/// A comparison, from the follower's wish until everything that was found is offered.
#[derive(Debug)]
pub(super) struct Comparing {
    nonce: Nonce,
    /// What the follower wants: nothing else is offered, though it may have been compared for the other direction.
    wanted: Interest,
    /// Where the feed stood before anything was compared: from there on it is offered afterwards.
    pub base: Sequence,
    /// Ranges to be described, the next one last; and whether by their parts in any case.
    ranges: Vec<(Range, bool)>,
    found: VecDeque<Found>,
    /// The follower describes its ranges, and it is not done.
    is_led: bool,
}

/// What a comparison needs next.
#[derive(Debug)]
pub(super) enum Next {
    /// What is in these ranges.
    Describe(Vec<(Range, bool)>),
    /// The next of these documents.
    Locate(Vec<Found>),
    /// What the other side finds.
    Wait,
    /// Nothing: it is done.
    End,
}

impl Comparing {
    pub fn new(nonce: Nonce, wanted: Interest, base: Sequence, is_led: bool) -> Self {
        Self {
            nonce,
            wanted,
            base,
            ranges: Vec::new(),
            found: VecDeque::new(),
            is_led,
        }
    }

    /// How the collections compare is known.
    pub fn begin(&mut self, divergence: Divergence) {
        if !self.is_led {
            let differ = divergence.differ.into_iter();
            self.ranges = differ
                .map(|collection| (Range::whole(collection), false))
                .collect();
        }
        let only_here = divergence.only_here.into_iter();
        self.add(only_here.map(|collection| Found::all(Range::whole(collection))));
    }

    fn add(&mut self, found: impl IntoIterator<Item = Found>) {
        let wanted = &self.wanted;
        let found = found
            .into_iter()
            .filter(|it| wanted.includes(&it.range.collection));
        self.found.extend(found);
    }

    /// For all fingerprints of what was found and is described.
    pub fn nonce(&self) -> Nonce {
        self.nonce
    }

    pub fn next(&mut self) -> Next {
        // Documents that are found go first, once they fill a page or nothing else is to be done.
        let is_plenty = self.found.len() >= RANGES_MAX;
        if !self.found.is_empty() && (is_plenty || self.ranges.is_empty()) {
            let found = self
                .found
                .drain(..self.found.len().min(RANGES_MAX))
                .collect();
            return Next::Locate(found);
        }
        if self.ranges.is_empty() {
            return if self.is_led { Next::Wait } else { Next::End };
        }
        let mut ranges = Vec::new();
        let (mut roots, most) = (0, RANGES_MAX.min(self.ranges.len()));
        while ranges.len() < most && roots < ROOTS_AT_ONCE {
            let Some(range) = self.ranges.pop() else {
                break;
            };
            roots += usize::from(range.0.prefix == Prefix::ROOT);
            ranges.push(range);
        }
        Next::Describe(ranges)
    }

    /// These of the ranges that were to be described can't be: they are offered as they are.
    pub fn undescribed(&mut self, asked: Vec<Range>, described: &[Described]) {
        let left = asked
            .into_iter()
            .filter(|range| !described.iter().any(|it| it.range == *range));
        self.add(left.map(Found::all));
    }

    /// The follower tells what differs of the described ranges.
    pub fn differing(
        &mut self,
        described: Vec<Described>,
        differs: Vec<Differs>,
    ) -> Result<(), CloseCode> {
        if described.len() != differs.len() {
            return Err(CloseCode::Unexpected);
        }
        for (described, differs) in described.into_iter().zip(differs) {
            let Described { range, content } = described;
            match content {
                Content::Items(items) => self.items_differ(range, &items, differs)?,
                Content::Parts(parts) => self.parts_differ(&range, parts.len(), &differs)?,
            }
        }
        Ok(())
    }

    fn items_differ(
        &mut self,
        range: Range,
        items: &[Fingerprint],
        differs: Differs,
    ) -> Result<(), CloseCode> {
        let Differs {
            which,
            lacking,
            finer,
        } = differs;
        if !lacking.is_empty() || (finer && !which.is_empty()) {
            return Err(CloseCode::Unexpected);
        }
        if finer {
            self.ranges.push((range, true));
            return Ok(());
        }
        let named = which
            .iter()
            .map(|index| items.get(usize::from(*index)).copied());
        let named = named
            .collect::<Option<Vec<_>>>()
            .ok_or(CloseCode::Unexpected)?;
        if !named.is_empty() {
            self.add([Found {
                range,
                which: Some(named),
                after: None,
            }]);
        }
        Ok(())
    }

    fn parts_differ(
        &mut self,
        range: &Range,
        parts: usize,
        differs: &Differs,
    ) -> Result<(), CloseCode> {
        let below: Vec<_> = range.prefix.below(if parts > 16 { 2 } else { 1 }).collect();
        let named = |positions: &[u8]| {
            let prefixes = positions.iter().map(|index| below.get(usize::from(*index)));
            let ranges = prefixes.map(|prefix| {
                Some(Range {
                    collection: range.collection.clone(),
                    prefix: *prefix?,
                })
            });
            ranges
                .collect::<Option<Vec<_>>>()
                .ok_or(CloseCode::Unexpected)
        };
        let is_twice = differs
            .which
            .iter()
            .any(|index| differs.lacking.contains(index));
        if differs.finer || is_twice {
            return Err(CloseCode::Unexpected);
        }
        self.add(named(&differs.lacking)?.into_iter().map(Found::all));
        self.ranges.extend(
            named(&differs.which)?
                .into_iter()
                .rev()
                .map(|range| (range, false)),
        );
        Ok(())
    }

    /// What of the found documents did not fit the page.
    pub fn put_back(&mut self, left: Vec<Found>) {
        for found in left.into_iter().rev() {
            self.found.push_front(found);
        }
    }

    /// Takes over what the other direction has found, while there is room; returns whether there still is.
    pub fn take(&mut self, found: &mut Vec<Found>) -> bool {
        if self.found.len() < FOUND_MAX {
            self.add(found.drain(..));
        }
        self.found.len() < FOUND_MAX
    }

    /// The other side is done with describing its ranges.
    pub fn end_led(&mut self) {
        self.is_led = false;
    }

    /// Whether the other side leads.
    pub fn is_led(&self) -> bool {
        self.is_led
    }
}
