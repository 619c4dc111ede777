//! VGG (Simonyan and Zisserman 2015) with batch norm and any list of widths.

use crate::network::{Builder, Network, ShapeError};

/// An entry of a VGG's list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VggItem {
    /// A 3x3 convolution of this many channels, batch norm, ReLU.
    Conv(usize),
    /// A 2x2 max pooling.
    MaxPool,
}

/// VGG: the listed layers, global average pooling and one linear layer. Names as torchvision's `vgg*_bn`
/// (`features.N`, `classifier`).
///
/// # Errors
/// When the poolings shrink the input to nothing, or a width is 0.
pub fn vgg(items: &[VggItem], input: [usize; 3], classes: usize) -> Result<Network, ShapeError> {
    let mut b = Builder::new();
    let mut x = b.input(input);
    let mut index = 0;
    for item in items {
        match *item {
            VggItem::Conv(channels) => {
                x = b.conv(format!("features.{index}"), x, channels, 3, 1, 1, 1);
                x = b.batch_norm(format!("features.{}", index + 1), x);
                x = b.relu(format!("features.{}", index + 2), x);
                index += 3;
            }
            VggItem::MaxPool => {
                x = b.max_pool(format!("features.{index}"), x, 2);
                index += 1;
            }
        }
    }
    x = b.global_avg_pool("avgpool", x);
    x = b.flatten("flatten", x);
    x = b.linear("classifier", x, classes);
    b.finish(x)
}
