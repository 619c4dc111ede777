//! One test a rule, and what is said when none applies.

use super::super::{Checkpoint, CheckpointError, Format, Names, Rule, fit};
use super::checkpoint;
use crate::network::{Builder, Conv2d, Network, Op};

/// A convolution, a batch norm, and a classifier of 4 to 2.
fn network(conv: &str, norm: &str, classifier: &str) -> Network {
    let mut b = Builder::new();
    let x = b.input([1, 4, 4]);
    let x = b.conv(conv, x, 4, 3, 1, 1, 1);
    let x = b.batch_norm(norm, x);
    let x = b.global_avg_pool("pool", x);
    let x = b.flatten("flatten", x);
    let x = b.linear(classifier, x, 2);
    b.finish(x).unwrap()
}

/// What the same network gives with PyTorch.
fn state(conv: &str, norm: &str, classifier: &str) -> Checkpoint {
    let names = [
        (format!("{conv}.weight"), &[4, 1, 3, 3][..]),
        (format!("{norm}.weight"), &[4]),
        (format!("{norm}.bias"), &[4]),
        (format!("{norm}.running_mean"), &[4]),
        (format!("{norm}.running_var"), &[4]),
        (format!("{classifier}.weight"), &[2, 4]),
        (format!("{classifier}.bias"), &[2]),
    ];
    checkpoint(&names.iter().map(|(name, shape)| (name.as_str(), *shape)).collect::<Vec<_>>())
}

fn names(pairs: &[(&str, &str)]) -> Names {
    Names(pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect())
}

/// `parameter tensor rule`, a line a match.
fn fitted(network: &Network, checkpoint: &Checkpoint, names: &Names) -> String {
    let fitted = fit(network, checkpoint, names).unwrap_or_else(|error| panic!("{error}"));
    for found in &fitted.matches {
        assert_eq!(fitted.model.tensors[&found.parameter].data, checkpoint.tensors[&found.tensor].data);
    }
    let lines = fitted.matches.iter().map(|found| format!("{} {} {}", found.parameter, found.tensor, found.rule));
    lines.collect::<Vec<_>>().join("\n")
}

fn rules(network: &Network, checkpoint: &Checkpoint) -> Vec<Rule> {
    let mut rules: Vec<Rule> = fit(network, checkpoint, &Names::default())
        .unwrap_or_else(|error| panic!("{error}"))
        .matches
        .iter()
        .map(|found| found.rule)
        .collect();
    rules.dedup();
    rules
}

fn ours() -> Network {
    network("conv1", "bn1", "fc")
}

