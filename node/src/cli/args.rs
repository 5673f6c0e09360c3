//! The arguments of every command.

use super::cert::CertCommand;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::parser::ValueSource;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use sedge::{
    ATTACHMENT_GRACE_SECONDS, AppId, BlobId, CheckpointError, Durability, FETCH_WAIT, NodeError,
    Since, Value, check_address, check_collection_name, check_device_name,
    check_writable_collection_name, parse_json,
};
use std::path::PathBuf;
use std::str::FromStr;

/// Sedge: documents that sync between devices, with no server needed.
#[derive(Debug, Parser)]
#[command(
    name = "sedge",
    version,
    propagate_version = true,
    after_help = "Examples:\n  sedge demo                     three peers on this machine carry a real data set\n  \
                  sedge init --app shop          make this device a peer of the app \"shop\"\n  \
                  sedge run                      join the mesh\n  \
                  sedge query 'SELECT * FROM cars LIMIT 5'\n\n\
                  Exit codes: 0 done, 1 failed, 2 wrong usage, 3 done but for rejected lines"
)]
pub(super) struct Arguments {
    /// The device's state folder [default: the user's data folder]
    #[arg(long, global = true, env = "SEDGE_STATE", value_name = "DIR")]
    pub(super) state: Option<PathBuf>,
    /// Whether it was a flag that named the state folder, and not the variable.
    #[arg(skip)]
    pub(super) state_by_flag: bool,
    /// Print JSON instead of text
    #[arg(long, global = true)]
    pub(super) json: bool,
    #[command(subcommand)]
    pub(super) command: Command,
}

impl Arguments {
    /// Those of this process; ends it when they are wrong, or ask for help.
    pub(super) fn of_process() -> Self {
        let matches = Self::command().get_matches();
        let mut arguments = Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
        arguments.state_by_flag = matches.value_source("state") == Some(ValueSource::CommandLine);
        arguments
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run several peers on this machine and watch a data set reach all of them
    Demo(DemoArguments),
    /// Measure this machine: each figure beside what it is compared with
    #[cfg(feature = "bench")]
    Bench(BenchArguments),
    /// Try the sync protocol on simulated meshes in which everything goes wrong
    Simulate(SimulateArguments),
    /// Make a device: key, store, settings and the app's secret
    Init(InitArguments),
    /// Join the mesh and serve this device's commands until stopped
    Run(RunArguments),
    /// Run one statement
    Query(QueryArguments),
    /// Show a SELECT's result and what changes it, as it changes
    Watch(WatchArguments),
    /// Read documents from an NDJSON file into a collection
    Import(ImportArguments),
    /// Write a collection as NDJSON
    Export(ExportArguments),
    /// Show what was accepted, change by change, with each document before and after
    Feed(FeedArguments),
    /// Copy the store as it is now into a new folder, while the daemon runs or not
    Backup(BackupArguments),
    /// Make what is in a backup the store of this device
    Restore(RestoreArguments),
    /// Keep files beside documents: add, get, list, collect
    #[command(
        subcommand,
        after_help = "Examples:\n  sedge attachment add photo.jpg --metadata name=photo.jpg\n  sedge attachment list"
    )]
    Attachment(AttachmentCommand),
    /// Make, show and check certificates: issuer, issue, show, verify, renew, bundle, install
    #[command(
        subcommand,
        after_help = "Examples:\n  sedge cert issuer --app shop --name 'Shop root'\n  \
                      sedge init --app shop --root issuer.crt\n  \
                      sedge cert issue --subject KEY --name till-2 --output till-2.crt\n  \
                      sedge cert install till-2.crt"
    )]
    Cert(Box<CertCommand>),
    /// Show what the device is and holds, per collection with count and digest
    #[command(after_help = "Example:\n  sedge status --json")]
    Status,
    /// Show the connected neighbours
    #[command(after_help = "Example:\n  sedge peers")]
    Peers,
}

