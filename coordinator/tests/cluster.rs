//! The real binary: separate processes over real sockets, killed in the middle; runs that are killed and go on.
#![cfg(feature = "local")]

mod support;

use serde_json::Value;
use std::path::Path;
use support::{Process, document, json, kill, pleach, until};

/// A search that takes some seconds: long enough to be killed in the middle.
const SEARCH: &str = "
train: {steps: 60, optimizer: {sgd: {lr: 0.05, momentum: 0.9}}}
sensitivity: {ratios: [0.5]}
search:
  netadapt:
    budget: {macs: 0.5}
    step: {initial: 0.15, decay: 1.0}
    channels: {multiple_of: 2, min: 2}
    short_term: {steps: 12, batch: 64, optimizer: {sgd: {lr: 0.01, momentum: 0.9}}}
finetune: {steps: 20}
";

fn run(file: &Path, data_dir: &Path) -> Value {
    let folder = file.parent().unwrap();
    json(
        pleach().arg("run").arg(file).arg("--data-dir").arg(data_dir).arg("--report").arg(folder.join("report")).args(["--output", "json"]),
    )
}

/// What must not depend on who worked when: rounds, accuracies, widths.
fn decisions(summary: &Value) -> Value {
    let mut dense = summary["dense"].clone();
    dense.as_object_mut().unwrap().retain(|key, _| !key.starts_with("latency"));
    serde_json::json!([summary["rounds"], summary["sensitivity"], summary["layers"], dense, summary["final"]["accuracy_test"]])
}

#[test]
fn a_cluster_that_loses_a_worker_in_the_middle_decides_as_a_single_process_does() {
    let folder = tempfile::tempdir().unwrap();
    let file = document(folder.path(), SEARCH);
    let coordinator = Process::coordinator(&folder.path().join("cluster"), "127.0.0.1:0");
    let remote = ["--coordinator", &coordinator.address, "--output", "json"];
    let mut first = Process::worker(&coordinator.address, "first");
    let id = json(pleach().arg("submit").arg(&file).args(remote))["id"].as_str().unwrap().to_owned();

    until("the first worker works", || {
        let workers = json(pleach().arg("workers").args(remote));
        workers[0]["running"].as_array().is_some_and(|running| !running.is_empty())
    });
    first.kill();
    let second = Process::worker(&coordinator.address, "second");
    let third = Process::worker(&coordinator.address, "third");
    let watched = json(pleach().args(["watch", &id]).args(remote));
    assert_eq!(watched["state"], "finished");
    assert_eq!(json(pleach().args(["show", &id[..id.len() - 2]]).args(remote)), watched, "the start of an id is enough");
    assert_eq!(json(pleach().arg("ls").args(remote))[0]["state"], "finished");

    let model = folder.path().join("out.safetensors");
    json(pleach().args(["export", &id, "--model"]).arg(&model).args(remote));
    let model = pleach_shared::model::Model::decode(&std::fs::read(model).unwrap()).unwrap();
    assert_eq!(model.network.cost().unwrap().macs, watched["final"]["macs"].as_u64().unwrap());
    drop((second, third, coordinator));

    let alone = run(&file, &folder.path().join("alone"));
    assert_eq!(decisions(&alone), decisions(&watched));
    assert!(alone["final"]["macs"].as_f64().unwrap() <= alone["budget"]["target"].as_f64().unwrap());
}

#[test]
fn a_killed_run_goes_on_and_a_lower_budget_computes_only_what_is_new() {
    let folder = tempfile::tempdir().unwrap();
    let file = document(folder.path(), SEARCH);
    let whole = run(&file, &folder.path().join("whole"));
    assert_eq!(whole["state"], "finished");
    let rounds = whole["rounds"].as_array().unwrap().len();
    assert!(rounds >= 2, "{whole}");

    let killed = folder.path().join("killed");
    let mut child =
        Process::spawn(pleach().arg("run").arg(&file).arg("--data-dir").arg(&killed).arg("--report").arg(folder.path().join("r")));
    child.stderr_until("round   1");
    child.kill();
    let resumed = run(&file, &killed);
    assert_eq!(decisions(&resumed), decisions(&whole));
    let (reused, ran) = (resumed["tasks"]["reused"].as_u64().unwrap(), resumed["tasks"]["run"].as_u64().unwrap());
    assert!(reused > 0 && ran < whole["tasks"]["run"].as_u64().unwrap(), "{reused} reused, {ran} run");

    let again = run(&file, &killed);
    assert_eq!((decisions(&again), again["tasks"]["run"].as_u64()), (decisions(&whole), Some(0)), "all of it is remembered");

    let lower = document(folder.path(), &SEARCH.replace("macs: 0.5", "macs: 0.4"));
    let lower = run(&lower, &killed);
    assert_eq!(lower["rounds"].as_array().unwrap()[..rounds], whole["rounds"].as_array().unwrap()[..]);
    assert!(lower["tasks"]["run"].as_u64().unwrap() < whole["tasks"]["run"].as_u64().unwrap());
}

#[test]
fn a_latency_budget_is_met_as_measured_and_the_report_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let search = SEARCH.replace("macs: 0.5", "latency: 0.8").replace("initial: 0.15", "initial: 0.1");
    let file = document(folder.path(), &search);
    let summary = run(&file, &folder.path().join("data"));
    assert_eq!(summary["state"], "finished");
    let target = summary["budget"]["target"].as_f64().unwrap();
    assert!(summary["final"]["latency_ms"].as_f64().unwrap() <= target);
    assert!(summary["rounds"][0]["predicted_ms"].is_f64() && summary["rounds"][0]["measured_ms"].is_f64());
    let read = |name: &str| std::fs::read_to_string(folder.path().join("report").join(name)).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&read("summary.json")).unwrap(), summary);
    assert_eq!(read("history.csv").lines().count(), 1 + summary["rounds"].as_array().unwrap().len());
    assert_eq!(read("sensitivity.csv").lines().count(), 1 + summary["sensitivity"].as_array().unwrap().len());
    assert!(read("index.html").contains("<svg"));
}

#[test]
fn a_cancelled_experiment_is_resumed_and_a_coordinator_killed_goes_on_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let file = document(folder.path(), SEARCH);
    let data = folder.path().join("data");
    let mut coordinator = Process::coordinator(&data, "127.0.0.1:0");
    let id = {
        let remote = ["--coordinator", &coordinator.address, "--output", "json"];
        let id = json(pleach().arg("submit").arg(&file).args(remote))["id"].as_str().unwrap().to_owned();
        assert!(pleach().args(["cancel", &id, "--coordinator", &coordinator.address]).status().unwrap().success());
        assert_eq!(json(pleach().args(["show", &id]).args(remote))["state"], "cancelled");
        assert!(pleach().args(["resume", &id, "--coordinator", &coordinator.address]).status().unwrap().success());
        id
    };
    let address = coordinator.address.trim_start_matches("http://").to_owned();
    let worker = Process::worker(&coordinator.address, "lasting");
    let remote = ["--coordinator", &coordinator.address.clone(), "--output", "json"];
    until("something is done", || json(pleach().args(["show", &id]).args(remote))["tasks"]["run"].as_u64() > Some(3));
    kill(&mut coordinator);
    // The worker outlives its coordinator and attaches to the next one, which takes up what the last one left.
    let next = Process::coordinator(&data, &address);
    assert_eq!(next.address, coordinator.address);
    assert_eq!(json(pleach().args(["watch", &id]).args(remote))["state"], "finished");
    drop((worker, next));
}
