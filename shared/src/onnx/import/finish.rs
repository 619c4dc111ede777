//! From the walk's pieces to a model: steps on the way become layers, names become unique, every tensor is checked.

use super::draft::{Draft, Item, Kind};
use super::lift::lift;
use super::names::Unique;
use super::walk::Drafted;
use crate::model::{Model, Tensor};
use crate::network::{Layer, Network, Op, Pool2d};
use crate::onnx::{OnnxError, Unsupported};
use std::collections::{BTreeMap, HashMap};
use std::mem::take;

pub(super) fn finish(drafted: Drafted) -> Result<Model, OnnxError> {
    let Drafted { mut draft, mut outputs } = drafted;
    // In the order of the lists: only then is it known what is still read.
    drop_dead(&mut draft, &outputs);
    lift(&mut draft, &mut outputs)?;
    drop_dead(&mut draft, &outputs);
    merge(&mut draft, &outputs);
    drop_dead(&mut draft, &outputs);
    let alive = alive(&draft, &outputs);
    let mut order: Vec<usize> = (0..draft.items.len()).filter(|&id| alive[id]).collect();
    order.sort_by_key(|&id| draft.items[id].order);
    let place: HashMap<usize, usize> = order.iter().enumerate().map(|(place, &id)| (id, place)).collect();
    let mut unique = Unique::default();
    let mut network = Network { layers: Vec::with_capacity(order.len()), outputs: outputs.iter().map(|output| place[output]).collect() };
    let mut tensors = BTreeMap::new();
    for id in order {
        let Item { name, kind, inputs, shape, tensors: own, .. } = &mut draft.items[id];
        let name = unique.name(name);
        let mut own = take(own);
        let op = op(&name, take_kind(kind), shape, &mut own)?;
        tensors.extend(own.into_iter().map(|(suffix, tensor)| (format!("{name}.{suffix}"), tensor)));
        network.layers.push(Layer { name, op, inputs: inputs.iter().map(|input| place[input]).collect() });
    }
    check(Model::dense(network, tensors))
}

fn take_kind(kind: &mut Kind) -> Kind {
    std::mem::replace(kind, Kind::Unflatten)
}

