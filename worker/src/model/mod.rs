//! A network as a Burn module: an interpreter over the graph, with the weights in banks of one rank each.

mod forward;
mod init;

pub use forward::{Mode, Value};
pub use init::random_weights;

use burn::module::{Module, Param, ParamId};
use burn::tensor::{Device, Tensor, TensorData};
use pleach_shared::model::{Model, ModelError, Tensor as Weights};
use pleach_shared::network::{LayerId, Network, Op};
use pleach_shared::plan::Mask;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Momentum of the running statistics; PyTorch's default.
const RUNNING_MOMENTUM: f32 = 0.1;

/// A network with its weights on a device.
///
/// Burn's tensors carry their rank in their type and a network only knows its layers at run time, so weights live in one
/// bank per rank and a layer holds indices into them. Optimizers see every weight through `Module`.
#[derive(Module, Debug)]
pub struct NetworkModule {
    kernels: Vec<Param<Tensor<4>>>,
    /// `[in_features, out_features]`: Burn multiplies from the right.
    matrices: Vec<Param<Tensor<2>>>,
    vectors: Vec<Param<Tensor<1>>>,
    /// Of the kernels and matrices that have one, in their own layout: ones where a weight stays.
    #[module(skip)]
    masks: Masks,
    #[module(skip)]
    running: Vec<Running>,
    #[module(skip)]
    graph: Arc<Graph>,
}

/// Running statistics of a batch norm; `[channels]` each.
#[derive(Debug, Clone)]
struct Running {
    mean: Tensor<1>,
    variance: Tensor<1>,
}

#[derive(Debug, Clone, Default)]
struct Masks {
    kernels: Vec<(usize, Tensor<4>)>,
    matrices: Vec<(usize, Tensor<2>)>,
    bits: BTreeMap<String, Mask>,
}

#[derive(Debug)]
struct Graph {
    network: Network,
    slots: Vec<Slot>,
    /// How many layers read each layer's output (and one more for the network's own).
    readers: Vec<usize>,
}

/// Where a layer's weights are.
#[derive(Debug, Clone, Copy)]
enum Slot {
    None,
    Conv { kernel: usize, bias: Option<usize> },
    Linear { matrix: usize, bias: Option<usize> },
    Norm { scale: usize, shift: usize, running: usize },
}

impl NetworkModule {
    /// Puts a model on a device. On an autodiff device its weights take gradients.
    ///
    /// # Errors
    /// When the model lacks a tensor of its network.
    pub fn load(model: &Model, device: &Device) -> Result<NetworkModule, ModelError> {
        let mut module = NetworkModule {
            kernels: Vec::new(),
            matrices: Vec::new(),
            vectors: Vec::new(),
            masks: Masks { bits: model.masks.clone(), ..Masks::default() },
            running: Vec::new(),
            graph: Arc::new(Graph { network: model.network.clone(), slots: Vec::new(), readers: Vec::new() }),
        };
        let shapes = model.network.shapes()?;
        let mut slots = Vec::new();
        for layer in &model.network.layers {
            let get = |suffix: &str| {
                let name = format!("{}.{suffix}", layer.name);
                model.tensors.get(&name).ok_or_else(|| ModelError::Tensors(vec![format!("missing {name}")]))
            };
            let mut vector = |suffix: &str| -> Result<usize, ModelError> {
                module.vectors.push(trained(tensor(get(suffix)?, device)));
                Ok(module.vectors.len() - 1)
            };
            slots.push(match &layer.op {
                Op::Conv2d(conv) => {
                    let bias = conv.bias.then(|| vector("bias")).transpose()?;
                    module.kernels.push(trained(tensor(get("weight")?, device)));
                    Slot::Conv { kernel: module.kernels.len() - 1, bias }
                }
                Op::Linear { bias, .. } => {
                    let bias = bias.then(|| vector("bias")).transpose()?;
                    let weight: Tensor<2> = tensor(get("weight")?, device);
                    module.matrices.push(trained(own(weight.transpose())));
                    Slot::Linear { matrix: module.matrices.len() - 1, bias }
                }
                Op::BatchNorm2d { .. } => {
                    let (scale, shift) = (vector("weight")?, vector("bias")?);
                    let (mean, variance) = (tensor(get("running_mean")?, device), tensor(get("running_var")?, device));
                    module.running.push(Running { mean, variance });
                    Slot::Norm { scale, shift, running: module.running.len() - 1 }
                }
                Op::Shortcut { sources, .. } => {
                    // A 1x1 convolution with fixed ones picks channels on every backend, forward and backward.
                    let channels = layer.inputs.first().map_or(0, |&input| shapes[input][0]);
                    let mut ones = Weights { shape: vec![sources.len(), channels, 1, 1], data: vec![0.0; sources.len() * channels] };
                    for (out, source) in sources.iter().enumerate() {
                        if let Some(source) = source {
                            ones.data[out * channels + source] = 1.0;
                        }
                    }
                    module.kernels.push(Param::initialized(ParamId::new(), tensor(&ones, device)).set_require_grad(false));
                    Slot::Conv { kernel: module.kernels.len() - 1, bias: None }
                }
                _ => Slot::None,
            });
        }
        for (layer, slot) in model.network.layers.iter().zip(&slots) {
            let name = format!("{}.weight", layer.name);
            let (Some(mask), Some(weight)) = (model.masks.get(&name), model.tensors.get(&name)) else { continue };
            let ones = (0..mask.len()).map(|index| f32::from(u8::from(mask.stays(index)))).collect();
            let ones = Weights { shape: weight.shape.clone(), data: ones };
            match *slot {
                Slot::Conv { kernel, .. } => module.masks.kernels.push((kernel, tensor(&ones, &device.clone().inner()))),
                Slot::Linear { matrix, .. } => {
                    module.masks.matrices.push((matrix, own(tensor::<2>(&ones, &device.clone().inner()).transpose())));
                }
                Slot::Norm { .. } | Slot::None => {}
            }
        }
        let mut readers: Vec<usize> = model.network.consumers().iter().map(Vec::len).collect();
        for &output in &model.network.outputs {
            readers[output] += 1;
        }
        module.graph = Arc::new(Graph { network: model.network.clone(), slots, readers });
        Ok(module)
    }

