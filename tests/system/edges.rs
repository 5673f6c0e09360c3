//! Bad input: one line that says what to do, an exit code, and nothing lost.

use crate::filled::Filled;
use crate::harness::{Device, World, finish};
use serde_json::{Value, json};
use std::fs;
use std::net::TcpListener;

/// Goal: wrong statements are refused with the place and a proposal, with and without a daemon.
#[test]
fn wrong_statements_are_refused() {
    let world = World::new();
    let filled = Filled::new(&world);
    for running in [false, true] {
        let _daemon = running.then(|| filled.device.start(&[]));
        for (statement, parts) in [
            ("SELECT * FRM cars", &["line 1, column 10", "FROM"][..]),
            ("SELECT *\nFROM cars\nWHERE", &["line 3, column 6"]),
            (
                "SELECT * FROM cars WHERE (_id = 'a'",
                &["line 1, column 36", ")"],
            ),
            ("SELECT * FROM cars WHERE _id = 'a", &["line 1, column 32"]),
            ("", &["line 1, column 1", "SELECT"]),
            ("DROP cars", &["line 1, column 6", "expected INDEX"]),
            ("SELECT * FROM car", &["\"car\"", "cars"]),
            ("UPDATE car SET n = 1", &["\"car\"", "cars"]),
            ("DELETE FROM car", &["\"car\"", "cars"]),
            ("SELECT * FROM cars WHERE _id = :id", &["column 32", ":id"]),
            ("UPDATE cars SET _id = 'z' WHERE _id = 'a'", &["_id"]),
            ("INSERT INTO cars DOCUMENTS ({'_id': 'a'})", &["a"]),
            (
                "INSERT INTO cars DOCUMENTS ({'_id': 7})",
                &["_id", "string"],
            ),
            (
                "INSERT INTO cars DOCUMENTS ({'_id': 'new'}), ({'_id': 7})",
                &["_id"],
            ),
            (
                "DELETE FROM cars; DELETE FROM cars",
                &["line 1, column 19", "one statement"],
            ),
        ] {
            filled.refuses(&["query", statement], parts);
        }
        let select = "SELECT * FROM cars WHERE _id = :id";
        filled.refuses(
            &["query", select, "--arg", "id=1", "--arg", "od=1"],
            &[":od"],
        );
        filled.refuses(&["export", "--collection", "car"], &["\"car\"", "cars"]);
    }
}

/// Goal: arguments that can't be meant are wrong usage, told once, before anything is done.
#[test]
fn contradictory_arguments_are_wrong_usage() {
    let world = World::new();
    let filled = Filled::new(&world);
    let lines = world.file("lines.ndjson", "{\"_id\":\"a\"}\n{\"_id\":\"b\"}\n");
    let lines = lines.to_str().unwrap();
    let twice = [
        "query",
        "SELECT :n FROM cars",
        "--arg",
        "n=1",
        "--arg",
        ":n=2",
    ];
    for (arguments, part) in [
        (&twice[..], "--arg n is given twice"),
        (&["import", lines, "--collection", "system:x"], "system:"),
        (&["demo", "--once", "--collection", "system:x"], "system:"),
    ] {
        let ended = match arguments[0] {
            "demo" => finish(world.sedge().args(arguments)),
            _ => filled.device.finish(arguments),
        };
        assert_eq!(
            (ended.code, ended.stdout.as_str()),
            (Some(2), ""),
            "{ended:?}"
        );
        assert_eq!(
            ended.stderr.matches(part).count(),
            1 + usize::from(part == "system:") * 2,
            "{ended:?}"
        );
    }
    filled.assert_unchanged();
}

/// Goal: without a daemon `sedge peers` says how to start this device's, in the words of `sedge status`.
#[test]
fn peers_without_a_daemon_says_how_to_start_it() {
    let world = World::new();
    let device = world.device("d");
    let reason = device.finish(["peers"]).refused().to_owned();
    let how = reason.strip_prefix("the daemon is ").unwrap();
    assert!(
        how.contains(&format!("--state '{}'", device.state.display())),
        "{how}"
    );
    assert!(device.finish(["status"]).ok().contains(how), "{how}");
}

