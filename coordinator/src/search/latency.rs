//! The latency lookup table, filled on demand.

use super::unexpected;
use crate::run::{Run, RunError};
use pleach_shared::network::Network;
use pleach_shared::task::{Engine, Latency, Measure, Outcome, Task, TaskKey};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Latencies on one device. An entry is measured when it is first asked for; the memo keeps it for every later search.
pub struct LatencyTable<'a, R> {
    run: &'a R,
    device: String,
    entries: Mutex<BTreeMap<TaskKey, Latency>>,
}

impl<'a, R: Run> LatencyTable<'a, R> {
    /// The table of a device.
    pub fn new(run: &'a R, device: &str) -> LatencyTable<'a, R> {
        LatencyTable { run, device: device.to_owned(), entries: Mutex::default() }
    }

    /// The whole network, measured.
    ///
    /// # Errors
    /// When it cannot be measured.
    pub async fn whole(&self, network: &Network) -> Result<Latency, RunError> {
        let task = Task::Measure(Measure { network: network.clone(), device: self.device.clone(), engine: Engine::Burn });
        let key = task.key();
        if let Some(known) = self.entries.lock().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return Ok(*known);
        }
        match self.run.task(task).await? {
            Outcome::Measured(latency) => {
                self.entries.lock().unwrap_or_else(PoisonError::into_inner).insert(key, latency);
                Ok(latency)
            }
            other => Err(unexpected("a latency", &other)),
        }
    }

    /// The sum over the network's segments in milliseconds (NetAdapt, section 3.2: layer-wise lookup tables).
    ///
    /// # Errors
    /// When a segment cannot be measured.
    pub async fn sum(&self, network: &Network) -> Result<f64, RunError> {
        let mut sum = 0.0;
        for segment in network.segments().map_err(|error| RunError::Search(error.to_string()))? {
            sum += self.whole(&segment.network).await?.median_ms;
        }
        Ok(sum)
    }
}
