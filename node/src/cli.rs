//! The command line: arguments are parsed and checked once, here; each command is a module of its own.

mod access;
mod args;
mod attachment;
mod backup;
mod cert;
mod error;
mod export;
mod feed;
mod import;
mod init;
mod limits;
mod logging;
pub(crate) mod ndjson;
pub(crate) mod output;
mod peers;
mod query;
mod restore;
mod run;
pub(crate) mod signals;
mod simulate;
mod status;
mod watch;

use args::{Arguments, Command};
use sedge::StateFolder;
use std::process::ExitCode;
use std::time::Duration;

pub(crate) use args::DemoArguments;
#[cfg(feature = "bench")]
pub(crate) use args::{BenchArguments, Suite};
pub(crate) use error::CliError;

/// What a command that did its work says about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Done {
    /// All of it.
    Wholly,
    /// All but some input lines that were rejected, each reported.
    PartlyRejected,
}

/// How long what still runs in the background gets to end.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(3);

const EXIT_FAILED: u8 = 1;
const EXIT_WRONG_USAGE: u8 = 2;
const EXIT_PARTLY_REJECTED: u8 = 3;

/// Runs the program and gives its exit code: 0 done, 1 failed, 2 wrong usage, 3 done but for rejected lines.
pub(crate) fn main() -> ExitCode {
    let arguments = Arguments::of_process();
    logging::start(matches!(arguments.command, Command::Run(_)));
    let json = arguments.json;
    match execute(arguments) {
        Ok(Done::Wholly) => ExitCode::SUCCESS,
        Ok(Done::PartlyRejected) => ExitCode::from(EXIT_PARTLY_REJECTED),
        Err(error) if error.is_reader_gone() => ExitCode::SUCCESS,
        Err(error) => {
            if error.is_untold() {
                output::error(&error, json);
            }
            ExitCode::from(match error.is_usage() {
                true => EXIT_WRONG_USAGE,
                false => EXIT_FAILED,
            })
        }
    }
}

fn execute(arguments: Arguments) -> Result<Done, CliError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(CliError::Runtime)?;
    let done = runtime.block_on(dispatch(arguments));
    // Stores that background tasks hold are closed before the process ends; a read of standard input or of a slow file
    // that never returns must not hold it up for ever.
    runtime.shutdown_timeout(SHUTDOWN_TIMEOUT);
    done
}

async fn dispatch(arguments: Arguments) -> Result<Done, CliError> {
    let (json, state_by_flag) = (arguments.json, arguments.state_by_flag);
    let state = match arguments.state {
        Some(path) => Ok(StateFolder::new(path)),
        None => StateFolder::of_user(),
    };
    match arguments.command {
        Command::Demo(arguments) => crate::demo::run(arguments, json, state_by_flag).await,
        #[cfg(feature = "bench")]
        Command::Bench(arguments) => {
            tokio::task::block_in_place(|| crate::bench::run(arguments, json))
        }
        Command::Simulate(arguments) => {
            tokio::task::block_in_place(|| simulate::run(&arguments, json))
        }
        Command::Cert(command) => tokio::task::block_in_place(|| {
            cert::run(|| state.map_err(CliError::from), *command, json)
        }),
        Command::Init(arguments) => init::run(&state?, arguments, json),
        Command::Run(arguments) => run::run(&state?, arguments, json).await,
        Command::Query(arguments) => query::run(&state?, arguments, json).await,
        Command::Watch(arguments) => watch::run(&state?, arguments, json).await,
        Command::Import(arguments) => import::run(&state?, arguments, json).await,
        Command::Export(arguments) => export::run(&state?, arguments, json).await,
        Command::Feed(arguments) => feed::run(&state?, arguments).await,
        Command::Backup(arguments) => backup::run(&state?, arguments, json).await,
        Command::Restore(arguments) => {
            tokio::task::block_in_place(|| restore::run(&state?, &arguments, json))
        }
        Command::Attachment(command) => attachment::run(&state?, command, json).await,
        Command::Status => status::run(&state?, json).await,
        Command::Peers => peers::run(&state?, json).await,
    }
}
