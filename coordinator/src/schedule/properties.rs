//! Random histories against a reference model. The model is what an outsider can know from the events it sent and the commands
//! it got: it has no queue and makes no decision, it only says which decisions are allowed.
//!
//! 256 histories by default; `PROPTEST_CASES=100000 cargo test schedule::properties` for a long look.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

const WORKERS: u64 = 5;
const TASKS: u8 = 12;

/// One step of a history, in small numbers that hit each other often. `Finish` and `Fail` come from a lease that somebody has
/// or had (`pick` counts from the newest), or, as `Forged`, from anybody about anything.
#[derive(Clone, Debug)]
enum Step {
    Attach { worker: u64, shape: usize, keeps: u8 },
    Detach { worker: u64 },
    Heartbeat { worker: u64 },
    Submit { task: u8, order: u64 },
    Withdraw { task: u8 },
    Finish { pick: usize },
    Fail { pick: usize, retry: bool },
    Forged { worker: u64, task: u8, attempt: u32, succeeds: bool },
    Pass { seconds: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    let (worker, task) = (0..WORKERS, 0..TASKS);
    prop_oneof![
        4 => (worker.clone(), 0..5usize, any::<u8>()).prop_map(|(worker, shape, keeps)| Step::Attach { worker, shape, keeps }),
        2 => worker.clone().prop_map(|worker| Step::Detach { worker }),
        3 => worker.clone().prop_map(|worker| Step::Heartbeat { worker }),
        8 => (task.clone(), 0..3u64).prop_map(|(task, order)| Step::Submit { task, order }),
        1 => task.clone().prop_map(|task| Step::Withdraw { task }),
        4 => (0..12usize).prop_map(|pick| Step::Finish { pick }),
        2 => (0..12usize, any::<bool>()).prop_map(|(pick, retry)| Step::Fail { pick, retry }),
        1 => (worker, task, 0..4u32, any::<bool>()).prop_map(|(worker, task, attempt, succeeds)| Step::Forged { worker, task, attempt, succeeds }),
        3 => (0..25u64).prop_map(|seconds| Step::Pass { seconds }),
    ]
}

fn config() -> impl Strategy<Value = Config> {
    let limits = (1..4u32, 1..6u32);
    (5..40u64, 5..40u64, limits).prop_map(|(lease, silence, (max_attempts, max_crashes))| Config {
        lease: Millis::from_secs(lease),
        silence: Millis::from_secs(silence),
        max_attempts,
        max_crashes,
    })
}

fn key(task: u8) -> TaskKey {
    TaskKey::from_bytes([task; 32])
}

/// A third of the tasks measure, on two devices.
fn needs(task: u8) -> Needs {
    match task % 6 {
        0 => Needs::measure("local"),
        1 => Needs::measure("pixel4"),
        _ => Needs::compute(),
    }
}

/// What a worker may be: two hosts, on one of which a phone hangs beside two computing workers.
fn shape(shape: usize) -> WorkerInfo {
    let (host, device, slots, computes) =
        [("a", "local", 2, true), ("a", "local", 1, true), ("a", "pixel4", 1, false), ("b", "local", 3, true), ("b", "cpu", 0, true)]
            [shape];
    WorkerInfo { name: format!("{host}/{device}"), host: host.into(), device: device.into(), kind: "flex".into(), slots, computes }
}

/// A scheduler and its observer.
struct World {
    scheduler: Scheduler,
    now: Millis,
    attached: BTreeMap<WorkerId, WorkerInfo>,
    wanted: BTreeMap<TaskKey, Needs>,
    leased: BTreeMap<TaskKey, (WorkerId, Attempt)>,
    /// Every lease ever given, newest last: what workers may still run, or have the results of.
    given: Vec<(WorkerId, TaskKey, Attempt)>,
    highest: BTreeMap<TaskKey, Attempt>,
    accepted: BTreeSet<TaskKey>,
    log: Vec<Command>,
}

impl World {
    fn new(config: Config) -> World {
        World {
            scheduler: Scheduler::new(config),
            now: Millis(0),
            attached: BTreeMap::new(),
            wanted: BTreeMap::new(),
            leased: BTreeMap::new(),
            given: Vec::new(),
            highest: BTreeMap::new(),
            accepted: BTreeSet::new(),
            log: Vec::new(),
        }
    }

