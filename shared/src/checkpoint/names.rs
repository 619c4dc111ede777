//! The names that people give and the spellings that tools have, as one function from our name to the file's.

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};

/// Which tensor of the file is which parameter: `names:` of the YAML. Keys are the network's, values the file's: full names
/// (`conv1.weight: stem.conv.weight`), layers (`conv1: stem.conv`), or beginnings that end in a dot (`layer1.: stages.0.`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Names(pub BTreeMap<String, String>);

/// What [`Names`] says of a parameter.
pub(super) struct Named<'n> {
    /// The entry that said it.
    pub key: &'n str,
    /// The file's name.
    pub target: String,
    /// Whether the entry is about this layer alone, so that the tensor must be there.
    pub exact: bool,
}

impl Names {
    /// The most exact entry for a parameter: its full name, its layer, then the longest beginning.
    pub(super) fn get(&self, parameter: &str) -> Option<Named<'_>> {
        if let Some((key, target)) = self.0.get_key_value(parameter) {
            return Some(Named { key, target: target.clone(), exact: true });
        }
        let (layer, suffix) = parameter.rsplit_once('.')?;
        if let Some((key, target)) = self.0.get_key_value(layer) {
            return Some(Named { key, target: format!("{target}.{suffix}"), exact: true });
        }
        let beginnings = self.0.iter().filter(|(key, _)| key.is_empty() || key.ends_with('.'));
        let matching = beginnings.filter_map(|(key, target)| Some((key, target, parameter.strip_prefix(key.as_str())?)));
        let (key, target, rest) = matching.max_by_key(|(key, ..)| key.len())?;
        Some(Named { key, target: format!("{target}{rest}"), exact: false })
    }
}

/// Wrappers that training code puts around networks. Half the tensors under one of them are enough to take it away.
const WRAPPERS: [&str; 12] = [
    "module",
    "model",
    "backbone",
    "net",
    "network",
    "_orig_mod",
    "encoder",
    "base_model",
    "base_encoder",
    "encoder_q",
    "student",
    "teacher",
];

/// The beginning that the file's names share and the network's do not have, such as `module.model.`; may be empty.
pub(super) fn shared_prefix(tensors: &[&str], parameters: &[&str]) -> String {
    let mut prefix = String::new();
    loop {
        let mut counts: HashMap<&str, usize> = HashMap::new();
        for rest in tensors.iter().filter_map(|name| name.strip_prefix(prefix.as_str())) {
            if let Some((first, _)) = rest.split_once('.') {
                *counts.entry(first).or_default() += 1;
            }
        }
        // Ties by name, so that equal files give equal matches.
        let Some((first, count)) = counts.into_iter().max_by_key(|&(first, count)| (count, std::cmp::Reverse(first))) else {
            return prefix;
        };
        let needed = if WRAPPERS.contains(&first) { tensors.len().div_ceil(2) } else { (tensors.len() * 9).div_ceil(10) };
        let ours = parameters.iter().any(|name| name.split_once('.').is_some_and(|(layer, _)| layer == first));
        if count < needed || ours {
            return prefix;
        }
        prefix = format!("{prefix}{first}.");
    }
}

/// The present spelling of a name: batch norms of TensorFlow and MXNet, and DenseNets of torchvision before 0.2.
pub(super) fn respell(name: &str) -> String {
    let (layer, suffix) = name.rsplit_once('.').unwrap_or(("", name));
    let suffix = match suffix {
        "gamma" => "weight",
        "beta" => "bias",
        "moving_mean" => "running_mean",
        "moving_var" | "moving_variance" => "running_var",
        suffix => suffix,
    };
    let mut spelled = String::with_capacity(name.len());
    let mut dense = false;
    let mut parts = layer.split('.').peekable();
    while let Some(part) = parts.next() {
        spelled.push_str(part);
        let split = dense && matches!(part, "norm" | "conv") && matches!(parts.peek(), Some(&("1" | "2")));
        dense = part.starts_with("denselayer");
        if !split {
            spelled.push('.');
        }
    }
    if layer.is_empty() { suffix.to_owned() } else { spelled + suffix }
}

/// Whether a layer is called as classifiers are.
pub(super) fn is_classifier(layer: &str) -> bool {
    let usual = ["fc", "linear", "classifier", "head", "logits", "last_linear", "output", "dense"];
    layer.split('.').any(|part| usual.contains(&part))
}

/// Whether a tensor is bookkeeping, or part of a training-time classifier that the network does not have.
pub(super) fn is_surplus_by_design(name: &str, parameters: &[&str]) -> bool {
    let (_, suffix) = name.rsplit_once('.').unwrap_or(("", name));
    // The latter two are what the `thop` counter of operations leaves behind.
    if matches!(suffix, "num_batches_tracked" | "total_ops" | "total_params") {
        return true;
    }
    let first = name.split('.').next().unwrap_or_default();
    let auxiliary = matches!(first, "aux1" | "aux2" | "aux_classifier" | "AuxLogits");
    auxiliary && !parameters.iter().any(|parameter| parameter.split('.').next() == Some(first))
}
