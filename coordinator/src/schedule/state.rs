//! The moves that events are made of: between queue and lease, in and out. They keep the indices (`queues` and each worker's
//! `leases`) equal to what the tasks' states say.

use std::collections::btree_map::Entry;

use pleach_shared::task::TaskKey;

use super::{Attempt, Command, Lease, Millis, Rank, Scheduler, State, Vanished, WorkerId};

impl Scheduler {
    /// Gives a queued task to a worker that the matcher has chosen.
    pub(super) fn lease(&mut self, now: Millis, worker: WorkerId, key: TaskKey, out: &mut Vec<Command>) {
        let Some(task) = self.tasks.get_mut(&key) else { return };
        task.last_attempt = task.last_attempt.next();
        let lease = Lease { worker, attempt: task.last_attempt, deadline: now.plus(self.config.lease) };
        out.push(Command::Lease { worker, key, attempt: lease.attempt, deadline: lease.deadline });
        self.place(key, State::Leased(lease));
    }

    /// Takes a leased task back into its queue; the lease that it had.
    pub(super) fn requeue(&mut self, key: TaskKey, rank: Rank) -> Option<Lease> {
        let lease = self.tasks.get(&key)?.lease()?.clone();
        self.place(key, State::Queued(rank));
        Some(lease)
    }

    /// Puts a task into a state, whatever its state was.
    pub(super) fn place(&mut self, key: TaskKey, state: State) {
        self.unlist(key);
        if let Some(task) = self.tasks.get_mut(&key) {
            task.state = state;
        }
        self.list(key);
    }

    /// Forgets a task that gets no result; the lease that it had.
    pub(super) fn abandon(&mut self, key: TaskKey) -> Option<Lease> {
        self.unlist(key);
        let task = self.tasks.remove(&key)?;
        if task.last_attempt > Attempt::NONE {
            self.fences.insert(key, task.last_attempt);
        }
        task.lease().cloned()
    }

    /// Removes a worker and requeues what it ran. Whether that counts against the tasks is the caller's to say.
    pub(super) fn release_all(&mut self, worker: WorkerId) -> Vec<(TaskKey, Vanished)> {
        let Some(found) = self.workers.get(&worker) else { return Vec::new() };
        let name = found.info.name.clone();
        let mut lost = Vec::new();
        for key in found.leases.clone() {
            if let Some(lease) = self.requeue(key, Rank::Returned) {
                lost.push((key, Vanished { worker: name.clone(), attempt: lease.attempt }));
            }
        }
        self.workers.remove(&worker);
        lost
    }

    /// Holds a lost worker against the task it ran, and gives the task up if there were too many.
    pub(super) fn count_crash(&mut self, key: TaskKey, vanished: Vanished, out: &mut Vec<Command>) {
        let Some(task) = self.tasks.get_mut(&key) else { return };
        task.vanished.push(vanished);
        let crashes = task.vanished.len();
        if u32::try_from(crashes).is_ok_and(|crashes| crashes < self.config.max_crashes) {
            return;
        }
        let names: Vec<&str> = task.vanished.iter().map(|vanished| vanished.worker.as_str()).collect();
        let times = if crashes == 1 { "once".to_owned() } else { format!("{crashes} times") };
        let error = format!("lost its worker {times} ({}); it may need more memory than they have", names.join(", "));
        self.abandon(key);
        out.push(Command::Exhausted { key, error });
    }

    pub(super) fn heard_from(&mut self, now: Millis, worker: WorkerId) {
        if let Some(worker) = self.workers.get_mut(&worker) {
            worker.seen = worker.seen.max(now);
        }
    }

    pub(super) fn name_of(&self, worker: WorkerId) -> &str {
        self.workers.get(&worker).map_or("(gone)", |worker| worker.info.name.as_str())
    }

    /// Takes a task out of the index that its state names. The task itself stays as it is: the caller lists or removes it.
    pub(super) fn unlist(&mut self, key: TaskKey) {
        let Some(task) = self.tasks.get(&key) else { return };
        match &task.state {
            State::Queued(rank) => {
                if let Entry::Occupied(mut queue) = self.queues.entry(task.work.clone()) {
                    queue.get_mut().remove(&(task.place(*rank), key));
                    if queue.get().is_empty() {
                        queue.remove();
                    }
                }
            }
            State::Leased(lease) => {
                if let Some(worker) = self.workers.get_mut(&lease.worker) {
                    worker.leases.remove(&key);
                }
            }
        }
    }

    /// Enters a task into the index that its state names.
    pub(super) fn list(&mut self, key: TaskKey) {
        let Some(task) = self.tasks.get(&key) else { return };
        match &task.state {
            State::Queued(rank) => {
                self.queues.entry(task.work.clone()).or_default().insert((task.place(*rank), key));
            }
            State::Leased(lease) => {
                if let Some(worker) = self.workers.get_mut(&lease.worker) {
                    worker.leases.insert(key);
                }
            }
        }
    }
}
