//! The commands do what they say: output shapes, round trips, files and their modes.

use crate::harness::{World, finish, skip, wait_for};
use serde_json::{Value, json};
use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// Values that a careless round trip would change.
const DELICATE: &str = concat!(
    r#"{"_id":"numbers","int":9007199254740993,"min":-9223372036854775808,"float":1.0,"big":1e300,"tiny":5e-324,"zero":-0.0}"#,
    "\n",
    r#"{"_id":"texts","empty":"","line":"a\nb","quote":"\"\\","wide":"žluťoučký 🦆","nul":"\u0000","":"no name"}"#,
    "\n",
    r#"{"_id":{"shop":"x","till":3},"nothing":null,"yes":true,"map":{},"list":[],"deep":{"a":{"b":[1,{"c":[null]}]}}}"#,
    "\n",
    r#"{"_id":"bare"}"#,
    "\n",
    r#"{"_id":"typed","n":{"$counter":7},"t":{"$text":"grün"},"b":{"$bytes":"AP8="},"at":{"$timestamp":"2026-11-23T12:00:00.000Z"},"#,
    r#""file":{"$attachment":{"id":"0000000000000000000000000000000000000000000000000000000000000001","len":3,"metadata":{"name":"a"}}},"#,
    r#""odd":{"$map":{"$counter":"none"}},"other":{"$unknown":1}}"#,
    "\n",
);

fn keys(object: &Value) -> Vec<&str> {
    let mut keys: Vec<&str> = object
        .as_object()
        .expect("an object")
        .keys()
        .map(String::as_str)
        .collect();
    keys.sort_unstable();
    keys
}

/// Goal: export and import give the same content, with a daemon and without.
#[test]
fn export_and_import_are_a_round_trip() {
    let world = World::new();
    let (from, to) = (world.device("from"), world.device("to"));
    let delicate = world.file("delicate.ndjson", DELICATE);
    let delicate = delicate.to_str().unwrap();
    from.finish(["import", delicate, "--collection", "d"]).ok();
    let offline = from.finish(["export", "--collection", "d"]).ok();
    let copy = world.file("copy.ndjson", &offline);
    to.finish(["import", copy.to_str().unwrap(), "--collection", "d"])
        .ok();
    assert_eq!(from.held(), to.held());
    assert_eq!(from.documents("d"), 5);
    let read = |text: &str| -> Vec<Value> {
        let mut values: Vec<Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        values.sort_by_key(|value| value["_id"].to_string());
        values
    };
    assert_eq!(
        read(&offline),
        read(DELICATE),
        "the export has the values that were imported"
    );

    let _daemons = [from.start(&[]), to.start(&[])];
    assert_eq!(from.finish(["export", "--collection", "d"]).ok(), offline);
    let file = world.path().join("file.ndjson");
    from.finish([
        "export",
        "--collection",
        "d",
        "--output",
        file.to_str().unwrap(),
    ])
    .ok();
    assert_eq!(fs::read_to_string(&file).unwrap(), offline);
    let to_file = ["export", "--collection", "d", "--output"];
    let told = from.finish(
        to_file
            .into_iter()
            .chain([file.to_str().unwrap(), "--json"]),
    );
    assert_eq!(told.json(), json!({ "collection": "d", "documents": 5 }));
    assert_eq!(fs::read_to_string(&file).unwrap(), offline);
    to.finish(["import", file.to_str().unwrap(), "--collection", "again"])
        .ok();
    let held = to.held();
    assert_eq!(held["again"], held["d"], "a digest is over the content");
    let again = to
        .finish([
            "import",
            file.to_str().unwrap(),
            "--collection",
            "again",
            "--json",
        ])
        .json();
    assert_eq!(
        (&again["written"], &again["unchanged"]),
        (&json!(0), &json!(5))
    );
}

/// Goal: a whole pipe, as people write it, ends without a word when its reader has seen enough.
#[test]
fn a_pipe_that_closes_is_no_failure() {
    let world = World::new();
    let device = world.device("d");
    let lines: String = (0..9_000)
        .map(|n| format!("{{\"_id\":\"{n}\",\"text\":\"some more bytes\"}}\n"))
        .collect();
    let file = world.file("many.ndjson", lines);
    device
        .finish(["import", file.to_str().unwrap(), "--collection", "many"])
        .ok();
    let read_little = |arguments: &[&str]| {
        let mut command = device.sedge();
        command
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut first = [0; 100];
        child.stdout.take().unwrap().read_exact(&mut first).unwrap();
        child.wait_with_output().unwrap()
    };
    let quiet = |output: Output| {
        assert_eq!(
            (output.status.code(), output.stderr.as_slice()),
            (Some(0), &b""[..])
        );
    };
    let commands = [
        &["export", "--collection", "many"][..],
        &["query", "SELECT * FROM many"],
        &["query", "SELECT * FROM many", "--json"],
    ];
    commands
        .iter()
        .for_each(|arguments| quiet(read_little(arguments)));
    let _daemon = device.start(&[]);
    commands
        .iter()
        .for_each(|arguments| quiet(read_little(arguments)));
}

