//! The scheduler's stories. `Env` holds a scheduler and a clock; each call returns every command that the event caused, so a
//! test that compares them also says that nothing else happened.

use super::*;

struct Env {
    scheduler: Scheduler,
    now: Millis,
}

impl Env {
    fn new() -> Env {
        Env { scheduler: Scheduler::new(Config::default()), now: Millis(0) }
    }

    fn send(&mut self, event: Event) -> Vec<Command> {
        self.scheduler.handle(self.now, event)
    }

    /// Lets time pass, then ticks.
    fn after(&mut self, seconds: u64) -> Vec<Command> {
        self.now = self.now.plus(Millis::from_secs(seconds));
        self.send(Event::Tick)
    }

    fn attach(&mut self, id: u64, info: WorkerInfo) -> Vec<Command> {
        self.attach_holding(id, info, &[])
    }

    fn attach_holding(&mut self, id: u64, info: WorkerInfo, holding: &[(u8, u32)]) -> Vec<Command> {
        let holding = holding.iter().map(|(task, attempt)| (key(*task), Attempt(*attempt))).collect();
        self.send(Event::Attach { worker: WorkerId(id), info, holding })
    }

    fn detach(&mut self, id: u64) -> Vec<Command> {
        self.send(Event::Detach { worker: WorkerId(id) })
    }

    fn heartbeat(&mut self, id: u64) -> Vec<Command> {
        self.send(Event::Heartbeat { worker: WorkerId(id) })
    }

    fn submit(&mut self, task: u8) -> Vec<Command> {
        self.send(Event::Submit { key: key(task), needs: Needs::compute(), order: 0 })
    }

    fn submit_measurement(&mut self, task: u8, device: &str) -> Vec<Command> {
        self.send(Event::Submit { key: key(task), needs: Needs::measure(device), order: 0 })
    }

    fn withdraw(&mut self, task: u8) -> Vec<Command> {
        self.send(Event::Withdraw { key: key(task) })
    }

    fn finish(&mut self, id: u64, task: u8, attempt: u32) -> Vec<Command> {
        self.send(Event::Finish { worker: WorkerId(id), key: key(task), attempt: Attempt(attempt) })
    }

    fn fail(&mut self, id: u64, task: u8, attempt: u32, retry: bool) -> Vec<Command> {
        let error = "loss is NaN".to_owned();
        self.send(Event::Fail { worker: WorkerId(id), key: key(task), attempt: Attempt(attempt), error, retry })
    }

    fn why(&self, task: u8) -> String {
        self.scheduler.why_waiting(key(task)).unwrap_or_else(|| "(unknown)".to_owned())
    }

    /// A lease given now.
    fn lease(&self, id: u64, task: u8, attempt: u32) -> Command {
        let deadline = self.now.plus(Config::default().lease);
        Command::Lease { worker: WorkerId(id), key: key(task), attempt: Attempt(attempt), deadline }
    }
}

fn key(task: u8) -> TaskKey {
    TaskKey::from_bytes([task; 32])
}

fn worker(name: &str, host: &str, slots: u32) -> WorkerInfo {
    WorkerInfo { name: name.into(), host: host.into(), device: "local".into(), kind: "flex".into(), slots, computes: true }
}

fn phone() -> WorkerInfo {
    WorkerInfo { device: "pixel4".into(), computes: false, ..worker("phone", "desk", 1) }
}

fn revoke(id: u64, task: u8, attempt: u32) -> Command {
    Command::Revoke { worker: WorkerId(id), key: key(task), attempt: Attempt(attempt) }
}

fn stale(id: u64, task: u8, attempt: u32) -> Command {
    Command::Stale { worker: WorkerId(id), key: key(task), attempt: Attempt(attempt) }
}

fn accept(task: u8) -> Command {
    Command::Accept { key: key(task) }
}

fn exhausted(task: u8, error: &str) -> Command {
    Command::Exhausted { key: key(task), error: error.to_owned() }
}

#[test]
fn a_task_runs_as_soon_as_a_worker_is_there_and_its_result_is_accepted() {
    let mut env = Env::new();
    assert_eq!(env.submit(1), []);
    assert_eq!(env.why(1), "no worker that computes attached");
    assert_eq!(env.attach(1, worker("w1", "a", 1)), [env.lease(1, 1, 1)]);
    assert_eq!(env.why(1), "runs on worker w1, attempt 1");
    assert_eq!(env.finish(1, 1, 1), [accept(1)]);
    assert_eq!(env.scheduler.why_waiting(key(1)), None);
    assert_eq!(env.scheduler.counts(), Counts::default());
}

