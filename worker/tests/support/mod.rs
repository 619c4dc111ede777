//! Random models, plans and images, shared by the tests that compare what networks compute.
#![allow(dead_code)] // each test binary uses its part

use burn::tensor::{Device, Tensor, TensorData};
use pleach_shared::model::Model;
use pleach_shared::network::zoo::{Entry, Options, Stem, VggItem, all};
use pleach_shared::network::{Network, Op};
use pleach_shared::plan::{Plan, keep_best};
use pleach_worker::model::{Mode, NetworkModule, Value, random_weights};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

pub const TOLERANCE: f32 = 1e-4;

pub fn rng(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}

/// Every architecture of the zoo, as narrow and on as small an image as it takes, so that all of them run in a minute.
pub fn every_architecture() -> Vec<(&'static str, Network)> {
    // The larger sizes of a family are the same code, and take minutes.
    let fits = |network: &Network| network.cost().is_ok_and(|cost| cost.params < 20_000_000);
    all().iter().map(|entry| (entry.name, small(entry))).filter(|(_, network)| fits(network)).collect()
}

fn small(entry: &Entry) -> Network {
    let stem = if entry.takes.stem { Stem::Cifar } else { Stem::Imagenet };
    let widths = if entry.takes.widths { vec![VggItem::Conv(8), VggItem::MaxPool, VggItem::Conv(12)] } else { Vec::new() };
    let width = if entry.takes.width { 0.25 } else { 1.0 };
    let build =
        |side| entry.build(&Options { widths: widths.clone(), width, stem, input: [3, side, side], classes: 7, ..Options::default() });
    [32, 64, 96, 128, 224].into_iter().find_map(|side| build(side).ok()).expect("it fits 224x224")
}

/// Weights with batch norms that do something: a shift that is not zero is what careless surgery forgets.
pub fn random_model(network: &Network, rng: &mut ChaCha8Rng) -> Model {
    let mut model = random_weights(network, rng.random()).unwrap();
    for (name, tensor) in &mut model.tensors {
        if tensor.shape.len() == 1 {
            let (low, high) = if name.ends_with("running_var") { (0.5, 1.5) } else { (-0.5, 1.0) };
            tensor.data.iter_mut().for_each(|x| *x = rng.random_range(low..high));
        }
    }
    model
}

pub fn random_plan(network: &Network, rng: &mut ChaCha8Rng) -> Plan {
    let groups = network.groups().unwrap();
    let mut plan = Plan::default();
    for (index, group) in groups.all().iter().enumerate().filter(|(_, group)| group.fixed.is_none()) {
        let scores: Vec<f64> = (0..group.channels).map(|_| rng.random()).collect();
        let count = rng.random_range(1..=group.channels);
        plan.keep.insert(group.name.clone(), keep_best(network, &groups, index, &scores, count));
    }
    plan
}

/// Two images, as the network's input has them.
pub fn images(network: &Network, rng: &mut ChaCha8Rng) -> Vec<f32> {
    let shape = &network.shapes().unwrap()[network.inputs().next().unwrap()];
    (0..2 * shape.iter().product::<usize>()).map(|_| rng.random_range(-1.0..1.0)).collect()
}

pub fn input(network: &Network, images: &[f32], device: &Device) -> Tensor<4> {
    let Op::Input { shape } = &network.layers[network.inputs().next().unwrap()].op else { unreachable!() };
    Tensor::from_data(TensorData::new(images.to_vec(), [2, shape[0], shape[1], shape[2]]), device)
}

/// Every output of the network, flat.
pub fn outputs(model: &Model, images: &[f32], device: &Device) -> Vec<f32> {
    let mut module = NetworkModule::load(model, device).unwrap();
    let outputs = module.run(vec![Value::Map(input(&model.network, images, device))], Mode::Evaluate, |_, value| value);
    outputs.into_iter().flat_map(|output| output.into_vector().into_data().try_to_vec::<f32>().unwrap()).collect()
}

/// Equal up to the tolerance, relative to the largest value: sums of many terms differ in their last digits.
pub fn assert_close(a: &[f32], b: &[f32], what: &str) {
    assert_eq!(a.len(), b.len(), "{what}");
    let scale = a.iter().fold(1.0f32, |scale, a| scale.max(a.abs()));
    assert!(a.iter().all(|a| a.is_finite()), "{what}: not finite");
    for (index, (a, b)) in a.iter().zip(b).enumerate() {
        assert!((a - b).abs() <= TOLERANCE * scale, "{what}: {a} and {b} at {index}, largest {scale}");
    }
}
