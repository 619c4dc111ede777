//! Criteria: what ranks the channels of a group. Higher scores stay.

use pleach_shared::model::Model;
use pleach_shared::network::Groups;
use pleach_shared::spec::Criterion;

/// The score of every unit of a group: the criterion over the filters of the layers that make it, summed where several
/// layers do (residual adds). Depthwise layers and batch norms follow their producers.
///
/// * L1: sum of absolute weights of the filter (Li et al. 2017).
/// * L2: sum of squared weights (NetAdapt, Yang et al. 2018); the square root would not change the order.
pub fn scores(criterion: Criterion, model: &Model, groups: &Groups, group: usize) -> Vec<f64> {
    let mut scores = vec![0.0; groups.all()[group].channels];
    for &producer in &groups.all()[group].producers {
        let Some(weight) = model.tensors.get(&format!("{}.weight", model.network.layers[producer].name)) else { continue };
        let filter = weight.data.len() / weight.shape[0].max(1);
        for (weights, &(_, unit)) in weight.data.chunks_exact(filter.max(1)).zip(groups.of_output(producer)) {
            scores[unit] += match criterion {
                Criterion::L1 => weights.iter().map(|&w| f64::from(w.abs())).sum::<f64>(),
                Criterion::L2 => weights.iter().map(|&w| f64::from(w) * f64::from(w)).sum::<f64>(),
            };
        }
    }
    scores
}
