//! Segments: the pieces of a network that a latency lookup table has entries for.
//!
//! A segment is a convolution, linear layer, addition, product, concatenation or pick of channels with the cheap layers that follow it
//! (activation, pooling, flatten). It is a network of its own with plain names, so the same shapes anywhere, in any
//! network, are the same measurement.

use super::{Layer, LayerId, Network, Op, ShapeError};

/// A piece of a network that is measured on its own.
#[derive(Debug, Clone, PartialEq)]
pub struct Segment {
    /// The name of the layer that heads it.
    pub head: String,
    /// The piece as a network; one input for every tensor that it reads from outside.
    pub network: Network,
}

impl Network {
    /// Cuts the network (batch norms folded first) into segments. Every layer is in exactly one.
    ///
    /// # Errors
    /// As [`Network::shapes`].
    pub fn segments(&self) -> Result<Vec<Segment>, ShapeError> {
        let network = self.fold_batch_norm().network;
        let shapes = network.shapes()?;
        let mut home: Vec<Option<usize>> = vec![None; network.layers.len()];
        let mut members: Vec<Vec<LayerId>> = Vec::new();
        for (id, layer) in network.layers.iter().enumerate() {
            let joins = match layer.op {
                Op::Input { .. } => continue,
                Op::Conv2d(_) | Op::Linear { .. } | Op::Add | Op::Mul | Op::Concat | Op::Shortcut { .. } | Op::Select { .. } => None,
                _ => layer.inputs.first().and_then(|&input| home[input]),
            };
            let segment = joins.unwrap_or_else(|| {
                members.push(Vec::new());
                members.len() - 1
            });
            home[id] = Some(segment);
            members[segment].push(id);
        }
        Ok(members
            .iter()
            .map(|ids| {
                let mut layers: Vec<Layer> = Vec::new();
                let mut moved: Vec<(LayerId, LayerId)> = Vec::new();
                let outside = ids.iter().flat_map(|&id| network.layers[id].inputs.iter().copied()).filter(|input| !ids.contains(input));
                for input in outside {
                    if moved.iter().all(|&(old, _)| old != input) {
                        moved.push((input, layers.len()));
                        layers.push(Layer {
                            name: format!("input{}", layers.len()),
                            op: Op::Input { shape: shapes[input].clone() },
                            inputs: Vec::new(),
                        });
                    }
                }
                for &id in ids {
                    let inputs = network.layers[id].inputs.iter().filter_map(|&input| find(&moved, input)).collect();
                    moved.push((id, layers.len()));
                    layers.push(Layer { name: format!("layer{}", layers.len()), op: network.layers[id].op.clone(), inputs });
                }
                let outputs = vec![layers.len() - 1];
                Segment { head: network.layers[ids[0]].name.clone(), network: Network { layers, outputs } }
            })
            .collect())
    }
}

fn find(moved: &[(LayerId, LayerId)], old: LayerId) -> Option<LayerId> {
    moved.iter().find(|&&(from, _)| from == old).map(|&(_, to)| to)
}

#[cfg(test)]
mod tests {
    use super::super::{Cost, zoo};

    #[test]
    fn segments_cover_the_network_and_equal_shapes_are_equal_segments() {
        let network = zoo::resnet(20, 1.0, zoo::ShortcutKind::A, [3, 32, 32], 10).unwrap();
        let segments = network.segments().unwrap();
        let total = segments.iter().map(|s| s.network.cost().unwrap()).fold(Cost::default(), |a, b| a + b);
        assert_eq!(total.macs, network.cost().unwrap().macs);
        let find = |head: &str| &segments.iter().find(|s| s.head == head).unwrap().network;
        assert_eq!(find("layer1.0.conv1"), find("layer1.2.conv1"));
        assert_ne!(find("layer1.0.conv1"), find("layer1.0.conv2"), "no activation before the addition");
    }
}