/// The layer that an item is, with the tensors of those that have had none until now.
fn op(name: &str, kind: Kind, shape: &[usize], tensors: &mut Vec<(&'static str, Tensor)>) -> Result<Op, OnnxError> {
    Ok(match kind {
        Kind::Op(op) => op,
        Kind::Affine { scale, shift } => {
            let channels = shape[0];
            let whole = |numbers: Vec<f32>| if numbers.len() == channels { numbers } else { vec![numbers[0]; channels] };
            let parts = [
                ("weight", whole(scale)),
                ("bias", whole(shift)),
                ("running_mean", vec![0.0; channels]),
                ("running_var", vec![1.0; channels]),
            ];
            tensors.extend(parts.map(|(suffix, data)| (suffix, Tensor { shape: vec![channels], data })));
            Op::BatchNorm2d { eps: 0.0 }
        }
        Kind::Steps([rows, columns]) if rows == columns => Op::Shortcut { stride: rows, sources: (0..shape[0]).map(Some).collect() },
        // The maximum of one number is the number.
        Kind::Steps(stride) => Op::MaxPool2d(Pool2d { kernel: [1; 2], stride, padding: [0; 2], ceil_mode: false, count_include_pad: true }),
        Kind::Erf => return Err(left_over("Erf", name)),
        Kind::Unflatten => return Err(left_over("Reshape", name)),
    })
}

fn left_over(op: &str, name: &str) -> OnnxError {
    OnnxError::Unsupported(vec![Unsupported { op: op.into(), nodes: vec![name.into()] }])
}

/// Joins affine steps that follow each other, and adds constants behind a layer with a bias to the bias.
fn merge(draft: &mut Draft, outputs: &[usize]) {
    let mut ids: Vec<usize> = (0..draft.items.len()).collect();
    ids.sort_by_key(|&id| draft.items[id].order);
    let readers = draft.readers(outputs);
    for id in ids {
        let Kind::Affine { scale, shift } = &draft.items[id].kind else { continue };
        let below = draft.items[id].inputs[0];
        if readers[below] != 1 {
            continue;
        }
        match &draft.items[below].kind {
            Kind::Affine { scale: first, shift: offset } => {
                let count = [scale, shift, first, offset].iter().map(|numbers| numbers.len()).max().unwrap_or(1);
                let at = |numbers: &[f32], i: usize| numbers[if numbers.len() == 1 { 0 } else { i }];
                let both = (0..count).map(|i| (at(first, i) * at(scale, i), at(offset, i) * at(scale, i) + at(shift, i)));
                let (scale, shift) = both.unzip();
                draft.items[id].kind = Kind::Affine { scale, shift };
                draft.items[id].inputs = take(&mut draft.items[below].inputs);
            }
            Kind::Op(Op::Conv2d(_) | Op::Linear { .. }) if scale.iter().all(|&x| x == 1.0) => {
                let shift = shift.clone();
                let width = draft.items[id].shape[0];
                let Item { name, kind, inputs, tensors, .. } = &mut draft.items[below];
                let (name, mut kind, inputs, mut tensors) = (name.clone(), take_kind(kind), take(inputs), take(tensors));
                if let Kind::Op(Op::Conv2d(crate::network::Conv2d { bias, .. }) | Op::Linear { bias, .. }) = &mut kind
                    && !std::mem::replace(bias, true)
                {
                    tensors.push(("bias", Tensor { shape: vec![width], data: vec![0.0; width] }));
                }
                for (_, bias) in tensors.iter_mut().filter(|(suffix, _)| *suffix == "bias") {
                    for (channel, x) in bias.data.iter_mut().enumerate() {
                        *x += shift[if shift.len() == 1 { 0 } else { channel }];
                    }
                }
                let (order, shape) = (draft.items[id].order, take(&mut draft.items[id].shape));
                draft.items[id] = Item { name, kind, inputs, shape, tensors, order };
            }
            _ => {}
        }
    }
}

/// Which items an output depends on.
fn alive(draft: &Draft, outputs: &[usize]) -> Vec<bool> {
    let mut alive = vec![false; draft.items.len()];
    let mut open = outputs.to_vec();
    while let Some(id) = open.pop() {
        if !std::mem::replace(&mut alive[id], true) {
            open.extend(&draft.items[id].inputs);
        }
    }
    alive
}

/// Steps of spelt-out activations are read by nothing in the end. They must not count as readers.
fn drop_dead(draft: &mut Draft, outputs: &[usize]) {
    for (id, alive) in alive(draft, outputs).into_iter().enumerate() {
        if !alive {
            draft.items[id].inputs.clear();
            draft.items[id].kind = Kind::Op(Op::Relu);
            draft.items[id].tensors.clear();
        }
    }
}

/// The tensors are exactly those that the network needs.
fn check(model: Model) -> Result<Model, OnnxError> {
    let parameters = model.network.parameters()?;
    for parameter in &parameters {
        let fail = |problem: String| OnnxError::Tensor { tensor: parameter.name.clone(), problem };
        match model.tensors.get(&parameter.name) {
            None => return Err(fail("is missing".into())),
            Some(tensor) if tensor.shape != parameter.shape => {
                return Err(fail(format!("is {:?}, and its layer needs {:?}", tensor.shape, parameter.shape)));
            }
            Some(tensor) if tensor.data.len() != parameter.shape.iter().product::<usize>() => {
                return Err(fail(format!("has {} numbers for {:?}", tensor.data.len(), tensor.shape)));
            }
            Some(_) => {}
        }
    }
    match model.tensors.len() == parameters.len() {
        true => Ok(model),
        false => Err(OnnxError::Graph("there are tensors that no layer needs".into())),
    }
}
