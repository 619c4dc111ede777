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
    /// The layer whose output is the network's.
    pub output: LayerId,
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
    /// Max pooling.
    MaxPool2d(Pool2d),
    /// Average pooling; padding counts as zeros, as PyTorch's default does.
    AvgPool2d(Pool2d),
    /// Mean over height and width; keeps `[channels, 1, 1]`.
    GlobalAvgPool,
    /// Sum of inputs of equal shape.
    Add,
    /// Concatenation along the channel axis.
    Concat,
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
}

impl Op {
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
            Op::MaxPool2d(_) => "MaxPool2d",
            Op::AvgPool2d(_) => "AvgPool2d",
            Op::GlobalAvgPool => "GlobalAvgPool",
            Op::Add => "Add",
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
