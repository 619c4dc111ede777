//! Networks by name. Layers carry the names of the published PyTorch code, torchvision's where it has the network, so
//! that its state dicts are these networks' weights.

mod alexnet;
mod densenet;
mod googlenet;
mod inverted;
mod mobilenet;
mod registry;
mod regnet;
mod resnet;
mod resnet_imagenet;
mod shufflenet;
mod squeezenet;
#[cfg(test)]
mod tests;
mod vgg;
mod vgg_imagenet;

pub use mobilenet::mobilenet_v1;
pub use registry::{Entry, Options, Stem, Takes, all, find};
pub use resnet::{ShortcutKind, plain20, resnet};
pub use vgg::{VggItem, vgg};

use alexnet::alexnet;
use densenet::densenet;
use googlenet::googlenet;
use inverted::{efficientnet_b0, mnasnet, mobilenet_v2, mobilenet_v3_large, mobilenet_v3_small};
use mobilenet::mobilenet_v1_stem;
use regnet::regnet;
use resnet_imagenet::{Kind, resnet_imagenet};
use shufflenet::shufflenet_v2;
use squeezenet::{squeezenet1_0, squeezenet1_1};
use vgg_imagenet::vgg_imagenet;

/// A layer's width under a width multiplier: rounded, at least 1.
fn scaled(channels: usize, width: f64) -> usize {
    ((channels as f64 * width).round() as usize).max(1)
}

/// torchvision's `_make_divisible(channels * width, 8)`: the nearest multiple of 8, but at most a tenth below.
fn divisible(channels: usize, width: f64) -> usize {
    let wanted = channels as f64 * width;
    let nearest = (((wanted + 4.0) / 8.0).floor() as usize * 8).max(8);
    if (nearest as f64) < 0.9 * wanted { nearest + 8 } else { nearest }
}
