//! The rules of the house, checked over `cargo metadata` and the sources: who may depend on whom, that
//! cores do no IO, and that a crate's `lib.rs` only shows what is inside.

#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a check that cannot be made is a failed check"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use cargo_metadata::{Dependency, DependencyKind, Metadata, MetadataCommand, Package};

/// Each package of the workspace and the packages of the workspace it may depend on. A new package is
/// entered here.
const ALLOWED_ARROWS: &[(&str, &[&str])] = &[
    ("sedge-identity", &[]),
    ("sedge-crdt", &["sedge-identity"]),
    ("sedge-mesh", &["sedge-identity"]),
    ("sedge-transports", &["sedge-identity"]),
    (
        "sedge",
        &[
            "sedge-identity",
            "sedge-crdt",
            "sedge-mesh",
            "sedge-transports",
        ],
    ),
];

/// The files and folders whose code takes time, randomness and bytes as arguments.
const IO_FREE: &[&str] = &[
    "crdt/src/document",
    "crdt/src/query",
    "crdt/src/rights",
    "crdt/src/rights.rs",
    "crdt/src/value",
    "identity/src",
    "mesh/src/blob",
    "mesh/src/blob.rs",
    "mesh/src/proto",
    "mesh/src/sim",
    "mesh/src/sim.rs",
    "transports/src/admission/exchange.rs",
    "transports/src/admission/known.rs",
    "transports/src/admission/wire.rs",
];

/// What no IO-free code names. A match begins at a word boundary.
const IO_NAMES: &[&str] = &[
    "tokio",
    "std::time::Instant",
    "Instant::now",
    "SystemTime",
    "std::fs",
    "std::net",
    "rand::",
    "getrandom::",
    "thread_rng",
    "ThreadRng",
    "OsRng",
    "SysRng",
];

/// Names that reach IO when they are imported in a group, as in `use std::{fs, net}`.
const IO_NAMES_IN_STD_GROUPS: &[&str] = &["fs", "net", "Instant", "SystemTime"];

/// Lines a `lib.rs` may have: documentation, modules, one block of re-exports.
const LIB_LINES_MAX: usize = 70;

fn root() -> PathBuf {
    // The package that runs this test lies one folder below the workspace.
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("a package folder has a parent")
        .to_path_buf()
}

fn workspace() -> Metadata {
    MetadataCommand::new()
        .manifest_path(root().join("Cargo.toml"))
        .no_deps()
        .other_options(["--offline".to_owned(), "--locked".to_owned()])
        .exec()
        .expect("cargo metadata describes the workspace")
}

fn package<'a>(workspace: &'a Metadata, name: &str) -> &'a Package {
    workspace
        .packages
        .iter()
        .find(|package| package.name.as_str() == name)
        .unwrap_or_else(|| panic!("the workspace has no package {name}"))
}

fn is_libp2p(dependency: &Dependency) -> bool {
    // libp2p-identity is keys and peer ids alone and does no IO.
    dependency.name.starts_with("libp2p") && dependency.name != "libp2p-identity"
}

fn is_rocksdb(dependency: &Dependency) -> bool {
    dependency.name.contains("rocksdb")
}

/// Goal: a package depends on no package of ours but those it may, be it for building, testing or running.
#[test]
fn packages_depend_only_along_the_allowed_arrows() {
    let workspace = workspace();
    let ours: BTreeSet<&str> = workspace
        .packages
        .iter()
        .map(|package| package.name.as_str())
        .collect();
    let listed: BTreeSet<&str> = ALLOWED_ARROWS.iter().map(|(name, _)| *name).collect();
    assert_eq!(
        ours, listed,
        "the packages of the workspace are those of ALLOWED_ARROWS"
    );

    for (name, allowed) in ALLOWED_ARROWS {
        for dependency in &package(&workspace, name).dependencies {
            // A dependency by path is ours even where it is no member of the workspace.
            let is_ours = ours.contains(dependency.name.as_str()) || dependency.path.is_some();
            assert!(
                !is_ours || allowed.contains(&dependency.name.as_str()),
                "{name} depends on {}, and may depend on {allowed:?} only",
                dependency.name
            );
        }
    }
}

