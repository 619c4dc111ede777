//! Networks by name.

use super::*;
use crate::network::{Network, ShapeError};
use serde::{Deserialize, Serialize};

/// How the first layers shrink the image.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stem {
    /// As published, for images of about 224x224.
    #[default]
    Imagenet,
    /// For small images: the first convolution keeps the size (3x3, stride 1) and no pooling follows it. Later strides stay.
    ///
    /// | family | as published | here |
    /// |---|---|---|
    /// | ResNet, ResNeXt, Wide ResNet, DenseNet | 7x7, stride 2, max pooling | 3x3, stride 1 |
    /// | ShuffleNet | 3x3, stride 2, max pooling | 3x3, stride 1 |
    /// | MobileNet, MNASNet, EfficientNet, RegNet | 3x3, stride 2 | 3x3, stride 1 |
    ///
    /// The others do not take it: CIFAR networks have no other stem; AlexNet, VGG, GoogLeNet and SqueezeNet shrink the image
    /// all along, or with a stem that has no usual small form.
    Cifar,
}

/// What a network is built from.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// `vgg` only: its layers.
    pub widths: Vec<VggItem>,
    /// Width multiplier. MobileNet V2 and V3, MNASNet and EfficientNet round to multiples of 8 as torchvision does; with the
    /// others every width is scaled and rounded, at least 1: a group's width with ResNeXt and RegNet, half of a stage with
    /// ShuffleNet, and the growth with DenseNet.
    pub width: f64,
    /// CIFAR ResNets only.
    pub shortcut: ShortcutKind,
    /// How the first layers shrink the image.
    pub stem: Stem,
    /// `[channels, height, width]`.
    pub input: [usize; 3],
    /// Outputs.
    pub classes: usize,
}

impl Default for Options {
    fn default() -> Options {
        let (shortcut, stem) = (ShortcutKind::A, Stem::Imagenet);
        Options { widths: Vec::new(), width: 1.0, shortcut, stem, input: [3, 224, 224], classes: 1000 }
    }
}

/// Which options a network understands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Takes {
    /// A list of widths.
    pub widths: bool,
    /// A width multiplier.
    pub width: bool,
    /// A kind of shortcut.
    pub shortcut: bool,
    /// A stem for small images.
    pub stem: bool,
}

/// A network of the zoo.
#[derive(Debug)]
pub struct Entry {
    /// Its name in documents: torchvision's, where it has one.
    pub name: &'static str,
    /// Which options it understands.
    pub takes: Takes,
    build: fn(&Options) -> Result<Network, ShapeError>,
}

impl Entry {
    /// Builds it. Options that it does not take are ignored.
    ///
    /// # Errors
    /// When the input is too small for its strides.
    pub fn build(&self, options: &Options) -> Result<Network, ShapeError> {
        (self.build)(options)
    }

    /// The input that it was published for.
    pub fn default_input(&self) -> [usize; 3] {
        if self.is_cifar() { [3, 32, 32] } else { [3, 224, 224] }
    }

    /// The classes that it was published for.
    pub fn default_classes(&self) -> usize {
        if self.is_cifar() { 10 } else { 1000 }
    }

    fn is_cifar(&self) -> bool {
        self.takes.shortcut || self.takes.widths || self.name == "plain20"
    }
}

/// The network of this name.
pub fn find(name: &str) -> Option<&'static Entry> {
    all().iter().find(|entry| entry.name == name)
}

/// All networks.
pub fn all() -> &'static [Entry] {
    ALL
}

const NOTHING: Takes = Takes { widths: false, width: false, shortcut: false, stem: false };
const WIDTH: Takes = Takes { width: true, ..NOTHING };
const STEM: Takes = Takes { stem: true, ..WIDTH };
const CIFAR: Takes = Takes { shortcut: true, ..WIDTH };

const fn entry(name: &'static str, takes: Takes, build: fn(&Options) -> Result<Network, ShapeError>) -> Entry {
    Entry { name, takes, build }
}

