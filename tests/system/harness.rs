//! Devices as folders, daemons as children that never outlive a test, and polling with a deadline.

use crate::processes::{Guarded, signal};
use sedge::StateFolder;
use sedge::api::Client;
use serde_json::Value;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The longest that anything is waited for, in seconds: it only makes a failure slow.
const DEADLINE_SECONDS: u64 = 60;
/// Pause between two looks, in milliseconds.
const PAUSE_MS: u64 = 25;

/// A secret for tests that need two devices to share one.
pub(crate) const SECRET: &str = "correct horse battery staple";

/// What a collection holds: documents and digest.
pub(crate) type Held = (u64, String);

/// The outcome of a command.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    /// The command's output, given that it did its work.
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.stdout
    }

    /// The one line of JSON on standard output.
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.stdout.lines().count(), 1, "one line: {self:?}");
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The reason why the command failed, given that it says so in one line.
    pub(crate) fn refused(&self) -> &str {
        assert_eq!(self.code, Some(1), "{self:?}");
        assert_eq!(self.stdout, "", "{self:?}");
        self.complaint()
    }

    /// The only line on standard error, without the program's name.
    pub(crate) fn complaint(&self) -> &str {
        assert_eq!(self.stderr.lines().count(), 1, "one line: {self:?}");
        for trace in ["panicked", "backtrace", "thread '"] {
            assert!(!self.stderr.contains(trace), "{self:?}");
        }
        let reason = self.stderr.trim_end().strip_prefix("sedge: ");
        reason.unwrap_or_else(|| panic!("it begins with the program's name: {self:?}"))
    }
}

/// The program, with nothing of this user's own devices or settings in its surroundings.
pub(crate) fn sedge(surroundings: &Path) -> Command {
    in_surroundings(Command::new(env!("CARGO_BIN_EXE_sedge")), surroundings)
}

/// Any program, with the same surroundings.
fn in_surroundings(mut command: Command, surroundings: &Path) -> Command {
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("SEDGE_") || text.starts_with("XDG_") || text == "NO_COLOR" {
            command.env_remove(&name);
        }
    }
    command
        .env("HOME", surroundings)
        .env("TMPDIR", surroundings);
    command.current_dir(surroundings).stdin(Stdio::null());
    command
}

/// Runs a command to its end.
pub(crate) fn finish(command: &mut Command) -> Ended {
    let output = command.output().expect("the program starts");
    let text = |bytes| String::from_utf8(bytes).expect("output is UTF-8");
    Ended {
        code: output.status.code(),
        stdout: text(output.stdout),
        stderr: text(output.stderr),
    }
}

/// Looks again and again until there is something.
pub(crate) fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(DEADLINE_SECONDS);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(
            Instant::now() < deadline,
            "not within {DEADLINE_SECONDS} s: {what}"
        );
        std::thread::sleep(Duration::from_millis(PAUSE_MS));
    }
}

pub(crate) fn wait_until(what: &str, mut look: impl FnMut() -> bool) {
    wait_for(what, || look().then_some(()));
}

/// The world of one test: a temporary folder with its devices.
pub(crate) struct World(TempDir);

impl World {
    pub(crate) fn new() -> Self {
        let prefix = tempfile::Builder::new().prefix("sedge-test-").tempdir();
        Self(prefix.expect("a temporary folder"))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// The program in this world, without a device.
    pub(crate) fn sedge(&self) -> Command {
        sedge(self.path())
    }

    pub(crate) fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path().join(name);
        fs::write(&path, content).expect("a file in the temporary folder");
        path
    }

    /// A device of the app `shop` that shares [`SECRET`].
    pub(crate) fn device(&self, name: &str) -> Device {
        self.device_of(name, "shop", SECRET)
    }

    pub(crate) fn device_of(&self, name: &str, app: &str, secret: &str) -> Device {
        let device = self.no_device(name);
        let secret = self.file(&format!("{name}.secret"), secret);
        let init = ["init", "--app", app, "--name", name, "--secret-file"];
        finish(device.sedge().args(init).arg(secret)).ok();
        device
    }

    /// Three devices that share [`SECRET`]; see [`line`].
    pub(crate) fn devices(&self) -> [Device; 3] {
        ["A", "B", "C"].map(|name| self.device(name))
    }

