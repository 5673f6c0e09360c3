//! Every bound of this crate, with its unit and its reason.

/// Longest statement text, in bytes: enough for any query a person writes, small enough to parse on a Pi at once.
pub const STATEMENT_BYTES_MAX: usize = 64 << 10;

/// Longest document id in its canonical form, in bytes: ids are keys in every index.
pub const DOCUMENT_ID_BYTES_MAX: usize = 512;

/// Longest collection name, in bytes: names travel in handshakes and topics.
pub const COLLECTION_NAME_BYTES_MAX: usize = 128;

/// Longest name of a field, in bytes: those of nested maps travel beside a change, and together take a part of its room.
pub const FIELD_NAME_BYTES_MAX: usize = 2 << 10;

/// Most collections that local writes make in one store. The mesh floods fewer of them; the rest is synchronised by
/// offers alone.
pub const COLLECTIONS_MAX: usize = 1_000;

/// Most collections of one store, with those that other stores have made: many peers may each bring their own, and one
/// that is refused keeps the stores apart for good. Every commit copies the list, which bounds it all the same.
pub const COLLECTIONS_HELD_MAX: usize = 20 * COLLECTIONS_MAX;

/// Largest document a local write may make, as its visible value in binary form, in bytes.
pub const DOCUMENT_BYTES_MAX: usize = 5 << 20;

/// Size above which a local write is accepted with a warning, in bytes.
pub const DOCUMENT_BYTES_WARN: usize = 256 << 10;

/// Largest change chunk accepted from outside, in bytes as it travels.
pub const CHUNK_BYTES_MAX: usize = 5 << 20;

/// Largest change that travels as it is, in bytes; larger ones are deflated.
pub const PLAIN_BYTES_MAX: usize = 1 << 10;

/// Largest change chunk accepted from outside once inflated, in bytes (a 261 kB chunk can hold 256 MiB of zeros).
pub const CHUNK_INFLATED_BYTES_MAX: usize = 8 << 20;

/// Most operations in one change from outside: run-length encoding makes billions of them fit a few bytes.
pub const CHANGE_OPS_MAX: u64 = 64 << 10;

/// Greatest number of an operation in a document: automerge counts in 32 bits and panics beyond. No device that is honest
/// comes near it.
pub const OPERATION_COUNTER_MAX: u64 = 1 << 31;

/// Greatest distance of a change's time from 1970, in ms: automerge keeps the differences of times, which must not overflow
/// 64 bits, whatever other changes say.
pub const CHANGE_TIME_MS_MAX: i64 = 1 << 53;

/// Most dependencies of one change, and most other actors it names.
pub const CHANGE_REFERENCES_MAX: u64 = 1_024;

/// Most changes in one delta from outside.
pub const DELTA_CHANGES_MAX: usize = 100_000;

/// Most operations of all changes of one delta: a store takes them in at once, and a longer history in parts.
pub const DELTA_OPS_MAX: u64 = 16 * CHANGE_OPS_MAX;

/// Most bytes of all changes of one delta once inflated: a few bytes of zeros fill each to its own bound, before anything is
/// proven. Any one change fits, and what one proof stands for beside it.
pub const DELTA_INFLATED_BYTES_MAX: usize = 2 * CHUNK_INFLATED_BYTES_MAX;

/// Bytes of inflated changes that are kept decoded from the look at what proves them until they are taken in. Of what arrives
/// beyond that the names alone are kept, and it is decoded once more if it is proven.
pub const INFLATED_KEPT_BYTES_MAX: usize = 2 * DELTA_INFLATED_BYTES_MAX;

/// Most births in one delta from outside: many devices' births meet in one document.
pub const DELTA_BIRTHS_MAX: usize = 16 * BIRTHS_MAX;

/// Most bytes of the keys of all births in one delta: as many as one change can need.
pub const DELTA_BIRTH_BYTES_MAX: usize = BIRTHS_MAX * FIELD_NAME_BYTES_MAX;

/// Largest delta of a single change, in bytes as it travels: the change, the births it needs, and their lengths and tags.
/// What carries deltas must have room for it.
pub const DELTA_BYTES_MAX: usize = 6 << 20;

/// Most births (deterministic maps) per document; maps beyond are ordinary objects.
pub const BIRTHS_MAX: usize = 256;