/// Goal: rejected lines are told in the order of the file, whoever rejected them.
#[test]
fn rejected_lines_are_told_in_order() {
    let world = World::new();
    let device = world.device("d");
    let lines = world.file(
        "mixed.ndjson",
        "{\"_id\":7}\nnonsense\n{\"_id\":8}\n[]\n{\"_id\":\"good\"}\n",
    );
    let import = ["import", lines.to_str().unwrap(), "--collection", "mixed"];
    let text = device.finish(import);
    assert_eq!(text.code, Some(3), "{text:?}");
    let told: Vec<_> = text.stderr.lines().map(|line| &line[..14]).collect();
    assert_eq!(
        told,
        [
            "sedge: line 1:",
            "sedge: line 2:",
            "sedge: line 3:",
            "sedge: line 4:"
        ]
    );
    let told = device.finish(import.into_iter().chain(["--json"])).json();
    let rejected = told["rejectedLines"].as_array().unwrap();
    let numbers: Vec<_> = rejected.iter().map(|bad| bad["line"].clone()).collect();
    assert_eq!(numbers, [1, 2, 3, 4]);
}

/// Goal: input files that can't be read, or are no text, are refused in one line before anything is written.
#[test]
fn unreadable_files_are_refused() {
    let world = World::new();
    let filled = Filled::new(&world);
    let folder = world.path().to_str().unwrap();
    let good = world.file("good.ndjson", "{\"_id\":\"new\"}\n");
    let good = good.to_str().unwrap();
    // The first bytes of every gzip file (RFC 1952), and a line's end among the rest.
    let packed = world.file(
        "packed.ndjson.gz",
        b"\x1f\x8b\x08\0\0\0\0\0\0\x03\xab\x8e\n\x4f\n",
    );
    let packed = packed.to_str().unwrap();
    for running in [false, true] {
        let _daemon = running.then(|| filled.device.start(&[]));
        filled.refuses(
            &["import", "none.ndjson", "--collection", "cars"],
            &["none.ndjson", "No such file", "check"],
        );
        filled.refuses(
            &["import", folder, "--collection", "cars"],
            &[folder, "directory", "check"],
        );
        // Opens and can't be read, for every user.
        filled.refuses(
            &["import", "/proc/self/mem", "--collection", "cars"],
            &["/proc/self/mem", "error"],
        );
        filled.refuses(
            &["import", packed, "--collection", "cars"],
            &[packed, "packed by gzip", "gzip -dk"],
        );
        filled.refuses(
            &[
                "import",
                env!("CARGO_BIN_EXE_sedge"),
                "--collection",
                "cars",
            ],
            &["binary file", "one JSON object a line"],
        );
        let nowhere = format!("{folder}/no/such/folder.ndjson");
        filled.refuses(
            &["export", "--collection", "cars", "--output", &nowhere],
            &["no/such", "check"],
        );
    }
    // An export that fails leaves the file that was there.
    filled.refuses(
        &["export", "--collection", "none", "--output", good],
        &["none"],
    );
    assert_eq!(fs::read_to_string(good).unwrap(), "{\"_id\":\"new\"}\n");
    let left = fs::read_dir(world.path())
        .unwrap()
        .flatten()
        .map(|entry| entry.file_name());
    assert!(
        !left
            .into_iter()
            .any(|name| name.to_string_lossy().ends_with(".part")),
        "no draft is left"
    );
}

