//! Writers that know what must be there after a crash: what was acknowledged, and each transaction wholly or not at all.
//!
//! A writer has a collection of its own and writes groups: documents that one transaction makes, changes or deletes
//! together, so all of them always have the same version, or are all absent.

use crate::harness::Device;
use sedge::Value;
use sedge::api::wire::{ExecuteRequest, ImportRequest};
use sedge::api::{Client, ClientError};
use std::collections::BTreeMap;
use tokio::runtime::{Builder, Runtime};

/// Groups of a writer; a few, so that each is written again and again.
const GROUPS: u64 = 40;
/// Most documents of a group.
const GROUP_DOCUMENTS_MAX: u64 = 24;
/// Longest text of a document, in bytes: some writes take several blocks of the log.
const TEXT_BYTES_MAX: u64 = 12_000;

/// Numbers that follow from a seed (SplitMix64).
pub(crate) struct Numbers(u64);

impl Numbers {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The seed in `SEDGE_SEED`, else one by the clock; told, so that a failed run can be repeated.
    pub(crate) fn of_surroundings(test: &str) -> Self {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let seed = match std::env::var("SEDGE_SEED") {
            Ok(seed) => seed.parse().expect("SEDGE_SEED is a number"),
            Err(_) => now.expect("a time after 1970").as_micros() as u64,
        };
        println!("{test}: SEDGE_SEED={seed}");
        Self(seed)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

/// How many documents a group has.
fn size(group: u64) -> u64 {
    match group % 3 {
        0 => 1, // a single insert
        _ => 2 + group % (GROUP_DOCUMENTS_MAX - 1),
    }
}

/// Writes over the daemon's socket until it is gone, or refuses.
pub(crate) struct Writer {
    collection: String,
    numbers: Numbers,
    runtime: Runtime,
    client: Client,
    version: u64,
    /// The version of each group that was acknowledged; those that are not there were never made, or are deleted.
    acknowledged: BTreeMap<u64, u64>,
    /// The transaction without an answer: the group, and its version if it went through.
    pending: Option<(u64, Option<u64>)>,
    /// Transactions that were acknowledged.
    pub(crate) count: u64,
}

impl Writer {
    pub(crate) fn new(device: &Device, name: u64, seed: u64) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build();
        Self {
            collection: format!("writer{name}"),
            numbers: Numbers::new(seed),
            runtime: runtime.expect("a runtime"),
            client: device.client(),
            version: 0,
            acknowledged: BTreeMap::new(),
            pending: None,
            count: 0,
        }
    }

    /// Writes until a write fails, and gives the reason.
    pub(crate) fn write(&mut self) -> ClientError {
        loop {
            if let Err(error) = self.step() {
                return error;
            }
        }
    }

    /// One transaction on a group by chance.
    fn step(&mut self) -> Result<(), ClientError> {
        let group = self.numbers.below(GROUPS);
        self.version += 1;
        let version = self.version;
        let is_there = self.acknowledged.contains_key(&group);
        let collection = &self.collection;
        let choice = self.numbers.below(4);
        self.pending = Some((group, (!is_there || choice > 0).then_some(version)));
        let client = &self.client;
        let write = async {
            match (is_there, choice) {
                (true, 0) => {
                    let delete = format!("DELETE FROM {collection} WHERE g = {group}");
                    execute(client, delete, BTreeMap::new()).await
                }
                (true, 1) => {
                    let set = format!("UPDATE {collection} SET v = {version} WHERE g = {group}");
                    execute(client, set, BTreeMap::new()).await
                }
                (false, 0 | 1) => {
                    let documents = documents(group, version);
                    let names: Vec<_> = (0..documents.len()).map(|n| format!("(:d{n})")).collect();
                    let values = documents.into_iter().enumerate();
                    let args = values.map(|(n, value)| (format!("d{n}"), value)).collect();
                    let insert = format!("INSERT INTO {collection} DOCUMENTS {}", names.join(", "));
                    execute(client, insert, args).await
                }
                _ => {
                    let request = ImportRequest {
                        collection: collection.clone(),
                        documents: documents(group, version),
                    };
                    client.import(&request).await.map(drop)
                }
            }
        };
        self.runtime.block_on(write)?;
        self.settle();
        self.count += 1;
        Ok(())
    }

    /// Takes the pending transaction for done.
    fn settle(&mut self) {
        match self.pending.take() {
            Some((group, Some(version))) => drop(self.acknowledged.insert(group, version)),
            Some((group, None)) => drop(self.acknowledged.remove(&group)),
            None => {}
        }
    }

    /// Sees that what the device holds is what was acknowledged, and the pending transaction wholly or not at all. Once
    /// that is there it counts; while it is not, it may still come until the next write.
    pub(crate) fn check(&mut self, device: &Device) {
        let statement = format!("SELECT g, v FROM {}", self.collection);
        let mut held: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
        for row in device.rows(&statement) {
            let number = |key: &str| row[key].as_u64().expect("a number");
            held.entry(number("g")).or_default().push(number("v"));
        }
        let mut found = BTreeMap::new();
        for (group, versions) in &held {
            let whole = versions.len() as u64 == size(*group)
                && versions.iter().all(|version| *version == versions[0]);
            assert!(
                whole,
                "{} {group} is there in part: {versions:?}",
                self.collection
            );
            found.insert(*group, versions[0]);
        }
        if found != self.acknowledged {
            let before = (self.acknowledged.clone(), self.pending);
            self.settle();
            assert!(
                found == self.acknowledged,
                "{} has {found:?}; acknowledged and pending were {before:?}",
                self.collection
            );
        }
    }
}

/// The documents of a group, with texts that don't compress.
fn documents(group: u64, version: u64) -> Vec<Value> {
    let mut numbers = Numbers::new(group << 32 | version);
    let document = |n| {
        let bytes = match numbers.below(8) {
            0 => numbers.below(TEXT_BYTES_MAX),
            _ => numbers.below(300),
        };
        let text: String = (0..bytes)
            .map(|_| char::from(b'!' + numbers.below(90) as u8))
            .collect();
        let json = serde_json::json!({
            "_id": format!("{group}-{n}"),
            "g": group,
            "v": version,
            "place": {"text": text},
        });
        sedge::parse_json(&json.to_string()).expect("a document")
    };
    (0..size(group)).map(document).collect()
}

async fn execute(
    client: &Client,
    statement: String,
    args: BTreeMap<String, Value>,
) -> Result<(), ClientError> {
    let request = ExecuteRequest { statement, args };
    client.execute(&request).await.map(drop)
}
