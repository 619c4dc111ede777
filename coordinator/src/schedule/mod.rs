//! The scheduler: which worker runs which task, until when, and what happens when one of them fails.
//!
//! Pure state. [`Scheduler::handle`] takes the time and an [`Event`] and answers with [`Command`]s; a thin shell around it
//! has the sockets, the clock and the store. The same history gives the same commands, always.
//!
//! A task is here from `Submit` until it is accepted, exhausted or withdrawn, and is *queued* or *leased* in between:
//!
//! ```text
//!            Submit             matching                 Finish
//! (unknown) --------> queued -------------> leased(n) ------------> accepted, forgotten
//!                       ^  ^                 |  |  |
//!                       |  +-- Fail, retry --+  |  +-- too many of either --> exhausted, forgotten
//!                       +----- worker gone -----+
//! ```
//!
//! Tasks are content-keyed: every run of a task gives an equally good result. So the first result wins, whatever the
//! lease under which it was computed, and a double run wastes time but never changes an answer.

mod matching;
mod message;
mod sanity;
mod state;

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use pleach_shared::task::TaskKey;

pub use message::{Attempt, Command, Event, Millis, Needs, Work, WorkerId, WorkerInfo};

/// How patient the scheduler is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// How long a lease lasts after it was given or after the worker's last heartbeat. Default 30 s.
    pub lease: Millis,
    /// How long a worker may say nothing before it is dropped. Default 20 s: shorter than a lease, so that a worker that
    /// vanished is noticed as such, and all its leases at once.
    pub silence: Millis,
    /// How many clean failures (the worker lived to tell) a task may have. Default 3.
    pub max_attempts: u32,
    /// How many workers may vanish while they run a task. Default 5: more than clean failures, because a lost connection is
    /// mostly not the task's fault; not for ever, because a task that eats all memory would take down the cluster.
    pub max_crashes: u32,
}

impl Default for Config {
    fn default() -> Config {
        Config { lease: Millis::from_secs(30), silence: Millis::from_secs(20), max_attempts: 3, max_crashes: 5 }
    }
}

/// The state of the scheduler. See the [module](self).
#[derive(Clone, Debug)]
pub struct Scheduler {
    config: Config,
    workers: BTreeMap<WorkerId, Worker>,
    /// The tasks that are wanted and unfinished.
    tasks: BTreeMap<TaskKey, Task>,
    /// An index of the queued ones, in the order in which they are to run; no empty queue is kept.
    queues: BTreeMap<Work, BTreeSet<(Place, TaskKey)>>,
    /// The last attempt of tasks that were withdrawn or exhausted: should one be wanted again, its leases must not be
    /// mistaken for the old ones. An accepted task needs none, for it never runs again.
    fences: BTreeMap<TaskKey, Attempt>,
    /// How many tasks were ever submitted: what makes the queue first in, first out.
    submitted: u64,
}

impl Scheduler {
    /// A scheduler without workers and tasks.
    pub fn new(config: Config) -> Scheduler {
        Scheduler {
            config,
            workers: BTreeMap::new(),
            tasks: BTreeMap::new(),
            queues: BTreeMap::new(),
            fences: BTreeMap::new(),
            submitted: 0,
        }
    }

    /// Takes one event and says what to do, in this order. Accepts any event at any time: what does not make sense (any
    /// more) changes nothing and never panics.
    pub fn handle(&mut self, now: Millis, event: Event) -> Vec<Command> {
        let mut out = Vec::new();
        match event {
            Event::Attach { worker, info, holding } => self.attach(now, worker, info, holding, &mut out),
            Event::Detach { worker } => self.detach(worker, &mut out),
            Event::Heartbeat { worker } => self.heartbeat(now, worker, &mut out),
            Event::Submit { key, needs, order } => self.submit(key, needs, order),
            Event::Withdraw { key } => self.withdraw(key, &mut out),
            Event::Finish { worker, key, attempt } => {
                self.heard_from(now, worker);
                self.finish(worker, key, attempt, &mut out);
            }
            Event::Fail { worker, key, attempt, error, retry } => {
                self.heard_from(now, worker);
                self.fail(worker, key, attempt, &error, retry, &mut out);
            }
            Event::Tick => self.tick(now, &mut out),
        }
        while let Some((worker, key)) = self.next_match() {
            self.lease(now, worker, key, &mut out);
        }
        debug_assert_eq!(self.sanity_check(), Ok(()));
        out
    }

