//! Attachments between running meshes.

use super::*;
use sedge_mesh::{
    Blob, BlobRequest, Blobs, Chunk, ChunkSet, FetchError, FetchFailure, MemoryBlobs, ReplicaError,
    Taken,
};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

const BLOBS: StreamProtocol = StreamProtocol::new("/sedge/blob/1");

const SHORT: Duration = Duration::from_millis(300);

/// 40 chunks and a bit.
fn content() -> Vec<u8> {
    let mut hasher = blake3::Hasher::new();
    let mut bytes = vec![0; 40 * 65_536 + 77];
    hasher.update(b"content").finalize_xof().fill(&mut bytes);
    bytes
}

/// Blobs that count what they give, give it slowly, and may lie.
#[derive(Default)]
struct Watched {
    blobs: Arc<MemoryBlobs>,
    given: AtomicUsize,
    pause: Duration,
    lies: bool,
    fails: AtomicBool,
}

impl Blobs for Watched {
    fn held(&self, blob: Blob) -> Result<ChunkSet, ReplicaError> {
        self.blobs.held(blob)
    }

    fn chunk(&self, blob: Blob, index: u64) -> Result<Option<Chunk>, ReplicaError> {
        assert!(!self.fails.load(Ordering::SeqCst), "the test's panic");
        #[expect(clippy::disallowed_methods, reason = "a slow disk")]
        std::thread::sleep(self.pause);
        self.given.fetch_add(1, Ordering::SeqCst);
        let chunk = self.blobs.chunk(blob, index)?;
        Ok(chunk.map(|chunk| match self.lies {
            true => Chunk {
                bytes: vec![0; chunk.bytes.len()].into(),
                ..chunk
            },
            false => chunk,
        }))
    }

    fn accept(&self, blob: Blob, index: u64, chunk: &Chunk) -> Result<Taken, ReplicaError> {
        self.blobs.accept(blob, index, chunk)
    }
}

/// A peer with blobs of which it keeps those chunks.
fn holder(number: u8, pause: Duration, keeps: impl Fn(u64) -> bool) -> (Peer, Arc<Watched>, Blob) {
    let mut peer = Peer::new(number);
    let watched = Watched {
        pause,
        ..Watched::default()
    };
    let blob = watched.blobs.keep(&content(), keeps);
    let watched = Arc::new(watched);
    peer.blobs = watched.clone();
    (peer, watched, blob)
}

/// A peer without any blob.
fn fetcher(number: u8) -> (Peer, Arc<MemoryBlobs>) {
    let (mut peer, blobs) = (Peer::new(number), Arc::new(MemoryBlobs::default()));
    peer.blobs = blobs.clone();
    (peer, blobs)
}

async fn fetch(peer: &Peer, blob: Blob, wait: Duration) -> Result<(), FetchError> {
    let mut fetching = peer.handle().fetcher().fetch(blob, wait).await?;
    fetching.done().await
}

/// Goal: a blob comes from two neighbours of which neither has all of it, exactly, each chunk once; who asks for the same at
/// the same time waits for the same fetch.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blob_comes_from_two_holders() {
    let pause = Duration::from_millis(2);
    let (mut one, given_one, blob) = holder(1, pause, |index| index % 3 != 0);
    let (mut two, given_two, _) = holder(2, pause, |index| index % 3 != 1);
    let (mut third, blobs) = fetcher(3);
    let addresses = [one.start(ANY, &[]).await, two.start(ANY, &[]).await];
    third.start(ANY, &addresses).await;
    let mut fetching = third.handle().fetcher().fetch(blob, LIMIT).await.unwrap();
    let mut same = third.handle().fetcher().fetch(blob, LIMIT).await.unwrap();
    let mut bytes = 0;
    while let Some(progress) = fetching.further().await {
        assert!(progress.bytes >= bytes && progress.of == blob.len);
        bytes = progress.bytes;
    }
    fetching.done().await.unwrap();
    same.done().await.unwrap();
    let progress = same.progress();
    assert_eq!((progress.bytes, progress.peers), (blob.len, 2));
    assert_eq!(blobs.content(blob), Some(content()));
    let given = [given_one, given_two].map(|it| it.given.load(Ordering::SeqCst));
    assert!(given.iter().all(|given| *given >= 13), "{given:?}");
    fetch(&third, blob, SHORT).await.unwrap();
    for peer in [&mut one, &mut two, &mut third] {
        peer.stop().await;
    }
}

