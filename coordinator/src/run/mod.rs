//! What a search sees of the world: tasks to ask for, records to leave.

mod live;

pub use live::LiveRun;

use crate::report::{Budget, Figures, LayerWidth, Round, SensitivityPoint, Summary};
use futures::future::try_join_all;
use pleach_shared::task::{BlobId, Outcome, Task};
use std::future::Future;
use thiserror::Error;

/// The world of a search. Answers a task from the memo when its key has a result and schedules it otherwise, so calling
/// a search again *is* resuming it.
pub trait Run: Sync {
    /// The task's outcome, once it is durable.
    fn task(&self, task: Task) -> impl Future<Output = Result<Outcome, RunError>> + Send;

    /// Leaves a record in the experiment.
    fn record(&self, record: Record) -> impl Future<Output = Result<(), RunError>> + Send;

    /// Says what goes on, for people.
    fn phase(&self, text: String);

    /// The outcomes of many tasks, in their order.
    fn all(&self, tasks: Vec<Task>) -> impl Future<Output = Result<Vec<Outcome>, RunError>> + Send {
        try_join_all(tasks.into_iter().map(|task| self.task(task)))
    }
}

/// Why a search ends early.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum RunError {
    /// A task failed for good.
    #[error("{what} failed: {error}")]
    Task {
        /// What the task was to do.
        what: String,
        /// The workers' last word on it.
        error: String,
    },
    /// The search cannot do what it is asked to.
    #[error("{0}")]
    Search(String),
    /// The results cannot be kept.
    #[error("cannot store results: {0}")]
    Store(String),
    /// Somebody cancelled it, or the coordinator shuts down.
    #[error("it was cancelled")]
    Cancelled,
}

/// Something that a search leaves in its experiment.
#[derive(Debug, Clone, PartialEq)]
pub enum Record {
    /// What the budget comes to.
    Budget(Budget),
    /// Figures of the dense network.
    Dense(Figures),
    /// A point of the sensitivity scan.
    Sensitivity(SensitivityPoint),
    /// A finished round.
    Round(Round),
    /// Figures after the search.
    Searched(Figures),
    /// Figures after the long fine-tune.
    Final(Figures),
    /// Widths before and after.
    Layers(Vec<LayerWidth>),
    /// The best model so far.
    Model(BlobId),
    /// Something a person should know.
    Note(String),
}

impl Record {
    /// Writes itself into a summary.
    pub fn apply(&self, summary: &mut Summary) {
        match self.clone() {
            Record::Budget(budget) => summary.budget = Some(budget),
            Record::Dense(figures) => summary.dense = Some(figures),
            Record::Sensitivity(point) => summary.sensitivity.push(point),
            Record::Round(round) => summary.rounds.push(round),
            Record::Searched(figures) => summary.searched = Some(figures),
            Record::Final(figures) => summary.final_ = Some(figures),
            Record::Layers(layers) => summary.layers = layers,
            Record::Model(_) | Record::Note(_) => {}
        }
    }
}