    /// Why a task has no result yet, in one sentence for a person. `None` for a task that is not (or no longer) here.
    pub fn why_waiting(&self, key: TaskKey) -> Option<String> {
        let task = self.tasks.get(&key)?;
        Some(match &task.state {
            State::Leased(lease) => format!("runs on worker {}, attempt {}", self.name_of(lease.worker), lease.attempt),
            State::Queued(_) => match self.match_work(&task.work) {
                Err(waiting) => waiting.to_string(),
                // Whatever can run was leased at the end of `handle`, so nothing is matched and queued between two events.
                Ok(worker) => format!("is about to run on worker {}", self.name_of(worker)),
            },
        })
    }

    /// The attached workers and what they run, by id.
    pub fn workers(&self) -> impl Iterator<Item = WorkerView<'_>> {
        self.workers.iter().map(|(id, worker)| WorkerView {
            id: *id,
            info: &worker.info,
            leases: worker.leases.iter().filter_map(|key| Some((*key, self.tasks.get(key)?.lease()?.attempt))).collect(),
        })
    }

    /// How many tasks wait and run.
    pub fn counts(&self) -> Counts {
        let queued = self.queues.values().map(BTreeSet::len).sum();
        Counts { queued, running: self.tasks.len() - queued }
    }
}

/// A worker as shown to people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerView<'a> {
    /// Its attachment.
    pub id: WorkerId,
    /// What it said of itself.
    pub info: &'a WorkerInfo,
    /// What it runs, by task key.
    pub leases: Vec<(TaskKey, Attempt)>,
}

/// How many tasks are in which state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// They wait for a worker.
    pub queued: usize,
    /// A worker has them.
    pub running: usize,
}

#[derive(Clone, Debug)]
struct Worker {
    info: WorkerInfo,
    /// When it last said anything.
    seen: Millis,
    /// The tasks leased to it: an index, the lease itself is in the task.
    leases: BTreeSet<TaskKey>,
}

#[derive(Clone, Debug)]
struct Task {
    work: Work,
    order: u64,
    sequence: u64,
    /// The highest attempt known: the next lease gets a higher one.
    last_attempt: Attempt,
    failures: u32,
    vanished: Vec<Vanished>,
    state: State,
}

#[derive(Clone, Debug)]
enum State {
    Queued(Rank),
    Leased(Lease),
}

#[derive(Clone, Debug)]
struct Lease {
    worker: WorkerId,
    attempt: Attempt,
    deadline: Millis,
}

/// A worker that was lost, or whose lease expired, while it ran the task.
#[derive(Clone, Debug)]
struct Vanished {
    worker: String,
    attempt: Attempt,
}

/// Where in its queue a task stands: the derived order is the order in which tasks run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    rank: Rank,
    order: u64,
    sequence: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    /// Lost with its worker: before all others, since somebody's round has waited for it longest.
    Returned,
    Submitted,
}

impl Task {
    fn lease(&self) -> Option<&Lease> {
        match &self.state {
            State::Leased(lease) => Some(lease),
            State::Queued(_) => None,
        }
    }

    fn place(&self, rank: Rank) -> Place {
        Place { rank, order: self.order, sequence: self.sequence }
    }
}

/// What each event does.
impl Scheduler {
    fn attach(&mut self, now: Millis, worker: WorkerId, info: WorkerInfo, holding: Vec<(TaskKey, Attempt)>, out: &mut Vec<Command>) {
        // Attached already: the worker dialled again before the loss of its old stream was noticed.
        let lost = self.release_all(worker);
        self.workers.insert(worker, Worker { info, seen: now, leases: BTreeSet::new() });
        for (key, attempt) in holding {
            if !self.adopt(now, worker, key, attempt, out) {
                out.push(Command::Revoke { worker, key, attempt });
            }
        }
        for (key, vanished) in lost {
            let still_held = self.tasks.get(&key).is_some_and(|task| task.lease().is_some());
            if !still_held {
                self.count_crash(key, vanished, out);
            }
        }
    }

    /// Takes over what a worker already runs, if it may run there: the minutes it has spent are not to be thrown away.
    fn adopt(&mut self, now: Millis, worker: WorkerId, key: TaskKey, attempt: Attempt, out: &mut Vec<Command>) -> bool {
        let Some(task) = self.tasks.get(&key) else { return false };
        let previous = task.lease().map(|lease| (lease.worker, lease.attempt));
        // A lease that is still the present one moves with the worker that comes back under another id.
        if previous.is_some_and(|(_, current)| current != attempt) || attempt == Attempt::NONE || !self.may_adopt(worker, key) {
            return false;
        }
        if let Some((holder, _)) = previous
            && holder != worker
        {
            // Almost always the dead stream of the same process; if not, two must not run under one number.
            out.push(Command::Revoke { worker: holder, key, attempt });
        }
        self.place(key, State::Leased(Lease { worker, attempt, deadline: now.plus(self.config.lease) }));
        if let Some(task) = self.tasks.get_mut(&key) {
            task.last_attempt = task.last_attempt.max(attempt);
            // It came back with its task, so it had not crashed.
            task.vanished.retain(|vanished| vanished.attempt != attempt);
        }
        true
    }

