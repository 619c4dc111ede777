//! Operators with weights: convolutions, batch norms, linear layers.

use super::names;
use super::node::{Handled, Node, Value, unsupported};
use super::tensor::Constant;
use super::walk::Walk;
use super::{draft::Kind, fold};
use crate::model::Tensor;
use crate::network::{Conv2d, Op};
use crate::onnx::OnnxError;

impl Walk<'_> {
    pub fn conv(&mut self, node: &Node, mut args: Vec<Value>) -> Handled<Value> {
        let weight = weight(node, &mut args, 1)?;
        let &[out_channels, per_group, height, width] = weight.dims.as_slice() else { return unsupported("not two-dimensional") };
        let mut item = self.map(node, &args, 0)?;
        let [stride, dilation] = [node.pair("strides", 1)?, node.pair("dilations", 1)?];
        let (kernel, groups) = ([height, width], node.size(node.int("group", 1))?);
        let channels = self.draft.items[item].shape[0];
        if groups.checked_mul(per_group) != Some(channels) {
            return Err(
                node.broken(format!("reads {channels} channels, and its weight {:?} has {groups} groups of {per_group}", weight.dims))
            );
        }
        let size = [self.draft.items[item].shape[1], self.draft.items[item].shape[2]];
        let [top, left, bottom, right] = pads(node, size, kernel, stride, dilation)?;
        // Uneven pads are a layer of their own, unless the odd row is never read.
        let mut padding = [top, left];
        let count = |i: usize, end: usize| outputs(size[i], kernel[i], stride[i], dilation[i], [padding[i], end]);
        if count(0, bottom) != count(0, top) || count(1, right) != count(1, left) {
            item =
                self.draft.op(&format!("{}.pad", layer_name(node, &weight)), Op::Pad { padding: [top, left, bottom, right] }, &[item])?;
            padding = [0, 0];
        }
        let bias = bias(node, &mut args, 2, out_channels, 1.0)?;
        let conv = Conv2d { out_channels, kernel, stride, padding, dilation, groups, bias: bias.is_some() };
        self.weighted(node, Op::Conv2d(conv), item, weight, bias)
    }

    pub fn batch_norm(&mut self, node: &Node, mut args: Vec<Value>) -> Handled<Value> {
        if node.int("spatial", 1) == 0 {
            return unsupported("for every pixel");
        }
        if node.int("training_mode", 0) != 0 {
            self.notes.push(format!("Batch norm `{}` was exported for training; it is read with its running statistics.", node.label));
        }
        let item = self.input(node, &args, 0)?;
        let channels = self.draft.items[item].shape[0];
        let mut tensors = Vec::new();
        let mut name = node.name.clone();
        for (index, suffix) in ["weight", "bias", "running_mean", "running_var"].into_iter().enumerate() {
            let constant = weight(node, &mut args, index + 1)?;
            if index == 0 {
                name = layer_name(node, &constant);
            }
            tensors.push((suffix, Tensor { shape: vec![channels], data: numbers(constant, channels)? }));
        }
        let eps = node.float("epsilon", 1e-5);
        let item = self.draft.add(&name, Kind::Op(Op::BatchNorm2d { eps }), &[item], tensors)?;
        Ok(Value::View(self.draft.view(item)))
    }

    pub fn gemm(&mut self, node: &Node, mut args: Vec<Value>) -> Handled<Value> {
        if node.int("transA", 0) != 0 {
            return unsupported("transposed input");
        }
        let (alpha, beta) = (node.float("alpha", 1.0) as f32, node.float("beta", 1.0) as f32);
        let mut weight = weight(node, &mut args, 1)?;
        if node.int("transB", 0) == 0 {
            weight = transposed(weight)?;
        }
        if alpha != 1.0 {
            let (name, dims) = (weight.name.clone(), weight.dims.clone());
            weight = Constant { name, ..Constant::floats(dims, weight.into_floats().into_iter().map(|x| x * alpha).collect()) };
        }
        let out_features = weight.dims.first().copied().unwrap_or(0);
        let bias = bias(node, &mut args, 2, out_features, beta)?;
        self.linear(node, &args, weight, bias)
    }

    pub fn matmul(&mut self, node: &Node, mut args: Vec<Value>) -> Handled<Value> {
        if matches!(args.first(), Some(Value::Constant(_))) || node.view(&args, 0)?.dims.len() == 4 {
            return self.adaptive_pool(node, args);
        }
        let weight = transposed(weight(node, &mut args, 1)?)?;
        self.linear(node, &args, weight, None)
    }

    fn linear(&mut self, node: &Node, args: &[Value], weight: Constant, bias: Option<Vec<f32>>) -> Handled<Value> {
        let &[out_features, in_features] = weight.dims.as_slice() else { return unsupported("not a matrix") };
        if node.view(args, 0)?.dims.len() != 2 {
            return unsupported("for every pixel");
        }
        let item = self.input(node, args, 0)?;
        if self.draft.items[item].shape != [in_features] {
            let problem = format!("reads {:?}, and its weight needs {in_features} features", self.draft.items[item].shape);
            return Err(node.broken(problem));
        }
        self.weighted(node, Op::Linear { out_features, bias: bias.is_some() }, item, weight, bias)
    }

    fn weighted(&mut self, node: &Node, op: Op, item: usize, weight: Constant, bias: Option<Vec<f32>>) -> Handled<Value> {
        let name = layer_name(node, &weight);
        let shape = weight.dims.clone();
        let mut tensors = vec![("weight", Tensor { shape, data: weight.into_weights()? })];
        tensors.extend(bias.map(|data| ("bias", Tensor { shape: vec![data.len()], data })));
        let item = self.draft.add(&name, Kind::Op(op), &[item], tensors)?;
        Ok(Value::View(self.draft.view(item)))
    }

    /// Products with constant matrices from the right and the left that take means of neighbours: `AdaptiveAvgPool2d` where the
    /// windows are of different sizes.
    fn adaptive_pool(&mut self, node: &Node, mut args: Vec<Value>) -> Handled<Value> {
        let rows = matches!(args.first(), Some(Value::Constant(_)));
        let (matrix, index) = (weight(node, &mut args, usize::from(!rows))?, usize::from(rows));
        let item = self.map(node, &args, index)?;
        let &[_, height, width] = self.draft.items[item].shape.as_slice() else { return unsupported("for every pixel") };
        let is_mean = |out: usize, size: usize, numbers: &[f32]| {
            out > 0 && size > 0 && numbers.iter().zip(adaptive(size, out)).all(|(a, b)| (a - b).abs() < 1e-3)
        };
        let matrix = if rows { matrix } else { transposed(matrix)? };
        let (&[out, size], Some(numbers)) = (matrix.dims.as_slice(), matrix.as_floats()) else { return unsupported("for every pixel") };
        if size != if rows { height } else { width } || !is_mean(out, size, numbers) {
            return unsupported("for every pixel");
        }
        let before = self.draft.items[item].inputs.first().copied();
        match (rows, self.draft.op_of(item), before) {
            (true, Some(Op::AdaptiveAvgPool2d { size: [kept, columns] }), Some(before)) if *kept == self.draft.items[before].shape[1] => {
                let size = [out, *columns];
                self.layer(node, Op::AdaptiveAvgPool2d { size }, &[before])
            }
            (true, ..) => self.layer(node, Op::AdaptiveAvgPool2d { size: [out, width] }, &[item]),
            (false, ..) => self.layer(node, Op::AdaptiveAvgPool2d { size: [height, out] }, &[item]),
        }
    }
}

