//! Logs go to standard error; `SEDGE_LOG` says how much (tracing's filter syntax).

use super::output::one_line;
use std::fmt;
use std::io::{self, IsTerminal};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::{DefaultFields, Writer};

/// The mesh library tells of every packet it dislikes; its warnings are enough.
const DAEMON: &str =
    "info,libp2p=warn,libp2p_mdns=error,libp2p_gossipsub=error,netlink_proto=error";
const COMMAND: &str = "error";

pub(super) fn start(daemon: bool) {
    let default = if daemon { DAEMON } else { COMMAND };
    let filter = match std::env::var("SEDGE_LOG") {
        Ok(filter) => EnvFilter::builder().parse_lossy(filter),
        Err(_) => EnvFilter::builder().parse_lossy(default),
    };
    let color =
        io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|set| set.is_empty());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(color)
        .with_target(false)
        .fmt_fields(OneLine)
        .init();
}

/// Writes message and fields on one line, whatever texts from outside (paths, errors, names) are in them.
struct OneLine;

impl<'w> FormatFields<'w> for OneLine {
    fn format_fields<R: RecordFields>(&self, mut writer: Writer<'w>, fields: R) -> fmt::Result {
        let mut text = String::new();
        DefaultFields::new().format_fields(Writer::new(&mut text), fields)?;
        writer.write_str(&one_line(&text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Goal: a path with control characters is one line of the log and shows them, in a field as in a message.
    #[test]
    fn control_characters_are_shown() {
        let written = Written::default();
        let sink = written.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(move || sink.clone())
            .with_ansi(false)
            .without_time()
            .with_target(false)
            .fmt_fields(OneLine)
            .finish();
        let path = Path::new("/a\n\x1b[2J\u{9b}é");
        tracing::subscriber::with_default(subscriber, || {
            tracing::warn!(path = %path.display(), tries = 2, "no {}", path.display());
        });
        let line = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        let (message, field) = line.split_once(" path=").unwrap();
        assert!(!message.contains(char::is_control), "{message:?}");
        assert!(message.contains(r"/a\n"), "{message:?}");
        assert_eq!(field, "/a\\n\\u{1b}[2J\\u{9b}é tries=2\n");
    }
}
