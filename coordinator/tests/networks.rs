//! What people bring and take away: checkpoints, ONNX, and looking inside, through the real binary.

mod support;

use serde_json::Value;
use std::path::{Path, PathBuf};
use support::{json, pleach};

/// The reading material beside the project.
fn material() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let there = root.join("checkpoints").is_dir();
    if !there {
        eprintln!("skipped: {} is not there", root.display());
    }
    there.then(|| root.canonicalize().unwrap())
}

/// A document about the published ResNet-20 and the CIFAR-10 images that are there.
fn document(folder: &Path, root: &Path, data: &str, rest: &str) -> PathBuf {
    let file = folder.join("resnet20.yaml");
    let normalize = "normalize: {mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225]}";
    let root = root.display();
    let text = format!(
        "name: published\nmodel: {{zoo: resnet20, checkpoint: {root}/checkpoints/resnet20-12fca82f.th}}\n\
         data: {{cifar10: {data}, {normalize}}}\n{rest}"
    );
    std::fs::write(&file, text).unwrap();
    file
}

#[test]
fn a_published_checkpoint_scores_what_pytorch_gives_it() {
    let Some(root) = material() else { return };
    let folder = tempfile::tempdir().unwrap();
    // A folder with the test images alone: evaluation on them needs no others.
    let data = folder.path().join("test-only");
    std::fs::create_dir(&data).unwrap();
    std::fs::copy(root.join("cifar-10-mini/test_batch.bin"), data.join("test_batch.bin")).unwrap();
    let file = document(folder.path(), &root, "test-only", "");
    let found = json(pleach().arg("evaluate").arg(&file).args(["--split", "test", "--output", "json"]));
    // 463 with PyTorch 2.15 (the data's README).
    assert_eq!((found["right"].as_u64(), found["total"].as_u64()), (Some(463), Some(508)), "{found}");
    assert!((found["accuracy"].as_f64().unwrap() - 463.0 / 508.0).abs() < 1e-9 && found["loss"].as_f64().unwrap() < 0.6);

    let refused = pleach().arg("evaluate").arg(&file).args(["--split", "train"]).output().unwrap();
    let error = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.status.code() == Some(2) && error.contains("train split has no images"), "{error}");

    let seen = json(pleach().arg("inspect").arg(&file).args(["--output", "json"]));
    let matches = seen["matches"].as_array().unwrap();
    assert!(
        matches.iter().any(|m| m["parameter"] == "layer1.0.conv1.weight" && m["tensor"] == "module.layer1.0.conv1.weight"),
        "{matches:?}"
    );
}

#[test]
fn a_sensitivity_scan_alone_is_a_run() {
    let Some(root) = material() else { return };
    let folder = tempfile::tempdir().unwrap();
    let mini = root.join("cifar-10-mini");
    let rest = "sensitivity: {criterion: l1, ratios: [0.5]}\n";
    let file = document(folder.path(), &root, &format!("{}, holdout: 150", mini.display()), rest);
    let summary = json(
        pleach()
            .arg("run")
            .arg(&file)
            .arg("--data-dir")
            .arg(folder.path().join("data"))
            .arg("--report")
            .arg(folder.path().join("report"))
            .args(["--output", "json"]),
    );
    assert_eq!(summary["state"], "finished");
    let points = summary["sensitivity"].as_array().unwrap();
    assert_eq!(points.len(), 2 * 12, "three stages and the inside of nine blocks, dense and half");
    let of =
        |group: &str, ratio: f64| points.iter().find(|p| p["group"] == group && p["ratio"] == ratio).unwrap()["accuracy"].as_f64().unwrap();
    // The first stage is what the network can spare least.
    assert!(of("conv1", 0.0) > 0.8 && of("conv1", 0.5) < 0.5 && of("layer3.2.conv1", 0.5) > of("conv1", 0.5));
    assert_eq!(summary["dense"]["accuracy_test"].as_f64().map(|a| (a * 508.0).round()), Some(463.0));
}

#[test]
fn all_training_images_may_be_held_out_where_nothing_is_trained() {
    let Some(root) = material() else { return };
    let folder = tempfile::tempdir().unwrap();
    let mini = root.join("cifar-10-mini");
    let file = document(folder.path(), &root, &format!("{}, holdout: 1.0", mini.display()), "sensitivity: {ratios: [0.5]}\n");
    let checked = json(pleach().arg("check").arg(&file).args(["--output", "json"]));
    assert_eq!(checked["splits"]["holdout"]["images"], 5085);
    assert_eq!(checked["splits"]["train"]["images"], 0);
}