/// Goal: an import tells each bad line by its number, imports the rest, and exits with 3.
#[test]
fn an_import_passes_over_bad_lines() {
    let world = World::new();
    let device = world.device("d");
    let lines =
        b"{\"_id\":\"a\"}\nnonsense\n\n[1]\n{\"x\":1,\"x\":2}\n\xff\n{\"_id\":7}\n{\"_id\":\"b\"}";
    let file = world.file("mixed.ndjson", lines);
    let file = file.to_str().unwrap();
    for running in [false, true] {
        let _daemon = running.then(|| device.start(&[]));
        let collection = format!("mixed{running}");
        let ended = device.finish(["import", file, "--collection", &collection]);
        assert_eq!(ended.code, Some(3), "{ended:?}");
        let told: Vec<&str> = ended
            .stderr
            .lines()
            .filter_map(|line| line.strip_prefix("sedge: line "))
            .collect();
        let mut numbers: Vec<u64> = told
            .iter()
            .map(|line| line.split(':').next().unwrap().parse().unwrap())
            .collect();
        numbers.sort_unstable();
        assert_eq!(numbers, [2, 4, 5, 6, 7], "{ended:?}");
        assert_eq!(device.documents(&collection), 2);

        let again = device.finish(["import", file, "--collection", &collection, "--json"]);
        assert_eq!(again.code, Some(3), "{again:?}");
        assert_eq!(again.stderr, "");
        let report = again.json();
        assert_eq!(
            (
                &report["written"],
                &report["unchanged"],
                &report["rejected"]
            ),
            (&json!(0), &json!(2), &json!(5))
        );
        assert_eq!(report["rejectedLines"][0]["line"], json!(2));
    }
}

/// Goal: wrong usage exits with 2 and says what is known.
#[test]
fn wrong_usage_exits_with_2() {
    let world = World::new();
    let filled = Filled::new(&world);
    let long = "x".repeat(257);
    for (arguments, part) in [
        (&["status", "--jsno"][..], "--json"),
        (&["statsu"], "status"),
        (&[], "subcommand"),
        (&["import", "--collection", "cars"], "<FILE>"),
        (&["import", "x.ndjson"], "--collection"),
        (&["init"], "--app"),
        (&["query"], "<STATEMENT>"),
        (&["demo", "--peers", "1"], "2..=16"),
        (&["demo", "--peers", "17"], "2..=16"),
        (&["demo", "--timeout", "soon"], "--timeout"),
        (&["demo", "--collection", ""], "1 to"),
        (&["demo"], "leave --state out"),
        (&["init", "--app", ""], "app id is empty"),
        (&["init", "--app", "My Shop"], "a-z"),
        (&["init", "--app", "shop", "--name", ""], "1 to 256 bytes"),
        (
            &["init", "--app", "shop", "--name", &long],
            "this one has 257",
        ),
        (&["init", "--app", "shop", "--name", "a\tb"], "control"),
        (&["query", "SELECT 1", "--arg", "id"], "there is no ="),
        (&["query", "SELECT 1", "--arg", "id=a"], "'\"text\"'"),
        (&["import", "x", "--collection", ""], "1 to"),
        (&["import", "x", "--collection", "a\nb"], "control"),
        (&["export", "--collection", ""], "1 to"),
        (&["run", "--subscribe", ""], "1 to"),
        (&["run", "--listen", "localhost:4747"], "/ip4/"),
        (&["run", "--listen", "/ip4/127.0.0.1/tcp/99999"], "/ip4/"),
        (&["run", "--listen", "/ip4/127.0.0.1"], "a TCP port"),
        (&["run", "--peer", "10.0.0.1"], "/ip4/"),
        (&["run", "--peer", "/ip4/127.0.0.1"], "a TCP port"),
        (&["run", "--peer", "/ip4/127.0.0.1/udp/4747"], "a TCP port"),
    ] {
        let ended = filled.device.finish(arguments);
        assert_eq!(ended.code, Some(2), "{arguments:?}: {ended:?}");
        assert_eq!(ended.stdout, "", "{arguments:?}");
        assert!(
            ended.stderr.contains(part),
            "{part} in the answer to {arguments:?}: {}",
            ended.stderr
        );
        assert!(!ended.stderr.contains("panicked"), "{ended:?}");
    }
    filled.assert_unchanged();
}

/// Goal: with --json a failure is one line of JSON on standard error.
#[test]
fn a_failure_is_json_when_asked() {
    let world = World::new();
    let filled = Filled::new(&world);
    for arguments in [
        &["--json", "query", "SELECT"][..],
        &["export", "--json", "--collection", "none"],
        &["peers", "--json"],
    ] {
        let ended = filled.device.finish(arguments);
        assert_eq!(
            (ended.code, ended.stdout.as_str()),
            (Some(1), ""),
            "{ended:?}"
        );
        assert_eq!(ended.stderr.lines().count(), 1, "{ended:?}");
        let failure: Value = serde_json::from_str(&ended.stderr).expect("JSON");
        assert!(
            failure["error"]
                .as_str()
                .is_some_and(|error| !error.is_empty()),
            "{failure}"
        );
    }
}

