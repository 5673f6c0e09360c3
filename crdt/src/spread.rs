//! Work on several threads.

use std::num::NonZeroUsize;
use std::thread;

/// Does work for each of the items, in shares of at least so many on as many threads as there are cores.
pub(crate) fn spread<T: Sync, R: Send>(
    items: &[T],
    share_min: usize,
    work: impl Fn(&T) -> R + Sync,
) -> Vec<R> {
    let cores = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let threads = cores.min(items.len() / share_min);
    if threads < 2 {
        return items.iter().map(work).collect();
    }
    let work = &work;
    thread::scope(|scope| {
        let shares = items.chunks(items.len().div_ceil(threads));
        let shares: Vec<_> = shares
            .map(|share| scope.spawn(move || share.iter().map(work).collect::<Vec<R>>()))
            .collect();
        let done = shares.into_iter().map(|share| match share.join() {
            Ok(done) => done,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        done.flatten().collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: every item is worked on once, and what comes of it stands in its order, whatever the number of items.
    #[test]
    fn nothing_is_lost_or_moved() {
        for count in 0..40 {
            let items: Vec<usize> = (0..count).collect();
            assert_eq!(spread(&items, 3, |item| *item), items);
        }
    }
}
