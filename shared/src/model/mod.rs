//! The one-file model format: safetensors, with the network as JSON in its metadata.
//!
//! Tensors are called as PyTorch's state dicts call them: `layer1.0.conv1.weight`, `bn1.running_mean`. All are `f32`. The mask
//! of a tensor is a tensor of bytes, `NAME.mask`: one bit a weight.

use crate::network::{Cost, Network, Op, ShapeError};
use crate::plan::Mask;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use std::collections::{BTreeMap, HashMap};
use thiserror::Error;

/// Key of the network in the file's metadata.
const NETWORK: &str = "pleach.network";

/// A network with its weights.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    /// The architecture.
    pub network: Network,
    /// The weights by name.
    pub tensors: BTreeMap<String, Tensor>,
    /// Which weights of a tensor are not zero for good, by the tensor's name; those without one are dense.
    pub masks: BTreeMap<String, Mask>,
}

/// A dense tensor, row-major.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    /// Sizes of its axes.
    pub shape: Vec<usize>,
    /// Its elements.
    pub data: Vec<f32>,
}

/// A tensor that a network needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// `LAYER.weight`, `LAYER.bias`, `LAYER.running_mean` or `LAYER.running_var`.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
}

/// A file that is no model, or not this network's.
#[derive(Debug, Error)]
pub enum ModelError {
    /// Not safetensors, or cut short.
    #[error("it is not a readable safetensors file ({0}); write it with `safetensors.torch.save_file(model.state_dict(), FILE)`")]
    Format(#[from] safetensors::SafeTensorError),
    /// No network in the metadata.
    #[error("it holds no network: its metadata lacks `{NETWORK}`")]
    NoNetwork,
    /// The network in the metadata is broken.
    #[error("its network is broken: {0}")]
    Network(String),
    /// Tensors that do not fit.
    #[error("its tensors do not fit the network:\n  {}", .0.join("\n  "))]
    Tensors(Vec<String>),
}

impl From<ShapeError> for ModelError {
    fn from(error: ShapeError) -> ModelError {
        ModelError::Network(error.to_string())
    }
}

impl Network {
    /// Every tensor that the network needs, in the order of its layers.
    ///
    /// # Errors
    /// As [`Network::shapes`].
    pub fn parameters(&self) -> Result<Vec<Parameter>, ShapeError> {
        let shapes = self.shapes()?;
        let mut parameters = Vec::new();
        for layer in &self.layers {
            let mut add = |suffix: &str, shape: Vec<usize>| parameters.push(Parameter { name: format!("{}.{suffix}", layer.name), shape });
            let input = layer.inputs.first().map_or(0, |&input| shapes[input][0]);
            match &layer.op {
                Op::Conv2d(conv) => {
                    add("weight", vec![conv.out_channels, input / conv.groups, conv.kernel[0], conv.kernel[1]]);
                    if conv.bias {
                        add("bias", vec![conv.out_channels]);
                    }
                }
                Op::Linear { out_features, bias } => {
                    add("weight", vec![*out_features, input]);
                    if *bias {
                        add("bias", vec![*out_features]);
                    }
                }
                Op::BatchNorm2d { .. } => {
                    for suffix in ["weight", "bias", "running_mean", "running_var"] {
                        add(suffix, vec![input]);
                    }
                }
                _ => {}
            }
        }
        Ok(parameters)
    }
}

impl Model {
    /// A dense model.
    pub fn dense(network: Network, tensors: BTreeMap<String, Tensor>) -> Model {
        Model { network, tensors, masks: BTreeMap::new() }
    }

    /// What is left of its cost when masked weights are not counted. Equal to the network's where nothing is masked.
    ///
    /// # Errors
    /// As [`Network::shapes`].
    pub fn nonzero_cost(&self) -> Result<Cost, ShapeError> {
        let mut total = Cost::default();
        for (layer, cost) in self.network.layers.iter().zip(self.network.layer_costs()?) {
            let mask = self.masks.get(&format!("{}.weight", layer.name));
            let gone = mask.map_or(0, |mask| (mask.len() - mask.ones()) as u64);
            // Every weight is used once a position.
            let positions = mask.map_or(0, |mask| cost.macs / mask.len().max(1) as u64);
            total = total + Cost { macs: cost.macs - gone * positions, params: cost.params - gone };
        }
        Ok(total)
    }

    /// The file's bytes. Equal models give equal bytes.
    ///
    /// # Errors
    /// When a tensor's data do not fill its shape.
    pub fn encode(&self) -> Result<Vec<u8>, ModelError> {
        let network = serde_json::to_string(&self.network).map_err(|error| ModelError::Network(error.to_string()))?;
        let bytes: Vec<(&String, &Tensor, Vec<u8>)> =
            self.tensors.iter().map(|(name, tensor)| (name, tensor, tensor.data.iter().flat_map(|x| x.to_le_bytes()).collect())).collect();
        let weights = bytes.iter().map(|(name, tensor, data)| ((*name).clone(), TensorView::new(Dtype::F32, tensor.shape.clone(), data)));
        let masks = self.masks.iter().map(|(name, mask)| {
            let bits = mask.bytes();
            (format!("{name}.mask"), TensorView::new(Dtype::U8, vec![bits.len()], bits))
        });
        let views = weights.chain(masks).map(|(name, view)| Ok((name, view?))).collect::<Result<Vec<_>, ModelError>>()?;
        Ok(safetensors::serialize(views, Some(HashMap::from([(NETWORK.to_owned(), network)])))?)
    }

