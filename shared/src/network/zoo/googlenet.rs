//! GoogLeNet (Szegedy et al. 2015) with batch norms and without auxiliary classifiers, as torchvision has it.

use super::{Options, scaled};
use crate::network::{Builder, LayerId, Network, Op, Pool2d, ShapeError};

/// An inception module: the 1x1 branch, the two with a reduction, the pooled one.
const INCEPTIONS: [(&str, [usize; 6]); 9] = [
    ("inception3a", [64, 96, 128, 16, 32, 32]),
    ("inception3b", [128, 128, 192, 32, 96, 64]),
    ("inception4a", [192, 96, 208, 16, 48, 64]),
    ("inception4b", [160, 112, 224, 24, 64, 64]),
    ("inception4c", [128, 128, 256, 24, 64, 64]),
    ("inception4d", [112, 144, 288, 32, 64, 64]),
    ("inception4e", [256, 160, 320, 32, 128, 128]),
    ("inception5a", [256, 160, 320, 32, 128, 128]),
    ("inception5b", [384, 192, 384, 48, 128, 128]),
];

pub(super) fn googlenet(o: &Options) -> Result<Network, ShapeError> {
    let mut b = Builder::new();
    let mut x = b.input(o.input);
    let wide = |channels| scaled(channels, o.width);
    let pool = |size| Op::MaxPool2d(Pool2d::square(size, 2, 0).ceil());
    x = basic(&mut b, "conv1", x, wide(64), 7, 2);
    x = b.then("maxpool1", pool(3), x);
    x = basic(&mut b, "conv2", x, wide(64), 1, 1);
    x = basic(&mut b, "conv3", x, wide(192), 3, 1);
    x = b.then("maxpool2", pool(3), x);
    for (name, widths) in INCEPTIONS {
        let [one, reduce3, three, reduce5, five, pooled] = widths.map(wide);
        let branch1 = basic(&mut b, &format!("{name}.branch1"), x, one, 1, 1);
        let y = basic(&mut b, &format!("{name}.branch2.0"), x, reduce3, 1, 1);
        let branch2 = basic(&mut b, &format!("{name}.branch2.1"), y, three, 3, 1);
        // torchvision's third branch has a 3x3 kernel too, a known slip that its weights were trained with.
        let y = basic(&mut b, &format!("{name}.branch3.0"), x, reduce5, 1, 1);
        let branch3 = basic(&mut b, &format!("{name}.branch3.1"), y, five, 3, 1);
        let y = b.then(format!("{name}.branch4.0"), Op::MaxPool2d(Pool2d::square(3, 1, 1).ceil()), x);
        let branch4 = basic(&mut b, &format!("{name}.branch4.1"), y, pooled, 1, 1);
        x = b.add_layer(format!("{name}.concat"), Op::Concat, &[branch1, branch2, branch3, branch4]);
        match name {
            "inception3b" => x = b.then("maxpool3", pool(3), x),
            "inception4e" => x = b.then("maxpool4", pool(2), x),
            _ => {}
        }
    }
    x = b.global_avg_pool("avgpool", x);
    x = b.flatten("flatten", x);
    x = b.then("dropout", Op::Dropout { p: 0.2 }, x);
    x = b.linear("fc", x, o.classes);
    b.finish(x)
}

/// Convolution, batch norm and ReLU.
fn basic(b: &mut Builder, name: &str, x: LayerId, out: usize, kernel: usize, stride: usize) -> LayerId {
    let x = b.conv(format!("{name}.conv"), x, out, kernel, stride, kernel / 2, 1);
    let x = b.batch_norm_eps(format!("{name}.bn"), x, 1e-3);
    b.relu(format!("{name}.relu"), x)
}
