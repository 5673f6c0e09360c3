//! Comparing what two stores hold of a range, as computations on one of them: what it says of its own documents there
//! (`describe`), what of another's description differs from its own (`compare`), and which documents those are (`locate`). They
//! may read many items, so the driver carries them out where it calls the store.

use std::collections::BTreeSet;

use crate::{
    limits::{COLLECTIONS_MAX, ITEMS_MAX, ITEMS_OWN_MAX, ITEMS_PAGE_MAX, RANGE_WIDE_MIN},
    replica::{
        CollectionName, DocumentKey, Interest, Item, Offered, PLACE_DIGITS, PageLimits, Prefix,
        Range, Replica, ReplicaError, Summary,
    },
};

/// Makes the fingerprints of one session differ from those of every other, so that what looks equal by chance once does not
/// look equal again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nonce(pub [u8; 8]);

/// Stands for a [`Summary`] or an [`Item`] in one session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fingerprint(pub [u8; 8]);

impl Fingerprint {
    /// BLAKE3 over the nonce, the count as little-endian number, and the sum; the first 8 bytes.
    pub fn of_summary(nonce: Nonce, summary: &Summary) -> Self {
        Self::of(&[&nonce.0, &summary.count.to_le_bytes(), &summary.sum])
    }

    /// BLAKE3 over the nonce and the item; the first 8 bytes.
    pub fn of_item(nonce: Nonce, item: &Item) -> Self {
        Self::of(&[&nonce.0, &item.0])
    }

    fn of(parts: &[&[u8]]) -> Self {
        let mut hasher = blake3::Hasher::new();
        for part in parts {
            hasher.update(part);
        }
        let [a, b, c, d, e, f, g, h, ..] = *hasher.finalize().as_bytes();
        Self([a, b, c, d, e, f, g, h])
    }
}

/// The summary of a whole collection, as a fingerprint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root {
    /// The collection.
    pub collection: CollectionName,
    /// Stands for all its documents.
    pub fingerprint: Fingerprint,
}

/// What a peer says of its documents in a range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    /// The range.
    pub range: Range,
    /// Of its parts or of its documents.
    pub content: Content,
}

/// The fingerprints of a range's parts, or of its documents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// Of the summaries one digit below (16), or two (256), ascending.
    Parts(Vec<Fingerprint>),
    /// Of the items of all documents, in the order of their places.
    Items(Vec<Fingerprint>),
}

/// What of a description differs from what its receiver has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Differs {
    /// Positions of parts that differ, or of documents that the receiver wants; ascending.
    pub which: Vec<u8>,
    /// Positions of parts in which the receiver has nothing; ascending.
    pub lacking: Vec<u8>,
    /// The documents do not tell what the receiver has beside them: the parts are wanted instead.
    pub finer: bool,
}

/// How the collections of a store compare with another's roots.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Divergence {
    /// Both have documents, not the same.
    pub differ: Vec<CollectionName>,
    /// Only this store has documents.
    pub only_here: Vec<CollectionName>,
}

/// Documents of the own store that the other lacks something of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Where they are.
    pub range: Range,
    /// Their items in the session's fingerprints; all that are there where it is `None`.
    pub which: Option<Vec<Fingerprint>>,
    /// The last one that was dealt with.
    pub after: Option<DocumentKey>,
}

impl Found {
    /// All documents of a range.
    pub fn all(range: Range) -> Self {
        Self {
            range,
            which: None,
            after: None,
        }
    }
}

/// The collections of a scope that hold documents, and how many these are. `None` for more collections than can be named.
pub(super) fn roots(
    replica: &dyn Replica,
    nonce: Nonce,
    scope: &[Interest],
) -> Result<(Option<Vec<Root>>, u64), ReplicaError> {
    let held = held(replica, scope)?;
    let documents = held.iter().map(|(_, summary)| summary.count).sum();
    if held.len() > COLLECTIONS_MAX {
        return Ok((None, documents));
    }
    let roots = held.into_iter().map(|(collection, summary)| Root {
        collection,
        fingerprint: Fingerprint::of_summary(nonce, &summary),
    });
    Ok((Some(roots.collect()), documents))
}

/// How the collections of a scope compare with the roots of another store.
pub(super) fn compare_roots(
    replica: &dyn Replica,
    nonce: Nonce,
    scope: &[Interest],
    theirs: &[Root],
) -> Result<Divergence, ReplicaError> {
    let mut divergence = Divergence::default();
    for (collection, summary) in held(replica, scope)? {
        let root = theirs.iter().find(|root| root.collection == collection);
        match root {
            None => divergence.only_here.push(collection),
            Some(root) if root.fingerprint != Fingerprint::of_summary(nonce, &summary) => {
                divergence.differ.push(collection);
            }
            Some(_) => {}
        }
    }
    Ok(divergence)
}

fn held(
    replica: &dyn Replica,
    scope: &[Interest],
) -> Result<Vec<(CollectionName, Summary)>, ReplicaError> {
    let mut held = Vec::new();
    for collection in replica.collections()? {
        if !scope.iter().any(|interest| interest.includes(&collection)) {
            continue;
        }
        let summary = replica.summary(&Range::whole(collection.clone()))?;
        if summary.count > 0 {
            held.push((collection, summary));
        }
    }
    Ok(held)
}

