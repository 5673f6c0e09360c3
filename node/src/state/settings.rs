//! Settings of the daemon: `sedge.toml`, overridden by `SEDGE_…` variables, overridden by flags.

use super::{StateError, read};
use config::{Config, Environment, File, FileFormat};
use sedge_crdt::limits::FEED_KEEP_BYTES;
use sedge_crdt::{Durability, StoreOptions};
use sedge_identity::NAME_BYTES_MAX;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::path::Path;

const ENVIRONMENT_PREFIX: &str = "SEDGE_";

/// The names of the settings, as the file spells them.
const NAMES: [&str; 8] = [
    "app",
    "name",
    "listen",
    "peers",
    "discovery",
    "subscribe",
    "durability",
    "feed_keep_mib",
];
/// Those that are lists; a variable separates their items by commas.
const LISTS: [&str; 3] = ["listen", "peers", "subscribe"];

/// What a daemon is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The app whose peers this device meets.
    pub app: String,
    /// The device's name, as other peers show it.
    #[serde(default)]
    pub name: String,
    /// Addresses to listen on; none named: port 4747 of every interface, or one that the system chooses where another
    /// device of this machine has that.
    #[serde(default)]
    pub listen: Vec<String>,
    /// Addresses of peers to stay connected to.
    #[serde(default)]
    pub peers: Vec<String>,
    /// Whether to look for peers on the LAN (mDNS).
    #[serde(default = "discovery_default")]
    pub discovery: bool,
    /// The collections to hold; none named: all.
    #[serde(default)]
    pub subscribe: Vec<String>,
    /// When a write is acknowledged: `synced` once it is on the disk, `os` once the operating system has it, which is for
    /// bulk loads.
    #[serde(default)]
    pub durability: Durability,
    /// How many MiB of changes the feed keeps for its readers; 0 for none.
    #[serde(default = "feed_keep_default")]
    pub feed_keep_mib: u32,
}

fn feed_keep_default() -> u32 {
    (FEED_KEEP_BYTES >> 20) as u32
}

fn discovery_default() -> bool {
    true
}

/// Refuses a name that no device can have.
///
/// # Errors
/// Says what is wrong with a name that is empty, longer than 256 bytes, or has control characters.
pub fn check_device_name(name: &str) -> Result<(), String> {
    if name.is_empty() || name.len() > NAME_BYTES_MAX {
        return Err(format!(
            "a device's name has 1 to {NAME_BYTES_MAX} bytes, this one has {}",
            name.len()
        ));
    }
    if name.chars().any(char::is_control) {
        return Err(format!(
            "the device's name {name:?} contains a control character"
        ));
    }
    Ok(())
}

impl Settings {
    /// The settings of a new device.
    pub fn of(app: &str, name: &str) -> Self {
        Self {
            app: app.to_owned(),
            name: name.to_owned(),
            listen: Vec::new(),
            peers: Vec::new(),
            discovery: discovery_default(),
            subscribe: Vec::new(),
            durability: Durability::default(),
            feed_keep_mib: feed_keep_default(),
        }
    }

    /// How the store is opened.
    pub fn store_options(&self) -> StoreOptions {
        StoreOptions {
            durability: self.durability,
            feed_keep_bytes: u64::from(self.feed_keep_mib) << 20,
            ..StoreOptions::default()
        }
    }

    pub(super) fn load(path: &Path) -> Result<Self, StateError> {
        let text = read(path)?;
        // The file by itself first, so that each error names its source.
        Self::parse(&text, HashMap::new()).map_err(|reason| StateError::Content {
            path: path.to_owned(),
            reason,
        })?;
        let variables = environment();
        check_names(variables.keys())?;
        Self::parse(&text, variables).map_err(|reason| {
            StateError::Variables(format!("a {ENVIRONMENT_PREFIX}… variable: {reason}"))
        })
    }

    fn parse(text: &str, environment: HashMap<String, String>) -> Result<Self, String> {
        let mut variables = Environment::default()
            .prefix("SEDGE")
            .prefix_separator("_")
            .separator("__")
            .try_parsing(true)
            .list_separator(",")
            .source(Some(environment));
        for list in LISTS {
            variables = variables.with_list_parse_key(list);
        }
        Config::builder()
            .add_source(File::from_str(text, FileFormat::Toml))
            .add_source(variables)
            .build()
            .and_then(Config::try_deserialize)
            .map_err(|error| one_line(&error.to_string()))
    }

