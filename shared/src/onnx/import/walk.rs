//! The walk over the graph: from the inputs to the outputs, once, every node in the file's order.

use super::draft::{Draft, Kind, View};
use super::names::{Names, Unique};
use super::node::{Fault, Handled, LARGEST, Node, Value, unsupported};
use super::tensor::{Constant, constant};
use super::{ImportOptions, fold};
use crate::network::Op;
use crate::onnx::{OnnxError, Unsupported};
use std::collections::{HashMap, HashSet};
use tract_onnx::pb::{GraphProto, NodeProto, TensorProto, ValueInfoProto, tensor_shape_proto::dimension, type_proto};

/// The operators that are read. A node of another one is reported, one of these is only where its use has no layer.
const OPERATORS: &[&str] = &[
    "Abs",
    "Add",
    "And",
    "AveragePool",
    "BatchNormalization",
    "Cast",
    "CastLike",
    "Ceil",
    "Clip",
    "Concat",
    "Constant",
    "ConstantOfShape",
    "Conv",
    "Div",
    "Dropout",
    "Equal",
    "Erf",
    "Exp",
    "Expand",
    "Flatten",
    "Floor",
    "Gather",
    "Gelu",
    "Gemm",
    "GlobalAveragePool",
    "GlobalMaxPool",
    "Greater",
    "HardSigmoid",
    "HardSwish",
    "Identity",
    "LeakyRelu",
    "Less",
    "MatMul",
    "Max",
    "MaxPool",
    "Min",
    "Mod",
    "Mul",
    "Neg",
    "Not",
    "Or",
    "PRelu",
    "Pad",
    "Pow",
    "Range",
    "Reciprocal",
    "ReduceMean",
    "ReduceProd",
    "Relu",
    "Reshape",
    "Shape",
    "Sigmoid",
    "Size",
    "Slice",
    "Softmax",
    "Split",
    "Sqrt",
    "Squeeze",
    "Sub",
    "Sum",
    "Swish",
    "Tanh",
    "Transpose",
    "Unsqueeze",
    "Where",
];

/// A network in pieces, as the walk leaves it.
#[derive(Debug)]
pub(super) struct Drafted {
    pub draft: Draft,
    pub outputs: Vec<usize>,
}

/// The state of the walk.
pub(super) struct Walk<'a> {
    pub options: &'a ImportOptions<'a>,
    pub draft: Draft,
    /// The batch size that the file has fixed, if it is above 1: shape arithmetic may have it as a literal.
    pub batch: Option<i64>,
    pub notes: &'a mut Vec<String>,
    values: HashMap<String, Value>,
    initializers: HashMap<String, TensorProto>,
    /// How often each name is still to be read.
    uses: HashMap<String, usize>,
    unsupported: Vec<Unsupported>,
}

pub(super) fn walk(mut graph: GraphProto, opset: i64, options: &ImportOptions, notes: &mut Vec<String>) -> Result<Drafted, OnnxError> {
    let nodes = alive(std::mem::take(&mut graph.node), &graph.output)?;
    let names = Names::new(nodes.iter().map(|(_, node)| node.name.as_str()));
    let mut uses: HashMap<String, usize> = HashMap::new();
    for name in nodes.iter().flat_map(|(_, node)| &node.input).chain(graph.output.iter().map(|output| &output.name)) {
        *uses.entry(name.clone()).or_default() += 1;
    }
    let initializers =
        graph.initializer.into_iter().filter(|tensor| uses.contains_key(&tensor.name)).map(|tensor| (tensor.name.clone(), tensor));
    let mut walk = Walk {
        options,
        draft: Draft::default(),
        batch: None,
        notes,
        values: HashMap::new(),
        initializers: initializers.collect(),
        uses,
        unsupported: Vec::new(),
    };
    walk.inputs(&graph.input)?;
    for (index, mut proto) in nodes {
        let label = if proto.name.is_empty() { format!("{}_{index}", proto.op_type) } else { proto.name.clone() };
        let name = if proto.name.is_empty() { format!("{}_{index}", proto.op_type.to_lowercase()) } else { names.layer(&proto.name) };
        let inputs = std::mem::take(&mut proto.input);
        let foreign = !proto.domain.is_empty() && proto.domain != "ai.onnx";
        let node = Node::new(proto, label, name, opset);
        walk.node(node, inputs, foreign)?;
    }
    if !walk.unsupported.is_empty() {
        return Err(OnnxError::Unsupported(walk.unsupported));
    }
    let outputs = graph.output.iter().map(|output| walk.output(&output.name)).collect::<Result<Vec<usize>, OnnxError>>()?;
    match outputs.is_empty() {
        true => Err(OnnxError::Missing("output")),
        false => Ok(Drafted { draft: walk.draft, outputs }),
    }
}

