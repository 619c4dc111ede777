//! Searches: durable programs that decide which tasks to run.
//!
//! A search takes time, randomness and measurements only from results, so calling it again with the same results takes the
//! same way: that is how a killed one goes on.

mod latency;
mod netadapt;
mod one_shot;
mod sensitivity;

#[cfg(test)]
mod tests;

pub use latency::LatencyTable;
pub use netadapt::{Searched, feasible, first_candidates, netadapt};
pub use one_shot::one_shot;
pub use sensitivity::sensitivity;

use crate::report::{Figures, LayerWidth};
use crate::run::{Record, Run, RunError};
use pleach_shared::data::SplitName;
use pleach_shared::network::Network;
use pleach_shared::spec::{Resource, Search};
use pleach_shared::submission::Submission;
use pleach_shared::task::{BlobId, Evaluate, Evaluation, Outcome, Start, Task, Train, Trained};

/// An experiment from its dense network to its report's figures.
///
/// # Errors
/// When a task fails for good, or the budget cannot be met.
pub async fn run<R: Run>(submission: &Submission, run: &R) -> Result<(), RunError> {
    let Submission { spec, network, data, checkpoint } = submission;
    let cost = network.cost().map_err(|error| RunError::Search(error.to_string()))?;
    let device = match &spec.search {
        Some(Search::Netadapt(netadapt)) if netadapt.budget.resource() == Resource::Latency => netadapt.budget.device.as_str(),
        _ => "local",
    };
    // Measured first: it takes a second, and tells whether the budget can be reached before anything is trained.
    run.phase("measuring the dense network".into());
    let table = LatencyTable::new(run, device);
    let latency = table.whole(network).await?;
    if let Some(Search::Netadapt(netadapt)) = &spec.search {
        feasible(netadapt, network, latency.median_ms)?;
    }
    let mut dense = Figures {
        latency_ms: Some(latency.median_ms),
        latency_spread_ms: Some(latency.mad_ms),
        macs: cost.macs,
        params: cost.params,
        ..Figures::default()
    };

    let (model, evaluation) = match (checkpoint, &spec.train) {
        (Some(checkpoint), _) => {
            run.phase("evaluating the checkpoint".into());
            (*checkpoint, evaluate(run, submission, *checkpoint, SplitName::Holdout).await?)
        }
        (None, Some(recipe)) => {
            run.phase("training the dense network".into());
            let task = Train {
                start: Start::Network(network.clone()),
                data: data.clone(),
                recipe: recipe.clone(),
                seed: recipe.seed.unwrap_or(spec.seed),
            };
            let trained = trained(run.task(Task::Train(task)).await?)?;
            (trained.model, trained.evaluation)
        }
        (None, None) => return Err(RunError::Search("the document has neither `train` nor `model.checkpoint`".into())),
    };
    dense.accuracy_holdout = Some(evaluation.accuracy());
    run.record(Record::Dense(dense.clone())).await?;
    run.record(Record::Model(model)).await?;

    if let Some(scan) = &spec.sensitivity {
        run.phase("scanning sensitivity".into());
        sensitivity(run, scan, network, model, evaluation, data).await?;
    }
    let searched = match &spec.search {
        Some(Search::Netadapt(search)) => netadapt(run, search, submission, model, evaluation.accuracy(), latency, &table).await?,
        Some(Search::OneShot(search)) => one_shot(run, search, submission, model, &table).await?,
        None => return finish(run, submission, dense, model, None).await,
    };
    let mut figures = searched.figures.clone();
    run.record(Record::Searched(figures.clone())).await?;
    run.record(Record::Layers(widths(network, &searched.network))).await?;

    let mut best = searched.model;
    if let Some(recipe) = &spec.finetune {
        run.phase("fine-tuning the winner".into());
        let task = Train { start: Start::Model(best), data: data.clone(), recipe: recipe.clone(), seed: recipe.seed.unwrap_or(spec.seed) };
        let trained = trained(run.task(Task::Train(task)).await?)?;
        best = trained.model;
        figures.accuracy_holdout = Some(trained.evaluation.accuracy());
        run.record(Record::Model(best)).await?;
    }
    finish(run, submission, dense, model, Some((figures, best))).await
}

/// Reads the test split, once, and records the last figures.
async fn finish<R: Run>(
    run: &R,
    submission: &Submission,
    mut dense: Figures,
    model: BlobId,
    last: Option<(Figures, BlobId)>,
) -> Result<(), RunError> {
    run.phase("reading the test split".into());
    if submission.data.splits.test.images == 0 {
        run.record(Record::Note("there is no test split; accuracy on it is left out".into())).await?;
    } else {
        dense.accuracy_test = Some(evaluate(run, submission, model, SplitName::Test).await?.accuracy());
        run.record(Record::Dense(dense)).await?;
    }
    let Some((mut figures, best)) = last else { return Ok(()) };
    if submission.data.splits.test.images > 0 {
        figures.accuracy_test = Some(evaluate(run, submission, best, SplitName::Test).await?.accuracy());
    }
    run.record(Record::Final(figures)).await
}

async fn evaluate<R: Run>(run: &R, submission: &Submission, model: BlobId, split: SplitName) -> Result<Evaluation, RunError> {
    evaluated(run.task(Task::Evaluate(Evaluate { model, prune: None, data: submission.data.clone(), split })).await?)
}

fn widths(before: &Network, after: &Network) -> Vec<LayerWidth> {
    let pairs = before.widths().into_iter().zip(after.widths());
    pairs.map(|((layer, before), (_, after))| LayerWidth { layer: layer.to_owned(), before, after }).collect()
}

fn trained(outcome: Outcome) -> Result<Trained, RunError> {
    match outcome {
        Outcome::Trained(trained) => Ok(trained),
        other => Err(unexpected("a trained model", &other)),
    }
}

fn evaluated(outcome: Outcome) -> Result<Evaluation, RunError> {
    match outcome {
        Outcome::Evaluated(evaluation) => Ok(evaluation),
        other => Err(unexpected("an evaluation", &other)),
    }
}

fn unexpected(expected: &str, found: &Outcome) -> RunError {
    RunError::Search(format!("a worker answered {found:?} where {expected} was expected; worker and coordinator must be of one version"))
}