    /// Reads a file and checks that its tensors are its network's.
    ///
    /// # Errors
    /// When it is no model, listing every tensor that does not fit.
    pub fn decode(bytes: &[u8]) -> Result<Model, ModelError> {
        let (_, metadata) = SafeTensors::read_metadata(bytes)?;
        let network = metadata.metadata().as_ref().and_then(|map| map.get(NETWORK)).ok_or(ModelError::NoNetwork)?;
        let network: Network = serde_json::from_str(network).map_err(|error| ModelError::Network(error.to_string()))?;
        Model::with_weights(network, bytes)
    }

    fn with_weights(network: Network, bytes: &[u8]) -> Result<Model, ModelError> {
        let file = SafeTensors::deserialize(bytes)?;
        let mut faults = Vec::new();
        let mut tensors = BTreeMap::new();
        let parameters = network.parameters()?;
        for parameter in &parameters {
            let Ok(view) = file.tensor(&parameter.name) else {
                faults.push(format!("missing {} {:?}", parameter.name, parameter.shape));
                continue;
            };
            if view.shape() != parameter.shape {
                faults.push(format!("{} is {:?}, the network needs {:?}", parameter.name, view.shape(), parameter.shape));
            } else if view.dtype() != Dtype::F32 {
                faults.push(format!("{} is {:?}, expected F32", parameter.name, view.dtype()));
            } else {
                let data = view.data().as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
                tensors.insert(parameter.name.clone(), Tensor { shape: parameter.shape.clone(), data });
            }
        }
        let mut masks = BTreeMap::new();
        for name in file.names() {
            if parameters.iter().any(|parameter| parameter.name == name) {
                continue;
            }
            let masked = name.strip_suffix(".mask").and_then(|name| Some((name, tensors.get(name)?)));
            let mask = masked.and_then(|(name, tensor)| {
                Some((name, Mask::from_bytes(tensor.data.len(), file.tensor(&format!("{name}.mask")).ok()?.data())?))
            });
            match mask {
                Some((name, mask)) => drop(masks.insert(name.to_owned(), mask)),
                None => faults.push(format!("surplus {name}")),
            }
        }
        match faults.is_empty() {
            true => Ok(Model { network, tensors, masks }),
            false => Err(ModelError::Tensors(faults)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::zoo;

    fn model() -> Model {
        let network = zoo::vgg(&[zoo::VggItem::Conv(3)], [1, 4, 4], 2).unwrap();
        let parameters = network.parameters().unwrap();
        let tensor =
            |p: &Parameter| Tensor { shape: p.shape.clone(), data: (0..p.shape.iter().product()).map(|i| i as f32 / 7.0).collect() };
        let tensors = parameters.iter().map(|p| (p.name.clone(), tensor(p))).collect();
        Model::dense(network, tensors)
    }

    #[test]
    fn a_model_survives_its_file_and_equal_models_are_equal_bytes() {
        let bytes = model().encode().unwrap();
        assert_eq!(Model::decode(&bytes).unwrap(), model());
        assert_eq!(bytes, model().encode().unwrap());
    }

    #[test]
    fn masks_are_in_the_file_and_in_the_count() {
        let mut masked = model();
        masked.masks.insert("features.0.weight".into(), Mask::from_fn(27, |index| index % 3 == 0));
        let dense = masked.network.cost().unwrap();
        let cost = masked.nonzero_cost().unwrap();
        assert_eq!((dense.params - cost.params, dense.macs - cost.macs), (18, 18 * 16), "4x4 positions");
        assert_eq!(Model::decode(&masked.encode().unwrap()).unwrap(), masked);
    }

    #[test]
    fn every_tensor_that_does_not_fit_is_listed_at_once() {
        let mut other = model();
        let weight = other.tensors.remove("classifier.weight").unwrap();
        other.tensors.insert("head.weight".into(), weight);
        other.tensors.insert("features.1.bias".into(), Tensor { shape: vec![2], data: vec![0.0; 2] });
        let error = Model::with_weights(model().network, &other.encode().unwrap()).unwrap_err().to_string();
        for fault in ["missing classifier.weight [2, 3]", "surplus head.weight", "features.1.bias is [2], the network needs [3]"] {
            assert!(error.contains(fault), "{error}");
        }
    }

    #[test]
    fn a_cut_file_is_an_error() {
        let bytes = model().encode().unwrap();
        for length in 0..bytes.len() {
            assert!(Model::decode(&bytes[..length]).is_err());
        }
    }
}
