//! What many runs have come to.

use super::{run::Outcome, trace::TraceHash};

/// The spread of a figure over runs or changes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Spread {
    /// Half are at most this.
    pub median: f64,
    /// 99 of a hundred are at most this.
    pub p99: f64,
    /// All are at most this.
    pub max: f64,
}

impl Spread {
    fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let at = |percent: usize| {
            let place = (values.len() * percent).div_ceil(100).saturating_sub(1);
            values.get(place).copied().unwrap_or_default()
        };
        Self {
            median: at(50),
            p99: at(99),
            max: at(100),
        }
    }
}

/// Collects outcomes.
#[derive(Clone, Debug, Default)]
pub struct Report {
    outcomes: Vec<Outcome>,
}

impl Report {
    /// Adds a run.
    pub fn add(&mut self, outcome: Outcome) {
        self.outcomes.push(outcome);
    }

    /// How many runs.
    pub fn seeds(&self) -> usize {
        self.outcomes.len()
    }

    /// Those in which something happened that must not.
    pub fn failed(&self) -> impl Iterator<Item = &Outcome> {
        self.outcomes.iter().filter(|it| it.broken.is_some())
    }

    /// Changes written in all of them.
    pub fn changes(&self) -> u64 {
        self.outcomes.iter().map(|it| it.changes).sum()
    }

    /// The hash of all traces, in order.
    pub fn trace(&self) -> TraceHash {
        let mut hasher = blake3::Hasher::new();
        for outcome in &self.outcomes {
            hasher.update(&outcome.trace.0);
        }
        TraceHash(*hasher.finalize().as_bytes())
    }

    /// From healing until the last change arrived, in milliseconds, over runs.
    pub fn convergence_ms(&self) -> Spread {
        self.over_runs(|it| Some(it.converged_ms as f64))
    }

    /// From its writing until a change arrived at the last peer, in milliseconds, over changes. Partitions count.
    pub fn last_hop_ms(&self) -> Spread {
        let hops = self.outcomes.iter().flat_map(|it| &it.last_hops_ms);
        Spread::of(hops.map(|ms| *ms as f64).collect())
    }

    /// How often what brought something new was received, over runs: 1 is never in vain.
    pub fn redundancy(&self) -> Spread {
        self.over_runs(|it| ratio(it.counts.deltas_received, it.counts.deltas_applied))
    }

    /// Bytes on the wire for each change and peer that it arrived at, over runs.
    pub fn bytes_per_change(&self) -> Spread {
        let bytes = |it: &Outcome| it.counts.sync_bytes + it.counts.gossip_bytes;
        self.over_runs(|it| ratio(bytes(it), it.counts.arrivals))
    }

    /// Messages for each change and peer that it arrived at, over runs.
    pub fn messages_per_change(&self) -> Spread {
        let messages = |it: &Outcome| it.counts.sync_messages + it.counts.gossip_messages;
        self.over_runs(|it| ratio(messages(it), it.counts.arrivals))
    }

    /// How much of the bound of messages on sync streams was used, over runs.
    pub fn storm_margin(&self) -> Spread {
        self.over_runs(|it| ratio(it.counts.sync_messages, it.sync_messages_max))
    }

    fn over_runs(&self, figure: impl Fn(&Outcome) -> Option<f64>) -> Spread {
        Spread::of(self.outcomes.iter().filter_map(figure).collect())
    }
}

fn ratio(of: u64, to: u64) -> Option<f64> {
    (to > 0).then(|| of as f64 / to as f64)
}
