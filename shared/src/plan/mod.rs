//! Plans: which channels of which groups and which weights are kept, and what that does to a network's shapes.

mod mask;
mod one_shot;

pub use mask::{Mask, Scored, masks};
pub use one_shot::{batch_norm_after, can_rank, one_shot};

use crate::network::{Groups, LayerId, Network, Op};
use std::collections::BTreeMap;
use thiserror::Error;

/// Which units of which groups, and which weights, are kept. What is not named stays whole.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// Group name to kept units, ascending.
    pub keep: BTreeMap<String, Vec<usize>>,
    /// Weight tensor (`LAYER.weight`) to its mask, of the tensor before channels are removed.
    pub masks: BTreeMap<String, Mask>,
}

/// A plan that does not fit its network.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PlanError {
    /// No such group.
    #[error("there is no channel group `{group}`; the groups are {known}")]
    UnknownGroup {
        /// The name asked for.
        group: String,
        /// The names there are.
        known: String,
    },
    /// The group is part of the network's interface, or nothing ranks it.
    #[error("channel group `{group}` cannot be pruned: {reason}")]
    Fixed {
        /// The group.
        group: String,
        /// Why.
        reason: String,
    },
    /// Units out of range, out of order or twice.
    #[error("channel group `{group}` has channels 0 to {last}; the kept ones must be among them, ascending, each once")]
    Units {
        /// The group.
        group: String,
        /// The greatest index.
        last: usize,
    },
    /// A layer would be left without channels.
    #[error("the plan leaves layer `{layer}` without channels")]
    Empty {
        /// The layer.
        layer: String,
    },
    /// The network itself is broken.
    #[error(transparent)]
    Shape(#[from] crate::network::ShapeError),
}

/// What surgery does to one layer's weights: which indices of each axis stay. `None` is all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Slice {
    /// Output channels (of batch norm, all four vectors).
    pub out: Option<Vec<usize>>,
    /// Input channels of one block.
    pub input: Option<Vec<usize>>,
}

/// A plan applied to a network: the smaller network, and what to cut from each layer's weights.
#[derive(Debug, Clone, PartialEq)]
pub struct Applied {
    /// The smaller network; its layers are the same ones, in the same places.
    pub network: Network,
    /// One a layer.
    pub slices: Vec<Slice>,
}

impl Plan {
    /// A plan that keeps these units of one group.
    pub fn one(group: &str, keep: Vec<usize>) -> Plan {
        Plan { keep: BTreeMap::from([(group.to_owned(), keep)]), ..Plan::default() }
    }

    /// Applies the plan to a network's shapes.
    ///
    /// # Errors
    /// When the plan names what is not there, touches what is fixed, or empties a layer.
    pub fn apply(&self, network: &Network) -> Result<Applied, PlanError> {
        let groups = network.groups()?;
        let kept = self.mask(&groups)?;
        let stays = |layer: LayerId| -> Vec<usize> {
            let units = groups.of_output(layer).iter().enumerate();
            units.filter(|&(_, &(group, unit))| kept[group][unit]).map(|(channel, _)| channel).collect()
        };
        let whole = |layer: LayerId, stays: Vec<usize>| (stays.len() < groups.of_output(layer).len()).then_some(stays);
        let mut smaller = network.clone();
        let mut slices = vec![Slice::default(); network.layers.len()];
        for (id, layer) in smaller.layers.iter_mut().enumerate() {
            let out = stays(id);
            if out.is_empty() {
                return Err(PlanError::Empty { layer: layer.name.clone() });
            }
            let input = layer.inputs.first().copied();
            match (&mut layer.op, input) {
                (Op::Conv2d(conv), Some(input)) => {
                    conv.out_channels = out.len();
                    let blocks = conv.groups;
                    let reads = stays(input);
                    let block = groups.of_output(input).len() / blocks;
                    if blocks > 1 && block == 1 {
                        conv.groups = reads.len();
                    } else {
                        // Every block keeps the same places, so the first one's are enough.
                        let first: Vec<usize> = reads.into_iter().filter(|&channel| channel < block).collect();
                        slices[id].input = (first.len() < block).then_some(first);
                    }
                    slices[id].out = whole(id, out);
                }
                (Op::Linear { out_features, .. }, Some(input)) => {
                    *out_features = out.len();
                    slices[id].input = whole(input, stays(input));
                    slices[id].out = whole(id, out);
                }
                (Op::BatchNorm2d { .. }, _) => slices[id].out = whole(id, out),
                (Op::Select { channels }, Some(input)) => {
                    let reads = stays(input);
                    // What it picks stays exactly where it is picked, so every search finds its channel.
                    *channels = out.iter().filter_map(|&channel| reads.binary_search(&channels[channel]).ok()).collect();
                }
                (Op::Shortcut { sources, .. }, Some(input)) => {
                    let reads = stays(input);
                    *sources = out.iter().map(|&channel| sources[channel].and_then(|source| reads.binary_search(&source).ok())).collect();
                }
                _ => {}
            }
        }
        smaller.shapes()?;
        Ok(Applied { network: smaller, slices })
    }

