//! Criteria against what their papers' formulas give by hand, and masks through training.

use burn::tensor::Device;
use pleach_shared::data::{Amount, Archive, Cut, Images, split};
use pleach_shared::model::{Model, Tensor};
use pleach_shared::network::{Builder, Network, Op, zoo};
use pleach_shared::spec::{
    Channels, Criterion, Granularity, Importance, Length, Normalization, OneShot, Optimizer, Ranking, Recipe, Reduction, Schedule, Scope,
};
use pleach_shared::task::Prune;
use pleach_worker::criteria::{Observed, channel_scores, observe, weight_scores};
use pleach_worker::model::random_weights;
use pleach_worker::surgery::prune;
use pleach_worker::training::{Dataset, evaluate, train};
use std::sync::Arc;

const GO: fn(f64) -> Result<(), pleach_worker::error::TaskError> = |_| Ok(());

/// Four filters of one weight each on a one-pixel image, two classes.
fn tiny(weights: [f32; 4]) -> Model {
    let mut b = Builder::new();
    let x = b.input([1, 1, 1]);
    let x = b.conv("conv", x, 4, 1, 1, 0, 1);
    let x = b.batch_norm("bn", x);
    let x = b.relu("relu", x);
    let x = b.flatten("flat", x);
    let x = b.linear("fc", x, 2);
    let mut model = random_weights(&b.finish(x).unwrap(), 3).unwrap();
    model.tensors.insert("conv.weight".into(), Tensor { shape: vec![4, 1, 1, 1], data: weights.to_vec() });
    model
}

/// One-pixel images: bright ones are class 1.
fn pixels() -> Dataset {
    let levels: Vec<u8> = (0..64).map(|i| (i * 4) as u8).collect();
    let labels = levels.iter().map(|&level| u16::from(level > 127)).collect();
    let images = Images::new("levels", [1, 1, 1], 2, levels, labels).unwrap();
    let archive = Archive { train: Some(Arc::new(images)), test: None };
    Dataset::plain(split(&archive, &Cut { holdout: Amount::Count(0), test: None }).unwrap())
}

fn scores(model: &Model, importance: Importance, change: impl Fn(&mut Ranking)) -> Vec<f64> {
    let mut criterion = Criterion::of(importance);
    change(&mut criterion.ranking);
    let observed = observe(criterion, model, &pixels(), &Device::flex(), &GO).unwrap();
    let groups = model.network.groups().unwrap();
    let (group, _) = groups.find("conv").unwrap();
    channel_scores(criterion, model, &observed, &groups, group)
}

fn close(a: &[f64], b: &[f64]) {
    assert!(a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-6 * (1.0 + b.abs())), "{a:?} {b:?}");
}

#[test]
fn criteria_of_weights_follow_their_formulas() {
    let model = tiny([1.0, -2.0, 3.0, 0.5]);
    let plain = |importance| scores(&model, importance, |_| ());
    close(&plain(Importance::L1), &[1.0, 2.0, 3.0, 0.5]);
    close(&plain(Importance::L2), &[1.0, 4.0, 9.0, 0.25]);
    close(&plain(Importance::Fpgm), &[0.0 + 3.0 + 2.0 + 0.5, 3.0 + 5.0 + 2.5, 2.0 + 5.0 + 2.5, 0.5 + 2.5 + 2.5]);
    // Squares sorted: 9, 4, 1, 0.25; each over the sum of itself and those before it.
    close(&plain(Importance::Lamp), &[1.0 / 14.0, 4.0 / 13.0, 1.0, 0.25 / 14.25]);
    let mut scaled = model.clone();
    scaled.tensors.insert("bn.weight".into(), Tensor { shape: vec![4], data: vec![0.1, -0.4, 0.3, 0.2] });
    close(&scores(&scaled, Importance::BnScale, |_| ()), &[0.1f32, 0.4, 0.3, 0.2].map(f64::from));
    close(&scores(&model, Importance::L1, |ranking| ranking.normalize = Normalization::Max), &[1.0 / 3.0, 2.0 / 3.0, 1.0, 0.5 / 3.0]);
    let random = |seed| scores(&model, Importance::Random, |ranking| ranking.seed = seed);
    assert_eq!(random(1), random(1));
    assert_ne!(random(1), random(2));
}