/// Arguments of `sedge demo`.
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "Examples:\n  sedge demo\n  sedge demo --peers 5 --once --json\n  \
                  sedge demo --data films.ndjson --collection films\n\n\
                  The peers stand in a line: only neighbours are connected. Ctrl-C stops all of them."
)]
pub(crate) struct DemoArguments {
    /// How many peers
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(2..=16), value_name = "N")]
    pub(crate) peers: u8,
    /// An NDJSON file to import [default: 3,376 airports of the USA]
    #[arg(long, value_name = "FILE")]
    pub(crate) data: Option<PathBuf>,
    /// The collection to import into [default: the file's name without its ending]
    #[arg(long, value_name = "NAME", value_parser = writable_collection)]
    pub(crate) collection: Option<String>,
    /// Stop when all peers hold the same
    #[arg(long)]
    pub(crate) once: bool,
    /// Give up when the peers haven't started and don't hold the same after so many seconds
    #[arg(long, default_value_t = 120, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(crate) timeout: u64,
}

/// Arguments of `sedge bench`.
#[cfg(feature = "bench")]
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  sedge bench store\n  sedge bench store --json > figures.ndjson\n  \
                  sedge bench store --only scan --documents 10000\n\n\
                  One line per figure. A ratio compares two things measured in turn in the same run, by their medians."
)]
pub(crate) struct BenchArguments {
    /// What to measure
    pub(crate) suite: Suite,
    /// Only figures whose name holds this; repeat for more
    #[arg(long, value_name = "TEXT")]
    pub(crate) only: Vec<String>,
    /// Documents of the large collections; the figures' bounds are meant for the default
    #[arg(long, default_value_t = 100_000, value_name = "N", value_parser = clap::value_parser!(u64).range(1_000..=1_000_000))]
    pub(crate) documents: u64,
    /// A folder on the disk to measure [default: the user's cache folder]
    #[arg(long, value_name = "DIR")]
    pub(crate) folder: Option<PathBuf>,
}

/// The suites of `sedge bench`.
#[cfg(feature = "bench")]
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum Suite {
    /// Certificates, and the proofs of changes
    Identity,
    /// Writing, reading and keeping documents, beside SQLite
    Store,
    /// Bringing devices to hold the same
    Sync,
}

