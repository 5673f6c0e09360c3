//! Processes: guards, signals, and who is still there.

use crate::harness::wait_for;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Child, Command};

/// A child that is killed when the guard is dropped, so that a failing test leaves none behind.
pub(crate) struct Guarded(pub(crate) Child);

impl Guarded {
    /// Waits for the end; gives the exit code, `None` after a signal.
    pub(crate) fn ended(&mut self) -> Option<i32> {
        wait_for("the process ends", || {
            self.0.try_wait().expect("the process's state")
        })
        .code()
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // Both fail only for a process that has ended, which is what is wanted.
        self.0.kill().unwrap_or_default();
        self.0.wait().ok();
    }
}

/// Sends a signal by its name, as in `INT`.
pub(crate) fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill")
        .args(["-s", name, &child.id().to_string()])
        .status();
    assert!(
        sent.expect("kill is there").success(),
        "signal {name} is sent"
    );
}

/// The processes that have a path in their arguments and are not about to be collected.
pub(crate) fn processes_naming(path: &Path) -> Vec<u32> {
    let name = path.as_os_str().as_bytes();
    let entries = fs::read_dir("/proc")
        .expect("/proc can be listed")
        .flatten();
    let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    ids.filter(|id| {
        // A process may end between the two looks.
        let arguments = fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
        arguments.windows(name.len()).any(|part| part == name)
    })
    .collect()
}
