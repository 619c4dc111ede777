//! Files that are broken, or that say what no layer can do.

use super::*;
use proptest::prelude::*;
use std::io;
use tract_onnx::pb::StringStringEntryProto;

fn conv() -> Graph {
    Graph::new(&[-1, 1, 4, 4]).node("Conv", &["x", "c.weight"], "y")
}

fn message(graph: &Graph) -> String {
    graph.import().unwrap_err().to_string()
}

#[test]
fn all_operators_that_are_not_supported_are_listed_at_once() {
    let graph = Graph::new(&[-1, 4, 8, 8])
        .named("up1", "ConvTranspose", &["x", "w"], "a")
        .named("norm", "LayerNormalization", &["a"], "b")
        .named("up2", "ConvTranspose", &["b", "w"], "c")
        .named("crop", "Slice", &["x", "one", "end", "two"], "d")
        .numbers("one", &[1])
        .numbers("end", &[5])
        .numbers("two", &[2])
        .named("sum", "Add", &["c", "d"], "y");
    insta::assert_snapshot!(message(&graph), @"
    these operators are not supported:
      ConvTranspose: up1, up2
      LayerNormalization: norm
      Slice (crops rows or columns): crop
    ");
}

#[test]
fn an_open_size_asks_for_the_input_in_the_yaml() {
    let graph = Graph::new(&[-1, 3, -1, -1]).node("Relu", &["x"], "y");
    assert_eq!(
        message(&graph),
        "input `x` is [n, 3, n, n], and every size but the batch must be known: write `input: [C, H, W]` in the YAML"
    );
    let options = ImportOptions { input: Some([3, 5, 7]), ..ImportOptions::default() };
    assert_eq!(import(graph.bytes(), &options).unwrap().model.network.output_shape().unwrap(), [3, 5, 7]);
}

#[test]
fn weights_that_are_no_numbers_are_an_error_that_names_the_tensor() {
    let mut data = [1.0; 9];
    data[4] = f32::NAN;
    let nan = conv().floats("c.weight", &[1, 1, 3, 3], &data);
    assert_eq!(message(&nan), "tensor `c.weight` holds NaN at position 4; weights must be finite");
    let empty = conv().floats("c.weight", &[0, 1, 3, 3], &[]);
    assert_eq!(message(&empty), "tensor `c.weight` has no elements: its shape is [0, 1, 3, 3]");
    let short = conv().floats("c.weight", &[1, 1, 3, 3], &[1.0; 8]);
    assert!(message(&short).contains("needs 9 numbers, but holds 8"), "{}", message(&short));
}

fn external(location: &str) -> Graph {
    let entry = |key: &str, value: &str| StringStringEntryProto { key: key.into(), value: value.into() };
    let external_data = vec![entry("location", location), entry("offset", "8"), entry("length", "36")];
    let (name, dims) = ("c.weight".into(), vec![1, 1, 3, 3]);
    conv().tensor(TensorProto { name, dims, data_type: 1, data_location: Some(1), external_data, ..TensorProto::default() })
}

#[test]
fn weights_in_another_file_are_read_through_the_caller() {
    let read = |file: &str, offset: u64, length: usize| match file {
        "w.bin" => Ok(vec![offset as u8; length]),
        _ => Err(io::ErrorKind::NotFound.into()),
    };
    let options = ImportOptions { input: None, external: &read };
    let model = import(external("w.bin").bytes(), &options).unwrap().model;
    assert_eq!(model.tensors["c.weight"].data, [f32::from_le_bytes([8; 4]); 9]);
    let error = import(external("v.bin").bytes(), &options).unwrap_err().to_string();
    assert_eq!(error, "tensor `c.weight` is in the file `v.bin`, which cannot be read: entity not found");
    for path in ["../w.bin", "/etc/passwd", "a/../../w.bin", ""] {
        assert!(import(external(path).bytes(), &options).unwrap_err().to_string().contains("not in the model's folder"));
    }
}

#[test]
fn old_operator_sets_are_refused_and_new_ones_noted() {
    assert!(matches!(conv().opset(6).import(), Err(OnnxError::Opset(6))));
    let relu = Graph::new(&[-1, 1, 4, 4]).node("Relu", &["x"], "y").opset(25);
    assert_eq!(relu.import().unwrap().notes, ["The file is of opset 25. Opsets 11 to 22 are tested."]);
}

#[test]
fn a_cut_file_is_an_error() {
    let bytes = conv().weights("c.weight", &[1, 1, 3, 3]).bytes();
    for length in 0..bytes.len() {
        assert!(import(bytes[..length].to_vec(), &ImportOptions::default()).is_err(), "{length} of {}", bytes.len());
    }
}

/// A graph with a bit of everything, to be broken.
fn rich() -> Vec<u8> {
    let graph = conv().weights("c.weight", &[4, 1, 3, 3]).ints("pads", &[1, 1, 1, 1]).node("Shape", &["y"], "s").numbers("at", &[0]);
    let graph = graph.node("Gather", &["s", "at"], "n").numbers("rest", &[2, 2, 4, 4]).node("Concat", &["n", "rest"], "to").int("axis", 0);
    let graph = graph
        .node("Reshape", &["y", "to"], "r")
        .node("Transpose", &["r"], "t")
        .ints("perm", &[0, 2, 1, 3, 4])
        .numbers("back", &[0, -1, 4, 4]);
    let graph =
        graph.node("Reshape", &["t", "back"], "m").node("MaxPool", &["m"], "p").ints("kernel_shape", &[2, 2]).ints("strides", &[2, 2]);
    let graph =
        graph.numbers("pads", &[0, 1, 0, 0, 0, 1, 0, 0]).node("Pad", &["p", "pads"], "q").node("Split", &["q"], "a b").int("axis", 1);
    let graph = graph.node("Mul", &["a", "b"], "o").node("GlobalAveragePool", &["o"], "g").node("Flatten", &["g"], "f");
    let mut graph = graph.node("Gemm", &["f", "fc.weight"], "z").weights("fc.weight", &[3, 2]);
    graph.graph.output[0].name = "z".into();
    graph.bytes()
}

#[test]
fn the_graph_that_is_broken_below_is_whole() {
    assert_eq!(import(rich(), &ImportOptions::default()).unwrap().model.network.output_shape().unwrap(), [2]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_damaged_file_never_panics(damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let mut bytes = rich();
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Ok(imported) = import(bytes, &ImportOptions::default()) {
            let _ = export(&imported.model);
        }
    }
}
