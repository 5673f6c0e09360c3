//! The server with short limits, against clients that dawdle or leave.

use super::server::ApiLimits;
use super::{Client, Server};
use crate::limits::{
    BODY_BYTES_MAX, DRAIN_SECONDS_MAX, IMPORT_BODY_BYTES_MAX, IMPORT_DOCUMENTS_MAX,
    IMPORT_REJECTED_MAX, STORE_CALLS_MAX,
};
use crate::{Identity, Node, Params};
use sedge_crdt::limits::BLOB_BYTES_MAX;
use sedge_crdt::{Update, Value, parse_json};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinHandle;

/// Far longer than anything here may take, in seconds.
const DEADLINE: Duration = Duration::from_secs(20);

const LIMITS: ApiLimits = ApiLimits {
    header: Duration::from_millis(300),
    request: Duration::from_millis(300),
    connections: 64,
};

struct Served {
    folder: TempDir,
    node: Arc<Node>,
}

impl Served {
    async fn start(limits: ApiLimits) -> Self {
        Self::start_until(limits, std::future::pending()).await.0
    }

    async fn start_until(
        limits: ApiLimits,
        stop: impl Future<Output = ()> + Send + 'static,
    ) -> (Self, JoinHandle<()>) {
        let folder = tempfile::tempdir().unwrap();
        let node = Node::builder("shop")
            .identity(Identity::development("correct horse battery staple"))
            .store(folder.path().join("state"))
            .discovery(false)
            .listen(["/ip4/127.0.0.1/tcp/0"]);
        let node = Arc::new(node.start().await.unwrap());
        let served = Self { folder, node };
        let server = Server::bind(&served.socket()).unwrap();
        let serving = server.serve_within(limits, Arc::clone(&served.node), stop);
        (served, tokio::spawn(serving))
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("socket")
    }

    /// Documents on which [`slow`] takes tens of milliseconds each, for more than ten seconds in all.
    async fn fill(&self) {
        let documents = (0..500).map(|n| {
            let text = Value::String("a".repeat(20_000));
            Value::Map(
                [
                    ("_id".to_owned(), Value::String(format!("{n}"))),
                    ("text".to_owned(), text),
                ]
                .into(),
            )
        });
        let imported = self.node.store().import("cars", documents.collect());
        imported.await.unwrap();
    }

    /// Connects and sends a text, whole or not.
    async fn send(&self, text: &str) -> UnixStream {
        let mut stream = UnixStream::connect(self.socket()).await.unwrap();
        stream.write_all(text.as_bytes()).await.unwrap();
        stream
    }

    async fn ask(&self, text: &str) -> String {
        answer(self.send(text).await).await
    }
}

/// All that the server sends until it closes the connection.
async fn answer(mut stream: UnixStream) -> String {
    let mut text = String::new();
    let read = tokio::time::timeout(DEADLINE, stream.read_to_string(&mut text));
    read.await.expect("the server ends the connection").unwrap();
    text
}

