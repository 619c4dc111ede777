//! The graph while it is being written.

use crate::model::Tensor;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension::Value as Size};
use tract_onnx::pb::{
    AttributeProto, GraphProto, NodeProto, TensorProto, TensorShapeProto, TypeProto, ValueInfoProto, attribute_proto::AttributeType,
    type_proto,
};

/// An attribute's value.
#[derive(Clone)]
pub(super) enum Attribute {
    Int(i64),
    Ints(Vec<i64>),
    Float(f64),
}

#[derive(Default)]
pub(super) struct Writer {
    graph: GraphProto,
}

impl Writer {
    /// Adds a node with one output, which is called as the node.
    pub fn node(&mut self, op: &str, name: &str, inputs: &[&str], attributes: Vec<(&str, Attribute)>) {
        self.graph.node.push(NodeProto {
            op_type: op.into(),
            name: name.into(),
            input: inputs.iter().map(ToString::to_string).collect(),
            output: vec![name.into()],
            attribute: attributes.into_iter().map(|(name, value)| attribute(name, value)).collect(),
            ..NodeProto::default()
        });
    }

    /// A name that no node has.
    pub fn free(&self, wanted: &str) -> String {
        let mut name = wanted.to_owned();
        while self.graph.node.iter().any(|node| node.name == name) {
            name.push('_');
        }
        name
    }

    /// Adds a layer's tensor.
    pub fn weights(&mut self, name: &str, tensor: &Tensor) {
        self.floats(name, &tensor.shape, &tensor.data);
    }

    /// Adds a constant of floats.
    pub fn floats(&mut self, name: &str, shape: &[usize], data: &[f32]) {
        let mut raw_data = Vec::with_capacity(4 * data.len());
        for x in data {
            raw_data.extend_from_slice(&x.to_le_bytes());
        }
        self.constant(name, shape, DataType::Float, raw_data);
    }

    /// Adds a constant vector of integers, and gives its name back.
    pub fn ints(&mut self, name: String, data: &[i64]) -> String {
        self.constant(&name, &[data.len()], DataType::Int64, data.iter().flat_map(|x| x.to_le_bytes()).collect());
        name
    }

    /// Adds a single float, and gives its name back.
    pub fn float(&mut self, name: String, x: f64) -> String {
        self.floats(&name, &[], &[x as f32]);
        name
    }

    fn constant(&mut self, name: &str, shape: &[usize], kind: DataType, raw_data: Vec<u8>) {
        let dims = shape.iter().map(|&size| size as i64).collect();
        self.graph.initializer.push(TensorProto { name: name.into(), dims, data_type: kind.into(), raw_data, ..TensorProto::default() });
    }

    pub fn input(&mut self, name: &str, shape: &[usize]) {
        self.graph.input.push(described(name, shape));
    }

    pub fn output(&mut self, name: &str, shape: &[usize]) {
        self.graph.output.push(described(name, shape));
    }

    pub fn finish(self) -> GraphProto {
        GraphProto { name: "pleach".into(), ..self.graph }
    }
}

fn attribute(name: &str, value: Attribute) -> AttributeProto {
    let empty = AttributeProto { name: name.into(), ..AttributeProto::default() };
    match value {
        Attribute::Int(i) => AttributeProto { i, r#type: AttributeType::Int.into(), ..empty },
        Attribute::Ints(ints) => AttributeProto { ints, r#type: AttributeType::Ints.into(), ..empty },
        Attribute::Float(f) => AttributeProto { f: f as f32, r#type: AttributeType::Float.into(), ..empty },
    }
}

/// A value of any number of images.
fn described(name: &str, shape: &[usize]) -> ValueInfoProto {
    let size = |value: Size| Dimension { value: Some(value), ..Dimension::default() };
    let sizes = shape.iter().map(|&axis| size(Size::DimValue(axis as i64)));
    let dim = std::iter::once(size(Size::DimParam("batch".into()))).chain(sizes).collect();
    let tensor = type_proto::Tensor { elem_type: DataType::Float.into(), shape: Some(TensorShapeProto { dim }) };
    let kind = TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..TypeProto::default() };
    ValueInfoProto { name: name.into(), r#type: Some(kind), ..ValueInfoProto::default() }
}