    fn step(&mut self, step: &Step) {
        let pick = |pick: usize| self.given.len().checked_sub(pick + 1).map(|index| self.given[index]);
        let event = match *step {
            Step::Attach { worker, shape: index, keeps } => {
                let kept = |index: usize| keeps >> (index % 8) & 1 == 1;
                // A worker process keeps its running tasks over a reconnect, maybe under another id.
                let holding =
                    self.given.iter().rev().take(8).enumerate().filter(|(index, _)| kept(*index)).map(|(_, given)| (given.1, given.2));
                let holding: BTreeSet<_> = holding.collect();
                Event::Attach { worker: WorkerId(worker), info: shape(index), holding: holding.into_iter().collect() }
            }
            Step::Detach { worker } => Event::Detach { worker: WorkerId(worker) },
            Step::Heartbeat { worker } => Event::Heartbeat { worker: WorkerId(worker) },
            // What has a result is answered from the memo and never comes here again.
            Step::Submit { task, .. } if self.accepted.contains(&key(task)) => return,
            Step::Submit { task, order } => Event::Submit { key: key(task), needs: needs(task), order },
            Step::Withdraw { task } => Event::Withdraw { key: key(task) },
            Step::Finish { pick: index } => match pick(index) {
                Some((worker, key, attempt)) => Event::Finish { worker, key, attempt },
                None => return,
            },
            Step::Fail { pick: index, retry } => match pick(index) {
                Some((worker, key, attempt)) => Event::Fail { worker, key, attempt, error: "broken".into(), retry },
                None => return,
            },
            Step::Forged { worker, task, attempt, succeeds: true } => {
                Event::Finish { worker: WorkerId(worker), key: key(task), attempt: Attempt(attempt) }
            }
            Step::Forged { worker, task, attempt, succeeds: false } => {
                Event::Fail { worker: WorkerId(worker), key: key(task), attempt: Attempt(attempt), error: "forged".into(), retry: true }
            }
            Step::Pass { seconds } => {
                self.now = self.now.plus(Millis::from_secs(seconds));
                Event::Tick
            }
        };
        self.send(event);
    }

    fn send(&mut self, event: Event) {
        let commands = self.scheduler.handle(self.now, event.clone());
        self.before(&event, &commands);
        for command in &commands {
            self.observe(&event, command);
        }
        assert_eq!(self.scheduler.sanity_check(), Ok(()));
        self.compare();
        self.log.extend(commands);
    }

    /// What the event itself changes, before any command.
    fn before(&mut self, event: &Event, commands: &[Command]) {
        match event {
            Event::Attach { worker, info, holding } => {
                self.leased.retain(|_, (holder, _)| holder != worker);
                self.attached.insert(*worker, info.clone());
                for (key, attempt) in holding {
                    // Adoption is silent: whatever was not refused is leased now, and must be fit to be.
                    if !commands.contains(&Command::Revoke { worker: *worker, key: *key, attempt: *attempt }) {
                        self.leased.remove(key);
                        self.assert_may_run(*worker, *key);
                        self.leased.insert(*key, (*worker, *attempt));
                        self.given.push((*worker, *key, *attempt));
                    }
                }
            }
            Event::Detach { worker } => self.lose(*worker),
            Event::Submit { key, needs, .. } => drop(self.wanted.insert(*key, needs.clone())),
            Event::Withdraw { key } => drop(self.wanted.remove(key)),
            Event::Finish { worker, key, attempt } => {
                let stale = Command::Stale { worker: *worker, key: *key, attempt: *attempt };
                let expected = if self.wanted.contains_key(key) { Command::Accept { key: *key } } else { stale };
                assert_eq!(commands.first(), Some(&expected), "a result is accepted if and only if it is wanted");
                self.answer(*worker, *key, *attempt);
            }
            Event::Fail { worker, key, attempt, .. } => {
                let stale = Command::Stale { worker: *worker, key: *key, attempt: *attempt };
                let current = self.answer(*worker, *key, *attempt);
                assert_eq!(commands.contains(&stale), !current, "a failure counts if and only if its lease is the present one");
            }
            Event::Heartbeat { .. } | Event::Tick => {}
        }
    }

