//! The state folder of a device: key, store, settings, secret, lock and socket.
//!
//! | entry | what |
//! |---|---|
//! | `device.key` | the seed of the device's Ed25519 key, 64 hexadecimal digits, mode 0600 |
//! | `store/` | the database |
//! | `restored/` | a restored database, before it takes the place of `store/` |
//! | `store-set-aside-TIME/` | a database in whose place a restored one is |
//! | `sedge.toml` | settings of the daemon |
//! | `secret` | the app's shared secret, mode 0600; or, where an issuer certifies the devices: |
//! | `roots.crt`, `device.crt` | the certificates of the trusted issuers, and the device's own |
//! | `clock` | the latest time that is certain, in ms since 1970; admission's clock is never below it |
//! | `lock` | locked while a process uses the folder |
//! | `run/sedge.sock` | the daemon's API |

mod certified;
mod settings;

use crate::error::NodeError;
use crate::limits::SOCKET_PATH_BYTES_MAX;
use sedge_crdt::{RandomError, Store, StoreError, StoreOptions, random};
use sedge_identity::{AppId, DeviceKey, PublicKey, SharedSecret, hex, parse_hex};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

pub use settings::{Settings, check_device_name};

/// What goes wrong with a state folder; the message says what to do.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// A file or folder can't be read or written.
    #[error("{path}: {source}; {}", remedy(.source))]
    Io {
        /// Which.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// `sedge init` has not run.
    #[error(
        "{} is no state folder of a device; create one with: sedge init --app NAME --state {}",
        .0.display(), .0.display()
    )]
    NotInitialised(PathBuf),
    /// `sedge init` has run already.
    #[error("{} holds a device of app {app} already; choose another folder with --state", .path.display())]
    Initialised {
        /// The folder.
        path: PathBuf,
        /// Its app.
        app: String,
    },
    /// No certificate has been installed yet.
    #[error(
        "this device has no certificate yet; where the issuer's key is, run: sedge cert issue --subject {key} --name NAME \
         --output FILE, and here: sedge cert install FILE --state {}", .path.display()
    )]
    NotCertified {
        /// The folder.
        path: PathBuf,
        /// The device's key.
        key: PublicKey,
    },
    /// Another process uses the folder.
    #[error("{} is in use by another process; stop it, or choose another folder with --state", .0.display())]
    InUse(PathBuf),
    /// A file's content is not what it should be.
    #[error("{path}: {reason}")]
    Content {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The device's name can't be one.
    #[error("{0}; choose another with --name")]
    Name(String),
    /// A `SEDGE_…` variable is no setting, or has a wrong value.
    #[error("{0}; correct or unset the variable")]
    Variables(String),
    /// No home folder to put a default state folder in.
    #[error("no home folder is known; name a state folder with --state")]
    NoHome,
    /// The system gave no random bytes.
    #[error(transparent)]
    Random(#[from] RandomError),
}

pub(crate) fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull => "free some space, then start again",
        _ => "check that it exists and that this user may use it",
    }
}

/// A device's state folder.
#[derive(Clone, Debug)]
pub struct StateFolder(PathBuf);

/// Held while a process uses the folder; released when dropped, or when the process ends in any way.
#[derive(Debug)]
pub struct StateLock {
    _file: File,
}

impl StateFolder {
    /// The folder at `path`, which need not exist yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// Where a user's device lives when nothing else is said: `$XDG_DATA_HOME/sedge`.
    ///
    /// # Errors
    /// [`StateError::NoHome`].
    pub fn of_user() -> Result<Self, StateError> {
        use etcetera::BaseStrategy;
        let base = etcetera::choose_base_strategy().map_err(|_| StateError::NoHome)?;
        Ok(Self(base.data_dir().join("sedge")))
    }

    /// The folder's path.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Makes a device: folder, key, store, secret and settings. What an init that was cut short has left is completed.
    /// Without a `secret` the app gets a new one; gives back the app's secret.
    ///
    /// # Errors
    /// There is one already, the app id or the name can't be one, the folder belongs to another app or secret, or it
    /// can't be written.
    pub fn init(
        &self,
        settings: &Settings,
        secret: Option<&SharedSecret>,
    ) -> Result<SharedSecret, NodeError> {
        let (secret, _) = self.make_device(settings, || {
            self.check_no_roots()?;
            self.settle_secret(secret)
        })?;
        Ok(secret)
    }

    /// Makes a device's parts, among them what `settle` puts into its file. Gives that back, and the device's key.
    fn make_device<T>(
        &self,
        settings: &Settings,
        settle: impl FnOnce() -> Result<T, StateError>,
    ) -> Result<(T, PublicKey), NodeError> {
        let app = AppId::new(&settings.app)?;
        check_device_name(&settings.name).map_err(StateError::Name)?;
        self.check_uninitialised()?;
        self.create()?;
        let _lock = self.lock()?;
        // Again, because another init may have made a device here in the meantime.
        self.check_uninitialised()?;
        self.clear_unfinished_store()?;
        let device = self.key()?.public();
        drop(self.open_store(&app, &device, settings.store_options())?);
        let settled = settle()?;
        // Last, because a folder with settings counts as initialised.
        write_private(&self.settings_path(), settings.to_toml())?;
        Ok((settled, device))
    }