/// Arguments of `sedge simulate`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  sedge simulate\n  sedge simulate --first-seed 4711 --seeds 1\n  \
                  sedge simulate --scenario lossy.toml --seeds 20 --json\n\n\
                  The same seed gives the same run. What fails is told with the shortest plan that still fails; the exit code is 1."
)]
pub(super) struct SimulateArguments {
    /// How many runs, each with a seed of its own
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000), value_name = "N")]
    pub(super) seeds: u64,
    /// The seed of the first run
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub(super) first_seed: u64,
    /// A TOML file that describes the mesh and what goes wrong [default: a mixture, which the seeds choose from]
    #[arg(long, value_name = "FILE")]
    pub(super) scenario: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  sedge init --app shop\n  sedge init --app shop --secret-file secret.txt --name till-2\n  \
                  sedge init --app shop --root issuer.crt\n\n\
                  All devices of an app share its secret, and the first one makes it; or an issuer certifies each of \
                  them\n(sedge cert --help)."
)]
pub(super) struct InitArguments {
    /// The app; only devices of the same app and secret exchange anything
    #[arg(long, value_name = "NAME", value_parser = AppId::new)]
    pub(super) app: AppId,
    /// A file with the app's secret, - for standard input [default: a new secret]
    #[arg(long, value_name = "FILE")]
    pub(super) secret_file: Option<PathBuf>,
    /// The certificate of an issuer whose devices are to be met, instead of a secret; repeat for more
    #[arg(long, value_name = "FILE", conflicts_with = "secret_file")]
    pub(super) root: Vec<PathBuf>,
    /// The device's name, as other peers show it [default: the host's name]
    #[arg(long, value_name = "NAME", value_parser = device_name)]
    pub(super) name: Option<String>,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  sedge run\n  sedge run --listen /ip4/0.0.0.0/tcp/4800 --peer /ip4/192.168.1.5/tcp/4747\n\n\
                  Flags override SEDGE_… variables, which override sedge.toml in the state folder."
)]
pub(super) struct RunArguments {
    /// An address to take dials on; repeat for more [default: TCP port 4747, or another one where that is taken]
    #[arg(long, value_name = "ADDR", value_parser = address)]
    pub(super) listen: Vec<String>,
    /// The address of a peer to stay connected to; repeat for more
    #[arg(long, value_name = "ADDR", value_parser = address)]
    pub(super) peer: Vec<String>,
    /// Don't look for peers on the LAN
    #[arg(long)]
    pub(super) no_discovery: bool,
    /// Hold this collection only; repeat for more [default: all]
    #[arg(long, value_name = "COLLECTION", value_parser = collection)]
    pub(super) subscribe: Vec<String>,
    /// When a write is acknowledged: once it is on the disk, or once the system has it (for bulk loads: a power cut may
    /// lose the newest writes) [default: synced]
    #[arg(long, value_name = "WHEN", value_parser = PossibleValuesParser::new(["synced", "os"]).map(durability))]
    pub(super) durability: Option<Durability>,
    /// Stop when standard input ends, so that no process outlives the one that started it
    #[arg(long, hide = true)]
    pub(super) until_stdin_ends: bool,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  sedge query \"SELECT * FROM airports WHERE place.state = 'TX' LIMIT 5\"\n  \
                  sedge query 'INSERT INTO cars DOCUMENTS (:car)' --arg car='{\"_id\": \"a\", \"make\": \"Fiat\"}'\n  \
                  sedge query \"UPDATE cars SET sold = true WHERE _id = 'a'\""
)]
pub(super) struct QueryArguments {
    /// The statement
    pub(super) statement: String,
    /// The value of a parameter, as JSON; repeat for more
    #[arg(long = "arg", value_name = "NAME=JSON", value_parser = parameter)]
    pub(super) arguments: Vec<(String, Value)>,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  sedge watch \"SELECT * FROM orders WHERE state = 'open' ORDER BY time DESC LIMIT 20\"\n  \
                  sedge watch 'SELECT make, COUNT(*) AS cars FROM cars GROUP BY make'\n  \
                  sedge watch 'SELECT _id, km FROM cars WHERE km > :km' --arg km=100000 --json | jq .updated\n\n\
                  On a terminal the rows are shown as they are now: + marks what is new, ~ what changed, > what \
                  moved.\nWith --json, or where the output is no terminal: a line with the whole result, then a line \
                  for each\nchange of it, as docs/http-api.md describes them. Ctrl-C ends it. A daemon has to run."
)]
pub(super) struct WatchArguments {
    /// A SELECT
    pub(super) statement: String,
    /// The value of a parameter, as JSON; repeat for more
    #[arg(long = "arg", value_name = "NAME=JSON", value_parser = parameter)]
    pub(super) arguments: Vec<(String, Value)>,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  sedge import airports.ndjson --collection airports\n  \
                  zcat cars.ndjson.gz | sedge import - --collection cars\n\n\
                  A document whose _id exists gets the imported value. Bad lines are reported; the rest is imported \
                  and the exit code is 3.\nAn import that was cut short can be run again: documents that are the same \
                  already cost nothing."
)]
pub(super) struct ImportArguments {
    /// The file, one JSON object a line; - for standard input
    pub(super) file: PathBuf,
    /// The collection
    #[arg(long, value_name = "NAME", value_parser = writable_collection)]
    pub(super) collection: String,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  sedge export --collection airports --output airports.ndjson\n  \
                  sedge export --collection airports | gzip > airports.ndjson.gz\n\n\
                  A file is replaced only when the export is whole."
)]
pub(super) struct ExportArguments {
    /// The collection
    #[arg(long, value_name = "NAME", value_parser = collection)]
    pub(super) collection: String,
    /// The file to write, - for standard output [default: standard output]
    #[arg(long, value_name = "FILE")]
    pub(super) output: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  sedge feed\n  sedge feed --since now --follow --collection cars\n  \
                  sedge feed --since oldest --follow\n  \
                  sedge feed --since 0bea41c78b4ff1b7a43c5b4ef5d21a44-42\n\n\
                  One JSON object a line. A line {\"checkpoint\": …} says how far it is told: give that to --since to go on \
                  from there.\nWhat is too old is not kept (feed_keep_mib in sedge.toml): whoever asks for it is told to \
                  start over, or to begin with the oldest that is kept (--since oldest)."
)]
pub(super) struct FeedArguments {
    /// After what to begin: a checkpoint, a sequence, oldest (what is kept), or now
    #[arg(long, value_name = "CHECKPOINT", default_value = "0", value_parser = since)]
    pub(super) since: String,
    /// Go on with what is accepted later, until stopped
    #[arg(long)]
    pub(super) follow: bool,
    /// Only this collection
    #[arg(long, value_name = "NAME", value_parser = collection)]
    pub(super) collection: Option<String>,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  sedge backup /mnt/usb/till-2\n  sedge backup \"$HOME/sedge-$(date +%F)\" --json\n\n\
                  Writing goes on meanwhile. The folder appears whole or not at all. It has neither the device's key \
                  nor the app's secret in it.\nOn the file system of the store it shares files with it, so it takes \
                  little space there, and is lost with that disk."
)]
pub(super) struct BackupArguments {
    /// The folder to make; nothing may be there
    pub(super) path: PathBuf,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  sedge restore /mnt/usb/till-2\n  \
                  sedge init --app shop --secret-file secret.txt && sedge restore /mnt/usb/till-2\n  \
                  sedge restore --force /mnt/usb/till-2\n\n\
                  The daemon must not run. Every byte of the backup is checked first. What other peers have and the \
                  backup lacks comes with the next synchronisation.")]
pub(super) struct RestoreArguments {
    /// A folder that sedge backup made, of any device of this app
    pub(super) path: PathBuf,
    /// Set the documents aside that the device has; nothing is deleted
    #[arg(long)]
    pub(super) force: bool,
}

/// What `sedge attachment` does.
#[derive(Debug, Subcommand)]
pub(super) enum AttachmentCommand {
    /// Keep a file's bytes and print the token for a document
    #[command(
        after_help = "Examples:\n  sedge attachment add photo.jpg --metadata name=photo.jpg --metadata type=image/jpeg\n  \
                      sedge query \"INSERT INTO cars DOCUMENTS ({'_id': 'a', 'photo': :photo})\" \\\n    \
                      --arg photo=\"$(sedge attachment add photo.jpg)\"\n\n\
                      What no document names within an hour is removed again. Bytes that are there already take no more room."
    )]
    Add(AddArguments),
    /// Write the bytes of an attachment, fetched from neighbours if a daemon runs and they are not here
    #[command(
        after_help = "Examples:\n  sedge attachment get ID --output photo.jpg\n  sedge attachment get ID --range 0-99 | xxd\n\n\
                      A file is written only when all its bytes are there and are those of the id; run again what was cut \
                      short, and it goes on where it stopped."
    )]
    Get(GetArguments),
    /// Fetch the bytes of an attachment from neighbours, and keep them
    #[command(after_help = "Examples:\n  sedge attachment fetch ID\n  \
                      sedge attachment fetch '{\"$attachment\": {\"id\": \"…\", \"len\": 5, \"metadata\": {}}}' --wait 60\n\n\
                      They come from all connected neighbours that have them, each piece checked. Run again what was cut short, \
                      and it goes on where it stopped. It needs a running daemon.")]
    Fetch(FetchArguments),
    /// Show the attachments on this device, with how many documents name each
    #[command(after_help = "Example:\n  sedge attachment list --json")]
    List,
    /// Remove what no document names any more
    #[command(
        after_help = "Examples:\n  sedge attachment collect\n  sedge attachment collect --older-than 0\n\n\
                      A running daemon does so by itself, every ten minutes."
    )]
    Collect(CollectArguments),
}