#[test]
fn submitting_twice_runs_once() {
    let mut env = Env::new();
    env.attach(1, worker("w1", "a", 2));
    assert_eq!(env.submit(1).len(), 1);
    assert_eq!(env.submit(1), []);
    assert_eq!(env.scheduler.counts(), Counts { queued: 0, running: 1 });
}

#[test]
fn lower_order_goes_first_then_first_come_and_a_second_submit_can_only_hurry() {
    let mut env = Env::new();
    let submit = |task, order| Event::Submit { key: key(task), needs: Needs::compute(), order };
    for event in [submit(1, 5), submit(2, 5), submit(3, 1), submit(4, 9), submit(4, 0), submit(3, 9)] {
        env.send(event);
    }
    assert_eq!(env.attach(1, worker("w1", "a", 4)), [4, 3, 1, 2].map(|task| env.lease(1, task, 1)));
}

#[test]
fn compute_spreads_over_hosts_and_ties_go_to_the_lower_id() {
    let mut env = Env::new();
    env.attach(1, worker("w1", "a", 2));
    env.attach(2, worker("w2", "a", 2));
    env.attach(3, worker("w3", "b", 2));
    let leases: Vec<_> = (1..=5).flat_map(|task| env.submit(task)).collect();
    // a, b, then the idle worker of a, then b, and a again.
    assert_eq!(leases, [env.lease(1, 1, 1), env.lease(3, 2, 1), env.lease(2, 3, 1), env.lease(3, 4, 1), env.lease(1, 5, 1)]);
}

#[test]
fn a_full_cluster_says_how_full_it_is() {
    let mut env = Env::new();
    env.attach(1, worker("w1", "a", 2));
    (1..=3).for_each(|task| drop(env.submit(task)));
    assert_eq!(env.why(3), "waits for a free slot (2 of 2 in use)");
}

#[test]
fn tasks_of_a_lost_worker_go_to_the_front_in_their_old_order_and_have_not_failed() {
    let mut env = Env::new();
    env.attach(1, worker("w1", "a", 2));
    (1..=3).for_each(|task| drop(env.submit(task)));
    assert_eq!(env.detach(1), []);
    assert_eq!(env.attach(2, worker("w2", "b", 3)), [env.lease(2, 1, 2), env.lease(2, 2, 2), env.lease(2, 3, 1)]);
    // Two clean failures are still allowed after the loss.
    assert_eq!(env.fail(2, 1, 2, true), [env.lease(2, 1, 3)]);
    assert_eq!(env.fail(2, 1, 3, true), [env.lease(2, 1, 4)]);
}

#[test]
fn a_lost_task_overtakes_more_urgent_ones_and_a_failed_one_does_not() {
    let mut env = Env::new();
    let urgent = |task| Event::Submit { key: key(task), needs: Needs::compute(), order: 0 };
    env.attach(1, worker("w1", "a", 1));
    env.send(Event::Submit { key: key(1), needs: Needs::compute(), order: 9 });
    env.send(urgent(2));
    env.detach(1);
    assert_eq!(env.attach(2, worker("w2", "a", 1)), [env.lease(2, 1, 2)]);
    assert_eq!(env.fail(2, 1, 2, true), [env.lease(2, 2, 1)]);
}

#[test]
fn a_worker_that_restarts_under_its_id_without_its_task_had_crashed() {
    let mut env = Env::new();
    env.submit(1);
    for restart in 1..=5 {
        assert_eq!(env.attach(1, worker("w1", "a", 1)), [env.lease(1, 1, restart)]);
    }
    let names = "w1, w1, w1, w1, w1";
    let error = format!("lost its worker 5 times ({names}); it may need more memory than they have");
    assert_eq!(env.attach(1, worker("w1", "a", 1)), [exhausted(1, &error)]);
}

