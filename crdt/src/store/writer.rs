//! The one writer, and how threads take turns at it.
//!
//! A thread with a short write does not wait for its turn: it leaves the write as a job and sleeps until that is durable.
//! Whoever has written carries out the jobs of others before giving the writer back ("flat combining", Hendler et al., SPAA
//! 2010), so that a write wakes one thread once, and the writer never rests while a thread wakes up to take it.

use super::Inner;
use super::catalog::Catalog;
use super::commit::Origin;
use super::deadline::Deadline;
use super::error::StoreError;
use super::execute::Outcome;
use super::group::Ticket;
use super::incarnation::Incarnation;
use super::log::Log;
use super::transaction::Transaction;
use crate::limits::SERVE_MS_MAX;
use automerge::ActorId;
use parking_lot::{Mutex, MutexGuard};
use std::collections::VecDeque;
use std::ops::{Deref, DerefMut};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

/// What only the one writer may look at and advance: the newest commit, which may not be published yet.
pub(super) struct Writer {
    pub(super) sequence: u64,
    pub(super) catalog: Arc<Catalog>,
    pub(super) log: Log,
    /// The time of the newest own change, in milliseconds since 1970.
    pub(super) time_ms: i64,
    /// The newest transaction that has brought changes of others since the store was opened.
    pub(super) arrived: u64,
    /// Up to where in the feed all own changes are sealed.
    pub(super) sealed_to: u64,
    /// The newest commit with own changes that are to be sealed.
    pub(super) own_to: u64,
    pub(super) incarnation: Incarnation,
    /// Who writes in this incarnation.
    pub(super) actor: ActorId,
}

/// A writer that panicked leaves nothing behind: batches are atomic.
pub(super) struct WriterLock {
    writer: Mutex<Writer>,
    /// As many as there are threads that wait for theirs.
    jobs: Mutex<VecDeque<Left>>,
}

/// The writer, for as long as it is kept.
pub(super) struct WriterGuard<'a> {
    writer: MutexGuard<'a, Writer>, // given back before the next one is woken
    jobs: Jobs<'a>,
}

/// When it is dropped, the thread of the first job is woken to take the writer.
struct Jobs<'a>(&'a Mutex<VecDeque<Left>>);

/// What is done with the writer.
pub(super) type Work = Box<dyn FnOnce(&mut Transaction<'_>) -> Result<Outcome, StoreError> + Send>;

/// A write that any thread may carry out.
struct Left {
    work: Work,
    job: Arc<Job>,
}

/// What one thread waits for.
struct Job {
    thread: Thread,
    deadline: Deadline,
    done: Mutex<Option<Done>>,
}

/// What it gave and when that is durable; or it panicked.
type Done = thread::Result<Result<(Outcome, Ticket), StoreError>>;

impl WriterLock {
    pub(super) fn new(writer: Writer) -> Self {
        Self {
            writer: Mutex::new(writer),
            jobs: Mutex::default(),
        }
    }

    pub(super) fn lock(&self) -> WriterGuard<'_> {
        self.guard(self.writer.lock())
    }

    /// `None` if it is not free for so long.
    pub(super) fn lock_for(&self, time: Duration) -> Option<WriterGuard<'_>> {
        Some(self.guard(self.writer.try_lock_for(time)?))
    }

    fn try_lock(&self) -> Option<WriterGuard<'_>> {
        Some(self.guard(self.writer.try_lock()?))
    }

    fn guard<'a>(&'a self, writer: MutexGuard<'a, Writer>) -> WriterGuard<'a> {
        WriterGuard {
            writer,
            jobs: Jobs(&self.jobs),
        }
    }

    /// Takes a job back; `false` if somebody is at it already.
    fn withdraw(&self, job: &Arc<Job>) -> bool {
        let jobs = Jobs(&self.jobs); // the wake-up meant for it goes to the next one
        let mut queue = jobs.0.lock();
        let place = queue.iter().position(|left| Arc::ptr_eq(&left.job, job));
        place.and_then(|place| queue.remove(place)).is_some()
    }
}

impl Deref for WriterGuard<'_> {
    type Target = Writer;

    fn deref(&self) -> &Writer {
        &self.writer
    }
}

