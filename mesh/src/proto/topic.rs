//! Names of gossip topics: hashed, so that they have one short length whatever a collection is called.

use sedge_identity::hex;

use crate::replica::CollectionName;

/// Bytes of the hash that the name keeps.
const HASH_BYTES: usize = 16;

/// The gossip topic of a collection of an app: `/sedge/1/` and 32 hexadecimal digits, the first 16 bytes of
/// BLAKE3 (deriving a key, context `sedge gossip topic`) over the app's length (8 bytes, little-endian), the app, and the collection's name.
pub fn topic_name(app: &str, collection: &CollectionName) -> String {
    let mut hasher = blake3::Hasher::new_derive_key("sedge gossip topic");
    hasher.update(&(app.len() as u64).to_le_bytes());
    hasher.update(app.as_bytes());
    hasher.update(collection.as_str().as_bytes());
    let hash = hasher.finalize();
    format!(
        "/sedge/1/{}",
        hex(hash.as_bytes().get(..HASH_BYTES).unwrap_or_default())
    )
}
