//! What single nodes, and groups of them, become.

use super::*;
use crate::network::Pool2d;

const IMAGE: &[i64] = &[-1, 4, 8, 8];

#[test]
fn a_layer_is_called_as_its_weight_or_else_as_its_nodes_module() {
    let graph = Graph::new(IMAGE)
        .named("/Conv_7", "Conv", &["x", "stem.0.weight"], "a")
        .weights("stem.0.weight", &[4, 4, 1, 1])
        .named("/layer1/layer1.0/conv1/Conv", "Conv", &["a", "onnx::Conv_193"], "b")
        .weights("onnx::Conv_193", &[4, 4, 1, 1])
        .named("/layer1/layer1.0/Add", "Add", &["a", "b"], "c")
        .named("/features/features.0/Conv", "Conv", &["c", "onnx::Conv_194"], "d")
        .weights("onnx::Conv_194", &[4, 4, 1, 1])
        .named("", "Relu", &["d"], "e")
        .named("/Relu_1", "Relu", &["e"], "y");
    let names: Vec<String> = graph.model().network.layers.into_iter().map(|layer| layer.name).collect();
    assert_eq!(names, ["x", "stem.0", "layer1.0.conv1", "layer1.0.add", "features.0", "relu_4", "relu_1"]);
}

#[test]
fn a_weight_of_two_layers_is_in_the_model_twice() {
    let graph =
        Graph::new(IMAGE).node("Conv", &["x", "c.weight"], "a").node("Conv", &["a", "c.weight"], "y").weights("c.weight", &[4, 4, 1, 1]);
    let model = graph.model();
    assert_eq!(model.tensors["c.weight"], model.tensors["c_1.weight"]);
}

#[test]
fn uneven_pads_are_a_layer_unless_the_odd_row_is_never_read() {
    let conv = |pads: &[i64]| {
        let graph = Graph::new(&[1, 1, 8, 8]).node("Conv", &["x", "c.weight"], "y").weights("c.weight", &[1, 1, 3, 3]);
        graph.ints("strides", &[2, 2]).ints("pads", pads).layers()
    };
    assert_eq!(conv(&[0, 0, 1, 1]), ["c.pad: Pad", "c: Conv2d"]);
    assert_eq!(conv(&[1, 1, 0, 0]), ["c: Conv2d"], "eight and one before are three windows more at most");
    let graph = Graph::new(&[1, 1, 8, 8]).node("Conv", &["x", "c.weight"], "y").weights("c.weight", &[1, 1, 3, 3]);
    let same = graph.ints("strides", &[2, 2]).text("auto_pad", "SAME_UPPER");
    assert!(matches!(&same.model().network.layers[1].op, Op::Pad { padding: [0, 0, 1, 1] }));
    let pool = Graph::new(&[1, 1, 8, 8]).node("MaxPool", &["x"], "y").ints("kernel_shape", &[3, 3]).ints("strides", &[2, 2]);
    assert_eq!(pool.ints("pads", &[0, 0, 1, 1]).last(), Op::MaxPool2d(Pool2d::square(3, 2, 0).ceil()), "what hangs over is cut off");
}

