//! From a YAML file to a submission: every file that the document names is read, checked and turned into a blob.

mod data;
mod network;

use crate::run::RunError;
use crate::search;
use bytes::Bytes;
use network::Dense;
use pleach_shared::checkpoint::{Checkpoint, CheckpointError, Match};
use pleach_shared::data::DataError;
use pleach_shared::model::{Model, ModelError};
use pleach_shared::network::{Network, ShapeError};
use pleach_shared::onnx::OnnxError;
use pleach_shared::spec::{self, Criterion, Length, ModelSource, Resource, Search, Spec, SpecError};
use pleach_shared::submission::Submission;
use pleach_shared::task::BlobId;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// A document ready to be submitted.
#[derive(Debug)]
pub struct Prepared {
    /// The YAML as written.
    pub document: String,
    /// Resolved.
    pub submission: Submission,
    /// The blobs that the submission names.
    pub blobs: Vec<(BlobId, Bytes)>,
}

/// A document, or a file that it names, that must change.
#[derive(Debug, Error)]
pub enum InputError {
    /// A file that cannot be read.
    #[error("cannot read {}: {error}{}", path.display(), hint(named_by))]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
        /// The field of the document that names it.
        named_by: Option<&'static str>,
    },
    /// The document says something impossible.
    #[error("{}: {error}", path.display())]
    Spec {
        /// The document.
        path: PathBuf,
        /// What and where.
        error: Box<SpecError>,
    },
    /// A data file is broken.
    #[error("{}: {error}", path.display())]
    Data {
        /// The folder, or the name of the built-in data set.
        path: PathBuf,
        /// What.
        error: DataError,
    },
    /// No file of the format is in the folder.
    #[error("{} holds no file of its format; expected {expected}", path.display())]
    NoData {
        /// The folder.
        path: PathBuf,
        /// What would be one.
        expected: &'static str,
    },
    /// The checkpoint cannot be read, or does not fit the network.
    #[error("checkpoint {}: {error}", path.display())]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        error: Box<CheckpointError>,
    },
    /// The ONNX file cannot be read, or holds what Pleach lacks.
    #[error("{}: {error}", path.display())]
    Onnx {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        error: Box<OnnxError>,
    },
    /// The model cannot be written as one file.
    #[error("{}: model: {error}", path.display())]
    Encode {
        /// The document.
        path: PathBuf,
        /// Why.
        error: ModelError,
    },
    /// The network does not fit its input.
    #[error("{}: model: {error}", path.display())]
    Network {
        /// The document.
        path: PathBuf,
        /// Which layer.
        error: ShapeError,
    },
    /// The budget is out of reach.
    #[error("{}: search.netadapt: {error}", path.display())]
    Infeasible {
        /// The document.
        path: PathBuf,
        /// With the reachable minimum.
        error: RunError,
    },
}

fn hint(named_by: &Option<&'static str>) -> String {
    named_by.map_or_else(String::new, |field| format!(" (named by `{field}`; paths in a document are relative to it)"))
}

/// Reads a document and everything that it names, ready to be run.
///
/// # Errors
/// With the place and the remedy, before anything is run.
pub fn prepare(path: &Path) -> Result<Prepared, InputError> {
    let (prepared, mismatch) = inspect(path)?;
    let in_spec = |error: SpecError| InputError::Spec { path: path.into(), error: Box::new(error) };
    mismatch.map_or(Ok(()), |error| Err(in_spec(error)))?;
    check_splits(&prepared.submission).map_err(in_spec)?;
    Ok(prepared)
}

/// As [`prepare`], for a document of which only the model is evaluated: splits may be empty, and no budget is looked at.
///
/// # Errors
/// As [`prepare`].
pub fn prepare_to_evaluate(path: &Path) -> Result<Prepared, InputError> {
    let (prepared, mismatch, _) = load(path)?;
    mismatch.map_or(Ok(prepared), |error| Err(InputError::Spec { path: path.into(), error: Box::new(error) }))
}

/// As [`prepare`], but a network whose input or classes are not the data's is no error: its costs can still be told.
///
/// # Errors
/// As [`prepare`], but for that.
pub fn inspect(path: &Path) -> Result<(Prepared, Option<SpecError>), InputError> {
    let (prepared, mismatch, _) = load(path)?;
    check_budget(&prepared.submission.spec, &prepared.submission.network)
        .map_err(|error| InputError::Infeasible { path: path.into(), error })?;
    Ok((prepared, mismatch))
}

/// What a file turned out to be.
#[derive(Debug)]
pub enum Opened {
    /// A network.
    Network {
        /// The architecture.
        network: Network,
        /// How a checkpoint's names were matched, where a document names one.
        matches: Vec<Match>,
    },
    /// Weights alone.
    Checkpoint(Checkpoint),
}

