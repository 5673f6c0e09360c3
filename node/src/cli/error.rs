//! What a command fails with: one line that says what to do.

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
    #[error("--arg {argument}: {reason}; write it like --arg name='\"text\"' or --arg n=5")]
    Argument { argument: String, reason: String },
    #[error("the result can't be written: {0}")]
    Output(io::Error),
    #[error("the runtime can't start: {0}")]
    Runtime(io::Error),
    #[error("{0}")]
    Failed(String),
    /// The command has told it already, in its own form.
    #[error("{0}")]
    Told(String),
}

impl CliError {
    pub(crate) fn file(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::File {
            path: path.to_owned(),
            source,
        }
    }

    pub(crate) fn is_told(&self) -> bool {
        // A reader that left (sedge export | head) is no failure worth a line.
        matches!(self, Self::Told(_))
            || matches!(self, Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }
}

impl From<sedge::AppIdError> for CliError {
    fn from(error: sedge::AppIdError) -> Self {
        NodeError::from(error).into()
    }
}

impl From<sedge::SecretError> for CliError {
    fn from(error: sedge::SecretError) -> Self {
        NodeError::from(error).into()
    }
}
