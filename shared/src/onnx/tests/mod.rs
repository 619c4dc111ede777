//! The module's specification: single patterns in `patterns`, files that are broken or not supported in `faults`, what is
//! written in `written`, whole networks as PyTorch exports them in `exporters`. Builders for graphs are here.

mod exporters;
mod faults;
mod patterns;
mod written;

use super::*;
use crate::model::{Model, Tensor};
use crate::network::{Network, Op};
use prost::Message;
use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension::Value as Size};
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, TensorShapeProto, TypeProto, ValueInfoProto,
    type_proto,
};

/// A graph by hand. Its input is `x` and its output `y`.
struct Graph {
    graph: GraphProto,
    opset: i64,
}

/// Sizes of a value; a negative one is open.
fn value(name: &str, dims: &[i64]) -> ValueInfoProto {
    let size = |&size: &i64| match size {
        0.. => Size::DimValue(size),
        _ => Size::DimParam("n".into()),
    };
    let dim = dims.iter().map(|dim| Dimension { value: Some(size(dim)), ..Dimension::default() }).collect();
    let tensor = type_proto::Tensor { elem_type: 1, shape: Some(TensorShapeProto { dim }) };
    let kind = TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..TypeProto::default() };
    ValueInfoProto { name: name.into(), r#type: Some(kind), ..ValueInfoProto::default() }
}

impl Graph {
    fn new(dims: &[i64]) -> Graph {
        let graph = GraphProto { input: vec![value("x", dims)], output: vec![value("y", &[])], ..GraphProto::default() };
        Graph { graph, opset: 17 }
    }

    fn opset(mut self, opset: i64) -> Graph {
        self.opset = opset;
        self
    }

    /// A node whose name is its output's.
    fn node(self, op: &str, inputs: &[&str], output: &str) -> Graph {
        self.named(output, op, inputs, output)
    }

    fn named(mut self, name: &str, op: &str, inputs: &[&str], output: &str) -> Graph {
        self.graph.node.push(NodeProto {
            name: name.into(),
            op_type: op.into(),
            input: inputs.iter().map(ToString::to_string).collect(),
            output: output.split(' ').map(str::to_owned).collect(),
            ..NodeProto::default()
        });
        self
    }

    fn attribute(mut self, attribute: AttributeProto) -> Graph {
        self.graph.node.last_mut().unwrap().attribute.push(attribute);
        self
    }

    fn int(self, name: &str, i: i64) -> Graph {
        self.attribute(AttributeProto { name: name.into(), i, ..AttributeProto::default() })
    }

    fn ints(self, name: &str, ints: &[i64]) -> Graph {
        self.attribute(AttributeProto { name: name.into(), ints: ints.to_vec(), ..AttributeProto::default() })
    }

    fn text(self, name: &str, text: &str) -> Graph {
        self.attribute(AttributeProto { name: name.into(), s: text.into(), ..AttributeProto::default() })
    }

    fn float(self, name: &str, f: f32) -> Graph {
        self.attribute(AttributeProto { name: name.into(), f, ..AttributeProto::default() })
    }

    fn tensor(mut self, tensor: TensorProto) -> Graph {
        self.graph.initializer.push(tensor);
        self
    }

    fn floats(self, name: &str, dims: &[i64], data: &[f32]) -> Graph {
        self.tensor(TensorProto {
            name: name.into(),
            dims: dims.to_vec(),
            data_type: 1,
            float_data: data.to_vec(),
            ..TensorProto::default()
        })
    }

    /// Weights 0, 1, 2 and so on.
    fn weights(self, name: &str, dims: &[i64]) -> Graph {
        let data: Vec<f32> = (0..dims.iter().product()).map(|x: i64| x as f32).collect();
        self.floats(name, dims, &data)
    }

    fn numbers(self, name: &str, data: &[i64]) -> Graph {
        let dims = vec![data.len() as i64];
        self.tensor(TensorProto { name: name.into(), dims, data_type: 7, int64_data: data.to_vec(), ..TensorProto::default() })
    }

    fn number(self, name: &str, x: i64) -> Graph {
        self.tensor(TensorProto { name: name.into(), data_type: 7, int64_data: vec![x], ..TensorProto::default() })
    }

    fn bytes(&self) -> Vec<u8> {
        let opset_import = vec![OperatorSetIdProto { domain: String::new(), version: self.opset }];
        ModelProto { ir_version: 8, opset_import, graph: Some(self.graph.clone()), ..ModelProto::default() }.encode_to_vec()
    }

    fn import(&self) -> Result<Imported, OnnxError> {
        import(self.bytes(), &ImportOptions::default())
    }

    /// The model, where there must be one.
    fn model(&self) -> Model {
        self.import().unwrap_or_else(|error| panic!("{error}")).model
    }

    /// The layers behind the input, as `name: operator`.
    fn layers(&self) -> Vec<String> {
        self.model().network.layers.iter().skip(1).map(|layer| format!("{}: {}", layer.name, layer.op.name())).collect()
    }

    /// The operator of the last layer.
    fn last(&self) -> Op {
        self.model().network.layers.last().unwrap().op.clone()
    }
}

/// A model of this network whose weights are all different.
fn filled(network: Network) -> Model {
    let mut next = 0.0;
    let parameters = network.parameters().unwrap();
    let tensors = parameters.into_iter().map(|parameter| {
        let data = (0..parameter.shape.iter().product()).map(|_: usize| {
            next += 1.0;
            (next as f32 * 0.37).sin().abs() + 0.1
        });
        (parameter.name, Tensor { data: data.collect(), shape: parameter.shape })
    });
    let tensors = tensors.collect();
    Model::dense(network, tensors)
}
