//! How fast this machine trains and evaluates.

use crate::error::TaskError;
use crate::model::random_weights;
use crate::training::{Dataset, evaluate, train};
use burn::tensor::Device;
use pleach_shared::data::{Amount, Archive, Cut, Images, split};
use pleach_shared::network::Network;
use pleach_shared::spec::{Length, Optimizer, Recipe, Schedule};
use std::sync::Arc;
use std::time::Instant;

/// What a machine does with a network.
#[derive(Debug, Clone, Copy)]
pub struct Throughput {
    /// Optimizer steps a second.
    pub steps_per_second: f64,
    /// Images evaluated a second.
    pub images_per_second: f64,
}

/// Trains and evaluates a network with made-up images `[channels, height, width]` of ten classes.
///
/// # Errors
/// When the network does not fit the images, or the device fails.
pub fn throughput(network: &Network, shape: [usize; 3], batch: usize, steps: usize, device: &Device) -> Result<Throughput, TaskError> {
    let count = batch * 8;
    let pixels = (0..count * shape.iter().product::<usize>()).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let images = Images::new("made up", shape, 10, pixels, (0..count).map(|i| (i % 10) as u16).collect())?;
    let archive = Archive { train: Some(Arc::new(images)), test: None };
    let data = Dataset::plain(split(&archive, &Cut { holdout: Amount::Count(count / 2), test: None })?);
    let recipe = |steps| Recipe {
        length: Length::Steps(steps),
        batch,
        optimizer: Optimizer::Sgd { lr: 0.001, momentum: 0.9, weight_decay: 0.0 },
        schedule: Schedule::Constant { warmup_steps: 0 },
        label_smoothing: 0.0,
        seed: None,
    };
    let model = random_weights(network, 0)?;
    train(&model, &data, &recipe(2), 0, device, &|_| Ok(()))?;
    let start = Instant::now();
    train(&model, &data, &recipe(steps), 0, device, &|_| Ok(()))?;
    let steps_per_second = steps as f64 / start.elapsed().as_secs_f64();

    let start = Instant::now();
    let mut evaluated = 0;
    while evaluated == 0 || start.elapsed().as_secs_f64() < 1.0 {
        evaluate(&model, &data, &data.splits.holdout, device, &|_| Ok(()))?;
        evaluated += data.splits.holdout.len();
    }
    Ok(Throughput { steps_per_second, images_per_second: evaluated as f64 / start.elapsed().as_secs_f64() })
}
