//! A shell as a reader of the documentation has it: in the checkout, with the program on its PATH, and nothing of this
//! user's own devices or settings.

use std::path::Path;
use std::process::{Command, Output};

/// Runs a script of bash to its end; `home` takes whatever it leaves behind.
pub(crate) fn run(script: &str, home: &Path) -> Output {
    let program = Path::new(env!("CARGO_BIN_EXE_sedge"));
    let (programs, root) = (program.parent().unwrap(), root());
    let mut bash = Command::new("bash");
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("SEDGE_") || text.starts_with("XDG_") {
            bash.env_remove(&name);
        }
    }
    let path = std::env::var("PATH").unwrap();
    bash.env("PATH", format!("{}:{path}", programs.display()))
        .env("CARGO_TARGET_DIR", programs.parent().unwrap())
        .env("HOME", home)
        .env("TMPDIR", home)
        .current_dir(root)
        .args(["-c", script]);
    bash.output().unwrap()
}

/// The checkout.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}