const ALL: &[Entry] = &[
    entry("vgg", Takes { widths: true, ..NOTHING }, |o| vgg(&o.widths, o.input, o.classes)),
    entry("plain20", WIDTH, |o| plain20(o.width, o.input, o.classes)),
    entry("resnet20", CIFAR, |o| resnet(20, o.width, o.shortcut, o.input, o.classes)),
    entry("resnet32", CIFAR, |o| resnet(32, o.width, o.shortcut, o.input, o.classes)),
    entry("resnet44", CIFAR, |o| resnet(44, o.width, o.shortcut, o.input, o.classes)),
    entry("resnet56", CIFAR, |o| resnet(56, o.width, o.shortcut, o.input, o.classes)),
    entry("alexnet", WIDTH, alexnet),
    entry("vgg11", WIDTH, |o| vgg_imagenet(11, false, o)),
    entry("vgg13", WIDTH, |o| vgg_imagenet(13, false, o)),
    entry("vgg16", WIDTH, |o| vgg_imagenet(16, false, o)),
    entry("vgg19", WIDTH, |o| vgg_imagenet(19, false, o)),
    entry("vgg11_bn", WIDTH, |o| vgg_imagenet(11, true, o)),
    entry("vgg13_bn", WIDTH, |o| vgg_imagenet(13, true, o)),
    entry("vgg16_bn", WIDTH, |o| vgg_imagenet(16, true, o)),
    entry("vgg19_bn", WIDTH, |o| vgg_imagenet(19, true, o)),
    entry("resnet18", STEM, |o| resnet_imagenet(Kind::Basic, [2, 2, 2, 2], 1, 64, o)),
    entry("resnet34", STEM, |o| resnet_imagenet(Kind::Basic, [3, 4, 6, 3], 1, 64, o)),
    entry("resnet50", STEM, |o| resnet_imagenet(Kind::Bottleneck, [3, 4, 6, 3], 1, 64, o)),
    entry("resnet101", STEM, |o| resnet_imagenet(Kind::Bottleneck, [3, 4, 23, 3], 1, 64, o)),
    entry("resnet152", STEM, |o| resnet_imagenet(Kind::Bottleneck, [3, 8, 36, 3], 1, 64, o)),
    entry("resnext50_32x4d", STEM, |o| resnet_imagenet(Kind::Bottleneck, [3, 4, 6, 3], 32, 4, o)),
    entry("resnext101_32x8d", STEM, |o| resnet_imagenet(Kind::Bottleneck, [3, 4, 23, 3], 32, 8, o)),
    entry("wide_resnet50_2", STEM, |o| resnet_imagenet(Kind::Bottleneck, [3, 4, 6, 3], 1, 128, o)),
    entry("wide_resnet101_2", STEM, |o| resnet_imagenet(Kind::Bottleneck, [3, 4, 23, 3], 1, 128, o)),
    entry("mobilenet_v1", STEM, mobilenet_v1_stem),
    entry("mobilenet_v2", STEM, mobilenet_v2),
    entry("mobilenet_v3_large", STEM, mobilenet_v3_large),
    entry("mobilenet_v3_small", STEM, mobilenet_v3_small),
    entry("efficientnet_b0", STEM, efficientnet_b0),
    entry("densenet121", STEM, |o| densenet([6, 12, 24, 16], 32, 64, o)),
    entry("densenet169", STEM, |o| densenet([6, 12, 32, 32], 32, 64, o)),
    entry("densenet201", STEM, |o| densenet([6, 12, 48, 32], 32, 64, o)),
    entry("googlenet", WIDTH, googlenet),
    entry("squeezenet1_0", WIDTH, squeezenet1_0),
    entry("squeezenet1_1", WIDTH, squeezenet1_1),
    entry("shufflenet_v2_x0_5", STEM, |o| shufflenet_v2([24, 48, 96, 192, 1024], o)),
    entry("shufflenet_v2_x1_0", STEM, |o| shufflenet_v2([24, 116, 232, 464, 1024], o)),
    entry("shufflenet_v2_x1_5", STEM, |o| shufflenet_v2([24, 176, 352, 704, 1024], o)),
    entry("shufflenet_v2_x2_0", STEM, |o| shufflenet_v2([24, 244, 488, 976, 2048], o)),
    entry("mnasnet0_5", STEM, |o| mnasnet(0.5, o)),
    entry("mnasnet0_75", STEM, |o| mnasnet(0.75, o)),
    entry("mnasnet1_0", STEM, |o| mnasnet(1.0, o)),
    entry("mnasnet1_3", STEM, |o| mnasnet(1.3, o)),
    entry("regnet_y_400mf", STEM, |o| regnet(16, 48.0, 27.89, 2.09, 8, true, o)),
    entry("regnet_y_800mf", STEM, |o| regnet(14, 56.0, 38.84, 2.4, 16, true, o)),
    entry("regnet_y_1_6gf", STEM, |o| regnet(27, 48.0, 20.71, 2.65, 24, true, o)),
    entry("regnet_y_3_2gf", STEM, |o| regnet(21, 80.0, 42.63, 2.66, 24, true, o)),
    entry("regnet_y_8gf", STEM, |o| regnet(17, 192.0, 76.82, 2.19, 56, true, o)),
    entry("regnet_y_16gf", STEM, |o| regnet(18, 200.0, 106.23, 2.48, 112, true, o)),
    entry("regnet_y_32gf", STEM, |o| regnet(20, 232.0, 115.89, 2.53, 232, true, o)),
    entry("regnet_y_128gf", STEM, |o| regnet(27, 456.0, 160.83, 2.52, 264, true, o)),
    entry("regnet_x_400mf", STEM, |o| regnet(22, 24.0, 24.48, 2.54, 16, false, o)),
    entry("regnet_x_800mf", STEM, |o| regnet(16, 56.0, 35.73, 2.28, 16, false, o)),
    entry("regnet_x_1_6gf", STEM, |o| regnet(18, 80.0, 34.01, 2.25, 24, false, o)),
    entry("regnet_x_3_2gf", STEM, |o| regnet(25, 88.0, 26.31, 2.25, 48, false, o)),
    entry("regnet_x_8gf", STEM, |o| regnet(23, 80.0, 49.56, 2.88, 120, false, o)),
    entry("regnet_x_16gf", STEM, |o| regnet(22, 216.0, 55.59, 2.1, 128, false, o)),
    entry("regnet_x_32gf", STEM, |o| regnet(23, 320.0, 69.86, 2.0, 168, false, o)),
];
