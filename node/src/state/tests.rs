use super::*;
use std::os::unix::fs::PermissionsExt;

fn secret() -> SharedSecret {
    SharedSecret::generate([7; 20])
}

/// Goal: key and secret are for the owner only, and a second init changes nothing.
#[test]
fn init_makes_a_private_device_once() {
    let base = tempfile::tempdir().unwrap();
    let state = StateFolder::new(base.path().join("device"));
    state
        .init(&Settings::of("demo", "pi"), Some(&secret()))
        .unwrap();
    let key = state.key().unwrap();
    for name in ["device.key", "secret", "sedge.toml"] {
        let mode = fs::metadata(state.path().join(name))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    let again = state.init(&Settings::of("other", "pi"), None);
    let Err(NodeError::State(StateError::Initialised { app, .. })) = again else {
        panic!("{again:?}");
    };
    assert_eq!(app, "demo");
    assert_eq!(state.key().unwrap().public(), key.public());
    assert_eq!(state.secret().unwrap().expose(), secret().expose());
}

/// Goal: an init that ended at any moment is completed by the next one, with the key and the secret it had made.
#[test]
fn an_init_that_was_cut_short_is_completed() {
    let base = tempfile::tempdir().unwrap();
    let settings = Settings::of("demo", "pi");
    for made in [
        ["device.key"].as_slice(),
        &["device.key", "store", "secret"],
    ] {
        let whole = StateFolder::new(base.path().join(format!("whole-{}", made.len())));
        whole.init(&settings, Some(&secret())).unwrap();
        let cut = StateFolder::new(base.path().join(format!("cut-{}", made.len())));
        fs::create_dir(cut.path()).unwrap();
        for name in made {
            fs::rename(whole.path().join(name), cut.path().join(name)).unwrap();
        }
        let key = fs::read(cut.key_path()).unwrap();
        let found = cut.init(&settings, None).unwrap();
        assert_eq!(fs::read(cut.key_path()).unwrap(), key);
        assert_eq!(cut.secret().unwrap().expose(), found.expose());
        assert_eq!(cut.settings().unwrap().app, "demo");
        let kept = found.expose() == secret().expose();
        assert_eq!(kept, made.contains(&"secret"), "{made:?}");
    }
}

/// Goal: what an init leaves that was killed while the database was made does not stand in the way of the next one; a
/// database that had documents is not removed.
#[test]
fn an_unfinished_store_is_made_anew() {
    let base = tempfile::tempdir().unwrap();
    let settings = Settings::of("demo", "pi");
    let state = StateFolder::new(base.path().join("device"));
    state.create().unwrap();
    for name in ["MANIFEST-000001", "000001.dbtmp", "LOCK", "IDENTITY"] {
        fs::write(state.store_path().join(name), "cut").unwrap();
    }
    state.init(&settings, None).unwrap();

    fs::remove_file(state.settings_path()).unwrap();
    fs::remove_file(state.store_path().join("CURRENT")).unwrap();
    fs::write(state.store_path().join("000009.sst"), "documents").unwrap();
    assert!(state.init(&settings, None).is_err());
    assert!(state.store_path().join("000009.sst").exists());
}

/// Goal: completing a folder takes nothing over from another app, and replaces no secret.
#[test]
fn a_folder_of_another_app_or_secret_is_not_completed() {
    let base = tempfile::tempdir().unwrap();
    let state = StateFolder::new(base.path());
    let settings = Settings::of("demo", "pi");
    state.init(&settings, Some(&secret())).unwrap();
    fs::remove_file(state.settings_path()).unwrap();
    let foreign = state.init(&Settings::of("other", "pi"), None);
    assert!(
        matches!(
            foreign,
            Err(NodeError::Store(StoreError::Foreign { what: "app", .. }))
        ),
        "{foreign:?}"
    );
    let other = SharedSecret::generate([8; 20]);
    let refused = state.init(&settings, Some(&other)).unwrap_err().to_string();
    assert!(refused.contains("holds another secret"), "{refused}");
    assert_eq!(state.secret().unwrap().expose(), secret().expose());
}

/// Goal: of two inits at once the later one does not replace the earlier one's secret. The lock is a pipe here, so
/// that the later one stops between its first look at the folder and its turn.
#[test]
fn the_later_of_two_inits_changes_nothing() {
    let base = tempfile::tempdir().unwrap();
    let state = StateFolder::new(base.path());
    let pipe = base.path().join("lock");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.unwrap().success());
    let later = std::thread::spawn({
        let state = state.clone();
        move || state.init(&Settings::of("demo", "later"), None)
    });
    while !state.store_path().exists() {
        std::thread::yield_now();
    }
    state.settle_secret(Some(&secret())).unwrap();
    let settings = Settings::of("demo", "earlier").to_toml();
    write_private(&state.settings_path(), settings).unwrap();
    let _reader = File::open(&pipe).unwrap();
    let refused = later.join().unwrap();
    assert!(
        matches!(
            refused,
            Err(NodeError::State(StateError::Initialised { .. }))
        ),
        "{refused:?}"
    );
    assert_eq!(state.secret().unwrap().expose(), secret().expose());
    assert_eq!(state.settings().unwrap().name, "earlier");
}

#[test]
fn a_folder_serves_one_process_at_a_time() {
    let base = tempfile::tempdir().unwrap();
    let state = StateFolder::new(base.path());
    let held = state.lock().unwrap();
    assert!(matches!(state.lock(), Err(StateError::InUse(_))));
    drop(held);
    state.lock().unwrap();
}

#[test]
fn a_long_path_gets_a_short_socket() {
    let short = StateFolder::new("/tmp/x").socket_path().unwrap();
    assert_eq!(short, Path::new("/tmp/x/run/sedge.sock"));
    let long = StateFolder::new(format!("/tmp/{}", "x".repeat(120)));
    let socket = long.socket_path().unwrap();
    assert!(socket.as_os_str().len() < SOCKET_PATH_BYTES_MAX);
    assert_eq!(socket, long.socket_path().unwrap());
}

/// Goal: a folder reached by two spellings has one socket, whether its path is short or long.
#[test]
fn two_spellings_have_one_socket() {
    let base = tempfile::tempdir().unwrap();
    for name in ["short".to_owned(), "x".repeat(120)] {
        let folder = base.path().join(&name);
        let link = base.path().join(format!("link-{}", name.len()));
        fs::create_dir(&folder).unwrap();
        std::os::unix::fs::symlink(&folder, &link).unwrap();
        let socket = StateFolder::new(&folder).socket_path().unwrap();
        let dotted = base.path().join(format!("{name}/../{name}"));
        assert_eq!(socket, StateFolder::new(dotted).socket_path().unwrap());
        assert_eq!(socket, StateFolder::new(link).socket_path().unwrap());
    }
}
