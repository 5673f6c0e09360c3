//! The fetch of a blob in virtual time, and the bytes that it sends.
#![expect(
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "what is not there fails the test"
)]

mod sets;
mod simulated;
mod single;
mod wire;
