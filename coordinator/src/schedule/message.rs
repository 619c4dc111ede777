//! What goes into the scheduler and what comes out of it: the vocabulary of its events and commands.

use std::fmt;

use pleach_shared::task::TaskKey;

/// One attachment of one worker. The shell gives them out; a worker that comes back may have the old one or a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkerId(pub u64);

/// The fencing number of a lease: from 1, and higher with every lease of the same task, so that the answer to an old
/// lease can be told from the answer to the present one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Attempt(pub u32);

impl Attempt {
    /// What a task has before its first lease.
    pub(super) const NONE: Attempt = Attempt(0);

    pub(super) fn next(self) -> Attempt {
        // Saturates: a worker may announce any number, and no peer may make the coordinator overflow.
        Attempt(self.0.saturating_add(1))
    }
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A point in time, or a span of it, in milliseconds. Where zero lies is the shell's choice; it must never go back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Millis(pub u64);

impl Millis {
    /// A span of whole seconds.
    pub const fn from_secs(seconds: u64) -> Millis {
        Millis(seconds.saturating_mul(1000))
    }

    /// The point in time `span` later.
    pub const fn plus(self, span: Millis) -> Millis {
        Millis(self.0.saturating_add(span.0))
    }
}

/// What a worker says of itself when it attaches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerInfo {
    /// For people; shown in messages and on the dashboard.
    pub name: String,
    /// The machine it runs on: what disturbs a measurement is whatever else runs on the same host.
    pub host: String,
    /// Name of the device whose latency it measures, for example `local`.
    pub device: String,
    /// What it computes with: `flex`, `wgpu`. Only shown.
    pub kind: String,
    /// How many tasks it runs at once.
    pub slots: u32,
    /// Whether it takes compute tasks; `false` for a device that is only measured.
    pub computes: bool,
}

/// What a task needs from the worker that runs it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Needs {
    /// The sort of work.
    pub work: Work,
}

impl Needs {
    /// Any worker that computes.
    pub fn compute() -> Needs {
        Needs { work: Work::Compute }
    }

    /// A worker of that device, on a host that does nothing else meanwhile.
    pub fn measure(device: impl Into<String>) -> Needs {
        Needs { work: Work::Measure { device: device.into() } }
    }
}

/// The sort of work a task is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Work {
    /// Runs beside others in any free slot of a worker that computes.
    Compute,
    /// Runs on a worker of that device, with the host to itself.
    Measure {
        /// Name of the device, as in [`WorkerInfo::device`].
        device: String,
    },
}

impl Work {
    /// Whether a worker could ever do this work, however busy it is now.
    pub(super) fn fits(&self, worker: &WorkerInfo) -> bool {
        worker.slots > 0
            && match self {
                Work::Compute => worker.computes,
                Work::Measure { device } => worker.device == *device,
            }
    }

    pub(super) fn is_measurement(&self) -> bool {
        match self {
            Work::Compute => false,
            Work::Measure { .. } => true,
        }
    }
}

/// Something that happened outside and that the scheduler must know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A worker (re)attached and announces what it still runs. What the scheduler can still use there it adopts, without
    /// a command; the rest it revokes.
    Attach {
        /// The attachment. One that is attached already is replaced.
        worker: WorkerId,
        /// What the worker is.
        info: WorkerInfo,
        /// The leases it still works on. Not those whose results it has: it offers these as [`Event::Finish`].
        holding: Vec<(TaskKey, Attempt)>,
    },
    /// The connection to a worker was lost.
    Detach {
        /// The attachment that ended.
        worker: WorkerId,
    },
    /// A worker is alive: all its leases are extended.
    Heartbeat {
        /// Who.
        worker: WorkerId,
    },
    /// Somebody wants a task's result. Idempotent: a task that is here already stays where it is, except that a lower
    /// `order` moves it forward.
    Submit {
        /// The task.
        key: TaskKey,
        /// What it needs.
        needs: Needs,
        /// Lower goes first; first in, first out among equals.
        order: u64,
    },
    /// Nobody wants the task any more.
    Withdraw {
        /// The task.
        key: TaskKey,
    },
    /// A worker offers a result.
    Finish {
        /// Who.
        worker: WorkerId,
        /// Of which task.
        key: TaskKey,
        /// Under which lease.
        attempt: Attempt,
    },
    /// A worker tried and says that it failed.
    Fail {
        /// Who.
        worker: WorkerId,
        /// Which task.
        key: TaskKey,
        /// Under which lease.
        attempt: Attempt,
        /// Why, for a person.
        error: String,
        /// Whether another try could help.
        retry: bool,
    },
    /// Time went on: leases expire, silent workers are dropped. A second between two is plenty.
    Tick,
}

/// Something that the shell must do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Give the task to the worker.
    Lease {
        /// To whom.
        worker: WorkerId,
        /// Which task.
        key: TaskKey,
        /// Under which number.
        attempt: Attempt,
        /// Until when, unless a heartbeat extends it.
        deadline: Millis,
    },
    /// Tell the worker to stop working on the task.
    Revoke {
        /// Whom.
        worker: WorkerId,
        /// Which task.
        key: TaskKey,
        /// Under which number.
        attempt: Attempt,
    },
    /// Commit the result that came with the event: it is the task's first.
    Accept {
        /// Which task.
        key: TaskKey,
    },
    /// The answer that came with the event is not needed: tell the worker to drop it.
    Stale {
        /// Whom.
        worker: WorkerId,
        /// Which task.
        key: TaskKey,
        /// Under which number.
        attempt: Attempt,
    },
    /// The task failed for good; it is forgotten here, and a new `Submit` would start afresh.
    Exhausted {
        /// Which task.
        key: TaskKey,
        /// Why, for a person.
        error: String,
    },
    /// Close the connection to the worker: it was silent too long, or is not attached. It may attach again.
    Drop {
        /// Whom.
        worker: WorkerId,
    },
}