impl DerefMut for WriterGuard<'_> {
    fn deref_mut(&mut self) -> &mut Writer {
        &mut self.writer
    }
}

impl Drop for Jobs<'_> {
    fn drop(&mut self) {
        let first = self.0.lock().front().map(|left| left.job.thread.clone());
        if let Some(thread) = first {
            thread.unpark();
        }
    }
}

impl Inner {
    /// Carries out a short write as a transaction of its own, in this thread or in that of another writer. It is durable
    /// on return.
    pub(super) fn write(&self, deadline: &Deadline, work: Work) -> Result<Outcome, StoreError> {
        let job = Arc::new(Job {
            thread: thread::current(),
            deadline: deadline.clone(),
            done: Mutex::default(),
        });
        let left = Left {
            work,
            job: Arc::clone(&job),
        };
        self.writer.jobs.lock().push_back(left);
        match self.done(&job) {
            Ok(Ok(Ok((outcome, ticket)))) => self.settle(ticket).map(|()| outcome),
            Ok(Ok(Err(error))) | Err(error) => {
                self.group.hand_over();
                Err(error)
            }
            Ok(Err(panic)) => {
                self.group.hand_over();
                resume_unwind(panic)
            }
        }
    }

    /// Returns once the job is done, by whomever. An error is that nobody has come to it in time.
    fn done(&self, job: &Arc<Job>) -> Result<Done, StoreError> {
        loop {
            if let Some(done) = job.done.lock().take() {
                return Ok(done);
            }
            if let Some(writer) = self.writer.try_lock() {
                self.serve(writer);
                continue;
            }
            match job.deadline.remaining() {
                Duration::ZERO if self.writer.withdraw(job) => {
                    return Err(job.deadline.timed_out());
                }
                Duration::ZERO => thread::park(),
                remaining => thread::park_timeout(remaining),
            }
        }
    }

