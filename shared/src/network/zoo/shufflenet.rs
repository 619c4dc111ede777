//! ShuffleNet V2 (Ma et al. 2018), as torchvision has it. Splits and shuffles pick channels.

use super::{Options, Stem, scaled};
use crate::network::{Builder, LayerId, Network, Op, Pool2d, ShapeError};

pub(super) fn shufflenet_v2(widths: [usize; 5], o: &Options) -> Result<Network, ShapeError> {
    let mut b = Builder::new();
    let mut x = b.input(o.input);
    // Both halves of a stage are equally wide.
    let wide = |channels: usize| 2 * scaled(channels / 2, o.width);
    let mut channels = wide(widths[0]);
    let stride = if o.stem == Stem::Imagenet { 2 } else { 1 };
    x = b.conv("conv1.0", x, channels, 3, stride, 1, 1);
    x = b.batch_norm("conv1.1", x);
    x = b.relu("conv1.2", x);
    if o.stem == Stem::Imagenet {
        x = b.then("maxpool", Op::MaxPool2d(Pool2d::square(3, 2, 1)), x);
    }
    for (stage, (repeats, out)) in [4, 8, 4].into_iter().zip(&widths[1..4]).enumerate() {
        let out = wide(*out);
        for unit in 0..repeats {
            let name = format!("stage{}.{unit}", stage + 2);
            let half = out / 2;
            let (first, second) = if unit == 0 {
                let y = depthwise(&mut b, &name, "branch1", 0, x, channels, 2);
                let y = pointwise(&mut b, &name, "branch1", 2, y, half);
                (y, branch2(&mut b, &name, x, half, 2))
            } else {
                let left = b.then(format!("{name}.left"), Op::Select { channels: (0..half).collect() }, x);
                let right = b.then(format!("{name}.right"), Op::Select { channels: (half..out).collect() }, x);
                (left, branch2(&mut b, &name, right, half, 1))
            };
            x = b.add_layer(format!("{name}.concat"), Op::Concat, &[first, second]);
            // Two groups: the halves are interleaved.
            let channels = (0..out).map(|channel| channel % 2 * half + channel / 2).collect();
            x = b.then(format!("{name}.shuffle"), Op::Select { channels }, x);
        }
        channels = out;
    }
    x = b.conv("conv5.0", x, scaled(widths[4], o.width), 1, 1, 0, 1);
    x = b.batch_norm("conv5.1", x);
    x = b.relu("conv5.2", x);
    x = b.global_avg_pool("mean", x);
    x = b.flatten("flatten", x);
    x = b.linear("fc", x, o.classes);
    b.finish(x)
}

fn branch2(b: &mut Builder, name: &str, x: LayerId, half: usize, stride: usize) -> LayerId {
    let x = pointwise(b, name, "branch2", 0, x, half);
    let x = depthwise(b, name, "branch2", 3, x, half, stride);
    pointwise(b, name, "branch2", 5, x, half)
}

fn pointwise(b: &mut Builder, name: &str, branch: &str, index: usize, x: LayerId, out: usize) -> LayerId {
    let x = b.conv(format!("{name}.{branch}.{index}"), x, out, 1, 1, 0, 1);
    let x = b.batch_norm(format!("{name}.{branch}.{}", index + 1), x);
    b.relu(format!("{name}.{branch}.{}", index + 2), x)
}

fn depthwise(b: &mut Builder, name: &str, branch: &str, index: usize, x: LayerId, channels: usize, stride: usize) -> LayerId {
    let x = b.conv(format!("{name}.{branch}.{index}"), x, channels, 3, stride, 1, channels);
    b.batch_norm(format!("{name}.{branch}.{}", index + 1), x)
}