/// The matrix that averages `size` numbers to `out`, as PyTorch's adaptive pooling does; `[out, size]`.
pub(in crate::onnx) fn adaptive(size: usize, out: usize) -> Vec<f32> {
    let mut matrix = vec![0.0; out * size];
    for (row, numbers) in matrix.chunks_mut(size.max(1)).enumerate() {
        let (start, end) = (row * size / out, ((row + 1) * size).div_ceil(out));
        numbers[start..end].fill(1.0 / (end - start) as f32);
    }
    matrix
}

/// Its weight says what a layer is called; the node does where the exporter made the weight up.
fn layer_name(node: &Node, weight: &Constant) -> String {
    names::module(&weight.name).unwrap_or(&node.name).to_owned()
}

fn weight(node: &Node, args: &mut [Value], index: usize) -> Handled<Constant> {
    node.constant(args, index)?.ok_or_else(|| node.broken(format!("lacks input {index}, which holds weights")))
}

/// Exactly so many weights.
fn numbers(constant: Constant, count: usize) -> Result<Vec<f32>, OnnxError> {
    match constant.len() == count && count > 0 {
        true => constant.into_weights(),
        false => Err(OnnxError::Tensor {
            problem: format!("is {:?}, and its layer needs {count} numbers", constant.dims),
            tensor: constant.name,
        }),
    }
}

