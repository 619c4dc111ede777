//! Shape inference.

use super::{Network, Op};
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
        if self.outputs.is_empty() || self.outputs.iter().any(|&output| output >= shapes.len()) {
            return Err(ShapeError { layer: format!("{:?}", self.outputs), op: "outputs", problem: "there is no such layer".into() });
        }
        Ok(shapes)
    }

    /// The shape of the network's first output.
    ///
    /// # Errors
    /// As [`Network::shapes`].
    pub fn output_shape(&self) -> Result<Shape, ShapeError> {
        Ok(self.shapes()?.swap_remove(self.outputs[0]))
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
            let size = |axis: usize, input: usize| {
                let (kernel, stride, padding) = (pool.kernel[axis], pool.stride[axis], pool.padding[axis]);
                if 2 * padding > kernel {
                    return Err(format!("padding {padding} is more than half of the window of {kernel}"));
                }
                let floor = window(input, kernel, stride, padding, 1)?;
                // Rounded up, a last window may stand over the edge, but must start inside the input or its left padding.
                let over = !(input + 2 * padding - kernel).is_multiple_of(stride) && floor * stride < input + padding;
                Ok(floor + usize::from(pool.ceil_mode && over))
            };
            Ok(vec![channels, size(0, height)?, size(1, width)?])
        }
        Op::BatchNorm2d { .. } => {
            count(1)?;
            Ok(inputs[0].clone())
        }
        Op::AdaptiveAvgPool2d { size } => {
            count(1)?;
            let [channels, ..] = map(inputs[0])?;
            match size.contains(&0) {
                true => Err("has an output size of 0".into()),
                false => Ok(vec![channels, size[0], size[1]]),
            }
        }
        Op::Pad { padding: [top, left, bottom, right] } => {
            count(1)?;
            map(inputs[0]).map(|[channels, height, width]| vec![channels, top + height + bottom, left + width + right])
        }
        Op::Select { channels } => {
            count(1)?;
            match (channels.is_empty(), channels.iter().find(|&&channel| channel >= inputs[0][0])) {
                (true, _) => Err("picks no channel".into()),
                (_, Some(channel)) => Err(format!("picks channel {channel} of {}", inputs[0][0])),
                (false, None) => {
                    let mut shape = inputs[0].clone();
                    shape[0] = channels.len();
                    Ok(shape)
                }
            }
        }
        Op::GlobalAvgPool => {
            count(1)?;
            map(inputs[0]).map(|[channels, ..]| vec![channels, 1, 1])
        }
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
        | Op::Softmax
        | Op::Dropout { .. } => {
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
        Op::Add | Op::Mul => match inputs {
            [first, rest @ ..] if !rest.is_empty() => rest.iter().try_fold((*first).clone(), |shape, next| {
                broadcast(&shape, next).ok_or_else(|| format!("combines inputs of equal shape or with axes of size 1, found {inputs:?}"))
            }),
            _ => Err(format!("takes two or more inputs, has {}", inputs.len())),
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

/// The common shape, where every axis is equal or 1.
fn broadcast(a: &Shape, b: &Shape) -> Option<Shape> {
    let size = |(&a, &b): (&usize, &usize)| (a == b || a == 1 || b == 1).then_some(a.max(b));
    (a.len() == b.len()).then(|| a.iter().zip(b).map(size).collect())?
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
