//! Documents as users write them, right and wrong.

use super::*;
use proptest::prelude::*;

/// The example of the documentation.
const EXAMPLE: &str = include_str!("example.yaml");

fn error(text: &str) -> String {
    parse(text).unwrap_err().to_string()
}

/// The example with one line's text replaced.
fn with(from: &str, to: &str) -> String {
    assert!(EXAMPLE.contains(from), "{from}");
    EXAMPLE.replacen(from, to, 1)
}

#[test]
fn the_example_document_means_what_it_says() {
    let spec = parse(EXAMPLE).unwrap();
    insta::assert_snapshot!(spec.to_yaml());
}

#[test]
fn a_short_document_gets_the_defaults() {
    let spec =
        parse("name: a\nmodel: {zoo: resnet20}\ndata: {dataset: fashion-mnist-10k}\nsearch: {netadapt: {budget: {macs: 0.7}}}\n").unwrap();
    insta::assert_snapshot!(spec.to_yaml());
}

#[test]
fn every_mistake_gets_a_place_and_a_remedy() {
    let flow = "name: a\nmodel: {zoo: resnet20}\ndata: {dataset: fashion-mnist-10k}\n";
    let mistakes = [
        with("name: fashion-vgg", "name: [fashion"),
        with("  epochs: 8", "\tepochs: 8"),
        with("seed: 0\n\nsensitivity", "sed: 0\n\nsensitivity"),
        with("momentum: 0.9, weight_decay: 5.0e-4}}   # or adam:", "momentun: 0.9}}"),
        with("epochs: 8", "epochs: eight"),
        with("  epochs: 8", "  epochs: 8\n  steps: 3"),
        with("step: {initial: 0.03, decay: 0.98}", "step: {initial: -0.1}"),
        with("{latency: 0.6, device: local}", "{latency: 0.6, macs: 0.5}"),
        with("{latency: 0.6, device: local}", "{device: local}"),
        with("zoo: vgg", "zoo: vggg"),
        with("widths: [16, 16, M, 32, 32, M, 64, 64]", "widths: [16, X]"),
        with("criterion: l1", "criterion: tailor"),
        with("criterion: l1", "criterion: {l1: {batches: 3}}"),
        with("criterion: l1", "criterion: fpgm\n  granularity: kernel"),
        with("criterion: l1", "granularity: 4:4"),
        with("criterion: l1", "granularity: {pattern: {keep: 9}}"),
        with("optimizer: {sgd: {lr: 0.05,", "optimizer: {sdg: {lr: 0.05,"),
        with("holdout: 1000", "holdout: -3"),
        with("holdout: 1000", "holdout: 1.5"),
        with("mean: [0.286], std: [0.353]", "mean: [0.286], std: [0]"),
        with("max_rounds: 40", "max_rounds: 40\n    max_rounds: 41"),
        with("dataset: fashion-mnist-10k", "dataset: imagenet"),
        with("name: fashion-vgg", "name: ../x"),
        with("zoo: vgg", "onnx: a.onnx"),
        flow.replace("zoo: resnet20", "onnx: a.onnx, checkpoint: b.pth"),
        flow.replace("zoo: resnet20", "onnx: a.onnx, zoo: vgg"),
        flow.replace("resnet20", "resnet20, names: {a: b}"),
        flow.replace("resnet20", "resnet20, stem: cifar"),
        format!("{flow}search: {{one_shot: {{}}}}\n"),
        format!("{flow}search: {{one_shot: {{sparsity: 0.6, granularity: n_m}}}}\n"),
        format!("{flow}search: {{one_shot: {{granularity: n_m, scope: global}}}}\n"),
        format!("{flow}search: {{one_shot: {{sparsity: 0.5, granularity: kernel, channels: {{min: 2}}}}}}\n"),
        with("# matrix:", "matrix: {seed: [0, 1]} #"),
        with("  zoo: vgg", "  checkpoint: a.safetensors\n  zoo: vgg"),
        "name: a\n".into(),
        "- a\n".into(),
        String::new(),
        format!("{flow}finetune: {{epochs: 1}}\n"),
        format!("{flow}search: {{genetic: {{}}}}\n"),
        flow.replace("resnet20", "resnet20, widths: [3]"),
    ];
    let all: Vec<String> = mistakes.iter().map(|text| error(text)).collect();
    insta::assert_snapshot!(all.join("\n"));
}

