//! Where an export may go.

use crate::filled::Filled;
use crate::harness::World;
use std::fs;
use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

fn export_to(filled: &Filled, path: &Path) {
    let path = path.to_str().unwrap();
    let export = ["export", "--collection", "cars", "--output", path];
    assert_eq!(filled.device.finish(export).ok(), "", "{path}");
}

/// Goal: a device and a pipe are written into, and are what they were afterwards; `-` is standard output.
#[test]
fn an_export_goes_into_a_device_or_a_pipe() {
    let world = World::new();
    let filled = Filled::new(&world);
    let whole = filled
        .device
        .finish(["export", "--collection", "cars"])
        .ok();
    let stdout = ["export", "--collection", "cars", "--output", "-"];
    assert_eq!(filled.device.finish(stdout).ok(), whole);
    assert!(!world.path().join("-").exists());

    export_to(&filled, Path::new("/dev/null"));
    let null = fs::metadata("/dev/null").unwrap();
    assert!(null.file_type().is_char_device());

    let pipe = world.path().join("pipe");
    assert!(
        Command::new("mkfifo")
            .arg(&pipe)
            .status()
            .unwrap()
            .success()
    );
    let reader = thread::spawn({
        let pipe = pipe.clone();
        move || fs::read_to_string(pipe).unwrap()
    });
    export_to(&filled, &pipe);
    assert_eq!(reader.join().unwrap(), whole);
    assert!(fs::metadata(&pipe).unwrap().file_type().is_fifo());
}

/// Goal: behind a link it is the file that is written, whether it is there or not, and it keeps its mode; a folder is
/// refused with what to do; no draft is left.
#[test]
fn an_export_follows_links() {
    let world = World::new();
    let filled = Filled::new(&world);
    let whole = filled
        .device
        .finish(["export", "--collection", "cars"])
        .ok();
    let (link, file) = (world.path().join("link"), world.path().join("file"));
    symlink("file", &link).unwrap();
    export_to(&filled, &link);
    fs::write(&file, "older").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o664)).unwrap();
    export_to(&filled, &link);
    assert!(link.is_symlink());
    assert_eq!(fs::read_to_string(&file).unwrap(), whole);
    assert_eq!(
        fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o664
    );

    let folder = world.path().to_str().unwrap();
    filled.refuses(
        &["export", "--collection", "cars", "--output", folder],
        &[folder, "is a folder", "name a file"],
    );
    let left = fs::read_dir(world.path()).unwrap().flatten();
    let drafts = left.filter(|entry| entry.file_name().to_string_lossy().ends_with(".part"));
    assert_eq!(drafts.count(), 0);
}

/// Goal: two exports into one file at once both end well, and the file is one of them, whole.
#[test]
fn exports_at_once_do_not_mix() {
    let world = World::new();
    let filled = Filled::new(&world);
    let _daemon = filled.device.start(&[]);
    let whole = filled
        .device
        .finish(["export", "--collection", "cars"])
        .ok();
    let file = world.path().join("file");
    let export = || {
        let mut export = filled.device.sedge();
        export.args(["export", "--collection", "cars", "--output"]);
        export.arg(&file).stderr(Stdio::piped()).spawn().unwrap()
    };
    for exporting in [export(), export(), export()] {
        let output = exporting.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), whole);
}