#[test]
fn a_task_that_fails_cleanly_is_tried_three_times() {
    let mut env = Env::new();
    env.attach(1, worker("w1", "a", 1));
    env.submit(1);
    assert_eq!(env.fail(1, 1, 1, true), [env.lease(1, 1, 2)]);
    assert_eq!(env.fail(1, 1, 1, true), [stale(1, 1, 1)]);
    assert_eq!(env.fail(1, 1, 2, true), [env.lease(1, 1, 3)]);
    assert_eq!(env.fail(1, 1, 3, true), [exhausted(1, "failed 3 times, the last time on worker w1: loss is NaN")]);
}

#[test]
fn a_failure_that_no_retry_can_help_is_final_and_numbering_goes_on_if_the_task_is_wanted_again() {
    let mut env = Env::new();
    env.attach(1, worker("w1", "a", 1));
    env.submit(1);
    assert_eq!(env.fail(1, 1, 1, false), [exhausted(1, "failed on worker w1: loss is NaN")]);
    assert_eq!(env.submit(1), [env.lease(1, 1, 2)]);
}

#[test]
fn a_task_that_takes_its_workers_down_is_given_up_and_the_message_names_them() {
    let mut env = Env::new();
    env.submit(1);
    for crash in 1..=4 {
        assert_eq!(env.attach(crash, worker(&format!("w{crash}"), "a", 1)).len(), 1);
        assert_eq!(env.detach(crash), []);
    }
    env.attach(5, worker("w5", "a", 1));
    assert_eq!(env.detach(5), [exhausted(1, "lost its worker 5 times (w1, w2, w3, w4, w5); it may need more memory than they have")]);
}

#[test]
fn a_worker_that_comes_back_with_its_task_goes_on_and_had_not_crashed() {
    let mut env = Env::new();
    env.attach(1, worker("w1", "a", 1));
    env.submit(1);
    // Far more blips than the five crashes that a task may have.
    for blip in 1..=20 {
        assert_eq!(env.detach(blip), []);
        assert_eq!(env.attach_holding(blip + 1, worker("w1", "a", 1), &[(1, 1)]), []);
    }
    assert_eq!(env.finish(21, 1, 1), [accept(1)]);
}

#[test]
fn a_worker_may_dial_again_before_its_loss_is_noticed() {
    let mut env = Env::new();
    env.attach(1, worker("w1", "a", 2));
    env.submit(1);
    env.submit(2);
    // Same id: the task it still has goes on, the other one is lost and given to it anew.
    assert_eq!(env.attach_holding(1, worker("w1", "a", 2), &[(1, 1)]), [env.lease(1, 2, 2)]);
    // Other id: the leases move, and the end of the old stream takes nothing with it.
    assert_eq!(env.attach_holding(9, worker("w1", "a", 2), &[(1, 1), (2, 2)]), [revoke(1, 1, 1), revoke(1, 2, 2)]);
    assert_eq!(env.detach(1), []);
    assert_eq!(env.why(2), "runs on worker w1, attempt 2");
}

#[test]
fn a_restarted_coordinator_adopts_what_runs() {
    let mut env = Env::new();
    env.submit(1);
    assert_eq!(env.attach_holding(1, worker("w1", "a", 1), &[(1, 7)]), []);
    assert_eq!(env.why(1), "runs on worker w1, attempt 7");
    assert_eq!(env.detach(1), []);
    assert_eq!(env.attach(2, worker("w2", "a", 1)), [env.lease(2, 1, 8)]);
}

#[test]
fn what_a_worker_should_not_hold_is_revoked() {
    let mut env = Env::new();
    env.attach(1, worker("w1", "a", 1));
    (1..=3).for_each(|task| drop(env.submit(task)));
    env.submit_measurement(4, "pixel4");
    // Leased elsewhere under another number; unknown; one more than it has slots; not its device; no attempt at all.
    let held = [(1, 2), (9, 1), (2, 1), (3, 1), (4, 1), (2, 0)];
    let refused = [revoke(2, 1, 2), revoke(2, 9, 1), revoke(2, 3, 1), revoke(2, 4, 1), revoke(2, 2, 0)];
    assert_eq!(env.attach_holding(2, worker("w2", "b", 1), &held), refused);
}

#[test]
fn a_measurement_under_way_is_not_disturbed_by_an_adoption() {
    let mut env = Env::new();
    env.attach(1, worker("w1", "desk", 1));
    env.submit(1);
    env.detach(1);
    env.attach(2, phone());
    assert_eq!(env.submit_measurement(2, "pixel4"), [env.lease(2, 2, 1)]);
    assert_eq!(env.attach_holding(3, worker("w1", "desk", 1), &[(1, 1)]), [revoke(3, 1, 1)]);
    assert_eq!(env.finish(2, 2, 1), [accept(2), env.lease(3, 1, 2)]);
}

