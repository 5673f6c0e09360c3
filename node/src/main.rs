//! The `sedge` program; see `cli` for its commands.

#[cfg(feature = "bench")]
mod bench;
mod child;
mod cli;
mod demo;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
