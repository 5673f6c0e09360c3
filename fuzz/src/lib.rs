//! What the fuzz targets share: the bounds every target keeps while it runs (`guard`), the fixed things that inputs
//! are run against (`fixtures`), the wire form of deltas (`delta`),
//! and sealed documents (`shipment`).

pub mod delta;
pub mod fixtures;
mod guard;
pub mod shipment;

pub use guard::{Guarded, guarded};
