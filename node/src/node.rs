//! A node: one device's store and its part in the mesh.

use crate::attachments::{AttachmentsHandle, collect_regularly};
use crate::blobs::StoreBlobs;
use crate::error::NodeError;
use crate::limits::ADMITTED_PEERS_MAX;
use crate::replica::{Delivered, StoreReplica, forward_commits};
use crate::state::{StateFolder, StateLock};
use crate::store::StoreHandle;
use crate::timekeeping::{first_floor, keep_now, keep_regularly, tell_if_behind};
use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId};
use sedge_crdt::{Durability, Store, StoreOptions};
use sedge_identity::{
    Admitted, AppId, CertificateChain, CertificateRequest, Clock, DeviceKey, Issuer, LocalIdentity,
    Membership, SharedSecret, SignedCertificate, Trust,
};
use sedge_mesh::{CollectionName, Interest, Mesh, MeshConfig, MeshHandle, PeerStatus};
use sedge_transports::{Behaviour, transport};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::sync::Mutex;
use tokio::task::{AbortHandle, JoinHandle};

/// How a device proves that it belongs to the app.
#[derive(Clone, Debug)]
pub enum Identity {
    /// Every device that knows the secret issues itself a certificate with full rights, offline.
    Development(String),
    /// An issuer has certified this device, and those whom it meets.
    Authenticated {
        /// The device's certificate and those of its issuers, in armoured text.
        certificate: String,
        /// The certificates of the trusted roots, in armoured text.
        roots: String,
    },
}

impl Identity {
    /// The development identity of all who know `secret`.
    pub fn development(secret: impl Into<String>) -> Self {
        Self::Development(secret.into())
    }

    /// The identity of a device with a certificate, among those with certificates under `roots`; both as `sedge cert`
    /// writes them.
    pub fn authenticated(certificate: impl Into<String>, roots: impl Into<String>) -> Self {
        Self::Authenticated {
            certificate: certificate.into(),
            roots: roots.into(),
        }
    }
}

/// Settings of a node that isn't started yet; see [`Node::builder`].
#[derive(Clone, Debug)]
pub struct NodeBuilder {
    app: String,
    identity: Option<Identity>,
    state: Option<PathBuf>,
    name: String,
    listen: Vec<String>,
    peers: Vec<String>,
    discovery: bool,
    options: StoreOptions,
    collections: Vec<String>,
}

/// A running node. [`shutdown`](Self::shutdown) stops it and waits; dropping it stops it too, without waiting.
pub struct Node {
    store: StoreHandle,
    attachments: AttachmentsHandle,
    app: AppId,
    peer: PeerId,
    membership: Membership,
    mesh: MeshHandle,
    forwarding: AbortHandle,
    forwarder: Mutex<Option<JoinHandle<()>>>,
    state: StateFolder,
    _lock: StateLock,
}

impl Node {
    /// Begins a node of the app. It needs an [`identity`](NodeBuilder::identity) and a
    /// [`store`](NodeBuilder::store); by default it dials nobody but whom it finds on the LAN, and takes dials on a
    /// port that the system chooses.
    pub fn builder(app: impl Into<String>) -> NodeBuilder {
        NodeBuilder {
            app: app.into(),
            identity: None,
            state: None,
            name: String::new(),
            listen: vec!["/ip4/0.0.0.0/tcp/0".to_owned()],
            peers: Vec::new(),
            discovery: true,
            options: StoreOptions::default(),
            collections: Vec::new(),
        }
    }

    /// The node's documents.
    pub fn store(&self) -> &StoreHandle {
        &self.store
    }

    /// The bytes behind the attachment tokens of the node's documents.
    pub fn attachments(&self) -> &AttachmentsHandle {
        &self.attachments
    }

    /// The node's app.
    pub fn app(&self) -> &AppId {
        &self.app
    }

    /// The node's name in the mesh, which follows from its key.
    pub fn peer_id(&self) -> PeerId {
        self.peer
    }

    /// The device's name, as other peers show it.
    pub fn name(&self) -> String {
        self.membership.identity().certificate().name.clone()
    }