#[test]
fn a_matrix_product_and_a_sum_are_a_linear_layer() {
    let graph = Graph::new(&[-1, 3]).node("MatMul", &["x", "w"], "a").node("Add", &["b", "a"], "y").weights("w", &[3, 2]).floats(
        "b",
        &[2],
        &[7.0, 8.0],
    );
    let model = graph.model();
    assert_eq!(model.network.layers[1].op, Op::Linear { out_features: 2, bias: true });
    assert_eq!(model.tensors["a.weight"].data, [0.0, 2.0, 4.0, 1.0, 3.0, 5.0]);
    assert_eq!(model.tensors["a.bias"].data, [7.0, 8.0]);
    let gemm = Graph::new(&[-1, 3]).node("Gemm", &["x", "fc.weight", "b"], "y").float("alpha", 2.0).float("beta", 3.0).int("transB", 1);
    let model = gemm.weights("fc.weight", &[2, 3]).floats("b", &[1], &[1.0]).model();
    assert_eq!(model.tensors["fc.weight"].data, [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
    assert_eq!(model.tensors["fc.bias"].data, [3.0, 3.0]);
}

#[test]
fn spelt_out_activations_are_put_together_again() {
    let constants = |graph: Graph| {
        graph
            .floats("0", &[], &[0.0])
            .floats("3", &[], &[3.0])
            .floats("6", &[], &[6.0])
            .floats("1", &[], &[1.0])
            .floats("half", &[], &[0.5])
            .floats("root", &[], &[std::f32::consts::SQRT_2])
    };
    let relu6 = || constants(Graph::new(IMAGE)).node("Add", &["x", "3"], "a").node("Clip", &["a", "0", "6"], "b");
    let hard_swish = relu6().node("Mul", &["x", "b"], "c").node("Div", &["c", "6"], "y");
    assert_eq!(hard_swish.layers(), ["y: HardSwish"]);
    assert_eq!(relu6().node("Div", &["b", "6"], "c").node("Mul", &["x", "c"], "y").layers(), ["y: HardSwish"]);
    assert_eq!(relu6().node("Div", &["b", "6"], "y").last(), Op::hard_sigmoid());
    assert_eq!(Graph::new(IMAGE).node("Sigmoid", &["x"], "a").node("Mul", &["a", "x"], "y").layers(), ["y: SiLU"]);
    let erf = || constants(Graph::new(IMAGE)).node("Div", &["x", "root"], "a").node("Erf", &["a"], "b").node("Add", &["b", "1"], "c");
    assert_eq!(erf().node("Mul", &["x", "c"], "d").node("Mul", &["d", "half"], "y").layers(), ["y: GELU"]);
    assert_eq!(erf().node("Mul", &["x", "half"], "d").node("Mul", &["d", "c"], "y").layers(), ["y: GELU"]);
    assert_eq!(erf().node("Mul", &["c", "half"], "d").node("Mul", &["x", "d"], "y").layers(), ["y: GELU"]);
    let bounds = constants(Graph::new(IMAGE)).node("Max", &["x", "0"], "a").node("Min", &["a", "6"], "y");
    assert_eq!(bounds.layers(), ["y: ReLU6"]);
    assert_eq!(constants(Graph::new(IMAGE)).node("Clip", &["x", "1"], "y").last(), Op::Clip { min: 1.0, max: f64::from(f32::MAX) });
}

#[test]
fn constants_that_scale_and_shift_are_one_batch_norm() {
    let graph = Graph::new(&[-1, 2, 8, 8]).node("Sub", &["x", "mean"], "a").node("Div", &["a", "std"], "y");
    let model = graph.floats("mean", &[1, 2, 1, 1], &[1.0, 2.0]).floats("std", &[2, 1, 1], &[0.5, 0.25]).model();
    assert_eq!(model.network.layers[1].op, Op::BatchNorm2d { eps: 0.0 });
    assert_eq!((&model.tensors["y.weight"].data[..], &model.tensors["y.bias"].data[..]), (&[2.0, 4.0][..], &[-2.0, -8.0][..]));
}

#[test]
fn a_shuffle_is_a_choice_of_channels() {
    let graph = Graph::new(IMAGE).numbers("in", &[-1, 2, 2, 8, 8]).numbers("out", &[0, -1, 8, 8]).node("Reshape", &["x", "in"], "a");
    let graph = graph.node("Transpose", &["a"], "b").ints("perm", &[0, 2, 1, 3, 4]).node("Reshape", &["b", "out"], "y");
    assert_eq!(graph.last(), Op::Select { channels: vec![0, 2, 1, 3] });
}

#[test]
fn splits_and_slices_choose_channels() {
    let split = Graph::new(IMAGE).node("Split", &["x"], "a b").int("axis", 1).node("Concat", &["b", "a"], "y").int("axis", 1).model();
    let channels: Vec<&Op> = split.network.layers[1..3].iter().map(|layer| &layer.op).collect();
    assert_eq!(channels, [&Op::Select { channels: vec![0, 1] }, &Op::Select { channels: vec![2, 3] }]);
    let slice = Graph::new(IMAGE).numbers("from", &[-2]).numbers("to", &[i64::MAX]).numbers("axis", &[1]).node(
        "Slice",
        &["x", "from", "to", "axis"],
        "y",
    );
    assert_eq!(slice.last(), Op::Select { channels: vec![2, 3] });
}

#[test]
fn steps_and_channels_of_zeros_are_the_shortcut_of_cifar_resnets() {
    let graph = Graph::new(IMAGE).numbers("zero", &[0]).numbers("end", &[i64::MAX]).numbers("2", &[2]).numbers("3", &[3]);
    let graph = graph.node("Slice", &["x", "zero", "end", "2", "2"], "a").node("Slice", &["a", "zero", "end", "3", "2"], "b");
    let steps = Op::Shortcut { stride: 2, sources: [0, 1, 2, 3].map(Some).to_vec() };
    let padded = graph.numbers("pads", &[0, 1, 0, 0, 0, 2, 0, 0]).node("Pad", &["b", "pads"], "y");
    assert_eq!(padded.last(), Op::Shortcut { stride: 2, sources: vec![None, Some(0), Some(1), Some(2), Some(3), None, None] });
    assert_eq!(padded.node("Relu", &["b"], "z").model().network.layers.len(), 2, "the dead Relu is gone");
    let both = Graph::new(IMAGE).numbers("zeros", &[0, 0]).numbers("ends", &[8, 8]).numbers("axes", &[2, 3]).numbers("steps", &[2, 2]);
    assert_eq!(both.node("Slice", &["x", "zeros", "ends", "axes", "steps"], "y").last(), steps);
}

#[test]
fn a_flatten_through_the_shape_of_a_tensor_is_a_flatten() {
    let graph = Graph::new(IMAGE).node("Shape", &["x"], "s").number("zero", 0).node("Gather", &["s", "zero"], "n").numbers("axis", &[0]);
    let graph = graph.node("Unsqueeze", &["n", "axis"], "u").numbers("rest", &[-1]).node("Concat", &["u", "rest"], "t").int("axis", 0);
    assert_eq!(graph.node("Reshape", &["x", "t"], "y").layers(), ["y: Flatten"]);
    let fixed = Graph::new(&[8, 4, 2, 2]).numbers("t", &[8, -1]).node("Reshape", &["x", "t"], "y");
    assert_eq!(fixed.layers(), ["y: Flatten"], "a batch of eight was traced");
}

#[test]
fn a_mean_over_pixels_is_a_global_pooling() {
    let kept = Graph::new(IMAGE).node("ReduceMean", &["x"], "y").ints("axes", &[-1, 2]);
    assert_eq!(kept.layers(), ["y: GlobalAvgPool"]);
    let dropped = Graph::new(IMAGE).numbers("axes", &[2, 3]).node("ReduceMean", &["x", "axes"], "y").int("keepdims", 0).opset(18);
    assert_eq!(dropped.layers(), ["y: GlobalAvgPool", "y.flatten: Flatten"]);
}

#[test]
fn linear_layers_of_a_squeeze_and_excite_block_are_convolutions_of_one_pixel() {
    let graph =
        Graph::new(IMAGE).node("GlobalAveragePool", &["x"], "a").node("Flatten", &["a"], "b").node("Gemm", &["b", "fc1.weight"], "c");
    let graph =
        graph.node("Relu", &["c"], "d").node("Gemm", &["d", "fc2.weight"], "e").node("Sigmoid", &["e"], "f").numbers("axes", &[2, 3]);
    let graph = graph
        .node("Unsqueeze", &["f", "axes"], "g")
        .node("Mul", &["x", "g"], "y")
        .weights("fc1.weight", &[4, 2])
        .weights("fc2.weight", &[2, 4]);
    assert_eq!(graph.layers(), ["a: GlobalAvgPool", "fc1: Conv2d", "d: ReLU", "fc2: Conv2d", "f: Sigmoid", "y: Mul"]);
    assert_eq!(graph.model().tensors["fc1.weight"].shape, [2, 4, 1, 1]);
}

#[test]
fn half_floats_and_external_data_are_read_as_floats() {
    let half = TensorProto {
        name: "c.weight".into(),
        dims: vec![1, 4, 1, 1],
        data_type: 10,
        raw_data: [0, 0x3c].repeat(4),
        ..TensorProto::default()
    };
    let model = Graph::new(IMAGE).node("Conv", &["x", "c.weight"], "y").tensor(half).model();
    assert_eq!(model.tensors["c.weight"].data, [1.0; 4]);
    let brain = TensorProto {
        name: "c.weight".into(),
        dims: vec![1, 4, 1, 1],
        data_type: 16,
        int32_data: vec![0x3f80; 4],
        ..TensorProto::default()
    };
    assert_eq!(Graph::new(IMAGE).node("Conv", &["x", "c.weight"], "y").tensor(brain).model(), model);
}
