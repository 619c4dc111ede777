//! Folding batch norms into the convolutions before them, as inference runtimes do.

use pleach_shared::model::{Model, Tensor};
use pleach_shared::network::Op;
use std::collections::BTreeMap;

/// The same function with fewer layers: `w' = w * s`, `b' = (b - mean) * s + shift` with `s = scale / sqrt(variance + eps)`.
pub fn fold(model: &Model) -> Model {
    let folded = model.network.fold_batch_norm();
    let mut tensors = BTreeMap::new();
    let layers = &model.network.layers;
    for (layer, &(origin, norm)) in folded.network.layers.iter().zip(&folded.origin) {
        for suffix in ["weight", "bias", "running_mean", "running_var"] {
            let name = format!("{}.{suffix}", layers[origin].name);
            if let Some(tensor) = model.tensors.get(&name) {
                tensors.insert(name, tensor.clone());
            }
        }
        let Some(norm) = norm else { continue };
        let Op::BatchNorm2d { eps } = layers[norm].op else { continue };
        let get = |suffix: &str| model.tensors.get(&format!("{}.{suffix}", layers[norm].name)).map(|tensor| tensor.data.as_slice());
        let (Some(scale), Some(shift), Some(mean), Some(variance)) = (get("weight"), get("bias"), get("running_mean"), get("running_var"))
        else {
            continue;
        };
        let bias_name = format!("{}.bias", layer.name);
        let mut bias = tensors.remove(&bias_name).map_or_else(|| vec![0.0; scale.len()], |tensor| tensor.data);
        if let Some(weight) = tensors.get_mut(&format!("{}.weight", layer.name)) {
            let filter = weight.data.len() / scale.len().max(1);
            for (channel, weights) in weight.data.chunks_exact_mut(filter.max(1)).enumerate() {
                let factor = scale[channel] / (variance[channel] + eps as f32).sqrt();
                weights.iter_mut().for_each(|w| *w *= factor);
                bias[channel] = (bias[channel] - mean[channel]) * factor + shift[channel];
            }
        }
        tensors.insert(bias_name, Tensor { shape: vec![bias.len()], data: bias });
    }
    Model { network: folded.network, tensors, masks: model.masks.clone() }
}
