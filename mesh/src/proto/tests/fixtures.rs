//! Names and numbers for the tests.

use crate::replica::{CollectionName, DocumentKey, PeerKey};

pub fn collection(name: &str) -> CollectionName {
    CollectionName::new(name).unwrap()
}

pub fn document(name: &str, id: u64) -> DocumentKey {
    DocumentKey::new(collection(name), id.to_string().into_bytes()).unwrap()
}

pub fn peer(index: usize) -> PeerKey {
    PeerKey::new(&[u8::try_from(index).unwrap()])
}
