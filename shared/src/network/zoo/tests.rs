//! Every network against torchvision 0.29: the published figures, and the names and shapes of its state dict.

use super::*;
use crate::network::Network;

/// Name, `meta["num_params"]` and `meta["_ops"]` (billions of multiply-accumulates) of the default weights (regnet_y_128gf:
/// IMAGENET1K_SWAG_LINEAR_V1, the only ones for 224x224), and the 64-bit FNV-1a hash of the sorted lines "NAME [SHAPE]\n" of the
/// state dict without `num_batches_tracked`:
///
/// ```python
/// weights = torchvision.models.get_model_weights(name).DEFAULT
/// model = torchvision.models.get_model(name, weights=None)   # googlenet: aux_logits=False
/// text = "".join(sorted(f"{k} {list(v.shape)}\n" for k, v in model.state_dict().items() if "num_batches" not in k))
/// hash = 0xcbf29ce484222325
/// for byte in text.encode(): hash = (hash ^ byte) * 0x100000001b3 % 2**64
/// ```
const TORCHVISION: &[(&str, u64, f64, u64)] = &[
    ("alexnet", 61100840, 0.714, 0x8aef27c5a301d050),
    ("vgg11", 132863336, 7.609, 0x288d104ae091ee95),
    ("vgg13", 133047848, 11.308, 0x202f819ed780229c),
    ("vgg16", 138357544, 15.47, 0xc28928e39d007d16),
    ("vgg19", 143667240, 19.632, 0x36d33bf295df503e),
    ("vgg11_bn", 132868840, 7.609, 0x2cb705fcd5276415),
    ("vgg13_bn", 133053736, 11.308, 0x524f736b7e3a2262),
    ("vgg16_bn", 138365992, 15.47, 0x6368e90fc80717fb),
    ("vgg19_bn", 143678248, 19.632, 0x1d6a738f80881bcc),
    ("resnet18", 11689512, 1.814, 0x18b056aa6aa6fea6),
    ("resnet34", 21797672, 3.664, 0xd3f20fb1a6ebec98),
    ("resnet50", 25557032, 4.089, 0xd296b015caae1553),
    ("resnet101", 44549160, 7.801, 0x53debe4338494eae),
    ("resnet152", 60192808, 11.514, 0x0ccbb95c5a956870),
    ("resnext50_32x4d", 25028904, 4.23, 0x738d0374af5a481a),
    ("resnext101_32x8d", 88791336, 16.414, 0xc67f73db84086a41),
    ("wide_resnet50_2", 68883240, 11.398, 0xb99d26688c0662c7),
    ("wide_resnet101_2", 126886696, 22.753, 0x1a33094f5506400e),
    ("mobilenet_v2", 3504872, 0.301, 0xaf557b53cb3d00c9),
    ("mobilenet_v3_large", 5483032, 0.217, 0xd5f7c86beec25bb6),
    ("mobilenet_v3_small", 2542856, 0.057, 0x6208068dd86c7dd7),
    ("efficientnet_b0", 5288548, 0.386, 0x5c246a99fb3ce69c),
    ("densenet121", 7978856, 2.834, 0xfb867ca594e79589),
    ("densenet169", 14149480, 3.36, 0x9fa8eb9bb9be01b1),
    ("densenet201", 20013928, 4.291, 0x9c5a75447d0a94cb),
    ("googlenet", 6624904, 1.498, 0xd726c0456cada851),
    ("squeezenet1_0", 1248424, 0.819, 0x77f63d8f9f16a555),
    ("squeezenet1_1", 1235496, 0.349, 0xb3e214f6c5863cf2),
    ("shufflenet_v2_x0_5", 1366792, 0.04, 0xd24822d84571f90b),
    ("shufflenet_v2_x1_0", 2278604, 0.145, 0xc11eab984ed13fd7),
    ("shufflenet_v2_x1_5", 3503624, 0.296, 0x39d94f7c31518571),
    ("shufflenet_v2_x2_0", 7393996, 0.583, 0x77fee543d045edc0),
    ("mnasnet0_5", 2218512, 0.104, 0x75da5b78f1a2e67e),
    ("mnasnet0_75", 3170208, 0.215, 0x8c8f127df5bc0cc0),
    ("mnasnet1_0", 4383312, 0.314, 0x2e46a1139d6e6ce6),
    ("mnasnet1_3", 6282256, 0.526, 0xa83d0177346b41fa),
    ("regnet_y_400mf", 4344144, 0.402, 0xa46c6c12a7fd4d70),
    ("regnet_y_800mf", 6432512, 0.834, 0x89cede16989a4103),
    ("regnet_y_1_6gf", 11202430, 1.612, 0x05a6e986d9cf328c),
    ("regnet_y_3_2gf", 19436338, 3.176, 0xcb71e2d6056c123f),
    ("regnet_y_8gf", 39381472, 8.473, 0x07b441337ceea004),
    ("regnet_y_16gf", 83590140, 15.912, 0x8e6399aea1d0cbcd),
    ("regnet_y_32gf", 145046770, 32.28, 0xdca663ade477c320),
    ("regnet_y_128gf", 644812894, 127.518, 0xefeb6f0aac3e26d1),
    ("regnet_x_400mf", 5495976, 0.414, 0xcc33f24889ae44ce),
    ("regnet_x_800mf", 7259656, 0.8, 0x28f6d15a3c0f3a1b),
    ("regnet_x_1_6gf", 9190136, 1.603, 0x5846726c5fa4682f),
    ("regnet_x_3_2gf", 15296552, 3.177, 0x685c9ca9df86a7a3),
    ("regnet_x_8gf", 39572648, 7.995, 0x932069a4bdc2ce27),
    ("regnet_x_16gf", 54278536, 15.941, 0x5f3adaf2335e4698),
    ("regnet_x_32gf", 107811560, 31.736, 0xa8292d1dc52c52ff),
];

