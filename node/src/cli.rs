//! The command line: arguments are parsed and checked once, here; each command is a module of its own.

mod access;
mod args;
mod error;
mod export;
mod import;
mod init;
mod logging;
pub(crate) mod ndjson;
pub(crate) mod output;
mod peers;
mod query;
mod run;
mod status;

use args::{Arguments, Command};
use clap::Parser;
use sedge::StateFolder;
use std::process::ExitCode;

pub(crate) use args::DemoArguments;
pub(crate) use error::CliError;

/// What a command that did its work says about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Done {
    /// All of it.
    Wholly,
    /// All but some input lines that were rejected, each reported.
    PartlyRejected,
}

const EXIT_FAILED: u8 = 1;
const EXIT_PARTLY_REJECTED: u8 = 3;

/// Runs the program and gives its exit code: 0 done, 1 failed, 2 wrong usage (clap's), 3 done but for rejected lines.
pub(crate) fn main() -> ExitCode {
    let arguments = Arguments::parse();
    logging::start(matches!(arguments.command, Command::Run(_)));
    let json = arguments.json;
    match execute(arguments) {
        Ok(Done::Wholly) => ExitCode::SUCCESS,
        Ok(Done::PartlyRejected) => ExitCode::from(EXIT_PARTLY_REJECTED),
        Err(error) => {
            if !error.is_told() {
                output::error(&error, json);
            }
            ExitCode::from(EXIT_FAILED)
        }
    }
}

fn execute(arguments: Arguments) -> Result<Done, CliError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(CliError::Runtime)?;
    let json = arguments.json;
    if let Command::Demo(demo) = arguments.command {
        return runtime.block_on(crate::demo::run(demo, json));
    }
    let state = match arguments.state {
        Some(path) => StateFolder::new(path),
        None => StateFolder::of_user()?,
    };
    let done = runtime.block_on(async {
        match arguments.command {
            Command::Init(arguments) => init::run(&state, arguments, json),
            Command::Run(arguments) => run::run(&state, arguments, json).await,
            Command::Query(arguments) => query::run(&state, arguments, json).await,
            Command::Import(arguments) => import::run(&state, arguments, json).await,
            Command::Export(arguments) => export::run(&state, arguments).await,
            Command::Status => status::run(&state, json).await,
            Command::Peers => peers::run(&state, json).await,
            Command::Demo(_) => Ok(Done::Wholly), // taken above: it needs no state folder
        }
    });
    // Reading standard input or a slow observer must not hold up the end.
    runtime.shutdown_background();
    done
}