    /// Reads the weights back.
    ///
    /// # Errors
    /// When the device cannot be read.
    pub fn save(&self) -> Result<Model, String> {
        let mut tensors = BTreeMap::new();
        let network = &self.graph.network;
        for (layer, slot) in network.layers.iter().zip(&self.graph.slots) {
            let mut put = |suffix: &str, weights: Weights| tensors.insert(format!("{}.{suffix}", layer.name), weights);
            match *slot {
                Slot::None => {}
                Slot::Conv { .. } if matches!(layer.op, Op::Shortcut { .. }) => {}
                Slot::Conv { kernel, bias } => {
                    put("weight", weights(self.kernels[kernel].val())?);
                    if let Some(bias) = bias {
                        put("bias", weights(self.vectors[bias].val())?);
                    }
                }
                Slot::Linear { matrix, bias } => {
                    put("weight", weights(self.matrices[matrix].val().transpose())?);
                    if let Some(bias) = bias {
                        put("bias", weights(self.vectors[bias].val())?);
                    }
                }
                Slot::Norm { scale, shift, running } => {
                    put("weight", weights(self.vectors[scale].val())?);
                    put("bias", weights(self.vectors[shift].val())?);
                    put("running_mean", weights(self.running[running].mean.clone())?);
                    put("running_var", weights(self.running[running].variance.clone())?);
                }
            }
        }
        Ok(Model { network: network.clone(), tensors, masks: self.masks.bits.clone() })
    }

    /// Sets masked weights back to zero: an optimizer's step moves them.
    #[must_use]
    pub fn masked(mut self) -> NetworkModule {
        for (kernel, mask) in &self.masks.kernels {
            let weight = &mut self.kernels[*kernel];
            *weight = Param::initialized(weight.id, Tensor::from_inner(weight.val().inner() * mask.clone()).require_grad());
        }
        for (matrix, mask) in &self.masks.matrices {
            let weight = &mut self.matrices[*matrix];
            *weight = Param::initialized(weight.id, Tensor::from_inner(weight.val().inner() * mask.clone()).require_grad());
        }
        self
    }

    /// A convolution's weight, `[out, in, height, width]`.
    pub(crate) fn kernel(&self, layer: LayerId) -> Option<Tensor<4>> {
        match (&self.graph.network.layers[layer].op, self.graph.slots[layer]) {
            (Op::Conv2d(_), Slot::Conv { kernel, .. }) => Some(self.kernels[kernel].val()),
            _ => None,
        }
    }

    /// A linear layer's weight as Burn has it, `[in, out]`.
    pub(crate) fn matrix(&self, layer: LayerId) -> Option<Tensor<2>> {
        match self.graph.slots[layer] {
            Slot::Linear { matrix, .. } => Some(self.matrices[matrix].val()),
            _ => None,
        }
    }

    /// The architecture.
    pub fn network(&self) -> &Network {
        &self.graph.network
    }

    fn op(&self, id: LayerId) -> &Op {
        &self.graph.network.layers[id].op
    }
}

fn tensor<const D: usize>(weights: &Weights, device: &Device) -> Tensor<D> {
    Tensor::from_data(TensorData::new(weights.data.clone(), weights.shape.clone()), device)
}

/// A weight; it takes gradients where the device can.
fn trained<const D: usize>(tensor: Tensor<D>) -> Param<Tensor<D>> {
    let takes = tensor.device().is_autodiff();
    Param::initialized(ParamId::new(), if takes { tensor.require_grad() } else { tensor })
}

/// A transposed tensor is a view; as a weight it is read every step, so it is worth laying out anew.
fn own(tensor: Tensor<2>) -> Tensor<2> {
    let device = tensor.device();
    Tensor::from_data(tensor.into_data(), &device)
}

fn weights<const D: usize>(tensor: Tensor<D>) -> Result<Weights, String> {
    let data = tensor.into_data();
    let shape = data.shape().to_vec();
    Ok(Weights { shape, data: data.try_to_vec::<f32>().map_err(|error| format!("{error:?}"))? })
}
