//! Gradients and activations over a few batches of training images.

use super::activation_after;
use crate::error::TaskError;
use crate::model::{Mode, NetworkModule, Value};
use crate::training::{Dataset, Progress};
use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Tensor, TensorData};
use pleach_shared::model::Model;
use pleach_shared::network::{LayerId, Op};
use pleach_shared::spec::{Criterion, Importance};
use std::collections::{BTreeMap, BTreeSet};

/// What a criterion that looks at data saw.
#[derive(Debug, Clone, Default)]
pub struct Observed {
    /// Per layer, one a weight.
    weights: BTreeMap<LayerId, Vec<f64>>,
    /// Per layer, one an output channel.
    channels: BTreeMap<LayerId, Vec<f64>>,
}

impl Observed {
    /// Scores of a layer's weights; zeros where nothing was seen.
    pub(super) fn weights(&self, layer: LayerId, count: usize) -> Vec<f64> {
        self.weights.get(&layer).filter(|scores| scores.len() == count).cloned().unwrap_or_else(|| vec![0.0; count])
    }

    /// Scores of a layer's output channels; zeros where nothing was seen.
    pub(super) fn channels(&self, layer: LayerId, count: usize) -> Vec<f64> {
        self.channels.get(&layer).filter(|scores| scores.len() == count).cloned().unwrap_or_else(|| vec![0.0; count])
    }
}

/// Runs the model over the first `batches` batches of the training split, not augmented, with running statistics.
/// Nothing is run for a criterion that needs no data.
///
/// # Errors
/// When the training split is empty, or the data do not fit, or `progress` says stop.
pub fn observe(
    criterion: Criterion,
    model: &Model,
    data: &Dataset,
    device: &Device,
    progress: &Progress<'_>,
) -> Result<Observed, TaskError> {
    if !criterion.importance.needs_data() {
        return Ok(Observed::default());
    }
    let split = &data.splits.train;
    if split.is_empty() {
        return Err(TaskError::Mismatch(format!(
            "the criterion {criterion} looks at training images, and there are none; lower `data.holdout` or take l1 or l2"
        )));
    }
    let indices: Vec<usize> = (0..split.len()).collect();
    let batches: Vec<&[usize]> = indices.chunks(criterion.ranking.batch).take(criterion.ranking.batches).collect();
    let gradients = criterion.importance.needs_gradients();
    let device = if gradients { device.clone().autodiff() } else { device.clone() };
    let mut module = NetworkModule::load(model, &device)?;
    let mut observed = Observed::default();
    for (done, batch) in batches.iter().enumerate() {
        progress(done as f64 / batches.len() as f64)?;
        let images = data.batch(split, batch, &device);
        if gradients {
            let labels: Vec<usize> = batch.iter().map(|&index| usize::from(split.label(index))).collect();
            expand(criterion, &module, images, &labels, &device, &mut observed)?;
        } else {
            watch(criterion, &mut module, images, &mut observed)?;
        }
    }
    for scores in observed.weights.values_mut().chain(observed.channels.values_mut()) {
        scores.iter_mut().for_each(|score| *score /= batches.len() as f64);
    }
    Ok(observed)
}

/// Adds what a batch's gradients say about every weight.
fn expand(
    criterion: Criterion,
    module: &NetworkModule,
    images: Tensor<4>,
    labels: &[usize],
    device: &Device,
    observed: &mut Observed,
) -> Result<(), TaskError> {
    let logits = module.forward(images);
    let classes = logits.dims()[1];
    let mut targets = vec![0.0f32; labels.len() * classes];
    for (row, &label) in labels.iter().enumerate() {
        targets[row * classes + label] = 1.0;
    }
    let targets = Tensor::<2>::from_data(TensorData::new(targets, [labels.len(), classes]), device);
    let loss = (log_softmax(logits, 1) * targets).sum() * (-1.0 / labels.len() as f32);
    let gradients = loss.backward();
    for (layer, weights, gradients) in module.weight_gradients(&gradients)? {
        let scores = observed.weights.entry(layer).or_insert_with(|| vec![0.0; weights.len()]);
        for ((score, &w), &g) in scores.iter_mut().zip(&weights).zip(&gradients) {
            let (w, g) = (f64::from(w), f64::from(g));
            *score += match (criterion.importance, criterion.ranking.squared) {
                (Importance::Hessian, _) => 0.5 * g * g * w * w,
                (_, true) => (g * w).powi(2),
                (_, false) => (g * w).abs(),
            };
        }
    }
    Ok(())
}

