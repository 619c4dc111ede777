//! AlexNet (Krizhevsky 2014, "One weird trick"), as torchvision has it.

use super::{Options, scaled};
use crate::network::{Builder, Network, Op, Pool2d, ShapeError};

pub(super) fn alexnet(o: &Options) -> Result<Network, ShapeError> {
    let mut b = Builder::new();
    let mut x = b.input(o.input);
    let wide = |channels| scaled(channels, o.width);
    let pool = || Op::MaxPool2d(Pool2d::square(3, 2, 0));
    for (index, out, kernel, stride, padding) in
        [(0, 64, 11, 4, 2), (3, 192, 5, 1, 2), (6, 384, 3, 1, 1), (8, 256, 3, 1, 1), (10, 256, 3, 1, 1)]
    {
        x = b.conv_bias(format!("features.{index}"), x, wide(out), kernel, stride, padding);
        x = b.relu(format!("features.{}", index + 1), x);
        if matches!(index, 0 | 3 | 10) {
            x = b.then(format!("features.{}", index + 2), pool(), x);
        }
    }
    x = b.then("avgpool", Op::AdaptiveAvgPool2d { size: [6, 6] }, x);
    x = b.flatten("flatten", x);
    for index in [0, 3] {
        x = b.then(format!("classifier.{index}"), Op::Dropout { p: 0.5 }, x);
        x = b.linear(format!("classifier.{}", index + 1), x, wide(4096));
        x = b.relu(format!("classifier.{}", index + 2), x);
    }
    x = b.linear("classifier.6", x, o.classes);
    b.finish(x)
}