    /// Takes up another certificate of this device, in armoured text with those of its issuers, and shows it to the connected
    /// peers: connections go on with it, and what is written is sealed under it. It is not kept; the next start needs it again.
    ///
    /// # Errors
    /// Others would not take it; then the present one stays.
    pub async fn renew(&self, certificate: &str) -> Result<(), NodeError> {
        let chain = CertificateChain::from_text(certificate)?;
        self.membership.renew(&chain)?;
        let (store, own) = (self.store.inner().clone(), self.membership.identity());
        let certified = tokio::task::spawn_blocking(move || store.certify(own));
        certified
            .await
            .map_err(|_| NodeError::Stopped("taking up a certificate"))??;
        self.mesh.identity_changed();
        Ok(())
    }

    /// Where it takes dials, each with its peer id at the end, ready for another node's [`NodeBuilder::peer`].
    pub fn listen_addresses(&self) -> Vec<Multiaddr> {
        let peer = Protocol::P2p(self.peer_id());
        let addresses = self.mesh.listen_addrs();
        addresses
            .into_iter()
            .map(|address| address.with(peer.clone()))
            .collect()
    }

    /// By how much the clock is behind the latest time that this device has certainly seen, in ms; 0 where it is not.
    pub fn clock_behind_ms(&self) -> u64 {
        self.membership.clock().behind_ms()
    }

    /// The connected neighbours.
    pub fn peers(&self) -> Vec<PeerStatus> {
        self.mesh.peers()
    }

    /// Says goodbye to the neighbours and finishes what has begun. The store closes when the node is dropped.
    pub async fn shutdown(&self) {
        self.mesh.shutdown().await;
        self.forwarding.abort();
        // The forwarder holds the store too; once its task has ended the store closes with the node.
        let forwarder = self.forwarder.lock().await.take();
        if let Some(Err(error)) = futures::future::OptionFuture::from(forwarder).await
            && !error.is_cancelled()
        {
            tracing::error!(%error, "telling the mesh of commits failed");
        }
        keep_now(self.membership.clone(), self.state.clone()).await;
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.forwarding.abort(); // it holds the mesh, which stops with its last handle
    }
}

impl NodeBuilder {
    /// How the device proves that it belongs to the app.
    #[must_use]
    pub fn identity(mut self, identity: Identity) -> Self {
        self.identity = Some(identity);
        self
    }

    /// The folder of the device's key and database, created when it isn't there. One process at a time uses it.
    #[must_use]
    pub fn store(mut self, path: impl Into<PathBuf>) -> Self {
        self.state = Some(path.into());
        self
    }

    /// The name that other peers show for this device.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// The addresses to take dials on, instead of a port that the system chooses.
    #[must_use]
    pub fn listen<A: Into<String>>(mut self, addresses: impl IntoIterator<Item = A>) -> Self {
        self.listen = addresses.into_iter().map(Into::into).collect();
        self
    }

    /// A peer to stay connected to, by its address.
    #[must_use]
    pub fn peer(mut self, address: impl Into<String>) -> Self {
        self.peers.push(address.into());
        self
    }

    /// Whether to look for peers on the LAN (mDNS). On by default.
    #[must_use]
    pub fn discovery(mut self, discovery: bool) -> Self {
        self.discovery = discovery;
        self
    }

    /// When a write is acknowledged: by default once it is on the disk.
    #[must_use]
    pub fn durability(mut self, durability: Durability) -> Self {
        self.options.durability = durability;
        self
    }

    /// How many bytes of changes the feed keeps for its readers, by default 64 MiB; 0 for none.
    #[must_use]
    pub fn feed_keep_bytes(mut self, bytes: u64) -> Self {
        self.options.feed_keep_bytes = bytes;
        self
    }

    /// Holds the named collections only, instead of all.
    #[must_use]
    pub fn collections<C: Into<String>>(mut self, names: impl IntoIterator<Item = C>) -> Self {
        self.collections = names.into_iter().map(Into::into).collect();
        self
    }

    /// Where the time comes from by which certificates are judged and which changes carry (ms since 1970), instead of this
    /// machine's clock.
    #[must_use]
    pub fn clock(mut self, now_ms: fn() -> u64) -> Self {
        self.options.clock = now_ms;
        self
    }

