//! The last rule: whole layers by their order and their shapes.

use super::names::respell;
use std::collections::BTreeMap;

/// A tensor by name, with its shape.
pub(super) type Named<'a> = (&'a str, &'a [usize]);

/// A layer: what it holds, by the last part of the names, and where to find it.
#[derive(Debug)]
struct Layer<'a> {
    layer: &'a str,
    shapes: BTreeMap<String, &'a [usize]>,
    names: BTreeMap<String, &'a str>,
}

/// Pairs of parameter and tensor, when all that are left pair up layer by layer. Only whole layers are compared: a batch norm's
/// four tensors have one shape, and their order differs between tools.
///
/// Without an order in the file, no two layers may look alike.
pub(super) fn pair<'a>(parameters: &[Named<'a>], tensors: &[Named<'a>], ordered: bool) -> Option<Vec<(&'a str, &'a str)>> {
    if parameters.is_empty() || parameters.len() != tensors.len() {
        return None;
    }
    let (mut ours, mut theirs) = (layers(parameters)?, layers(tensors)?);
    if !ordered {
        ours.sort_by(|a, b| a.shapes.cmp(&b.shapes));
        theirs.sort_by(|a, b| a.shapes.cmp(&b.shapes));
        if ours.iter().zip(ours.iter().skip(1)).any(|(a, b)| a.shapes == b.shapes) {
            return None;
        }
    }
    let alike = ours.len() == theirs.len() && ours.iter().zip(&theirs).all(|(ours, theirs)| ours.shapes == theirs.shapes);
    alike.then(|| {
        ours.iter().zip(&theirs).flat_map(|(ours, theirs)| ours.names.values().copied().zip(theirs.names.values().copied())).collect()
    })
}

/// The layers in the order in which they appear first. None when two tensors of a layer have one role.
fn layers<'a>(tensors: &[Named<'a>]) -> Option<Vec<Layer<'a>>> {
    let mut layers: Vec<Layer<'a>> = Vec::new();
    let mut places = BTreeMap::new();
    for &(name, shape) in tensors {
        let (layer, suffix) = name.rsplit_once('.').unwrap_or(("", name));
        let place = *places.entry(layer).or_insert_with(|| {
            layers.push(Layer { layer, shapes: BTreeMap::new(), names: BTreeMap::new() });
            layers.len() - 1
        });
        let found = layers.get_mut(place)?;
        debug_assert_eq!(found.layer, layer);
        found.names.insert(respell(suffix), name);
        if found.shapes.insert(respell(suffix), shape).is_some() {
            return None;
        }
    }
    Some(layers)
}
