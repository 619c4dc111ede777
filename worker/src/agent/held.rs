//! What a worker holds: leases it works on, and results that nobody has acknowledged yet.

use pleach_shared::rpc::v1::worker_message::Message as Up;
use pleach_shared::rpc::v1::{Finished, Holding, WorkerMessage};
use pleach_shared::task::TaskKey;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::mpsc::Sender;

/// Leases and results, and the stream that they go up, if there is one.
#[derive(Debug, Default)]
pub(super) struct Held {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    up: Option<Sender<WorkerMessage>>,
    leases: BTreeMap<TaskKey, Entry>,
}

#[derive(Debug)]
struct Entry {
    attempt: u32,
    revoked: Arc<AtomicBool>,
    finished: Option<Finished>,
}

impl Held {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on messages go here.
    pub(super) fn connect(&self, up: Sender<WorkerMessage>) {
        self.lock().up = Some(up);
    }

    /// Takes a lease; the flag is raised when nobody needs it any more.
    pub(super) fn take_on(&self, key: TaskKey, attempt: u32) -> Arc<AtomicBool> {
        let revoked = Arc::new(AtomicBool::new(false));
        let entry = Entry { attempt, revoked: revoked.clone(), finished: None };
        if let Some(old) = self.lock().leases.insert(key, entry) {
            old.revoked.store(true, Ordering::Relaxed);
        }
        revoked
    }

    /// Drops a lease or a result: acknowledged, or not needed.
    pub(super) fn forget(&self, key: &[u8], attempt: u32) {
        let Some(key) = TaskKey::from_slice(key) else { return };
        let mut state = self.lock();
        if state.leases.get(&key).is_some_and(|entry| entry.attempt == attempt)
            && let Some(entry) = state.leases.remove(&key)
        {
            entry.revoked.store(true, Ordering::Relaxed);
        }
    }

    /// Keeps a result and offers it.
    pub(super) fn finish(&self, key: TaskKey, finished: Finished) {
        let mut state = self.lock();
        if let Some(entry) = state.leases.get_mut(&key).filter(|entry| entry.attempt == finished.attempt) {
            entry.finished = Some(finished.clone());
            state.tell(Up::Finished(finished));
        }
    }

    /// Reports a failure, which nobody acknowledges: a lost one ends with its lease.
    pub(super) fn fail(&self, key: TaskKey, attempt: u32, failed: Up) {
        let mut state = self.lock();
        if state.leases.get(&key).is_some_and(|entry| entry.attempt == attempt) {
            state.leases.remove(&key);
            state.tell(failed);
        }
    }

    /// Sends a message that may be lost.
    pub(super) fn tell(&self, message: Up) {
        self.lock().tell(message);
    }

    /// What to announce after a reconnect.
    pub(super) fn holding(&self) -> Vec<Holding> {
        self.lock().leases.iter().map(|(key, entry)| Holding { key: key.as_bytes().to_vec(), attempt: entry.attempt }).collect()
    }

    /// Results that were not acknowledged.
    pub(super) fn outbox(&self) -> Vec<Finished> {
        self.lock().leases.values().filter_map(|entry| entry.finished.clone()).collect()
    }
}

impl State {
    fn tell(&self, message: Up) {
        if let Some(up) = &self.up {
            // A full or closed channel loses the message: results are offered again after a reconnect.
            let _ = up.try_send(WorkerMessage { message: Some(message) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finished(key: TaskKey, attempt: u32) -> Finished {
        Finished { key: key.as_bytes().to_vec(), attempt, outcome: Vec::new(), seconds: 0.0 }
    }

    #[test]
    fn a_result_is_kept_until_it_is_acknowledged() {
        let (held, key) = (Held::default(), TaskKey::of(b"task"));
        held.take_on(key, 1);
        held.finish(key, finished(key, 1));
        assert_eq!(held.outbox().len(), 1, "no stream was there to take it");
        held.forget(key.as_bytes(), 2);
        assert_eq!(held.outbox().len(), 1, "the acknowledgement of another attempt");
        held.forget(key.as_bytes(), 1);
        assert!(held.outbox().is_empty() && held.holding().is_empty());
    }

    #[test]
    fn a_revoked_lease_stops_and_its_late_result_is_dropped() {
        let (held, key) = (Held::default(), TaskKey::of(b"task"));
        let revoked = held.take_on(key, 1);
        held.forget(key.as_bytes(), 1);
        assert!(revoked.load(Ordering::Relaxed));
        held.finish(key, finished(key, 1));
        assert!(held.outbox().is_empty());
    }
}