    /// Opens the store, listens and dials.
    ///
    /// # Errors
    /// Something is missing or wrong in the settings, the state folder is in use, an address can't be listened on.
    pub async fn start(self) -> Result<Node, NodeError> {
        let app = AppId::new(&self.app)?;
        let identity = self
            .identity
            .clone()
            .ok_or(NodeError::Incomplete("an identity"))?;
        let path = self
            .state
            .clone()
            .ok_or(NodeError::Incomplete("a store folder"))?;
        let config = self.mesh_config(&app)?;
        let wanted = config.interest.clone();
        let (name, discovery, options) = (self.name, self.discovery, self.options);
        let (opened, state) = (app.clone(), StateFolder::new(path));
        let folder = state.clone();
        let opening =
            tokio::task::spawn_blocking(move || open(&opened, &identity, &folder, &name, options));
        let (lock, store, membership) = opening
            .await
            .map_err(|_| NodeError::Stopped("opening the store"))??;
        let peer = membership.identity().peer_id();
        store.set_audience(true);
        let transport = transport(membership.clone())?;
        let commits = store.released();
        let mesh = Mesh::start(
            config,
            peer,
            transport,
            Behaviour::new(peer, discovery),
            membership.clone(),
            Arc::new(StoreReplica::new(store.clone())),
            Arc::new(StoreBlobs(store.clone())),
        );
        let mesh = mesh.await?;
        store.set_replication(Some(Arc::new(Delivered {
            interest: wanted,
            peers: mesh.watch_peers(),
        })));
        let attachments = AttachmentsHandle::new(store.clone(), Some(mesh.fetcher()));
        let forwarding = forward_commits(store.clone(), commits, mesh.clone());
        let collecting = collect_regularly(attachments.clone());
        let keeping = keep_regularly(membership.clone(), state.clone());
        let forwarder = tokio::spawn(async {
            tokio::select!(() = forwarding => {}, () = collecting => {}, () = keeping => {})
        });
        Ok(Node {
            attachments,
            store: StoreHandle::new(store),
            app,
            peer,
            membership,
            forwarding: forwarder.abort_handle(),
            forwarder: Mutex::new(Some(forwarder)),
            mesh,
            state,
            _lock: lock,
        })
    }

    fn mesh_config(&self, app: &AppId) -> Result<MeshConfig, NodeError> {
        let mut config = MeshConfig::new(app.as_str());
        config.listen = addresses(&self.listen)?;
        config.peers = addresses(&self.peers)?;
        config.interest = interest(&self.collections)?;
        Ok(config)
    }
}

/// The collections that are subscribed; all of them if none is named.
pub(crate) fn interest(collections: &[String]) -> Result<Interest, NodeError> {
    if collections.is_empty() {
        return Ok(Interest::Everything);
    }
    let names = collections.iter().map(|name| {
        CollectionName::new(name)
            .map_err(|error| sedge_crdt::StoreError::CollectionName(error.to_string()))
    });
    Ok(Interest::Collections(names.collect::<Result<_, _>>()?))
}

fn open(
    app: &AppId,
    identity: &Identity,
    state: &StateFolder,
    name: &str,
    options: StoreOptions,
) -> Result<(StateLock, Store, Membership), NodeError> {
    let credentials = Credentials::of(app, identity)?;
    state.create()?;
    let lock = state.lock()?;
    let key = state.key()?;
    let kept_ms = state.clock_floor_ms()?;
    let store = state.open_store(app, &key.public(), options)?;
    let clock = Clock::new(
        options.clock,
        first_floor(kept_ms, store.newest_change_ms()?),
    );
    tell_if_behind(&clock, state);
    let local = credentials.local(app, key, name, clock.now_ms())?;
    let membership = Membership::new(local, Admitted::new(ADMITTED_PEERS_MAX), clock);
    store.certify(membership.identity())?;
    // What was written while no daemon ran. Where that fails, as on a full disk, the rest of the device still serves.
    if let Err(error) = store.seal() {
        tracing::warn!(%error, "changes of this device stay here for now: they are not sealed");
    }
    Ok((lock, store, membership))
}

