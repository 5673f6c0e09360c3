//! What the fuzz targets share: the bounds every target keeps while it runs (`guard`), the fixed things that inputs
//! are run against (`fixtures`), and the wire form of deltas (`delta`).

pub mod delta;
pub mod fixtures;
mod guard;

pub use guard::{Guarded, guarded};