#[test]
fn activations_are_those_after_the_activation_function() {
    // Pixels are not negative, so a negative weight's channel is zero after the ReLU; one of 64 pixels is black.
    let model = tiny([1.0, -2.0, 3.0, 0.5]);
    let apoz = scores(&model, Importance::Apoz, |_| ());
    close(&apoz, &[63.0 / 64.0, 0.0, 63.0 / 64.0, 63.0 / 64.0]);
    let mean = scores(&model, Importance::MeanActivation, |_| ());
    assert!(mean[1] == 0.0 && (mean[2] / mean[0] - 3.0).abs() < 1e-4 && (mean[3] / mean[0] - 0.5).abs() < 1e-4, "{mean:?}");
}

/// The gradient that Taylor and Hessian see, against a difference quotient of the loss.
#[test]
fn taylor_and_hessian_see_the_gradient_of_the_loss() {
    let (model, data) = (tiny([1.0, -2.0, 3.0, 0.5]), pixels());
    let loss = |index: usize, by: f32| {
        let mut moved = model.clone();
        moved.tensors.get_mut("conv.weight").unwrap().data[index] += by;
        evaluate(&moved, &data, &data.splits.train, &Device::flex(), &GO).unwrap().loss
    };
    let weights = [1.0, -2.0, 3.0, 0.5];
    let gradient: Vec<f64> = (0..4).map(|index| (loss(index, 1e-2) - loss(index, -1e-2)) / 2e-2).collect();
    let near = |found: Vec<f64>, expected: Vec<f64>| {
        assert!(found.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 0.03 * b.abs() + 1e-6), "{found:?} {expected:?}");
    };
    let gw: Vec<f64> = gradient.iter().zip(weights).map(|(g, w)| (g * w).abs()).collect();
    near(scores(&model, Importance::Taylor, |_| ()), gw.clone());
    near(scores(&model, Importance::Taylor, |ranking| ranking.squared = true), gw.iter().map(|x| x * x).collect());
    near(scores(&model, Importance::Hessian, |_| ()), gw.iter().map(|x| x * x / 2.0).collect());
    let criterion = Criterion::of(Importance::Taylor);
    let observed = observe(criterion, &model, &data, &Device::flex(), &GO).unwrap();
    near(weight_scores(criterion, &model, &observed, model.network.find("conv").unwrap()), gw);
}

#[test]
fn a_group_that_several_layers_make_reduces_their_scores() {
    let mut b = Builder::new();
    let x = b.input([1, 2, 2]);
    let a = b.conv("a", x, 2, 1, 1, 0, 1);
    let c = b.conv("c", x, 2, 1, 1, 0, 1);
    let x = b.add("add", a, c);
    let x = b.global_avg_pool("pool", x);
    let x = b.flatten("flat", x);
    let x = b.linear("fc", x, 2);
    let mut model = random_weights(&b.finish(x).unwrap(), 0).unwrap();
    for (name, data) in [("a.weight", vec![1.0, 2.0]), ("c.weight", vec![5.0, 1.0])] {
        model.tensors.insert(name.into(), Tensor { shape: vec![2, 1, 1, 1], data });
    }
    let groups = model.network.groups().unwrap();
    let (group, _) = groups.find("a").unwrap();
    for (reduction, expected) in
        [(Reduction::Sum, [6.0, 3.0]), (Reduction::Mean, [3.0, 1.5]), (Reduction::Max, [5.0, 2.0]), (Reduction::First, [1.0, 2.0])]
    {
        let mut criterion = Criterion::L1;
        criterion.ranking.reduction = reduction;
        close(&channel_scores(criterion, &model, &Observed::default(), &groups, group), &expected);
    }
}

