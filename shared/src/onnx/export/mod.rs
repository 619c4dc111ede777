//! From a model to a file.

mod layers;
mod writer;

use super::OnnxError;
use crate::model::Model;
use crate::network::Op;
use prost::Message;
use std::collections::HashSet;
use tract_onnx::pb::{ModelProto, OperatorSetIdProto};
use writer::Writer;

/// Opset 17 is what runtimes of the last years read; nothing here needs a newer one.
const OPSET: i64 = 17;

/// The file format that belongs to opset 17.
const IR_VERSION: i64 = 8;

/// Protobuf's own limit.
const LARGEST_FILE: usize = i32::MAX as usize;

/// Writes a model as ONNX: opset 17, the batch axis open. Values are called as their layers, weights as their tensors
/// (`features.0.weight`), so that [`import`](super::import) gives the same layers again. Dropout is left out. Shapes are given
/// for inputs and outputs only: tract refuses a fixed batch where values inside say that it is open.
///
/// # Errors
/// When the network's shapes or tensors do not fit, or when the file would be larger than protobuf's 2 GiB.
pub fn export(model: &Model) -> Result<Vec<u8>, OnnxError> {
    let network = &model.network;
    let shapes = network.shapes()?;
    let mut names = HashSet::new();
    if let Some(twice) = network.layers.iter().find(|layer| !names.insert(layer.name.as_str())) {
        return Err(OnnxError::Graph(format!("two layers are called `{}`", twice.name)));
    }
    let parameters = network.parameters()?;
    let size: usize = parameters.iter().map(|parameter| 4 * parameter.shape.iter().product::<usize>()).sum();
    if size > LARGEST_FILE {
        return Err(OnnxError::Graph(format!("its weights are {size} bytes, and an ONNX file holds 2 GiB at most")));
    }
    let mut writer = Writer::default();
    for parameter in &parameters {
        match model.tensors.get(&parameter.name) {
            Some(tensor) if tensor.shape == parameter.shape && tensor.data.len() == parameter.shape.iter().product::<usize>() => {
                writer.weights(&parameter.name, tensor);
            }
            Some(tensor) => {
                let problem =
                    format!("is {:?} with {} numbers, and its layer needs {:?}", tensor.shape, tensor.data.len(), parameter.shape);
                return Err(OnnxError::Tensor { tensor: parameter.name.clone(), problem });
            }
            None => return Err(OnnxError::Tensor { tensor: parameter.name.clone(), problem: "is missing".into() }),
        }
    }
    // What each layer's output is called in the file; layers that do nothing share their input's name.
    let mut values: Vec<String> = Vec::with_capacity(network.layers.len());
    for layer in &network.layers {
        let inputs: Vec<&str> = layer.inputs.iter().map(|&input| values[input].as_str()).collect();
        let input_shape = layer.inputs.first().map(|&input| &shapes[input]);
        let value = match (&layer.op, input_shape) {
            (Op::Input { shape }, _) => {
                writer.input(&layer.name, shape);
                layer.name.clone()
            }
            (op, Some(shape)) => layers::write(&mut writer, &layer.name, op, &inputs, shape),
            (op, None) => return Err(OnnxError::Graph(format!("layer `{}` ({}) reads nothing", layer.name, op.name()))),
        };
        values.push(value);
    }
    let mut given = HashSet::new();
    for &output in &network.outputs {
        let layer = &network.layers[output];
        let mut value = values[output].clone();
        let aliased = value != layer.name || matches!(layer.op, Op::Input { .. });
        if aliased || !given.insert(value.clone()) {
            // Outputs have names of their own.
            let name = if value != layer.name { layer.name.clone() } else { writer.free(&format!("{}/output", layer.name)) };
            writer.node("Identity", &name, &[&value], vec![]);
            given.insert(name.clone());
            value = name;
        }
        writer.output(&value, &shapes[output]);
    }
    let proto = ModelProto {
        ir_version: IR_VERSION,
        opset_import: vec![OperatorSetIdProto { domain: String::new(), version: OPSET }],
        producer_name: "pleach".into(),
        producer_version: env!("CARGO_PKG_VERSION").into(),
        graph: Some(writer.finish()),
        ..ModelProto::default()
    };
    Ok(proto.encode_to_vec())
}