#[derive(Debug, Args)]
pub(super) struct AddArguments {
    /// The file; - for standard input
    pub(super) file: PathBuf,
    /// What the token says about the file; repeat for more
    #[arg(long, value_name = "NAME=TEXT", value_parser = metadata)]
    pub(super) metadata: Vec<(String, String)>,
}

#[derive(Debug, Args)]
pub(super) struct FetchArguments {
    /// The attachment's id, or its token as a document has it
    #[arg(value_name = "ID|TOKEN")]
    pub(super) attachment: AttachmentName,
    #[command(flatten)]
    pub(super) wait: Wait,
}

/// How long a fetch waits.
#[derive(Debug, Args)]
pub(super) struct Wait {
    /// Wait so many seconds for a neighbour that has it
    #[arg(long = "wait", value_name = "SECONDS", default_value_t = FETCH_WAIT.as_secs(), value_parser = clap::value_parser!(u64).range(0..=3_600))]
    pub(super) seconds: u64,
}

/// An attachment as a person names it.
#[derive(Clone, Copy, Debug)]
pub(super) struct AttachmentName {
    pub(super) id: BlobId,
    /// How many bytes it has, where that was told.
    pub(super) len: Option<u64>,
}

impl FromStr for AttachmentName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.trim_start().starts_with('{') {
            return match parse_json(text) {
                Ok(Value::Attachment(token)) => Ok(Self {
                    id: token.blob().id,
                    len: Some(token.len),
                }),
                _ => Err(
                    "it is no token; one is what `sedge attachment add` prints, and a document has"
                        .to_owned(),
                ),
            };
        }
        let id = text.parse::<BlobId>().map_err(|error| error.to_string())?;
        Ok(Self { id, len: None })
    }
}