/// Goal: a daemon that can't listen as told doesn't start, and says why.
#[test]
fn addresses_that_cannot_be_listened_on_are_refused() {
    let world = World::new();
    let filled = Filled::new(&world);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let taken = format!("/ip4/127.0.0.1/tcp/{port}");
    let neighbour = world.device("neighbour").start(&[]);
    let daemons = neighbour.address.split("/p2p/").next().unwrap();
    let free = "/ip4/127.0.0.1/tcp/0";
    for (flags, parts) in [
        (
            &["--listen", taken.as_str()][..],
            &[
                "cannot listen",
                taken.as_str(),
                "taken by another",
                "choose another",
            ][..],
        ),
        (
            &["--listen", daemons],
            &["cannot listen", daemons, "taken by another"],
        ),
        (
            &["--listen", free, "--listen", taken.as_str()],
            &["cannot listen", taken.as_str()],
        ),
        (
            &["--listen", "/ip4/192.0.2.1/tcp/0"],
            &["cannot listen", "192.0.2.1"],
        ),
    ] {
        let arguments: Vec<&str> = ["run", "--until-stdin-ends", "--no-discovery"]
            .iter()
            .chain(flags)
            .copied()
            .collect();
        // No standard input: a daemon that starts nevertheless ends by itself and fails the test by its exit code.
        filled.refuses(&arguments, parts);
    }
    filled.device.start(&[]);
}

/// Goal: where the usual port is taken, a daemon that was not told where to listen takes another one, and says so. It
/// listens on every interface for the moment that it runs.
#[test]
fn a_taken_usual_port_is_no_hindrance() {
    let world = World::new();
    let device = world.device("second");
    let _taken = TcpListener::bind("0.0.0.0:4747"); // somebody else having it is as good
    // No standard input, so the daemon ends as soon as it runs.
    let ended = device.finish(["run", "--json", "--no-discovery", "--until-stdin-ends"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let announced = ended.json();
    let addresses = announced["listen"].as_array().expect("addresses");
    assert!(!addresses.is_empty(), "{announced}");
    for address in addresses {
        let address = address.as_str().expect("an address");
        assert!(!address.contains("/tcp/4747/"), "{address}");
    }
    assert!(
        ended.stderr.contains("listening on another port"),
        "{ended:?}"
    );
}

/// Goal: documents at the limits of what an import takes go through a daemon as they go without one.
#[test]
fn large_documents_are_taken_or_told() {
    let world = World::new();
    let (resting, running) = (world.device("resting"), world.device("running"));
    let _daemon = running.start(&[]);
    let text = "x".repeat(4 << 20);
    // Short to write, long once parsed and written again.
    let numbers = vec!["1e15"; 600_000].join(",");
    let too_large = "y".repeat(6 << 20);
    let file = world.file(
        "large.ndjson",
        format!(
            "{{\"_id\":\"text\",\"t\":\"{text}\"}}\n{{\"_id\":\"numbers\",\"n\":[{numbers}]}}\n\
             {{\"_id\":\"more\",\"n\":[{numbers}]}}\n{{\"_id\":\"too large\",\"t\":\"{too_large}\"}}\n{{\"_id\":\"last\"}}\n"
        ),
    );
    let import = |device: &Device| {
        let ended = device.finish([
            "import",
            file.to_str().unwrap(),
            "--collection",
            "large",
            "--json",
        ]);
        assert_eq!(
            ended.code,
            Some(3),
            "the last but one is told, the rest taken: {}",
            ended.stderr
        );
        ended.json()["rejectedLines"].clone()
    };
    let (told_resting, told_running) = (import(&resting), import(&running));
    assert_eq!(told_resting, told_running);
    assert_eq!(resting.held(), running.held());
    assert!(
        resting
            .finish(["query", "SELECT _id FROM large WHERE _id = 'last'"])
            .ok()
            .contains("last")
    );
}
