//! Every bound of this crate, with its unit and its reason.

/// Store calls that run at once; more wait. Each holds a thread of the blocking pool, and a Pi has four cores.
pub(crate) const STORE_CALLS_MAX: usize = 16;

/// Largest body of an API request, in bytes.
pub(crate) const BODY_BYTES_MAX: usize = 1 << 20;

/// Largest body of an import request, in bytes: one document of the largest size, or many small ones.
pub(crate) const IMPORT_BODY_BYTES_MAX: usize = 16 << 20;

/// Longest that the head of a request may take to arrive, and that a connection may be idle, in seconds.
pub(crate) const HEADER_SECONDS_MAX: u64 = 10;

/// Longest that the body of a request may take to arrive, then its statement, and that the reader of an export may
/// pause, in seconds.
pub(crate) const REQUEST_SECONDS_MAX: u64 = 30;

/// Connections that the API serves at once; more wait. Each live query keeps one, and the others must not lack any.
pub(crate) const API_CONNECTIONS_MAX: usize = 2 * sedge_crdt::limits::OBSERVERS_MAX;

/// Longest that a client waits for a statement's or import's answer, or for the beginning of a stream, in seconds;
/// observers wait for the rest for ever.
pub(crate) const ANSWER_SECONDS_MAX: u64 = 120;

/// Longest that a client waits for what the daemon answers from memory, in seconds.
pub(crate) const STATUS_SECONDS_MAX: u64 = 10;

/// Documents of one import request: each takes far more memory than the two bytes that are enough to send one.
pub(crate) const IMPORT_DOCUMENTS_MAX: usize = 10_000;

/// Documents that can't be stored which the answer to an import names; more are counted. A client that hands in no more
/// at once, as `sedge import` does, learns of each.
pub(crate) const IMPORT_REJECTED_MAX: usize = 1_000;

/// Exports that run at once; more wait. They last as long as their readers like, and the store's other calls must not
/// wait for that.
pub(crate) const EXPORTS_MAX: usize = 4;

/// Readers of the feed at once; further ones are refused, as one may stay for ever. Each has a page in memory.
pub(crate) const FEEDS_MAX: usize = 32;

/// Longest line of the feed that a client takes, in bytes: a document before and after, of eight times the largest size that
/// is written, as merging may make one larger.
pub(crate) const FEED_LINE_BYTES_MAX: usize = 16 * sedge_crdt::limits::DOCUMENT_BYTES_MAX;

/// Backups that are made at once; more wait. Each reads all of the store.
pub(crate) const BACKUPS_MAX: usize = 1;

/// Pause between two lines in which the API tells how far a backup is, in milliseconds.
pub(crate) const BACKUP_TOLD_MS: u64 = 100;

/// Lines on a backup that wait for a client; further ones but the last are left out.
pub(crate) const BACKUP_LINES_QUEUED_MAX: usize = 8;

/// Longest line on a backup or a fetch that a client takes, in bytes: a path and some numbers.
pub(crate) const PROGRESS_LINE_BYTES_MAX: usize = 64 << 10;

/// Bytes of text after which an export or an event of a live query sends a piece.
pub(crate) const PIECE_BYTES: usize = 64 << 10;

/// Largest event that a client of a live query takes, in bytes: the whole result and as much again that changed, each
/// byte of a row four times as long in text.
pub(crate) const EVENT_BYTES_MAX: usize = 16 * sedge_crdt::limits::OBSERVED_BYTES_MAX;

/// Silence after which a live query sends a comment, in seconds.
pub(crate) const KEEP_ALIVE_SECONDS: u64 = 15;

/// Pieces waiting between the store and a client that reads an export slowly.
pub(crate) const EXPORT_PIECES_QUEUED_MAX: usize = 8;

/// Peers that a device admits at once, beside its connection limit.
pub(crate) const ADMITTED_PEERS_MAX: usize = 256;

/// Damaged documents that the log names, each once; further ones are left out in silence.
pub(crate) const DAMAGED_DOCUMENTS_TOLD_MAX: usize = 256;

/// Longest path of a Unix socket on Linux, in bytes, its terminating zero included (`sun_path`).
pub(crate) const SOCKET_PATH_BYTES_MAX: usize = 108;

/// Longest that a shutdown waits for open requests, in seconds.
pub(crate) const DRAIN_SECONDS_MAX: u64 = 5;

/// Attachments being uploaded or downloaded at once; more wait. Each holds a thread and a few chunks, and lasts as long as
/// its client likes.
pub(crate) const TRANSFERS_MAX: usize = 8;

/// Pieces of an attachment, of up to 64 KiB, that wait between the store and a slower client.
pub(crate) const TRANSFER_PIECES_QUEUED_MAX: usize = 8;

/// Pause between two lines in which the API tells how far a fetch is, in milliseconds.
pub(crate) const FETCH_TOLD_MS: u64 = 100;

/// Longest that a fetch waits for a neighbour that has what is missing, in seconds: a client waits as long.
pub(crate) const FETCH_WAIT_SECONDS_MAX: u64 = 3_600;

/// Pause between two notes of the time, in seconds: as much can be lost by a crash, and so long a wrong clock has to be
/// corrected after a start.
pub(crate) const CLOCK_KEEP_PAUSE_SECONDS: u64 = 3_600;

/// By how much the clock is behind what it was before anybody is told, in ms: small corrections are nobody's concern.
pub(crate) const CLOCK_TOLD_MS: u64 = 60_000;

/// Pause between two collections of unused attachments, in seconds.
pub(crate) const COLLECT_PAUSE_SECONDS: u64 = 600;
