//! The `console` examples of the documentation: typed as they stand, one page in one shell, with a device of its own.
//!
//! A line `$ command` is typed; one that ends in `\` goes on in the next line. What stands below is what the command
//! prints, on both its streams. `…` stands for whatever differs from run to run: within a line for any text, as a line
//! of its own for any lines.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "docs/shell.rs"]
mod shell;

use std::fmt::Write;

/// Stands before the output of each command.
const MARK: char = '\u{1e}';

/// Stands for what differs from run to run.
const ANYTHING: &str = "…";

/// The state folder that pages name where they need one.
const STATE: &str = "/tmp/docs";

/// Goal: every example of the query language works as printed.
#[test]
fn the_query_language_is_as_documented() {
    let page = Page::read("docs/query-language.md");
    assert!(page.examples.len() > 30, "{}", page.examples.len());
    page.check("sedge init --app docs --name docs >/dev/null\n");
}

/// Goal: every example of the HTTP API works as printed.
#[test]
fn the_http_api_is_as_documented() {
    let page = Page::read("docs/http-api.md");
    assert!(page.examples.len() > 10, "{}", page.examples.len());
    page.check("");
}

/// Goal: every example of certificates works as printed.
#[test]
fn certificates_are_as_documented() {
    let page = Page::read("docs/certificates.md");
    assert!(page.examples.len() > 8, "{}", page.examples.len());
    page.check("cd \"$(dirname \"$SEDGE_STATE\")\"\n");
}

/// Goal: every example of the simulator works as printed.
#[test]
fn simulations_are_as_documented() {
    let page = Page::read("docs/simulation.md");
    assert!(page.examples.len() > 1, "{}", page.examples.len());
    page.check("cd \"$(dirname \"$SEDGE_STATE\")\"\n");
}

/// One command and what it prints.
struct Example {
    line: usize,
    command: String,
    output: Vec<String>,
}

struct Page {
    name: &'static str,
    examples: Vec<Example>,
}

impl Page {
    fn read(name: &'static str) -> Self {
        let text = std::fs::read_to_string(shell::root().join(name)).unwrap();
        let (mut examples, mut within) = (Vec::<Example>::new(), false);
        for (index, line) in text.lines().enumerate() {
            let last = examples.last_mut();
            match (line, last) {
                ("```console", _) => within = true,
                ("```", _) => within = false,
                _ if !within => {}
                (line, Some(last)) if last.command.ends_with('\\') => {
                    last.command.push('\n');
                    last.command.push_str(line);
                }
                (line, last) => match (line.strip_prefix("$ "), last) {
                    (Some(command), _) => examples.push(Example {
                        line: index + 1,
                        command: command.to_owned(),
                        output: Vec::new(),
                    }),
                    (None, Some(last)) => last.output.push(line.to_owned()),
                    (None, None) => panic!("{name}: the first example begins with its output"),
                },
            }
        }
        Self { name, examples }
    }

    /// Types all commands into one shell, after `before`, and compares.
    fn check(&self, before: &str) {
        let home = tempfile::tempdir().unwrap();
        let state = home.path().join("state");
        let state = state.to_str().unwrap();
        let mut script = format!(
            "export SEDGE_STATE={state}\ntrap 'kill $(jobs -p) 2>/dev/null' EXIT\n{before}"
        );
        for example in &self.examples {
            let command = example.command.replace(STATE, state);
            writeln!(script, "printf '%b' '\\x1e'\n{{ {command}\n}} 2>&1").unwrap();
            if command.starts_with("sedge run") {
                let socket = format!("{state}/run/sedge.sock");
                writeln!(
                    script,
                    "for _ in {{1..600}}; do [ -S {socket} ] && break; sleep 0.1; done"
                )
                .unwrap();
            }
        }
        let output = shell::run(&script, home.path());
        let shown = String::from_utf8(output.stdout)
            .unwrap()
            .replace(state, STATE);
        let told = String::from_utf8_lossy(&output.stderr);
        let printed: Vec<&str> = shown.split(MARK).skip(1).collect();
        assert_eq!(printed.len(), self.examples.len(), "{shown}\n{told}");
        let mut wrong = String::new();
        for (example, printed) in self.examples.iter().zip(printed) {
            let printed: Vec<&str> = printed.trim_end().lines().collect();
            if !lines_fit(&example.output, &printed) {
                let Example {
                    line,
                    command,
                    output,
                } = example;
                let (output, printed) = (output.join("\n"), printed.join("\n"));
                writeln!(
                    wrong,
                    "{}:{line}: $ {command}\n{output}\nbut it prints\n{printed}\n",
                    self.name
                )
                .unwrap();
            }
        }
        assert!(wrong.is_empty(), "{wrong}{told}");
    }
}

fn lines_fit(documented: &[String], printed: &[&str]) -> bool {
    match documented.split_first() {
        None => printed.is_empty(),
        Some((first, rest)) if first == ANYTHING => {
            (0..=printed.len()).any(|skipped| lines_fit(rest, &printed[skipped..]))
        }
        Some((first, rest)) => printed
            .split_first()
            .is_some_and(|(line, after)| fits(first, line) && lines_fit(rest, after)),
    }
}

fn fits(documented: &str, printed: &str) -> bool {
    let mut parts = documented.split(ANYTHING);
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = printed.strip_prefix(first) else {
        return false;
    };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else {
        return rest.is_empty();
    };
    for part in parts {
        let Some(at) = rest.find(part) else {
            return false;
        };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

/// Goal: `…` stands for any text, and for nothing else.
#[test]
fn what_differs_is_marked() {
    for (documented, printed, expected) in [
        ("abc", "abc", true),
        ("abc", "abd", false),
        ("a…c", "a12c", true),
        ("a…c", "a12", false),
        ("a…b…c", "a1b2c", true),
        ("a…b…c", "a12c", false),
        ("…", "", true),
        ("a…", "ab", true),
        ("…a", "ab", false),
    ] {
        assert_eq!(
            fits(documented, printed),
            expected,
            "{documented} {printed}"
        );
    }
    let documented = ["a", "…", "b"].map(str::to_owned);
    assert!(lines_fit(&documented, &["a", "b"]));
    assert!(lines_fit(&documented, &["a", "x", "y", "b"]));
    assert!(!lines_fit(&documented, &["a", "x", "y"]));
}
