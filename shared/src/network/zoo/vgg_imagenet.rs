//! VGG-11 to 19 (Simonyan and Zisserman 2015) with their three linear layers, as torchvision has them.

use super::{Options, scaled};
use crate::network::{Builder, Network, Op, ShapeError};

pub(super) fn vgg_imagenet(depth: usize, batch_norm: bool, o: &Options) -> Result<Network, ShapeError> {
    // Convolutions of each of the five stages: table 1 of the paper, columns A, B, D and E.
    let stages = match depth {
        11 => [1, 1, 2, 2, 2],
        13 => [2, 2, 2, 2, 2],
        16 => [2, 2, 3, 3, 3],
        _ => [2, 2, 4, 4, 4],
    };
    let mut b = Builder::new();
    let mut x = b.input(o.input);
    let mut index = 0;
    let mut next = || {
        index += 1;
        format!("features.{}", index - 1)
    };
    for (count, width) in stages.into_iter().zip([64, 128, 256, 512, 512]) {
        for _ in 0..count {
            x = b.conv_bias(next(), x, scaled(width, o.width), 3, 1, 1);
            if batch_norm {
                x = b.batch_norm(next(), x);
            }
            x = b.relu(next(), x);
        }
        x = b.max_pool(next(), x, 2);
    }
    x = b.then("avgpool", Op::AdaptiveAvgPool2d { size: [7, 7] }, x);
    x = b.flatten("flatten", x);
    for index in [0, 3] {
        x = b.linear(format!("classifier.{index}"), x, scaled(4096, o.width));
        x = b.relu(format!("classifier.{}", index + 1), x);
        x = b.then(format!("classifier.{}", index + 2), Op::Dropout { p: 0.5 }, x);
    }
    x = b.linear("classifier.6", x, o.classes);
    b.finish(x)
}