    /// Carries out what threads have left, in their order, and gives the writer back. Who calls it waits for a ticket
    /// afterwards, or hands over.
    pub(super) fn serve<'a>(&'a self, mut writer: WriterGuard<'a>) {
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_millis(SERVE_MS_MAX) {
            let Some(left) = writer.jobs.0.lock().pop_front() else {
                return;
            };
            writer = self.carry_out(left, writer);
        }
    }

    /// Lets others write between two pieces of long work.
    pub(super) fn let_others_write(&self) {
        self.serve(self.writer.lock());
        self.group.hand_over();
    }

    fn carry_out<'a>(
        &'a self,
        Left { work, job }: Left,
        writer: WriterGuard<'a>,
    ) -> WriterGuard<'a> {
        let mut transaction = self.begin(writer, job.deadline.clone());
        let carried_out = catch_unwind(AssertUnwindSafe(|| {
            let outcome = work(&mut transaction)?;
            transaction.deadline.check()?;
            let (transaction_id, ticket) = transaction.finish(Origin::Local)?;
            let outcome = Outcome {
                transaction_id,
                ..outcome
            };
            Ok((outcome, ticket))
        }));
        let writer = transaction.into_writer();
        let ticket = match &carried_out {
            Ok(Ok((_, ticket))) => Some(*ticket),
            Ok(Err(_)) | Err(_) => None,
        };
        *job.done.lock() = Some(carried_out);
        if job.thread.id() != thread::current().id() {
            match ticket {
                Some(ticket) => self.group.enlist(ticket, &job.thread),
                None => job.thread.unpark(),
            }
        }
        writer
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::Params;
    use crate::store::Store;
    use sedge_identity::{AppId, DeviceKey};
    use std::path::Path;
    use std::sync::Barrier;
    use std::sync::mpsc::sync_channel;

    const WRITERS: usize = 12;
    const WRITES: usize = 40;

    fn store(path: &Path) -> Store {
        let device = DeviceKey::from_seed([1; 32]).public();
        Store::open(path, &AppId::new("demo").unwrap(), &device).unwrap()
    }

    fn insert(id: String) -> Work {
        Box::new(move |transaction| {
            let statement = format!("INSERT INTO c DOCUMENTS ({{'_id': '{id}'}})");
            transaction.execute(&statement, &Params::new())
        })
    }

    fn waiting(store: &Store) -> usize {
        store.0.writer.jobs.lock().len()
    }

    fn count(store: &Store) -> usize {
        let found = store.execute("SELECT _id FROM c", &Params::new());
        found.unwrap().items.len()
    }

    /// Goal: of writes that succeed, fail and panic in whatever thread carries them out, each thread hears of its own, and
    /// those that succeed are there, each as a transaction of its own.
    #[test]
    fn each_thread_hears_of_its_own_write() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path());
        let begin = Barrier::new(WRITERS);
        let write = |writer: usize| {
            begin.wait();
            let mut transactions = Vec::new();
            for n in 0..WRITES {
                let deadline = Deadline::default();
                let write = |work| store.0.write(&deadline, work);
                match n % 4 {
                    2 => {
                        let known = insert(format!("{writer}-0"));
                        assert!(matches!(write(known), Err(StoreError::Exists(_))));
                    }
                    3 => {
                        let panics = || write(Box::new(move |_| panic!("of writer {writer}")));
                        let panic = catch_unwind(AssertUnwindSafe(panics)).unwrap_err();
                        let told = panic.downcast_ref::<String>().unwrap();
                        assert_eq!(*told, format!("of writer {writer}"));
                    }
                    _ => {
                        let written = write(insert(format!("{writer}-{n}"))).unwrap();
                        assert!(store.transaction_id() >= written.transaction_id);
                        transactions.push(written.transaction_id);
                    }
                }
            }
            transactions
        };
        let mut transactions = thread::scope(|scope| {
            let write = &write;
            let writers = (0..WRITERS).map(|writer| scope.spawn(move || write(writer)));
            let writers = writers.collect::<Vec<_>>();
            let written = writers
                .into_iter()
                .flat_map(|writer| writer.join().unwrap());
            written.collect::<Vec<_>>()
        });
        transactions.sort_unstable();
        let expected = (WRITERS * WRITES / 2) as u64;
        assert_eq!(transactions, (1..=expected).collect::<Vec<_>>());
        assert_eq!((count(&store), waiting(&store)), (expected as usize, 0));
    }

    /// Goal: a job is answered though the thread that carried it out had nothing more to wait for itself.
    #[test]
    fn who_has_enlisted_others_leaves_them_a_leader() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path());
        let held = store.0.writer.lock();
        let (answered, answers) = sync_channel(2);
        let known = store.clone();
        let leave = |jobs, work: Work| {
            let (store, answered) = (known.clone(), answered.clone());
            thread::spawn(move || {
                let written = store.0.write(&Deadline::after(Duration::MAX), work);
                answered.send(written.is_ok())
            });
            while waiting(&known) != jobs {
                thread::yield_now();
            }
        };
        leave(1, insert("carrier".to_owned()));
        let inner = store.clone();
        leave(
            2,
            Box::new(move |transaction| {
                // Publishes what the carrier waits for, before this job is written.
                inner.0.settle(inner.0.group.newest())?;
                insert("carried".to_owned())(transaction)
            }),
        );
        drop(held);
        for _ in 0..2 {
            assert_eq!(answers.recv_timeout(Duration::from_secs(20)), Ok(true));
        }
    }

    /// Goal: a job that nobody has come to in time is taken back and never done; those behind it are carried out as soon as
    /// the writer is free.
    #[test]
    fn a_job_is_taken_back_when_its_time_is_over() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path());
        let held = store.0.writer.lock();
        let wait_for = |jobs| {
            while waiting(&store) != jobs {
                thread::yield_now();
            }
        };
        thread::scope(|scope| {
            let write = |id: &str, time| {
                let (work, deadline) = (insert(id.to_owned()), Deadline::after(time));
                let inner = &store.0;
                scope.spawn(move || inner.write(&deadline, work))
            };
            let late = write("late", Duration::from_millis(50));
            wait_for(1);
            let others = ["a", "b", "c"].map(|id| write(id, Duration::MAX));
            wait_for(4);
            let refused = late.join().unwrap();
            assert!(matches!(refused, Err(StoreError::TimedOut { .. })));
            wait_for(3);
            drop(held);
            for other in others {
                other.join().unwrap().unwrap();
            }
        });
        assert_eq!(count(&store), 3);
    }
}
