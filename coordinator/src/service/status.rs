//! What is known of a run of an experiment while it goes on, for those who watch.

use crate::report::{Round, SplitRecord, Summary, round_line};
use crate::run::Record;
use crate::store::ExperimentState;
use pleach_shared::submission::Submission;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// What is known of one run of an experiment while it goes on: shared by the run, which writes, and by watchers.
pub struct Live {
    state: Mutex<State>,
    changed: watch::Sender<()>,
}

/// What a watcher sees.
#[derive(Debug, Clone, PartialEq)]
pub struct View {
    /// Where the experiment stands.
    pub state: ExperimentState,
    /// What goes on, for people.
    pub phase: String,
    /// Tasks answered in this run.
    pub done: u64,
    /// How many of them came from the memo.
    pub reused: u64,
    /// Estimated seconds left; 0 where unknown.
    pub left_s: f64,
    /// The lines since the one asked for.
    pub lines: Vec<String>,
}

struct State {
    state: ExperimentState,
    summary: Summary,
    phase: String,
    lines: Vec<String>,
    started: Instant,
    pace: Pace,
}

impl Live {
    /// A run that starts now, with nothing found yet.
    pub fn new(id: &str, submission: &Submission) -> Live {
        let state = State {
            state: ExperimentState::Running,
            summary: fresh_summary(id, submission, ExperimentState::Running),
            phase: "starting".into(),
            lines: Vec::new(),
            started: Instant::now(),
            pace: Pace::default(),
        };
        Live { state: Mutex::new(state), changed: watch::Sender::new(()) }
    }

