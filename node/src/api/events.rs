//! The events of a live query as they travel (HTML standard, "Server-sent events"): made piece by piece as the client
//! takes them, and read again.

use super::client::ClientError;
use super::wire::ObserveEvent;
use crate::error::NodeError;
use crate::limits::{EVENT_BYTES_MAX, KEEP_ALIVE_SECONDS, PIECE_BYTES};
use axum::body::Body;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::{Stream, StreamExt, stream};
use sedge_crdt::{Move, Observation, Row, StoreError, Update};
use std::iter;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Separates events.
const END: &[u8] = b"\n\n";
/// A comment, for those between client and server who close what is silent.
const KEEP_ALIVE: &str = ":\n\n";

/// What a live query has told; `None` when it was silent for long.
type Told = Option<Result<Update<Row>, StoreError>>;
type Pieces = Box<dyn Iterator<Item = Result<Bytes, StoreError>> + Send>;

/// Answers with what a live query tells until `stop`, once its first result is there.
///
/// # Errors
/// The query fails on its first result.
pub(super) async fn answer(
    mut observation: Observation,
    stop: CancellationToken,
) -> Result<Response, NodeError> {
    let first = stop.run_until_cancelled(observation.next_rows()).await;
    let first = first.ok_or(NodeError::Stopped("the daemon"))??;
    let later = stream::unfold(observation, |mut observation| async move {
        let patience = Duration::from_secs(KEEP_ALIVE_SECONDS);
        let told = tokio::time::timeout(patience, observation.next_rows()).await;
        Some((told.ok(), observation))
    });
    Ok(response(first, later, stop))
}

/// Events until `stop` or the live query's end, which is an event, too.
fn response(
    first: Update<Row>,
    later: impl Stream<Item = Told> + Send + 'static,
    stop: CancellationToken,
) -> Response {
    let later = stream::unfold(Some(Box::pin(later)), |later| async move {
        let mut later = later?;
        let told = later.next().await?;
        let has_ended = matches!(told, Some(Err(StoreError::ObservationPanicked)));
        Some((pieces(told), (!has_ended).then_some(later)))
    });
    let pieces = stream::iter(event(first))
        .chain(later.flat_map(stream::iter))
        .take_until(stop.cancelled_owned());
    let head = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (head, Body::from_stream(pieces)).into_response()
}

fn pieces(told: Told) -> Pieces {
    let once = |piece: Bytes| Box::new(iter::once(Ok(piece)));
    match told {
        Some(Ok(update)) => Box::new(event(update)),
        Some(Err(error)) => once(failure(&error.to_string()).into()),
        None => once(Bytes::from_static(KEEP_ALIVE.as_bytes())),
    }
}

fn failure(reason: &str) -> String {
    let lines: String = reason
        .lines()
        .map(|line| format!("data: {line}\n"))
        .collect();
    format!("event: error\n{lines}\n")
}

/// An update in pieces: a row becomes text only when its piece is asked for, and is given up with it.
fn event(update: Update<Row>) -> impl Iterator<Item = Result<Bytes, StoreError>> + Send {
    let mut parts = parts(update);
    iter::from_fn(move || {
        let mut piece = String::new();
        while piece.len() < PIECE_BYTES {
            match parts.next() {
                Some(Ok(part)) => piece.push_str(&part),
                Some(Err(error)) => return Some(Err(error)),
                None => break,
            }
        }
        (!piece.is_empty()).then(|| Ok(piece.into()))
    })
}

