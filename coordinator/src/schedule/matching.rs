//! Who runs what next. A measurement has its host to itself, because whatever else runs there is in the number it gives;
//! everything else follows from that:
//!
//! * a measurement starts only on a host where nothing runs, and nothing else starts there until it is done;
//! * while one waits, the least busy host that could take it is *reserved*: it gets no new work, so that it drains. Without
//!   this a busy cluster would never measure. Nothing remembers a reservation, it follows from who waits and what runs. It
//!   cannot wander for ever: a reserved host only gets emptier, so the next one chosen is at most as busy.
//! * measurements go before computes.
//!
//! `why_waiting` asks the same functions, so what people are told is what the matcher thinks.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use pleach_shared::task::TaskKey;

use super::{Scheduler, Work, Worker, WorkerId};

/// Why the matcher has no worker for a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Waiting {
    /// No attached worker computes.
    NoComputer,
    /// No attached worker is that device.
    NoDevice(String),
    /// Every worker that could run it is full.
    FreeSlot { used: u64, slots: u64 },
    /// There are free slots, but only on hosts that measure or are to measure.
    Measurement { hosts: BTreeSet<String> },
    /// A measurement: its host still runs other things.
    QuietHost { host: String, running: usize },
    /// A measurement: its host runs another one.
    Turn { host: String },
}

impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Waiting::NoComputer => write!(f, "no worker that computes attached"),
            Waiting::NoDevice(device) => write!(f, "no worker with device={device} attached"),
            Waiting::FreeSlot { used, slots } => write!(f, "waits for a free slot ({used} of {slots} in use)"),
            Waiting::Measurement { hosts } => {
                let hosts: Vec<&str> = hosts.iter().map(String::as_str).collect();
                write!(f, "waits for a measurement to end: the only free slots are on {}", hosts.join(", "))
            }
            Waiting::QuietHost { host, running: 1 } => write!(f, "waits for host {host} to become quiet: 1 task still runs there"),
            Waiting::QuietHost { host, running } => write!(f, "waits for host {host} to become quiet: {running} tasks still run there"),
            Waiting::Turn { host } => write!(f, "waits for its turn on host {host}: another measurement runs there"),
        }
    }
}

/// What runs on a host, over all its workers.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Host {
    pub(super) running: usize,
    pub(super) measuring: usize,
}

impl Scheduler {
    /// The next lease to give, if any can be given.
    pub(super) fn next_match(&self) -> Option<(WorkerId, TaskKey)> {
        let mut heads: Vec<_> = self.queues.iter().filter_map(|(work, queue)| Some((work, queue.first()?))).collect();
        // Measurements first, then by place. One head stands for its queue: those behind it need the same.
        heads.sort_by_key(|(work, (place, _))| (!work.is_measurement(), *place));
        heads.into_iter().find_map(|(work, (_, key))| Some((self.match_work(work).ok()?, *key)))
    }

    /// The worker that would get such a task now, or why none would.
    pub(super) fn match_work(&self, work: &Work) -> Result<WorkerId, Waiting> {
        let hosts = self.hosts();
        match work {
            Work::Measure { device } => self.match_measurement(device, work, &hosts),
            Work::Compute => self.match_compute(&hosts),
        }
    }

    fn match_measurement(&self, device: &str, work: &Work, hosts: &BTreeMap<&str, Host>) -> Result<WorkerId, Waiting> {
        // Least busy first. Of hosts with one task, that which measures: it is kept free of others anyway.
        let best = self.fitting(work).map(|(id, worker)| {
            let name = worker.info.host.as_str();
            let host = on(hosts, name);
            (host.running, host.measuring == 0, name, id)
        });
        match best.min() {
            None => Err(Waiting::NoDevice(device.to_owned())),
            Some((0, _, _, id)) => Ok(id),
            Some((running, true, host, _)) => Err(Waiting::QuietHost { host: host.to_owned(), running }),
            Some((_, false, host, _)) => Err(Waiting::Turn { host: host.to_owned() }),
        }
    }

