//! NetAdapt (Yang et al., ECCV 2018): narrow one group a round until the budget is met.

use super::{LatencyTable, trained};
use crate::report::{Budget, Candidate, Figures, Round};
use crate::run::{Record, Run, RunError};
use pleach_shared::network::{Group, Groups, Network};
use pleach_shared::plan::{Plan, can_rank, keep_best};
use pleach_shared::spec::{Netadapt, Resource, Select, reachable_minimum};
use pleach_shared::submission::Submission;
use pleach_shared::task::{Adapt, BlobId, Latency, Prune, Task, Trained};

/// The network that met the budget.
#[derive(Debug, Clone, PartialEq)]
pub struct Searched {
    /// Its architecture.
    pub network: Network,
    /// Its weights after the last short-term fine-tune.
    pub model: BlobId,
    /// Its figures; accuracy on holdout.
    pub figures: Figures,
}

/// A group narrowed to the widest count that meets a round's target.
struct Proposal {
    group: String,
    channels: usize,
    /// Of the whole network with this group narrowed.
    resource: f64,
}

/// Runs rounds until the resource is within the budget: predicted by the table and, for latency, measured whole.
///
/// Round `i` (from 1) aims at the current resource less `step.initial * step.decay^(i-1)` of the dense network's. Every
/// group proposes its widest count that meets the target, each proposal is fine-tuned briefly, the best one is kept.
///
/// # Errors
/// When a task fails for good, or the budget is out of reach.
pub async fn netadapt<R: Run>(
    run: &R,
    spec: &Netadapt,
    submission: &Submission,
    model: BlobId,
    accuracy: f64,
    latency: Latency,
    table: &LatencyTable<'_, R>,
) -> Result<Searched, RunError> {
    let dense = &submission.network;
    let meter = Meter::new(spec, table, dense, latency.median_ms).await?;
    let dense_resource = meter.predict(dense).await?;
    let (kind, budget) = (spec.budget.resource(), spec.budget.target(dense_resource));
    run.record(Record::Budget(Budget {
        resource: kind.to_string(),
        device: (kind == Resource::Latency).then(|| spec.budget.device.clone()),
        target: budget,
        unit: unit(kind).into(),
    }))
    .await?;

    let mut network = dense.clone();
    let (mut model, mut accuracy, mut resource) = (model, accuracy, dense_resource);
    let mut measured = meter.measure(&network).await?;
    let mut round = 0;
    while resource > budget || measured.is_some_and(|latency| latency.median_ms > budget) {
        if round == spec.max_rounds {
            let reached = measured.map_or(resource, |latency| latency.median_ms.max(resource));
            return Err(RunError::Search(format!(
                "the budget is not met after {round} rounds: {kind} is at {}, the budget is {}; raise search.netadapt.max_rounds \
                 or step.initial and run again (finished rounds are reused)",
                amount(kind, reached),
                amount(kind, budget),
            )));
        }
        round += 1;
        let step = spec.step.initial * spec.step.decay.powi(round as i32 - 1) * dense_resource;
        let target = resource - step;

        run.phase(format!("round {round}: choosing widths"));
        let groups = network.groups().map_err(shape)?;
        let mut proposals = Vec::new();
        for (index, group) in groups.all().iter().enumerate() {
            if group.fixed.is_some() || !can_rank(&network, &groups, index, spec.criterion) {
                continue;
            }
            if let Some(proposal) = propose(&meter, spec, &network, group, target).await? {
                proposals.push(proposal);
            }
        }
        // A candidate that saves nothing cannot win; training it would be waste.
        proposals.retain(|proposal| proposal.resource < resource);
        if proposals.is_empty() {
            return Err(RunError::Search(format!(
                "no group can be narrowed further: {kind} is at {}, the budget is {}; lower search.netadapt.channels.min or multiple_of, \
                 or raise the budget",
                amount(kind, resource),
                amount(kind, budget),
            )));
        }
        run.phase(format!("round {round}: fine-tuning {} candidates", proposals.len()));
        let adapt = |proposal: &Proposal| {
            Task::Adapt(Adapt {
                model,
                prune: Prune::Channels { group: proposal.group.clone(), channels: proposal.channels, criterion: spec.criterion },
                recipe: spec.short_term.clone(),
                data: submission.data.clone(),
                seed: spec.short_term.seed.unwrap_or(submission.spec.seed).wrapping_add(round as u64),
            })
        };
        let results = run.all(proposals.iter().map(adapt).collect()).await?;
        let results = results.into_iter().map(trained).collect::<Result<Vec<Trained>, _>>()?;

        let scored: Vec<(f64, f64)> =
            proposals.iter().zip(&results).map(|(proposal, trained)| (trained.evaluation.accuracy(), proposal.resource)).collect();
        let winner = select(spec.select, accuracy, resource, &scored);
        let missed = proposals[winner].resource > target;
        let plan = Plan { keep: results[winner].kept.clone(), ..Plan::default() };
        network = plan.apply(&network).map_err(|error| RunError::Search(error.to_string()))?.network;
        // Its shapes are what was proposed, but where channels are split up: there it depends on which ones were kept.
        (model, accuracy, resource) = (results[winner].model, scored[winner].0, meter.predict(&network).await?);
        measured = meter.measure(&network).await?;

        let cost = network.cost().map_err(shape)?;
        let latency = kind == Resource::Latency;
        run.record(Record::Round(Round {
            round,
            target,
            resource,
            accuracy,
            group: proposals[winner].group.clone(),
            channels: proposals[winner].channels,
            predicted_ms: latency.then_some(resource),
            measured_ms: measured.map(|latency| latency.median_ms),
            macs: cost.macs,
            params: cost.params,
            candidates: proposals
                .iter()
                .zip(&results)
                .map(|(proposal, trained)| Candidate {
                    group: proposal.group.clone(),
                    channels: proposal.channels,
                    resource: proposal.resource,
                    accuracy: trained.evaluation.accuracy(),
                })
                .collect(),
        }))
        .await?;
        if missed {
            let group = &proposals[winner].group;
            run.record(Record::Note(format!(
                "round {round}: {group} at its fewest channels misses the round's target; it won all the same"
            )))
            .await?;
        }
        run.record(Record::Model(model)).await?;
    }

    let cost = network.cost().map_err(shape)?;
    // Whatever the budget is about, people want to see the latency.
    let latency = table.whole(&network).await?;
    Ok(Searched {
        figures: Figures {
            accuracy_holdout: Some(accuracy),
            latency_ms: Some(latency.median_ms),
            latency_spread_ms: Some(latency.mad_ms),
            predicted_ms: (kind == Resource::Latency).then_some(resource),
            macs: cost.macs,
            params: cost.params,
            ..Figures::default()
        },
        network,
        model,
    })
}