/// The text of an [`ObserveEvent`], row by row.
fn parts(update: Update<Row>) -> impl Iterator<Item = Result<String, StoreError>> + Send {
    let lists = [
        ("items", update.items, None),
        ("deleted", Some(update.deleted), Some(update.deleted_at)),
        ("inserted", Some(update.inserted), Some(update.inserted_at)),
        ("updated", Some(update.updated), Some(update.updated_at)),
    ];
    let lists = lists
        .into_iter()
        .filter_map(|(name, rows, places)| Some((name, rows?, places)));
    let lists = lists.flat_map(|(name, rows, places)| {
        let rows = rows.into_iter().map(|row| Ok(row.value()?.to_string()));
        let places = places.into_iter().flat_map(move |places| {
            let places = places.into_iter().map(|at| Ok(at.to_string()));
            list(format!("{name}At"), places).chain(comma())
        });
        list(name.to_owned(), rows).chain(comma()).chain(places)
    });
    let moved = update.moved.into_iter();
    let moved = moved.map(|Move { from, to }| Ok(format!("{{\"from\":{from},\"to\":{to}}}")));
    iter::once(Ok("event: update\ndata: {".to_owned()))
        .chain(lists)
        .chain(list("moved".to_owned(), moved))
        .chain(iter::once(Ok("}\n\n".to_owned())))
}

/// A member that is a list, item by item.
fn list(
    name: String,
    items: impl Iterator<Item = Result<String, StoreError>> + Send,
) -> impl Iterator<Item = Result<String, StoreError>> + Send {
    let items = items.enumerate().map(|(index, item)| match index {
        0 => item,
        _ => item.map(|item| format!(",{item}")),
    });
    iter::once(Ok(format!("\"{name}\":[")))
        .chain(items)
        .chain(iter::once(Ok("]".to_owned())))
}

fn comma() -> iter::Once<Result<String, StoreError>> {
    iter::once(Ok(",".to_owned()))
}

/// Puts events together from the pieces that arrive.
#[derive(Debug, Default)]
pub(super) struct Reader {
    pending: Vec<u8>,
    /// How much of `pending` has been searched for an event's end.
    searched: usize,
}

impl Reader {
    /// Takes in what has arrived.
    ///
    /// # Errors
    /// An event is larger than any that a daemon sends.
    pub(super) fn push(&mut self, piece: &[u8]) -> Result<(), ClientError> {
        if self.pending.len() + piece.len() > EVENT_BYTES_MAX {
            let reason = format!("an event has more than {} MiB", EVENT_BYTES_MAX >> 20);
            return Err(ClientError::Broken(reason));
        }
        self.pending.extend_from_slice(piece);
        Ok(())
    }

    /// The next event that has arrived whole.
    pub(super) fn event(&mut self) -> Option<Result<ObserveEvent, ClientError>> {
        loop {
            let unseen = self.searched.saturating_sub(END.len() - 1);
            let mut pairs = self.pending[unseen..].windows(END.len());
            let Some(end) = pairs.position(|pair| pair == END) else {
                self.searched = self.pending.len();
                return None;
            };
            self.searched = 0;
            let event: Vec<u8> = self.pending.drain(..unseen + end + END.len()).collect();
            if let Some(event) = read(&String::from_utf8_lossy(&event)) {
                return Some(event);
            }
        }
    }
}