    /// A database that an init has begun and not made, which holds nothing: RocksDB puts `CURRENT` there last.
    fn clear_unfinished_store(&self) -> Result<(), StateError> {
        let path = self.store_path();
        if path.join("CURRENT").exists() || self.restored_path().exists() {
            return Ok(());
        }
        for entry in fs::read_dir(&path).map_err(|source| io_error(&path, source))? {
            let name = entry.map_err(|source| io_error(&path, source))?.file_name();
            let kind = Path::new(&name).extension();
            if kind.is_some_and(|kind| kind == "sst" || kind == "log") {
                return Ok(()); // it held documents, so it is damaged
            }
        }
        fs::remove_dir_all(&path).map_err(|source| io_error(&path, source))?;
        create_private(&path)
    }

    /// A device is never replaced, also not a damaged one.
    fn check_uninitialised(&self) -> Result<(), StateError> {
        let path = self.settings_path();
        if !path.exists() {
            return Ok(());
        }
        match Settings::load(&path) {
            Ok(settings) => Err(StateError::Initialised {
                path: self.0.clone(),
                app: settings.app,
            }),
            Err(_) => Err(StateError::Content {
                path,
                reason:
                    "belongs to a device; repair that one, or choose another folder with --state"
                        .to_owned(),
            }),
        }
    }

    /// The secret of an init that was cut short, else the given one, else a new one; it is in its file afterwards. A
    /// secret that is there is never replaced.
    fn settle_secret(&self, given: Option<&SharedSecret>) -> Result<SharedSecret, StateError> {
        let path = self.secret_path();
        if path.exists() {
            let found = self.secret()?;
            if given.is_some_and(|given| *given != found) {
                return Err(StateError::Content {
                    path,
                    reason: "holds another secret; run init without --secret-file to keep it, or choose another folder \
                             with --state"
                        .to_owned(),
                });
            }
            return Ok(found);
        }
        let secret = match given {
            Some(given) => given.clone(),
            None => SharedSecret::generate(random()?),
        };
        write_private(&path, format!("{}\n", secret.expose()))?;
        Ok(secret)
    }

    /// The settings: file, then environment.
    ///
    /// # Errors
    /// The folder is not initialised, or a setting is wrong.
    pub fn settings(&self) -> Result<Settings, StateError> {
        let path = self.settings_path();
        if !path.exists() {
            return Err(StateError::NotInitialised(self.0.clone()));
        }
        Settings::load(&path)
    }

    /// The app's secret.
    ///
    /// # Errors
    /// The file is missing or not a secret.
    pub fn secret(&self) -> Result<SharedSecret, StateError> {
        let path = self.secret_path();
        let text = read(&path)?;
        SharedSecret::parse(text.trim()).map_err(|error| StateError::Content {
            path,
            reason: error.to_string(),
        })
    }

