//! The experiment document: YAML in, a [`Spec`] that can only be right out.

mod criterion;
mod error;
mod lines;
mod node;
mod read;
mod read_search;
mod recipe;
#[cfg(test)]
mod tests;

pub use criterion::{Criterion, Granularity, Importance, Normalization, Ranking, Reduction, Scope};
pub use error::SpecError;
pub use recipe::{Length, Optimizer, Recipe, Schedule};

use crate::data::Amount;
use crate::network::zoo::{ShortcutKind, Stem};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// A validated document with every default filled in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Spec {
    /// The experiment's name.
    pub name: String,
    /// The dense network.
    pub model: Model,
    /// The data set.
    pub data: Data,
    /// How the dense network is trained; absent where there is a checkpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub train: Option<Recipe>,
    /// The sensitivity scan, if one is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sensitivity: Option<Sensitivity>,
    /// The search, if one is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub search: Option<Search>,
    /// The long fine-tune of the winner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finetune: Option<Recipe>,
    /// Seeds everything that has no seed of its own.
    pub seed: u64,
}

/// `model:`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Model {
    /// The architecture.
    #[serde(flatten)]
    pub source: ModelSource,
    /// `vgg` only: its layers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub widths: Option<Vec<Width>>,
    /// Width multiplier; not for `vgg`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub width: Option<f64>,
    /// CIFAR ResNets only: what bridges a change of shape.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shortcut: Option<ShortcutKind>,
    /// How the first layers shrink the image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stem: Option<Stem>,
    /// `[channels, height, width]`; the data's unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<[usize; 3]>,
    /// Classes; the data's unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classes: Option<usize>,
    /// Weights of the dense network: a PyTorch or safetensors file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<String>,
    /// What tensors are called in the checkpoint, by what they are called here; whole names or prefixes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub names: BTreeMap<String, String>,
}

/// Where an architecture comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ModelSource {
    /// A network of the zoo, by name.
    Zoo(String),
    /// An ONNX file, with its weights.
    Onnx(String),
}

impl Model {
    /// Whether the document brings weights.
    pub fn has_weights(&self) -> bool {
        self.checkpoint.is_some() || matches!(self.source, ModelSource::Onnx(_))
    }
}

/// An entry of a VGG's list of widths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Width {
    /// A convolution of this many channels.
    Channels(usize),
    /// `M`: a 2x2 max pooling.
    Pool(Pool),
}

/// The letter `M`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Pool {
    /// Max pooling.
    M,
}

/// `data:`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Data {
    /// Which images.
    #[serde(flatten)]
    pub source: DataSource,
    /// Count or fraction of the training images that a search looks at.
    pub holdout: Amount,
    /// Normalisation of pixels scaled to [0, 1].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub normalize: Option<Normalize>,
    /// Augmentation of training images.
    pub augment: Augment,
}

/// Where images come from. Paths are as written: relative to the document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DataSource {
    /// A built-in data set: `fashion-mnist-10k`.
    Dataset(String),
    /// A folder of IDX files (the MNIST family).
    Idx(String),
    /// A folder of CIFAR-10 binary files.
    Cifar10(String),
    /// A folder of CIFAR-100 binary files.
    Cifar100(String),
}

/// `(pixel - mean) / std`, one value a channel or one for all.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Normalize {
    /// Means.
    pub mean: Vec<f64>,
    /// Standard deviations.
    pub std: Vec<f64>,
}

/// Augmentation of training images.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Augment {
    /// Flip horizontally with probability 1/2.
    #[serde(default)]
    pub flip: bool,
    /// Pad with this many black pixels on every side and crop back at random.
    #[serde(default)]
    pub crop_padding: usize,
}

/// `sensitivity:`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sensitivity {
    /// What ranks channels or weights.
    pub criterion: Criterion,
    /// What is removed at a time.
    pub granularity: Granularity,
    /// Fractions to remove: of a group's channels, or of a layer's weights.
    pub ratios: Vec<f64>,
}

/// `search:`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Search {
    /// NetAdapt (Yang et al., ECCV 2018).
    Netadapt(Netadapt),
    /// Everything at once, by one ranking.
    OneShot(OneShot),
}

/// `search.one_shot:`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OneShot {
    /// Fraction to remove: of the channels, or of the weights.
    pub sparsity: f64,
    /// What is removed at a time.
    pub granularity: Granularity,
    /// What ranks channels or weights.
    pub criterion: Criterion,
    /// Whether layers are ranked apart.
    pub scope: Scope,
    /// Which widths a group may have.
    pub channels: Channels,
}

