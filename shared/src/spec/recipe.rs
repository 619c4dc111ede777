//! Training recipes: what `train:`, `short_term:` and `finetune:` hold, and what a training task carries.

use serde::{Deserialize, Serialize};

/// How to train: how long, in what batches, with which optimizer and learning-rate schedule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recipe {
    /// How long to train.
    #[serde(flatten)]
    pub length: Length,
    /// Images per step. The last batch of an epoch may be smaller.
    pub batch: usize,
    /// The optimizer and its constants.
    pub optimizer: Optimizer,
    /// The learning rate over the steps, as a factor on the optimizer's `lr`.
    pub schedule: Schedule,
    /// Label smoothing in [0, 1): the target is `1 - s` on the label plus `s / classes` everywhere (Szegedy et al. 2016).
    pub label_smoothing: f64,
    /// Seed of the order of images, augmentation and dropout (and of initial weights); the document's unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
}

/// Training length: whole passes over the training split, or optimizer steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Length {
    /// Passes over the training split.
    Epochs(usize),
    /// Optimizer steps.
    Steps(usize),
}

impl Length {
    /// Optimizer steps for a training split of `images` images.
    pub fn steps(self, images: usize, batch: usize) -> usize {
        match self {
            Length::Epochs(epochs) => epochs * images.div_ceil(batch.max(1)),
            Length::Steps(steps) => steps,
        }
    }
}

/// An optimizer, with PyTorch's names and update rules.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Optimizer {
    /// Stochastic gradient descent: `v = momentum * v + g + weight_decay * w; w -= lr * v`.
    Sgd {
        /// Learning rate.
        lr: f64,
        /// Momentum; 0 is none.
        #[serde(default)]
        momentum: f64,
        /// L2 penalty added to the gradient.
        #[serde(default)]
        weight_decay: f64,
    },
    /// Adam (Kingma and Ba 2015), with L2 penalty as in PyTorch's `Adam`.
    Adam {
        /// Learning rate.
        lr: f64,
        /// Decay rates of the first and second moments.
        #[serde(default = "default_betas")]
        betas: [f64; 2],
        /// Added to the denominator.
        #[serde(default = "default_epsilon")]
        epsilon: f64,
        /// L2 penalty added to the gradient.
        #[serde(default)]
        weight_decay: f64,
    },
}

fn default_betas() -> [f64; 2] {
    [0.9, 0.999]
}

fn default_epsilon() -> f64 {
    1e-8
}

impl Optimizer {
    /// The base learning rate.
    pub fn lr(&self) -> f64 {
        match self {
            Optimizer::Sgd { lr, .. } | Optimizer::Adam { lr, .. } => *lr,
        }
    }
}

/// A learning-rate schedule. `warmup_steps` ramp linearly from `lr / warmup_steps` to `lr`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Schedule {
    /// The same rate throughout.
    Constant {
        /// Steps of linear warm-up.
        #[serde(default)]
        warmup_steps: usize,
    },
    /// Multiplied by `gamma` every `every` steps (after the warm-up).
    Step {
        /// Steps between two decays.
        every: usize,
        /// Factor of a decay.
        #[serde(default = "default_gamma")]
        gamma: f64,
        /// Steps of linear warm-up.
        #[serde(default)]
        warmup_steps: usize,
    },
    /// Half a cosine from `lr` down to 0 (Loshchilov and Hutter 2017, without restarts).
    Cosine {
        /// Steps of linear warm-up.
        #[serde(default)]
        warmup_steps: usize,
    },
}

fn default_gamma() -> f64 {
    0.1
}

impl Schedule {
    /// The factor on the base learning rate at `step` (from 0) of `steps`.
    pub fn factor(&self, step: usize, steps: usize) -> f64 {
        let warmup = match self {
            Schedule::Constant { warmup_steps } | Schedule::Step { warmup_steps, .. } | Schedule::Cosine { warmup_steps } => *warmup_steps,
        };
        if step < warmup {
            return (step + 1) as f64 / warmup as f64;
        }
        let after = step - warmup;
        match self {
            Schedule::Constant { .. } => 1.0,
            Schedule::Step { every, gamma, .. } => gamma.powi((after / (*every).max(1)) as i32),
            Schedule::Cosine { .. } => {
                let total = steps.saturating_sub(warmup).max(1);
                0.5 * (1.0 + (std::f64::consts::PI * after as f64 / total as f64).cos())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warm_up_ends_at_the_base_rate_and_cosine_falls_from_there() {
        let cosine = Schedule::Cosine { warmup_steps: 4 };
        let factors: Vec<f64> = (0..12).map(|step| cosine.factor(step, 12)).collect();
        assert_eq!(&factors[..5], &[0.25, 0.5, 0.75, 1.0, 1.0]);
        assert!(factors[4..].windows(2).all(|pair| pair[1] < pair[0]));
        assert!((factors[8] - 0.5).abs() < 1e-12, "half way down in the middle");
    }

    #[test]
    fn a_step_schedule_multiplies_every_so_often() {
        let step = Schedule::Step { every: 2, gamma: 0.1, warmup_steps: 0 };
        let factors: Vec<f64> = (0..5).map(|s| step.factor(s, 5)).collect();
        let expected = [1.0, 1.0, 0.1, 0.1, 0.01];
        assert!(factors.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12));
    }

    #[test]
    fn epochs_count_the_last_short_batch() {
        assert_eq!(Length::Epochs(2).steps(10, 4), 6);
        assert_eq!(Length::Steps(7).steps(10, 4), 7);
    }
}
