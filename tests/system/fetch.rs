//! Attachments from device to device: on demand, from several at once, over losses and damage.

use crate::harness::{Device, World, finish, line, wait_for, wait_until};
use sedge::BlobId;
use sedge::api::ClientError;
use sedge::api::wire::{FetchRequest, FetchStatus};
use serde_json::{Value, json};
use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};

const CHUNK: usize = 64 << 10;
/// Chunks of which a crash costs some.
const UNSYNCED_CHUNKS: u64 = 64;

/// Bytes of which each chunk is another.
fn content(chunks: usize) -> Vec<u8> {
    let mut bytes = vec![7; chunks * CHUNK + 5];
    for (number, chunk) in bytes.chunks_mut(CHUNK).enumerate() {
        let number = number.to_le_bytes();
        let len = number.len().min(chunk.len());
        chunk[..len].copy_from_slice(&number[..len]);
    }
    bytes
}

/// Adds a file and gives its token.
fn add(device: &Device, file: &Path) -> Value {
    device
        .finish(["attachment", "add", file.to_str().unwrap()])
        .json()
}

fn id(token: &Value) -> &str {
    token["$attachment"]["id"].as_str().unwrap()
}

/// Fetches for at most a minute, told how far it is.
fn fetch(
    device: &Device,
    token: &Value,
    told: impl FnMut(FetchStatus),
) -> Result<FetchStatus, ClientError> {
    let id: BlobId = id(token).parse().unwrap();
    let request = FetchRequest {
        len: token["$attachment"]["len"].as_u64(),
        wait_seconds: Some(60),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let (runtime, client) = (runtime.expect("a runtime"), device.client());
    runtime.block_on(client.fetch_attachment(id, &request, told))
}

/// The bytes of an attachment, as they come out of the device.
fn bytes(device: &Device, world: &World, id: &str) -> Vec<u8> {
    let out = world.path().join("out");
    let get = ["attachment", "get", id, "--output", out.to_str().unwrap()];
    device.finish(get).ok();
    fs::read(out).unwrap()
}

fn stored(device: &Device, id: &str) -> PathBuf {
    let whole = device.state.join("store/blobs/whole");
    whole.join(&id[..2]).join(id)
}

fn wait_for_neighbours(device: &Device, count: usize) {
    wait_until("the neighbours are connected", || {
        let peers = device.finish(["peers", "--json"]).json();
        peers.as_array().map(Vec::len) == Some(count)
    });
}

/// Goal: in a line each device has the bytes when it asked for them and its neighbour has them; who lacks them says so with what
/// to do; `get` fetches by itself, by the id that a document brought.
#[test]
fn attachments_go_from_neighbour_to_neighbour() {
    let world = World::new();
    let [a, b, c] = world.devices();
    let file = world.file("photo", content(9));
    let token = add(&a, &file);
    let id = id(&token);
    a.insert("cars", &json!({"_id": "a", "photo": token}));
    let _daemons = line(&a, &b, &c);
    wait_until("the document is everywhere", || c.documents("cars") == 1);
    wait_for_neighbours(&b, 2);
    wait_for_neighbours(&c, 1);

    let refused = c.finish(["attachment", "fetch", id, "--wait", "0"]);
    for part in [
        id,
        "not on this device",
        "the one connected neighbour does not have it",
        "connect a device",
    ] {
        assert!(refused.refused().contains(part), "{refused:?}");
    }
    let fetched = b.finish(["attachment", "fetch", id, "--json"]).json();
    let len = content(9).len();
    assert_eq!(
        fetched,
        json!({"id": id, "len": len, "bytes": len, "peers": 1})
    );
    let again = b.finish(["attachment", "fetch", id]).ok();
    assert_eq!(again, format!("{len} bytes, all here already\n"));
    assert_eq!(bytes(&c, &world, id), content(9));
    assert_eq!(bytes(&b, &world, id), content(9));
    let listed = c.finish(["attachment", "list", "--json"]).json();
    assert_eq!(listed, json!({"id": id, "len": len, "documents": 1}));
}

/// Goal: what no document names is fetched by its token alone; what can't be fetched is refused with the next step.
#[test]
fn tokens_name_what_no_document_does() {
    let world = World::new();
    let [a, b, _] = world.devices();
    let token = add(&a, &world.file("photo", content(1)));
    let offline = b.finish(["attachment", "fetch", id(&token)]);
    assert!(offline.refused().contains("sedge run"), "{offline:?}");
    let daemon = a.start(&[]);
    let _other = b.start(&[&daemon]);
    let unnamed = b.finish(["attachment", "fetch", id(&token)]);
    assert!(unnamed.refused().contains("give its token"), "{unnamed:?}");
    let text = token.to_string();
    b.finish(["attachment", "fetch", &text]).ok();
    assert_eq!(bytes(&b, &world, id(&token)), content(1));
    for wrong in [
        "{}",
        "00",
        "{\"$attachment\":{\"id\":\"00\",\"len\":5,\"metadata\":{}}}",
    ] {
        let ended = finish(b.sedge().args(["attachment", "fetch", wrong]));
        assert_eq!(ended.code, Some(2), "{ended:?}");
    }
    let mut other_len = token.clone();
    other_len["$attachment"]["len"] = json!(7);
    let ended = b.finish(["attachment", "fetch", &other_len.to_string()]);
    assert!(ended.refused().contains("bytes, not 7"), "{ended:?}");
}

/// Goal: a fetch from two holders goes on when one of them is killed in the middle, and ends with the exact bytes.
#[test]
fn a_killed_holder_is_made_up_for() {
    let world = World::new();
    let [a, b, c] = world.devices();
    let file = world.file("big", content(1_500));
    let token = add(&a, &file);
    add(&b, &file);
    let (a_runs, b_runs) = (a.start(&[]), b.start(&[]));
    let _c_runs = c.start(&[&a_runs, &b_runs]);
    wait_for_neighbours(&c, 2);
    let victim = RefCell::new(Some(b_runs));
    let fetched = fetch(&c, &token, |status| {
        if status.peers == 2
            && let Some(victim) = victim.borrow_mut().take()
        {
            victim.kill();
        }
    });
    assert_eq!(fetched.unwrap().peers, 2);
    assert!(victim.borrow().is_none(), "it was killed in the middle");
    assert_eq!(bytes(&c, &world, id(&token)), content(1_500));
}

/// Goal: a fetcher that is killed in the middle goes on where it was, but for what was not synced.
#[test]
fn a_killed_fetcher_goes_on() {
    let world = World::new();
    let [a, b, _] = world.devices();
    let token = add(&a, &world.file("big", content(1_500)));
    let a_runs = a.start(&[]);
    let b_runs = b.start(&[&a_runs]);
    wait_for_neighbours(&b, 1);
    let before = b_runs.address.clone();
    let (victim, mut came) = (RefCell::new(Some(b_runs)), 0);
    let fetched = fetch(&b, &token, |status| {
        if status.bytes > 0
            && let Some(victim) = victim.borrow_mut().take()
        {
            came = status.bytes;
            victim.kill();
        }
    });
    fetched.expect_err("it was killed in the middle");
    assert!(victim.borrow().is_none() && came > 0);
    let _b_runs = b.start_again(&before, &[&a_runs]);
    let mut first = None;
    let fetched = fetch(&b, &token, |status| {
        first.get_or_insert(status.bytes);
    });
    fetched.unwrap();
    let lost = came.saturating_sub(first.expect("how far it was"));
    assert!(
        lost <= UNSYNCED_CHUNKS * CHUNK as u64,
        "{lost} bytes of {came} were lost"
    );
    assert_eq!(bytes(&b, &world, id(&token)), content(1_500));
}

/// Goal: a holder whose file is damaged gives what is right of it and no wrong byte; the rest comes from another, or is told
/// to be missing.
#[test]
fn a_damaged_holder_gives_what_is_right() {
    let world = World::new();
    let [a, b, c] = world.devices();
    let file = world.file("photo", content(40));
    let token = add(&a, &file);
    let mut damaged = content(40);
    damaged[20 * CHUNK + 9] ^= 1;
    fs::write(stored(&a, id(&token)), damaged).unwrap();
    let a_runs = a.start(&[]);
    let c_runs = c.start(&[&a_runs]);
    wait_for_neighbours(&c, 1);
    let text = token.to_string();
    let refused = c.finish(["attachment", "fetch", &text, "--wait", "0"]);
    assert!(
        refused.refused().contains("the 1 of its 41 pieces"),
        "{refused:?}"
    );
    wait_for("the holder's log names the damage", || {
        a_runs.log().contains("damaged").then_some(())
    });

    add(&b, &file);
    let _b_runs = b.start(&[&c_runs]);
    fetch(&c, &token, drop).unwrap();
    assert_eq!(bytes(&c, &world, id(&token)), content(40));
    wait_for_neighbours(&c, 2);
}
