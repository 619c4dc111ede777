//! Surgery: a plan applied to a model gives a smaller model.

mod fold;

pub use fold::fold;

use crate::criteria;
use crate::error::TaskError;
use pleach_shared::model::{Model, Tensor};
use pleach_shared::network::Op;
use pleach_shared::plan::{Plan, PlanError, Slice, keep_best};
use pleach_shared::task::Prune;

/// The smaller model. Its output equals that of the original with the removed channels silenced.
///
/// # Errors
/// When the plan does not fit the network.
pub fn apply(plan: &Plan, model: &Model) -> Result<Model, PlanError> {
    let applied = plan.apply(&model.network)?;
    let mut tensors = model.tensors.clone();
    for (layer, slice) in model.network.layers.iter().zip(&applied.slices) {
        let names = match layer.op {
            Op::Conv2d(_) | Op::Linear { .. } => &["weight", "bias"][..],
            Op::BatchNorm2d { .. } => &["weight", "bias", "running_mean", "running_var"][..],
            _ => continue,
        };
        for name in names {
            if let Some(tensor) = tensors.get_mut(&format!("{}.{name}", layer.name)) {
                *tensor = cut(tensor, slice);
            }
        }
    }
    Ok(Model { network: applied.network, tensors })
}

/// Prunes one group to a number of channels, ranked by a criterion. Also returns the units that stay.
///
/// # Errors
/// When there is no such group or it cannot be pruned.
pub fn prune(prune: &Prune, model: &Model) -> Result<(Model, Vec<usize>), TaskError> {
    let groups = model.network.groups()?;
    let Some((group, _)) = groups.find(&prune.group) else {
        // `apply` words the error, with the groups that there are.
        return Ok((apply(&Plan::one(&prune.group, Vec::new()), model)?, Vec::new()));
    };
    let scores = criteria::scores(prune.criterion, model, &groups, group);
    let keep = keep_best(&model.network, &groups, group, &scores, prune.channels);
    Ok((apply(&Plan::one(&prune.group, keep.clone()), model)?, keep))
}

/// The kept rows (axis 0) and columns (axis 1) of a weight; each kept weight is copied once.
fn cut(tensor: &Tensor, slice: &Slice) -> Tensor {
    let all = |axis: usize| (0..tensor.shape.get(axis).copied().unwrap_or(1)).collect::<Vec<_>>();
    let rows = slice.out.clone().unwrap_or_else(|| all(0));
    let has_columns = tensor.shape.len() > 1;
    let columns = slice.input.clone().filter(|_| has_columns).unwrap_or_else(|| all(1));
    let width = tensor.shape.get(1).copied().unwrap_or(1);
    let inner: usize = tensor.shape.iter().skip(2).product();
    let mut data = Vec::with_capacity(rows.len() * columns.len() * inner);
    for row in &rows {
        for column in &columns {
            let start = (row * width + column) * inner;
            data.extend_from_slice(&tensor.data[start..start + inner]);
        }
    }
    let mut shape = tensor.shape.clone();
    shape[0] = rows.len();
    if has_columns {
        shape[1] = columns.len();
    }
    Tensor { shape, data }
}
