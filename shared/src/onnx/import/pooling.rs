//! Poolings and means.

use super::draft::View;
use super::layers::{outputs, pads};
use super::node::{Handled, Node, Value, unsupported};
use super::walk::Walk;
use crate::network::{Op, Pool2d};

impl Walk<'_> {
    pub fn pool(&mut self, node: &Node, args: &[Value]) -> Handled<Value> {
        if node.pair("dilations", 1)? != [1, 1] {
            return unsupported("dilated");
        }
        let mut item = self.map(node, args, 0)?;
        let (kernel, stride) = (node.pair("kernel_shape", 0)?, node.pair("strides", 1)?);
        let size = [self.draft.items[item].shape[1], self.draft.items[item].shape[2]];
        let [top, left, bottom, right] = pads(node, size, kernel, stride, [1, 1])?;
        if (kernel, stride, [top, left, bottom, right]) == ([1, 1], [1, 1], [0; 4]) {
            return Ok(Value::View(self.draft.view(item)));
        }
        let average = node.op == "AveragePool";
        let include = node.int("count_include_pad", 0) != 0;
        let ceil = node.int("ceil_mode", 0) != 0;
        let even = top == bottom && left == right;
        let op = |padding: [usize; 2], ceil_mode: bool| {
            // Without padding there is nothing to count.
            let pool = Pool2d { kernel, stride, padding, ceil_mode, count_include_pad: !average || include || padding == [0, 0] };
            if average { Op::AvgPool2d(pool) } else { Op::MaxPool2d(pool) }
        };
        if even {
            return self.layer(node, op([top, left], ceil), &[item]);
        }
        // Uneven pads. Windows start where the first pad says; what hangs over the other side is cut off either way, so all that
        // matters is that there are as many of them.
        let wanted = [count(size[0], kernel[0], stride[0], [top, bottom], ceil), count(size[1], kernel[1], stride[1], [left, right], ceil)];
        for rounded_up in [false, true] {
            let paddings = [[top; 2], [left; 2]];
            let found = [0, 1].map(|i| count(size[i], kernel[i], stride[i], paddings[i], rounded_up));
            let fits = 2 * top <= kernel[0] && 2 * left <= kernel[1];
            if fits && found == wanted && !(average && include && rounded_up) {
                return self.layer(node, op([top, left], rounded_up), &[item]);
            }
        }
        // Otherwise the pads are a layer: right where zeros count, or where they are no larger than what is there.
        let positive = match self.draft.op_of(item) {
            Some(Op::Relu | Op::Relu6 | Op::Sigmoid | Op::HardSigmoid { .. } | Op::Softmax) => true,
            Some(Op::Clip { min, .. }) => *min >= 0.0,
            _ => false,
        };
        match if average { include } else { positive } {
            true => {
                item = self.draft.op(&format!("{}.pad", node.name), Op::Pad { padding: [top, left, bottom, right] }, &[item])?;
                self.layer(node, op([0, 0], ceil), &[item])
            }
            false => unsupported("uneven pads"),
        }
    }

    pub fn global_pool(&mut self, node: &Node, args: &[Value]) -> Handled<Value> {
        let item = self.map(node, args, 0)?;
        let shape = &self.draft.items[item].shape;
        let op = match node.op.as_str() {
            "GlobalAveragePool" => Op::GlobalAvgPool,
            _ => Op::MaxPool2d(Pool2d {
                kernel: [shape[1], shape[2]],
                stride: [shape[1], shape[2]],
                padding: [0; 2],
                ceil_mode: false,
                count_include_pad: true,
            }),
        };
        self.layer(node, op, &[item])
    }

    /// The mean over all pixels, their two axes perhaps already one.
    pub fn reduce_mean(&mut self, node: &Node, args: &[Value]) -> Handled<Value> {
        let View { item, dims } = node.view(args, 0)?.clone();
        let axes = node.ints_or_input("axes", args.get(1))?.filter(|axes| !axes.is_empty());
        let Some(axes) = axes else { return unsupported("over all axes") };
        let axes = node.axes(&axes, dims.len())?;
        let shape = &self.draft.items[item].shape;
        let pixels = dims.len() > 2 && axes == (2..dims.len()).collect::<Vec<usize>>() && dims[..2] == [1, shape[0]] && shape.len() == 3;
        if !pixels {
            return unsupported("over other axes than rows and columns");
        }
        let mean = self.draft.op(&node.name, Op::GlobalAvgPool, &[item])?;
        if node.int("keepdims", 1) != 0 {
            let dims = [&dims[..2], &vec![1; dims.len() - 2]].concat();
            return Ok(Value::View(View { item: mean, dims }));
        }
        let flat = self.draft.op(&format!("{}.flatten", node.name), Op::Flatten, &[mean])?;
        Ok(Value::View(self.draft.view(flat)))
    }
}

/// How many windows there are. Rounded up, the last one must start inside the map or the pad before it.
fn count(size: usize, kernel: usize, stride: usize, [begin, end]: [usize; 2], ceil: bool) -> Option<usize> {
    let floor = outputs(size, kernel, stride, 1, [begin, end])?;
    let over = ceil && !(size + begin + end - kernel).is_multiple_of(stride) && floor * stride < size + begin;
    Some(floor + usize::from(over))
}
