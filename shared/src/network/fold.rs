//! Batch-norm folding: what every inference runtime does before it runs a network.

use super::{LayerId, Network, Op};

/// A network without the batch norms that directly follow a convolution.
#[derive(Debug, Clone, PartialEq)]
pub struct Folded {
    /// The smaller network. Convolutions that took in a batch norm have a bias.
    pub network: Network,
    /// Per layer of the new network: its id in the old one, and the batch norm that it took in.
    pub origin: Vec<(LayerId, Option<LayerId>)>,
}

impl Network {
    /// Folds every batch norm that is the only reader of a convolution into it.
    pub fn fold_batch_norm(&self) -> Folded {
        let consumers = self.consumers();
        // A batch norm goes away when its input is a convolution that nothing else reads.
        let host = |id: LayerId| match (&self.layers[id].op, self.layers[id].inputs.as_slice()) {
            (Op::BatchNorm2d { .. }, &[input]) => {
                (matches!(self.layers[input].op, Op::Conv2d(_)) && consumers[input].len() == 1 && !self.outputs.contains(&input))
                    .then_some(input)
            }
            _ => None,
        };
        let mut moved = vec![0; self.layers.len()];
        let mut origin: Vec<(LayerId, Option<LayerId>)> = Vec::new();
        let mut layers: Vec<super::Layer> = Vec::new();
        for (id, layer) in self.layers.iter().enumerate() {
            if let Some(conv) = host(id) {
                moved[id] = moved[conv];
                origin[moved[conv]].1 = Some(id);
                if let Op::Conv2d(conv) = &mut layers[moved[id]].op {
                    conv.bias = true;
                }
                continue;
            }
            moved[id] = layers.len();
            let mut layer = layer.clone();
            for input in &mut layer.inputs {
                *input = moved[*input];
            }
            layers.push(layer);
            origin.push((id, None));
        }
        Folded { network: Network { layers, outputs: self.outputs.iter().map(|&output| moved[output]).collect() }, origin }
    }
}

#[cfg(test)]
mod tests {
    use super::super::zoo;

    #[test]
    fn folding_leaves_no_batch_norm_after_a_convolution_and_keeps_macs() {
        let network = zoo::resnet(20, 1.0, zoo::ShortcutKind::B, [3, 32, 32], 10).unwrap();
        let folded = network.fold_batch_norm();
        assert!(folded.network.layers.iter().all(|layer| layer.op.name() != "BatchNorm2d"));
        assert_eq!(folded.network.cost().unwrap().macs, network.cost().unwrap().macs);
        assert_eq!(folded.network.output_shape().unwrap(), vec![10]);
    }
}
