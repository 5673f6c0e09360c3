//! `sedge demo`.

use crate::harness::{Ended, World, finish, wait_for, wait_until};
use crate::processes::{Guarded, processes_naming, signal};
use serde_json::{Value, json};
use std::fs::{self, File};
use std::process::{Command, Stdio};

/// Lines of which 3, 5, 6, 7, 8 and 9 cannot be imported; 4 is empty, 10 replaces 1.
const SOME_BAD: &[u8] = b"{\"_id\":\"a\",\"n\":1}\n{\"_id\":{\"x\":1,\"y\":\"z\"},\"n\":2}\nnot json\n\n[1,2]\n\
    {\"_id\":\"d\",\"_id\":\"e\"}\n{\"_id\":\"\xff\"}\n{\"_id\":7}\n{\"_id\":\"\"}\n{\"_id\":\"a\",\"n\":3}\n";
const BAD_LINES: [u64; 6] = [3, 5, 6, 7, 8, 9];

fn assert_nothing_left(world: &World) {
    wait_until("no process of the demo is left", || {
        processes_naming(world.path()).is_empty()
    });
    let left = fs::read_dir(world.path())
        .unwrap()
        .flatten()
        .map(|entry| entry.file_name());
    let left: Vec<_> = left
        .filter(|name| name.to_string_lossy().starts_with("sedge-demo"))
        .collect();
    assert!(left.is_empty(), "no folder of the demo is left: {left:?}");
}

fn assert_same_everywhere(report: &Value, peers: usize, documents: u64) {
    assert_eq!(report["peers"], json!(peers));
    assert_eq!(report["documents"], json!(documents));
    assert_eq!(report["missing"], json!(0));
    assert_eq!(report["converged"], json!(true));
    let digests = report["digests"].as_array().expect("digests");
    assert_eq!(digests.len(), peers);
    let first = digests[0].as_str().expect("a digest");
    assert!(
        !first.is_empty() && digests.iter().all(|digest| digest == first),
        "{report}"
    );
}

fn report_of(ended: &Ended) -> Value {
    assert_eq!(
        ended.stderr, "",
        "with --json the line on standard output says it all"
    );
    ended.json()
}

/// Goal: the documented JSON line, with the bundled airports, and nothing left behind.
#[test]
fn the_airports_reach_all_peers() {
    let world = World::new();
    let ended = finish(world.sedge().args(["demo", "--once", "--json"]));
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let report = report_of(&ended);
    let mut fields: Vec<&String> = report.as_object().expect("an object").keys().collect();
    fields.sort();
    let expected = [
        "converged",
        "digests",
        "documents",
        "import_docs_per_s",
        "live_edit_ms",
        "missing",
        "peers",
        "rejected",
        "sync_seconds",
    ];
    assert_eq!(fields, expected);
    assert_same_everywhere(&report, 3, 3_376);
    assert_eq!(report["rejected"], json!(0));
    for number in [
        &report["import_docs_per_s"],
        &report["sync_seconds"],
        &report["live_edit_ms"]["p50"],
        &report["live_edit_ms"]["p99"],
    ] {
        assert!(
            number.as_f64().is_some_and(|number| number > 0.0),
            "{report}"
        );
    }
    assert_nothing_left(&world);
}

/// Goal: bad lines are told with their numbers, the rest reaches all of five peers, the exit code is 3.
#[test]
fn bad_lines_are_told_and_the_rest_is_carried() {
    let world = World::new();
    let data = world.file("films.ndjson", SOME_BAD);
    let demo = || {
        let mut demo = world.sedge();
        demo.args(["demo", "--once", "--peers", "5", "--data"])
            .arg(&data);
        demo
    };
    let ended = finish(demo().arg("--json"));
    assert_eq!(ended.code, Some(3), "{ended:?}");
    let report = report_of(&ended);
    assert_same_everywhere(&report, 5, 2);
    assert_eq!(report["rejected"], json!(BAD_LINES.len()));

    let ended = finish(&mut demo());
    assert_eq!(ended.code, Some(3), "{ended:?}");
    assert!(ended.stdout.contains("2 documents in films"), "{ended:?}");
    for line in 1..=10 {
        let told = ended.stderr.contains(&format!("sedge: line {line} "));
        assert_eq!(
            told,
            BAD_LINES.contains(&line),
            "line {line} in {}",
            ended.stderr
        );
    }
    assert_nothing_left(&world);
}

/// Goal: an empty file is no failure.
#[test]
fn an_empty_file_is_no_failure() {
    let world = World::new();
    let data = world.file("empty.ndjson", "");
    let ended = finish(
        world
            .sedge()
            .args(["demo", "--once", "--json", "--peers", "2", "--data"])
            .arg(data),
    );
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let report = report_of(&ended);
    assert_eq!(
        (&report["documents"], &report["converged"]),
        (&json!(0), &json!(true))
    );
}