    /// A state folder that is not initialised.
    pub(crate) fn no_device(&self, name: &str) -> Device {
        static DEVICES: AtomicU32 = AtomicU32::new(0);
        // An address of its own in 127.128.0.0/9, so that a port stays free for it while it is down.
        let own = DEVICES.fetch_add(1, Ordering::Relaxed) & 0x7f;
        let [_, high, middle, low] =
            ((1 << 23) | ((std::process::id() & 0xffff) << 7) | own).to_be_bytes();
        Device {
            surroundings: self.path().to_owned(),
            state: self.path().join(name),
            host: format!("127.{high}.{middle}.{low}"),
        }
    }
}

/// A device: its state folder and its loopback address.
#[derive(Clone)]
pub(crate) struct Device {
    surroundings: PathBuf,
    pub(crate) state: PathBuf,
    host: String,
}

impl Device {
    pub(crate) fn sedge(&self) -> Command {
        let mut command = sedge(&self.surroundings);
        command.arg("--state").arg(&self.state);
        command
    }

    /// The same device with its folder copied elsewhere.
    pub(crate) fn moved(&self, to: &Path) -> Device {
        let copied = Command::new("cp")
            .arg("-a")
            .arg(&self.state)
            .arg(to)
            .status();
        assert!(
            copied.expect("cp is there").success(),
            "the folder is copied"
        );
        Device {
            state: to.to_owned(),
            ..self.clone()
        }
    }

    /// The program under another one, whose arguments stand before it.
    pub(crate) fn sedge_under(&self, other: Command) -> Command {
        let mut command = in_surroundings(other, &self.surroundings);
        command.arg(env!("CARGO_BIN_EXE_sedge"));
        command.arg("--state").arg(&self.state);
        command
    }

    /// The daemon of this device, as programs ask it.
    pub(crate) fn client(&self) -> Client {
        let state = StateFolder::new(&self.state);
        Client::new(&state.socket_path().expect("a socket"))
    }

    /// Where a daemon of this device listens.
    pub(crate) fn anywhere(&self) -> String {
        format!("/ip4/{}/tcp/0", self.host)
    }

    pub(crate) fn finish<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Ended {
        finish(self.sedge().args(arguments))
    }

    /// Runs a statement and gives its answer.
    pub(crate) fn query(&self, statement: &str) -> Value {
        let ended = self.finish(["query", "--json", statement]);
        assert_eq!(ended.code, Some(0), "{statement}: {ended:?}");
        ended.json()
    }

    /// The rows of a SELECT; none while the collection is unknown.
    pub(crate) fn rows(&self, statement: &str) -> Vec<Value> {
        let ended = self.finish(["query", "--json", statement]);
        if ended.code == Some(1) && ended.stderr.contains("no collection") {
            return Vec::new();
        }
        assert_eq!(ended.code, Some(0), "{statement}: {ended:?}");
        ended.json()["items"].as_array().expect("items").clone()
    }

    pub(crate) fn insert(&self, collection: &str, document: &Value) {
        let statement = format!("INSERT INTO {collection} DOCUMENTS (:document)");
        self.finish([
            "query",
            &statement,
            "--arg",
            &format!("document={document}"),
        ])
        .ok();
    }

    pub(crate) fn status(&self) -> Value {
        let ended = self.finish(["status", "--json"]);
        assert_eq!(ended.code, Some(0), "{ended:?}");
        ended.json()
    }

    /// What the device holds, by collection.
    pub(crate) fn held(&self) -> BTreeMap<String, Held> {
        let status = self.status();
        let collections = status["collections"].as_array().expect("collections");
        let held = collections.iter().map(|collection| {
            let text = |key: &str| collection[key].as_str().expect("a text").to_owned();
            let documents = collection["documents"].as_u64().expect("a count");
            (text("name"), (documents, text("digest")))
        });
        held.collect()
    }

    pub(crate) fn documents(&self, collection: &str) -> u64 {
        self.held().get(collection).map_or(0, |held| held.0)
    }

    pub(crate) fn peer_id(&self) -> String {
        self.status()["peer"]
            .as_str()
            .expect("a peer id")
            .to_owned()
    }

    /// Starts the daemon; its addresses are chosen by the system.
    pub(crate) fn start(&self, neighbours: &[&Daemon]) -> Daemon {
        let peers = neighbours.iter().flat_map(|peer| ["--peer", &peer.address]);
        self.start_with(&self.anywhere(), peers)
    }

    /// Starts the daemon where it was before.
    pub(crate) fn start_again(&self, before: &str, neighbours: &[&Daemon]) -> Daemon {
        let listen = before.split("/p2p/").next().expect("an address");
        let peers = neighbours.iter().flat_map(|peer| ["--peer", &peer.address]);
        self.start_with(listen, peers)
    }

