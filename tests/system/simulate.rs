//! `sedge simulate`: needs no device, tells the same of the same seeds, and refuses scenarios that can't be run.

use crate::harness::{Ended, World, finish};
use serde_json::Value;

fn simulate(world: &World, arguments: &[&str]) -> Ended {
    finish(world.sedge().arg("simulate").args(arguments))
}

/// Goal: a few seeds of the mixture all hold, and repeating them gives the same report.
#[test]
fn the_same_seeds_give_the_same_report() {
    let world = World::new();
    let report = |first: &str| {
        let arguments = ["--seeds", "16", "--first-seed", first, "--json"];
        let ended = simulate(&world, &arguments);
        assert_eq!(ended.code, Some(0), "{ended:?}");
        ended.json()
    };
    let first = report("3000");
    assert_eq!((&first["seeds"], &first["failed"]), (&16.into(), &0.into()));
    assert_eq!(first["firstSeed"], 3_000);
    assert_eq!(
        (&first["failures"], &first["shortest"]),
        (&Value::Array(vec![]), &Value::Null)
    );
    for figure in [
        "convergenceMs",
        "lastHopMs",
        "redundancy",
        "bytesPerChange",
        "messagesPerChange",
    ] {
        let spread = |name: &str| first[figure][name].as_f64().unwrap();
        assert!(
            spread("median") <= spread("p99") && spread("p99") <= spread("max"),
            "{first}"
        );
    }
    assert!(first["bytesPerChange"]["median"].as_f64().unwrap() > 0.0);
    assert_eq!(report("3000"), first);
    assert_ne!(report("3001")["trace"], first["trace"]);
    assert_eq!(
        std::fs::read_dir(world.path()).unwrap().count(),
        0,
        "nothing is left behind"
    );
}

/// Goal: a file describes the mesh; what is wrong with one is told with its place, and is wrong usage.
#[test]
fn a_file_describes_the_mesh() {
    let world = World::new();
    let lossy = "name = 'lossy'\npeers = 12\ntopology = 'random'\ndegree = 3\ncrashes = 4\n\
                 [link]\nloss_percent = 30\nlatency_ms = [5, 50]\n";
    let lossy = world.file("lossy.toml", lossy);
    let told = simulate(
        &world,
        &["--scenario", lossy.to_str().unwrap(), "--seeds", "3"],
    )
    .ok();
    assert!(told.starts_with("3 runs, "), "{told}");
    assert!(told.contains(" 0 failed"), "{told}");
    let wrong = [
        ("pears = 3", "unknown field `pears`"),
        ("peers = 1", "peers is 1, and has to be 2 to 64"),
        ("peers = 3\ntopology = 'tree'", "line 2"),
        ("collections = ['']", "collection name"),
        ("[link]\nlatency_ms = [9, 3]", "latency_ms"),
    ];
    for (text, reason) in wrong {
        let file = world.file("wrong.toml", text);
        let ended = simulate(&world, &["--scenario", file.to_str().unwrap()]);
        assert_eq!(ended.code, Some(2), "{ended:?}");
        assert!(ended.complaint().contains(reason), "{ended:?}");
    }
    let missing = simulate(&world, &["--scenario", "missing.toml"]);
    assert!(missing.refused().contains("missing.toml"), "{missing:?}");
}

/// Goal: a mesh that can't carry what is written in time fails, is told with a shorter plan, and ends with 1.
#[test]
fn a_failure_is_told_with_its_seed() {
    let world = World::new();
    let slow = "name = 'slow'\npeers = 2\ntopology = 'line'\nwrites = 20\ncuts = 3\ncontent_bytes_max = 400_000\n\
                [link]\nbytes_per_second = 1_000\n";
    let slow = world.file("slow.toml", slow);
    let arguments = [
        "--scenario",
        slow.to_str().unwrap(),
        "--seeds",
        "1",
        "--first-seed",
        "5",
    ];
    let ended = simulate(&world, &arguments);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(
        ended.stdout.contains("seed 5 (slow, 2 peers): "),
        "{ended:?}"
    );
    assert!(
        ended.complaint().ends_with("--first-seed 5 --seeds 1"),
        "{ended:?}"
    );
    let ended = simulate(&world, &[&arguments[..], &["--json"]].concat());
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let report = ended.json();
    assert_eq!(
        (&report["failed"], &report["failures"][0]["seed"]),
        (&1.into(), &5.into())
    );
    let plan = report["shortest"]["plan"].as_array().unwrap();
    assert!((1..5).contains(&plan.len()), "{report}");
    assert!(!report["shortest"]["trace"].as_array().unwrap().is_empty());
}
