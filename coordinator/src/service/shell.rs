//! The I/O round the scheduler: one task that owns it, tells it what happens, and does what it says.
//!
//! What it adds to the scheduler's decisions:
//!
//! * a result is committed before its worker may forget it and before anybody who waits hears of it;
//! * a result that nobody waits for is kept all the same if the memo has none: whoever asks next gets it for nothing. So
//!   minutes of work survive a coordinator that restarts between a task's end and its search's next question.

use super::convert;
use super::handle::{self, Handle, Order};
use super::input::{Answer, Input, Outbox, Said, Sight, Wanted};
use crate::run::RunError;
use crate::schedule::{Attempt, Command, Config, Event, Millis, Scheduler, WorkerId, WorkerInfo};
use crate::store::{Committed, Store, StoreError, StoredResult, unix_now};
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use pleach_shared::rpc::v1::coordinator_message::Message;
use pleach_shared::rpc::v1::{CoordinatorMessage, RunningTask};
use pleach_shared::task::TaskKey;
use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::MissedTickBehavior;

/// How often the scheduler looks at the clock.
const TICK: Duration = Duration::from_millis(500);

/// Starts the shell and answers with the way to it. It ends when told to, or with the last handle.
pub(super) fn start(store: Store) -> Handle {
    let (inputs, arrivals) = mpsc::unbounded_channel();
    let (pulse, beats) = watch::channel(());
    let shell = Shell {
        scheduler: Scheduler::new(Config::default()),
        started: Instant::now(),
        store: store.clone(),
        pulse,
        workers: 0,
        connections: HashMap::new(),
        wanted: BTreeMap::new(),
        unacknowledged: HashMap::new(),
        commits: FuturesUnordered::new(),
    };
    super::spawn("scheduler", shell.run(arrivals));
    Handle::new(inputs, store, beats)
}

struct Shell {
    scheduler: Scheduler,
    started: Instant,
    store: Store,
    pulse: watch::Sender<()>,
    /// How many workers ever attached: the last one's number.
    workers: u64,
    connections: HashMap<WorkerId, Connection>,
    /// The tasks that somebody waits for.
    wanted: BTreeMap<TaskKey, Waited>,
    /// The results being committed, and whom to tell when that is done.
    unacknowledged: HashMap<TaskKey, Vec<(WorkerId, Attempt)>>,
    commits: FuturesUnordered<BoxFuture<'static, (TaskKey, Result<Committed, StoreError>)>>,
}

struct Connection {
    info: WorkerInfo,
    outbox: Outbox,
    /// Its end tells the stream's reader that the connection is closed.
    _open: oneshot::Sender<()>,
}

/// A task with those who wait for it.
struct Waited {
    task: Wanted,
    fraction: f64,
    waiters: Vec<(u64, Order, Answer)>,
}

/// A result that a worker offers.
struct Offer {
    outcome: Vec<u8>,
    seconds: f64,
}

impl Shell {
    async fn run(mut self, mut arrivals: mpsc::UnboundedReceiver<Input>) {
        let mut tick = tokio::time::interval(TICK);
        // After the machine slept there is nothing to make up for.
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut stop = None;
        while stop.is_none() || !self.commits.is_empty() {
            tokio::select! {
                Some((key, committed)) = self.commits.next() => self.committed(key, committed),
                input = arrivals.recv() => match input {
                    Some(Input::Stop(answer)) => stop = Some(answer),
                    Some(input) => self.take(input),
                    None => return,
                },
                _ = tick.tick() => self.step(Event::Tick, None),
            }
        }
        // Closes the connections, which sends what is in them first, and tells those who still wait that it is over.
        drop(self);
        stop.map(|stop| stop.send(()));
    }

    fn take(&mut self, input: Input) {
        match input {
            Input::Attach { info, holding, outbox, open, id } => self.attach(info, holding, Connecting { outbox, open, id }),
            Input::Worker(worker, said) => self.hear(worker, said),
            Input::Want { task, order, waiter, answer } => self.want(task, order, waiter, answer),
            Input::Leave { key, waiter } => self.leave(key, waiter),
            // Whoever asked may be gone again.
            Input::Workers(answer) => drop(answer.send(self.list())),
            Input::Look { experiment, answer } => drop(answer.send(self.look(experiment))),
            // Taken by `run`.
            Input::Stop(_) => {}
        }
    }

    fn attach(&mut self, info: WorkerInfo, holding: Vec<(TaskKey, Attempt)>, connecting: Connecting) {
        self.workers += 1;
        let worker = WorkerId(self.workers);
        tracing::info!(worker = worker.0, name = info.name, host = info.host, device = info.device, "worker attached");
        self.connections.insert(worker, Connection { info: info.clone(), outbox: connecting.outbox, _open: connecting.open });
        self.send(worker, convert::welcome(worker));
        if connecting.id.send(worker).is_err() {
            // The stream ended since it registered, so nobody will read it.
            self.connections.remove(&worker);
            return;
        }
        let (done, holding): (Vec<_>, Vec<_>) = holding.into_iter().partition(|(key, _)| self.is_stored(key));
        for (key, attempt) in done {
            self.send(worker, convert::ack(key, attempt));
        }
        self.step(Event::Attach { worker, info, holding }, None);
    }

