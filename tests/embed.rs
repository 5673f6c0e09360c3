//! The library as programs use it: the embedding example, run as a user would, and what only a program can set.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use sedge::{Identity, Node, NodeBuilder};
use sedge_identity::{
    AppId, CertificateKind, CertificateRequest, DeviceKey, Issuer, PublicKey, Validity,
};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

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

/// When the certificates of the test are issued, in ms since the Unix epoch.
const ISSUED_MS: u64 = 1_750_000_000_000;
const DAY_MS: u64 = 86_400_000;

/// The clock of the device that judges.
static JUDGES_CLOCK_MS: AtomicU64 = AtomicU64::new(ISSUED_MS);

fn judges_clock() -> u64 {
    JUDGES_CLOCK_MS.load(Ordering::SeqCst)
}

/// A clock that stands where every certificate is fresh.
fn stopped_clock() -> u64 {
    ISSUED_MS
}

struct Fleet {
    folder: tempfile::TempDir,
    issuer: Issuer,
}

impl Fleet {
    fn new() -> Self {
        let app = AppId::new("shop").unwrap();
        Self {
            folder: tempfile::tempdir().unwrap(),
            issuer: Issuer::new(app, DeviceKey::from_seed([1; 32])),
        }
    }

    fn certificate(&self, kind: CertificateKind, subject: PublicKey, days: u64) -> String {
        let request = CertificateRequest {
            kind,
            validity: Validity::Life {
                life_ms: days * DAY_MS,
            },
            ..CertificateRequest::development(subject, "device")
        };
        let signed = self.issuer.issue(request, [2; 16], ISSUED_MS).unwrap();
        signed.to_text()
    }

    /// A device whose certificate lives so many days; its key is made beforehand.
    fn device(&self, seed: u8, days: u64) -> NodeBuilder {
        let state = self.folder.path().join(seed.to_string());
        std::fs::create_dir_all(&state).unwrap();
        let key = DeviceKey::from_seed([seed; 32]);
        std::fs::write(
            state.join("device.key"),
            sedge_identity::hex(&[seed; 32]).to_string(),
        )
        .unwrap();
        let root = self.certificate(CertificateKind::Issuer, self.issuer.public(), 10_000);
        let own = self.certificate(CertificateKind::Device, key.public(), days);
        Node::builder("shop")
            .identity(Identity::authenticated(own, root))
            .store(state)
            .listen(["/ip4/127.0.0.1/tcp/0"])
            .discovery(false)
    }

    fn clock_file(&self, seed: u8) -> std::path::PathBuf {
        self.folder.path().join(seed.to_string()).join("clock")
    }
}

async fn until(what: &str, is_so: impl Fn() -> bool) {
    for _ in 0..1_200 {
        if is_so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("not within 30 s: {what}");
}

/// Goal: a device whose clock is set back by a year while it is off still refuses a certificate that had ended before, and
/// still takes one that has not; removing the file that keeps the time makes the clock count alone. A clock that was far
/// ahead is not kept beyond the end of the device's own certificate.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_is_set_back_lets_no_expired_certificate_in() {
    let fleet = Fleet::new();
    let judge = || fleet.device(10, 1_000).clock(judges_clock);
    JUDGES_CLOCK_MS.store(ISSUED_MS + 5 * DAY_MS, Ordering::SeqCst);
    judge().start().await.unwrap().shutdown().await;
    let kept = || std::fs::read_to_string(fleet.clock_file(10)).unwrap();
    assert_eq!(kept().trim(), (ISSUED_MS + 5 * DAY_MS).to_string());

    JUDGES_CLOCK_MS.store(ISSUED_MS - 360 * DAY_MS, Ordering::SeqCst);
    let judging = judge().start().await.unwrap();
    assert_eq!(judging.clock_behind_ms(), 365 * DAY_MS);
    let address = judging.listen_addresses()[0].to_string();
    let dialling = |seed, days| fleet.device(seed, days).clock(stopped_clock).peer(&address);
    let ended = dialling(11, 1).start().await.unwrap();
    let good = dialling(12, 30).start().await.unwrap();
    let knows = |other: &Node| {
        let peers = judging.peers();
        peers.iter().any(|peer| peer.peer == other.peer_id())
    };
    until("the good one is admitted", || knows(&good)).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(!knows(&ended), "{:?}", judging.peers());
    for node in [judging, ended, good] {
        node.shutdown().await;
    }
    assert_eq!(kept().trim(), (ISSUED_MS + 5 * DAY_MS).to_string());

    // The clock was wrong: years ahead. It is believed up to the end of the own certificate, not farther.
    JUDGES_CLOCK_MS.store(ISSUED_MS + 999 * DAY_MS, Ordering::SeqCst);
    let ahead = judge().start().await.unwrap();
    JUDGES_CLOCK_MS.store(ISSUED_MS + 9_999 * DAY_MS, Ordering::SeqCst);
    ahead.shutdown().await;
    drop(ahead);
    assert_eq!(kept().trim(), (ISSUED_MS + 1_000 * DAY_MS).to_string());

    // What a person does about it.
    std::fs::remove_file(fleet.clock_file(10)).unwrap();
    JUDGES_CLOCK_MS.store(ISSUED_MS, Ordering::SeqCst);
    let corrected = judge().start().await.unwrap();
    assert_eq!(corrected.clock_behind_ms(), 0);
    corrected.shutdown().await;
    drop(corrected);

    std::fs::write(fleet.clock_file(10), "noon\n").unwrap();
    let error = judge().start().await.err().unwrap().to_string();
    assert!(
        error.contains("clock") && error.contains("remove it"),
        "{error}"
    );
}
