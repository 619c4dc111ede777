//! Networks of inverted residuals: MobileNet V2 (Sandler et al. 2018) and V3 (Howard et al. 2019), MNASNet (Tan et al. 2019)
//! and EfficientNet-B0 (Tan and Le 2019), as torchvision has them.

use super::{Options, Stem, divisible};
use crate::network::{Builder, LayerId, Network, Op, ShapeError};

/// torchvision's epsilon of MobileNet V3's batch norms.
const V3_EPS: f64 = 1e-3;

/// Convolution, batch norm and perhaps an activation, called `NAME.0`, `.1`, `.2`.
struct Unit {
    name: String,
    out: usize,
    kernel: usize,
    stride: usize,
    groups: usize,
    eps: f64,
    activation: Option<Op>,
}

fn unit(b: &mut Builder, x: LayerId, u: Unit) -> LayerId {
    let x = b.conv(format!("{}.0", u.name), x, u.out, u.kernel, u.stride, u.kernel / 2, u.groups);
    let x = b.batch_norm_eps(format!("{}.1", u.name), x, u.eps);
    match u.activation {
        Some(op) => b.then(format!("{}.2", u.name), op, x),
        None => x,
    }
}

fn first_stride(o: &Options) -> usize {
    if o.stem == Stem::Imagenet { 2 } else { 1 }
}

fn head(b: &mut Builder, x: LayerId) -> LayerId {
    let x = b.global_avg_pool("avgpool", x);
    b.flatten("flatten", x)
}

pub(super) fn mobilenet_v2(o: &Options) -> Result<Network, ShapeError> {
    // Expansion, channels, repeats, stride: table 2 of the paper.
    let settings = [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)];
    let relu6 = Some(Op::Relu6);
    let plain =
        |name: String, out, kernel, stride, groups| Unit { name, out, kernel, stride, groups, eps: 1e-5, activation: relu6.clone() };
    let mut b = Builder::new();
    let mut x = b.input(o.input);
    let mut channels = divisible(32, o.width);
    x = unit(&mut b, x, plain("features.0".into(), channels, 3, first_stride(o), 1));
    let mut index = 0;
    for (expand, out, repeats, stride) in settings {
        for repeat in 0..repeats {
            index += 1;
            let name = format!("features.{index}.conv");
            let (out, stride) = (divisible(out, o.width), if repeat == 0 { stride } else { 1 });
            let hidden = channels * expand;
            let entry = x;
            let mut place = 0;
            if expand != 1 {
                x = unit(&mut b, x, plain(format!("{name}.0"), hidden, 1, 1, 1));
                place += 1;
            }
            x = unit(&mut b, x, plain(format!("{name}.{place}"), hidden, 3, stride, hidden));
            x = b.conv(format!("{name}.{}", place + 1), x, out, 1, 1, 0, 1);
            x = b.batch_norm(format!("{name}.{}", place + 2), x);
            if stride == 1 && channels == out {
                x = b.add(format!("features.{index}.add"), entry, x);
            }
            channels = out;
        }
    }
    x = unit(&mut b, x, plain("features.18".into(), divisible(1280, o.width.max(1.0)), 1, 1, 1));
    x = head(&mut b, x);
    x = b.then("classifier.0", Op::Dropout { p: 0.2 }, x);
    x = b.linear("classifier.1", x, o.classes);
    b.finish(x)
}

/// Kernel, expanded and output channels, squeeze-and-excite, hard swish (else ReLU), stride.
type V3Block = (usize, usize, usize, bool, bool, usize);

pub(super) fn mobilenet_v3_large(o: &Options) -> Result<Network, ShapeError> {
    let blocks = [
        (3, 16, 16, false, false, 1),
        (3, 64, 24, false, false, 2),
        (3, 72, 24, false, false, 1),
        (5, 72, 40, true, false, 2),
        (5, 120, 40, true, false, 1),
        (5, 120, 40, true, false, 1),
        (3, 240, 80, false, true, 2),
        (3, 200, 80, false, true, 1),
        (3, 184, 80, false, true, 1),
        (3, 184, 80, false, true, 1),
        (3, 480, 112, true, true, 1),
        (3, 672, 112, true, true, 1),
        (5, 672, 160, true, true, 2),
        (5, 960, 160, true, true, 1),
        (5, 960, 160, true, true, 1),
    ];
    mobilenet_v3(&blocks, 1280, o)
}