/// Opens any file that can be looked into: a document, a model, an ONNX file, a checkpoint.
///
/// # Errors
/// With the place and the remedy.
pub fn open(path: &Path, input: Option<[usize; 3]>) -> Result<Opened, InputError> {
    let extension = path.extension().map(|extension| extension.to_string_lossy().to_lowercase()).unwrap_or_default();
    match extension.as_str() {
        "yaml" | "yml" => {
            let (prepared, _, matches) = load(path)?;
            Ok(Opened::Network { network: prepared.submission.network, matches })
        }
        "onnx" => Ok(Opened::Network { network: network::onnx(path, input, None)?.network, matches: Vec::new() }),
        _ => {
            let bytes = std::fs::read(path).map_err(|error| InputError::Read { path: path.into(), error, named_by: None })?;
            match Model::decode(&bytes) {
                Ok(model) => Ok(Opened::Network { network: model.network, matches: Vec::new() }),
                Err(_) => network::read(path, None).map(Opened::Checkpoint),
            }
        }
    }
}

/// A network of the zoo, for looking at it.
///
/// # Errors
/// When there is none of that name, or it does not fit its input.
pub fn zoo(name: &str, input: Option<[usize; 3]>, classes: Option<usize>, width: Option<f64>) -> Result<Network, InputError> {
    let mut document = format!("name: zoo\nmodel:\n  zoo: {name}\n");
    let mut field = |key: &str, value: Option<String>| value.into_iter().for_each(|value| document += &format!("  {key}: {value}\n"));
    field("input", input.map(|input| format!("{input:?}")));
    field("classes", classes.map(|classes| classes.to_string()));
    field("width", width.map(|width| width.to_string()));
    document += "data: {dataset: fashion-mnist-10k}\n";
    let path = Path::new("zoo");
    let spec = spec::parse(&document)
        .map_err(|error| InputError::Spec { path: path.into(), error: Box::new(SpecError { line: None, ..error }) })?;
    Ok(network::dense(&spec.model, path, Path::new("."))?.network)
}

fn load(path: &Path) -> Result<(Prepared, Option<SpecError>, Vec<Match>), InputError> {
    let document = std::fs::read_to_string(path).map_err(|error| InputError::Read { path: path.into(), error, named_by: None })?;
    let in_spec = |error: SpecError| InputError::Spec { path: path.into(), error: Box::new(error) };
    let mut spec: Spec = spec::parse(&document).map_err(in_spec)?;
    let folder = path.parent().unwrap_or(Path::new("."));

    let data::Loaded { data, splits, mut blobs } = data::load(&spec.data, folder)?;
    data::check_normalize(&spec.data, splits.train.shape()[0]).map_err(in_spec)?;
    let brings_its_own = matches!(spec.model.source, ModelSource::Onnx(_));
    let mut mismatch = match brings_its_own {
        true => None,
        false => spec.model.fit(splits.train.shape(), splits.train.classes()).err(),
    };
    let Dense { network, model, matches } = network::dense(&spec.model, path, folder)?;
    if brings_its_own {
        spec.model.input = network::input(&network);
        spec.model.classes = network.output_shape().ok().map(|shape| shape.iter().product());
        mismatch = spec.model.fit(splits.train.shape(), splits.train.classes()).err();
    }
    let mut checkpoint = None;
    if let Some(model) = model {
        let encoded = model.encode().map_err(|error| InputError::Encode { path: path.into(), error })?;
        let bytes = Bytes::from(encoded);
        let id = BlobId::of(&bytes);
        blobs.push((id, bytes));
        checkpoint = Some(id);
    }
    Ok((Prepared { document, submission: Submission { spec, network, data, checkpoint }, blobs }, mismatch, matches))
}

/// Refuses a document that needs images of a split that has none.
fn check_splits(submission: &Submission) -> Result<(), SpecError> {
    let Submission { spec, data, .. } = submission;
    let looks_at_training = |criterion: &Criterion| criterion.importance.needs_data();
    let ranks = match &spec.search {
        Some(Search::Netadapt(search)) => looks_at_training(&search.criterion) || search.short_term.length != Length::Steps(0),
        Some(Search::OneShot(search)) => looks_at_training(&search.criterion),
        None => false,
    };
    let scans = spec.sensitivity.as_ref().is_some_and(|scan| looks_at_training(&scan.criterion));
    let trains = spec.train.is_some() || spec.finetune.is_some() || ranks || scans;
    let lacks =
        |split: &str, help: &str| Err(SpecError::new("data", format!("has no {split} images, and the document needs some")).help(help));
    if trains && data.splits.train.images == 0 {
        return lacks("training", "lower `data.holdout`, or add training files to the data folder");
    }
    if (spec.search.is_some() || spec.sensitivity.is_some()) && data.splits.holdout.images == 0 {
        return lacks("holdout", "raise `data.holdout`: selection looks only there");
    }
    Ok(())
}

/// Refuses what no measurement is needed to refuse: budgets as ratios, or in MACs or parameters. A latency in
/// milliseconds is checked once the dense network was measured, before anything is trained.
fn check_budget(spec: &Spec, network: &Network) -> Result<(), RunError> {
    let Some(Search::Netadapt(netadapt)) = &spec.search else { return Ok(()) };
    match netadapt.budget.resource() {
        Resource::Latency if !netadapt.budget.is_relative() => Ok(()),
        // Any latency serves: ratios do not depend on it.
        Resource::Latency | Resource::Macs | Resource::Params => search::feasible(netadapt, network, 1.0),
    }
}