    pub(super) fn to_toml(&self) -> String {
        let values = toml::to_string(self).unwrap_or_default();
        format!(
            "# Settings of this device. A variable such as SEDGE_DISCOVERY=false overrides them, and a flag overrides \
             both.\n{values}"
        )
    }
}

fn check_names<'a>(variables: impl Iterator<Item = &'a String>) -> Result<(), StateError> {
    for variable in variables {
        let name = variable
            .trim_start_matches(ENVIRONMENT_PREFIX)
            .to_lowercase();
        if !NAMES.contains(&name.as_str()) {
            return Err(StateError::Variables(format!(
                "{variable} is no setting; there are: {}",
                NAMES
                    .map(|name| format!("{ENVIRONMENT_PREFIX}{}", name.to_uppercase()))
                    .join(", ")
            )));
        }
    }
    Ok(())
}

/// An error message without the drawing of the place that some have.
fn one_line(text: &str) -> String {
    let drawn = |line: &&str| {
        line.trim_start_matches([' ', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9'])
            .starts_with('|')
    };
    let lines = text
        .lines()
        .filter(|line| !line.trim().is_empty() && !drawn(line));
    lines.map(str::trim).collect::<Vec<_>>().join(": ")
}

/// The variables that are settings; `SEDGE_STATE` and `SEDGE_LOG` are flags, passphrases are for `sedge cert`, and tests have their own.
fn environment() -> HashMap<String, String> {
    let not_settings = ["STATE", "LOG", "FULL", "PASSPHRASE", "ISSUER_PASSPHRASE"];
    std::env::vars()
        .filter(|(name, _)| match name.strip_prefix(ENVIRONMENT_PREFIX) {
            Some(rest) => !not_settings.contains(&rest) && !rest.starts_with("TEST_"),
            None => false,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: what init writes is what the daemon reads, and variables win over the file.
    #[test]
    fn file_then_environment() {
        let written = Settings::of("demo", "pi");
        let none = HashMap::new();
        assert_eq!(Settings::parse(&written.to_toml(), none).unwrap(), written);
        let variables = HashMap::from([
            ("SEDGE_DISCOVERY".to_owned(), "false".to_owned()),
            (
                "SEDGE_PEERS".to_owned(),
                "/ip4/1.2.3.4/tcp/1,/ip4/1.2.3.4/tcp/2".to_owned(),
            ),
        ]);
        let settings = Settings::parse(&written.to_toml(), variables).unwrap();
        assert!(!settings.discovery);
        assert_eq!(settings.peers.len(), 2);
    }

    /// Goal: durability is one of two words; any other is an error that names them.
    #[test]
    fn durability_is_synced_or_os() {
        let parse =
            |text: &str| Settings::parse(&format!("app = \"demo\"\n{text}"), HashMap::new());
        assert_eq!(parse("").unwrap().durability, Durability::Synced);
        let os = parse("durability = \"os\"");
        assert_eq!(os.unwrap().durability, Durability::Os);
        let wrong = parse("durability = \"none\"").unwrap_err();
        assert!(wrong.contains("synced") && wrong.contains("os"), "{wrong}");
    }

    /// Goal: how much the feed keeps can be set in the file and by a variable; less than nothing is refused.
    #[test]
    fn what_the_feed_keeps_is_set_in_mib() {
        let parse = |text: &str, variables| {
            Settings::parse(&format!("app = \"demo\"\n{text}"), variables)
                .map(|s| s.store_options())
        };
        let bytes = |options: Result<StoreOptions, String>| options.unwrap().feed_keep_bytes;
        assert_eq!(bytes(parse("", HashMap::new())), FEED_KEEP_BYTES);
        assert_eq!(bytes(parse("feed_keep_mib = 3", HashMap::new())), 3 << 20);
        let off = HashMap::from([("SEDGE_FEED_KEEP_MIB".to_owned(), "0".to_owned())]);
        assert_eq!(bytes(parse("feed_keep_mib = 3", off)), 0);
        assert!(parse("feed_keep_mib = -1", HashMap::new()).is_err());
    }

    #[test]
    fn a_misspelt_setting_is_an_error() {
        let error = Settings::parse("app = \"demo\"\nlisten_on = []", HashMap::new());
        assert!(error.unwrap_err().contains("listen_on"));
    }
}
