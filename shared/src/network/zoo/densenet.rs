//! DenseNet (Huang et al. 2017), as torchvision has it.

use super::{Options, Stem, scaled};
use crate::network::{Builder, Network, Op, Pool2d, ShapeError};

pub(super) fn densenet(blocks: [usize; 4], growth: usize, first: usize, o: &Options) -> Result<Network, ShapeError> {
    let mut b = Builder::new();
    let mut x = b.input(o.input);
    let growth = scaled(growth, o.width);
    let mut channels = scaled(first, o.width);
    x = match o.stem {
        Stem::Imagenet => b.conv("features.conv0", x, channels, 7, 2, 3, 1),
        Stem::Cifar => b.conv("features.conv0", x, channels, 3, 1, 1, 1),
    };
    x = b.batch_norm("features.norm0", x);
    x = b.relu("features.relu0", x);
    if o.stem == Stem::Imagenet {
        x = b.then("features.pool0", Op::MaxPool2d(Pool2d::square(3, 2, 1)), x);
    }
    for (index, count) in blocks.into_iter().enumerate() {
        let block = format!("features.denseblock{}", index + 1);
        let mut parts = vec![x];
        for layer in 1..=count {
            let name = format!("{block}.denselayer{layer}");
            let mut y = match parts.as_slice() {
                &[only] => only,
                many => b.add_layer(format!("{name}.concat"), Op::Concat, many),
            };
            for (part, out, kernel) in [(1, 4 * growth, 1), (2, growth, 3)] {
                y = b.batch_norm(format!("{name}.norm{part}"), y);
                y = b.relu(format!("{name}.relu{part}"), y);
                y = b.conv(format!("{name}.conv{part}"), y, out, kernel, 1, kernel / 2, 1);
            }
            parts.push(y);
            channels += growth;
        }
        x = b.add_layer(format!("{block}.concat"), Op::Concat, &parts);
        if index < 3 {
            let name = format!("features.transition{}", index + 1);
            channels /= 2;
            x = b.batch_norm(format!("{name}.norm"), x);
            x = b.relu(format!("{name}.relu"), x);
            x = b.conv(format!("{name}.conv"), x, channels, 1, 1, 0, 1);
            x = b.then(format!("{name}.pool"), Op::AvgPool2d(Pool2d::square(2, 2, 0)), x);
        }
    }
    x = b.batch_norm("features.norm5", x);
    x = b.relu("relu", x);
    x = b.global_avg_pool("avgpool", x);
    x = b.flatten("flatten", x);
    x = b.linear("classifier", x, o.classes);
    b.finish(x)
}
