//! Compiles the wire types of certificates and envelopes.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto/identity.proto");
    let descriptors = protox::compile(["proto/identity.proto"], ["proto"])?;
    prost_build::Config::new().compile_fds(descriptors)?;
    Ok(())
}
