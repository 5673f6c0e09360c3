//! A full disk: writes are refused, reads go on, and once there is room writes go on too, by themselves.

use crate::harness::{Daemon, Device, World, skip, wait_for, wait_until, wait_until_same};
use crate::load::Writer;
use crate::processes::Guarded;
use sedge_crdt::{Check, Contents};
use serde_json::json;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

const DISK: &str = "40m";
/// A file that takes up space until the test frees it: enough to resume with, in bytes.
const BALLAST_BYTES: usize = 14 << 20;
const WRITERS: u64 = 4;

/// A small disk of its own, which this process reaches through the process that holds it.
pub(crate) struct Disk {
    _holder: Guarded,
    pub(crate) path: PathBuf,
}

impl Disk {
    pub(crate) fn new(world: &World) -> Result<Self, String> {
        let point = world.path().join("disk");
        fs::create_dir(&point).unwrap();
        let mount = format!("mount -t tmpfs -o size={DISK} none \"$0\" && echo held && exec cat");
        let mut holder = Command::new("unshare");
        holder.args(["--user", "--map-root-user", "--mount", "sh", "-c", &mount]);
        holder.arg(&point).stdin(Stdio::piped());
        holder.stdout(Stdio::piped()).stderr(Stdio::null());
        let holder = holder
            .spawn()
            .map_err(|error| format!("unshare can't be run ({error})"))?;
        let mut holder = Guarded(holder);
        let mut held = String::new();
        let output = holder.0.stdout.take().expect("its output");
        BufReader::new(output).read_line(&mut held).unwrap();
        let path = format!("/proc/{}/root{}", holder.0.id(), point.display());
        match held.trim() == "held" && fs::write(Path::new(&path).join("tried"), "").is_ok() {
            true => Ok(Self {
                _holder: holder,
                path: path.into(),
            }),
            false => Err("this machine lets no user mount a tmpfs of his own".to_owned()),
        }
    }

    pub(crate) fn ballast(&self) -> PathBuf {
        self.path.join("ballast")
    }

    /// Takes up all space but this.
    pub(crate) fn fill_but(&self, free_bytes: u64) {
        let mut ballast = File::create(self.ballast()).unwrap();
        for block in [vec![0; 1 << 20], vec![0; 4 << 10]] {
            while ballast.write_all(&block).is_ok() {}
        }
        let taken = ballast.metadata().unwrap().len();
        ballast.set_len(taken.saturating_sub(free_bytes)).unwrap();
    }

    fn load(&self) {
        fs::write(self.ballast(), vec![0; BALLAST_BYTES]).unwrap();
    }
}

/// Writes on all sides until nothing goes in any more; each writer's refusal says so.
fn fill(device: &Device, writers: &mut [Writer]) {
    let refusals: Vec<String> = thread::scope(|scope| {
        let threads = writers
            .iter_mut()
            .map(|writer| scope.spawn(|| writer.write()));
        let threads: Vec<_> = threads.collect();
        let ended = threads.into_iter().map(|thread| thread.join().unwrap());
        ended.map(|refusal| refusal.to_string()).collect()
    });
    for refusal in refusals {
        // A write that shares a sync with one that found no room may be told that instead.
        let told = refusal.contains("No space left on device")
            || refusal.contains("not known to be durable")
            || refusal.contains("an earlier write failed");
        assert!(told, "{refusal}");
    }
    let ended = device.finish(["query", "INSERT INTO late DOCUMENTS ({'_id': 'a'})"]);
    // RocksDB tells of the full disk once, and of that earlier failure until it goes on.
    let told = ["No space left on device", "most likely on a full disk"];
    assert!(
        told.iter().any(|text| ended.refused().contains(text)),
        "{ended:?}"
    );
    for part in ["some space", "othing acknowledged is lost"] {
        assert!(ended.refused().contains(part), "{part:?} in: {ended:?}");
    }
}

fn assert_whole(device: &Device) {
    let read = Contents::read(
        &device.state.join("store"),
        Check::Documents,
        &mut |_, _| (),
    );
    if let Err(error) = read {
        panic!("{error}");
    }
}

fn assert_reads(device: &Device, daemon: &mut Daemon) {
    daemon.assert_running();
    let held = device.held();
    assert_eq!(held.len() as u64, WRITERS, "{held:?}");
    for (name, (documents, _)) in held {
        let counted = device.query(&format!("SELECT COUNT(*) AS n FROM {name}"));
        assert_eq!(counted["items"], json!([{"n": documents}]));
        let exported = device.finish(["export", "--collection", &name]).ok();
        assert_eq!(exported.lines().count() as u64, documents);
    }
}

/// Goal: on a full disk every kind of write is refused with what to do, reads go on, and nothing acknowledged is
/// missing; when space is freed the same daemon takes writes again, its own and its neighbours', and the store is whole.
/// A daemon that is killed on a full disk starts again when there is space.
#[test]
fn a_full_disk_refuses_writes_until_there_is_space() {
    let world = World::new();
    let disk = match Disk::new(&world) {
        Ok(disk) => disk,
        Err(reason) => return skip("a_full_disk_refuses_writes_until_there_is_space", &reason),
    };
    let (device, other) = (world.device("disk-of-d"), world.device("other"));
    let device = device.moved(&disk.path.join("d"));
    let mut daemon = device.start(&[]);
    let _other = other.start(&[&daemon]);
    disk.load();
    let mut writers: Vec<Writer> = (0..WRITERS).map(|n| Writer::new(&device, n, n)).collect();
    fill(&device, &mut writers);
    assert_reads(&device, &mut daemon);
    other.insert("elsewhere", &json!({"_id": "a"}));
    assert_reads(&device, &mut daemon);
    for writer in &mut writers {
        writer.check(&device);
    }

    fs::remove_file(disk.ballast()).unwrap();
    wait_until("writes go on", || {
        let insert = ["query", "INSERT INTO late DOCUMENTS ({'_id': 'b'})"];
        device.finish(insert).code == Some(0)
    });
    daemon.assert_running();
    for writer in &mut writers {
        writer.check(&device);
    }
    wait_until_same(&[&device, &other], "elsewhere", 1);
    wait_until_same(&[&device, &other], "late", 1);
    for n in 0..WRITERS {
        let name = format!("writer{n}");
        wait_until_same(&[&device, &other], &name, device.documents(&name));
    }
    daemon.kill();
    assert_whole(&device);

    // Killed while it is full.
    fs::write(disk.ballast(), "").unwrap();
    let daemon = device.start(&[]);
    let free = wait_for("the disk is full", || {
        let ballast = fs::read(disk.ballast()).unwrap();
        match fs::write(disk.ballast(), vec![0; ballast.len() + (1 << 20)]) {
            Ok(()) => None,
            Err(_) => Some(ballast.len()),
        }
    });
    fs::write(disk.ballast(), vec![0; free.saturating_sub(2 << 20)]).unwrap();
    fill(&device, &mut writers);
    daemon.kill();
    fs::remove_file(disk.ballast()).unwrap();
    assert_whole(&device);
    let _daemon = device.start(&[]);
    for writer in &mut writers {
        writer.check(&device);
    }
}
