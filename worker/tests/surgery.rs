//! A plan applied to a model equals the original with the removed channels silenced, over random graphs.

mod support;

use burn::tensor::{Device, Tensor, TensorData};
use pleach_shared::model::Model;
use pleach_shared::network::{Builder, LayerId, Network, Op, Pool2d};
use pleach_shared::plan::Plan;
use pleach_worker::model::{Mode, NetworkModule, Value};
use pleach_worker::surgery::{apply, fold};
use proptest::prelude::*;
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use support::{assert_close, images, input, outputs, random_model, random_plan, rng};

/// A random graph: convolutions of every grouping, batch norms, activations, pooling, residual adds, concats, option A
/// shortcuts, then flatten or global pooling into linear layers.
fn random_network(rng: &mut ChaCha8Rng) -> Network {
    let mut b = Builder::new();
    let input = [rng.random_range(1..4), 8, 8];
    let mut x = b.input(input);
    let mut channels = input[0];
    let mut size = 8;
    for index in 0..rng.random_range(2..7) {
        let name = |part: &str| format!("block{index}.{part}");
        match rng.random_range(0..9) {
            0 => (x, channels) = conv(&mut b, rng, &name("conv"), x, channels),
            1 if channels > 1 => {
                let multiplier = rng.random_range(1..3);
                x = b.conv(name("depthwise"), x, channels * multiplier, 3, 1, 1, channels);
                channels *= multiplier;
                x = finish(&mut b, rng, &name("depthwise"), x);
            }
            2 if channels % 2 == 0 => {
                let out = 2 * rng.random_range(1..5);
                x = b.conv(name("grouped"), x, out, 3, 1, 1, 2);
                channels = out;
                x = finish(&mut b, rng, &name("grouped"), x);
            }
            3 => {
                // A residual block whose branch comes back to the same width.
                let (y, _) = conv(&mut b, rng, &name("a"), x, channels);
                let y = b.conv(name("b"), y, channels, 3, 1, 1, 1);
                let y = b.batch_norm(name("b.bn"), y);
                x = b.add(name("add"), x, y);
            }
            4 => {
                let (y, more) = conv(&mut b, rng, &name("a"), x, channels);
                let (z, other) = conv(&mut b, rng, &name("b"), x, channels);
                x = b.add_layer(name("concat"), Op::Concat, &[y, z, x]);
                channels += more + other;
            }
            5 if size > 4 => {
                let wider = channels + rng.random_range(0..4);
                let before = (wider - channels) / 2;
                let sources = (0..wider).map(|c| c.checked_sub(before).filter(|&s| s < channels)).collect();
                let bridge = b.add_layer(name("shortcut"), Op::Shortcut { stride: 2, sources }, &[x]);
                let y = b.conv(name("down"), x, wider, 3, 2, 1, 1);
                let y = b.batch_norm(name("down.bn"), y);
                x = b.add(name("add"), y, bridge);
                (channels, size) = (wider, size / 2);
            }
            6 if channels > 1 => {
                // Split in two, one part convolved, joined and shuffled: ShuffleNet V2's unit.
                let half = channels / 2;
                let left = b.then(name("left"), Op::Select { channels: (0..half).collect() }, x);
                let right = b.then(name("right"), Op::Select { channels: (half..channels).collect() }, x);
                let (right, more) = conv(&mut b, rng, &name("branch"), right, channels - half);
                x = b.add_layer(name("concat"), Op::Concat, &[left, right]);
                channels = half + more;
                let shuffle = if channels % 2 == 0 {
                    (0..channels).map(|i| i % 2 * (channels / 2) + i / 2).collect()
                } else {
                    (0..channels).rev().collect()
                };
                x = b.then(name("shuffle"), Op::Select { channels: shuffle }, x);
            }
            7 => {
                // Squeeze and excite.
                let y = b.global_avg_pool(name("squeeze"), x);
                let y = b.conv(name("fc1"), y, 3, 1, 1, 0, 1);
                let y = b.relu(name("fc1.relu"), y);
                let y = b.conv(name("fc2"), y, channels, 1, 1, 0, 1);
                let y = b.then(name("excite"), [Op::Sigmoid, Op::hard_sigmoid()][rng.random_range(0..2)].clone(), y);
                x = b.add_layer(name("mul"), Op::Mul, &[x, y]);
            }
            _ if size > 4 => {
                let pool = Pool2d::square(3, 2, 1);
                let op = if rng.random_bool(0.5) { Op::MaxPool2d(pool) } else { Op::AvgPool2d(pool) };
                x = b.add_layer(name("pool"), op, &[x]);
                size /= 2;
            }
            _ => x = b.add_layer(name("dropout"), Op::Dropout { p: 0.5 }, &[x]),
        }
    }
    if rng.random_bool(0.5) {
        x = b.global_avg_pool("avgpool", x);
    }
    x = b.flatten("flatten", x);
    if rng.random_bool(0.5) {
        x = b.linear("hidden", x, 6);
        x = b.relu("hidden.relu", x);
    }
    x = b.linear("fc", x, 3);
    let mut network = b.finish(x).unwrap();
    if rng.random_bool(0.3) {
        // A second output, as detectors and auxiliary classifiers have: its channels stay.
        network.outputs.push(rng.random_range(1..network.layers.len()));
    }
    network
}

