//! `sedge watch` follows a result for as long as its daemon runs.

use crate::harness::{Device, World, skip, wait_for, wait_until};
use crate::processes::{Guarded, signal};
use serde_json::{Value, json};
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// A `sedge watch` that writes into files.
struct Watch {
    child: Guarded,
    out: PathBuf,
    errors: PathBuf,
}

impl Watch {
    fn start(world: &World, device: &Device, arguments: &[&str]) -> Self {
        let [out, errors] = ["watch.out", "watch.err"].map(|name| world.path().join(name));
        let mut command = device.sedge();
        command.arg("watch").args(arguments);
        command.stdout(File::create(&out).expect("a file"));
        command.stderr(File::create(&errors).expect("a file"));
        let child = Guarded(command.spawn().expect("sedge watch starts"));
        Self { child, out, errors }
    }

    /// The `index`th line, once it is whole.
    fn line(&self, index: usize) -> Value {
        let line = wait_for("a line of sedge watch", || {
            let text = fs::read_to_string(&self.out).expect("its output");
            let whole = text.split_inclusive('\n').nth(index)?;
            whole.strip_suffix('\n').map(str::to_owned)
        });
        serde_json::from_str(&line).expect("JSON")
    }

    fn errors(&self) -> String {
        fs::read_to_string(&self.errors).expect("its errors")
    }
}

/// Goal: the first line is the whole result, then comes a line for each change, whether JSON is asked for or the output is
/// just no terminal; Ctrl-C ends it, and is no failure.
#[test]
fn watch_tells_the_result_and_what_changes_it() {
    let world = World::new();
    let device = world.device("d");
    device.insert("cars", &json!({"_id": "a", "km": 1}));
    device.insert("cars", &json!({"_id": "b", "km": 5}));
    let _daemon = device.start(&[]);
    let statement = "SELECT _id, km + 0 AS km FROM cars WHERE km < :most ORDER BY km";
    for (round, more) in [&["--json"][..], &[]].into_iter().enumerate() {
        let arguments = [&[statement, "--arg", "most=10000000000"][..], more].concat();
        let mut watch = Watch::start(&world, &device, &arguments);
        let first = watch.line(0);
        assert_eq!(first["items"].as_array().unwrap().len(), 2 + round);
        assert_eq!(first["moved"], json!([]));
        device.query("UPDATE cars SET km = 9 WHERE _id = 'a'");
        let update = watch.line(1);
        if round == 0 {
            assert_eq!(update["updated"], json!([{"_id": "a", "km": 9}]));
            assert_eq!(update["updatedAt"], json!([1]));
            assert_eq!(update["moved"].as_array().unwrap().len(), 1);
            assert_eq!(update.get("items"), None);
            device.insert("cars", &json!({"_id": "c", "km": 0}));
            assert_eq!(watch.line(2)["insertedAt"], json!([0]));
        }
        assert_eq!(watch.errors(), "");
        signal(&watch.child.0, "INT");
        assert_eq!(watch.child.ended(), Some(0));
        device.query("UPDATE cars SET km = 1 WHERE _id = 'a'");
    }
}

/// Goal: without a daemon it says how to start one; a wrong statement is refused; when the daemon ends or dies it fails and
/// says so.
#[test]
fn watch_without_a_daemon_says_what_to_do() {
    let world = World::new();
    let device = world.device("d");
    let watch = ["watch", "SELECT * FROM cars"];
    let resting = device.finish(watch);
    assert!(
        resting
            .refused()
            .contains("not running; start it with: sedge run")
    );
    let daemon = device.start(&[]);
    let wrong = device.finish(["watch", "DELETE FROM cars"]);
    assert!(wrong.refused().contains("only a SELECT"));
    let missing = device.finish(["watch", "SELECT * FROM cars WHERE n = :n"]);
    assert!(missing.refused().contains(":n"), "{missing:?}");
    let mut running = Some(daemon);
    for is_killed in [false, true] {
        let daemon = running.take().unwrap_or_else(|| device.start(&[]));
        let mut watch = Watch::start(&world, &device, &watch[1..]);
        watch.line(0);
        match is_killed {
            true => daemon.kill(),
            false => assert_eq!(daemon.end_by("TERM"), Some(0)),
        }
        assert_eq!(watch.child.ended(), Some(1));
        let reason = watch.errors();
        assert_eq!(reason.lines().count(), 1, "{reason}");
        let expected = if is_killed {
            "broke off"
        } else {
            "start it again with: sedge run"
        };
        assert!(reason.contains(expected), "{reason}");
    }
}

/// Goal: on a terminal the rows are shown as they are, with a mark at what changed.
#[test]
fn watch_shows_a_listing_on_a_terminal() {
    if Command::new("script").arg("--version").output().is_err() {
        skip(
            "watch::watch_shows_a_listing_on_a_terminal",
            "there is no `script` to make a terminal with",
        );
        return;
    }
    let world = World::new();
    let device = world.device("d");
    device.insert("cars", &json!({"_id": "a", "km": 1}));
    let _daemon = device.start(&[]);
    let line = format!(
        "'{}' --state '{}' watch 'SELECT * FROM cars'",
        env!("CARGO_BIN_EXE_sedge"),
        device.state.display()
    );
    let shown = world.path().join("shown");
    let mut script = Command::new("script");
    script
        .args(["-qec", &line, "/dev/null"])
        .env("TERM", "xterm");
    script
        .stdin(Stdio::piped())
        .stdout(File::create(&shown).expect("a file"));
    let _terminal = Guarded(script.spawn().expect("script starts"));
    let has = |part: &str| {
        let text = String::from_utf8_lossy(&fs::read(&shown).expect("its output")).into_owned();
        text.contains(part)
    };
    wait_until("the first result is shown", || has("1 row; Ctrl-C ends"));
    assert!(has("_id  km"));
    device.query("UPDATE cars SET km = 2 WHERE _id = 'a'");
    wait_until("the change is marked", || has("~ a    2"));
}