fn thirds() -> Dataset {
    let pixel = |i: usize, p: usize| if p / 27 == i % 3 { 200 + ((i * 31 + p * 7) % 56) as u8 } else { ((i * 17 + p * 13) % 60) as u8 };
    let pixels = (0..240).flat_map(|i| (0..81).map(move |p| pixel(i, p))).collect();
    let images = Images::new("thirds", [1, 9, 9], 3, pixels, (0..240).map(|i| (i % 3) as u16).collect()).unwrap();
    let archive = Archive { train: Some(Arc::new(images)), test: None };
    Dataset::plain(split(&archive, &Cut { holdout: Amount::Count(60), test: None }).unwrap())
}

fn network() -> Network {
    zoo::vgg(&[zoo::VggItem::Conv(8), zoo::VggItem::Conv(8)], [1, 9, 9], 3).unwrap()
}

#[test]
fn masks_of_every_granularity_survive_training_and_their_file() {
    let (data, device) = (thirds(), Device::flex());
    let model = random_weights(&network(), 1).unwrap();
    let optimizer = Optimizer::Sgd { lr: 0.05, momentum: 0.9, weight_decay: 5e-4 };
    let schedule = Schedule::Constant { warmup_steps: 0 };
    let recipe = Recipe { length: Length::Steps(30), batch: 20, optimizer, schedule, label_smoothing: 0.0, seed: None };
    for granularity in [
        Granularity::FineGrained,
        Granularity::Vector,
        Granularity::Kernel,
        Granularity::Pattern { keep: 4 },
        Granularity::NM { n: 2, m: 4 },
    ] {
        let channels = Channels { multiple_of: 1, min: 1 };
        let spec = OneShot { sparsity: 0.5, granularity, criterion: Criterion::L1, scope: Scope::Layer, channels };
        let (masked, kept) = prune(&Prune::All(spec), &model, &Observed::default()).unwrap();
        assert!(kept.is_empty() && masked.network == model.network);
        let trained = train(&masked, &data, &recipe, 0, &device, &GO).unwrap().model;
        let trained = Model::decode(&trained.encode().unwrap()).unwrap();
        assert_eq!(trained.masks, masked.masks, "{granularity:?}");
        assert!(trained.nonzero_cost().unwrap().macs < trained.network.cost().unwrap().macs, "{granularity:?}");
        let mut moved = 0;
        for (name, mask) in &trained.masks {
            let (before, after) = (&masked.tensors[name].data, &trained.tensors[name].data);
            for index in 0..mask.len() {
                assert!(mask.stays(index) || after[index] == 0.0, "{granularity:?} {name} {index}");
                moved += usize::from(before[index] != after[index]);
            }
        }
        assert!(moved > 100, "{granularity:?}: training trains what stays");
    }
}

#[test]
fn a_masked_model_can_lose_channels_and_keeps_its_masks() {
    let model = random_weights(&network(), 1).unwrap();
    let all = |sparsity, granularity, scope| {
        Prune::All(OneShot { sparsity, granularity, criterion: Criterion::L2, scope, channels: Channels { multiple_of: 1, min: 1 } })
    };
    let (masked, _) = prune(&all(0.5, Granularity::FineGrained, Scope::Global), &model, &Observed::default()).unwrap();
    let (narrow, kept) = prune(&all(0.5, Granularity::Channel, Scope::Layer), &masked, &Observed::default()).unwrap();
    assert_eq!(kept.values().map(Vec::len).collect::<Vec<_>>(), [4, 4]);
    for (name, mask) in &narrow.masks {
        assert_eq!(mask.len(), narrow.tensors[name].data.len());
        assert!(narrow.tensors[name].data.iter().enumerate().all(|(index, &w)| mask.stays(index) || w == 0.0));
        assert!(mask.ones() > 0);
    }
    assert!(narrow.network.layers.iter().any(|layer| matches!(&layer.op, Op::Conv2d(conv) if conv.out_channels == 4)));
}