/// Goal: `query --json` has the documented shape for every kind of statement, with and without a daemon.
#[test]
fn the_answer_of_a_query_has_the_documented_shape() {
    let world = World::new();
    for running in [false, true] {
        let device = world.device(if running { "running" } else { "resting" });
        let _daemon = running.then(|| device.start(&[]));
        let statements = [
            (
                "INSERT INTO cars DOCUMENTS ({'_id': 'a', 'n': 1}), ({'_id': 'b'})",
                "insert",
                json!(["a", "b"]),
                json!([]),
            ),
            (
                "SELECT _id AS id, n AS number FROM cars ORDER BY _id",
                "select",
                json!([]),
                json!([{"id": "a", "number": 1}, {"id": "b"}]),
            ),
            (
                "UPDATE cars SET n = 5 WHERE _id = 'b'",
                "update",
                json!(["b"]),
                json!([]),
            ),
            (
                "DELETE FROM cars WHERE _id = 'a'",
                "delete",
                json!(["a"]),
                json!([]),
            ),
            (
                "SELECT * FROM cars",
                "select",
                json!([]),
                json!([{"_id": "b", "n": 5}]),
            ),
        ];
        let mut transaction = 0;
        for (statement, kind, mutated, items) in statements {
            let answer = device.query(statement);
            let expected = [
                "items",
                "mutatedDocumentIds",
                "queryType",
                "totalWarningsCount",
                "transactionId",
                "warnings",
            ];
            assert_eq!(keys(&answer), expected);
            assert_eq!(answer["queryType"], json!(kind), "{statement}");
            assert_eq!(answer["mutatedDocumentIds"], mutated, "{statement}");
            assert_eq!(answer["items"], items, "{statement}");
            assert_eq!(
                answer["totalWarningsCount"],
                json!(answer["warnings"].as_array().unwrap().len())
            );
            let own = answer["transactionId"].as_u64().unwrap();
            assert!(
                if kind == "select" {
                    own == transaction
                } else {
                    own > transaction
                },
                "{statement}: {answer}"
            );
            transaction = own;
        }
        assert_eq!(
            device.finish(["query", "SELECT n FROM cars"]).ok(),
            "{\"n\":5}\n"
        );
        let argument = device.finish([
            "query",
            "SELECT n FROM cars WHERE n = :n",
            "--arg",
            "n=5",
            "--json",
        ]);
        assert_eq!(argument.json()["items"], json!([{"n": 5}]));
    }
}

/// Goal: `status` tells what the device is and holds, as JSON and as text, with and without a daemon.
#[test]
fn status_tells_what_the_device_is_and_holds() {
    let world = World::new();
    let device = world.device("till-1");
    device.insert("cars", &json!({"_id": "a"}));
    device.insert("bikes", &json!({"_id": "a"}));
    let resting = device.status();
    let expected = [
        "app",
        "collections",
        "listen",
        "name",
        "peer",
        "peers",
        "running",
        "transactionId",
        "version",
    ];
    // What was written waits for a daemon, which seals it at its start.
    assert_eq!(resting["withheld"]["unsealed"], 2);
    let told = keys(&resting).into_iter().filter(|key| *key != "withheld");
    assert_eq!(told.collect::<Vec<_>>(), expected);
    assert_eq!(
        (&resting["app"], &resting["name"], &resting["running"]),
        (&json!("shop"), &json!("till-1"), &json!(false))
    );
    let collections = resting["collections"].as_array().unwrap();
    assert_eq!(collections.len(), 2);
    assert_eq!(keys(&collections[0]), ["digest", "documents", "name"]);

    let daemon = device.start(&[]);
    let running = device.status();
    assert_eq!(keys(&running), expected);
    assert_eq!(
        (&running["peer"], &running["collections"]),
        (&resting["peer"], &resting["collections"])
    );
    assert_eq!(running["listen"], json!([daemon.address]));
    let text = device.finish(["status"]).ok();
    for part in [
        "shop",
        "till-1",
        &device.peer_id(),
        "running, 0 neighbours",
        &daemon.address,
        "cars",
        "bikes",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert_eq!(daemon.end_by_stdin(), Some(0));
    let start = format!(
        "not running; start it with: sedge run --state '{}'",
        device.state.display()
    );
    let text = device.finish(["status"]).ok();
    assert!(text.contains(&start), "{text}");
}

/// Goal: the global flags and the variable work in every place.
#[test]
fn global_flags_stand_before_or_after_the_command() {
    let world = World::new();
    let device = world.device("d");
    let state = device.state.to_str().unwrap();
    for arguments in [
        ["--json", "--state", state, "status"],
        ["--state", state, "status", "--json"],
        ["status", "--json", "--state", state],
        ["--json", "status", "--state", state],
    ] {
        let ended = finish(world.sedge().args(arguments));
        assert_eq!(ended.code, Some(0), "{arguments:?}: {ended:?}");
        assert_eq!(ended.json()["name"], json!("d"));
    }
    let by_variable = finish(
        world
            .sedge()
            .arg("status")
            .arg("--json")
            .env("SEDGE_STATE", state),
    );
    assert_eq!(by_variable.json()["name"], json!("d"));
}

/// Goal: every command's help has an example, and so has the program's.
#[test]
fn every_help_has_an_example() {
    let world = World::new();
    let all = finish(world.sedge().arg("--help")).ok();
    let listed = all.lines().skip_while(|line| *line != "Commands:").skip(1);
    let commands: Vec<&str> = listed
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split_whitespace().next())
        .filter(|command| *command != "help")
        .collect();
    for command in [
        "demo", "init", "run", "query", "watch", "import", "export", "status", "peers",
    ] {
        assert!(commands.contains(&command), "{command} in {all}");
    }
    assert!(
        all.contains("Example") && all.contains("Exit codes"),
        "{all}"
    );
    for command in commands {
        let help = finish(world.sedge().args([command, "--help"])).ok();
        assert!(
            help.contains("Example") && help.contains(&format!("sedge {command}")),
            "{help}"
        );
    }
}

