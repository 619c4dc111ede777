//! The sensitivity scan (Li et al. 2017, section 3.2): each group, or each layer's weights, pruned alone, without fine-tuning.

use super::evaluated;
use crate::report::SensitivityPoint;
use crate::run::{Record, Run, RunError};
use pleach_shared::data::SplitName;
use pleach_shared::network::Network;
use pleach_shared::plan::can_rank;
use pleach_shared::spec::{Granularity, Sensitivity};
use pleach_shared::task::{BlobId, DataRef, Evaluate, Evaluation, Prune, Task};

/// Evaluates every prunable group, or for the other granularities every layer, at every ratio on holdout. At ratio `r`,
/// round(r x channels) of a group's channels are removed, but never all. Ratio 0 is the dense network's own evaluation.
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
    let mut points = Vec::new();
    let mut tasks = Vec::new();
    for (name, channels) in places(scan, network)? {
        points.push((name.clone(), 0.0));
        for &ratio in scan.ratios.iter().filter(|&&ratio| ratio > 0.0) {
            let prune = match channels {
                Some(channels) => {
                    let removed = (ratio * channels as f64).round() as usize;
                    let channels = channels.saturating_sub(removed).max(1);
                    Prune::Channels { group: name.clone(), channels, criterion: scan.criterion }
                }
                None => Prune::Weights { layer: name.clone(), ratio, granularity: scan.granularity, criterion: scan.criterion },
            };
            points.push((name.clone(), ratio));
            tasks.push(Task::Evaluate(Evaluate { model, prune: Some(prune), data: data.clone(), split: SplitName::Holdout }));
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

/// What the scan looks at: groups with their channels, or layers.
fn places(scan: &Sensitivity, network: &Network) -> Result<Vec<(String, Option<usize>)>, RunError> {
    if scan.granularity != Granularity::Channel {
        return Ok(network.widths().into_iter().map(|(layer, _)| (layer.to_owned(), None)).collect());
    }
    let groups = network.groups().map_err(|error| RunError::Search(error.to_string()))?;
    let rankable = groups.all().iter().enumerate().filter(|&(index, group)| {
        // A group that the criterion cannot rank has no order to remove channels in.
        group.fixed.is_none() && can_rank(network, &groups, index, scan.criterion)
    });
    Ok(rankable.map(|(_, group)| (group.name.clone(), Some(group.channels))).collect())
}