fn conv(b: &mut Builder, rng: &mut ChaCha8Rng, name: &str, x: LayerId, _channels: usize) -> (LayerId, usize) {
    let out = rng.random_range(2..7);
    let kernel = [1, 3][rng.random_range(0..2)];
    let x = b.conv(name, x, out, kernel, 1, kernel / 2, 1);
    (finish(b, rng, name, x), out)
}

/// Perhaps a batch norm, perhaps an activation.
fn finish(b: &mut Builder, rng: &mut ChaCha8Rng, name: &str, mut x: LayerId) -> LayerId {
    if rng.random_bool(0.7) {
        x = b.batch_norm(format!("{name}.bn"), x);
    }
    match rng.random_range(0..8) {
        4 => b.then(format!("{name}.act"), Op::Silu, x),
        5 => b.then(format!("{name}.act"), Op::LeakyRelu { slope: 0.1 }, x),
        6 => b.then(format!("{name}.act"), Op::Tanh, x),
        0 => b.relu(format!("{name}.act"), x),
        1 => b.add_layer(format!("{name}.act"), Op::Relu6, &[x]),
        2 => b.add_layer(format!("{name}.act"), Op::HardSwish, &[x]),
        3 => b.add_layer(format!("{name}.act"), Op::Sigmoid, &[x]),
        _ => x,
    }
}

/// The original, every removed channel set to zero wherever it appears.
fn silenced(model: &Model, plan: &Plan, images: &[f32], device: &Device) -> Vec<f32> {
    let stays = plan.silence(&model.network).unwrap();
    let mask =
        |id: LayerId| TensorData::new(stays[id].iter().map(|&stay| f32::from(u8::from(stay))).collect::<Vec<_>>(), [stays[id].len()]);
    let mut module = NetworkModule::load(model, device).unwrap();
    let outputs = module.run(vec![Value::Map(input(&model.network, images, device))], Mode::Evaluate, |id, value| match value {
        Value::Map(x) => Value::Map(x * Tensor::<1>::from_data(mask(id), device).reshape([1, -1, 1, 1])),
        Value::Vector(x) => Value::Vector(x * Tensor::<1>::from_data(mask(id), device).reshape([1, -1])),
    });
    outputs.into_iter().flat_map(|output| output.into_vector().into_data().try_to_vec::<f32>().unwrap()).collect()
}

fn check(network: &Network, seed: u64) {
    let device = Device::flex();
    let mut rng = rng(seed);
    let model = random_model(network, &mut rng);
    let plan = random_plan(network, &mut rng);
    let images = images(network, &mut rng);
    let pruned = apply(&plan, &model).unwrap();
    assert_close(&silenced(&model, &plan, &images, &device), &outputs(&pruned, &images, &device), "silenced and pruned");
    assert_close(&outputs(&pruned, &images, &device), &outputs(&fold(&pruned), &images, &device), "pruned and folded");
    // What surgery gives is a model like any other: it survives its file and can be pruned again.
    let again = Model::decode(&pruned.encode().unwrap()).unwrap();
    assert_eq!(again, pruned);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_pruned_random_graph_equals_the_silenced_original(seed in any::<u64>()) {
        check(&random_network(&mut rng(seed)), seed);
    }
}

#[test]
fn a_pruned_network_of_every_architecture_equals_the_silenced_original() {
    for (seed, (name, network)) in support::every_architecture().into_iter().enumerate() {
        println!("{name}");
        for round in 0..2 {
            check(&network, 2 * seed as u64 + round);
        }
    }
}