/// Change chunks a document's record may collect behind its snapshot before a write compacts it.
pub const TAIL_CHUNKS_MAX: usize = 32;

/// Commits that a subscriber may lag behind before it misses some; the feed tells it what they changed.
pub const COMMITS_QUEUED_MAX: usize = 1_024;

/// Memory that the changed documents of one transaction take, in bytes, as estimated: their values before and after,
/// records and changes. A single document is always taken, and so is what comes from other stores, which bounds its
/// messages itself.
pub const TRANSACTION_BYTES_MAX: usize = 64 << 20;

/// Commits that may be written without being known as durable: each belongs to a caller that waits, but for those whose
/// sync failed.
pub const COMMITS_UNSYNCED_MAX: usize = 1_024;

/// Bytes of entries that the change log keeps unless it is told otherwise: about 200,000 changes of small documents, hours
/// to days for a reader of the feed to come back.
pub const FEED_KEEP_BYTES: u64 = 64 << 20;

/// Entries of the change log, and their bytes, that one page looks at; a single entry is always given.
pub const FEED_PAGE_ENTRIES_MAX: usize = 1_000;
/// See [`FEED_PAGE_ENTRIES_MAX`].
pub const FEED_PAGE_BYTES_MAX: u64 = 1 << 20;

/// Room that is left on the disk for what RocksDB writes by itself, in bytes: all its write buffers once.
pub const SPACE_KEPT_BYTES: u64 = 16 << 20;

/// Statements whose parsed form is kept: an app has some dozens.
pub const STATEMENTS_KEPT_MAX: usize = 128;

/// Longest text of such a statement, in bytes: the parsed form takes a multiple of it.
pub const STATEMENT_KEPT_BYTES_MAX: usize = 1 << 10;

/// How long a thread carries out writes of others beside its own, in milliseconds: some hundred of them, and a delay that is
/// small against its own sync on a slow card.
pub const SERVE_MS_MAX: u64 = 2;

/// Documents that a write may change to be carried out by another thread, which must not work long for others.
pub const JOB_DOCUMENTS_MAX: usize = 16;

/// Longest that a statement works, in seconds: one that takes longer is a mistake, and holds up others on a Pi.
pub const STATEMENT_SECONDS_MAX: u64 = 30;

/// Live queries of one store: each changed document is tested for each.
pub const OBSERVERS_MAX: usize = 256;

/// Live queries that take in changed documents at the same time, and that read whole collections; more wait. A Pi has
/// four cores, and writers need some too.
pub const OBSERVERS_WORKING_MAX: usize = 2;

/// Memory of commits that wait to be told to observers, in bytes, as estimated; with more, or more documents than
/// [`OBSERVER_DOCUMENTS_MAX`], all observers start over from the current state.
pub const UNTOLD_BYTES_MAX: usize = 8 << 20;

/// Longest that the changed documents of some commits are tested for one condition, in ms; the others wait for it. Its
/// queries then find out by themselves what concerns them.
pub const OBSERVER_TEST_MS_MAX: u64 = 50;

/// Time for each live query that was told of commits before the next ones are told, in µs: about what it takes to take
/// them in. 100 queries hear of a change at most 5 ms late by it, and a busy writer keeps a processor for itself.
pub const OBSERVER_REST_US: u64 = 50;

/// Longest that a live query takes to take in changed documents, in ms; then it reads its whole collection, which waits
/// for its turn among those that do.
pub const OBSERVED_CHANGES_MS_MAX: u64 = 1_000;

/// Longest that a live query reads its whole collection, in seconds; then it is told an error.
pub const OBSERVED_SECONDS_MAX: u64 = 10;

/// Rest of a live query that took too long, in seconds; twice as long each time in a row.
pub const OBSERVER_PAUSE_SECONDS: u64 = 1;
/// See [`OBSERVER_PAUSE_SECONDS`].
pub const OBSERVER_PAUSE_SECONDS_MAX: u64 = 300;

/// Changed documents that wait for a slow observer, and the bytes of their values; with more it starts over from the
/// current state.
pub const OBSERVER_DOCUMENTS_MAX: usize = 10_000;
/// See [`OBSERVER_DOCUMENTS_MAX`].
pub const OBSERVER_BYTES_MAX: usize = 4 << 20;

