//! Searches against tables of results: no network, no store, no Burn.

use super::*;
use crate::report::Round;
use pleach_shared::data::{Amount, Cut, Format, SplitHashes, SplitRecord};
use pleach_shared::network::{Builder, Op};
use pleach_shared::spec::{self, Netadapt, Spec};
use pleach_shared::submission::Submission;
use pleach_shared::task::{DataRef, Latency, Outcome, Prune, TaskKey, Trained};
use std::collections::BTreeMap;
use std::sync::Mutex;

/// A world in which a model is its network, an accuracy is a function of the network, and a latency is one of its MACs.
struct World {
    accuracy: fn(&Network) -> f64,
    milliseconds: fn(&Network) -> f64,
    models: Mutex<BTreeMap<BlobId, Network>>,
    memo: Mutex<BTreeMap<TaskKey, Outcome>>,
    records: Mutex<Vec<Record>>,
}

impl World {
    fn new(accuracy: fn(&Network) -> f64) -> World {
        let milliseconds = |network: &Network| 0.01 + network.cost().unwrap().macs as f64 / 1e6;
        World { accuracy, milliseconds, models: Mutex::default(), memo: Mutex::default(), records: Mutex::default() }
    }

    fn keep(&self, network: Network) -> BlobId {
        let blob = BlobId::of(&serde_json::to_vec(&network).unwrap());
        self.models.lock().unwrap().insert(blob, network);
        blob
    }

    fn evaluation(&self, network: &Network) -> Evaluation {
        Evaluation { right: ((self.accuracy)(network) * 100.0).round() as u64, total: 10_000, loss: 1.0 }
    }

    fn answer(&self, task: &Task) -> Outcome {
        let trained = |network: Network, kept| {
            let evaluation = self.evaluation(&network);
            Outcome::Trained(Trained { model: self.keep(network), kept, nonzero: None, evaluation, steps: 1, train_loss: 1.0 })
        };
        let model = |blob: &BlobId| self.models.lock().unwrap()[blob].clone();
        match task {
            Task::Train(Train { start: Start::Network(network), .. }) => trained(network.clone(), BTreeMap::new()),
            Task::Train(Train { start: Start::Model(blob), .. }) => trained(model(blob), BTreeMap::new()),
            Task::Adapt(adapt) => {
                let Prune::Channels { group, channels, .. } = &adapt.prune else { panic!("NetAdapt prunes groups") };
                let plan = pleach_shared::plan::Plan::one(group, (0..*channels).collect());
                trained(plan.apply(&model(&adapt.model)).unwrap().network, plan.keep)
            }
            Task::Evaluate(task) => Outcome::Evaluated(self.evaluation(&model(&task.model))),
            Task::Measure(task) => {
                let ms = (self.milliseconds)(&task.network);
                Outcome::Measured(Latency { median_ms: ms, mad_ms: 0.0, min_ms: ms, p10_ms: ms, p90_ms: ms, runs: 1, threads: 1 })
            }
        }
    }

    fn rounds(&self) -> Vec<Round> {
        self.records
            .lock()
            .unwrap()
            .iter()
            .filter_map(|record| if let Record::Round(round) = record { Some(round.clone()) } else { None })
            .collect()
    }
}

impl Run for World {
    async fn task(&self, task: Task) -> Result<Outcome, RunError> {
        let outcome = self.answer(&task);
        self.memo.lock().unwrap().insert(task.key(), outcome.clone());
        Ok(outcome)
    }

    async fn record(&self, record: Record) -> Result<(), RunError> {
        self.records.lock().unwrap().push(record);
        Ok(())
    }

    fn phase(&self, _: String) {}
}

