//! What is always true between two events, as a function. Debug builds and all tests call it after each event.

use super::{Attempt, Scheduler, State};

impl Scheduler {
    /// Checks the scheduler's own invariants.
    ///
    /// # Errors
    /// The first one that does not hold, in words. That is a bug of the scheduler: no history of events may cause it.
    pub fn sanity_check(&self) -> Result<(), String> {
        self.check_tasks()?;
        self.check_indices()?;
        self.check_workers()?;
        self.check_hosts()
    }

    /// Each task is queued or leased (its state is an enum), listed where its state says, and under its limits.
    fn check_tasks(&self) -> Result<(), String> {
        for (key, task) in &self.tasks {
            match &task.state {
                State::Queued(rank) => {
                    let listed = self.queues.get(&task.work).is_some_and(|queue| queue.contains(&(task.place(*rank), *key)));
                    ensure(listed, || format!("task {key} is queued but in no queue"))?;
                }
                State::Leased(lease) => {
                    let worker = self.workers.get(&lease.worker);
                    let worker = worker.ok_or_else(|| format!("task {key} is leased to worker {:?}, not attached", lease.worker))?;
                    ensure(worker.leases.contains(key), || format!("task {key} is leased to {}, which has it not", worker.info.name))?;
                    ensure(task.work.fits(&worker.info), || format!("task {key} is leased to {}, which cannot do it", worker.info.name))?;
                    let numbered = lease.attempt > Attempt::NONE && lease.attempt <= task.last_attempt;
                    ensure(numbered, || format!("task {key} runs as attempt {}, after {}", lease.attempt, task.last_attempt))?;
                }
            }
            // A limit of 0 means what 1 means: the first failure is the last.
            ensure(task.failures < self.config.max_attempts.max(1), || {
                format!("task {key} failed {} times and is still here", task.failures)
            })?;
            let crashes = task.vanished.len();
            ensure(crashes < self.config.max_crashes.max(1) as usize, || format!("task {key} lost {crashes} workers and is still here"))?;
            ensure(!self.fences.contains_key(key), || format!("task {key} is here and remembered as abandoned"))?;
        }
        Ok(())
    }

    /// Nothing is listed that is not in that state: with `check_tasks`, equal numbers mean equal sets.
    fn check_indices(&self) -> Result<(), String> {
        ensure(self.queues.values().all(|queue| !queue.is_empty()), || "an empty queue was kept".to_owned())?;
        let leased = self.tasks.values().filter(|task| task.lease().is_some()).count();
        let listed_leased: usize = self.workers.values().map(|worker| worker.leases.len()).sum();
        let listed_queued: usize = self.queues.values().map(|queue| queue.len()).sum();
        ensure(listed_leased == leased, || format!("{leased} tasks are leased, {listed_leased} are listed with workers"))?;
        let queued = self.tasks.len() - leased;
        ensure(listed_queued == queued, || format!("{queued} tasks are queued, {listed_queued} are listed in queues"))
    }

    fn check_workers(&self) -> Result<(), String> {
        for worker in self.workers.values() {
            let (used, slots) = (worker.leases.len(), worker.info.slots);
            ensure(used <= slots as usize, || format!("worker {} has {used} leases for {slots} slots", worker.info.name))?;
        }
        Ok(())
    }

    fn check_hosts(&self) -> Result<(), String> {
        for (name, host) in self.hosts() {
            let exclusive = host.measuring == 0 || host.running == 1;
            ensure(exclusive, || format!("host {name} measures while {} tasks run there", host.running))?;
        }
        Ok(())
    }
}

fn ensure(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise()) }
}