/// Changes that wait for all observers of a store, in bytes; those of one commit, which observers share, count once.
pub const OBSERVER_BYTES_TOTAL_MAX: usize = 16 << 20;

/// About what a change that waits takes in one observer's inbox beside itself, in bytes.
pub const OBSERVER_ENTRY_BYTES: usize = 16;

/// Rows that a live query shows, in bytes of their binary form with [`OBSERVED_ROW_BYTES`] and what they are sorted by:
/// it keeps them to tell what changes.
pub const OBSERVED_BYTES_MAX: usize = 8 << 20;

/// Rows that all live queries of a store show, in bytes as in [`OBSERVED_BYTES_MAX`].
pub const OBSERVED_BYTES_TOTAL_MAX: usize = 64 << 20;

/// About what a row takes beside its own bytes, in bytes: its places in the list and by its document, and three
/// allocations.
pub const OBSERVED_ROW_BYTES: usize = 144;

/// Most rows that LIMIT and OFFSET may ask of a live query which is kept up to date by its changed documents: it keeps
/// those that OFFSET passes over too. With more it is run again when something changes.
pub const OBSERVED_WINDOW_ROWS_MAX: usize = 10_000;

/// How far a written counter may be from 0. Automerge adds increments in 64 bits and has no answer when they overflow; the
/// distance to there is more than any number of concurrent increments will cross.
pub const COUNTER_MAX: u64 = 1 << 62;

/// What one increment of a counter may add or take away: some four million of the largest fit between [`COUNTER_MAX`]
/// and an overflow.
pub const INCREMENT_MAX: u64 = 1 << 40;

/// Items or characters that setting a list or text removes and adds in one that is there. Beyond that it is written anew,
/// so that the operations of one change suffice for it.
pub const SPLICE_OPS_MAX: usize = 32_000;

/// Bytes of the paths that tell one change's fields; one with more is told by whole fields. A long path before each of
/// many members would take gigabytes.
pub const CHANGED_PATHS_BYTES_MAX: usize = 1 << 20;

/// Longest attachment, in bytes: more than a device's card has to spare, and 2^18 chunks, so that the list of those that
/// are here takes 32 KiB.
pub const BLOB_BYTES_MAX: u64 = 16 << 30;

/// Most metadata of an attachment's token, in bytes of names and texts together: it is a part of each document with it.
pub const ATTACHMENT_METADATA_BYTES_MAX: usize = 4 << 10;

/// How long an attachment that no document names is kept, in seconds: time to write the document after the upload, and to
/// move a token from one document to another.
pub const ATTACHMENT_GRACE_SECONDS: u64 = 3_600;

/// Attachments looked at by a collection at once: writers wait meanwhile.
pub const COLLECT_PIECE_MAX: usize = 64;

/// Attachments of one page of a list.
pub const ATTACHMENTS_LISTED_MAX: usize = 1_000;

/// Attachments being fetched whose files are kept open; further ones are opened for each chunk.
pub const PARTIAL_BLOBS_OPEN_MAX: usize = 16;

/// Chunks of an attachment being fetched that share one sync: a crash costs no more of them.
pub const PARTIAL_CHUNKS_UNSYNCED_MAX: u32 = 64;

/// Longest name of an index, in bytes, as of a collection.
pub const INDEX_NAME_BYTES_MAX: usize = COLLECTION_NAME_BYTES_MAX;

/// Most fields of one index: each makes every entry longer.
pub const INDEX_FIELDS_MAX: usize = 8;

/// Most indexes of one collection: each write of a document may change an entry of every one.
pub const INDEXES_PER_COLLECTION_MAX: usize = 16;

/// Most indexes of one store, those included whose entries are still being removed: every commit copies the list.
pub const INDEXES_MAX: usize = 1_024;

/// Bytes that an index keeps of one field's value. Longer values are found all the same, but no longer in order.
pub const INDEX_FIELD_BYTES_MAX: usize = 256;

/// Most ranges of one index that a statement reads, as with several IN; with more, fewer of its fields are used.
pub const INDEX_RANGES_MAX: usize = 1_024;