/// Goal: the arrows are there, so that the test above has something to look at.
#[test]
fn the_node_joins_all_crates() {
    let workspace = workspace();
    let of_node: BTreeSet<&str> = package(&workspace, "sedge")
        .dependencies
        .iter()
        .filter(|dependency| dependency.kind == DependencyKind::Normal)
        .map(|dependency| dependency.name.as_str())
        .collect();
    for (name, _) in ALLOWED_ARROWS.iter().filter(|(name, _)| *name != "sedge") {
        assert!(of_node.contains(name), "sedge does not depend on {name}");
    }
}

/// Goal: the sync protocol and the store know nothing of each other, whatever ALLOWED_ARROWS says.
#[test]
fn mesh_and_crdt_never_see_each_other() {
    let workspace = workspace();
    for (name, other) in [("sedge-mesh", "sedge-crdt"), ("sedge-crdt", "sedge-mesh")] {
        let dependencies = &package(&workspace, name).dependencies;
        assert!(!dependencies.is_empty(), "{name} has dependencies");
        assert!(
            dependencies
                .iter()
                .all(|dependency| dependency.name != other),
            "{name} depends on {other}; node joins the two"
        );
    }
}

/// Goal: RocksDB is known to the store alone, behind a feature that is on by default.
#[test]
fn rocksdb_is_an_option_of_crdt_alone() {
    let workspace = workspace();
    for package in workspace
        .packages
        .iter()
        .filter(|package| package.name.as_str() != "sedge-crdt")
    {
        assert!(
            !package.dependencies.iter().any(is_rocksdb),
            "{} depends on RocksDB; only sedge-crdt may",
            package.name
        );
    }
    assert_optional(package(&workspace, "sedge-crdt"), "rocksdb", is_rocksdb);
}

/// Goal: libp2p is known to mesh, transports and node only, and the first two build without it.
#[test]
fn libp2p_is_an_option_of_mesh_and_transports() {
    let workspace = workspace();
    for name in ["sedge-identity", "sedge-crdt"] {
        for dependency in &package(&workspace, name).dependencies {
            // A test may hold our bytes against one of libp2p's small crates, but never need all of it.
            let is_oracle =
                dependency.kind == DependencyKind::Development && dependency.name != "libp2p";
            assert!(
                !is_libp2p(dependency) || is_oracle,
                "{name} depends on {}; only sedge-mesh, sedge-transports and sedge may",
                dependency.name
            );
        }
    }
    for name in ["sedge-mesh", "sedge-transports"] {
        assert_optional(package(&workspace, name), "libp2p", is_libp2p);
    }
}

/// Asserts that a package has such dependencies, that those its users compile are optional, and that
/// `feature`, one of its default features, switches every one of them on.
fn assert_optional(package: &Package, feature: &str, is_such: fn(&Dependency) -> bool) {
    let name = &package.name;
    let such: Vec<&Dependency> = package
        .dependencies
        .iter()
        .filter(|dependency| dependency.kind != DependencyKind::Development && is_such(dependency))
        .collect();
    assert!(!such.is_empty(), "{name} does not depend on {feature}");
    let switched_on = package
        .features
        .get(feature)
        .unwrap_or_else(|| panic!("{name} has no feature {feature}"));
    for dependency in such {
        let switch = format!("dep:{}", dependency.name);
        assert!(
            dependency.optional,
            "{} is not optional in {name}",
            dependency.name
        );
        assert!(
            switched_on.contains(&switch),
            "feature {feature} of {name} does not name {switch}"
        );
    }
    assert!(
        package
            .features
            .get("default")
            .is_some_and(|default| default.iter().any(|on| on == feature)),
        "feature {feature} of {name} is not on by default"
    );
}

