//! Where a passphrase comes from: a file, a variable, or the person at the terminal.

use crate::cli::CliError;
use crate::cli::limits::PASSPHRASE_FILE_BYTES_MAX;
use console::Term;
use sedge_identity::{IssuerKeyError, Passphrase};
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Which key a passphrase is for, and how it is asked for.
pub(super) struct Prompt {
    pub(super) flag: &'static str,
    pub(super) variable: &'static str,
    pub(super) key: &'static str,
}

/// The key that the command makes or signs with.
pub(super) const OWN: Prompt = Prompt {
    flag: "--passphrase-file",
    variable: "SEDGE_PASSPHRASE",
    key: "the issuer's key",
};

/// The key of the issuer above the one that the command makes.
pub(super) const ABOVE: Prompt = Prompt {
    flag: "--issuer-passphrase-file",
    variable: "SEDGE_ISSUER_PASSPHRASE",
    key: "the key of the issuer above",
};

impl Prompt {
    /// The passphrase of a key that is there.
    pub(super) fn ask(&self, file: Option<&Path>) -> Result<Passphrase, CliError> {
        match self.given(file)? {
            Some(text) => parse(text),
            None => parse(self.typed(&format!("Passphrase of {}: ", self.key))?),
        }
    }

    /// The passphrase of a new key, typed twice when it is typed.
    pub(super) fn choose(&self, file: Option<&Path>) -> Result<Passphrase, CliError> {
        if let Some(text) = self.given(file)? {
            return parse(text);
        }
        let first = parse(self.typed(&format!("A passphrase for {}: ", self.key))?)?;
        let again = parse(self.typed("The same again: ")?)?;
        if first != again {
            return Err(CliError::Failed(
                "the two passphrases differ; nothing was written".to_owned(),
            ));
        }
        Ok(first)
    }

    fn given(&self, file: Option<&Path>) -> Result<Option<String>, CliError> {
        let Some(path) = file else {
            return match std::env::var(self.variable) {
                Ok(text) => Ok(Some(text)),
                Err(std::env::VarError::NotPresent) => Ok(None),
                Err(error) => Err(CliError::Usage(format!("{}: {error}", self.variable))),
            };
        };
        // As large as it can get, so that no half-read copy stays behind in memory.
        let mut text = String::with_capacity(PASSPHRASE_FILE_BYTES_MAX as usize + 1);
        let file = File::open(path).map_err(CliError::file(path))?;
        file.take(PASSPHRASE_FILE_BYTES_MAX)
            .read_to_string(&mut text)
            .map_err(CliError::file(path))?;
        Ok(Some(text))
    }

    /// Asks the person at the terminal, without an echo.
    fn typed(&self, question: &str) -> Result<String, CliError> {
        let terminal = Term::stderr();
        if !terminal.is_term() {
            return Err(CliError::Usage(format!(
                "there is no terminal to ask for the passphrase of {}; name a file with {}, or set {}",
                self.key, self.flag, self.variable
            )));
        }
        let typed = terminal
            .write_str(question)
            .and_then(|()| terminal.read_secure_line());
        typed.map_err(CliError::Output)
    }
}

fn parse(text: String) -> Result<Passphrase, CliError> {
    Passphrase::new(text).map_err(|error: IssuerKeyError| CliError::Failed(error.to_string()))
}
