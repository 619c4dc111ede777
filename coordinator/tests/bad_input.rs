//! What people get wrong: one clear message with the place and the remedy, the right exit code, no panic.

mod support;

use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use support::{Process, document, pleach};

const SEARCH: &str = "train: {steps: 1}\nsearch: {netadapt: {budget: {macs: 0.7}, channels: {multiple_of: 2}}}\n";

/// The exit code and standard error of a command that must fail, with the folder's path taken out.
fn failure(command: &mut Command, folder: &Path) -> (i32, String) {
    let output = command.output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr).replace(&folder.display().to_string(), "DIR");
    assert!(!output.status.success(), "{command:?} succeeded");
    assert!(!error.contains("panicked"), "{error}");
    assert!(output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stdout));
    (output.status.code().unwrap(), error)
}

#[test]
fn documents_that_must_change_end_with_exit_code_2_before_anything_runs() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let cut = path.join("cut");
    std::fs::create_dir_all(&cut).unwrap();
    std::fs::write(cut.join("train-images-idx3-ubyte"), [0, 0, 8, 3, 0, 0, 0, 5, 0, 0, 0, 2, 0, 0, 0, 2, 1, 2, 3]).unwrap();
    std::fs::write(cut.join("train-labels-idx1-ubyte"), [0, 0, 8, 1, 0, 0, 0, 5, 1, 2, 3, 4, 5]).unwrap();
    std::fs::create_dir_all(path.join("empty")).unwrap();
    std::fs::write(path.join("other.safetensors"), b"no safetensors").unwrap();

    let mut all = String::new();
    let mut add = |what: &str, text: String| {
        let file = document(path, "");
        std::fs::write(&file, text).unwrap();
        let (code, error) = failure(pleach().arg("check").arg(&file), path);
        assert_eq!(code, 2, "{what}: {error}");
        all.push_str(&format!("# {what}\n{error}"));
    };
    let good = std::fs::read_to_string(document(path, SEARCH)).unwrap();
    let with = |from: &str, to: &str| {
        assert!(good.contains(from), "{from}");
        good.replacen(from, to, 1)
    };
    add("broken YAML", with("name: test", "name: [test"));
    add("misspelt field", with("holdout: 500", "holdaut: 500"));
    add("wrong type", with("train: {steps: 1}", "train: {steps: many}"));
    add("unreachable by the schedule", with("macs: 0.7", "macs: 0.1"));
    add("unreachable by the narrowest network", with("macs: 0.7}, channels: {multiple_of: 2}", "macs: 0.7}, channels: {multiple_of: 20}"));
    add("missing data", with("dataset: fashion-mnist-10k", "cifar10: nowhere"));
    add("empty data folder", with("dataset: fashion-mnist-10k", "cifar10: empty"));
    add("truncated data", with("dataset: fashion-mnist-10k, holdout: 500", "idx: cut"));
    add("no checkpoint", with("{zoo: vgg,", "{checkpoint: no.safetensors, zoo: vgg,").replace("train: {steps: 1}\n", ""));
    add("checkpoint that is none", with("{zoo: vgg,", "{checkpoint: other.safetensors, zoo: vgg,").replace("train: {steps: 1}\n", ""));
    add("network that does not fit the images", with("[6, M, 10, M, 12]", "[6, M, M, M, M, M, 8]"));
    insta::assert_snapshot!(all);

    let (code, error) = failure(pleach().args(["check", "missing.yaml"]), path);
    assert_eq!((code, error.contains("cannot read missing.yaml")), (2, true), "{error}");
    let (code, error) = failure(pleach().args(["runn", "x"]), path);
    assert_eq!((code, error.contains("similar subcommand exists: 'run'")), (2, true), "{error}");
}

#[test]
fn surroundings_that_fail_end_with_exit_code_1_and_say_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap().to_string();

    let (code, error) = failure(pleach().args(["coordinator", "--listen", &address, "--data-dir"]).arg(path.join("a")), path);
    assert_eq!((code, error.contains("is in use by another process") && error.contains("--listen")), (1, true), "{error}");
    drop(free);

    let (code, error) = failure(pleach().args(["ls", "--coordinator", &format!("http://{address}")]), path);
    assert_eq!((code, error.contains("cannot reach the coordinator") && error.contains("pleach coordinator")), (1, true), "{error}");

    let coordinator = Process::coordinator(&path.join("b"), "127.0.0.1:0");
    let (code, error) = failure(pleach().args(["coordinator", "--listen", "127.0.0.1:0", "--data-dir"]).arg(path.join("b")), path);
    assert_eq!((code, error.contains("in use by another coordinator") && error.contains("--data-dir")), (1, true), "{error}");

    let (code, error) = failure(pleach().args(["show", "nothing", "--coordinator", &coordinator.address]), path);
    assert_eq!((code, error.contains("pleach ls")), (2, true), "{error}");
}
