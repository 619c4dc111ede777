//! Networks: directed acyclic graphs of typed layers with static shapes, and no weights.
//!
//! Layers are kept in topological order: every input of a layer stands before it. All shapes are per image (no batch
//! axis): `[channels, height, width]` for feature maps, `[features]` after a flatten.

mod build;
mod cost;
mod fold;
mod groups;
mod segments;
mod shape;
pub mod zoo;

pub use build::Builder;
pub use cost::Cost;
pub use groups::{Axis, Group, Groups, Member};
pub use segments::Segment;
pub use shape::{Shape, ShapeError};

use serde::{Deserialize, Serialize};

/// Index of a layer in [`Network::layers`].
pub type LayerId = usize;

/// A network: the architecture alone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Network {
    /// The layers in topological order.
    pub layers: Vec<Layer>,
    /// The layers whose outputs are the network's. The first one is what is trained and judged.
    pub outputs: Vec<LayerId>,
}

/// One layer: a name, an operator, and the layers that feed it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Layer {
    /// The name that the published PyTorch code gives it, such as `layer1.0.conv1`; unique in its network.
    pub name: String,
    /// What it computes.
    pub op: Op,
    /// The layers whose outputs it reads, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<LayerId>,
}

/// An operator. Input channels are not stored: they follow from the shapes of the inputs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum Op {
    /// An input of the network.
    Input {
        /// `[channels, height, width]`, or `[features]`.
        shape: Shape,
    },
    /// 2-D convolution; weight `[out_channels, in_channels / groups, kernel, kernel]`.
    Conv2d(Conv2d),
    /// Batch normalisation over the channel axis; scale, shift, running mean and variance of `[channels]`.
    BatchNorm2d {
        /// Added to the variance.
        eps: f64,
    },
    /// Fully connected; weight `[out_features, in_features]` as in PyTorch.
    Linear {
        /// Output features.
        out_features: usize,
        /// Whether it adds a bias.
        bias: bool,
    },
    /// `max(x, 0)`.
    Relu,
    /// `min(max(x, 0), 6)`.
    Relu6,
    /// `x * relu6(x + 3) / 6`.
    HardSwish,
    /// `1 / (1 + exp(-x))`.
    Sigmoid,
    /// `min(max(alpha * x + beta, 0), 1)`; PyTorch's has `alpha` 1/6 and `beta` 1/2.
    HardSigmoid {
        /// Slope.
        alpha: f64,
        /// Value at 0.
        beta: f64,
    },
    /// `x * sigmoid(x)`, also called Swish.
    Silu,
    /// `x * P(X <= x)` of a standard normal X.
    Gelu,
    /// Hyperbolic tangent.
    Tanh,
    /// `max(x, slope * x)`.
    LeakyRelu {
        /// Factor of negative values.
        slope: f64,
    },
    /// `min(max(x, min), max)`.
    Clip {
        /// Lower bound.
        min: f64,
        /// Upper bound.
        max: f64,
    },
    /// Softmax over the channels (or features).
    Softmax,
    /// Max pooling.
    MaxPool2d(Pool2d),
    /// Average pooling.
    AvgPool2d(Pool2d),
    /// Average pooling to a fixed size, `[height, width]` (PyTorch's `AdaptiveAvgPool2d`).
    AdaptiveAvgPool2d {
        /// Output size.
        size: [usize; 2],
    },
    /// Mean over height and width; keeps `[channels, 1, 1]`.
    GlobalAvgPool,
    /// Sum of its inputs; axes of size 1 are broadcast.
    Add,
    /// Product of its inputs; axes of size 1 are broadcast (squeeze-and-excite multiplies `[channels, 1, 1]`).
    Mul,
    /// Concatenation along the channel axis.
    Concat,
    /// Picks channels: output channel `i` is input channel `channels[i]`. Channel splits (slices) and shuffles are this.
    Select {
        /// Where each output channel comes from.
        channels: Vec<usize>,
    },
    /// Zeros around a feature map.
    Pad {
        /// `[top, left, bottom, right]`.
        padding: [usize; 4],
    },
    /// `[channels, height, width]` to `[channels * height * width]`.
    Flatten,
    /// Dropout: does nothing outside training.
    Dropout {
        /// Probability of a zero.
        p: f64,
    },
    /// The parameter-free shortcut of CIFAR ResNets ("option A", He et al. 2016, section 4.2): takes every `stride`-th
    /// row and column; output channel `i` is input channel `sources[i]`, or zeros.
    Shortcut {
        /// Step in rows and columns.
        stride: usize,
        /// Where each output channel comes from; `None` is a channel of zeros.
        sources: Vec<Option<usize>>,
    },
}

/// Constants of a 2-D convolution. `[height, width]` each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conv2d {
    /// Output channels.
    pub out_channels: usize,
    /// Kernel size.
    pub kernel: [usize; 2],
    /// Stride.
    pub stride: [usize; 2],
    /// Zero padding on both sides.
    pub padding: [usize; 2],
    /// Dilation.
    pub dilation: [usize; 2],
    /// Blocks of channels that do not see each other; `in_channels` of them is a depthwise convolution.
    pub groups: usize,
    /// Whether it adds a bias.
    pub bias: bool,
}

