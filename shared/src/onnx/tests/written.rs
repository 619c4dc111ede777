//! What is written is read again as it was.

use super::*;
use crate::network::{Builder, Conv2d, Pool2d, zoo};

fn again(model: &Model) -> Model {
    import(export(model).unwrap(), &ImportOptions::default()).unwrap().model
}

#[test]
fn the_zoos_networks_survive_their_file() {
    let networks = [
        zoo::vgg(&[zoo::VggItem::Conv(4), zoo::VggItem::MaxPool, zoo::VggItem::Conv(6)], [3, 8, 8], 5).unwrap(),
        zoo::resnet(20, 0.25, zoo::ShortcutKind::A, [3, 32, 32], 10).unwrap(),
        zoo::resnet(20, 0.25, zoo::ShortcutKind::B, [3, 32, 32], 10).unwrap(),
        zoo::mobilenet_v1(0.25, [3, 64, 64], 10).unwrap(),
    ];
    for network in networks {
        let model = filled(network);
        assert_eq!(again(&model), model);
    }
}

/// A network of all operators but dropout.
pub(super) fn every_operator() -> Model {
    let mut b = Builder::new();
    let x = b.input([4, 12, 12]);
    let conv = Conv2d { out_channels: 6, kernel: [3, 2], stride: [2, 1], padding: [1, 0], dilation: [1, 2], groups: 2, bias: true };
    let mut last = b.add_layer("conv", Op::Conv2d(conv), &[x]);
    let average = Pool2d { count_include_pad: false, ..Pool2d::square(3, 1, 1) };
    let ops = [
        Op::BatchNorm2d { eps: 1e-3 },
        Op::Relu,
        Op::Relu6,
        Op::HardSwish,
        Op::Sigmoid,
        Op::hard_sigmoid(),
        Op::Silu,
        Op::Gelu,
        Op::Tanh,
        Op::LeakyRelu { slope: 0.01 },
        Op::Clip { min: -1.0, max: 0.5 },
        Op::Softmax,
        Op::MaxPool2d(Pool2d::square(3, 1, 1)),
        Op::AvgPool2d(average),
        Op::Select { channels: vec![5, 4, 3, 2, 1, 0] },
        Op::Select { channels: vec![1, 2, 3, 4] },
        Op::Pad { padding: [1, 2, 3, 4] },
        Op::AdaptiveAvgPool2d { size: [7, 5] },
        Op::Shortcut { stride: 2, sources: vec![None, Some(3), Some(3), None, Some(0)] },
        Op::Shortcut { stride: 1, sources: vec![None, Some(0), Some(1), Some(2), Some(3), Some(4), None] },
        Op::Shortcut { stride: 2, sources: (0..7).map(Some).collect() },
    ];
    for (index, op) in ops.into_iter().enumerate() {
        last = b.then(format!("op{index}"), op, last);
    }
    let sum = b.add_layer("sum", Op::Add, &[last, last, last]);
    let product = b.add_layer("product", Op::Mul, &[sum, last]);
    let joined = b.add_layer("joined", Op::Concat, &[product, last]);
    let pooled = b.global_avg_pool("pooled", joined);
    let flat = b.flatten("flat", pooled);
    let scores = b.linear("scores", flat, 3);
    let mut network = b.finish(scores).unwrap();
    network.outputs.push(joined);
    filled(network)
}

#[test]
fn every_operator_survives_its_file() {
    let model = every_operator();
    assert_eq!(again(&model), model);
}

#[test]
fn dropout_is_left_out_and_an_adaptive_pooling_of_even_windows_is_an_average_pooling() {
    let mut b = Builder::new();
    let x = b.input([2, 8, 8]);
    let x = b.then("drop", Op::Dropout { p: 0.5 }, x);
    let x = b.then("pool", Op::AdaptiveAvgPool2d { size: [4, 2] }, x);
    let x = b.then("same", Op::AdaptiveAvgPool2d { size: [4, 2] }, x);
    let network = b.finish(x).unwrap();
    let again = again(&filled(network));
    let names: Vec<&str> = again.network.layers.iter().map(|layer| layer.name.as_str()).collect();
    assert_eq!(names, ["input", "pool"]);
    assert!(matches!(&again.network.layers[1].op, Op::AvgPool2d(pool) if pool.kernel == [2, 4]));
}

#[test]
fn a_model_without_a_tensor_is_not_written() {
    let mut model = filled(zoo::vgg(&[zoo::VggItem::Conv(4)], [3, 8, 8], 5).unwrap());
    model.tensors.remove("classifier.bias");
    assert_eq!(export(&model).unwrap_err().to_string(), "tensor `classifier.bias` is missing");
}

#[test]
fn tract_runs_what_is_written() {
    use tract_onnx::prelude::*;
    let bytes = export(&every_operator()).unwrap();
    let mut model = tract_onnx::onnx().model_for_read(&mut bytes.as_slice()).unwrap();
    model.set_input_fact(0, f32::fact([1, 4, 12, 12]).into()).unwrap();
    let image = Tensor::from_shape(&[1, 4, 12, 12], &[0.5f32; 576]).unwrap();
    let outputs = model.into_optimized().unwrap().into_runnable().unwrap().run(tvec!(image.into())).unwrap();
    let shapes: Vec<&[usize]> = outputs.iter().map(|output| output.shape()).collect();
    assert_eq!(shapes, [&[1, 3][..], &[1, 14, 2, 2]]);
}
