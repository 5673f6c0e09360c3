//! `sedge bench`: every figure is told, also where it can't be taken, and nothing stays behind. How large they are is no
//! test's business.

use crate::harness::{World, finish};
use serde_json::Value;

/// Goal: a run over few documents tells each figure once, as a number within its bound or not, or as null with the reason.
#[test]
fn every_figure_is_told() {
    let world = World::new();
    let folder = world.path().join("measured");
    let arguments = [
        "bench",
        "store",
        "--documents",
        "1000",
        "--json",
        "--folder",
    ];
    let lines = finish(world.sedge().args(arguments).arg(&folder)).ok();
    let figures: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert!(figures.len() >= 10, "{lines}");
    for figure in &figures {
        assert!(figure["name"].as_str().unwrap().starts_with("store."));
        assert!(figure["unit"].is_string() && figure["bound"].is_string());
        match figure["value"].as_f64() {
            Some(value) => assert!(value > 0.0 && figure["within"].is_boolean(), "{figure}"),
            None => assert!(!figure["reason"].as_str().unwrap().is_empty(), "{figure}"),
        }
    }
    let measured = figures.iter().filter(|figure| figure["value"].is_number());
    assert!(measured.count() >= 8, "{lines}");
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
}

/// Goal: what certificates and admission cost is measured, and what does not depend on this machine's speed stays within its
/// bound.
#[test]
fn certificates_and_admission_stay_small() {
    let world = World::new();
    let only = ["--only", "certificate_bytes", "--only", "admission"];
    let told = finish(
        world
            .sedge()
            .args(["bench", "identity", "--json"])
            .args(only),
    )
    .ok();
    let figures: Vec<Value> = told
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let figure = |name: &str| {
        let found = figures.iter().find(|figure| figure["name"] == name);
        found.unwrap_or_else(|| panic!("{name} is in {told}"))
    };
    let bytes = figure("identity.certificate_bytes");
    assert_eq!(bytes["within"], true, "{bytes}");
    assert!(bytes["value"].as_f64().unwrap() > 200.0, "{bytes}");
    assert!(
        figure("identity.admission_cpu_ms")["value"].is_number(),
        "{told}"
    );
    // To a tenth; on a busy machine a tenth of 100 ms more is nobody's fault.
    let trips = figure("identity.admission_round_trips")["value"]
        .as_f64()
        .unwrap();
    assert!((0.9..=1.3).contains(&trips), "{told}");
}

/// Goal: a figure that doesn't exist is wrong usage, and the error names those that do.
#[test]
fn an_unknown_figure_is_an_error() {
    let world = World::new();
    let told = finish(world.sedge().args(["bench", "store", "--only", "scam"]));
    assert_eq!(told.code, Some(2));
    assert!(
        told.complaint().contains("store.scan_over_sqlite"),
        "{told:?}"
    );
}