/// `search.netadapt:`. Defaults are the official code's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Netadapt {
    /// What to come down to.
    pub budget: Budget,
    /// How far a round goes.
    pub step: Step,
    /// Which widths a group may have.
    pub channels: Channels,
    /// What ranks channels.
    pub criterion: Criterion,
    /// How a round's winner is chosen.
    pub select: Select,
    /// A candidate's fine-tune.
    pub short_term: Recipe,
    /// Most rounds.
    pub max_rounds: usize,
}

/// What a search comes down to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Budget {
    /// How much of what.
    #[serde(flatten)]
    pub amount: BudgetAmount,
    /// Whose latency; for latency only.
    pub device: String,
}

/// How much of what.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BudgetAmount {
    /// Ratio of the dense network's latency.
    Latency(f64),
    /// Latency in milliseconds.
    LatencyMs(f64),
    /// MACs: up to 1 a ratio of the dense network's, above it a count.
    Macs(f64),
    /// Parameters: up to 1 a ratio of the dense network's, above it a count.
    Params(f64),
}

/// What a budget is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)] // the vocabulary's words
pub enum Resource {
    Latency,
    Macs,
    Params,
}

/// A round's reduction: `initial * decay^(round - 1)` of the dense network's resource.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Of the first round.
    pub initial: f64,
    /// Factor from round to round.
    pub decay: f64,
}

/// Widths that a group may be narrowed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Channels {
    /// Multiples of this.
    pub multiple_of: usize,
    /// At least this.
    pub min: usize,
}

/// How a round's winner is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Select {
    /// Least accuracy lost per resource saved (the official code).
    AccuracyPerResource,
    /// Highest accuracy (the paper's algorithm).
    Accuracy,
}

/// Reads a document.
///
/// # Errors
/// With the line, the field, what was expected and what to do.
pub fn parse(text: &str) -> Result<Spec, SpecError> {
    read::document(text)
}

impl Spec {
    /// The resolved document.
    pub fn to_yaml(&self) -> String {
        // Through JSON, because YAML tags (`!sgd`) are not how users write enums. Plain data: neither step can fail.
        serde_json::to_value(self).ok().and_then(|value| serde_yaml::to_string(&value).ok()).unwrap_or_default()
    }
}

impl Model {
    /// Takes input and classes from the data where the document leaves them out.
    ///
    /// # Errors
    /// When the document says otherwise than the data; its own words then stand.
    pub fn fit(&mut self, input: [usize; 3], classes: usize) -> Result<(), SpecError> {
        let (given_input, given_classes) = (*self.input.get_or_insert(input), *self.classes.get_or_insert(classes));
        let remedy = match self.source {
            ModelSource::Zoo(_) => "leave it out: it is taken from the data",
            ModelSource::Onnx(_) => "the ONNX file has it so: take data that it was made for, or export it anew",
        };
        if given_input != input {
            return Err(SpecError::new("model.input", format!("is {given_input:?}, the data's images are {input:?}")).help(remedy));
        }
        match given_classes < classes {
            true => Err(SpecError::new("model.classes", format!("is {given_classes}, the data have {classes} classes")).help(remedy)),
            false => Ok(()),
        }
    }
}

impl Budget {
    /// What it is about.
    pub fn resource(&self) -> Resource {
        match self.amount {
            BudgetAmount::Latency(_) | BudgetAmount::LatencyMs(_) => Resource::Latency,
            BudgetAmount::Macs(_) => Resource::Macs,
            BudgetAmount::Params(_) => Resource::Params,
        }
    }

    /// The budget in ms, MACs or parameters, given the dense network's.
    pub fn target(&self, dense: f64) -> f64 {
        match self.amount {
            BudgetAmount::Latency(ratio) => ratio * dense,
            BudgetAmount::LatencyMs(ms) => ms,
            BudgetAmount::Macs(amount) | BudgetAmount::Params(amount) if amount <= 1.0 => amount * dense,
            BudgetAmount::Macs(count) | BudgetAmount::Params(count) => count,
        }
    }

    /// Whether it is a ratio of the dense network's.
    pub fn is_relative(&self) -> bool {
        match self.amount {
            BudgetAmount::Latency(_) => true,
            BudgetAmount::LatencyMs(_) => false,
            BudgetAmount::Macs(amount) | BudgetAmount::Params(amount) => amount <= 1.0,
        }
    }
}

/// The smallest ratio of the dense network's resource that a schedule aims at: one less the sum of its steps. With the
/// official defaults (2.5 %, 0.96) no number of rounds goes below 1 - 0.025 / 0.04 = 37.5 %.
pub fn reachable_minimum(step: &Step, max_rounds: usize) -> f64 {
    let steps: f64 = (0..max_rounds.min(100_000)).map(|round| step.initial * step.decay.powi(round as i32)).sum();
    (1.0 - steps).max(0.0)
}

macro_rules! display_as_in_yaml {
    ($($name:ident),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.serialize(f)
            }
        }
    )*};
}
display_as_in_yaml!(Resource, Select);
