//! Training through the worker's public interface.

use burn::tensor::Device;
use pleach_shared::data::{Amount, Archive, Cut, Images, split};
use pleach_shared::network::zoo::{self, ShortcutKind, VggItem};
use pleach_shared::spec::{Length, Optimizer, Recipe, Schedule};
use pleach_worker::model::random_weights;
use pleach_worker::training::{Dataset, evaluate, train};
use std::sync::Arc;

/// Images of three classes that differ in which third of them is bright.
fn data() -> Dataset {
    let (count, shape) = (240, [1, 9, 9]);
    let pixel = |i: usize, p: usize| if p / 27 == i % 3 { 200 + ((i * 31 + p * 7) % 56) as u8 } else { ((i * 17 + p * 13) % 60) as u8 };
    let pixels = (0..count).flat_map(|i| (0..81).map(move |p| pixel(i, p))).collect();
    let images = Images::new("thirds", shape, 3, pixels, (0..count).map(|i| (i % 3) as u16).collect()).unwrap();
    let archive = Archive { train: Some(Arc::new(images)), test: None };
    Dataset::plain(split(&archive, &Cut { holdout: Amount::Count(60), test: None }).unwrap())
}

fn recipe(optimizer: Optimizer) -> Recipe {
    let schedule = Schedule::Cosine { warmup_steps: 5 };
    Recipe { length: Length::Steps(60), batch: 20, optimizer, schedule, label_smoothing: 0.05, seed: None }
}

const SGD: Optimizer = Optimizer::Sgd { lr: 0.05, momentum: 0.9, weight_decay: 5e-4 };

#[test]
fn a_network_learns_with_either_optimizer() {
    let (data, device) = (data(), Device::flex());
    let network = zoo::vgg(&[VggItem::Conv(8), VggItem::Conv(8)], [1, 9, 9], 3).unwrap();
    for optimizer in [SGD, Optimizer::Adam { lr: 0.01, betas: [0.9, 0.999], epsilon: 1e-8, weight_decay: 0.0 }] {
        let model = random_weights(&network, 1).unwrap();
        let before = evaluate(&model, &data, &data.splits.holdout, &device, &|_| Ok(())).unwrap();
        let trained = train(&model, &data, &recipe(optimizer), 1, &device, &|_| Ok(())).unwrap();
        let after = evaluate(&trained.model, &data, &data.splits.holdout, &device, &|_| Ok(())).unwrap();
        assert!(after.accuracy() > 0.95 && after.loss < before.loss, "{before:?} {after:?}");
    }
}

/// Sharing the machine's threads with another training must not change a bit: that is what a memo of results rests on.
#[test]
fn the_same_training_gives_the_same_weights_bit_for_bit_whatever_runs_beside_it() {
    let data = data();
    let network = zoo::resnet(20, 0.5, ShortcutKind::A, [1, 9, 9], 3).unwrap();
    let model = random_weights(&network, 7).unwrap();
    let run = || train(&model, &data, &Recipe { length: Length::Steps(6), ..recipe(SGD) }, 3, &Device::flex(), &|_| Ok(())).unwrap().model;
    let alone = run();
    let beside = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..3).map(|_| scope.spawn(run)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
    });
    assert!(beside.iter().all(|model| model.encode().unwrap() == alone.encode().unwrap()));
    let other = train(&model, &data, &Recipe { length: Length::Steps(6), ..recipe(SGD) }, 4, &Device::flex(), &|_| Ok(())).unwrap();
    assert_ne!(other.model, alone, "another seed, another order of images");
}

#[test]
fn a_diverging_training_says_so_and_a_stop_is_heard() {
    let (data, device) = (data(), Device::flex());
    let network = zoo::vgg(&[VggItem::Conv(4)], [1, 9, 9], 3).unwrap();
    let model = random_weights(&network, 1).unwrap();
    let wild = recipe(Optimizer::Sgd { lr: 1e30, momentum: 0.9, weight_decay: 0.1 });
    let error = train(&model, &data, &wild, 1, &device, &|_| Ok(())).unwrap_err().to_string();
    assert!(error.contains("diverged") && error.contains("lower the learning rate"), "{error}");
    let stop = |_| Err(pleach_worker::error::TaskError::Revoked);
    assert!(train(&model, &data, &recipe(SGD), 1, &device, &stop).is_err());
}

#[test]
fn data_that_do_not_fit_the_network_are_refused_with_both_shapes() {
    let (data, device) = (data(), Device::flex());
    let network = zoo::vgg(&[VggItem::Conv(4)], [3, 9, 9], 3).unwrap();
    let model = random_weights(&network, 1).unwrap();
    let error = evaluate(&model, &data, &data.splits.holdout, &device, &|_| Ok(())).unwrap_err().to_string();
    assert!(error.contains("[3, 9, 9]") && error.contains("[1, 9, 9]"), "{error}");
}

/// The wgpu path against flex, on whatever adapter there is (Mesa's lavapipe in CI).
#[test]
fn wgpu_evaluates_and_trains_as_flex_does() {
    if !std::env::var("PLEACH_TEST_WGPU").is_ok_and(|value| value == "1") {
        println!("skipped: set PLEACH_TEST_WGPU=1 where wgpu has an adapter (a GPU, or Mesa's lavapipe)");
        return;
    }
    use pleach_worker::compute::Compute;
    let data = data();
    let network = zoo::resnet(20, 0.25, ShortcutKind::A, [1, 9, 9], 3).unwrap();
    let model = random_weights(&network, 7).unwrap();
    let run = |compute: Compute| {
        let recipe = Recipe { length: Length::Steps(3), ..recipe(SGD) };
        let trained = train(&model, &data, &recipe, 3, &compute.device(), &|_| Ok(())).unwrap();
        evaluate(&trained.model, &data, &data.splits.holdout, &compute.device(), &|_| Ok(())).unwrap()
    };
    let (flex, wgpu) = (run(Compute::Flex), run(Compute::Wgpu(None)));
    // Three steps apart, rounding has grown, but not to another network.
    assert!((flex.loss - wgpu.loss).abs() < 0.02 * (1.0 + flex.loss), "{flex:?} {wgpu:?}");
}
