//! One ranking of a whole network's channels.

use super::keep_best;
use crate::network::{Groups, LayerId, Network, Op};
use crate::spec::{Channels, Criterion, Importance, OneShot, Scope};
use std::collections::BTreeMap;

/// Which units of every rankable group stay when the fraction `sparsity` of the channels is removed: of every group, or the
/// least of all. `scores` gives a group's, by its index. Widths are multiples and minima as the document has them.
pub fn one_shot(network: &Network, groups: &Groups, spec: &OneShot, scores: impl Fn(usize) -> Vec<f64>) -> BTreeMap<String, Vec<usize>> {
    let prunable = groups.all().iter().enumerate().filter(|(_, group)| group.fixed.is_none());
    let rankable: Vec<(usize, Vec<f64>)> =
        prunable.filter(|&(index, _)| can_rank(network, groups, index, spec.criterion)).map(|(index, _)| (index, scores(index))).collect();
    let mut counts: Vec<usize> = rankable.iter().map(|(_, scores)| scores.len()).collect();
    match spec.scope {
        Scope::Layer => counts.iter_mut().for_each(|count| *count -= (spec.sparsity * *count as f64).round() as usize),
        Scope::Global => {
            let mut order: Vec<(f64, usize)> =
                rankable.iter().enumerate().flat_map(|(place, (_, scores))| scores.iter().map(move |&score| (score, place))).collect();
            order.sort_by(|a, b| a.0.total_cmp(&b.0).then(b.1.cmp(&a.1)));
            let mut gone = (spec.sparsity * order.len() as f64).round() as usize;
            for (_, place) in order {
                let least = spec.channels.min.min(rankable[place].1.len()).max(1);
                if gone > 0 && counts[place] > least {
                    counts[place] -= 1;
                    gone -= 1;
                }
            }
        }
    }
    let keep = |((index, scores), count): (&(usize, Vec<f64>), &usize)| {
        let count = allowed(&spec.channels, *count, scores.len());
        (groups.all()[*index].name.clone(), keep_best(network, groups, *index, scores, count))
    };
    rankable.iter().zip(&counts).map(keep).collect()
}

/// The least allowed width that is not below `count`.
fn allowed(channels: &Channels, count: usize, whole: usize) -> usize {
    (count.max(channels.min).max(1).div_ceil(channels.multiple_of) * channels.multiple_of).min(whole)
}

/// Whether a criterion can rank a group: batch-norm scales need a batch norm behind every layer that makes it.
pub fn can_rank(network: &Network, groups: &Groups, group: usize, criterion: Criterion) -> bool {
    criterion.importance != Importance::BnScale
        || groups.all()[group].producers.iter().all(|&producer| batch_norm_after(network, producer).is_some())
}

/// The batch norm that alone reads a layer's output.
pub fn batch_norm_after(network: &Network, layer: LayerId) -> Option<LayerId> {
    match network.consumers()[layer].as_slice() {
        &[reader] if matches!(network.layers[reader].op, Op::BatchNorm2d { .. }) => Some(reader),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::zoo::{self, VggItem};
    use crate::spec::Granularity;

    fn counts(scope: Scope, channels: Channels) -> Vec<usize> {
        let network = zoo::vgg(&[VggItem::Conv(8), VggItem::Conv(8)], [1, 8, 8], 2).unwrap();
        let groups = network.groups().unwrap();
        let spec = OneShot { sparsity: 0.5, granularity: Granularity::Channel, criterion: Criterion::L2, scope, channels };
        // The second group is worth ten times the first.
        let scores = |index: usize| (1..9).map(|unit| f64::from(unit) * if index == 2 { 10.0 } else { 1.0 }).collect();
        let kept = one_shot(&network, &groups, &spec, scores);
        kept.values().map(Vec::len).collect()
    }

    #[test]
    fn a_global_ranking_takes_from_the_least_important_group() {
        assert_eq!(counts(Scope::Layer, Channels { multiple_of: 1, min: 1 }), [4, 4]);
        assert_eq!(counts(Scope::Global, Channels { multiple_of: 1, min: 1 }), [1, 7]);
        assert_eq!(counts(Scope::Global, Channels { multiple_of: 4, min: 2 }), [4, 8], "two and six, rounded up to what is allowed");
    }
}
