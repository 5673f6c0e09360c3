//! The generated wire types of what travels of documents.

include!(concat!(env!("OUT_DIR"), "/sedge.document.v1.rs"));
