//! The sensitivity scan (Li et al. 2017, section 3.2): each group pruned alone, without fine-tuning.

use super::evaluated;
use crate::report::SensitivityPoint;
use crate::run::{Record, Run, RunError};
use pleach_shared::data::SplitName;
use pleach_shared::network::Network;
use pleach_shared::spec::Sensitivity;
use pleach_shared::task::{BlobId, DataRef, Evaluate, Evaluation, Prune, Task};

/// Evaluates every prunable group at every ratio on holdout. At ratio `r`, round(r x channels) of a group's channels are
/// removed, but never all. Ratio 0 is the dense network's own evaluation.
///
/// # Errors
/// When a task fails for good.
pub async fn sensitivity<R: Run>(
    run: &R,
    scan: &Sensitivity,
    network: &Network,
    model: BlobId,
    dense: Evaluation,
    data: &DataRef,
) -> Result<(), RunError> {
    let groups = network.groups().map_err(|error| RunError::Search(error.to_string()))?;
    let mut points = Vec::new();
    let mut tasks = Vec::new();
    for group in groups.prunable() {
        points.push((group.name.clone(), 0.0));
        for &ratio in scan.ratios.iter().filter(|&&ratio| ratio > 0.0) {
            let removed = (ratio * group.channels as f64).round() as usize;
            let channels = group.channels.saturating_sub(removed).max(1);
            points.push((group.name.clone(), ratio));
            tasks.push(Task::Evaluate(Evaluate {
                model,
                prune: Some(Prune { group: group.name.clone(), channels, criterion: scan.criterion }),
                data: data.clone(),
                split: SplitName::Holdout,
            }));
        }
    }
    let mut outcomes = run.all(tasks).await?.into_iter();
    for (group, ratio) in points {
        let evaluation = match (ratio > 0.0).then(|| outcomes.next()).flatten() {
            Some(outcome) => evaluated(outcome)?,
            None => dense,
        };
        run.record(Record::Sensitivity(SensitivityPoint { group, ratio, accuracy: evaluation.accuracy(), loss: evaluation.loss })).await?;
    }
    Ok(())
}