/// Goal: where nobody has a blob the fetch says so after its wait; it begins as soon as somebody comes who has it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fetch_waits_for_somebody_who_has_it() {
    let (mut late, _, blob) = holder(1, Duration::ZERO, |_| true);
    let (mut without, _) = fetcher(2);
    let (mut third, blobs) = fetcher(3);
    let address = third.start(ANY, &[]).await;
    let nobody = |neighbours| FetchFailure::NobodyHasIt {
        neighbours,
        missing: 41,
        chunks: 41,
    };
    assert_eq!(fetch(&third, blob, SHORT).await, Err(nobody(0).into()));
    without.start(ANY, std::slice::from_ref(&address)).await;
    wait_for("the neighbour", LIMIT, || third.handle().peers().len() == 1).await;
    assert_eq!(fetch(&third, blob, SHORT).await, Err(nobody(1).into()));
    let mut fetching = third.handle().fetcher().fetch(blob, LIMIT).await.unwrap();
    late.start(ANY, &[address]).await;
    fetching.done().await.unwrap();
    assert_eq!(blobs.content(blob), Some(content()));
    let too_long = Blob {
        len: u64::MAX,
        ..blob
    };
    assert_eq!(
        fetch(&third, too_long, SHORT).await,
        Err(FetchError::TooLong(u64::MAX))
    );
    for peer in [&mut late, &mut without, &mut third] {
        peer.stop().await;
    }
}

/// Goal: fetches that nobody can serve don't keep others from theirs, and too many are refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_who_wait_block_nobody() {
    let (mut one, _, blob) = holder(1, Duration::ZERO, |_| true);
    let (mut third, blobs) = fetcher(3);
    let address = one.start(ANY, &[]).await;
    third.start(ANY, &[address]).await;
    let fetcher = third.handle().fetcher();
    let mut waiting = Vec::new();
    for number in 0..63 {
        let unknown = Blob {
            id: [number; 32],
            len: 1,
        };
        waiting.push(fetcher.fetch(unknown, LIMIT).await.unwrap());
    }
    fetch(&third, blob, LIMIT).await.unwrap();
    assert_eq!(blobs.content(blob), Some(content()));
    let unknown = |id| Blob { id, len: 1 };
    let mut last = Ok(());
    for number in 63..66 {
        let refused = fetcher.fetch(unknown([number; 32]), LIMIT).await;
        last = refused.map(|fetching| waiting.push(fetching));
    }
    assert_eq!(last, Err(FetchError::TooMany));
    drop(waiting);
    one.stop().await;
    third.stop().await;
}

/// Goal: who gives wrong chunks is cut off, and the blob comes whole from the honest neighbour.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_liar_is_cut_off() {
    let (mut honest, _, blob) = holder(1, Duration::from_millis(20), |_| true);
    let mut liar = Peer::new(2);
    let lies = Watched {
        lies: true,
        ..Watched::default()
    };
    lies.blobs.keep(&content(), |_| true);
    liar.blobs = Arc::new(lies);
    let (mut third, blobs) = fetcher(3);
    let addresses = [honest.start(ANY, &[]).await, liar.start(ANY, &[]).await];
    third.start(ANY, &addresses).await;
    wait_for("the neighbours", LIMIT, || {
        third.handle().peers().len() == 2
    })
    .await;
    let mut fetching = third.handle().fetcher().fetch(blob, LIMIT).await.unwrap();
    let liar_id = liar.key.public().to_peer_id();
    wait_for("cut", LIMIT, || {
        third
            .handle()
            .peers()
            .iter()
            .all(|peer| peer.peer != liar_id)
    })
    .await;
    fetching.done().await.unwrap();
    assert_eq!(fetching.progress().peers, 1);
    assert_eq!(blobs.content(blob), Some(content()));
    for peer in [&mut honest, &mut liar, &mut third] {
        peer.stop().await;
    }
}

