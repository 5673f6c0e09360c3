//! Cores in virtual time over a network in memory, and cores against hostile neighbours.
#![allow(clippy::indexing_slicing, clippy::wildcard_enum_match_arm)]

mod certificates;
mod compare;
mod converge;
mod evidence;
mod fixtures;
mod hostile;
mod refused;
mod victim;
mod wire;
