//! `sedge run`: the daemon.

use super::args::RunArguments;
use super::signals::interrupted;
use super::{CliError, Done, output};
use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;
use sedge::api::Server;
use sedge::{Node, NodeBuilder, NodeError, Settings, StateError, StateFolder, StoreError};
use sedge_mesh::MeshError;
use serde_json::json;
use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

/// Where a daemon takes dials when nothing is said, and where another device of the machine has that.
const LISTEN_DEFAULT: &str = "/ip4/0.0.0.0/tcp/4747";
const LISTEN_ANYWHERE: &str = "/ip4/0.0.0.0/tcp/0";
/// How long addresses beside the loopback one are waited for, in tries and pauses.
const ADDRESSES_TRIES: u32 = 12;
const ADDRESSES_PAUSE: Duration = Duration::from_millis(25);
/// Pause between two looks whether another certificate was installed.
const CERTIFICATE_PAUSE: Duration = Duration::from_secs(2);
/// How long a folder that another process uses is waited for, in tries and pauses.
const FOLDER_TRIES: u32 = 30;
const FOLDER_PAUSE: Duration = Duration::from_millis(100);

pub(super) async fn run(
    state: &StateFolder,
    arguments: RunArguments,
    json: bool,
) -> Result<Done, CliError> {
    let until_stdin_ends = arguments.until_stdin_ends;
    let settings = effective(state.settings()?, arguments);
    let mut node = Node::builder(&settings.app)
        .identity(state.identity()?)
        .store(state.path())
        .name(&settings.name)
        .discovery(settings.discovery)
        .durability(settings.durability)
        .feed_keep_bytes(settings.store_options().feed_keep_bytes)
        .collections(&settings.subscribe);
    for peer in &settings.peers {
        node = node.peer(peer);
    }
    let node = Arc::new(listen_and_start(node, &settings.listen).await?);
    let server = Server::bind(&state.socket_path()?)?;
    match announce(&node, &addresses(&node, &settings.listen).await, json) {
        // Its reader has seen enough, as in `sedge run | head -1`; the daemon runs on.
        Err(error) if error.is_reader_gone() => {}
        announced => announced?,
    }
    let stop = stop_requested(until_stdin_ends)?;
    let renewing = tokio::spawn(renew_when_installed(state.clone(), Arc::clone(&node)));
    server.serve(Arc::clone(&node), stop).await;
    renewing.abort();
    // It holds the node, and with it the store. That it was aborted is no error.
    renewing.await.unwrap_or_default();
    tracing::info!("stopping");
    node.shutdown().await;
    Ok(Done::Wholly)
}

/// Takes up the certificate that is installed while the daemon runs. What is there at the start is known to the node, but may
/// have changed since it read it, which costs one more look.
async fn renew_when_installed(state: StateFolder, node: Arc<Node>) {
    let mut known = None;
    loop {
        let (folder, before) = (state.clone(), known.clone());
        let looked = tokio::task::spawn_blocking(move || match folder.certificate() {
            Ok(found) if found != before => found,
            Ok(_) => None,
            Err(error) => {
                tracing::debug!(%error, "the device's certificate can't be read now");
                None
            }
        });
        if let Ok(Some(text)) = looked.await {
            match node.renew(&text).await {
                Ok(()) if known.is_some() => {
                    tracing::info!("this device's certificate was renewed")
                }
                Ok(()) => {}
                Err(error) => {
                    tracing::error!("the certificate that was installed is not taken up: {error}");
                }
            }
            known = Some(text);
        }
        tokio::time::sleep(CERTIFICATE_PAUSE).await;
    }
}

/// Starts the node, with its usual port or any other when it is not told where to listen.
async fn listen_and_start(node: NodeBuilder, listen: &[String]) -> Result<Node, NodeError> {
    if !listen.is_empty() {
        return start(node.listen(listen)).await;
    }
    match start(node.clone().listen([LISTEN_DEFAULT])).await {
        Err(NodeError::Mesh(error @ MeshError::Listen { .. })) => {
            tracing::warn!(%error, "listening on another port; --listen sets a lasting one");
            start(node.listen([LISTEN_ANYWHERE])).await
        }
        started => started,
    }
}