    fn observe(&mut self, event: &Event, command: &Command) {
        match command {
            Command::Lease { worker, key, attempt, deadline } => {
                assert!(!self.leased.contains_key(key), "leased twice");
                self.assert_may_run(*worker, *key);
                let highest = self.highest.entry(*key).or_insert(Attempt(0));
                assert!(*attempt > *highest, "attempt numbers grow");
                *highest = *attempt;
                assert!(*deadline > self.now);
                self.leased.insert(*key, (*worker, *attempt));
                self.given.push((*worker, *key, *attempt));
            }
            Command::Revoke { worker, key, attempt } => {
                if self.leased.get(key) == Some(&(*worker, *attempt)) {
                    self.leased.remove(key);
                }
            }
            Command::Accept { key } => {
                assert!(matches!(event, Event::Finish { key: offered, .. } if offered == key), "only what was offered");
                assert!(self.accepted.insert(*key), "accepted twice");
                self.wanted.remove(key);
            }
            Command::Exhausted { key, .. } => {
                assert!(self.wanted.remove(key).is_some(), "only what is wanted");
            }
            Command::Stale { .. } => assert!(matches!(event, Event::Finish { .. } | Event::Fail { .. })),
            Command::Drop { worker } => self.lose(*worker),
        }
    }

    /// An answer ends the lease that it answers, without a command; whether it was that one.
    fn answer(&mut self, worker: WorkerId, key: TaskKey, attempt: Attempt) -> bool {
        let current = self.leased.get(&key) == Some(&(worker, attempt));
        if current {
            self.leased.remove(&key);
        }
        current
    }

    fn lose(&mut self, worker: WorkerId) {
        self.attached.remove(&worker);
        self.leased.retain(|_, (holder, _)| *holder != worker);
    }

    fn assert_may_run(&self, worker: WorkerId, key: TaskKey) {
        let info = self.attached.get(&worker).expect("the worker is attached");
        let needs = self.wanted.get(&key).expect("the task is wanted");
        let running: Vec<_> =
            self.leased.iter().map(|(key, (worker, _))| (*worker, &self.attached[worker].host, &self.wanted[key].work)).collect();
        assert!(running.iter().filter(|(holder, ..)| *holder == worker).count() < info.slots as usize, "it has a free slot");
        let mut beside = running.iter().filter(|(_, host, _)| **host == info.host);
        match &needs.work {
            Work::Compute => {
                assert!(info.computes);
                assert!(beside.all(|(.., work)| **work == Work::Compute), "a measurement runs on that host");
            }
            Work::Measure { device } => {
                assert_eq!(info.device, *device);
                assert_eq!(beside.next(), None, "the host of a measurement is busy");
            }
        }
    }

    /// The scheduler's view and the observer's are the same.
    fn compare(&mut self) {
        let views = self.scheduler.workers().flat_map(|view| view.leases.into_iter().map(move |(key, attempt)| (key, (view.id, attempt))));
        assert_eq!(views.collect::<BTreeMap<_, _>>(), self.leased, "nothing is leased or released in silence");
        assert_eq!(self.scheduler.workers().map(|view| view.id).collect::<Vec<_>>(), self.attached.keys().copied().collect::<Vec<_>>());
        let counts = self.scheduler.counts();
        assert_eq!((counts.queued + counts.running, counts.running), (self.wanted.len(), self.leased.len()));
        for task in 0..TASKS {
            assert_eq!(self.scheduler.why_waiting(key(task)).is_some(), self.wanted.contains_key(&key(task)));
            let why = self.scheduler.why_waiting(key(task)).unwrap_or_default();
            assert!(!why.contains("about to run"), "what can run is leased at once");
        }
    }

    /// From here on nothing breaks: fit workers attach beside whoever is there, and whoever has a task finishes it.
    fn calm_down(&mut self) {
        for (worker, index) in [(100, 0), (101, 2)] {
            self.send(Event::Attach { worker: WorkerId(worker), info: shape(index), holding: Vec::new() });
        }
        // Each turn finishes one task, so this many are enough if something always runs.
        for _ in 0..self.wanted.len() {
            let Some((key, (worker, attempt))) = self.leased.first_key_value().map(|(key, lease)| (*key, *lease)) else { break };
            self.send(Event::Finish { worker, key, attempt });
        }
        assert_eq!(self.wanted, BTreeMap::new(), "everything wanted was accepted or exhausted");
    }
}

proptest! {
    #[test]
    fn any_history_keeps_the_promises_and_ends_well(config in config(), history in proptest::collection::vec(step(), 1..120)) {
        let mut world = World::new(config);
        history.iter().for_each(|step| world.step(step));
        world.calm_down();
    }

    #[test]
    fn the_same_history_gives_the_same_commands(history in proptest::collection::vec(step(), 1..60)) {
        let [first, second] = [(); 2].map(|()| {
            let mut world = World::new(Config::default());
            history.iter().for_each(|step| world.step(step));
            world.log
        });
        prop_assert_eq!(first, second);
    }
}