    /// Told of every change.
    pub fn subscribe(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Where the experiment stands.
    pub fn state(&self) -> ExperimentState {
        self.with(|state| state.state)
    }

    /// Where the run stands, with the lines from number `from` on.
    pub fn view(&self, from: usize) -> View {
        self.with(|state| View {
            state: state.state,
            phase: state.phase.clone(),
            done: (state.summary.tasks.run + state.summary.tasks.reused) as u64,
            reused: state.summary.tasks.reused as u64,
            left_s: state.left(),
            lines: state.lines.get(from..).unwrap_or_default().to_vec(),
        })
    }

    /// The summary until now, JSON.
    pub fn summary_json(&self) -> Vec<u8> {
        self.with(State::summary_json)
    }

    /// How the run ended, written into the summary, which is answered as JSON. Watchers hear of it by [`Live::announce`], once
    /// it is stored.
    pub fn end(&self, ended: ExperimentState, error: Option<&str>) -> Vec<u8> {
        self.with(|state| {
            state.summary.state = ended.to_string();
            state.summary.error = error.map(str::to_owned);
            state.summary_json()
        })
    }

    /// Tells watchers how the run ended.
    pub fn announce(&self, ended: ExperimentState, error: Option<&str>) {
        self.update(|state| {
            state.state = ended;
            state.phase = ended.to_string();
            state.lines.extend(error.map(|error| format!("failed: {error}")));
        });
    }

    /// Counts a task that was answered, and says whether the memo did.
    pub fn answered(&self, reused: bool) {
        self.update(|state| match reused {
            true => state.summary.tasks.reused += 1,
            false => state.summary.tasks.run += 1,
        });
    }

    /// Says what goes on.
    pub fn phase(&self, text: String) {
        self.update(|state| state.phase = text);
    }

    /// Writes a record into the summary, which is answered as JSON. Watchers hear of it by [`Live::recorded`], once it is
    /// stored.
    pub fn apply(&self, record: &Record) -> Vec<u8> {
        self.with(|state| {
            record.apply(&mut state.summary);
            state.summary_json()
        })
    }

    /// Tells watchers of a record.
    pub fn recorded(&self, record: &Record) {
        self.update(|state| match record {
            Record::Round(round) => {
                state.lines.push(line(round, &state.summary));
                state.pace.round_ended(state.summary.tasks.run);
            }
            Record::Note(note) => state.lines.push(note.clone()),
            // The first thing that a search for a budget says.
            Record::Budget(_) => state.pace = Pace::starting(state.summary.tasks.run),
            Record::Dense(_) | Record::Sensitivity(_) | Record::Searched(_) | Record::Final(_) | Record::Layers(_) | Record::Model(_) => {}
        });
    }

    fn with<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.lock())
    }

    fn update(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
        self.changed.send_replace(());
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Plain data, whole after every line: a panic elsewhere leaves nothing half-done here.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The summary of an experiment of which nothing is known but what was submitted.
pub fn fresh_summary(id: &str, submission: &Submission, state: ExperimentState) -> Summary {
    Summary {
        experiment: submission.spec.name.clone(),
        id: id.to_owned(),
        state: state.to_string(),
        splits: splits(submission),
        ..Summary::default()
    }
}

/// The lines of the rounds that a summary has, as a watcher that came late gets them.
pub fn round_lines(summary: &Summary) -> Vec<String> {
    summary.rounds.iter().map(|round| line(round, summary)).collect()
}

fn line(round: &Round, summary: &Summary) -> String {
    let dense = summary.budget.as_ref().zip(summary.dense.as_ref()).and_then(|(budget, dense)| dense.predicted(&budget.resource));
    // Without a dense figure the line leaves the ratio out.
    round_line(round, dense.unwrap_or(f64::NAN))
}

impl State {
    fn summary_json(&mut self) -> Vec<u8> {
        self.summary.seconds = self.started.elapsed().as_secs_f64();
        // Plain data with string keys: serialising cannot fail.
        serde_json::to_vec(&self.summary).unwrap_or_default()
    }

    /// What is left of the search, in seconds: so many rounds at the mean pace. 0 where that is unknown.
    fn left(&self) -> f64 {
        let (Some(rounds), Some(pace), false) = (rounds_left(&self.summary), self.pace.mean(), self.state.is_final()) else { return 0.0 };
        pace.mul_f64(rounds).saturating_sub(self.pace.since.elapsed()).as_secs_f64()
    }
}

/// How many rounds a search still needs: what is left to its budget, at the mean step of the rounds that it did. `None` where
/// that says nothing: before the first round, after the search, or if the rounds lead nowhere.
fn rounds_left(summary: &Summary) -> Option<f64> {
    let (Summary { budget: Some(budget), rounds, searched: None, .. }, Some(last)) = (summary, summary.rounds.last()) else { return None };
    let dense = summary.dense.as_ref()?.predicted(&budget.resource)?;
    let step = (dense - last.resource) / rounds.len() as f64;
    let left = ((last.resource - budget.target) / step).ceil();
    // More than a million rounds is no estimate.
    (step > 0.0 && (0.0..1e6).contains(&left)).then_some(left)
}

/// How long rounds take. Rounds that came from the memo do not count: they take no time and say nothing about the next.
struct Pace {
    since: Instant,
    run_before: usize,
    rounds: u32,
    took: Duration,
}

impl Default for Pace {
    fn default() -> Pace {
        Pace::starting(0)
    }
}

impl Pace {
    /// The first round starts, after so many tasks that were run.
    fn starting(run: usize) -> Pace {
        Pace { since: Instant::now(), run_before: run, rounds: 0, took: Duration::ZERO }
    }

    fn round_ended(&mut self, run: usize) {
        if run > self.run_before {
            self.took += self.since.elapsed();
            self.rounds += 1;
        }
        (self.since, self.run_before) = (Instant::now(), run);
    }

    fn mean(&self) -> Option<Duration> {
        (self.rounds > 0).then(|| self.took / self.rounds)
    }
}

fn splits(submission: &Submission) -> BTreeMap<String, SplitRecord> {
    let splits = &submission.data.splits;
    let named = [("train", &splits.train), ("holdout", &splits.holdout), ("test", &splits.test)];
    named.into_iter().map(|(name, split)| (name.to_owned(), SplitRecord { images: split.images, hash: split.hash.to_string() })).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Budget, Figures};

    fn summary(dense: f64, rounds: &[f64]) -> Summary {
        let round = |&resource: &f64| Round { resource, ..Round::default() };
        Summary {
            budget: Some(Budget { resource: "latency".into(), target: 5.0, ..Budget::default() }),
            dense: Some(Figures { latency_ms: Some(dense), ..Figures::default() }),
            rounds: rounds.iter().map(round).collect(),
            ..Summary::default()
        }
    }

    #[test]
    fn rounds_left_are_what_is_left_at_the_mean_step() {
        assert_eq!(rounds_left(&summary(10.0, &[9.5, 8.0])), Some(3.0), "3 ms left, 1 ms a round");
        assert_eq!(rounds_left(&summary(10.0, &[5.0])), Some(0.0));
    }

    #[test]
    fn where_nothing_is_known_nothing_is_estimated() {
        assert_eq!(rounds_left(&summary(10.0, &[])), None, "before the first round");
        assert_eq!(rounds_left(&summary(10.0, &[10.0])), None, "no step");
        assert_eq!(rounds_left(&summary(10.0, &[12.0])), None, "the wrong way");
        assert_eq!(rounds_left(&summary(f64::NAN, &[9.0])), None);
        assert_eq!(rounds_left(&Summary { searched: Some(Figures::default()), ..summary(10.0, &[8.0]) }), None, "done");
    }

    #[test]
    fn rounds_from_the_memo_say_nothing_about_the_pace() {
        let mut pace = Pace::starting(0);
        pace.round_ended(0);
        assert_eq!(pace.mean(), None);
        pace.round_ended(5);
        assert!(pace.mean().is_some());
    }
}
