//! Finds the state dict among everything else that a training script saved.

use super::CheckpointError;
use super::value::{Object, Pickled, TensorRef, Value};
use std::collections::HashSet;

/// Keys under which training scripts keep the weights; earlier ones are preferred.
const KEYS: [&str; 20] = [
    "state_dict",
    "model_state_dict",
    "model_state",
    "model",
    "net",
    "network",
    "weights",
    "params",
    "module",
    "backbone",
    "encoder",
    "teacher",
    "state_dict_ema",
    "model_ema",
    "ema_state_dict",
    "params_ema",
    "ema",
    "ema_model",
    "state",
    "checkpoint",
];

/// Keys of what is no weight, though it may hold tensors.
const IGNORED: [&str; 7] = ["scheduler", "lr_scheduler", "lr_schedulers", "scaler", "grad_scaler", "amp", "amp_scaler"];

/// Dicts in dicts that are followed.
const MAX_DEPTH: usize = 32;

/// No layer is called longer than this.
const MAX_NAME: usize = 1024;

/// The dict with the weights.
pub(super) struct State<'p> {
    /// The keys that lead to it.
    pub path: String,
    /// Its tensors in order, by dotted names.
    pub tensors: Vec<(String, &'p TensorRef)>,
}

/// The dict with the weights, and its tensors.
pub(super) fn find<'p>(pickled: &'p Pickled<'_>) -> Result<State<'p>, CheckpointError> {
    let mut path = Vec::new();
    let mut at = pickled.root;
    while path.len() < MAX_DEPTH {
        let Some((key, value)) = descend(pickled, at)? else { break };
        path.push(key);
        at = value;
    }
    let mut walk = Walk::new(pickled);
    walk.enter(at, "", 0)?;
    Ok(State { path: path.join("."), tensors: walk.tensors })
}

/// The nested dict that holds the weights of this one, if they are not here.
fn descend(pickled: &Pickled<'_>, at: Value) -> Result<Option<(String, Value)>, CheckpointError> {
    let mut nested = Vec::new();
    let mut direct = 0;
    // One walk over all of them: what two share is counted once, or dicts of the same dicts would take for ever.
    let mut walk = Walk::new(pickled);
    for (key, value) in entries(pickled, at) {
        match pickled.object(value) {
            Some(Object::Tensor(_)) => direct += 1,
            Some(Object::Dict(_)) if !is_ignored(&key) => {
                let before = walk.tensors.len();
                walk.enter(value, "", 0)?;
                let tensors = walk.tensors.get(before..).unwrap_or_default();
                nested.push((key, value, tensors.len(), tensors.iter().all(|(name, _)| name.contains('.'))));
            }
            _ => {}
        }
    }
    let most = nested.iter().map(|nested| nested.2).max().unwrap_or(0).max(direct);
    let all: usize = nested.iter().map(|nested| nested.2).sum::<usize>() + direct;
    if most == 0 {
        return Ok(None);
    }
    let known = KEYS.iter().find_map(|key| nested.iter().find(|nested| nested.0 == *key && nested.2 * 2 >= most));
    // A layer by itself has `weight` and `bias`; a state dict has names with dots.
    let chosen = known.or_else(|| nested.iter().find(|nested| nested.3 && nested.2 * 10 >= all * 9));
    Ok(chosen.map(|(key, value, ..)| (key.clone(), *value)))
}

fn is_ignored(key: &str) -> bool {
    key.starts_with("optim") || IGNORED.contains(&key)
}

/// What a dict or list holds, by key or number.
fn entries<'p>(pickled: &'p Pickled<'_>, value: Value) -> impl Iterator<Item = (String, Value)> + 'p {
    let (dict, list) = match pickled.object(value) {
        Some(Object::Dict(dict)) => (dict.as_slice(), [].as_slice()),
        Some(Object::List(list)) => ([].as_slice(), list.as_slice()),
        _ => ([].as_slice(), [].as_slice()),
    };
    let key = |key: Value| match key {
        Value::Int(number) => Some(number.to_string()),
        // An absurd key is cut here already: it might be copied for every tensor below it.
        key => pickled.text(key).map(|text| text.chars().take(MAX_NAME + 1).collect()),
    };
    let named = dict.iter().filter_map(move |&(k, value)| Some((key(k)?, value)));
    named.chain(list.iter().enumerate().map(|(index, &value)| (index.to_string(), value)))
}

/// A walk over nested containers that enters each of them once: a pickle can put one dict into another many times.
struct Walk<'p, 'a> {
    pickled: &'p Pickled<'a>,
    entered: HashSet<u32>,
    tensors: Vec<(String, &'p TensorRef)>,
}

impl<'p, 'a> Walk<'p, 'a> {
    fn new(pickled: &'p Pickled<'a>) -> Walk<'p, 'a> {
        Walk { pickled, entered: HashSet::new(), tensors: Vec::new() }
    }

    fn enter(&mut self, container: Value, prefix: &str, depth: usize) -> Result<(), CheckpointError> {
        let Value::Object(id) = container else { return Ok(()) };
        if depth > MAX_DEPTH || !self.entered.insert(id) {
            return Ok(());
        }
        for (key, value) in entries(self.pickled, container) {
            let name = || if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
            match self.pickled.object(value) {
                Some(Object::Tensor(tensor)) => {
                    let name = name();
                    if name.len() > MAX_NAME {
                        return Err(CheckpointError::Pickle {
                            at: 0,
                            reason: format!("expected tensor names of at most {MAX_NAME} bytes"),
                        });
                    }
                    self.tensors.push((name, tensor));
                }
                Some(Object::Dict(_)) if !is_ignored(&key) => self.enter(value, &name(), depth + 1)?,
                Some(Object::List(_)) => self.enter(value, &name(), depth + 1)?,
                _ => {}
            }
        }
        Ok(())
    }
}
