//! What comes out of a demo.

use super::edits::Latency;
use super::flow::holding;
use super::peer::DemoPeer;
use crate::cli::{CliError, output};
use futures::future::join_all;
use serde::Serialize;
use std::time::Duration;

/// Longest that a peer's answer is waited for at the end, in seconds: the time limit may have passed already.
const ANSWER_SECONDS_MAX: u64 = 2;

/// The demo's result; its JSON form has these fields.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Report {
    pub(super) peers: usize,
    /// Distinct documents at the first peer.
    documents: u64,
    /// Lines that were not imported.
    pub(super) rejected: u64,
    /// Documents that the first peer holds and another one doesn't, added up over the peers.
    missing: u64,
    /// Whether all peers held the same after the live edits.
    pub(super) converged: bool,
    pub(super) import_docs_per_s: Option<f64>,
    /// From the start of the import to the last equal digest.
    pub(super) sync_seconds: Option<f64>,
    pub(super) live_edit_ms: Option<Latency>,
    /// Of each peer, computed by itself over every document's visible value.
    digests: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<String>,
    #[serde(skip)]
    told: bool,
}

impl Report {
    pub(super) fn new(peers: usize) -> Self {
        Self {
            peers,
            documents: 0,
            rejected: 0,
            missing: 0,
            converged: false,
            import_docs_per_s: None,
            sync_seconds: None,
            live_edit_ms: None,
            digests: Vec::new(),
            error: None,
            told: false,
        }
    }

    /// Asks every peer at once what it holds; one that can't say, or not in time, counts as holding nothing.
    pub(super) async fn finish(&mut self, peers: &[DemoPeer], collection: &str) {
        let answers = peers.iter().map(|peer| async move {
            let limit = Duration::from_secs(ANSWER_SECONDS_MAX);
            match tokio::time::timeout(limit, holding(peer, collection)).await {
                Ok(Ok(held)) => (held.documents, held.digest),
                _ => (0, String::new()),
            }
        });
        let counts: Vec<u64>;
        (counts, self.digests) = join_all(answers).await.into_iter().unzip();
        self.documents = counts.first().copied().unwrap_or(0);
        let lacks = counts
            .iter()
            .map(|count| self.documents.saturating_sub(*count));
        self.missing = lacks.sum();
        self.converged &= self.digests.windows(2).all(|pair| pair[0] == pair[1]);
    }

    /// Prints the JSON form, unless it has been printed.
    pub(super) fn tell_once(&mut self) -> Result<(), CliError> {
        if std::mem::replace(&mut self.told, true) {
            return Ok(());
        }
        output::json(self)
    }

    pub(super) fn to_text(&self, collection: &str) -> String {
        let mut lines = vec![format!(
            "{} in {collection}, the same at all {} peers (digest {})",
            output::count(self.documents, "document"),
            self.peers,
            self.digests.first().map_or("", String::as_str)
        )];
        if let Some(rate) = self.import_docs_per_s {
            lines.push(format!("imported at A:     {rate:.0} documents/s, durable"));
        }
        if let Some(seconds) = self.sync_seconds {
            lines.push(format!(
                "held by all after: {seconds:.2} s from the start of the import"
            ));
        }
        if let Some(latency) = &self.live_edit_ms {
            lines.push(format!(
                "a live edit takes: {latency} from A to the observer at the last peer"
            ));
        }
        if self.rejected > 0 {
            lines.push(format!(
                "not imported:      {}",
                output::count(self.rejected, "line")
            ));
        }
        lines.join("\n")
    }
}
