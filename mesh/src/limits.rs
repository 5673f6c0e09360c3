//! Every bound of the mesh in one place: its unit, and why it has that value. A bound on something
//! that travels is part of the wire (`docs/protocol.md`): both ends must use the same number.

/// Version of `/sedge/sync/1` that this crate speaks; another version is refused.
pub const SYNC_VERSION: u32 = 3;

/// Largest frame on a sync stream, in bytes: large enough to fill a fast link, small enough that 64
/// peers at their limit do not hurt a small device.
pub const FRAME_BYTES_MAX: usize = 1 << 20;

/// Bytes of a frame that are kept for its envelope, beside the entries it carries.
pub const FRAME_OVERHEAD_BYTES: usize = 1024;

/// Most documents in one offered page of a feed: one round trip for about a thousand documents.
pub const PAGE_ENTRIES_MAX: usize = 1_024;

/// Largest offered page, in bytes as [`crate::Offered::wire_bytes`] counts them.
pub const PAGE_BYTES_MAX: usize = 512 * 1024;

/// Most feed entries a replica walks for one page, so that a narrow interest does not block the worker.
pub const PAGE_SCAN_MAX: usize = 16 * 1_024;

/// Feed entries behind a follower's cursor from which on it compares what both hold instead of having all of them offered: an
/// offer takes some 60 bytes a document, a comparison a few thousand in all while little differs.
pub const COMPARE_FROM: u64 = 128;

/// Most ranges that are described in one message: 34 kB of fingerprints.
pub const RANGES_MAX: usize = 256;

/// Most documents of a range that are described one by one, instead of by its parts: four times what the 16 parts take.
pub const ITEMS_MAX: usize = 64;

/// Most own documents that are held against those of a described range: more are compared by parts.
pub const ITEMS_OWN_MAX: usize = 4 * ITEMS_MAX;

/// Documents of a range that are read at once to be offered.
pub const ITEMS_PAGE_MAX: usize = 256;

/// Documents of a collection from which on its first description goes two digits deep: it saves a round trip for 2 kB.
pub const RANGE_WIDE_MIN: u64 = 4_096;

/// Documents found to be offered, or ranges of such, from which on no further comparison is begun.
pub const FOUND_MAX: usize = 4 * PAGE_ENTRIES_MAX;

/// Ranges that a neighbour may describe beside sixteen for each document here: a comparison that goes on beyond leads nowhere.
pub const RANGES_SPARE: u64 = 4_096;

/// Bytes of payloads, seals and certificates after which the answer to a `Want` is cut; the follower asks again for the
/// rest. [`ANSWER_TOTAL_BYTES_MAX`] is what a session buffers per direction.
pub const ANSWER_BYTES_MAX: usize = 4 << 20;

/// Largest payload of one delta, in bytes: the largest change that the store takes (5 MiB), and what it needs beside
/// itself. What a peer lacks of a document beyond it follows in further deltas.
pub const DELTA_BYTES_MAX: usize = 6 << 20;

/// Most bytes of seals and certificates that one delta adds to its answer, as [`crate::evidence_bytes`] counts them: a
/// thousand authors of one document, of about 850 bytes each. Changes by more follow in further deltas.
pub const PART_EVIDENCE_BYTES_MAX: usize = 1 << 20;

/// Most bytes of seals and certificates in one answer, as [`crate::evidence_bytes`] counts them: those of the last delta
/// come on top of a full answer.
pub const ANSWER_EVIDENCE_BYTES_MAX: usize = ANSWER_BYTES_MAX + PART_EVIDENCE_BYTES_MAX;

/// Most bytes of one answer in all: a full one, and the last delta with its seals and certificates.
pub const ANSWER_TOTAL_BYTES_MAX: usize =
    ANSWER_BYTES_MAX + DELTA_BYTES_MAX + PART_EVIDENCE_BYTES_MAX;

/// What a seal or certificate counts beside its own bytes: its name and lengths on the wire, its places in memory. So
/// ever so many small ones are bounded too.
pub const EVIDENCE_ENTRY_BYTES: usize = 128;

/// Largest seal, in bytes: its fixed part of 147, and at most 32 hashes of 32 bytes, which is what the tree over 64
/// changes takes when every other one is known.
pub const SEAL_BYTES_MAX: usize = 2 * 1024;

/// Largest certificate with those of its issuers, in bytes, as at admission.
pub const CERTIFICATE_BYTES_MAX: usize = 8 * 1024;

/// Certificates that a session remembers to have sent, 32 bytes each. When there are more it forgets them all, and
/// they are sent again.
pub const CERTIFICATES_SENT_MAX: usize = 4_096;

/// Longest document id, in bytes: the store's bound.
pub const DOCUMENT_ID_BYTES_MAX: usize = 512;

/// Most heads that travel for one document. Beyond it an offer names none, which means "ask for it".
pub const HEADS_MAX: usize = 1_024;

/// Longest collection name, in bytes: the store's bound.
pub const COLLECTION_NAME_BYTES_MAX: usize = 128;