pub(super) fn mobilenet_v3_small(o: &Options) -> Result<Network, ShapeError> {
    let blocks = [
        (3, 16, 16, true, false, 2),
        (3, 72, 24, false, false, 2),
        (3, 88, 24, false, false, 1),
        (5, 96, 40, true, true, 2),
        (5, 240, 40, true, true, 1),
        (5, 240, 40, true, true, 1),
        (5, 120, 48, true, true, 1),
        (5, 144, 48, true, true, 1),
        (5, 288, 96, true, true, 2),
        (5, 576, 96, true, true, 1),
        (5, 576, 96, true, true, 1),
    ];
    mobilenet_v3(&blocks, 1024, o)
}

fn mobilenet_v3(blocks: &[V3Block], last: usize, o: &Options) -> Result<Network, ShapeError> {
    let mut b = Builder::new();
    let mut x = b.input(o.input);
    let mut channels = divisible(16, o.width);
    let swish = Some(Op::HardSwish);
    let v3 = |name: String, out, kernel, stride, groups, activation| Unit { name, out, kernel, stride, groups, eps: V3_EPS, activation };
    x = unit(&mut b, x, v3("features.0".into(), channels, 3, first_stride(o), 1, swish.clone()));
    for (index, &(kernel, hidden, out, excite, hard, stride)) in blocks.iter().enumerate() {
        let name = format!("features.{}.block", index + 1);
        let activation = || Some(if hard { Op::HardSwish } else { Op::Relu });
        let (hidden, out) = (divisible(hidden, o.width), divisible(out, o.width));
        let entry = x;
        let mut place = 0;
        if hidden != channels {
            x = unit(&mut b, x, v3(format!("{name}.0"), hidden, 1, 1, 1, activation()));
            place += 1;
        }
        x = unit(&mut b, x, v3(format!("{name}.{place}"), hidden, kernel, stride, hidden, activation()));
        place += 1;
        if excite {
            let squeeze = divisible(hidden / 4, 1.0);
            x = b.squeeze_excite(&format!("{name}.{place}"), x, squeeze, hidden, Op::Relu, Op::hard_sigmoid());
            place += 1;
        }
        x = unit(&mut b, x, v3(format!("{name}.{place}"), out, 1, 1, 1, None));
        if stride == 1 && channels == out {
            x = b.add(format!("features.{}.add", index + 1), x, entry);
        }
        channels = out;
    }
    x = unit(&mut b, x, v3(format!("features.{}", blocks.len() + 1), 6 * channels, 1, 1, 1, swish));
    x = head(&mut b, x);
    x = b.linear("classifier.0", x, divisible(last, o.width));
    x = b.then("classifier.1", Op::HardSwish, x);
    x = b.then("classifier.2", Op::Dropout { p: 0.2 }, x);
    x = b.linear("classifier.3", x, o.classes);
    b.finish(x)
}