/// Goal: a file of which nothing can be imported is a failure that says so, never peers that hold the same nothing.
#[test]
fn nothing_to_import_is_a_failure() {
    let world = World::new();
    let bad = world.file("bad.ndjson", "nonsense\n[1]\n");
    let packed = world.file("packed.ndjson", b"\x1f\x8b\x08\0\n\n");
    for (data, rejected, part) in [(bad, 2, "line 1: not JSON"), (packed, 0, "gzip -dk")] {
        let mut demo = world.sedge();
        demo.args(["demo", "--once", "--peers", "2", "--data"])
            .arg(&data);
        let ended = finish(&mut demo);
        assert_eq!(
            (ended.code, ended.stdout.as_str()),
            (Some(1), ""),
            "{ended:?}"
        );
        assert!(
            ended
                .stderr
                .lines()
                .last()
                .expect("a reason")
                .contains(part),
            "{ended:?}"
        );
        let ended = finish(demo.arg("--json"));
        assert_eq!(ended.code, Some(1), "{ended:?}");
        let report = report_of(&ended);
        assert_eq!(
            (
                &report["documents"],
                &report["rejected"],
                &report["converged"]
            ),
            (&json!(0), &json!(rejected), &json!(false))
        );
        assert!(
            report["error"]
                .as_str()
                .is_some_and(|error| error.contains(part)),
            "{report}"
        );
    }
    assert_nothing_left(&world);
}

/// Goal: a demo uses no state folder: a flag that names one is wrong usage, the variable of the user's device is not.
#[test]
fn a_state_folder_is_not_ignored() {
    let world = World::new();
    let mut demo = world.sedge();
    demo.args(["demo", "--once", "--json", "--peers", "2"]);
    let by_variable = finish(demo.env("SEDGE_STATE", world.path()));
    assert_eq!(by_variable.code, Some(0), "{by_variable:?}");
    assert_same_everywhere(&report_of(&by_variable), 2, 3_376);
    let by_flag = finish(demo.args(["--state", "d"]));
    assert_eq!(by_flag.code, Some(2), "{by_flag:?}");
    let error = &report_of(&by_flag)["error"];
    assert!(
        error
            .as_str()
            .is_some_and(|error| error.contains("--state")),
        "{error}"
    );
    assert_nothing_left(&world);
}

/// Goal: the time limit holds while the peers start.
#[test]
fn a_slow_start_is_limited() {
    let world = World::new();
    let data = world.file("one.ndjson", "{\"_id\":\"a\"}\n");
    // Sixteen peers start one after the other, each with a key derivation of 32 MiB.
    let mut demo = world.sedge();
    demo.args([
        "demo",
        "--once",
        "--json",
        "--peers",
        "16",
        "--timeout",
        "1",
        "--data",
    ]);
    let ended = finish(demo.arg(data));
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let report = report_of(&ended);
    assert_eq!(report["converged"], json!(false));
    assert!(
        report["error"]
            .as_str()
            .is_some_and(|error| error.contains("1 second")),
        "{report}"
    );
    let started = report["digests"].as_array().expect("digests").len();
    assert!(started < 16, "it did not wait for all of them: {report}");
    assert_nothing_left(&world);
}

/// Goal: a file that can't be read is told in one line, or in the one line of JSON.
#[test]
fn unreadable_data_is_told() {
    let world = World::new();
    let folder = world.path().to_str().unwrap();
    for data in ["missing.ndjson", folder, "/proc/self/mem"] {
        let demo = |json: &[&str]| {
            finish(
                world
                    .sedge()
                    .args(["demo", "--once", "--data", data])
                    .args(json),
            )
        };
        let ended = demo(&["--json"]);
        assert_eq!(ended.code, Some(1), "{ended:?}");
        let report = report_of(&ended);
        assert!(
            report["error"]
                .as_str()
                .is_some_and(|error| error.contains(data)),
            "{report}"
        );
        assert_eq!(report["converged"], json!(false));
        let ended = demo(&[]);
        assert_eq!(
            (ended.code, ended.stdout.as_str()),
            (Some(1), ""),
            "{ended:?}"
        );
        let last = ended.stderr.lines().last().expect("a reason");
        assert!(
            last.starts_with("sedge: ") && last.contains(data),
            "{ended:?}"
        );
        assert!(!ended.stderr.contains("panicked"), "{ended:?}");
    }
    assert_nothing_left(&world);
}

