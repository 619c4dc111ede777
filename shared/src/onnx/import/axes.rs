//! Operators on the axes of a feature map: reshapes, splits, joins, shuffles and pads.

use super::draft::{Kind, View};
use super::node::{Handled, LARGEST, Node, Value, unsupported};
use super::picks::{self, Pick};
use super::walk::Walk;
use crate::network::Op;

impl Walk<'_> {
    /// Regroups axes. A vector of a feature map is a layer; all else is put off until something reads it.
    pub fn reshape(&mut self, node: &Node, args: &[Value]) -> Handled<Value> {
        let view = node.view(args, 0)?;
        let dims = picks::regroup(node, &view.dims, args, self.batch)?;
        let view = View { item: view.item, dims };
        match (view.dims.as_slice(), self.draft.items[view.item].shape.len()) {
            (&[1, _], 3) => self.layer(node, Op::Flatten, &[view.item]),
            _ => Ok(Value::View(view)),
        }
    }

    /// Moves axes of size 1, which changes nothing, or parts of the channel axis, which shuffles channels.
    pub fn transpose(&mut self, node: &Node, args: &[Value]) -> Handled<Value> {
        let View { item, dims } = node.view(args, 0)?.clone();
        if dims.iter().product::<usize>() > LARGEST {
            return unsupported("of a map of that size");
        }
        let moved = picks::pick(node, &dims, args)?;
        let after = moved.dims();
        if moved.elements(&dims).eq(0..dims.iter().product()) {
            return Ok(Value::View(View { item, dims: after }));
        }
        let channels = self.draft.items[item].shape[0];
        let area: usize = self.draft.items[item].shape[1..].iter().product();
        let at: Vec<usize> = moved.elements(&dims).collect();
        let whole =
            |block: &[usize]| block[0].is_multiple_of(area) && block.iter().enumerate().all(|(offset, &at)| at == block[0] + offset);
        if at.len() != channels * area || dims[0] != 1 || !at.chunks(area).all(whole) {
            return unsupported("moves rows or columns");
        }
        let op = Op::Select { channels: at.chunks(area).map(|block| block[0] / area).collect() };
        let item = self.draft.op(&node.name, op, &[item])?;
        Ok(Value::View(View { item, dims: after }))
    }

    /// Only to the size that it has already.
    pub fn expand(&mut self, node: &Node, args: &[Value]) -> Handled<Value> {
        let view = node.view(args, 0)?;
        match picks::pick(node, &view.dims, args)?.dims() == view.dims {
            true => Ok(Value::View(view.clone())),
            false => unsupported("of a feature map"),
        }
    }

    pub fn slice(&mut self, node: &Node, args: &[Value]) -> Handled<Value> {
        let dims = node.view(args, 0)?.dims.clone();
        let picked = picks::pick(node, &dims, args)?;
        self.pick(node, args, &picked, &node.name)
    }

    pub fn gather(&mut self, node: &Node, args: &[Value]) -> Handled<Value> {
        self.slice(node, args)
    }

    pub fn split(&mut self, node: &Node, args: &[Value]) -> Handled {
        let dims = node.view(args, 0)?.dims.clone();
        let parts = picks::parts(node, &dims, args)?;
        parts.iter().map(|part| self.pick(node, args, part, &node.name)).collect()
    }

    /// Some channels, or every so many rows and columns.
    fn pick(&mut self, node: &Node, args: &[Value], picked: &Pick, name: &str) -> Handled<Value> {
        let view = node.view(args, 0)?.clone();
        let after = picked.dims();
        if after.contains(&0) {
            return Err(node.broken("picks nothing"));
        }
        if after == view.dims && (0..after.len()).all(|axis| picked.only(axis, &view.dims).is_some()) {
            return Ok(Value::View(view));
        }
        let item = self.natural(name, &view)?;
        if let Some(channels) = picked.only(1, &view.dims) {
            // Picked from a shortcut's channels, they are a shortcut of the same map.
            let (op, item) = match (&self.draft.items[item].kind, self.draft.items[item].inputs.first()) {
                (Kind::Op(Op::Shortcut { stride, sources }), Some(&from)) => {
                    let sources = channels.iter().map(|&channel| sources[channel]).collect();
                    (Op::Shortcut { stride: *stride, sources }, from)
                }
                (Kind::Steps([rows, columns]), Some(&from)) if rows == columns => {
                    (Op::Shortcut { stride: *rows, sources: channels.iter().copied().map(Some).collect() }, from)
                }
                _ => (Op::Select { channels: channels.to_vec() }, item),
            };
            let item = self.draft.op(name, op, &[item])?;
            return Ok(Value::View(View { item, dims: after }));
        }
        for axis in [2, 3] {
            if let Some(step) = picked.only(axis, &view.dims).and_then(|places| step(places, view.dims[axis])) {
                let (mut steps, mut from) = ([1, 1], item);
                if let Kind::Steps(before) = self.draft.items[item].kind {
                    (steps, from) = (before, self.draft.items[item].inputs[0]);
                }
                steps[axis - 2] *= step;
                let item = self.draft.add(name, Kind::Steps(steps), &[from], Vec::new())?;
                return Ok(Value::View(self.draft.view(item)));
            }
        }
        // Both at once.
        if let [1, _, height, width] = view.dims[..]
            && after.len() == 4
            && let Some(rows) = (1..=height).find(|&rows| height.div_ceil(rows) == after[2])
            && let Some(columns) = (1..=width).find(|&columns| width.div_ceil(columns) == after[3])
            && picked.is_steps(&view.dims, [rows, columns])
        {
            let item = self.draft.add(name, Kind::Steps([rows, columns]), &[item], Vec::new())?;
            return Ok(Value::View(self.draft.view(item)));
        }
        unsupported("crops rows or columns")
    }

    /// Zeros around the map, and channels of zeros.
    pub fn pad(&mut self, node: &Node, args: &[Value]) -> Handled<Value> {
        if node.string("mode").is_some_and(|mode| mode != "constant") {
            return unsupported("other than with zeros");
        }
        if node.float_or_input("value", args.get(2))?.unwrap_or(0.0) != 0.0 {
            return unsupported("other than with zeros");
        }
        let rank = node.view(args, 0)?.dims.len();
        let pads = node.ints_or_input("pads", args.get(1))?.or_else(|| node.ints("paddings").map(<[i64]>::to_vec));
        let pads = pads.ok_or_else(|| node.broken("lacks its pads"))?;
        let axes = match node.ints_or_input("axes", args.get(3))? {
            Some(axes) => axes.iter().map(|&axis| node.axis(axis, rank)).collect::<Handled<Vec<usize>>>()?,
            None => (0..rank).collect(),
        };
        if pads.len() != 2 * axes.len() {
            return Err(node.broken(format!("has {} pads for {} axes", pads.len(), axes.len())));
        }
        if pads.iter().any(|&pad| pad < 0) {
            return unsupported("crops rows or columns");
        }
        let mut around = vec![[0; 2]; rank];
        for (index, &axis) in axes.iter().enumerate() {
            around[axis] = [node.size(pads[index])?, node.size(pads[index + axes.len()])?];
        }
        if around.iter().all(|pads| *pads == [0, 0]) {
            return Ok(Value::View(node.view(args, 0)?.clone()));
        }
        let mut item = self.input(node, args, 0)?;
        if around[0] != [0, 0] || rank != 4 {
            return unsupported("other than of channels, rows and columns");
        }
        if around[2] != [0, 0] || around[3] != [0, 0] {
            let padding = [around[2][0], around[3][0], around[2][1], around[3][1]];
            item = self.draft.op(&node.name, Op::Pad { padding }, &[item])?;
        }
        if around[1] != [0, 0] {
            item = self.shortcut(node, item, around[1])?;
        }
        Ok(Value::View(self.draft.view(item)))
    }

    /// Channels of zeros in front and behind: the parameter-free shortcut of CIFAR ResNets.
    fn shortcut(&mut self, node: &Node, item: usize, zeros: [usize; 2]) -> Handled<usize> {
        let (from, stride) = match self.draft.items[item].kind {
            Kind::Steps([rows, columns]) if rows == columns => (self.draft.items[item].inputs[0], rows),
            _ => (item, 1),
        };
        let channels = self.draft.items[item].shape[0];
        if zeros[0] + channels + zeros[1] > LARGEST {
            return Err(node.broken("has too many channels"));
        }
        let none = |count| std::iter::repeat_n(None, count);
        let sources = none(zeros[0]).chain((0..channels).map(Some)).chain(none(zeros[1])).collect();
        Ok(self.draft.op(&node.name, Op::Shortcut { stride, sources }, &[from])?)
    }

    /// Joins channels. Constant zeros among them make a shortcut, as `torch.cat` with `torch.zeros` does.
    pub fn concat(&mut self, node: &Node, mut args: Vec<Value>) -> Handled<Value> {
        let views: Vec<usize> = (0..args.len()).filter(|&index| matches!(args[index], Value::View(_))).collect();
        let rank = node.view(&args, views[0])?.dims.len();
        if node.axis(node.int("axis", 1), rank)? != 1 {
            return unsupported("along another axis than channels");
        }
        if views.len() == args.len() {
            let items = views.iter().map(|&index| self.input(node, &args, index)).collect::<Handled<Vec<usize>>>()?;
            return if items.len() == 1 { Ok(Value::View(self.draft.view(items[0]))) } else { self.layer(node, Op::Concat, &items) };
        }
        let &[only] = views.as_slice() else { return unsupported("with a constant") };
        let item = self.map(node, &args, only)?;
        let mut zeros = [0, 0];
        for index in (0..args.len()).filter(|&index| index != only) {
            match node.constant(&mut args, index)? {
                Some(constant) if constant.uniform() == Some(0.0) && constant.dims.len() == rank => {
                    zeros[usize::from(index > only)] += constant.dims[1];
                }
                _ => return unsupported("with a constant"),
            }
        }
        let item = self.shortcut(node, item, zeros)?;
        Ok(Value::View(self.draft.view(item)))
    }
}

/// The step of places that start at 0 and go on to the end.
fn step(places: &[usize], size: usize) -> Option<usize> {
    let step = places.get(1).copied().unwrap_or(size);
    (step > 0 && places.iter().copied().eq((0..size).step_by(step))).then_some(step)
}