fn published(name: &str) -> Network {
    let entry = find(name).unwrap();
    entry.build(&Options { input: entry.default_input(), classes: entry.default_classes(), ..Options::default() }).unwrap()
}

fn fnv1a(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[test]
fn macs_and_parameters_are_the_published_figures() {
    for &(name, params, billions, _) in TORCHVISION {
        let cost = published(name).cost().unwrap();
        assert_eq!(cost.params, params, "{name}");
        // The figures have three decimals.
        assert!((cost.macs as f64 / 1e9 - billions).abs() <= 0.000_501, "{name}: {} and {billions}", cost.macs as f64 / 1e9);
    }
}

#[test]
fn tensors_are_called_and_shaped_as_in_the_state_dict() {
    for &(name, _, _, hash) in TORCHVISION {
        let parameters = published(name).parameters().unwrap();
        let mut lines: Vec<String> = parameters.iter().map(|p| format!("{} {:?}\n", p.name, p.shape)).collect();
        lines.sort();
        assert_eq!(fnv1a(&lines.concat()), hash, "{name}:\n{}", lines[..lines.len().min(12)].concat());
    }
}

#[test]
fn every_network_has_groups_and_takes_its_options() {
    for entry in all() {
        let widths = if entry.takes.widths { vec![VggItem::Conv(8), VggItem::MaxPool, VggItem::Conv(8)] } else { Vec::new() };
        let (input, classes) = (entry.default_input(), entry.default_classes());
        let options = Options { widths, input, classes, ..Options::default() };
        let whole = entry.build(&options).unwrap();
        let groups = whole.groups().unwrap();
        assert!(groups.prunable().count() > 0, "{}", entry.name);
        if entry.takes.width {
            let narrow = entry.build(&Options { width: 0.25, ..options.clone() }).unwrap();
            assert!(narrow.cost().unwrap().params < whole.cost().unwrap().params, "{}", entry.name);
        }
        if entry.takes.stem {
            let small = entry.build(&Options { stem: Stem::Cifar, input: [3, 32, 32], classes: 10, ..options.clone() }).unwrap();
            assert_eq!(small.output_shape().unwrap(), [10], "{}", entry.name);
        }
        let mut names: Vec<&str> = whole.layers.iter().map(|layer| layer.name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), whole.layers.len(), "{}: names are unique", entry.name);
    }
}
