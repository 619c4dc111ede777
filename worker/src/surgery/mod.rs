//! Surgery: a plan applied to a model gives a smaller model.

mod fold;

pub use fold::fold;

use crate::criteria::{Observed, channel_scores, weight_scores};
use crate::error::TaskError;
use pleach_shared::model::{Model, Tensor};
use pleach_shared::network::{LayerId, Op};
use pleach_shared::plan::{Mask, Plan, PlanError, Scored, Slice, keep_best, masks, one_shot};
use pleach_shared::spec::{Criterion, Granularity, OneShot, Scope};
use pleach_shared::task::Prune;
use std::collections::BTreeMap;

/// The smaller model. Its output equals that of the original with the removed channels and weights silenced.
///
/// # Errors
/// When the plan does not fit the network.
pub fn apply(plan: &Plan, model: &Model) -> Result<Model, PlanError> {
    let applied = plan.apply(&model.network)?;
    let mut smaller = Model::dense(applied.network, BTreeMap::new());
    for (layer, slice) in model.network.layers.iter().zip(&applied.slices) {
        let names = match layer.op {
            Op::Conv2d(_) | Op::Linear { .. } => &["weight", "bias"][..],
            Op::BatchNorm2d { .. } => &["weight", "bias", "running_mean", "running_var"][..],
            _ => continue,
        };
        for name in names {
            let name = format!("{}.{name}", layer.name);
            let Some(tensor) = model.tensors.get(&name) else { continue };
            let mask = match (model.masks.get(&name), plan.masks.get(&name)) {
                (Some(old), Some(new)) => Some(old.and(new)),
                (old, new) => old.or(new).cloned(),
            };
            let mut kept = cut(tensor, slice);
            if let Some(mask) = mask.map(|mask| cut_mask(&mask, &tensor.shape, slice)) {
                mask.apply(&mut kept.data);
                smaller.masks.insert(name.clone(), mask);
            }
            smaller.tensors.insert(name, kept);
        }
    }
    Ok(smaller)
}

/// Prunes as a task says, ranked by its criterion. Also returns the units of channel groups that stay.
///
/// # Errors
/// When there is no such group or layer, or it cannot be pruned.
pub fn prune(prune: &Prune, model: &Model, observed: &Observed) -> Result<(Model, BTreeMap<String, Vec<usize>>), TaskError> {
    let groups = model.network.groups()?;
    let plan = match prune {
        Prune::Channels { group: name, channels, criterion } => {
            // `apply` words the error where there is no such group, with those that there are.
            let keep = groups.find(name).map_or_else(Vec::new, |(group, _)| {
                let scores = channel_scores(*criterion, model, observed, &groups, group);
                keep_best(&model.network, &groups, group, &scores, *channels)
            });
            Plan::one(name, keep)
        }
        Prune::Weights { layer, ratio, granularity, criterion } => {
            let id = model.network.find(layer).filter(|&id| model.network.layers[id].op.width().is_some());
            let id = id.ok_or_else(|| TaskError::Mismatch(format!("there is no convolution or linear layer `{layer}`")))?;
            let masks = mask(model, observed, &[id], granularity.at(*ratio), *ratio, *criterion, Scope::Layer);
            Plan { masks, ..Plan::default() }
        }
        Prune::All(spec) if spec.granularity == Granularity::Channel => {
            let scores = |group| channel_scores(spec.criterion, model, observed, &groups, group);
            Plan { keep: one_shot(&model.network, &groups, spec, scores), ..Plan::default() }
        }
        Prune::All(OneShot { sparsity, granularity, criterion, scope, .. }) => {
            let layers: Vec<LayerId> =
                (0..model.network.layers.len()).filter(|&id| model.network.layers[id].op.width().is_some()).collect();
            let masks = mask(model, observed, &layers, *granularity, *sparsity, *criterion, *scope);
            Plan { masks, ..Plan::default() }
        }
    };
    Ok((apply(&plan, model)?, plan.keep))
}

fn mask(
    model: &Model,
    observed: &Observed,
    layers: &[LayerId],
    granularity: Granularity,
    ratio: f64,
    criterion: Criterion,
    scope: Scope,
) -> BTreeMap<String, Mask> {
    let scores: Vec<(String, Vec<f64>)> = layers
        .iter()
        .map(|&layer| (format!("{}.weight", model.network.layers[layer].name), weight_scores(criterion, model, observed, layer)))
        .collect();
    let scored = scores.iter().filter_map(|(name, scores)| {
        let tensor = model.tensors.get(name)?;
        Some((name.clone(), Scored { shape: &tensor.shape, scores }))
    });
    masks(&scored.collect(), granularity, ratio, scope)
}

/// Calls `take` with every run of weights that stays: its start and length in the tensor.
fn runs(shape: &[usize], slice: &Slice, mut take: impl FnMut(usize, usize)) {
    let width = shape.get(1).copied().unwrap_or(1);
    let inner: usize = shape.iter().skip(2).product();
    let mut row = |row: usize| match slice.input.as_ref().filter(|_| shape.len() > 1) {
        Some(columns) => columns.iter().for_each(|column| take((row * width + column) * inner, inner)),
        None => take(row * width * inner, width * inner),
    };
    match &slice.out {
        Some(rows) => rows.iter().copied().for_each(&mut row),
        None => (0..shape.first().copied().unwrap_or(1)).for_each(&mut row),
    }
}

/// The kept rows (axis 0) and columns (axis 1) of a weight; each kept weight is copied once.
fn cut(tensor: &Tensor, slice: &Slice) -> Tensor {
    let mut shape = tensor.shape.clone();
    if let (Some(rows), Some(size)) = (&slice.out, shape.get_mut(0)) {
        *size = rows.len();
    }
    if let (Some(columns), Some(size)) = (&slice.input, shape.get_mut(1)) {
        *size = columns.len();
    }
    let mut data = Vec::with_capacity(shape.iter().product());
    runs(&tensor.shape, slice, |start, length| data.extend_from_slice(&tensor.data[start..start + length]));
    Tensor { shape, data }
}

fn cut_mask(mask: &Mask, shape: &[usize], slice: &Slice) -> Mask {
    let mut stays = Vec::new();
    runs(shape, slice, |start, length| stays.extend((start..start + length).map(|index| mask.stays(index))));
    Mask::from_fn(stays.len(), |index| stays[index])
}