/// Most collections a peer knows by name: each is a gossipsub topic at every neighbour. A store may hold more:
/// documents of further collections are still offered by the feed, they are only not flooded.
pub const COLLECTIONS_MAX: usize = 256;

/// Most documents of a commit that is flooded; a larger one is left to the offers.
pub const FLOOD_DOCUMENTS_MAX: usize = 16;

/// Most seals of a commit that is flooded: four authors for each document.
pub const FLOOD_SEALS_MAX: usize = 4 * FLOOD_DOCUMENTS_MAX;

/// Largest flooded message, in bytes.
pub const FLOOD_BYTES_MAX: usize = 48 * 1024;

/// Flooded messages that wait for the store. Further ones are ignored; the offers bring their content.
pub const FLOODS_WAITING_MAX: usize = 256;

/// Delay between a flooded commit and its offer to neighbours, in milliseconds, so that gossip normally
/// arrives first and the offer finds nothing missing.
pub const OFFER_DELAY_MS: u64 = 100;

/// Most concurrent sync sessions of a core; a peer beyond it is closed with `Busy`.
pub const SESSIONS_MAX: usize = 128;

/// Longest wait for an answer that the protocol owes us, in milliseconds. Generous, since the other side
/// may be writing a full page to an SD card.
pub const ANSWER_TIMEOUT_MS: u64 = 120_000;

/// How often a session looks for an answer that is overdue, in milliseconds.
pub const WATCH_INTERVAL_MS: u64 = 30_000;

/// Established connections of one node.
pub const CONNECTIONS_MAX: u32 = 64;

/// Established connections to one peer: two may cross when both ends dial.
pub const CONNECTIONS_PER_PEER_MAX: u32 = 4;

/// Connections that are being set up, per direction: above the transport's own limit, which tells addresses apart.
pub const CONNECTIONS_PENDING_MAX: u32 = 256;

/// Commits that wait for the mesh before they are merged into "advanced to sequence n".
pub const COMMITS_QUEUED_MAX: usize = 256;

/// Frames from all peers that wait for the core.
pub const FRAMES_QUEUED_MAX: usize = 16;

/// Streams that opened, or failed to, and wait for the main task.
pub const OPENED_QUEUED_MAX: usize = 64;

/// Messages that wait to be written to one peer. A session's own flow control stays far below; a peer
/// that lets more pile up is disconnected.
pub const MESSAGES_QUEUED_MAX: usize = 512;

/// Bytes that wait to be written to one peer: the largest answer and the small messages beside it. Whoever asks for
/// more before it has read that is disconnected.
pub const MESSAGES_QUEUED_BYTES_MAX: usize = ANSWER_TOTAL_BYTES_MAX + 8 * FRAME_BYTES_MAX;

/// Requests of one peer's session that wait for the store: one per direction.
pub const REQUESTS_PER_SESSION_MAX: usize = 2;

/// Requests that wait for the replica's worker: those of all sessions, of as many that have just ended, and one for
/// floods.
pub const REQUESTS_QUEUED_MAX: usize = 2 * REQUESTS_PER_SESSION_MAX * SESSIONS_MAX + 1;

/// Largest gossipsub transmission, in bytes: a flooded message and its envelope.
pub const GOSSIP_TRANSMIT_BYTES_MAX: usize = 64 * 1024;

/// Messages that gossipsub queues per connection; it drops beyond, and the offers repair.
pub const GOSSIP_QUEUE_MESSAGES_MAX: usize = 512;

/// Peers whose misbehaviour is remembered; the one whose back-off ends first makes room.
pub const BACKOFFS_MAX: usize = 256;

/// Back-off after the first protocol violation of a peer, in milliseconds; each further one doubles it.
pub const BACKOFF_FIRST_MS: u64 = 2_000;

/// Longest back-off of a peer, in milliseconds.
pub const BACKOFF_MAX_MS: u64 = 300_000;

/// First pause before a static peer is dialled again, or a lost sync stream opened again, in milliseconds.
pub const REDIAL_FIRST_MS: u64 = 200;

/// Longest pause before a static peer is dialled again, in milliseconds.
pub const REDIAL_MAX_MS: u64 = 30_000;

/// Most static peers.
pub const STATIC_PEERS_MAX: usize = 256;

/// Least time between two sync streams that a peer opens, in milliseconds: each costs a session. An honest peer pauses
/// for at least three quarters of [`REDIAL_FIRST_MS`].
pub const STREAM_PAUSE_MS: u64 = 100;

/// Longest wait for a sync stream to open, in milliseconds.
pub const STREAM_OPEN_TIMEOUT_MS: u64 = 10_000;

/// Longest wait for a listener to report its address, in milliseconds.
pub const LISTEN_TIMEOUT_MS: u64 = 10_000;

/// Longest wait for open streams to say goodbye at shutdown, in milliseconds.
pub const SHUTDOWN_TIMEOUT_MS: u64 = 2_000;

/// Least time between two publications of the peers' status, in milliseconds.
pub const STATUS_INTERVAL_MS: u64 = 100;

/// Least time between two certificates that a peer shows in a session, in milliseconds: what is renewed more often is
/// shown once, as it is then.
pub const RENEWAL_PAUSE_MS: u64 = 1_000;