/// The nodes that an output depends on, in the file's order, with their numbers.
fn alive(nodes: Vec<NodeProto>, outputs: &[ValueInfoProto]) -> Result<Vec<(usize, NodeProto)>, OnnxError> {
    let mut makers: HashMap<&str, usize> = HashMap::new();
    for (index, node) in nodes.iter().enumerate() {
        for output in node.output.iter().filter(|output| !output.is_empty()) {
            if makers.insert(output, index).is_some() {
                return Err(OnnxError::Graph(format!("two nodes make `{output}`")));
            }
        }
    }
    let mut needed = HashSet::new();
    let mut open: Vec<usize> = outputs.iter().filter_map(|output| makers.get(output.name.as_str()).copied()).collect();
    while let Some(index) = open.pop() {
        if needed.insert(index) {
            open.extend(nodes[index].input.iter().filter_map(|input| makers.get(input.as_str())));
        }
    }
    Ok(nodes.into_iter().enumerate().filter(|(index, _)| needed.contains(index)).collect())
}

impl Walk<'_> {
    /// The inputs that are read. Old exporters list the weights among them.
    fn inputs(&mut self, inputs: &[ValueInfoProto]) -> Result<(), OnnxError> {
        let mut unique = Unique::default();
        for input in inputs {
            if self.initializers.contains_key(&input.name) {
                continue;
            }
            if !self.uses.contains_key(&input.name) {
                self.notes.push(format!("Input `{}` is not used and is left out.", input.name));
                continue;
            }
            let shape = self.input_shape(input)?;
            let item = self.draft.op(&unique.name(&input.name), Op::Input { shape }, &[])?;
            let view = self.draft.view(item);
            self.values.insert(input.name.clone(), Value::View(view));
        }
        Ok(())
    }

    /// The shape of an input without its batch axis.
    fn input_shape(&mut self, input: &ValueInfoProto) -> Result<Vec<usize>, OnnxError> {
        let Some(type_proto::Value::TensorType(tensor)) = input.r#type.as_ref().and_then(|kind| kind.value.as_ref()) else {
            return Err(OnnxError::Graph(format!("input `{}` has no tensor type", input.name)));
        };
        let dims: Vec<Option<&dimension::Value>> =
            tensor.shape.as_ref().map(|shape| shape.dim.iter().map(|dim| dim.value.as_ref()).collect()).unwrap_or_default();
        if let Some(Some(dimension::Value::DimValue(batch))) = dims.first()
            && *batch > 1
        {
            self.batch = Some(*batch);
        }
        let sizes = dims.iter().skip(1).map(|dim| match dim {
            Some(dimension::Value::DimValue(size)) => usize::try_from(*size).ok().filter(|size| (1..=LARGEST).contains(size)),
            _ => None,
        });
        let sizes: Option<Vec<usize>> = sizes.collect();
        match (self.options.input, sizes) {
            (Some(given), sizes) if matches!(dims.len(), 0 | 4) => {
                if let Some(sizes) = sizes.filter(|sizes: &Vec<usize>| !sizes.is_empty() && *sizes != given) {
                    self.notes.push(format!("Input `{}` is {sizes:?} in the file and {given:?} here.", input.name));
                }
                Ok(given.to_vec())
            }
            (_, Some(sizes)) if matches!(sizes.len(), 1 | 3) => Ok(sizes),
            (_, Some(sizes)) if dims.len() > 1 => Err(OnnxError::Graph(format!(
                "input `{}` has the shape {sizes:?} after the batch axis; networks read [channels, height, width] or [features]",
                input.name
            ))),
            _ => {
                let word = |dim: &Option<&dimension::Value>| match dim {
                    Some(dimension::Value::DimValue(size)) => size.to_string(),
                    Some(dimension::Value::DimParam(name)) if !name.is_empty() => name.clone(),
                    _ => "?".into(),
                };
                Err(OnnxError::DynamicShape { input: input.name.clone(), dims: dims.iter().map(word).collect() })
            }
        }
    }

    fn node(&mut self, mut node: Node, inputs: Vec<String>, foreign: bool) -> Result<(), OnnxError> {
        let known = !foreign && OPERATORS.contains(&node.op.as_str());
        // Weights of an unknown operator are not read.
        let args = inputs.iter().filter(|_| known).map(|input| self.take(input)).collect::<Handled>();
        let result = match args {
            _ if !known => unsupported(""),
            Err(fault) => Err(fault),
            Ok(args) if args.iter().any(|arg| matches!(arg, Value::Unknown)) => Ok(Vec::new()),
            Ok(args) => self.handle(&mut node, args),
        };
        let values = match result {
            Ok(values) => values,
            Err(Fault::Broken(error)) => return Err(error),
            Err(Fault::Unsupported(what)) => {
                let op = if what.is_empty() { node.op.clone() } else { format!("{} ({what})", node.op) };
                match self.unsupported.iter_mut().find(|entry| entry.op == op) {
                    Some(entry) => entry.nodes.push(node.label),
                    None => self.unsupported.push(Unsupported { op, nodes: vec![node.label] }),
                }
                Vec::new()
            }
        };
        let mut values = values.into_iter();
        for output in node.outputs {
            let value = values.next().unwrap_or(Value::Unknown);
            if !output.is_empty() && self.uses.contains_key(&output) {
                self.values.insert(output, value);
            }
        }
        Ok(())
    }

    /// What a name stands for. The last reader of a constant takes it, so that weights are not in memory twice.
    fn take(&mut self, name: &str) -> Handled<Value> {
        if name.is_empty() {
            return Ok(Value::Absent);
        }
        let left = self.uses.get_mut(name).map_or(0, |left| {
            *left = left.saturating_sub(1);
            *left
        });
        if let Some(proto) = self.initializers.remove(name) {
            let read = constant(proto, self.options)?;
            if left > 0 {
                self.values.insert(name.to_owned(), Value::Constant(read.clone()));
            }
            return Ok(Value::Constant(read));
        }
        let value = if left > 0 { self.values.get(name).cloned() } else { self.values.remove(name) };
        value.ok_or_else(|| OnnxError::Graph(format!("`{name}` is read, but nothing before its reader makes it")).into())
    }

    /// Computes a node of constants, or finds the layer that a node stands for.
    fn handle(&mut self, node: &mut Node, mut args: Vec<Value>) -> Handled {
        if node.op == "Constant" {
            return self.literal(node);
        }
        if let ("Shape" | "Size", Some(Value::View(view))) = (node.op.as_str(), args.first()) {
            return fold::shape(node, &view.dims).map(|constant| vec![Value::Constant(constant)]);
        }
        if args.iter().all(|arg| matches!(arg, Value::Constant(_) | Value::Absent)) {
            let fill = node.take_tensor("value").map(|proto| constant(proto, self.options)).transpose()?;
            let folded = fold::fold(node, args, fill)?;
            return Ok(folded.into_iter().map(Value::Constant).collect());
        }
        let value = match node.op.as_str() {
            "Conv" => self.conv(node, args)?,
            "BatchNormalization" => self.batch_norm(node, args)?,
            "Gemm" => self.gemm(node, args)?,
            "MatMul" => self.matmul(node, args)?,
            "MaxPool" | "AveragePool" => self.pool(node, &args)?,
            "GlobalAveragePool" | "GlobalMaxPool" => self.global_pool(node, &args)?,
            "ReduceMean" => self.reduce_mean(node, &args)?,
            "Identity" => args.swap_remove(0),
            "Cast" | "CastLike" => match (node.op.as_str(), node.int("to", 1)) {
                // To a floating-point type; numbers are f32 here whatever they are in the file.
                ("CastLike", _) | (_, 1 | 10 | 11 | 16) => args.swap_remove(0),
                _ => return unsupported("to integers"),
            },
            "Dropout" => {
                let p = node.float_or_input("ratio", args.get(1))?.unwrap_or(0.5);
                self.elementwise(node, &args, Op::Dropout { p })?
            }
            "Reshape" | "Flatten" | "Squeeze" | "Unsqueeze" => self.reshape(node, &args)?,
            "Transpose" => self.transpose(node, &args)?,
            "Expand" => self.expand(node, &args)?,
            "Concat" => self.concat(node, args)?,
            "Split" => return self.split(node, &args),
            "Slice" => self.slice(node, &args)?,
            "Gather" => self.gather(node, &args)?,
            "Pad" => self.pad(node, &args)?,
            "Add" | "Sub" | "Mul" | "Div" | "Sum" => self.arithmetic(node, args)?,
            _ => self.activation(node, &args)?,
        };
        Ok(vec![value])
    }

    fn literal(&mut self, node: &mut Node) -> Handled {
        let read = match node.take_tensor("value") {
            Some(proto) => constant(proto, self.options)?,
            None if node.has("value_float") => Constant::floats(vec![], vec![node.float("value_float", 0.0) as f32]),
            None if node.has("value_int") => Constant::ints(vec![], vec![node.int("value_int", 0)]),
            None => match (node.ints("value_ints"), node.floats("value_floats")) {
                (Some(ints), _) => Constant::ints(vec![ints.len()], ints.to_vec()),
                (_, Some(floats)) => Constant::floats(vec![floats.len()], floats.to_vec()),
                _ => return unsupported("sparse or of strings"),
            },
        };
        Ok(vec![Value::Constant(read)])
    }

    /// The layer of an output, with the axes that the graph says it has.
    fn output(&mut self, name: &str) -> Result<usize, OnnxError> {
        let broken = |problem: &str| OnnxError::Graph(format!("output `{name}` {problem}"));
        let view = match self.take(name) {
            Ok(Value::View(view)) => view,
            Ok(Value::Constant(_)) => return Err(broken("does not depend on the image")),
            Err(Fault::Broken(error)) => return Err(error),
            Ok(Value::Absent | Value::Unknown) | Err(Fault::Unsupported(_)) => return Err(broken("is made by no node")),
        };
        match self.natural(name, &view) {
            Ok(item) => Ok(item),
            Err(Fault::Broken(error)) => Err(error),
            Err(Fault::Unsupported(_)) => {
                Err(broken(&format!("has the shape {:?}; networks give [batch, channels, height, width] or [batch, features]", view.dims)))
            }
        }
    }

    /// The item behind a view, put into the view's form: a feature map or a vector.
    pub fn natural(&mut self, name: &str, view: &View) -> Handled<usize> {
        let shape = &self.draft.items[view.item].shape;
        if view.dims.first() == Some(&1) && view.dims[1..] == *shape {
            return Ok(view.item);
        }
        match (view.dims.as_slice(), shape.as_slice()) {
            (&[1, _], [_, _, _]) => Ok(self.draft.op(&format!("{name}.flatten"), Op::Flatten, &[view.item])?),
            (&[1, _, 1, 1], [_]) => match self.draft.op_of(view.item) {
                Some(Op::Flatten) if self.draft.items[self.draft.items[view.item].inputs[0]].shape[1..] == [1, 1] => {
                    Ok(self.draft.items[view.item].inputs[0])
                }
                _ => Ok(self.draft.add(&format!("{name}.unflatten"), Kind::Unflatten, &[view.item], Vec::new())?),
            },
            _ => unsupported("of a regrouped feature map"),
        }
    }

    /// The input of this number as a feature map or a vector.
    pub fn input(&mut self, node: &Node, args: &[Value], index: usize) -> Handled<usize> {
        self.natural(&node.name, node.view(args, index)?)
    }

    /// The input of this number as a feature map.
    pub fn map(&mut self, node: &Node, args: &[Value], index: usize) -> Handled<usize> {
        match node.view(args, index)?.dims.len() {
            4 => self.input(node, args, index),
            _ => unsupported("not two-dimensional"),
        }
    }

    /// A layer without weights, as it is.
    pub fn layer(&mut self, node: &Node, op: Op, inputs: &[usize]) -> Handled<Value> {
        let item = self.draft.op(&node.name, op, inputs)?;
        Ok(Value::View(self.draft.view(item)))
    }

    /// A layer that computes every number by itself, so that regrouped axes do not matter.
    pub fn elementwise(&mut self, node: &Node, args: &[Value], op: Op) -> Handled<Value> {
        let View { item, dims } = node.view(args, 0)?.clone();
        let item = self.draft.op(&node.name, op, &[item])?;
        Ok(Value::View(View { item, dims }))
    }
}