/// Adds what a batch's activations say about every channel.
fn watch(criterion: Criterion, module: &mut NetworkModule, images: Tensor<4>, observed: &mut Observed) -> Result<(), TaskError> {
    let network = module.network().clone();
    let makers: Vec<LayerId> = (0..network.layers.len()).filter(|&id| network.layers[id].op.width().is_some()).collect();
    let watched: BTreeMap<LayerId, LayerId> = makers.iter().map(|&maker| (maker, activation_after(&network, maker))).collect();
    let wanted: BTreeSet<LayerId> = watched.values().copied().collect();
    let mut seen: BTreeMap<LayerId, Vec<f64>> = BTreeMap::new();
    let mut failed = None;
    module.run(vec![Value::Map(images)], Mode::Evaluate, |id, value| {
        if wanted.contains(&id) {
            let worth = match (criterion.importance, &value) {
                (Importance::Apoz, Value::Map(x)) => mean(x.clone().greater_elem(0.0).float()),
                (Importance::Apoz, Value::Vector(x)) => x.clone().greater_elem(0.0).float().mean_dim(0).into_data(),
                (_, Value::Map(x)) => mean(x.clone().abs()),
                (_, Value::Vector(x)) => x.clone().abs().mean_dim(0).into_data(),
            };
            match worth.try_to_vec::<f32>() {
                Ok(worth) => drop(seen.insert(id, worth.into_iter().map(f64::from).collect())),
                Err(error) => failed = Some(TaskError::Device(format!("{error:?}"))),
            }
        }
        value
    });
    for (maker, place) in watched {
        if let Some(worth) = seen.get(&place) {
            let scores = observed.channels.entry(maker).or_insert_with(|| vec![0.0; worth.len()]);
            scores.iter_mut().zip(worth).for_each(|(score, worth)| *score += worth);
        }
    }
    failed.map_or(Ok(()), Err)
}

/// Per channel, over images and places.
fn mean(x: Tensor<4>) -> TensorData {
    x.mean_dim(3).mean_dim(2).mean_dim(0).into_data()
}

/// A layer, its weights and their gradients.
type WeightGradient = (LayerId, Vec<f32>, Vec<f32>);

impl NetworkModule {
    /// Weights and gradients of every convolution and linear layer, in the order of the model's tensors.
    fn weight_gradients(&self, gradients: &burn::tensor::Gradients) -> Result<Vec<WeightGradient>, TaskError> {
        let read = |data: TensorData| data.try_to_vec::<f32>().map_err(|error| TaskError::Device(format!("{error:?}")));
        let mut all = Vec::new();
        for (id, layer) in self.network().layers.iter().enumerate() {
            let (weight, gradient) = match layer.op {
                Op::Conv2d(_) => {
                    let Some(weight) = self.kernel(id) else { continue };
                    (weight.clone().into_data(), weight.grad(gradients).map(Tensor::into_data))
                }
                Op::Linear { .. } => {
                    let Some(weight) = self.matrix(id) else { continue };
                    (weight.clone().transpose().into_data(), weight.grad(gradients).map(|gradient| gradient.transpose().into_data()))
                }
                _ => continue,
            };
            let weight = read(weight)?;
            let gradient = gradient.map(read).transpose()?.unwrap_or_else(|| vec![0.0; weight.len()]);
            all.push((id, weight, gradient));
        }
        Ok(all)
    }
}