/// Goal: a fetch that nobody waits for any more ends, a stop ends the others, and what came is gone on with.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fetch_ends_with_its_caller_and_with_the_mesh() {
    let (mut one, given, blob) = holder(1, Duration::from_millis(20), |_| true);
    let (mut third, blobs) = fetcher(3);
    let address = one.start(ANY, &[]).await;
    third.start(ANY, std::slice::from_ref(&address)).await;
    let mut fetching = third.handle().fetcher().fetch(blob, LIMIT).await.unwrap();
    assert!(fetching.further().await.is_some());
    drop(fetching);
    sleep(SHORT).await;
    let before = given.given.load(Ordering::SeqCst);
    sleep(SHORT).await;
    assert_eq!(given.given.load(Ordering::SeqCst), before, "it has ended");

    let handle = third.handle().clone();
    let mut fetching = handle.fetcher().fetch(blob, LIMIT).await.unwrap();
    while fetching.progress().bytes < 10 * 65_536 {
        fetching.further().await.unwrap();
    }
    third.stop().await;
    assert_eq!(fetching.done().await, Err(FetchError::Stopped));
    assert_eq!(
        handle.fetcher().fetch(blob, LIMIT).await.err(),
        Some(FetchError::Stopped)
    );
    assert_eq!(Arc::strong_count(&blobs), 2, "the peer's and the test's");

    third.start(ANY, &[address]).await;
    let fetching = third.handle().fetcher().fetch(blob, LIMIT).await;
    let mut fetching = fetching.unwrap();
    fetching.further().await.unwrap();
    assert!(fetching.progress().bytes >= 10 * 65_536);
    fetching.done().await.unwrap();
    assert_eq!(blobs.content(blob), Some(content()));
    let given = given.given.load(Ordering::SeqCst);
    assert!(
        given <= 41 + 20,
        "{given} chunks for 41: what came was kept"
    );
    one.stop().await;
    third.stop().await;
}

/// Goal: a store that panics while it gives a chunk is one that does not have it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_is_not_here() {
    let (mut one, watched, blob) = holder(1, Duration::ZERO, |_| true);
    let (mut third, _) = fetcher(3);
    let address = one.start(ANY, &[]).await;
    third.start(ANY, &[address]).await;
    wait_for("the neighbour", LIMIT, || third.handle().peers().len() == 1).await;
    watched.fails.store(true, Ordering::SeqCst);
    let failure = fetch(&third, blob, SHORT).await;
    assert!(matches!(failure, Err(FetchError::Failed(_))), "{failure:?}");
    watched.fails.store(false, Ordering::SeqCst);
    fetch(&third, blob, LIMIT).await.unwrap();
    one.stop().await;
    third.stop().await;
}

/// Goal: what is no request cuts its sender off; who opens too many streams gets no answer on those beyond.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_are_bounded_and_nonsense_is_cut() {
    let (mut one, _, blob) = holder(1, Duration::ZERO, |_| true);
    let address = one.start(ANY, &[]).await;
    let victim = one.key.public().to_peer_id();
    let get = BlobRequest::Get(0).encode();
    for (number, nonsense) in [
        (20, &[0_u8, 0, 1, 0][..]),
        (21, &[0, 0, 0, 1, 7]),
        (22, &get),
    ] {
        let key = Keypair::ed25519_from_bytes([number; 32]).unwrap();
        let (local, behaviour) = (key.public().to_peer_id(), libp2p_stream::Behaviour::new());
        let mut control = behaviour.new_control();
        let config = Config::with_tokio_executor();
        let mut swarm = Swarm::new(transport(&key), behaviour, local, config);
        swarm.dial(address.clone()).unwrap();
        let driving = tokio::spawn(async move { while swarm.next().await.is_some() {} });
        let is_there = || one.handle().peers().iter().any(|peer| peer.peer == local);
        wait_for("connection", LIMIT, is_there).await;
        let mut streams = Vec::new();
        for _ in 0..12 {
            let mut stream = control.open_stream(victim, BLOBS).await.unwrap();
            let mut answer = [0; 4];
            let exchange = async {
                stream.write_all(&BlobRequest::Ask(blob).encode()).await?;
                stream.flush().await?;
                stream.read_exact(&mut answer).await
            };
            if exchange.await.is_ok() {
                streams.push(stream);
            }
        }
        assert_eq!(streams.len(), 8);
        streams.clear();
        // Their ends are seen in a moment.
        sleep(SHORT).await;
        let mut stream = control.open_stream(victim, BLOBS).await.unwrap();
        stream.write_all(nonsense).await.unwrap();
        stream.flush().await.unwrap();
        assert_eq!(stream.read(&mut [0; 1]).await.unwrap_or(0), 0);
        wait_for("cut", LIMIT, || !is_there()).await;
        driving.abort();
    }
    one.stop().await;
}
