//! The searches that run: one task an experiment, from its start to its last state.

use super::status::{Live, fresh_summary};
use super::{Handle, spawn};
use crate::report::Summary;
use crate::run::{LiveRun, RunError};
use crate::store::{ExperimentRow, ExperimentState, Store, StoreError};
use futures::FutureExt;
use futures::future::join_all;
use pleach_shared::submission::Submission;
use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{oneshot, watch};

/// How long workers are held back at most until the restarted searches have asked for their tasks.
const RECOVERY: Duration = Duration::from_secs(10);

/// A search asks for a round's tasks at once, but not in one instant.
const A_ROUND_IS_ASKED_FOR: Duration = Duration::from_millis(250);

/// Says that a search asked for something new, by a message or by being dropped.
pub(super) type Settled = oneshot::Receiver<()>;

/// Starts and stops searches.
pub(super) struct Programs {
    store: Store,
    handle: Handle,
    stopping: watch::Receiver<bool>,
    /// By id. The last run of an experiment stays here, for those who still watch it.
    runs: Mutex<HashMap<String, Program>>,
    /// One submission at a time, so that of two equal ones the second finds the first running.
    submitting: tokio::sync::Mutex<()>,
}

#[derive(Clone)]
struct Program {
    live: Arc<Live>,
    cancel: watch::Sender<bool>,
    /// Its sender is dropped when the program has ended and its last state is stored.
    ended: watch::Receiver<()>,
}

impl Program {
    fn runs(&self) -> bool {
        self.ended.has_changed().is_ok()
    }

    async fn end(mut self) {
        while self.ended.changed().await.is_ok() {}
    }
}

impl Programs {
    pub(super) fn new(store: Store, handle: Handle, stopping: watch::Receiver<bool>) -> Programs {
        Programs { store, handle, stopping, runs: Mutex::default(), submitting: tokio::sync::Mutex::default() }
    }

    /// Stores an experiment and starts it, unless it runs already.
    pub(super) async fn submit(&self, submission: Submission, document: String) -> Result<String, StoreError> {
        let id = submission.id();
        let _one = self.submitting.lock().await;
        if self.is_running(&id) {
            return Ok(id);
        }
        let row = ExperimentRow {
            id: id.clone(),
            name: submission.spec.name.clone(),
            sequence: 0,
            document,
            submission: submission.encode(),
            state: ExperimentState::Queued,
            submitted_unix: crate::store::unix_now(),
            error: None,
            // Plain data with string keys: serialising cannot fail.
            summary: serde_json::to_vec(&fresh_summary(&id, &submission, ExperimentState::Queued)).unwrap_or_default(),
            model: None,
        };
        let row = self.store.put_experiment(row).await?;
        self.start(&row, submission);
        Ok(id)
    }

    /// Starts a stored experiment again, unless it runs.
    pub(super) async fn resume(&self, row: &ExperimentRow) -> Result<(), StoreError> {
        self.start(row, decode(row)?);
        Ok(())
    }

    /// Starts what ran when the last coordinator stopped, in the order of submission.
    pub(super) async fn start_unfinished(&self) -> Result<Vec<Settled>, StoreError> {
        let mut settled = Vec::new();
        for row in self.store.experiments()?.into_iter().filter(|row| !row.state.is_final()) {
            match decode(&row) {
                Ok(submission) => settled.extend(self.start(&row, submission)),
                // Written by another version: the other experiments can go on all the same.
                Err(error) => {
                    tracing::error!(experiment = row.id, %error, "experiment cannot go on");
                    self.settle(&row.id, ExperimentState::Failed, Some(error.to_string())).await?;
                }
            }
        }
        Ok(settled)
    }

    /// Stops an experiment, and answers when it has stopped. One that is not running and not ended is cancelled as well.
    pub(super) async fn cancel(&self, row: &ExperimentRow) -> Result<(), StoreError> {
        let running = self.lock().get(&row.id).filter(|program| program.runs()).cloned();
        match running {
            Some(program) => {
                program.cancel.send_replace(true);
                program.end().await;
                Ok(())
            }
            None if row.state.is_final() => Ok(()),
            None => self.settle(&row.id, ExperimentState::Cancelled, None).await,
        }
    }

    /// What is known of the last run of an experiment in this life of the coordinator.
    pub(super) fn live(&self, id: &str) -> Option<Arc<Live>> {
        self.lock().get(id).map(|program| program.live.clone())
    }

    /// Waits until all searches have stopped; `stopping` has told them to.
    pub(super) async fn stop_all(&self) {
        let running: Vec<Program> = self.lock().values().cloned().collect();
        join_all(running.into_iter().map(Program::end)).await;
    }

