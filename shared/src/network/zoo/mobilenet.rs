//! MobileNet V1 (Howard et al. 2017).

use super::{Options, Stem, scaled};
use crate::network::{Builder, Network, ShapeError};

/// Output channels and stride of the thirteen depthwise-separable blocks (table 1 of the paper).
const BLOCKS: [(usize, usize); 13] =
    [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), (512, 1), (512, 1), (512, 1), (512, 1), (512, 1), (1024, 2), (1024, 1)];

/// MobileNet V1 with a width multiplier. Names as in the widespread PyTorch code (`model.0.0`, `model.1.3`, `fc`).
///
/// # Errors
/// When the input is too small for its five strides of 2.
pub fn mobilenet_v1(width: f64, input: [usize; 3], classes: usize) -> Result<Network, ShapeError> {
    mobilenet_v1_stem(&Options { width, input, classes, ..Options::default() })
}

/// The same, with a choice of stem.
pub(super) fn mobilenet_v1_stem(o: &Options) -> Result<Network, ShapeError> {
    let mut b = Builder::new();
    let mut x = b.input(o.input);
    let mut channels = scaled(32, o.width);
    let stride = if o.stem == Stem::Imagenet { 2 } else { 1 };
    x = b.conv("model.0.0", x, channels, 3, stride, 1, 1);
    x = b.batch_norm("model.0.1", x);
    x = b.relu("model.0.2", x);
    for (index, (out, stride)) in BLOCKS.into_iter().enumerate() {
        let name = format!("model.{}", index + 1);
        x = b.conv(format!("{name}.0"), x, channels, 3, stride, 1, channels);
        x = b.batch_norm(format!("{name}.1"), x);
        x = b.relu(format!("{name}.2"), x);
        channels = scaled(out, o.width);
        x = b.conv(format!("{name}.3"), x, channels, 1, 1, 0, 1);
        x = b.batch_norm(format!("{name}.4"), x);
        x = b.relu(format!("{name}.5"), x);
    }
    x = b.global_avg_pool("avgpool", x);
    x = b.flatten("flatten", x);
    x = b.linear("fc", x, o.classes);
    b.finish(x)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 568,740,352 with 1,000 classes (the paper's "569 million"); ten classes save 990 x 1,024.
    #[test]
    fn macs_equal_the_literature() {
        let network = mobilenet_v1(1.0, [3, 224, 224], 10).unwrap();
        assert_eq!(network.cost().unwrap().macs, 567_726_592);
        assert_eq!(mobilenet_v1(1.0, [3, 224, 224], 1000).unwrap().cost().unwrap().params, 4_231_976);
    }
}
