//! Operators that only move elements: which sizes they give, and which element of the input each output element is.

use super::fold::{sizes, volume};
use super::node::{Handled, Node, Value, unsupported};

/// A regular choice of elements.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Pick {
    axes: Vec<PickAxis>,
}

/// An axis of the output.
#[derive(Debug, Clone, PartialEq)]
struct PickAxis {
    /// The axis of the input that it walks on; none where it repeats.
    source: Option<usize>,
    /// The places on it.
    places: Vec<usize>,
    /// A single place, and no axis of the output.
    dropped: bool,
}

impl Pick {
    /// Everything.
    fn all(dims: &[usize]) -> Pick {
        let axis = |(source, &size): (usize, &usize)| PickAxis { source: Some(source), places: (0..size).collect(), dropped: false };
        Pick { axes: dims.iter().enumerate().map(axis).collect() }
    }

    /// Repeats axes of size 1, and adds axes in front, up to these sizes.
    pub fn spread(from: &[usize], to: &[usize]) -> Pick {
        let new = to.len().saturating_sub(from.len());
        let axis = |(axis, &size): (usize, &usize)| match axis.checked_sub(new) {
            Some(source) if from[source] == size => PickAxis { source: Some(source), places: (0..size).collect(), dropped: false },
            _ => PickAxis { source: None, places: vec![0; size], dropped: false },
        };
        Pick { axes: to.iter().enumerate().map(axis).collect() }
    }

    /// The sizes of the output.
    pub fn dims(&self) -> Vec<usize> {
        self.axes.iter().filter(|axis| !axis.dropped).map(|axis| axis.places.len()).collect()
    }

    /// The places on an axis of the input of these sizes, if all other axes are whole and nothing moves.
    pub fn only(&self, axis: usize, dims: &[usize]) -> Option<&[usize]> {
        let whole = Pick::all(dims);
        let same = self.axes.len() == dims.len()
            && self.axes.iter().zip(&whole.axes).enumerate().all(|(i, (a, b))| a.source == b.source && (i == axis || a.places == b.places));
        self.axes.get(axis).filter(|_| same).map(|axis| axis.places.as_slice())
    }

    /// Whether it is every so many rows and columns of all channels of a feature map.
    pub fn is_steps(&self, dims: &[usize], [rows, columns]: [usize; 2]) -> bool {
        let mut steps = Pick::all(dims);
        let [_, _, height, width] = steps.axes.as_mut_slice() else { return false };
        height.places.retain(|place| place % rows == 0);
        width.places.retain(|place| place % columns == 0);
        *self == steps
    }

    /// Positions in the input of these sizes, in the order of the output.
    pub fn elements(&self, dims: &[usize]) -> impl Iterator<Item = usize> + use<> {
        let stride = |axis: usize| dims[axis + 1..].iter().product::<usize>();
        let offsets = |axis: &PickAxis| -> Vec<usize> {
            let stride = axis.source.map_or(0, stride);
            axis.places.iter().map(|place| place * stride).collect()
        };
        let (last, rest) = match self.axes.split_last() {
            Some((last, rest)) => (offsets(last), rest),
            None => (vec![0], self.axes.as_slice()),
        };
        let mut bases = vec![0];
        for axis in rest {
            let offsets = offsets(axis);
            bases = bases.iter().flat_map(|base| offsets.iter().map(move |offset| base + offset)).collect();
        }
        let width = last.len().max(1);
        (0..bases.len() * last.len()).map(move |at| bases[at / width] + last[at % width])
    }
}

/// The common shape of two tensors, their axes aligned at the end.
pub(super) fn broadcast(a: &[usize], b: &[usize]) -> Option<Vec<usize>> {
    let rank = a.len().max(b.len());
    let size = |dims: &[usize], axis: usize| (axis + dims.len()).checked_sub(rank).map_or(1, |axis| dims[axis]);
    let common = |axis| match (size(a, axis), size(b, axis)) {
        (a, b) if a == b || b == 1 => Some(a),
        (1, b) => Some(b),
        _ => None,
    };
    (0..rank).map(common).collect()
}

/// What `Transpose`, `Slice`, `Gather` and `Expand` pick of a tensor of these sizes.
pub(super) fn pick(node: &Node, dims: &[usize], args: &[Value]) -> Handled<Pick> {
    let rank = dims.len();
    let mut picked = Pick::all(dims);
    match node.op.as_str() {
        "Transpose" => {
            let order = match node.ints("perm") {
                Some(order) => order.iter().map(|&axis| node.axis(axis, rank)).collect::<Handled<Vec<usize>>>()?,
                None => (0..rank).rev().collect(),
            };
            let mut sorted = order.clone();
            sorted.sort_unstable();
            if sorted != (0..rank).collect::<Vec<usize>>() {
                return Err(node.broken(format!("orders {rank} axes as {order:?}")));
            }
            picked.axes = order.iter().map(|&axis| picked.axes[axis].clone()).collect();
        }
        "Expand" => {
            let asked = sizes(node, node.ints_or_input("shape", args.get(1))?.as_deref())?;
            let to = broadcast(dims, &asked).ok_or_else(|| node.broken(format!("stretches {dims:?} to {asked:?}")))?;
            volume(node, &to)?;
            picked = Pick::spread(dims, &to);
        }
        "Gather" => {
            let axis = node.axis(node.int("axis", 0), rank)?;
            let Some(Value::Constant(index)) = args.get(1) else { return unsupported("places that depend on the image") };
            let Some(places) = index.as_ints().filter(|_| index.dims.len() < 2) else { return unsupported("a table of places") };
            let places = places.iter().map(|&place| node.axis(place, dims[axis])).collect::<Handled<Vec<usize>>>()?;
            picked.axes[axis] = PickAxis { source: Some(axis), places, dropped: index.dims.is_empty() };
        }
        _ => {
            let bounds = (node.ints_or_input("starts", args.get(1))?, node.ints_or_input("ends", args.get(2))?);
            let (Some(starts), Some(ends)) = bounds else { return Err(node.broken("lacks its bounds")) };
            let axes = node.ints_or_input("axes", args.get(3))?.unwrap_or_else(|| (0..starts.len() as i64).collect());
            let steps = node.ints_or_input("steps", args.get(4))?.unwrap_or_else(|| vec![1; starts.len()]);
            if [ends.len(), axes.len(), steps.len()] != [starts.len(); 3] {
                return Err(node.broken("has bounds of different lengths"));
            }
            for (index, &axis) in axes.iter().enumerate() {
                let axis = node.axis(axis, rank)?;
                picked.axes[axis].places = slice(node, dims[axis], starts[index], ends[index], steps[index])?;
            }
        }
    }
    Ok(picked)
}