fn execute(statement: &str) -> String {
    let body = format!("{{\"statement\":\"{statement}\"}}");
    format!(
        "POST /api/v1/store/execute HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// A condition that takes long to find false.
fn slow() -> String {
    format!("text LIKE '%{}b%'", "a".repeat(2_000))
}

/// Goal: who sends half a head is cut after the limit, and a head in time is answered.
#[tokio::test]
async fn half_a_head_is_cut() {
    let served = Served::start(LIMITS).await;
    let begun = Instant::now();
    let answered = served.ask("GET /api/v1/status HTTP/1.1\r\nHost:").await;
    assert!(!answered.contains("200 OK"), "{answered}");
    assert!(begun.elapsed() >= LIMITS.header, "{:?}", begun.elapsed());
    let whole = "GET /api/v1/status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    assert!(served.ask(whole).await.starts_with("HTTP/1.1 200 OK"));
}

/// Goal: a body that doesn't come is answered for with a problem document.
#[tokio::test]
async fn half_a_body_is_a_problem() {
    let served = Served::start(LIMITS).await;
    let request = execute("SELECT * FROM cars");
    let answered = served.ask(&request[..request.len() - 5]).await;
    assert!(answered.starts_with("HTTP/1.1 408 "), "{answered}");
    assert!(answered.contains("application/problem+json"), "{answered}");
}

/// Goal: a body that is declared too long is refused at once, before any of it came.
#[tokio::test]
async fn a_body_declared_too_long_is_refused_at_once() {
    let served = Served::start(ApiLimits {
        request: 2 * DEADLINE,
        ..LIMITS
    })
    .await;
    for (call, bytes_max) in [
        ("store/execute", BODY_BYTES_MAX as u64),
        ("store/import", IMPORT_BODY_BYTES_MAX as u64),
        ("attachments", BLOB_BYTES_MAX),
    ] {
        let bytes = bytes_max + 1;
        let request = format!(
            "POST /api/v1/{call} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
             Content-Length: {bytes}\r\n\r\n"
        );
        let answered = served.ask(&request).await;
        assert!(answered.starts_with("HTTP/1.1 413 "), "{answered}");
        let detail = format!("the body has {bytes} bytes; at most {bytes_max} are taken");
        assert!(answered.contains(&detail), "{answered}");
    }
}

/// Goal: a call with another method is a problem document too, and Allow says which method it takes.
#[tokio::test]
async fn another_method_is_a_problem() {
    let served = Served::start(LIMITS).await;
    let request = "GET /api/v1/store/execute HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let answered = served.ask(request).await;
    assert!(answered.starts_with("HTTP/1.1 405 "), "{answered}");
    for part in ["application/problem+json", "allow: POST", "\"status\":405"] {
        assert!(answered.contains(part), "{part}: {answered}");
    }
}

/// Goal: a statement that takes too long is ended, and a write has changed nothing then.
#[tokio::test]
async fn a_long_statement_is_ended() {
    let served = Served::start(LIMITS).await;
    served.fill().await;
    let before = served.node.store().collections();
    let slow = slow();
    for statement in [
        format!("SELECT COUNT(*) FROM cars WHERE {slow}"),
        format!("UPDATE cars SET n = 1 WHERE NOT {slow}"),
    ] {
        let answered = served.ask(&execute(&statement)).await;
        assert!(answered.starts_with("HTTP/1.1 504 "), "{answered}");
        assert!(
            answered.contains("stopped after 0.3 s, nothing was changed"),
            "{answered}"
        );
    }
    assert_eq!(served.node.store().collections(), before);
}

/// Goal: statements whose clients have left are stopped: they would hold all the store's calls for long.
#[tokio::test]
async fn a_client_that_leaves_stops_its_statement() {
    let served = Served::start(ApiLimits {
        request: Duration::from_secs(600),
        ..LIMITS
    })
    .await;
    served.fill().await;
    let request = execute(&format!("SELECT COUNT(*) FROM cars WHERE {}", slow()));
    let mut clients = Vec::new();
    for _ in 0..STORE_CALLS_MAX {
        clients.push(served.send(&request).await);
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    drop(clients);
    let answered = tokio::time::timeout(
        DEADLINE,
        served
            .node
            .store()
            .execute("SELECT _id FROM cars LIMIT 1", Params::new()),
    );
    assert_eq!(
        answered
            .await
            .expect("the calls are free")
            .unwrap()
            .items
            .len(),
        1
    );
}

/// Goal: connections beyond the limit wait until another ends.
#[tokio::test]
async fn connections_are_bounded() {
    let served = Served::start(ApiLimits {
        connections: 1,
        header: DEADLINE,
        ..LIMITS
    })
    .await;
    let first = served.send("GET ").await;
    let request = "GET /api/v1/status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let second = served.send(request).await;
    let mut answered = Box::pin(answer(second));
    let early = tokio::time::timeout(Duration::from_millis(300), &mut answered);
    assert!(early.await.is_err());
    drop(first);
    assert!(answered.await.starts_with("HTTP/1.1 200 OK"));
}

/// Goal: an export whose reader pauses too long ends, and what it got does not look like the whole.
#[tokio::test]
async fn a_stalled_export_is_cut() {
    let served = Served::start(LIMITS).await;
    served.fill().await;
    let request =
        "GET /api/v1/store/export?collection=cars HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let whole = served.ask(request).await;
    assert!(whole.ends_with("\r\n0\r\n\r\n"));
    let stream = served.send(request).await;
    tokio::time::sleep(LIMITS.request * 3).await;
    let part = answer(stream).await;
    assert!(part.starts_with("HTTP/1.1 200 OK") && !part.ends_with("\r\n0\r\n\r\n"));
}

/// Goal: an export goes through the store's calls, is whole, and an unknown collection is told by the status.
#[tokio::test]
async fn an_export_is_whole() {
    let served = Served::start(LIMITS).await;
    served.fill().await;
    let export = |collection: &str| {
        format!("GET /api/v1/store/export?collection={collection} HTTP/1.0\r\nHost: x\r\n\r\n")
    };
    let answered = served.ask(&export("cars")).await;
    assert_eq!(answered.matches("{\"_id\":").count(), 500);
    assert!(
        served
            .ask(&export("carz"))
            .await
            .starts_with("HTTP/1.0 404 ")
    );
}

/// A request to observe a statement without spaces.
fn observe(statement: &str) -> String {
    format!(
        "GET /api/v1/store/observe?statement={} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        statement.replace(' ', "%20")
    )
}

/// Goal: a live query whose first result can't be is refused with a problem document that says what to do.
#[tokio::test]
async fn a_live_query_of_too_much_is_refused() {
    let served = Served::start(LIMITS).await;
    served.fill().await;
    let answered = served.ask(&observe("SELECT * FROM cars")).await;
    assert!(answered.starts_with("HTTP/1.1 422 "), "{answered}");
    assert!(answered.contains("narrow it with WHERE"), "{answered}");
}

/// Goal: a stop ends live queries at once, and their answers are whole.
#[tokio::test]
async fn a_stop_ends_live_queries() {
    let (stop, stopped) = tokio::sync::oneshot::channel();
    let (served, serving) = Served::start_until(LIMITS, async {
        stopped.await.unwrap();
    })
    .await;
    let mut stream = served.send(&observe("SELECT _id FROM cars")).await;
    let mut head = [0; 15];
    stream.read_exact(&mut head).await.unwrap();
    assert_eq!(&head, b"HTTP/1.1 200 OK");
    let begun = Instant::now();
    stop.send(()).unwrap();
    let rest = answer(stream).await;
    assert!(
        rest.contains("\ndata: {\"items\":[],\"deleted\":[],\"deletedAt\":[]")
            && rest.ends_with("\r\n0\r\n\r\n")
    );
    serving.await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(DRAIN_SECONDS_MAX) / 2);
}

/// Goal: a large result arrives whole, though it is made piece by piece, and later changes follow it.
#[tokio::test]
async fn a_live_query_is_read_whole() {
    let served = Served::start(LIMITS).await;
    served.fill().await;
    let client = Client::new(&served.socket());
    let statement = "SELECT * FROM cars WHERE _id < '3'";
    let mut observed = client.observe(statement).await.unwrap();
    let first = observed.next().await.unwrap().unwrap();
    let store = served.node.store();
    let fresh = store.execute(statement, Params::new()).await.unwrap();
    assert_eq!(first.items, Some(fresh.items));
    let statement = "UPDATE cars SET text = 'b' WHERE _id = '1'";
    store.execute(statement, Params::new()).await.unwrap();
    let update = observed.next().await.unwrap().unwrap();
    assert_eq!(update.updated[0].to_string(), r#"{"_id":"1","text":"b"}"#);
    assert!(update.items.is_none() && update.inserted.is_empty() && update.deleted.is_empty());
}

/// Goal: a live query takes parameters, and tells where rows stand; wrong parameters are refused with what to write.
#[tokio::test]
async fn a_live_query_has_parameters_and_places() {
    let served = Served::start(LIMITS).await;
    let store = served.node.store();
    let insert = "INSERT INTO c DOCUMENTS ({'_id': 'a', 'n': 1}), ({'_id': 'b', 'n': 2}), ({'_id': 'c', 'n': 3})";
    store.execute(insert, Params::new()).await.unwrap();
    let client = Client::new(&served.socket());
    let statement = "SELECT _id FROM c WHERE n < :n ORDER BY n";
    let args = Params::from([("n".to_owned(), Value::Int(50))]);
    let mut observed = client.observe_with(statement, &args).await.unwrap();
    let mut rows = Vec::new();
    for (change, expected) in [
        ("UPDATE c SET n = 9 WHERE _id = 'a'", "a b c"),
        ("UPDATE c SET n = 99 WHERE _id = 'c'", "b c a"),
        ("INSERT INTO c DOCUMENTS ({'_id': 'd', 'n': 4})", "b a"),
        ("DELETE FROM c WHERE _id = 'b'", "b d a"),
    ] {
        let event = observed.next().await.unwrap().unwrap();
        Update::from(event).apply(&mut rows).unwrap();
        let ids = rows.iter().filter_map(|row| row.get("_id")?.as_str());
        assert_eq!(ids.collect::<Vec<_>>().join(" "), expected);
        store.execute(change, Params::new()).await.unwrap();
    }
    for wrong in ["[1]", "{"] {
        let path = observe("SELECT * FROM c").replace(" HTTP", &format!("&args={wrong} HTTP"));
        let answered = served.ask(&path).await;
        assert!(answered.starts_with("HTTP/1.1 400 "), "{answered}");
        assert!(answered.contains("as a JSON object"), "{answered}");
    }
}

/// Goal: a reader that takes nothing keeps no more than the bounds of a live query in memory while others write, and holds
/// up neither them nor other readers.
#[tokio::test]
async fn a_reader_that_takes_nothing_holds_up_nobody() {
    let served = Served::start(LIMITS).await;
    let store = served.node.store();
    let text = "x".repeat(64 << 10);
    let put = |n: i64| {
        let document = format!(r#"{{"_id":"{}","n":{n},"text":"{text}"}}"#, n % 20);
        store.import("cars", vec![parse_json(&document).unwrap()])
    };
    put(0).await.unwrap();
    let mut stuck = Vec::new();
    for _ in 0..8 {
        stuck.push(served.send(&observe("SELECT * FROM cars")).await);
    }
    let client = Client::new(&served.socket());
    let mut observed = client
        .observe("SELECT n FROM cars ORDER BY n DESC LIMIT 1")
        .await
        .unwrap();
    let mut rows = Vec::new();
    for n in 1..=200 {
        put(n).await.unwrap();
    }
    while rows.first().map(Value::to_string).as_deref() != Some(r#"{"n":200}"#) {
        let event = observed.next().await.unwrap().unwrap();
        Update::from(event).apply(&mut rows).unwrap();
    }
    drop(stuck);
}

fn import(documents: &str) -> String {
    let body = format!("{{\"collection\":\"cars\",\"documents\":[{documents}]}}");
    format!(
        "POST /api/v1/store/import HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// Goal: an import of too many documents is refused before they are all read, and nothing of it is written; an answer
/// names only the first documents that can't be stored, and counts all.
#[tokio::test]
async fn imports_are_bounded() {
    let served = Served::start(ApiLimits {
        request: DEADLINE,
        ..LIMITS
    })
    .await;
    let too_many = ["{}"; IMPORT_DOCUMENTS_MAX + 1].join(",");
    for documents in [&too_many, &format!("{too_many},never read")] {
        let answered = served.ask(&import(documents)).await;
        assert!(answered.starts_with("HTTP/1.1 422 "), "{answered}");
        assert!(answered.contains("hand them in in several"), "{answered}");
    }
    assert!(served.node.store().collections().is_empty());
    let answered = served
        .ask(&import(&["5"; IMPORT_DOCUMENTS_MAX].join(",")))
        .await;
    assert_eq!(answered.matches("\"index\":").count(), IMPORT_REJECTED_MAX);
    let counted = format!("\"rejectedCount\":{IMPORT_DOCUMENTS_MAX}");
    assert!(answered.contains(&counted), "{answered}");
}

/// Goal: calls that take no query parameters refuse them, as the others refuse unknown ones.
#[tokio::test]
async fn unknown_query_parameters_are_refused() {
    let served = Served::start(LIMITS).await;
    for call in ["status", "peers"] {
        let request = |query: &str| {
            format!("GET /api/v1/{call}{query} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        };
        assert!(
            served
                .ask(&request(""))
                .await
                .starts_with("HTTP/1.1 200 OK")
        );
        let answered = served.ask(&request("?verbose=1")).await;
        assert!(answered.starts_with("HTTP/1.1 400 "), "{answered}");
        assert!(answered.contains("application/problem+json"), "{answered}");
    }
}

/// Goal: exports that nobody reads hold up no statement.
#[tokio::test]
async fn slow_exports_hold_up_no_statement() {
    let served = Served::start(ApiLimits {
        request: DEADLINE,
        ..LIMITS
    })
    .await;
    served.fill().await;
    let request = "GET /api/v1/store/export?collection=cars HTTP/1.1\r\nHost: x\r\n\r\n";
    let mut readers = Vec::new();
    for _ in 0..STORE_CALLS_MAX {
        readers.push(served.send(request).await);
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    let begun = Instant::now();
    let answered = served.ask(&execute("SELECT _id FROM cars LIMIT 1")).await;
    assert!(answered.starts_with("HTTP/1.1 200 OK"), "{answered}");
    assert!(begun.elapsed() < DEADLINE / 2, "{:?}", begun.elapsed());
}

/// Goal: a daemon that hangs is told by one line in seconds, not waited for for minutes.
#[tokio::test]
async fn a_daemon_that_hangs_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("socket");
    let _hanging = UnixListener::bind(&socket).unwrap();
    let refused = Client::new(&socket).status().await.unwrap_err();
    assert!(
        refused.to_string().contains("no answer within 10 seconds"),
        "{refused}"
    );
}
