//! Multiply-accumulates and parameters.

use super::{Network, Op, Shape, ShapeError};
use serde::{Deserialize, Serialize};
use std::ops::Add;

/// What a layer or a network costs per image, as the literature counts: MACs of convolutions and linear layers without
/// their biases; parameters of everything that training changes (running statistics are none).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cost {
    /// Multiply-accumulates.
    pub macs: u64,
    /// Trainable parameters.
    pub params: u64,
}

impl Add for Cost {
    type Output = Cost;

    fn add(self, other: Cost) -> Cost {
        Cost { macs: self.macs + other.macs, params: self.params + other.params }
    }
}

impl Network {
    /// The cost of every layer.
    ///
    /// # Errors
    /// As [`Network::shapes`].
    pub fn layer_costs(&self) -> Result<Vec<Cost>, ShapeError> {
        let shapes = self.shapes()?;
        Ok(self
            .layers
            .iter()
            .zip(&shapes)
            .map(|(layer, output)| match layer.inputs.first() {
                Some(&input) => cost(&layer.op, &shapes[input], output),
                None => Cost::default(),
            })
            .collect())
    }

    /// The cost of the whole network.
    ///
    /// # Errors
    /// As [`Network::shapes`].
    pub fn cost(&self) -> Result<Cost, ShapeError> {
        Ok(self.layer_costs()?.into_iter().fold(Cost::default(), Add::add))
    }
}

fn cost(op: &Op, input: &Shape, output: &Shape) -> Cost {
    match op {
        Op::Conv2d(conv) => {
            let weights = (conv.out_channels * (input[0] / conv.groups) * conv.kernel[0] * conv.kernel[1]) as u64;
            let positions = (output[1] * output[2]) as u64;
            Cost { macs: weights * positions, params: weights + bias(conv.bias, conv.out_channels) }
        }
        Op::Linear { out_features, bias: has_bias } => {
            let weights = (out_features * input[0]) as u64;
            Cost { macs: weights, params: weights + bias(*has_bias, *out_features) }
        }
        Op::BatchNorm2d { .. } => Cost { macs: 0, params: 2 * input[0] as u64 },
        _ => Cost::default(),
    }
}

fn bias(has_bias: bool, width: usize) -> u64 {
    if has_bias { width as u64 } else { 0 }
}
