//! A daemon that is killed at any moment under load: nothing acknowledged is missing, nothing half-written shows.

use crate::harness::{Device, World};
use crate::load::{Numbers, Writer};
use crate::processes::Guarded;
use sedge_crdt::{Check, Contents};
use std::process::Stdio;
use std::thread;
use std::time::Duration;

const WRITERS: u64 = 6;
/// Longest time that the writers get before the daemon is killed, in milliseconds.
const LOAD_MS_MAX: u64 = 400;
/// Longest time that a daemon gets before it is killed while it starts, in milliseconds.
const START_MS_MAX: u64 = 150;

/// How often the daemon is killed.
fn kills() -> u64 {
    match std::env::var("SEDGE_FULL").as_deref() {
        Ok("store") => 200,
        _ => 30,
    }
}

/// Kills a daemon that is still opening its store, perhaps repairing what an earlier kill has left.
fn kill_at_start(device: &Device, after: Duration) {
    let mut run = device.sedge();
    run.args(["run", "--until-stdin-ends", "--no-discovery", "--listen"]);
    run.arg(device.anywhere()).stdin(Stdio::piped());
    run.stdout(Stdio::null()).stderr(Stdio::null());
    let daemon = Guarded(run.spawn().expect("the daemon starts"));
    thread::sleep(after);
    drop(daemon);
}

/// Goal: however often a daemon is killed amid writes of every kind by several writers, the store that it leaves is
/// whole in itself, holds all that was acknowledged, and of what was not acknowledged each transaction wholly or not at
/// all; and it goes on from there.
#[test]
fn a_killed_daemon_loses_nothing_acknowledged() {
    let mut numbers = Numbers::of_surroundings("a_killed_daemon_loses_nothing_acknowledged");
    let world = World::new();
    let device = world.device("d");
    let mut writers: Vec<Writer> = (0..WRITERS)
        .map(|name| Writer::new(&device, name, numbers.below(u64::MAX)))
        .collect();
    for kill in 0..kills() {
        if numbers.below(4) == 0 {
            let after = Duration::from_millis(numbers.below(START_MS_MAX));
            kill_at_start(&device, after);
        }
        let daemon = device.start(&[]);
        let load = Duration::from_millis(numbers.below(LOAD_MS_MAX));
        thread::scope(|scope| {
            for writer in &mut writers {
                scope.spawn(|| writer.write());
            }
            thread::sleep(load);
            daemon.kill();
        });
        let read = Contents::read(
            &device.state.join("store"),
            Check::Documents,
            &mut |_, _| (),
        );
        if let Err(error) = read {
            panic!("after kill {kill}: {error}");
        }
        for writer in &mut writers {
            writer.check(&device);
        }
    }
    let acknowledged: u64 = writers.iter().map(|writer| writer.count).sum();
    println!("{} kills, {acknowledged} transactions", kills());
    assert!(acknowledged > kills(), "the test means something");
}
