//! CIFAR ResNets and the plain network of the same depth (He et al. 2016, section 4.2).

use super::scaled;
use crate::network::{Builder, LayerId, Network, Op, ShapeError};
use serde::{Deserialize, Serialize};

/// What bridges a change of shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ShortcutKind {
    /// Stride-2 slicing and channels of zeros on both sides: no parameters.
    A,
    /// A 1x1 convolution with batch norm.
    B,
}

/// The CIFAR ResNet of `depth` = 6n + 2 layers. Layers are called as in Idelbayev's published code
/// (`conv1`, `layer1.0.conv1`, `layer2.0.shortcut`, `linear`).
///
/// # Errors
/// When the input is too small for two strides of 2.
pub fn resnet(depth: usize, width: f64, kind: ShortcutKind, input: [usize; 3], classes: usize) -> Result<Network, ShapeError> {
    stages(depth, width, Some(kind), input, classes)
}

/// The plain network of 20 layers: ResNet-20 without its shortcuts.
///
/// # Errors
/// As [`resnet`].
pub fn plain20(width: f64, input: [usize; 3], classes: usize) -> Result<Network, ShapeError> {
    stages(20, width, None, input, classes)
}

fn stages(depth: usize, width: f64, shortcut: Option<ShortcutKind>, input: [usize; 3], classes: usize) -> Result<Network, ShapeError> {
    let mut b = Builder::new();
    let mut x = b.input(input);
    let mut channels = scaled(16, width);
    x = b.conv("conv1", x, channels, 3, 1, 1, 1);
    x = b.batch_norm("bn1", x);
    x = b.relu("relu1", x);
    for (stage, base) in [16, 32, 64].into_iter().enumerate() {
        for block in 0..(depth - 2) / 6 {
            let name = format!("layer{}.{block}", stage + 1);
            let planes = scaled(base, width);
            let stride = if stage > 0 && block == 0 { 2 } else { 1 };
            let entry = x;
            x = b.conv(format!("{name}.conv1"), x, planes, 3, stride, 1, 1);
            x = b.batch_norm(format!("{name}.bn1"), x);
            x = b.relu(format!("{name}.relu1"), x);
            x = b.conv(format!("{name}.conv2"), x, planes, 3, 1, 1, 1);
            x = b.batch_norm(format!("{name}.bn2"), x);
            if let Some(kind) = shortcut {
                let bridge = bridge(&mut b, &name, entry, kind, [channels, planes], stride);
                x = b.add(format!("{name}.add"), x, bridge);
            }
            x = b.relu(format!("{name}.relu2"), x);
            channels = planes;
        }
    }
    x = b.global_avg_pool("avgpool", x);
    x = b.flatten("flatten", x);
    x = b.linear("linear", x, classes);
    b.finish(x)
}

fn bridge(b: &mut Builder, name: &str, x: LayerId, kind: ShortcutKind, [from, to]: [usize; 2], stride: usize) -> LayerId {
    if from == to && stride == 1 {
        return x;
    }
    match kind {
        ShortcutKind::A => {
            // The published code pads planes / 4 channels on either side, which is half of what is missing.
            let before = to.saturating_sub(from) / 2;
            let sources = (0..to).map(|channel| channel.checked_sub(before).filter(|&source| source < from)).collect();
            b.add_layer(format!("{name}.shortcut"), Op::Shortcut { stride, sources }, &[x])
        }
        ShortcutKind::B => {
            let x = b.conv(format!("{name}.shortcut.0"), x, to, 1, stride, 0, 1);
            b.batch_norm(format!("{name}.shortcut.1"), x)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Figures of the table in Idelbayev's README, which He et al. give in their table 6 rounded likewise.
    #[test]
    fn parameters_equal_the_published_figures() {
        for (depth, published) in [(20, 0.27), (32, 0.46), (44, 0.66), (56, 0.85)] {
            let network = resnet(depth, 1.0, ShortcutKind::A, [3, 32, 32], 10).unwrap();
            let params = network.cost().unwrap().params as f64 / 1e6;
            assert!((params - published).abs() < 0.0075, "resnet{depth}: {params} M parameters, published {published} M");
        }
    }

    #[test]
    fn resnet20_has_40_8_million_macs_of_which_option_b_has_the_projections() {
        let a = resnet(20, 1.0, ShortcutKind::A, [3, 32, 32], 10).unwrap().cost().unwrap();
        assert_eq!(a.macs, 40_551_040);
        let b = resnet(20, 1.0, ShortcutKind::B, [3, 32, 32], 10).unwrap().cost().unwrap();
        assert_eq!(b.macs, 40_813_184, "the 40.8 million of the literature");
        assert_eq!(b.params - a.params, 16 * 32 + 2 * 32 + 32 * 64 + 2 * 64);
        assert_eq!(plain20(1.0, [3, 32, 32], 10).unwrap().cost().unwrap(), a);
    }
}
