//! A published PyTorch checkpoint: what it scores, and what it scores with filters removed, to the image.

use burn::tensor::Device;
use pleach_shared::checkpoint::{self, Names};
use pleach_shared::data::{Amount, Cut, Format, NamedFile, SplitHashes, SplitRecord, decode, split};
use pleach_shared::model::Model;
use pleach_shared::network::zoo::{self, ShortcutKind};
use pleach_shared::spec::{Augment, Criterion, Normalize};
use pleach_shared::task::{DataRef, Prune};
use pleach_worker::criteria::Observed;
use pleach_worker::surgery::prune;
use pleach_worker::training::{Dataset, evaluate};
use std::path::Path;

/// The reading material beside the project: a trained ResNet-20 and some CIFAR-10 images.
fn material() -> Option<(Model, Dataset)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    if !root.join("checkpoints").is_dir() {
        eprintln!("skipped: {} is not there", root.display());
        return None;
    }
    let network = zoo::resnet(20, 1.0, ShortcutKind::A, [3, 32, 32], 10).unwrap();
    let bytes = std::fs::read(root.join("checkpoints/resnet20-12fca82f.th")).unwrap();
    let model = checkpoint::fit(&network, &checkpoint::read(&bytes).unwrap(), &Names::default()).unwrap().model;
    let test = std::fs::read(root.join("cifar-10-mini/test_batch.bin")).unwrap();
    let files = [NamedFile { name: "test_batch.bin", bytes: &test }];
    let cut = Cut { holdout: Amount::Count(0), test: None };
    let splits: SplitHashes = split(&decode(Format::Cifar10, &files).unwrap(), &cut).unwrap().record();
    assert_eq!(splits.train, SplitRecord { images: 0, hash: splits.train.hash.clone() }, "only the test file was given");
    let normalize = Normalize { mean: vec![0.485, 0.456, 0.406], std: vec![0.229, 0.224, 0.225] };
    let data = DataRef { format: Format::Cifar10, files: Vec::new(), cut, splits, normalize: Some(normalize), augment: Augment::default() };
    let file = pleach_shared::task::DataFile { name: "test_batch.bin".into(), blob: pleach_shared::task::BlobId::of(&test) };
    Some((model, Dataset::open(&DataRef { files: vec![file], ..data }, &[test]).unwrap()))
}

/// The reference was made with PyTorch by `golden/resnet20_zeroing.py`.
#[test]
fn removing_filters_equals_zeroing_them_in_pytorch_to_the_image() {
    let Some((model, data)) = material() else { return };
    let right = |model: &Model| evaluate(model, &data, &data.splits.test, &Device::flex(), &|_| Ok(())).unwrap().right;
    let mut rows = 0;
    for row in include_str!("golden/resnet20_zeroing.csv").lines().skip(1) {
        let [group, ratio, expected] = row.split(',').collect::<Vec<_>>()[..] else { panic!("{row}") };
        let pruned = match group {
            "dense" => model.clone(),
            _ => {
                let groups = model.network.groups().unwrap();
                let channels = groups.find(group).unwrap().1.channels;
                let channels = channels - (ratio.parse::<f64>().unwrap() * channels as f64).round() as usize;
                let what = Prune::Channels { group: group.into(), channels, criterion: Criterion::L1 };
                prune(&what, &model, &Observed::default()).unwrap().0
            }
        };
        assert_eq!(right(&pruned).to_string(), expected, "{group} at {ratio}");
        rows += 1;
    }
    assert_eq!(rows, 91);
}
