//! Every bound of this crate, with its unit and reason.

/// Longest app id, in bytes: it is repeated in every certificate, topic and protocol name.
pub const APP_ID_BYTES_MAX: usize = 64;

/// Shortest shared secret, in bytes of text. Whoever sees a certificate of the app can guess secrets offline
/// against the issuer's public key, so a short word would be found.
pub const SECRET_BYTES_MIN: usize = 16;

/// Longest shared secret, in bytes of text: more adds nothing, and a wrong file is caught early.
pub const SECRET_BYTES_MAX: usize = 256;

/// Argon2id memory, in KiB. 32 MiB fits beside everything else on a 512 MB Raspberry Pi Zero 2 W and is more than
/// the 19 MiB that OWASP names as the least. The three Argon2id figures are part of the protocol: changing one
/// gives every app another development issuer.
pub const ARGON2_MEMORY_KIB: u32 = 32 * 1024;

/// Argon2id passes over the memory: the three of RFC 9106's option for small memories. A device pays for them once
/// per start.
pub const ARGON2_PASSES: u32 = 3;

/// Argon2id lanes. One, because a guesser has more cores than a device, so lanes would favour the guesser.
pub const ARGON2_LANES: u32 = 1;

/// Largest certificate together with those of its issuers, in bytes: all are sent on every new connection, also over
/// Bluetooth LE.
pub const CERTIFICATE_BYTES_MAX: usize = 8 * 1024;

/// Most blocks of an armoured file: the largest bundle, or as many roots as may be trusted.
pub const ARMOUR_BLOCKS_MAX: usize = ROOTS_MAX;

/// Characters of base64 in a line of an armoured file: RFC 7468 asks for exactly 64.
pub const ARMOUR_LINE_CHARS: usize = 64;

/// Shortest passphrase of an issuer's key, in bytes: what NIST SP 800-63B demands of a memorised secret.
pub const PASSPHRASE_BYTES_MIN: usize = 8;

/// Longest passphrase of an issuer's key, in bytes: more adds nothing, and a wrong file is caught early.
pub const PASSPHRASE_BYTES_MAX: usize = 1024;

/// Argon2id memory for a passphrase, in KiB: the 64 MiB of RFC 9106's second recommended option. An issuer's key is used
/// on a computer, not on a small device. The three figures belong to version 1 of the key's form.
pub const PASSPHRASE_MEMORY_KIB: u32 = 64 * 1024;

/// Argon2id passes for a passphrase: the three of the same option.
pub const PASSPHRASE_PASSES: u32 = 3;

/// Argon2id lanes for a passphrase: one, because they are computed one after the other here and a guesser would gain.
pub const PASSPHRASE_LANES: u32 = 1;

/// Most certificates of a chain, the root's not counted: a device, and three issuers such as a region's, a site's and a
/// gateway's. Each costs a verification for whoever is shown it.
pub const CHAIN_CERTIFICATES_MAX: usize = 4;

/// Longest device name or user id in a certificate, in bytes.
pub const NAME_BYTES_MAX: usize = 256;

/// Most collections in one direction (read or write) of a certificate's permissions.
pub const RIGHTS_COLLECTIONS_MAX: usize = 256;

/// Most queries for one collection of a certificate's permissions: each is tested on every document.
pub const RIGHTS_QUERIES_MAX: usize = 64;

/// Longest collection name in a certificate's permissions, in bytes.
pub const RIGHTS_COLLECTION_BYTES_MAX: usize = 256;

/// Most claims in a certificate.
pub const CLAIMS_MAX: usize = 64;

/// Most critical, and most extra, extensions in a certificate.
pub const EXTENSIONS_MAX: usize = 16;

/// Most changes under one seal. A signature costs 14 µs to make and 37 µs to check, so 64 changes share it for less than
/// a microsecond each, and the path that proves one of them alone has six hashes at most.
pub const SEAL_CHANGES_MAX: usize = 64;

/// Most issuers trusted at once: each is a candidate during a rotation of roots, more is a misconfiguration.
pub const ROOTS_MAX: usize = 16;

/// How far before its issue a certificate with a limited life begins to be valid, in ms. One hour, so that a device
/// whose clock is a little behind the issuer's does not refuse a fresh certificate.
pub const CLOCK_TOLERANCE_MS: u64 = 60 * 60 * 1000;

/// The end of a certificate that does not expire: 9999-12-31T23:59:59Z in ms. Printable as a date, and exact as a
/// signed 64-bit integer and as a JSON number.
pub const NO_END_MS: u64 = 253_402_300_799_000;

/// Least time between two lines of the log that say the same, in ms: a peer with a wrong secret that dials in a loop is
/// told of once a minute.
pub const LOG_INTERVAL_MS: u64 = 60_000;

/// Different lines about peers that go into the log within [`LOG_INTERVAL_MS`], so that a stranger under ever new names
/// does not fill it either.
pub const LOG_KEYS_MAX: usize = 128;