#[test]
fn a_budget_is_a_ratio_up_to_one_and_a_count_above() {
    let budget = |amount| Budget { amount, device: "local".into() };
    assert_eq!(budget(BudgetAmount::Latency(0.5)).target(3.0), 1.5);
    assert_eq!(budget(BudgetAmount::LatencyMs(0.5)).target(3.0), 0.5);
    assert_eq!(budget(BudgetAmount::Macs(0.5)).target(1000.0), 500.0);
    assert_eq!(budget(BudgetAmount::Params(20_000.0)).target(1e6), 20_000.0);
}

/// The bound that the official defaults hide: 62.5 % in all, 44.1 % in their 30 rounds.
#[test]
fn the_official_schedule_ends_at_37_5_percent_however_long_it_runs() {
    let step = Step { initial: 0.025, decay: 0.96 };
    assert!((reachable_minimum(&step, 100_000) - 0.375).abs() < 1e-9);
    assert!((reachable_minimum(&step, 30) - 0.5587).abs() < 1e-4);
    assert_eq!(reachable_minimum(&Step { initial: 0.5, decay: 1.0 }, 5), 0.0);
}

#[test]
fn the_data_fill_in_what_the_model_leaves_out() {
    let mut model = parse(EXAMPLE).unwrap().model;
    assert!(
        model.fit([3, 32, 32], 10).unwrap_err().to_string().contains("`model.input` is [1, 28, 28], the data's images are [3, 32, 32]")
    );
    (model.input, model.classes) = (None, None);
    model.fit([3, 32, 32], 10).unwrap();
    assert_eq!((model.input, model.classes), (Some([3, 32, 32]), Some(10)));
}

#[test]
fn a_resolved_document_reads_back_as_itself() {
    let more = [
        "resnet18, stem: cifar, checkpoint: a.pth, names: {fc.: head.}}\ndata: {cifar10: d}\nsensitivity: {criterion: {taylor: {squared: true, batches: 2, normalize: max}}}\n",
        "resnet20}\ndata: {cifar10: d}\nsensitivity: {granularity: fine_grained}\nsearch: {one_shot: {sparsity: 0.5, scope: global, criterion: lamp}}\n",
        "resnet20}\ndata: {cifar10: d}\nsensitivity: {granularity: \"1:4\"}\nsearch: {one_shot: {granularity: {pattern: {keep: 4}}, criterion: {random: {seed: 3}}}}\n",
    ];
    let documents = more.map(|text| format!("name: a\nmodel: {{zoo: {text}"));
    for document in documents.iter().map(String::as_str).chain([EXAMPLE]) {
        let spec = parse(document).unwrap();
        assert_eq!(parse(&spec.to_yaml()).unwrap(), spec);
        assert_eq!(serde_json::from_slice::<Spec>(&serde_json::to_vec(&spec).unwrap()).unwrap(), spec);
    }
}

#[test]
fn a_granularity_with_blocks_brings_its_own_ratio() {
    let scan = |text: &str| {
        let document = format!("name: a\nmodel: {{zoo: resnet20}}\ndata: {{cifar10: d}}\nsensitivity: {{{text}}}\n");
        parse(&document).unwrap().sensitivity.unwrap()
    };
    assert_eq!(scan("granularity: n_m").granularity, Granularity::NM { n: 2, m: 4 });
    assert_eq!(scan("granularity: \"4:8\"").ratios, [0.5]);
    assert_eq!(scan("granularity: pattern").granularity, Granularity::Pattern { keep: 4 });
    assert_eq!(scan("criterion: l1").ratios.len(), 9);
    assert_eq!(Granularity::NM { n: 2, m: 4 }.at(0.75), Granularity::NM { n: 1, m: 4 });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn no_text_panics(text in "\\PC*") {
        let _ = parse(&text);
    }

    /// Any part of the example cut out or replaced: an error or a document that reads back as itself.
    #[test]
    fn no_mutation_of_the_example_panics(at in 0..EXAMPLE.len(), length in 0..40usize, by in "[a-z0-9:{}\\[\\], \n.-]{0,12}") {
        let end = (at + length).min(EXAMPLE.len());
        if let (Some(head), Some(tail)) = (EXAMPLE.get(..at), EXAMPLE.get(end..))
            && let Ok(spec) = parse(&format!("{head}{by}{tail}"))
        {
            prop_assert_eq!(parse(&spec.to_yaml()).unwrap(), spec);
        }
    }
}