    pub(crate) fn start_with<'a>(
        &self,
        listen: &str,
        more: impl IntoIterator<Item = &'a str>,
    ) -> Daemon {
        self.start_by(self.sedge(), listen, more)
    }

    /// Starts the daemon by a command that lacks its arguments.
    pub(crate) fn start_by<'a>(
        &self,
        mut run: Command,
        listen: &str,
        more: impl IntoIterator<Item = &'a str>,
    ) -> Daemon {
        let (log, announced) = (self.state.join("log"), self.state.join("announced"));
        let log_file = File::options().create(true).append(true).open(&log);
        run.args(["run", "--json", "--until-stdin-ends", "--no-discovery"]);
        run.args(["--listen", listen])
            .args(more)
            .stdin(Stdio::piped());
        run.stdout(File::create(&announced).expect("a file for its announcement"));
        run.stderr(log_file.expect("a log file"));
        let mut daemon = Daemon {
            child: Guarded(run.spawn().expect("the daemon starts")),
            device: self.clone(),
            log,
            address: String::new(),
        };
        // Not by asking: a command that comes before the daemon opens the store itself.
        daemon.address = wait_for("the daemon announces itself", || {
            daemon.assert_running();
            let line = fs::read_to_string(&announced).expect("its announcement");
            let announced: Value = serde_json::from_str(line.strip_suffix('\n')?).expect("JSON");
            Some(
                announced["listen"][0]
                    .as_str()
                    .expect("an address")
                    .to_owned(),
            )
        });
        daemon
    }
}

/// A running daemon, killed at the end of the test at the latest.
pub(crate) struct Daemon {
    child: Guarded,
    pub(crate) device: Device,
    log: PathBuf,
    /// Where it takes dials, with its peer id.
    pub(crate) address: String,
}

impl Daemon {
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).expect("the log can be read")
    }

    pub(crate) fn assert_running(&mut self) {
        let ended = self.child.0.try_wait().expect("the daemon's state");
        assert!(
            ended.is_none(),
            "the daemon ended: {ended:?}\n{}",
            self.log()
        );
    }

    /// SIGKILL: nothing is finished or tidied up.
    pub(crate) fn kill(mut self) {
        self.child.0.kill().expect("the daemon is killed");
        self.child.0.wait().expect("the daemon ended");
    }

    /// Sends a signal and waits for the end; gives the exit code.
    pub(crate) fn end_by(mut self, name: &str) -> Option<i32> {
        signal(&self.child.0, name);
        self.child.ended()
    }

    /// Closes standard input and waits for the end; gives the exit code.
    pub(crate) fn end_by_stdin(mut self) -> Option<i32> {
        drop(self.child.0.stdin.take());
        self.child.ended()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = fs::read_to_string(&self.log).unwrap_or_default();
            let lines: Vec<&str> = log.lines().rev().take(12).collect();
            eprintln!("the last lines of {}:", self.log.display());
            lines.iter().rev().for_each(|line| eprintln!("  {line}"));
        }
    }
}

/// `A – B – C`: each dials the one before, so A and C meet only through B.
pub(crate) fn line(a: &Device, b: &Device, c: &Device) -> [Daemon; 3] {
    let a = a.start(&[]);
    let b = b.start(&[&a]);
    let c = c.start(&[&b]);
    [a, b, c]
}

/// Waits until all devices hold the same of a collection, and that many documents.
pub(crate) fn wait_until_same(devices: &[&Device], collection: &str, documents: u64) {
    let what = format!("{documents} documents of {collection} at all devices, with equal digests");
    wait_until(&what, || {
        let held: Vec<_> = devices.iter().map(|device| device.held()).collect();
        let first = held[0].get(collection);
        let all = held.iter().all(|held| held.get(collection) == first);
        all && first.is_some_and(|held| held.0 == documents && !held.1.is_empty())
    });
}

/// Notes that this machine lacks what a test needs; `scripts/test` counts it as skipped.
pub(crate) fn skip(test: &str, reason: &str) {
    eprintln!("skipped: {test}: {reason}");
    if let Some(path) = std::env::var_os("SEDGE_TEST_SKIPS") {
        let file = File::options().create(true).append(true).open(path);
        writeln!(file.expect("the list of skips"), "{test}: {reason}").expect("a noted skip");
    }
}
