//! A node's attributes and inputs, read with care: the file may say anything.

use super::draft::View;
use super::tensor::{Constant, shortest};
use crate::onnx::OnnxError;
use tract_onnx::pb::{AttributeProto, NodeProto, TensorProto};

/// No size, stride or channel number of a real network is larger. Keeps arithmetic on sizes far from overflow.
pub(super) const LARGEST: usize = 1 << 24;

/// What a name of the graph stands for.
#[derive(Debug, Clone)]
pub(super) enum Value {
    /// Numbers that do not depend on the input.
    Constant(Constant),
    /// An output of a layer.
    View(View),
    /// An optional input that is left out.
    Absent,
    /// An output of a node that is not supported.
    Unknown,
}

/// Why a node gives nothing.
#[derive(Debug)]
pub(super) enum Fault {
    /// No layer stands for it; in words what of it.
    Unsupported(String),
    /// It is broken.
    Broken(OnnxError),
}

impl From<OnnxError> for Fault {
    fn from(error: OnnxError) -> Fault {
        Fault::Broken(error)
    }
}

pub(super) type Handled<T = Vec<Value>> = Result<T, Fault>;

/// Shorthand for a use of an operator that no layer stands for.
pub(super) fn unsupported<T>(what: impl Into<String>) -> Handled<T> {
    Err(Fault::Unsupported(what.into()))
}

/// A node in hand.
#[derive(Debug)]
pub(super) struct Node {
    /// The file's name for it, or its operator and number.
    pub label: String,
    /// What its layer is called, if its weights do not say otherwise.
    pub name: String,
    /// The operator.
    pub op: String,
    /// Names of its outputs.
    pub outputs: Vec<String>,
    /// Version of the operator set.
    pub opset: i64,
    attributes: Vec<AttributeProto>,
}

impl Node {
    pub fn new(proto: NodeProto, label: String, name: String, opset: i64) -> Node {
        Node { label, name, op: proto.op_type, outputs: proto.output, opset, attributes: proto.attribute }
    }

    fn attribute(&self, name: &str) -> Option<&AttributeProto> {
        self.attributes.iter().find(|attribute| attribute.name == name)
    }

    pub fn has(&self, name: &str) -> bool {
        self.attribute(name).is_some()
    }

    pub fn int(&self, name: &str, default: i64) -> i64 {
        self.attribute(name).map_or(default, |attribute| attribute.i)
    }

    pub fn float(&self, name: &str, default: f64) -> f64 {
        self.attribute(name).map_or(default, |attribute| shortest(attribute.f))
    }

    pub fn ints(&self, name: &str) -> Option<&[i64]> {
        self.attribute(name).map(|attribute| attribute.ints.as_slice())
    }

    pub fn floats(&self, name: &str) -> Option<&[f32]> {
        self.attribute(name).map(|attribute| attribute.floats.as_slice())
    }

    pub fn string(&self, name: &str) -> Option<String> {
        self.attribute(name).map(|attribute| String::from_utf8_lossy(&attribute.s).into_owned())
    }

    pub fn take_tensor(&mut self, name: &str) -> Option<TensorProto> {
        self.attributes.iter_mut().find(|attribute| attribute.name == name).and_then(|attribute| attribute.t.take())
    }

    /// Integers that are an attribute in old operator sets and an input in new ones.
    pub fn ints_or_input(&self, name: &str, input: Option<&Value>) -> Handled<Option<Vec<i64>>> {
        match (self.ints(name), input) {
            (Some(ints), _) => Ok(Some(ints.to_vec())),
            (None, None | Some(Value::Absent)) => Ok(None),
            (None, Some(Value::Constant(constant))) => match constant.as_ints() {
                Some(ints) => Ok(Some(ints.to_vec())),
                None => Err(self.broken(format!("{name} must be integers"))),
            },
            (None, Some(_)) => unsupported(format!("{name} depends on the image")),
        }
    }

    /// A number that is an attribute in old operator sets and an input in new ones.
    pub fn float_or_input(&self, name: &str, input: Option<&Value>) -> Handled<Option<f64>> {
        match (self.attribute(name), input) {
            (Some(attribute), _) => Ok(Some(shortest(attribute.f))),
            (None, None | Some(Value::Absent)) => Ok(None),
            (None, Some(Value::Constant(constant))) => match constant.uniform() {
                Some(value) if constant.len() == 1 => Ok(Some(value)),
                _ => Err(self.broken(format!("{name} must be one number"))),
            },
            (None, Some(_)) => unsupported(format!("{name} depends on the image")),
        }
    }

    /// The error that this node is broken.
    pub fn broken(&self, problem: impl Into<String>) -> Fault {
        Fault::Broken(self.error(problem))
    }

    /// The same, not yet a fault.
    pub fn error(&self, problem: impl Into<String>) -> OnnxError {
        OnnxError::Node { node: self.label.clone(), op: self.op.clone(), problem: problem.into() }
    }

    /// A size in the file.
    pub fn size(&self, size: i64) -> Handled<usize> {
        match usize::try_from(size) {
            Ok(size) if size <= LARGEST => Ok(size),
            _ => Err(self.broken(format!("has a size of {size}"))),
        }
    }

    /// A `[height, width]` attribute.
    pub fn pair(&self, name: &str, default: usize) -> Handled<[usize; 2]> {
        match self.ints(name) {
            None | Some([]) => Ok([default; 2]),
            Some(&[height, width]) => Ok([self.size(height)?, self.size(width)?]),
            Some(_) => unsupported("not two-dimensional"),
        }
    }

    /// An axis counted from the front.
    pub fn axis(&self, axis: i64, rank: usize) -> Handled<usize> {
        let from_front = if axis < 0 { axis.checked_add(rank as i64).unwrap_or(-1) } else { axis };
        match usize::try_from(from_front) {
            Ok(axis) if axis < rank => Ok(axis),
            _ => Err(self.broken(format!("has the axis {axis} of {rank}"))),
        }
    }

    /// Axes counted from the front, in order, each once.
    pub fn axes(&self, axes: &[i64], rank: usize) -> Handled<Vec<usize>> {
        let mut axes = axes.iter().map(|&axis| self.axis(axis, rank)).collect::<Handled<Vec<usize>>>()?;
        axes.sort_unstable();
        axes.dedup();
        Ok(axes)
    }

    /// The input of this number, which must be an output of a layer.
    pub fn view<'a>(&self, args: &'a [Value], index: usize) -> Handled<&'a View> {
        match args.get(index) {
            Some(Value::View(view)) => Ok(view),
            Some(Value::Constant(_)) => unsupported("of a constant"),
            _ => Err(self.broken(format!("lacks input {index}"))),
        }
    }

    /// Takes the input of this number, which must be a constant; none where it is left out.
    pub fn constant(&self, args: &mut [Value], index: usize) -> Handled<Option<Constant>> {
        match args.get_mut(index).map(|value| std::mem::replace(value, Value::Absent)) {
            None | Some(Value::Absent) => Ok(None),
            Some(Value::Constant(constant)) => Ok(Some(constant)),
            Some(_) => unsupported("weights that depend on the image"),
        }
    }
}