    fn hear(&mut self, worker: WorkerId, said: Said) {
        match said {
            Said::Heartbeat => self.step(Event::Heartbeat { worker }, None),
            Said::Finished { key, attempt, outcome: Ok(outcome), seconds } => {
                self.step(Event::Finish { worker, key, attempt }, Some(Offer { outcome, seconds }));
            }
            Said::Finished { key, attempt, outcome: Err(error), .. } => {
                // It is no result, so there is no sense in keeping it.
                self.send(worker, convert::ack(key, attempt));
                self.step(Event::Fail { worker, key, attempt, error, retry: true }, None);
            }
            Said::Failed { key, attempt, error, retry } => self.step(Event::Fail { worker, key, attempt, error, retry }, None),
            Said::Progress { key, fraction } => {
                if let Some(waited) = self.wanted.get_mut(&key) {
                    waited.fraction = fraction;
                    self.pulse.send_replace(());
                }
            }
            Said::Gone => {
                // Silent ones are removed before their streams end.
                if self.connections.remove(&worker).is_some() {
                    tracing::info!(worker = worker.0, "worker detached");
                }
                self.step(Event::Detach { worker }, None);
            }
        }
    }

    fn want(&mut self, task: Wanted, order: Order, waiter: u64, answer: Answer) {
        let key = task.key;
        let known = self.wanted.contains_key(&key);
        if !known {
            // Between a search's look into the memo and now it may have been committed.
            match self.store.result(&key).map_err(handle::keep) {
                Ok(None) => {}
                Ok(Some(stored)) => return drop(answer.send(handle::decode(&key, &stored.outcome))),
                Err(error) => return drop(answer.send(Err(error))),
            }
        }
        let needs = task.needs.clone();
        self.wanted.entry(key).or_insert(Waited { task, fraction: 0.0, waiters: Vec::new() }).waiters.push((waiter, order, answer));
        // A result on its way to the disk answers this one too.
        if !self.unacknowledged.contains_key(&key) {
            self.step(Event::Submit { key, needs, order: order.number() }, None);
        }
    }

    fn leave(&mut self, key: TaskKey, waiter: u64) {
        let Some(waited) = self.wanted.get_mut(&key) else { return };
        waited.waiters.retain(|(id, ..)| *id != waiter);
        if waited.waiters.is_empty() {
            self.wanted.remove(&key);
            self.step(Event::Withdraw { key }, None);
        }
    }

    /// Tells the scheduler and does what it says. `offer` is the result that an [`Event::Finish`] is about.
    fn step(&mut self, event: Event, mut offer: Option<Offer>) {
        let from = if let Event::Finish { worker, attempt, .. } = &event { Some((*worker, *attempt)) } else { None };
        let now = Millis(self.started.elapsed().as_millis().try_into().unwrap_or(u64::MAX));
        for command in self.scheduler.handle(now, event) {
            match command {
                Command::Lease { worker, key, attempt, deadline: _ } => self.lease(worker, key, attempt),
                Command::Revoke { worker, key, attempt } => self.send(worker, convert::revoke(key, attempt)),
                Command::Accept { key } => {
                    // Only a `Finish` is accepted, and it came with both.
                    if let (Some((worker, attempt)), Some(offer)) = (from, offer.take()) {
                        self.commit(key, worker, attempt, offer);
                    }
                }
                Command::Stale { worker, key, attempt } => self.stale(worker, key, attempt, offer.take()),
                Command::Exhausted { key, error } => self.exhausted(key, &error),
                Command::Drop { worker } => {
                    tracing::warn!(worker = worker.0, "worker was silent too long; closing its stream");
                    self.connections.remove(&worker);
                }
            }
            self.pulse.send_replace(());
        }
    }

    fn lease(&mut self, worker: WorkerId, key: TaskKey, attempt: Attempt) {
        // The scheduler only has tasks that somebody waits for.
        let Some(waited) = self.wanted.get_mut(&key) else { return };
        waited.fraction = 0.0;
        let message = convert::lease(key, attempt, waited.task.bytes.clone());
        self.send(worker, message);
    }

    /// An answer that nobody needs: not now, that is. A result which is not stored yet is, before the worker drops it.
    fn stale(&mut self, worker: WorkerId, key: TaskKey, attempt: Attempt, offer: Option<Offer>) {
        match offer {
            Some(offer) if self.unacknowledged.contains_key(&key) || !self.is_stored(&key) => self.commit(key, worker, attempt, offer),
            Some(_) | None => self.send(worker, convert::ack(key, attempt)),
        }
    }