#[test]
fn heartbeats_keep_worker_and_leases() {
    let mut env = Env::new();
    env.attach(1, worker("w1", "a", 1));
    env.submit(1);
    for _ in 0..10 {
        assert_eq!(env.after(15), []);
        assert_eq!(env.heartbeat(1), []);
    }
    assert_eq!(env.after(20), [Command::Drop { worker: WorkerId(1) }]);
    assert_eq!(env.why(1), "no worker that computes attached");
    // It only slept. It is told to attach again, and goes on.
    assert_eq!(env.heartbeat(1), [Command::Drop { worker: WorkerId(1) }]);
    assert_eq!(env.attach_holding(1, worker("w1", "a", 1), &[(1, 1)]), []);
}

/// Leases shorter than the silence that drops a worker: then they expire one by one.
fn impatient() -> Env {
    let config = Config { lease: Millis::from_secs(30), silence: Millis::from_secs(3600), ..Config::default() };
    Env { scheduler: Scheduler::new(config), now: Millis(0) }
}

#[test]
fn a_result_from_an_expired_lease_is_kept_if_the_task_has_none() {
    let mut env = impatient();
    env.attach(1, worker("w1", "a", 1));
    env.submit(1);
    env.submit(2);
    assert_eq!(env.after(30), [revoke(1, 1, 1), env.lease(1, 1, 2)]);
    // Somebody else has begun anew and is told to stop; the slot goes to the next task.
    assert_eq!(env.finish(1, 1, 1), [accept(1), revoke(1, 1, 2), env.lease(1, 2, 1)]);
    assert_eq!(env.finish(1, 1, 2), [stale(1, 1, 2)]);
}

#[test]
fn a_result_from_an_expired_lease_is_kept_while_the_task_waits() {
    let mut env = Env::new();
    env.attach(1, worker("w1", "a", 1));
    env.submit(1);
    env.detach(1);
    assert_eq!(env.finish(1, 1, 1), [accept(1)]);
    assert_eq!(env.scheduler.counts(), Counts::default());
}

#[test]
fn a_failure_from_an_expired_lease_does_not_count() {
    let mut env = impatient();
    env.attach(1, worker("w1", "a", 1));
    env.submit(1);
    env.after(30);
    assert_eq!(env.fail(1, 1, 1, false), [stale(1, 1, 1)]);
    assert_eq!(env.why(1), "runs on worker w1, attempt 2");
}

#[test]
fn a_withdrawn_task_is_dequeued_or_revoked_and_its_result_is_stale() {
    let mut env = Env::new();
    env.attach(1, worker("w1", "a", 1));
    env.submit(1);
    env.submit(2);
    assert_eq!(env.withdraw(2), []);
    assert_eq!(env.withdraw(1), [revoke(1, 1, 1)]);
    assert_eq!(env.finish(1, 1, 1), [stale(1, 1, 1)]);
    assert_eq!(env.withdraw(1), []);
    // Wanted again: the old lease must not pass for the new one.
    assert_eq!(env.submit(1), [env.lease(1, 1, 2)]);
}

#[test]
fn a_measurement_needs_its_device() {
    let mut env = Env::new();
    env.attach(1, worker("w1", "a", 1));
    env.submit_measurement(1, "pixel4");
    assert_eq!(env.why(1), "no worker with device=pixel4 attached");
    // The device is only measured: it takes no compute.
    assert_eq!(env.attach(2, phone()), [env.lease(2, 1, 1)]);
    env.submit(2);
    env.submit(3);
    assert_eq!(env.why(3), "waits for a free slot (1 of 1 in use)");
}

