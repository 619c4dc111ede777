//! What ranks channels and weights, and what is removed at a time.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// A criterion with its options. In a document `l1`, or `{taylor: {squared: true, batches: 8}}`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(into = "BTreeMap<Importance, Ranking>", try_from = "BTreeMap<Importance, Ranking>")]
pub struct Criterion {
    /// What is computed of every channel or weight.
    pub importance: Importance,
    /// How it is computed and brought together.
    pub ranking: Ranking,
}

/// What a channel or a weight is worth; the least worth is removed first. `w` are the weights that a channel's filter
/// has, `g` their gradients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Importance {
    /// Sum of absolute weights (Li et al. 2017, "Pruning Filters for Efficient ConvNets").
    L1,
    /// Sum of squared weights (NetAdapt, Yang et al. 2018); the root would not change the order.
    L2,
    /// Absolute scale of the batch norm after it (Liu et al. 2017, "Network Slimming").
    BnScale,
    /// Sum of distances to the other filters of its layer: those near the geometric median go first (FPGM, He et al. 2019, eq. 6).
    Fpgm,
    /// First-order Taylor expansion of the loss: mean over batches of the sum of |g w|, or with `squared` of (g w)^2
    /// (Molchanov et al. 2019, eq. 6 to 8).
    Taylor,
    /// Fraction of positive activations: one less the average percentage of zeros (APoZ, Hu et al. 2016, eq. 1).
    Apoz,
    /// Mean absolute activation (Molchanov et al. 2017, section 2.2).
    MeanActivation,
    /// Squared weight over the sum of all squared weights of its layer that are not smaller (LAMP, Lee et al. 2021, eq. 1).
    Lamp,
    /// `H w^2 / 2` with the diagonal of the Hessian (Optimal Brain Damage, LeCun et al. 1990, eq. 7), which the mean of
    /// squared gradients over batches stands for (the empirical Fisher information).
    Hessian,
    /// A random order: the floor that every criterion must beat.
    Random,
}

impl Importance {
    /// All of them, with their names in a document.
    pub const ALL: [(&'static str, Importance); 10] = [
        ("l1", Importance::L1),
        ("l2", Importance::L2),
        ("bn_scale", Importance::BnScale),
        ("fpgm", Importance::Fpgm),
        ("taylor", Importance::Taylor),
        ("apoz", Importance::Apoz),
        ("mean_activation", Importance::MeanActivation),
        ("lamp", Importance::Lamp),
        ("hessian", Importance::Hessian),
        ("random", Importance::Random),
    ];

    /// Whether it looks at training images.
    pub fn needs_data(self) -> bool {
        self.needs_gradients() || matches!(self, Importance::Apoz | Importance::MeanActivation)
    }

    /// Whether it looks at gradients.
    pub fn needs_gradients(self) -> bool {
        matches!(self, Importance::Taylor | Importance::Hessian)
    }

    /// Whether it tells single weights apart, and not only channels.
    pub fn ranks_weights(self) -> bool {
        match self {
            Importance::L1 | Importance::L2 | Importance::Taylor | Importance::Lamp | Importance::Hessian | Importance::Random => true,
            Importance::BnScale | Importance::Fpgm | Importance::Apoz | Importance::MeanActivation => false,
        }
    }
}

/// Options of a criterion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Ranking {
    /// How the layers of a channel group are brought together.
    pub reduction: Reduction,
    /// How the scores of a group (or of a layer's weights) are scaled, so that a global ranking can compare them.
    pub normalize: Normalization,
    /// Taylor only: squares instead of absolute values.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub squared: bool,
    /// Batches of training images that gradients and activations are taken from.
    #[serde(skip_serializing_if = "is_default_batches")]
    pub batches: usize,
    /// Images in such a batch.
    #[serde(skip_serializing_if = "is_default_batch")]
    pub batch: usize,
    /// Seeds `random`.
    #[serde(skip_serializing_if = "is_zero")]
    pub seed: u64,
}

// Left out where they are the default: most criteria look at no images, and their documents refuse these fields.
fn is_default_batches(batches: &usize) -> bool {
    *batches == DEFAULT.batches
}

