//! Tasks: pure descriptions of work, their keys, and what they answer.

mod id;

pub use id::{BlobId, TaskKey};

use crate::data::{Cut, Format, SplitHashes, SplitName};
use crate::network::{Cost, Network};
use crate::spec::{Augment, Criterion, Granularity, Normalize, OneShot, Recipe};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One unit of work for one worker. Everything that its result depends on is in here (or in the blobs it names), so its
/// encoding's hash can stand for the result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Task {
    /// Train a network from nothing or a model further; evaluate it on holdout. Answers [`Outcome::Trained`].
    Train(Train),
    /// Prune one group of a model, fine-tune briefly, evaluate on holdout. Answers [`Outcome::Trained`].
    Adapt(Adapt),
    /// Evaluate a model, pruned first if asked. Answers [`Outcome::Evaluated`].
    Evaluate(Evaluate),
    /// Time a network. Answers [`Outcome::Measured`].
    Measure(Measure),
}

/// See [`Task::Train`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Train {
    /// What to train.
    pub start: Start,
    /// On which data.
    pub data: DataRef,
    /// How.
    pub recipe: Recipe,
    /// Seeds initial weights, the order of images, augmentation and dropout.
    pub seed: u64,
}

/// What a training starts from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Start {
    /// Random weights.
    Network(Network),
    /// A model's weights.
    Model(BlobId),
}

/// See [`Task::Adapt`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Adapt {
    /// The model to prune.
    pub model: BlobId,
    /// What to remove.
    pub prune: Prune,
    /// The short-term fine-tune.
    pub recipe: Recipe,
    /// On which data.
    pub data: DataRef,
    /// As in [`Train::seed`].
    pub seed: u64,
}

/// What to remove from a model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Prune {
    /// One channel group down to a number of channels.
    Channels {
        /// Name of the channel group.
        group: String,
        /// Channels that stay.
        channels: usize,
        /// What ranks them.
        criterion: Criterion,
    },
    /// Some of one layer's weights; they are masked.
    Weights {
        /// Name of the layer.
        layer: String,
        /// Fraction to remove.
        ratio: f64,
        /// What is removed at a time; not channels.
        granularity: Granularity,
        /// What ranks them.
        criterion: Criterion,
    },
    /// The whole network at once.
    All(OneShot),
}

impl Prune {
    /// What ranks channels or weights.
    pub fn criterion(&self) -> Criterion {
        match self {
            Prune::Channels { criterion, .. } | Prune::Weights { criterion, .. } | Prune::All(OneShot { criterion, .. }) => *criterion,
        }
    }

    fn what(&self) -> String {
        match self {
            Prune::Channels { group, channels, .. } => format!("{group} at {channels} channels"),
            Prune::Weights { layer, ratio, .. } => format!("{layer} without {:.0} % of its weights", ratio * 100.0),
            Prune::All(one_shot) => format!("the network without {:.0} %", one_shot.sparsity * 100.0),
        }
    }
}

/// See [`Task::Evaluate`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evaluate {
    /// The model.
    pub model: BlobId,
    /// What to remove first, without fine-tuning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prune: Option<Prune>,
    /// On which data.
    pub data: DataRef,
    /// Which split of it.
    pub split: SplitName,
}

/// See [`Task::Measure`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measure {
    /// A whole network or a segment of one; names do not matter.
    pub network: Network,
    /// Name of the device.
    pub device: String,
    /// Which inference engine.
    pub engine: Engine,
}

/// What runs a network while it is timed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Engine {
    /// The worker's own: Burn, batch 1, batch norms folded.
    Burn,
}

/// A data set as blobs, with everything that its splits and pixels depend on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DataRef {
    /// File format.
    pub format: Format,
    /// The files.
    pub files: Vec<DataFile>,
    /// How splits are cut.
    pub cut: Cut,
    /// What the cut must give; a worker that gets another refuses the task.
    pub splits: SplitHashes,
    /// Normalisation of pixels scaled to [0, 1].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub normalize: Option<Normalize>,
    /// Augmentation of training images.
    #[serde(default)]
    pub augment: Augment,
}

/// A file of a data set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataFile {
    /// File name, which tells what it holds.
    pub name: String,
    /// Its bytes.
    pub blob: BlobId,
}

/// What a task answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Outcome {
    /// A new model.
    Trained(Trained),
    /// Accuracy and loss.
    Evaluated(Evaluation),
    /// Latency.
    Measured(Latency),
}

/// A model that training gave.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trained {
    /// The model's blob.
    pub model: BlobId,
    /// Kept units of the pruned groups.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub kept: BTreeMap<String, Vec<usize>>,
    /// What is left of a masked network when zeros are not counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nonzero: Option<Cost>,
    /// On the holdout split.
    pub evaluation: Evaluation,
    /// Optimizer steps taken.
    pub steps: usize,
    /// Mean training loss over the last tenth of the steps.
    pub train_loss: f64,
}

/// Accuracy and loss over a split.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// Images classified right.
    pub right: u64,
    /// Images.
    pub total: u64,
    /// Mean cross-entropy.
    pub loss: f64,
}

impl Evaluation {
    /// Fraction classified right; 0 of an empty split.
    pub fn accuracy(&self) -> f64 {
        self.right as f64 / self.total.max(1) as f64
    }
}

/// Latency of one inference at batch 1, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// Median over the runs.
    pub median_ms: f64,
    /// Median absolute deviation over the runs.
    pub mad_ms: f64,
    /// Fastest run.
    pub min_ms: f64,
    /// Tenth and ninetieth percentile.
    pub p10_ms: f64,
    /// Ninetieth percentile.
    pub p90_ms: f64,
    /// Counted runs.
    pub runs: usize,
    /// Threads of the engine.
    pub threads: usize,
}

impl Task {
    /// The canonical encoding: JSON with fields in declaration order. Its hash is the key.
    pub fn encode(&self) -> Vec<u8> {
        // Only a map with non-string keys or a failing Serialize can fail here; a task has neither.
        serde_json::to_vec(self).expect("a task is plain data")
    }

    /// Reads an encoding.
    ///
    /// # Errors
    /// When the bytes are no task that this version knows.
    pub fn decode(bytes: &[u8]) -> Result<Task, serde_json::Error> {
        serde_json::from_slice(bytes)
    }

    /// The key of this task.
    pub fn key(&self) -> TaskKey {
        TaskKey::of(&self.encode())
    }

    /// The blobs that it reads: what a worker may fetch for it.
    pub fn blobs(&self) -> Vec<BlobId> {
        let (model, data) = match self {
            Task::Train(task) => (if let Start::Model(blob) = &task.start { Some(*blob) } else { None }, Some(&task.data)),
            Task::Adapt(task) => (Some(task.model), Some(&task.data)),
            Task::Evaluate(task) => (Some(task.model), Some(&task.data)),
            Task::Measure(_) => (None, None),
        };
        model.into_iter().chain(data.into_iter().flat_map(|data| data.files.iter().map(|file| file.blob))).collect()
    }

    /// What it does, in a few words for a person.
    pub fn what(&self) -> String {
        match self {
            Task::Train(Train { start: Start::Network(_), .. }) => "train the dense network".into(),
            Task::Train(_) => "fine-tune".into(),
            Task::Adapt(task) => format!("adapt {}", task.prune.what()),
            Task::Evaluate(Evaluate { prune: Some(prune), .. }) => format!("evaluate {}", prune.what()),
            Task::Evaluate(task) => format!("evaluate on {}", task.split),
            Task::Measure(task) => format!("measure on {}", task.device),
        }
    }
}
