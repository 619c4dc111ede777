//! `pleach evaluate`.

use super::{CliError, Output};
use crate::submit;
use clap::Args;
use pleach_shared::data::SplitName;
use pleach_shared::task::{BlobId, Evaluate, Outcome, Task};
use pleach_worker::compute::Compute;
use pleach_worker::error::TaskError;
use pleach_worker::execute::{Blobs, Executor};
use serde_json::json;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

/// Evaluate a document's model on one split: the way to see that a checkpoint was understood.
#[derive(Debug, Args)]
#[command(after_help = "Example: pleach evaluate my-net.yaml --split test --output json
The document needs only `model` (with `checkpoint` or `onnx`) and `data`.")]
pub(super) struct EvaluateArgs {
    /// The YAML document. Paths in it are relative to it.
    file: PathBuf,
    /// Which images.
    #[arg(long, value_enum, default_value_t)]
    split: Split,
    /// Where to compute: flex (CPU), wgpu or wgpu:N.
    #[arg(long, default_value_t)]
    device: Compute,
    /// What to print.
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

#[derive(Debug, Clone, Copy, Default, clap::ValueEnum)]
enum Split {
    #[default]
    Test,
    Holdout,
    Train,
}

/// The submission's own blobs.
struct Held(HashMap<BlobId, Arc<Vec<u8>>>);

impl Blobs for Held {
    fn get(&self, blob: BlobId) -> Result<Arc<Vec<u8>>, TaskError> {
        self.0.get(&blob).cloned().ok_or_else(|| TaskError::Blob { blob, error: "the document does not name it".into() })
    }

    fn put(&self, bytes: Vec<u8>) -> Result<BlobId, TaskError> {
        Ok(BlobId::of(&bytes))
    }
}

pub(super) async fn evaluate(args: EvaluateArgs) -> Result<(), CliError> {
    let prepared = submit::prepare_to_evaluate(&args.file)?;
    let place = args.file.display();
    let Some(model) = prepared.submission.checkpoint else {
        return Err(CliError::usage(format!("{place}: there are no weights to evaluate"))
            .help("name them: `model: {zoo: NAME, checkpoint: FILE}` or `model: {onnx: FILE}`"));
    };
    let data = prepared.submission.data.clone();
    let (split, images) = match args.split {
        Split::Test => (SplitName::Test, data.splits.test.images),
        Split::Holdout => (SplitName::Holdout, data.splits.holdout.images),
        Split::Train => (SplitName::Train, data.splits.train.images),
    };
    if images == 0 {
        return Err(CliError::usage(format!("{place}: the {split} split has no images"))
            .help("choose another with --split, add its files to the data folder, or set `data.holdout`"));
    }
    let blobs = Held(prepared.blobs.into_iter().map(|(id, bytes)| (id, Arc::new(bytes.to_vec()))).collect());
    let task = Task::Evaluate(Evaluate { model, prune: None, data, split });
    let outcome = tokio::task::spawn_blocking(move || Executor::new(args.device).execute(&task, &blobs, &|_| Ok(())))
        .await
        .map_err(|error| CliError::failed(error.to_string()))?
        .map_err(|error| CliError::failed(format!("{place}: {error}")))?;
    let Outcome::Evaluated(found) = outcome else { return Err(CliError::failed("the evaluation gave no accuracy")) };
    match args.output {
        Output::Json => println!(
            "{}",
            json!({ "right": found.right, "total": found.total, "accuracy": found.accuracy(), "loss": found.loss, "split": split })
        ),
        Output::Table => {
            println!("{} of {} right on {split}: {:.2} %, loss {:.4}", found.right, found.total, found.accuracy() * 100.0, found.loss)
        }
    }
    Ok(())
}
