//! Fetching attachments from neighbours, without IO: what travels (`wire`), what a store must offer ([`Blobs`], with
//! [`MemoryBlobs`] as the reference), and [`Fetch`], which decides whom to ask for which chunk.
//!
//! A blob is named by a hash that proves each of its chunks, so nobody who gives one needs to be trusted, and it may come from
//! several neighbours at once. Only who wants a blob asks; nothing is pushed, and nobody fetches it for another.
#![warn(clippy::indexing_slicing, clippy::wildcard_enum_match_arm)]

mod chunks;
mod fetch;
mod memory;
mod store;
mod wire;

pub use chunks::ChunkSet;
pub use fetch::{Fetch, FetchEffect, FetchEvent, FetchFailure, FetchProgress};
pub use memory::MemoryBlobs;
pub use store::{Blob, Blobs, Chunk, Taken, chunk_bytes};
pub use wire::{BlobAnswer, BlobRequest};

#[cfg(test)]
mod tests;