#[test]
fn names_of_the_yaml_are_full_names_layers_or_beginnings() {
    let network = network("conv1", "layer1.bn", "layer2.fc");
    let file = state("stem.conv", "stages.0.bn", "head_of_it");
    let names = names(&[("conv1.weight", "stem.conv.weight"), ("layer1.", "stages.0."), ("layer2.fc", "head_of_it")]);
    insta::assert_snapshot!(fitted(&network, &file, &names), @r"
    conv1.weight stem.conv.weight names
    layer1.bn.weight stages.0.bn.weight names
    layer1.bn.bias stages.0.bn.bias names
    layer1.bn.running_mean stages.0.bn.running_mean names
    layer1.bn.running_var stages.0.bn.running_var names
    layer2.fc.weight head_of_it.weight names
    layer2.fc.bias head_of_it.bias names
    ");
}

#[test]
fn names_of_the_yaml_may_leave_a_shared_prefix_out() {
    let file = state("module.stem", "module.bn1", "module.fc");
    assert!(fitted(&ours(), &file, &names(&[("conv1", "stem")])).starts_with("conv1.weight module.stem.weight names\n"));
}

#[test]
fn equal_names_match() {
    assert_eq!(rules(&ours(), &state("conv1", "bn1", "fc")), [Rule::Equal]);
}

#[test]
fn a_shared_prefix_is_taken_away_as_often_as_there_is_one() {
    assert_eq!(rules(&ours(), &state("module.model.conv1", "module.model.bn1", "module.model.fc")), [Rule::Prefix]);
    // Nearly all: a classifier may lie outside the backbone.
    assert_eq!(rules(&ours(), &state("backbone.conv1", "backbone.bn1", "fc")), [Rule::Prefix, Rule::Equal]);
    // A prefix that the network has itself is none.
    assert_eq!(rules(&network("features.0", "features.1", "features.2"), &state("features.0", "features.1", "features.2")), [Rule::Equal]);
}

#[test]
fn old_spellings_match() {
    let file = checkpoint(&[
        ("conv1.weight", &[4, 1, 3, 3]),
        ("bn1.gamma", &[4]),
        ("bn1.beta", &[4]),
        ("bn1.moving_mean", &[4]),
        ("bn1.moving_variance", &[4]),
        ("fc.weight", &[2, 4]),
        ("fc.bias", &[2]),
    ]);
    assert_eq!(rules(&ours(), &file), [Rule::Equal, Rule::Spelling, Rule::Equal]);
    let dense = "features.denseblock1.denselayer2";
    let network = network(&format!("{dense}.conv1"), &format!("{dense}.norm1"), "classifier");
    assert_eq!(
        rules(&network, &state(&format!("{dense}.conv.1"), &format!("{dense}.norm.1"), "classifier")),
        [Rule::Spelling, Rule::Equal]
    );
}

#[test]
fn the_only_classifier_may_have_another_name() {
    assert_eq!(rules(&ours(), &state("conv1", "bn1", "head")), [Rule::Equal, Rule::Classifier]);
    assert_eq!(rules(&network("conv1", "bn1", "classifier.1"), &state("conv1", "bn1", "linear")), [Rule::Equal, Rule::Classifier]);
}

#[test]
fn a_classifier_of_other_classes_is_no_match() {
    let mut file = state("conv1", "bn1", "head");
    for (name, shape) in [("head.weight", vec![5, 4]), ("head.bias", vec![5])] {
        let tensor = file.tensors.get_mut(name).unwrap();
        tensor.data = vec![0.0; shape.iter().product()];
        tensor.shape = shape;
    }
    insta::assert_snapshot!(fit(&ours(), &file, &Names::default()).unwrap_err(), @r"
    its tensors do not fit the network; see what it holds with `pleach inspect FILE`, and say under `names:` in the YAML which tensor is which, or choose the network that it was trained as:
      missing  fc.weight    [2, 4]  perhaps head.weight
      missing  fc.bias      [2]     perhaps head.bias
      surplus  head.weight  [5, 4]
      surplus  head.bias    [5]
    ");
}

#[test]
fn a_linear_layer_may_be_a_1x1_convolution_and_the_other_way_round() {
    let mut file = state("conv1", "bn1", "fc");
    file.tensors.get_mut("fc.weight").unwrap().shape = vec![2, 4, 1, 1];
    assert!(fitted(&ours(), &file, &Names::default()).contains("fc.weight fc.weight reshape"));
    let mut b = Builder::new();
    let x = b.input([3, 4, 4]);
    let conv = Conv2d { out_channels: 2, kernel: [1; 2], stride: [1; 2], padding: [0; 2], dilation: [1; 2], groups: 1, bias: false };
    let x = b.add_layer("conv", Op::Conv2d(conv), &[x]);
    let fitted = fit(&b.finish(x).unwrap(), &checkpoint(&[("conv.weight", &[2, 3])]), &Names::default()).unwrap();
    assert_eq!((fitted.matches[0].rule, fitted.model.tensors["conv.weight"].shape.as_slice()), (Rule::Reshape, &[2, 3, 1, 1][..]));
}

#[test]
fn what_is_left_matches_by_order_if_all_shapes_agree() {
    let file = state("a", "b", "c");
    insta::assert_snapshot!(fitted(&ours(), &file, &Names::default()), @r"
    conv1.weight a.weight order
    bn1.weight b.weight order
    bn1.bias b.bias order
    bn1.running_mean b.running_mean order
    bn1.running_var b.running_var order
    fc.weight c.weight order
    fc.bias c.bias order
    ");
    // One tensor too many, and nothing is guessed.
    let mut more = file.clone();
    more.order.push("d.weight".into());
    more.tensors.insert("d.weight".into(), more.tensors["a.weight"].clone());
    assert!(matches!(fit(&ours(), &more, &Names::default()), Err(CheckpointError::Mismatch(faults)) if faults.len() == 7 + 8));
}

/// Safetensors come by name, so `a` may be the second of two layers that look alike.
#[test]
fn without_an_order_layers_that_look_alike_are_not_guessed() {
    let chain = |count: usize| {
        let mut b = Builder::new();
        let mut x = b.input([4, 4, 4]);
        for index in 0..count {
            x = b.conv(format!("conv{index}"), x, 4, 3, 1, 1, 1);
        }
        b.finish(x).unwrap()
    };
    let mut file = checkpoint(&[("a.weight", &[4, 4, 3, 3]), ("b.weight", &[4, 4, 3, 3])]);
    assert_eq!(rules(&chain(2), &file), [Rule::Order]);
    file.format = Format::Safetensors;
    assert!(fit(&chain(2), &file, &Names::default()).is_err());
    let mut unlike = state("a", "z", "b");
    unlike.format = Format::Safetensors;
    unlike.order.sort();
    assert_eq!(rules(&ours(), &unlike), [Rule::Order]);
}

#[test]
fn counters_and_auxiliary_classifiers_are_ignored() {
    let mut file = state("module.conv1", "module.bn1", "module.fc");
    for name in ["module.bn1.num_batches_tracked", "module.aux1.fc.weight", "module.aux2.conv.bn.num_batches_tracked"] {
        file.order.push(name.into());
        file.tensors.insert(name.into(), file.tensors["module.fc.weight"].clone());
    }
    let fitted = fit(&ours(), &file, &Names::default()).unwrap();
    assert_eq!(fitted.ignored, ["module.bn1.num_batches_tracked", "module.aux1.fc.weight", "module.aux2.conv.bn.num_batches_tracked"]);
}

#[test]
fn everything_that_does_not_fit_is_listed_at_once() {
    let file = checkpoint(&[
        ("module.stem.weight", &[4, 1, 3, 3]),
        ("module.bn1.weight", &[8]),
        ("module.bn1.bias", &[4]),
        ("module.bn1.running_mean", &[4]),
        ("module.bn1.runing_var", &[4]),
        ("module.fc.weight", &[2, 4]),
        ("module.extra.weight", &[1]),
    ]);
    let names = names(&[("fc.bias", "fc.offset"), ("conv9", "module.stem")]);
    insta::assert_snapshot!(fit(&ours(), &file, &names).unwrap_err(), @r"
    its tensors do not fit the network; see what it holds with `pleach inspect FILE`, and say under `names:` in the YAML which tensor is which, or choose the network that it was trained as:
      missing    conv1.weight           [4, 1, 3, 3]  perhaps module.stem.weight
      missing    bn1.running_var        [4]           perhaps module.bn1.runing_var
      names      fc.bias                the file has no fc.offset, which fc.bias needs
      names      conv9                  the network has no such parameter or layer
      misshapen  bn1.weight             [4]           the file has [8] as module.bn1.weight
      surplus    module.stem.weight     [4, 1, 3, 3]
      surplus    module.bn1.runing_var  [4]
      surplus    module.extra.weight    [1]
    ");
}

#[test]
fn only_the_tensors_that_are_used_must_be_finite() {
    let mut file = state("conv1", "bn1", "fc");
    file.order.push("bn1.num_batches_tracked".into());
    let mut counter = file.tensors["fc.bias"].clone();
    counter.data = vec![f32::NAN; 2];
    file.tensors.insert("bn1.num_batches_tracked".into(), counter.clone());
    assert!(fit(&ours(), &file, &Names::default()).is_ok());
    file.tensors.insert("fc.bias".into(), counter);
    assert!(matches!(fit(&ours(), &file, &Names::default()), Err(CheckpointError::NotFinite(list)) if list == [("fc.bias".to_owned(), 2)]));
}