pub(super) fn efficientnet_b0(o: &Options) -> Result<Network, ShapeError> {
    // Expansion, kernel, stride, channels, repeats: table 1 of the paper.
    let stages =
        [(1, 3, 1, 16, 1), (6, 3, 2, 24, 2), (6, 5, 2, 40, 2), (6, 3, 2, 80, 3), (6, 5, 1, 112, 3), (6, 5, 2, 192, 4), (6, 3, 1, 320, 1)];
    let mut b = Builder::new();
    let mut x = b.input(o.input);
    let mut channels = divisible(32, o.width);
    let mb = |name: String, out, kernel, stride, groups, activation| Unit { name, out, kernel, stride, groups, eps: 1e-5, activation };
    let silu = || Some(Op::Silu);
    x = unit(&mut b, x, mb("features.0".into(), channels, 3, first_stride(o), 1, silu()));
    for (stage, (expand, kernel, stride, out, repeats)) in stages.into_iter().enumerate() {
        for repeat in 0..repeats {
            let place = format!("features.{}.{repeat}", stage + 1);
            let name = format!("{place}.block");
            let (out, stride) = (divisible(out, o.width), if repeat == 0 { stride } else { 1 });
            let hidden = divisible(channels * expand, 1.0);
            let entry = x;
            let mut part = 0;
            if hidden != channels {
                x = unit(&mut b, x, mb(format!("{name}.0"), hidden, 1, 1, 1, silu()));
                part += 1;
            }
            x = unit(&mut b, x, mb(format!("{name}.{part}"), hidden, kernel, stride, hidden, silu()));
            x = b.squeeze_excite(&format!("{name}.{}", part + 1), x, (channels / 4).max(1), hidden, Op::Silu, Op::Sigmoid);
            x = unit(&mut b, x, mb(format!("{name}.{}", part + 2), out, 1, 1, 1, None));
            if stride == 1 && channels == out {
                x = b.add(format!("{place}.add"), x, entry);
            }
            channels = out;
        }
    }
    x = unit(&mut b, x, mb("features.8".into(), 4 * channels, 1, 1, 1, silu()));
    x = head(&mut b, x);
    x = b.then("classifier.0", Op::Dropout { p: 0.2 }, x);
    x = b.linear("classifier.1", x, o.classes);
    b.finish(x)
}

/// `alpha` is part of the name; the document's width multiplies it.
pub(super) fn mnasnet(alpha: f64, o: &Options) -> Result<Network, ShapeError> {
    let wide = |channels| divisible(channels, alpha * o.width);
    let mut b = Builder::new();
    let mut x = b.input(o.input);
    let mut index = 0;
    let mut conv = |b: &mut Builder, x, out, kernel, stride, groups, activated: bool| {
        let x = b.conv(format!("layers.{index}"), x, out, kernel, stride, kernel / 2, groups);
        let x = b.batch_norm(format!("layers.{}", index + 1), x);
        index += if activated { 3 } else { 2 };
        if activated { b.relu(format!("layers.{}", index - 1), x) } else { x }
    };
    x = conv(&mut b, x, wide(32), 3, first_stride(o), 1, true);
    x = conv(&mut b, x, wide(32), 3, 1, wide(32), true);
    let mut channels = wide(16);
    x = conv(&mut b, x, channels, 1, 1, 1, false);
    // Channels, kernel, stride, expansion, repeats: figure 7 of the paper.
    for (stack, (out, kernel, stride, expand, repeats)) in
        [(24, 3, 2, 3, 3), (40, 5, 2, 3, 3), (80, 5, 2, 6, 3), (96, 3, 1, 6, 2), (192, 5, 2, 6, 4), (320, 3, 1, 6, 1)]
            .into_iter()
            .enumerate()
    {
        for repeat in 0..repeats {
            let place = format!("layers.{}.{repeat}", stack + 8);
            let name = |layer| format!("{place}.layers.{layer}");
            let (out, stride) = (wide(out), if repeat == 0 { stride } else { 1 });
            let hidden = channels * expand;
            let entry = x;
            x = b.conv(name(0), x, hidden, 1, 1, 0, 1);
            x = b.batch_norm(name(1), x);
            x = b.relu(name(2), x);
            x = b.conv(name(3), x, hidden, kernel, stride, kernel / 2, hidden);
            x = b.batch_norm(name(4), x);
            x = b.relu(name(5), x);
            x = b.conv(name(6), x, out, 1, 1, 0, 1);
            x = b.batch_norm(name(7), x);
            if stride == 1 && channels == out {
                x = b.add(format!("{place}.add"), x, entry);
            }
            channels = out;
        }
    }
    x = b.conv("layers.14", x, 1280, 1, 1, 0, 1);
    x = b.batch_norm("layers.15", x);
    x = b.relu("layers.16", x);
    x = head(&mut b, x);
    x = b.then("classifier.0", Op::Dropout { p: 0.2 }, x);
    x = b.linear("classifier.1", x, o.classes);
    b.finish(x)
}
