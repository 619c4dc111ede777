//! Shape inference.

use super::{LayerId, Network, Op};
use thiserror::Error;

/// `[channels, height, width]` of a feature map, or `[features]`.
pub type Shape = Vec<usize>;

/// A layer that does not fit its inputs.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("layer `{layer}` ({op}): {problem}")]
pub struct ShapeError {
    /// The layer's name.
    pub layer: String,
    /// Its operator.
    pub op: &'static str,
    /// What does not fit.
    pub problem: String,
}

impl Network {
    /// The output shape of every layer, per image.
    ///
    /// # Errors
    /// The first layer that does not fit its inputs, or an id that does not stand before its reader.
    pub fn shapes(&self) -> Result<Vec<Shape>, ShapeError> {
        let mut shapes: Vec<Shape> = Vec::with_capacity(self.layers.len());
        for (id, layer) in self.layers.iter().enumerate() {
            let fail = |problem: String| ShapeError { layer: layer.name.clone(), op: layer.op.name(), problem };
            if let Some(&late) = layer.inputs.iter().find(|&&input| input >= id) {
                return Err(fail(format!("reads layer {late}, which does not stand before it")));
            }
            let inputs: Vec<&Shape> = layer.inputs.iter().map(|&input| &shapes[input]).collect();
            shapes.push(infer(&layer.op, &inputs).map_err(fail)?);
        }
        if self.output >= shapes.len() {
            return Err(ShapeError { layer: format!("{}", self.output), op: "output", problem: "there is no such layer".into() });
        }
        Ok(shapes)
    }

    /// The shape of the network's output.
    ///
    /// # Errors
    /// As [`Network::shapes`].
    pub fn output_shape(&self) -> Result<Shape, ShapeError> {
        let output: LayerId = self.output;
        Ok(self.shapes()?.swap_remove(output))
    }
}

fn infer(op: &Op, inputs: &[&Shape]) -> Result<Shape, String> {
    let count = |expected: usize| match inputs.len() == expected {
        true => Ok(()),
        false => Err(format!("takes {expected} input(s), has {}", inputs.len())),
    };
    match op {
        Op::Input { shape } => {
            count(0)?;
            match (shape.len() == 1 || shape.len() == 3) && shape.iter().all(|&size| size > 0) {
                true => Ok(shape.clone()),
                false => Err(format!("shape must be [channels, height, width] or [features], all above 0, found {shape:?}")),
            }
        }
        Op::Conv2d(conv) => {
            count(1)?;
            let [channels, height, width] = map(inputs[0])?;
            if conv.groups == 0 || channels % conv.groups != 0 || conv.out_channels % conv.groups != 0 {
                return Err(format!("{} groups do not divide {channels} input and {} output channels", conv.groups, conv.out_channels));
            }
            if conv.out_channels == 0 {
                return Err("has no output channels".into());
            }
            let size =
                |axis: usize, input: usize| window(input, conv.kernel[axis], conv.stride[axis], conv.padding[axis], conv.dilation[axis]);
            Ok(vec![conv.out_channels, size(0, height)?, size(1, width)?])
        }
        Op::MaxPool2d(pool) | Op::AvgPool2d(pool) => {
            count(1)?;
            let [channels, height, width] = map(inputs[0])?;
            let size = |axis: usize, input: usize| window(input, pool.kernel[axis], pool.stride[axis], pool.padding[axis], 1);
            Ok(vec![channels, size(0, height)?, size(1, width)?])
        }
        Op::BatchNorm2d { .. } => {
            count(1)?;
            map(inputs[0]).map(Vec::from)
        }
        Op::GlobalAvgPool => {
            count(1)?;
            map(inputs[0]).map(|[channels, ..]| vec![channels, 1, 1])
        }
        Op::Relu | Op::Relu6 | Op::HardSwish | Op::Sigmoid | Op::Dropout { .. } => {
            count(1)?;
            Ok(inputs[0].clone())
        }
        Op::Linear { out_features, .. } => {
            count(1)?;
            match (inputs[0].len(), *out_features) {
                (_, 0) => Err("has no output features".into()),
                (1, features) => Ok(vec![features]),
                _ => Err(format!("reads [features], found {:?}; put a Flatten before it", inputs[0])),
            }
        }
        Op::Flatten => {
            count(1)?;
            Ok(vec![inputs[0].iter().product()])
        }
        Op::Add => match inputs {
            [first, rest @ ..] if !rest.is_empty() && rest.iter().all(|shape| shape == first) => Ok((*first).clone()),
            _ => Err(format!("adds two or more inputs of equal shape, found {inputs:?}")),
        },
        Op::Concat => match inputs {
            [first, rest @ ..] if rest.iter().all(|shape| shape[1..] == first[1..]) => {
                let mut shape = (*first).clone();
                shape[0] = inputs.iter().map(|input| input[0]).sum();
                Ok(shape)
            }
            _ => Err(format!("joins inputs that differ only in channels, found {inputs:?}")),
        },
        Op::Shortcut { stride, sources } => {
            count(1)?;
            let [channels, height, width] = map(inputs[0])?;
            if *stride == 0 || sources.is_empty() {
                return Err("needs a stride of 1 or more and at least one output channel".into());
            }
            match sources.iter().flatten().find(|&&source| source >= channels) {
                Some(source) => Err(format!("reads channel {source} of {channels}")),
                None => Ok(vec![sources.len(), height.div_ceil(*stride), width.div_ceil(*stride)]),
            }
        }
    }
}

fn map(shape: &Shape) -> Result<[usize; 3], String> {
    shape.as_slice().try_into().map_err(|_| format!("reads [channels, height, width], found {shape:?}"))
}

/// Output size of a sliding window, rounded down as PyTorch does.
fn window(input: usize, kernel: usize, stride: usize, padding: usize, dilation: usize) -> Result<usize, String> {
    if kernel == 0 || stride == 0 || dilation == 0 {
        return Err("kernel, stride and dilation must be 1 or more".into());
    }
    let reach = dilation * (kernel - 1) + 1;
    match input + 2 * padding {
        padded if padded >= reach => Ok((padded - reach) / stride + 1),
        padded => Err(format!("a window of {reach} does not fit an input of {padded} (padding included)")),
    }
}
