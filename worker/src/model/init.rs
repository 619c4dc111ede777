//! Initial weights.

use pleach_shared::model::{Model, Tensor};
use pleach_shared::network::{Network, ShapeError};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// A model with random weights: convolutions as He et al. (2015) with fan-out, as the ResNet papers train from; linear
/// layers uniform in `1 / sqrt(in_features)`, as PyTorch does; batch norms the identity. The same seed gives the same weights everywhere.
///
/// # Errors
/// When the network's shapes do not fit together.
pub fn random_weights(network: &Network, seed: u64) -> Result<Model, ShapeError> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut fill = |name: &str, shape: &[usize]| -> Vec<f32> {
        let count = shape.iter().product();
        match (name.rsplit('.').next(), shape) {
            (Some("weight"), &[out, _, height, width]) => {
                let deviation = (2.0 / (out * height * width) as f64).sqrt();
                (0..count).map(|_| (normal(&mut rng) * deviation) as f32).collect()
            }
            (Some("weight"), &[_, input]) => {
                let bound = 1.0 / (input as f64).sqrt();
                (0..count).map(|_| rng.random_range(-bound..bound) as f32).collect()
            }
            (Some("weight" | "running_var"), _) => vec![1.0; count],
            _ => vec![0.0; count],
        }
    };
    let parameters = network.parameters()?;
    let tensors = parameters.into_iter().map(|p| (p.name.clone(), Tensor { data: fill(&p.name, &p.shape), shape: p.shape })).collect();
    Ok(Model::dense(network.clone(), tensors))
}

/// A standard normal number (Box and Muller).
fn normal(rng: &mut ChaCha8Rng) -> f64 {
    let radius = (-2.0 * (1.0 - rng.random::<f64>()).ln()).sqrt();
    radius * (std::f64::consts::TAU * rng.random::<f64>()).cos()
}
