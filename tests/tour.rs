//! The README's tour, run line by line as it stands there.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "docs/shell.rs"]
mod shell;

/// Goal: what the README tells a new user to type works, and shows what the text around it says.
#[test]
fn the_readme_tour_works() {
    let readme = std::fs::read_to_string(shell::root().join("README.md")).unwrap();
    let (_, after) = readme.split_once("<!-- tour -->").expect("the tour's mark");
    let (_, block) = after.split_once("```sh\n").expect("the tour's block");
    let (tour, _) = block.split_once("```").expect("the block's end");

    let home = tempfile::tempdir().unwrap();
    let output = shell::run(&format!("set -euo pipefail\n{tour}"), home.path());
    let shown = String::from_utf8_lossy(&output.stdout);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{shown}\n{told}");
    assert!(shown.contains("Kirk Watson"), "{shown}\n{told}");
    let totals: Vec<&str> = shown
        .lines()
        .filter(|line| line.starts_with("airports "))
        .collect();
    assert_eq!(totals.len(), 2, "{shown}");
    assert!(totals[0].contains("3376"), "{shown}");
    assert_eq!(totals[0], totals[1]);
}
