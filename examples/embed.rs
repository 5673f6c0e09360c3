//! Two nodes in one program: what one writes, a live query on the other sees.
//!
//! Run it with `cargo run --release --workspace --example embed`.

use futures::StreamExt;
use sedge::{Identity, Node, NodeError, Params, parse_json};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let kitchen = start(folder.path().join("kitchen"), None).await?;
    let address = kitchen.listen_addresses().remove(0).to_string();
    let till = start(folder.path().join("till"), Some(address)).await?;

    let open = "SELECT * FROM orders WHERE state = 'open'";
    let mut orders = Box::pin(kitchen.store().observe(open, &Params::new())?);
    orders.next().await; // the first result: no orders yet

    let order = parse_json(r#"{"_id": "o-1", "state": "open", "items": {"soup": 2}}"#)?;
    let insert = "INSERT INTO orders DOCUMENTS (:order)";
    let params = Params::from([("order".to_owned(), order)]);
    till.store().execute(insert, params).await?;

    if let Some(update) = orders.next().await {
        for order in update?.inserted {
            println!("the kitchen sees {order}");
        }
    }
    till.shutdown().await;
    kitchen.shutdown().await;
    Ok(())
}

async fn start(path: std::path::PathBuf, peer: Option<String>) -> Result<Node, NodeError> {
    let node = Node::builder("restaurant")
        .identity(Identity::development("a secret that all devices share"))
        .store(path)
        .discovery(false)
        .listen(["/ip4/127.0.0.1/tcp/0"]);
    let node = peer.into_iter().fold(node, |node, peer| node.peer(peer));
    node.start().await
}