/// Goal: lib.rs shows the house and holds no furniture.
#[test]
fn every_lib_rs_is_small() {
    let workspace = workspace();
    for (name, _) in ALLOWED_ARROWS {
        let library = package(&workspace, name)
            .targets
            .iter()
            .find(|target| target.is_lib())
            .unwrap_or_else(|| panic!("{name} has no library"));
        let text = fs::read_to_string(&library.src_path).expect("a library's source can be read");
        let lines = text.lines().count();
        assert!(
            (1..=LIB_LINES_MAX).contains(&lines),
            "{} has {lines} lines; move what exceeds {LIB_LINES_MAX} into modules",
            library.src_path
        );
    }
}

/// Goal: cores take time, randomness and bytes as arguments, which is what lets a simulator drive them.
#[test]
fn cores_name_no_io() {
    let mut found = Vec::new();
    for place in IO_FREE {
        let path = root().join(place);
        assert!(
            path.exists(),
            "{place} of IO_FREE does not exist: adjust the list to where the core went"
        );
        let files = rust_files(&path);
        assert!(!files.is_empty(), "{place} of IO_FREE holds no Rust file");
        for file in files {
            let text = fs::read_to_string(&file).expect("a source file can be read");
            for (line, name) in io_names(&text) {
                found.push(format!("{}:{line}: {name}", file.display()));
            }
        }
    }
    assert!(
        found.is_empty(),
        "IO in a core; make it an argument or an effect:\n{}",
        found.join("\n")
    );
}

/// Goal: the scan sees each forbidden name, in plain and in grouped imports, and nothing in comments.
#[test]
fn the_scan_for_io_sees_what_it_should() {
    for name in IO_NAMES {
        let text = format!("fn core() {{\n    let it = {name}x;\n}}\n");
        assert!(
            io_names(&text).contains(&(2, (*name).to_owned())),
            "{name} is not seen"
        );
    }
    let grouped = "use std::collections::{\n    BTreeMap,\n};\nuse std::{\n    fmt, fs,\n    time::{Duration, Instant},\n};\n";
    assert_eq!(
        io_names(grouped),
        [(4, "fs".to_owned()), (4, "Instant".to_owned())]
    );
    let harmless = "//! No tokio here.\n/// Not `std::fs`.\nlet x = strand::y; // nor SystemTime\nlet u = \"http://a\";\n";
    assert_eq!(io_names(harmless), []);
}

/// The forbidden names in a source text, with the number of the line they stand in.
fn io_names(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut std_group: Option<(usize, String)> = None;
    for (index, line) in text.lines().enumerate() {
        let code = without_comment(line);
        for name in IO_NAMES {
            if names_at_word_start(code, name) {
                found.push((index + 1, (*name).to_owned()));
            }
        }
        if std_group.is_none() && code.contains("use std::{") {
            std_group = Some((index + 1, String::new()));
        }
        if let Some((start, mut group)) = std_group.take() {
            group.push_str(code);
            group.push(' ');
            if code.contains(';') {
                let words: BTreeSet<&str> = group.split(|c: char| !is_word(c)).collect();
                let named = IO_NAMES_IN_STD_GROUPS
                    .iter()
                    .filter(|name| words.contains(*name));
                found.extend(named.map(|name| (start, (*name).to_owned())));
            } else {
                std_group = Some((start, group));
            }
        }
    }
    found
}

/// The line up to a `//` that begins a comment: at its start or after a blank.
fn without_comment(line: &str) -> &str {
    if line.trim_start().starts_with("//") {
        return "";
    }
    line.split_once(" //").map_or(line, |(code, _)| code)
}

fn names_at_word_start(code: &str, name: &str) -> bool {
    code.match_indices(name)
        .any(|(at, _)| !code[..at].ends_with(is_word))
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// A Rust file itself, or all of a folder and the folders in it.
fn rust_files(path: &Path) -> Vec<PathBuf> {
    if path.is_file() {
        return vec![path.to_path_buf()];
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path).expect("a source folder can be listed") {
        let path = entry.expect("a folder entry can be read").path();
        if path.is_dir() || path.extension().is_some_and(|extension| extension == "rs") {
            files.extend(rust_files(&path));
        }
    }
    files
}
