//! Which tensor of a file is which parameter of a network, by rules that can be shown.

use super::names::{Named, is_classifier, is_surplus_by_design, respell, shared_prefix};
use super::{Checkpoint, CheckpointError, Format, Names, check, order};
use crate::model::{Model, Parameter, Tensor};
use crate::network::{Network, Op};
use std::collections::{BTreeMap, HashMap, HashSet};

/// Why a tensor was taken for a parameter. Earlier rules go first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// `names:` in the YAML says so.
    Names,
    /// They have one name.
    Equal,
    /// They have one name after what all of the file's names start with, such as `module.`.
    Prefix,
    /// They have one name in an older spelling, such as `gamma` for the weight of a batch norm.
    Spelling,
    /// Each is the only classifier that is left, under another name.
    Classifier,
    /// A linear layer stored as a 1x1 convolution, or the other way round; found by one of the rules above.
    Reshape,
    /// All that is left pairs up in order, with equal shapes.
    Order,
}

/// A network with a file's weights, and how they were found.
#[derive(Debug, Clone, PartialEq)]
pub struct Fitted {
    /// The network and its weights.
    pub model: Model,
    /// Where each parameter comes from, in the order of the network.
    pub matches: Vec<Match>,
    /// Tensors that no network needs: counters of batches, classifiers that help training only.
    pub ignored: Vec<String>,
}

/// Where a parameter comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Match {
    /// Its name in the network.
    pub parameter: String,
    /// The tensor's name in the file.
    pub tensor: String,
    /// Why they belong together.
    pub rule: Rule,
}