/// Lets a store seal what this device writes, by the identity in its folder.
pub(crate) fn certify_store(
    store: &Store,
    state: &StateFolder,
    name: &str,
) -> Result<(), NodeError> {
    let (settings, identity) = (state.settings()?, state.identity()?);
    let app = AppId::new(&settings.app)?;
    let credentials = Credentials::of(&app, &identity)?;
    let local = credentials.local(&app, state.key()?, name, now_ms())?;
    Ok(store.certify(Arc::new(local))?)
}

/// What an identity says, read before anything is opened.
enum Credentials {
    Secret(SharedSecret),
    Certified(CertificateChain, Trust),
}

impl Credentials {
    fn of(app: &AppId, identity: &Identity) -> Result<Self, NodeError> {
        Ok(match identity {
            Identity::Development(secret) => Self::Secret(SharedSecret::parse(secret)?),
            Identity::Authenticated { certificate, roots } => {
                let roots = SignedCertificate::all_from_text(roots)?;
                let trust = Trust::certified(app.clone(), &roots)?;
                Self::Certified(CertificateChain::from_text(certificate)?, trust)
            }
        })
    }

    fn local(
        self,
        app: &AppId,
        key: DeviceKey,
        name: &str,
        now_ms: u64,
    ) -> Result<LocalIdentity, NodeError> {
        let local = match self {
            Self::Secret(secret) => certify(app, &secret, key, name, now_ms)?,
            Self::Certified(chain, trust) => LocalIdentity::new(key, &chain, trust, now_ms)?,
        };
        if !local.certificate().reads_everything() {
            tracing::warn!(
                "this device's certificate lets it read a part only: peers of this version don't admit it"
            );
        }
        Ok(local)
    }
}

/// Issues this device its certificate, as every device of a development identity does for itself.
fn certify(
    app: &AppId,
    secret: &SharedSecret,
    key: DeviceKey,
    name: &str,
    now_ms: u64,
) -> Result<LocalIdentity, NodeError> {
    let issuer = Issuer::development(app, secret)?;
    let request = CertificateRequest::development(key.public(), name);
    let certificate = issuer.issue(request, serial(&key, name), now_ms)?;
    let trust = Trust::new(app.clone(), &[issuer.public()])?;
    Ok(LocalIdentity::new(key, &certificate.into(), trust, now_ms)?)
}

/// The serial of a device's development certificate. It follows from what the certificate says, so that each start makes the
/// same one: seals name it, and stores keep all that are named.
fn serial(key: &DeviceKey, name: &str) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new_derive_key("sedge development serial 1");
    hasher
        .update(key.public().as_bytes())
        .update(name.as_bytes());
    let mut serial = [0; 16];
    hasher.finalize_xof().fill(&mut serial);
    serial
}

fn addresses(texts: &[String]) -> Result<Vec<Multiaddr>, NodeError> {
    texts.iter().map(|text| address(text)).collect()
}

/// Refuses a text that is no address to listen on or to dial.
///
/// # Errors
/// [`NodeError::Address`].
pub fn check_address(text: &str) -> Result<(), NodeError> {
    address(text).map(drop)
}

/// An address that TCP can listen on or dial: a host, a port and perhaps a peer id.
fn address(text: &str) -> Result<Multiaddr, NodeError> {
    let refused = |reason: String| NodeError::Address {
        address: text.to_owned(),
        reason,
    };
    let address: Multiaddr = text
        .parse()
        .map_err(|error: libp2p::multiaddr::Error| refused(error.to_string()))?;
    let parts: Vec<Protocol<'_>> = address.iter().collect();
    match parts.as_slice() {
        [host, Protocol::Tcp(_)] | [host, Protocol::Tcp(_), Protocol::P2p(_)] if is_host(host) => {
            Ok(address)
        }
        _ => Err(refused("a host and a TCP port are needed".to_owned())),
    }
}

fn is_host(part: &Protocol<'_>) -> bool {
    matches!(
        part,
        Protocol::Ip4(_)
            | Protocol::Ip6(_)
            | Protocol::Dns(_)
            | Protocol::Dns4(_)
            | Protocol::Dns6(_)
    )
}

/// Milliseconds since 1970 by this machine's clock.
pub fn now_ms() -> u64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
    since_1970.map_or(0, |time| {
        u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
    })
}