    /// Takes the folder for this process.
    ///
    /// # Errors
    /// [`StateError::InUse`].
    pub fn lock(&self) -> Result<StateLock, StateError> {
        let path = self.0.join("lock");
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).write(true).mode(0o600);
        let file = options
            .open(&path)
            .map_err(|source| io_error(&path, source))?;
        match file.try_lock() {
            Ok(()) => Ok(StateLock { _file: file }),
            Err(TryLockError::WouldBlock) => Err(StateError::InUse(self.0.clone())),
            Err(TryLockError::Error(source)) => Err(io_error(&path, source)),
        }
    }

    /// Creates the folder and what must be closed to others in it, unless they are there.
    pub(crate) fn create(&self) -> Result<(), StateError> {
        create_private(&self.0)?;
        create_private(&self.run_path())?;
        create_private(&self.store_path())
    }

    /// The device's key, made when neither it nor a store is there.
    pub(crate) fn key(&self) -> Result<DeviceKey, StateError> {
        let path = self.key_path();
        if !path.exists() {
            if self.store_path().join("CURRENT").exists() {
                return Err(StateError::Content {
                    path,
                    reason: "the device's key is lost, but its store is here; restore the key from a backup, or start \
                             anew in another folder and let it refill from its peers"
                        .to_owned(),
                });
            }
            let seed: [u8; 32] = random()?;
            write_private(&path, format!("{}\n", hex(&seed)))?;
        }
        let text = read(&path)?;
        let seed = parse_hex(text.trim()).ok_or_else(|| StateError::Content {
            path,
            reason: "not a device key (64 hexadecimal digits); restore it from a backup".to_owned(),
        })?;
        Ok(DeviceKey::from_seed(seed))
    }

    /// Opens the database, creating it when there is none. The caller holds the folder's lock.
    pub(crate) fn open_store(
        &self,
        app: &AppId,
        device: &PublicKey,
        options: StoreOptions,
    ) -> Result<Store, NodeError> {
        self.finish_restore()?;
        let opened = Store::open_with(&self.store_path(), app, device, options);
        opened.map_err(|error| match error {
            StoreError::Damaged { what, reason } => NodeError::DamagedStore {
                state: self.0.clone(),
                what,
                reason,
            },
            error => error.into(),
        })
    }

    /// Puts a restored database in its place where a restore has set the earlier one aside and was cut short then.
    pub(crate) fn finish_restore(&self) -> Result<(), StateError> {
        let (store, restored) = (self.store_path(), self.restored_path());
        if store.join("CURRENT").exists() || !restored.exists() {
            return Ok(());
        }
        // What may be there is an empty folder, which is replaced.
        let renamed = fs::rename(&restored, &store);
        let synced = renamed.and_then(|()| File::open(&self.0)?.sync_all());
        synced.map_err(|source| io_error(&restored, source))
    }

    /// The latest time that is certain, in ms since 1970; none where it was never noted, or the file was removed.
    ///
    /// # Errors
    /// The file can't be read, or holds no time.
    pub(crate) fn clock_floor_ms(&self) -> Result<Option<u64>, StateError> {
        let path = self.clock_path();
        if !path.exists() {
            return Ok(None);
        }
        let text = read(&path)?;
        let parsed = text.trim().parse();
        parsed.map(Some).map_err(|_| StateError::Content {
            path,
            reason: "holds no time in milliseconds since 1970; remove it if this device's clock is right".to_owned(),
        })
    }

    /// Notes the latest time that is certain.
    pub(crate) fn keep_clock_floor(&self, floor_ms: u64) -> Result<(), StateError> {
        write_private(&self.clock_path(), format!("{floor_ms}\n"))
    }

    pub(crate) fn clock_path(&self) -> PathBuf {
        self.0.join("clock")
    }

    pub(crate) fn store_path(&self) -> PathBuf {
        self.0.join("store")
    }

    pub(crate) fn restored_path(&self) -> PathBuf {
        self.0.join("restored")
    }

    /// The daemon's socket: in the folder, or in `/tmp/sedge-UID` when that path is too long for a socket. One folder
    /// has one socket, however its path is spelled.
    ///
    /// # Errors
    /// The folder's path can't be followed, or the short folder can't be made or belongs to somebody else.
    pub fn socket_path(&self) -> Result<PathBuf, StateError> {
        let found = match fs::canonicalize(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => std::path::absolute(&self.0),
            found => found,
        };
        let folder = found.map_err(|source| io_error(&self.0, source))?;
        let plain = folder.join("run/sedge.sock");
        if plain.as_os_str().len() < SOCKET_PATH_BYTES_MAX {
            return Ok(plain);
        }
        let name = blake3::hash(folder.as_os_str().as_bytes()).to_hex();
        Ok(runtime_folder()?.join(format!("{}.sock", &name[..16])))
    }

    fn run_path(&self) -> PathBuf {
        self.0.join("run")
    }

    fn key_path(&self) -> PathBuf {
        self.0.join("device.key")
    }

    fn settings_path(&self) -> PathBuf {
        self.0.join("sedge.toml")
    }

    fn secret_path(&self) -> PathBuf {
        self.0.join("secret")
    }
}

/// Creates a folder, and those above it, for their owner only.
fn create_private(path: &Path) -> Result<(), StateError> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true).mode(0o700);
    builder
        .create(path)
        .map_err(|source| io_error(path, source))
}

/// A folder for sockets that nobody else can put anything into.
fn runtime_folder() -> Result<PathBuf, StateError> {
    // The effective user of this process owns what it creates; there is no safe call that just tells it.
    let own =
        fs::metadata("/proc/self").map_err(|source| io_error(Path::new("/proc/self"), source))?;
    // Not `$TMPDIR`: the daemon and its client may have different ones.
    let folder = Path::new("/tmp").join(format!("sedge-{}", own.uid()));
    let mut builder = fs::DirBuilder::new();
    match builder.mode(0o700).create(&folder) {
        Err(source) if source.kind() != io::ErrorKind::AlreadyExists => {
            return Err(io_error(&folder, source));
        }
        _ => {}
    }
    let found = fs::symlink_metadata(&folder).map_err(|source| io_error(&folder, source))?;
    if !found.is_dir() || found.uid() != own.uid() || found.mode() & 0o077 != 0 {
        return Err(StateError::Content {
            path: folder,
            reason: "is not a folder of this user alone; remove it, or choose a shorter --state"
                .to_owned(),
        });
    }
    Ok(folder)
}

/// Writes a file for its owner only, whole or not at all, and durably: what is written next finds it there.
fn write_private(path: &Path, text: String) -> Result<(), StateError> {
    let draft = path.with_extension("new");
    let write = || {
        let mut options = OpenOptions::new();
        let mut file = options
            .create(true)
            .write(true)
            .truncate(true)
            .mode(0o600)
            .open(&draft)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&draft, path)?;
        path.parent()
            .map_or(Ok(()), |folder| File::open(folder)?.sync_all())
    };
    write().map_err(|source| io_error(path, source))
}

fn read(path: &Path) -> Result<String, StateError> {
    fs::read_to_string(path).map_err(|source| io_error(path, source))
}

fn io_error(path: &Path, source: io::Error) -> StateError {
    StateError::Io {
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests;