/// Python's `range(size)[start:end:step]`.
fn slice(node: &Node, size: usize, start: i64, end: i64, step: i64) -> Handled<Vec<usize>> {
    let size = size as i64;
    let from_front = |at: i64| if at < 0 { at.saturating_add(size) } else { at };
    match step {
        0 => Err(node.broken("has a step of 0")),
        1.. => {
            let (start, end) = (from_front(start).clamp(0, size), from_front(end).clamp(0, size));
            Ok((start..end.max(start)).step_by(step as usize).map(|place| place as usize).collect())
        }
        _ => {
            let (start, end) = (from_front(start).clamp(-1, size - 1), from_front(end).clamp(-1, size - 1));
            let back = (end.min(start) + 1..=start).rev().step_by(step.unsigned_abs() as usize);
            Ok(back.map(|place| place as usize).collect())
        }
    }
}

/// What each output of `Split` picks.
pub(super) fn parts(node: &Node, dims: &[usize], args: &[Value]) -> Handled<Vec<Pick>> {
    let axis = node.axis(node.int("axis", 0), dims.len())?;
    let widths = match node.ints_or_input("split", args.get(1))? {
        Some(widths) => sizes(node, Some(&widths))?,
        None => {
            // Equal parts; the last one is smaller where they do not come out even.
            let count = node.outputs.len().max(1);
            let width = dims[axis].div_ceil(count);
            (0..count).map(|part| dims[axis].saturating_sub(part * width).min(width)).collect()
        }
    };
    if widths.iter().sum::<usize>() != dims[axis] || widths.len() != node.outputs.len() {
        return Err(node.broken(format!("splits {} into {widths:?} for {} outputs", dims[axis], node.outputs.len())));
    }
    let mut start = 0;
    let part = |width: usize| {
        let mut pick = Pick::all(dims);
        pick.axes[axis].places = (start..start + width).collect();
        start += width;
        pick
    };
    Ok(widths.into_iter().map(part).collect())
}

/// The sizes after `Reshape`, `Flatten`, `Squeeze` or `Unsqueeze`. A leading size of `batch` is 1: there is one image.
pub(super) fn regroup(node: &Node, dims: &[usize], args: &[Value], batch: Option<i64>) -> Handled<Vec<usize>> {
    let rank = dims.len();
    let axes = || node.ints_or_input("axes", args.get(1));
    let regrouped = match node.op.as_str() {
        "Flatten" => {
            let axis = node.int("axis", 1);
            let axis = if axis == rank as i64 { rank } else { node.axis(axis, rank)? };
            vec![dims[..axis].iter().product(), dims[axis..].iter().product()]
        }
        "Squeeze" => {
            let axes = match axes()? {
                Some(axes) => node.axes(&axes, rank)?,
                None => (0..rank).filter(|&axis| dims[axis] == 1).collect(),
            };
            if let Some(axis) = axes.iter().find(|&&axis| dims[axis] != 1) {
                return Err(node.broken(format!("drops axis {axis} of {dims:?}, which is not 1")));
            }
            (0..rank).filter(|axis| !axes.contains(axis)).map(|axis| dims[axis]).collect()
        }
        "Unsqueeze" => {
            let axes = axes()?.ok_or_else(|| node.broken("lacks its axes"))?;
            let axes = node.axes(&axes, rank + axes.len())?;
            let mut rest = dims.iter().copied();
            (0..rank + axes.len()).map(|axis| if axes.contains(&axis) { 1 } else { rest.next().unwrap_or(1) }).collect()
        }
        _ => {
            let mut asked = node.ints_or_input("shape", args.get(1))?.ok_or_else(|| node.broken("lacks its shape"))?;
            if let Some(first) = asked.first_mut().filter(|first| Some(**first) == batch) {
                *first = 1;
            }
            let copy = node.int("allowzero", 0) == 0;
            let mut sizes = Vec::with_capacity(asked.len());
            for (axis, &size) in asked.iter().enumerate() {
                sizes.push(match size {
                    -1 => 1,
                    0 if copy => *dims.get(axis).ok_or_else(|| node.broken("copies the size of an axis that is not there"))?,
                    size => node.size(size)?,
                });
            }
            let (count, known) = (volume(node, dims)?, volume(node, &sizes)?);
            if let Some(axis) = asked.iter().position(|&size| size == -1) {
                sizes[axis] = count.checked_div(known).unwrap_or(0);
            }
            sizes
        }
    };
    match volume(node, &regrouped)? == volume(node, dims)? {
        true => Ok(regrouped),
        false => Err(node.broken(format!("regroups {dims:?} as {regrouped:?}"))),
    }
}
