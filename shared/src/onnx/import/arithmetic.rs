//! Sums, products and activations, also those that the exporter spelt out.

use super::draft::{Kind, View};
use super::node::{Handled, Node, Value, unsupported};
use super::walk::Walk;
use crate::network::Op;

impl Walk<'_> {
    /// `Add`, `Sub`, `Mul`, `Div` and `Sum`, of which at least one operand is a feature map.
    pub fn arithmetic(&mut self, node: &Node, mut args: Vec<Value>) -> Handled<Value> {
        if node.op == "Sum" && args.len() > 2 && args.iter().all(|arg| matches!(arg, Value::View(_))) {
            let items = (0..args.len()).map(|index| self.input(node, &args, index)).collect::<Handled<Vec<usize>>>()?;
            return self.layer(node, Op::Add, &items);
        }
        let mut rest = args.drain(..);
        let mut result = rest.next().ok_or_else(|| node.broken("has no input"))?;
        for next in rest {
            result = self.combine(node, result, next)?;
        }
        Ok(result)
    }

    fn combine(&mut self, node: &Node, a: Value, b: Value) -> Handled<Value> {
        let (view, constant, swapped) = match (a, b) {
            (Value::View(a), Value::View(b)) => return self.combine_views(node, &a, &b),
            (Value::View(view), Value::Constant(constant)) => (view, constant, false),
            (Value::Constant(constant), Value::View(view)) => (view, constant, true),
            _ => return Err(node.broken("lacks an input")),
        };
        // One number, or one for each channel; axes are aligned at the end.
        let channels = view.dims.get(1).copied().unwrap_or(0);
        let channel_axis = (constant.dims.len() + 1).checked_sub(view.dims.len());
        let per_channel = channel_axis.and_then(|axis| constant.dims.get(axis)) == Some(&constant.len()) && constant.len() == channels;
        let one = constant.uniform().is_some() && (constant.len() == 1 || per_channel) && constant.dims.len() <= view.dims.len();
        if !one && !per_channel {
            return unsupported(format!("of {:?} and a constant of {:?}", view.dims, constant.dims));
        }
        let mut numbers = constant.into_weights()?;
        numbers.truncate(if one { 1 } else { numbers.len() });
        let (scale, shift) = match (node.op.as_str(), swapped) {
            ("Add" | "Sum", _) => (vec![1.0], numbers),
            ("Sub", false) => (vec![1.0], numbers.iter().map(|x| -x).collect()),
            ("Sub", true) => (vec![-1.0], numbers),
            ("Mul", _) => (numbers, vec![0.0]),
            _ if swapped => return unsupported("by a feature map"),
            _ if numbers.contains(&0.0) => return Err(node.broken("divides by zero")),
            _ => (numbers.iter().map(|x| 1.0 / x).collect(), vec![0.0]),
        };
        self.affine(node, &view, scale, shift)
    }

    fn affine(&mut self, node: &Node, view: &View, scale: Vec<f32>, shift: Vec<f32>) -> Handled<Value> {
        if scale.iter().all(|&x| x == 1.0) && shift.iter().all(|&x| x == 0.0) {
            return Ok(Value::View(view.clone()));
        }
        if scale.len() > 1 || shift.len() > 1 {
            let item = self.natural(&node.name, view)?;
            let item = self.draft.add(&node.name, Kind::Affine { scale, shift }, &[item], Vec::new())?;
            return Ok(Value::View(self.draft.view(item)));
        }
        let spelt = match shift[0] {
            0.0 => self.scaled_activation(view.item, scale[0]),
            _ => None,
        };
        let item = match spelt {
            Some((op, x)) => self.draft.op(&node.name, op, &[x])?,
            None => self.draft.add(&node.name, Kind::Affine { scale, shift }, &[view.item], Vec::new())?,
        };
        Ok(Value::View(View { item, dims: view.dims.clone() }))
    }

    fn combine_views(&mut self, node: &Node, a: &View, b: &View) -> Handled<Value> {
        let op = match node.op.as_str() {
            "Div" => return unsupported("by a feature map"),
            "Sub" => {
                let negative = self.draft.add(
                    &format!("{}.negative", node.name),
                    Kind::Affine { scale: vec![-1.0], shift: vec![0.0] },
                    &[b.item],
                    Vec::new(),
                )?;
                let negative = View { item: negative, dims: b.dims.clone() };
                return self.sum(node, Op::Add, a, &negative);
            }
            "Mul" => Op::Mul,
            _ => Op::Add,
        };
        if op == Op::Mul
            && a.dims == b.dims
            && let Some((op, x)) = self.product_activation(a.item, b.item, 1.0)
        {
            let item = self.draft.op(&node.name, op, &[x])?;
            return Ok(Value::View(View { item, dims: a.dims.clone() }));
        }
        self.sum(node, op, a, b)
    }

    fn sum(&mut self, node: &Node, op: Op, a: &View, b: &View) -> Handled<Value> {
        if a.dims == b.dims && self.draft.items[a.item].shape == self.draft.items[b.item].shape {
            let item = self.draft.op(&node.name, op, &[a.item, b.item])?;
            return Ok(Value::View(View { item, dims: a.dims.clone() }));
        }
        if a.dims.len() != b.dims.len() {
            return unsupported(format!("of {:?} and {:?}", a.dims, b.dims));
        }
        let items = [self.natural(&node.name, a)?, self.natural(&node.name, b)?];
        self.layer(node, op, &items)
    }

    /// The activation that `factor * item` is.
    fn scaled_activation(&self, item: usize, factor: f32) -> Option<(Op, usize)> {
        match (self.draft.op_of(item)?, self.draft.items[item].inputs.as_slice()) {
            (Op::Mul, &[a, b]) => self.product_activation(a, b, factor),
            // relu6(slope * x + start) / 6
            (Op::Relu6, &[inner]) if near(factor, 1.0 / 6.0) => {
                let (slope, start, x) = self.draft.scalar_affine(inner)?;
                let (alpha, beta) = (f64::from(slope) / 6.0, f64::from(start) / 6.0);
                Some((Op::HardSigmoid { alpha, beta }, x))
            }
            _ => None,
        }
    }

    /// The activation that `factor * a * b` is: one side is the input, the other a gate of it.
    fn product_activation(&self, a: usize, b: usize, factor: f32) -> Option<(Op, usize)> {
        [(a, b), (b, a)].into_iter().find_map(|(x, gate)| {
            let (op, steepness, input) = self.gate(gate, 1.0)?;
            let scaled = match self.draft.scalar_affine(x) {
                Some((scale, 0.0, inner)) if x != input && inner == input => scale,
                _ => (x == input).then_some(1.0)?,
            };
            near(scaled * steepness * factor, 1.0).then_some((op, input))
        })
    }

    /// The activation that `x * gate` is, times a number, and its x.
    fn gate(&self, item: usize, factor: f32) -> Option<(Op, f32, usize)> {
        let inputs = &self.draft.items[item].inputs;
        match &self.draft.items[item].kind {
            Kind::Op(Op::Sigmoid) => Some((Op::Silu, factor, inputs[0])),
            Kind::Op(Op::HardSigmoid { alpha, beta }) => {
                (near(*alpha as f32, 1.0 / 6.0) && near(*beta as f32, 0.5)).then_some((Op::HardSwish, factor, inputs[0]))
            }
            Kind::Op(Op::Relu6) => match self.draft.scalar_affine(inputs[0])? {
                (slope, start, x) if near(slope, 1.0) && near(start, 3.0) => Some((Op::HardSwish, 6.0 * factor, x)),
                _ => None,
            },
            // 1 + erf(x / sqrt(2)), which is twice P(X <= x).
            Kind::Affine { .. } => match self.draft.scalar_affine(item)? {
                (scale, 0.0, inner) => self.gate(inner, factor * scale),
                (scale, shift, inner) if near(scale, shift) && self.draft.items[inner].kind == Kind::Erf => {
                    let (root, start, x) = self.draft.scalar_affine(self.draft.items[inner].inputs[0])?;
                    (near(root, std::f32::consts::FRAC_1_SQRT_2) && start == 0.0).then_some((Op::Gelu, 2.0 * factor * scale, x))
                }
                _ => None,
            },
            _ => None,
        }
    }

    /// Activations of one input.
    pub fn activation(&mut self, node: &Node, args: &[Value]) -> Handled<Value> {
        let op = match node.op.as_str() {
            "Relu" => Op::Relu,
            "Sigmoid" => Op::Sigmoid,
            "Tanh" => Op::Tanh,
            "HardSwish" => Op::HardSwish,
            "HardSigmoid" => match (node.float("alpha", 0.2), node.float("beta", 0.5)) {
                // Sixths are not exact in 32 bits.
                (alpha, 0.5) if (alpha - 1.0 / 6.0).abs() < 1e-6 => Op::hard_sigmoid(),
                (alpha, beta) => Op::HardSigmoid { alpha, beta },
            },
            "LeakyRelu" => Op::LeakyRelu { slope: node.float("alpha", 0.01) },
            "PRelu" => match args.get(1) {
                Some(Value::Constant(slope)) if slope.uniform().is_some_and(|slope| slope <= 1.0) => {
                    Op::LeakyRelu { slope: slope.uniform().unwrap_or_default() }
                }
                _ => return unsupported("a slope for every channel"),
            },
            "Gelu" if node.string("approximate").is_none_or(|form| form == "none") => Op::Gelu,
            "Gelu" => return unsupported("approximated"),
            "Swish" if node.float("alpha", 1.0) == 1.0 => Op::Silu,
            "Softmax" => return self.softmax(node, args),
            "Clip" => {
                let min = node.float_or_input("min", args.get(1))?.unwrap_or(f64::NEG_INFINITY);
                let max = node.float_or_input("max", args.get(2))?.unwrap_or(f64::INFINITY);
                return self.clip(node, args, [min, max]);
            }
            "Max" | "Min" if args.len() == 2 => return self.bound(node, args),
            "Neg" => {
                let view = node.view(args, 0)?.clone();
                return self.affine(node, &view, vec![-1.0], vec![0.0]);
            }
            "Erf" => {
                let View { item, dims } = node.view(args, 0)?.clone();
                let item = self.draft.add(&node.name, Kind::Erf, &[item], Vec::new())?;
                return Ok(Value::View(View { item, dims }));
            }
            _ => return unsupported("of a feature map"),
        };
        self.elementwise(node, args, op)
    }

    /// `Max` or `Min` of a map and a number. One after the other they are a clip.
    fn bound(&mut self, node: &Node, args: &[Value]) -> Handled<Value> {
        let (view, number) = match args {
            [Value::View(view), Value::Constant(constant)] | [Value::Constant(constant), Value::View(view)] => (view, constant.uniform()),
            _ => return unsupported("of two feature maps"),
        };
        let Some(number) = number else { return unsupported("a bound for every channel") };
        let mut bounds = if node.op == "Max" { [number, f64::INFINITY] } else { [f64::NEG_INFINITY, number] };
        let mut view = view.clone();
        let before = match self.draft.op_of(view.item) {
            Some(Op::Relu) => Some([0.0, f64::INFINITY]),
            Some(Op::Clip { min, max }) => Some([*min, *max]),
            _ => None,
        };
        if let Some([min, max]) = before.filter(|[min, max]| bounds[0] <= *max && *min <= bounds[1]) {
            bounds = [bounds[0].max(min), bounds[1].min(max)];
            view.item = self.draft.items[view.item].inputs[0];
        }
        self.clip(node, &[Value::View(view)], bounds)
    }

    fn clip(&mut self, node: &Node, args: &[Value], [min, max]: [f64; 2]) -> Handled<Value> {
        let (least, most) = (f64::from(f32::MIN), f64::from(f32::MAX));
        let (min, max) = (min.max(least), max.min(most));
        if min > max {
            return Err(node.broken(format!("clips between {min} and {max}")));
        }
        let mut view = node.view(args, 0)?.clone();
        let op = match (min, max) {
            (0.0, 6.0) => Op::Relu6,
            (0.0, max) if max >= most => Op::Relu,
            (0.0, 1.0) if let Some((alpha, beta, x)) = self.draft.scalar_affine(view.item) => {
                view.item = x;
                Op::HardSigmoid { alpha: alpha.into(), beta: beta.into() }
            }
            (min, max) => Op::Clip { min, max },
        };
        self.elementwise(node, &[Value::View(view)], op)
    }

    fn softmax(&mut self, node: &Node, args: &[Value]) -> Handled<Value> {
        let dims = node.view(args, 0)?.dims.clone();
        let axis = node.axis(node.int("axis", if node.opset < 13 { 1 } else { -1 }), dims.len())?;
        // Before opset 13 it went over all axes from this one on.
        if axis != 1 || (node.opset < 13 && dims[2..].iter().any(|&size| size != 1)) {
            return unsupported("over other axes than channels");
        }
        let item = self.input(node, args, 0)?;
        self.layer(node, Op::Softmax, &[item])
    }
}

/// Equal but for the rounding of the file's number type.
fn near(a: f32, b: f32) -> bool {
    (a - b).abs() <= 1e-3 * b.abs()
}