/// Says of each range what is here: of its documents where they are few and `finer` is not asked for, else of its parts. What can't
/// be divided further is passed over.
pub(super) fn describe(
    replica: &dyn Replica,
    nonce: Nonce,
    ranges: Vec<(Range, bool)>,
) -> Result<Vec<Described>, ReplicaError> {
    let mut described = Vec::with_capacity(ranges.len());
    for (range, finer) in ranges {
        let count = replica.summary(&range)?.count;
        let content = if count <= ITEMS_MAX as u64 && !finer {
            let items = replica.items(&range, None, ITEMS_MAX)?;
            let fingerprint = |(_, item): &(_, Item)| Fingerprint::of_item(nonce, item);
            Content::Items(items.iter().map(fingerprint).collect())
        } else if range.prefix.depth() < PLACE_DIGITS {
            let is_wide = range.prefix == Prefix::ROOT && count >= RANGE_WIDE_MIN;
            let parts = replica.summaries(&range, if is_wide { 2 } else { 1 })?;
            let fingerprint = |part| Fingerprint::of_summary(nonce, part);
            Content::Parts(parts.iter().map(fingerprint).collect())
        } else {
            continue;
        };
        described.push(Described { range, content });
    }
    Ok(described)
}

/// Tells of each description what differs here, and which documents here the other store lacks something of.
pub(super) fn compare(
    replica: &dyn Replica,
    nonce: Nonce,
    wanted: &Interest,
    theirs: Vec<Described>,
) -> Result<(Vec<Differs>, Vec<Found>), ReplicaError> {
    let mut differences = Vec::with_capacity(theirs.len());
    let mut found = Vec::new();
    for Described { range, content } in theirs {
        let is_wanted = wanted.includes(&range.collection);
        let mut differs = match content {
            Content::Parts(parts) => compare_parts(replica, nonce, &range, &parts, &mut found)?,
            Content::Items(items) => {
                let mut differs = compare_items(replica, nonce, range, &items, &mut found)?;
                differs.which.retain(|_| is_wanted);
                differs
            }
        };
        // Who does not want the collection compares it for the other's sake.
        differs.lacking.retain(|_| is_wanted);
        differences.push(differs);
    }
    Ok((differences, found))
}

fn compare_parts(
    replica: &dyn Replica,
    nonce: Nonce,
    range: &Range,
    theirs: &[Fingerprint],
    found: &mut Vec<Found>,
) -> Result<Differs, ReplicaError> {
    let nothing = Fingerprint::of_summary(nonce, &Summary::default());
    let span = if theirs.len() > 16 { 2 } else { 1 };
    let own = replica.summaries(range, span)?;
    let mut differs = Differs::default();
    for (((index, prefix), own), theirs) in (0..=u8::MAX)
        .zip(range.prefix.below(span))
        .zip(&own)
        .zip(theirs)
    {
        if Fingerprint::of_summary(nonce, own) == *theirs {
            continue;
        }
        if own.count == 0 {
            differs.lacking.push(index);
        } else if *theirs == nothing {
            let collection = range.collection.clone();
            found.push(Found::all(Range { collection, prefix }));
        } else {
            differs.which.push(index);
        }
    }
    Ok(differs)
}

fn compare_items(
    replica: &dyn Replica,
    nonce: Nonce,
    range: Range,
    theirs: &[Fingerprint],
    found: &mut Vec<Found>,
) -> Result<Differs, ReplicaError> {
    if replica.summary(&range)?.count > ITEMS_OWN_MAX as u64 && range.prefix.depth() < PLACE_DIGITS
    {
        return Ok(Differs {
            finer: true,
            ..Differs::default()
        });
    }
    let own = replica.items(&range, None, ITEMS_OWN_MAX)?;
    let own: Vec<_> = own
        .iter()
        .map(|(_, item)| Fingerprint::of_item(nonce, item))
        .collect();
    let own_set: BTreeSet<_> = own.iter().collect();
    let their_set: BTreeSet<_> = theirs.iter().collect();
    let which = (0..=u8::MAX)
        .zip(theirs)
        .filter(|(_, it)| !own_set.contains(it));
    let which = which.map(|(index, _)| index).collect();
    let extra: Vec<_> = own
        .iter()
        .filter(|it| !their_set.contains(it))
        .copied()
        .collect();
    if !extra.is_empty() {
        found.push(Found {
            range,
            which: Some(extra),
            after: None,
        });
    }
    Ok(Differs {
        which,
        ..Differs::default()
    })
}

/// The next documents of what was found, at most a page, and what is left.
pub(super) fn locate(
    replica: &dyn Replica,
    nonce: Nonce,
    found: Vec<Found>,
    limits: PageLimits,
) -> Result<(Vec<Offered>, Vec<Found>), ReplicaError> {
    let (mut entries, mut bytes) = (Vec::<Offered>::new(), 0);
    let mut left = found.into_iter();
    for mut next in left.by_ref() {
        loop {
            let items = replica.items(&next.range, next.after.as_ref(), ITEMS_PAGE_MAX)?;
            if items.is_empty() {
                break;
            }
            for (document, item) in items {
                let fingerprint = Fingerprint::of_item(nonce, &item);
                let is_wanted = next
                    .which
                    .as_ref()
                    .is_none_or(|which| which.contains(&fingerprint));
                let entry = match is_wanted {
                    true => replica.offered(&document)?,
                    false => None,
                };
                if let Some(entry) = entry {
                    let is_full = entries.len() == limits.entries_max
                        || bytes + entry.wire_bytes() > limits.bytes_max;
                    if is_full && !entries.is_empty() {
                        return Ok((entries, std::iter::once(next).chain(left).collect()));
                    }
                    bytes += entry.wire_bytes();
                    entries.push(entry);
                }
                next.after = Some(document);
            }
        }
    }
    Ok((entries, Vec::new()))
}
