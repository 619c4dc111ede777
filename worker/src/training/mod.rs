//! Training and evaluation.

mod dataset;

pub use dataset::Dataset;

use crate::error::TaskError;
use crate::model::NetworkModule;
use crate::surgery::fold;
use burn::optim::decay::WeightDecayConfig;
use burn::optim::momentum::MomentumConfig;
use burn::optim::{AdamConfig, GradientsParams, ModuleOptimizer, SgdConfig};
use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Tensor, TensorData};
use pleach_shared::data::Subset;
use pleach_shared::model::Model;
use pleach_shared::spec::{Optimizer, Recipe};
use pleach_shared::task::Evaluation;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

/// Images evaluated at a time.
const EVALUATION_BATCH: usize = 250;

/// Steps between two looks at the loss. On a GPU a look waits for everything queued.
const LOOK: usize = 20;

/// Hears how far a task is, as a fraction; an error from it stops the task.
pub type Progress<'a> = dyn Fn(f64) -> Result<(), TaskError> + 'a;

/// What training gave.
#[derive(Debug)]
pub struct Training {
    /// The trained model.
    pub model: Model,
    /// Optimizer steps taken.
    pub steps: usize,
    /// Mean loss over the looks in the last tenth of the steps.
    pub loss: f64,
}

/// Trains a model on the training split. Everything random comes from `seed`, in an order that no thread changes: the
/// same model, recipe and seed give the same weights bit for bit on the same kind of device.
///
/// # Errors
/// When the data do not fit the network, or the loss diverges, or `progress` says stop.
pub fn train(
    model: &Model,
    data: &Dataset,
    recipe: &Recipe,
    seed: u64,
    device: &Device,
    progress: &Progress<'_>,
) -> Result<Training, TaskError> {
    let split = &data.splits.train;
    let classes = check(model, split)?;
    if split.is_empty() {
        return Err(TaskError::Mismatch("the training split is empty; lower `data.holdout`".into()));
    }
    let device = device.clone().autodiff();
    let mut module = NetworkModule::load(model, &device)?;
    let mut optimizer = optimizer(&recipe.optimizer);
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let steps = recipe.length.steps(split.len(), recipe.batch);
    let mut order: Vec<usize> = Vec::new();
    let mut tail = (0.0, 0usize);
    for step in 0..steps {
        if order.is_empty() {
            order = (0..split.len()).collect();
            order.shuffle(&mut rng);
        }
        let batch: Vec<usize> = order.split_off(order.len() - recipe.batch.min(order.len()));
        let images = data.training_batch(&batch, &mut rng, &device);
        let targets = targets(split, &batch, classes, recipe.label_smoothing, &device);
        let logits = module.forward_train(images, &mut rng);
        let loss = (log_softmax(logits, 1) * targets).sum() * (-1.0 / batch.len() as f32);
        if step % LOOK == 0 || step + 1 == steps {
            let value = loss.clone().into_data().iter::<f32>().next().unwrap_or(f32::NAN);
            if !value.is_finite() {
                return Err(TaskError::Diverged { loss: value, step, steps });
            }
            if step * 10 >= steps * 9 {
                tail = (tail.0 + f64::from(value), tail.1 + 1);
            }
            progress(step as f64 / steps as f64)?;
        }
        let gradients = GradientsParams::from_grads(loss.backward(), &module);
        let rate = recipe.optimizer.lr() * recipe.schedule.factor(step, steps);
        module = optimizer.step(rate, module, gradients).masked();
    }
    let model = module.save().map_err(TaskError::Device)?;
    Ok(Training { model, steps, loss: tail.0 / tail.1.max(1) as f64 })
}

/// Accuracy and mean cross-entropy of a model over a split.
///
/// # Errors
/// When the data do not fit the network, or `progress` says stop.
pub fn evaluate(model: &Model, data: &Dataset, split: &Subset, device: &Device, progress: &Progress<'_>) -> Result<Evaluation, TaskError> {
    let classes = check(model, split)?;
    let module = NetworkModule::load(&fold(model), device)?;
    let (mut right, mut loss) = (0, 0.0);
    let indices: Vec<usize> = (0..split.len()).collect();
    for (done, batch) in indices.chunks(EVALUATION_BATCH).enumerate() {
        progress(done as f64 * EVALUATION_BATCH as f64 / split.len() as f64)?;
        let logits = module.forward(data.batch(split, batch, device)).into_data();
        let logits: Vec<f32> = logits.try_to_vec().map_err(|error| TaskError::Device(format!("{error:?}")))?;
        for (&index, logits) in batch.iter().zip(logits.chunks_exact(classes)) {
            let label = usize::from(split.label(index));
            let highest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            // Ties go to the first class, as argmax does elsewhere.
            right += u64::from(logits.iter().position(|&logit| logit == highest) == Some(label));
            let sum: f64 = logits.iter().map(|&logit| f64::from(logit - highest).exp()).sum();
            loss += sum.ln() - f64::from(logits[label] - highest);
        }
    }
    Ok(Evaluation { right, total: split.len() as u64, loss: loss / split.len().max(1) as f64 })
}

/// The network's classes, if the images fit it.
fn check(model: &Model, split: &Subset) -> Result<usize, TaskError> {
    let input = model.network.inputs().next().map(|id| model.network.shapes().map(|mut shapes| shapes.swap_remove(id))).transpose()?;
    if input.as_deref() != Some(&split.shape()[..]) {
        return Err(TaskError::Mismatch(format!(
            "the network reads images of {:?}, the data are {:?} (channels, height, width)",
            input.unwrap_or_default(),
            split.shape()
        )));
    }
    let classes: usize = model.network.output_shape()?.iter().product();
    match classes >= split.classes() {
        true => Ok(classes),
        false => Err(TaskError::Mismatch(format!("the network has {classes} classes, the data have {}", split.classes()))),
    }
}

/// Rows that the log-probabilities are multiplied with: `1 - s` on the label plus `s / classes` everywhere.
fn targets(split: &Subset, batch: &[usize], classes: usize, smoothing: f64, device: &Device) -> Tensor<2> {
    let mut rows = vec![(smoothing / classes as f64) as f32; batch.len() * classes];
    for (row, &index) in rows.chunks_exact_mut(classes).zip(batch) {
        row[usize::from(split.label(index))] += (1.0 - smoothing) as f32;
    }
    Tensor::from_data(TensorData::new(rows, [batch.len(), classes]), device)
}

fn optimizer(optimizer: &Optimizer) -> ModuleOptimizer {
    let decay = |weight_decay: f64| (weight_decay > 0.0).then(|| WeightDecayConfig::new(weight_decay as f32));
    match *optimizer {
        Optimizer::Sgd { momentum, weight_decay, .. } => {
            // Burn's default dampening is 0.1; PyTorch's, and the papers', is none.
            let momentum = (momentum > 0.0).then(|| MomentumConfig::new().with_momentum(momentum).with_dampening(0.0));
            SgdConfig::new().with_momentum(momentum).with_weight_decay(decay(weight_decay)).init()
        }
        Optimizer::Adam { betas, epsilon, weight_decay, .. } => AdamConfig::new()
            .with_beta_1(betas[0] as f32)
            .with_beta_2(betas[1] as f32)
            .with_epsilon(epsilon as f32)
            .with_weight_decay(decay(weight_decay))
            .init(),
    }
}