    fn match_compute(&self, hosts: &BTreeMap<&str, Host>) -> Result<WorkerId, Waiting> {
        let reserved = self.reserved(hosts);
        let (mut used, mut slots, mut kept_free) = (0, 0, BTreeSet::new());
        let mut best = None;
        for (id, worker) in self.fitting(&Work::Compute) {
            used += worker.leases.len() as u64;
            slots += u64::from(worker.info.slots);
            if !has_free_slot(worker) {
                continue;
            }
            let name = worker.info.host.as_str();
            let host = on(hosts, name);
            if host.measuring > 0 || reserved.contains(name) {
                kept_free.insert(name.to_owned());
                continue;
            }
            // Spread over hosts, then over the workers of a host; ties to the lower id.
            let load = (host.running, worker.leases.len(), id);
            best = Some(best.map_or(load, |best| load.min(best)));
        }
        match best {
            Some((_, _, id)) => Ok(id),
            None if slots == 0 => Err(Waiting::NoComputer),
            None if kept_free.is_empty() => Err(Waiting::FreeSlot { used, slots }),
            None => Err(Waiting::Measurement { hosts: kept_free }),
        }
    }

    /// The hosts that drain for the measurements that wait: one for each device that somebody waits for.
    fn reserved(&self, hosts: &BTreeMap<&str, Host>) -> BTreeSet<String> {
        let wait = |work: &Work| match work {
            Work::Compute => None,
            Work::Measure { device } => self.match_measurement(device, work, hosts).err(),
        };
        let host = |waiting| match waiting {
            Waiting::QuietHost { host, .. } | Waiting::Turn { host } => Some(host),
            Waiting::NoDevice(_) | Waiting::NoComputer | Waiting::FreeSlot { .. } | Waiting::Measurement { .. } => None,
        };
        self.queues.keys().filter_map(wait).filter_map(host).collect()
    }

    /// Whether what a worker already runs can go on there without breaking what a lease promises. Unlike for a new lease, a
    /// reservation is no obstacle: the work is on that host anyway and drains with the rest.
    pub(super) fn may_adopt(&self, worker: WorkerId, key: TaskKey) -> bool {
        let (Some(task), Some(found)) = (self.tasks.get(&key), self.workers.get(&worker)) else { return false };
        // The task itself may already be counted there, when its lease moves to another connection of the same worker.
        let mine = task.lease().and_then(|lease| self.workers.get(&lease.worker)).filter(|holder| holder.info.host == found.info.host);
        let host = self.hosts().get(found.info.host.as_str()).copied().unwrap_or_default();
        let host_allows = match task.work {
            Work::Measure { .. } => host.running == usize::from(mine.is_some()),
            Work::Compute => host.measuring == 0,
        };
        let slot = found.leases.contains(&key) || has_free_slot(found);
        task.work.fits(&found.info) && host_allows && slot
    }

    pub(super) fn hosts(&self) -> BTreeMap<&str, Host> {
        let mut hosts: BTreeMap<&str, Host> = BTreeMap::new();
        for worker in self.workers.values() {
            let host = hosts.entry(&worker.info.host).or_default();
            host.running += worker.leases.len();
            host.measuring += worker.leases.iter().filter(|key| self.tasks.get(key).is_some_and(|task| task.work.is_measurement())).count();
        }
        hosts
    }

    fn fitting(&self, work: &Work) -> impl Iterator<Item = (WorkerId, &Worker)> {
        self.workers.iter().filter(|(_, worker)| work.fits(&worker.info)).map(|(id, worker)| (*id, worker))
    }
}

fn has_free_slot(worker: &Worker) -> bool {
    worker.leases.len() < worker.info.slots as usize
}

fn on(hosts: &BTreeMap<&str, Host>, name: &str) -> Host {
    hosts.get(name).copied().unwrap_or_default()
}
