//! The `Run` of a real experiment: tasks go to the scheduler, records to the store and to whoever watches.

use super::{Record, Run, RunError};
use crate::service::{Handle, Live, Order};
use crate::store::{ExperimentRow, Store};
use pleach_shared::task::{Outcome, Task};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::oneshot;

/// One run of an experiment's search.
pub struct LiveRun {
    live: Arc<Live>,
    handle: Handle,
    store: Store,
    id: String,
    experiment: u64,
    asked: AtomicU32,
    settled: Mutex<Option<oneshot::Sender<()>>>,
}

impl LiveRun {
    /// A run of this experiment that leaves its records in the store and in `live`. `settled` is told as soon as the search
    /// asks for something that the memo does not have, or is dropped with the run.
    pub fn new(live: Arc<Live>, handle: Handle, store: Store, row: &ExperimentRow, settled: oneshot::Sender<()>) -> LiveRun {
        LiveRun {
            live,
            handle,
            store,
            id: row.id.clone(),
            experiment: row.sequence,
            asked: AtomicU32::new(0),
            settled: Mutex::new(Some(settled)),
        }
    }
}

impl Run for LiveRun {
    async fn task(&self, task: Task) -> Result<Outcome, RunError> {
        let key = task.key();
        if let Some(outcome) = self.handle.remembered(&key).await? {
            self.live.answered(true);
            return Ok(outcome);
        }
        let order = Order::new(self.experiment, self.asked.fetch_add(1, Ordering::Relaxed));
        let settled = self.settled.lock().unwrap_or_else(PoisonError::into_inner).take();
        // Nobody may be listening any more.
        settled.map(|settled| settled.send(()));
        let outcome = self.handle.schedule(task, order).await?;
        self.live.answered(false);
        Ok(outcome)
    }

    async fn record(&self, record: Record) -> Result<(), RunError> {
        let summary = self.live.apply(&record);
        let model = if let Record::Model(model) = &record { Some(*model) } else { None };
        let change = move |row: &mut ExperimentRow| {
            row.summary.clone_from(&summary);
            row.model = model.or(row.model);
        };
        // On disk before anybody hears of it.
        self.store.update_experiment(&self.id, change).await.map_err(|error| RunError::Store(error.to_string()))?;
        self.live.recorded(&record);
        Ok(())
    }

    fn phase(&self, text: String) {
        self.live.phase(text);
    }
}