    fn commit(&mut self, key: TaskKey, worker: WorkerId, attempt: Attempt, offer: Offer) {
        if let Some(waiting) = self.unacknowledged.get_mut(&key) {
            // The task's result is on its way already; this worker may forget its own at the same time.
            return waiting.push((worker, attempt));
        }
        let (name, kind) =
            self.connections.get(&worker).map(|found| (found.info.name.clone(), found.info.kind.clone())).unwrap_or_default();
        let result = StoredResult {
            outcome: offer.outcome,
            task: self.wanted.get(&key).map(|waited| waited.task.bytes.clone()).unwrap_or_default(),
            worker: name,
            kind,
            attempt: attempt.0,
            seconds: offer.seconds,
            finished_unix: unix_now(),
        };
        self.unacknowledged.insert(key, vec![(worker, attempt)]);
        let commit = self.store.commit(key, result);
        self.commits.push(Box::pin(async move { (key, commit.await) }));
    }

    fn committed(&mut self, key: TaskKey, committed: Result<Committed, StoreError>) {
        let workers = self.unacknowledged.remove(&key).unwrap_or_default();
        // What the memo has: not necessarily what was offered, for the first result stays.
        let outcome = committed.and_then(|_| self.store.result(&key)).map_err(handle::keep).and_then(|stored| match stored {
            Some(stored) => handle::decode(&key, &stored.outcome),
            None => Err(RunError::Store(format!("the result of task {key} was deleted"))),
        });
        match &outcome {
            Ok(_) => {
                for (worker, attempt) in workers {
                    self.send(worker, convert::ack(key, attempt));
                }
            }
            // The worker keeps its result and offers it again when it attaches again.
            Err(error) => tracing::error!(task = %key, %error, "a result could not be kept"),
        }
        for (_, _, answer) in self.wanted.remove(&key).into_iter().flat_map(|waited| waited.waiters) {
            let _ = answer.send(outcome.clone());
        }
        self.pulse.send_replace(());
    }

    fn exhausted(&mut self, key: TaskKey, error: &str) {
        let Some(waited) = self.wanted.remove(&key) else { return };
        tracing::warn!(task = waited.task.what, error, "task given up");
        for (_, _, answer) in waited.waiters {
            let _ = answer.send(Err(RunError::Task { what: waited.task.what.clone(), error: error.to_owned() }));
        }
    }

    /// Sends a message to a worker, if it is there.
    fn send(&mut self, worker: WorkerId, message: Message) {
        let message = CoordinatorMessage { message: Some(message) };
        let full = |connection: &Connection| connection.outbox.try_send(Ok(message)).is_err();
        if self.connections.get(&worker).is_some_and(full) {
            // It does not read: as good as gone, and waiting for it would hold up all the others. Its reader says the rest.
            self.connections.remove(&worker);
        }
    }

    /// Whether a task has a durable result. A memo that cannot be read has none, and says so where it is written to.
    fn is_stored(&self, key: &TaskKey) -> bool {
        self.store.result(key).is_ok_and(|stored| stored.is_some())
    }

    fn list(&self) -> Vec<pleach_shared::rpc::v1::Worker> {
        let running = |name: &str, key: &TaskKey| self.wanted.get(key).map(|waited| waited.shown(name));
        let workers = self.scheduler.workers();
        workers.map(|view| convert::worker(&view, |key| running(&view.info.name, key))).collect()
    }

    fn look(&self, experiment: u64) -> Sight {
        let mine = |waited: &&Waited| waited.waiters.iter().any(|(_, order, _)| order.experiment() == experiment);
        let leased = self.scheduler.workers().flat_map(|view| view.leases.into_iter().map(move |(key, _)| (key, view.info)));
        let running: Vec<RunningTask> =
            leased.filter_map(|(key, info)| Some(self.wanted.get(&key).filter(mine)?.shown(&info.name))).collect();
        let first = self.wanted.values().filter(mine).min_by_key(|waited| waited.waiters.iter().map(|(_, order, _)| *order).min());
        let waiting = first.filter(|_| running.is_empty()).and_then(|waited| self.scheduler.why_waiting(waited.task.key));
        Sight { running, waiting: waiting.unwrap_or_default() }
    }
}

/// The ends of a new connection.
struct Connecting {
    outbox: Outbox,
    open: oneshot::Sender<()>,
    id: oneshot::Sender<WorkerId>,
}

impl Waited {
    fn shown(&self, worker: &str) -> RunningTask {
        let (key, what) = (self.task.key.as_bytes().to_vec(), self.task.what.clone());
        RunningTask { key, what, worker: worker.to_owned(), fraction: self.fraction }
    }
}
