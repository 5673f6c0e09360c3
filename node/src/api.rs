//! The HTTP Data API: stateless calls on a node's store, served over the daemon's Unix socket.
//!
//! `wire` holds the shapes, `server` answers, `client` asks; `events` is the format of live queries on both
//! sides, `feed` that of the feed.

mod attachments;
mod client;
mod errors;
mod events;
mod feed;
mod routes;
mod server;
pub mod wire;

#[cfg(test)]
mod tests;

pub use client::{Client, ClientError, Observed};
pub(crate) use feed::{lines as feed_lines, pages as feed_pages};
pub(crate) use routes::imported_response;
pub use server::{Server, ServerError};