/// Certificates that a neighbour may show in [`RENEWALS_WINDOW_MS`]: twice as many as an honest one does at most.
pub const RENEWALS_MAX: u32 = 2 * (RENEWALS_WINDOW_MS / RENEWAL_PAUSE_MS) as u32;

/// Time over which the certificates of a neighbour are counted, in milliseconds.
pub const RENEWALS_WINDOW_MS: u64 = 60_000;

/// Longest time between two looks at the certificates of connected peers, in milliseconds: the clock may be corrected
/// meanwhile, and with it when they end.
pub const CERTIFICATES_LOOK_MS: u64 = 60_000;

/// Bytes of a chunk of an attachment, all but perhaps its last: the store's unit, and so the wire's.
pub const BLOB_CHUNK_BYTES: usize = 64 << 10;

/// Longest attachment, in bytes: the store's bound. It has 2^18 chunks.
pub const BLOB_BYTES_MAX: u64 = 16 << 30;

/// Longest set of chunks on the wire, in bytes: a bit for each chunk of the longest attachment.
pub const BLOB_SET_BYTES_MAX: usize = (BLOB_BYTES_MAX / BLOB_CHUNK_BYTES as u64 / 8) as usize;

/// Longest proof of a chunk, in bytes: the 18 hashes that lead from one of 2^18 chunks to the root.
pub const BLOB_PROOF_BYTES_MAX: usize = 18 * 32;

/// Largest request on a blob stream, in bytes without its length: a name, a number, and what protobuf adds.
pub const BLOB_REQUEST_BYTES_MAX: usize = 64;

/// Largest answer on a blob stream, in bytes without its length: a chunk, its proof, its number, and what protobuf adds.
pub const BLOB_ANSWER_BYTES_MAX: usize = BLOB_CHUNK_BYTES + BLOB_PROOF_BYTES_MAX + 64;

/// Chunks of one fetch that were asked for and are not kept yet, from all neighbours: 2 MiB.
pub const FETCH_CHUNKS_MAX: usize = 32;

/// Chunks of one fetch that one neighbour owes, once it has given some: enough for 5 MB/s at a round trip of 100 ms.
pub const FETCH_CHUNKS_PER_PEER_MAX: usize = 8;

/// Chunks that a neighbour is asked for before it has given any.
pub const FETCH_CHUNKS_PER_PEER_FIRST: usize = 2;

/// Neighbours that a fetch remembers, with 32 KiB each for the longest attachment.
pub const FETCH_NEIGHBOURS_MAX: usize = 128;

/// Longest wait of a fetch for a neighbour's next answer, in milliseconds: a chunk takes four seconds at 20 kB/s, and sync goes
/// before it.
pub const FETCH_ANSWER_TIMEOUT_MS: u64 = 20_000;

/// Pause before a neighbour that failed is asked again, in milliseconds; it doubles with each further failure.
pub const FETCH_RETRY_FIRST_MS: u64 = 250;

/// Longest pause before a neighbour that failed is asked again, in milliseconds.
pub const FETCH_RETRY_MAX_MS: u64 = 5_000;

/// Pause before a neighbour that has not all of an attachment is asked again what it has, in milliseconds: it may be fetching it.
pub const FETCH_ASK_AGAIN_MS: u64 = 2_000;

/// Age of a request for one of the last chunks after which another neighbour is asked for it too, in milliseconds.
pub const FETCH_DOUBLE_AFTER_MS: u64 = 1_000;

/// Longest time without a new chunk, in milliseconds, that a fetch goes on for neighbours that promise chunks and give none.
pub const FETCH_STALLED_MS: u64 = 60_000;

/// How often a fetch begins again because chunks that it had brought are gone from the store.
pub const FETCH_REPEATS_MAX: u32 = 3;

/// Fetches that bring chunks at once; more wait for their turn. Those for which nobody has any yet need none.
pub const FETCHES_MAX: usize = 4;

/// Fetches that run or wait; more are refused.
pub const FETCHES_WAITING_MAX: usize = 64;

/// Blob streams that are served at once, each with a chunk in memory.
pub const BLOB_STREAMS_MAX: usize = 64;

/// Blob streams of one peer that are served at once: twice what one peer has open, since it opens the next before the end of
/// the last is seen.
pub const BLOB_STREAMS_PER_PEER_MAX: usize = 2 * FETCHES_MAX;

/// Calls for blobs that the store works on at once, from all fetches and streams: a few, so that documents go first.
pub const BLOB_CALLS_MAX: usize = 2;

/// Longest time in which a peer takes an answer on a blob stream, in milliseconds; a slower one is cut.
pub const BLOB_WRITE_TIMEOUT_MS: u64 = 30_000;

/// Longest time that a blob stream is kept open without a request, in milliseconds.
pub const BLOB_IDLE_MS: u64 = 60_000;

/// Offences of peers on blob streams that wait for the main task; those beyond are dropped with their streams.
pub const OFFENCES_QUEUED_MAX: usize = 16;

/// Answers of one fetch that wait for it: those of slower links wait in their streams.
pub const BLOB_ANSWERS_QUEUED_MAX: usize = 8;