/// Goal: peers that don't get there in time are a failure that says so, and names no place that is gone.
#[test]
fn too_little_time_is_told() {
    let world = World::new();
    let lines: String = (0..200_000)
        .map(|n| format!("{{\"_id\":\"{n}\",\"n\":{n}}}\n"))
        .collect();
    let data = world.file("many.ndjson", lines);
    let ended = finish(
        world
            .sedge()
            .args(["demo", "--once", "--json", "--timeout", "1", "--data"])
            .arg(data),
    );
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let report = report_of(&ended);
    assert_eq!(report["converged"], json!(false));
    let error = report["error"].as_str().expect("an error");
    assert!(
        error.contains("1 second") && error.contains("--timeout"),
        "{error}"
    );
    assert_nothing_left(&world);
    let places = error
        .split_whitespace()
        .filter(|word| word.starts_with('/'));
    let gone: Vec<&str> = places.filter(|place| !fs::exists(place).unwrap()).collect();
    assert!(
        gone.is_empty(),
        "the message sends to what is gone: {error}"
    );
}

/// Goal: the time limit and Ctrl-C hold also while the data is slow to come, as from a pipe.
#[test]
fn slow_data_holds_up_neither_the_limit_nor_ctrl_c() {
    for interrupted in [false, true] {
        let world = World::new();
        let data = world.path().join("slow.ndjson");
        assert!(
            Command::new("mkfifo")
                .arg(&data)
                .status()
                .unwrap()
                .success()
        );
        let limit = if interrupted { "3600" } else { "1" };
        let mut demo = world.sedge();
        demo.args([
            "demo",
            "--once",
            "--json",
            "--peers",
            "2",
            "--timeout",
            limit,
            "--data",
        ])
        .arg(&data);
        let mut demo = Guarded(
            demo.stdout(Stdio::piped())
                .stderr(Stdio::null())
                .spawn()
                .unwrap(),
        );
        // Opening waits for the reader; no line ever comes.
        let held_open = File::options().write(true).open(&data).unwrap();
        if interrupted {
            wait_until("the peers run", || processes_naming(world.path()).len() > 2);
            signal(&demo.0, "INT");
        }
        assert_eq!(demo.ended(), Some(1), "interrupted: {interrupted}");
        drop(held_open);
        assert_nothing_left(&world);
    }
}

/// An interactive demo that has shown its results.
struct Shown {
    world: World,
    demo: Guarded,
    /// The lines that it proposes for another terminal.
    proposals: Vec<String>,
}

fn show() -> Shown {
    let world = World::new();
    let data = world.file("data.ndjson", SOME_BAD);
    let out = world.path().join("out");
    let mut demo = world.sedge();
    demo.args(["demo", "--data"])
        .arg(data)
        .args(["--collection", "the \"best\" films"]);
    demo.stdout(File::create(&out).unwrap())
        .stderr(Stdio::null());
    let mut demo = Guarded(demo.spawn().unwrap());
    let shown = wait_for("the demo invites to query", || {
        assert!(
            demo.0.try_wait().unwrap().is_none(),
            "it goes on until Ctrl-C"
        );
        let shown = fs::read_to_string(&out).unwrap();
        shown.contains("Ctrl-C stops all of them").then_some(shown)
    });
    let proposals = shown.lines().filter(|line| line.contains(" query "));
    let proposals: Vec<String> = proposals.map(str::to_owned).collect();
    assert_eq!(proposals.len(), 3, "{shown}");
    assert!(
        processes_naming(world.path()).len() >= 3,
        "the demo and its peers run"
    );
    Shown {
        world,
        demo,
        proposals,
    }
}

/// Goal: the proposed queries work from another terminal; Ctrl-C stops all and leaves nothing.
#[test]
fn ctrl_c_stops_everything() {
    let Shown {
        world,
        mut demo,
        proposals,
    } = show();
    for proposal in proposals {
        let ended = finish(
            Command::new("sh")
                .args(["-c", &proposal])
                .env("TMPDIR", world.path()),
        );
        let mut rows: Vec<Value> = Vec::new();
        for line in ended.ok().lines() {
            rows.push(serde_json::from_str(line).unwrap());
        }
        assert_eq!(rows.len(), 2, "{proposal}: {rows:?}");
    }
    signal(&demo.0, "INT");
    assert_eq!(demo.ended(), Some(3), "some lines were rejected");
    assert_nothing_left(&world);
}

/// Goal: peers end with the demo, however it ends.
#[test]
fn no_peer_outlives_a_killed_demo() {
    for name in ["KILL", "TERM", "HUP"] {
        let Shown {
            world, mut demo, ..
        } = show();
        signal(&demo.0, name);
        demo.ended();
        wait_until("no process of the demo is left", || {
            processes_naming(world.path()).is_empty()
        });
    }
}
