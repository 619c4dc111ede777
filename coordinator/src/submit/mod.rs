//! From a YAML file to a submission: every file that the document names is read, checked and turned into a blob.

mod data;
mod network;

use crate::run::RunError;
use crate::search;
use bytes::Bytes;
use pleach_shared::data::DataError;
use pleach_shared::model::Model;
use pleach_shared::network::{Network, ShapeError};
use pleach_shared::spec::{self, Resource, Search, Spec, SpecError};
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
    /// The checkpoint does not fit the network.
    #[error("checkpoint {}: {error}", path.display())]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        error: pleach_shared::model::ModelError,
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
    match inspect(path)? {
        (prepared, None) => Ok(prepared),
        (_, Some(error)) => Err(InputError::Spec { path: path.into(), error: Box::new(error) }),
    }
}

/// As [`prepare`], but a network whose input or classes are not the data's is no error: its costs can still be told.
///
/// # Errors
/// As [`prepare`], but for that.
pub fn inspect(path: &Path) -> Result<(Prepared, Option<SpecError>), InputError> {
    let document = std::fs::read_to_string(path).map_err(|error| InputError::Read { path: path.into(), error, named_by: None })?;
    let in_spec = |error: SpecError| InputError::Spec { path: path.into(), error: Box::new(error) };
    let mut spec: Spec = spec::parse(&document).map_err(in_spec)?;
    let folder = path.parent().unwrap_or(Path::new("."));

    let data::Loaded { data, splits, mut blobs } = data::load(&spec.data, folder)?;
    let mismatch = spec.model.fit(splits.train.shape(), splits.train.classes()).err();
    data::check_normalize(&spec.data, splits.train.shape()[0]).map_err(in_spec)?;
    let network = network::build(&spec.model).map_err(|error| InputError::Network { path: path.into(), error })?;

    let mut checkpoint = None;
    if let Some(file) = &spec.model.checkpoint {
        let file = folder.join(file);
        let bytes =
            std::fs::read(&file).map_err(|error| InputError::Read { path: file.clone(), error, named_by: Some("model.checkpoint") })?;
        let fits = Model::with_weights(network.clone(), &bytes).and_then(|model| model.encode());
        let bytes = Bytes::from(fits.map_err(|error| InputError::Checkpoint { path: file, error })?);
        let id = BlobId::of(&bytes);
        blobs.push((id, bytes));
        checkpoint = Some(id);
    }
    check_budget(&spec, &network).map_err(|error| InputError::Infeasible { path: path.into(), error })?;
    Ok((Prepared { document, submission: Submission { spec, network, data, checkpoint }, blobs }, mismatch))
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
