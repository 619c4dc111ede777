//! SqueezeNet (Iandola et al. 2016), as torchvision has it.

use super::{Options, scaled};
use crate::network::{Builder, LayerId, Network, Op, Pool2d, ShapeError};

/// Version 1.0.
pub(super) fn squeezenet1_0(o: &Options) -> Result<Network, ShapeError> {
    squeezenet(
        o,
        (96, 7),
        &[(3, 16, 64), (4, 16, 64), (5, 32, 128), (7, 32, 128), (8, 48, 192), (9, 48, 192), (10, 64, 256), (12, 64, 256)],
        &[2, 6, 11],
    )
}

/// Version 1.1, with 2.4 times less computation.
pub(super) fn squeezenet1_1(o: &Options) -> Result<Network, ShapeError> {
    squeezenet(
        o,
        (64, 3),
        &[(3, 16, 64), (4, 16, 64), (6, 32, 128), (7, 32, 128), (9, 48, 192), (10, 48, 192), (11, 64, 256), (12, 64, 256)],
        &[2, 5, 8],
    )
}

/// `fires` are (index, squeeze, expand), `pools` the indices of poolings.
fn squeezenet(
    o: &Options,
    (first, kernel): (usize, usize),
    fires: &[(usize, usize, usize)],
    pools: &[usize],
) -> Result<Network, ShapeError> {
    let mut b = Builder::new();
    let mut x = b.input(o.input);
    x = b.conv_bias("features.0", x, scaled(first, o.width), kernel, 2, 0);
    x = b.relu("features.1", x);
    let mut fires = fires.iter();
    for index in 2..=12 {
        let name = format!("features.{index}");
        x = match pools.contains(&index) {
            true => b.then(name, Op::MaxPool2d(Pool2d::square(3, 2, 0).ceil()), x),
            false => match fires.next() {
                Some(&(_, squeeze, expand)) => fire(&mut b, &name, x, scaled(squeeze, o.width), scaled(expand, o.width)),
                None => x,
            },
        };
    }
    x = b.then("classifier.0", Op::Dropout { p: 0.5 }, x);
    x = b.conv_bias("classifier.1", x, o.classes, 1, 1, 0);
    x = b.relu("classifier.2", x);
    x = b.global_avg_pool("classifier.3", x);
    x = b.flatten("flatten", x);
    b.finish(x)
}

fn fire(b: &mut Builder, name: &str, x: LayerId, squeeze: usize, expand: usize) -> LayerId {
    let x = b.conv_bias(format!("{name}.squeeze"), x, squeeze, 1, 1, 0);
    let x = b.relu(format!("{name}.squeeze_activation"), x);
    let branches = [1, 3].map(|kernel| {
        let y = b.conv_bias(format!("{name}.expand{kernel}x{kernel}"), x, expand, kernel, 1, kernel / 2);
        b.relu(format!("{name}.expand{kernel}x{kernel}_activation"), y)
    });
    b.add_layer(format!("{name}.concat"), Op::Concat, &branches)
}