    /// Per layer and output channel: whether it stays. What a silenced original multiplies its activations with.
    ///
    /// # Errors
    /// As [`Plan::apply`].
    pub fn silence(&self, network: &Network) -> Result<Vec<Vec<bool>>, PlanError> {
        let groups = network.groups()?;
        let kept = self.mask(&groups)?;
        let stays = |id| groups.of_output(id).iter().map(|&(group, unit)| kept[group][unit]).collect();
        Ok((0..network.layers.len()).map(stays).collect())
    }

    fn mask(&self, groups: &Groups) -> Result<Vec<Vec<bool>>, PlanError> {
        let mut kept: Vec<Vec<bool>> = groups.all().iter().map(|group| vec![true; group.channels]).collect();
        for (name, units) in &self.keep {
            let (index, group) = groups.find(name).ok_or_else(|| PlanError::UnknownGroup {
                group: name.clone(),
                known: groups.all().iter().map(|group| group.name.as_str()).collect::<Vec<_>>().join(", "),
            })?;
            if let (Some(reason), true) = (&group.fixed, units.len() != group.channels) {
                return Err(PlanError::Fixed { group: name.clone(), reason: reason.clone() });
            }
            if units.windows(2).any(|pair| pair[0] >= pair[1]) || units.last().is_some_and(|&last| last >= group.channels) {
                return Err(PlanError::Units { group: name.clone(), last: group.channels - 1 });
            }
            kept[index] = vec![false; group.channels];
            for &unit in units {
                kept[index][unit] = true;
            }
        }
        Ok(kept)
    }
}

/// The `count` units of a group with the highest scores, in their original order; ties go to the lower index. Every
/// layer that makes channels of the group keeps at least its best one.
pub fn keep_best(network: &Network, groups: &Groups, group: usize, scores: &[f64], count: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]).then(a.cmp(&b)));
    let mut keep: Vec<usize> = Vec::new();
    for layer in 0..network.layers.len() {
        let mine: Vec<usize> = groups.of_output(layer).iter().filter(|&&(g, _)| g == group).map(|&(_, unit)| unit).collect();
        if !mine.is_empty() && !mine.iter().any(|unit| keep.contains(unit)) {
            keep.extend(order.iter().copied().find(|unit| mine.contains(unit)));
        }
    }
    for unit in order {
        if keep.len() >= count {
            break;
        }
        if !keep.contains(&unit) {
            keep.push(unit);
        }
    }
    keep.sort_unstable();
    keep
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::zoo;

    #[test]
    fn pruning_a_stage_of_a_resnet_keeps_it_consistent() {
        let network = zoo::resnet(20, 1.0, zoo::ShortcutKind::A, [3, 32, 32], 10).unwrap();
        let plan = Plan::one("conv1", (0..16).filter(|unit| unit % 3 != 0).collect());
        let applied = plan.apply(&network).unwrap();
        assert_eq!(applied.network.widths()[0], ("conv1", 10));
        assert_eq!(applied.network.output_shape().unwrap(), vec![10]);
        let Op::Shortcut { sources, .. } = &applied.network.layers[network.find("layer2.0.shortcut").unwrap()].op else { panic!() };
        assert_eq!(sources.len(), 32, "the next stage keeps its width");
        assert_eq!(sources.iter().flatten().count(), 10);
        assert_eq!(applied.network.groups().unwrap().all().len(), network.groups().unwrap().all().len());
    }

    #[test]
    fn what_cannot_be_done_is_said() {
        let network = zoo::resnet(20, 1.0, zoo::ShortcutKind::B, [3, 32, 32], 10).unwrap();
        let apply = |group: &str, keep: Vec<usize>| Plan::one(group, keep).apply(&network).unwrap_err().to_string();
        assert!(apply("linear", vec![0]).contains("network's output"));
        assert!(apply("conv9", vec![0]).contains("no channel group `conv9`; the groups are input, conv1"));
        assert!(apply("conv1", vec![3, 2]).contains("ascending"));
        assert!(apply("conv1", vec![]).contains("without channels"));
    }

    #[test]
    fn a_channel_criterion_keeps_the_highest_scores_in_order() {
        let network = zoo::vgg(&[zoo::VggItem::Conv(4)], [1, 8, 8], 2).unwrap();
        let groups = network.groups().unwrap();
        let (index, _) = groups.find("features.0").unwrap();
        assert_eq!(keep_best(&network, &groups, index, &[1.0, 3.0, 2.0, 3.0], 2), [1, 3]);
        assert_eq!(keep_best(&network, &groups, index, &[1.0, 1.0, 1.0, 1.0], 2), [0, 1]);
    }
}