/// Goal: the line that `init` proposes makes a device that meets the first one.
#[test]
fn the_proposed_line_joins() {
    let world = World::new();
    let first = world.no_device("first");
    let made = first.finish(["init", "--app", "shop", "--json"]).json();
    assert_eq!(keys(&made), ["app", "join", "name", "state"]);
    let join = made["join"].as_str().unwrap();
    let second = world.no_device("second");
    let program = Path::new(env!("CARGO_BIN_EXE_sedge")).parent().unwrap();
    let mut shell = Command::new("sh");
    shell
        .args(["-c", join])
        .env("SEDGE_STATE", &second.state)
        .env("PATH", joined_path(program));
    let text = finish(&mut shell).ok();
    assert!(text.contains("sedge run") && text.contains(join), "{text}");
    let daemon = first.start(&[]);
    let _other = second.start(&[&daemon]);
    wait_for("the two meet", || {
        (first.status()["peers"] == json!(1)).then_some(())
    });
}

fn joined_path(first: &Path) -> std::ffi::OsString {
    let rest = std::env::var_os("PATH").unwrap_or_default();
    let all = std::iter::once(first.to_owned()).chain(std::env::split_paths(&rest));
    std::env::join_paths(all).unwrap()
}

/// Goal: on a terminal, colours are shown, and `NO_COLOR` takes them away.
#[test]
fn no_color_is_honoured_on_a_terminal() {
    if Command::new("script").arg("--version").output().is_err() {
        skip(
            "tool::no_color_is_honoured_on_a_terminal",
            "there is no `script` to make a terminal with",
        );
        return;
    }
    let world = World::new();
    let device = world.device("d");
    let program = env!("CARGO_BIN_EXE_sedge");
    let state = device.state.display();
    for (line, expected) in [
        (format!("'{program}' nonsense"), "unrecognized"),
        (format!("'{program}' --help"), "Examples"),
        // Standard input ends at once, so the daemon stops by itself.
        (
            format!(
                "'{program}' --state '{state}' run --until-stdin-ends --no-discovery --listen /ip4/127.0.0.1/tcp/0 </dev/null"
            ),
            "stopping",
        ),
    ] {
        let shown = |no_color: &str| {
            let mut script = Command::new("script");
            script
                .args(["-qec", &line, "/dev/null"])
                .env("TERM", "xterm-256color")
                .env("NO_COLOR", no_color);
            script
                .env_remove("SEDGE_LOG")
                .current_dir(world.path())
                .stdin(Stdio::null());
            String::from_utf8_lossy(&script.output().unwrap().stdout).into_owned()
        };
        let (colored, plain) = (shown(""), shown("1"));
        assert!(
            colored.contains(expected) && plain.contains(expected),
            "{colored}{plain}"
        );
        assert!(
            colored.contains("\x1b["),
            "colours on a terminal: {colored:?}"
        );
        assert!(!plain.contains("\x1b["), "no colours: {plain:?}");
    }
}
