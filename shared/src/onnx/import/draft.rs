//! The network while it is being put together: layers, and steps on the way to layers.

use super::node::LARGEST;
use crate::model::Tensor;
use crate::network::{Layer, Network, Op, Shape};
use crate::onnx::OnnxError;

/// An output of an item as the graph sees it: the same numbers in the same order, its axes perhaps regrouped.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct View {
    pub item: usize,
    /// Sizes with the batch axis, which is 1.
    pub dims: Vec<usize>,
}

/// What an item computes.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    /// A layer's operator.
    Op(Op),
    /// `x * scale + shift`; a number for every channel, or one for all.
    Affine { scale: Vec<f32>, shift: Vec<f32> },
    /// Gauss's error function, a step of a spelt-out GELU.
    Erf,
    /// Every so many rows and columns.
    Steps([usize; 2]),
    /// `[features]` to `[features, 1, 1]`. Networks have no such layer: what it reads is lifted to feature maps.
    Unflatten,
}

#[derive(Debug)]
pub(super) struct Item {
    pub name: String,
    pub kind: Kind,
    pub inputs: Vec<usize>,
    /// Per image.
    pub shape: Shape,
    /// Suffix of the tensor's name, and the tensor.
    pub tensors: Vec<(&'static str, Tensor)>,
    /// Its place: items that are put in later stand right behind what they read.
    pub order: (usize, usize),
}

#[derive(Debug, Default)]
pub(super) struct Draft {
    pub items: Vec<Item>,
}

impl Draft {
    /// Adds an item behind the ones that it reads.
    pub fn add(&mut self, name: &str, kind: Kind, inputs: &[usize], tensors: Vec<(&'static str, Tensor)>) -> Result<usize, OnnxError> {
        let shape = self.infer(name, &kind, inputs)?;
        if shape.iter().try_fold(1usize, |count, &size| count.checked_mul(size)).is_none_or(|count| count > LARGEST * 16) {
            return Err(OnnxError::Graph(format!("layer `{name}` has an output of {shape:?}")));
        }
        let order = (self.items.len(), 0);
        self.items.push(Item { name: name.to_owned(), kind, inputs: inputs.to_vec(), shape, tensors, order });
        Ok(self.items.len() - 1)
    }

    /// Adds a layer without weights.
    pub fn op(&mut self, name: &str, op: Op, inputs: &[usize]) -> Result<usize, OnnxError> {
        self.add(name, Kind::Op(op), inputs, Vec::new())
    }

    fn infer(&self, name: &str, kind: &Kind, inputs: &[usize]) -> Result<Shape, OnnxError> {
        let shape = |input: &usize| self.items[*input].shape.clone();
        let first = || inputs.first().map(shape).unwrap_or_default();
        Ok(match kind {
            Kind::Affine { .. } | Kind::Erf => first(),
            Kind::Steps([rows, columns]) => match first().as_slice() {
                &[channels, height, width] => vec![channels, height.div_ceil(*rows), width.div_ceil(*columns)],
                other => other.to_vec(),
            },
            Kind::Unflatten => vec![first().iter().product(), 1, 1],
            Kind::Op(op) => {
                // The rules are the network's own: ask a network of this one layer.
                let mut layers: Vec<Layer> = inputs
                    .iter()
                    .map(|input| Layer { name: String::new(), op: Op::Input { shape: shape(input) }, inputs: Vec::new() })
                    .collect();
                let reads = (0..layers.len()).collect();
                layers.push(Layer { name: name.to_owned(), op: op.clone(), inputs: reads });
                Network { outputs: vec![layers.len() - 1], layers }.output_shape()?
            }
        })
    }

    /// The view of an item as it is.
    pub fn view(&self, item: usize) -> View {
        View { item, dims: [&[1], self.items[item].shape.as_slice()].concat() }
    }

    /// The operator of an item, if it is one already.
    pub fn op_of(&self, item: usize) -> Option<&Op> {
        match &self.items[item].kind {
            Kind::Op(op) => Some(op),
            _ => None,
        }
    }

    /// `(scale, shift)` of an item that has one of each, and what it reads.
    pub fn scalar_affine(&self, item: usize) -> Option<(f32, f32, usize)> {
        match &self.items[item].kind {
            Kind::Affine { scale, shift } if scale.len() == 1 && shift.len() == 1 => Some((scale[0], shift[0], self.items[item].inputs[0])),
            _ => None,
        }
    }

    /// How many items read each item.
    pub fn readers(&self, outputs: &[usize]) -> Vec<usize> {
        let mut readers = vec![0; self.items.len()];
        for &read in self.items.iter().flat_map(|item| &item.inputs).chain(outputs) {
            readers[read] += 1;
        }
        readers
    }
}
