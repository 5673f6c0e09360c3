//! What the system is asked to do before a write is acknowledged, as strace sees it.

use crate::harness::{World, skip};
use sedge::api::wire::ExecuteRequest;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::process::{Command, Stdio};
use std::thread;

const WRITERS: usize = 8;
/// Writes of each writer.
const WRITES: usize = 25;
/// Bytes of a call's data that are shown: more than the writes of all writers together.
const SHOWN_BYTES: &str = "40000";
const CALLS: &str = "trace=read,readv,recvfrom,recvmsg,write,writev,pwrite64,pwritev,sendto,sendmsg,fsync,fdatasync";

/// One system call: where it begins and ends in the trace.
struct Call {
    name: String,
    text: String,
    begin: usize,
    end: usize,
}

impl Call {
    fn is_of(&self, names: &[&str], of: &str) -> bool {
        // The file comes first, in angle brackets behind its number.
        let file = self.text.split('>').next().unwrap_or_default();
        names.contains(&self.name.as_str()) && file.contains(of)
    }
}

/// The calls of a trace, those that another thread's calls interrupt put together again.
fn calls(trace: &str) -> Vec<Call> {
    let mut begun: HashMap<&str, (usize, String)> = HashMap::new();
    let mut calls = Vec::new();
    for (place, line) in trace.lines().enumerate() {
        let Some((thread, text)) = line.split_once(' ') else {
            continue;
        };
        let text = text.trim_start();
        let (begin, text) = if let Some(first) = text.strip_suffix(" <unfinished ...>") {
            begun.insert(thread, (place, first.to_owned()));
            continue;
        } else if text.starts_with("<... ") {
            let Some((begin, first)) = begun.remove(thread) else {
                continue;
            };
            let rest = text.split_once("resumed>").map_or("", |parts| parts.1);
            (begin, first + rest)
        } else {
            (place, text.to_owned())
        };
        if let Some((name, _)) = text.split_once('(') {
            let name = name.to_owned();
            let end = place;
            calls.push(Call {
                name,
                text,
                begin,
                end,
            });
        }
    }
    calls
}

fn strace_works() -> Result<(), String> {
    let tried = Command::new("strace")
        .args(["-f", "-o", "/dev/null", "true"])
        .stderr(Stdio::null())
        .status();
    match tried {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => Err("this machine doesn't let strace look at a process".to_owned()),
        Err(error) => Err(format!("strace can't be run ({error})")),
    }
}

fn marker(writer: usize, write: usize) -> String {
    format!("marked-{writer}-{write}-end")
}

/// Goal: between a write's arrival and its acknowledgement the write-ahead log is written, and then synced, whatever
/// other writers do at the same time.
#[test]
fn a_sync_precedes_each_acknowledgement() {
    if let Err(reason) = strace_works() {
        return skip("a_sync_precedes_each_acknowledgement", &reason);
    }
    let world = World::new();
    let device = world.device("d");
    let trace = world.path().join("trace");
    let mut strace = Command::new("strace");
    strace.args(["-f", "-yy", "-s", SHOWN_BYTES, "-e", CALLS, "-o"]);
    strace.arg(&trace);
    let run = device.sedge_under(strace);
    let daemon = device.start_by(run, &device.anywhere(), []);
    thread::scope(|scope| {
        for writer in 0..WRITERS {
            let client = device.client();
            scope.spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build();
                runtime.unwrap().block_on(async {
                    for write in 0..WRITES {
                        let id = marker(writer, write);
                        let statement = format!("INSERT INTO things DOCUMENTS ({{'_id': '{id}'}})");
                        let args = BTreeMap::new();
                        let answer = client.execute(&ExecuteRequest { statement, args }).await;
                        assert_eq!(answer.unwrap().mutated_document_ids.len(), 1);
                    }
                });
            });
        }
    });
    assert_eq!(daemon.end_by_stdin(), Some(0));
    let trace = fs::read_to_string(trace).unwrap();
    let calls = calls(&trace);
    let syncs: Vec<&Call> = calls
        .iter()
        .filter(|call| call.is_of(&["fsync", "fdatasync"], ".log") && call.text.ends_with("= 0"))
        .collect();
    let mut used = BTreeSet::new();
    for writer in 0..WRITERS {
        for write in 0..WRITES {
            let id = marker(writer, write);
            let first = |names: &[&str], of: &str| {
                let found = calls
                    .iter()
                    .find(|call| call.is_of(names, of) && call.text.contains(&id));
                found.unwrap_or_else(|| panic!("{names:?} on {of} for {id}"))
            };
            let asked = first(&["read", "readv", "recvfrom", "recvmsg"], "UNIX");
            let logged = first(&["write", "writev", "pwrite64", "pwritev"], ".log");
            let told = first(&["write", "writev", "sendto", "sendmsg"], "UNIX");
            assert!(asked.end < logged.end && logged.end < told.begin, "{id}");
            let synced = syncs
                .iter()
                .find(|sync| sync.begin > logged.end && sync.end < told.begin);
            let synced = synced.unwrap_or_else(|| {
                panic!(
                    "{id} was acknowledged without a sync: arrived in line {}, logged in {}, told in {}",
                    asked.end, logged.end, told.begin
                )
            });
            used.insert(synced.begin);
        }
    }
    println!(
        "{} writes, {} syncs before them",
        WRITERS * WRITES,
        used.len()
    );
}
