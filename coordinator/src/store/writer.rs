//! The one thread that writes to the database, and its group commit.

use super::StoreError;
use futures::FutureExt;
use futures::future::BoxFuture;
use redb::{Database, Durability, WriteTransaction};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use tokio::sync::oneshot;

/// Most changes in one transaction, so that under a flood of them the first one need not wait for the last.
const GROUP: usize = 1024;

/// What a write comes to, once it is durable. The write is under way already and goes on if this is dropped.
pub type Pending<T> = BoxFuture<'static, Result<T, StoreError>>;

/// A change, and how to tell its author how it went.
trait Change: Send {
    /// Makes the change. An error undoes the transaction with everything in it.
    fn apply(&mut self, write: &WriteTransaction) -> Result<(), StoreError>;
    /// Answers, once the transaction is durable or failed.
    fn answer(self: Box<Self>, outcome: Result<(), StoreError>);
}

/// Sends changes to the thread; joins it when dropped, so that what was sent is on disk by then.
pub(super) struct Writer {
    changes: Option<mpsc::Sender<Box<dyn Change>>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    pub(super) fn start(database: Arc<Database>) -> Result<Writer, StoreError> {
        let (changes, arrivals) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || write_all(&database, &arrivals))
            .map_err(|error| StoreError::Database(error.to_string()))?;
        Ok(Writer { changes: Some(changes), thread: Some(thread) })
    }

    /// Makes a change and answers with what it gave, once it is durable. It is made even if nobody awaits the answer.
    pub(super) fn change<T: Send + 'static>(
        &self,
        apply: impl FnMut(&WriteTransaction) -> Result<T, StoreError> + Send + 'static,
    ) -> Pending<T> {
        let (answer, outcome) = oneshot::channel();
        let change = Box::new(Call { apply, value: None, answer });
        let sent = self.changes.as_ref().is_some_and(|changes| changes.send(change).is_ok());
        async move { if sent { outcome.await.unwrap_or(Err(StoreError::Closed)) } else { Err(StoreError::Closed) } }.boxed()
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.changes = None;
        if let Some(thread) = self.thread.take() {
            // A writer that panicked has nothing left to flush, and its authors have been told by their dropped channels.
            let _ = thread.join();
        }
    }
}

struct Call<F, T> {
    apply: F,
    value: Option<T>,
    answer: oneshot::Sender<Result<T, StoreError>>,
}

impl<T: Send, F: FnMut(&WriteTransaction) -> Result<T, StoreError> + Send> Change for Call<F, T> {
    fn apply(&mut self, write: &WriteTransaction) -> Result<(), StoreError> {
        self.value = Some((self.apply)(write)?);
        Ok(())
    }

    fn answer(self: Box<Self>, outcome: Result<(), StoreError>) {
        let Call { value, answer, .. } = *self;
        // Nobody waits any more: fine, it is written all the same.
        let _ = answer.send(outcome.and_then(|()| value.ok_or(StoreError::Closed)));
    }
}

fn write_all(database: &Database, arrivals: &mpsc::Receiver<Box<dyn Change>>) {
    while let Ok(first) = arrivals.recv() {
        let mut group = vec![first];
        group.extend(arrivals.try_iter().take(GROUP - 1));
        match commit(database, &mut group) {
            Ok(()) => group.into_iter().for_each(|change| change.answer(Ok(()))),
            Err(error) if group.len() == 1 => group.into_iter().for_each(|change| change.answer(Err(error.clone()))),
            // One bad change must not take the others with it: each for itself.
            Err(_) => {
                for change in group {
                    let mut alone = [change];
                    let outcome = commit(database, &mut alone);
                    let [change] = alone;
                    change.answer(outcome);
                }
            }
        }
    }
}

fn commit(database: &Database, group: &mut [Box<dyn Change>]) -> Result<(), StoreError> {
    let mut write = database.begin_write().map_err(StoreError::database)?;
    // An answer means that it survives a power cut.
    write.set_durability(Durability::Immediate).map_err(StoreError::database)?;
    group.iter_mut().try_for_each(|change| change.apply(&write))?;
    write.commit().map_err(StoreError::database)
}