fn bias(node: &Node, args: &mut [Value], index: usize, width: usize, factor: f32) -> Handled<Option<Vec<f32>>> {
    let Some(constant) = node.constant(args, index)? else { return Ok(None) };
    let constant = if constant.len() == 1 && width > 1 { fold::spread(Constant { dims: vec![1], ..constant }, &[width]) } else { constant };
    Ok(Some(numbers(constant, width)?.into_iter().map(|x| x * factor).collect()))
}

/// A matrix turned, block by block so that both sides stay in the cache.
fn transposed(matrix: Constant) -> Handled<Constant> {
    const BLOCK: usize = 32;
    let (&[rows, columns], name) = (matrix.dims.as_slice(), matrix.name.clone()) else { return unsupported("not a matrix") };
    let source = matrix.into_floats();
    let mut data = vec![0.0; source.len()];
    for top in (0..rows).step_by(BLOCK) {
        for left in (0..columns).step_by(BLOCK) {
            for row in top..rows.min(top + BLOCK) {
                for column in left..columns.min(left + BLOCK) {
                    data[column * rows + row] = source[row * columns + column];
                }
            }
        }
    }
    Ok(Constant { name, ..Constant::floats(vec![columns, rows], data) })
}

/// `[top, left, bottom, right]` of a window over a map of this size.
pub(super) fn pads(node: &Node, size: [usize; 2], kernel: [usize; 2], stride: [usize; 2], dilation: [usize; 2]) -> Handled<[usize; 4]> {
    if stride.contains(&0) || dilation.contains(&0) || kernel.contains(&0) {
        return Err(node.broken("has a kernel, stride or dilation of 0"));
    }
    let automatic = node.string("auto_pad").unwrap_or_default();
    if let "SAME_UPPER" | "SAME_LOWER" = automatic.as_str() {
        let total = [0, 1].map(|i| {
            let reach = (size[i].div_ceil(stride[i]) - 1) * stride[i] + dilation[i] * (kernel[i] - 1) + 1;
            reach.saturating_sub(size[i])
        });
        let (small, large) = (total.map(|total| total / 2), total.map(|total| total.div_ceil(2)));
        let (begin, end) = if automatic == "SAME_UPPER" { (small, large) } else { (large, small) };
        return Ok([begin[0], begin[1], end[0], end[1]]);
    }
    match node.ints("pads") {
        None | Some([]) => Ok([0; 4]),
        Some(&[top, left, bottom, right]) if [top, left, bottom, right].iter().all(|&pad| pad >= 0) => {
            Ok([node.size(top)?, node.size(left)?, node.size(bottom)?, node.size(right)?])
        }
        Some(_) => unsupported("pads that crop"),
    }
}

/// How many windows fit, rounded down.
pub(super) fn outputs(size: usize, kernel: usize, stride: usize, dilation: usize, [begin, end]: [usize; 2]) -> Option<usize> {
    (size + begin + end).checked_sub(dilation * (kernel - 1) + 1).map(|rest| rest / stride + 1)
}
