//! Places, items and sums of the reference replica, computed anew for each question.

use std::collections::BTreeMap;

use super::document::Document;
use crate::replica::{DocumentKey, Item, Range, Summary};

/// The place of a document.
fn place(key: &DocumentKey) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] =
        hash(&[b"place", key.collection.as_str().as_bytes(), key.id()]);
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}

fn item(key: &DocumentKey, document: &Document) -> Item {
    let mut parts = vec![&b"item"[..], key.collection.as_str().as_bytes(), key.id()];
    parts.extend(document.heads.iter().map(|head| &head.0[..]));
    Item(hash(&parts))
}

fn hash(parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    *hasher.finalize().as_bytes()
}

/// The documents of a range with their items, by place, then id.
pub(super) fn items(
    documents: &BTreeMap<DocumentKey, Document>,
    range: &Range,
) -> Vec<(DocumentKey, Item)> {
    let within = documents.iter().filter(|(key, document)| {
        key.collection == range.collection
            && !document.heads.is_empty()
            && range.prefix.contains(place(key))
    });
    let mut items: Vec<_> = within
        .map(|(key, document)| (key.clone(), item(key, document)))
        .collect();
    items.sort_by_key(|(key, _)| (place(key), key.id().clone()));
    items
}

/// What comes behind a document in that order.
pub(super) fn is_behind(key: &DocumentKey, after: &DocumentKey) -> bool {
    (place(key), key.id()) > (place(after), after.id())
}

/// What the parts of a range come to, `span` digits below it.
pub(super) fn summaries(
    documents: &BTreeMap<DocumentKey, Document>,
    range: &Range,
    span: u8,
) -> Vec<Summary> {
    let items = items(documents, range);
    let mut items = items.iter().peekable();
    let parts = range.prefix.below(span).map(|part| {
        let mut summary = Summary::default();
        while let Some((_, item)) = items.next_if(|(key, _)| part.contains(place(key))) {
            summary.count += 1;
            summary.sum = plus(summary.sum, item.0);
        }
        summary
    });
    parts.collect()
}

/// The sum of two little-endian numbers, modulo 2^256.
fn plus(a: [u8; 32], b: [u8; 32]) -> [u8; 32] {
    let mut sum = [0; 32];
    let mut carry = 0;
    for ((sum, a), b) in sum.iter_mut().zip(a).zip(b) {
        let total = u16::from(a) + u16::from(b) + carry;
        [*sum, _] = total.to_le_bytes();
        carry = total >> 8;
    }
    sum
}