/// One thing that does not fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The network needs it, the file has nothing for it.
    Missing {
        /// What is needed.
        parameter: Parameter,
        /// The tensor that is left over and has the most similar name.
        nearest: Option<String>,
    },
    /// The file has it, the network has no place for it.
    Surplus {
        /// Its name in the file.
        tensor: String,
        /// Its shape.
        shape: Vec<usize>,
    },
    /// They belong together by name, but not by shape.
    Misshapen {
        /// What is needed.
        parameter: Parameter,
        /// Its name in the file.
        tensor: String,
        /// Its shape in the file.
        shape: Vec<usize>,
    },
    /// An entry of `names:` that means nothing.
    Names {
        /// Its key.
        key: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// Gives every parameter of a network its tensor.
///
/// # Errors
/// All tensors that are missing, surplus or misshapen; else all that are empty or not finite.
pub fn fit(network: &Network, checkpoint: &Checkpoint, names: &Names) -> Result<Fitted, CheckpointError> {
    let parameters = network.parameters()?;
    let mut fitting = Fitting::new(&parameters, checkpoint);
    fitting.by_names(names);
    for rule in [Rule::Equal, Rule::Prefix, Rule::Spelling] {
        fitting.by_rule(rule);
    }
    fitting.classifier(network);
    fitting.order();
    fitting.finish(network)
}

struct Fitting<'a> {
    checkpoint: &'a Checkpoint,
    parameters: &'a [Parameter],
    /// What was decided for each parameter that has no fault.
    found: Vec<Option<(&'a str, Rule)>>,
    /// Parameters with a fault.
    faulty: HashSet<&'a str>,
    faults: Vec<Fault>,
    /// Tensors that have their parameter, or a fault.
    used: HashSet<&'a str>,
    ignored: HashSet<&'a str>,
    /// The file's names by what the prefix and the spelling rule make of them.
    stripped: HashMap<&'a str, &'a str>,
    respelled: HashMap<String, &'a str>,
}

impl<'a> Fitting<'a> {
    fn new(parameters: &'a [Parameter], checkpoint: &'a Checkpoint) -> Fitting<'a> {
        let ours: Vec<&str> = parameters.iter().map(|parameter| parameter.name.as_str()).collect();
        let tensors = || checkpoint.order.iter().map(String::as_str);
        let counted: Vec<&str> = tensors().filter(|name| !is_surplus_by_design(name, &ours)).collect();
        let prefix = shared_prefix(&counted, &ours);
        let strip = |name: &'a str| name.strip_prefix(prefix.as_str()).unwrap_or(name);
        // A name that had the prefix goes before one that looks so without.
        let stripped: HashMap<&str, &str> = tensors()
            .filter(|name| !name.starts_with(&prefix))
            .chain(tensors().filter(|name| name.starts_with(&prefix)))
            .map(|name| (strip(name), name))
            .collect();
        Fitting {
            checkpoint,
            parameters,
            found: vec![None; parameters.len()],
            faulty: HashSet::new(),
            faults: Vec::new(),
            used: HashSet::new(),
            ignored: tensors().filter(|name| is_surplus_by_design(strip(name), &ours)).collect(),
            respelled: stripped.iter().map(|(stripped, name)| (respell(stripped), *name)).collect(),
            stripped,
        }
    }

    /// The tensor of a name, by one rule.
    fn lookup(&self, name: &str, rule: Rule) -> Option<&'a str> {
        match rule {
            Rule::Equal => self.checkpoint.tensors.get_key_value(name).map(|(name, _)| name.as_str()),
            Rule::Prefix => self.stripped.get(name).copied(),
            Rule::Spelling => self.respelled.get(name).copied(),
            Rule::Names | Rule::Classifier | Rule::Reshape | Rule::Order => None,
        }
    }

    /// Parameters that nothing is decided for.
    fn open(&self) -> Vec<(usize, &'a Parameter)> {
        let open = |&(index, parameter): &(usize, &'a Parameter)| {
            self.found.get(index).is_some_and(Option::is_none) && !self.faulty.contains(parameter.name.as_str())
        };
        self.parameters.iter().enumerate().filter(open).collect()
    }

    /// Tensors that nothing is decided for, in order.
    fn left(&self) -> impl Iterator<Item = (&'a str, &'a Tensor)> + '_ {
        let names =
            self.checkpoint.order.iter().map(String::as_str).filter(|name| !self.used.contains(name) && !self.ignored.contains(name));
        names.filter_map(|name| Some((name, self.checkpoint.tensors.get(name)?)))
    }

    fn assign(&mut self, (index, parameter): (usize, &'a Parameter), name: &'a str, rule: Rule) {
        let Some(tensor) = self.checkpoint.tensors.get(name) else { return };
        self.used.insert(name);
        let rule = if tensor.shape == parameter.shape { rule } else { Rule::Reshape };
        if !fits(&parameter.shape, &tensor.shape) {
            self.fault(parameter, Fault::Misshapen { parameter: parameter.clone(), tensor: name.to_owned(), shape: tensor.shape.clone() });
        } else if let Some(found) = self.found.get_mut(index) {
            *found = Some((name, rule));
        }
    }

    fn fault(&mut self, parameter: &'a Parameter, fault: Fault) {
        self.faulty.insert(&parameter.name);
        self.faults.push(fault);
    }

    /// What the user says. Prefixes may be left out, and a name may be given to several parameters.
    fn by_names(&mut self, names: &Names) {
        let mut meant: HashSet<&str> = HashSet::new();
        for (index, parameter) in self.open() {
            let Some(Named { key, target, exact }) = names.get(&parameter.name) else { continue };
            meant.insert(key);
            let found = [Rule::Equal, Rule::Prefix, Rule::Spelling].into_iter().find_map(|rule| self.lookup(&target, rule));
            match found {
                Some(name) => {
                    self.ignored.remove(name);
                    self.assign((index, parameter), name, Rule::Names);
                }
                None if exact => {
                    let reason = format!("the file has no {target}, which {} needs", parameter.name);
                    self.fault(parameter, Fault::Names { key: key.to_owned(), reason });
                }
                None => {}
            }
        }
        for key in names.0.keys().filter(|key| !meant.contains(key.as_str())) {
            self.faults.push(Fault::Names { key: key.clone(), reason: "the network has no such parameter or layer".to_owned() });
        }
    }

    fn by_rule(&mut self, rule: Rule) {
        for open in self.open() {
            if let Some(name) = self.lookup(&open.1.name, rule).filter(|name| !self.used.contains(name)) {
                self.assign(open, name, rule);
            }
        }
    }

    /// The classifier under another name: one linear layer is left on either side, and their shapes agree.
    fn classifier(&mut self, network: &Network) {
        let open = self.open();
        let is_linear = |layer: &str| {
            network.find(layer).and_then(|id| network.layers.get(id)).is_some_and(|layer| matches!(layer.op, Op::Linear { .. }))
        };
        let weights = |&(_, parameter): &(usize, &'a Parameter)| parameter.name.strip_suffix(".weight").filter(|layer| is_linear(layer));
        let ours: Vec<&str> = open.iter().filter_map(weights).collect();
        let &[ours] = ours.as_slice() else { return };
        let of_layer: Vec<_> =
            open.iter().filter(|(_, parameter)| parameter.name.rsplit_once('.').is_some_and(|(layer, _)| layer == ours)).collect();
        let needed = of_layer.iter().find(|(_, parameter)| parameter.name.ends_with(".weight"));
        let linear = |shape: &[usize]| shape.len() == 2 || needed.is_some_and(|(_, needed)| fits(&needed.shape, shape));
        let theirs: Vec<&str> =
            self.left().filter(|(_, tensor)| linear(&tensor.shape)).filter_map(|(name, _)| name.strip_suffix(".weight")).collect();
        let &[theirs] = theirs.as_slice() else { return };
        if !is_classifier(ours) || !is_classifier(theirs) {
            return;
        }
        let tensor = |suffix: &str| self.left().find(|(name, _)| name.strip_prefix(theirs) == Some(suffix));
        let pairs: Option<Vec<_>> = of_layer
            .iter()
            .map(|&&(index, parameter)| {
                let (name, tensor) = tensor(parameter.name.strip_prefix(ours)?)?;
                fits(&parameter.shape, &tensor.shape).then_some(((index, parameter), name))
            })
            .collect();
        for (open, name) in pairs.unwrap_or_default() {
            self.assign(open, name, Rule::Classifier);
        }
    }

    fn order(&mut self) {
        if !self.faults.is_empty() {
            return;
        }
        let open = self.open();
        let ours: Vec<_> = open.iter().map(|(_, parameter)| (parameter.name.as_str(), parameter.shape.as_slice())).collect();
        let theirs: Vec<_> = self.left().map(|(name, tensor)| (name, tensor.shape.as_slice())).collect();
        let pairs = order::pair(&ours, &theirs, self.checkpoint.format != Format::Safetensors).unwrap_or_default();
        let pairs: HashMap<&str, &str> = pairs.into_iter().collect();
        for open in open {
            if let Some(name) = pairs.get(open.1.name.as_str()) {
                self.assign(open, name, Rule::Order);
            }
        }
    }

    fn finish(mut self, network: &Network) -> Result<Fitted, CheckpointError> {
        let left: Vec<_> = self.left().collect();
        let mut faults: Vec<Fault> = self
            .open()
            .into_iter()
            .map(|(_, parameter)| Fault::Missing { parameter: parameter.clone(), nearest: nearest(parameter, &left).map(str::to_owned) })
            .collect();
        faults.append(&mut self.faults);
        faults.extend(left.iter().map(|(name, tensor)| Fault::Surplus { tensor: (*name).to_owned(), shape: tensor.shape.clone() }));
        if !faults.is_empty() {
            return Err(CheckpointError::Mismatch(faults));
        }
        let found: Vec<_> = self.parameters.iter().zip(&self.found).filter_map(|(parameter, found)| Some((parameter, (*found)?))).collect();
        let tensors = &self.checkpoint.tensors;
        check(found.iter().filter_map(|(_, (name, _))| Some((*name, tensors.get(*name)?))))?;
        let data = |name: &str| tensors.get(name).map(|tensor| tensor.data.clone()).unwrap_or_default();
        let weights: BTreeMap<String, Tensor> = found
            .iter()
            .map(|(parameter, (name, _))| (parameter.name.clone(), Tensor { shape: parameter.shape.clone(), data: data(name) }))
            .collect();
        let matches = found
            .iter()
            .map(|(parameter, (name, rule))| Match { parameter: parameter.name.clone(), tensor: (*name).to_owned(), rule: *rule })
            .collect();
        let ignored = self.checkpoint.order.iter().filter(|name| self.ignored.contains(name.as_str())).cloned().collect();
        Ok(Fitted { model: Model::dense(network.clone(), weights), matches, ignored })
    }
}

/// Equal shapes, or a matrix and its 1x1 convolution.
fn fits(parameter: &[usize], tensor: &[usize]) -> bool {
    parameter == tensor || matches!((parameter, tensor), ([o, i], [p, j, 1, 1]) | ([o, i, 1, 1], [p, j]) if o == p && i == j)
}

/// The left tensor whose name is most like the parameter's; among equally alike ones, one of its shape.
fn nearest<'a>(parameter: &Parameter, left: &[(&'a str, &Tensor)]) -> Option<&'a str> {
    let alike = |&(name, tensor): &(&'a str, &Tensor)| {
        let likeness = strsim::normalized_levenshtein(&parameter.name, name);
        let shape = if tensor.shape == parameter.shape { 0.3 } else { 0.0 };
        (likeness + shape >= 0.5).then_some((name, likeness + shape))
    };
    left.iter().filter_map(alike).max_by(|a, b| a.1.total_cmp(&b.1)).map(|(name, _)| name)
}
