//! What the shell is told: by worker streams, by searches, by people who look.

use super::handle::Order;
use crate::run::RunError;
use crate::schedule::{Attempt, Needs, WorkerId, WorkerInfo};
use pleach_shared::rpc::v1::{CoordinatorMessage, RunningTask, Worker};
use pleach_shared::task::{Outcome, Task, TaskKey};
use tokio::sync::{mpsc, oneshot};
use tonic::Status;

/// The way down to a worker.
pub(super) type Outbox = mpsc::Sender<Result<CoordinatorMessage, Status>>;

/// The way up to whoever waits for a task.
pub(super) type Answer = oneshot::Sender<Result<Outcome, RunError>>;

/// Anything that the shell is told.
pub(super) enum Input {
    /// A worker registered.
    Attach {
        info: WorkerInfo,
        holding: Vec<(TaskKey, Attempt)>,
        outbox: Outbox,
        /// Dropped when the shell closes the connection.
        open: oneshot::Sender<()>,
        id: oneshot::Sender<WorkerId>,
    },
    /// A worker said something, or its stream ended.
    Worker(WorkerId, Said),
    /// Somebody wants a task's outcome.
    Want { task: Wanted, order: Order, waiter: u64, answer: Answer },
    /// And does not want it any more.
    Leave { key: TaskKey, waiter: u64 },
    /// Somebody looks at the workers.
    Workers(oneshot::Sender<Vec<Worker>>),
    /// Somebody looks at what an experiment's tasks do.
    Look { experiment: u64, answer: oneshot::Sender<Sight> },
    /// Make durable what is under way, then stop.
    Stop(oneshot::Sender<()>),
}

/// What comes up a worker's stream.
pub(super) enum Said {
    Heartbeat,
    /// A result; an error says why it is none.
    Finished {
        key: TaskKey,
        attempt: Attempt,
        outcome: Result<Vec<u8>, String>,
        seconds: f64,
    },
    Failed {
        key: TaskKey,
        attempt: Attempt,
        error: String,
        retry: bool,
    },
    Progress {
        key: TaskKey,
        fraction: f64,
    },
    /// The stream ended.
    Gone,
}

/// A task as it travels.
pub(super) struct Wanted {
    pub(super) key: TaskKey,
    /// The bytes whose hash is the key.
    pub(super) bytes: Vec<u8>,
    pub(super) what: String,
    pub(super) needs: Needs,
}

impl Wanted {
    pub(super) fn new(task: &Task) -> Wanted {
        let bytes = task.encode();
        let needs = match task {
            Task::Measure(measure) => Needs::measure(&measure.device),
            Task::Train(_) | Task::Adapt(_) | Task::Evaluate(_) => Needs::compute(),
        };
        Wanted { key: TaskKey::of(&bytes), bytes, what: task.what(), needs }
    }
}

/// What an experiment's tasks do now.
#[derive(Debug, Default)]
pub(super) struct Sight {
    pub(super) running: Vec<RunningTask>,
    /// Why the first task waits, if none runs.
    pub(super) waiting: String,
}