/// Refuses a budget that the schedule, or the narrowest network, cannot reach. `latency_ms` is the dense network's.
///
/// # Errors
/// With the reachable minimum in the message.
pub fn feasible(spec: &Netadapt, network: &Network, latency_ms: f64) -> Result<(), RunError> {
    let cost = network.cost().map_err(shape)?;
    let resource = spec.budget.resource();
    let dense = match resource {
        Resource::Latency => latency_ms,
        Resource::Macs => cost.macs as f64,
        Resource::Params => cost.params as f64,
    };
    let budget = spec.budget.target(dense);
    let minimum = reachable_minimum(&spec.step, spec.max_rounds);
    if budget < minimum * dense {
        // A ratio is refused before the dense network's latency is known.
        let at_least = if spec.budget.is_relative() { format!("{minimum:.3}") } else { amount(resource, minimum * dense) };
        return Err(RunError::Search(format!(
            "the schedule cannot reach the budget: {} rounds with step {{initial: {}, decay: {}}} come down to {:.1} % of the dense network's {resource} at best, \
             the budget is {:.1} %; raise step.initial, step.decay or max_rounds, or raise the budget to at least {at_least}",
            spec.max_rounds,
            spec.step.initial,
            spec.step.decay,
            minimum * 100.0,
            budget / dense * 100.0,
        )));
    }
    if resource == Resource::Latency {
        return Ok(());
    }
    let mut plan = Plan::default();
    let groups = network.groups().map_err(shape)?;
    for (index, group) in groups.all().iter().enumerate().filter(|(_, group)| group.fixed.is_none()) {
        let smallest = counts(spec, group.channels).last().unwrap_or(group.channels);
        plan.keep.insert(group.name.clone(), spread(network, &groups, index, smallest));
    }
    let narrowest =
        plan.apply(network).and_then(|applied| Ok(applied.network.cost()?)).map_err(|error| RunError::Search(error.to_string()))?;
    let minimum = if resource == Resource::Macs { narrowest.macs } else { narrowest.params } as f64;
    match budget < minimum {
        true => Err(RunError::Search(format!(
            "the budget cannot be reached: with every group at its fewest channels (min {}, multiple_of {}) {resource} is still at {}, the budget is {}; \
             lower channels.min, or raise the budget to at least {}",
            spec.channels.min,
            spec.channels.multiple_of,
            amount(resource, minimum),
            amount(resource, budget),
            amount(resource, minimum),
        ))),
        false => Ok(()),
    }
}

/// The first round's candidates of a search on MACs or parameters, which need no measurement: `(group, channels, resource)`.
///
/// # Errors
/// When the network does not fit together.
pub fn first_candidates(spec: &Netadapt, network: &Network) -> Result<Vec<(String, usize, f64)>, RunError> {
    let dense = counted(spec.budget.resource(), network)?;
    let target = dense - spec.step.initial * dense;
    let mut candidates = Vec::new();
    let groups = network.groups().map_err(shape)?;
    for (index, group) in groups.all().iter().enumerate() {
        if group.fixed.is_some() || !can_rank(network, &groups, index, spec.criterion) {
            continue;
        }
        let mut found = None;
        for channels in counts(spec, group.channels) {
            let resource = counted(spec.budget.resource(), &narrowed(network, group, channels)?)?;
            found = Some((group.name.clone(), channels, resource));
            if resource <= target {
                break;
            }
        }
        candidates.extend(found);
    }
    Ok(candidates)
}

