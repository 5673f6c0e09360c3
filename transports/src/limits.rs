//! Every bound of this crate, with its unit and reason.

use sedge_identity::CERTIFICATE_BYTES_MAX;

/// Largest message of the admission exchange, in bytes: a certificate, and the few bytes around it.
pub const ADMISSION_MESSAGE_BYTES_MAX: usize = CERTIFICATE_BYTES_MAX + 64;

/// Peers whose chains of certificates are remembered, so that they need not be sent again: 2 MiB at most.
pub const KNOWN_CHAINS_MAX: usize = 256;

/// Time for the admission exchange, in ms: four messages of at most 8 KiB, at 20 kB/s over Bluetooth LE, with room for
/// a busy device.
pub const ADMISSION_TIMEOUT_MS: u64 = 10_000;

/// Time from the first byte of a connection to the end of its admission, in ms: also the name look-up, connecting and
/// the handshakes of Noise and Yamux, each a few round trips.
pub const HANDSHAKE_TIMEOUT_MS: u64 = 20_000;

/// Time to the first byte of an incoming TCP connection, in ms. The dialer speaks at once, so this is one way over the
/// link, with room for a first segment that is lost twice (sent again after 1 s and 3 s, RFC 6298).
pub const FIRST_BYTE_TIMEOUT_MS: u64 = 4_000;

/// How long a refused peer may take to read the refusal before the connection is cut, in ms.
pub const REFUSAL_LINGER_MS: u64 = 1_000;

/// Incoming connections not yet admitted, in all. Each can hold [`UNADMITTED_BYTES_MAX`] and a few handshake buffers, so
/// strangers can take a few tens of MiB at most. Beyond it the address that holds most gives up its oldest connection to
/// a newcomer from one that holds fewer: however many addresses strangers have, a newcomer is let in at once.
pub const PENDING_MAX: usize = 128;

/// Incoming connections not yet admitted from one IPv4 address or one IPv6 /64 network, so that one stranger can't take
/// every place. Admission takes milliseconds, so devices behind one router seldom meet it.
pub const PENDING_PER_ADDRESS_MAX: usize = 16;

/// What a connection may receive before its peer is admitted, in bytes: the whole exchange, the multiplexer's frames, and
/// the first words of protocols, which a dialer says as soon as it has shown its certificate. More is not read until then.
/// Without it a stranger could fill the receive windows of all its streams.
pub const UNADMITTED_BYTES_MAX: usize = 64 * 1024;

/// Streams per connection. Sync, gossip, ping and the like need a dozen; requests for attachments some more.
pub const YAMUX_STREAMS_MAX: usize = 256;

/// Peers found on the local network that are remembered. Beyond it those that failed most often give way.
pub const DISCOVERED_PEERS_MAX: usize = 256;

/// Addresses remembered per peer found on the local network: its interfaces, in IPv4 and IPv6.
pub const DISCOVERED_ADDRESSES_MAX: usize = 8;

/// Dials to peers found on the local network that may be under way at once.
pub const DISCOVERY_DIALS_MAX: usize = 8;

/// How long the peer with the greater id waits for the other to dial, in ms: two peers find each other at the same
/// time, and one connection is enough.
pub const DISCOVERY_YIELD_MS: u64 = 2_000;

/// First pause after a failed or refused dial to a peer on the local network, in ms. It doubles with every further one.
pub const DISCOVERY_BACKOFF_MIN_MS: u64 = 5_000;

/// Longest pause between dials to a peer on the local network, in ms. A peer of another app costs one dial per pause; a
/// peer whose secret was corrected is met after it at the latest.
pub const DISCOVERY_BACKOFF_MAX_MS: u64 = 10 * 60_000;

/// A connection that ends sooner than this, in ms, counts as a failed dial, so that a peer that admits and hangs up at
/// once is not dialled in a loop.
pub const DISCOVERY_STABLE_MS: u64 = 30_000;