/// Documents that one turn of building an index reads, and the bytes of their values; writers wait for it, some ms.
pub const INDEX_TURN_DOCUMENTS_MAX: usize = 256;
/// See [`INDEX_TURN_DOCUMENTS_MAX`].
pub const INDEX_TURN_BYTES_MAX: usize = 1 << 20;

/// Memory for the ids that an index gives before their documents are read in order, in bytes; with more, the
/// collection is read instead.
pub const INDEX_IDS_BYTES_MAX: usize = 16 << 20;

/// Documents that a statement reads at once where an index leads to them, and the bytes of their values, if all are as large as
/// the largest of them so far: a document's size is known only once it is read. They are decoded one by one.
pub const INDEX_READ_DOCUMENTS_MAX: usize = 16;
/// See [`INDEX_READ_DOCUMENTS_MAX`].
pub const INDEX_READ_BYTES_MAX: usize = 1 << 20;

/// Most proofs in one delta, which is cut before there are more.
pub const DELTA_PROOFS_MAX: usize = 4_096;

/// Bytes by which a document may grow before its proofs are closed, and that one proof stands for at most, but for those that
/// were sealed as one: a delta is cut where all of it is proven, so a history that is sent in parts needs proofs on its way.
pub const PROOF_BYTES_MAX: u64 = 1 << 20;

/// Least seals for one more thread to be worth it when they are checked: one takes some 40 µs, a thread some 30 µs to begin.
pub const SEALS_PER_THREAD_MIN: usize = 8;

/// Least documents for one more thread to be worth it when they are decoded: a small one takes some 5 µs.
pub const DOCUMENTS_PER_THREAD_MIN: usize = 64;

/// Most seals in one bundle from outside: a page of documents, each changed by several devices.
pub const BUNDLE_SEALS_MAX: usize = 16 * 1_024;

/// Most certificates in one bundle from outside.
pub const BUNDLE_CERTIFICATES_MAX: usize = 1_024;

/// Most verified certificates that are kept in memory: the devices that a store hears of within one page or so. One takes a few
/// kilobytes, and to verify one again some 80 µs.
pub const CERTIFIED_KEPT_MAX: usize = 1_024;

/// Most entries of the feed that are looked through for changes to seal, before what was found is sealed.
pub const SEAL_SCAN_MAX: usize = 4_096;

/// Most documents whose changes are sealed in one batch of the database, which other writers wait for: some 5 ms.
pub const SEAL_DOCUMENTS_MAX: usize = 512;

/// Least time between two rounds of sealing, in milliseconds: the first change after a rest is sealed at once, those that
/// follow it closely together.
pub const SEAL_PAUSE_MS: u64 = 2;

/// Changed documents that are looked at to count those with unsealed changes: some 50 ms.
pub const UNSEALED_COUNTED_MAX: usize = 10_000;

/// Documents with changes set aside that are told by name.
pub const SET_ASIDE_TOLD_MAX: usize = 20;

/// Commits that wait for their changes to be sealed, before they are told. Of what is beyond, the peers hear by the feed alone.
pub const COMMITS_UNSEALED_MAX: usize = 1_024;

/// Memory that those take, in bytes.
pub const COMMITS_UNSEALED_BYTES_MAX: usize = 4 << 20;
/// Small steps that the rules of one certificate for one collection may take to decide whether a document may be written. A
/// part of the protocol, as every peer must come to the same answer: ids are short, and an honest rule takes some ten steps.
/// The hardest rules take some ms.
pub const WRITE_RULES_STEPS_MAX: u64 = 1 << 18;
/// The same for reading a document: enough for a LIKE over the largest text that a local write may make. The hardest rules
/// take some 100 ms.
pub const READ_RULES_STEPS_MAX: u64 = 1 << 24;
/// Bytes of a stored document up to which rules read it where it lies. A larger one is decoded once: looking for a field
/// walks over those before it, and rules may name many.
pub const RULES_IN_PLACE_BYTES_MAX: usize = 64 << 10;
/// Rules, and characters of each, that a refusal repeats.
pub const RULES_TOLD_MAX: usize = 3;
/// See [`RULES_TOLD_MAX`].
pub const RULE_CHARS_TOLD_MAX: usize = 200;
/// Longest text of permissions as JSON, in bytes: what fits a certificate, generously spaced and escaped.
pub const PERMISSIONS_JSON_BYTES_MAX: usize = 64 << 10;