fn is_default_batch(batch: &usize) -> bool {
    *batch == DEFAULT.batch
}

fn is_zero(seed: &u64) -> bool {
    *seed == 0
}

const DEFAULT: Ranking =
    Ranking { reduction: Reduction::Sum, normalize: Normalization::None, squared: false, batches: 4, batch: 64, seed: 0 };

impl Default for Ranking {
    fn default() -> Ranking {
        DEFAULT
    }
}

/// How the scores of the layers that make a group's channels become one (Fang et al. 2023, "DepGraph", section 3.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)] // the words say it
pub enum Reduction {
    Sum,
    Mean,
    Max,
    /// The first layer alone.
    First,
}

/// What the scores of a group are divided by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Normalization {
    /// Nothing.
    None,
    /// Their sum.
    Sum,
    /// Their mean.
    Mean,
    /// Their maximum.
    Max,
    /// Their standard deviation, after the mean was taken off.
    Standard,
}

/// Whether the least important of each layer go, or the least important of all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// The same fraction of every layer (or group).
    Layer,
    /// One ranking of the whole network.
    Global,
}

/// What is removed at a time (Mao et al. 2017, "Exploring the Granularity of Sparsity"). All but `channel` are masks: zeros
/// that stay zeros.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Granularity {
    /// Whole channels of a channel group; the network gets narrower.
    #[default]
    Channel,
    /// Single weights.
    FineGrained,
    /// Rows of kernels.
    Vector,
    /// Whole kernels: what one output channel reads of one input channel.
    Kernel,
    /// `keep` of the nine weights of every 3x3 kernel (PatDNN, Niu et al. 2020); other kernels stay whole.
    Pattern {
        /// Weights that stay.
        keep: usize,
    },
    /// `n` of every `m` weights that follow each other along the input channels (Mishra et al. 2021); a rest that does not
    /// fill a block stays whole.
    NM {
        /// Weights that stay in a block.
        n: usize,
        /// Weights in a block.
        m: usize,
    },
}

impl Granularity {
    /// The fraction that it removes by itself; the others remove what they are told to.
    pub fn own_ratio(self) -> Option<f64> {
        match self {
            Granularity::Pattern { keep } => Some(1.0 - keep as f64 / 9.0),
            Granularity::NM { n, m } => Some(1.0 - n as f64 / m as f64),
            Granularity::Channel | Granularity::FineGrained | Granularity::Vector | Granularity::Kernel => None,
        }
    }

    /// The same granularity at the ratio nearest to this one.
    #[must_use]
    pub fn at(self, ratio: f64) -> Granularity {
        let kept = |of: usize| ((1.0 - ratio) * of as f64).round() as usize;
        match self {
            Granularity::Pattern { .. } => Granularity::Pattern { keep: kept(9) },
            Granularity::NM { m, .. } => Granularity::NM { n: kept(m), m },
            other => other,
        }
    }
}

impl Criterion {
    /// A criterion with the default options.
    pub const fn of(importance: Importance) -> Criterion {
        Criterion { importance, ranking: DEFAULT }
    }

    /// [`Importance::L1`].
    pub const L1: Criterion = Criterion::of(Importance::L1);
    /// [`Importance::L2`].
    pub const L2: Criterion = Criterion::of(Importance::L2);
}

impl From<Criterion> for BTreeMap<Importance, Ranking> {
    fn from(criterion: Criterion) -> Self {
        BTreeMap::from([(criterion.importance, criterion.ranking)])
    }
}

impl TryFrom<BTreeMap<Importance, Ranking>> for Criterion {
    type Error = String;

    fn try_from(map: BTreeMap<Importance, Ranking>) -> Result<Criterion, String> {
        match map.into_iter().next() {
            Some((importance, ranking)) => Ok(Criterion { importance, ranking }),
            None => Err("a criterion has a name".into()),
        }
    }
}

impl fmt::Display for Importance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

impl fmt::Display for Criterion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.importance.fmt(f)
    }
}