fn submission(network: Network, search: &str) -> Submission {
    let text = format!("name: t\nmodel: {{zoo: plain20}}\ndata: {{dataset: fashion-mnist-10k}}\n{search}");
    let spec: Spec = spec::parse(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let record = || SplitRecord { images: 1, hash: String::new() };
    let data = DataRef {
        format: Format::Idx,
        files: Vec::new(),
        cut: Cut { holdout: Amount::Count(1), test: None },
        splits: SplitHashes { train: record(), holdout: record(), test: record() },
        normalize: None,
        augment: spec.data.augment,
    };
    Submission { spec, network, data, checkpoint: None }
}

fn netadapt_of(submission: &Submission) -> &Netadapt {
    let Some(Search::Netadapt(netadapt)) = &submission.spec.search else { panic!("no search") };
    netadapt
}

/// Runs a search in a world, to its end or its error.
fn search(world: &World, submission: &Submission) -> Result<Searched, RunError> {
    futures::executor::block_on(async {
        let table = LatencyTable::new(world, "local");
        let model = world.keep(submission.network.clone());
        let accuracy = world.evaluation(&submission.network).accuracy();
        let latency = table.whole(&submission.network).await?;
        netadapt(world, netadapt_of(submission), submission, model, accuracy, latency, &table).await
    })
}

/// The network of the official code's helloworld: four 3x3 convolutions without bias.
fn helloworld() -> Network {
    let mut b = Builder::new();
    let mut x = b.input([3, 32, 32]);
    for (name, channels) in [("a", 16), ("b", 32), ("c", 64), ("d", 10)] {
        x = b.conv(name, x, channels, 3, 1, 1, 1);
    }
    b.finish(x).unwrap()
}

/// Its stub of an accuracy, in percent.
fn helloworld_accuracy(network: &Network) -> f64 {
    let widths = network.widths();
    match (widths[0].1 < 16, widths[1].1 < 32, widths[2].1 < 64) {
        (false, false, false) | (true, true, false) => 95.0,
        (true, false, false) => 1.0,
        (false, true, false) => 5.0,
        (false, false, true) => 80.0,
        (true, false, true) => 85.0,
        (false, true, true) => 10.0,
        (true, true, true) => 90.0,
    }
}

fn helloworld_rounds(resource: &str, step: f64, rounds: usize) -> Vec<(f64, Vec<usize>)> {
    let text = format!(
        "search:\n  netadapt:\n    budget: {{{resource}: 0.000001}}\n    step: {{initial: {step}, decay: 1.0}}\n    channels: {{multiple_of: 1, min: 1}}\n    max_rounds: {rounds}\n"
    );
    let world = World::new(helloworld_accuracy);
    let submission = submission(helloworld(), &text);
    // The budget is out of reach on purpose: the golden case stops after its rounds.
    let error = search(&world, &submission).unwrap_err();
    assert!(error.to_string().contains("not met after"), "{error}");
    let mut network = helloworld();
    let mut history = vec![(world_resource(&network, resource), widths_of(&network))];
    for round in world.rounds() {
        let plan = pleach_shared::plan::Plan::one(&round.group, (0..round.channels).collect());
        network = plan.apply(&network).unwrap().network;
        history.push((round.resource, widths_of(&network)));
    }
    history
}

fn world_resource(network: &Network, resource: &str) -> f64 {
    let cost = network.cost().unwrap();
    if resource == "macs" { cost.macs as f64 } else { cost.params as f64 }
}

fn widths_of(network: &Network) -> Vec<usize> {
    network.widths().into_iter().map(|(_, width)| width).collect()
}

/// Numbers from the official code's helloworld example.
#[test]
fn the_helloworld_golden_case_gives_the_official_rounds_for_weights_and_macs() {
    let golden = [(29_232.0, [16, 32, 64, 10]), (28_476.0, [16, 32, 62, 10]), (27_531.0, [13, 32, 62, 10]), (26_181.0, [13, 30, 62, 10])];
    for (resource, factor) in [("params", 1.0), ("macs", 1024.0)] {
        let expected: Vec<_> = golden.iter().map(|(weights, widths)| (weights * factor, widths.to_vec())).collect();
        assert_eq!(helloworld_rounds(resource, 0.025, 3), expected, "{resource}");
    }
}

#[test]
fn the_helloworld_golden_case_with_a_step_of_100_percent() {
    let golden = vec![(29_232.0, vec![16, 32, 64, 10]), (5_418.0, vec![16, 32, 1, 10]), (693.0, vec![1, 32, 1, 10])];
    assert_eq!(helloworld_rounds("params", 1.0, 2), golden);
}

const LATENCY: &str =
    "search:\n  netadapt:\n    budget: {latency: 0.6}\n    step: {initial: 0.05, decay: 1.0}\n    channels: {multiple_of: 2, min: 2}\n";

#[test]
fn a_latency_search_ends_at_or_under_its_budget_predicted_and_measured() {
    let world = World::new(|_| 90.0);
    let submission = submission(helloworld(), LATENCY);
    let dense = (world.milliseconds)(&submission.network);
    let searched = search(&world, &submission).unwrap();
    assert!(searched.figures.latency_ms.unwrap() <= 0.6 * dense);
    assert!(searched.figures.predicted_ms.unwrap() <= 0.6 * dense);
    for round in world.rounds() {
        assert!(round.predicted_ms.is_some() && round.measured_ms.is_some());
    }
}

#[test]
fn rounds_go_on_while_the_whole_network_measures_over_the_budget() {
    let world = World::new(|_| 90.0);
    // A device on which whole networks gain less than their layers do: half of the time never goes away.
    let slow = World {
        milliseconds: |network| {
            let ms = network.cost().unwrap().macs as f64 / 1e6;
            if network.widths().len() == 4 { 15.0 + ms * 0.5 } else { ms }
        },
        ..World::new(|_| 90.0)
    };
    let submission = submission(helloworld(), &LATENCY.replace("0.6", "0.8"));
    search(&world, &submission).unwrap();
    let searched = search(&slow, &submission).unwrap();
    let budget = 0.8 * (slow.milliseconds)(&submission.network);
    assert!(searched.figures.latency_ms.unwrap() <= budget);
    assert!(searched.figures.predicted_ms.unwrap() < budget * 0.9, "the prediction alone was content long before");
    assert!(slow.rounds().len() > world.rounds().len());
}

#[test]
fn the_winner_rules_differ_and_ties_go_to_the_lower_index() {
    // (accuracy, resource): the second loses least, the third saves most for what it loses.
    let candidates = [(0.50, 80.0), (0.895, 89.0), (0.89, 60.0)];
    assert_eq!(netadapt::select(pleach_shared::spec::Select::Accuracy, 0.9, 100.0, &candidates), 1);
    assert_eq!(netadapt::select(pleach_shared::spec::Select::AccuracyPerResource, 0.9, 100.0, &candidates), 2);
    assert_eq!(netadapt::select(pleach_shared::spec::Select::Accuracy, 0.9, 100.0, &[(0.8, 50.0), (0.8, 40.0)]), 0);
}

#[test]
fn a_schedule_that_cannot_reach_its_budget_is_refused_with_the_reachable_minimum() {
    // The official defaults never go below 37.5 %: 1 - 0.025 / (1 - 0.96), less what 30 rounds leave of the series.
    let submission = submission(helloworld(), "search: {netadapt: {budget: {macs: 0.25}, channels: {multiple_of: 1}}}\n");
    let error = netadapt::feasible(netadapt_of(&submission), &submission.network, 1.0).unwrap_err().to_string();
    assert!(error.contains("55.9 % of the dense network"), "{error}");
    let world = World::new(|_| 90.0);
    let result = futures::executor::block_on(run(&submission, &world));
    assert_eq!(result.unwrap_err().to_string(), error);
    assert!(world.memo.lock().unwrap().values().all(|outcome| matches!(outcome, Outcome::Measured(_))), "nothing was trained");
}

#[test]
fn a_budget_below_the_narrowest_network_is_refused() {
    let text = "search: {netadapt: {budget: {params: 0.1}, step: {initial: 0.1, decay: 1.0}, channels: {multiple_of: 8, min: 16}}}\n";
    let submission = submission(helloworld(), text);
    let error = netadapt::feasible(netadapt_of(&submission), &submission.network, 1.0).unwrap_err().to_string();
    assert!(error.contains("every group at its fewest channels"), "{error}");
}

#[test]
fn a_search_called_again_takes_the_same_way_and_a_lower_budget_goes_on_from_there() {
    let rounds = |budget: &str| {
        let world = World::new(helloworld_accuracy);
        let submission = submission(helloworld(), &LATENCY.replace("0.6", budget));
        search(&world, &submission).unwrap();
        (world.rounds(), world.memo.into_inner().unwrap().into_keys().collect::<Vec<_>>())
    };
    let (first, keys) = rounds("0.6");
    assert_eq!(rounds("0.6"), (first.clone(), keys.clone()));
    let (longer, more) = rounds("0.5");
    assert_eq!(longer[..first.len()], first[..], "the rounds so far are the same");
    assert!(keys.iter().all(|key| more.contains(key)), "so are their tasks: the memo answers them");
}

#[test]
fn the_scan_covers_every_group_at_every_ratio_and_the_report_gets_its_figures() {
    let world = World::new(helloworld_accuracy);
    let text = format!("sensitivity: {{ratios: [0.5, 0.9]}}\n{LATENCY}finetune: {{steps: 1}}\n");
    let submission = submission(helloworld(), &text);
    futures::executor::block_on(run(&submission, &world)).unwrap();
    let mut summary = crate::report::Summary::default();
    world.records.lock().unwrap().iter().for_each(|record| record.apply(&mut summary));
    let points: Vec<_> = summary.sensitivity.iter().map(|point| (point.group.as_str(), point.ratio)).collect();
    assert_eq!(points, [("a", 0.0), ("a", 0.5), ("a", 0.9), ("b", 0.0), ("b", 0.5), ("b", 0.9), ("c", 0.0), ("c", 0.5), ("c", 0.9)]);
    assert!(summary.dense.unwrap().accuracy_test.is_some());
    let last = summary.final_.unwrap();
    assert!(last.accuracy_test.is_some() && last.latency_ms.unwrap() <= summary.budget.unwrap().target);
    assert!(summary.layers.iter().any(|layer| layer.after < layer.before));
    assert!(helloworld().layers.iter().all(|layer| !matches!(layer.op, Op::Linear { .. })));
}
