//! ResNet (He et al. 2016), ResNeXt (Xie et al. 2017) and Wide ResNet (Zagoruyko and Komodakis 2016), as torchvision has them.

use super::{Options, Stem, scaled};
use crate::network::{Builder, Network, Op, Pool2d, ShapeError};

/// What a residual block is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Two 3x3 convolutions.
    Basic,
    /// 1x1, 3x3, 1x1, the last four times as wide.
    Bottleneck,
}

/// `groups` and `base` are the 3x3 convolution's groups, and its width a group in the first stage.
pub(super) fn resnet_imagenet(kind: Kind, blocks: [usize; 4], groups: usize, base: usize, o: &Options) -> Result<Network, ShapeError> {
    let mut b = Builder::new();
    let mut x = b.input(o.input);
    let mut channels = scaled(64, o.width);
    x = match o.stem {
        Stem::Imagenet => b.conv("conv1", x, channels, 7, 2, 3, 1),
        Stem::Cifar => b.conv("conv1", x, channels, 3, 1, 1, 1),
    };
    x = b.batch_norm("bn1", x);
    x = b.relu("relu", x);
    if o.stem == Stem::Imagenet {
        x = b.then("maxpool", Op::MaxPool2d(Pool2d::square(3, 2, 1)), x);
    }
    for (stage, count) in blocks.into_iter().enumerate() {
        let planes = scaled(64 << stage, o.width);
        let out = if kind == Kind::Bottleneck { scaled(256 << stage, o.width) } else { planes };
        // A multiple of the groups, however narrow.
        let inner = scaled((64 << stage) * base / 64, o.width) * groups;
        for block in 0..count {
            let name = format!("layer{}.{block}", stage + 1);
            let stride = if stage > 0 && block == 0 { 2 } else { 1 };
            let entry = x;
            let mut index = 0;
            let mut conv = |b: &mut Builder, x, out, kernel, stride, groups| {
                index += 1;
                let x = b.conv(format!("{name}.conv{index}"), x, out, kernel, stride, kernel / 2, groups);
                b.batch_norm(format!("{name}.bn{index}"), x)
            };
            match kind {
                Kind::Basic => {
                    x = conv(&mut b, x, planes, 3, stride, 1);
                    x = b.relu(format!("{name}.relu1"), x);
                    x = conv(&mut b, x, planes, 3, 1, 1);
                }
                Kind::Bottleneck => {
                    x = conv(&mut b, x, inner, 1, 1, 1);
                    x = b.relu(format!("{name}.relu1"), x);
                    x = conv(&mut b, x, inner, 3, stride, groups);
                    x = b.relu(format!("{name}.relu2"), x);
                    x = conv(&mut b, x, out, 1, 1, 1);
                }
            }
            let mut bridge = entry;
            if stride != 1 || channels != out {
                bridge = b.conv(format!("{name}.downsample.0"), bridge, out, 1, stride, 0, 1);
                bridge = b.batch_norm(format!("{name}.downsample.1"), bridge);
            }
            x = b.add(format!("{name}.add"), x, bridge);
            x = b.relu(format!("{name}.relu"), x);
            channels = out;
        }
    }
    x = b.global_avg_pool("avgpool", x);
    x = b.flatten("flatten", x);
    x = b.linear("fc", x, o.classes);
    b.finish(x)
}