/// What an event says; `None` for a comment.
fn read(event: &str) -> Option<Result<ObserveEvent, ClientError>> {
    let fields = |name: &'static str| {
        let values = event.lines().filter_map(move |line| {
            let value = line.strip_prefix(name)?.strip_prefix(':')?;
            Some(value.strip_prefix(' ').unwrap_or(value))
        });
        values.collect::<Vec<_>>()
    };
    let data = fields("data").join("\n");
    match fields("event").last() {
        Some(&"update") => Some(serde_json::from_str(&data).map_err(ClientError::broken)),
        Some(&"error") => Some(Err(ClientError::Refused(data))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sedge_crdt::Value;

    /// Goal: what is written of an update is what is read of it.
    #[test]
    fn updates_are_read_as_they_were_written() {
        let row = |n| Value::Map([("n".to_owned(), Value::Int(n))].into());
        let update = |items| Update {
            items,
            deleted: vec![row(1), row(2)],
            deleted_at: vec![3, 5],
            inserted: vec![row(3)],
            inserted_at: vec![0],
            updated: Vec::new(),
            updated_at: Vec::new(),
            moved: vec![Move { from: 1, to: 2 }, Move { from: 2, to: 4 }],
        };
        for update in [update(None), update(Some(vec![row(4)])), Update::default()] {
            let rows = |rows: Vec<Value>| rows.into_iter().map(Row::from).collect();
            let told = update.clone();
            let pieces = event(Update {
                items: told.items.map(rows),
                deleted: rows(told.deleted),
                deleted_at: told.deleted_at,
                inserted: rows(told.inserted),
                inserted_at: told.inserted_at,
                updated: rows(told.updated),
                updated_at: told.updated_at,
                moved: told.moved,
            });
            let mut reader = Reader::default();
            pieces.for_each(|piece| reader.push(&piece.unwrap()).unwrap());
            assert_eq!(Update::from(reader.event().unwrap().unwrap()), update);
        }
    }

    /// Goal: the client of a live query that fails is told and goes on; of one that ended by a fault of the program it is
    /// told, and then the answer ends, whole.
    #[tokio::test]
    async fn the_end_of_a_live_query_is_told() {
        let failed = || Some(Err(StoreError::ObservedTooLarge));
        let told = [failed(), None, Some(Err(StoreError::ObservationPanicked))];
        // Nothing more comes of it, not even its end.
        let later = stream::iter(told).chain(stream::pending());
        let response = response(Update::default(), later, CancellationToken::new());
        let body = axum::body::to_bytes(response.into_body(), 1 << 20);
        let body = tokio::time::timeout(Duration::from_secs(20), body).await;
        let mut reader = Reader::default();
        reader
            .push(&body.expect("the answer ends").unwrap())
            .unwrap();
        let events: Vec<_> = iter::from_fn(|| reader.event()).collect();
        let [
            Ok(_),
            Err(ClientError::Refused(first)),
            Err(ClientError::Refused(last)),
        ] = &events[..]
        else {
            panic!("{events:?}");
        };
        assert_eq!(*first, StoreError::ObservedTooLarge.to_string());
        assert_eq!(*last, StoreError::ObservationPanicked.to_string());
    }

    /// Goal: events are read however they are cut into pieces, a reason of several lines whole; comments are passed over.
    #[test]
    fn events_are_read_in_any_pieces() {
        let update = "event: update\ndata: {\"deleted\":[],\"deletedAt\":[],\"inserted\":[{\"_id\":\"a\"}],\"insertedAt\":[0],\n\
                      data: \"updated\":[],\"updatedAt\":[],\"moved\":[{\"from\":2,\"to\":1}]}\n\n";
        let text = format!("{KEEP_ALIVE}{update}{}{update}", failure("first\nsecond"));
        for bytes in 1..text.len() {
            let mut reader = Reader::default();
            let mut told = Vec::new();
            for piece in text.as_bytes().chunks(bytes) {
                reader.push(piece).unwrap();
                told.extend(iter::from_fn(|| reader.event()));
            }
            let [Ok(one), Err(ClientError::Refused(reason)), Ok(other)] = &told[..] else {
                panic!("{told:?}");
            };
            assert_eq!((reason.as_str(), one), ("first\nsecond", other));
            assert_eq!(one.inserted[0].to_string(), r#"{"_id":"a"}"#);
        }
    }

    /// Goal: a large event costs one look at each of its bytes, not one for each piece that arrives.
    #[test]
    fn a_large_event_is_searched_once() {
        let mut reader = Reader::default();
        for _ in 0..100_000 {
            reader.push(&[b'x'; 160]).unwrap();
            assert!(reader.event().is_none());
        }
        assert_eq!(reader.searched, 16_000_000);
    }

    /// Goal: what never ends is not gathered without end.
    #[test]
    fn an_endless_event_is_an_error() {
        let mut reader = Reader::default();
        let piece = vec![b'x'; 1 << 20];
        let pushed = (0..=EVENT_BYTES_MAX >> 20).try_for_each(|_| reader.push(&piece));
        assert!(matches!(pushed, Err(ClientError::Broken(_))));
        assert!(reader.pending.len() <= EVENT_BYTES_MAX);
    }
}
