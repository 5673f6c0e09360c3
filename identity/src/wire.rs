//! The protobuf types as generated from `proto/identity.proto`. They never leave this crate.

include!(concat!(env!("OUT_DIR"), "/sedge.identity.rs"));
