//! What a search asks for tasks.

use super::input::{Input, Sight, Wanted};
use crate::run::RunError;
use crate::store::{Store, StoreError};
use pleach_shared::rpc::v1::Worker;
use pleach_shared::task::{Outcome, Task, TaskKey};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::{mpsc, oneshot, watch};

/// Which task goes first: experiments in the order of submission, and an experiment's tasks in the order asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Order(u64);

impl Order {
    /// The `nth` task of an experiment, which is given by its place in the order of submission.
    pub fn new(experiment: u64, nth: u32) -> Order {
        Order(experiment.min(u64::from(u32::MAX)) << 32 | u64::from(nth))
    }

    pub(super) fn number(self) -> u64 {
        self.0
    }

    pub(super) fn experiment(self) -> u64 {
        self.0 >> 32
    }
}

/// Runs tasks: answers from the memo, or schedules them and waits. Clones share everything.
#[derive(Clone)]
pub struct Handle {
    inputs: mpsc::UnboundedSender<Input>,
    store: Store,
    waiters: Arc<AtomicU64>,
    pulse: watch::Receiver<()>,
}

impl Handle {
    pub(super) fn new(inputs: mpsc::UnboundedSender<Input>, store: Store, pulse: watch::Receiver<()>) -> Handle {
        Handle { inputs, store, waiters: Arc::default(), pulse }
    }

    /// A task's outcome, durable, and whether it came from the memo. Several calls for one task share one execution; when
    /// the last of them is dropped, the task is withdrawn.
    ///
    /// # Errors
    /// When the task fails for good, its result cannot be kept, or the coordinator stops.
    pub async fn run(&self, task: Task, order: Order) -> Result<(Outcome, bool), RunError> {
        match self.remembered(&task.key()).await? {
            Some(outcome) => Ok((outcome, true)),
            None => self.schedule(task, order).await.map(|outcome| (outcome, false)),
        }
    }

    /// What the memo has for a task. A result whose model file was lost is forgotten, so that the task runs again.
    ///
    /// # Errors
    /// When the memo cannot be read.
    pub async fn remembered(&self, key: &TaskKey) -> Result<Option<Outcome>, RunError> {
        let Some(stored) = self.store.result(key).map_err(keep)? else { return Ok(None) };
        let outcome = decode(key, &stored.outcome)?;
        if let Outcome::Trained(trained) = &outcome
            && !self.store.blobs().has(&trained.model).await.map_err(keep)?
        {
            tracing::warn!(task = %key, model = %trained.model, "the model of a stored result is gone; its task runs again");
            self.store.forget(*key).await.map_err(keep)?;
            return Ok(None);
        }
        Ok(Some(outcome))
    }

    /// A task's outcome from the scheduler, durable; the memo is not asked first.
    ///
    /// # Errors
    /// As [`Handle::run`].
    pub async fn schedule(&self, task: Task, order: Order) -> Result<Outcome, RunError> {
        let (answer, outcome) = oneshot::channel();
        let (task, waiter) = (Wanted::new(&task), self.waiters.fetch_add(1, Ordering::Relaxed));
        let _leave = Leave { inputs: &self.inputs, key: task.key, waiter };
        self.tell(Input::Want { task, order, waiter, answer });
        // No answer: the shell is gone, and with it the coordinator.
        outcome.await.unwrap_or(Err(RunError::Cancelled))
    }

    /// The workers attached now.
    pub async fn workers(&self) -> Vec<Worker> {
        let (answer, workers) = oneshot::channel();
        self.tell(Input::Workers(answer));
        workers.await.unwrap_or_default()
    }

    /// What an experiment's tasks do.
    pub(super) async fn look(&self, experiment: u64) -> Sight {
        let (answer, sight) = oneshot::channel();
        self.tell(Input::Look { experiment, answer });
        sight.await.unwrap_or_default()
    }

    /// Told whenever a task starts, ends or gets on, of whatever experiment.
    pub(super) fn pulse(&self) -> watch::Receiver<()> {
        self.pulse.clone()
    }

    /// Stops the shell once what it accepted is durable.
    pub(super) async fn stop(&self) {
        let (answer, stopped) = oneshot::channel();
        self.tell(Input::Stop(answer));
        // Gone already is stopped too.
        let _ = stopped.await;
    }

    pub(super) fn tell(&self, input: Input) {
        // The shell is gone when the coordinator stops; whoever waits for an answer sees that.
        let _ = self.inputs.send(input);
    }
}

/// Tells the shell when somebody who waited goes away, answered or not.
struct Leave<'a> {
    inputs: &'a mpsc::UnboundedSender<Input>,
    key: TaskKey,
    waiter: u64,
}

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        let _ = self.inputs.send(Input::Leave { key: self.key, waiter: self.waiter });
    }
}

/// Reads a stored outcome.
pub(super) fn decode(key: &TaskKey, outcome: &[u8]) -> Result<Outcome, RunError> {
    serde_json::from_slice(outcome).map_err(|error| {
        RunError::Store(format!("the stored result of task {key} is unreadable ({error}); was it written by a newer Pleach?"))
    })
}

pub(super) fn keep(error: StoreError) -> RunError {
    RunError::Store(error.to_string())
}
