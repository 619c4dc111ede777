//! What a layer is called: what PyTorch calls its module.

use std::collections::{BTreeSet, HashMap};

/// The paths of a graph's modules, as far as its nodes tell.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// Modules that have modules inside.
    containers: BTreeSet<String>,
}

impl Names {
    /// Learns the modules from the names of all nodes.
    pub fn new<'a>(nodes: impl Iterator<Item = &'a str>) -> Names {
        let mut containers = BTreeSet::new();
        for node in nodes {
            let scope = scope(node).0;
            containers.extend(scope.match_indices('.').map(|(at, _)| scope[..at].to_owned()));
        }
        Names { containers }
    }

    /// The name of the layer of a node, from the node's name. PyTorch's TorchScript exporter writes the path of the module
    /// and then the operator: `/layer1/layer1.0/conv1/Conv` is `layer1.0.conv1`. An operator that a module computes between
    /// its children gets its own name too: `/layer1/layer1.0/Add` is `layer1.0.add`.
    pub fn layer(&self, node: &str) -> String {
        let (scope, operator) = scope(node);
        match (scope.is_empty(), self.containers.contains(&scope)) {
            (true, _) => operator,
            (false, true) => format!("{scope}.{operator}"),
            (false, false) => scope,
        }
    }
}

/// A node's module and operator; no module for other exporters' nodes, whose names stay as they are.
fn scope(node: &str) -> (String, String) {
    let Some(path) = node.strip_prefix('/') else {
        return (String::new(), node.to_owned());
    };
    let (modules, operator) = path.rsplit_once('/').unwrap_or(("", path));
    let (mut scope, mut last) = (String::new(), "");
    for module in modules.split('/').filter(|module| !module.is_empty()) {
        // Components of a list repeat the list's name: `downsample/downsample.0`.
        if !last.is_empty() && module.strip_prefix(last).is_some_and(|rest| rest.starts_with('.')) {
            scope.truncate(scope.len() - last.len());
        } else if !scope.is_empty() {
            scope.push('.');
        }
        scope.push_str(module);
        last = module;
    }
    (scope, operator.to_lowercase())
}

/// The module of a weight: `bn1.weight` is of `bn1`. Weights that the exporter made up (`onnx::Conv_193`) are of none.
pub(super) fn module(weight: &str) -> Option<&str> {
    weight.strip_suffix(".weight").filter(|module| !module.is_empty())
}

/// Makes names unique: a second `relu` is `relu_1`.
#[derive(Debug, Default)]
pub(super) struct Unique {
    taken: HashMap<String, usize>,
}

impl Unique {
    pub fn name(&mut self, wanted: &str) -> String {
        let wanted = if wanted.is_empty() { "layer" } else { wanted };
        let mut name = wanted.to_owned();
        while self.taken.contains_key(&name) {
            let count = self.taken.entry(wanted.to_owned()).or_insert(0);
            *count += 1;
            name = format!("{wanted}_{count}");
        }
        self.taken.insert(name.clone(), 0);
        name
    }
}
