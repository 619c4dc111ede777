//! Everything at once: the usual baseline of a search, and the way to masks.

use super::{LatencyTable, Searched, trained};
use crate::report::Figures;
use crate::run::{Record, Run, RunError};
use pleach_shared::plan::Plan;
use pleach_shared::spec::{Length, OneShot, Optimizer, Recipe, Schedule};
use pleach_shared::submission::Submission;
use pleach_shared::task::{Adapt, BlobId, Prune, Task};

/// Removes the fraction of channels or weights that the document asks for, by one ranking, without fine-tuning.
///
/// # Errors
/// When a task fails for good.
pub async fn one_shot<R: Run>(
    run: &R,
    spec: &OneShot,
    submission: &Submission,
    model: BlobId,
    table: &LatencyTable<'_, R>,
) -> Result<Searched, RunError> {
    run.phase("pruning".into());
    let optimizer = Optimizer::Sgd { lr: 1e-3, momentum: 0.0, weight_decay: 0.0 };
    let schedule = Schedule::Constant { warmup_steps: 0 };
    let nothing = Recipe { length: Length::Steps(0), batch: 1, optimizer, schedule, label_smoothing: 0.0, seed: None };
    let task = Adapt { model, prune: Prune::All(spec.clone()), recipe: nothing, data: submission.data.clone(), seed: submission.spec.seed };
    let pruned = trained(run.task(Task::Adapt(task)).await?)?;
    let plan = Plan { keep: pruned.kept.clone(), ..Plan::default() };
    let network = plan.apply(&submission.network).map_err(|error| RunError::Search(error.to_string()))?.network;
    run.record(Record::Model(pruned.model)).await?;
    let cost = network.cost().map_err(|error| RunError::Search(error.to_string()))?;
    // A mask does not change what the engine computes, so neither does it change the latency.
    let latency = table.whole(&network).await?;
    Ok(Searched {
        figures: Figures {
            accuracy_holdout: Some(pruned.evaluation.accuracy()),
            latency_ms: Some(latency.median_ms),
            latency_spread_ms: Some(latency.mad_ms),
            macs: cost.macs,
            params: cost.params,
            nonzero_macs: pruned.nonzero.map(|cost| cost.macs),
            nonzero_params: pruned.nonzero.map(|cost| cost.params),
            ..Figures::default()
        },
        network,
        model: pruned.model,
    })
}
