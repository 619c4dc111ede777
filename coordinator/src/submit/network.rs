//! The dense network of a document.

use pleach_shared::network::zoo::{ShortcutKind, VggItem, mobilenet_v1, plain20, resnet, vgg};
use pleach_shared::network::{Network, ShapeError};
use pleach_shared::spec::{Model, Width, Zoo};

/// Builds the network; input and classes were taken from the data.
pub(super) fn build(model: &Model) -> Result<Network, ShapeError> {
    let input = model.input.unwrap_or_default();
    let classes = model.classes.unwrap_or_default();
    let width = model.width.unwrap_or(1.0);
    let shortcut = model.shortcut.unwrap_or(ShortcutKind::A);
    match model.zoo {
        Zoo::Vgg => {
            let item = |width: &Width| match *width {
                Width::Channels(channels) => VggItem::Conv(channels),
                Width::Pool(_) => VggItem::MaxPool,
            };
            vgg(&model.widths.iter().flatten().map(item).collect::<Vec<_>>(), input, classes)
        }
        Zoo::Plain20 => plain20(width, input, classes),
        Zoo::Resnet20 => resnet(20, width, shortcut, input, classes),
        Zoo::Resnet32 => resnet(32, width, shortcut, input, classes),
        Zoo::Resnet44 => resnet(44, width, shortcut, input, classes),
        Zoo::Resnet56 => resnet(56, width, shortcut, input, classes),
        Zoo::MobilenetV1 => mobilenet_v1(width, input, classes),
    }
}
