//! Every bound of the program, with its unit and its reason.

/// Longest line of an import, and longest document as compact JSON (numbers can grow: 1e15), in bytes: a document of the
/// largest size with generous spacing.
pub(crate) const LINE_BYTES_MAX: usize = 8 << 20;

/// Most documents handed in at once: few syncs for many documents, and an answer soon.
pub(crate) const BATCH_DOCUMENTS_MAX: usize = 512;

/// Bytes of documents after which they are handed in: with one more line they stay below the largest import request.
pub(crate) const BATCH_BYTES_MAX: usize = 4 << 20;

/// Bad lines remembered with their reason; more are only counted.
pub(crate) const BAD_LINES_KEPT_MAX: usize = 1_000;

/// Bad lines told one by one as text, about a screen; more are counted.
pub(crate) const BAD_LINES_TOLD_MAX: usize = 20;

/// Longest secret file, in bytes: a secret is a line.
pub(crate) const SECRET_BYTES_MAX: u64 = 4 << 10;

/// Longest file of certificates or of an issuer's key, in bytes: as many of the largest certificates as there may be roots,
/// armoured.
pub(crate) const CERTIFICATE_FILE_BYTES_MAX: u64 = 256 << 10;

/// Longest passphrase file, in bytes: a passphrase is a line.
pub(crate) const PASSPHRASE_FILE_BYTES_MAX: u64 = 4 << 10;

/// Pieces of an attachment that wait between its file and the daemon.
pub(crate) const ATTACHMENT_PIECES_QUEUED_MAX: usize = 8;

/// Widest cell of the listing of `sedge watch`, in columns of the terminal; the rest of a longer value is left out.
pub(crate) const WATCH_CELL_COLUMNS_MAX: usize = 40;

/// Columns of the listing of `sedge watch`: more fit no terminal.
pub(crate) const WATCH_FIELDS_MAX: usize = 64;

/// Rows that are gone which `sedge watch` shows below the others.
pub(crate) const WATCH_GONE_MAX: usize = 3;