/// Constants of a 2-D pooling. `[height, width]` each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pool2d {
    /// Window size.
    pub kernel: [usize; 2],
    /// Stride.
    pub stride: [usize; 2],
    /// Padding on both sides.
    pub padding: [usize; 2],
    /// Rounds the output size up, as `ceil_mode=True` does in PyTorch.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ceil_mode: bool,
    /// Average pooling only: padding counts as zeros in the mean (PyTorch's default).
    #[serde(default = "yes", skip_serializing_if = "Clone::clone")]
    pub count_include_pad: bool,
}

fn yes() -> bool {
    true
}

impl Pool2d {
    /// A square window.
    pub fn square(kernel: usize, stride: usize, padding: usize) -> Pool2d {
        Pool2d { kernel: [kernel; 2], stride: [stride; 2], padding: [padding; 2], ceil_mode: false, count_include_pad: true }
    }

    /// The same, its output size rounded up.
    pub fn ceil(self) -> Pool2d {
        Pool2d { ceil_mode: true, ..self }
    }
}

impl Op {
    /// PyTorch's hard sigmoid.
    pub fn hard_sigmoid() -> Op {
        Op::HardSigmoid { alpha: 1.0 / 6.0, beta: 0.5 }
    }

    /// Whether it computes every element from the same element of its only input.
    pub fn is_activation(&self) -> bool {
        match self {
            Op::Relu
            | Op::Relu6
            | Op::HardSwish
            | Op::Sigmoid
            | Op::HardSigmoid { .. }
            | Op::Silu
            | Op::Gelu
            | Op::Tanh
            | Op::LeakyRelu { .. }
            | Op::Clip { .. }
            | Op::Dropout { .. } => true,
            Op::Input { .. }
            | Op::Conv2d(_)
            | Op::BatchNorm2d { .. }
            | Op::Linear { .. }
            | Op::Softmax
            | Op::MaxPool2d(_)
            | Op::AvgPool2d(_)
            | Op::AdaptiveAvgPool2d { .. }
            | Op::GlobalAvgPool
            | Op::Add
            | Op::Mul
            | Op::Concat
            | Op::Select { .. }
            | Op::Pad { .. }
            | Op::Flatten
            | Op::Shortcut { .. } => false,
        }
    }

    /// The operator's name, as people write it.
    pub fn name(&self) -> &'static str {
        match self {
            Op::Input { .. } => "Input",
            Op::Conv2d(_) => "Conv2d",
            Op::BatchNorm2d { .. } => "BatchNorm2d",
            Op::Linear { .. } => "Linear",
            Op::Relu => "ReLU",
            Op::Relu6 => "ReLU6",
            Op::HardSwish => "HardSwish",
            Op::Sigmoid => "Sigmoid",
            Op::HardSigmoid { .. } => "HardSigmoid",
            Op::Silu => "SiLU",
            Op::Gelu => "GELU",
            Op::Tanh => "Tanh",
            Op::LeakyRelu { .. } => "LeakyReLU",
            Op::Clip { .. } => "Clip",
            Op::Softmax => "Softmax",
            Op::MaxPool2d(_) => "MaxPool2d",
            Op::AvgPool2d(_) => "AvgPool2d",
            Op::AdaptiveAvgPool2d { .. } => "AdaptiveAvgPool2d",
            Op::GlobalAvgPool => "GlobalAvgPool",
            Op::Add => "Add",
            Op::Mul => "Mul",
            Op::Select { .. } => "Select",
            Op::Pad { .. } => "Pad",
            Op::Concat => "Concat",
            Op::Flatten => "Flatten",
            Op::Dropout { .. } => "Dropout",
            Op::Shortcut { .. } => "Shortcut",
        }
    }

    /// Output channels or features, for the operators that make new ones.
    pub fn width(&self) -> Option<usize> {
        match self {
            Op::Conv2d(conv) => Some(conv.out_channels),
            Op::Linear { out_features, .. } => Some(*out_features),
            _ => None,
        }
    }
}

impl Network {
    /// `(layer, width)` of every convolution and linear layer, in order.
    pub fn widths(&self) -> Vec<(&str, usize)> {
        self.layers.iter().filter_map(|layer| layer.op.width().map(|width| (layer.name.as_str(), width))).collect()
    }

    /// The layers that read each layer's output.
    pub fn consumers(&self) -> Vec<Vec<LayerId>> {
        let mut consumers = vec![Vec::new(); self.layers.len()];
        for (id, layer) in self.layers.iter().enumerate() {
            for &input in &layer.inputs {
                consumers[input].push(id);
            }
        }
        consumers
    }

    /// The ids of the network's inputs, in order.
    pub fn inputs(&self) -> impl Iterator<Item = LayerId> + '_ {
        self.layers.iter().enumerate().filter(|(_, layer)| matches!(layer.op, Op::Input { .. })).map(|(id, _)| id)
    }

    /// The id of the layer of this name.
    pub fn find(&self, name: &str) -> Option<LayerId> {
        self.layers.iter().position(|layer| layer.name == name)
    }
}
