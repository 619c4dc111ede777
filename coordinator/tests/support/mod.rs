//! The real binary as tests drive it.
#![allow(dead_code)] // each test binary uses its part

use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::{Duration, Instant};

/// Longest that any single step may take; far beyond what one takes.
const PATIENCE: Duration = Duration::from_secs(240);

pub fn pleach() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pleach"));
    command.env_remove("PLEACH_COORDINATOR").env_remove("PLEACH_LOG");
    command
}

/// Runs a command that must succeed and print JSON and nothing else.
pub fn json(command: &mut Command) -> Value {
    let output = command.output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}\n{err}");
    assert!(!err.contains('\u{1b}') && !out.contains('\u{1b}'), "no escape codes where there is no terminal:\n{err}");
    serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}"))
}

/// Writes a document about a tiny network on the built-in data.
pub fn document(folder: &Path, rest: &str) -> PathBuf {
    let file = folder.join("experiment.yaml");
    let head = "name: test\nmodel: {zoo: vgg, widths: [6, M, 10, M, 12]}\ndata: {dataset: fashion-mnist-10k, holdout: 500}\n";
    std::fs::write(&file, format!("{head}{}", rest.trim_start())).unwrap();
    file
}

pub fn until(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < PATIENCE, "waited too long: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A process that dies with the test.
pub struct Process {
    child: Child,
    stderr: Option<BufReader<ChildStderr>>,
    pub address: String,
}

impl Process {
    pub fn spawn(command: &mut Command) -> Process {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stderr = child.stderr.take().map(BufReader::new);
        Process { child, stderr, address: String::new() }
    }

    /// A coordinator that listens already.
    pub fn coordinator(data_dir: &Path, listen: &str) -> Process {
        let mut command = pleach();
        let mut child =
            command.arg("coordinator").arg("--data-dir").arg(data_dir).args(["--listen", listen]).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.split_whitespace().find(|word| word.starts_with("http://")).unwrap_or_else(|| panic!("no address in {line:?}"));
        Process { address: address.trim_end_matches(',').to_owned(), child, stderr: None }
    }

    pub fn worker(coordinator: &str, name: &str) -> Process {
        let child = pleach().args(["worker", "--coordinator", coordinator, "--name", name]).spawn().unwrap();
        Process { child, stderr: None, address: String::new() }
    }

    /// Reads standard error until a line holds this text.
    pub fn stderr_until(&mut self, text: &str) {
        let stderr = self.stderr.as_mut().unwrap();
        let mut all = String::new();
        loop {
            let mut line = String::new();
            assert!(stderr.read_line(&mut line).unwrap() > 0, "ended without {text:?}:\n{all}");
            if line.contains(text) {
                return;
            }
            all.push_str(&line);
        }
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

pub fn kill(process: &mut Process) {
    process.kill();
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
