//! The embedding example, run as a user would.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;
use std::process::Command;

/// Goal: the library's example works: two nodes in one program, and a live query that sees the other's write.
#[test]
fn the_embedding_example_works() {
    let program = Path::new(env!("CARGO_BIN_EXE_sedge"));
    let example = program.parent().unwrap().join("examples/embed");
    assert!(
        example.exists(),
        "build it first: cargo build --release --workspace --examples"
    );
    let output = Command::new(example).output().unwrap();
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(
        shown,
        "the kitchen sees {\"_id\":\"o-1\",\"items\":{\"soup\":2},\"state\":\"open\"}\n"
    );
}
