//! What the upkeep of items and sums costs: batches with it and without it, in turn.

use super::Changed;
use super::upkeep::Upper;
use crate::id::DocumentId;
use crate::store::database::Database;
use crate::store::error::StoreError;
use crate::store::schema::{DocumentKey, VALUES};
use automerge::ChangeHash;
use sedge_identity::AppId;
use std::path::Path;
use std::time::Instant;

/// Documents that are there before.
const HELD: u64 = 100_000;
/// Documents to a batch while those are made.
const FILL: u64 = 1_000;
/// Rounds in each of which both kinds of batches are written.
const ROUNDS: u64 = 21;
/// Changed documents of a round.
const CHANGES: u64 = 4_000;
/// Bytes that each of them has beside its item.
const VALUE_BYTES: usize = 200;

/// Microseconds that a changed document takes in batches of so many, in each round: with upkeep, and without.
///
/// For `sedge bench`; the folder `path` is a new one, and of no other use.
///
/// # Errors
/// The database fails.
#[doc(hidden)]
pub fn measure_upkeep(
    path: &Path,
    app: &AppId,
    in_batch: u64,
) -> Result<[Vec<f64>; 2], StoreError> {
    let database = Database::open(path)?;
    let sums = Upper::load(&database)?;
    let write = |changes: &[(u64, u64)], is_kept: bool| {
        let mut changed = Changed::new(app);
        let mut batch = database.batch();
        for &(number, version) in changes {
            let key = DocumentKey {
                collection: 0,
                id: DocumentId::stored(format!("\"document {number:08}\"").as_bytes()),
            };
            batch.put(VALUES, &key.bytes(), [7; VALUE_BYTES]);
            if is_kept {
                let heads = [version.wrapping_sub(1), version].map(head);
                let [before, after] = heads.each_ref();
                let before = if version == 0 { &[][..] } else { &before[..] };
                changed.document("cars", &key, [before, after], &mut batch);
            }
        }
        changed.write(&mut batch);
        batch.write_unsynced()?;
        sums.add(&changed);
        Ok::<_, StoreError>(())
    };
    for first in (0..HELD).step_by(FILL as usize) {
        let made: Vec<_> = (first..first + FILL).map(|number| (number, 0)).collect();
        write(&made, true)?;
    }
    let mut times = [Vec::new(), Vec::new()];
    for round in 1..=ROUNDS {
        for turn in 0..2 {
            let is_kept = (round + turn) % 2 == 0; // neither always comes behind the other's leftovers
            // Scattered, as the multiplier is odd.
            let scattered =
                |n: u64| (n + round * CHANGES).wrapping_mul(0x9e37_79b9_7f4a_7c15) % HELD;
            let changes: Vec<_> = (0..CHANGES).map(|n| (scattered(n), round)).collect();
            let begun = Instant::now();
            for batch in changes.chunks(in_batch as usize) {
                write(batch, is_kept)?;
            }
            let us = begun.elapsed().as_secs_f64() * 1e6 / CHANGES as f64;
            times[usize::from(!is_kept)].push(us);
        }
    }
    Ok(times)
}

fn head(version: u64) -> [ChangeHash; 1] {
    let mut hash = [1; 32];
    hash[..8].copy_from_slice(&version.to_le_bytes());
    [ChangeHash(hash)]
}
