//! Vectors that become feature maps again.
//!
//! Squeeze-and-excite blocks of linear layers flatten `[C, 1, 1]` to `[C]` and unflatten their result. Networks have no
//! such layer, and need none: on one pixel a linear layer is a convolution of 1x1. All between the two is lifted.

use super::draft::{Draft, Item, Kind};
use crate::network::{Conv2d, Op};
use crate::onnx::{OnnxError, Unsupported};
use std::collections::{BTreeMap, BTreeSet};

/// Takes all [`Kind::Unflatten`] out.
pub(super) fn lift(draft: &mut Draft, outputs: &mut [usize]) -> Result<(), OnnxError> {
    let unflattens: Vec<usize> = (0..draft.items.len()).filter(|&id| draft.items[id].kind == Kind::Unflatten).collect();
    if unflattens.is_empty() {
        return Ok(());
    }
    let lifted = reached(draft, &unflattens)?;
    // Flattens that end a lifted stretch stand for what they read.
    let source = |draft: &Draft, id: usize| match lifted.contains(&id) {
        true => id,
        false => draft.items[id].inputs[0],
    };
    for &id in &lifted {
        let shape = draft.items[draft.items[id].inputs[0]].shape.clone();
        let flat_map = is_flatten_of_map(draft, draft.items[id].inputs[0]);
        let inputs: Vec<usize> = draft.items[id].inputs.iter().map(|&input| source(draft, input)).collect();
        let kernel = match (flat_map, draft.items[inputs[0]].shape.as_slice()) {
            (true, &[_, height, width]) => [height, width],
            _ => [1, 1],
        };
        let item = &mut draft.items[id];
        item.inputs = inputs;
        if let Kind::Op(Op::Linear { out_features, bias }) = item.kind {
            let conv = Conv2d { out_channels: out_features, kernel, stride: [1; 2], padding: [0; 2], dilation: [1; 2], groups: 1, bias };
            item.kind = Kind::Op(Op::Conv2d(conv));
            for (suffix, tensor) in &mut item.tensors {
                if *suffix == "weight" {
                    let in_channels = shape.iter().product::<usize>() / (kernel[0] * kernel[1]);
                    tensor.shape = vec![out_features, in_channels, kernel[0], kernel[1]];
                }
            }
        }
    }
    for &id in &lifted {
        draft.items[id].shape.resize(3, 1);
    }
    rewire(draft, outputs, &lifted, &unflattens)
}

/// The items between flattens and unflattens.
fn reached(draft: &Draft, unflattens: &[usize]) -> Result<BTreeSet<usize>, OnnxError> {
    let mut lifted = BTreeSet::new();
    let mut open: Vec<(usize, usize)> = unflattens.iter().map(|&id| (draft.items[id].inputs[0], id)).collect();
    while let Some((id, end)) = open.pop() {
        let Item { kind, inputs, .. } = &draft.items[id];
        let stays = match kind {
            // The flatten of one pixel is the pixel.
            Kind::Op(Op::Flatten) if draft.items[inputs[0]].shape[1..].iter().all(|&size| size == 1) => continue,
            // A linear layer that reads a larger map is a convolution of the map's size.
            Kind::Op(Op::Linear { .. }) if is_flatten_of_map(draft, inputs[0]) => {
                lifted.insert(id);
                continue;
            }
            Kind::Op(Op::Input { .. } | Op::Flatten) | Kind::Unflatten => true,
            _ => false,
        };
        if stays {
            let name = draft.items[end].name.trim_end_matches(".unflatten").to_owned();
            return Err(OnnxError::Unsupported(vec![Unsupported { op: "Reshape (a vector to a feature map)".into(), nodes: vec![name] }]));
        }
        if lifted.insert(id) {
            open.extend(inputs.iter().map(|&input| (input, end)));
        }
    }
    Ok(lifted)
}

fn is_flatten_of_map(draft: &Draft, id: usize) -> bool {
    draft.items[id].kind == Kind::Op(Op::Flatten) && draft.items[draft.items[id].inputs[0]].shape[1..].iter().any(|&size| size != 1)
}

/// Readers of an unflatten read what it read; other readers of lifted items get a flatten between.
fn rewire(draft: &mut Draft, outputs: &mut [usize], lifted: &BTreeSet<usize>, unflattens: &[usize]) -> Result<(), OnnxError> {
    let mut flattens: BTreeMap<usize, usize> = BTreeMap::new();
    let count = draft.items.len();
    for id in 0..count {
        if lifted.contains(&id) || unflattens.contains(&id) {
            continue;
        }
        for position in 0..draft.items[id].inputs.len() {
            let input = draft.items[id].inputs[position];
            draft.items[id].inputs[position] = reread(draft, input, lifted, unflattens, &mut flattens)?;
        }
    }
    for output in outputs {
        *output = reread(draft, *output, lifted, unflattens, &mut flattens)?;
    }
    Ok(())
}

fn reread(
    draft: &mut Draft,
    input: usize,
    lifted: &BTreeSet<usize>,
    unflattens: &[usize],
    flattens: &mut BTreeMap<usize, usize>,
) -> Result<usize, OnnxError> {
    if unflattens.contains(&input) {
        let below = draft.items[input].inputs[0];
        return Ok(if lifted.contains(&below) { below } else { draft.items[below].inputs[0] });
    }
    if !lifted.contains(&input) {
        return Ok(input);
    }
    if let Some(&flatten) = flattens.get(&input) {
        return Ok(flatten);
    }
    let (name, (order, sub)) = (format!("{}.flatten", draft.items[input].name), draft.items[input].order);
    let flatten = draft.op(&name, Op::Flatten, &[input])?;
    draft.items[flatten].order = (order, sub + 1);
    flattens.insert(input, flatten);
    Ok(flatten)
}