#[derive(Debug, Args)]
pub(super) struct GetArguments {
    /// The attachment's id, or its token as a document has it
    #[arg(value_name = "ID|TOKEN")]
    pub(super) attachment: AttachmentName,
    #[command(flatten)]
    pub(super) wait: Wait,
    /// The file to write, - for standard output [default: standard output]
    #[arg(long, short, value_name = "FILE", conflicts_with = "range")]
    pub(super) output: Option<PathBuf>,
    /// Only these bytes, counted from 0, the last one included; to the end when it is left out
    #[arg(long, value_name = "FIRST-[LAST]", value_parser = byte_range)]
    pub(super) range: Option<std::ops::Range<u64>>,
}

#[derive(Debug, Args)]
pub(super) struct CollectArguments {
    /// Only what no document has named for so many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = ATTACHMENT_GRACE_SECONDS)]
    pub(super) older_than: u64,
}

fn metadata(argument: &str) -> Result<(String, String), String> {
    match argument.split_once('=') {
        Some((name, text)) if !name.is_empty() => Ok((name.to_owned(), text.to_owned())),
        _ => Err("write it like --metadata name=photo.jpg".to_owned()),
    }
}

fn byte_range(text: &str) -> Result<std::ops::Range<u64>, String> {
    let parse = || {
        let (first, last) = text.split_once('-')?;
        let first = first.parse().ok()?;
        let end = match last {
            "" => u64::MAX,
            last => last.parse::<u64>().ok()?.saturating_add(1),
        };
        (first < end).then_some(first..end)
    };
    parse().ok_or_else(|| "write it like --range 0-99 or --range 100-".to_owned())
}

fn since(text: &str) -> Result<String, CheckpointError> {
    text.parse::<Since>().map(|_| text.to_owned())
}

fn address(text: &str) -> Result<String, NodeError> {
    check_address(text)?;
    Ok(text.to_owned())
}

fn collection(name: &str) -> Result<String, String> {
    check_collection_name(name)?;
    Ok(name.to_owned())
}

fn writable_collection(name: &str) -> Result<String, String> {
    check_writable_collection_name(name)?;
    Ok(name.to_owned())
}

fn durability(word: String) -> Durability {
    match word.as_str() {
        "os" => Durability::Os,
        _ => Durability::Synced,
    }
}

fn device_name(name: &str) -> Result<String, String> {
    check_device_name(name)?;
    Ok(name.to_owned())
}

/// The name and value of a statement's parameter.
fn parameter(argument: &str) -> Result<(String, Value), String> {
    const FORM: &str = "write it like --arg name='\"text\"' or --arg n=5";
    let (name, text) = argument
        .split_once('=')
        .ok_or_else(|| format!("there is no = in it; {FORM}"))?;
    let value = parse_json(text).map_err(|error| format!("not JSON: {error}; {FORM}"))?;
    Ok((name.trim_start_matches(':').to_owned(), value))
}
