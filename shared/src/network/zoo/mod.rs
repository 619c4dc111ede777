//! Networks by name. Layers carry the names of the published PyTorch code.

mod mobilenet;
mod resnet;
mod vgg;

pub use mobilenet::mobilenet_v1;
pub use resnet::{ShortcutKind, plain20, resnet};
pub use vgg::{VggItem, vgg};

/// A layer's width under a width multiplier: rounded, at least 1.
fn scaled(channels: usize, width: f64) -> usize {
    ((channels as f64 * width).round() as usize).max(1)
}
