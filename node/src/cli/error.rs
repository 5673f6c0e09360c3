//! What a command fails with: one line that says what to do.

use super::ndjson::{NotNdjson, ReadError};
use sedge::api::{ClientError, ServerError};
use sedge::{NodeError, StateError};
use std::io;
use std::path::{Path, PathBuf};

#[derive(Debug, thiserror::Error)]
pub(crate) enum CliError {
    #[error(transparent)]
    Node(#[from] NodeError),
    #[error(transparent)]
    State(#[from] StateError),
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Server(#[from] ServerError),
    #[error("{}: {source}; check that it exists and may be used", .path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("{} {source}", .path.display())]
    Input { path: PathBuf, source: NotNdjson },
    #[error(
        "{source}. {} in before. It is safe to import the file again: documents that are unchanged cost nothing",
        written(*.documents)
    )]
    ImportCutShort {
        documents: u64,
        source: Box<CliError>,
    },
    #[error("{0}")]
    Usage(String),
    #[error("the result can't be written: {0}")]
    Output(io::Error),
    #[error("the runtime can't start: {0}")]
    Runtime(io::Error),
    #[error("{0}")]
    Failed(String),
    /// The command has told it already, in its own form.
    #[error(transparent)]
    Told(Box<CliError>),
}

impl CliError {
    pub(crate) fn file(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::File {
            path: path.to_owned(),
            source,
        }
    }

    /// What kept an input from being read.
    pub(crate) fn input(path: &Path) -> impl FnOnce(ReadError) -> Self {
        move |error| match error {
            ReadError::Io(source) => Self::file(path)(source),
            ReadError::NotNdjson(source) => Self::Input {
                path: path.to_owned(),
                source,
            },
        }
    }

    /// Whether a line about it is still owed.
    pub(crate) fn is_untold(&self) -> bool {
        !matches!(self, Self::Told(_))
    }

    /// Whether whoever read the output has seen enough, as in `sedge export | head`.
    pub(crate) fn is_reader_gone(&self) -> bool {
        match self {
            Self::Output(error) => error.kind() == io::ErrorKind::BrokenPipe,
            Self::Told(error) => error.is_reader_gone(),
            _ => false,
        }
    }

    /// Whether the command was called wrongly.
    pub(crate) fn is_usage(&self) -> bool {
        match self {
            Self::Usage(_) => true,
            Self::Told(error) => error.is_usage(),
            _ => false,
        }
    }
}

fn written(documents: u64) -> String {
    match documents {
        1 => "1 document was".to_owned(),
        documents => format!("{documents} documents were"),
    }
}

impl From<sedge::SecretError> for CliError {
    fn from(error: sedge::SecretError) -> Self {
        NodeError::from(error).into()
    }
}
