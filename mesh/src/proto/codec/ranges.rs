//! What is said of ranges, as it travels.

use bytes::Bytes;

use super::{collection_from_wire, list, pb};
use crate::{
    limits::{COLLECTIONS_MAX, ITEMS_MAX, RANGES_MAX},
    proto::{
        compare::{Content, Described, Differs, Fingerprint, Nonce, Root},
        frame::DecodeError,
        message::Comparison,
    },
    replica::{CollectionName, PLACE_DIGITS, Prefix, Range},
};

/// How many parts a range has one digit below, and two.
const PARTS: [usize; 2] = [16, 256];

pub(super) fn nonce_to_wire(comparison: Option<&Comparison>) -> Bytes {
    comparison.map_or_else(Bytes::new, |it| Bytes::copy_from_slice(&it.nonce.0))
}

pub(super) fn roots_to_wire(comparison: Option<&Comparison>) -> Vec<pb::Root> {
    let roots = comparison.into_iter().flat_map(|it| &it.roots);
    let root = |root: &Root| pb::Root {
        collection: root.collection.as_str().to_owned(),
        fingerprint: Bytes::copy_from_slice(&root.fingerprint.0),
    };
    roots.map(root).collect()
}

pub(super) fn comparison_from_wire(
    nonce: &[u8],
    roots: Vec<pb::Root>,
) -> Result<Option<Comparison>, DecodeError> {
    if nonce.is_empty() && roots.is_empty() {
        return Ok(None);
    }
    let nonce = nonce
        .try_into()
        .map_err(|_| DecodeError::Malformed("a nonce that has not 8 bytes"))?;
    let roots = list(roots, COLLECTIONS_MAX, "roots of a follow", |root| {
        let fingerprint = (*root.fingerprint)
            .try_into()
            .map_err(|_| DecodeError::Malformed("a fingerprint that has not 8 bytes"))?;
        Ok(Root {
            collection: collection_from_wire(&root.collection)?,
            fingerprint: Fingerprint(fingerprint),
        })
    })?;
    Ok(Some(Comparison {
        nonce: Nonce(nonce),
        roots,
    }))
}

pub(super) fn compare_to_wire(ranges: &[Described]) -> pb::Compare {
    let mut before: Option<&CollectionName> = None;
    let described = ranges.iter().map(|it| {
        let collection = &it.range.collection;
        let is_same = before.replace(collection) == Some(collection);
        let (fingerprints, items) = match &it.content {
            Content::Parts(parts) => (parts, false),
            Content::Items(items) => (items, true),
        };
        pb::Described {
            collection: match is_same {
                true => String::new(),
                false => collection.as_str().to_owned(),
            },
            depth: it.range.prefix.depth().into(),
            bits: it.range.prefix.bits(),
            fingerprints: fingerprints
                .iter()
                .flat_map(|it| it.0)
                .collect::<Vec<u8>>()
                .into(),
            items,
        }
    });
    pb::Compare {
        ranges: described.collect(),
    }
}

pub(super) fn compare_from_wire(compare: pb::Compare) -> Result<Vec<Described>, DecodeError> {
    if compare.ranges.is_empty() || compare.ranges.len() > RANGES_MAX {
        return Err(DecodeError::TooLarge {
            what: "ranges of a message, which are not to be none,",
            most: RANGES_MAX,
        });
    }
    let mut before = None;
    let described = compare.ranges.into_iter().map(|described| {
        let collection = match (described.collection.is_empty(), before.take()) {
            (true, Some(before)) => before,
            _ => collection_from_wire(&described.collection)?,
        };
        before = Some(collection.clone());
        described_from_wire(collection, &described)
    });
    described.collect()
}

fn described_from_wire(
    collection: CollectionName,
    described: &pb::Described,
) -> Result<Described, DecodeError> {
    let prefix = u8::try_from(described.depth).ok();
    let prefix = prefix
        .and_then(|depth| Prefix::new(depth, described.bits))
        .ok_or(DecodeError::Malformed("a range that does not exist"))?;
    let (fingerprints, rest) = described.fingerprints.as_chunks::<8>();
    let fingerprints: Vec<_> = fingerprints.iter().map(|it| Fingerprint(*it)).collect();
    let span = PARTS.iter().position(|parts| *parts == fingerprints.len());
    let content = match (described.items, span) {
        (true, _) if fingerprints.len() <= ITEMS_MAX => Content::Items(fingerprints),
        (false, Some(span)) if usize::from(PLACE_DIGITS - prefix.depth()) > span => {
            Content::Parts(fingerprints)
        }
        _ => {
            return Err(DecodeError::Malformed(
                "a range with a wrong number of fingerprints",
            ));
        }
    };
    if !rest.is_empty() {
        return Err(DecodeError::Malformed("a fingerprint that has not 8 bytes"));
    }
    Ok(Described {
        range: Range { collection, prefix },
        content,
    })
}

pub(super) fn differing_to_wire(differs: &[Differs]) -> pb::Differing {
    let differs = differs.iter().map(|it| pb::Differs {
        which: it.which.clone().into(),
        lacking: it.lacking.clone().into(),
        finer: it.finer,
    });
    pb::Differing {
        ranges: differs.collect(),
    }
}

pub(super) fn differing_from_wire(differing: pb::Differing) -> Result<Vec<Differs>, DecodeError> {
    list(
        differing.ranges,
        RANGES_MAX,
        "ranges of a message",
        |differs| {
            Ok(Differs {
                which: positions_from_wire(&differs.which)?,
                lacking: positions_from_wire(&differs.lacking)?,
                finer: differs.finer,
            })
        },
    )
}

fn positions_from_wire(bytes: &[u8]) -> Result<Vec<u8>, DecodeError> {
    match bytes.is_sorted_by(|a, b| a < b) {
        true => Ok(bytes.to_vec()),
        false => Err(DecodeError::Malformed("positions that do not ascend")),
    }
}