    fn detach(&mut self, worker: WorkerId, out: &mut Vec<Command>) {
        for (key, vanished) in self.release_all(worker) {
            self.count_crash(key, vanished, out);
        }
    }

    fn heartbeat(&mut self, now: Millis, worker: WorkerId, out: &mut Vec<Command>) {
        self.heard_from(now, worker);
        let Some(found) = self.workers.get(&worker) else {
            // It slept through its own removal, and would wait for leases for ever: make it attach again.
            out.push(Command::Drop { worker });
            return;
        };
        let deadline = now.plus(self.config.lease);
        for key in &found.leases {
            if let Some(Task { state: State::Leased(lease), .. }) = self.tasks.get_mut(key) {
                lease.deadline = deadline;
            }
        }
    }

    fn submit(&mut self, key: TaskKey, needs: Needs, order: u64) {
        self.unlist(key);
        if let Some(task) = self.tasks.get_mut(&key) {
            // Two experiments may want one task; it runs when the more urgent one wants it.
            task.order = task.order.min(order);
            self.list(key);
            return;
        }
        let last_attempt = self.fences.remove(&key).unwrap_or(Attempt::NONE);
        let sequence = self.submitted;
        self.submitted += 1;
        let state = State::Queued(Rank::Submitted);
        self.tasks.insert(key, Task { work: needs.work, order, sequence, last_attempt, failures: 0, vanished: Vec::new(), state });
        self.list(key);
    }

    fn withdraw(&mut self, key: TaskKey, out: &mut Vec<Command>) {
        if let Some(lease) = self.abandon(key) {
            out.push(Command::Revoke { worker: lease.worker, key, attempt: lease.attempt });
        }
    }

    fn finish(&mut self, worker: WorkerId, key: TaskKey, attempt: Attempt, out: &mut Vec<Command>) {
        self.unlist(key);
        let Some(task) = self.tasks.remove(&key) else {
            out.push(Command::Stale { worker, key, attempt });
            return;
        };
        out.push(Command::Accept { key });
        // The result came from an expired or lost lease, and somebody else has begun anew.
        if let Some(lease) = task.lease()
            && (lease.worker, lease.attempt) != (worker, attempt)
        {
            out.push(Command::Revoke { worker: lease.worker, key, attempt: lease.attempt });
        }
    }

    fn fail(&mut self, worker: WorkerId, key: TaskKey, attempt: Attempt, error: &str, retry: bool, out: &mut Vec<Command>) {
        let name = self.name_of(worker).to_owned();
        let current = |task: &&mut Task| task.lease().is_some_and(|lease| (lease.worker, lease.attempt) == (worker, attempt));
        let Some(task) = self.tasks.get_mut(&key).filter(current) else {
            out.push(Command::Stale { worker, key, attempt });
            return;
        };
        task.failures += 1;
        let failures = task.failures;
        if retry && failures < self.config.max_attempts {
            self.requeue(key, Rank::Submitted);
            return;
        }
        self.abandon(key);
        let error = match failures {
            1 => format!("failed on worker {name}: {error}"),
            _ => format!("failed {failures} times, the last time on worker {name}: {error}"),
        };
        out.push(Command::Exhausted { key, error });
    }

    fn tick(&mut self, now: Millis, out: &mut Vec<Command>) {
        let silence = self.config.silence;
        let silent: Vec<WorkerId> = self.workers.iter().filter(|(_, worker)| worker.seen.plus(silence) <= now).map(|(id, _)| *id).collect();
        for worker in silent {
            out.push(Command::Drop { worker });
            self.detach(worker, out);
        }
        let is_expired = |task: &Task| task.lease().is_some_and(|lease| lease.deadline <= now);
        let expired: Vec<TaskKey> = self.tasks.iter().filter(|(_, task)| is_expired(task)).map(|(key, _)| *key).collect();
        for key in expired {
            if let Some(lease) = self.requeue(key, Rank::Returned) {
                // Its slot counts as free and its host as quiet from here on, so it has to stop; a result that is already
                // under way is still welcome.
                out.push(Command::Revoke { worker: lease.worker, key, attempt: lease.attempt });
                let vanished = Vanished { worker: self.name_of(lease.worker).to_owned(), attempt: lease.attempt };
                self.count_crash(key, vanished, out);
            }
        }
    }
}