/// The widest count of a group that meets the target, or its fewest channels if none does: such a candidate still
/// competes. `None` where the group is at its fewest already.
async fn propose<R: Run>(
    meter: &Meter<'_, R>,
    spec: &Netadapt,
    network: &Network,
    group: &Group,
    target: f64,
) -> Result<Option<Proposal>, RunError> {
    let mut proposal = None;
    for channels in counts(spec, group.channels) {
        let resource = meter.predict(&narrowed(network, group, channels)?).await?;
        proposal = Some(Proposal { group: group.name.clone(), channels, resource });
        if resource <= target {
            break;
        }
    }
    Ok(proposal)
}

/// Counts that a group of this width can be narrowed to, largest first.
fn counts(spec: &Netadapt, channels: usize) -> impl Iterator<Item = usize> {
    let (multiple, min) = (spec.channels.multiple_of.max(1), spec.channels.min.max(1));
    let largest = channels.saturating_sub(1) / multiple;
    (1..=largest).rev().map(move |factor| factor * multiple).take_while(move |&count| count >= min)
}

/// The network with a group at a number of channels. Which ones hardly matters to shapes: only where channels are split up
/// (ShuffleNet) does each part get its share.
fn narrowed(network: &Network, group: &Group, channels: usize) -> Result<Network, RunError> {
    let groups = network.groups().map_err(shape)?;
    let index = groups.find(&group.name).map_or(0, |(index, _)| index);
    let plan = Plan::one(&group.name, spread(network, &groups, index, channels));
    plan.apply(network).map(|applied| applied.network).map_err(|error| RunError::Search(error.to_string()))
}

/// Units of a group at even distances, at least one in every layer that has some.
fn spread(network: &Network, groups: &Groups, group: usize, count: usize) -> Vec<usize> {
    let units = groups.all()[group].channels;
    let mut scores = vec![0.0; units];
    for place in 0..count.min(units) {
        scores[place * units / count] = 1.0;
    }
    keep_best(network, groups, group, &scores, count)
}

/// The winner's index. By ratio, as the official code has it: the smallest (accuracy drop + 1e-6) / (resource drop + 1e-5)
/// with accuracy in percent; by accuracy, as the paper's algorithm 1 has it. Ties go to the lower index. All candidates save something.
pub(super) fn select(rule: Select, accuracy: f64, resource: f64, candidates: &[(f64, f64)]) -> usize {
    let score = |&(candidate, cost): &(f64, f64)| match rule {
        Select::AccuracyPerResource => ((accuracy - candidate) * 100.0 + 1e-6) / (resource - cost + 1e-5),
        Select::Accuracy => -candidate,
    };
    let mut best = 0;
    for index in 1..candidates.len() {
        if score(&candidates[index]) < score(&candidates[best]) {
            best = index;
        }
    }
    best
}

/// What the budget is about, predicted for any network.
struct Meter<'a, R> {
    table: &'a LatencyTable<'a, R>,
    resource: Resource,
    /// Measured over summed latency of the dense network: what a whole network costs beyond its layers.
    factor: f64,
}

impl<'a, R: Run> Meter<'a, R> {
    async fn new(spec: &Netadapt, table: &'a LatencyTable<'a, R>, dense: &Network, latency_ms: f64) -> Result<Meter<'a, R>, RunError> {
        let resource = spec.budget.resource();
        let factor = if resource == Resource::Latency { latency_ms / table.sum(dense).await? } else { 1.0 };
        Ok(Meter { table, resource, factor })
    }

    async fn predict(&self, network: &Network) -> Result<f64, RunError> {
        match self.resource {
            Resource::Latency => Ok(self.table.sum(network).await? * self.factor),
            Resource::Macs | Resource::Params => counted(self.resource, network),
        }
    }

    /// The whole network, where the budget is about what only a measurement tells.
    async fn measure(&self, network: &Network) -> Result<Option<Latency>, RunError> {
        match self.resource {
            Resource::Latency => self.table.whole(network).await.map(Some),
            Resource::Macs | Resource::Params => Ok(None),
        }
    }
}

fn counted(resource: Resource, network: &Network) -> Result<f64, RunError> {
    let cost = network.cost().map_err(shape)?;
    Ok(if resource == Resource::Params { cost.params } else { cost.macs } as f64)
}

/// An amount as people read it: `0.4120 ms`, `112412 MACs`.
fn amount(resource: Resource, value: f64) -> String {
    match resource {
        Resource::Latency => format!("{value:.4} ms"),
        Resource::Macs | Resource::Params => format!("{value:.0} {}", unit(resource)),
    }
}

fn unit(resource: Resource) -> &'static str {
    match resource {
        Resource::Latency => "ms",
        Resource::Macs => "MACs",
        Resource::Params => "parameters",
    }
}

fn shape(error: pleach_shared::network::ShapeError) -> RunError {
    RunError::Search(error.to_string())
}