#[test]
fn inspect_shows_layers_groups_and_why_one_cannot_be_pruned() {
    let seen = json(pleach().args(["inspect", "zoo:resnet20", "--output", "json"]));
    assert_eq!(seen["macs"], 40_551_040);
    let find = |list: &str, name: &str| seen[list].as_array().unwrap().iter().find(|one| one["name"] == name).unwrap().clone();
    let layer = find("layers", "layer1.0.conv1");
    assert_eq!(
        (&layer["op"], &layer["output_shape"], &layer["params"]),
        (&"Conv2d".into(), &serde_json::json!([16, 32, 32]), &2304.into())
    );
    let stem = find("groups", "conv1");
    assert_eq!((&stem["channels"], &stem["prunable"], &stem["reason"]), (&16.into(), &true.into(), &Value::Null));
    let members = stem["members"].as_array().unwrap();
    for member in [("layer1.2.conv2", "out"), ("layer1.2.bn2", "out"), ("layer2.0.conv1", "in")] {
        assert!(members.contains(&serde_json::json!({ "layer": member.0, "axis": member.1 })), "{member:?}");
    }
    let last = find("groups", "linear");
    assert_eq!((&last["prunable"], last["reason"].as_str()), (&false.into(), Some("it is the network's output")));

    let shuffle = json(pleach().args(["inspect", "zoo:shufflenet_v2_x1_0", "--output", "json"]));
    assert!(shuffle["groups"].as_array().unwrap().iter().filter(|group| group["prunable"] == true).count() > 10);
    let dot = pleach().args(["inspect", "zoo:resnet18", "--dot"]).output().unwrap();
    assert!(String::from_utf8_lossy(&dot.stdout).starts_with("digraph network {"));
    let text = pleach().args(["inspect", "zoo:vgg11", "--classes", "10"]).output().unwrap();
    assert!(String::from_utf8_lossy(&text.stdout).contains("it is the network's output"));
}

/// One-shot masks through the whole system, the model exported, and the ONNX file a model of its own.
#[test]
fn a_masked_network_is_fine_tuned_exported_and_brought_back_as_onnx() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let rest = "train: {steps: 20}\nsensitivity: {granularity: kernel, ratios: [0.5]}\n\
                search: {one_shot: {granularity: \"2:4\", criterion: l1}}\nfinetune: {steps: 10}\n";
    let file = support::document(path, rest);
    let run = |file: &Path, report: &str| {
        json(
            pleach()
                .arg("run")
                .arg(file)
                .arg("--data-dir")
                .arg(path.join("data"))
                .arg("--report")
                .arg(path.join(report))
                .args(["--output", "json"]),
        )
    };
    let summary = run(&file, "report");
    let found = &summary["final"];
    assert_eq!(found["params"], summary["dense"]["params"]);
    let (dense, left) = (found["macs"].as_f64().unwrap(), found["nonzero_macs"].as_f64().unwrap());
    // 2:4 halves every layer whose input channels are a multiple of four; the first convolution has one, others a rest.
    assert!(left < 0.75 * dense && left > 0.4 * dense, "{left} of {dense}");
    assert_eq!(summary["sensitivity"].as_array().unwrap().len(), 2 * 4, "three convolutions and the linear layer");

    let onnx = path.join("model.onnx");
    let exported = pleach().arg("export").arg(path.join("report/model.safetensors")).arg("--model").arg(&onnx).output().unwrap();
    assert!(exported.status.success(), "{}", String::from_utf8_lossy(&exported.stderr));
    let again = path.join("again.yaml");
    let text = "name: again\nmodel: {onnx: model.onnx}\ndata: {dataset: fashion-mnist-10k, holdout: 500}\n\
                search: {one_shot: {sparsity: 0.5, scope: global, criterion: {taylor: {batches: 2}}}}\nfinetune: {steps: 5}\n";
    std::fs::write(&again, text).unwrap();
    let evaluated = json(pleach().arg("evaluate").arg(&again).args(["--output", "json"]));
    assert_eq!(evaluated["accuracy"], found["accuracy_test"], "the same model by another way");
    let pruned = run(&again, "report2");
    assert!(pruned["final"]["params"].as_u64() < found["params"].as_u64());
}

#[test]
fn files_that_cannot_be_used_are_refused_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/src/checkpoint/fixtures");
    let error = |file: &Path| {
        let output = pleach().arg("inspect").arg(file).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{file:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let evil = error(&fixtures.join("evil.pt"));
    assert!(evil.contains("system") && evil.contains("only tensors"), "{evil}");
    let cut = folder.path().join("cut.onnx");
    std::fs::write(&cut, b"\x08\x08\x12\x07pytorch").unwrap();
    assert!(error(&cut).contains("cut.onnx"));
    assert!(error(&folder.path().join("none.pth")).contains("cannot read"));
    let unknown = pleach().args(["inspect", "zoo:resnet19"]).output().unwrap();
    let text = String::from_utf8_lossy(&unknown.stderr).into_owned();
    assert!(unknown.status.code() == Some(2) && text.contains("did you mean `resnet18`") || text.contains("did you mean"), "{text}");
}