#[test]
fn a_measurement_has_the_host_to_itself() {
    let mut env = Env::new();
    env.attach(1, worker("w1", "desk", 2));
    env.attach(2, phone());
    assert_eq!(env.submit_measurement(1, "pixel4"), [env.lease(2, 1, 1)]);
    // Neither compute nor another device of the same host.
    assert_eq!(env.submit(2), []);
    assert_eq!(env.why(2), "waits for a measurement to end: the only free slots are on desk");
    assert_eq!(env.submit_measurement(3, "local"), []);
    assert_eq!(env.why(3), "waits for its turn on host desk: another measurement runs there");
    // The measurement goes before the compute that came first.
    assert_eq!(env.finish(2, 1, 1), [accept(1), env.lease(1, 3, 1)]);
    assert_eq!(env.finish(1, 3, 1), [accept(3), env.lease(1, 2, 1)]);
}

#[test]
fn a_host_is_reserved_until_it_is_drained_and_the_measurement_ran() {
    let mut env = Env::new();
    env.attach(1, worker("w1", "a", 2));
    env.submit(1);
    env.submit(2);
    env.submit_measurement(3, "local");
    assert_eq!(env.why(3), "waits for host a to become quiet: 2 tasks still run there");
    env.submit(4);
    assert_eq!(env.finish(1, 1, 1), [accept(1)]);
    assert_eq!(env.why(3), "waits for host a to become quiet: 1 task still runs there");
    assert_eq!(env.why(4), "waits for a measurement to end: the only free slots are on a");
    assert_eq!(env.finish(1, 2, 1), [accept(2), env.lease(1, 3, 1)]);
    assert_eq!(env.finish(1, 3, 1), [accept(3), env.lease(1, 4, 1)]);
}

#[test]
fn only_the_least_busy_host_is_reserved() {
    let mut env = Env::new();
    env.attach(1, worker("w1", "a", 2));
    env.attach(2, worker("w2", "b", 2));
    (1..=3).for_each(|task| drop(env.submit(task))); // a: 1 and 3, b: 2
    env.submit_measurement(4, "local");
    assert_eq!(env.why(4), "waits for host b to become quiet: 1 task still runs there");
    assert_eq!(env.submit(5), []);
    // Now a is as little busy, and of equals the first name is reserved: b is free again.
    assert_eq!(env.finish(1, 1, 1), [accept(1), env.lease(2, 5, 1)]);
    assert_eq!(env.why(4), "waits for host a to become quiet: 1 task still runs there");
}

#[test]
fn hosts_measure_in_parallel() {
    let mut env = Env::new();
    env.attach(1, worker("w1", "a", 2));
    env.attach(2, worker("w2", "b", 2));
    assert_eq!(env.submit_measurement(1, "local"), [env.lease(1, 1, 1)]);
    assert_eq!(env.submit_measurement(2, "local"), [env.lease(2, 2, 1)]);
    assert_eq!(env.submit_measurement(3, "local"), []);
}

#[test]
fn a_withdrawn_measurement_frees_its_host_for_compute() {
    let mut env = Env::new();
    env.attach(1, worker("w1", "a", 2));
    env.submit(1);
    env.submit_measurement(2, "local");
    assert_eq!(env.submit(3), []);
    assert_eq!(env.withdraw(2), [env.lease(1, 3, 1)]);
}

#[test]
fn nonsense_from_outside_changes_nothing() {
    let mut env = Env::new();
    assert_eq!(env.finish(7, 1, 1), [stale(7, 1, 1)]);
    assert_eq!(env.fail(7, 1, u32::MAX, true), [stale(7, 1, u32::MAX)]);
    assert_eq!(env.detach(7), []);
    assert_eq!(env.heartbeat(7), [Command::Drop { worker: WorkerId(7) }]);
    env.submit(1);
    assert_eq!(env.attach(1, worker("w1", "a", 0)), [], "a worker without slots gets nothing");
    assert_eq!(env.why(1), "no worker that computes attached");
    env.attach_holding(2, worker("w2", "a", 1), &[(1, u32::MAX)]);
    env.detach(2);
    assert_eq!(env.attach(2, worker("w2", "a", 1)), [env.lease(2, 1, u32::MAX)], "saturates");
}

#[test]
fn the_views_show_who_runs_what() {
    let mut env = Env::new();
    env.attach(1, worker("w1", "a", 1));
    env.submit(1);
    env.submit(2);
    let info = worker("w1", "a", 1);
    let views: Vec<_> = env.scheduler.workers().collect();
    assert_eq!(views, [WorkerView { id: WorkerId(1), info: &info, leases: vec![(key(1), Attempt(1))] }]);
    assert_eq!(env.scheduler.counts(), Counts { queued: 1, running: 1 });
}
