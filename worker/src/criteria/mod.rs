//! Criteria: what ranks the channels of a group, or the weights of a layer. Higher scores stay.
//!
//! What each one computes, and the paper it comes from, is said at [`Importance`].

mod observe;

pub use observe::{Observed, observe};

use pleach_shared::model::{Model, Tensor};
use pleach_shared::network::{Groups, LayerId, Network, Op};
use pleach_shared::plan::batch_norm_after;
use pleach_shared::spec::{Criterion, Importance, Normalization, Reduction};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// The score of every unit of a group: that of the filters of the layers that make it, reduced where several do
/// (residual adds). Depthwise layers and batch norms follow their producers.
pub fn channel_scores(criterion: Criterion, model: &Model, observed: &Observed, groups: &Groups, group: usize) -> Vec<f64> {
    let (units, producers) = (groups.all()[group].channels, &groups.all()[group].producers);
    if criterion.importance == Importance::Random {
        return random(criterion, &groups.all()[group].name, units);
    }
    let mut scores = vec![0.0; units];
    let mut makers = vec![0usize; units];
    for &producer in producers {
        for (score, &(_, unit)) in filter_scores(criterion, model, observed, producer).into_iter().zip(groups.of_output(producer)) {
            match (criterion.ranking.reduction, makers[unit]) {
                (_, 0) => scores[unit] = score,
                (Reduction::Sum | Reduction::Mean, _) => scores[unit] += score,
                (Reduction::Max, _) => scores[unit] = scores[unit].max(score),
                (Reduction::First, _) => {}
            }
            makers[unit] += 1;
        }
    }
    if criterion.ranking.reduction == Reduction::Mean {
        scores.iter_mut().zip(&makers).for_each(|(score, &makers)| *score /= makers.max(1) as f64);
    }
    if criterion.importance == Importance::Lamp {
        scores = lamp(&scores);
    }
    normalize(&mut scores, criterion.ranking.normalize);
    scores
}

/// The score of every weight of a layer, in the order of its tensor.
pub fn weight_scores(criterion: Criterion, model: &Model, observed: &Observed, layer: LayerId) -> Vec<f64> {
    let name = &model.network.layers[layer].name;
    let Some(weight) = model.tensors.get(&format!("{name}.weight")) else { return Vec::new() };
    let squares = || weight.data.iter().map(|&w| f64::from(w) * f64::from(w));
    let mut scores: Vec<f64> = match criterion.importance {
        Importance::L1 => weight.data.iter().map(|&w| f64::from(w.abs())).collect(),
        Importance::Lamp => lamp(&squares().collect::<Vec<_>>()),
        Importance::Taylor | Importance::Hessian => observed.weights(layer, weight.data.len()),
        Importance::Random => random(criterion, name, weight.data.len()),
        // The document refuses the others for weights.
        Importance::L2 | Importance::BnScale | Importance::Fpgm | Importance::Apoz | Importance::MeanActivation => squares().collect(),
    };
    normalize(&mut scores, criterion.ranking.normalize);
    scores
}

/// One score an output channel of a convolution or linear layer.
fn filter_scores(criterion: Criterion, model: &Model, observed: &Observed, producer: LayerId) -> Vec<f64> {
    let network = &model.network;
    let get = |layer: LayerId| model.tensors.get(&format!("{}.weight", network.layers[layer].name));
    let Some(weight) = get(producer) else { return Vec::new() };
    let filters = || weight.data.chunks_exact((weight.data.len() / weight.shape[0].max(1)).max(1));
    let width = weight.shape[0];
    match criterion.importance {
        Importance::L1 => filters().map(|w| w.iter().map(|&w| f64::from(w.abs())).sum()).collect(),
        Importance::L2 | Importance::Lamp | Importance::Random => filters().map(squared_norm).collect(),
        Importance::BnScale => match batch_norm_after(network, producer).and_then(get) {
            Some(scale) => scale.data.iter().map(|&scale| f64::from(scale.abs())).collect(),
            None => vec![0.0; width],
        },
        Importance::Fpgm => fpgm(weight),
        Importance::Taylor | Importance::Hessian => {
            let scores = observed.weights(producer, weight.data.len());
            scores.chunks_exact((scores.len() / width.max(1)).max(1)).map(|filter| filter.iter().sum()).collect()
        }
        Importance::Apoz | Importance::MeanActivation => observed.channels(producer, width),
    }
}

fn squared_norm(weights: &[f32]) -> f64 {
    weights.iter().map(|&w| f64::from(w) * f64::from(w)).sum()
}

/// Sum of the distances of each filter to all filters of its layer.
fn fpgm(weight: &Tensor) -> Vec<f64> {
    let filters: Vec<&[f32]> = weight.data.chunks_exact((weight.data.len() / weight.shape[0].max(1)).max(1)).collect();
    let mut scores = vec![0.0; filters.len()];
    for (i, a) in filters.iter().enumerate() {
        for (j, b) in filters.iter().enumerate().skip(i + 1) {
            let distance = a.iter().zip(*b).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>().sqrt();
            scores[i] += distance;
            scores[j] += distance;
        }
    }
    scores
}

/// Each score over the sum of those that are not smaller (by rank, as the paper sorts them).
fn lamp(scores: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]).then(a.cmp(&b)));
    let mut lamp = vec![0.0; scores.len()];
    let mut sum = 0.0;
    for index in order {
        sum += scores[index];
        lamp[index] = if sum > 0.0 { scores[index] / sum } else { 0.0 };
    }
    lamp
}

fn normalize(scores: &mut [f64], normalization: Normalization) {
    let count = scores.len().max(1) as f64;
    let sum: f64 = scores.iter().sum();
    let (offset, divisor) = match normalization {
        Normalization::None => return,
        Normalization::Sum => (0.0, sum),
        Normalization::Mean => (0.0, sum / count),
        Normalization::Max => (0.0, scores.iter().copied().fold(0.0, f64::max)),
        Normalization::Standard => {
            let mean = sum / count;
            (mean, (scores.iter().map(|score| (score - mean).powi(2)).sum::<f64>() / count).sqrt())
        }
    };
    // All scores alike have no order to scale.
    if divisor > 0.0 {
        scores.iter_mut().for_each(|score| *score = (*score - offset) / divisor);
    }
}

fn random(criterion: Criterion, name: &str, count: usize) -> Vec<f64> {
    let hash = blake3::Hasher::new().update(&criterion.ranking.seed.to_le_bytes()).update(name.as_bytes()).finalize();
    let mut rng = ChaCha8Rng::from_seed(*hash.as_bytes());
    (0..count).map(|_| rng.random()).collect()
}

/// The activation through which a layer's output is read, if there is one.
fn activation_after(network: &Network, layer: LayerId) -> LayerId {
    let consumers = network.consumers();
    let mut at = layer;
    while let &[reader] = consumers[at].as_slice() {
        match &network.layers[reader].op {
            Op::BatchNorm2d { .. } => at = reader,
            op if op.is_activation() => return reader,
            _ => break,
        }
    }
    layer
}
