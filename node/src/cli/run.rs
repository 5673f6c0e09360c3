//! `sedge run`: the daemon.

use super::args::RunArguments;
use super::{CliError, Done, output};
use sedge::api::Server;
use sedge::{Identity, Node, Settings, StateFolder};
use serde_json::json;
use std::sync::Arc;
use tokio::io::AsyncReadExt;
use tokio::signal::unix::{SignalKind, signal};

pub(super) async fn run(
    state: &StateFolder,
    arguments: RunArguments,
    json: bool,
) -> Result<Done, CliError> {
    let until_stdin_ends = arguments.until_stdin_ends;
    let settings = effective(state.settings()?, arguments);
    let mut node = Node::builder(&settings.app)
        .identity(Identity::development(state.secret()?.expose()))
        .store(state.path())
        .name(&settings.name)
        .listen(&settings.listen)
        .discovery(settings.discovery)
        .collections(&settings.subscribe);
    for peer in &settings.peers {
        node = node.peer(peer);
    }
    let node = Arc::new(node.start().await?);
    let server = Server::bind(&state.socket_path()?)?;
    announce(&node, json)?;
    let stop = stop_requested(until_stdin_ends)?;
    server.serve(Arc::clone(&node), stop).await?;
    tracing::info!("stopping");
    node.shutdown().await;
    Ok(Done::Wholly)
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
    settings
}

fn announce(node: &Node, json: bool) -> Result<(), CliError> {
    let addresses = node.listen_addresses();
    let listen: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    let peer = node.peer_id().to_string();
    tracing::info!(app = %node.app(), name = node.name(), %peer, "started");
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

/// Ends when the daemon is to stop: Ctrl-C, SIGTERM, or the end of standard input where asked for.
fn stop_requested(until_stdin_ends: bool) -> Result<impl Future<Output = ()> + use<>, CliError> {
    let mut interrupt = signal(SignalKind::interrupt()).map_err(CliError::Runtime)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(CliError::Runtime)?;
    Ok(async move {
        let stdin_ended = async {
            if until_stdin_ends {
                // Nothing is expected there, so any answer is the end.
                let read = tokio::io::stdin().read_u8().await;
                tracing::debug!(?read, "standard input ended");
            } else {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            () = stdin_ended => {}
        }
    })
}
