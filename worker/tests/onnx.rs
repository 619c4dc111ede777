//! ONNX out and in: every architecture, dense and pruned, gives the same outputs in tract and in ONNX Runtime.

mod support;

use burn::tensor::Device;
use pleach_shared::model::Model;
use pleach_shared::network::{Builder, Network, Op, Pool2d};
use pleach_shared::onnx::{ImportOptions, export, import};
use pleach_worker::surgery::apply;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use support::{assert_close, every_architecture, images, outputs, random_model, random_plan, rng};
use tract_onnx::prelude::*;

fn read(bytes: Vec<u8>) -> Model {
    import(bytes, &ImportOptions::default()).unwrap().model
}

fn in_tract(onnx: &[u8], images: &[f32], shape: &[usize]) -> Vec<f32> {
    let fact = f32::fact([2, shape[0], shape[1], shape[2]]);
    let model = tract_onnx::onnx().model_for_read(&mut &onnx[..]).unwrap().with_input_fact(0, fact.into()).unwrap();
    let plan = model.into_optimized().unwrap().into_runnable().unwrap();
    let input = Tensor::from_shape(&[2, shape[0], shape[1], shape[2]], images).unwrap();
    let outputs = plan.run(tvec!(input.into())).unwrap();
    outputs[0].to_plain_array_view::<f32>().unwrap().iter().copied().collect()
}

/// What ONNX's checker and ONNX Runtime say of every `NAME.onnx` in a folder: the outputs beside the inputs in `NAME.in`.
const RUN: &str = r#"
import glob, sys, numpy as np, onnx, onnxruntime as ort
for path in sorted(glob.glob(sys.argv[1] + "/*.onnx")):
    onnx.checker.check_model(onnx.load(path), full_check=True)
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    given = session.get_inputs()[0]
    x = np.fromfile(path[:-4] + "in", np.float32).reshape([2] + given.shape[1:])
    session.run(None, {given.name: x})[0].astype(np.float32).tofile(path[:-4] + "out")
"#;

#[test]
fn every_architecture_dense_and_pruned_gives_the_same_outputs_in_tract_and_onnx_runtime() {
    let folder = tempfile::tempdir().unwrap();
    let mut expected = Vec::new();
    for (seed, (name, network)) in every_architecture().into_iter().enumerate() {
        println!("{name}");
        let mut rng = rng(seed as u64);
        let dense = random_model(&network, &mut rng);
        let pruned = apply(&random_plan(&network, &mut rng), &dense).unwrap();
        for (kind, model) in [("dense", dense), ("pruned", pruned)] {
            let what = format!("{name} {kind}");
            let images = images(&model.network, &mut rng);
            let ours = outputs(&model, &images, &Device::flex());
            let onnx = export(&model).unwrap();
            let shape = model.network.shapes().unwrap()[0].clone();
            assert_close(&ours, &in_tract(&onnx, &images, &shape), &format!("{what} in tract"));

            // And back: the same network gives the same outputs, and can be pruned and written again.
            let back = read(onnx.clone());
            assert_eq!(back.network.cost().unwrap(), model.network.cost().unwrap(), "{what}");
            assert_eq!(back.network.widths(), model.network.widths(), "{what}: the same layers, called the same");
            assert_close(&ours, &outputs(&back, &images, &Device::flex()), &format!("{what} read back"));
            let again = apply(&random_plan(&back.network, &mut rng), &back).unwrap();
            let again_images = outputs(&again, &images, &Device::flex());
            assert_close(&again_images, &in_tract(&export(&again).unwrap(), &images, &shape), &format!("{what} pruned once more"));

            let place = folder.path().join(format!("{name}-{kind}"));
            std::fs::write(place.with_extension("onnx"), &onnx).unwrap();
            let bytes: Vec<u8> = images.iter().flat_map(|x| x.to_le_bytes()).collect();
            std::fs::File::create(place.with_extension("in")).unwrap().write_all(&bytes).unwrap();
            expected.push((place, what, ours));
        }
    }
    let python = std::env::var("PLEACH_TEST_PYTHON").unwrap_or_else(|_| "python3".into());
    if !has_onnx_runtime(&python) {
        eprintln!(
            "ONNX Runtime was skipped: `{python} -c 'import onnx, onnxruntime'` fails; install them, or name a Python with PLEACH_TEST_PYTHON"
        );
        return;
    }
    let run = Command::new(&python).args(["-c", RUN]).arg(folder.path()).output().unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    for (place, what, ours) in expected {
        assert_close(&ours, &floats(&place.with_extension("out")), &format!("{what} in ONNX Runtime"));
    }
}

/// The operators that no architecture of the zoo has, or not in every form.
fn every_operator() -> Network {
    let mut b = Builder::new();
    let x = b.input([3, 15, 15]);
    let mut x = b.conv_bias("conv", x, 8, 3, 1, 0);
    let activations = [
        Op::Relu,
        Op::Relu6,
        Op::HardSwish,
        Op::Sigmoid,
        Op::HardSigmoid { alpha: 0.2, beta: 0.4 },
        Op::Silu,
        Op::Gelu,
        Op::Tanh,
        Op::LeakyRelu { slope: 0.1 },
        Op::Clip { min: -0.5, max: 0.7 },
        Op::Softmax,
    ];
    for (index, op) in activations.into_iter().enumerate() {
        let y = b.conv(format!("mix{index}"), x, 8, 1, 1, 0, 1);
        let y = b.then(format!("act{index}"), op, y);
        x = b.add(format!("add{index}"), x, y);
    }
    x = b.then("pad", Op::Pad { padding: [1, 0, 2, 1] }, x);
    let kept = Pool2d { count_include_pad: false, ..Pool2d::square(3, 2, 1) };
    x = b.then("counted", Op::AvgPool2d(Pool2d::square(3, 1, 1)), x);
    x = b.then("uncounted", Op::AvgPool2d(kept), x);
    x = b.then("ceil", Op::MaxPool2d(Pool2d::square(2, 2, 0).ceil()), x);
    x = b.then("pick", Op::Select { channels: vec![7, 1, 1, 4, 0] }, x);
    x = b.then("shortcut", Op::Shortcut { stride: 1, sources: vec![None, Some(3), Some(0), None, Some(4)] }, x);
    x = b.then("adaptive", Op::AdaptiveAvgPool2d { size: [3, 2] }, x);
    x = b.flatten("flatten", x);
    x = b.batch_norm("norm", x);
    x = b.linear("fc", x, 6);
    x = b.then("softmax", Op::Softmax, x);
    b.finish(x).unwrap()
}

#[test]
fn every_operator_computes_what_tract_does() {
    let mut rng = rng(5);
    let model = random_model(&every_operator(), &mut rng);
    let images = images(&model.network, &mut rng);
    let ours = outputs(&model, &images, &Device::flex());
    let onnx = export(&model).unwrap();
    assert_close(&ours, &in_tract(&onnx, &images, &[3, 15, 15]), "in tract");
    assert_close(&ours, &outputs(&read(onnx), &images, &Device::flex()), "read back");
}

fn has_onnx_runtime(python: &str) -> bool {
    Command::new(python).args(["-c", "import onnx, onnxruntime"]).output().is_ok_and(|output| output.status.success())
}

fn floats(path: &Path) -> Vec<f32> {
    std::fs::read(path).unwrap().as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}