/// Starts the node; a short command that has the folder just now is waited for, as is a failed start that is closing it.
async fn start(node: NodeBuilder) -> Result<Node, NodeError> {
    for _ in 0..FOLDER_TRIES {
        match node.clone().start().await {
            Err(
                NodeError::State(StateError::InUse(_)) | NodeError::Store(StoreError::InUse(_)),
            ) => {
                tokio::time::sleep(FOLDER_PAUSE).await;
            }
            started => return started,
        }
    }
    node.start().await
}

fn effective(mut settings: Settings, arguments: RunArguments) -> Settings {
    if !arguments.listen.is_empty() {
        settings.listen = arguments.listen;
    }
    if !arguments.subscribe.is_empty() {
        settings.subscribe = arguments.subscribe;
    }
    settings.peers.extend(arguments.peer);
    settings.discovery &= !arguments.no_discovery;
    if let Some(durability) = arguments.durability {
        settings.durability = durability;
    }
    settings
}

/// Where the node takes dials, those that other machines can reach first. Of a listener on all of the machine's
/// addresses the system tells one by one, so they are waited for shortly.
async fn addresses(node: &Node, listen: &[String]) -> Vec<String> {
    let everywhere =
        |address: &String| address.starts_with("/ip4/0.0.0.0/") || address.starts_with("/ip6/::/");
    let mut tries = match listen.is_empty() || listen.iter().any(everywhere) {
        true => ADDRESSES_TRIES,
        false => 0,
    };
    let mut found = node.listen_addresses();
    while tries > 0 && found.iter().all(is_loopback) {
        tokio::time::sleep(ADDRESSES_PAUSE).await;
        found = node.listen_addresses();
        tries -= 1;
    }
    found.sort_by_key(is_loopback); // stable
    found.iter().map(ToString::to_string).collect()
}

fn is_loopback(address: &Multiaddr) -> bool {
    match address.iter().next() {
        Some(Protocol::Ip4(ip)) => ip.is_loopback(),
        Some(Protocol::Ip6(ip)) => ip.is_loopback(),
        _ => false,
    }
}

fn announce(node: &Node, listen: &[String], json: bool) -> Result<(), CliError> {
    let peer = node.peer_id().to_string();
    tracing::info!(app = %node.app(), name = %node.name(), %peer, "started");
    if json {
        let app = node.app().as_str();
        return output::json(
            &json!({ "app": app, "name": node.name(), "peer": peer, "listen": listen }),
        );
    }
    output::line(&format!("{} is running; stop it with Ctrl-C", node.name()))?;
    let lines = listen.iter();
    lines
        .map(|address| format!("another peer reaches it with: sedge run --peer {address}"))
        .try_for_each(|line| output::line(&line))
}

/// Ends with standard input, where nothing is expected. The thread is left behind: a read can't be cancelled, and the
/// runtime would wait for one of its own.
async fn stdin_end() {
    let (ended, end) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let read = std::io::stdin().read(&mut [0]);
        tracing::debug!(?read, "standard input ended");
        ended.send(()).unwrap_or_default();
    });
    end.await.unwrap_or_default();
}

/// Ends when the daemon is to stop: Ctrl-C, SIGTERM, or the end of standard input where asked for.
fn stop_requested(until_stdin_ends: bool) -> Result<impl Future<Output = ()> + use<>, CliError> {
    let interrupted = interrupted()?;
    Ok(async move {
        let stdin_ended = async {
            if until_stdin_ends {
                stdin_end().await;
            } else {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            () = interrupted => {}
            () = stdin_ended => {}
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: only addresses that no other machine can reach count as such.
    #[test]
    fn loopback_addresses_are_told_apart() {
        for (address, expected) in [
            ("/ip4/127.0.0.1/tcp/1", true),
            ("/ip4/127.8.0.1/tcp/1", true),
            ("/ip6/::1/tcp/1", true),
            ("/ip4/192.168.1.5/tcp/1", false),
            ("/ip6/fe80::1/tcp/1", false),
            ("/dns4/till.example/tcp/1", false),
        ] {
            assert_eq!(
                is_loopback(&address.parse().unwrap()),
                expected,
                "{address}"
            );
        }
    }
}
