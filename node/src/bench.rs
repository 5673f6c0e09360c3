//! `sedge bench`: figures of the whole system, each beside what it is compared with, measured in one run.
//!
//! `figure` is what a measurement says, `cars` the generated documents, `sqlite` the database of comparison; a suite is
//! a module with a list of figures.

mod cars;
mod daemon;
mod figure;
mod identity;
mod sqlite;
mod store;
mod sync;

use crate::cli::{BenchArguments, CliError, Done, Suite};
use figure::{Figure, Workplace};
use std::path::PathBuf;

pub(crate) fn run(arguments: BenchArguments, json: bool) -> Result<Done, CliError> {
    let figures = match arguments.suite {
        Suite::Identity => identity::FIGURES,
        Suite::Store => store::FIGURES,
        Suite::Sync => sync::FIGURES,
    };
    let chosen: Vec<&Figure> = figures
        .iter()
        .filter(|figure| figure.is_among(&arguments.only))
        .collect();
    if chosen.is_empty() {
        let names: Vec<&str> = figures.iter().map(|figure| figure.name).collect();
        return Err(CliError::Usage(format!(
            "no figure's name holds {:?}; there are: {}",
            arguments.only.join(", "),
            names.join(", ")
        )));
    }
    let workplace = Workplace::new(&folder(arguments.folder)?, arguments.documents)?;
    for figure in chosen {
        figure.measure(&workplace).tell(json)?;
    }
    Ok(Done::Wholly)
}

/// Where the databases are made: on the disk of the user's cache, since a temporary folder is often no disk at all.
fn folder(chosen: Option<PathBuf>) -> Result<PathBuf, CliError> {
    use etcetera::BaseStrategy;
    if let Some(folder) = chosen {
        return Ok(folder);
    }
    let base = etcetera::choose_base_strategy().map_err(|_| {
        CliError::Usage("there is no home folder to measure in; name one with --folder".to_owned())
    })?;
    Ok(base.cache_dir().join("sedge"))
}