    fn is_running(&self, id: &str) -> bool {
        self.lock().get(id).is_some_and(Program::runs)
    }

    fn start(&self, row: &ExperimentRow, submission: Submission) -> Option<Settled> {
        let mut runs = self.lock();
        if *self.stopping.borrow() || runs.get(&row.id).is_some_and(Program::runs) {
            return None;
        }
        let live = Arc::new(Live::new(&row.id, &submission));
        let (settled, is_settled) = oneshot::channel();
        let (cancel, cancelled) = watch::channel(false);
        let (ended, has_ended) = watch::channel(());
        let run = LiveRun::new(live.clone(), self.handle.clone(), self.store.clone(), row, settled);
        let program =
            Driver { id: row.id.clone(), store: self.store.clone(), live: live.clone(), cancelled, stopping: self.stopping.clone() };
        // Ends with the search, at a cancel or when the coordinator stops; `ended` tells.
        spawn("experiment", async move {
            program.drive(submission, run).await;
            drop(ended);
        });
        runs.insert(row.id.clone(), Program { live, cancel, ended: has_ended });
        Some(is_settled)
    }

    /// Gives an experiment that does not run its last state.
    async fn settle(&self, id: &str, state: ExperimentState, error: Option<String>) -> Result<(), StoreError> {
        let change = move |row: &mut ExperimentRow| {
            (row.state, row.error) = (state, error.clone());
            if let Ok(mut summary) = serde_json::from_slice::<Summary>(&row.summary) {
                (summary.state, summary.error) = (state.to_string(), error.clone());
                row.summary = serde_json::to_vec(&summary).unwrap_or_default();
            }
        };
        self.store.update_experiment(id, change).await.map(drop)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Program>> {
        // Nothing that is done under the lock can leave the map half-changed.
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits until the restarted searches have asked for their tasks, but not for ever.
pub(super) async fn all_settled(settled: Vec<Settled>) {
    // Out of time is fine: workers then lose what they hold, and it is done again.
    let _ = tokio::time::timeout(RECOVERY, join_all(settled)).await;
    tokio::time::sleep(A_ROUND_IS_ASKED_FOR).await;
}

fn decode(row: &ExperimentRow) -> Result<Submission, StoreError> {
    let what = || format!("the submission of {}", row.id);
    serde_json::from_slice(&row.submission).map_err(|error| StoreError::Row { what: what(), error: error.to_string() })
}

/// Runs one search and writes down how it ended.
struct Driver {
    id: String,
    store: Store,
    live: Arc<Live>,
    cancelled: watch::Receiver<bool>,
    stopping: watch::Receiver<bool>,
}

impl Driver {
    async fn drive(mut self, submission: Submission, run: LiveRun) {
        if let Err(error) = self.write(ExperimentState::Running, None, self.live.summary_json()).await {
            return self.end(ExperimentState::Failed, Some(RunError::Store(error.to_string()).to_string())).await;
        }
        tracing::info!(experiment = self.id, "experiment started");
        let search = AssertUnwindSafe(crate::search::run(&submission, &run)).catch_unwind();
        let result = tokio::select! {
            biased;
            // The coordinator stops: the state stays `running`, so it goes on at the next start.
            _ = self.stopping.wait_for(|stopping| *stopping) => return,
            _ = self.cancelled.wait_for(|cancelled| *cancelled) => Ok(Err(RunError::Cancelled)),
            result = search => result,
        };
        match result {
            Ok(Ok(())) => self.end(ExperimentState::Finished, None).await,
            Ok(Err(RunError::Cancelled)) => self.end(ExperimentState::Cancelled, None).await,
            Ok(Err(error)) => self.end(ExperimentState::Failed, Some(error.to_string())).await,
            Err(panic) => {
                let said = panic.downcast_ref::<String>().cloned().or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
                let error = format!("the search broke down ({}); this is a bug in Pleach", said.unwrap_or_default());
                self.end(ExperimentState::Failed, Some(error)).await;
            }
        }
    }

    async fn end(&self, state: ExperimentState, error: Option<String>) {
        tracing::info!(experiment = self.id, %state, error, "experiment ended");
        let summary = self.live.end(state, error.as_deref());
        if let Err(failed) = self.write(state, error.clone(), summary).await {
            tracing::error!(experiment = self.id, error = %failed, "the experiment's end could not be stored");
        }
        self.live.announce(state, error.as_deref());
    }

    async fn write(&self, state: ExperimentState, error: Option<String>, summary: Vec<u8>) -> Result<(), StoreError> {
        let change = move |row: &mut ExperimentRow| {
            (row.state, row.error) = (state, error.clone());
            row.summary.clone_from(&summary);
        };
        self.store.update_experiment(&self.id, change).await.map(drop)
    }
}
